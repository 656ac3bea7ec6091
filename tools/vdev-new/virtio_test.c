/* SPDX-License-Identifier: 0BSD */
/* The guest's driver is played by this program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <qvm/x/test.h>

enum { DEV = 1, QUEUE_SIZE = 64, WAIT_MS = 10000 };

static void inverts(void **state)
{
	struct vdevtest *t = vdevtest_start("ram 8m vdev @NAME@");

	(void)state;
	if (!t)
		fail_msg("%s", vdevtest_errors());
	struct vdevtest_virtio *v = vdevtest_virtio_start(t, DEV, UINT64_MAX, QUEUE_SIZE);
	uint64_t gpa = vdevtest_alloc(t, 64, 16);
	uint8_t *p = vdevtest_ram(t, gpa, 64);
	const struct vdevtest_buf bufs[] = { { gpa, 5, false }, { gpa + 32, 8, true } };
	unsigned head, used;
	uint32_t len = 0;

	assert_int_equal(vdevtest_virtio_config(v, 0, 4), 4096);
	memcpy(p, "hello", 5);
	head = vdevtest_virtio_add(v, 0, bufs, 2);
	vdevtest_virtio_kick(v, 0);
	assert_true(vdevtest_virtio_used(v, 0, WAIT_MS, &used, &len));
	assert_int_equal(used, head);
	assert_int_equal(len, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(p[32 + i], (uint8_t)~"hello"[i]);
	assert_int_equal(p[37], 0);
	vdevtest_virtio_end(v);
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inverts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
