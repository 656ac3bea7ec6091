/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of both ring formats that no wake-up is lost: driver and device sleep unless the
 * other one told them to wake, each telling only when asked. With a lost one, poll runs into its
 * limit. The device's side is here, on a thread of its own; the driver's is the test's.
 */
#ifndef VIRTIO_TESTING_DUEL_H
#define VIRTIO_TESTING_DUEL_H

#include "virtio/testing.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtqueue.h"

struct duel {
	struct virtqueue *vq;
	int kick_fd;
	unsigned total; /* requests; each has 8 writable bytes */
	pthread_t thread;
};

static inline void duel_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t count;

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
}

static inline void *duel_device(void *opaque)
{
	struct duel *d = opaque;
	struct qvmx_request req;

	for (unsigned done = 0; done < d->total;) {
		int r = virtqueue_next(d->vq, &req);

		if (r == 0) {
			virtqueue_flush(d->vq);
			duel_wait(d->kick_fd);
			continue;
		}
		assert_int_equal(r, 1);
		virtqueue_done(d->vq, req.id, 8);
		if (++done % 2)
			virtqueue_flush(d->vq);
	}
	virtqueue_flush(d->vq);
	return NULL;
}

/* The queue is open; returns when the device's side runs. */
static inline void duel_start(struct duel *d, struct virtqueue *vq, unsigned total)
{
	*d = (struct duel){ .vq = vq, .kick_fd = eventfd(0, EFD_NONBLOCK), .total = total };
	assert_int_equal(pthread_create(&d->thread, NULL, duel_device, d), 0);
}

static inline void duel_kick(const struct duel *d)
{
	assert_int_equal(write(d->kick_fd, &(uint64_t){ 1 }, 8), 8);
}

static inline void duel_end(struct duel *d)
{
	pthread_join(d->thread, NULL);
	close(d->kick_fd);
}

#endif
