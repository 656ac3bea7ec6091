/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kvm/aarch64/walk.h"

enum { SCTLR_ON = 1, TABLE = 3, PAGE = 3, BLOCK = 1 };
#define RAM	0x80000000u
#define RAM_LEN 0x200000u
#define UPPER	0xffffff8000000000u

static struct memory *mem;

static int start(void **state)
{
	const struct memory_region ram = { .gpa = RAM, .len = RAM_LEN };

	(void)state;
	return memory_create(&ram, 1, &mem);
}

static int end(void **state)
{
	(void)state;
	memory_destroy(mem);
	return 0;
}

static void put(uint64_t table, unsigned index, uint64_t desc)
{
	memcpy(memory_translate(mem, table + 8 * index, 8, true), &desc, 8);
}

static uint64_t found(const struct walk_regime *regime, uint64_t gva)
{
	uint64_t gpa = 0;

	assert_int_equal(walk_translate(mem, regime, gva, &gpa), 0);
	return gpa;
}

static void missing(const struct walk_regime *regime, uint64_t gva)
{
	uint64_t gpa = 1;

	assert_int_equal(walk_translate(mem, regime, gva, &gpa), -ENOENT);
	assert_int_equal(gpa, 1);
}

static void without_tables_an_address_is_itself(void **state)
{
	const struct walk_regime regime = { 0 };

	(void)state;
	assert_int_equal(found(&regime, 0x12345678), 0x12345678);
}

/* Both halves of 39 bits with pages of 4 KiB: as Linux has them. */
static void pages_of_4_kib_in_both_halves(void **state)
{
	const struct walk_regime regime = {
		.sctlr = SCTLR_ON,
		.tcr = 25 | 25 << 16 | UINT64_C(2) << 30 | UINT64_C(1) << 37,
		.ttbr = { UINT64_C(7) << 48 | RAM | 1, RAM + 0x1000 },
	};

	(void)state;
	put(RAM, 2, UINT64_C(0x60000000000721) | 0x80000000); /* 1 GiB, with attributes */
	put(RAM, 3, UINT64_C(1) << 60 | (RAM + 0x2000) | TABLE);
	put(RAM + 0x2000, 1, UINT64_C(0x700000000) | BLOCK); /* 2 MiB */
	put(RAM + 0x1000, 511, (RAM + 0x3000) | TABLE);
	put(RAM + 0x3000, 511, (RAM + 0x4000) | TABLE);
	put(RAM + 0x4000, 510, 0x123456000 | PAGE);
	put(RAM + 0x4000, 511, 0x123456000 | BLOCK); /* there are none of level 3 */
	assert_int_equal(found(&regime, 0x80000000), 0x80000000);
	assert_int_equal(found(&regime, 0xbffffff8), 0xbffffff8);
	assert_int_equal(found(&regime, 0xc0212345), 0x700012345);
	assert_int_equal(found(&regime, UINT64_C(0xaa00000080001234)), 0x80001234);
	assert_int_equal(found(&regime, UINT64_C(0xffffffffffffe010)), 0x123456010);
	missing(&regime, 0);
	missing(&regime, 0xc0000000);
	missing(&regime, UINT64_C(0xfffffffffffff000));
	missing(&regime, UINT64_C(0xaaffffffffffe010)); /* the upper half has no tags */
	missing(&regime, UINT64_C(1) << 39);
	missing(&regime, UPPER - 1);
	put(RAM + 0x1000, 0, (RAM + RAM_LEN) | TABLE); /* a table where no memory is */
	missing(&regime, UPPER);
}

static void pages_of_16_and_64_kib(void **state)
{
	/* 47 bits with 16 KiB: the first of four levels would have one bit of 48. */
	const struct walk_regime small = { .sctlr = SCTLR_ON,
					   .tcr = 17 | UINT64_C(2) << 14 | UINT64_C(1) << 23,
					   .ttbr = { RAM + 0x10000 } };
	/* 42 bits with 64 KiB: two levels. */
	const struct walk_regime large = { .sctlr = SCTLR_ON,
					   .tcr = 22 | UINT64_C(1) << 14,
					   .ttbr = { RAM + 0x40000 } };

	(void)state;
	put(RAM + 0x10000, 1, (RAM + 0x14000) | TABLE);
	put(RAM + 0x14000, 2, (RAM + 0x18000) | TABLE);
	put(RAM + 0x18000, 3, UINT64_C(0x123454000) | PAGE);
	put(RAM + 0x10000, 2, UINT64_C(0x123450000) | BLOCK); /* too large for one */
	assert_int_equal(found(&small, (UINT64_C(1) << 36) + (2 << 25) + (3 << 14) + 0x3abc),
			 0x123457abc);
	missing(&small, UINT64_C(2) << 36);
	missing(&small, UINT64_MAX);
	put(RAM + 0x40000, 1, UINT64_C(0x740000000) | BLOCK); /* 512 MiB */
	put(RAM + 0x40000, 2, (RAM + 0x50000) | TABLE);
	put(RAM + 0x50000, 8191, UINT64_C(0x123450000) | PAGE);
	assert_int_equal(found(&large, 0x21234567), 0x741234567);
	assert_int_equal(found(&large, 0x5fff1234), 0x123451234);
}

static void sizes_that_are_none_map_nothing(void **state)
{
	static const uint64_t bad[] = { 63, 0, 15, 25 | 3 << 14, 25 | 1 << 7 };
	struct walk_regime regime = { .sctlr = SCTLR_ON | 1 << 25, .ttbr = { RAM, RAM } };
	uint64_t gpa;

	(void)state;
	assert_int_equal(walk_translate(mem, &regime, 0x80000000, &gpa), -ENOTSUP);
	regime.sctlr = SCTLR_ON;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		regime.tcr = bad[i];
		missing(&regime, 0x80000000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_tables_an_address_is_itself, start, end),
		cmocka_unit_test_setup_teardown(pages_of_4_kib_in_both_halves, start, end),
		cmocka_unit_test_setup_teardown(pages_of_16_and_64_kib, start, end),
		cmocka_unit_test_setup_teardown(sizes_that_are_none_map_nothing, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
