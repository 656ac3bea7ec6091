/* SPDX-License-Identifier: 0BSD */
/* The bench starts the VM up to the guest's first instruction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <qvm/x/test.h>

static void text_is_in_memory(void **state)
{
	struct vdevtest *t = vdevtest_start("ram 1m vdev @NAME@ address 0x1000 text abc");

	(void)state;
	if (!t)
		fail_msg("%s", vdevtest_errors());
	assert_memory_equal(vdevtest_ram(t, 0x1000, 4), "abc\0", 4);
	vdevtest_end(t);
}

static void no_memory_no_start(void **state)
{
	(void)state;
	assert_null(vdevtest_start("ram 1m vdev @NAME@ address 0xffffe text abc"));
	assert_non_null(strstr(vdevtest_errors(), "there is no memory"));
	assert_null(vdevtest_start("ram 1m vdev @NAME@"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_in_memory),
		cmocka_unit_test(no_memory_no_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
