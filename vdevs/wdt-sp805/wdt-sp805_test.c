/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define BASE 0x1c0f0000
#define PIC  "ram 1m vdev ioapic name gic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "
#define LINE 5
#define S    1000000000ull

enum { LOAD = 0, VALUE = 4, CONTROL = 8, INTCLR = 0xc, RIS = 0x10, MIS = 0x14, LOCK = 0xc00 };
enum { INTEN = 1, RESEN = 2, KEY = 0x1acce551 };

static uint32_t in(struct vdevtest *t, unsigned reg)
{
	return (uint32_t)vdevtest_read(t, VDEVTEST_MEM, BASE + reg, 4);
}

static void out(struct vdevtest *t, unsigned reg, uint32_t value)
{
	vdevtest_write(t, VDEVTEST_MEM, BASE + reg, 4, value);
}

static struct vdevtest *start(const char *options)
{
	char text[256];
	struct vdevtest *t;

	snprintf(text, sizeof(text), PIC "vdev wdt-sp805 intr gic:5 frequency 1000 %s", options);
	t = vdevtest_start_stepped(text, 1);
	assert_non_null(t);
	return t;
}

static void it_bites_at_the_second_zero(void **state)
{
	struct vdevtest *t = start("");

	(void)state;
	assert_int_equal(in(t, VALUE), UINT32_MAX);
	out(t, LOAD, 2000);
	assert_true(vdevtest_clock_set(t, 5 * S));
	assert_int_equal(in(t, VALUE), 2000); /* it does not run yet */
	out(t, CONTROL, INTEN | RESEN);
	assert_true(vdevtest_clock_set(t, 6 * S));
	assert_int_equal(in(t, VALUE), 1000);
	assert_true(vdevtest_clock_set(t, 7 * S));
	assert_int_equal(in(t, RIS), 1);
	assert_true(vdevtest_line(t, LINE, NULL));
	assert_int_equal(vdevtest_ended(t), -1);
	assert_true(vdevtest_clock_set(t, 9 * S - 1));
	assert_int_equal(vdevtest_ended(t), -1);
	assert_true(vdevtest_clock_set(t, 9 * S));
	assert_int_equal(vdevtest_ended(t), GTC_WATCHDOG);
	vdevtest_end(t);
}

static void a_kick_starts_it_again(void **state)
{
	struct vdevtest *t = start("");

	(void)state;
	out(t, LOAD, 1000);
	out(t, CONTROL, INTEN | RESEN);
	for (unsigned i = 1; i < 20; i++) {
		assert_true(vdevtest_clock_set(t, i * 3 * S / 2));
		assert_int_equal(in(t, MIS), 1);
		out(t, INTCLR, 0);
		assert_int_equal(in(t, MIS), 0);
		assert_false(vdevtest_line(t, LINE, NULL));
	}
	/* Stopped it keeps what it shows; without RESEN nothing follows. */
	assert_true(vdevtest_clock_set(t, 29 * S));
	out(t, CONTROL, 0);
	assert_int_equal(in(t, VALUE), 500);
	out(t, CONTROL, INTEN);
	assert_true(vdevtest_clock_set(t, 100 * S));
	assert_int_equal(in(t, RIS), 1);
	assert_int_equal(in(t, VALUE), 1000);
	assert_int_equal(vdevtest_ended(t), -1);
	/* Allowed later, the next zero counts. */
	assert_true(vdevtest_clock_set(t, 100 * S + S / 4));
	out(t, CONTROL, INTEN | RESEN);
	assert_int_equal(in(t, VALUE), 750);
	assert_true(vdevtest_clock_set(t, 101 * S));
	assert_int_equal(vdevtest_ended(t), GTC_WATCHDOG);
	vdevtest_end(t);
}

static void locked_it_takes_nothing(void **state)
{
	struct vdevtest *t = start("");

	(void)state;
	out(t, LOAD, 1000);
	out(t, LOCK, 1);
	assert_int_equal(in(t, LOCK), 1);
	out(t, LOAD, 7);
	out(t, CONTROL, INTEN);
	assert_int_equal(in(t, LOAD), 1000);
	assert_int_equal(in(t, CONTROL), 0);
	out(t, LOCK, KEY);
	assert_int_equal(in(t, LOCK), 0);
	out(t, CONTROL, 0xffffffff);
	assert_int_equal(in(t, CONTROL), 3);
	/* As fast as it can be it does not keep the clock's thread. */
	out(t, CONTROL, INTEN);
	out(t, LOAD, 0);
	assert_true(vdevtest_clock_set(t, 1000 * S));
	assert_int_equal(in(t, RIS), 1);
	assert_int_equal(vdevtest_ended(t), -1);
	vdevtest_end(t);
}

static void fiq_is_an_interrupt_in_place_of_the_end(void **state)
{
	struct vdevtest *t = start("action fiq");
	unsigned edges;

	(void)state;
	out(t, LOAD, 1000);
	out(t, CONTROL, INTEN | RESEN);
	assert_true(vdevtest_clock_set(t, S));
	assert_false(vdevtest_line(t, LINE, &edges));
	assert_true(vdevtest_clock_set(t, 4 * S));
	assert_true(vdevtest_line(t, LINE, &edges));
	assert_int_equal(edges, 1);
	assert_int_equal(vdevtest_ended(t), -1);
	vdevtest_end(t);
	assert_null(vdevtest_start("ram 1m vdev wdt-sp805 action fiq"));
	assert_non_null(strstr(vdevtest_errors(), "action 'fiq' needs an interrupt"));
	assert_null(vdevtest_start("ram 1m vdev wdt-sp805 action bark"));
}

static void it_is_a_primecell(void **state)
{
	static const uint8_t id[] = { 0x05, 0x18, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };
	struct vdevtest *t = start("");

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(in(t, 0xfe0 + 4 * i), id[i]);
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_bites_at_the_second_zero),
		cmocka_unit_test(a_kick_starts_it_again),
		cmocka_unit_test(locked_it_takes_nothing),
		cmocka_unit_test(fiq_is_an_interrupt_in_place_of_the_end),
		cmocka_unit_test(it_is_a_primecell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
