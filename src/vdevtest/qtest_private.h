/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of qtest: what its files share. A request's function reads q->words and says one reply. */
#ifndef VDEVTEST_QTEST_PRIVATE_H
#define VDEVTEST_QTEST_PRIVATE_H

#include <pthread.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "vdevtest/internal.h"
#include "vdevtest/qtest.h"

enum {
	QTEST_MAX_WORDS = 64,
	QTEST_MAX_BLOCK = 4 << 20,  /* bytes that one request reads or writes */
	QTEST_MAX_EVENTS = 1 << 20, /* bytes of lines between two replies; what is more is lost */
	QTEST_MAX_SNAPSHOTS = 16,
	QTEST_MAX_INTERCEPTS = 32,
	QTEST_NUM_DEVS = 64, /* PCI devices of bus 0, then VirtIO devices in memory */
};

struct qtest_driver;
struct qtest_snapshot;
struct qtest_pools;

/* irq_intercept_in: pin -1, every input of the controller; _out: the line of a vdev, said as 0. */
struct qtest_intercept {
	char *pic;
	int pin;
};

struct qtest {
	struct vdevtest *t;
	void (*say)(void *ctx, const char *line, size_t len);
	void *ctx;
	char *text; /* the request, cut into words */
	size_t text_size;
	uint8_t *block; /* of the request that reads or writes one */
	char *words[QTEST_MAX_WORDS];
	unsigned num_words;
	enum qtest_result result;
	struct strbuf reply, last;
	struct vdevtest_watch watch;
	struct qtest_intercept intercepts[QTEST_MAX_INTERCEPTS];
	unsigned num_intercepts;
	struct qtest_driver *drivers[QTEST_NUM_DEVS];
	struct qtest_pools *pools;
	struct qtest_snapshot *snapshots[QTEST_MAX_SNAPSHOTS];
	unsigned num_snapshots;
	pthread_mutex_t lock; /* events */
	struct strbuf events; /* lines that go before the reply */
};

/* Replies. `wrong` is ERR: the request cannot be understood. */
void qtest_ok(struct qtest *q, const char *fmt, ...) PRINTF_LIKE(2, 3);
void qtest_done(struct qtest *q); /* OK alone */
void qtest_no(struct qtest *q, const char *fmt, ...) PRINTF_LIKE(2, 3);
void qtest_wrong(struct qtest *q, const char *fmt, ...) PRINTF_LIKE(2, 3);
void qtest_event(struct qtest *q, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A number of C; false: it is none. */
bool qtest_number(const char *text, uint64_t *ret);
/* Word i as a number up to `max`; false: ERR was said. */
bool qtest_argument(struct qtest *q, unsigned i, uint64_t max, uint64_t *ret);
/* 0xHEX to bytes; the number of bytes, -1: it is none. buf: up to `size` of them. */
long qtest_hex(const char *text, uint8_t *buf, size_t size);
void qtest_add_hex(struct strbuf *out, const uint8_t *data, size_t len);

/* The x- requests (qtest_extend.c, qtest_virtio.c), NULL name at the end of each table. */
struct qtest_request {
	const char *name;
	void (*func)(struct qtest *q);
	unsigned min_words, max_words; /* with the name */
	bool quiet;		       /* devices have nothing to do after it */
};
extern const struct qtest_request qtest_extensions[], qtest_virtio[];
void qtest_extend_free(struct qtest *q);
int qtest_virtio_init(struct qtest *q); /* -1: out of memory */
void qtest_virtio_free(struct qtest *q);

#endif
