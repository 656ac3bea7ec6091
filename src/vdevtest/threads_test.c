/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four vCPU threads of the bench on one virtio-blk for 10 seconds: BAR moves, resets with requests
 * in flight, random register accesses, doorbells and MSI-X changes, all at once. Built with TSan it
 * finds races; in any build the device must work again afterwards. Argument: seconds.
 */
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <qvm/x/test.h>
#include <virtio.h>

enum {
	DEV = 1,
	BAR_SIZE = 0x4000,
	QUEUE_SIZE = 16,
	DESC = 0x10000,
	AVAIL = 0x11000,
	USED = 0x12000,
	HEADER = 0x13000,
	DATA = 0x20000,
	DATA_LEN = 4096,
	ROUNDS_MIN = 10,
};

/* Offsets in BAR 0 (docs/design/virtio.md). */
enum {
	STATUS = 20,
	FEATURE_SELECT = 8,
	FEATURE = 12,
	QUEUE_SELECT = 22,
	QUEUE_REG_SIZE = 24,
	QUEUE_ENABLE = 28,
	QUEUE_DESC = 32,
	DOORBELL = 0x3000
};

static const uint64_t places[2] = { 0xea000000, 0xea100000 };
static const uint64_t ecam = 0xe0000000 + (DEV << 15);
static unsigned seconds = 10;
static _Atomic bool stop;

struct worker {
	pthread_t thread;
	struct vdevtest_cpu *cpu;
	unsigned seed;
	uint64_t rounds;
	void (*step)(struct worker *w, uint64_t bar);
};

static uint32_t rnd(struct worker *w)
{
	w->seed = w->seed * 1103515245u + 12345u;
	return w->seed >> 8;
}

static void put(struct worker *w, uint64_t addr, unsigned len, uint64_t v)
{
	vdevtest_cpu_write(w->cpu, VDEVTEST_MEM, addr, len, v);
}

static uint64_t get(struct worker *w, uint64_t addr, unsigned len)
{
	return vdevtest_cpu_read(w->cpu, VDEVTEST_MEM, addr, len);
}

static void step_move(struct worker *w, uint64_t bar)
{
	(void)bar;
	put(w, ecam + 0x10, 4, places[rnd(w) & 1]);
	put(w, ecam + 4, 2, (rnd(w) & 7) ? 6 : 0);
}

static void step_reset(struct worker *w, uint64_t bar)
{
	put(w, bar + STATUS, 1, 0);
	for (unsigned i = 0; i < 1000 && get(w, bar + STATUS, 1) != 0; i++)
		sched_yield();
	put(w, bar + STATUS, 1, 3);
	put(w, bar + FEATURE_SELECT, 4, 1);
	put(w, bar + FEATURE, 4, 1);
	put(w, bar + STATUS, 1, 11);
	put(w, bar + QUEUE_SELECT, 2, 0);
	put(w, bar + QUEUE_REG_SIZE, 2, QUEUE_SIZE);
	for (unsigned i = 0; i < 3; i++) {
		put(w, bar + QUEUE_DESC + 8 * i, 4, DESC + 0x1000 * i);
		put(w, bar + QUEUE_DESC + 8 * i + 4, 4, 0);
	}
	put(w, bar + QUEUE_ENABLE, 2, 1);
	put(w, bar + STATUS, 1, 15);
	put(w, bar + DOORBELL, 2, 0);
	if (rnd(w) & 1)
		usleep(200);
}

static void step_registers(struct worker *w, uint64_t bar)
{
	unsigned len = 1u << (rnd(w) & 3);
	uint64_t addr = bar + (rnd(w) & (BAR_SIZE - 1));

	/* Addresses of queues are left alone: a ring in live memory of the test would be a race of
	 * the test's. */
	if (addr - bar >= QUEUE_DESC && addr - bar < QUEUE_DESC + 24)
		return;
	(void)get(w, addr, len);
	if (addr - bar >= 0x1000)
		put(w, addr, len, rnd(w));
}

static void step_interrupts(struct worker *w, uint64_t bar)
{
	uint64_t table = get(w, ecam + 0x14, 4) & ~UINT64_C(15);

	put(w, bar + DOORBELL, (rnd(w) & 1) ? 2 : 4, 0);
	put(w, table, 4, 0xfee00000);
	put(w, table + 8, 4, rnd(w));
	put(w, table + 12, 4, rnd(w) & 1);
	(void)get(w, bar + 0x1000, 1);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	/* On a loaded machine a thread may get its turn late: all do some rounds, however long that
	 * takes. */
	while (!atomic_load(&stop) || w->rounds < ROUNDS_MIN) {
		w->step(w, places[rnd(w) & 1]);
		w->rounds++;
	}
	return NULL;
}

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* Five read requests that stand in the ring from the start. */
static void make_ring(struct vdevtest *t)
{
	struct desc *desc = vdevtest_ram(t, DESC, QUEUE_SIZE * sizeof(*desc));
	uint16_t *avail = vdevtest_ram(t, AVAIL, 4096);

	for (unsigned i = 0; i < 5; i++) {
		desc[3 * i] = (struct desc){ HEADER, 16, VIRTQ_DESC_F_NEXT, (uint16_t)(3 * i + 1) };
		desc[3 * i + 1] = (struct desc){ DATA + i * DATA_LEN, DATA_LEN,
						 VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE,
						 (uint16_t)(3 * i + 2) };
		desc[3 * i + 2] = (struct desc){ DATA + 0x10000 + i, 1, VIRTQ_DESC_F_WRITE, 0 };
		avail[2 + i] = (uint16_t)(3 * i);
	}
	avail[1] = 5;
}

static void test_four_vcpus_on_one_device(void **state)
{
	static void (*const steps[])(struct worker *, uint64_t) = { step_move, step_reset,
								    step_registers,
								    step_interrupts };
	struct worker workers[4];
	char path[] = "/tmp/threads-XXXXXX", text[128];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	snprintf(text, sizeof(text), "ram 16m vdev virtio-blk hostdev %s", path);
	struct vdevtest *t = vdevtest_start(text);

	if (!t)
		fail_msg("%s", vdevtest_errors());
	make_ring(t);
	for (unsigned i = 0; i < 4; i++) {
		workers[i] = (struct worker){ .cpu = vdevtest_cpu_create(t),
					      .seed = i + 1,
					      .step = steps[i] };
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	sleep(seconds);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(workers[i].thread, NULL);
		vdevtest_cpu_free(workers[i].cpu);
	}
	/* The device is still a device: reset, negotiate, read a sector. */
	vdevtest_pci_write(t, DEV, 0x10, 4, (uint32_t)places[0]);
	struct vdevtest_virtio *v = vdevtest_virtio_start(t, DEV, UINT64_MAX, QUEUE_SIZE);
	uint64_t gpa = vdevtest_alloc(t, 1024, 16);
	const struct vdevtest_buf bufs[] = { { gpa, 16, false },
					     { gpa + 512, 512, true },
					     { gpa + 32, 1, true } };
	unsigned head;
	uint32_t len;

	*(uint8_t *)vdevtest_ram(t, gpa + 32, 1) = 0xff;
	vdevtest_virtio_add(v, 0, bufs, 3);
	vdevtest_virtio_kick(v, 0);
	assert_true(vdevtest_virtio_used(v, 0, 5000, &head, &len));
	assert_int_equal(len, 513);
	assert_int_equal(*(uint8_t *)vdevtest_ram(t, gpa + 32, 1), 0);
	vdevtest_virtio_end(v);
	vdevtest_end(t);
	close(fd);
	unlink(path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_four_vcpus_on_one_device) };

	if (argc > 1)
		seconds = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
