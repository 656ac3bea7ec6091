/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a file as it is: no header, no relocation, entry at its first byte. Which mode the vCPU
 * starts in (16-bit real mode with the code segment's base at the entry, or anything else) is the
 * caller's business.
 *
 * Called by whoever assembles the VM, on that thread, before any vCPU runs. Nothing is allocated.
 */
#ifndef BOOT_RAW_H
#define BOOT_RAW_H

#include "boot/memory.h"

/* As an address: the first RAM that is big enough, from RAW_FIRST_FREE upwards, on a page boundary.
 */
#define RAW_ANYWHERE UINT64_MAX

/* Below this lie a PC's interrupt vectors and BIOS data, which "first free" leaves alone. */
#define RAW_FIRST_FREE 0x1000u

struct raw_entry {
	uint64_t gpa; /* of the first byte, which is the entry */
	uint64_t len; /* bytes loaded */
};

/*
 * Copies the regular file fd to gpa. On failure *ret_why is a sentence that goes after "cannot load
 * FILE: ". -EINVAL: not a regular file, or bad ranges; -ENOEXEC: empty; -EFBIG: no RAM there, or
 * too little; -ENODATA: the file shrank meanwhile; else pread's errno.
 */
int raw_load(int fd, const struct boot_memory *mem, uint64_t gpa, struct raw_entry *ret,
	     const char **ret_why) MUST_CHECK;

#endif
