/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "boot/aarch64/linux.h"

enum { RAM_LEN = 64 << 20, BODY = 300000 };
#define RAM UINT64_C(0x80000000)

static uint8_t *ram;
static uint8_t image[BODY];

static void *map(void *ctx, uint64_t gpa, uint64_t len)
{
	(void)ctx;
	return range_inside(gpa, len, RAM, RAM_LEN) ? ram + (gpa - RAM) : NULL;
}

static const struct boot_range whole[] = { { RAM, RAM_LEN, BOOT_RANGE_RAM } };
static const struct boot_memory memory = { .map = map, .ranges = whole, .num_ranges = 1 };

static void put64(unsigned at, uint64_t value)
{
	memcpy(image + at, &value, sizeof(value));
}

static void image_make(uint64_t text_offset, uint64_t size, uint64_t flags)
{
	for (unsigned i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i * 31 + (i >> 8));
	put64(8, text_offset);
	put64(16, size);
	put64(24, flags);
	memcpy(image + 56, "ARM\x64", 4);
}

/* Load what is in data from a file. */
static int load(const void *data, size_t len, const struct boot_memory *mem, struct arm_linux *ret,
		const char **ret_why)
{
	FILE *f = tmpfile();

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fflush(f);
	*ret_why = NULL;
	int rc = arm_linux_load(fileno(f), mem, ret, ret_why);

	fclose(f);
	assert_true(!rc || *ret_why);
	return rc;
}

static size_t compress_to(uint8_t *out, size_t room, const uint8_t *data, size_t len)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (uint8_t *)data;
	z.avail_in = (unsigned)len;
	z.next_out = out;
	z.avail_out = (unsigned)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static void an_image_goes_where_it_says(void **state)
{
	struct arm_linux at;
	const char *why;

	(void)state;
	image_make(0x80000, 5 << 20, 0xa);
	assert_true(arm_linux_probe(image, 64));
	assert_int_equal(load(image, sizeof(image), &memory, &at, &why), 0);
	assert_int_equal(at.gpa, RAM + 0x80000);
	assert_int_equal(at.len, 5 << 20);
	assert_int_equal(at.file_len, sizeof(image));
	assert_memory_equal(ram + 0x80000, image, sizeof(image));

	/* Past what is taken, on the next boundary. */
	const struct boot_range holes[] = { { RAM, 0x1000, BOOT_RANGE_RESERVED },
					    { RAM + 0x1000, RAM_LEN - 0x1000, BOOT_RANGE_RAM } };
	const struct boot_memory mem = { .map = map, .ranges = holes, .num_ranges = 2 };

	image_make(0, 0, 0);
	assert_int_equal(load(image, sizeof(image), &mem, &at, &why), 0);
	assert_int_equal(at.gpa, RAM + (2 << 20));
	assert_int_equal(at.len, sizeof(image));
}

static void a_compressed_image_is_unpacked(void **state)
{
	static uint8_t packed[2 * BODY];
	struct arm_linux at;
	const char *why;

	(void)state;
	image_make(0, 1 << 20, 0xa);
	size_t len = compress_to(packed, sizeof(packed), image, sizeof(image));

	memset(ram, 0, RAM_LEN);
	assert_true(arm_linux_is_compressed(packed, len));
	assert_int_equal(load(packed, len, &memory, &at, &why), 0);
	assert_int_equal(at.gpa, RAM);
	assert_int_equal(at.file_len, 0);
	assert_memory_equal(ram, image, sizeof(image));
	assert_int_equal(load(packed, len - 9, &memory, &at, &why), -ENOEXEC);
	assert_string_equal(why, "its gzip data ends too early");
	packed[len / 2] ^= 0x55;
	assert_int_not_equal(load(packed, len, &memory, &at, &why), 0);
	memset(image, 0, sizeof(image));
	len = compress_to(packed, sizeof(packed), image, sizeof(image));
	assert_int_equal(load(packed, len, &memory, &at, &why), -ENOEXEC);
	assert_string_equal(why, "what is compressed in it is no AArch64 Linux Image");
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct arm_linux at;
	const char *why;

	(void)state;
	image_make(0, 1 << 20, 1);
	assert_int_equal(load(image, sizeof(image), &memory, &at, &why), -ENOEXEC);
	image_make(0x200000, 1 << 20, 0);
	assert_int_equal(load(image, sizeof(image), &memory, &at, &why), -ENOEXEC);
	image_make(UINT64_MAX, 1 << 20, 0);
	assert_int_equal(load(image, sizeof(image), &memory, &at, &why), -ENOEXEC);
	image_make(0, UINT64_MAX, 0);
	assert_int_equal(load(image, sizeof(image), &memory, &at, &why), -ENOEXEC);
	image_make(0, RAM_LEN + 1, 0);
	assert_int_equal(load(image, sizeof(image), &memory, &at, &why), -EFBIG);
	image_make(0, 1 << 20, 0);
	assert_int_equal(load(image, 63, &memory, &at, &why), -ENOEXEC);
	image[56] = 'B';
	assert_int_equal(load(image, sizeof(image), &memory, &at, &why), -ENOEXEC);
}

/* A small file that becomes a large one: no more memory than the limit, and a sentence. */
static void a_bomb_is_bounded(void **state)
{
	const size_t room = 2 << 20, piece = 1 << 20;
	uint8_t *packed = malloc(room), *zeros = calloc(1, piece);
	z_stream z = { 0 };
	struct arm_linux at;
	const char *why;

	(void)state;
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = packed;
	z.avail_out = (unsigned)room;
	for (unsigned i = 0; i < 260; i++) {
		z.next_in = zeros;
		z.avail_in = (unsigned)piece;
		assert_int_equal(deflate(&z, i == 259 ? Z_FINISH : Z_NO_FLUSH),
				 i == 259 ? Z_STREAM_END : Z_OK);
	}
	size_t len = z.total_out;

	deflateEnd(&z);
	assert_int_equal(load(packed, len, &memory, &at, &why), -EFBIG);
	assert_string_equal(why, "unpacked it is larger than 256 MiB");
	free(packed);
	free(zeros);
}

static int ram_make(void **state)
{
	(void)state;
	ram = calloc(1, RAM_LEN);
	return !ram;
}

static int ram_free(void **state)
{
	(void)state;
	free(ram);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_goes_where_it_says),
		cmocka_unit_test(a_compressed_image_is_unpacked),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(a_bomb_is_bounded),
	};

	return cmocka_run_group_tests(tests, ram_make, ram_free);
}
