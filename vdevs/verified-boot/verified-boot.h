/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of vdev verified-boot: a file is read once; each block of it goes into the digest and is
 * compared with what the loader has put into the guest's memory, so that what is verified is what
 * the guest runs, whatever happens to the file meanwhile.
 *
 * Everything here runs in the start-up stage, on one thread.
 */
#ifndef VERIFIED_BOOT_H
#define VERIFIED_BOOT_H

#include <stdbool.h>
#include <qvm/guest.h>

#define DIGEST_LEN 32u /* SHA-256 */

enum verify_result {
	VERIFY_GOOD,
	VERIFY_UNREADABLE, /* errno says why */
	VERIFY_DIGEST,	   /* the file has another digest */
	VERIFY_NOWHERE,	   /* nothing of the file lies in the guest's memory as it is */
	VERIFY_MEMORY,	   /* the guest's memory holds other bytes than the file */
};

/* The registers that can be set, those of the architecture; the last one has no name. */
struct boot_register {
	char name[8];
	size_t offset; /* in struct qvmx_cpu_registers */
};
extern const struct boot_register boot_registers[];

/* Verify the pieces of `load` line `line`, whose file is path. gcp: the boot vCPU. */
enum verify_result verify_file(vdev_t *vdp, struct guest_cpu *gcp, const char *path, unsigned line,
			       const uint8_t digest[DIGEST_LEN])
	__attribute__((warn_unused_result));

/* The bytes of a text of hexadecimal digits, two each. Returns how many, or -1: it is something
 * else, or holds more than max. */
int hex_parse(const char *text, uint8_t *ret_bytes, unsigned max);

#endif
