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
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests_name("8259", tests, NULL, NULL);
}
