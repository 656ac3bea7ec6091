/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lives of a VirtIO device's queues: start, stop, reset, breaking.
 *
 * One mutex guards the registers, the status and the stages of the queues. What happens between a
 * vCPU that writes the status and the loop thread that works a queue goes over the queue's stage:
 * the vCPU sets START or STOP and signals the kick eventfd; the loop thread does it and goes on to
 * LIVE or IDLE. A reset is finished (status reads 0) by whoever takes the last queue to IDLE, so
 * that nothing touches a queue or raises an interrupt after that.
 */
#include "virtio/device.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <virtio.h>

#include "virtio/feature.h"
#include "virtio/internal.h"

static void queue_interrupt(void *opaque, unsigned index);
static void queue_broken(void *opaque, unsigned index, const char *why);

int virtio_device_create(const struct virtio_device_info *info, const struct memory *mem,
			 struct virtio_device **ret_dev)
{
	struct virtio_device *vd;

	if (info->num_queues > VIRTIO_DEVICE_MAX_QUEUES ||
	    info->config_size > VIRTIO_DEVICE_MAX_CONFIG)
		return -EINVAL;
	vd = calloc(1, sizeof(*vd) + info->num_queues * sizeof(vd->queues[0]));
	if (!vd)
		return -ENOMEM;
	vd->info = *info;
	vd->mem = mem;
	virtio_features_offer(info->type, info->features, vd->offered);
	pthread_mutex_init(&vd->mtx, NULL);
	for (unsigned i = 0; i < info->num_queues; i++)
		vd->queues[i].fd = -1;
	*ret_dev = vd;
	return 0;
}

void virtio_device_destroy(struct virtio_device *vd)
{
	if (!vd)
		return;
	for (unsigned i = 0; i < vd->info.num_queues; i++) {
		virtqueue_destroy(vd->queues[i].vq);
		if (vd->queues[i].fd >= 0)
			close(vd->queues[i].fd);
	}
	pthread_mutex_destroy(&vd->mtx);
	free(vd);
}

struct device_queue *virtio_queue_get(struct virtio_device *vd, unsigned queue)
{
	return queue < vd->info.num_queues && vd->queues[queue].max_size ? &vd->queues[queue]
									 : NULL;
}

int virtio_device_queue_init(struct virtio_device *vd, unsigned queue, unsigned max_size)
{
	const struct virtqueue_host host = {
		.interrupt = queue_interrupt,
		.broken = queue_broken,
		.opaque = vd,
	};
	struct device_queue *q;

	if (queue >= vd->info.num_queues || !is_pow2(max_size) || max_size > VIRTQ_MAX_SIZE)
		return -EINVAL;
	q = &vd->queues[queue];
	if (!q->vq) {
		int r = virtqueue_create(vd->mem, queue, &host, &q->vq);

		if (r < 0)
			return r;
	}
	q->max_size = q->size = (uint16_t)max_size;
	return 0;
}

int virtio_device_queue_serve(struct virtio_device *vd, unsigned queue,
			      const struct virtio_queue_ops *ops, void *opaque)
{
	struct device_queue *q = virtio_queue_get(vd, queue);

	if (!q || q->ops)
		return -EINVAL;
	q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->fd < 0)
		return -errno;
	q->ops = ops;
	q->opaque = opaque;
	return 0;
}

void virtio_device_withhold(struct virtio_device *vd, unsigned bit)
{
	if (bit < 32 * VIO_MAX_FEATURE_WORDS)
		vd->offered[bit / 32] &= ~(1u << bit % 32);
}

void virtio_device_transport_set(struct virtio_device *vd, const struct virtio_transport_ops *ops,
				 void *transport)
{
	vd->transport_ops = ops;
	vd->transport = transport;
	/* The documented API has no word for it, so a vdev that works queues itself cannot do it.
	 */
	if (!virtio_owner_works(vd))
		vd->offered[VIRTIO_F_RING_RESET / 32] |= 1u << VIRTIO_F_RING_RESET % 32;
}

int virtio_device_queue_fd(const struct virtio_device *vd, unsigned queue)
{
	return queue < vd->info.num_queues ? vd->queues[queue].fd : -1;
}

struct virtqueue *virtio_device_queue(struct virtio_device *vd, unsigned queue)
{
	return queue < vd->info.num_queues ? vd->queues[queue].vq : NULL;
}

unsigned virtio_device_num_queues(const struct virtio_device *vd)
{
	return vd->info.num_queues;
}

unsigned virtio_device_config_size(const struct virtio_device *vd)
{
	return vd->info.config_size;
}

uint16_t virtio_device_type(const struct virtio_device *vd)
{
	return vd->info.type;
}

bool virtio_owner_works(const struct virtio_device *vd)
{
	for (unsigned i = 0; i < vd->info.num_queues; i++) {
		if (!vd->queues[i].ops)
			return true;
	}
	return vd->info.num_queues == 0;
}

void virtio_queue_signal(const struct device_queue *q)
{
	/* A counter at its maximum is readable anyway. */
	(void)!write(q->fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static void queue_interrupt(void *opaque, unsigned index)
{
	struct virtio_device *vd = opaque;

	vd->transport_ops->queue_interrupt(vd->transport, index);
}

/* The device cannot go on. Returns true if that is new. Locked. */
static bool set_needs_reset(struct virtio_device *vd)
{
	if (vd->resetting || vd->status & VIRTIO_STATUS_NEEDS_RESET)
		return false;
	vd->status |= VIRTIO_STATUS_NEEDS_RESET;
	for (unsigned i = 0; i < vd->info.num_queues; i++) {
		if (vd->queues[i].vq)
			virtqueue_halt(vd->queues[i].vq);
	}
	/* Queues are open after DRIVER_OK only, so a notification is due. */
	vd->transport_ops->config_interrupt(vd->transport);
	return true;
}

/* On the thread that works the queue, without the lock. */
static void queue_broken(void *opaque, unsigned index, const char *why)
{
	struct virtio_device *vd = opaque;
	bool first;

	pthread_mutex_lock(&vd->mtx);
	first = set_needs_reset(vd);
	pthread_mutex_unlock(&vd->mtx);
	if (first)
		vd->info.broken(vd->info.owner, index, why);
}

static int queue_open(struct virtio_device *vd, struct device_queue *q, struct breakage *broke)
{
	const struct virtqueue_layout layout = {
		.size = q->size,
		.desc = q->addr[VIRTIO_QUEUE_DESC],
		.driver = q->addr[VIRTIO_QUEUE_DRIVER],
		.device = q->addr[VIRTIO_QUEUE_DEVICE],
		.event_idx = virtio_features_has(vd->driver_features, VIRTIO_F_EVENT_IDX),
		.indirect = virtio_features_has(vd->driver_features, VIRTIO_F_INDIRECT_DESC),
		.packed = virtio_features_has(vd->driver_features, VIRTIO_F_RING_PACKED),
	};
	const char *why;
	int r = virtqueue_open(q->vq, &layout, &why);

	if (r < 0 && set_needs_reset(vd))
		*broke = (struct breakage){ .queue = (unsigned)(q - vd->queues), .why = why };
	return r;
}

void virtio_queues_start(struct virtio_device *vd, struct breakage *broke)
{
	if (!(vd->status & VIRTIO_STATUS_DRIVER_OK) || vd->status & VIRTIO_STATUS_NEEDS_RESET)
		return;
	for (unsigned i = 0; i < vd->info.num_queues; i++) {
		struct device_queue *q = &vd->queues[i];

		if (!q->ops || !q->enabled || q->stage != QUEUE_IDLE)
			continue;
		if (queue_open(vd, q, broke) < 0)
			return;
		q->stage = QUEUE_START;
		virtio_queue_signal(q);
	}
}

int virtio_device_setup_queues(struct virtio_device *vd)
{
	struct breakage broke = { 0 };
	int r = 0;

	pthread_mutex_lock(&vd->mtx);
	if (vd->resetting || !(vd->status & VIRTIO_STATUS_DRIVER_OK) ||
	    vd->status & VIRTIO_STATUS_NEEDS_RESET)
		r = -ENODEV;
	for (unsigned i = 0; !r && i < vd->info.num_queues; i++) {
		struct device_queue *q = &vd->queues[i];

		if (!q->ops && q->enabled && !virtqueue_size(q->vq))
			r = queue_open(vd, q, &broke);
	}
	pthread_mutex_unlock(&vd->mtx);
	if (broke.why)
		vd->info.broken(vd->info.owner, broke.queue, broke.why);
	return r;
}

static void queue_forget(struct device_queue *q)
{
	if (q->vq)
		virtqueue_close(q->vq);
	q->size = q->max_size;
	q->enabled = false;
	memset(q->addr, 0, sizeof(q->addr));
}

/* The end of a queue's own reset, if nothing holds it up: the owner may be inside a call of a queue
 * that it works itself. Locked. */
static void queue_reset_try_finish(struct virtio_device *vd, struct device_queue *q)
{
	if (!q->resetting || q->stage != QUEUE_IDLE || (!q->ops && virtqueue_size(q->vq)))
		return;
	queue_forget(q);
	vd->transport_ops->queue_reset(vd->transport, (unsigned)(q - vd->queues));
	q->resetting = false;
}

/* The end of a reset, if nothing holds it up any more. Locked. */
static void reset_try_finish(struct virtio_device *vd)
{
	if (!vd->resetting || vd->owner_resets)
		return;
	for (unsigned i = 0; i < vd->info.num_queues; i++) {
		if (vd->queues[i].stage != QUEUE_IDLE)
			return;
	}
	for (unsigned i = 0; i < vd->info.num_queues; i++) {
		queue_forget(&vd->queues[i]);
		vd->queues[i].resetting = false;
	}
	memset(vd->driver_features, 0, sizeof(vd->driver_features));
	vd->features_beyond = false;
	if (vd->info.driver_features)
		memset(vd->info.driver_features, 0, sizeof(vd->driver_features));
	if (vd->transport_ops)
		vd->transport_ops->reset(vd->transport);
	vd->resetting = false;
	vd->status = 0;
}

/* Take the way to QUEUE_IDLE. Locked. */
static void queue_stop(struct device_queue *q)
{
	if (q->vq)
		virtqueue_halt(q->vq);
	if (q->stage == QUEUE_START) {
		q->stage = QUEUE_IDLE; /* the loop thread has not heard of it: nothing to stop */
	} else if (q->stage == QUEUE_LIVE) {
		q->stage = QUEUE_STOP;
		virtio_queue_signal(q);
	}
}

void virtio_reset_begin(struct virtio_device *vd)
{
	if (vd->resetting)
		return;
	vd->resetting = true;
	vd->owner_resets = virtio_owner_works(vd);
	for (unsigned i = 0; i < vd->info.num_queues; i++)
		queue_stop(&vd->queues[i]);
	reset_try_finish(vd);
}

void virtio_queue_reset_begin(struct virtio_device *vd, struct device_queue *q)
{
	q->resetting = true;
	q->enabled = false;
	queue_stop(q);
	queue_reset_try_finish(vd, q);
}

void virtio_device_reset_request(struct virtio_device *vd)
{
	pthread_mutex_lock(&vd->mtx);
	virtio_reset_begin(vd);
	pthread_mutex_unlock(&vd->mtx);
}

void virtio_device_reset_finish(struct virtio_device *vd)
{
	pthread_mutex_lock(&vd->mtx);
	virtio_reset_begin(vd);
	vd->owner_resets = false;
	reset_try_finish(vd);
	pthread_mutex_unlock(&vd->mtx);
}

bool virtio_device_reset_pending(struct virtio_device *vd)
{
	bool pending;

	pthread_mutex_lock(&vd->mtx);
	pending = vd->resetting;
	pthread_mutex_unlock(&vd->mtx);
	return pending;
}

void virtio_device_dma_set(struct virtio_device *vd, bool on)
{
	pthread_mutex_lock(&vd->mtx);
	for (unsigned i = 0; i < vd->info.num_queues; i++) {
		struct device_queue *q = &vd->queues[i];

		if (!q->vq)
			continue;
		virtqueue_dma_set(q->vq, on);
		if (on && q->ops) {
			atomic_store(&q->resumed, true);
			virtio_queue_signal(q);
		}
	}
	pthread_mutex_unlock(&vd->mtx);
}

void virtio_device_queue_kicked(struct virtio_device *vd, unsigned queue)
{
	struct device_queue *q = virtio_queue_get(vd, queue);
	enum queue_stage stage;
	uint64_t times;

	if (!q || !q->ops)
		return;
	/* Before looking at anything else, so that what comes later makes it readable again. */
	(void)!read(q->fd, &times, sizeof(times));
	pthread_mutex_lock(&vd->mtx);
	stage = q->stage;
	if (stage == QUEUE_START)
		q->stage = QUEUE_LIVE;
	else if (stage == QUEUE_STOP)
		q->stage = QUEUE_STOPPING;
	pthread_mutex_unlock(&vd->mtx);

	if (stage == QUEUE_START && q->ops->start)
		q->ops->start(q->opaque, queue, q->vq);
	/*
	 * A kick after each start: one that came before DRIVER_OK was drained then, buffers may be
	 * there.
	 */
	if ((stage == QUEUE_START || stage == QUEUE_LIVE) && virtqueue_live(q->vq))
		q->ops->kick(q->opaque, queue, q->vq);
	if (atomic_exchange(&q->resumed, false) && stage == QUEUE_LIVE)
		virtqueue_flush(q->vq);
	if (stage == QUEUE_STOP && (!q->ops->stop || q->ops->stop(q->opaque, queue, q->vq)))
		virtio_device_queue_stopped(vd, queue);
}

void virtio_device_queue_stopped(struct virtio_device *vd, unsigned queue)
{
	struct device_queue *q = virtio_queue_get(vd, queue);

	if (!q)
		return;
	pthread_mutex_lock(&vd->mtx);
	if (q->stage == QUEUE_STOPPING) {
		q->stage = QUEUE_IDLE;
		virtqueue_close(q->vq);
		queue_reset_try_finish(vd, q);
		reset_try_finish(vd);
	}
	pthread_mutex_unlock(&vd->mtx);
}

void virtio_device_config_changed(struct virtio_device *vd)
{
	pthread_mutex_lock(&vd->mtx);
	vd->config_dirty = true;
	if (vd->status & VIRTIO_STATUS_DRIVER_OK && !vd->resetting)
		vd->transport_ops->config_interrupt(vd->transport);
	pthread_mutex_unlock(&vd->mtx);
}
