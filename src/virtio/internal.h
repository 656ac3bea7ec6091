/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What device.c (the lives of the queues, resets) and registers.c (what drivers read and write)
 * share. All functions are called with the device's mutex held, unless said otherwise.
 */
#ifndef VIRTIO_INTERNAL_H
#define VIRTIO_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include "virtio/device.h"

enum queue_stage {
	QUEUE_IDLE,
	QUEUE_START,	/* open; the loop thread has not begun */
	QUEUE_LIVE,	/* the loop thread's */
	QUEUE_STOP,	/* halted; the loop thread has not heard */
	QUEUE_STOPPING, /* the owner said that something is still in flight */
};

struct device_queue {
	struct virtqueue *vq;
	uint16_t max_size; /* 0: not there */
	uint16_t size;
	bool enabled;
	bool resetting; /* it alone; not enabled meanwhile */
	uint64_t addr[3];
	const struct virtio_queue_ops *ops; /* NULL: not served */
	void *opaque;
	int fd;
	enum queue_stage stage; /* of a served queue */
	_Atomic bool resumed;	/* DMA is allowed again: what is done may be published */
};

struct virtio_device {
	struct virtio_device_info info;
	const struct memory *mem;
	uint32_t offered[VIO_MAX_FEATURE_WORDS];
	const struct virtio_transport_ops *transport_ops;
	void *transport;

	pthread_mutex_t mtx;
	uint32_t driver_features[VIO_MAX_FEATURE_WORDS];
	bool features_beyond; /* bits were set in words that nobody offers */
	uint8_t status;
	bool resetting;	   /* status will become 0 */
	bool owner_resets; /* ... after virtio_device_reset_finish */
	bool config_dirty; /* changed since the driver looked last */
	uint8_t generation;
	struct device_queue queues[];
};

/* What becomes of a queue that broke while a lock was held; told to the owner afterwards. */
struct breakage {
	unsigned queue;
	const char *why; /* NULL: nothing broke */
};

/* The bounds check of every queue index that a guest gives. NULL: not there. No lock. */
struct device_queue *virtio_queue_get(struct virtio_device *vd, unsigned queue);
/* Make the loop thread look at a served queue. No lock. */
void virtio_queue_signal(const struct device_queue *q);
/* Does the owner work queues itself, or has it none that the core could work for it? No lock. */
bool virtio_owner_works(const struct virtio_device *vd);
/*
 * The driver said DRIVER_OK, or enabled a queue after that: the served queues that are enabled come
 * to life. The first one that cannot be opened stops all.
 */
void virtio_queues_start(struct virtio_device *vd, struct breakage *broke);
void virtio_reset_begin(struct virtio_device *vd);
/* The driver resets one queue. */
void virtio_queue_reset_begin(struct virtio_device *vd, struct device_queue *q);

#endif
