/* SPDX-License-Identifier: Apache-2.0 */
/* libvdevtest in virtual time: clocks, timers and dice give the same every time. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <qvm/x/test.h>

enum { INDEX = 0x70, DATA = 0x71, REG_B = 11, REG_C = 12, UPDATE = 0x10, SECOND = 1000000000 };

#define HPET UINT64_C(0xfed00000)
#define PICS "ram 16m vdev ioapic name ioapic vdev 8259 loc io:0x20 vdev 8259 loc io:0xa0 "

static unsigned reg(struct vdevtest *t, unsigned number)
{
	vdevtest_write(t, VDEVTEST_IO, INDEX, 1, number);
	return (unsigned)vdevtest_read(t, VDEVTEST_IO, DATA, 1);
}

static void test_time_moves_when_told(void **state)
{
	struct vdevtest *t = vdevtest_start_stepped(PICS "vdev mc146818 intr ioapic:8", 1);
	uint64_t next;
	unsigned edges;

	(void)state;
	if (!t)
		fail_msg("%s", vdevtest_errors());
	assert_int_equal(vdevtest_clock(t), 0);
	assert_int_equal(reg(t, 0), 0);
	assert_false(vdevtest_clock_next(t, &next));
	assert_true(vdevtest_clock_set(t, UINT64_C(7) * SECOND));
	assert_int_equal(reg(t, 0), 7);
	assert_false(vdevtest_clock_set(t, SECOND));

	/* An interrupt at each full second, at exactly that time. */
	(void)reg(t, REG_C);
	vdevtest_write(t, VDEVTEST_IO, INDEX, 1, REG_B);
	vdevtest_write(t, VDEVTEST_IO, DATA, 1, UPDATE | 2);
	assert_true(vdevtest_clock_next(t, &next));
	assert_int_equal(next, UINT64_C(8) * SECOND);
	assert_true(vdevtest_clock_set(t, next - 1));
	assert_false(vdevtest_line(t, 8, &edges));
	assert_true(vdevtest_clock_set(t, next));
	assert_true(vdevtest_line(t, 8, &edges));
	assert_int_equal(edges, 1);
	vdevtest_end(t);
}

static void entropy(uint64_t seed, uint8_t ret[16])
{
	struct vdevtest *t = vdevtest_start_stepped("ram 16m vdev virtio-entropy", seed);

	if (!t)
		fail_msg("%s", vdevtest_errors());
	struct vdevtest_virtio *v = vdevtest_virtio_start(t, 1, UINT64_MAX, 8);
	const struct vdevtest_buf buf = { vdevtest_alloc(t, 16, 16), 16, true };
	uint32_t len;

	vdevtest_virtio_add(v, 0, &buf, 1);
	vdevtest_virtio_kick(v, 0);
	/* No thread serves the queue: nothing has happened yet. */
	memcpy(ret, vdevtest_ram(t, buf.gpa, 16), 16);
	assert_int_equal(ret[0] | ret[7] | ret[15], 0);
	assert_true(vdevtest_run(t) > 0);
	assert_int_equal(vdevtest_run(t), 0);
	assert_true(vdevtest_virtio_used(v, 0, 0, NULL, &len));
	assert_int_equal(len, 16);
	memcpy(ret, vdevtest_ram(t, buf.gpa, 16), 16);
	vdevtest_virtio_end(v);
	vdevtest_end(t);
}

static void test_dice_follow_the_seed(void **state)
{
	uint8_t first[16], second[16], other[16];

	(void)state;
	entropy(5, first);
	entropy(5, second);
	entropy(6, other);
	assert_memory_equal(first, second, 16);
	assert_memory_not_equal(first, other, 16);
}

/* A bench with threads and the host's clock, after one without. */
static void test_real_time_comes_back(void **state)
{
	struct vdevtest *t = vdevtest_start_stepped(PICS "vdev mc146818 intr ioapic:8", 1);

	(void)state;
	assert_non_null(t);
	assert_int_equal(reg(t, 9), 0x24); /* 2024 */
	vdevtest_end(t);
	t = vdevtest_start(PICS "vdev mc146818 intr ioapic:8");
	assert_non_null(t);
	assert_int_not_equal(reg(t, 9), 0x24);
	vdevtest_end(t);
}

/* A tick of 100 us: a million of them is less than two minutes. */
static void test_a_move_has_its_end(void **state)
{
	struct vdevtest *t = vdevtest_start_stepped(PICS "vdev hpet intr ioapic:0", 1);

	(void)state;
	assert_non_null(t);
	vdevtest_write(t, VDEVTEST_MEM, HPET + 0x100, 4, 0x4c); /* periodic */
	vdevtest_write(t, VDEVTEST_MEM, HPET + 0x108, 8, 1432);
	vdevtest_write(t, VDEVTEST_MEM, HPET + 0x10, 4, 1);
	assert_false(vdevtest_clock_set(t, UINT64_C(1000) * SECOND));
	assert_in_range(vdevtest_clock(t), UINT64_C(90) * SECOND, UINT64_C(110) * SECOND);
	assert_true(vdevtest_clock_set(t, vdevtest_clock(t) + SECOND));
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time_moves_when_told),
		cmocka_unit_test(test_dice_follow_the_seed),
		cmocka_unit_test(test_real_time_comes_back),
		cmocka_unit_test(test_a_move_has_its_end),
	};

	return cmocka_run_group_tests_name("stepped", tests, NULL, NULL);
}
