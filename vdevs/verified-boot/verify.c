/* SPDX-License-Identifier: Apache-2.0 */
#include "verified-boot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <nettle/sha2.h>
#include <qvm/x/load.h>

_Static_assert(DIGEST_LEN == SHA256_DIGEST_SIZE, "SHA-256");

#define BLOCK 65536u

/* Do the pieces that share bytes with [at, at + len) of the file have these bytes in memory? */
static bool block_is_in_memory(vdev_t *vdp, struct guest_cpu *gcp, unsigned line, uint64_t at,
			       const uint8_t *bytes, size_t len)
{
	struct qvmx_load piece;
	uint8_t in_guest[4096];

	for (unsigned i = 0; qvmx_load_piece(vdp, i, &piece) == EOK; i++) {
		uint64_t from = piece.offset > at ? piece.offset : at;
		uint64_t end =
			piece.offset + piece.len < at + len ? piece.offset + piece.len : at + len;

		if (piece.line != line)
			continue;
		while (from < end) {
			size_t n = end - from < sizeof(in_guest) ? (size_t)(end - from)
								 : sizeof(in_guest);
			const struct qvm_state_block block = {
				.location = piece.gpa + (from - piece.offset),
				.length = n,
				.qst_type = QST_MEMORY,
			};

			if (guest_cpu_read(gcp, GXF_NONE, &block, 1, in_guest, n) != EOK ||
			    memcmp(in_guest, bytes + (from - at), n) != 0)
				return false;
			from += n;
		}
	}
	return true;
}

/* The file must not have become shorter than what was loaded from it. */
static enum verify_result check_pieces(const vdev_t *vdp, unsigned line, uint64_t size)
{
	struct qvmx_load piece;
	bool somewhere = !size;

	for (unsigned i = 0; qvmx_load_piece(vdp, i, &piece) == EOK; i++) {
		if (piece.line != line)
			continue;
		if (piece.offset + piece.len > size)
			return VERIFY_MEMORY;
		somewhere = somewhere || piece.len;
	}
	return somewhere ? VERIFY_GOOD : VERIFY_NOWHERE;
}

enum verify_result verify_file(vdev_t *vdp, struct guest_cpu *gcp, const char *path, unsigned line,
			       const uint8_t digest[DIGEST_LEN])
{
	uint8_t block[BLOCK], found[DIGEST_LEN];
	struct sha256_ctx sha;
	bool in_memory = true;
	uint64_t at = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return VERIFY_UNREADABLE;
	sha256_init(&sha);
	while ((n = read(fd, block, sizeof(block))) > 0) {
		sha256_update(&sha, (size_t)n, block);
		in_memory = in_memory && block_is_in_memory(vdp, gcp, line, at, block, (size_t)n);
		at += (uint64_t)n;
	}
	int err = errno;

	close(fd);
	errno = err;
	if (n < 0)
		return VERIFY_UNREADABLE;
	sha256_digest(&sha, sizeof(found), found);
	if (memcmp(found, digest, sizeof(found)) != 0)
		return VERIFY_DIGEST;
	return in_memory ? check_pieces(vdp, line, at) : VERIFY_MEMORY;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_parse(const char *text, uint8_t *ret_bytes, unsigned max)
{
	unsigned n = 0;

	for (; text[0]; text += 2) {
		int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0 || n == max)
			return -1;
		ret_bytes[n++] = (uint8_t)(high << 4 | low);
	}
	return (int)n;
}
