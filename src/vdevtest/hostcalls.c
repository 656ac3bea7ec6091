/* SPDX-License-Identifier: Apache-2.0 */
/* Counts and plans of host calls, and how the wrappers get into a vdev. */
#include "vdevtest/hostcalls_private.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vdevtest/standin.h"

enum { MAX_ERRNO = 133, MAX_PATCHED = 64 };

struct plan {
	_Atomic uint64_t count;
	uint64_t first, last; /* of `count`: these fail; 0: none */
	int err;
};

static struct {
	bool on, no_wait;
	pthread_t thread; /* the bench's */
	uint64_t *now_ns, random;
	struct plan plans[NUM_CALLS];
} host;

struct hostcalls_uring hostcalls_uring;

int hostcalls_next(enum hostcall call)
{
	struct plan *p = &host.plans[call];
	uint64_t number = atomic_fetch_add_explicit(&p->count, 1, memory_order_relaxed) + 1;

	return host.on && p->first && number >= p->first && number <= p->last ? p->err : 0;
}

bool hostcalls_on(void)
{
	return host.on;
}

bool hostcalls_is_bench(void)
{
	return pthread_equal(host.thread, pthread_self());
}

uint64_t *hostcalls_now(void)
{
	return host.now_ns;
}

uint64_t hostcalls_random(void)
{
	uint64_t x = host.random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

bool hostcalls_waits(void)
{
	return !host.no_wait;
}

static const struct hostwrap *wrap_find(const char *name)
{
	for (const struct hostwrap *w = hostwraps; w->name; w++)
		if (strcmp(w->name, name) == 0)
			return w;
	return NULL;
}

const char *hostcalls_name(unsigned index)
{
	return index < NUM_CALLS ? hostwraps[index].name : NULL;
}

int hostcalls_fail(const char *name, uint64_t nth, int err, uint64_t times)
{
	const struct hostwrap *w = wrap_find(name);
	struct plan *p = w ? &host.plans[w->call] : NULL;

	if (!p)
		return -ENOENT;
	if (err == HOSTCALLS_SHORT && !w->counts)
		return -EINVAL;
	uint64_t count = atomic_load(&p->count);

	p->first = nth && times && nth <= UINT64_MAX - count ? count + nth : 0;
	p->last = times - 1 > UINT64_MAX - p->first ? UINT64_MAX : p->first + times - 1;
	p->err = err;
	return 0;
}

int hostcalls_count(const char *name, uint64_t *ret_count)
{
	const struct hostwrap *w = wrap_find(name);

	if (!w)
		return -ENOENT;
	*ret_count = atomic_load(&host.plans[w->call].count);
	return 0;
}

int hostcalls_errno(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (end != text && !*end)
		return number > 0 && number <= MAX_ERRNO ? (int)number : 0;
	if (strcmp(text, "SHORT") == 0)
		return HOSTCALLS_SHORT;
	for (int err = 1; err <= MAX_ERRNO; err++) {
		const char *name = strerrorname_np(err);

		if (name && strcmp(name, text) == 0)
			return err;
	}
	return 0;
}

void hostcalls_begin(uint64_t seed, uint64_t *now_ns)
{
	for (unsigned i = 0; i < NUM_CALLS; i++) {
		atomic_store(&host.plans[i].count, 0);
		host.plans[i].first = 0;
	}
	host.no_wait = false;
	host.thread = pthread_self();
	host.random = seed;
	host.now_ns = now_ns;
	host.on = true;
}

void hostcalls_wait_set(bool on)
{
	host.no_wait = !on;
}

void hostcalls_end(void)
{
	standin_end();
	hosttime_end();
	host.on = false;
}

/* One table of relocations: those that name a function of ours get the wrapper. */
static void patch_table(const struct link_map *map, void *handle, const ElfW(Rela) * rela,
			size_t size, const ElfW(Sym) * symbols, const char *names)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < size / sizeof(*rela); i++) {
		const char *name = names + symbols[ELF64_R_SYM(rela[i].r_info)].st_name;
		const struct hostwrap *w = wrap_find(name);
		const void **slot = (const void **)(map->l_addr + rela[i].r_offset);

		/* Other kinds of relocations do not hold just the function's address. */
		if (!w || !w->wrapper || *slot != dlsym(handle, name))
			continue;
		/* The table is read-only once the dynamic linker is done with it. */
		if (mprotect((void *)((uintptr_t)slot & ~(page - 1)), page,
			     PROT_READ | PROT_WRITE) == 0)
			*slot = w->wrapper;
	}
}

/* Each bench asks for its vdevs, which stay loaded. */
static bool is_new(const void *handle)
{
	static const void *patched[MAX_PATCHED];
	unsigned i = 0;

	while (i < MAX_PATCHED && patched[i] && patched[i] != handle)
		i++;
	if (i < MAX_PATCHED && patched[i])
		return false;
	if (i < MAX_PATCHED)
		patched[i] = handle;
	return true;
}

void hostcalls_patch(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
	const ElfW(Rela) *plt = NULL, *rela = NULL;
	const ElfW(Sym) *symbols = NULL;
	const char *names = NULL;
	size_t plt_size = 0, rela_size = 0;
	struct link_map *map;

	if (!handle)
		return;
	if (!is_new(handle) || dlinfo(handle, RTLD_DI_LINKMAP, &map)) {
		dlclose(handle);
		return;
	}
	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
		switch (d->d_tag) {
		case DT_JMPREL:
			plt = (const void *)d->d_un.d_ptr;
			break;
		case DT_PLTRELSZ:
			plt_size = d->d_un.d_val;
			break;
		case DT_RELA:
			rela = (const void *)d->d_un.d_ptr;
			break;
		case DT_RELASZ:
			rela_size = d->d_un.d_val;
			break;
		case DT_SYMTAB:
			symbols = (const void *)d->d_un.d_ptr;
			break;
		case DT_STRTAB:
			names = (const void *)d->d_un.d_ptr;
			break;
		}
	}
	void *submit = dlsym(handle, "io_uring_submit");

	if (submit) {
		hostcalls_uring.submit = submit;
		hostcalls_uring.wait = dlsym(handle, "io_uring_wait_cqes");
		hostcalls_uring.init = dlsym(handle, "io_uring_queue_init_params");
	}
	if (symbols && names) {
		patch_table(map, handle, plt, plt_size, symbols, names);
		patch_table(map, handle, rela, rela_size, symbols, names);
	}
	dlclose(handle);
}
