/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one virtqueue walker, for split and packed rings. Everything that a guest can put into a ring
 * is checked here and nowhere else: each descriptor is read once into a shadow table, its address
 * with its length becomes a host address, and what is wrong breaks the queue (its owner hears of it
 * once; the device then needs a reset).
 *
 * A queue is worked by one thread at a time; virtqueue_halt, virtqueue_dma_set, virtqueue_live
 * and virtqueue_counts are for any thread. Made by virtio/device.c and alive as long as the device;
 * open between virtqueue_open and virtqueue_close. Pointers into guest memory last until the next
 * virtqueue_next or the close. Request ids hold a slot (of a split ring: the head) and the queue's
 * generation, so ids of an earlier life are recognised and dropped.
 */
#ifndef VIRTIO_VIRTQUEUE_H
#define VIRTIO_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <qvm/x/queue.h>
#include "base/util.h"

struct memory;
struct virtqueue;

/* What a queue asks of its device; called on the thread that works the queue. */
struct virtqueue_host {
	void (*interrupt)(void *opaque, unsigned index);
	void (*broken)(void *opaque, unsigned index, const char *why); /* why: static text */
	void *opaque;
};

/* The driver's registers of a queue, copied at enable. */
struct virtqueue_layout {
	uint16_t size; /* descriptors; of a split ring a power of two */
	/* Guest-physical. Split: descriptor table, available ring, used ring. Packed: descriptor
	 * ring, the driver's and the device's event words. */
	uint64_t desc, driver, device;
	bool event_idx, indirect, packed; /* negotiated */
};

struct virtqueue_counts {
	uint64_t taken, done; /* requests; a request put back by virtqueue_unget is not counted */
	uint64_t dropped;     /* completions of ids that were not in flight */
	uint64_t interrupts;  /* asked of the device */
	uint64_t broken;      /* times that the driver broke the queue */
	unsigned in_flight;
};

int virtqueue_create(const struct memory *mem, unsigned index, const struct virtqueue_host *host,
		     struct virtqueue **ret_vq) MUST_CHECK;
void virtqueue_destroy(struct virtqueue *vq);

/*
 * Translate the ring's parts and make the queue live. -EINVAL: size; -EFAULT: a part is misaligned
 * or not wholly in RAM; -ENOMEM; -EBUSY: open already. *ret_why (static text) says what is wrong.
 */
int virtqueue_open(struct virtqueue *vq, const struct virtqueue_layout *layout,
		   const char **ret_why) MUST_CHECK;
/*
 * No new requests and no interrupts from here on; the thread that works it may still be inside a
 * call.
 */
void virtqueue_halt(struct virtqueue *vq);
/* Forget everything, ring memory included. The thread that works it is not inside a call. */
void virtqueue_close(struct virtqueue *vq);

/*
 * May the guest's memory be touched (true at first)? While not, there is no next request, and what
 * is done waits for a publish or flush after that. Any thread; a call that is under way is
 * finished.
 */
void virtqueue_dma_set(struct virtqueue *vq, bool on);

bool virtqueue_live(const struct virtqueue *vq);     /* open, not halted, not broken */
unsigned virtqueue_size(const struct virtqueue *vq); /* 0: not open */

/*
 * 1: *ret_req is the next request; 0: none, and the next one that the driver adds causes a kick;
 * -EIO: broken; -ENODEV: not open, or halted.
 */
int virtqueue_next(struct virtqueue *vq, struct qvmx_request *ret_req);
/* Put back the request that virtqueue_next returned last, unless it is done. */
void virtqueue_unget(struct virtqueue *vq);
/*
 * Complete; written is cut to the request's writable length. Ids not in flight are counted and
 * dropped.
 */
void virtqueue_done(struct virtqueue *vq, uint32_t id, uint32_t written);
/* Show what is done to the driver; interrupt it if it asks for that. */
void virtqueue_flush(struct virtqueue *vq);
/* As virtqueue_flush, without an interrupt; a later flush decides about the whole batch. */
void virtqueue_publish(struct virtqueue *vq);

/*
 * Descriptor idx (0-based) of the request that virtqueue_next returned last, from the shadow table.
 * Flags have VIRTQ_DESC_F_WRITE and, but for the last one, VIRTQ_DESC_F_NEXT. Returns the next
 * index. Out of range: an empty last descriptor.
 */
unsigned virtqueue_descriptor(const struct virtqueue *vq, unsigned idx, uint64_t *ret_addr,
			      uint32_t *ret_len, uint16_t *ret_flags);

void virtqueue_counts(const struct virtqueue *vq, struct virtqueue_counts *ret_counts);

#endif
