/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a driver puts into requests: B6 buffers that are registers, B7 lengths that are trusted, B8
 * floods, B9 combinations of features, B11 requests that make no sense and come back all the same.
 */
#include "hostile.h"

#define W VIRTQ_DESC_F_WRITE
#define N VIRTQ_DESC_F_NEXT
#define I VIRTQ_DESC_F_INDIRECT

enum {
	MAX_REGIONS = 256,
	PAGE = 4096,
	MAX_RSS_KIB = 16 << 10,
	MAX_HEAP = 4096,    /* bytes more after a second flood */
	FLOOD = 2000,	    /* of one queue */
	FLOOD_BYTES = 9000, /* to one register; more than a buffer for characters has */
	FLOOD_WORDS = 300,
	REGISTERS = 16, /* bytes at the start of a page */
	MOST_PAGES = 8,
};

/* B6 */

struct dma {
	unsigned num, outside;
};

static void on_dma(void *ctx, uint64_t gpa, uint64_t len, bool write)
{
	struct dma *dma = ctx;

	dma->num++;
	if (!is_memory(gpa, len, write))
		dma->outside++;
}

/* A value of what registers and tables of all devices say, without reading what reads change. */
static uint64_t registers_hash(struct guest *g)
{
	uint64_t hash = 0;

	/* Not the status, which shows an interrupt that waits. */
	for (unsigned reg = 8; reg < 0x100 && g->transport->pci; reg += 4)
		hash = hash * 31 + vdevtest_pci_read(g->t, g->dev, reg, 4);
	for (unsigned at = 0; at < 0x80 && g->msix; at += 4)
		hash = hash * 31 + vdevtest_read(g->t, VDEVTEST_MEM, g->msix + at, 4);
	reg_write(g, REG_QUEUE_SELECT, g->subject->queue);
	for (unsigned r = 0; r < NUM_REGS; r++)
		if (r != REG_STATUS)
			hash = hash * 31 + reg_read(g, r);
	return hash;
}

static void aim(struct guest *g, uint64_t target, unsigned how)
{
	const struct vdevtest_watch none = { 0 };
	struct dma dma = { 0 };
	const struct vdevtest_watch watch = { .dma = on_dma, .ctx = &dma };
	unsigned q = g->subject->queue;
	static const uint32_t lens[] = { 1, 4, 64 };

	start(g);
	uint64_t before = registers_hash(g);

	vdevtest_set_watch(g->t, &watch);
	if (how < 3) {
		const struct buf bufs[] = { { BUFFERS, 16, 0 },
					    { target, lens[how], W },
					    { BUFFERS + 0x2000, 1, W } };

		(void)offer(g, q, bufs, 3);
	} else if (how < 6) {
		const struct buf bufs[] = { { target, lens[how - 3], 0 },
					    { BUFFERS + 0x2000, 64, W } };

		(void)offer(g, q, bufs, 2);
	} else if (g->packed) {
		packed_put(g, q, target, 16, 0, I, true);
	} else {
		desc_put(g, q, 0, target, 16, I, 0);
		head_put(g, q, 0);
	}
	kick(g, q);
	run(g);
	vdevtest_set_watch(g->t, &none);
	expect(g, !dma.outside);
	expect(g, status(g) & STATUS_NEEDS_RESET);
	expect(g, registers_hash(g) == before);
}

void row_b6(struct guest *g)
{
	static const char *const hows[] = {
		"1 byte to write", "4 bytes to write", "64 bytes to write",
		"1 byte to read",  "4 bytes to read",  "64 bytes to read",
		"a table"
	};
	const struct {
		const char *name;
		uint64_t addr;
	} targets[] = {
		{ "its status", reg_address(g, REG_STATUS) },
		{ "its queue registers", reg_address(g, REG_QUEUE_SELECT) },
		{ "its doorbell", g->notify },
		{ "its interrupt status", g->isr },
		{ "its device configuration", g->device ? g->device : g->bar0 + 0x2000 },
		{ "its interrupt table", g->msix },
		{ "its configuration space",
		  g->transport->pci ? 0xe0000000 + g->dev * 0x8000ull : g->common },
		{ "the I/O APIC", 0xfec00000 },
		{ "where messages go", 0xfee00000 },
	};

	for (unsigned i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		for (unsigned how = 0; how < 7; how++) {
			if (!case_begin(g, "%s at %s", hows[how], targets[i].name))
				continue;
			if (targets[i].addr)
				aim(g, targets[i].addr, how);
			case_end(g);
		}
	}
}

/* B7, B11: a request as its words say. */

static void poison(struct guest *g)
{
	memset(vdevtest_ram(g->t, BUFFERS, BUFFERS_LEN), POISON, BUFFERS_LEN);
}

static bool is_poison(struct guest *g, uint64_t from, uint64_t to)
{
	const uint8_t *p = vdevtest_ram(g->t, from, to - from);

	for (uint64_t i = 0; i < to - from; i++)
		if (p[i] != POISON)
			return false;
	return true;
}

/* Every head comes back, or the device says that it needs a reset; no length is too large. */
static void all_back(struct guest *g, unsigned heads, uint64_t writable)
{
	unsigned q = g->subject->queue, n = 0, id;
	uint32_t len;

	kick(g, q);
	for (unsigned i = 0; i < 20 && n < heads; i++) {
		run(g);
		while (used(g, q, &id, &len)) {
			n++;
			if (len > writable)
				fail(g, "length %u of %llu", len, (unsigned long long)writable);
		}
		if (n < heads)
			(void)vdevtest_wait(g->t);
	}
	if (n != heads && !(status(g) & STATUS_NEEDS_RESET))
		fail(g, "%u of %u requests are back, status 0x%x", n, heads, status(g));
}

/* out bytes to read that begin with `head`, in bytes to write. */
static void request(struct guest *g, const void *head, uint32_t head_len, uint32_t out, uint32_t in,
		    unsigned parts)
{
	const uint64_t in_at = BUFFERS + 0x80000;
	struct buf bufs[SIZE];
	unsigned n = 0;

	start(g);
	poison(g);
	memcpy(vdevtest_ram(g->t, BUFFERS, 64), head, head_len);
	for (unsigned i = 0; i < parts && out; i++) {
		uint32_t len = i + 1 < parts ? out / parts : out - out / parts * (parts - 1);

		bufs[n++] = (struct buf){ BUFFERS + (uint64_t)i * (out / parts), len, 0 };
	}
	for (unsigned i = 0; i < parts && in; i++) {
		uint32_t len = i + 1 < parts ? in / parts : in - in / parts * (parts - 1);

		bufs[n++] = (struct buf){ in_at + (uint64_t)i * (in / parts), len, W };
	}
	if (!n)
		bufs[n++] = (struct buf){ BUFFERS, 0, 0 };
	(void)offer(g, g->subject->queue, bufs, n);
	all_back(g, 1, in);
	if (!is_poison(g, in_at - 0x1000, in_at) || !is_poison(g, in_at + in, in_at + in + 0x1000))
		fail(g, "something was written outside of the buffers");
	if (memcmp(vdevtest_ram(g->t, BUFFERS, 64), head, head_len) != 0)
		fail(g, "what may be read only was written");
}

static const uint32_t outs[] = { 0, 1, 4, 8, 11, 12, 16, 17, 31, 32, 48, 64, 4096, 65536 };
static const uint32_t ins[] = { 0, 1, 2, 20, 21, 512, 513, 4097, 65537 };

/* SPLIT-2, PACKED-3 */
void row_b7(struct guest *g)
{
	uint8_t head[64];
	long before = rss_kib();

	for (unsigned o = 0; o < sizeof(outs) / sizeof(outs[0]); o++) {
		for (unsigned i = 0; i < sizeof(ins) / sizeof(ins[0]); i++) {
			if (!case_begin(g, "%u bytes to read, %u to write", outs[o], ins[i]))
				continue;
			memset(head, 0, sizeof(head));
			for (unsigned parts = 1; parts <= 3; parts++)
				request(g, head, sizeof(head), outs[o], ins[i], parts);
			case_end(g);
		}
	}
	/* Each 16-bit word of what a request begins with is as large as it can be, alone and behind
	 * each small number. */
	for (unsigned word = 0; word < 16; word++) {
		for (unsigned o = 0; o < 4; o++) {
			static const uint32_t lens[] = { 16, 32, 256, 4096 };

			if (!case_begin(g, "word %u of %u bytes is 0xffff", word, lens[o]))
				continue;
			for (unsigned type = 0; type < 16; type++) {
				memset(head, 0, sizeof(head));
				head[0] = (uint8_t)type;
				head[2 * word] = head[2 * word + 1] = 0xff;
				request(g, head, lens[o] < 64 ? lens[o] : 64, lens[o], 513, 1);
			}
			case_end(g);
		}
	}
	for (unsigned type = 0; type < 16; type++) {
		for (unsigned o = 0; o < 3; o++) {
			static const uint32_t lens[] = { 32, 48, 4096 };

			if (!case_begin(g, "number %u in front of %u bytes", type, lens[o]))
				continue;
			memset(head, 0, sizeof(head));
			head[0] = (uint8_t)type;
			request(g, head, 32, lens[o], 513, 2);
			case_end(g);
		}
	}
	if (case_begin(g, "memory that all of that took")) {
		if (rss_kib() - before > MAX_RSS_KIB)
			fail(g, "%ld KiB", rss_kib() - before);
		case_end(g);
	}
}

/* SPLIT-1, DRV-29, 31, 34 */
void row_b11(struct guest *g)
{
	static const char *const names[] = {
		"nothing to write",
		"nothing to read",
		"a byte to write",
		"a byte to read",
		"empty parts only",
		"an empty part first",
		"an empty part last",
		"parts of a byte",
		"only a table's empty parts",
		"a readable empty part behind a writable one",
	};
	static const struct buf shapes[][8] = {
		{ { BUFFERS, 64, 0 } },
		{ { BUFFERS + 0x1000, 64, W } },
		{ { BUFFERS + 0x1000, 1, W } },
		{ { BUFFERS, 1, 0 } },
		{ { BUFFERS, 0, 0 }, { BUFFERS, 0, W } },
		{ { BUFFERS, 0, 0 }, { BUFFERS, 16, 0 }, { BUFFERS + 0x1000, 513, W } },
		{ { BUFFERS, 16, 0 }, { BUFFERS + 0x1000, 513, W }, { 0, 0, W } },
		{ { BUFFERS, 1, 0 },
		  { BUFFERS + 0x100, 1, 0 },
		  { BUFFERS + 0x200, 14, 0 },
		  { BUFFERS + 0x1000, 1, W },
		  { BUFFERS + 0x1100, 511, W },
		  { BUFFERS + 0x1400, 1, W } },
		{ { BUFFERS, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 } },
		{ { BUFFERS + 0x1000, 16, W }, { BUFFERS, 0, 0 } },
	};
	static const uint8_t counts[] = { 1, 1, 1, 1, 2, 3, 3, 6, 3, 2 };

	for (unsigned s = 0; s < sizeof(names) / sizeof(names[0]); s++) {
		for (unsigned type = 0; type < 16; type++) {
			unsigned heads = type % 2 ? 2 : 1;

			if (!case_begin(g, "%s, number %u", names[s], type))
				continue;
			start(g);
			memset(vdevtest_ram(g->t, BUFFERS, 64), 0, 64);
			*(uint8_t *)vdevtest_ram(g->t, BUFFERS, 1) = (uint8_t)type;
			if (heads * counts[s] > SIZE)
				heads = 1;
			for (unsigned i = 0; i < heads; i++)
				(void)offer(g, g->subject->queue, shapes[s], counts[s]);
			all_back(g, heads, 1024);
			case_end(g);
		}
	}
	for (unsigned n = 1; n <= SIZE; n++) {
		if (!case_begin(g, "%u requests of which the last makes no sense", n))
			continue;
		const struct buf plain = { BUFFERS, 64, 0 };

		start(g);
		for (unsigned i = 0; i < n; i++)
			(void)offer(g, g->subject->queue, &plain, 1);
		all_back(g, n, 0);
		case_end(g);
	}
}

/* B8 */

static void flood_region(struct guest *g, const struct vdevtest_region *r, unsigned width)
{
	for (uint64_t page = 0; page < MOST_PAGES * PAGE && page < r->len; page += PAGE) {
		for (unsigned at = 0; at < REGISTERS && page + at < r->len; at += width) {
			for (unsigned i = 0; i < (width == 1 ? FLOOD_BYTES : FLOOD_WORDS); i++)
				vdevtest_write(g->t, r->space, r->start + page + at, width,
					       i * 0x9e37u);
			run(g);
		}
	}
}

/* What a vdev has allocated after one flood it may keep; a second one takes nothing more. */
static void grown(struct guest *g, size_t before)
{
	size_t now = heap_bytes();

	if (now > before + MAX_HEAP)
		fail(g, "%zu bytes more after the second flood", now - before);
}

static void flood_queue(struct guest *g, unsigned what)
{
	unsigned q = g->subject->queue;

	for (unsigned i = 0; i < FLOOD; i++) {
		if (what == 0) {
			kick(g, q); /* doorbells */
		} else if (what == 1) {
			(void)offer_plain(g, q); /* requests; what is used is never looked at */
			kick(g, q);
		} else if (what == 2) {
			reg_write(g, REG_STATUS, STATUS_RUNNING);
			reg_write(g, REG_QUEUE_ENABLE, 1);
		} else if (what == 3) {
			start(g);
			(void)offer_plain(g, q);
			kick(g, q);
			run(g);
			(void)reset(g);
		} else {
			for (unsigned k = 0; k < g->num_queues && k < MAX_RING_QUEUES; k++)
				kick(g, k);
		}
		/* More requests at once than the ring has would break it. */
		if (what == 1 || i % 16 == 0)
			run(g);
		if (status(g) & STATUS_NEEDS_RESET)
			start(g);
	}
}

/*
 * The same head again and again: a driver cannot have more in flight than its ring has places. What
 * the device keeps must not grow, whether or not it takes them.
 */
static void flood_head(struct guest *g, unsigned queue)
{
	const struct buf one = { BUFFERS, 64, queue == g->subject->queue ? 0 : W };

	start(g);
	for (unsigned i = 0; i < 4 * SIZE && !(status(g) & STATUS_NEEDS_RESET); i++) {
		(void)offer(g, queue, &one, 1);
		g->rings[queue].slot = 0;
		kick(g, queue);
		if (i % SIZE == SIZE - 1)
			run(g);
	}
	run(g);
}

void row_b8(struct guest *g)
{
	static const char *const queue_floods[] = { "doorbells", "requests", "DRIVER_OK", "resets",
						    "doorbells of all queues" };
	static struct vdevtest_region all[MAX_REGIONS];
	unsigned n = vdevtest_regions(g->t, all, MAX_REGIONS);
	size_t before = 0;

	for (unsigned width = 1; width <= 4; width *= 2) {
		if (!case_begin(g, "writes of %u bytes to all registers", width))
			continue;
		for (unsigned turn = 0; turn < 2; turn++) {
			before = heap_bytes();
			for (unsigned i = 0; i < n; i++)
				if (!is_common(&all[i]))
					flood_region(g, &all[i], width);
		}
		grown(g, before);
		case_end(g);
	}
	if (!g->subject->virtio)
		return;
	for (unsigned what = 0; what < 5; what++) {
		if (!case_begin(g, "a flood of %s", queue_floods[what]))
			continue;
		start(g);
		flood_queue(g, what);
		start(g);
		before = heap_bytes();
		flood_queue(g, what);
		start(g);
		grown(g, before);
		case_end(g);
	}
	for (unsigned q = 0; q < 2; q++) {
		if (!case_begin(g, "one head of queue %u again and again", q))
			continue;
		if (q < g->num_queues)
			flood_head(g, q);
		case_end(g);
	}
	if (g->device && case_begin(g, "a flood of writes to the device configuration")) {
		start(g);
		for (unsigned turn = 0; turn < 2; turn++) {
			before = heap_bytes();
			for (unsigned i = 0; i < FLOOD * 4; i++)
				vdevtest_write(g->t, VDEVTEST_MEM, g->device + i % g->config_len,
					       i % 8 ? 1 : 4, i);
			run(g);
		}
		grown(g, before);
		case_end(g);
	}
}

/* B9 */

static void with_features(struct guest *g, uint64_t mask)
{
	static const uint32_t lens[] = { 16, 64, 2000 };

	for (unsigned l = 0; l < 3; l++) {
		if (!reset(g))
			fail(g, "the reset does not end");
		if (!negotiate(g, mask))
			return; /* that set has unmet needs */
		for (unsigned i = 0; i < g->num_queues && i < MAX_RING_QUEUES; i++)
			if (g->max_size[i])
				queue_setup(g, i, SIZE);
		poison(g);
		memset(vdevtest_ram(g->t, BUFFERS, 64), 0, 64);
		driver_ok(g);
		/* Queues that receive have buffers too, small ones first. */
		for (unsigned i = 0; i < g->num_queues && i < MAX_RING_QUEUES; i++) {
			for (unsigned k = 0; k < 3 && i != g->subject->queue && g->max_size[i];
			     k++) {
				const struct buf in = { BUFFERS + 0x8000 + 0x1000ull * k,
							k ? 1526 : 64, W };

				(void)offer(g, i, &in, 1);
			}
			kick(g, i);
		}
		const struct buf bufs[] = { { BUFFERS, lens[l], 0 }, { BUFFERS + 0x4000, 513, W } };

		(void)offer(g, g->subject->queue, bufs, 2);
		all_back(g, 1, 513);
		expect(g, status(g) == STATUS_RUNNING);
		if (!is_poison(g, BUFFERS + 0x4000 + 513, BUFFERS + 0x5000) ||
		    !is_poison(g, BUFFERS + 0x8000 + 64, BUFFERS + 0x9000) ||
		    !is_poison(g, BUFFERS + 0x9000 + 1526, BUFFERS + 0xa000))
			fail(g, "something was written outside of the buffers");
	}
}

/* GEN-6 */
void row_b9(struct guest *g)
{
	static const uint8_t core[] = { VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX,
					VIRTIO_F_RING_RESET };
	static const uint8_t bits[] = { 0,  1,	2,  3,	5,  6,	7,  8,	9,
					10, 11, 12, 13, 14, 15, 16, 28, 29 };
	unsigned num = sizeof(bits) / sizeof(bits[0]);

	for (unsigned i = 0; i < 8; i++) {
		uint64_t mask = UINT64_MAX;

		for (unsigned k = 0; k < 3; k++)
			if (!(i & 1u << k))
				mask &= ~(UINT64_C(1) << core[k]);
		if (!case_begin(g, "tables %u, events %u, resets of queues %u", i & 1, i >> 1 & 1,
				i >> 2))
			continue;
		with_features(g, mask);
		case_end(g);
	}
	for (unsigned i = 0; i < num; i++) {
		for (unsigned k = i; k < num; k++) {
			uint64_t pair = UINT64_C(1) << bits[i] | UINT64_C(1) << bits[k];
			uint64_t version = UINT64_C(1) << VIRTIO_F_VERSION_1;

			if (!case_begin(g, "features %u and %u alone, and all but them", bits[i],
					bits[k]))
				continue;
			if (g->offered & pair) {
				with_features(g, pair | version);
				with_features(g, ~pair);
			}
			case_end(g);
		}
	}
}
