/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads an AArch64 Linux Image, also one compressed by gzip, by the boot protocol of
 * Documentation/arch/arm64/booting.rst.
 *
 * Called by whoever assembles the VM, on that thread, before any vCPU runs. The file is not
 * trusted: only RAM of boot_memory's list is written, and a compressed one may become at most
 * ARM_LINUX_MAX_LEN bytes.
 */
#ifndef BOOT_AARCH64_LINUX_H
#define BOOT_AARCH64_LINUX_H

#include <stdbool.h>

#include "boot/memory.h"

/* How much of a file's start arm_linux_probe wants to see. */
enum { ARM_LINUX_HEAD_LEN = 64 };
#define ARM_LINUX_MAX_LEN (256ull << 20)

struct arm_linux {
	uint64_t gpa;	   /* of the first byte, which is the entry */
	uint64_t len;	   /* bytes that the kernel needs from there on */
	uint64_t file_len; /* bytes of the file that lie there unchanged; 0: it was compressed */
};

/* Does a file that starts so call itself an Image, or is it compressed? */
bool arm_linux_probe(const void *head, size_t len);
bool arm_linux_is_compressed(const void *head, size_t len);

/*
 * Load fd to the lowest place that it can have. -ENOEXEC: it is no Image (inside, if compressed);
 * -EFBIG: no RAM for it, or too large; -EINVAL: not a regular file; -ENOMEM; -ENODATA, pread's
 * errno. *ret_why is a sentence that goes after "cannot load FILE: ".
 */
int arm_linux_load(int fd, const struct boot_memory *mem, struct arm_linux *ret,
		   const char **ret_why) MUST_CHECK;

#endif
