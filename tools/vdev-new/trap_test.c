/* SPDX-License-Identifier: 0BSD */
/* The test plays a vCPU that executes the instructions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <qvm/x/test.h>

static void the_register_keeps_its_value(void **state)
{
	struct vdevtest *t = vdevtest_start("ram 1m vdev @NAME@ msr 0xc0010055");
	uint64_t value = 0x1234;

	(void)state;
	if (!t)
		fail_msg("%s", vdevtest_errors());
	assert_true(vdevtest_msr(t, true, 0xc0010055, &value));
	value = 0;
	assert_true(vdevtest_msr(t, false, 0xc0010055, &value));
	assert_int_equal(value, 0x1234);
	assert_false(vdevtest_msr(t, false, 0xc0010056, &value));
	vdevtest_end(t);
}

static void the_leaf_has_its_answer(void **state)
{
	struct vdevtest *t = vdevtest_start("ram 1m vdev @NAME@ cpuid 0x40000200");
	uint32_t regs[4];

	(void)state;
	if (!t)
		fail_msg("%s", vdevtest_errors());
	assert_true(vdevtest_cpuid(t, 0x40000200, regs));
	assert_memory_equal(&regs[1], "hello", 6);
	vdevtest_end(t);
}

static void what_kvm_keeps_is_refused(void **state)
{
	(void)state;
	assert_null(vdevtest_start("ram 1m vdev @NAME@ msr 0x802"));
	assert_non_null(strstr(vdevtest_errors(), "x2APIC"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_register_keeps_its_value),
		cmocka_unit_test(the_leaf_has_its_answer),
		cmocka_unit_test(what_kvm_keeps_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
