/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/x/test.h>
#include "../common/test_util.h"

static void brand_is_spread_over_three_leaves(void **state)
{
	struct vdevtest *t =
		test_start("ram 1m vdev cpu-model brand \"Some Processor 7 at 1 GHz\"");
	char brand[48];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		assert_true(vdevtest_cpuid(t, 0x80000002 + i, (uint32_t *)brand + 4 * i));
	assert_string_equal(brand, "Some Processor 7 at 1 GHz");
	for (size_t i = strlen(brand); i < sizeof(brand); i++)
		assert_int_equal(brand[i], 0);
	assert_false(vdevtest_cpuid(t, 0x80000005, (uint32_t *)brand));
	vdevtest_end(t);
	test_refused(
		"ram 1m vdev cpu-model brand \"0123456789012345678901234567890123456789012345678\"",
		"49 characters");
}

static void registers_read_as_given(void **state)
{
	struct vdevtest *t = test_start(
		"ram 1m vdev cpu-model microcode 0x123 msr 0xc0010015,0xabcdef0123456789");
	uint64_t value = 1;

	(void)state;
	assert_true(vdevtest_msr(t, true, 0x8b, &value));
	assert_true(vdevtest_msr(t, false, 0x8b, &value));
	assert_int_equal(value, 0x12300000123);
	assert_true(vdevtest_msr(t, false, 0xc0010015, &value));
	assert_int_equal(value, 0xabcdef0123456789);
	assert_false(vdevtest_msr(t, false, 0xc0010016, &value));
	vdevtest_end(t);
	test_refused("ram 1m vdev cpu-model msr 5", "is not INDEX,VALUE");
	test_refused("ram 1m vdev cpu-model msr 5,6,7", "is not INDEX,VALUE");
	test_refused("ram 1m vdev cpu-model msr 5,6 msr 5,7", "given twice");
	test_refused("ram 1m vdev cpu-model msr 0x808,0", "x2APIC");
	test_refused("ram 1m vdev cpu-model msr 0x100000000,0", "32 bits");
}

/* Two in one VM: the first that answers counts. */
static void the_first_one_counts(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev cpu-model msr 5,6 brand first "
					"vdev cpu-model msr 5,7 msr 8,9 brand second");
	uint64_t value;
	uint32_t regs[4];

	(void)state;
	assert_true(vdevtest_msr(t, false, 5, &value));
	assert_int_equal(value, 6);
	assert_true(vdevtest_msr(t, false, 8, &value));
	assert_int_equal(value, 9);
	assert_true(vdevtest_cpuid(t, 0x80000002, regs));
	assert_memory_equal(regs, "first", 6);
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(brand_is_spread_over_three_leaves),
		cmocka_unit_test(registers_read_as_given),
		cmocka_unit_test(the_first_one_counts),
	};

	return cmocka_run_group_tests_name("cpu-model", tests, NULL, NULL);
}
