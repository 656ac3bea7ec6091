/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crash.h"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "context.h"

enum {
	STACK = 64 << 10,
	PAGE = 4096,
	PAGES = 16, /* of the stack that are searched */
	MAX_WORDS = PAGES * PAGE / sizeof(uintptr_t),
};

/* Of the sanitizers' run time, where the program has one. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*func)(void));

const int crash_signals[CRASH_NUM_SIGNALS] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

static void (*tell_about)(const char *what);

int crash_has_sanitizer(void)
{
	return __sanitizer_set_death_callback != NULL;
}

static void on_death(void)
{
	void (*tell)(const char *) = tell_about;

	tell_about = NULL;
	if (tell)
		tell("a sanitizer's report");
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* File and offset of a place in the program. False: it is in none. */
static bool place_of(uintptr_t pc, const char **ret_file, uintptr_t *ret_offset)
{
	Dl_info where;

	if (!dladdr((void *)pc, &where) || !where.dli_fname)
		return false;
	*ret_file = file_name(where.dli_fname);
	*ret_offset = pc - (uintptr_t)where.dli_fbase;
	return true;
}

static bool is_vdev(const char *file)
{
	return strncmp(file, "vdev-", 5) == 0 && strstr(file, ".so");
}

/* What the search for a vdev's code on the stack has, and finds. */
struct search {
	uintptr_t words[MAX_WORDS];
	size_t num; /* words that are not known to lie above the one that was found */
	const char *file;
	uintptr_t offset;
};

static int search_object(struct dl_phdr_info *info, size_t size, void *data)
{
	struct search *s = data;
	const char *name = file_name(info->dlpi_name);

	(void)size;
	for (unsigned i = 0; is_vdev(name) && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		for (size_t k = 0; k < s->num; k++) {
			uintptr_t offset = s->words[k] - info->dlpi_addr;

			if (offset - p->p_vaddr < p->p_memsz) {
				s->num = k;
				s->file = name;
				s->offset = offset;
			}
		}
	}
	return 0;
}

/*
 * A fault or an abort in a library: the place in the vdev that led there says more. It is the
 * nearest word of the stack that is an address of a vdev's code; unwinding the stack properly takes
 * a library that would cost each VM more memory than all that is in this file.
 */
static void find_vdev(const void *context, const char **file, uintptr_t *offset)
{
	static struct search s; /* if two threads crash at once, either's place may be told */
	uintptr_t from = context_sp(context);
	struct iovec here = { s.words, sizeof(s.words) }, there[PAGES];

	/* Page by page: what is behind the stack's end cannot be read. */
	for (unsigned i = 0; i < PAGES; i++) {
		size_t len = PAGE - from % PAGE;

		there[i] = (struct iovec){ (void *)from, len };
		from += len;
	}
	ssize_t n = process_vm_readv(getpid(), &here, 1, there, PAGES, 0);

	s.num = n > 0 ? (size_t)n / sizeof(s.words[0]) : 0;
	(void)dl_iterate_phdr(search_object, &s);
	if (!s.file)
		return;
	*file = s.file;
	*offset = s.offset;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	uintptr_t offset = context_pc(context);
	const char *name = sigabbrev_np(number), *file = "";
	char what[160];

	(void)info;
	(void)place_of(offset, &file, &offset);
	if (!is_vdev(file))
		find_vdev(context, &file, &offset);
	snprintf(what, sizeof(what), "SIG%s at %s+0x%llx", name ? name : "?", file,
		 (unsigned long long)offset);
	if (tell_about)
		tell_about(what);
	signal(number, SIG_DFL);
	raise(number);
}

void crash_watch(void (*tell)(const char *what))
{
	static uint8_t stack[STACK];
	const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	const struct sigaction action = { .sa_sigaction = on_signal,
					  .sa_flags = SA_SIGINFO | SA_ONSTACK };

	tell_about = tell;
	if (crash_has_sanitizer()) {
		__sanitizer_set_death_callback(on_death);
		sigaction(SIGABRT, &action, NULL);
		return;
	}
	sigaltstack(&alternate, NULL);
	for (unsigned i = 0; i < CRASH_NUM_SIGNALS; i++)
		sigaction(crash_signals[i], &action, NULL);
}
