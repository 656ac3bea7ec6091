/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads ELF programs that are made for a fixed place, by their PT_LOAD headers and physical
 * addresses; for x86 64-bit and 32-bit ones, with the entry that a PVH note names if there is one.
 *
 * Called by whoever assembles the VM, on any thread. Nothing is allocated, nothing is written. The
 * file is not trusted; the work is bounded by BOOT_MAX_SEGMENTS and ELF_MAX_NOTES.
 */
#ifndef BOOT_ELF_FILE_H
#define BOOT_ELF_FILE_H

#include "boot/image.h"

/* How much of a file's start elf_probe() wants to see. */
#define ELF_HEAD_LEN 64u
/* Notes looked at; a PVH note behind them is not found. */
#define ELF_MAX_NOTES 256u

/* Does a file that starts with these len bytes call itself ELF? */
bool elf_probe(const void *head, size_t len);

/*
 * Read the headers of the file fd into *ret, which then passes boot_image_check. An entry given as
 * a virtual address becomes the physical one. -EINVAL: not a regular file; -ENOEXEC: no ELF program
 * for this architecture, or headers that make no sense; else pread's errno. *ret_why is a sentence
 * that goes after "cannot load FILE: ".
 */
int elf_read(int fd, struct boot_image *ret, const char **ret_why) MUST_CHECK;

#endif
