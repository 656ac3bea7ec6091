/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of the vdev share: virtio-blk.c has its life, its options, its device
 * configuration and the opening of the disk; request.c has the queue. The queue and what belongs to
 * it is worked on the vdev's thread only. vCPUs read the device configuration and nothing else;
 * since with `delayed` whoever refers to the disk first opens it, that part is under v_mtx until
 * `ready` publishes the result.
 */
#ifndef VIRTIO_BLK_BLK_H
#define VIRTIO_BLK_BLK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <qvm/vio.h>
#include <qvm/x/queue.h>
#include "backend.h"

/* VirtIO, block device: feature bits */
enum {
	BLK_F_SEG_MAX = 2,
	BLK_F_RO = 5,
	BLK_F_BLK_SIZE = 6,
	BLK_F_FLUSH = 9,
	BLK_F_TOPOLOGY = 10,
	BLK_F_MQ = 12,
	BLK_F_DISCARD = 13,
	BLK_F_WRITE_ZEROES = 14,
};

enum {
	BLK_ID_SIZE = 20,
	BLK_SECTOR = 512,
	BLK_QUEUE_SIZE = 256,
	BLK_MAX_QUEUES = 16,
	/* Of one discard or write zeroes: what a host without a fast way can write in a moment. */
	BLK_MAX_RANGE = 256 << 20,
};

struct blk_request;

enum disk_state {
	DISK_UNSEEN,  /* `delayed`, and the guest has not referred to it */
	DISK_WAITING, /* it has; the timer tries to open it */
	DISK_MISSING, /* the time for that is over */
	DISK_OPEN,
};

struct blk_queue {
	struct qvmx_queue *live;     /* NULL: not started, or stopping */
	struct qvmx_queue *stopping; /* waits for what is in flight */
	unsigned in_flight;
};

struct blk {
	struct vio_state vio;
	unsigned num_queues;
	char *path;
	bool read_only, direct, delayed, split_only;
	unsigned threads;
	uint64_t delay; /* seconds, UINT64_MAX: for ever */
	char id[BLK_ID_SIZE + 1];
	struct backend *backend;
	int timer_fd;

	/* Under v_mtx until `ready`; geometry is constant from then on. */
	enum disk_state state;
	uint64_t deadline, next_try; /* ns of CLOCK_MONOTONIC */
	bool seen_missing;	     /* the driver knows a disk without capacity */
	struct backend_geometry geometry;
	atomic_bool ready;

	/* The vdev's thread. */
	struct blk_queue queues[BLK_MAX_QUEUES];
	struct blk_request *spare;
	unsigned num_spare;
	uint32_t features; /* negotiated */
	bool call_pending;
};

/* The guest refers to the disk: open it if it is time for that. Any thread. */
enum disk_state blk_refer(vdev_t *vdp);

extern const struct qvmx_queue_ops blk_queue_ops;

/* Take what the driver has added to any queue. */
void blk_serve(vdev_t *vdp);

/* The backend's file descriptor is readable. */
void blk_backend_ready(vdev_t *vdp, void *data, uint32_t events);

/* backend_config.done; owner is the vdev_t. */
void blk_request_done(void *owner, struct backend_io *io, ptrdiff_t res);

/* Free what is kept for later requests. */
void blk_requests_free(struct blk *blk);

#endif
