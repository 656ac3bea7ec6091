/* SPDX-License-Identifier: Apache-2.0 */
/* vdev ramblk driven as a guest would: a vdev with a worker of its own, from documented calls. */
#include <qvm/x/test.h>
#include "../../vdevs/common/test_util.h"

#define DEV	   1
#define TIMEOUT_MS 10000
#define QUEUE_SIZE 16

enum { IN = 0, OUT = 1, GET_ID = 8 };

struct fixture {
	struct vdevtest *t;
	struct vdevtest_virtio *v;
	uint64_t head, data, status; /* guest-physical */
};

static struct fixture start(const char *configuration)
{
	struct fixture f = { .t = test_start(configuration) };

	f.v = vdevtest_virtio_start(f.t, DEV, UINT64_MAX, QUEUE_SIZE);
	f.head = vdevtest_alloc(f.t, 16, 16);
	f.data = vdevtest_alloc(f.t, 8192, 4096);
	f.status = vdevtest_alloc(f.t, 1, 1);
	return f;
}

static void end(struct fixture *f)
{
	vdevtest_virtio_end(f->v);
	vdevtest_end(f->t);
}

static void submit(struct fixture *f, unsigned queue, uint32_t type, uint64_t sector, uint32_t len)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} req = { type, 0, sector };
	const struct vdevtest_buf bufs[] = { { f->head, 16, false },
					     { f->data, len / 2, type != OUT },
					     { f->data + len / 2, len - len / 2, type != OUT },
					     { f->status, 1, true } };

	memcpy(vdevtest_ram(f->t, f->head, 16), &req, sizeof(req));
	*(uint8_t *)vdevtest_ram(f->t, f->status, 1) = 0xff;
	vdevtest_virtio_add(f->v, queue, bufs, 4);
	vdevtest_virtio_kick(f->v, queue);
}

static uint8_t run(struct fixture *f, unsigned queue, uint32_t type, uint64_t sector, uint32_t len)
{
	submit(f, queue, type, sector, len);
	assert_true(vdevtest_virtio_used(f->v, queue, TIMEOUT_MS, NULL, NULL));
	return *(uint8_t *)vdevtest_ram(f->t, f->status, 1);
}

/* By registers in memory: what is there is what a driver looks for. */
static void it_lies_in_memory_too(void **state)
{
	struct vdevtest *t = test_start("ram 64m vdev ioapic name io "
					"vdev ramblk loc 0x1c0d0000 intr io:16 size 65536");

	(void)state;
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x1c0d0000, 4), 0x74726976);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x1c0d0008, 4), 2); /* a disk */
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x1c0d0100, 4), 128);
	vdevtest_end(t);
}

static void both_queues_reach_one_disk(void **state)
{
	struct fixture f = start("ram 64m vdev ramblk size 65536 serial number-7");
	char *p = vdevtest_ram(f.t, f.data, 8192);

	(void)state;
	assert_int_equal(vdevtest_virtio_config(f.v, 0, 8), 128);
	assert_int_equal(vdevtest_virtio_config(f.v, 34, 2), 2);
	for (unsigned i = 0; i < 8192; i++)
		p[i] = (char)(i * 7 >> 3);
	assert_int_equal(run(&f, 0, OUT, 5, 8192), 0);
	memset(p, 0, 8192);
	assert_int_equal(run(&f, 1, IN, 5, 8192), 0);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(p[i], (char)(i * 7 >> 3));
	assert_int_equal(run(&f, 1, GET_ID, 0, 40), 0);
	assert_string_equal(p, "number-7");
	assert_int_equal(run(&f, 0, IN, 127, 1024), 1); /* over the end */
	assert_int_equal(run(&f, 0, IN, UINT64_MAX, 512), 1);
	assert_int_equal(run(&f, 0, 77, 0, 512), 2);
	end(&f);
}

/* A reset comes while the worker works; it waits, and the device is as new. */
static void a_reset_waits_for_the_worker(void **state)
{
	struct fixture f = start("ram 64m vdev ramblk");

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 3; i++)
			submit(&f, round % 2, round % 3 ? IN : OUT, round, 8192);
		vdevtest_virtio_end(f.v);
		f.v = vdevtest_virtio_start(f.t, DEV, UINT64_MAX, QUEUE_SIZE);
	}
	assert_int_equal(run(&f, 1, IN, 0, 8192), 0);
	end(&f);
	test_refused("ram 1m vdev ramblk size 100", "sectors of 512 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_queues_reach_one_disk),
		cmocka_unit_test(it_lies_in_memory_too),
		cmocka_unit_test(a_reset_waits_for_the_worker),
	};

	return cmocka_run_group_tests_name("ramblk", tests, NULL, NULL);
}
