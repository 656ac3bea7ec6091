/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtqueue walker on packed rings, against drivers that keep the rules (PACKED-1 to PACKED-17)
 * and against those that do not (DRV-9, 10, 12, 13, 16 to 18, 20, 21, 23).
 */
#include "virtio/testing_duel.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "virtio/virtqueue.h"

#define F_AVAIL (1u << 7)
#define F_USED	(1u << 15)

enum { PAGE = 4096 };
enum { EVENT_ENABLE, EVENT_DISABLE, EVENT_DESC, EVENT_RESERVED };

/* The driver's side. Positions count over two laps, the first with wrap counter 1. */
struct packed {
	struct memory *mem;
	unsigned size, avail, used;
};

struct fixture {
	struct memory *mem;
	struct virtqueue *vq;
	struct packed ring;
	bool event_idx, no_indirect;
	unsigned interrupts, breaks;
	const char *why;
	int irq_fd; /* -1: count only */
};

static void on_interrupt(void *opaque, unsigned index)
{
	struct fixture *f = opaque;

	assert_int_equal(index, 2);
	f->interrupts++;
	if (f->irq_fd >= 0)
		assert_int_equal(write(f->irq_fd, &(uint64_t){ 1 }, 8), 8);
}

static void on_broken(void *opaque, unsigned index, const char *why)
{
	struct fixture *f = opaque;

	assert_int_equal(index, 2);
	f->breaks++;
	f->why = why;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct virtqueue_host host = { on_interrupt, on_broken, f };

	f->irq_fd = -1;
	f->mem = testing_memory();
	assert_int_equal(virtqueue_create(f->mem, 2, &host, &f->vq), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtqueue_destroy(f->vq);
	memory_destroy(f->mem);
	free(f);
	return 0;
}

static struct virtqueue_layout layout(const struct fixture *f, unsigned size)
{
	return (struct virtqueue_layout){
		.size = (uint16_t)size,
		.desc = RING_DESC,
		.driver = RING_AVAIL,
		.device = RING_USED,
		.event_idx = f->event_idx,
		.indirect = !f->no_indirect,
		.packed = true,
	};
}

static void open_queue(struct fixture *f, unsigned size)
{
	const struct virtqueue_layout l = layout(f, size);
	const char *why = NULL;

	virtqueue_close(f->vq);
	f->ring = (struct packed){ .mem = f->mem, .size = size };
	memset(guest(f->mem, RING_DESC), 0, 16ull * size);
	memset(guest(f->mem, RING_AVAIL), 0, 4);
	memset(guest(f->mem, RING_USED), 0, 4);
	f->breaks = f->interrupts = 0;
	assert_int_equal(virtqueue_open(f->vq, &l, &why), 0);
}

static unsigned step(const struct packed *r, unsigned position, unsigned n)
{
	return (position + n) % (2 * r->size);
}

static uint64_t place(const struct packed *r, unsigned position)
{
	return RING_DESC + 16ull * (position % r->size);
}

static bool wraps(const struct packed *r, unsigned position)
{
	return position < r->size;
}

/* Without the flags: they make it available. */
static void put_body(const struct packed *r, unsigned position, uint64_t addr, uint32_t len,
		     uint16_t id)
{
	uint8_t *p = guest(r->mem, place(r, position));

	memcpy(p, &addr, 8);
	memcpy(p + 8, &len, 4);
	memcpy(p + 12, &id, 2);
}

static void put_flags(const struct packed *r, unsigned position, unsigned flags)
{
	guest_put16(r->mem, place(r, position) + 14,
		    (uint16_t)(flags | (wraps(r, position) ? F_AVAIL : F_USED)));
}

/* A list of n buffers of 8 bytes, the last num_write of them writable; the first descriptor last.
 */
static void offer_list(struct packed *r, unsigned n, unsigned num_write, uint16_t id)
{
	for (unsigned i = n; i > 0; i--) {
		unsigned position = step(r, r->avail, i - 1);

		put_body(r, position, BUFFERS + 32ull * (position % 256), 8,
			 i == n ? id : (uint16_t)~id);
		put_flags(r, position,
			  (i - 1 >= n - num_write ? VIRTQ_DESC_F_WRITE : 0) |
				  (i < n ? VIRTQ_DESC_F_NEXT : 0));
	}
	r->avail = step(r, r->avail, n);
}

static void offer_one(struct packed *r, uint64_t addr, uint32_t len, unsigned flags, uint16_t id)
{
	put_body(r, r->avail, addr, len, id);
	put_flags(r, r->avail, flags);
	r->avail = step(r, r->avail, 1);
}

/* The next used descriptor, if there is one; the list that it stands for had n descriptors. */
static bool take_used(struct packed *r, unsigned n, uint16_t *ret_id, uint32_t *ret_len,
		      uint16_t *ret_flags)
{
	uint16_t flags = guest_get16(r->mem, place(r, r->used) + 14);
	bool wrap = wraps(r, r->used);

	if (!!(flags & F_AVAIL) != wrap || !!(flags & F_USED) != wrap)
		return false;
	*ret_id = guest_get16(r->mem, place(r, r->used) + 12);
	*ret_len = guest_get32(r->mem, place(r, r->used) + 8);
	if (ret_flags)
		*ret_flags = flags;
	r->used = step(r, r->used, n);
	return true;
}

static void set_event(const struct fixture *f, unsigned flags, unsigned position)
{
	uint16_t where =
		(uint16_t)(position % f->ring.size | (wraps(&f->ring, position) ? 0x8000u : 0));

	guest_put16(f->mem, RING_AVAIL, where);
	guest_put16(f->mem, RING_AVAIL + 2, (uint16_t)flags);
}

static unsigned in_flight(struct fixture *f)
{
	struct virtqueue_counts counts;

	virtqueue_counts(f->vq, &counts);
	return counts.in_flight;
}

/* PACKED-17, DRV-9, DRV-10 */
static void test_open(void **state)
{
	struct fixture *f = *state;
	struct virtqueue_layout l;
	const char *why;

	for (unsigned size = 0; size <= 65535; size += size < 300 ? 1 : 37) {
		l = layout(f, size);
		if (!size || size > 32768) {
			assert_int_equal(virtqueue_open(f->vq, &l, &why), -EINVAL);
			continue;
		}
		assert_int_equal(virtqueue_open(f->vq, &l, &why), 0);
		assert_int_equal(virtqueue_size(f->vq), size);
		virtqueue_close(f->vq);
	}
	for (unsigned part = 0; part < 3; part++) {
		static const uint64_t aligns[] = { 16, 4, 4 }, lens[] = { 16 * 5, 4, 4 };
		static const uint64_t bad[] = { RAM_SIZE, ROM_BASE, UINT64_MAX - 15,
						ISLAND + ISLAND_SIZE };
		uint64_t *addr = part == 0 ? &l.desc : part == 1 ? &l.driver : &l.device;

		for (uint64_t off = 1; off < aligns[part]; off++) {
			l = layout(f, 5);
			*addr += off;
			assert_int_equal(virtqueue_open(f->vq, &l, &why), -EFAULT);
		}
		for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
			l = layout(f, 5);
			*addr = bad[i];
			assert_int_equal(virtqueue_open(f->vq, &l, &why), -EFAULT);
			assert_false(virtqueue_live(f->vq));
		}
		l = layout(f, 5);
		*addr = align_down(RAM_SIZE - lens[part], aligns[part]);
		assert_int_equal(virtqueue_open(f->vq, &l, &why), 0);
		virtqueue_close(f->vq);
		*addr += aligns[part];
		assert_int_equal(virtqueue_open(f->vq, &l, &why), -EFAULT);
	}
}

/* PACKED-9, 10: a list there and back; id of the last descriptor, WRITE and length of what was
 * written. */
static void test_request(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;
	uint16_t id, flags;
	uint64_t addr;
	uint32_t len;

	open_queue(f, 8);
	assert_int_equal(virtqueue_next(f->vq, &req), 0);
	offer_list(&f->ring, 4, 2, 0xbeef);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	assert_int_equal(req.num_read, 2);
	assert_int_equal(req.num_write, 2);
	assert_int_equal(req.write_len, 16);
	assert_ptr_equal(req.iov[2].iov_base, guest(f->mem, BUFFERS + 64));
	virtqueue_descriptor(f->vq, 2, &addr, &len, &flags);
	assert_int_equal(addr, BUFFERS + 64);
	assert_int_equal(flags, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
	assert_int_equal(virtqueue_next(f->vq, &(struct qvmx_request){ 0 }), 0);
	virtqueue_done(f->vq, req.id, 9);
	assert_false(take_used(&f->ring, 4, &id, &len, &flags));
	virtqueue_flush(f->vq);
	assert_int_equal(f->interrupts, 1);
	assert_true(take_used(&f->ring, 4, &id, &len, &flags));
	assert_int_equal(id, 0xbeef);
	assert_int_equal(len, 9);
	assert_true(flags & VIRTQ_DESC_F_WRITE);

	offer_list(&f->ring, 3, 0, 0xffff);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	virtqueue_done(f->vq, req.id, UINT32_MAX);
	virtqueue_flush(f->vq);
	assert_true(take_used(&f->ring, 3, &id, &len, &flags));
	assert_int_equal(id, 0xffff);
	assert_int_equal(len, 0);
	assert_false(flags & VIRTQ_DESC_F_WRITE);
}

/* PACKED-5: nothing but the one combination of the two bits makes a descriptor available. */
static void test_available(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;

	for (unsigned lap = 0; lap < 2; lap++) {
		open_queue(f, 1);
		if (lap) {
			uint16_t id;
			uint32_t len;

			offer_one(&f->ring, BUFFERS, 8, 0, 1);
			assert_int_equal(virtqueue_next(f->vq, &req), 1);
			virtqueue_done(f->vq, req.id, 0);
			virtqueue_flush(f->vq);
			assert_true(take_used(&f->ring, 1, &id, &len, NULL));
		}
		put_body(&f->ring, 0, BUFFERS, 8, 3);
		for (unsigned bits = 0; bits < 4; bits++) {
			unsigned flags = (bits & 1 ? F_AVAIL : 0) | (bits & 2 ? F_USED : 0);
			unsigned right = lap ? F_USED : F_AVAIL;

			if (flags == right)
				continue;
			guest_put16(f->mem, RING_DESC + 14, (uint16_t)(flags | VIRTQ_DESC_F_WRITE));
			assert_int_equal(virtqueue_next(f->vq, &req), 0);
		}
		guest_put16(f->mem, RING_DESC + 14, (uint16_t)(lap ? F_USED : F_AVAIL));
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
		assert_int_equal(f->breaks, 0);
	}
}

/* PACKED-11: in a table only WRITE counts, entries stand one after the other. */
static void test_indirect(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;
	uint32_t len;
	uint16_t id;

	open_queue(f, 4);
	for (unsigned round = 0; round < 12; round++) {
		uint64_t table = RING_TABLE + 3 * round; /* tables need no alignment */
		unsigned junk = 0xfffd & (round % 2 ? 0xffff : 0);

		for (unsigned i = 0; i < 4; i++)
			desc_put(f->mem, table, i, BUFFERS + 0x1000 * i, i + 1, 0x1234,
				 (uint16_t)((junk & ~(unsigned)VIRTQ_DESC_F_WRITE) |
					    (i > 1 ? VIRTQ_DESC_F_WRITE : 0)));
		offer_one(&f->ring, table, 64,
			  VIRTQ_DESC_F_INDIRECT | (round % 3 ? VIRTQ_DESC_F_WRITE : 0),
			  (uint16_t)(700 + round));
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
		assert_int_equal(req.num_read, 2);
		assert_int_equal(req.read_len, 3);
		assert_int_equal(req.num_write, 2);
		assert_int_equal(req.write_len, 7);
		virtqueue_done(f->vq, req.id, 7);
		virtqueue_flush(f->vq);
		assert_true(take_used(&f->ring, 1, &id, &len, NULL));
		assert_int_equal(id, 700 + round);
		assert_int_equal(len, 7);
	}
}

struct sent {
	uint16_t id;
	uint32_t request, len;
	unsigned n;
};

/*
 * Laps of rings of any size, lists of any length and over the ring's end,
 * completed in any order; a model says what the driver finds. What is the driver's stays as it is.
 */
static void laps(struct fixture *f, unsigned size, unsigned places)
{
	struct sent *sent = calloc(size, sizeof(*sent)), *gone = calloc(size, sizeof(*gone));
	unsigned num_sent = 0, num_gone = 0, ours = 0;
	uint16_t next_id = 0;

	open_queue(f, size);
	memset(guest(f->mem, BUFFERS), 0x5a, 32 * 256);
	for (unsigned offered = 0; offered < places || num_sent + num_gone;) {
		unsigned n = 1 + (unsigned)random() % MIN(size, 9u);
		struct qvmx_request req;

		if (offered < places && random() % 2 && n <= size - ours) {
			unsigned num_write = (unsigned)random() % (n + 1);

			next_id = (uint16_t)(next_id + 1 + random() % 3);
			offer_list(&f->ring, n, num_write, next_id);
			assert_int_equal(virtqueue_next(f->vq, &req), 1);
			assert_int_equal(req.read_len, 8 * (n - num_write));
			assert_int_equal(req.write_len, 8 * num_write);
			sent[num_sent++] =
				(struct sent){ next_id, req.id,
					       (uint32_t)random() % (8 * num_write + 1), n };
			offered += n;
			ours += n;
		} else if (num_sent && random() % 3) {
			unsigned pick = (unsigned)random() % num_sent;

			virtqueue_done(f->vq, sent[pick].request, sent[pick].len);
			gone[num_gone++] = sent[pick];
			sent[pick] = sent[--num_sent];
		} else {
			uint16_t id, flags;
			uint32_t len;

			virtqueue_flush(f->vq);
			for (unsigned i = 0; i < num_gone; i++) {
				assert_true(take_used(&f->ring, gone[i].n, &id, &len, &flags));
				assert_int_equal(id, gone[i].id);
				assert_int_equal(len, gone[i].len);
				assert_int_equal(!!(flags & VIRTQ_DESC_F_WRITE), len > 0);
				ours -= gone[i].n;
			}
			num_gone = 0;
		}
		assert_int_equal(in_flight(f), num_sent);
	}
	for (unsigned i = 0; i < 32 * 256; i++)
		assert_int_equal(((uint8_t *)guest(f->mem, BUFFERS))[i], 0x5a);
	assert_int_equal(guest_get32(f->mem, RING_AVAIL), 0);
	assert_int_equal(f->breaks, 0);
	free(sent);
	free(gone);
}

/* PACKED-1 to 3, 6 to 9, DRV-21 */
static void test_laps(void **state)
{
	static const unsigned sizes[] = { 1, 2, 3, 5, 8, 31, 100, 256, 4096 };

	srandom(4);
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
		laps(*state, sizes[i], 60 * sizes[i] + 5000);
	laps(*state, 32768, 3 * 32768);
}

/* A model decides which flush interrupts. */
static void interrupts(struct fixture *f, bool event_idx)
{
	enum { SIZE = 11 };
	unsigned expected = 0, hits = 0;

	f->event_idx = event_idx;
	open_queue(f, SIZE);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned flags = (unsigned)random() % 4, n = 1 + (unsigned)random() % 4,
			 covered = 0;
		unsigned target = (unsigned)random() % (2 * SIZE), start = f->ring.used;
		struct qvmx_request req;
		uint32_t ids[4];
		bool wanted = flags != EVENT_DISABLE;
		unsigned lens[4];

		for (unsigned i = 0; i < n; i++) {
			lens[i] = 1 + (unsigned)random() % 2;
			offer_list(&f->ring, lens[i], 0, (uint16_t)i);
			covered += lens[i];
		}
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(virtqueue_next(f->vq, &req), 1);
			ids[i] = req.id;
		}
		set_event(f, flags, target);
		if (flags == EVENT_DESC && event_idx && random() % 16 == 0) {
			/* No such place */
			guest_put16(f->mem, RING_AVAIL, (uint16_t)(SIZE + random() % 1000));
		} else if (flags == EVENT_DESC && event_idx) {
			wanted = false;
			for (unsigned i = 0; i < covered; i++)
				wanted |= step(&f->ring, start, i) == target;
			hits += wanted;
		}
		for (unsigned i = 0; i < n; i++) {
			virtqueue_done(f->vq, ids[i], 0);
			if (random() % 2)
				virtqueue_publish(f->vq);
		}
		virtqueue_flush(f->vq);
		virtqueue_flush(f->vq);
		expected += wanted;
		assert_int_equal(f->interrupts, expected);
		for (unsigned i = 0; i < n; i++) {
			uint16_t id;
			uint32_t len;

			assert_true(take_used(&f->ring, lens[i], &id, &len, NULL));
		}
	}
	assert_true(!event_idx || hits > 500);
}

/* PACKED-12, 13, DRV-23: with the event index and without. */
static void test_interrupts(void **state)
{
	srandom(6);
	interrupts(*state, false);
	interrupts(*state, true);
}

/* PACKED-14: the device's wishes, and nothing else in its area. */
static void test_kicks(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;
	uint32_t len;
	uint16_t id;

	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		f->event_idx = event_idx;
		open_queue(f, 3);
		for (unsigned i = 0; i < 20; i++) {
			unsigned at = f->ring.avail;
			uint32_t place_and_wrap = at < 3 ? at | 0x8000 : at - 3;

			assert_int_equal(virtqueue_next(f->vq, &req), 0);
			assert_int_equal(guest_get32(f->mem, RING_USED),
					 event_idx ? EVENT_DESC << 16 | place_and_wrap : 0);
			offer_list(&f->ring, 1 + i % 3, 0, 9);
			assert_int_equal(virtqueue_next(f->vq, &req), 1);
			assert_int_equal(guest_get32(f->mem, RING_USED),
					 event_idx ? EVENT_DESC << 16 | place_and_wrap
						   : EVENT_DISABLE << 16);
			virtqueue_done(f->vq, req.id, 0);
			virtqueue_flush(f->vq);
			assert_true(take_used(&f->ring, 1 + i % 3, &id, &len, NULL));
		}
	}
}

/* The page of the last descriptor: whoever writes there first makes it writable. */
static struct {
	struct memory *mem;
	void *page;
	bool touched, first_is_used;
} last_page;

static void on_last_page(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	if (last_page.touched ||
	    (uintptr_t)info->si_addr / PAGE != (uintptr_t)last_page.page / PAGE)
		abort();
	last_page.touched = true;
	last_page.first_is_used = guest_get16(last_page.mem, RING_DESC + 14) & F_USED;
	(void)!mprotect(last_page.page, PAGE, PROT_READ | PROT_WRITE);
}

/* A driver that finds the first buffer used may look at the last one at once. */
static void test_seen_together(void **state)
{
	enum { NUM = PAGE / 16 + 1 };
	struct fixture *f = *state;
	struct sigaction act = { .sa_sigaction = on_last_page, .sa_flags = SA_SIGINFO }, old;
	struct qvmx_request req;
	uint32_t ids[NUM];
	uint16_t id;
	uint32_t len;

	open_queue(f, 512);
	for (unsigned i = 0; i < NUM; i++) {
		offer_list(&f->ring, 1, 1, (uint16_t)i);
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
		ids[i] = req.id;
	}
	for (unsigned i = 0; i < NUM; i++)
		virtqueue_done(f->vq, ids[i], 8);
	last_page.mem = f->mem;
	last_page.page = guest(f->mem, RING_DESC + PAGE);
	assert_int_equal(sigaction(SIGSEGV, &act, &old), 0);
	assert_int_equal(mprotect(last_page.page, PAGE, PROT_READ), 0);
	virtqueue_publish(f->vq);
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
	assert_true(last_page.touched);
	assert_false(last_page.first_is_used);
	for (unsigned i = 0; i < NUM; i++)
		assert_true(take_used(&f->ring, 1, &id, &len, NULL));
}

/* PACKED-15: of several buffers the first is shown last, so all of them are seen or none. */
static void test_together(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;
	uint16_t id;
	uint32_t len;

	open_queue(f, 4);
	for (unsigned i = 0; i < 3; i++)
		offer_list(&f->ring, 1, 1, (uint16_t)i);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
		virtqueue_done(f->vq, req.id, 8);
		assert_int_equal(guest_get16(f->mem, RING_DESC + 14) & F_USED, 0);
	}
	virtqueue_publish(f->vq);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(take_used(&f->ring, 1, &id, &len, NULL));
		assert_int_equal(id, i);
	}
}

static void test_unget(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req, again;
	uint16_t id;
	uint32_t len;

	open_queue(f, 5);
	for (unsigned round = 0; round < 30; round++) {
		offer_list(&f->ring, 3, 0, (uint16_t)round);
		offer_list(&f->ring, 2, 0, (uint16_t)~round);
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
		virtqueue_unget(f->vq);
		virtqueue_unget(f->vq); /* once only */
		virtqueue_done(f->vq, req.id, 0);
		assert_int_equal(in_flight(f), 0);
		assert_int_equal(virtqueue_next(f->vq, &again), 1);
		assert_int_equal(again.num_read, 3);
		virtqueue_done(f->vq, again.id, 0);
		virtqueue_unget(f->vq); /* too late */
		assert_int_equal(virtqueue_next(f->vq, &again), 1);
		assert_int_equal(again.num_read, 2);
		virtqueue_done(f->vq, again.id, 0);
		virtqueue_flush(f->vq);
		assert_true(take_used(&f->ring, 3, &id, &len, NULL));
		assert_int_equal(id, round);
		assert_true(take_used(&f->ring, 2, &id, &len, NULL));
		assert_int_equal(id, (uint16_t)~round);
	}
}

/* DRV-20: what the driver changes after the device has looked changes nothing. */
static void test_copy_is_used(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;
	uint64_t addr;
	uint32_t len;
	uint16_t flags, id;

	open_queue(f, 4);
	desc_put(f->mem, RING_TABLE, 0, BUFFERS, 10, 0, 0);
	desc_put(f->mem, RING_TABLE, 1, BUFFERS + 0x100, 20, 0, VIRTQ_DESC_F_WRITE);
	offer_one(&f->ring, RING_TABLE, 32, VIRTQ_DESC_F_INDIRECT, 77);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	memset(guest(f->mem, RING_TABLE), 0xff, 32);
	memset(guest(f->mem, RING_DESC), 0xff, 64);
	virtqueue_descriptor(f->vq, 0, &addr, &len, &flags);
	assert_true(addr == BUFFERS && len == 10 && flags == VIRTQ_DESC_F_NEXT);
	assert_ptr_equal(req.iov[1].iov_base, guest(f->mem, BUFFERS + 0x100));
	virtqueue_done(f->vq, req.id, 100);
	virtqueue_flush(f->vq);
	assert_true(take_used(&f->ring, 1, &id, &len, NULL));
	assert_int_equal(id, 77);
	assert_int_equal(len, 20);
}

/* DRV-21: names are the driver's; two of the same in flight come back as often. */
static void test_same_id(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req[2];
	uint16_t id;
	uint32_t len;

	open_queue(f, 4);
	for (unsigned i = 0; i < 2; i++) {
		offer_list(&f->ring, 1, 1, 0x7777);
		assert_int_equal(virtqueue_next(f->vq, &req[i]), 1);
	}
	assert_int_not_equal(req[0].id, req[1].id);
	for (unsigned i = 0; i < 2; i++)
		virtqueue_done(f->vq, req[1 - i].id, 4 + i);
	virtqueue_done(f->vq, req[0].id, 0); /* once only */
	virtqueue_flush(f->vq);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(take_used(&f->ring, 1, &id, &len, NULL));
		assert_int_equal(id, 0x7777);
		assert_int_equal(len, 4 + i);
	}
	assert_false(take_used(&f->ring, 1, &id, &len, NULL));
}

static void expect_broken(struct fixture *f, const char *why)
{
	struct qvmx_request req = { .id = 77 };

	assert_int_equal(virtqueue_next(f->vq, &req), -EIO);
	assert_int_equal(req.id, 77);
	if (!strstr(f->why, why))
		fail_msg("'%s' is not '%s'", f->why, why);
	assert_int_equal(virtqueue_next(f->vq, &req), -EIO);
	assert_int_equal(f->breaks, 1);
	open_queue(f, f->ring.size);
	assert_int_equal(virtqueue_next(f->vq, &req), 0);
}

/* DRV-13: lists that go on over the ring's end, over their own head, in what is not available. */
static void test_long_lists(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;

	for (unsigned size = 1; size <= 9; size++) {
		open_queue(f, size);
		/* As long as the ring */
		offer_list(&f->ring, size, 0, 1);
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
		assert_int_equal(virtqueue_next(f->vq, &req), 0);

		/* NEXT in every descriptor, on the first lap and on a later one */
		for (unsigned first = 0; first < 2; first++) {
			open_queue(f, size);
			for (unsigned i = 0; first && i < size; i++) {
				offer_list(&f->ring, 1, 0, 1);
				assert_int_equal(virtqueue_next(f->vq, &req), 1);
				virtqueue_done(f->vq, req.id, 0);
				virtqueue_flush(f->vq);
			}
			for (unsigned i = 0; i < size; i++) {
				put_body(&f->ring, f->ring.avail, BUFFERS, 8, 1);
				put_flags(&f->ring, f->ring.avail, VIRTQ_DESC_F_NEXT);
				f->ring.avail = step(&f->ring, f->ring.avail, 1);
			}
			expect_broken(f, "more descriptors are available than the ring has");
		}
		/* The list goes on where nothing was made available. */
		for (unsigned n = 1; n < size; n++) {
			offer_list(&f->ring, n, 0, 1);
			put_flags(&f->ring, n - 1, VIRTQ_DESC_F_NEXT);
			expect_broken(f, "not available");
		}
		/* All are taken, and the driver writes over them. */
		for (unsigned i = 0; i < size; i++)
			offer_list(&f->ring, 1, 0, 1);
		for (unsigned i = 0; i < size; i++)
			assert_int_equal(virtqueue_next(f->vq, &req), 1);
		virtqueue_done(f->vq, req.id, 0); /* not shown: still ours */
		offer_list(&f->ring, 1, 0, 1);
		expect_broken(f, "more descriptors are available than the ring has");
	}
}

/* DRV-12, 16, 17, 18 */
static void test_bad_descriptors(void **state)
{
	static const uint32_t bad_len[] = { 0, 1, 15, 17, 31, 0xfffffff1, 0xffffffff };
	static const uint64_t bad_addr[] = { RAM_SIZE - 16, RAM_SIZE, UINT64_MAX - 15,
					     UINT64_MAX - 31, 0x8000000000000000ull };
	struct fixture *f = *state;
	struct qvmx_request req;

	open_queue(f, 8);
	for (unsigned i = 0; i < ARRAY_LEN(bad_len); i++) {
		offer_one(&f->ring, RING_TABLE, bad_len[i], VIRTQ_DESC_F_INDIRECT, 0);
		expect_broken(f, "length of an indirect table");
	}
	for (unsigned i = 0; i < ARRAY_LEN(bad_addr); i++) {
		offer_one(&f->ring, bad_addr[i], 32, VIRTQ_DESC_F_INDIRECT, 0);
		expect_broken(f, "indirect table is not wholly in RAM");
		offer_one(&f->ring, bad_addr[i], 32, VIRTQ_DESC_F_WRITE, 0);
		expect_broken(f, "a writable buffer is not wholly in RAM");
		desc_put(f->mem, RING_TABLE, 0, bad_addr[i], 32, 0, 0);
		offer_one(&f->ring, RING_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
		expect_broken(f, "a buffer is not wholly in RAM");
	}
	offer_one(&f->ring, ROM_BASE, 16, VIRTQ_DESC_F_WRITE, 0);
	expect_broken(f, "a writable buffer is not wholly in RAM");
	/* A table of one entry more than the queue has, and of very many */
	memset(guest(f->mem, BUFFERS), 0, 16 * 9);
	offer_one(&f->ring, BUFFERS, 16 * 8, VIRTQ_DESC_F_INDIRECT, 0);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	open_queue(f, 8);
	offer_one(&f->ring, BUFFERS, 16 * 9, VIRTQ_DESC_F_INDIRECT, 0);
	expect_broken(f, "longer than the queue");
	offer_one(&f->ring, HUGE_BASE, 0x80000000, VIRTQ_DESC_F_INDIRECT, 0);
	expect_broken(f, "longer than the queue");
	/* INDIRECT with NEXT, and at the end of a list */
	offer_list(&f->ring, 2, 0, 0);
	put_flags(&f->ring, 0, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT);
	expect_broken(f, "with a next one");
	offer_list(&f->ring, 2, 0, 0);
	put_flags(&f->ring, 1, VIRTQ_DESC_F_INDIRECT);
	expect_broken(f, "inside a list");
	/* A readable buffer behind a writable one, in a list and in a table */
	offer_list(&f->ring, 3, 2, 0);
	put_flags(&f->ring, 2, 0);
	expect_broken(f, "a readable descriptor follows");
	desc_put(f->mem, RING_TABLE, 0, BUFFERS, 1, 0, VIRTQ_DESC_F_WRITE);
	desc_put(f->mem, RING_TABLE, 1, BUFFERS, 1, 0, 0);
	offer_one(&f->ring, RING_TABLE, 32, VIRTQ_DESC_F_INDIRECT, 0);
	expect_broken(f, "a readable descriptor follows");
	f->no_indirect = true;
	open_queue(f, 8);
	offer_one(&f->ring, RING_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
	expect_broken(f, "not negotiated");
}

/* Everything at random, biased towards what nearly makes sense: the walk ends, and what is handed
 * out lies in memory. */
static void test_random(void **state)
{
	enum { SIZE = 12 };
	static const uint64_t bases[] = { 0,	     BUFFERS,	     RING_TABLE,
					  RING_DESC, RAM_SIZE - 64,  ROM_BASE,
					  ISLAND,    UINT64_MAX - 32 };
	struct fixture *f = *state;
	unsigned taken = 0;

	srandom(12);
	for (unsigned round = 0; round < 40000; round++) {
		open_queue(f, SIZE);
		for (unsigned turn = 0; turn < 3 * SIZE; turn++) {
			struct qvmx_request req;
			int r;

			for (unsigned i = 0; i < 4; i++) {
				uint64_t table = random() % 3 ? RING_DESC : RING_TABLE;
				uint32_t len = random() % 8 ? 16 * ((unsigned)random() % 20)
							    : (uint32_t)random();
				unsigned flags = (unsigned)random() % (random() % 4 ? 3 : 8);

				flags |= random() % 8 ? F_AVAIL : (unsigned)random() & 0xffff;
				if (turn > SIZE)
					flags ^= F_AVAIL | F_USED;
				desc_put(f->mem, table, (unsigned)random() % SIZE,
					 bases[(unsigned)random() %
					       (random() % 4 ? 4 : ARRAY_LEN(bases))] +
						 (unsigned)random() % 32,
					 len, (uint16_t)random(), (uint16_t)flags);
			}
			r = virtqueue_next(f->vq, &req);
			if (r < 0)
				break;
			if (r == 0)
				continue;
			taken++;
			assert_true(req.num_read + req.num_write <= SIZE);
			for (unsigned i = 0; i < req.num_read + req.num_write; i++) {
				uint64_t gpa =
					(uint64_t)((uint8_t *)req.iov[i].iov_base - f->mem->base);

				assert_non_null(memory_translate(f->mem, gpa, req.iov[i].iov_len,
								 i >= req.num_read));
			}
			if (random() % 2)
				virtqueue_done(f->vq, req.id, (uint32_t)random());
			if (random() % 2)
				virtqueue_flush(f->vq);
		}
	}
	assert_true(taken > 10000);
}

/* Does the device ask for a kick, now that places from `from` to r->avail were added? */
static bool kick_wanted(const struct packed *r, unsigned from)
{
	uint32_t event = guest_get32(r->mem, RING_USED);
	unsigned place_wanted = event & 0x7fff;

	if (event >> 16 != EVENT_DESC)
		return event >> 16 != EVENT_DISABLE;
	if (!(event & 0x8000))
		place_wanted += r->size;
	return (place_wanted + 2 * r->size - from) % (2 * r->size) <
	       (r->avail + 2 * r->size - from) % (2 * r->size);
}

static void duel(struct fixture *f, bool event_idx, unsigned total)
{
	struct duel d;

	f->event_idx = event_idx;
	open_queue(f, 3);
	f->irq_fd = eventfd(0, EFD_NONBLOCK);
	duel_start(&d, f->vq, total);
	for (unsigned sent = 0, done = 0; done < total;) {
		uint16_t id;
		uint32_t len;

		while (sent < total && sent - done < 3) {
			unsigned from = f->ring.avail;

			offer_list(&f->ring, 1, 1, (uint16_t)sent++);
			if (kick_wanted(&f->ring, from))
				duel_kick(&d);
		}
		set_event(f, event_idx ? EVENT_DESC : EVENT_ENABLE, f->ring.used);
		__sync_synchronize(); /* a barrier that the thread sanitizer lets pass */
		if (!take_used(&f->ring, 1, &id, &len, NULL)) {
			duel_wait(f->irq_fd);
			continue;
		}
		assert_int_equal(id, (uint16_t)done);
		assert_int_equal(len, 8);
		done++;
		set_event(f, event_idx ? EVENT_DESC : EVENT_DISABLE, f->ring.used);
	}
	duel_end(&d);
	close(f->irq_fd);
	f->irq_fd = -1;
	assert_int_equal(f->breaks, 0);
}

static void test_no_lost_wakeup(void **state)
{
	duel(*state, false, 40000);
	duel(*state, true, 40000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_open),	  TEST(test_request),
		TEST(test_available),	  TEST(test_indirect),
		TEST(test_laps),	  TEST(test_interrupts),
		TEST(test_kicks),	  TEST(test_together),
		TEST(test_seen_together), TEST(test_unget),
		TEST(test_copy_is_used),  TEST(test_same_id),
		TEST(test_long_lists),	  TEST(test_bad_descriptors),
		TEST(test_random),	  TEST(test_no_lost_wakeup),
	};

	return cmocka_run_group_tests_name("packed ring", tests, NULL, NULL);
}
