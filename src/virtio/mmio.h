/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VirtIO-MMIO transport, version 2: one page of registers at a fixed guest-physical address and
 * one level-triggered interrupt line in front of a struct virtio_device.
 *
 * The owner (src/vdev, a test) makes it in the start-up stage after the device's queues are
 * declared, passes the guest's accesses on to virtio_mmio_read and virtio_mmio_write (vCPU threads,
 * several at once), and frees it before the device. Nothing here knows an architecture: where the
 * registers lie and which controller has the line is the owner's.
 */
#ifndef VIRTIO_MMIO_H
#define VIRTIO_MMIO_H

#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"
#include "virtio/device.h"

struct engine;
struct virtio_mmio;

struct virtio_mmio_info {
	uint32_t vendor; /* what VendorID reads; 0: VIO_VENDOR_ID */
	/*
	 * The interrupt line's new level. Any thread; calls are ordered by a lock of the
	 * transport's, which is held.
	 */
	void (*line_set)(void *opaque, bool level);
	void *opaque;
};

enum {
	VIRTIO_MMIO_CONFIG = 0x100, /* the device configuration begins here */
	VIRTIO_MMIO_MIN_SIZE = 0x200,
	VIRTIO_MMIO_ALIGN = 8, /* of the place: the widest field of a device configuration */
};

int virtio_mmio_create(struct virtio_device *vd, const struct virtio_mmio_info *info,
		       struct virtio_mmio **ret_vm) MUST_CHECK;
void virtio_mmio_destroy(struct virtio_mmio *vm);

/* Bytes that the registers take. */
uint64_t virtio_mmio_size(const struct virtio_mmio *vm);

/*
 * The registers lie at addr: doorbells of served queues become eventfds of the engine, without an
 * exit to a vCPU's thread. What an engine refuses reaches virtio_mmio_write as any other access.
 * Once, before the guest runs; engine outlives the transport.
 */
void virtio_mmio_attach(struct virtio_mmio *vm, struct engine *engine, uint64_t addr);

/*
 * An access of len bytes (1 to 8) at offset. Return VIOREF_*. *ret_value: what is read, 0 with
 * VIOREF_DEVCFG (whose detail is the offset in the device configuration; the owner gives the
 * value).
 */
unsigned virtio_mmio_read(struct virtio_mmio *vm, uint64_t offset, unsigned len,
			  uint64_t *ret_value);
unsigned virtio_mmio_write(struct virtio_mmio *vm, uint64_t offset, unsigned len, uint64_t value);

#endif
