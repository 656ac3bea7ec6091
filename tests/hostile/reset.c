/* SPDX-License-Identifier: Apache-2.0 */
/*
 * B10: a device, or a queue, that is reset at each moment of a request's life. Once the status
 * reads 0 nothing touches memory and nothing interrupts.
 */
#include "hostile.h"
#include "vdevtest/hostcalls.h"

enum moment {
	BEFORE_KICK,
	AFTER_KICK,
	AFTER_RUN,
	HELD, /* buffers that wait for input */
	BROKEN,
	AFTER_CONFIG,
	NUM_MOMENTS
};
static const char *const moment_names[] = {
	"before the kick",   "after the kick", "after the answer",
	"with buffers kept", "when broken",    "after a write to its configuration"
};

enum way {
	WAY_RESET,
	WAY_TWICE,
	WAY_AT_ONCE,
	WAY_QUEUE,
	WAY_QUEUE_AND_DEVICE,
	WAY_MASTER,
	WAY_END,
	NUM_WAYS
};
static const char *const way_names[] = { "reset",
					 "reset twice",
					 "reset and started again at once",
					 "its queue reset",
					 "its queue reset, then the device",
					 "its memory access taken away, then reset",
					 "the VM ends" };

static void to_moment(struct guest *g, enum moment moment)
{
	unsigned q = g->subject->queue, other = q ? 0 : 1;

	start(g);
	if (moment == HELD && other < g->num_queues) {
		for (unsigned i = 0; i < 3; i++) {
			const struct buf in = { BUFFERS + 0x8000 + 0x1000ull * i, 2048,
						VIRTQ_DESC_F_WRITE };

			(void)offer(g, other, &in, 1);
		}
		kick(g, other);
		run(g);
	}
	if (moment == BROKEN) {
		const struct buf bad = { UINT64_C(1) << 60, 16, 0 };

		(void)offer(g, q, &bad, 1);
	} else {
		(void)offer_plain(g, q);
		(void)offer_plain(g, q);
	}
	if (moment == AFTER_CONFIG && g->device)
		vdevtest_write(g->t, VDEVTEST_MEM, g->device, 1, 1);
	if (moment != BEFORE_KICK)
		kick(g, q);
	if (moment == AFTER_RUN || moment == BROKEN)
		run(g);
}

/* After the status has read 0: whatever happens now is too late. */
static void quiet(struct guest *g)
{
	uint64_t before = touched_hash(g);

	(void)vdevtest_messages(g->t, 0, NULL, NULL);
	for (unsigned i = 0; i < g->num_queues; i++)
		kick(g, i);
	run(g);
	(void)vdevtest_clock_set(g->t, vdevtest_clock(g->t) + 1000000000);
	run(g);
	expect(g, touched_hash(g) == before);
	expect(g, vdevtest_messages(g->t, 0, NULL, NULL) == 0);
	expect(g, g->transport->interrupts(g) == 0);
	expect(g, status(g) == 0);
}

static void queue_reset(struct guest *g)
{
	reg_write(g, REG_QUEUE_SELECT, g->subject->queue);
	reg_write(g, REG_QUEUE_RESET, 1);
	expect(g, goes_zero(g, REG_QUEUE_RESET));
}

static void reset_by(struct guest *g, enum way way)
{
	bool has_queue_reset = g->features >> VIRTIO_F_RING_RESET & 1;

	switch (way) {
	case WAY_TWICE:
		reg_write(g, REG_STATUS, 0);
		break;
	case WAY_AT_ONCE:
		reg_write(g, REG_STATUS, 0);
		reg_write(g, REG_STATUS, 1);
		reg_write(g, REG_STATUS, 3);
		break;
	case WAY_QUEUE:
	case WAY_QUEUE_AND_DEVICE:
		if (!has_queue_reset)
			break;
		if (way == WAY_QUEUE && !(status(g) & STATUS_NEEDS_RESET)) {
			queue_reset(g);
			uint64_t ring = RINGS + (uint64_t)g->subject->queue * RING_ROOM;
			uint64_t before = memory_hash(g, ring, ring + RING_ROOM);

			kick(g, g->subject->queue);
			run(g);
			expect(g, before == memory_hash(g, ring, ring + RING_ROOM));
			queue_setup(g, g->subject->queue, SIZE);
			(void)offer_plain(g, g->subject->queue);
			kick(g, g->subject->queue);
			run(g);
			expect(g, used_count(g, g->subject->queue) == 1);
		} else {
			reg_write(g, REG_QUEUE_SELECT, g->subject->queue);
			reg_write(g, REG_QUEUE_RESET, 1);
		}
		break;
	case WAY_MASTER:
		if (g->transport->pci)
			vdevtest_pci_write(g->t, g->dev, 4, 2, 3);
		break;
	default:
		break;
	}
	if (!reset(g))
		fail(g, "the reset does not end");
	quiet(g);
	if (way == WAY_MASTER && g->transport->pci)
		vdevtest_pci_write(g->t, g->dev, 4, 2, 7);
}

/* Requests of that number, which the host has and has not done. */
static void at_the_host(struct guest *g, unsigned number)
{
	unsigned q = g->subject->queue;
	const struct buf bufs[] = { { BUFFERS, 32, 0 },
				    { BUFFERS + 0x1000, 513, VIRTQ_DESC_F_WRITE } };

	for (unsigned turn = 0; turn < 8 && !g->failed; turn++) {
		start(g);
		hostcalls_wait_set(false);
		memset(vdevtest_ram(g->t, BUFFERS, 32), 0, 32);
		*(uint8_t *)vdevtest_ram(g->t, BUFFERS, 1) = (uint8_t)number;
		for (unsigned i = 0; i < SIZE / 2; i++)
			(void)offer(g, q, bufs, 2);
		kick(g, q);
		run(g);
		if (!reset(g))
			fail(g, "the reset does not end");
		hostcalls_wait_set(true);
		quiet(g);
	}
}

/* Steps in an order that a seed gives, then a reset. */
static void interleave(struct guest *g, uint64_t dice)
{
	unsigned q = g->subject->queue;

	start(g);
	for (unsigned i = 0; i < 60; i++) {
		dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407;
		switch (dice >> 40 & 7) {
		case 0:
		case 1:
			if (g->rings[q].size)
				(void)offer_plain(g, q);
			break;
		case 2:
			kick(g, q);
			break;
		case 3:
			run(g);
			break;
		case 4:
			for (unsigned k = 0; k < g->num_queues; k++)
				kick(g, k);
			break;
		case 5:
			reg_write(g, REG_STATUS, 0);
			break;
		case 6:
			if (dice >> 50 & 1)
				start(g);
			break;
		default:
			reg_write(g, REG_QUEUE_SELECT, q);
			reg_write(g, REG_QUEUE_RESET, 1);
		}
	}
	if (!reset(g))
		fail(g, "the reset does not end");
	quiet(g);
}

/* GEN-10, 11, 16, 17, DRV-7 */
void row_b10(struct guest *g)
{
	for (unsigned m = 0; m < NUM_MOMENTS; m++) {
		for (unsigned w = 0; w < NUM_WAYS; w++) {
			if (!case_begin(g, "%s %s", way_names[w], moment_names[m]))
				continue;
			to_moment(g, m);
			if (w == WAY_END) {
				vdevtest_end(g->t);
				bench_again(g);
			} else {
				reset_by(g, w);
			}
			case_end(g);
		}
	}
	for (unsigned number = 0; number < 16; number++) {
		if (!case_begin(g, "reset while the host works, number %u", number))
			continue;
		at_the_host(g, number);
		case_end(g);
	}
	for (unsigned seed = 1; seed <= 24; seed++) {
		if (!case_begin(g, "interleaving %u", seed))
			continue;
		interleave(g, seed * UINT64_C(0x9e3779b97f4a7c15));
		case_end(g);
	}
}
