/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MMIO transport from the guest's side, on the bench: the rows MMIO-1 to MMIO-21, B1 and B4 by
 * this transport, DRV-11, DRV-24 and DRV-25, and a device that is driven through it. The test is
 * guest, vdev and loop thread in one.
 */
#include "virtio/testing.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "engine/bench/bench.h"
#include "engine/engine.h"
#include "virtio/device.h"
#include "virtio/mmio.h"

enum {
	QUEUES = 3,
	UNSERVED = 2, /* the queue that is the owner's */
	MAX_SIZE = 128,
	CONFIG_SIZE = 20,
	BASE = 0x1c0d0000,

	MAGIC = 0x000,
	VERSION = 0x004,
	DEVICE_ID = 0x008,
	VENDOR_ID = 0x00c,
	DEVICE_FEATURES = 0x010,
	DEVICE_FEATURES_SEL = 0x014,
	DRIVER_FEATURES = 0x020,
	DRIVER_FEATURES_SEL = 0x024,
	QUEUE_SEL = 0x030,
	QUEUE_SIZE_MAX = 0x034,
	QUEUE_SIZE = 0x038,
	QUEUE_READY = 0x044,
	QUEUE_NOTIFY = 0x050,
	INTERRUPT_STATUS = 0x060,
	INTERRUPT_ACK = 0x064,
	STATUS = 0x070,
	QUEUE_DESC = 0x080,
	QUEUE_DRIVER = 0x090,
	QUEUE_DEVICE = 0x0a0,
	SHM_SEL = 0x0ac,
	SHM_LEN = 0x0b0,
	SHM_BASE = 0x0b8,
	QUEUE_RESET = 0x0c0,
	GENERATION = 0x0fc,
	CONFIG = 0x100,
};

struct fixture {
	struct engine *engine;
	struct memory *mem;
	struct virtio_device *vd;
	struct virtio_mmio *vm;
	struct ring ring;
	uint8_t config[CONFIG_SIZE];
	bool line, stall; /* stall: the back end keeps what it was given */
	unsigned edges, last_event, notifies, num_served, kicks;
};

static void on_line(void *opaque, bool level)
{
	struct fixture *f = opaque;

	assert_true(level != f->line);
	f->edges += level;
	f->line = level;
}

static void on_kick(void *opaque, unsigned queue, struct virtqueue *vq)
{
	struct fixture *f = opaque;
	struct qvmx_request req;

	(void)queue;
	f->kicks++;
	while (virtqueue_next(vq, &req) == 1) {
		if (f->stall)
			continue;
		for (unsigned i = 0; i < req.num_write; i++)
			memset(req.iov[req.num_read + i].iov_base, 0x5a,
			       req.iov[req.num_read + i].iov_len);
		virtqueue_done(vq, req.id, (uint32_t)req.write_len);
	}
	virtqueue_flush(vq);
}

static bool on_stop(void *opaque, unsigned queue, struct virtqueue *vq)
{
	const struct fixture *f = opaque;

	(void)queue, (void)vq;
	return !f->stall;
}

static const struct virtio_queue_ops queue_ops = { .kick = on_kick, .stop = on_stop };

static void on_broken(void *owner, unsigned queue, const char *why)
{
	(void)owner, (void)queue, (void)why;
}

static void create_on(struct fixture *f, unsigned num_served)
{
	const struct virtio_device_info info = {
		.type = VIRTIO_ID_BLOCK,
		.num_queues = QUEUES,
		.config_size = CONFIG_SIZE,
		.features = { 1u << 9 | 1u << 5, 1u << 9, 1u << 3, 0 },
		.broken = on_broken,
	};
	const struct virtio_mmio_info mmio = { .line_set = on_line, .opaque = f };

	assert_int_equal(virtio_device_create(&info, f->mem, &f->vd), 0);
	f->num_served = num_served;
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_int_equal(virtio_device_queue_init(f->vd, i, MAX_SIZE), 0);
		if (i < num_served)
			assert_int_equal(virtio_device_queue_serve(f->vd, i, &queue_ops, f), 0);
	}
	assert_int_equal(virtio_mmio_create(f->vd, &mmio, &f->vm), 0);
	virtio_mmio_attach(f->vm, f->engine, BASE);
	for (unsigned i = 0; i < CONFIG_SIZE; i++)
		f->config[i] = (uint8_t)(0xc0 + i);
}

static void destroy_on(struct fixture *f)
{
	virtio_mmio_destroy(f->vm);
	virtio_device_destroy(f->vd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->mem = testing_memory();
	f->engine = bench_create();
	create_on(f, UNSERVED);
	*state = f;
	return 0;
}

static int setup_served(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->mem = testing_memory();
	f->engine = bench_create();
	create_on(f, QUEUES);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	destroy_on(f);
	f->engine->ops->destroy(f->engine);
	memory_destroy(f->mem);
	free(f);
	return 0;
}

/* What a vdev's vread and vwrite do. */
static uint64_t access_len(struct fixture *f, unsigned offset, unsigned len, bool write,
			   uint64_t value)
{
	unsigned event, detail;

	if (write && bench_doorbell(f->engine, ENGINE_MEM, BASE + offset, len, value))
		return 0;
	event = write ? virtio_mmio_write(f->vm, offset, len, value)
		      : virtio_mmio_read(f->vm, offset, len, &value);
	detail = event & ~VIOREF_CLASS_MASK;
	switch (event & VIOREF_CLASS_MASK) {
	case VIOREF_DEVCFG:
		assert_true(detail + len <= CONFIG_SIZE);
		assert_int_equal(write ? 0 : value, 0);
		memcpy(write ? (void *)(f->config + detail) : &value,
		       write ? (const void *)&value : f->config + detail, len);
		break;
	case VIOREF_RESET:
		virtio_device_reset_finish(f->vd);
		break;
	case VIOREF_STATUS:
		if (detail & VIRTIO_STATUS_DRIVER_OK)
			assert_int_equal(virtio_device_setup_queues(f->vd), 0);
		break;
	case VIOREF_NOTIFY:
		assert_int_equal(detail, UNSERVED);
		f->notifies++;
		break;
	}
	f->last_event = event;
	return value;
}

static uint32_t get(struct fixture *f, unsigned reg)
{
	return (uint32_t)access_len(f, reg, 4, false, 0);
}

static void put(struct fixture *f, unsigned reg, uint32_t value)
{
	(void)access_len(f, reg, 4, true, value);
}

static void put64(struct fixture *f, unsigned reg, uint64_t value)
{
	put(f, reg, (uint32_t)value);
	put(f, reg + 4, (uint32_t)(value >> 32));
}

static void run_loop(struct fixture *f)
{
	for (bool more = true; more;) {
		more = false;
		for (unsigned i = 0; i < f->num_served; i++) {
			struct pollfd p = { .fd = virtio_device_queue_fd(f->vd, i),
					    .events = POLLIN };

			if (poll(&p, 1, 0) != 1)
				continue;
			virtio_device_queue_kicked(f->vd, i);
			more = true;
		}
	}
}

static void reset(struct fixture *f)
{
	put(f, STATUS, 0);
	run_loop(f);
	assert_int_equal(get(f, STATUS), 0);
}

static void negotiate(struct fixture *f, uint32_t high)
{
	reset(f);
	put(f, STATUS, 1);
	put(f, STATUS, 3);
	put(f, DRIVER_FEATURES_SEL, 1);
	put(f, DRIVER_FEATURES, high);
	put(f, STATUS, 0xb);
	assert_int_equal(get(f, STATUS), 0xb);
}

static void setup_queue(struct fixture *f, unsigned queue)
{
	ring_init(&f->ring, f->mem, MAX_SIZE);
	for (unsigned i = 0; i < MAX_SIZE; i++)
		ring_desc(&f->ring, i, BUFFERS + 16 * i, 8, VIRTQ_DESC_F_WRITE, 0);
	put(f, QUEUE_SEL, queue);
	put(f, QUEUE_SIZE, MAX_SIZE);
	put64(f, QUEUE_DESC, f->ring.desc);
	put64(f, QUEUE_DRIVER, f->ring.avail);
	put64(f, QUEUE_DEVICE, f->ring.used);
	put(f, QUEUE_READY, 1);
	assert_int_equal(get(f, QUEUE_READY), 1);
}

static void drive(struct fixture *f, unsigned queue, uint32_t high)
{
	negotiate(f, high);
	setup_queue(f, queue);
	put(f, STATUS, 0xf);
	run_loop(f);
}

static void one_request(struct fixture *f, unsigned queue)
{
	uint16_t before = ring_used_idx(&f->ring);

	ring_offer(&f->ring, (uint16_t)(f->ring.idx % MAX_SIZE));
	put(f, QUEUE_NOTIFY, queue);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), (uint16_t)(before + 1));
}

/* MMIO-1, 2, 14: what a driver looks at first. MMIO-15, 21: features by word. */
static void test_discovery(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, MAGIC), 0x74726976);
	assert_int_equal(get(f, VERSION), 2);
	assert_int_equal(get(f, DEVICE_ID), 2);
	assert_int_equal(get(f, VENDOR_ID), 0x1c05);
	assert_int_equal(get(f, DEVICE_FEATURES) & (1u << 9 | 1u << 5), 1u << 9 | 1u << 5);
	put(f, DEVICE_FEATURES_SEL, 1);
	assert_int_equal(get(f, DEVICE_FEATURES) & 1, 1);
	/* ADMIN_VQ, bit 41, though the vdev asked for it. */
	assert_int_equal(get(f, DEVICE_FEATURES) & 1u << 9, 0);
	put(f, DEVICE_FEATURES_SEL, 4);
	assert_int_equal(get(f, DEVICE_FEATURES), 0);
	put(f, DEVICE_FEATURES_SEL, UINT32_MAX);
	assert_int_equal(get(f, DEVICE_FEATURES), 0);
	assert_int_equal(virtio_mmio_size(f->vm), 0x200);
}

/* MMIO-16, 17, B4: queues by selector, whatever it is. */
static void test_selectors(void **state)
{
	static const uint32_t beyond[] = { QUEUES, 0xffff, 0x10000, 0x10001, UINT32_MAX };
	struct fixture *f = *state;

	negotiate(f, 1);
	setup_queue(f, 1);
	put(f, QUEUE_SEL, 0);
	assert_int_equal(get(f, QUEUE_READY), 0);
	assert_int_equal(get(f, QUEUE_SIZE_MAX), MAX_SIZE);
	for (unsigned i = 0; i < ARRAY_LEN(beyond); i++) {
		put(f, QUEUE_SEL, beyond[i]);
		put(f, QUEUE_SIZE, 8);
		put64(f, QUEUE_DESC, RING_DESC);
		put(f, QUEUE_READY, 1);
		put(f, QUEUE_RESET, 1);
		assert_int_equal(get(f, QUEUE_READY), 0);
		assert_int_equal(get(f, QUEUE_SIZE_MAX), 0);
		assert_int_equal(get(f, QUEUE_RESET), 0);
		put(f, QUEUE_NOTIFY, beyond[i]);
		assert_int_equal(f->last_event, VIOREF_NOP);
	}
	put(f, QUEUE_SEL, 1);
	assert_int_equal(get(f, QUEUE_READY), 1);
	put(f, QUEUE_READY, 2); /* neither */
	assert_int_equal(get(f, QUEUE_READY), 1);
	put(f, QUEUE_READY, 0);
	assert_int_equal(get(f, QUEUE_READY), 0);
	setup_queue(f, 1);
	put(f, STATUS, 0xf);
	run_loop(f);
	one_request(f, 1);
}

/* MMIO-18: no shared memory region, whichever is asked for. */
static void test_shared_memory(void **state)
{
	struct fixture *f = *state;

	for (unsigned sel = 0; sel < 256; sel += 51) {
		put(f, SHM_SEL, sel);
		for (unsigned reg = SHM_LEN; reg < SHM_BASE + 8; reg += 4)
			assert_int_equal(get(f, reg), UINT32_MAX);
	}
}

/* MMIO-19, MMIO-7: the configuration at every width, and its generation. DRV-6: nothing behind it.
 */
static void test_config(void **state)
{
	struct fixture *f = *state;
	uint32_t generation = get(f, GENERATION);

	for (unsigned len = 1; len <= 8; len *= 2) {
		for (unsigned at = 0; at + len <= CONFIG_SIZE; at++) {
			uint64_t value = 0;

			memcpy(&value, f->config + at, len);
			assert_int_equal(access_len(f, CONFIG + at, len, false, 0), value);
		}
	}
	assert_int_equal(access_len(f, CONFIG + CONFIG_SIZE, 1, false, 0), 0);
	assert_int_equal(access_len(f, CONFIG + CONFIG_SIZE - 1, 4, false, 0), 0);
	assert_int_equal(access_len(f, 0x1fe, 8, false, 0), 0);
	assert_int_equal(get(f, GENERATION), generation);
	virtio_device_config_changed(f->vd);
	assert_int_equal(get(f, GENERATION), generation + 1);
	assert_int_equal(get(f, GENERATION), generation + 1);
	/* DRV-5: writes count after FEATURES_OK only. */
	(void)access_len(f, CONFIG, 1, true, 0x11);
	assert_int_equal(f->config[0], 0xc0);
	negotiate(f, 1);
	(void)access_len(f, CONFIG, 1, true, 0x11);
	assert_int_equal(f->config[0], 0x11);
}

/* MMIO-3, 4, 5, 20: status bits, acknowledged one by one; the line is their OR. */
static void test_interrupts(void **state)
{
	struct fixture *f = *state;

	drive(f, 0, 1);
	assert_int_equal(get(f, INTERRUPT_STATUS), 0);
	put(f, INTERRUPT_ACK, 3);
	assert_false(f->line);
	one_request(f, 0);
	assert_int_equal(get(f, INTERRUPT_STATUS), 1);
	assert_true(f->line);
	one_request(f, 0);
	assert_int_equal(f->edges, 1);
	virtio_device_config_changed(f->vd);
	assert_int_equal(get(f, INTERRUPT_STATUS), 3);
	assert_int_equal(get(f, INTERRUPT_STATUS), 3); /* reading changes nothing */
	put(f, INTERRUPT_ACK, 1);
	assert_int_equal(get(f, INTERRUPT_STATUS), 2);
	assert_true(f->line);
	put(f, INTERRUPT_ACK, 0xfffffffd);
	assert_int_equal(get(f, INTERRUPT_STATUS), 2);
	put(f, INTERRUPT_ACK, 2);
	assert_int_equal(get(f, INTERRUPT_STATUS), 0);
	assert_false(f->line);
	one_request(f, 0);
	assert_int_equal(f->edges, 2);
	reset(f);
	assert_int_equal(get(f, INTERRUPT_STATUS), 0);
	assert_false(f->line);
	/* DRV-7: silent after the reset. */
	virtio_device_config_changed(f->vd);
	assert_false(f->line);
}

/* GEN-3: what breaks a queue is told by a configuration interrupt. */
static void test_needs_reset(void **state)
{
	struct fixture *f = *state;

	drive(f, 0, 1);
	ring_offer(&f->ring, MAX_SIZE);
	put(f, QUEUE_NOTIFY, 0);
	run_loop(f);
	assert_int_equal(get(f, STATUS), 0x4f);
	assert_int_equal(get(f, INTERRUPT_STATUS), 2);
	reset(f);
	assert_false(f->line);
}

/* B1, DRV-11: what describes a queue is frozen while it is ready. MMIO-6, 17. */
static void test_frozen(void **state)
{
	struct fixture *f = *state;

	drive(f, 0, 1);
	one_request(f, 0);
	put(f, QUEUE_SIZE, 8);
	for (unsigned reg = QUEUE_DESC; reg < QUEUE_DEVICE + 8; reg += 16)
		put64(f, reg, 0xdead0000dead0000);
	for (unsigned i = 0; i < 2 * MAX_SIZE; i++)
		one_request(f, 0);
	assert_int_equal(get(f, STATUS), 0xf);
	reset(f);
	for (unsigned i = 0; i < QUEUES; i++) {
		put(f, QUEUE_SEL, i);
		assert_int_equal(get(f, QUEUE_READY), 0);
		assert_int_equal(get(f, QUEUE_RESET), 0); /* MMIO-9 */
	}
	/* Sizes that are none: the one before them stays. */
	negotiate(f, 1);
	for (unsigned i = 0; i < 5; i++)
		put(f, QUEUE_SIZE, (const uint32_t[]){ 0, 3, 256, 0x10040, UINT32_MAX }[i]);
	setup_queue(f, 0);
	put(f, STATUS, 0xf);
	run_loop(f);
	one_request(f, 0);
}

/* MMIO-8: a queue that is not ready is not looked at; afterwards it can be set up anew. */
static void test_not_ready(void **state)
{
	struct fixture *f = *state;

	drive(f, 0, 1);
	one_request(f, 0);
	put(f, QUEUE_READY, 0);
	assert_int_equal(get(f, QUEUE_READY), 1); /* its thread has not heard of it */
	run_loop(f);
	assert_int_equal(get(f, QUEUE_READY), 0);
	ring_offer(&f->ring, 5);
	put(f, QUEUE_NOTIFY, 0);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), 1);
	setup_queue(f, 0);
	run_loop(f);
	one_request(f, 0);

	/* With a buffer in the host's hands: not before that has come back; its end is not told. */
	f->stall = true;
	ring_offer(&f->ring, 6);
	put(f, QUEUE_NOTIFY, 0);
	run_loop(f);
	put(f, QUEUE_READY, 0);
	assert_int_equal(get(f, QUEUE_READY), 1);
	run_loop(f);
	assert_int_equal(get(f, QUEUE_READY), 1);
	put(f, QUEUE_READY, 1); /* too early */
	f->stall = false;
	virtio_device_queue_stopped(f->vd, 0);
	assert_int_equal(get(f, QUEUE_READY), 0);
	assert_int_equal(ring_used_idx(&f->ring), 1);
	setup_queue(f, 0);
	run_loop(f);
	one_request(f, 0);
}

/* The owner's queue: an exit each, only while it lives; taken back, it rests until the reset. */
static void test_unserved(void **state)
{
	struct fixture *f = *state;

	negotiate(f, 1);
	setup_queue(f, UNSERVED);
	assert_int_equal(f->last_event, VIOREF_NOP); /* a read came after it */
	put(f, QUEUE_NOTIFY, UNSERVED);
	assert_int_equal(f->notifies, 0);
	put(f, STATUS, 0xf);
	put(f, QUEUE_NOTIFY, UNSERVED);
	assert_int_equal(f->notifies, 1);
	put(f, QUEUE_READY, 0);
	assert_int_equal(get(f, QUEUE_READY), 0);
	put(f, QUEUE_NOTIFY, UNSERVED);
	assert_int_equal(f->notifies, 1);
	put(f, QUEUE_READY, 1); /* nobody has said that its buffers came back */
	assert_int_equal(get(f, QUEUE_READY), 0);
	put(f, QUEUE_NOTIFY, UNSERVED);
	assert_int_equal(f->notifies, 1);
	reset(f);
	assert_int_equal(get(f, QUEUE_READY), 0);
	negotiate(f, 1);
	setup_queue(f, UNSERVED);
	put(f, STATUS, 0xf);
	put(f, QUEUE_NOTIFY, UNSERVED);
	assert_int_equal(f->notifies, 2);
}

/* MMIO-9 to 13: RING_RESET. */
static void test_queue_reset(void **state)
{
	struct fixture *f = *state;

	drive(f, 0, 1);
	put(f, QUEUE_RESET, 1); /* not negotiated */
	assert_int_equal(get(f, QUEUE_READY), 1);
	drive(f, 0, 1 | 1u << 8);
	one_request(f, 0);
	f->stall = true;
	ring_offer(&f->ring, 5);
	put(f, QUEUE_NOTIFY, 0);
	run_loop(f);
	put(f, QUEUE_RESET, 2);
	assert_int_equal(get(f, QUEUE_RESET), 0);
	put(f, QUEUE_RESET, 1);
	assert_int_equal(get(f, QUEUE_RESET), 1);
	run_loop(f);
	assert_int_equal(get(f, QUEUE_RESET), 1);
	f->stall = false;
	virtio_device_queue_stopped(f->vd, 0);
	assert_int_equal(get(f, QUEUE_RESET), 0);
	assert_int_equal(get(f, QUEUE_READY), 0);
	assert_int_equal(ring_used_idx(&f->ring), 1);
	setup_queue(f, 0);
	assert_int_equal(get(f, QUEUE_RESET), 0);
	run_loop(f);
	one_request(f, 0);
}

/* DRV-24, 25: doorbells by value and width; registers at any other width and place. */
static void test_widths(void **state)
{
	struct fixture *f = *state;
	unsigned kicks;

	drive(f, 0, 1);
	kicks = f->kicks;
	assert_true(bench_doorbell(f->engine, ENGINE_MEM, BASE + QUEUE_NOTIFY, 4, 1));
	assert_false(bench_doorbell(f->engine, ENGINE_MEM, BASE + QUEUE_NOTIFY, 2, 0));
	assert_false(bench_doorbell(f->engine, ENGINE_MEM, BASE + QUEUE_NOTIFY, 4, UNSERVED));
	assert_false(bench_doorbell(f->engine, ENGINE_MEM, BASE + QUEUE_NOTIFY, 4, 0x10000));
	run_loop(f);
	assert_int_equal(f->kicks, kicks); /* queue 1 is not ready */
	/* One that the engine did not take. */
	assert_int_equal(virtio_mmio_write(f->vm, QUEUE_NOTIFY, 4, 0), VIOREF_NOP);
	run_loop(f);
	assert_int_equal(f->kicks, kicks + 1);
	for (unsigned len = 1; len <= 8; len++) {
		for (unsigned at = 0; at < CONFIG; at++) {
			if (len == 4 && at % 4 == 0)
				continue;
			assert_int_equal(access_len(f, at, len, false, 0), 0);
			(void)access_len(f, at, len, true, 0);
			(void)access_len(f, at, len, true, UINT64_MAX);
		}
	}
	/* Registers that are read only, or not there; a reset is all bits of the status. */
	for (unsigned at = 0; at < CONFIG; at += 4) {
		if (at == QUEUE_READY || at == INTERRUPT_ACK || at == QUEUE_SEL)
			continue;
		put(f, at, 0xffffff00);
	}
	assert_int_equal(get(f, STATUS), 0xf);
	assert_int_equal(get(f, MAGIC), 0x74726976);
	one_request(f, 0);
}

/* An engine that has no room for doorbells: writes reach the transport, none is taken away. */
static int deaf_notify_set(struct engine *e, const struct engine_notify *n, bool on)
{
	(void)e, (void)n;
	assert_true(on);
	return -1;
}

static void test_no_doorbells(void **state)
{
	struct fixture *f = *state;
	struct engine_ops deaf = *f->engine->ops;
	const struct engine_ops *ops = f->engine->ops;

	destroy_on(f);
	deaf.notify_set = deaf_notify_set;
	f->engine->ops = &deaf;
	create_on(f, UNSERVED);
	drive(f, 0, 1);
	one_request(f, 0);
	destroy_on(f);
	f->engine->ops = ops;
	create_on(f, UNSERVED);
}

enum { RACES = 20000 };

struct race {
	struct fixture *f;
	_Atomic bool end;
	unsigned seed;
};

/* Hostile vCPUs: every register, any value, two at once; one more thread works the queues. */
static void *race_thread(void *arg)
{
	struct race *race = arg;
	unsigned seed = race->seed;

	for (unsigned i = 0; i < RACES; i++) {
		unsigned r = (unsigned)rand_r(&seed), reg = r / 16 % 64 * 4;
		uint64_t value = (uint64_t)rand_r(&seed) >> r % 32;

		if (reg == STATUS)
			value = (const uint64_t[]){ 0, 1, 3, 0xb, 0xf, 0xf, 0xf, 0x80 }[r % 8];
		if (r & 1)
			(void)virtio_mmio_read(race->f->vm, reg, 1u << r / 2 % 4, &value);
		else if (virtio_mmio_write(race->f->vm, reg, 4, value) == VIOREF_RESET)
			virtio_device_reset_finish(race->f->vd);
	}
	return NULL;
}

static void *race_loop(void *arg)
{
	struct race *race = arg;

	while (!race->end)
		run_loop(race->f);
	return NULL;
}

static void test_race(void **state)
{
	struct fixture *f = *state;
	struct race vcpus[2] = { { .f = f, .seed = 1 }, { .f = f, .seed = 2 } }, loop = { .f = f };
	pthread_t threads[2], looper;

	negotiate(f, 1 | 1u << 8);
	setup_queue(f, 0);
	put(f, STATUS, 0xf);
	pthread_create(&looper, NULL, race_loop, &loop);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, race_thread, &vcpus[i]);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	loop.end = true;
	pthread_join(looper, NULL);
	run_loop(f);
	drive(f, 0, 1);
	one_request(f, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_discovery, setup, teardown),
		cmocka_unit_test_setup_teardown(test_selectors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_config, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_needs_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frozen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unserved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue_reset, setup_served, teardown),
		cmocka_unit_test_setup_teardown(test_widths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_doorbells, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup_served, teardown),
	};

	return cmocka_run_group_tests_name("virtio_mmio", tests, NULL, NULL);
}
