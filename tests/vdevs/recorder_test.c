/* SPDX-License-Identifier: Apache-2.0 */
/* The documented interface for interrupt controllers, by one that uses nothing else. */
#include <qvm/x/test.h>
#include "../../vdevs/common/test_util.h"

#define AT   0xfa000000u
#define UART "hostdev </dev/null "

static uint32_t reg(struct vdevtest *t, unsigned offset, unsigned which)
{
	return (uint32_t)vdevtest_read(t, VDEVTEST_MEM, AT + 0x1000 * which + offset, 4);
}

static void line_up(struct vdevtest *t, unsigned com)
{
	vdevtest_write(t, VDEVTEST_IO, com + 1, 1, 0);
	vdevtest_write(t, VDEVTEST_IO, com + 1, 1, 2);
}

static void lines_are_its_own(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev recorder name pic loc 0xfa000000 "
					"vdev ser8250 intr pic:101 " UART
					"vdev ser8250 loc 0x2f8 intr pic:107 " UART);

	(void)state;
	line_up(t, 0x3f8);
	assert_int_equal(reg(t, 0, 0), 0x02);
	line_up(t, 0x2f8);
	assert_int_equal(reg(t, 0, 0), 0x82);
	vdevtest_read(t, VDEVTEST_IO, 0x3fa, 1);
	assert_int_equal(reg(t, 0, 0), 0x80);
	assert_int_equal(reg(t, 4, 0), 3); /* changes only */
	vdevtest_end(t);
	test_refused("ram 1m vdev recorder name pic loc 0xfa000000 vdev ser8250 intr pic:99 " UART,
		     "no line 99");
	test_refused("ram 1m vdev recorder name pic loc 0xfa000000 vdev ser8250 intr pic:101 " UART
		     "vdev ser8250 loc 0x2f8 intr pic:101 " UART,
		     "already");
}

/* One behind another one behind an ioapic; the ends of interrupts come back the same way. */
static void behind_another_controller(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev ioapic name io accel off "
					"vdev recorder name a loc 0xfa000000 intr io:5 "
					"vdev recorder name b loc 0xfa001000 intr a:103 "
					"vdev ser8250 intr b:100 " UART);

	(void)state;
	vdevtest_write(t, VDEVTEST_MEM, 0xfec00000, 4, 0x10 + 2 * 5);
	vdevtest_write(t, VDEVTEST_MEM, 0xfec00010, 4, 0x8050); /* level */
	assert_int_equal(reg(t, 0xc, 0), 1 << 16);		/* unmasked */
	line_up(t, 0x3f8);
	assert_int_equal(reg(t, 0, 1), 0x01);
	assert_int_equal(reg(t, 0, 0), 0x08);
	assert_int_equal(vdevtest_messages(t, 0, NULL, NULL), 1);
	vdevtest_eoi(t, 0x50);
	assert_int_equal(reg(t, 0xc, 0), 1 << 16 | 1);
	assert_int_equal(vdevtest_messages(t, 0, NULL, NULL), 1); /* still high */
	assert_int_equal(reg(t, 0xc, 1), 0);
	vdevtest_write(t, VDEVTEST_MEM, AT + 8, 4, 3); /* the first one's line 103 */
	assert_int_equal(reg(t, 0xc, 1), 1);
	vdevtest_write(t, VDEVTEST_MEM, AT + 8, 4, 2); /* nobody is there */
	assert_int_equal(reg(t, 0xc, 1), 1);
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_its_own),
		cmocka_unit_test(behind_another_controller),
	};

	return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
