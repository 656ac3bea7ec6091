/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded buffer between a guest that writes single characters and the host end.
 *
 * A guest's character costs no system call: the first one after a pause sets a timer, and what has
 * collected when it fires is written at once by the vdev's loop thread: after 2 ms, which no reader
 * notices, or, with `batch`, when nothing has come for that long. A buffer that is half full is
 * written without delay. The caller must not put more than outring_free() says.
 *
 * outring_put and outring_free: any thread, with the vdev's v_mtx held. The rest as hostend.h,
 * without v_mtx.
 */
#ifndef OUTRING_H
#define OUTRING_H

#include "hostend.h"

#define OUTRING_SIZE 8192u /* bytes; a power of two */

struct outring {
	vdev_t *vdp;
	struct hostend *end;
	void (*room)(vdev_t *vdp); /* the buffer is at most half full again; on the loop thread */
	int timer;		   /* timerfd, -1: none */
	uint64_t delay_ns;
	bool wait_quiet;     /* start again while characters come */
	bool pending;	     /* the timer runs or output waits for the host end */
	bool urgent;	     /* the timer was set to fire at once */
	unsigned seen;	     /* `head` when the timer was set */
	unsigned head, tail; /* counts of bytes put and written */
	uint8_t data[OUTRING_SIZE];
};

/* In VDEV_CTRL_OPTIONS_START. */
void outring_init(struct outring *ring, vdev_t *vdp, struct hostend *end,
		  void (*room)(vdev_t *vdp));

/* In VDEV_CTRL_GUEST_CONFIGURED. batch_us 0: not given. Returns EOK or an errno. */
int outring_start(struct outring *ring, uint64_t batch_us);

static inline unsigned outring_free(const struct outring *ring)
{
	return OUTRING_SIZE - (ring->head - ring->tail);
}

/* Returns false, and takes nothing, if the buffer is full. */
bool outring_put(struct outring *ring, uint8_t byte);

/* The `output` callback of the host end. */
void outring_drain(struct outring *ring);

/* In VDEV_CTRL_TERMINATE, before hostend_end: write what is left, as far as the host end takes it
 * within 2 s. */
void outring_end(struct outring *ring);

#endif
