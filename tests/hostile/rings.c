/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a driver puts into rings: B2 loops, lengths, indices; B3 addresses with their lengths; B5
 * memory that changes after it was read.
 */
#include "hostile.h"
#include "vdevtest/adversary.h"

#define W VIRTQ_DESC_F_WRITE
#define N VIRTQ_DESC_F_NEXT
#define I VIRTQ_DESC_F_INDIRECT

enum { ANSWER_BROKEN, ANSWER_DONE };

/* The requests are taken: all come back, or the device says that it needs a reset. */
static void answered(struct guest *g, unsigned heads, int answer)
{
	unsigned queue = g->subject->queue, n;

	kick(g, queue);
	run(g);
	n = used_count(g, queue);
	if (answer == ANSWER_DONE) {
		if (n != heads || status(g) != STATUS_RUNNING)
			fail(g, "%u of %u requests are back, status 0x%x", n, heads, status(g));
		return;
	}
	if (!(status(g) & STATUS_NEEDS_RESET))
		fail(g, "status 0x%x: the device goes on, %u of %u requests are back", status(g), n,
		     heads);
	else if (!(g->transport->interrupts(g) & ISR_CONFIG))
		fail(g, "it needs a reset and does not say so by an interrupt");
	/* A broken queue does nothing more. */
	uint64_t before = touched_hash(g);

	kick(g, queue);
	run(g);
	expect(g, before == touched_hash(g));
}

/* Entry i of a chain of n in a table or ring. */
static void entry(struct guest *g, uint64_t table, unsigned i, unsigned n, unsigned next)
{
	uint16_t flags = (uint16_t)((i ? W : 0) | (i + 1 < n ? N : 0));

	if (table)
		table_put(g, table, i, BUFFERS + 0x1000ull * i, i ? 64 : 16, flags, (uint16_t)next);
	else
		desc_put(g, g->subject->queue, i, BUFFERS + 0x1000ull * i, i ? 64 : 16, flags,
			 (uint16_t)next);
}

static void split_chains(struct guest *g)
{
	unsigned q = g->subject->queue;

	for (unsigned n = 1; n <= SIZE; n++) {
		if (case_begin(g, "split: a loop of %u", n)) {
			start(g);
			for (unsigned i = 0; i < n; i++)
				entry(g, 0, i, SIZE + 1, (i + 1) % n);
			head_put(g, q, 0);
			answered(g, 1, ANSWER_BROKEN);
			case_end(g);
		}
		if (case_begin(g, "split: a loop of %u that is entered from outside", n)) {
			start(g);
			for (unsigned i = 0; i < SIZE; i++)
				entry(g, 0, i, SIZE + 1, i + 1 < SIZE ? i + 1 : SIZE - n);
			head_put(g, q, 0);
			answered(g, 1, ANSWER_BROKEN);
			case_end(g);
		}
		if (case_begin(g, "split: a chain of %u", n)) {
			start(g);
			for (unsigned i = 0; i < n; i++)
				entry(g, 0, i, n, i + 1);
			head_put(g, q, 0);
			answered(g, 1, ANSWER_DONE);
			case_end(g);
		}
		if (n < SIZE && case_begin(g, "split: a table's loop of %u", n)) {
			start(g);
			for (unsigned i = 0; i < n; i++)
				entry(g, TABLES, i, SIZE + 1, (i + 1) % n);
			desc_put(g, q, 0, TABLES, 16 * n, I, 0);
			head_put(g, q, 0);
			answered(g, 1, ANSWER_BROKEN);
			case_end(g);
		}
	}
	static const unsigned nexts[] = { SIZE, SIZE + 1, 0x100, 0x7fff, 0xffff };

	for (unsigned i = 0; i < 5; i++) {
		if (case_begin(g, "split: next 0x%x", nexts[i])) {
			start(g);
			entry(g, 0, 0, 2, nexts[i]);
			head_put(g, q, 0);
			answered(g, 1, ANSWER_BROKEN);
			case_end(g);
		}
		if (case_begin(g, "split: head 0x%x", nexts[i])) {
			start(g);
			head_put(g, q, (uint16_t)nexts[i]);
			answered(g, 1, ANSWER_BROKEN);
			case_end(g);
		}
		if (case_begin(g, "split: a table's next 0x%x", nexts[i])) {
			start(g);
			entry(g, TABLES, 0, 2, nexts[i]);
			desc_put(g, q, 0, TABLES, 32, I, 0);
			head_put(g, q, 0);
			answered(g, 1, ANSWER_BROKEN);
			case_end(g);
		}
		if (case_begin(g, "split: available index ahead by 0x%x", nexts[i] + 1)) {
			start(g);
			avail_index_set(g, q, (uint16_t)(nexts[i] + 1));
			if (nexts[i] == 0xffff)
				answered(g, 0, ANSWER_DONE); /* that is no request */
			else
				answered(g, 1, ANSWER_BROKEN);
			case_end(g);
		}
	}
	if (case_begin(g, "split: one head twice")) {
		start(g);
		entry(g, 0, 0, 1, 0);
		head_put(g, q, 0);
		head_put(g, q, 0);
		answered(g, 2, ANSWER_BROKEN);
		case_end(g);
	}
	if (case_begin(g, "split: a request in a laid-out ring over its end")) {
		start(g);
		for (unsigned i = 0; i < 3 * SIZE; i++) {
			(void)offer_plain(g, q);
			answered(g, 1, ANSWER_DONE);
		}
		case_end(g);
	}
}

static void packed_lists(struct guest *g)
{
	unsigned q = g->subject->queue;
	struct ring *r = &g->rings[q];

	for (unsigned n = 1; n <= SIZE; n++) {
		if (case_begin(g, "packed: a list of %u", n)) {
			start(g);
			r->places[0] = (uint8_t)n;
			for (unsigned i = 0; i < n; i++)
				packed_put(g, q, BUFFERS + 0x1000ull * i, i ? 64 : 16, 0,
					   (uint16_t)((i ? W : 0) | (i + 1 < n ? N : 0)), true);
			answered(g, 1, ANSWER_DONE);
			case_end(g);
		}
		if (n < SIZE && case_begin(g, "packed: a list of which %u are available", n)) {
			start(g);
			for (unsigned i = 0; i < SIZE; i++)
				packed_put(g, q, BUFFERS + 0x1000ull * i, i ? 64 : 16, 0,
					   (uint16_t)((i ? W : 0) | N), i < n);
			answered(g, 1, ANSWER_BROKEN);
			case_end(g);
		}
		if (case_begin(g, "packed: lists of %u for three laps", n)) {
			start(g);
			for (unsigned k = 0; k < 3 * SIZE; k++) {
				struct buf bufs[SIZE] = { { BUFFERS, 16, 0 } };

				for (unsigned i = 1; i < n; i++)
					bufs[i] = (struct buf){ BUFFERS + 0x1000ull * i, 64, W };
				(void)offer(g, q, bufs, n);
				answered(g, 1, ANSWER_DONE);
			}
			case_end(g);
		}
		if (n > 1 &&
		    case_begin(g, "packed: an indirect descriptor as number %u of a list", n)) {
			start(g);
			for (unsigned i = 0; i + 1 < n; i++)
				packed_put(g, q, BUFFERS, 16, 0, N, true);
			table_put(g, TABLES, 0, BUFFERS, 16, 0, 0);
			packed_put(g, q, TABLES, 16, 0, I, true);
			answered(g, 1, ANSWER_BROKEN);
			case_end(g);
		}
	}
	if (case_begin(g, "packed: every place of the ring says that a list goes on")) {
		start(g);
		for (unsigned i = 0; i < SIZE; i++)
			packed_put(g, q, BUFFERS, 16, 0, N, true);
		answered(g, 1, ANSWER_BROKEN);
		case_end(g);
	}
	if (case_begin(g, "packed: available descriptors without an end")) {
		start(g);
		for (unsigned i = 0; i < 40 * SIZE; i++)
			packed_put(g, q, BUFFERS, 16, (uint16_t)i, 0, true);
		kick(g, q);
		run(g);
		case_end(g);
	}
}

/* Indirect tables; both kinds of rings. */
static void put_table(struct guest *g, unsigned q, uint32_t len, uint16_t flags)
{
	g->rings[q].places[0] = 1;
	if (g->packed) {
		packed_put(g, q, TABLES, len, 0, (uint16_t)(I | flags), true);
	} else {
		desc_put(g, q, 0, TABLES, len, (uint16_t)(I | flags), 1);
		entry(g, 0, 1, 2, 0);
		head_put(g, q, 0);
	}
}

static void tables(struct guest *g)
{
	static const uint32_t lengths[] = {
		0, 1, 8, 15, 17, 24, 31, 33, UINT32_MAX, UINT32_MAX - 15
	};
	unsigned q = g->subject->queue;

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		if (!case_begin(g, "a table of %u bytes", lengths[i]))
			continue;
		start(g);
		entry(g, TABLES, 0, 1, 0);
		put_table(g, q, lengths[i], 0);
		answered(g, 1, ANSWER_BROKEN);
		case_end(g);
	}
	static const unsigned counts[] = { 1, 2, 7, 8, 9, 16, 255, 4096 };

	for (unsigned i = 0; i < 8; i++) {
		unsigned n = counts[i];

		if (!case_begin(g, "a table of %u entries", n))
			continue;
		start(g);
		for (unsigned k = 0; k < n; k++)
			table_put(g, TABLES, k, BUFFERS + (k ? 0x1000 : 0), 16,
				  (uint16_t)((k ? W : 0) | (k + 1 < n ? N : 0)), (uint16_t)(k + 1));
		put_table(g, q, 16 * n, 0);
		answered(g, 1, n <= SIZE ? ANSWER_DONE : ANSWER_BROKEN);
		case_end(g);
	}
	if (case_begin(g, "a table with a next descriptor")) {
		start(g);
		entry(g, TABLES, 0, 1, 0);
		put_table(g, q, 16, N);
		answered(g, 1, ANSWER_BROKEN);
		case_end(g);
	}
	if (case_begin(g, "a table that the device may write")) {
		start(g);
		entry(g, TABLES, 0, 1, 0);
		put_table(g, q, 16, W);
		answered(g, 1, ANSWER_DONE);
		case_end(g);
	}
	if (case_begin(g, "a table in a table")) {
		start(g);
		table_put(g, TABLES, 0, TABLES + 0x100, 16, I, 0);
		table_put(g, TABLES + 0x100, 0, BUFFERS, 16, 0, 0);
		put_table(g, q, 16, 0);
		/* In a packed ring's table only WRITE means anything. */
		answered(g, 1, g->packed ? ANSWER_DONE : ANSWER_BROKEN);
		case_end(g);
	}
	if (case_begin(g, "a table that refers to itself")) {
		start(g);
		table_put(g, TABLES, 0, TABLES, 16, I, 0);
		put_table(g, q, 16, 0);
		answered(g, 1, g->packed ? ANSWER_DONE : ANSWER_BROKEN);
		case_end(g);
	}
	for (unsigned direct = 0; direct <= 3 && !g->packed; direct += direct ? 2 : 1) {
		if (!case_begin(g, "split: a table behind %u direct descriptors", direct))
			continue;
		start(g);
		for (unsigned i = 0; i < direct; i++)
			desc_put(g, q, i, BUFFERS, 16, N, (uint16_t)(i + 1));
		table_put(g, TABLES, 0, BUFFERS + 0x1000, 64, W, 0);
		desc_put(g, q, direct, TABLES, 16, I, 0);
		head_put(g, q, 0);
		answered(g, 1, ANSWER_DONE);
		case_end(g);
	}
	if (case_begin(g, "a readable buffer behind a writable one")) {
		const struct buf bufs[] = { { BUFFERS + 0x1000, 16, W }, { BUFFERS, 16, 0 } };

		start(g);
		(void)offer(g, q, bufs, 2);
		answered(g, 1, ANSWER_BROKEN);
		case_end(g);
	}
	if (case_begin(g, "a doorbell a thousand times, without a request")) {
		start(g);
		for (unsigned i = 0; i < 1000; i++) {
			kick(g, q);
			run(g);
		}
		answered(g, 0, ANSWER_DONE);
		case_end(g);
	}
}

/* GEN-3, 4, SPLIT-5, 6, 17, PACKED-7, 8, 11, DRV-8, 12 to 18 */
void row_b2(struct guest *g)
{
	if (g->packed)
		packed_lists(g);
	else
		split_chains(g);
	tables(g);
}

/* B3 */

static const struct place {
	const char *name;
	uint64_t addr;
	uint64_t left; /* to the end of what lies there; 0: nothing does */
} places[] = {
	{ "the start of memory", RAM_START, RAM_END - RAM_START },
	{ "the last byte of memory", RAM_END - 1, 1 },
	{ "the last 16 bytes of memory", RAM_END - 16, 16 },
	{ "behind memory", RAM_END, 0 },
	{ "the end of low memory", 0xa0000 - 16, 16 },
	{ "the hole at 0xa0000", 0xa0000, 0 },
	{ "ROM", ROM_START, ROM_END - ROM_START },
	{ "the configuration space", 0xe0000000, 0 },
	{ "the interrupt controller", 0xfec00000, 0 },
	{ "4 GiB", UINT64_C(1) << 32, 0 },
	{ "2^52", UINT64_C(1) << 52, 0 },
	{ "2^63", UINT64_C(1) << 63, 0 },
	{ "2^64 - 4096", UINT64_MAX - 4095, 0 },
	{ "2^64 - 16", UINT64_MAX - 15, 0 },
	{ "2^64 - 1", UINT64_MAX, 0 },
};
#define NUM_PLACES (sizeof(places) / sizeof(places[0]))

static const char *const length_names[] = { "0 bytes", "1 byte", "all of it", "one more",
					    "2^32 - 1 bytes" };

static uint32_t length_of(const struct place *p, unsigned which)
{
	const uint32_t lengths[] = { 0, 1, (uint32_t)(p->left ? p->left : 16),
				     (uint32_t)(p->left ? p->left + 1 : 17), UINT32_MAX };

	return lengths[which];
}

static void buffer_at(struct guest *g, const struct place *p, uint32_t len, bool write)
{
	const struct buf in[] = { { BUFFERS, 16, 0 },
				  { p->addr, len, W },
				  { BUFFERS + 0x2000, 1, W } },
			 out[] = { { BUFFERS, 16, 0 },
				   { p->addr, len, 0 },
				   { BUFFERS + 0x2000, 1, W } };
	bool good = !len || is_memory(p->addr, len, write);

	start(g);
	/* A read of the whole of memory is much for a device that fills it; fine all the same. */
	(void)offer(g, g->subject->queue, write ? in : out, 3);
	answered(g, 1, good ? ANSWER_DONE : ANSWER_BROKEN);
}

static void table_at(struct guest *g, const struct place *p, unsigned entries)
{
	bool good = is_memory(p->addr, 16ull * entries, false);
	unsigned q = g->subject->queue;

	start(g);
	if (is_memory(p->addr, 16ull * entries, true))
		for (unsigned i = 0; i < entries; i++)
			table_put(g, p->addr, i, BUFFERS, 16, i + 1 < entries ? N : 0,
				  (uint16_t)(i + 1));
	else if (good)
		memset(vdevtest_ram(g->t, p->addr, 16ull * entries), 0, 16ull * entries);
	g->rings[q].places[0] = 1;
	if (g->packed) {
		packed_put(g, q, p->addr, 16 * entries, 0, I, true);
	} else {
		desc_put(g, q, 0, p->addr, 16 * entries, I, 0);
		head_put(g, q, 0);
	}
	answered(g, 1, good ? ANSWER_DONE : ANSWER_BROKEN);
}

/* A part of the ring there. Which part is misaligned or no memory is seen at DRIVER_OK. */
static void ring_at(struct guest *g, unsigned part, uint64_t addr, unsigned size, bool event)
{
	static const unsigned split_align[] = { 16, 2, 4 }, packed_align[] = { 16, 4, 4 };
	const uint64_t split_len[] = { 16ull * size, 6 + 2ull * size, 6 + 8ull * size },
		       packed_len[] = { 16ull * size, 4, 4 };
	uint64_t at[3] = { RINGS, RINGS + 0x8000, RINGS + 0xc000 };
	uint64_t len = (g->packed ? packed_len : split_len)[part];
	unsigned align = (g->packed ? packed_align : split_align)[part], q = g->subject->queue;
	bool good = addr % align == 0 && is_memory(addr, len, true);

	start(g);
	(void)reset(g);
	(void)negotiate(g, event ? UINT64_MAX : ~(UINT64_C(1) << VIRTIO_F_EVENT_IDX));
	memset(vdevtest_ram(g->t, RINGS, 0x10000), 0, 0x10000);
	if (is_memory(addr, len, true))
		memset(vdevtest_ram(g->t, addr, len), 0, len);
	at[part] = addr;
	queue_place(g, q, size, at[0], at[1], at[2]);
	driver_ok(g);
	if (!good) {
		if (!(status(g) & STATUS_NEEDS_RESET)) {
			kick(g, q);
			run(g);
		}
		expect(g, status(g) & STATUS_NEEDS_RESET);
		return;
	}
	(void)offer_plain(g, q);
	answered(g, 1, ANSWER_DONE);
}

static void rings_at(struct guest *g)
{
	static const char *const parts[] = { "descriptors", "driver area", "device area" };
	static const uint64_t lens[2][3] = { { 16 * SIZE, 6 + 2 * SIZE, 6 + 8 * SIZE },
					     { 16 * SIZE, 4, 4 } };

	for (unsigned part = 0; part < 3; part++) {
		for (unsigned p = 1; p < NUM_PLACES; p++) {
			if (!case_begin(g, "%s at %s", parts[part], places[p].name))
				continue;
			ring_at(g, part, places[p].addr, SIZE, true);
			case_end(g);
		}
		/* From 6 bytes too low to 16 too high, with and without the event words. */
		for (int off = -16; off <= 16; off += 2) {
			for (unsigned event = 0; event < 2; event++) {
				uint64_t end = RAM_END - lens[g->packed][part];

				if (!case_begin(g,
						"%s %d bytes from where they just fit, %s events",
						parts[part], off, event ? "with" : "without"))
					continue;
				ring_at(g, part, end + (uint64_t)(int64_t)off, SIZE, event);
				case_end(g);
			}
		}
	}
}

/* DRV-9, 18 */
void row_b3(struct guest *g)
{
	for (unsigned p = 0; p < NUM_PLACES; p++) {
		for (unsigned l = 0; l < 5; l++) {
			for (unsigned write = 0; write < 2; write++) {
				if (!case_begin(g, "a buffer to %s at %s, %s",
						write ? "write" : "read", places[p].name,
						length_names[l]))
					continue;
				/* Not over the rings. */
				if (!(p == 0 && write && l == 2))
					buffer_at(g, &places[p], length_of(&places[p], l), write);
				case_end(g);
			}
		}
		for (unsigned entries = 1; entries <= 2; entries++) {
			if (!case_begin(g, "a table of %u entries at %s", entries, places[p].name))
				continue;
			table_at(g, &places[p], entries);
			case_end(g);
		}
	}
	rings_at(g);
}

/* B5 */

struct result {
	unsigned used, status;
	uint32_t len;
	/* Where memory changed, below the status byte and from there on; what was written is
	 * random. */
	uint64_t first[2], last[2];
};

enum { BUFFER = BUFFERS + 0x1000, BUFFER_LEN = 512, MOST_READS = 5 };

static void changed(struct guest *g, uint64_t from, uint64_t to, uint64_t *ret_first,
		    uint64_t *ret_last)
{
	const uint8_t *p = vdevtest_ram(g->t, from, to - from);

	*ret_first = *ret_last = to;
	for (uint64_t i = 0; i < to - from; i++) {
		if (p[i] == POISON)
			continue;
		if (*ret_first == to)
			*ret_first = from + i;
		*ret_last = from + i;
	}
	/* One random byte may as well be the poison. */
	if (*ret_first == *ret_last)
		*ret_first = *ret_last = to;
}

static void flip_run(struct guest *g, uint64_t at, unsigned len, uint8_t mask, unsigned reads,
		     bool in_table, struct result *ret)
{
	unsigned q = g->subject->queue, id;
	uint8_t *ram;

	start(g);
	if (in_table) {
		entry(g, TABLES, 0, 3, 1);
		table_put(g, TABLES, 1, BUFFER, BUFFER_LEN, W | N, 2);
		table_put(g, TABLES, 2, BUFFERS + 0x2000, 1, W, 0);
		put_table(g, q, 48, 0);
	} else {
		(void)offer_plain(g, q);
	}
	ram = vdevtest_ram(g->t, at, len);
	if (!reads)
		for (unsigned i = 0; i < len; i++)
			ram[i] ^= mask;
	else if (mask && adversary_arm(ram, len, mask, reads))
		fail(g, "the harness cannot watch that place");
	kick(g, q);
	run(g);
	adversary_disarm();
	*ret = (struct result){ .status = status(g) };
	ret->used = used(g, q, &id, &ret->len);
	changed(g, BUFFERS + 16, BUFFERS + 0x2000, &ret->first[0], &ret->last[0]);
	changed(g, BUFFERS + 0x2000, BUFFERS + 0x20000, &ret->first[1], &ret->last[1]);
}

static bool near(uint64_t a, uint64_t b)
{
	return a - b + 8 <= 16;
}

/* Random bytes may be the poison: the ends of what changed count to 8 bytes. */
static bool same(const struct result *a, const struct result *b)
{
	for (unsigned i = 0; i < 2; i++)
		if (!near(a->first[i], b->first[i]) || !near(a->last[i], b->last[i]))
			return false;
	return a->used == b->used && a->status == b->status && a->len == b->len;
}

/*
 * The memory changes once, right after something read it for the first time, the second, ... What
 * comes out must be what comes out of the bytes before or of the bytes after, never of both; or the
 * queue breaks, since proper drivers do not do that.
 */
static void flip(struct guest *g, uint64_t at, unsigned len, uint8_t mask, bool in_table)
{
	struct result old, new, got;

	flip_run(g, at, len, 0, 0, in_table, &old);
	flip_run(g, at, len, mask, 0, in_table, &new);
	for (unsigned reads = 1; reads <= MOST_READS; reads++) {
		flip_run(g, at, len, mask, reads, in_table, &got);
		if (!same(&got, &old) && !same(&got, &new) && !(got.status & STATUS_NEEDS_RESET))
			fail(g,
			     "after %u reads: neither the old nor the new bytes give status 0x%x, "
			     "%u used, "
			     "length %u, changes from 0x%llx to 0x%llx",
			     reads, got.status, got.used, got.len, (unsigned long long)got.first[0],
			     (unsigned long long)got.last[0]);
	}
}

/* DRV-20 */
void row_b5(struct guest *g)
{
	static const struct {
		const char *name;
		unsigned split, packed, len;
	} fields[] = {
		{ "address", 0, 0, 8 },		{ "address's low byte", 0, 0, 1 },
		{ "length", 8, 8, 4 },		{ "length's low byte", 8, 8, 1 },
		{ "length's byte 1", 9, 9, 1 }, { "flags", 12, 14, 1 },
		{ "next or id", 14, 12, 2 },
	};
	static const uint8_t masks[] = { 1, 2, 4, 0x10, 0x80, 0xff };

	for (unsigned table = 0; table < 2; table++) {
		for (unsigned d = 0; d < 3; d++) {
			for (unsigned f = 0; f < 7; f++) {
				for (unsigned m = 0; m < 6; m++) {
					uint64_t base =
						table ? TABLES : g->rings[g->subject->queue].desc;

					if (!base)
						base = RINGS +
						       (uint64_t)g->subject->queue * RING_ROOM;
					if (!case_begin(
						    g, "%s of %s %u changes by 0x%x after its read",
						    fields[f].name, table ? "entry" : "descriptor",
						    d, masks[m]))
						continue;
					flip(g,
					     base + 16ull * d +
						     (g->packed ? fields[f].packed
								: fields[f].split),
					     fields[f].len, masks[m], table);
					case_end(g);
				}
			}
		}
	}
	for (unsigned i = 0; i < 16; i++) {
		if (!case_begin(g, "byte %u of a request changes after its read", i))
			continue;
		flip(g, BUFFERS + i, 1, 0xff, false);
		case_end(g);
	}
}
