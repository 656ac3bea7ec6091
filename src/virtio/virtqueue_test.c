/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtqueue walker against drivers that keep the rules: SPLIT-1 to SPLIT-20.
 */
#include "virtio/testing_duel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtqueue.h"

struct fixture {
	struct memory *mem;
	struct virtqueue *vq;
	struct ring ring;
	unsigned interrupts, breaks;
	int irq_fd; /* -1: count only */
};

static void on_interrupt(void *opaque, unsigned index)
{
	struct fixture *f = opaque;

	assert_int_equal(index, 5);
	f->interrupts++;
	if (f->irq_fd >= 0)
		assert_int_equal(write(f->irq_fd, &(uint64_t){ 1 }, 8), 8);
}

static void on_broken(void *opaque, unsigned index, const char *why)
{
	struct fixture *f = opaque;

	assert_int_equal(index, 5);
	assert_non_null(why);
	f->breaks++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct virtqueue_host host = { on_interrupt, on_broken, f };

	f->irq_fd = -1;
	f->mem = testing_memory();
	assert_int_equal(virtqueue_create(f->mem, 5, &host, &f->vq), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->breaks, 0);
	virtqueue_destroy(f->vq);
	memory_destroy(f->mem);
	free(f);
	return 0;
}

static struct virtqueue_layout layout(const struct ring *r, bool event_idx)
{
	return (struct virtqueue_layout){
		.size = (uint16_t)r->size,
		.desc = r->desc,
		.driver = r->avail,
		.device = r->used,
		.event_idx = event_idx,
		.indirect = true,
	};
}

static void open_queue(struct fixture *f, unsigned size, bool event_idx)
{
	const char *why = NULL;
	struct virtqueue_layout l;

	ring_init(&f->ring, f->mem, size);
	l = layout(&f->ring, event_idx);
	assert_int_equal(virtqueue_open(f->vq, &l, &why), 0);
}

static unsigned in_flight(struct fixture *f)
{
	struct virtqueue_counts counts;

	virtqueue_counts(f->vq, &counts);
	return counts.in_flight;
}

/*
 * SPLIT-19, DRV-9: every size; each part misaligned, in a hole, in ROM, over the end of RAM, at the
 * end of 2^64.
 */
static void test_open(void **state)
{
	static const uint64_t bad[] = { RAM_SIZE, ROM_BASE, UINT64_MAX - 15, 0x8000000000000000ull,
					ISLAND + ISLAND_SIZE };
	struct fixture *f = *state;
	struct virtqueue_layout l;
	const char *why = NULL;

	for (unsigned size = 0; size <= 65535; size++) {
		ring_init(&f->ring, f->mem, 1);
		f->ring.size = size;
		l = layout(&f->ring, false);
		l.desc = 0;
		if (!is_pow2(size) || size > 32768) {
			assert_int_equal(virtqueue_open(f->vq, &l, &why), -EINVAL);
			assert_int_equal(virtqueue_size(f->vq), 0);
			continue;
		}
		assert_int_equal(virtqueue_open(f->vq, &l, &why), 0);
		assert_int_equal(virtqueue_open(f->vq, &l, &why), -EBUSY);
		assert_int_equal(virtqueue_size(f->vq), size);
		virtqueue_close(f->vq);
	}
	ring_init(&f->ring, f->mem, 256);
	for (unsigned part = 0; part < 3; part++) {
		static const uint64_t aligns[] = { 16, 2, 4 };
		uint64_t lens[] = { 16 * 256, 6 + 2 * 256, 6 + 8 * 256 };

		for (uint64_t off = 1; off < aligns[part]; off++) {
			l = layout(&f->ring, false);
			*(part == 0 ? &l.desc : part == 1 ? &l.driver : &l.device) += off;
			assert_int_equal(virtqueue_open(f->vq, &l, &why), -EFAULT);
		}
		for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
			l = layout(&f->ring, false);
			*(part == 0 ? &l.desc : part == 1 ? &l.driver : &l.device) = bad[i];
			assert_int_equal(virtqueue_open(f->vq, &l, &why), -EFAULT);
			assert_false(virtqueue_live(f->vq));
		}
		/* The last place that fits, and the first that does not. */
		l = layout(&f->ring, false);
		uint64_t *addr = part == 0 ? &l.desc : part == 1 ? &l.driver : &l.device;

		*addr = align_down(RAM_SIZE - lens[part], aligns[part]);
		assert_int_equal(virtqueue_open(f->vq, &l, &why), 0);
		virtqueue_close(f->vq);
		*addr += aligns[part];
		assert_int_equal(virtqueue_open(f->vq, &l, &why), -EFAULT);
	}
}

/* SPLIT-13, 14, 18: one request there and back. */
static void test_request(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;
	struct ring *r = &f->ring;
	uint64_t addr;
	uint32_t len;
	uint16_t flags;

	assert_int_equal(virtqueue_next(f->vq, &req), -ENODEV);
	open_queue(f, 8, false);
	assert_int_equal(virtqueue_next(f->vq, &req), 0);
	ring_desc(r, 6, BUFFERS, 16, VIRTQ_DESC_F_NEXT, 2);
	ring_desc(r, 2, BUFFERS + 0x100, 512, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 7);
	ring_desc(r, 7, BUFFERS + 0x1000, 1, VIRTQ_DESC_F_WRITE, 0);
	ring_offer(r, 6);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	assert_int_equal(req.num_read, 1);
	assert_int_equal(req.num_write, 2);
	assert_int_equal(req.read_len, 16);
	assert_int_equal(req.write_len, 513);
	assert_ptr_equal(req.iov[0].iov_base, guest(f->mem, BUFFERS));
	assert_ptr_equal(req.iov[1].iov_base, guest(f->mem, BUFFERS + 0x100));
	assert_int_equal(req.iov[2].iov_len, 1);
	assert_int_equal(virtqueue_descriptor(f->vq, 0, &addr, &len, &flags), 1);
	assert_int_equal(addr, BUFFERS);
	assert_int_equal(flags, VIRTQ_DESC_F_NEXT);
	assert_int_equal(virtqueue_descriptor(f->vq, 1, &addr, &len, &flags), 2);
	assert_int_equal(flags, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
	virtqueue_descriptor(f->vq, 2, &addr, &len, &flags);
	assert_int_equal(addr, BUFFERS + 0x1000);
	assert_int_equal(len, 1);
	assert_int_equal(flags, VIRTQ_DESC_F_WRITE);
	assert_int_equal(virtqueue_descriptor(f->vq, 3, &addr, &len, &flags), 3);
	assert_int_equal(len | flags, 0);
	assert_int_equal(virtqueue_next(f->vq, &(struct qvmx_request){ 0 }), 0);
	assert_int_equal(in_flight(f), 1);

	virtqueue_done(f->vq, req.id, 513);
	assert_int_equal(ring_used_idx(r), 0);
	virtqueue_flush(f->vq);
	assert_int_equal(ring_used_idx(r), 1);
	assert_int_equal(ring_used_id(r, 0), 6);
	assert_int_equal(ring_used_len(r, 0), 513);
	assert_int_equal(in_flight(f), 0);

	/* More than was writable is not claimed. */
	ring_offer(r, 2);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	virtqueue_done(f->vq, req.id, UINT32_MAX);
	virtqueue_flush(f->vq);
	assert_int_equal(ring_used_len(r, 1), 513);
}

/*
 * SPLIT-1: a request as one piece, as many pieces, as one-byte pieces; pieces that touch come as
 * one iovec.
 */
static void test_framing(void **state)
{
	struct fixture *f = *state;
	struct ring *r = &f->ring;
	struct qvmx_request req;

	open_queue(f, 64, false);
	for (unsigned pieces = 1; pieces <= 32; pieces++) {
		for (unsigned gap = 0; gap < 2; gap++) {
			for (unsigned i = 0; i < 2 * pieces; i++) {
				unsigned write = i < pieces ? 0 : VIRTQ_DESC_F_WRITE;

				ring_desc(r, i, BUFFERS + i * (1 + gap), 1,
					  (uint16_t)(write |
						     (i + 1 < 2 * pieces ? VIRTQ_DESC_F_NEXT : 0)),
					  (uint16_t)(i + 1));
			}
			ring_offer(r, 0);
			assert_int_equal(virtqueue_next(f->vq, &req), 1);
			assert_int_equal(req.read_len, pieces);
			assert_int_equal(req.write_len, pieces);
			assert_int_equal(req.num_read, gap ? pieces : 1);
			assert_int_equal(req.num_write, gap ? pieces : 1);
			assert_ptr_equal(req.iov[req.num_read].iov_base,
					 guest(f->mem, BUFFERS + pieces * (1 + gap)));
			virtqueue_done(f->vq, req.id, 0);
			virtqueue_publish(f->vq);
		}
	}
	/*
	 * Zero-length pieces are dropped, wherever they point; a request of nothing else is a
	 * request.
	 */
	ring_desc(r, 0, UINT64_MAX, 0, VIRTQ_DESC_F_NEXT, 1);
	ring_desc(r, 1, BUFFERS, 5, VIRTQ_DESC_F_NEXT, 2);
	ring_desc(r, 2, ROM_BASE, 0, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 3);
	ring_desc(r, 3, BUFFERS + 5, 5, VIRTQ_DESC_F_WRITE, 0);
	ring_desc(r, 4, 0, 0, VIRTQ_DESC_F_WRITE, 0);
	ring_offer(r, 0);
	ring_offer(r, 4);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	assert_int_equal(req.num_read, 1);
	assert_int_equal(req.num_write, 1);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	assert_int_equal(req.num_read + req.num_write, 0);
	virtqueue_done(f->vq, req.id, 4);
	virtqueue_flush(f->vq);
	assert_int_equal(ring_used_len(r, 64), 0);
}

/*
 * SPLIT-5, 6, 20: 0, 1, 3 direct ones before the table; WRITE on the pointer; entries in shuffled
 * order.
 */
static void test_indirect(void **state)
{
	struct fixture *f = *state;
	struct ring *r = &f->ring;
	struct qvmx_request req;
	uint64_t addr;
	uint32_t len;
	uint16_t flags;

	open_queue(f, 8, false);
	for (unsigned direct = 0; direct <= 3; direct++) {
		for (unsigned write = 0; write <= VIRTQ_DESC_F_WRITE; write += VIRTQ_DESC_F_WRITE) {
			uint64_t table = RING_TABLE + 4 + direct; /* tables need no alignment */

			for (unsigned i = 0; i < direct; i++)
				ring_desc(r, i, BUFFERS + 0x100 * i, 0x10, VIRTQ_DESC_F_NEXT,
					  (uint16_t)(i + 1));
			ring_desc(r, direct, table, 4 * 16,
				  (uint16_t)(VIRTQ_DESC_F_INDIRECT | write), 0xffff);
			desc_put(f->mem, table, 0, BUFFERS + 0x1000, 1, VIRTQ_DESC_F_NEXT, 3);
			desc_put(f->mem, table, 3, BUFFERS + 0x2000, 2, VIRTQ_DESC_F_NEXT, 1);
			desc_put(f->mem, table, 1, BUFFERS + 0x3000, 3, VIRTQ_DESC_F_WRITE, 2);
			ring_offer(r, 0);
			assert_int_equal(virtqueue_next(f->vq, &req), 1);
			assert_int_equal(req.num_read, direct + 2);
			assert_int_equal(req.num_write, 1);
			assert_int_equal(req.read_len, direct * 0x10 + 3);
			assert_int_equal(req.write_len, 3);
			virtqueue_descriptor(f->vq, direct + 1, &addr, &len, &flags);
			assert_int_equal(addr, BUFFERS + 0x2000);
			virtqueue_done(f->vq, req.id, 3);
			virtqueue_publish(f->vq);
		}
	}
	/* As long as the queue, and no longer (the longer one is in the other test). */
	for (unsigned i = 0; i < 8; i++)
		desc_put(f->mem, RING_TABLE, i, BUFFERS + 2 * i, 1, i < 7 ? VIRTQ_DESC_F_NEXT : 0,
			 (uint16_t)(i + 1));
	ring_desc(r, 1, RING_TABLE, 8 * 16, VIRTQ_DESC_F_INDIRECT, 0);
	ring_offer(r, 1);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	assert_int_equal(req.num_read, 8);
	virtqueue_flush(f->vq);
	assert_int_equal(ring_used_idx(r), 8);
}

/* Offer and complete n one-descriptor requests, one flush. */
static void run_batch(struct fixture *f, unsigned n)
{
	struct qvmx_request req;
	uint32_t ids[64];

	for (unsigned i = 0; i < n; i++)
		ring_offer(&f->ring, (uint16_t)i);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
		ids[i] = req.id;
	}
	for (unsigned i = 0; i < n; i++)
		virtqueue_done(f->vq, ids[i], 0);
	virtqueue_flush(f->vq);
}

static void fill_descs(struct fixture *f)
{
	for (unsigned i = 0; i < f->ring.size; i++)
		ring_desc(&f->ring, i, BUFFERS + 16 * i, 8, VIRTQ_DESC_F_WRITE, 0);
}

/* SPLIT-7, 8, 9, DRV-22 */
static void test_interrupt_flag(void **state)
{
	struct fixture *f = *state;

	open_queue(f, 16, false);
	fill_descs(f);
	for (unsigned event = 0; event < 20; event++) {
		ring_set_used_event(&f->ring, (uint16_t)event);
		run_batch(f, 1 + event % 3);
		assert_int_equal(f->interrupts, event + 1);
	}
	virtqueue_flush(f->vq); /* nothing new */
	assert_int_equal(f->interrupts, 20);
	ring_set_flags(&f->ring, 1);
	run_batch(f, 3);
	assert_int_equal(f->interrupts, 20);
	ring_set_flags(&f->ring, 0xffff);
	run_batch(f, 3);
	assert_int_equal(f->interrupts, 20);
	ring_set_flags(&f->ring, 0xfffe); /* bit 0 decides */
	run_batch(f, 3);
	assert_int_equal(f->interrupts, 21);
}

/*
 * SPLIT-10, 11, 12, 18: over the wrap of the index, events behind, ahead, inside batches; a model
 * decides.
 */
static void test_interrupt_event(void **state)
{
	struct fixture *f = *state;
	uint16_t used = 0;
	unsigned expected = 0;

	srandom(5);
	open_queue(f, 16, true);
	fill_descs(f);
	ring_set_flags(&f->ring, 1);
	for (unsigned total = 0; total < 3 * 65536;) {
		unsigned n = 1 + (unsigned)random() % 16;
		uint16_t event = (uint16_t)(used + random() % 40 - 12);

		if (random() % 8 == 0)
			event = random() % 2 ? 0 : 65535;
		ring_set_used_event(&f->ring, event);
		for (unsigned i = 0; i < n; i++)
			expected += (uint16_t)(used + i) == event;
		run_batch(f, n);
		used = (uint16_t)(used + n);
		total += n;
		assert_int_equal(ring_used_idx(&f->ring), used);
		assert_int_equal(f->interrupts, expected);
		assert_int_equal(ring_used_flags(&f->ring), 0);
	}
	assert_true(expected > 1000);
	/* Published first, decided later: the decision is about all of them. */
	ring_set_used_event(&f->ring, used);
	struct qvmx_request req;

	for (unsigned i = 0; i < 3; i++) {
		ring_offer(&f->ring, (uint16_t)i);
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
		virtqueue_done(f->vq, req.id, 0);
		virtqueue_publish(f->vq);
		assert_int_equal(ring_used_idx(&f->ring), (uint16_t)(used + i + 1));
	}
	assert_int_equal(f->interrupts, expected);
	virtqueue_flush(f->vq);
	assert_int_equal(f->interrupts, expected + 1);
	virtqueue_flush(f->vq);
	assert_int_equal(f->interrupts, expected + 1);
}

/* SPLIT-15, 16: kicks are asked for exactly while `next` has said "none". */
static void test_kick_suppression(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;
	struct ring *r = &f->ring;

	open_queue(f, 4, false);
	fill_descs(f);
	assert_int_equal(virtqueue_next(f->vq, &req), 0);
	assert_int_equal(ring_used_flags(r), 0);
	for (unsigned i = 0; i < 10; i++) {
		ring_offer(r, 0);
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
		assert_int_equal(ring_used_flags(r), 1);
		virtqueue_done(f->vq, req.id, 0);
		virtqueue_publish(f->vq);
		assert_int_equal(virtqueue_next(f->vq, &req), 0);
		assert_int_equal(ring_used_flags(r), 0);
	}
	virtqueue_close(f->vq);

	open_queue(f, 4, true);
	fill_descs(f);
	for (unsigned i = 0; i < 65536 + 10; i++) {
		assert_int_equal(virtqueue_next(f->vq, &req), 0);
		assert_int_equal(ring_avail_event(r), (uint16_t)i);
		ring_offer(r, 0);
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
		assert_int_equal(ring_avail_event(r),
				 (uint16_t)i); /* behind: no kick for the next */
		virtqueue_done(f->vq, req.id, 0);
		virtqueue_publish(f->vq);
	}
	assert_int_equal(ring_used_flags(r), 0);
}

static void test_unget(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req, again;
	struct virtqueue_counts counts;

	open_queue(f, 4, true);
	fill_descs(f);
	virtqueue_unget(f->vq);
	ring_offer(&f->ring, 3);
	ring_offer(&f->ring, 1);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	virtqueue_unget(f->vq);
	virtqueue_unget(f->vq); /* once only */
	assert_int_equal(in_flight(f), 0);
	virtqueue_done(f->vq, req.id, 0); /* not taken any more */
	assert_int_equal(virtqueue_next(f->vq, &again), 1);
	assert_int_equal(again.id & 0xffff, 3);
	virtqueue_done(f->vq, again.id, 0);
	virtqueue_unget(f->vq); /* done: too late */
	assert_int_equal(virtqueue_next(f->vq, &again), 1);
	assert_int_equal(again.id & 0xffff, 1);
	virtqueue_counts(f->vq, &counts);
	assert_int_equal(counts.taken, 2);
	assert_int_equal(counts.done, 1);
	assert_int_equal(counts.dropped, 1);
	assert_int_equal(counts.in_flight, 1);
}

/* Completions of what is not in flight: never taken, twice, of an earlier life, nonsense. */
static void test_bad_completions(void **state)
{
	struct fixture *f = *state;
	struct virtqueue_counts counts;
	struct qvmx_request req, old;

	open_queue(f, 4, false);
	fill_descs(f);
	ring_offer(&f->ring, 2);
	assert_int_equal(virtqueue_next(f->vq, &old), 1);
	virtqueue_halt(f->vq);
	assert_false(virtqueue_live(f->vq));
	assert_int_equal(virtqueue_next(f->vq, &req), -ENODEV);
	virtqueue_done(f->vq, old.id, 0);
	virtqueue_flush(f->vq);
	assert_int_equal(ring_used_idx(&f->ring), 0);
	virtqueue_close(f->vq);
	assert_int_equal(in_flight(f), 0);
	virtqueue_done(f->vq, old.id, 0);

	open_queue(f, 4, false);
	ring_offer(&f->ring, 2);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	assert_int_not_equal(req.id, old.id);
	virtqueue_done(f->vq, old.id, 0);
	virtqueue_done(f->vq, req.id ^ 1, 0);
	virtqueue_done(f->vq, req.id | 4, 0);
	virtqueue_done(f->vq, UINT32_MAX, 0);
	virtqueue_flush(f->vq);
	assert_int_equal(ring_used_idx(&f->ring), 0);
	virtqueue_done(f->vq, req.id, 0);
	virtqueue_done(f->vq, req.id, 0);
	virtqueue_flush(f->vq);
	assert_int_equal(ring_used_idx(&f->ring), 1);
	virtqueue_counts(f->vq, &counts);
	assert_int_equal(counts.dropped, 7);
	assert_int_equal(counts.taken, 2);
	assert_int_equal(counts.done, 1);
	assert_int_equal(counts.in_flight, 0);
}

/*
 * SPLIT-2, 4, 18: 65536 + n chains of random shape, out of order; heads in are heads out; what is
 * the driver's (descriptors, readable buffers, available ring) is never written.
 */
static void test_many(void **state)
{
	enum { SIZE = 32, CHAINS = 8, REQUESTS = 65536 + 5000 };
	struct fixture *f = *state;
	uint32_t ids[CHAINS], expected[SIZE];
	struct ring *r = &f->ring;
	uint16_t used = 0;
	uint8_t *copy = malloc(RAM_SIZE);

	srandom(9);
	open_queue(f, SIZE, true);
	/* Chain i: descriptors 4 i, 4 i + 1 (read), 4 i + 2, 4 i + 3 (write), or parts of that. */
	for (unsigned i = 0; i < SIZE; i++) {
		uint16_t flags = (uint16_t)((i % 4 < 2 ? 0 : VIRTQ_DESC_F_WRITE) |
					    (i % 4 < 3 ? VIRTQ_DESC_F_NEXT : 0));

		ring_desc(r, i, BUFFERS + 0x200 * i, 1 + i, flags, (uint16_t)(i + 1));
	}
	memcpy(copy, guest(f->mem, 0), RAM_SIZE);
	for (unsigned done = 0; done < REQUESTS;) {
		unsigned n = 1 + (unsigned)random() % CHAINS;
		struct qvmx_request req;

		for (unsigned i = 0; i < n; i++) {
			unsigned start = (unsigned)random() % 4;

			ring_offer(r, (uint16_t)(4 * i + start));
			assert_int_equal(virtqueue_next(f->vq, &req), 1);
			assert_int_equal(req.id & 0xffff, 4 * i + start);
			assert_int_equal(req.num_read, start < 2 ? 2 - start : 0);
			assert_int_equal(req.num_write, start < 2 ? 2 : 4 - start);
			ids[i] = req.id;
			expected[4 * i + start] =
				(uint32_t)random() % (uint32_t)(req.write_len + 1);
		}
		for (unsigned left = n; left; left--) {
			unsigned pick = (unsigned)random() % left;

			virtqueue_done(f->vq, ids[pick], expected[ids[pick] & 0xffff]);
			ids[pick] = ids[left - 1];
		}
		virtqueue_flush(f->vq);
		for (unsigned i = 0; i < n; i++, used++) {
			assert_true(ring_used_id(r, used) < SIZE);
			assert_int_equal(ring_used_len(r, used), expected[ring_used_id(r, used)]);
		}
		assert_int_equal(ring_used_idx(r), used);
		done += n;
	}
	assert_int_equal(in_flight(f), 0);
	memcpy(copy + RING_USED, guest(f->mem, RING_USED), 6 + 8 * SIZE);
	memcpy(copy + RING_AVAIL, guest(f->mem, RING_AVAIL), 6 + 2 * SIZE);
	assert_memory_equal(copy, guest(f->mem, 0), RAM_SIZE);
	free(copy);
}

/*
 * B5: the driver changes everything once the request is taken; the device goes on with what it
 * read.
 */
static void test_copy_is_used(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;
	uint64_t addr;
	uint32_t len;
	uint16_t flags;

	open_queue(f, 4, false);
	ring_desc(&f->ring, 0, RING_TABLE, 32, VIRTQ_DESC_F_INDIRECT, 0);
	desc_put(f->mem, RING_TABLE, 0, BUFFERS, 10, VIRTQ_DESC_F_NEXT, 1);
	desc_put(f->mem, RING_TABLE, 1, BUFFERS + 0x100, 20, VIRTQ_DESC_F_WRITE, 0);
	ring_offer(&f->ring, 0);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	memset(guest(f->mem, RING_TABLE), 0xff, 32);
	memset(guest(f->mem, f->ring.desc), 0xff, 64);
	memset(guest(f->mem, f->ring.avail + 4), 0xff, 8);
	assert_int_equal(virtqueue_descriptor(f->vq, 0, &addr, &len, &flags), 1);
	assert_true(addr == BUFFERS && len == 10 && flags == VIRTQ_DESC_F_NEXT);
	virtqueue_descriptor(f->vq, 1, &addr, &len, &flags);
	assert_true(addr == BUFFERS + 0x100 && len == 20 && flags == VIRTQ_DESC_F_WRITE);
	assert_ptr_equal(req.iov[1].iov_base, guest(f->mem, BUFFERS + 0x100));
	virtqueue_done(f->vq, req.id, 100);
	virtqueue_flush(f->vq);
	assert_int_equal(ring_used_id(&f->ring, 0), 0);
	assert_int_equal(ring_used_len(&f->ring, 0), 20);
}

/* As many descriptors as a queue can have, in one chain. */
static void test_longest_chain(void **state)
{
	enum { SIZE = 32768 };
	struct fixture *f = *state;
	struct qvmx_request req;

	open_queue(f, SIZE, false);
	for (unsigned i = 0; i < SIZE; i++)
		ring_desc(&f->ring, i, BUFFERS + 2 * i, 1, i + 1 < SIZE ? VIRTQ_DESC_F_NEXT : 0,
			  (uint16_t)(i + 1));
	ring_offer(&f->ring, 0);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	assert_int_equal(req.num_read, SIZE);
	assert_int_equal(req.read_len, SIZE);
}

static void duel(struct fixture *f, bool event_idx, unsigned total)
{
	struct duel d;
	struct ring *r = &f->ring;
	uint16_t seen = 0, kicked = 0;

	open_queue(f, 4, event_idx);
	fill_descs(f);
	f->irq_fd = eventfd(0, EFD_NONBLOCK);
	duel_start(&d, f->vq, total);
	for (unsigned sent = 0, done = 0; done < total;) {
		uint16_t used;

		while (sent < total && sent - done < 4) {
			/* The slot's descriptor is free: completion is in order. */
			ring_offer(r, (uint16_t)(sent++ % 4));
			if (event_idx ? (uint16_t)(r->idx - ring_avail_event(r) - 1) <
						(uint16_t)(r->idx - kicked)
				      : !(ring_used_flags(r) & 1))
				duel_kick(&d);
			kicked = r->idx;
		}
		if (event_idx)
			ring_set_used_event(r, seen);
		else
			ring_set_flags(r, 0);
		used = ring_used_idx(r);
		if (used == seen) {
			duel_wait(f->irq_fd);
			continue;
		}
		if (!event_idx)
			ring_set_flags(r, 1);
		done += (uint16_t)(used - seen);
		seen = used;
	}
	duel_end(&d);
	close(f->irq_fd);
	f->irq_fd = -1;
	virtqueue_close(f->vq);
}

static void test_no_lost_wakeup(void **state)
{
	duel(*state, false, 60000);
	duel(*state, true, 60000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_open),
		TEST(test_request),
		TEST(test_framing),
		TEST(test_indirect),
		TEST(test_interrupt_flag),
		TEST(test_interrupt_event),
		TEST(test_kick_suppression),
		TEST(test_unget),
		TEST(test_bad_completions),
		TEST(test_many),
		TEST(test_copy_is_used),
		TEST(test_longest_chain),
		TEST(test_no_lost_wakeup),
	};

	return cmocka_run_group_tests_name("virtqueue", tests, NULL, NULL);
}
