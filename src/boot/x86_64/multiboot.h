/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot, version 1, as its specification (0.6.96) describes it: finds the header in the first 8
 * KiB of a file, reads where the file goes (addresses in the header, else ELF), and makes the
 * information that the guest gets: memory sizes and map, command line, modules, the loader's name.
 * There is no video mode, no drives, no APM.
 *
 * Called as the other loaders are: by whoever assembles the VM, before any vCPU runs. Nothing is
 * allocated. The file is not trusted.
 */
#ifndef BOOT_X86_64_MULTIBOOT_H
#define BOOT_X86_64_MULTIBOOT_H

#include "boot/x86_64/protected.h"

#define MULTIBOOT_SEARCH_LEN 8192u

/* Does a file that starts with these len bytes have a multiboot header? */
bool multiboot_probe(const void *head, size_t len);

/*
 * Read where fd's bytes go. -EINVAL: not a regular file; -ENOEXEC: no header, it asks for what is
 * not here, or its numbers (or ELF's) make no sense; else pread's errno. *ret_why is a sentence
 * that goes after "cannot load FILE: ".
 */
int multiboot_read(int fd, struct boot_image *ret, const char **ret_why) MUST_CHECK;

/* Hand over: eax says multiboot, ebx points to the information. Errors as protected_prepare. */
int multiboot_start(const struct protected_boot *in, struct protected_entry *ret,
		    const char **ret_why) MUST_CHECK;

#endif
