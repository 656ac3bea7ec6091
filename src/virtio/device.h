/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VirtIO device without its transport: features, status, queues, configuration generation.
 *
 * The owner (src/vdev, a test) makes it in the start-up stage: virtio_device_create,
 * virtio_device_queue_init for each queue, virtio_device_queue_serve for those that the core works
 * for it; then a transport (virtio/pci.h) is put on it. The transport calls the register functions
 * on vCPU threads, several at once; the device's mutex guards the register file and is never held
 * over a callback of the owner.
 *
 * A served queue has a kick eventfd from virtio_device_queue_serve on, which the owner watches on
 * one thread (its loop). Whenever it is readable the owner calls virtio_device_queue_kicked there,
 * and start, kick and stop are called from that, on that thread: the eventfd carries the driver's
 * doorbells and the core's own start and stop alike. Unserved queues are the owner's: the register
 * functions return what happened as VIOREF_* (class | detail).
 *
 * The owner frees the device after the transport, when neither loop nor vCPU runs.
 */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <qvm/vio.h>
#include "base/util.h"
#include "virtio/virtqueue.h"

struct memory;
struct virtio_device;

struct virtio_device_info {
	uint16_t type; /* VirtIO device id */
	unsigned num_queues;
	unsigned config_size; /* bytes of device configuration */
	/*
	 * The device's own features. VERSION_1, INDIRECT_DESC, EVENT_IDX and RING_PACKED are added;
	 * bits that are not the device type's to offer, and those whose prerequisites are missing,
	 * are taken away.
	 */
	uint32_t features[VIO_MAX_FEATURE_WORDS];
	/*
	 * Where the accepted features go at FEATURES_OK (zeroed by a reset): VIO_MAX_FEATURE_WORDS
	 * words of the owner's, NULL: nowhere. Written before any start callback or VIOREF_STATUS
	 * with DRIVER_OK.
	 */
	uint32_t *driver_features;
	/*
	 * The driver broke a rule; the device is in NEEDS_RESET. Once for each queue until its
	 * reset. On whatever thread found it; no lock is held. queue may have no number of its own
	 * to blame: the lowest is named.
	 */
	void (*broken)(void *owner, unsigned queue, const char *why);
	void *owner;
};

/* A served queue's callbacks, on the loop thread. */
struct virtio_queue_ops {
	/* Never before DRIVER_OK, never after stop. */
	void (*kick)(void *opaque, unsigned queue, struct virtqueue *vq);
	/*
	 * NULL: as if it returned true. False: virtio_device_queue_stopped follows, on the loop
	 * thread.
	 */
	bool (*stop)(void *opaque, unsigned queue, struct virtqueue *vq);
	void (*start)(void *opaque, unsigned queue,
		      struct virtqueue *vq); /* may be NULL; a kick follows it */
};

/*
 * What the device asks of its transport. Lock-free or with locks of its own; called with the
 * device's mutex held.
 */
struct virtio_transport_ops {
	void (*queue_interrupt)(void *transport,
				unsigned queue); /* any thread, without the mutex */
	void (*config_interrupt)(void *transport);
	void (*reset)(void *transport); /* forget vectors and interrupt status */
	void (*queue_reset)(void *transport, unsigned queue); /* forget its vector */
};

enum {
	VIRTIO_DEVICE_MAX_QUEUES = 1024,
	VIRTIO_DEVICE_MAX_CONFIG = 4096,
};

/* mem outlives the device. -EINVAL: more queues or configuration than the limits above; -ENOMEM. */
int virtio_device_create(const struct virtio_device_info *info, const struct memory *mem,
			 struct virtio_device **ret_dev) MUST_CHECK;
void virtio_device_destroy(struct virtio_device *vd);

/*
 * The most descriptors of queue, a power of two up to 32768. -EINVAL: not that, or no such queue.
 */
int virtio_device_queue_init(struct virtio_device *vd, unsigned queue,
			     unsigned max_size) MUST_CHECK;
/* ops and opaque outlive the device. -EINVAL: no such queue; errors of eventfd. */
int virtio_device_queue_serve(struct virtio_device *vd, unsigned queue,
			      const struct virtio_queue_ops *ops, void *opaque) MUST_CHECK;
/* Do not offer feature `bit` after all. Before the guest runs. */
void virtio_device_withhold(struct virtio_device *vd, unsigned bit);
void virtio_device_transport_set(struct virtio_device *vd, const struct virtio_transport_ops *ops,
				 void *transport);

/* The kick eventfd of a served queue (non-blocking), -1 of another. */
int virtio_device_queue_fd(const struct virtio_device *vd, unsigned queue);
/* The kick eventfd is readable (or might be). Loop thread. */
void virtio_device_queue_kicked(struct virtio_device *vd, unsigned queue);
/* What stop left in flight has come back. Loop thread. Ignored unless a stop waits for it. */
void virtio_device_queue_stopped(struct virtio_device *vd, unsigned queue);

struct virtqueue *virtio_device_queue(struct virtio_device *vd,
				      unsigned queue); /* NULL: no such queue */
unsigned virtio_device_num_queues(const struct virtio_device *vd);
unsigned virtio_device_config_size(const struct virtio_device *vd);
uint16_t virtio_device_type(const struct virtio_device *vd);

/*
 * What vio_setup_queues does: open the enabled unserved queues. Errors of virtqueue_open; then
 * NEEDS_RESET is set.
 */
int virtio_device_setup_queues(struct virtio_device *vd);
/*
 * What vio_reset does: the owner no longer touches its unserved queues. Finishes the reset that the
 * driver asked for as soon as the served queues have stopped too; without one, resets the device.
 */
void virtio_device_reset_finish(struct virtio_device *vd);
/*
 * Reset as if the driver had asked (the VM ends): served queues stop on the loop thread. Any
 * thread.
 */
void virtio_device_reset_request(struct virtio_device *vd);
/* False while a reset waits for queues. Any thread. */
bool virtio_device_reset_pending(struct virtio_device *vd);

/*
 * May the device touch the guest's memory (true at first)? Served queues are looked at again when
 * it may. Any thread.
 */
void virtio_device_dma_set(struct virtio_device *vd, bool on);

/* The configuration changed: generation, interrupt (if DRIVER_OK). Any thread. */
void virtio_device_config_changed(struct virtio_device *vd);
/*
 * Registers, for transports. Any thread. Indices and values come from the guest and are checked
 * here.
 */
struct virtio_queue_regs {
	uint16_t size;	   /* 0: not available */
	uint16_t max_size; /* as it is after a reset */
	bool enabled, resetting;
	bool stopping;	  /* resetting, and its memory may still be used */
	uint64_t addr[3]; /* enum virtio_queue_part */
};
enum virtio_queue_part { VIRTIO_QUEUE_DESC, VIRTIO_QUEUE_DRIVER, VIRTIO_QUEUE_DEVICE };

uint32_t virtio_device_offered(const struct virtio_device *vd, uint32_t word);
uint32_t virtio_device_driver_features(struct virtio_device *vd, uint32_t word);
void virtio_device_driver_features_set(struct virtio_device *vd, uint32_t word, uint32_t bits);
uint8_t virtio_device_status(struct virtio_device *vd);
uint8_t virtio_device_generation(struct virtio_device *vd);
void virtio_device_queue_regs(struct virtio_device *vd, unsigned queue,
			      struct virtio_queue_regs *ret_regs);
void virtio_device_queue_size_set(struct virtio_device *vd, unsigned queue, uint16_t size);
/* half 0: bits 0-31, 1: bits 32-63 */
void virtio_device_queue_addr_set(struct virtio_device *vd, unsigned queue,
				  enum virtio_queue_part part, unsigned half, uint32_t value);
/* These return VIOREF_*, with VIOREF_NOP for what does not concern the owner. */
unsigned virtio_device_status_set(struct virtio_device *vd, uint8_t status);
unsigned virtio_device_queue_enable(struct virtio_device *vd, unsigned queue);
/*
 * MMIO: the driver takes one queue back, which can be enabled again when its buffers have come
 * back; one that the owner works, which cannot be told, after a reset of the device.
 */
void virtio_device_queue_disable(struct virtio_device *vd, unsigned queue);
/*
 * Reset one queue (RING_RESET, which must have been negotiated). It reads as resetting until its
 * buffers have come back.
 */
void virtio_device_queue_reset(struct virtio_device *vd, unsigned queue);
unsigned virtio_device_doorbell(struct virtio_device *vd,
				unsigned queue); /* one that did not go to the eventfd */
unsigned virtio_device_config_access(struct virtio_device *vd, uint64_t offset, unsigned len,
				     bool write);

#endif
