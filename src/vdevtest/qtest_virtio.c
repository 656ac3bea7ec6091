/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qtest: a driver of VirtIO devices by requests. Buffers come from guest memory and go back to a
 * pool when the device has returned them, so that a script may make as many requests as it likes.
 */
#include "vdevtest/qtest_private.h"

#include <stdlib.h>
#include <string.h>

enum {
	MAX_QUEUE = 32768,
	MAX_SEGMENTS = 32,
	SMALLEST = 64, /* bytes of a block of pool 0; each pool's are twice as large */
	NUM_POOLS = 15,
	ALIGN = 16,
	MAX_SHOWN = 4096, /* bytes of what a device wrote that the reply has */
	MAX_CONFIG = 4096,
	WAIT_MS = 10000,
};

struct qtest_pools {
	struct {
		uint64_t *gpa; /* free blocks */
		unsigned num, room;
	} of[NUM_POOLS];
};

/* What a request has in the device: its block, and where the device may write. */
struct out {
	uint64_t gpa;
	unsigned pool; /* NUM_POOLS: no block */
	unsigned num;
	struct {
		uint64_t gpa;
		uint32_t len;
	} in[];
};

struct queue {
	struct out **out; /* by head, `size` of them; NULL: the queue has not been used */
	unsigned size;
};

struct qtest_driver {
	struct vdevtest_virtio *v;
	unsigned num_queues, size; /* the most descriptors of a queue that the start asked for */
	struct queue queues[];
};

static void pool_put(struct qtest *q, uint64_t gpa, unsigned pool)
{
	if (pool == NUM_POOLS)
		return;
	if (q->pools->of[pool].num == q->pools->of[pool].room) {
		unsigned room = MAX(2 * q->pools->of[pool].room, 16u);
		uint64_t *grown = realloc(q->pools->of[pool].gpa, room * sizeof(*grown));

		if (!grown)
			return; /* the block is lost to the guest, nothing more */
		q->pools->of[pool].gpa = grown;
		q->pools->of[pool].room = room;
	}
	q->pools->of[pool].gpa[q->pools->of[pool].num++] = gpa;
}

static uint64_t pool_get(struct qtest *q, size_t len, unsigned *ret_pool)
{
	unsigned pool = 0;

	while (pool < NUM_POOLS && (size_t)SMALLEST << pool < len)
		pool++;
	if (pool == NUM_POOLS)
		vdevtest_die("a request of %zu bytes; at most %d", len,
			     SMALLEST << (NUM_POOLS - 1));
	*ret_pool = pool;
	if (!q->pools->of[pool].num)
		return vdevtest_alloc(q->t, (size_t)SMALLEST << pool, 16);
	uint64_t gpa = q->pools->of[pool].gpa[--q->pools->of[pool].num];

	memset(vdevtest_ram(q->t, gpa, len), 0, len);
	return gpa;
}

static void queue_forget(struct queue *queue)
{
	for (unsigned i = 0; queue->out && i < queue->size; i++)
		free(queue->out[i]);
	free(queue->out);
	*queue = (struct queue){ 0 };
}

static void driver_free(struct qtest *q, unsigned dev)
{
	struct qtest_driver *d = q->drivers[dev];

	if (!d)
		return;
	q->drivers[dev] = NULL;
	for (unsigned i = 0; i < d->num_queues; i++)
		queue_forget(&d->queues[i]);
	vdevtest_virtio_forget(d->v);
	free(d);
}

/* The device of word 1; false: ERR was said. */
static bool device_number(struct qtest *q, unsigned *ret_dev)
{
	uint64_t dev;

	if (!qtest_argument(q, 1, QTEST_NUM_DEVS - 1, &dev))
		return false;
	*ret_dev = (unsigned)dev;
	return true;
}

static struct qtest_driver *driver_of(struct qtest *q)
{
	unsigned dev;

	if (!device_number(q, &dev))
		return NULL;
	if (!q->drivers[dev])
		qtest_no(q, "device %u has not been started: x-virtio-start", dev);
	return q->drivers[dev];
}

/* The device of word 1 and the queue of word 2; NULL: a reply was said. */
static struct qtest_driver *driver_and_queue(struct qtest *q, unsigned *ret_queue)
{
	struct qtest_driver *d = driver_of(q);
	uint64_t queue;

	if (!d || !qtest_argument(q, 2, UINT32_MAX, &queue))
		return NULL;
	if (queue >= d->num_queues) {
		qtest_no(q, "device %s has %u queues", q->words[1], d->num_queues);
		return NULL;
	}
	*ret_queue = (unsigned)queue;
	return d;
}

static void do_start(struct qtest *q)
{
	uint64_t features, size;
	unsigned dev;

	if (!device_number(q, &dev) || !qtest_argument(q, 2, UINT64_MAX, &features) ||
	    !qtest_argument(q, 3, MAX_QUEUE, &size))
		return;
	if (!size) {
		qtest_wrong(q, "a queue of size 0");
		return;
	}
	driver_free(q, dev);
	struct vdevtest_virtio *v = vdevtest_virtio_start(q->t, dev, features, (unsigned)size);
	unsigned num = vdevtest_virtio_num_queues(v);
	struct qtest_driver *d = calloc(1, sizeof(*d) + num * sizeof(d->queues[0]));

	if (!d) {
		vdevtest_virtio_forget(v);
		qtest_no(q, "out of memory");
		return;
	}
	d->v = v;
	d->num_queues = num;
	d->size = (unsigned)size;
	q->drivers[dev] = d;
	qtest_ok(q, "0x%016llx %u", (unsigned long long)vdevtest_virtio_features(v), num);
}

static void do_end(struct qtest *q)
{
	unsigned dev;
	struct qtest_driver *d = driver_of(q);

	if (!d || !device_number(q, &dev))
		return;
	/* Ends the request at once if the reset does not end: then the driver stays. */
	vdevtest_virtio_end(d->v);
	d->v = NULL;
	driver_free(q, dev);
	qtest_done(q);
}

static void do_status(struct qtest *q)
{
	const struct qtest_driver *d = driver_of(q);

	if (d)
		qtest_ok(q, "0x%02x", vdevtest_virtio_status(d->v));
}

static void do_config(struct qtest *q)
{
	bool write = q->num_words > 4;
	struct qtest_driver *d = driver_of(q);
	uint64_t offset, len, value = 0;

	if (!d || !qtest_argument(q, 2, MAX_CONFIG, &offset) || !qtest_argument(q, 3, 8, &len) ||
	    (write && !qtest_argument(q, 4, UINT64_MAX, &value)))
		return;
	if (!len || len & (len - 1)) {
		qtest_wrong(q, "a width of 1, 2, 4 or 8, not %llu", (unsigned long long)len);
	} else if (write) {
		vdevtest_virtio_config_write(d->v, (unsigned)offset, (unsigned)len, value);
		qtest_done(q);
	} else {
		qtest_ok(q, "0x%016llx",
			 (unsigned long long)vdevtest_virtio_config(d->v, (unsigned)offset,
								    (unsigned)len));
	}
}

/*
 * A word of x-queue-add: out:0xHEX the device reads these bytes, in:LEN it may write so many;
 * out@ADDR:LEN and in@ADDR:LEN give a place and a length, whatever they are.
 */
struct segment {
	bool in, placed;
	uint64_t addr;
	uint32_t len;
	const char *hex;
};

static bool segment_read(char *word, struct segment *ret)
{
	struct segment s = { .in = strncmp(word, "in", 2) == 0 };
	char *at = word + (s.in ? 2 : 3), *colon;
	uint64_t len;

	if (!s.in && strncmp(word, "out", 3) != 0)
		return false;
	colon = strchr(at, ':');
	if (!colon || (colon != at && *at != '@'))
		return false;
	s.placed = colon != at;
	*colon = '\0';
	if (s.placed && !qtest_number(at + 1, &s.addr)) {
		*colon = ':';
		return false;
	}
	*colon = ':';
	if (!s.in && !s.placed) {
		size_t digits = strlen(colon + 1);

		s.hex = colon + 1;
		s.len = (uint32_t)(digits / 2 - 1);
		*ret = s;
		return digits >= 4 && digits % 2 == 0;
	}
	if (!qtest_number(colon + 1, &len) || len > UINT32_MAX)
		return false;
	s.len = (uint32_t)len;
	*ret = s;
	return true;
}

/* With a gap behind it, so that no two are one piece to the device. */
static size_t room_of(const struct segment *s)
{
	return align_up(s->len, ALIGN) + ALIGN;
}

static bool segments_read(struct qtest *q, struct segment *ret, size_t *ret_len)
{
	size_t len = 0;

	for (unsigned i = 3; i < q->num_words; i++) {
		struct segment *s = &ret[i - 3];

		if (!segment_read(q->words[i], s)) {
			qtest_wrong(q,
				    "'%s' is none of out:0xHEX, in:LENGTH, out@ADDR:LENGTH, "
				    "in@ADDR:LENGTH",
				    q->words[i]);
			return false;
		}
		len += s->placed ? 0 : room_of(s);
	}
	*ret_len = len;
	return true;
}

/* NULL: out of memory. */
static struct out **out_of(struct qtest_driver *d, unsigned queue)
{
	struct queue *qu = &d->queues[queue];

	if (!qu->out) {
		qu->size = d->size;
		qu->out = calloc(qu->size, sizeof(struct out *));
	}
	return qu->out;
}

static bool fill_block(struct qtest *q, struct segment *segments, unsigned n, size_t len,
		       struct out *out)
{
	uint64_t at = pool_get(q, len, &out->pool);
	uint8_t *ram = vdevtest_ram(q->t, at, MAX(len, (size_t)1));

	out->gpa = at;
	for (unsigned i = 0; i < n; i++) {
		struct segment *s = &segments[i];

		if (!s->placed) {
			if (s->hex && qtest_hex(s->hex, ram, s->len) < 0) {
				qtest_wrong(q, "'%s' is not 0x and pairs of hexadecimal digits",
					    s->hex);
				return false;
			}
			s->addr = at;
			at += room_of(s);
			ram += room_of(s);
		}
		if (s->in) {
			out->in[out->num].gpa = s->addr;
			out->in[out->num++].len = s->len;
		}
	}
	return true;
}

static void do_add(struct qtest *q)
{
	struct segment segments[MAX_SEGMENTS];
	struct vdevtest_buf bufs[MAX_SEGMENTS];
	unsigned queue, head, n = q->num_words - 3;
	struct qtest_driver *d = driver_and_queue(q, &queue);
	size_t len;

	if (!d || !segments_read(q, segments, &len))
		return;
	if (!vdevtest_virtio_has_queue(d->v, queue)) {
		qtest_no(q, "queue %u is not enabled", queue);
		return;
	}
	struct out **table = out_of(d, queue);
	struct out *out = table ? calloc(1, sizeof(*out) + n * sizeof(out->in[0])) : NULL;

	if (!out) {
		qtest_no(q, "out of memory");
		return;
	}
	/* The session's: what follows may end the request at once. */
	free(q->block);
	q->block = (uint8_t *)out;
	if (!fill_block(q, segments, n, len, out)) {
		pool_put(q, out->gpa, out->pool);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		bufs[i] =
			(struct vdevtest_buf){ segments[i].addr, segments[i].len, segments[i].in };
	head = vdevtest_virtio_add(d->v, queue, bufs, n);
	free(table[head]);
	table[head] = out;
	q->block = NULL;
	qtest_ok(q, "%u", head);
}

static void do_kick(struct qtest *q)
{
	unsigned queue;
	struct qtest_driver *d = driver_and_queue(q, &queue);

	if (!d)
		return;
	vdevtest_virtio_kick(d->v, queue);
	qtest_done(q);
}

/* What the device wrote, as far as it says. */
static void show(struct qtest *q, const struct out *out, uint32_t len)
{
	uint32_t left = MIN(len, (uint32_t)MAX_SHOWN);

	strbuf_add_text(&q->reply, " 0x");
	for (unsigned i = 0; i < out->num && left; i++) {
		uint32_t n = MIN(out->in[i].len, left);
		const uint8_t *ram = n ? vdevtest_ram_at(q->t, out->in[i].gpa, n) : NULL;

		for (uint32_t k = 0; ram && k < n; k++)
			strbuf_printf(&q->reply, "%02x", ram[k]);
		left -= n;
	}
}

static void do_used(struct qtest *q)
{
	unsigned queue, head;
	struct qtest_driver *d = driver_and_queue(q, &queue);
	uint32_t len;

	if (!d)
		return;
	if (!vdevtest_virtio_used(d->v, queue, WAIT_MS, &head, &len)) {
		qtest_ok(q, "none");
		return;
	}
	qtest_ok(q, "%u %u", head, len);
	struct out **table = d->queues[queue].out;
	struct out *out = table && head < d->queues[queue].size ? table[head] : NULL;

	if (!out)
		return;
	if (len)
		show(q, out, len);
	pool_put(q, out->gpa, out->pool);
	table[head] = NULL;
	free(out);
}

static void do_queue_reset(struct qtest *q)
{
	unsigned queue;
	struct qtest_driver *d = driver_and_queue(q, &queue);

	if (!d)
		return;
	vdevtest_virtio_queue_reset(d->v, queue);
	queue_forget(&d->queues[queue]);
	qtest_done(q);
}

static void do_queue_enable(struct qtest *q)
{
	unsigned queue;
	struct qtest_driver *d = driver_and_queue(q, &queue);

	if (!d)
		return;
	if (vdevtest_virtio_has_queue(d->v, queue)) {
		qtest_no(q, "queue %u is enabled", queue);
		return;
	}
	vdevtest_virtio_queue_enable(d->v, queue, d->size);
	qtest_done(q);
}

const struct qtest_request qtest_virtio[] = {
	{ "x-virtio-start", do_start, 4, 4, false },
	{ "x-virtio-end", do_end, 2, 2, false },
	{ "x-virtio-status", do_status, 2, 2, true },
	{ "x-virtio-config-read", do_config, 4, 4, true },
	{ "x-virtio-config-write", do_config, 5, 5, false },
	{ "x-queue-add", do_add, 4, 3 + MAX_SEGMENTS, true },
	{ "x-queue-kick", do_kick, 3, 3, false },
	{ "x-queue-used", do_used, 3, 3, false },
	{ "x-queue-reset", do_queue_reset, 3, 3, false },
	{ "x-queue-enable", do_queue_enable, 3, 3, false },
	{ NULL, NULL, 0, 0, false },
};

int qtest_virtio_init(struct qtest *q)
{
	q->pools = calloc(1, sizeof(*q->pools));
	return q->pools ? 0 : -1;
}

void qtest_virtio_free(struct qtest *q)
{
	for (unsigned i = 0; i < QTEST_NUM_DEVS; i++)
		driver_free(q, i);
	for (unsigned i = 0; i < NUM_POOLS; i++)
		free(q->pools->of[i].gpa);
	free(q->pools);
}
