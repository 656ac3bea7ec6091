/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the loaders see guest memory: a list of ranges that says what is RAM, and a callback that
 * turns a guest-physical range into host memory. Loaders never touch the guest in any other way, so
 * a range that a hostile image asks for is either wholly RAM or refused.
 *
 * Used by the loaders in this folder and filled in by whoever assembles the VM, on the thread that
 * does so, before any vCPU runs. Nothing here is allocated; the caller owns the list and the memory
 * behind the callback.
 */
#ifndef BOOT_MEMORY_H
#define BOOT_MEMORY_H

#include "base/util.h"

#include <stddef.h>
#include <stdint.h>

/* Values are those of the e820 map, so that a loader can hand the list to the guest as it is. */
enum boot_range_type {
	BOOT_RANGE_RAM = 1,
	BOOT_RANGE_RESERVED = 2,
	BOOT_RANGE_ACPI = 3,
	BOOT_RANGE_NVS = 4,
};

/* Bytes [addr, addr + len) of guest-physical space. */
struct boot_range {
	uint64_t addr;
	uint64_t len;
	enum boot_range_type type;
};

struct boot_memory {
	/*
	 * Host address of [gpa, gpa + len), or NULL if that is not one contiguous range of guest
	 * RAM. Valid until the loader returns.
	 */
	void *(*map)(void *ctx, uint64_t gpa, uint64_t len);
	void *ctx;
	/*
	 * Sorted by address, not overlapping, none empty, none wrapping. A loader may put things
	 * anywhere in a RAM range: what is taken already (tables, other loads) must be listed as
	 * something else or left out.
	 */
	const struct boot_range *ranges;
	size_t num_ranges;
};

/* 0 if the list keeps the promises above, else -EINVAL. */
int boot_memory_check(const struct boot_memory *mem) MUST_CHECK;

/* Host memory for [gpa, gpa + len) if that lies in RAM by the list (adjacent RAM ranges count as
 * one) and maps. */
void *boot_memory_map(const struct boot_memory *mem, uint64_t gpa, uint64_t len) MUST_CHECK;

/*
 * The lowest (boot_memory_find_low) or highest (boot_memory_find_high) address that is a multiple
 * of align, a power of two, with len bytes of RAM from there inside [min, end). -ENOSPC if there is
 * none.
 */
int boot_memory_find_low(const struct boot_memory *mem, uint64_t len, uint64_t align, uint64_t min,
			 uint64_t end, uint64_t *ret_gpa) MUST_CHECK;
int boot_memory_find_high(const struct boot_memory *mem, uint64_t len, uint64_t align, uint64_t min,
			  uint64_t end, uint64_t *ret_gpa) MUST_CHECK;

/* Size in bytes of a regular file. -EINVAL if fd is something else, or fstat's errno. */
int boot_file_size(int fd, uint64_t *ret_size) MUST_CHECK;

/*
 * Reads exactly len bytes at offset into dst, straight from the file and with no copy of ours.
 * -ENODATA if the file ends before that, or pread's errno; dst is then partly written.
 */
int boot_file_read(int fd, uint64_t offset, void *dst, uint64_t len) MUST_CHECK;

#endif
