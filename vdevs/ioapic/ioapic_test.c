/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define PICS "ram 1m vdev ioapic name pic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "

/* A serial port's transmitter interrupt drives the line. */
static void lines_reach_the_machine(void **state)
{
	struct vdevtest *t =
		test_start(PICS "vdev ser8250 intr pic:23 hostdev </dev/null "
				"vdev ser8250 loc 0x2f8 intr pic:0 hostdev </dev/null");

	(void)state;
	assert_false(vdevtest_line(t, 23, NULL));
	vdevtest_write(t, VDEVTEST_IO, 0x3f9, 1, 2);
	assert_true(vdevtest_line(t, 23, NULL));
	assert_false(vdevtest_line(t, 0, NULL));
	vdevtest_write(t, VDEVTEST_IO, 0x2f9, 1, 2);
	assert_true(vdevtest_line(t, 0, NULL));
	vdevtest_read(t, VDEVTEST_IO, 0x3fa, 1);
	assert_false(vdevtest_line(t, 23, NULL));
	assert_true(vdevtest_line(t, 0, NULL));
	vdevtest_end(t);
}

#define OWN	  "ram 1m vdev ioapic name pic accel off "
#define UART(pin) "vdev ser8250 intr pic:" #pin " hostdev </dev/null "
#define AT	  0xfec00000u
#define LEVEL	  0x8000u
#define REMOTE	  0x4000u
#define MASKED	  0x10000u

static uint32_t reg_read(struct vdevtest *t, uint64_t at, unsigned reg)
{
	vdevtest_write(t, VDEVTEST_MEM, at, 4, reg);
	return (uint32_t)vdevtest_read(t, VDEVTEST_MEM, at + 0x10, 4);
}

static void reg_write(struct vdevtest *t, uint64_t at, unsigned reg, uint32_t value)
{
	vdevtest_write(t, VDEVTEST_MEM, at, 4, reg);
	vdevtest_write(t, VDEVTEST_MEM, at + 0x10, 4, value);
}

/* The line of a serial port on COM1 rises and falls with its transmitter interrupt. */
static void line(struct vdevtest *t, bool high)
{
	if (high)
		vdevtest_write(t, VDEVTEST_IO, 0x3f9, 1, 2);
	else
		vdevtest_read(t, VDEVTEST_IO, 0x3fa, 1);
	vdevtest_write(t, VDEVTEST_IO, 0x3f9, 1, 0);
	if (high)
		vdevtest_write(t, VDEVTEST_IO, 0x3f9, 1, 2);
}

static unsigned messages(struct vdevtest *t, uint64_t *ret_addr, uint32_t *ret_data)
{
	return vdevtest_messages(t, 0, ret_addr, ret_data);
}

static void an_edge_sends_a_message(void **state)
{
	struct vdevtest *t = test_start(OWN UART(4));
	uint64_t addr;
	uint32_t data;

	(void)state;
	assert_int_equal(reg_read(t, AT, 1), 0x170020); /* 24 pins */
	assert_int_equal(reg_read(t, AT, 0x18), MASKED);
	vdevtest_write(t, VDEVTEST_IO, 0x3f9, 1, 2);
	assert_int_equal(messages(t, NULL, NULL), 0); /* masked: lost */
	reg_write(t, AT, 0x19, 0x03000000);
	reg_write(t, AT, 0x18, 0x0831); /* logical destination, vector 0x31 */
	assert_int_equal(messages(t, NULL, NULL), 0);
	vdevtest_read(t, VDEVTEST_IO, 0x3fa, 1); /* falls */
	vdevtest_write(t, VDEVTEST_IO, 0x3f9, 1, 0);
	vdevtest_write(t, VDEVTEST_IO, 0x3f9, 1, 2);
	assert_int_equal(messages(t, &addr, &data), 1);
	assert_int_equal(addr, 0xfee03004);
	assert_int_equal(data & ~0x4000u, 0x31);
	vdevtest_eoi(t, 0x31);
	assert_int_equal(messages(t, NULL, NULL), 0);
	assert_int_equal(reg_read(t, AT, 0x18), 0x0831);
	vdevtest_end(t);
}

static void a_level_is_sent_again_until_it_is_gone(void **state)
{
	struct vdevtest *t = test_start(OWN UART(4));
	uint32_t data;

	(void)state;
	line(t, true);
	reg_write(t, AT, 0x18, LEVEL | 0x41); /* high already: sent when it is unmasked */
	assert_int_equal(messages(t, NULL, &data), 1);
	assert_int_equal(data & ~0x4000u, LEVEL | 0x41);
	assert_int_equal(reg_read(t, AT, 0x18), LEVEL | REMOTE | 0x41);
	line(t, false);
	line(t, true);
	assert_int_equal(messages(t, NULL, NULL), 0); /* waits for the end of the first */
	vdevtest_eoi(t, 0x40);			      /* another's */
	assert_int_equal(messages(t, NULL, NULL), 0);
	vdevtest_eoi(t, 0x41);
	assert_int_equal(messages(t, NULL, NULL), 1);
	line(t, false);
	vdevtest_write(t, VDEVTEST_MEM, AT + 0x40, 4, 0x41); /* the register does the same */
	assert_int_equal(messages(t, NULL, NULL), 0);
	assert_int_equal(reg_read(t, AT, 0x18), LEVEL | 0x41);
	line(t, true);
	assert_int_equal(messages(t, NULL, NULL), 1);
	reg_write(t, AT, 0x18, MASKED | 0x41); /* edge triggered for a moment: forgets the wait */
	reg_write(t, AT, 0x18, LEVEL | 0x41);
	assert_int_equal(messages(t, NULL, NULL), 1);
	vdevtest_end(t);
}

static void several_at_any_place(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev ioapic name first loc 0xf8000000 "
					"vdev ioapic name pic loc 0xf8010000 pins 240 " UART(239));
	uint64_t addr;
	uint32_t data;

	(void)state;
	assert_int_equal(reg_read(t, 0xf8010000, 1), 0xef0020);
	reg_write(t, 0xf8010000, 0x10 + 2 * 239, 0x77);
	assert_int_equal(reg_read(t, 0xf8010000, 0x10 + 2 * 239), 0x77);
	reg_write(t, 0xf8010000, 0x10 + 2 * 240, 0x78); /* none there */
	assert_int_equal(reg_read(t, 0xf8010000, 0x10 + 2 * 240), 0);
	assert_int_equal(reg_read(t, 0xf8000000, 0x10 + 2 * 23), MASKED);
	vdevtest_write(t, VDEVTEST_IO, 0x3f9, 1, 2);
	assert_int_equal(messages(t, &addr, &data), 1);
	assert_int_equal(data & 0xff, 0x77);
	vdevtest_end(t);
}

static void hostile_registers(void **state)
{
	struct vdevtest *t = test_start(OWN UART(4));
	uint32_t x = 1;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		x = x * 1664525 + 1013904223;
		if (x & 0x80000000)
			reg_write(t, AT, x >> 4 & 0x3ff, x * 7);
		else if (x & 0x40000000)
			reg_read(t, AT, x >> 4);
		else if (x & 0x20000000)
			vdevtest_write(t, VDEVTEST_MEM, AT + (x & 0xffc), 1u << (x >> 12 & 3), x);
		else
			line(t, x & 1);
		if (x & 0x08000000)
			vdevtest_eoi(t, x & 0xff);
	}
	assert_int_equal(vdevtest_ended(t), -1);
	vdevtest_end(t);
}

static void what_is_refused(void **state)
{
	(void)state;
	test_refused(PICS "vdev ser8250 intr pic:24 hostdev </dev/null", "has no line 24");
	test_refused("ram 1m vdev ioapic name a vdev ioapic name b", "ioapic");
	test_refused("ram 1m vdev ioapic loc 0xf8000010", "4 KiB");
	test_refused("ram 1m vdev ioapic loc 0x1f8000000", "4 GiB");
	test_refused("ram 1m vdev ioapic pins 241", "240");
	test_refused("ram 1m vdev ioapic accel on loc 0xf8000000", "lies at 0xf8000000");
	test_refused("ram 1m vdev ioapic accel on", "no vdev 8259 at port 0x20");
	test_refused("ram 1m vdev ioapic name a vdev ioapic name b loc 0xf8000000 intr a:3",
		     "intr apic");
}

static void local_apic_is_accepted(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev ioapic name pic intr apic vdev 8259 loc 0x20 "
					"vdev 8259 loc 0xa0");

	(void)state;
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_reach_the_machine),
		cmocka_unit_test(an_edge_sends_a_message),
		cmocka_unit_test(a_level_is_sent_again_until_it_is_gone),
		cmocka_unit_test(several_at_any_place),
		cmocka_unit_test(hostile_registers),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(local_apic_is_accepted),
	};

	return cmocka_run_group_tests_name("ioapic", tests, NULL, NULL);
}
