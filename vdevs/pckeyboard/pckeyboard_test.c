/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define CONF                                                                                      \
	"ram 1m vdev ioapic name pic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 vdev pckeyboard intr " \
	"pic:1"

static uint8_t in(struct vdevtest *t, unsigned port)
{
	return (uint8_t)vdevtest_read(t, VDEVTEST_IO, port, 1);
}

static void out(struct vdevtest *t, unsigned port, unsigned value)
{
	vdevtest_write(t, VDEVTEST_IO, port, 1, value);
}

static uint8_t ask(struct vdevtest *t, unsigned command)
{
	out(t, 0x64, command);
	assert_int_equal(in(t, 0x64) & 3, 1);
	return in(t, 0x60);
}

static void self_test_and_mode(void **state)
{
	struct vdevtest *t = test_start(CONF);

	(void)state;
	assert_int_equal(in(t, 0x64), 0x10);
	assert_int_equal(ask(t, 0xaa), 0x55);
	assert_int_equal(in(t, 0x64), 0x1c);
	assert_int_equal(ask(t, 0xab), 0);
	assert_int_equal(ask(t, 0xa9), 1);
	out(t, 0x64, 0x60);
	out(t, 0x60, 0x65);
	assert_int_equal(ask(t, 0x20), 0x65);
	out(t, 0x64, 0xad);
	assert_int_equal(ask(t, 0x20), 0x75);
	out(t, 0x64, 0xae);
	assert_int_equal(ask(t, 0x20), 0x65);
	out(t, 0x64, 0x7f);
	out(t, 0x60, 0x99);
	assert_int_equal(ask(t, 0x3f), 0x99);
	assert_int_equal(in(t, 0x61), 0xff); /* the timer's */
	vdevtest_end(t);
}

static void nothing_plugged_in(void **state)
{
	struct vdevtest *t = test_start(CONF);

	(void)state;
	out(t, 0x60, 0xf2); /* to the keyboard */
	assert_int_equal(in(t, 0x64) & 0x41, 0x41);
	assert_int_equal(in(t, 0x60), 0xfe);
	assert_int_equal(in(t, 0x64) & 0x41, 0);
	out(t, 0x64, 0xd4); /* to the mouse */
	out(t, 0x60, 0xf2);
	assert_int_equal(in(t, 0x64) & 0x41, 0x41);
	assert_int_equal(in(t, 0x60), 0xfe);
	out(t, 0x64, 0xd3);
	out(t, 0x60, 0x5a);
	assert_int_equal(in(t, 0x64) & 0x21, 0x01);
	vdevtest_end(t);
}

static void interrupt_follows_the_buffer(void **state)
{
	struct vdevtest *t = test_start(CONF);

	(void)state;
	out(t, 0x64, 0xaa);
	assert_false(vdevtest_line(t, 1, NULL));
	out(t, 0x64, 0x60);
	out(t, 0x60, 1);
	assert_true(vdevtest_line(t, 1, NULL));
	assert_int_equal(in(t, 0x60), 0x55);
	assert_false(vdevtest_line(t, 1, NULL));
	vdevtest_end(t);
}

static void reset_lines(void **state)
{
	struct vdevtest *t = test_start(CONF);

	(void)state;
	assert_int_equal(ask(t, 0xd0), 3);
	out(t, 0x64, 0xd1);
	out(t, 0x60, 0x01); /* A20 off, as far as anyone can tell */
	assert_int_equal(ask(t, 0xd0), 1);
	out(t, 0x64, 0xff);
	assert_int_equal(vdevtest_ended(t), -1);
	out(t, 0x64, 0xfe);
	assert_int_equal(vdevtest_ended(t), GTC_NORMAL_EXIT);
	vdevtest_end(t);

	t = test_start("ram 1m vdev pckeyboard");
	out(t, 0x64, 0xd1);
	out(t, 0x60, 0x02);
	assert_int_equal(vdevtest_ended(t), GTC_NORMAL_EXIT);
	vdevtest_end(t);
}

static void every_command(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev pckeyboard");

	(void)state;
	for (unsigned command = 0; command < 0x100; command++)
		for (unsigned data = 0; data < 0x100; data++) {
			out(t, 0x64, command);
			out(t, 0x60, data);
			in(t, 0x60);
			assert_int_equal(in(t, 0x64) & 3, 0);
		}
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(self_test_and_mode),
		cmocka_unit_test(nothing_plugged_in),
		cmocka_unit_test(interrupt_follows_the_buffer),
		cmocka_unit_test(reset_lines),
		cmocka_unit_test(every_command),
	};

	return cmocka_run_group_tests_name("pckeyboard", tests, NULL, NULL);
}
