/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define CONF                                                                                    \
	"ram 1m vdev ioapic name pic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 vdev mc146818 intr " \
	"pic:8 "
#define LINE 8

enum { SEC, SEC_ALARM, MIN, MIN_ALARM, HOUR, HOUR_ALARM, WDAY, DAY, MON, YEAR, A, B, C, D };
#define CENTURY 0x32

static uint8_t in(struct vdevtest *t, unsigned reg)
{
	vdevtest_write(t, VDEVTEST_IO, 0x70, 1, reg | 0x80);
	return (uint8_t)vdevtest_read(t, VDEVTEST_IO, 0x71, 1);
}

static void out(struct vdevtest *t, unsigned reg, unsigned value)
{
	vdevtest_write(t, VDEVTEST_IO, 0x70, 1, reg);
	vdevtest_write(t, VDEVTEST_IO, 0x71, 1, value);
}

static int bcd(uint8_t value)
{
	return (value >> 4) * 10 + (value & 15);
}

static uint8_t to_bcd(int value)
{
	return (uint8_t)(value / 10 << 4 | value % 10);
}

/* In virtual time: until the line rises, at most `ms`. Returns how long that took. */
static unsigned line_after_ms(struct vdevtest *t, unsigned ms)
{
	uint64_t now = vdevtest_clock(t);
	unsigned n = 0;

	for (; !vdevtest_line(t, LINE, NULL); n++) {
		assert_true(n < ms);
		assert_true(vdevtest_clock_set(t, now += 1000000));
	}
	return n;
}

/* What the registers say (BCD, 24 hours), read as drivers do: again if an update came between. */
static time_t clock_time(struct vdevtest *t)
{
	struct tm tm;

	do {
		wait_until(
			!(in(t, A) & 0x80)); /* by the host's clock: a stepped one stands still */
		tm = (struct tm){
			.tm_sec = bcd(in(t, SEC)),
			.tm_min = bcd(in(t, MIN)),
			.tm_hour = bcd(in(t, HOUR)),
			.tm_mday = bcd(in(t, DAY)),
			.tm_mon = bcd(in(t, MON)) - 1,
			.tm_year = bcd(in(t, CENTURY)) * 100 + bcd(in(t, YEAR)) - 1900,
		};
	} while (tm.tm_sec != bcd(in(t, SEC)));
	return timegm(&tm);
}

static void shows_the_hosts_time(void **state)
{
	struct vdevtest *t = test_start(CONF);
	time_t before = time(NULL), shown = clock_time(t), after = time(NULL);
	struct tm tm;

	(void)state;
	assert_true(shown >= before && shown <= after);
	gmtime_r(&shown, &tm);
	if (tm.tm_hour < 23) /* not over midnight */
		assert_int_equal(in(t, WDAY), tm.tm_wday + 1);
	assert_int_equal(in(t, D), 0x80);
	assert_int_equal(in(t, A) & 0x7f, 0x26);
	vdevtest_end(t);
}

static void set(struct vdevtest *t, int year, int mon, int day, int hour, int min, int sec)
{
	out(t, B, 0x82);
	out(t, SEC, to_bcd(sec));
	out(t, MIN, to_bcd(min));
	out(t, HOUR, to_bcd(hour));
	out(t, DAY, to_bcd(day));
	out(t, MON, to_bcd(mon));
	out(t, YEAR, to_bcd(year % 100));
	out(t, CENTURY, to_bcd(year / 100));
	assert_int_equal(in(t, SEC), to_bcd(sec)); /* stands still meanwhile */
	out(t, B, 0x02);
}

static void can_be_set(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF);
	struct tm tm = { .tm_year = 101,
			 .tm_mon = 1,
			 .tm_mday = 28,
			 .tm_hour = 23,
			 .tm_min = 59,
			 .tm_sec = 58 };
	time_t wanted = timegm(&tm);

	(void)state;
	set(t, 2001, 2, 28, 23, 59, 58);
	assert_true(vdevtest_clock_set(t, UINT64_C(4500000000)));
	assert_in_range(clock_time(t), wanted + 4, wanted + 5);
	assert_int_equal(in(t, MON), 3);
	out(t, YEAR, 0x24); /* without SET too */
	assert_int_equal(in(t, YEAR), 0x24);
	vdevtest_end(t);
}

/* As Linux sets it: SET and the divider's reset, and SET goes off first. */
static void it_stands_while_the_divider_is_reset(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF);
	struct tm tm = { .tm_year = 120, .tm_mday = 1, .tm_min = 59, .tm_sec = 7 };
	time_t wanted = timegm(&tm);

	(void)state;
	set(t, 2020, 1, 1, 0, 59, 0);
	out(t, A, 0x76);
	assert_int_equal(in(t, SEC), 0);
	assert_true(vdevtest_clock_set(t, UINT64_C(4500000000)));
	assert_int_equal(in(t, SEC), 0);
	out(t, B, 0x82);
	out(t, SEC, 0x07);
	out(t, B, 0x02);
	assert_true(vdevtest_clock_set(t, UINT64_C(8500000000)));
	assert_int_equal(in(t, SEC), 0x07);
	out(t, A, 0x26);
	assert_int_equal(clock_time(t), wanted);
	assert_true(vdevtest_clock_set(t, UINT64_C(12500000000)));
	assert_in_range(clock_time(t), wanted + 4, wanted + 5);
	vdevtest_end(t);
	t = test_start_stepped(CONF "reg 0x0a,0x66"); /* from the start */
	assert_int_not_equal(in(t, YEAR), 0);
	vdevtest_end(t);
}

static void forms_of_the_time(void **state)
{
	struct vdevtest *t = test_start(CONF);

	(void)state;
	set(t, 2021, 12, 31, 13, 45, 0);
	assert_int_equal(in(t, HOUR), 0x13);
	out(t, B, 0x00); /* BCD, 12 hours */
	assert_int_equal(in(t, HOUR), 0x81);
	out(t, B, 0x04);
	assert_int_equal(in(t, HOUR), 0x81);
	assert_int_equal(in(t, MIN), 45);
	assert_int_equal(in(t, DAY), 31);
	out(t, HOUR, 12); /* midnight */
	assert_int_equal(in(t, HOUR), 12);
	out(t, B, 0x06);
	assert_int_equal(in(t, HOUR), 0);
	out(t, B, 0x04);
	out(t, HOUR, 0x80 | 12);
	assert_int_equal(in(t, HOUR), 0x80 | 12);
	out(t, B, 0x02);
	assert_int_equal(in(t, HOUR), 0x12);
	vdevtest_end(t);
}

/* In virtual time: how many of `steps` steps of 100 us from *now_ns on show an update. */
static unsigned updates_in(struct vdevtest *t, uint64_t *now_ns, unsigned steps)
{
	unsigned n = 0;

	while (steps--) {
		assert_true(vdevtest_clock_set(t, *now_ns += 100000));
		n += (in(t, A) & 0x80) != 0;
	}
	return n;
}

static void update_in_progress_is_short(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF);
	uint64_t now = 0;

	(void)state;
	assert_in_range(updates_in(t, &now, 30000), 3, 3 * 30); /* three seconds */
	out(t, B, 0x82); /* nothing updates while it is set */
	assert_int_equal(updates_in(t, &now, 11000), 0);
	vdevtest_end(t);
}

static void update_interrupt(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF);

	(void)state;
	in(t, C);
	assert_int_equal(in(t, C) & 0x10, 0); /* the periodic flag may be there again */
	out(t, B, 0x12);
	for (unsigned i = 0; i < 2; i++) {
		(void)line_after_ms(t, 1001);
		assert_int_equal(in(t, C) & 0x90, 0x90);
		assert_false(vdevtest_line(t, LINE, NULL));
	}
	out(t, B, 0x02); /* the flag goes on without its interrupt */
	assert_true(vdevtest_clock_set(t, vdevtest_clock(t) + 1000000000));
	assert_int_equal(in(t, C) & 0x10, 0x10);
	assert_int_equal(in(t, C) & 0x10, 0);
	vdevtest_end(t);
}

static void periodic_interrupt(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF);
	unsigned edges, before;

	(void)state;
	vdevtest_line(t, LINE, &before);
	out(t, B, 0x42);
	for (unsigned i = 0; i < 20; i++) {
		assert_in_range(line_after_ms(t, 10), 0, 2); /* 1024 a second */
		assert_int_equal(in(t, C) & 0xc0, 0xc0);
	}
	vdevtest_line(t, LINE, &edges);
	assert_true(edges - before >= 20);
	out(t, A, 0x20); /* no rate */
	in(t, C);
	assert_int_equal(in(t, C) & 0xc0, 0);
	vdevtest_end(t);
}

static void alarm_interrupt(void **state)
{
	struct vdevtest *t = test_start_stepped(CONF);

	(void)state;
	set(t, 2020, 1, 1, 12, 59, 50);
	out(t, SEC_ALARM, 0x52);
	out(t, MIN_ALARM, 0xff);
	out(t, HOUR_ALARM, 0x12);
	in(t, C);
	out(t, B, 0x22);
	assert_in_range(line_after_ms(t, 3000), 1000, 2001);
	assert_int_equal(in(t, C) & 0xa0, 0xa0);
	assert_false(vdevtest_line(t, LINE, NULL));
	out(t, B, 0x02);
	out(t, HOUR_ALARM, 0x99); /* never */
	in(t, C);
	assert_true(vdevtest_clock_set(t, vdevtest_clock(t) + UINT64_C(86400000000000)));
	assert_int_equal(in(t, C) & 0x20, 0);
	vdevtest_end(t);
}

static void memory(void **state)
{
	struct vdevtest *t = test_start(CONF "reg 0x10,0x5a reg 20,7 reg 0x0b,0x06 "
					     "reg 0x40,1 reg 0x40,2");

	(void)state;
	assert_int_equal(in(t, 0x10), 0x5a);
	assert_int_equal(in(t, 20), 7);
	assert_int_equal(in(t, 0x40), 2); /* the later of two */
	assert_int_equal(in(t, B), 6);
	out(t, 0x7f, 0x77);
	assert_int_equal(in(t, 0x7f), 0x77);
	out(t, D, 0);
	assert_int_equal(in(t, D), 0x80);
	out(t, C, 0xff);
	assert_int_equal(in(t, C) & 0x8f, 0);
	vdevtest_end(t);
	test_refused("ram 1m vdev mc146818 reg 0x80,1", "below 128");
	test_refused("ram 1m vdev mc146818 reg 0x10,0x100", "one byte");
	test_refused("ram 1m vdev mc146818 reg 0x10", "OFFSET,VALUE");
	test_refused("ram 1m vdev mc146818 reg 0,1", "belongs to the clock");
}

static void hostile_registers(void **state)
{
	struct vdevtest *t = test_start(CONF);
	uint32_t x = 1;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		x = x * 1664525 + 1013904223;
		if (x & 0x40000000)
			out(t, x >> 8 & 0x7f, x >> 16);
		else
			in(t, x >> 8 & (x & 0x20000000 ? 0x0f : 0x7f));
		if (x & 0x10000000)
			out(t, x >> 8 & 0x0f, 0xff);
	}
	assert_int_equal(vdevtest_ended(t), -1);
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_the_hosts_time),
		cmocka_unit_test(can_be_set),
		cmocka_unit_test(it_stands_while_the_divider_is_reset),
		cmocka_unit_test(forms_of_the_time),
		cmocka_unit_test(update_in_progress_is_short),
		cmocka_unit_test(update_interrupt),
		cmocka_unit_test(periodic_interrupt),
		cmocka_unit_test(alarm_interrupt),
		cmocka_unit_test(memory),
		cmocka_unit_test(hostile_registers),
	};

	return cmocka_run_group_tests_name("mc146818", tests, NULL, NULL);
}
