/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define PICS "ram 1m vdev ioapic name pic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "

static void starts(void **state)
{
	struct vdevtest *t = test_start(PICS "vdev timer8254 intr pic:0");

	(void)state;
	vdevtest_end(t);
}

static void what_is_refused(void **state)
{
	(void)state;
	test_refused(PICS "vdev timer8254 loc 0x50", "timer8254");
	test_refused(PICS "vdev timer8254 vdev timer8254", "timer8254");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests_name("timer8254", tests, NULL, NULL);
}
