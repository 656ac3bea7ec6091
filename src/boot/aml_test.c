/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/aml.h"

#include "base/util.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void expect_bytes(struct aml *b, const void *want, size_t len)
{
	assert_int_equal(aml_error(b), 0);
	assert_int_equal(b->len, len);
	assert_memory_equal(b->data, want, len);
	aml_free(b);
}

#define EXPECT(b, ...)                                  \
	do {                                            \
		const uint8_t want[] = { __VA_ARGS__ }; \
		expect_bytes(b, want, sizeof(want));    \
	} while (0)

static void expect_error(struct aml *b, int error)
{
	assert_int_equal(aml_error(b), error);
	aml_put_integer(b, 5);
	assert_int_equal(aml_error(b), error);
	aml_free(b);
}

static void test_integers(void **state)
{
	struct aml b = { 0 };

	(void)state;
	aml_put_integer(&b, 0);
	aml_put_integer(&b, 1);
	aml_put_integer(&b, 2);
	aml_put_integer(&b, 0xff);
	EXPECT(&b, 0x00, 0x01, 0x0a, 2, 0x0a, 0xff);
	aml_put_integer(&b, 0x100);
	aml_put_integer(&b, 0xffff);
	EXPECT(&b, 0x0b, 0x00, 0x01, 0x0b, 0xff, 0xff);
	aml_put_integer(&b, 0x10000);
	aml_put_integer(&b, 0xffffffff);
	EXPECT(&b, 0x0c, 0, 0, 1, 0, 0x0c, 0xff, 0xff, 0xff, 0xff);
	aml_put_integer(&b, 0x100000000);
	aml_put_integer(&b, UINT64_MAX);
	EXPECT(&b, 0x0e, 0, 0, 0, 0, 1, 0, 0, 0, 0xff);
}

static void test_names(void **state)
{
	static const char *const bad[] = { "",	 "ABCDE", "1ABC", "abc", "A-B", "A..B",
					   ".A", "A.",	  "\\",	  "^",	 "A\\B" };
	struct aml b = { 0 };

	(void)state;
	aml_put_path(&b, "A");
	EXPECT(&b, 'A', '_', '_', '_');
	aml_put_path(&b, "\\_SB.PCI0");
	EXPECT(&b, '\\', 0x2e, '_', 'S', 'B', '_', 'P', 'C', 'I', '0');
	aml_put_path(&b, "^^A.B.C9");
	EXPECT(&b, '^', '^', 0x2f, 3, 'A', '_', '_', '_', 'B', '_', '_', '_', 'C', '9', '_', '_');
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		aml_put_path(&b, bad[i]);
		expect_error(&b, -EINVAL);
	}
}

static void test_hardware_ids(void **state)
{
	struct aml b = { 0 };

	(void)state;
	aml_put_hardware_id(&b, "PNP0A03");
	EXPECT(&b, 0x0c, 0x41, 0xd0, 0x0a, 0x03);
	aml_put_hardware_id(&b, "LNRO0005");
	EXPECT(&b, 0x0d, 'L', 'N', 'R', 'O', '0', '0', '0', '5', 0);
	aml_put_hardware_id(&b, "PNP0a03");
	expect_error(&b, -EINVAL);
}

static void test_strings(void **state)
{
	struct aml b = { 0 };

	(void)state;
	aml_put_string(&b, "");
	aml_put_string(&b, "ab");
	EXPECT(&b, 0x0d, 0, 0x0d, 'a', 'b', 0);
	aml_put_string(&b, "\xc3\xa4");
	expect_error(&b, -EINVAL);
}

/* The PkgLength of a package that, with its PkgLength, is total bytes long. */
static void expect_pkg_length(size_t total, size_t bytes, uint8_t b0, uint8_t b1, uint8_t b2,
			      uint8_t b3)
{
	const uint8_t want[] = { 0xa0, b0, b1, b2, b3 };
	struct aml b = { 0 };
	size_t mark = aml_open_if(&b);

	for (size_t i = 0; i < total - bytes; i++)
		aml_put_le(&b, 0xa3, 1);
	aml_close(&b, mark);
	assert_int_equal(aml_error(&b), 0);
	assert_int_equal(b.len, 1 + total);
	assert_memory_equal(b.data, want, 1 + bytes);
	assert_int_equal(b.data[1 + bytes], 0xa3);
	assert_int_equal(b.data[b.len - 1], 0xa3);
	aml_free(&b);
}

static void test_pkg_length_edges(void **state)
{
	struct aml b = { 0 };

	(void)state;
	aml_close(&b, aml_open_if(&b));
	EXPECT(&b, 0xa0, 1);
	expect_pkg_length(63, 1, 63, 0, 0, 0);
	/* 64 with one more byte for the length is 65; 64 itself cannot be had with a shortest form
	 * of one byte. */
	expect_pkg_length(65, 2, 0x41, 4, 0, 0);
	expect_pkg_length(66, 2, 0x42, 4, 0, 0);
	expect_pkg_length(4095, 2, 0x4f, 0xff, 0, 0);
	expect_pkg_length(4097, 3, 0x81, 0x00, 0x01, 0);
	expect_pkg_length(0xfffff, 3, 0x8f, 0xff, 0xff, 0);
	expect_pkg_length(0x100001, 4, 0xc1, 0x00, 0x00, 0x01);
}

static void test_package_too_big(void **state)
{
	struct aml b = { 0 };
	size_t mark = aml_open_if(&b);

	(void)state;
	/* Only the length matters; nothing is written. */
	b.len = 1 + ((size_t)1 << 28) - 4;
	aml_close(&b, mark);
	assert_int_equal(aml_error(&b), -E2BIG);
	aml_free(&b);
}

static void test_nesting_across_an_edge(void **state)
{
	struct aml b = { 0 };
	size_t outer = aml_open_scope(&b, "_SB_");
	size_t inner = aml_open_device(&b, "DEV0");

	(void)state;
	/* The inner package has 63 bytes and the outer, for holding that, needs two bytes for its
	 * length. */
	for (int i = 0; i < 58; i++)
		aml_put_le(&b, 0xa3, 1);
	aml_close(&b, inner);
	aml_close(&b, outer);
	assert_int_equal(aml_error(&b), 0);
	assert_int_equal(b.len, 1 + 2 + 4 + 2 + 63);
	assert_memory_equal(b.data,
			    "\x10\x47\x04_SB_\x5b\x82\x3f"
			    "DEV0",
			    13);
	aml_free(&b);
}

static void test_method(void **state)
{
	struct aml b = { 0 };
	size_t method = aml_open_method(&b, "_EVT", 1);

	(void)state;
	aml_put_op(&b, AML_OP_STORE);
	aml_put_op(&b, AML_OP_ARG0);
	aml_put_op(&b, AML_OP_LOCAL0);
	aml_close(&b, method);
	EXPECT(&b, 0x14, 0x09, '_', 'E', 'V', 'T', 0x09, 0x70, 0x68, 0x60);
	aml_open_method(&b, "_EVT", 8);
	expect_error(&b, -EINVAL);
}

static void test_region_and_field(void **state)
{
	struct aml b = { 0 };

	(void)state;
	aml_put_region(&b, "REG", AML_SPACE_IO, 0x603, 1);
	EXPECT(&b, 0x5b, 0x80, 'R', 'E', 'G', '_', 1, 0x0b, 0x03, 0x06, 0x01);
	aml_put_byte_field(&b, "REG", "FLD");
	EXPECT(&b, 0x5b, 0x81, 0x0b, 'R', 'E', 'G', '_', 0x41, 'F', 'L', 'D', '_', 8);
}

static void test_resource_template(void **state)
{
	struct aml b = { 0 };
	uint8_t sum = 0;
	size_t mark;

	(void)state;
	aml_res_close(&b, aml_res_open(&b));
	EXPECT(&b, 0x11, 0x05, 0x0a, 2, 0x79, 0x87);

	mark = aml_res_open(&b);
	aml_res_put_io(&b, 0x3f8, 8);
	aml_res_close(&b, mark);
	for (size_t i = 4; i < b.len; i++)
		sum = (uint8_t)(sum + b.data[i]);
	assert_int_equal(sum, 0);
	EXPECT(&b, 0x11, 0x0d, 0x0a, 10, 0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8, 0x79, 0x40);
}

static void test_resource_template_edges(void **state)
{
	struct aml b = { 0 };
	size_t mark = aml_res_open(&b);

	(void)state;
	/* 32 descriptors of 8 bytes and the end tag: the size of the buffer takes a word. */
	for (int i = 0; i < 32; i++)
		aml_res_put_io(&b, 0, 1);
	aml_res_close(&b, mark);
	assert_int_equal(b.len, 1 + 2 + 3 + 258);
	assert_memory_equal(b.data, "\x11\x47\x10\x0b\x02\x01\x47", 7);
	aml_free(&b);
}

static void test_memory_resources(void **state)
{
	struct aml b = { 0 };

	(void)state;
	aml_res_put_memory(&b, 0xfffff000, 0x1000);
	EXPECT(&b, 0x86, 9, 0, 1, 0x00, 0xf0, 0xff, 0xff, 0x00, 0x10, 0, 0);
	aml_res_put_memory(&b, 0xfffff000, 0x1001);
	EXPECT(&b, 0x8a, 43, 0, 0, 0x0d, 1, 0, 0, 0, 0, 0, 0, 0, 0,		       /**/
	       0x00, 0xf0, 0xff, 0xff, 0, 0, 0, 0, 0x00, 0x00, 0x00, 0x00, 1, 0, 0, 0, /**/
	       0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x10, 0, 0, 0, 0, 0, 0);
	aml_res_put_memory(&b, 0, 0x100000000);
	assert_int_equal(b.data[0], 0x8a);
	aml_free(&b);
	aml_res_put_memory(&b, UINT64_MAX, 1);
	assert_int_equal(aml_error(&b), 0);
	aml_free(&b);
	aml_res_put_memory(&b, UINT64_MAX, 2);
	expect_error(&b, -EINVAL);
	aml_res_put_memory(&b, 0x1000, 0);
	expect_error(&b, -EINVAL);
}

static void test_windows(void **state)
{
	struct aml b = { 0 };

	(void)state;
	aml_res_put_bus_window(&b, 0, 255);
	EXPECT(&b, 0x88, 13, 0, 2, 0x0c, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0x00, 0x01);
	aml_res_put_io_window(&b, 0x1000, 0xffff);
	EXPECT(&b, 0x88, 13, 0, 1, 0x0c, 3, 0, 0, 0x00, 0x10, 0xff, 0xff, 0, 0, 0x00, 0xf0);
	aml_res_put_io_window(&b, 0, 0xffff);
	expect_error(&b, -EINVAL);
	aml_res_put_memory_window32(&b, 0, 0xffffffff);
	expect_error(&b, -EINVAL);
	aml_res_put_memory_window64(&b, 2, 1);
	expect_error(&b, -EINVAL);
}

static void test_irqs(void **state)
{
	struct aml b = { 0 };

	(void)state;
	aml_res_put_irq(&b, &(struct aml_irq){ .gsi = 0x01020304 });
	EXPECT(&b, 0x89, 6, 0, 0x03, 1, 4, 3, 2, 1);
	aml_res_put_irq(&b, &(struct aml_irq){
				    .gsi = 5, .level = true, .active_low = true, .shared = true });
	EXPECT(&b, 0x89, 6, 0, 0x0d, 1, 5, 0, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_hardware_ids),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_pkg_length_edges),
		cmocka_unit_test(test_package_too_big),
		cmocka_unit_test(test_nesting_across_an_edge),
		cmocka_unit_test(test_method),
		cmocka_unit_test(test_region_and_field),
		cmocka_unit_test(test_resource_template),
		cmocka_unit_test(test_resource_template_edges),
		cmocka_unit_test(test_memory_resources),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_irqs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
