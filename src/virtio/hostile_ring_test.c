/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtqueue walker against drivers that break the rules: DRV-9, DRV-12 to DRV-18, DRV-21,
 * DRV-22. Whatever the driver writes, the walk ends, nothing outside guest RAM is handed out, and
 * the queue is broken with one report.
 */
#include "virtio/testing.h"

#include <errno.h>
#include <stdlib.h>

#include "virtio/virtqueue.h"

enum { SIZE = 16 };

struct fixture {
	struct memory *mem;
	struct virtqueue *vq;
	struct ring ring;
	unsigned breaks;
	const char *why;
	bool no_indirect;
};

static void on_interrupt(void *opaque, unsigned index)
{
	(void)opaque, (void)index;
}

static void on_broken(void *opaque, unsigned index, const char *why)
{
	struct fixture *f = opaque;

	assert_int_equal(index, 0);
	f->breaks++;
	f->why = why;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct virtqueue_host host = { on_interrupt, on_broken, f };

	f->mem = testing_memory();
	assert_int_equal(virtqueue_create(f->mem, 0, &host, &f->vq), 0);
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

static void reopen(struct fixture *f)
{
	const struct virtqueue_layout l = {
		.size = SIZE,
		.desc = RING_DESC,
		.driver = RING_AVAIL,
		.device = RING_USED,
		.event_idx = true,
		.indirect = !f->no_indirect,
	};
	const char *why;

	virtqueue_close(f->vq);
	ring_init(&f->ring, f->mem, SIZE);
	memset(guest(f->mem, RING_TABLE), 0, 16 * 4 * SIZE);
	assert_int_equal(virtqueue_open(f->vq, &l, &why), 0);
	f->breaks = 0;
}

/* The ring is broken now: said once, nothing was used, nothing more is taken, a reset cures it. */
static void expect_broken(struct fixture *f, const char *why)
{
	struct virtqueue_counts before, counts;
	struct qvmx_request req = { .id = 77 };

	virtqueue_counts(f->vq, &before);
	assert_int_equal(virtqueue_next(f->vq, &req), -EIO);
	assert_int_equal(req.id, 77);
	if (!strstr(f->why, why))
		fail_msg("'%s' is not '%s'", f->why, why);
	assert_int_equal(virtqueue_next(f->vq, &req), -EIO);
	assert_int_equal(f->breaks, 1);
	virtqueue_flush(f->vq);
	assert_int_equal(ring_used_idx(&f->ring), 0);
	virtqueue_counts(f->vq, &counts);
	assert_int_equal(counts.broken, before.broken + 1);
	assert_int_equal(counts.taken, before.taken);
	reopen(f);
	assert_int_equal(virtqueue_next(f->vq, &req), 0);
}

static void expect_request(struct fixture *f, unsigned num_read, unsigned num_write)
{
	struct qvmx_request req;

	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	assert_int_equal(req.num_read, num_read);
	assert_int_equal(req.num_write, num_write);
	assert_int_equal(f->breaks, 0);
	reopen(f);
}

/* DRV-13: loops of every length from every place, direct and in a table. */
static void test_loops(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	for (unsigned len = 1; len <= SIZE; len++) {
		for (unsigned lead = 0; lead + len <= SIZE; lead++) {
			for (unsigned i = 0; i < lead + len; i++)
				ring_desc(&f->ring, i, BUFFERS + 2 * i, i % 2, VIRTQ_DESC_F_NEXT,
					  (uint16_t)(i + 1 < lead + len ? i + 1 : lead));
			ring_offer(&f->ring, 0);
			expect_broken(f, "longer than the queue");
			for (unsigned i = 0; i < lead + len; i++)
				desc_put(f->mem, RING_TABLE, i, BUFFERS + 2 * i, 1,
					 VIRTQ_DESC_F_NEXT,
					 (uint16_t)(i + 1 < lead + len ? i + 1 : lead));
			ring_desc(&f->ring, 3, RING_TABLE, 16 * (lead + len), VIRTQ_DESC_F_INDIRECT,
				  0);
			ring_offer(&f->ring, 3);
			expect_broken(f, "longer than the queue");
		}
	}
}

/*
 * DRV-13: as long as the queue is allowed, one more is not; direct and indirect ones count
 * together.
 */
static void test_length(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	for (unsigned direct = 0; direct < SIZE; direct++) {
		for (unsigned total = SIZE - 1; total <= SIZE + 2; total++) {
			unsigned inside = total - direct;

			for (unsigned i = 0; i < direct; i++)
				ring_desc(&f->ring, i, BUFFERS + 2 * i, 1, VIRTQ_DESC_F_NEXT,
					  (uint16_t)(i + 1));
			for (unsigned i = 0; i < inside; i++)
				desc_put(f->mem, RING_TABLE, i, BUFFERS + 0x100 + 2 * i, 1,
					 i + 1 < inside ? VIRTQ_DESC_F_NEXT : 0, (uint16_t)(i + 1));
			if (!inside)
				continue;
			ring_desc(&f->ring, direct, RING_TABLE, 16 * inside, VIRTQ_DESC_F_INDIRECT,
				  0);
			ring_offer(&f->ring, 0);
			if (total <= SIZE)
				expect_request(f, total, 0);
			else
				expect_broken(f, "longer than the queue");
		}
	}
}

/* DRV-14 */
static void test_indices(void **state)
{
	static const uint16_t bad[] = { SIZE, SIZE + 1, 0x7fff, 0x8000, 0xffff };
	struct fixture *f = *state;

	reopen(f);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		ring_offer(&f->ring, bad[i]);
		expect_broken(f, "head index");
		ring_desc(&f->ring, 1, BUFFERS, 1, VIRTQ_DESC_F_NEXT, bad[i]);
		ring_offer(&f->ring, 1);
		expect_broken(f, "beyond its table");
		for (unsigned entries = 1; entries < SIZE; entries++) {
			desc_put(f->mem, RING_TABLE, 0, BUFFERS, 1, VIRTQ_DESC_F_NEXT,
				 i == 0 ? (uint16_t)entries : bad[i]);
			ring_desc(&f->ring, 1, RING_TABLE, 16 * entries, VIRTQ_DESC_F_INDIRECT, 0);
			ring_offer(&f->ring, 1);
			expect_broken(f, "beyond its table");
		}
	}
	ring_offer(&f->ring, SIZE - 1);
	expect_request(f, 0, 0);
}

/* DRV-15: too far ahead, which is what going back looks like. */
static void test_avail_idx(void **state)
{
	static const uint16_t bad[] = { SIZE + 1, 0x7fff, 0x8000, 0xffff };
	struct fixture *f = *state;
	struct qvmx_request req;

	reopen(f);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		ring_set_idx(&f->ring, bad[i]);
		expect_broken(f, "too far ahead");
	}
	for (unsigned i = 0; i < SIZE; i++)
		ring_offer(&f->ring, (uint16_t)i);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(virtqueue_next(f->vq, &req), 1);
	assert_int_equal(virtqueue_next(f->vq, &req), 0);
	ring_set_idx(&f->ring, SIZE - 1);
	expect_broken(f, "too far ahead");
}

/* A head that is in flight is offered again; after its completion that is right. */
static void test_twice(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;

	reopen(f);
	ring_offer(&f->ring, 4);
	ring_offer(&f->ring, 4);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	virtqueue_done(f->vq, req.id, 0);
	virtqueue_publish(f->vq);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	ring_offer(&f->ring, 4);
	assert_int_equal(virtqueue_next(f->vq, &req), -EIO);
	assert_string_equal(f->why, "a head was made available again while it is in use");
	/* Done, but the driver was not told yet. */
	reopen(f);
	ring_offer(&f->ring, 4);
	ring_offer(&f->ring, 4);
	assert_int_equal(virtqueue_next(f->vq, &req), 1);
	virtqueue_done(f->vq, req.id, 0);
	assert_int_equal(virtqueue_next(f->vq, &req), -EIO);
}

/* DRV-16, 17, 18 */
static void test_tables(void **state)
{
	static const uint32_t bad_len[] = { 0, 1, 15, 17, 31, 0xfffffff1, 0xffffffff };
	static const uint64_t bad_addr[] = {
		RAM_SIZE - 16,	 RAM_SIZE,	  ISLAND + ISLAND_SIZE - 16,
		UINT64_MAX - 15, UINT64_MAX - 31, 0x8000000000000000ull
	};
	struct fixture *f = *state;

	reopen(f);
	desc_put(f->mem, RING_TABLE, 0, RING_TABLE + 0x100, 16, VIRTQ_DESC_F_INDIRECT, 0);
	desc_put(f->mem, RING_TABLE + 0x100, 0, BUFFERS, 16, 0, 0);
	ring_desc(&f->ring, 0, RING_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
	ring_offer(&f->ring, 0);
	expect_broken(f, "inside an indirect table");
	ring_desc(&f->ring, 0, RING_TABLE, 16, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT, 1);
	ring_offer(&f->ring, 0);
	expect_broken(f, "with a next one");
	for (unsigned i = 0; i < ARRAY_LEN(bad_len); i++) {
		ring_desc(&f->ring, 0, RING_TABLE, bad_len[i], VIRTQ_DESC_F_INDIRECT, 0);
		ring_offer(&f->ring, 0);
		expect_broken(f, "multiple of 16");
	}
	ring_desc(&f->ring, 0, RING_TABLE, 0xfffffff0, VIRTQ_DESC_F_INDIRECT, 0);
	ring_offer(&f->ring, 0);
	expect_broken(f, "not wholly in RAM");
	for (unsigned i = 0; i < ARRAY_LEN(bad_addr); i++) {
		ring_desc(&f->ring, 0, bad_addr[i], 32, VIRTQ_DESC_F_INDIRECT, 0);
		ring_offer(&f->ring, 0);
		expect_broken(f, "not wholly in RAM");
	}
	ring_desc(&f->ring, 0, RAM_SIZE - 16, 16, VIRTQ_DESC_F_INDIRECT, 0);
	desc_put(f->mem, RAM_SIZE - 16, 0, BUFFERS, 1, VIRTQ_DESC_F_WRITE, 0);
	ring_offer(&f->ring, 0);
	expect_request(f, 0, 1);
	f->no_indirect = true;
	reopen(f);
	ring_desc(&f->ring, 0, RING_TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
	ring_offer(&f->ring, 0);
	expect_broken(f, "not negotiated");
}

/* DRV-12 */
static void test_order(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	for (unsigned zero = 0; zero < 2; zero++) {
		ring_desc(&f->ring, 0, BUFFERS, 8, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 1);
		ring_desc(&f->ring, 1, BUFFERS + 8, zero ? 0 : 8, VIRTQ_DESC_F_NEXT, 2);
		ring_desc(&f->ring, 2, BUFFERS + 16, 8, VIRTQ_DESC_F_WRITE, 0);
		ring_offer(&f->ring, 0);
		expect_broken(f, "follows a writable one");
	}
	/* Also from the ring to a table. */
	ring_desc(&f->ring, 0, BUFFERS, 8, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 1);
	ring_desc(&f->ring, 1, RING_TABLE, 16, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE, 0);
	desc_put(f->mem, RING_TABLE, 0, BUFFERS + 8, 8, 0, 0);
	ring_offer(&f->ring, 0);
	expect_broken(f, "follows a writable one");
}

/* DRV-9, B3: address x length, readable and writable. */
static void test_addresses(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t fits; /* most bytes from there on; 0: none */
		bool rom;
	} places[] = {
		{ 0, RAM_SIZE, false },
		{ RAM_SIZE - 1, 1, false },
		{ RAM_SIZE, 0, false },
		{ ROM_BASE, ROM_SIZE, true },
		{ ROM_BASE + ROM_SIZE - 1, 1, true },
		{ ISLAND, ISLAND_SIZE, false },
		{ ISLAND - 1, 0, false },
		{ ISLAND + ISLAND_SIZE - 1, 1, false },
		{ HUGE_BASE, HUGE_SIZE, false },
		{ HUGE_BASE + HUGE_SIZE, 0, false },
		{ 0xe0000000, 0, false },
		{ 0x8000000000000000ull, 0, false },
		{ UINT64_MAX, 0, false },
		{ UINT64_MAX - 0xfff, 0, false },
	};
	struct fixture *f = *state;

	reopen(f);
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		uint32_t fits = places[i].fits;
		const uint32_t lens[] = { 1, fits, fits + 1, 0x1001, 0xffffffff };

		for (unsigned l = 0; l < ARRAY_LEN(lens); l++) {
			for (unsigned write = 0; write < 2; write++) {
				bool good = lens[l] <= fits && !(write && places[i].rom);

				if (!lens[l])
					continue;
				ring_desc(&f->ring, 9, places[i].addr, lens[l],
					  write ? VIRTQ_DESC_F_WRITE : 0, 0);
				ring_offer(&f->ring, 9);
				if (good)
					expect_request(f, !write, write);
				else
					expect_broken(f, "not wholly in RAM");
			}
		}
	}
}

/* DRV-13: 2^32 - 1 bytes in one chain are allowed, 2^32 are not. */
static void test_total(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	for (unsigned excess = 0; excess < 2; excess++) {
		ring_desc(&f->ring, 0, HUGE_BASE, 0x80000000, VIRTQ_DESC_F_NEXT, 1);
		ring_desc(&f->ring, 1, HUGE_BASE, 0x7fffffff + excess, VIRTQ_DESC_F_WRITE, 0);
		ring_offer(&f->ring, 0);
		if (excess)
			expect_broken(f, "more than 4 GiB");
		else
			expect_request(f, 1, 1);
	}
}

/* Every descriptor, index and flag at random, biased towards what nearly makes sense. */
static void random_ring(struct fixture *f)
{
	static const uint64_t bases[] = { 0,	     BUFFERS,	      RING_TABLE,
					  RING_DESC, RAM_SIZE - 64,   ROM_BASE,
					  ISLAND,    UINT64_MAX - 32, RAM_SIZE + 0x1000 };
	uint64_t tables[] = { RING_DESC, RING_TABLE };

	for (unsigned t = 0; t < 2; t++) {
		for (unsigned i = 0; i < SIZE; i++) {
			uint64_t addr =
				bases[(unsigned)random() % (random() % 4 ? 4 : ARRAY_LEN(bases))];
			uint32_t len =
				random() % 8 ? 16 * ((unsigned)random() % 20) : (uint32_t)random();
			uint16_t flags = (uint16_t)(random() % 4 ? random() % 2 : random() % 8);

			desc_put(f->mem, tables[t], i, addr + (unsigned)random() % 32, len, flags,
				 (uint16_t)(random() % 20 ? random() % SIZE : random()));
		}
	}
	for (unsigned i = 0; i < SIZE; i++)
		guest_put16(f->mem, RING_AVAIL + 4 + 2 * i,
			    (uint16_t)(random() % 20 ? random() % SIZE : random()));
	ring_set_idx(&f->ring, (uint16_t)(random() % 20 ? random() % SIZE : random()));
}

static void check_request(struct fixture *f, const struct qvmx_request *req)
{
	size_t sums[2] = { 0 };
	uint64_t addr;
	uint32_t len;
	uint16_t flags = VIRTQ_DESC_F_NEXT;

	assert_true(req->num_read + req->num_write <= SIZE);
	for (unsigned i = 0; i < req->num_read + req->num_write; i++) {
		uint64_t gpa = (uint64_t)((uint8_t *)req->iov[i].iov_base - f->mem->base);

		assert_true(range_inside(gpa, req->iov[i].iov_len, 0, RAM_SIZE) ||
			    range_inside(gpa, req->iov[i].iov_len, ISLAND, ISLAND_SIZE) ||
			    range_inside(gpa, req->iov[i].iov_len, HUGE_BASE, HUGE_SIZE) ||
			    (i < req->num_read &&
			     range_inside(gpa, req->iov[i].iov_len, ROM_BASE, ROM_SIZE)));
		sums[i >= req->num_read] += req->iov[i].iov_len;
	}
	assert_int_equal(sums[0], req->read_len);
	assert_int_equal(sums[1], req->write_len);
	for (unsigned i = 0; flags & VIRTQ_DESC_F_NEXT; i++) {
		assert_true(i < SIZE);
		virtqueue_descriptor(f->vq, i, &addr, &len, &flags);
		sums[flags & VIRTQ_DESC_F_WRITE ? 1 : 0] -= len;
	}
	assert_int_equal(sums[0] | sums[1], 0);
}

static void test_random(void **state)
{
	struct fixture *f = *state;
	struct virtqueue_counts counts;
	unsigned taken = 0;

	srandom(11);
	for (unsigned round = 0; round < 40000; round++) {
		uint16_t used = 0;

		reopen(f);
		random_ring(f);
		for (unsigned i = 0; i < 2 * SIZE; i++) {
			struct qvmx_request req;
			int r = virtqueue_next(f->vq, &req);

			if (r != 1) {
				assert_int_equal(f->breaks, r < 0);
				break;
			}
			taken++;
			check_request(f, &req);
			if (random() % 2) {
				virtqueue_done(f->vq, req.id, (uint32_t)random());
				used++;
			}
			if (random() % 4 == 0)
				virtqueue_flush(f->vq);
			virtqueue_counts(f->vq, &counts);
			assert_int_equal(counts.in_flight, i + 1 - used);
		}
	}
	assert_true(taken > 10000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_loops), TEST(test_length), TEST(test_indices), TEST(test_avail_idx),
		TEST(test_twice), TEST(test_tables), TEST(test_order),	 TEST(test_addresses),
		TEST(test_total), TEST(test_random),
	};

	return cmocka_run_group_tests_name("hostile ring", tests, NULL, NULL);
}
