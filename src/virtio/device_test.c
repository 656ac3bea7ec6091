/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Features, status, queue registers, configuration, and the lives of served and unserved queues,
 * without a transport. The test is the loop thread: it polls the kick eventfds.
 */
#include "virtio/testing.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "virtio/device.h"
#include "virtio/feature.h"

enum { QUEUES = 3, MAX_SIZE = 64, CONFIG_SIZE = 24, BITS = 32 * VIO_MAX_FEATURE_WORDS };

#define ACK	    VIRTIO_STATUS_ACKNOWLEDGE
#define DRIVER	    VIRTIO_STATUS_DRIVER
#define FEATURES_OK VIRTIO_STATUS_FEATURES_OK
#define DRIVER_OK   VIRTIO_STATUS_DRIVER_OK
#define NEEDS_RESET VIRTIO_STATUS_NEEDS_RESET

struct fixture {
	struct memory *mem;
	struct virtio_device *vd;
	struct ring ring;
	unsigned served; /* queues 0 .. served - 1 */
	uint32_t driver_features[VIO_MAX_FEATURE_WORDS];
	unsigned kicks[QUEUES], starts[QUEUES], stops[QUEUES], queue_resets[QUEUES];
	bool stop_waits; /* stop returns false */
	bool keep;	 /* kick keeps what it takes in flight */
	uint32_t kept[MAX_SIZE];
	unsigned num_kept;
	int next_result;
	unsigned breaks, queue_interrupts, config_interrupts, resets;
	const char *why;
};

static void on_broken(void *owner, unsigned queue, const char *why)
{
	struct fixture *f = owner;

	(void)queue;
	f->breaks++;
	f->why = why;
	/* No lock is held. */
	assert_true(virtio_device_status(f->vd) & NEEDS_RESET);
}

static void on_start(void *opaque, unsigned queue, struct virtqueue *vq)
{
	struct fixture *f = opaque;

	f->starts[queue]++;
	assert_true(virtqueue_size(vq) > 0);
	assert_true(virtio_device_status(f->vd) & DRIVER_OK);
	assert_int_equal(f->driver_features[1] & 1, 1);
}

static void on_kick(void *opaque, unsigned queue, struct virtqueue *vq)
{
	struct fixture *f = opaque;
	struct qvmx_request req;

	f->kicks[queue]++;
	assert_int_equal(f->starts[queue], f->stops[queue] + 1);
	while ((f->next_result = virtqueue_next(vq, &req)) == 1) {
		if (f->keep)
			f->kept[f->num_kept++] = req.id;
		else
			virtqueue_done(vq, req.id, 1);
	}
	virtqueue_flush(vq);
}

static bool on_stop(void *opaque, unsigned queue, struct virtqueue *vq)
{
	struct fixture *f = opaque;
	struct qvmx_request req;

	f->stops[queue]++;
	assert_false(virtqueue_live(vq));
	assert_true(virtqueue_next(vq, &req) < 0);
	return !f->stop_waits;
}

static const struct virtio_queue_ops queue_ops = { .kick = on_kick,
						   .stop = on_stop,
						   .start = on_start };

static void count_queue_interrupt(void *transport, unsigned queue)
{
	struct fixture *f = transport;

	(void)queue;
	f->queue_interrupts++;
}

static void count_config_interrupt(void *transport)
{
	((struct fixture *)transport)->config_interrupts++;
}

static void count_reset(void *transport)
{
	((struct fixture *)transport)->resets++;
}

static void count_queue_reset(void *transport, unsigned queue)
{
	((struct fixture *)transport)->queue_resets[queue]++;
}

static const struct virtio_transport_ops transport_ops = {
	.queue_interrupt = count_queue_interrupt,
	.config_interrupt = count_config_interrupt,
	.reset = count_reset,
	.queue_reset = count_queue_reset,
};

static void create(struct fixture *f, uint16_t type, unsigned served)
{
	struct virtio_device_info info = {
		.type = type,
		.num_queues = QUEUES,
		.config_size = CONFIG_SIZE,
		.features = { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
		.driver_features = f->driver_features,
		.broken = on_broken,
		.owner = f,
	};

	assert_int_equal(virtio_device_create(&info, f->mem, &f->vd), 0);
	f->served = served;
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_int_equal(virtio_device_queue_init(f->vd, i, MAX_SIZE), 0);
		if (i < served)
			assert_int_equal(virtio_device_queue_serve(f->vd, i, &queue_ops, f), 0);
	}
	virtio_device_transport_set(f->vd, &transport_ops, f);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->mem = testing_memory();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_device_destroy(f->vd);
	memory_destroy(f->mem);
	free(f);
	return 0;
}

/* The loop thread's turn, until nothing is readable. */
static void run_loop(struct fixture *f)
{
	for (bool more = true; more;) {
		more = false;
		for (unsigned i = 0; i < f->served; i++) {
			struct pollfd p = { .fd = virtio_device_queue_fd(f->vd, i),
					    .events = POLLIN };

			if (poll(&p, 1, 0) != 1)
				continue;
			virtio_device_queue_kicked(f->vd, i);
			more = true;
		}
	}
}

static void negotiate(struct fixture *f)
{
	virtio_device_status_set(f->vd, ACK | DRIVER);
	virtio_device_driver_features_set(f->vd, 0, 1u << VIRTIO_F_INDIRECT_DESC);
	virtio_device_driver_features_set(f->vd, 1, 1);
	virtio_device_status_set(f->vd, ACK | DRIVER | FEATURES_OK);
	assert_int_equal(virtio_device_status(f->vd), ACK | DRIVER | FEATURES_OK);
}

static void queue_addresses(struct fixture *f, unsigned queue, const struct ring *r)
{
	const uint64_t addr[3] = { r->desc, r->avail, r->used };

	for (unsigned part = 0; part < 3; part++) {
		virtio_device_queue_addr_set(f->vd, queue, part, 0, (uint32_t)addr[part]);
		virtio_device_queue_addr_set(f->vd, queue, part, 1, (uint32_t)(addr[part] >> 32));
	}
}

static unsigned enable_queue(struct fixture *f, unsigned queue)
{
	ring_init(&f->ring, f->mem, MAX_SIZE);
	for (unsigned i = 0; i < MAX_SIZE; i++)
		ring_desc(&f->ring, i, BUFFERS + 16 * i, 8, VIRTQ_DESC_F_WRITE, 0);
	queue_addresses(f, queue, &f->ring);
	return virtio_device_queue_enable(f->vd, queue);
}

static unsigned driver_ok(struct fixture *f)
{
	return virtio_device_status_set(f->vd, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
}

static void ring_bell(struct fixture *f, unsigned queue)
{
	assert_int_equal(virtio_device_doorbell(f->vd, queue), VIOREF_NOP);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct virtio_device_info info = { .num_queues = VIRTIO_DEVICE_MAX_QUEUES + 1 };
	struct virtio_device *vd;

	assert_int_equal(virtio_device_create(&info, f->mem, &vd), -EINVAL);
	info.num_queues = 1;
	info.config_size = VIRTIO_DEVICE_MAX_CONFIG + 1;
	assert_int_equal(virtio_device_create(&info, f->mem, &vd), -EINVAL);
	create(f, 0x3f, 1);
	assert_int_equal(virtio_device_queue_init(f->vd, QUEUES, 4), -EINVAL);
	assert_int_equal(virtio_device_queue_init(f->vd, 0, 3), -EINVAL);
	assert_int_equal(virtio_device_queue_init(f->vd, 0, 0), -EINVAL);
	assert_int_equal(virtio_device_queue_init(f->vd, 0, 65536), -EINVAL);
	assert_int_equal(virtio_device_queue_serve(f->vd, QUEUES, &queue_ops, f), -EINVAL);
	assert_int_equal(virtio_device_queue_serve(f->vd, 0, &queue_ops, f), -EINVAL); /* twice */
	assert_int_equal(virtio_device_queue_fd(f->vd, 1), -1);
	assert_int_equal(virtio_device_queue_fd(f->vd, QUEUES), -1);
	assert_null(virtio_device_queue(f->vd, QUEUES));
	assert_non_null(virtio_device_queue(f->vd, 2));
	virtio_device_queue_kicked(f->vd, QUEUES);
	virtio_device_queue_kicked(f->vd, 1);
	virtio_device_queue_stopped(f->vd, QUEUES);
}

static bool try_features(struct fixture *f, const uint32_t *words)
{
	virtio_device_reset_finish(f->vd);
	virtio_device_status_set(f->vd, ACK | DRIVER);
	for (unsigned i = 0; i < VIO_MAX_FEATURE_WORDS; i++)
		virtio_device_driver_features_set(f->vd, i, words[i]);
	virtio_device_status_set(f->vd, ACK | DRIVER | FEATURES_OK);
	assert_int_equal(virtio_device_status(f->vd) & ~FEATURES_OK, ACK | DRIVER);
	return virtio_device_status(f->vd) & FEATURES_OK;
}

/*
 * GEN-5 to 9, 19, DRV-1: the offer, each bit alone, random subsets; PCI-12, 13 beyond what exists.
 */
static void test_features(void **state)
{
	struct fixture *f = *state;
	uint32_t offered[VIO_MAX_FEATURE_WORDS], words[VIO_MAX_FEATURE_WORDS];

	create(f, 0x3f, 1);
	for (unsigned i = 0; i < VIO_MAX_FEATURE_WORDS; i++)
		offered[i] = virtio_device_offered(f->vd, i);
	for (unsigned bit = 0; bit < BITS; bit++) {
		bool core = bit == VIRTIO_F_VERSION_1 || bit == VIRTIO_F_INDIRECT_DESC ||
			    bit == VIRTIO_F_EVENT_IDX || bit == VIRTIO_F_RING_PACKED;

		assert_int_equal(virtio_features_has(offered, bit), core || bit < 24 || bit >= 50);
		memset(words, 0, sizeof(words));
		words[1] = 1;
		words[bit / 32] |= 1u << bit % 32;
		assert_int_equal(try_features(f, words), virtio_features_has(offered, bit));
		assert_int_equal(virtio_device_driver_features(f->vd, bit / 32), words[bit / 32]);
	}
	memset(words, 0, sizeof(words));
	assert_false(try_features(f, words)); /* without VERSION_1 */
	words[0] = 0x3;
	words[1] = 1;
	/* Accepted, kept, frozen, gone after the reset, accepted again. */
	for (unsigned round = 0; round < 2; round++) {
		assert_true(try_features(f, words));
		assert_memory_equal(f->driver_features, words, sizeof(words));
		virtio_device_driver_features_set(f->vd, 0, 0x7);
		assert_int_equal(virtio_device_driver_features(f->vd, 0), 0x3);
		virtio_device_reset_finish(f->vd);
		assert_int_equal(virtio_device_driver_features(f->vd, 0), 0);
		assert_int_equal(f->driver_features[0] | f->driver_features[1], 0);
	}
	srandom(2);
	for (unsigned round = 0; round < 1000; round++) {
		for (unsigned i = 0; i < VIO_MAX_FEATURE_WORDS; i++)
			words[i] = offered[i] & (uint32_t)(random() ^ random() << 8);
		words[1] |= 1;
		assert_true(try_features(f, words));
	}
	for (unsigned word = 4; word; word = word == 4 ? UINT32_MAX : 0) {
		assert_int_equal(virtio_device_offered(f->vd, word), 0);
		virtio_device_reset_finish(f->vd);
		virtio_device_status_set(f->vd, ACK | DRIVER);
		virtio_device_driver_features_set(f->vd, 1, 1);
		virtio_device_driver_features_set(f->vd, word, 0);
		virtio_device_status_set(f->vd, FEATURES_OK);
		assert_int_equal(virtio_device_status(f->vd), ACK | DRIVER | FEATURES_OK);
		virtio_device_reset_finish(f->vd);
		virtio_device_status_set(f->vd, ACK | DRIVER);
		virtio_device_driver_features_set(f->vd, 1, 1);
		virtio_device_driver_features_set(f->vd, word, 4);
		virtio_device_status_set(f->vd, FEATURES_OK);
		assert_int_equal(virtio_device_status(f->vd), ACK | DRIVER);
		assert_int_equal(virtio_device_driver_features(f->vd, word), 0);
	}
}

/* GEN-5, NET-14, DRV-1: a bit without what it needs is neither offered nor accepted. */
static void test_feature_rules(void **state)
{
	static const struct {
		uint16_t type;
		uint8_t bit, needs;
		bool accepted_alone;
	} cases[] = {
		{ VIRTIO_ID_NET, 7, 1, false },	  { VIRTIO_ID_NET, 8, 1, false },
		{ VIRTIO_ID_NET, 10, 1, false },  { VIRTIO_ID_NET, 54, 1, false },
		{ VIRTIO_ID_NET, 55, 1, false },  { VIRTIO_ID_NET, 11, 0, false },
		{ VIRTIO_ID_NET, 12, 0, false },  { VIRTIO_ID_NET, 14, 0, false },
		{ VIRTIO_ID_NET, 56, 0, false },  { VIRTIO_ID_NET, 18, 17, false },
		{ VIRTIO_ID_NET, 19, 17, false }, { VIRTIO_ID_NET, 21, 17, false },
		{ VIRTIO_ID_NET, 22, 17, false }, { VIRTIO_ID_NET, 23, 17, false },
		{ VIRTIO_ID_NET, 52, 17, false }, { VIRTIO_ID_NET, 53, 17, false },
		{ VIRTIO_ID_NET, 60, 17, false }, { VIRTIO_ID_BLOCK, 11, 9, true },
	};
	struct fixture *f = *state;

	(void)f;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t own[VIO_MAX_FEATURE_WORDS] = { 0 }, offered[VIO_MAX_FEATURE_WORDS];
		uint32_t wanted[VIO_MAX_FEATURE_WORDS] = { 0 };
		unsigned bit = cases[i].bit, needs = cases[i].needs;

		own[bit / 32] |= 1u << bit % 32;
		virtio_features_offer(cases[i].type, own, offered);
		assert_false(virtio_features_has(offered, bit));
		virtio_features_offer(0x3f, own, offered);
		assert_true(virtio_features_has(offered, bit));
		own[needs / 32] |= 1u << needs % 32;
		virtio_features_offer(cases[i].type, own, offered);
		assert_true(virtio_features_has(offered, bit));

		wanted[1] = 1;
		wanted[bit / 32] |= 1u << bit % 32;
		assert_int_equal(virtio_features_acceptable(cases[i].type, offered, wanted),
				 cases[i].accepted_alone);
		wanted[needs / 32] |= 1u << needs % 32;
		assert_true(virtio_features_acceptable(cases[i].type, offered, wanted));
	}
	/* One of two; and a chain of needs falls together. */
	uint32_t own[VIO_MAX_FEATURE_WORDS] = { 1u << 13 | 1u << 11 | 1u << 9 | 1u << 7, 0, 0, 0 };
	uint32_t offered[VIO_MAX_FEATURE_WORDS];

	virtio_features_offer(VIRTIO_ID_NET, own, offered);
	assert_int_equal(offered[0] & 0xffffff, 0);
	own[0] |= 1;
	virtio_features_offer(VIRTIO_ID_NET, own, offered);
	assert_int_equal(offered[0] & 0xffffff, 1u << 13 | 1u << 11 | 1);
}

/*
 * DRV-3, GEN-7, B12: bits are only added, in order, by a model; 10^6 random steps with a reset now
 * and then.
 */
static void test_status_walk(void **state)
{
	struct fixture *f = *state;
	uint8_t model = 0;
	uint32_t features = 0;

	create(f, 0x3f, QUEUES);
	srandom(4);
	for (unsigned step = 0; step < 1000000; step++) {
		uint8_t value = (uint8_t)(random() % 32 ? random() : 0);

		if (random() % 8 == 0) {
			uint32_t wanted = (uint32_t)random() % 2;

			virtio_device_driver_features_set(f->vd, 1, wanted);
			if (!(model & FEATURES_OK))
				features = wanted;
		}
		assert_int_equal(virtio_device_status_set(f->vd, value), VIOREF_NOP);
		if (!value) {
			model = 0;
			features = 0;
		} else {
			model |= value & (ACK | DRIVER | VIRTIO_STATUS_FAILED);
			if (model & DRIVER && features)
				model |= value & FEATURES_OK;
			if (model & FEATURES_OK)
				model |= value & DRIVER_OK;
		}
		assert_int_equal(virtio_device_status(f->vd), model);
	}
}

/*
 * DRV-10, 11, PCI-7, 22, 23, 25, B1: registers of a queue; frozen by enable; defaults after a
 * reset.
 */
static void test_queue_registers(void **state)
{
	static const uint16_t bad_sizes[] = { 0, 3, MAX_SIZE + 1, 2 * MAX_SIZE, 0x8000, 0xffff };
	struct fixture *f = *state;
	struct virtio_queue_regs regs;

	create(f, 0x3f, 1);
	for (unsigned i = 0; i < ARRAY_LEN(bad_sizes); i++) {
		virtio_device_queue_size_set(f->vd, 1, bad_sizes[i]);
		virtio_device_queue_regs(f->vd, 1, &regs);
		assert_int_equal(regs.size, MAX_SIZE);
	}
	virtio_device_queue_size_set(f->vd, 1, 8);
	virtio_device_queue_addr_set(f->vd, 1, VIRTIO_QUEUE_DRIVER, 1, 0x11111111);
	virtio_device_queue_addr_set(f->vd, 1, VIRTIO_QUEUE_DRIVER, 0, 0x22222222);
	assert_int_equal(virtio_device_queue_enable(f->vd, 1), VIOREF_ENABLED | 1);
	assert_int_equal(virtio_device_queue_enable(f->vd, 1), VIOREF_NOP);
	virtio_device_queue_size_set(f->vd, 1, 16);
	for (unsigned part = 0; part < 3; part++)
		virtio_device_queue_addr_set(f->vd, 1, part, part & 1, 0x33333333);
	virtio_device_queue_regs(f->vd, 1, &regs);
	assert_true(regs.enabled);
	assert_int_equal(regs.size, 8);
	assert_int_equal(regs.max_size, MAX_SIZE);
	assert_int_equal(regs.addr[0] | regs.addr[2], 0);
	assert_int_equal(regs.addr[1], 0x1111111122222222ull);
	virtio_device_reset_finish(f->vd);
	virtio_device_queue_regs(f->vd, 1, &regs);
	assert_false(regs.enabled);
	assert_int_equal(regs.size, MAX_SIZE);
	assert_int_equal(regs.addr[1], 0);
	static const unsigned none[] = { QUEUES, 0xffff };

	for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
		virtio_device_queue_size_set(f->vd, none[i], 4);
		virtio_device_queue_addr_set(f->vd, none[i], VIRTIO_QUEUE_DESC, 0, 4);
		assert_int_equal(virtio_device_queue_enable(f->vd, none[i]), VIOREF_NOP);
		assert_int_equal(virtio_device_doorbell(f->vd, none[i]), VIOREF_NOP);
		virtio_device_queue_regs(f->vd, none[i], &regs);
		assert_int_equal(regs.size | regs.max_size | regs.enabled, 0);
	}
}

/* A packed ring of one descriptor that the device writes, at place i of the first lap. */
static void offer_packed(struct fixture *f, unsigned i, uint16_t id)
{
	desc_put(f->mem, RING_DESC, i, BUFFERS, 8, id, (uint16_t)(VIRTQ_DESC_F_WRITE | 1u << 7));
}

/*
 * PACKED-17, DRV-10: any size, but only once RING_PACKED is settled; rings of served and unserved
 * queues are walked as packed ones. A feature that is withheld is neither offered nor accepted.
 */
static void test_packed(void **state)
{
	struct fixture *f = *state;
	struct virtio_queue_regs regs;
	struct qvmx_request req;

	create(f, 0x3f, 2);
	virtio_device_status_set(f->vd, ACK | DRIVER);
	virtio_device_driver_features_set(f->vd, 1, 1 | 1u << (VIRTIO_F_RING_PACKED - 32));
	virtio_device_queue_size_set(f->vd, 1, 5);
	virtio_device_queue_regs(f->vd, 1, &regs);
	assert_int_equal(regs.size, MAX_SIZE);
	virtio_device_status_set(f->vd, ACK | DRIVER | FEATURES_OK);
	virtio_device_queue_size_set(f->vd, 1, 0);
	virtio_device_queue_size_set(f->vd, 1, MAX_SIZE + 1);
	virtio_device_queue_regs(f->vd, 1, &regs);
	assert_int_equal(regs.size, MAX_SIZE);
	virtio_device_queue_size_set(f->vd, 1, 5);
	virtio_device_queue_size_set(f->vd, 2, 3);
	assert_int_equal(enable_queue(f, 1), VIOREF_NOP);
	driver_ok(f);
	for (unsigned i = 0; i < 5; i++)
		offer_packed(f, i, (uint16_t)(100 + i));
	ring_bell(f, 1);
	run_loop(f);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(guest_get16(f->mem, RING_DESC + 16 * i + 12), 100 + i);
		assert_int_equal(guest_get16(f->mem, RING_DESC + 16 * i + 14),
				 VIRTQ_DESC_F_WRITE | 1u << 7 | 1u << 15);
	}
	assert_int_equal(f->queue_interrupts, 1);

	/* The owner's queue, at the same place. */
	assert_int_equal(enable_queue(f, 2), VIOREF_ENABLED | 2);
	assert_int_equal(virtio_device_setup_queues(f->vd), 0);
	assert_int_equal(virtqueue_size(virtio_device_queue(f->vd, 2)), 3);
	offer_packed(f, 0, 7);
	assert_int_equal(virtio_device_doorbell(f->vd, 2), VIOREF_NOTIFY | 2);
	assert_int_equal(virtqueue_next(virtio_device_queue(f->vd, 2), &req), 1);
	virtqueue_done(virtio_device_queue(f->vd, 2), req.id, 8);
	virtqueue_flush(virtio_device_queue(f->vd, 2));
	assert_int_equal(guest_get16(f->mem, RING_DESC + 12), 7);

	virtio_device_reset_finish(f->vd);
	run_loop(f);
	assert_int_equal(virtio_device_status(f->vd), 0);
	virtio_device_queue_regs(f->vd, 1, &regs);
	assert_int_equal(regs.size, MAX_SIZE);
	virtio_device_withhold(f->vd, VIRTIO_F_RING_PACKED);
	virtio_device_withhold(f->vd, BITS);
	assert_int_equal(virtio_device_offered(f->vd, 1) & 1u << (VIRTIO_F_RING_PACKED - 32), 0);
	virtio_device_status_set(f->vd, ACK | DRIVER);
	virtio_device_driver_features_set(f->vd, 1, 1 | 1u << (VIRTIO_F_RING_PACKED - 32));
	virtio_device_status_set(f->vd, ACK | DRIVER | FEATURES_OK);
	assert_int_equal(virtio_device_status(f->vd), ACK | DRIVER);
}

static bool queue_resetting(struct fixture *f, unsigned queue)
{
	struct virtio_queue_regs regs;

	virtio_device_queue_regs(f->vd, queue, &regs);
	assert_false(regs.resetting && regs.enabled);
	return regs.resetting;
}

/*
 * GEN-16 to 18, PCI-17 to 21: a queue of its own is reset with requests in flight; nothing of it
 * is heard of again, the other one runs, and it comes back with another size at another place.
 */
static void test_queue_reset(void **state)
{
	struct fixture *f = *state;
	struct virtio_queue_regs regs;
	struct ring other;

	create(f, 0x3f, QUEUES);
	assert_true(virtio_device_offered(f->vd, 1) & 1u << (VIRTIO_F_RING_RESET - 32));
	virtio_device_status_set(f->vd, ACK | DRIVER);
	virtio_device_driver_features_set(f->vd, 1, 1 | 1u << (VIRTIO_F_RING_RESET - 32));
	virtio_device_status_set(f->vd, ACK | DRIVER | FEATURES_OK);
	/* Queue 1 elsewhere */
	other = (struct ring){ .mem = f->mem,
			       .desc = BUFFERS + 0x10000,
			       .avail = BUFFERS + 0x20000,
			       .used = BUFFERS + 0x30000,
			       .size = MAX_SIZE };
	ring_desc(&other, 0, BUFFERS, 8, VIRTQ_DESC_F_WRITE, 0);
	queue_addresses(f, 1, &other);
	virtio_device_queue_enable(f->vd, 1);
	enable_queue(f, 0);
	driver_ok(f);
	run_loop(f);
	f->keep = f->stop_waits = true;
	for (unsigned i = 0; i < 4; i++)
		ring_offer(&f->ring, (uint16_t)i);
	ring_bell(f, 0);
	run_loop(f);
	assert_int_equal(f->num_kept, 4);

	virtio_device_queue_reset(f->vd, 0);
	assert_true(queue_resetting(f, 0));
	run_loop(f);
	assert_int_equal(f->stops[0], 1);
	assert_true(queue_resetting(f, 0));
	/* Frozen meanwhile */
	assert_int_equal(virtio_device_queue_enable(f->vd, 0), VIOREF_NOP);
	virtio_device_queue_size_set(f->vd, 0, 8);
	virtio_device_queue_regs(f->vd, 0, &regs);
	assert_false(regs.enabled);
	assert_int_equal(regs.size, MAX_SIZE);
	for (unsigned i = 0; i < 4; i++)
		virtqueue_done(virtio_device_queue(f->vd, 0), f->kept[i], 1);
	virtqueue_flush(virtio_device_queue(f->vd, 0));
	assert_int_equal(ring_used_idx(&f->ring), 0);
	assert_int_equal(f->queue_interrupts, 0);
	/* The other one works. */
	f->keep = false;
	ring_offer(&other, 0);
	ring_bell(f, 1);
	run_loop(f);
	assert_int_equal(ring_used_idx(&other), 1);
	assert_int_equal(f->queue_interrupts, 1);

	virtio_device_queue_stopped(f->vd, 0);
	assert_false(queue_resetting(f, 0));
	assert_int_equal(f->queue_resets[0], 1);
	assert_int_equal(f->queue_resets[1], 0);
	virtio_device_queue_regs(f->vd, 0, &regs);
	assert_int_equal(regs.addr[0] | regs.addr[1] | regs.addr[2], 0);
	assert_int_equal(virtio_device_status(f->vd), ACK | DRIVER | FEATURES_OK | DRIVER_OK);

	/* Back with zeroed rings of another size. */
	virtio_device_queue_size_set(f->vd, 0, 8);
	enable_queue(f, 0);
	assert_false(queue_resetting(f, 0));
	f->ring.size = 8;
	ring_offer(&f->ring, 2);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), 1);
	assert_int_equal(ring_used_id(&f->ring, 0), 2);
	assert_int_equal(f->starts[0], 2);

	/* While one is reset alone, the device is. */
	virtio_device_queue_reset(f->vd, 0);
	run_loop(f);
	assert_true(queue_resetting(f, 0));
	virtio_device_status_set(f->vd, 0);
	run_loop(f);
	assert_true(virtio_device_reset_pending(f->vd));
	virtio_device_queue_stopped(f->vd, 0);
	virtio_device_queue_stopped(f->vd, 1);
	assert_false(virtio_device_reset_pending(f->vd));
	assert_false(queue_resetting(f, 0));
}

/* A queue that was never started, one that is not there, one without the feature; a vdev that works
 * a queue itself does not offer it. */
static void test_queue_reset_refused(void **state)
{
	struct fixture *f = *state;

	create(f, 0x3f, QUEUES);
	negotiate(f);
	enable_queue(f, 0);
	virtio_device_queue_reset(f->vd, 0);
	virtio_device_queue_reset(f->vd, QUEUES);
	assert_int_equal(f->queue_resets[0], 0);
	virtio_device_reset_finish(f->vd);
	virtio_device_status_set(f->vd, ACK | DRIVER);
	virtio_device_driver_features_set(f->vd, 1, 1 | 1u << (VIRTIO_F_RING_RESET - 32));
	virtio_device_status_set(f->vd, ACK | DRIVER | FEATURES_OK);
	virtio_device_queue_reset(f->vd, 0);
	assert_int_equal(f->queue_resets[0], 0); /* not enabled */
	enable_queue(f, 0);
	virtio_device_queue_reset(f->vd, 0);
	assert_int_equal(f->queue_resets[0], 1); /* not started: at once */
	assert_false(queue_resetting(f, 0));
	virtio_device_destroy(f->vd);
	create(f, 0x3f, QUEUES - 1);
	assert_false(virtio_device_offered(f->vd, 1) & 1u << (VIRTIO_F_RING_RESET - 32));
}

/* GEN-12, DRV-5, 6: what passes to the owner. CON-1: the one exception. */
static void test_config_access(void **state)
{
	struct fixture *f = *state;

	create(f, VIRTIO_ID_CONSOLE, 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned len = 1; len <= 8; len *= 2) {
			for (uint64_t offset = 0; offset < CONFIG_SIZE + 8; offset++) {
				bool inside = offset + len <= CONFIG_SIZE;
				bool early = offset >= 8 && offset + len <= 12;

				assert_int_equal(
					virtio_device_config_access(f->vd, offset, len, false),
					inside ? VIOREF_DEVCFG | offset : VIOREF_NOP);
				assert_int_equal(
					virtio_device_config_access(f->vd, offset, len, true),
					inside && (early || round) ? VIOREF_DEVCFG | offset
								   : VIOREF_NOP);
			}
		}
		assert_int_equal(virtio_device_config_access(f->vd, UINT64_MAX, 8, false),
				 VIOREF_NOP);
		negotiate(f);
	}
}

/* GEN-14, 15, PCI-14 */
static void test_generation(void **state)
{
	struct fixture *f = *state;
	uint8_t before;

	create(f, 0x3f, 1);
	before = virtio_device_generation(f->vd);
	assert_int_equal(virtio_device_generation(f->vd), before);
	for (unsigned changes = 1; changes <= 512; changes *= 2) {
		before = virtio_device_generation(f->vd);
		virtio_device_config_access(f->vd, 0, 4, false);
		for (unsigned i = 0; i < changes; i++)
			virtio_device_config_changed(f->vd);
		virtio_device_config_access(f->vd, 4, 4, false);
		assert_int_not_equal(virtio_device_generation(f->vd), before);
	}
	assert_int_equal(f->config_interrupts, 0); /* not before DRIVER_OK */
	negotiate(f);
	driver_ok(f);
	virtio_device_config_changed(f->vd);
	assert_int_equal(f->config_interrupts, 1);
	virtio_device_reset_finish(f->vd);
	virtio_device_config_changed(f->vd);
	assert_int_equal(f->config_interrupts, 1);
}

/*
 * GEN-1, 2, DRV-4: buffers and kicks before DRIVER_OK; nothing is touched; afterwards they are
 * found.
 */
static void test_early_kick(void **state)
{
	struct fixture *f = *state;

	create(f, 0x3f, 1);
	ring_bell(f, 0);
	run_loop(f);
	negotiate(f);
	assert_int_equal(enable_queue(f, 0), VIOREF_NOP);
	ring_offer(&f->ring, 0);
	ring_offer(&f->ring, 1);
	ring_bell(f, 0);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), 0);
	assert_int_equal(ring_used_flags(&f->ring), 0);
	assert_int_equal(f->kicks[0] + f->starts[0] + f->queue_interrupts, 0);
	assert_int_equal(driver_ok(f),
			 VIOREF_STATUS | DRIVER_OK); /* queues 1 and 2 are the owner's */
	run_loop(f);
	assert_int_equal(f->starts[0], 1);
	assert_int_equal(f->kicks[0], 1);
	assert_int_equal(ring_used_idx(&f->ring), 2);
	assert_int_equal(f->queue_interrupts, 1);
	ring_offer(&f->ring, 2);
	ring_bell(f, 0);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), 3);
	for (unsigned i = 0; i < 1000; i++) { /* SPLIT-17 */
		ring_bell(f, 0);
		run_loop(f);
	}
	assert_int_equal(ring_used_idx(&f->ring), 3);
}

/* A device whose queues are all served tells its owner of nothing but its configuration. */
static void test_served_is_silent(void **state)
{
	struct fixture *f = *state;

	create(f, 0x3f, QUEUES);
	assert_int_equal(virtio_device_status_set(f->vd, 0), VIOREF_NOP);
	assert_int_equal(virtio_device_status_set(f->vd, ACK | DRIVER), VIOREF_NOP);
	negotiate(f);
	assert_int_equal(enable_queue(f, 0), VIOREF_NOP);
	assert_int_equal(driver_ok(f), VIOREF_NOP);
	run_loop(f);
	assert_int_equal(f->starts[0], 1);
	assert_int_equal(f->starts[1], 0); /* not enabled */
	/* Enabled late: it lives from then on. */
	assert_int_equal(enable_queue(f, 1), VIOREF_NOP);
	ring_offer(&f->ring, 5);
	run_loop(f);
	assert_int_equal(f->starts[1], 1);
	assert_int_equal(ring_used_idx(&f->ring), 1);
	assert_int_equal(virtio_device_status_set(f->vd, 0), VIOREF_NOP);
	run_loop(f);
	assert_int_equal(virtio_device_status(f->vd), 0);
	assert_int_equal(f->stops[0] + f->stops[1], 2);
	assert_int_equal(f->stops[2], 0);
}

/* GEN-10, 11, DRV-7, B10: the reset waits for what is in flight and then nothing moves. */
static void test_reset_in_flight(void **state)
{
	struct fixture *f = *state;
	struct virtqueue *vq;
	struct virtqueue_counts counts;

	create(f, 0x3f, QUEUES);
	vq = virtio_device_queue(f->vd, 0);
	for (unsigned life = 0; life < 5; life++) {
		f->keep = f->stop_waits = true;
		f->num_kept = 0;
		negotiate(f);
		enable_queue(f, 0);
		driver_ok(f);
		for (unsigned i = 0; i < 5; i++)
			ring_offer(&f->ring, (uint16_t)i);
		ring_bell(f, 0);
		run_loop(f);
		assert_int_equal(f->num_kept, 5);
		virtqueue_done(vq, f->kept[0], 8);
		virtqueue_flush(vq);
		assert_int_equal(ring_used_idx(&f->ring), 1);
		unsigned interrupts = f->queue_interrupts;

		virtio_device_status_set(f->vd, 0);
		assert_int_equal(virtio_device_status(f->vd), 0xf);
		assert_true(virtio_device_reset_pending(f->vd));
		/* The device has not heard of it yet; what it does now is ignored already. */
		virtqueue_done(vq, f->kept[1], 8);
		virtqueue_flush(vq);
		ring_bell(f, 0);
		run_loop(f);
		assert_int_equal(f->stops[0], 2 * life + 1);
		assert_int_equal(virtio_device_status(f->vd), 0xf);
		/* Writes meanwhile are ignored. */
		virtio_device_status_set(f->vd, 0x80);
		virtio_device_status_set(f->vd, 0);
		virtio_device_driver_features_set(f->vd, 0, 1);
		assert_int_equal(virtio_device_queue_enable(f->vd, 2), VIOREF_NOP);
		assert_int_equal(virtio_device_config_access(f->vd, 0, 1, true), VIOREF_NOP);
		run_loop(f);
		assert_int_equal(f->stops[0], 2 * life + 1);
		virtqueue_done(vq, f->kept[2], 8);
		virtio_device_queue_stopped(f->vd, 0);
		assert_int_equal(virtio_device_status(f->vd), 0);
		assert_false(virtio_device_reset_pending(f->vd));
		virtio_device_queue_stopped(f->vd, 0);
		/* Late completions change nothing. */
		virtqueue_done(vq, f->kept[3], 8);
		virtqueue_flush(vq);
		assert_int_equal(ring_used_idx(&f->ring), 1);
		assert_int_equal(f->queue_interrupts, interrupts);
		virtqueue_counts(vq, &counts);
		assert_int_equal(counts.in_flight, 0);
		assert_int_equal(counts.taken, 10 * life + 5);
		assert_int_equal(counts.dropped, 4 * life + 3);
		/* Nor in the next life. */
		f->stop_waits = false;
		negotiate(f);
		enable_queue(f, 0);
		driver_ok(f);
		uint32_t old = f->kept[4];

		f->num_kept = 0;
		for (unsigned i = 0; i < 5; i++)
			ring_offer(&f->ring, (uint16_t)i);
		run_loop(f);
		virtqueue_done(vq, old, 8);
		virtqueue_flush(vq);
		assert_int_equal(ring_used_idx(&f->ring), 0);
		virtio_device_status_set(f->vd, 0);
		run_loop(f);
		assert_int_equal(virtio_device_status(f->vd), 0);
		assert_int_equal(f->stops[0], 2 * (life + 1));
	}
}

/* GEN-11: two queues stop later than they are told to; the reset ends with the second. */
static void test_reset_waits_for_all(void **state)
{
	struct fixture *f = *state;

	create(f, 0x3f, QUEUES);
	f->stop_waits = true;
	for (unsigned life = 0; life < 2; life++) {
		negotiate(f);
		enable_queue(f, 0);
		enable_queue(f, 1);
		driver_ok(f);
		run_loop(f);
		virtio_device_status_set(f->vd, 0);
		run_loop(f);
		assert_int_equal(f->stops[0], life + 1);
		assert_int_equal(f->stops[1], life + 1);
		assert_int_equal(virtio_device_status(f->vd), 0xf);
		virtio_device_queue_stopped(f->vd, life);
		assert_int_equal(virtio_device_status(f->vd), 0xf);
		assert_true(virtio_device_reset_pending(f->vd));
		assert_int_equal(f->resets, life);
		virtio_device_queue_stopped(f->vd, 1 - life);
		assert_int_equal(virtio_device_status(f->vd), 0);
		assert_false(virtio_device_reset_pending(f->vd));
		assert_int_equal(f->resets, life + 1);
	}
}

/* Reset before the loop thread has heard of the start: there is nothing to stop. */
static void test_reset_before_start(void **state)
{
	struct fixture *f = *state;

	create(f, 0x3f, QUEUES);
	for (unsigned i = 0; i < 3; i++) {
		negotiate(f);
		enable_queue(f, 0);
		ring_offer(&f->ring, 0);
		driver_ok(f);
		virtio_device_status_set(f->vd, 0);
		assert_int_equal(virtio_device_status(f->vd), 0);
		run_loop(f);
		assert_int_equal(f->starts[0] + f->stops[0] + f->kicks[0], 0);
		assert_int_equal(ring_used_idx(&f->ring), 0);
	}
	assert_int_equal(f->resets, 3);
	/* The VM ends: as if the driver had reset. */
	negotiate(f);
	enable_queue(f, 0);
	driver_ok(f);
	run_loop(f);
	virtio_device_reset_request(f->vd);
	assert_true(virtio_device_reset_pending(f->vd));
	run_loop(f);
	assert_false(virtio_device_reset_pending(f->vd));
	assert_int_equal(f->stops[0], 1);
}

/*
 * GEN-3, 4, DRV-8, 9: rings in no RAM, a broken ring; NEEDS_RESET, one config interrupt, one
 * report, silence.
 */
static void test_needs_reset(void **state)
{
	static const uint64_t bad[] = { RING_AVAIL + 1, RAM_SIZE, ROM_BASE, UINT64_MAX - 1,
					0xe0000000 };
	struct fixture *f = *state;

	create(f, 0x3f, QUEUES);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		negotiate(f);
		assert_int_equal(virtio_device_queue_enable(f->vd, 2),
				 VIOREF_NOP); /* all at address 0: fine */
		ring_init(&f->ring, f->mem, MAX_SIZE);
		f->ring.avail = bad[i];
		queue_addresses(f, 0, &f->ring);
		virtio_device_queue_enable(f->vd, 0);
		assert_int_equal(f->breaks, i);
		driver_ok(f);
		assert_int_equal(virtio_device_status(f->vd), 0xf | NEEDS_RESET);
		assert_int_equal(f->breaks, i + 1);
		assert_string_equal(f->why, "the available ring is misaligned or not in RAM");
		assert_int_equal(f->config_interrupts, i + 1);
		run_loop(f);
		assert_int_equal(f->kicks[0] + f->kicks[2], 0);
		virtio_device_status_set(f->vd, 0);
		run_loop(f);
		assert_int_equal(virtio_device_status(f->vd), 0);
	}
	f->breaks = f->config_interrupts = 0;
	negotiate(f);
	enable_queue(f, 0);
	enable_queue(f, 1); /* the same ring: harmless */
	driver_ok(f);
	run_loop(f);
	ring_offer(&f->ring, MAX_SIZE);
	ring_bell(f, 0);
	run_loop(f);
	assert_int_equal(f->next_result, -EIO);
	assert_int_equal(virtio_device_status(f->vd), 0xf | NEEDS_RESET);
	assert_int_equal(f->breaks, 1);
	assert_int_equal(f->config_interrupts, 1);
	unsigned kicks = f->kicks[0] + f->kicks[1];

	ring_bell(f, 0);
	ring_bell(f, 1);
	run_loop(f);
	assert_int_equal(f->kicks[0] + f->kicks[1], kicks);
	assert_int_equal(f->breaks, 1);
	/* The driver cannot clear or set it. */
	virtio_device_status_set(f->vd, 0xf);
	assert_int_equal(virtio_device_status(f->vd), 0xf | NEEDS_RESET);
	virtio_device_status_set(f->vd, 0);
	run_loop(f);
	assert_int_equal(virtio_device_status(f->vd), 0);
	virtio_device_status_set(f->vd, NEEDS_RESET);
	assert_int_equal(virtio_device_status(f->vd), 0);
	/* Cured. */
	negotiate(f);
	enable_queue(f, 0);
	ring_offer(&f->ring, 0);
	driver_ok(f);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), 1);
}

/* The documented way: events to the owner, who sets queues up and finishes resets. */
static void test_unserved(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;
	struct virtqueue *vq;

	create(f, 0x3f, 0);
	assert_int_equal(virtio_device_status_set(f->vd, 0), VIOREF_RESET);
	virtio_device_reset_finish(f->vd);
	assert_int_equal(virtio_device_status_set(f->vd, ACK), VIOREF_STATUS | ACK);
	negotiate(f);
	assert_int_equal(virtio_device_setup_queues(f->vd), -ENODEV);
	assert_int_equal(enable_queue(f, 1), VIOREF_ENABLED | 1);
	assert_int_equal(virtio_device_doorbell(f->vd, 1), VIOREF_NOP);
	ring_offer(&f->ring, 3);
	assert_int_equal(driver_ok(f), VIOREF_STATUS | DRIVER_OK);
	assert_int_equal(driver_ok(f), VIOREF_NOP);
	assert_int_equal(virtio_device_setup_queues(f->vd), 0);
	assert_int_equal(virtio_device_setup_queues(f->vd), 0);
	assert_int_equal(virtio_device_doorbell(f->vd, 1), VIOREF_NOTIFY | 1);
	assert_int_equal(virtio_device_doorbell(f->vd, 0), VIOREF_NOP);
	vq = virtio_device_queue(f->vd, 1);
	assert_int_equal(virtqueue_next(vq, &req), 1);
	virtqueue_done(vq, req.id, 4);
	virtqueue_flush(vq);
	assert_int_equal(ring_used_len(&f->ring, 0), 4);
	assert_int_equal(f->queue_interrupts, 1);
	assert_int_equal(virtio_device_status_set(f->vd, 0), VIOREF_RESET);
	assert_int_equal(virtio_device_status(f->vd), 0xf);
	assert_int_equal(virtqueue_next(vq, &req), -ENODEV);
	assert_int_equal(virtio_device_doorbell(f->vd, 1), VIOREF_NOP);
	virtio_device_reset_finish(f->vd);
	assert_int_equal(virtio_device_status(f->vd), 0);
	/* A ring that cannot be: the owner is told by setup_queues and by `broken`. */
	negotiate(f);
	ring_init(&f->ring, f->mem, MAX_SIZE);
	f->ring.desc += 8;
	queue_addresses(f, 1, &f->ring);
	virtio_device_queue_enable(f->vd, 1);
	driver_ok(f);
	assert_int_equal(virtio_device_setup_queues(f->vd), -EFAULT);
	assert_int_equal(f->breaks, 1);
	assert_int_equal(virtio_device_status(f->vd), 0xf | NEEDS_RESET);
	assert_int_equal(f->config_interrupts, 1);
}

/* One of each kind: the reset ends when both are through, in either order. */
static void test_mixed_reset(void **state)
{
	struct fixture *f = *state;

	create(f, 0x3f, 1);
	for (unsigned order = 0; order < 2; order++) {
		negotiate(f);
		enable_queue(f, 0);
		enable_queue(f, 1);
		driver_ok(f);
		assert_int_equal(virtio_device_setup_queues(f->vd), 0);
		run_loop(f);
		assert_int_equal(virtio_device_status_set(f->vd, 0), VIOREF_RESET);
		if (order)
			run_loop(f);
		else
			virtio_device_reset_finish(f->vd);
		assert_int_equal(virtio_device_status(f->vd), 0xf);
		if (order)
			virtio_device_reset_finish(f->vd);
		else
			run_loop(f);
		assert_int_equal(virtio_device_status(f->vd), 0);
	}
}

/* Two vCPUs, one loop thread, resets at any moment (B10, for ASan and TSan). */
struct race {
	struct fixture *f;
	_Atomic bool over;
	unsigned seed;
};

static void *race_loop(void *opaque)
{
	struct race *race = opaque;
	struct fixture *f = race->f;
	unsigned seed = 99;

	while (!atomic_load(&race->over)) {
		struct pollfd p[QUEUES];

		for (unsigned i = 0; i < QUEUES; i++)
			p[i] = (struct pollfd){ .fd = virtio_device_queue_fd(f->vd, i),
						.events = POLLIN };
		poll(p, QUEUES, 1);
		for (unsigned i = 0; i < QUEUES; i++) {
			if (p[i].revents)
				virtio_device_queue_kicked(f->vd, i);
		}
		/* Some of what is in flight comes back, sometimes after the reset. */
		while (f->num_kept && rand_r(&seed) % 4) {
			unsigned i = (unsigned)rand_r(&seed) % QUEUES;
			struct virtqueue *vq = virtio_device_queue(f->vd, i);

			virtqueue_done(vq, f->kept[--f->num_kept], 1);
			virtqueue_flush(vq);
		}
		if (!f->num_kept || rand_r(&seed) % 8 == 0) {
			f->num_kept = 0;
			for (unsigned i = 0; i < QUEUES; i++)
				virtio_device_queue_stopped(f->vd, i);
		}
	}
	return NULL;
}

static void *race_vcpu(void *opaque)
{
	struct race *race = opaque;
	struct fixture *f = race->f;

	for (unsigned step = 0; step < 20000; step++) {
		unsigned what = (unsigned)rand_r(&race->seed) % 16,
			 queue = (unsigned)rand_r(&race->seed) % 4;

		switch (what) {
		case 0:
			virtio_device_status_set(f->vd, 0);
			break;
		case 1:
		case 2:
			virtio_device_status_set(f->vd, 0xf);
			break;
		case 3:
			virtio_device_status_set(f->vd, ACK | DRIVER);
			virtio_device_driver_features_set(f->vd, 1, 1);
			break;
		case 4:
			virtio_device_config_changed(f->vd);
			break;
		case 5:
		case 6:
			queue_addresses(f, queue, &f->ring);
			virtio_device_queue_enable(f->vd, queue);
			break;
		case 7:
			guest_put16(f->mem, RING_AVAIL + 2, (uint16_t)rand_r(&race->seed) % 8);
			break;
		default:
			virtio_device_doorbell(f->vd, queue);
			break;
		}
		virtio_device_status(f->vd);
	}
	return NULL;
}

static void race_kick(void *opaque, unsigned queue, struct virtqueue *vq)
{
	struct fixture *f = opaque;
	struct qvmx_request req;

	(void)queue;
	while (f->num_kept < MAX_SIZE && virtqueue_next(vq, &req) == 1)
		f->kept[f->num_kept++] = req.id;
}

static bool race_stop(void *opaque, unsigned queue, struct virtqueue *vq)
{
	(void)queue, (void)vq;
	return ((struct fixture *)opaque)->num_kept == 0;
}

static void race_broken(void *owner, unsigned queue, const char *why)
{
	(void)owner, (void)queue, (void)why;
}

static void race_interrupt(void *transport, unsigned queue)
{
	(void)transport, (void)queue;
}

static void race_config_interrupt(void *transport)
{
	(void)transport;
}

static void test_races(void **state)
{
	static const struct virtio_queue_ops ops = { .kick = race_kick, .stop = race_stop };
	static const struct virtio_transport_ops transport = { race_interrupt,
							       race_config_interrupt,
							       race_config_interrupt };
	struct fixture *f = *state;
	struct virtio_device_info info = {
		.type = 0x3f, .num_queues = QUEUES, .broken = race_broken, .owner = f
	};
	struct race races[2] = { { .f = f, .seed = 1 }, { .f = f, .seed = 2 } };
	pthread_t loop, vcpus[2];

	assert_int_equal(virtio_device_create(&info, f->mem, &f->vd), 0);
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_int_equal(virtio_device_queue_init(f->vd, i, MAX_SIZE), 0);
		assert_int_equal(virtio_device_queue_serve(f->vd, i, &ops, f), 0);
	}
	virtio_device_transport_set(f->vd, &transport, f);
	ring_init(&f->ring, f->mem, MAX_SIZE);
	for (unsigned i = 0; i < MAX_SIZE; i++) {
		ring_desc(&f->ring, i, BUFFERS + 16 * i, 8, VIRTQ_DESC_F_WRITE, 0);
		guest_put16(f->mem, RING_AVAIL + 4 + 2 * i, (uint16_t)i);
	}
	assert_int_equal(pthread_create(&loop, NULL, race_loop, &races[0]), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&vcpus[i], NULL, race_vcpu, &races[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(vcpus[i], NULL);
	/* The last reset gets through. */
	virtio_device_status_set(f->vd, 0);
	for (unsigned i = 0; i < 5000 && virtio_device_reset_pending(f->vd); i++)
		poll(NULL, 0, 1);
	assert_false(virtio_device_reset_pending(f->vd));
	assert_int_equal(virtio_device_status(f->vd), 0);
	atomic_store(&races[0].over, true);
	pthread_join(loop, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_limits),
		TEST(test_features),
		TEST(test_feature_rules),
		TEST(test_status_walk),
		TEST(test_queue_registers),
		TEST(test_packed),
		TEST(test_queue_reset),
		TEST(test_queue_reset_refused),
		TEST(test_config_access),
		TEST(test_generation),
		TEST(test_early_kick),
		TEST(test_served_is_silent),
		TEST(test_reset_in_flight),
		TEST(test_reset_waits_for_all),
		TEST(test_reset_before_start),
		TEST(test_needs_reset),
		TEST(test_unserved),
		TEST(test_mixed_reset),
		TEST(test_races),
	};

	return cmocka_run_group_tests_name("virtio device", tests, NULL, NULL);
}
