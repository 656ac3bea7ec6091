/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's image as its file describes it: which bytes of the file go where, and where the guest
 * starts. elf_file.h and x86_64/multiboot.h read it from a file; this puts it, and the files that
 * go with it, into guest RAM.
 *
 * Called by whoever assembles the VM, on that thread, before any vCPU runs. Nothing is allocated.
 * File descriptors stay the caller's. No file is trusted: whatever it says, only RAM of
 * boot_memory's list is written, and the work is bounded by the sizes of the files.
 */
#ifndef BOOT_IMAGE_H
#define BOOT_IMAGE_H

#include "boot/memory.h"

#include <stdbool.h>

/* An ELF file with more program headers than this is refused. */
#define BOOT_MAX_SEGMENTS 64u
/* `initrd load` lines of a VM. */
#define BOOT_MAX_MODULES 16u
/* As an address: the loader chooses. */
#define BOOT_ANYWHERE UINT64_MAX

/* Bytes [offset, offset + file_len) of the file go to gpa; up to mem_len zeros follow. */
struct boot_segment {
	uint64_t gpa, mem_len;
	uint64_t offset, file_len;
};

struct boot_image {
	bool is_64; /* entry is 64-bit code */
	uint64_t entry;
	bool has_pvh;
	uint64_t pvh_entry; /* 32-bit code */
	unsigned num_segments;
	struct boot_segment segments[BOOT_MAX_SEGMENTS];
};

/* A file that is handed to the guest: initrd, multiboot module. len 0: an empty file, nowhere. */
struct boot_module {
	uint64_t gpa, len;
};

/*
 * Check what a reader has filled in: every segment inside the file of file_size bytes, none wraps,
 * none overlaps another, the entries inside of one. -ENOEXEC and a sentence that goes after
 * "cannot load FILE: ".
 */
int boot_image_check(const struct boot_image *image, uint64_t file_size,
		     const char **ret_why) MUST_CHECK;

/* Does [gpa, gpa + len) share a byte with a segment? */
bool boot_image_overlaps(const struct boot_image *image, uint64_t gpa, uint64_t len);

/*
 * Read a checked image's segments from fd into RAM, which is taken to be zero. -EFBIG: a segment
 * has no RAM; -ENODATA: the file shrank; else pread's errno. The sentence as above.
 */
int boot_image_load(int fd, const struct boot_image *image, const struct boot_memory *mem,
		    const char **ret_why) MUST_CHECK;

/*
 * Read the regular file fd to the address at, or for BOOT_ANYWHERE as high as possible in RAM below
 * end, on a page boundary, free of the image and of the num_others modules. -EINVAL: not a regular
 * file; -EEXIST: at is taken; -EFBIG: no RAM; -ENODATA, pread's errno. The sentence goes after
 * "cannot load FILE: ".
 */
int boot_module_load(int fd, const struct boot_memory *mem, uint64_t at, uint64_t end,
		     const struct boot_image *image, const struct boot_module *others,
		     size_t num_others, struct boot_module *ret, const char **ret_why) MUST_CHECK;

#endif
