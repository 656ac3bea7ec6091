/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/aarch64/linux.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define IMAGE_MAGIC 0x644d5241u /* "ARM\x64" */
#define IMAGE_ALIGN 0x200000ull
enum { FLAG_BIG_ENDIAN = 1, CHUNK = 256 << 10, GZIP_WINDOW = 15 + 16 };

struct image_header {
	uint32_t code[2];
	uint64_t text_offset, image_size, flags;
	uint64_t reserved[3];
	uint32_t magic, pe_header;
};
_Static_assert(sizeof(struct image_header) == ARM_LINUX_HEAD_LEN, "the header of booting.rst");

static int linux_fail(int error, const char *why, const char **ret_why)
{
	*ret_why = why;
	return error;
}

bool arm_linux_probe(const void *head, size_t len)
{
	struct image_header h;

	if (len < sizeof(h))
		return false;
	memcpy(&h, head, sizeof(h));
	return le32toh(h.magic) == IMAGE_MAGIC;
}

bool arm_linux_is_compressed(const void *head, size_t len)
{
	return len >= 3 && memcmp(head, "\x1f\x8b\x08", 3) == 0;
}

/* One stream, at most ARM_LINUX_MAX_LEN bytes, into allocated memory that grows by doubling. */
static int unpack(int fd, uint64_t size, uint8_t **ret_data, uint64_t *ret_len,
		  const char **ret_why)
{
	z_stream z = { 0 };
	size_t room = CHUNK * 32u;
	uint8_t *in = malloc(CHUNK), *out = malloc(room);
	uint64_t at = 0;
	int rc = 0, state = Z_OK;

	if (!in || !out || inflateInit2(&z, GZIP_WINDOW) != Z_OK) {
		free(in);
		free(out);
		return linux_fail(-ENOMEM, "out of memory", ret_why);
	}
	while (!rc && state != Z_STREAM_END) {
		if (!z.avail_in) {
			z.avail_in = (unsigned)MIN(size - at, (uint64_t)CHUNK);
			z.next_in = in;
			if (!z.avail_in)
				rc = linux_fail(-ENOEXEC, "its gzip data ends too early", ret_why);
			else if (boot_file_read(fd, at, in, z.avail_in))
				rc = linux_fail(-ENODATA, "the file cannot be read to its end",
						ret_why);
			at += z.avail_in;
		}
		if (!rc && z.total_out == room && room < ARM_LINUX_MAX_LEN) {
			uint8_t *more = realloc(out, room * 2);

			if (more)
				out = more, room *= 2;
			else
				rc = linux_fail(-ENOMEM, "out of memory", ret_why);
		} else if (!rc && z.total_out == room) {
			rc = linux_fail(-EFBIG, "unpacked it is larger than 256 MiB", ret_why);
		}
		if (rc)
			break;
		z.next_out = out + z.total_out;
		z.avail_out = (unsigned)(room - z.total_out);
		state = inflate(&z, Z_NO_FLUSH);
		if (state != Z_OK && state != Z_STREAM_END)
			rc = linux_fail(-ENOEXEC, "its gzip data is damaged", ret_why);
	}
	*ret_len = z.total_out;
	inflateEnd(&z);
	free(in);
	if (rc)
		free(out);
	else
		*ret_data = out;
	return rc;
}

/* Where the kernel goes, by its header and the length of what there is of it. */
static int place(const struct image_header *h, uint64_t len, const struct boot_memory *mem,
		 struct arm_linux *ret, const char **ret_why)
{
	const uint64_t offset = le64toh(h->text_offset);
	uint64_t base;

	ret->len = MAX(le64toh(h->image_size), len);
	if (le64toh(h->flags) & FLAG_BIG_ENDIAN)
		return linux_fail(-ENOEXEC, "it is a big-endian kernel", ret_why);
	if (offset >= IMAGE_ALIGN || ret->len > ARM_LINUX_MAX_LEN * 4)
		return linux_fail(-ENOEXEC, "its header makes no sense", ret_why);
	if (boot_memory_find_low(mem, offset + ret->len, IMAGE_ALIGN, 0, UINT64_MAX, &base))
		return linux_fail(-EFBIG,
				  "the guest has no memory in one piece that is large enough",
				  ret_why);
	ret->gpa = base + offset;
	return 0;
}

static int load_plain(int fd, uint64_t size, const struct boot_memory *mem, struct arm_linux *ret,
		      const char **ret_why)
{
	struct image_header h;
	int rc = boot_file_read(fd, 0, &h, sizeof(h));

	if (!rc)
		rc = place(&h, size, mem, ret, ret_why);
	if (rc)
		return rc;
	ret->file_len = size;
	rc = boot_file_read(fd, 0, boot_memory_map(mem, ret->gpa, size), size);
	return rc ? linux_fail(rc, "the file cannot be read to its end", ret_why) : 0;
}

static int load_compressed(int fd, uint64_t size, const struct boot_memory *mem,
			   struct arm_linux *ret, const char **ret_why)
{
	struct image_header h;
	uint8_t *data;
	uint64_t len;
	int rc = unpack(fd, size, &data, &len, ret_why);

	if (rc)
		return rc;
	if (!arm_linux_probe(data, len)) {
		rc = linux_fail(-ENOEXEC, "what is compressed in it is no AArch64 Linux Image",
				ret_why);
	} else {
		memcpy(&h, data, sizeof(h));
		rc = place(&h, len, mem, ret, ret_why);
	}
	if (!rc)
		memcpy(boot_memory_map(mem, ret->gpa, len), data, len);
	free(data);
	return rc;
}

int arm_linux_load(int fd, const struct boot_memory *mem, struct arm_linux *ret,
		   const char **ret_why)
{
	uint8_t head[ARM_LINUX_HEAD_LEN];
	struct arm_linux linux_at = { 0 };
	uint64_t size;
	int rc = boot_file_size(fd, &size);

	if (rc)
		return linux_fail(rc, "it is not a regular file", ret_why);
	if (size < sizeof(head) || boot_file_read(fd, 0, head, sizeof(head)))
		return linux_fail(-ENOEXEC, "it is too short for a kernel", ret_why);
	if (arm_linux_is_compressed(head, sizeof(head)))
		rc = load_compressed(fd, size, mem, &linux_at, ret_why);
	else if (arm_linux_probe(head, sizeof(head)))
		rc = load_plain(fd, size, mem, &linux_at, ret_why);
	else
		rc = linux_fail(-ENOEXEC, "it is no AArch64 Linux Image", ret_why);
	if (!rc)
		*ret = linux_at;
	return rc;
}
