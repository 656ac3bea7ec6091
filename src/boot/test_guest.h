/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory and files for the loaders' tests and fuzz targets: RAM of one size from guest
 * address 0 with a hole at 0x9fc00..0x100000, right against an inaccessible page, so that a write
 * past its end is a crash. Test code only; one thread; guest_free() and close() undo it.
 */
#ifndef BOOT_TEST_GUEST_H
#define BOOT_TEST_GUEST_H

#include "boot/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#define GUEST_LOW_END  0x9fc00u
#define GUEST_HIGH     0x100000u
#define GUEST_PAGE_LEN 4096u

struct guest {
	uint8_t *ram;
	size_t len;
	struct boot_range ranges[3];
	struct boot_memory memory;
};

static inline void *guest_map(void *ctx, uint64_t gpa, uint64_t len)
{
	const struct guest *g = ctx;

	if (range_inside(gpa, len, 0, GUEST_LOW_END) ||
	    range_inside(gpa, len, GUEST_HIGH, g->len - GUEST_HIGH))
		return g->ram + gpa;
	return NULL;
}

/* len: a multiple of GUEST_PAGE_LEN above GUEST_HIGH. Pages cost memory only once they are written.
 */
static inline int guest_init(struct guest *g, size_t len)
{
	size_t span = len + GUEST_PAGE_LEN;

	*g = (struct guest){ .len = len };
	g->ram = mmap(NULL, span, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (g->ram == MAP_FAILED)
		return -1;
	if (mprotect(g->ram + len, GUEST_PAGE_LEN, PROT_NONE) < 0)
		return -1;
	g->ranges[0] = (struct boot_range){ 0, GUEST_LOW_END, BOOT_RANGE_RAM };
	g->ranges[1] = (struct boot_range){ 0xe0000, 0x20000, BOOT_RANGE_RESERVED };
	g->ranges[2] = (struct boot_range){ GUEST_HIGH, len - GUEST_HIGH, BOOT_RANGE_RAM };
	g->memory = (struct boot_memory){ guest_map, g, g->ranges, ARRAY_LEN(g->ranges) };
	return 0;
}

static inline void guest_free(struct guest *g)
{
	munmap(g->ram, g->len + GUEST_PAGE_LEN);
}

/* A file in memory with these bytes and then zeros up to size; -1 on failure. */
static inline int guest_file(const void *data, size_t len, uint64_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)size) < 0 || pwrite(fd, data, len, 0) != (ssize_t)len) {
		close(fd);
		return -1;
	}
	return fd;
}

#endif
