/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define BASE 0x1c170000
#define PIC  "ram 1m vdev ioapic name gic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "
#define LINE 6
#define S    1000000000ull

enum { DR = 0, MR = 4, LR = 8, CR = 0xc, IMSC = 0x10, RIS = 0x14, MIS = 0x18, ICR = 0x1c };

static uint32_t in(struct vdevtest *t, unsigned reg)
{
	return (uint32_t)vdevtest_read(t, VDEVTEST_MEM, BASE + reg, 4);
}

static void out(struct vdevtest *t, unsigned reg, uint32_t value)
{
	vdevtest_write(t, VDEVTEST_MEM, BASE + reg, 4, value);
}

static void it_has_the_hosts_time(void **state)
{
	static const uint8_t id[] = { 0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };
	struct vdevtest *t = test_start(PIC "vdev pl031 intr gic:6");
	time_t before = time(NULL);
	uint32_t now = in(t, DR);

	(void)state;
	assert_true(now >= (uint32_t)before && now <= (uint32_t)time(NULL));
	out(t, LR, 5000);
	assert_int_equal(in(t, LR), 5000);
	assert_true(in(t, DR) - 5000 < 10);
	assert_int_equal(in(t, CR), 1);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(in(t, 0xfe0 + 4 * i), id[i]);
	vdevtest_end(t);
}

static void the_alarm_comes_in_its_second(void **state)
{
	struct vdevtest *t = vdevtest_start_stepped(PIC "vdev pl031 intr gic:6", 1);
	unsigned edges;

	(void)state;
	assert_non_null(t);
	out(t, LR, 1000);
	out(t, MR, 1010);
	out(t, IMSC, 1);
	assert_true(vdevtest_clock_set(t, 9 * S));
	assert_int_equal(in(t, DR), 1009);
	assert_int_equal(in(t, RIS), 0);
	assert_true(vdevtest_clock_set(t, 10 * S));
	assert_int_equal(in(t, DR), 1010);
	assert_int_equal(in(t, MIS), 1);
	assert_true(vdevtest_line(t, LINE, &edges));
	out(t, ICR, 1);
	assert_false(vdevtest_line(t, LINE, &edges));
	/* Masked it shows in RIS alone. */
	out(t, IMSC, 0);
	out(t, MR, 1011);
	assert_true(vdevtest_clock_set(t, 12 * S));
	assert_int_equal(in(t, RIS), 1);
	assert_int_equal(in(t, MIS), 0);
	assert_false(vdevtest_line(t, LINE, &edges));
	vdevtest_end(t);
}

static void the_present_second_matches(void **state)
{
	struct vdevtest *t = test_start_stepped(PIC "vdev pl031 intr gic:6");
	unsigned edges;

	(void)state;
	out(t, IMSC, 1);
	out(t, LR, 1000);
	assert_int_equal(in(t, RIS), 0);
	out(t, MR, 1000);
	assert_int_equal(in(t, MIS), 1);
	assert_true(vdevtest_line(t, LINE, &edges));
	out(t, ICR, 1);
	assert_int_equal(in(t, RIS), 0);
	assert_true(vdevtest_clock_set(t, 10 * S));
	assert_int_equal(in(t, RIS), 0); /* once */
	out(t, LR, 1000);
	assert_int_equal(in(t, RIS), 1);
	vdevtest_end(t);
}

/* Each match sets the next one, 136 years later, also the last that a clock of 64 bits knows. */
static void it_outlives_the_clock(void **state)
{
	struct vdevtest *t = vdevtest_start_stepped(PIC "vdev pl031 intr gic:6", 1);

	(void)state;
	assert_non_null(t);
	out(t, LR, 1000);
	out(t, MR, 1010);
	assert_true(vdevtest_clock_set(t, 10 * S));
	assert_int_equal(in(t, RIS), 1);
	out(t, ICR, 1);
	assert_true(vdevtest_clock_set(t, UINT64_MAX));
	assert_int_equal(in(t, RIS), 1);
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_has_the_hosts_time),
		cmocka_unit_test(the_alarm_comes_in_its_second),
		cmocka_unit_test(the_present_second_matches),
		cmocka_unit_test(it_outlives_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
