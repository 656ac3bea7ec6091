/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The qtest lines: one request a line, one reply. The requests of QEMU's qtest and, with `x-`, ours
 * (vdev-test(1) lists both). Reads and writes are a guest's; after each request that may have
 * changed something the devices get to do what they have to do. What devices raise meanwhile is
 * said in lines before the reply (IRQ, MSI, DMA) once it was asked for.
 *
 * One session a bench, on the bench's thread. The bench outlives it.
 */
#ifndef VDEVTEST_QTEST_H
#define VDEVTEST_QTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qtest;
struct vdevtest;

enum qtest_result {
	QTEST_OK,
	QTEST_FAIL,	  /* the request is right, its answer is no */
	QTEST_BROKEN,	  /* FAIL: a vdev returned an error, which would end a VM */
	QTEST_UNEXPECTED, /* FAIL of x-expect */
	QTEST_ERR,	  /* the request is wrong */
};

/* say is called for each line, without its newline, in order. */
struct qtest *qtest_create(struct vdevtest *t, void (*say)(void *ctx, const char *line, size_t len),
			   void *ctx);
void qtest_free(struct qtest *q);

/* Answer one line (len bytes, no newline). */
enum qtest_result qtest_line(struct qtest *q, const char *line, size_t len);

/* The names of the requests, NULL at the end. */
const char *qtest_name(unsigned index);

#endif
