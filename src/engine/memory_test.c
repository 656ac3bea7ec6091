/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "engine/memory.h"

static const struct memory_region layout[] = {
	{ .gpa = 0, .len = 0xa0000 },
	{ .gpa = 0xc0000, .len = 0x40000, .rom = true },
	{ .gpa = 0x100000, .len = 0x100000 },
	{ .gpa = 0x200000, .len = 0x1000 },
};

static int setup(void **state)
{
	struct memory *mem;

	if (memory_create(layout, ARRAY_LEN(layout), &mem))
		return -1;
	*state = mem;
	return 0;
}

static int teardown(void **state)
{
	memory_destroy(*state);
	return 0;
}

static void test_layout(void **state)
{
	struct memory *mem = *state;

	assert_int_equal(mem->num_regions, 3); /* the two adjacent RAM regions are one */
	assert_int_equal((uintptr_t)mem->base % (2u << 20), 0);
	assert_ptr_equal(memory_translate(mem, 0x1fffff, 2, true), mem->base + 0x1fffff);
	assert_int_equal(*(uint8_t *)memory_translate(mem, 0x200fff, 1, true), 0);
	memset(memory_translate(mem, 0, 0xa0000, true), 0x5a, 0xa0000);
}

static void test_edges(void **state)
{
	struct memory *mem = *state;
	static const struct {
		uint64_t gpa, len;
		bool write, good;
	} cases[] = {
		{ 0, 1, true, true },
		{ 0, 0, false, false },
		{ 0x9ffff, 1, true, true },
		{ 0x9ffff, 2, true, false },
		{ 0xa0000, 1, false, false },
		{ 0xbffff, 2, false, false },
		{ 0xc0000, 0x40000, false, true },
		{ 0xc0000, 1, true, false }, /* ROM */
		{ 0xfffff, 2, false, true }, /* ROM, then RAM */
		{ 0xfffff, 2, true, false },
		{ 0xc0000, 0x141000, false, true },
		{ 0xc0000, 0x141001, false, false },
		{ 0x100000, 0x101000, true, true },
		{ 0x200fff, 1, true, true },
		{ 0x201000, 1, false, false },
		{ 0x200fff, UINT64_MAX, false, false },
		{ UINT64_MAX, 1, false, false },
		{ UINT64_MAX, UINT64_MAX, false, false },
		{ 1, UINT64_MAX, false, false },
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		void *p = memory_translate(mem, cases[i].gpa, cases[i].len, cases[i].write);

		assert_int_equal(p != NULL, cases[i].good);
		if (p)
			assert_ptr_equal(p, mem->base + cases[i].gpa);
	}
}

static void test_too_many(void **state)
{
	struct memory_region many[MEMORY_MAX_REGIONS + 1];
	struct memory *mem = NULL;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct memory_region){ .gpa = i * UINT64_C(0x2000), .len = 0x1000 };
	assert_int_equal(memory_create(many, ARRAY_LEN(many), &mem), -28 /* ENOSPC */);
	assert_null(mem);
	const struct memory_region top = { .gpa = UINT64_MAX - 0xfff, .len = 0x1000 };

	assert_int_equal(memory_create(&top, 1, &mem), -22 /* EINVAL */);
	assert_int_equal(memory_create(many, MEMORY_MAX_REGIONS, &mem), 0);
	memory_destroy(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edges, setup, teardown),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
