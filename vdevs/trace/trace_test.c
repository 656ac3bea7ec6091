/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define CELL	0xfa000000u
#define CONF	"ram 1m vdev trace loc 0xfa000000 "
#define NOTHING UINT32_MAX

static uint32_t get(struct vdevtest *t, uint64_t addr)
{
	return (uint32_t)vdevtest_read(t, VDEVTEST_MEM, addr, 4);
}

static void set(struct vdevtest *t, uint64_t addr, uint32_t value)
{
	vdevtest_write(t, VDEVTEST_MEM, addr, 4, value);
}

static void counts_seconds(void **state)
{
	struct vdevtest *t = test_start(CONF);
	int64_t start;
	uint32_t first;

	(void)state;
	wait_until(get(t, CELL) == 1);
	start = test_now_ms();
	first = get(t, CELL);
	wait_until(get(t, CELL) >= first + 2);
	assert_in_range(test_now_ms() - start, 1500, WAIT_MS);
	vdevtest_end(t);
}

static void is_written(void **state)
{
	struct vdevtest *t = test_start(CONF);

	(void)state;
	set(t, CELL, 0xfffffff0);
	assert_in_range(get(t, CELL), 0xfffffff0, 0xfffffff2);
	set(t, CELL, 5);
	wait_until(get(t, CELL) == 6);
	vdevtest_end(t);
}

static void is_32_bits_wide(void **state)
{
	struct vdevtest *t = test_start(CONF);

	(void)state;
	set(t, CELL, 0x11223344);
	for (unsigned len = 1; len <= 8; len *= 2) {
		if (len == 4)
			continue;
		assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, CELL, len),
				 UINT64_MAX >> (64 - 8 * len));
		vdevtest_write(t, VDEVTEST_MEM, CELL, len, 0);
	}
	assert_int_equal(get(t, CELL + 4), NOTHING);
	assert_int_equal(get(t, CELL - 4), NOTHING);
	assert_in_range(get(t, CELL), 0x11223344, 0x11223346);
	vdevtest_end(t);
}

static void two_instances(void **state)
{
	struct vdevtest *t =
		test_start("ram 1m vdev trace loc 0xfa000000 vdev trace loc mem:0xfa000004");

	(void)state;
	set(t, CELL, 1000);
	set(t, CELL + 4, 2000);
	assert_in_range(get(t, CELL), 1000, 1002);
	assert_in_range(get(t, CELL + 4), 2000, 2002);
	vdevtest_end(t);
}

/* What is on standard error while `t` is asked. */
static void says_accesses(void **state)
{
	struct test_dir dir;
	char text[4096] = "";
	int saved, fd;

	(void)state;
	test_dir_make(&dir);
	fd = open(dir.file, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	fflush(stderr);
	saved = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	struct vdevtest *t = vdevtest_start(CONF "emit-logger");

	if (t) {
		set(t, CELL, 77);
		get(t, CELL);
		vdevtest_end(t);
	}
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_non_null(t);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "vdev trace: write 77"));
	assert_non_null(strstr(text, "vdev trace: read 77"));
	close(fd);
	test_dir_remove(&dir);
}

static void refusals(void **state)
{
	(void)state;
	test_refused("ram 1m vdev trace", "needs a place");
	test_refused("ram 1m vdev trace loc io:0x300", "kind of place");
	test_refused(CONF "emit-trace", "emit-trace");
	test_refused(CONF "emit-trace 1024", "Invalid argument");
	test_refused(CONF "emit-trace x", "Invalid argument");
	test_refused(CONF "intr pic:3", "pic");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_seconds),  cmocka_unit_test(is_written),
		cmocka_unit_test(is_32_bits_wide), cmocka_unit_test(two_instances),
		cmocka_unit_test(says_accesses),   cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
