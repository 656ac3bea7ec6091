/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulated power cuts: powercut-test [RECORDS [SEED]].
 *
 * The order in which writes and flushes reach the host's file is recorded. The power fails at
 * random moments of it: of what was not flushed any part is kept, sector by sector. What the guest
 * was told to be stable must be there: everything that was acknowledged before the last flush that
 * was acknowledged was sent; without the flush feature, everything that was acknowledged. A failure
 * prints the seed that shows it again.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <errno.h>
#include <virtio.h>
#include <qvm/x/test.h>
#include "fakering.h"

enum {
	SECTORS = 96,
	MAX_LEN = 12, /* sectors of a request */
	REQUESTS = 60,
	DEPTH = 8,
	MAX_OPS = 2048,
	MAX_OP_LEN = SECTORS,
	ROUNDS_A_BENCH = 50,
	CUTS_A_RECORD = 8,
	DEV = 1,
	TIMEOUT_MS = 20000,
	T_OUT = 1,
	T_FLUSH = 4,
	T_WRITE_ZEROES = 13,
};

#define ALL_FEATURES UINT64_MAX
#define NO_FLUSH     (UINT64_C(1) << 14 | UINT64_C(1) << 34) /* WRITE_ZEROES, RING_PACKED */

/* Events of both sides in one order. */
static _Atomic unsigned moment;

/* What reached the host. A sector's content is a number: of the request that wrote it, 0: zeroes.
 */
struct op {
	unsigned when;
	bool sync, durable; /* a flush; a write that is stable by itself */
	unsigned sector, num;
	unsigned stamps[MAX_OP_LEN];
};

struct request {
	unsigned type, sector, num, stamp;
	unsigned sent, acknowledged; /* moments; 0: not */
};

struct run {
	unsigned seed;
	struct op ops[MAX_OPS];
	unsigned num_ops;
	struct request requests[REQUESTS];
	bool busy[SECTORS]; /* a request in flight writes it */
};

static struct run run;

static unsigned next_random(void)
{
	run.seed = run.seed * 1664525u + 1013904223u;
	return run.seed >> 8;
}

static void die(const char *what, unsigned seed)
{
	fprintf(stderr, "powercut-test: %s (seed %u)\n", what, seed);
	exit(1);
}

/* The host. The test's thread looks at the record when nothing is under way. */
static int record(void *opaque, unsigned n, const struct io_uring_sqe *sqe)
{
	struct op *op = &run.ops[run.num_ops];
	struct iovec piece;
	size_t len = 0;

	(void)opaque;
	if (run.num_ops == MAX_OPS)
		return -EIO;
	*op = (struct op){ .sector = (unsigned)(sqe->off / 512) };
	switch (sqe->opcode) {
	case IORING_OP_FSYNC:
		op->sync = true;
		break;
	case IORING_OP_FALLOCATE:
		if (n % 3 == 0)
			return -EOPNOTSUPP; /* zeroes are written then */
		op->num = (unsigned)(sqe->addr / 512);
		break;
	case IORING_OP_WRITE:
	case IORING_OP_WRITEV:
		op->durable = sqe->rw_flags & RWF_DSYNC;
		for (unsigned i = 0; fakering_piece(sqe, i, &piece); i++) {
			for (size_t k = 0; k < piece.iov_len; k += 4, len += 4)
				memcpy(&op->stamps[len / 512], (uint8_t *)piece.iov_base + k, 4);
		}
		op->num = (unsigned)(len / 512);
		break;
	default:
		return -EINVAL;
	}
	run.num_ops++;
	op->when = atomic_fetch_add(&moment, 1) + 1;
	return (int)len;
}

/* The guest */

struct guest {
	struct vdevtest *t;
	struct vdevtest_virtio *v;
	uint64_t memory;			 /* of place i: 8 KiB */
	unsigned request_of[256], place_of[256]; /* by head */
	bool place_used[DEPTH];
};

/* A range that no request in flight touches. False: none was found. */
static bool choose_range(struct request *r)
{
	r->num = 1 + next_random() % MAX_LEN;
	r->sector = next_random() % (SECTORS - r->num + 1);
	for (unsigned i = 0; i < r->num; i++) {
		if (run.busy[r->sector + i])
			return false;
	}
	memset(run.busy + r->sector, true, r->num);
	return true;
}

static bool send_request(struct guest *g, unsigned index)
{
	struct request *r = &run.requests[index];
	unsigned kind = next_random() % 10, place = 0, head, n = 1;
	uint64_t base;
	uint8_t *p;

	*r = (struct request){ .type = kind < 7 ? T_OUT : kind < 8 ? T_WRITE_ZEROES : T_FLUSH };
	if (r->type != T_FLUSH && !choose_range(r))
		return false;
	r->stamp = r->type == T_OUT ? index + 1 : 0;
	while (g->place_used[place])
		place++;
	base = g->memory + place * 8192;
	p = vdevtest_ram(g->t, base, 8192);
	memset(p, 0, 64);
	memcpy(p, &r->type, 4);
	if (r->type == T_OUT)
		p[8] = (uint8_t)r->sector;
	p[32] = 0xee;
	struct vdevtest_buf bufs[3] = { { base, 16, false } };

	if (r->type == T_OUT) {
		for (unsigned i = 0; i < r->num * 128; i++)
			memcpy(p + 64 + i * 4, &r->stamp, 4);
		bufs[n++] = (struct vdevtest_buf){ base + 64, r->num * 512, false };
	} else if (r->type == T_WRITE_ZEROES) {
		memcpy(p + 64, &(uint32_t[]){ r->sector, 0, r->num, next_random() % 2 }, 16);
		bufs[n++] = (struct vdevtest_buf){ base + 64, 16, false };
	}
	bufs[n++] = (struct vdevtest_buf){ base + 32, 1, true };
	g->place_used[place] = true;
	r->sent = atomic_fetch_add(&moment, 1) + 1;
	head = vdevtest_virtio_add(g->v, 0, bufs, n);
	g->request_of[head] = index;
	g->place_of[head] = place;
	return true;
}

static void take_answer(struct guest *g, unsigned seed)
{
	struct request *r;
	unsigned head, place;

	if (!vdevtest_virtio_used(g->v, 0, TIMEOUT_MS, &head, NULL))
		die("no answer", seed);
	place = g->place_of[head];
	r = &run.requests[g->request_of[head]];
	r->acknowledged = atomic_fetch_add(&moment, 1) + 1;
	if (*(uint8_t *)vdevtest_ram(g->t, g->memory + place * 8192 + 32, 1) != 0)
		die("a request failed", seed);
	g->place_used[place] = false;
	memset(run.busy + r->sector, false, r->num);
}

static void work(struct guest *g, unsigned seed)
{
	unsigned sent = 0, answered = 0;

	while (answered < REQUESTS) {
		if (sent < REQUESTS && sent - answered < DEPTH && next_random() % 3) {
			sent += send_request(g, sent);
			if (next_random() % 2)
				vdevtest_virtio_kick(g->v, 0);
		} else if (sent > answered) {
			vdevtest_virtio_kick(g->v, 0);
			take_answer(g, seed);
			answered++;
		}
	}
}

/* The cut */

/* What a sector holds after the power failed at `cut`: what is stable, or anything written since.
 */
static unsigned sector_after(unsigned sector, unsigned cut)
{
	unsigned stable = 0, since[MAX_OPS], n = 0;

	for (unsigned i = 0; i < run.num_ops && run.ops[i].when <= cut; i++) {
		const struct op *op = &run.ops[i];

		if (op->sync && n) {
			stable = since[n - 1];
			n = 0;
		} else if (!op->sync && sector >= op->sector && sector - op->sector < op->num) {
			since[n++] = op->stamps[sector - op->sector];
			if (op->durable) {
				stable = since[n - 1];
				n = 0;
			}
		}
	}
	return n && next_random() % 2 ? since[next_random() % n] : stable;
}

/* Everything acknowledged up to here is promised to be stable. */
static unsigned promised(unsigned cut, bool flushes)
{
	unsigned until = 0;

	if (!flushes)
		return cut;
	for (unsigned i = 0; i < REQUESTS; i++) {
		const struct request *r = &run.requests[i];

		if (r->type == T_FLUSH && r->acknowledged <= cut && r->sent > until)
			until = r->sent;
	}
	return until;
}

static bool sector_right(unsigned sector, unsigned is, unsigned until)
{
	unsigned last = REQUESTS;

	/* The last write that is promised; those of one sector are never in flight together. */
	for (unsigned i = 0; i < REQUESTS; i++) {
		const struct request *r = &run.requests[i];

		if (r->type != T_FLUSH && sector >= r->sector && sector - r->sector < r->num &&
		    r->acknowledged <= until)
			last = i;
	}
	if (last == REQUESTS && is == 0)
		return true;
	/* That one, or one that came after it. */
	for (unsigned i = last == REQUESTS ? 0 : last; i < REQUESTS; i++) {
		const struct request *r = &run.requests[i];

		if (r->type != T_FLUSH && sector >= r->sector && sector - r->sector < r->num &&
		    r->stamp == is)
			return true;
	}
	return false;
}

static void cut_power(unsigned seed, bool flushes)
{
	unsigned cut = 1 + next_random() % atomic_load(&moment);
	unsigned until = promised(cut, flushes);
	char text[100];

	for (unsigned sector = 0; sector < SECTORS; sector++) {
		unsigned is = sector_after(sector, cut);

		if (sector_right(sector, is, until))
			continue;
		snprintf(text, sizeof(text),
			 "a cut at moment %u: sector %u holds write %u, what was promised is lost",
			 cut, sector, is);
		die(text, seed);
	}
}

static void start(struct guest *g, const char *path, bool flushes)
{
	char text[160];

	snprintf(text, sizeof(text), "ram 4m vdev virtio-blk hostdev %s", path);
	memset(g, 0, sizeof(*g));
	g->t = vdevtest_start(text);
	if (!g->t)
		die(vdevtest_errors(), 0);
	g->memory = vdevtest_alloc(g->t, DEPTH * 8192, 4096);
	g->v = vdevtest_virtio_start(g->t, DEV, flushes ? ALL_FEATURES : NO_FLUSH, 64);
}

static void end(struct guest *g)
{
	if (!g->t)
		return;
	vdevtest_virtio_end(g->v);
	vdevtest_end(g->t);
	g->t = NULL;
}

int main(int argc, char **argv)
{
	unsigned records = argc > 1 ? (unsigned)atoi(argv[1]) : 200;
	unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
	char path[] = "/tmp/powercut-test-XXXXXX";
	int fd = mkstemp(path);
	struct guest g = { 0 };

	if (fd < 0 || ftruncate(fd, SECTORS * 512) != 0)
		die("no file in /tmp", 0);
	fakering_use(record, NULL);
	for (unsigned i = 0; i < records; i++, seed++) {
		bool flushes = seed / ROUNDS_A_BENCH % 4 != 3;

		if (i == 0 || seed % ROUNDS_A_BENCH == 0) {
			end(&g);
			start(&g, path, flushes);
		}
		memset(&run, 0, sizeof(run));
		run.seed = seed * 2654435761u + flushes;
		fakering_shuffle(next_random() | 1);
		atomic_store(&moment, 0);
		work(&g, seed);
		for (unsigned cut = 0; cut < CUTS_A_RECORD; cut++)
			cut_power(seed, flushes);
	}
	end(&g);
	close(fd);
	unlink(path);
	printf("%u power cuts: nothing was lost\n", records * CUTS_A_RECORD);
	return 0;
}
