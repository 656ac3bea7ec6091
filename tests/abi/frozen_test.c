/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared objects that were built long ago, loaded and driven: what their authors were promised
 * still holds. README.md says how they were made, and that they are never made again.
 */
#include <qvm/x/test.h>
#include "../../vdevs/common/test_util.h"

#define CELL 0xfa000000u

/* The documented API: options, a place, a thread, v_mtx, values to and from the guest, the log. */
static void trace(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev trace loc 0xfa000000 emit-logger "
					"vdev trace loc 0xfa000004 name second");
	uint32_t value;

	(void)state;
	vdevtest_write(t, VDEVTEST_MEM, CELL, 4, 1000);
	vdevtest_write(t, VDEVTEST_MEM, CELL + 4, 4, 5);
	assert_in_range(vdevtest_read(t, VDEVTEST_MEM, CELL, 4), 1000, 1002);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, CELL, 2), 0xffff);
	value = (uint32_t)vdevtest_read(t, VDEVTEST_MEM, CELL + 4, 4);
	wait_until(vdevtest_read(t, VDEVTEST_MEM, CELL + 4, 4) > value);
	vdevtest_end(t);
	test_refused("ram 1m vdev trace", "needs a place");
	test_refused("ram 1m vdev trace loc 0xfa000000 emit-trace x", "Invalid argument");
}

/* Typed options, VirtIO, served queues, the vdev's thread, resets. */
static void entropy(void **state)
{
	struct vdevtest *t = test_start("ram 8m vdev virtio-entropy delayed packed no");
	uint64_t gpa = vdevtest_alloc(t, 4096, 4096);
	const uint8_t *p = vdevtest_ram(t, gpa, 4096);
	static const uint8_t none[32];

	(void)state;
	assert_int_equal(vdevtest_pci_read(t, 1, 0, 4), 0x10441af4);
	for (unsigned round = 0; round < 3; round++) {
		struct vdevtest_virtio *v = vdevtest_virtio_start(t, 1, UINT64_MAX, 64);
		const struct vdevtest_buf buf = { gpa + round * 64, 32, true };
		unsigned head = vdevtest_virtio_add(v, 0, &buf, 1), used = ~0u;
		uint32_t len = 0;

		vdevtest_virtio_kick(v, 0);
		assert_true(vdevtest_virtio_used(v, 0, WAIT_MS, &used, &len));
		assert_int_equal(used, head);
		assert_int_equal(len, 32);
		assert_memory_not_equal(p + round * 64, none, 32);
		assert_memory_equal(p + round * 64 + 32, none, 32);
		vdevtest_virtio_end(v);
	}
	vdevtest_end(t);
	test_refused("ram 8m vdev virtio-entropy legacy", "legacy");
	test_refused("ram 8m vdev virtio-entropy nothing", "nothing");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(trace), cmocka_unit_test(entropy) };

	return cmocka_run_group_tests_name("frozen", tests, NULL, NULL);
}
