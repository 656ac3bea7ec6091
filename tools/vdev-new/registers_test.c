/* SPDX-License-Identifier: 0BSD */
/* The guest is played by this program; time is moved by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <qvm/x/test.h>

#define PLATFORM "ram 1m vdev ioapic name pic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "
#define CONF	 PLATFORM "vdev @NAME@ loc @LOC@ intr pic:@LINE@"

enum { LINE = @LINE@, MS = 1000000 };

static struct vdevtest *start(void)
{
	struct vdevtest *t = vdevtest_start_stepped(CONF, 1);

	if (!t)
		fail_msg("%s", vdevtest_errors());
	return t;
}

static uint32_t get(struct vdevtest *t, unsigned reg)
{
	return (uint32_t)vdevtest_read(t, @TEST_SPACE@, @ADDRESS@ + reg, 4);
}

static void set(struct vdevtest *t, unsigned reg, uint32_t value)
{
	vdevtest_write(t, @TEST_SPACE@, @ADDRESS@ + reg, 4, value);
}

static void interrupts_when_the_time_is_over(void **state)
{
	struct vdevtest *t = start();

	(void)state;
	assert_int_equal(get(t, 0), 0x31564551);
	set(t, 4, 5000);
	assert_int_equal(get(t, 4), 5000);
	assert_true(vdevtest_clock_set(t, 5 * MS - 1));
	assert_false(vdevtest_line(t, LINE, NULL));
	assert_true(vdevtest_clock_set(t, 5 * MS));
	assert_true(vdevtest_line(t, LINE, NULL));
	assert_int_equal(get(t, 8), 1);
	set(t, 8, 0);
	assert_false(vdevtest_line(t, LINE, NULL));
	assert_int_equal(get(t, 8), 0);
	vdevtest_end(t);
}

static void stops(void **state)
{
	struct vdevtest *t = start();

	(void)state;
	set(t, 4, 5000);
	set(t, 4, 0);
	assert_true(vdevtest_clock_set(t, 9 * MS));
	assert_int_equal(get(t, 8), 0);
	vdevtest_end(t);
}

static void other_widths_are_not_its_own(void **state)
{
	struct vdevtest *t = start();

	(void)state;
	assert_int_equal(vdevtest_read(t, @TEST_SPACE@, @ADDRESS@, 2), 0xffff);
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interrupts_when_the_time_is_over),
		cmocka_unit_test(stops),
		cmocka_unit_test(other_widths_are_not_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
