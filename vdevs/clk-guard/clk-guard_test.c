/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define BASE 0x9010000

static struct vdevtest *start(const char *rules)
{
	char text[512];

	snprintf(text, sizeof(text), "ram 1m vdev clk-guard loc mem:0x9010000 length 0x20 %s",
		 rules);
	struct vdevtest *t = vdevtest_start(text);

	assert_non_null(t);
	return t;
}

static uint32_t in(struct vdevtest *t, unsigned offset)
{
	return (uint32_t)vdevtest_read(t, VDEVTEST_MEM, BASE + offset, 4);
}

static void out(struct vdevtest *t, unsigned offset, uint32_t value)
{
	vdevtest_write(t, VDEVTEST_MEM, BASE + offset, 4, value);
}

static void each_register_has_its_rule(void **state)
{
	struct vdevtest *t = start("rule 0=allow rule 4=deny rule 8=read-only rule c=mask,ff "
				   "rule 10,8=shadow default read-only");
	uint32_t *device = vdevtest_passed(t);

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		device[i] = 0x11110000 + i;
	assert_int_equal(in(t, 0), 0x11110000);
	out(t, 0, 1);
	assert_int_equal(device[0], 1);

	assert_int_equal(in(t, 4), 0);
	out(t, 4, 2);
	assert_int_equal(device[1], 0x11110001);

	assert_int_equal(in(t, 8), 0x11110002);
	out(t, 8, 3);
	assert_int_equal(device[2], 0x11110002);

	out(t, 0xc, 0x2222aabb);
	assert_int_equal(device[3], 0x111100bb);
	assert_int_equal(in(t, 0xc), 0x111100bb);

	out(t, 0x10, 4);
	assert_int_equal(device[4], 0x11110004);
	assert_int_equal(in(t, 0x10), 4);
	assert_int_equal(in(t, 0x14), 0x11110005); /* the shadow began as the device */
	device[5] = 0;
	assert_int_equal(in(t, 0x14), 0x11110005);

	assert_int_equal(in(t, 0x18), 0x11110006);
	out(t, 0x18, 5);
	assert_int_equal(device[6], 0x11110006);
	vdevtest_end(t);
}

/* The bits of a mask are the register's, however little of it an access takes. */
static void a_mask_holds_for_a_part_of_a_register(void **state)
{
	struct vdevtest *t = start("rule c=mask,a5ff rule 10,8=mask,ffffffff");
	uint32_t *device = vdevtest_passed(t);

	(void)state;
	for (unsigned i = 1; i < 4; i++)
		vdevtest_write(t, VDEVTEST_MEM, BASE + 0xc + i, 1, 0xff);
	assert_int_equal(device[3], 0xa500);
	vdevtest_write(t, VDEVTEST_MEM, BASE + 0xd, 2, 0x5a5a);
	vdevtest_write(t, VDEVTEST_MEM, BASE + 0xe, 2, 0xffff);
	vdevtest_write(t, VDEVTEST_MEM, BASE + 0xf, 2, 0xffff);
	assert_int_equal(device[3], 0);
	vdevtest_write(t, VDEVTEST_MEM, BASE + 0xc, 1, 0xab);
	assert_int_equal(device[3], 0xab);
	out(t, 0x14, UINT32_MAX);
	assert_int_equal(device[5], 0);
	vdevtest_write(t, VDEVTEST_MEM, BASE + 0x10, 8, UINT64_MAX);
	assert_int_equal(device[4], UINT32_MAX);
	assert_int_equal(device[5], 0);
	vdevtest_end(t);
	test_refused("ram 1m vdev clk-guard loc mem:0x9010000 length 0x20 rule 0,9=mask,ff",
		     "at most 8 bytes");
}

static void a_shadow_of_any_width_begins_as_the_device(void **state)
{
	struct vdevtest *t = start("rule 2,2=shadow rule 5,1=shadow");
	uint8_t *device = vdevtest_passed(t);

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		device[i] = (uint8_t)(0x10 + i);
	vdevtest_write(t, VDEVTEST_MEM, BASE + 3, 1, 0xaa);
	vdevtest_write(t, VDEVTEST_MEM, BASE + 5, 1, 0xbb);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, BASE + 2, 2), 0xaa12);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, BASE + 5, 1), 0xbb);
	assert_int_equal(device[3], 0x13);
	vdevtest_end(t);
}

static void a_rule_beyond_the_length_is_refused(void **state)
{
	(void)state;
	assert_null(vdevtest_start("ram 1m vdev clk-guard loc mem:0x9010000 rule 4=allow"));
	assert_null(vdevtest_start(
		"ram 1m vdev clk-guard loc mem:0x9010000 rule 0xfffffffffffffffc,4=allow"));
}

static void an_access_over_a_border_is_refused(void **state)
{
	struct vdevtest *t = start("rule 0=allow rule 4=deny");
	uint8_t *device = vdevtest_passed(t);

	(void)state;
	vdevtest_write(t, VDEVTEST_MEM, BASE, 8, UINT64_MAX);
	vdevtest_write(t, VDEVTEST_MEM, BASE + 2, 4, UINT32_MAX);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(device[i], 0);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, BASE, 8), 0);
	vdevtest_write(t, VDEVTEST_MEM, BASE + 1, 1, 0xab);
	assert_int_equal(device[1], 0xab);
	vdevtest_end(t);
}

static void without_a_rule_nothing_gets_through(void **state)
{
	struct vdevtest *t = start("");
	uint32_t *device = vdevtest_passed(t);

	(void)state;
	device[0] = 7;
	out(t, 0, 1);
	assert_int_equal(device[0], 7);
	assert_int_equal(in(t, 0), 0);
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_register_has_its_rule),
		cmocka_unit_test(a_mask_holds_for_a_part_of_a_register),
		cmocka_unit_test(a_shadow_of_any_width_begins_as_the_device),
		cmocka_unit_test(a_rule_beyond_the_length_is_refused),
		cmocka_unit_test(an_access_over_a_border_is_refused),
		cmocka_unit_test(without_a_rule_nothing_gets_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
