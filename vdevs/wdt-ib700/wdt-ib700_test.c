/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define CONF	   "ram 1m vdev wdt-ib700 "
#define STOP	   0x441
#define START	   0x443
#define SECONDS(n) (15 - (n) / 2)

static void out(struct vdevtest *t, unsigned port, unsigned value)
{
	vdevtest_write(t, VDEVTEST_IO, port, 1, value);
}

/* In virtual time. */
static void to_ms(struct vdevtest *t, uint64_t ms)
{
	assert_true(vdevtest_clock_set(t, ms * 1000000));
}

static void bites_when_the_time_is_over(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF);

	(void)state;
	out(t, START, 0xf0 | SECONDS(2)); /* the high bits do not count */
	to_ms(t, 1999);
	assert_int_equal(vdevtest_ended(t), -1);
	to_ms(t, 2000);
	assert_int_equal(vdevtest_ended(t), GTC_WATCHDOG);
	assert_int_equal(GTC_WATCHDOG, 4);
	assert_int_equal(vdevtest_cores(t), 0);
	vdevtest_end(t);
}

static void every_code_has_its_time(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 15; code++) {
		struct vdevtest *t = test_start_stepped(CONF);

		out(t, START, code);
		to_ms(t, 30000 - 2000 * code - 1);
		assert_int_equal(vdevtest_ended(t), -1);
		to_ms(t, 30000 - 2000 * code);
		assert_int_equal(vdevtest_ended(t), GTC_WATCHDOG);
		vdevtest_end(t);
	}
}

static void code_15_is_at_once(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF "action terminate");

	(void)state;
	out(t, START, 15);
	to_ms(t, 1);
	assert_int_equal(vdevtest_ended(t), GTC_WATCHDOG);
	vdevtest_end(t);
}

static void a_kick_starts_the_time_again(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF);

	(void)state;
	for (unsigned ms = 0; ms <= 6000; ms += 1500) {
		to_ms(t, ms);
		assert_int_equal(vdevtest_ended(t), -1);
		out(t, START, SECONDS(2));
	}
	to_ms(t, 7999);
	assert_int_equal(vdevtest_ended(t), -1);
	to_ms(t, 8000);
	assert_int_equal(vdevtest_ended(t), GTC_WATCHDOG);
	vdevtest_end(t);
}

static void a_kick_may_take_a_longer_time(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF);

	(void)state;
	out(t, START, SECONDS(2));
	out(t, START, 0); /* 30 s */
	to_ms(t, 29999);
	assert_int_equal(vdevtest_ended(t), -1);
	vdevtest_end(t);
}

static void is_stopped(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF "loc 0x500");

	(void)state;
	out(t, 0x502, SECONDS(2));
	out(t, 0x501, 0);
	out(t, 0x500, 0xff);
	to_ms(t, 60000);
	assert_int_equal(vdevtest_ended(t), -1);
	vdevtest_end(t);
}

static void is_written_only_and_by_bytes(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF);

	(void)state;
	for (unsigned port = STOP; port <= START; port++)
		assert_int_equal(vdevtest_read(t, VDEVTEST_IO, port, 1), 0xff);
	vdevtest_write(t, VDEVTEST_IO, START, 2, 15);
	vdevtest_write(t, VDEVTEST_IO, STOP, 4, 15u << 16);
	out(t, START + 1, 15);
	out(t, STOP + 1, 15);
	to_ms(t, 60000);
	assert_int_equal(vdevtest_ended(t), -1);
	vdevtest_end(t);
}

/* Stops and kicks against the timer's own thread; with one that is never over in time none bites.
 */
static void kicks_race_with_the_timer(void **state)
{
	struct vdevtest *t = test_start(CONF);

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		out(t, START, SECONDS(2));
		out(t, STOP, 0);
		out(t, START, 0);
	}
	assert_int_equal(vdevtest_ended(t), -1);
	vdevtest_end(t);
}

static void dumps_first(void **state)
{
	struct vdevtest *t = test_start("dump /tmp " CONF "action dump,terminate");

	(void)state;
	out(t, START, 15);
	wait_until(vdevtest_ended(t) == GTC_WATCHDOG);
	assert_int_equal(vdevtest_cores(t), 1);
	vdevtest_end(t);
}

static void refusals(void **state)
{
	(void)state;
	test_refused(CONF "action dump,terminate", "dump DIRECTORY");
	test_refused("dump /tmp " CONF "action dump", "'terminate' or 'dump,terminate'");
	test_refused(CONF "action fiq", "'terminate' or 'dump,terminate'");
	test_refused(CONF "loc mem:0x441000", "kind of place");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bites_when_the_time_is_over),
		cmocka_unit_test(every_code_has_its_time),
		cmocka_unit_test(code_15_is_at_once),
		cmocka_unit_test(a_kick_starts_the_time_again),
		cmocka_unit_test(a_kick_may_take_a_longer_time),
		cmocka_unit_test(is_stopped),
		cmocka_unit_test(is_written_only_and_by_bytes),
		cmocka_unit_test(kicks_race_with_the_timer),
		cmocka_unit_test(dumps_first),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests_name("wdt-ib700", tests, NULL, NULL);
}
