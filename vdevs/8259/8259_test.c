/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/x/test.h>
#include "../common/test_util.h"

static void both_places(void **state)
{
	struct vdevtest *t =
		test_start("ram 1m vdev ioapic name pic vdev 8259 loc io:0x20 vdev 8259 loc 0xa0");

	(void)state;
	vdevtest_end(t);
}

/* The chips in user space; serial ports drive lines 3 and 4 (first chip) and 9 to 12 (second). */
#define OWN                                                                            \
	"ram 1m vdev ioapic name pic accel off vdev 8259 loc 0x20 vdev 8259 loc 0xa0 " \
	"vdev ser8250 intr pic:4 hostdev </dev/null "                                  \
	"vdev ser8250 loc 0x2f8 intr pic:3 hostdev </dev/null "                        \
	"vdev ser8250 loc 0x3e8 intr pic:10 hostdev </dev/null "                       \
	"vdev ser8250 loc 0x2e8 intr pic:12 hostdev </dev/null "

enum { COM1 = 0x3f8, COM2 = 0x2f8, COM3 = 0x3e8, COM4 = 0x2e8 };

static void out(struct vdevtest *t, unsigned port, unsigned value)
{
	vdevtest_write(t, VDEVTEST_IO, port, 1, value);
}

static unsigned in(struct vdevtest *t, unsigned port)
{
	return (unsigned)vdevtest_read(t, VDEVTEST_IO, port, 1);
}

static void raise_line(struct vdevtest *t, unsigned com)
{
	out(t, com + 1, 0);
	out(t, com + 1, 2);
}

static void lower_line(struct vdevtest *t, unsigned com)
{
	in(t, com + 2);
}

/* As a PC's firmware and Linux do: vectors 0x30 and 0x38. */
static void init(struct vdevtest *t, unsigned icw4)
{
	out(t, 0x20, 0x11);
	out(t, 0x21, 0x30);
	out(t, 0x21, 0x04);
	out(t, 0x21, icw4);
	out(t, 0xa0, 0x11);
	out(t, 0xa1, 0x38);
	out(t, 0xa1, 0x02);
	out(t, 0xa1, icw4);
	assert_int_equal(in(t, 0x21), 0); /* nothing is masked */
}

static void an_edge_interrupts_once(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	assert_int_equal(in(t, 0x21), 0xff); /* at the start all is */
	raise_line(t, COM1);
	assert_false(vdevtest_extint(t));
	lower_line(t, COM1);
	init(t, 1);
	raise_line(t, COM1);
	assert_true(vdevtest_extint(t));
	assert_int_equal(in(t, 0x20), 0x10); /* requested */
	assert_int_equal(vdevtest_acknowledge(t), 0x34);
	assert_false(vdevtest_extint(t));
	out(t, 0x20, 0x0b);
	assert_int_equal(in(t, 0x20), 0x10); /* in service */
	out(t, 0x20, 0x0a);
	assert_int_equal(in(t, 0x20), 0);
	out(t, 0x20, 0x20);
	assert_false(vdevtest_extint(t));
	assert_int_equal(vdevtest_acknowledge(t), 0x37); /* nothing: the spurious one */
	out(t, 0x20, 0x0b);
	assert_int_equal(in(t, 0x20), 0); /* which is not in service */
	vdevtest_end(t);
}

static void the_second_chip_is_on_line_2(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	init(t, 1);
	raise_line(t, COM4);
	assert_true(vdevtest_extint(t));
	assert_int_equal(in(t, 0x20), 0x04);
	assert_int_equal(vdevtest_acknowledge(t), 0x3c);
	raise_line(t, COM3); /* ranks higher, but the first chip is busy with line 2 */
	assert_false(vdevtest_extint(t));
	out(t, 0xa0, 0x64); /* specific: line 12 */
	out(t, 0x20, 0x62);
	assert_true(vdevtest_extint(t)); /* not lost */
	assert_int_equal(vdevtest_acknowledge(t), 0x3a);
	out(t, 0xa0, 0x20);
	out(t, 0x20, 0x20);
	assert_false(vdevtest_extint(t));
	vdevtest_end(t);
}

/* With automatic ends of interrupt nothing blocks the second chip's next request: its output is an
 * edge for the first chip all the same. */
static void the_second_chip_has_two_at_once(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	init(t, 3);
	raise_line(t, COM3);
	raise_line(t, COM4);
	assert_int_equal(vdevtest_acknowledge(t), 0x3a);
	assert_true(vdevtest_extint(t));
	assert_int_equal(vdevtest_acknowledge(t), 0x3c);
	assert_false(vdevtest_extint(t));
	vdevtest_end(t);
}

static void lower_lines_rank_higher(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	init(t, 1);
	raise_line(t, COM1);
	assert_int_equal(vdevtest_acknowledge(t), 0x34);
	raise_line(t, COM2);
	assert_true(vdevtest_extint(t));
	assert_int_equal(vdevtest_acknowledge(t), 0x33);
	raise_line(t, COM1);
	assert_false(vdevtest_extint(t));
	out(t, 0x20, 0x20); /* the end of line 3, which ranks highest */
	out(t, 0x20, 0x0b);
	assert_int_equal(in(t, 0x20), 0x10);
	out(t, 0x20, 0xa0); /* the end of line 4, which ranks lowest from now on */
	raise_line(t, COM2);
	assert_int_equal(vdevtest_acknowledge(t), 0x33);
	out(t, 0x20, 0xe3); /* line 3 lowest: 4 is the highest */
	assert_int_equal(vdevtest_acknowledge(t), 0x34);
	raise_line(t, COM2);
	assert_false(vdevtest_extint(t));
	out(t, 0x20, 0x20);
	assert_int_equal(vdevtest_acknowledge(t), 0x33);
	vdevtest_end(t);
}

static void masks_and_modes(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	init(t, 3); /* ends by itself */
	raise_line(t, COM1);
	assert_int_equal(vdevtest_acknowledge(t), 0x34);
	out(t, 0x20, 0x0b);
	assert_int_equal(in(t, 0x20), 0);
	out(t, 0x21, 0x10);
	raise_line(t, COM1);
	assert_false(vdevtest_extint(t));
	out(t, 0x21, 0x00);
	assert_true(vdevtest_extint(t));
	out(t, 0x20, 0x0c); /* poll */
	assert_int_equal(in(t, 0x20), 0x84);
	assert_false(vdevtest_extint(t));
	init(t, 1);
	raise_line(t, COM2);
	assert_int_equal(vdevtest_acknowledge(t), 0x33);
	raise_line(t, COM1);
	assert_false(vdevtest_extint(t));
	out(t, 0x21, 0x08);
	out(t, 0x20, 0x68); /* special mask: what is masked does not block */
	assert_int_equal(vdevtest_acknowledge(t), 0x34);
	vdevtest_end(t);
}

/* In special mask mode an unspecific end is of what is not masked. */
static void the_end_of_what_is_not_masked(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	init(t, 1);
	raise_line(t, COM2);
	assert_int_equal(vdevtest_acknowledge(t), 0x33);
	out(t, 0x21, 0x08);
	out(t, 0x20, 0x68);
	raise_line(t, COM1);
	assert_int_equal(vdevtest_acknowledge(t), 0x34);
	out(t, 0x20, 0x0b);
	assert_int_equal(in(t, 0x20), 0x18);
	out(t, 0x20, 0x20);
	assert_int_equal(in(t, 0x20), 0x08);
	out(t, 0x20, 0x20);
	assert_int_equal(in(t, 0x20), 0x08);
	out(t, 0x20, 0x48); /* without the mode it is of all */
	out(t, 0x20, 0x20);
	assert_int_equal(in(t, 0x20), 0);
	vdevtest_end(t);
}

static void level_triggered(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	out(t, 0x4d0, 0xff);
	out(t, 0x4d1, 0xff);
	assert_int_equal(in(t, 0x4d0), 0xf8);
	assert_int_equal(in(t, 0x4d1), 0xde);
	init(t, 1);
	raise_line(t, COM3);
	assert_int_equal(vdevtest_acknowledge(t), 0x3a);
	out(t, 0xa0, 0x20);
	out(t, 0x20, 0x20);
	assert_true(vdevtest_extint(t)); /* still high */
	lower_line(t, COM3);
	assert_int_equal(vdevtest_acknowledge(t),
			 0x3f); /* gone meanwhile: the second's spurious one */
	vdevtest_end(t);
}

static void hostile_ports(void **state)
{
	static const unsigned ports[] = {
		0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, COM1 + 1, COM4 + 1
	};
	struct vdevtest *t = test_start(OWN);
	uint32_t x = 1;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		x = x * 1664525 + 1013904223;
		if (x & 0x80000000)
			out(t, ports[x >> 8 & 7], x >> 16 & 0xff);
		else
			in(t, ports[x >> 8 & 7]);
		if (vdevtest_extint(t) && (x & 0x40000000))
			assert_in_range(vdevtest_acknowledge(t), 0, 255);
	}
	vdevtest_end(t);
}

static void what_is_refused(void **state)
{
	(void)state;
	test_refused("ram 1m vdev 8259", "loc 0x20");
	test_refused("ram 1m vdev 8259 loc 0x30", "8259");
	test_refused("ram 1m vdev 8259 loc 0x20 vdev 8259 loc 0x20", "8259");
	test_refused("ram 1m vdev 8259 name old loc 0x20 vdev ser8250 intr old:4", "old");
	test_refused("ram 1m vdev ioapic name pic vdev 8259 loc 0x20 intr pic:2", "interrupt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_places),
		cmocka_unit_test(an_edge_interrupts_once),
		cmocka_unit_test(the_second_chip_is_on_line_2),
		cmocka_unit_test(the_second_chip_has_two_at_once),
		cmocka_unit_test(lower_lines_rank_higher),
		cmocka_unit_test(masks_and_modes),
		cmocka_unit_test(the_end_of_what_is_not_masked),
		cmocka_unit_test(level_triggered),
		cmocka_unit_test(hostile_ports),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests_name("8259", tests, NULL, NULL);
}
