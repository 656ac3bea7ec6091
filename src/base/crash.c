/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crash.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "context.h"

enum { STACK = 64 << 10, MAX_FRAMES = 64 };

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

/* File and offset of a place in the program. False: it is in none. */
static bool place_of(uintptr_t pc, const char **ret_file, uintptr_t *ret_offset)
{
	Dl_info where;
	const char *slash;

	if (!dladdr((void *)pc, &where) || !where.dli_fname)
		return false;
	slash = strrchr(where.dli_fname, '/');
	*ret_file = slash ? slash + 1 : where.dli_fname;
	*ret_offset = pc - (uintptr_t)where.dli_fbase;
	return true;
}

static bool is_vdev(const char *file)
{
	return strncmp(file, "vdev-", 5) == 0 && strstr(file, ".so");
}

/* A fault or an abort in a library: the place in the vdev that led there says more. */
static void find_vdev(const char **file, uintptr_t *offset)
{
	void *frames[MAX_FRAMES];
	int n = backtrace(frames, MAX_FRAMES);
	const char *name;
	uintptr_t at;

	for (int i = 0; i < n; i++) {
		if (place_of((uintptr_t)frames[i], &name, &at) && is_vdev(name)) {
			*file = name;
			*offset = at;
			return;
		}
	}
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	uintptr_t offset = context_pc(context);
	const char *name = sigabbrev_np(number), *file = "";
	char what[160];

	(void)info;
	(void)place_of(offset, &file, &offset);
	if (!is_vdev(file))
		find_vdev(&file, &offset);
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

	void *frame;

	/* Its first call loads a library. */
	(void)backtrace(&frame, 1);
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
