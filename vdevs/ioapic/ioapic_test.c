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

static void what_is_refused(void **state)
{
	(void)state;
	test_refused(PICS "vdev ser8250 intr pic:24 hostdev </dev/null", "has no line 24");
	test_refused("ram 1m vdev ioapic loc 0xf8000000", "ioapic");
	test_refused("ram 1m vdev ioapic name a vdev ioapic name b", "ioapic");
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
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(local_apic_is_accepted),
	};

	return cmocka_run_group_tests_name("ioapic", tests, NULL, NULL);
}
