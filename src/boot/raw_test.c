/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/raw.h"

#include "boot/test_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define RAM_LEN 0x400000u

static int load(uint64_t gpa, uint64_t size, struct guest *g, struct raw_entry *ret)
{
	static const uint8_t code[] = { 0xf4, 0xeb, 0xfd };
	const char *why = NULL;
	int fd = guest_file(code, size < sizeof(code) ? size : sizeof(code), size);
	int r;

	assert_true(fd >= 0);
	r = raw_load(fd, &g->memory, gpa, ret, &why);
	assert_true(r == 0 ? why == NULL : why != NULL);
	if (r == 0)
		assert_memory_equal(g->ram + ret->gpa, code, sizeof(code));
	close(fd);
	return r;
}

static void test_given_address(void **state)
{
	struct raw_entry e = { 0 };
	struct guest g;

	(void)state;
	assert_int_equal(guest_init(&g, RAM_LEN), 0);
	assert_int_equal(load(0x7c00, 512, &g, &e), 0);
	assert_int_equal(e.gpa, 0x7c00);
	assert_int_equal(e.len, 512);
	assert_int_equal(load(0, GUEST_LOW_END, &g, &e), 0);
	assert_int_equal(load(RAM_LEN - 5, 5, &g, &e), 0);
	guest_free(&g);
}

static void test_no_ram_there(void **state)
{
	struct raw_entry e = { .len = 42 };
	struct guest g;

	(void)state;
	assert_int_equal(guest_init(&g, RAM_LEN), 0);
	assert_int_equal(load(0, GUEST_LOW_END + 1, &g, &e), -EFBIG);
	assert_int_equal(load(0xf0000, 4096, &g, &e), -EFBIG);
	assert_int_equal(load(RAM_LEN - 4, 5, &g, &e), -EFBIG);
	assert_int_equal(load(RAM_LEN, 1, &g, &e), -EFBIG);
	assert_int_equal(load(UINT64_MAX - 1, 3, &g, &e), -EFBIG);
	assert_int_equal(load(RAW_ANYWHERE, RAM_LEN - GUEST_HIGH + 1, &g, &e), -EFBIG);
	assert_int_equal(e.len, 42);
	guest_free(&g);
}

static void test_first_free(void **state)
{
	struct raw_entry e;
	struct guest g;

	(void)state;
	assert_int_equal(guest_init(&g, RAM_LEN), 0);
	assert_int_equal(load(RAW_ANYWHERE, 512, &g, &e), 0);
	assert_int_equal(e.gpa, RAW_FIRST_FREE);
	assert_int_equal(load(RAW_ANYWHERE, GUEST_LOW_END - RAW_FIRST_FREE, &g, &e), 0);
	assert_int_equal(e.gpa, RAW_FIRST_FREE);
	assert_int_equal(load(RAW_ANYWHERE, GUEST_LOW_END, &g, &e), 0);
	assert_int_equal(e.gpa, GUEST_HIGH);
	assert_int_equal(load(RAW_ANYWHERE, RAM_LEN - GUEST_HIGH, &g, &e), 0);
	assert_int_equal(e.gpa, GUEST_HIGH);
	guest_free(&g);
}

static void test_bad_files(void **state)
{
	struct raw_entry e;
	const char *why = NULL;
	struct guest g;
	int fd;

	(void)state;
	assert_int_equal(guest_init(&g, RAM_LEN), 0);
	assert_int_equal(load(0x7c00, 0, &g, &e), -ENOEXEC);
	fd = open("/", O_RDONLY | O_DIRECTORY);
	assert_int_equal(raw_load(fd, &g.memory, 0x7c00, &e, &why), -EINVAL);
	close(fd);
	assert_int_equal(raw_load(-1, &g.memory, 0x7c00, &e, &why), -EBADF);
	guest_free(&g);
}

static void *map_anything(void *ctx, uint64_t gpa, uint64_t len)
{
	(void)gpa;
	(void)len;
	return ctx;
}

static void test_memory_ranges(void **state)
{
	const struct boot_range ranges[] = {
		{ 0x1000, 0x1000, BOOT_RANGE_RAM },
		{ 0x2000, 0x1000, BOOT_RANGE_RAM },
		{ 0x3000, 0x1000, BOOT_RANGE_RESERVED },
		{ 0x4000, 0x1000, BOOT_RANGE_RAM },
		{ UINT64_MAX - 0xffff, 0xffff, BOOT_RANGE_RAM },
	};
	struct boot_memory m = { map_anything, &m, ranges, ARRAY_LEN(ranges) };
	uint64_t gpa = 42;

	(void)state;
	assert_int_equal(boot_memory_check(&m), 0);
	/* Two adjacent entries are one range; what touches the reserved one is none. */
	assert_ptr_equal(boot_memory_map(&m, 0x1800, 0x1800), &m);
	assert_null(boot_memory_map(&m, 0x1800, 0x1801));
	assert_null(boot_memory_map(&m, 0xfff, 2));
	assert_null(boot_memory_map(&m, UINT64_MAX - 1, 2));
	assert_int_equal(boot_memory_find_low(&m, 0x1001, 0x1000, 0, UINT64_MAX, &gpa), 0);
	assert_int_equal(gpa, 0x1000);
	assert_int_equal(boot_memory_find_high(&m, 0x1001, 1, 0, 0x5000, &gpa), 0);
	assert_int_equal(gpa, 0x1fff);
	assert_int_equal(boot_memory_find_high(&m, 0x800, 0x1000, 0, 0x4a00, &gpa), 0);
	assert_int_equal(gpa, 0x4000);
	gpa = 42;
	assert_int_equal(boot_memory_find_low(&m, 1, 1ull << 63, 0x1000, UINT64_MAX, &gpa),
			 -ENOSPC);
	assert_int_equal(boot_memory_find_high(&m, 1, 1ull << 62, 0x1000, 0x5000, &gpa), -ENOSPC);
	assert_int_equal(boot_memory_find_low(&m, 0x2001, 1, 0, 0x5000, &gpa), -ENOSPC);
	assert_int_equal(boot_memory_find_low(&m, 1, 1, 0x6000, 0x5000, &gpa), -ENOSPC);
	assert_int_equal(gpa, 42);
}

static void test_bad_memory_ranges(void **state)
{
	const struct boot_range overlap[] = { { 0, 0x1001, BOOT_RANGE_RAM },
					      { 0x1000, 0x1000, BOOT_RANGE_ACPI } };
	const struct boot_range unsorted[] = { { 0x1000, 0x1000, BOOT_RANGE_RAM },
					       { 0, 0x1000, BOOT_RANGE_RAM } };
	const struct boot_range wraps[] = { { 0x1000, UINT64_MAX, BOOT_RANGE_RAM } };
	const struct boot_range empty[] = { { 0x1000, 0, BOOT_RANGE_RAM } };
	struct boot_memory m = { map_anything, &m, overlap, 2 };

	(void)state;
	assert_int_equal(boot_memory_check(&m), -EINVAL);
	m.ranges = unsorted;
	assert_int_equal(boot_memory_check(&m), -EINVAL);
	m.num_ranges = 1;
	m.ranges = wraps;
	assert_int_equal(boot_memory_check(&m), -EINVAL);
	m.ranges = empty;
	assert_int_equal(boot_memory_check(&m), -EINVAL);
	m.num_ranges = 0;
	assert_int_equal(boot_memory_check(&m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_given_address), cmocka_unit_test(test_no_ram_there),
		cmocka_unit_test(test_first_free),    cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_memory_ranges), cmocka_unit_test(test_bad_memory_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
