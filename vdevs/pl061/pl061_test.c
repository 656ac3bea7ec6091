/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define BASE 0x1c1d0000
#define PIC  "ram 1m vdev ioapic name gic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "
#define LINE 7
#define MS   1000000ull

enum { DIR = 0x400, IS = 0x404, IBE = 0x408, IEV = 0x40c, IE = 0x410, RIS = 0x414, MIS = 0x418 };
enum { IC = 0x41c, AFSEL = 0x420 };

static unsigned data_of(unsigned lines)
{
	return lines << 2;
}

static uint32_t in(struct vdevtest *t, unsigned reg)
{
	return (uint32_t)vdevtest_read(t, VDEVTEST_MEM, BASE + reg, 4);
}

/* As Linux's driver does. */
static void out(struct vdevtest *t, unsigned reg, uint32_t value)
{
	vdevtest_write(t, VDEVTEST_MEM, BASE + reg, 1, value);
}

static struct vdevtest *start(const char *options)
{
	char text[256];
	struct vdevtest *t;

	snprintf(text, sizeof(text), PIC "vdev pl061 intr gic:7 %s", options);
	t = vdevtest_start_stepped(text, 1);
	assert_non_null(t);
	return t;
}

static void registers_are_those_of_a_pl061(void **state)
{
	static const uint8_t id[] = { 0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };
	static const unsigned plain[] = { DIR, IS, IBE, IEV, IE, AFSEL };
	struct vdevtest *t = start("");

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(in(t, 0xfe0 + 4 * i), id[i]);
	for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		assert_int_equal(in(t, plain[i]), 0);
		out(t, plain[i], 0x5a);
		assert_int_equal(in(t, plain[i]), 0x5a);
		out(t, plain[i], 0);
	}
	assert_int_equal(in(t, 0x500), 0);
	vdevtest_end(t);
	test_refused(PIC "vdev pl061", "intr");
	test_refused(PIC "vdev pl061 intr gic:7 button 8", "0 to 7");
}

static void an_access_is_about_the_lines_in_its_address(void **state)
{
	struct vdevtest *t = start("");

	(void)state;
	out(t, DIR, 0xf0);
	out(t, data_of(0xff), 0xff);
	assert_int_equal(in(t, data_of(0xff)), 0xf0); /* nothing drives the inputs */
	out(t, data_of(0x30), 0);
	assert_int_equal(in(t, data_of(0xff)), 0xc0);
	assert_int_equal(in(t, data_of(0x50)), 0x40);
	vdevtest_end(t);
}

static void the_button_is_held_until_it_was_seen(void **state)
{
	struct vdevtest *t = start("");
	unsigned edges;

	(void)state;
	out(t, IBE, 8);
	out(t, IE, 8);
	assert_true(vdevtest_button(t));
	assert_true(vdevtest_line(t, LINE, &edges));
	assert_int_equal(in(t, MIS), 8);
	out(t, IC, 8);
	assert_false(vdevtest_line(t, LINE, &edges));
	/* However long it takes: reads of other lines do not count. */
	assert_int_equal(in(t, data_of(0xf7)), 0);
	assert_true(vdevtest_clock_set(t, 5000 * MS));
	assert_int_equal(in(t, data_of(8)), 8);
	assert_true(vdevtest_clock_set(t, 5199 * MS));
	assert_int_equal(in(t, data_of(8)), 8);
	assert_int_equal(in(t, RIS), 0);
	assert_true(vdevtest_clock_set(t, 5200 * MS));
	assert_int_equal(in(t, data_of(8)), 0);
	assert_true(vdevtest_line(t, LINE, &edges));
	assert_int_equal(edges, 2);
	out(t, IC, 8);
	/* And once more. */
	assert_true(vdevtest_button(t));
	assert_int_equal(in(t, data_of(0xff)), 8);
	assert_int_equal(in(t, RIS), 8);
	vdevtest_end(t);
}

static void edges_and_levels_are_those_that_were_asked_for(void **state)
{
	struct vdevtest *t = start("button 6");

	(void)state;
	/* Neither the falling edge, nor any with the line an output. */
	out(t, IE, 0x40);
	assert_true(vdevtest_button(t));
	assert_int_equal(in(t, RIS), 0);
	assert_int_equal(in(t, data_of(0x40)), 0x40);
	assert_true(vdevtest_clock_set(t, 300 * MS));
	assert_int_equal(in(t, RIS), 0x40);
	out(t, IC, 0x40);
	out(t, DIR, 0x40);
	out(t, IBE, 0x40);
	assert_true(vdevtest_button(t));
	assert_int_equal(in(t, data_of(0x40)), 0);
	assert_int_equal(in(t, RIS), 0);
	/* It is still pressed when the line becomes an input: a high level, and then no low one. */
	out(t, IS, 0x40);
	out(t, IEV, 0x40);
	assert_false(vdevtest_line(t, LINE, NULL));
	out(t, DIR, 0);
	assert_true(vdevtest_line(t, LINE, NULL));
	out(t, IC, 0x40);
	assert_true(vdevtest_line(t, LINE, NULL));
	out(t, IEV, 0);
	assert_false(vdevtest_line(t, LINE, NULL));
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_are_those_of_a_pl061),
		cmocka_unit_test(an_access_is_about_the_lines_in_its_address),
		cmocka_unit_test(the_button_is_held_until_it_was_seen),
		cmocka_unit_test(edges_and_levels_are_those_that_were_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
