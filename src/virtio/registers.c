/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register file of a VirtIO device: features, status, queue registers, configuration.
 */
#include <string.h>

#include <virtio.h>

#include "virtio/feature.h"
#include "virtio/internal.h"

/*
 * The generation grows when the driver looks, not when the configuration changes: it has 8 bits,
 * and a driver between two of whose reads came 256 changes must see a difference too. Locked.
 */
static void settle_generation(struct virtio_device *vd)
{
	if (vd->config_dirty)
		vd->generation++;
	vd->config_dirty = false;
}

uint8_t virtio_device_generation(struct virtio_device *vd)
{
	uint8_t generation;

	pthread_mutex_lock(&vd->mtx);
	settle_generation(vd);
	generation = vd->generation;
	pthread_mutex_unlock(&vd->mtx);
	return generation;
}

unsigned virtio_device_config_access(struct virtio_device *vd, uint64_t offset, unsigned len,
				     bool write)
{
	bool pass;

	if (!range_inside(offset, len, 0, vd->info.config_size))
		return VIOREF_NOP;
	pthread_mutex_lock(&vd->mtx);
	if (write) {
		pass = !vd->resetting &&
		       (vd->status & VIRTIO_STATUS_FEATURES_OK ||
			virtio_features_early_write(vd->info.type, vd->offered, offset, len));
	} else {
		settle_generation(vd);
		pass = true;
	}
	pthread_mutex_unlock(&vd->mtx);
	return pass ? VIOREF_DEVCFG | (unsigned)offset : VIOREF_NOP;
}

uint32_t virtio_device_offered(const struct virtio_device *vd, uint32_t word)
{
	return word < VIO_MAX_FEATURE_WORDS ? vd->offered[word] : 0;
}

uint32_t virtio_device_driver_features(struct virtio_device *vd, uint32_t word)
{
	uint32_t bits = 0;

	pthread_mutex_lock(&vd->mtx);
	if (word < VIO_MAX_FEATURE_WORDS)
		bits = vd->driver_features[word];
	pthread_mutex_unlock(&vd->mtx);
	return bits;
}

void virtio_device_driver_features_set(struct virtio_device *vd, uint32_t word, uint32_t bits)
{
	pthread_mutex_lock(&vd->mtx);
	if (vd->resetting || vd->status & VIRTIO_STATUS_FEATURES_OK)
		goto out;
	if (word < VIO_MAX_FEATURE_WORDS)
		vd->driver_features[word] = bits;
	else if (bits)
		vd->features_beyond = true;
out:
	pthread_mutex_unlock(&vd->mtx);
}

uint8_t virtio_device_status(struct virtio_device *vd)
{
	uint8_t status;

	pthread_mutex_lock(&vd->mtx);
	status = vd->status;
	pthread_mutex_unlock(&vd->mtx);
	return status;
}

/*
 * The bits that a driver may set, in the order in which one write sets them, and what must be set
 * before. ACKNOWLEDGE tells a device nothing, and U-Boot leaves it out after its second reset.
 */
static const struct {
	uint8_t bit, needs;
} status_rules[] = {
	{ VIRTIO_STATUS_ACKNOWLEDGE, 0 },
	{ VIRTIO_STATUS_DRIVER, 0 },
	{ VIRTIO_STATUS_FEATURES_OK, VIRTIO_STATUS_DRIVER },
	{ VIRTIO_STATUS_DRIVER_OK, VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK },
	{ VIRTIO_STATUS_FAILED, 0 },
};

/* Take over what the driver chose, or refuse FEATURES_OK. Locked. */
static bool accept_features(struct virtio_device *vd)
{
	if (vd->features_beyond ||
	    !virtio_features_acceptable(vd->info.type, vd->offered, vd->driver_features))
		return false;
	if (vd->info.driver_features)
		memcpy(vd->info.driver_features, vd->driver_features, sizeof(vd->driver_features));
	return true;
}

/* Returns the bits that are new. Locked. */
static uint8_t status_add(struct virtio_device *vd, uint8_t status)
{
	uint8_t before = vd->status;

	for (unsigned i = 0; i < ARRAY_LEN(status_rules); i++) {
		uint8_t bit = status_rules[i].bit, needs = status_rules[i].needs;

		if (!(status & bit) || vd->status & bit || (vd->status & needs) != needs)
			continue;
		if (bit == VIRTIO_STATUS_FEATURES_OK && !accept_features(vd))
			continue;
		vd->status |= bit;
	}
	return vd->status & (uint8_t)~before;
}

unsigned virtio_device_status_set(struct virtio_device *vd, uint8_t status)
{
	struct breakage broke = { 0 };
	unsigned event = VIOREF_NOP;
	uint8_t gained = 0;

	pthread_mutex_lock(&vd->mtx);
	if (!status) {
		virtio_reset_begin(vd);
		event = VIOREF_RESET;
	} else if (!vd->resetting) {
		gained = status_add(vd, status);
		if (gained & VIRTIO_STATUS_DRIVER_OK)
			virtio_queues_start(vd, &broke);
		event = gained ? VIOREF_STATUS | gained : VIOREF_NOP;
	}
	pthread_mutex_unlock(&vd->mtx);
	if (broke.why)
		vd->info.broken(vd->info.owner, broke.queue, broke.why);
	return virtio_owner_works(vd) ? event : VIOREF_NOP;
}

void virtio_device_queue_regs(struct virtio_device *vd, unsigned queue,
			      struct virtio_queue_regs *ret_regs)
{
	struct device_queue *q = virtio_queue_get(vd, queue);

	*ret_regs = (struct virtio_queue_regs){ 0 };
	if (!q)
		return;
	pthread_mutex_lock(&vd->mtx);
	ret_regs->size = q->size;
	ret_regs->max_size = q->max_size;
	ret_regs->enabled = q->enabled;
	ret_regs->resetting = q->resetting;
	ret_regs->stopping = q->resetting && q->ops;
	memcpy(ret_regs->addr, q->addr, sizeof(q->addr));
	pthread_mutex_unlock(&vd->mtx);
}

/* May the registers of this queue be written? Locked. */
static bool queue_writable(const struct virtio_device *vd, const struct device_queue *q)
{
	return q && !q->enabled && !q->resetting && !vd->resetting;
}

/* Packed rings may have any size, once the driver's features are settled. Locked. */
static bool size_possible(const struct virtio_device *vd, const struct device_queue *q,
			  uint16_t size)
{
	bool packed = vd->status & VIRTIO_STATUS_FEATURES_OK &&
		      virtio_features_has(vd->driver_features, VIRTIO_F_RING_PACKED);

	return size && size <= q->max_size && (packed || is_pow2(size));
}

void virtio_device_queue_size_set(struct virtio_device *vd, unsigned queue, uint16_t size)
{
	struct device_queue *q = virtio_queue_get(vd, queue);

	pthread_mutex_lock(&vd->mtx);
	if (queue_writable(vd, q) && size_possible(vd, q, size))
		q->size = size;
	pthread_mutex_unlock(&vd->mtx);
}

void virtio_device_queue_addr_set(struct virtio_device *vd, unsigned queue,
				  enum virtio_queue_part part, unsigned half, uint32_t value)
{
	struct device_queue *q = virtio_queue_get(vd, queue);
	unsigned shift = half ? 32 : 0;

	pthread_mutex_lock(&vd->mtx);
	if (queue_writable(vd, q))
		q->addr[part] = (q->addr[part] & ~((uint64_t)UINT32_MAX << shift)) |
				(uint64_t)value << shift;
	pthread_mutex_unlock(&vd->mtx);
}

unsigned virtio_device_queue_enable(struct virtio_device *vd, unsigned queue)
{
	struct device_queue *q = virtio_queue_get(vd, queue);
	struct breakage broke = { 0 };
	bool enabled = false;

	pthread_mutex_lock(&vd->mtx);
	if (queue_writable(vd, q)) {
		q->enabled = enabled = true;
		virtio_queues_start(vd, &broke);
	}
	pthread_mutex_unlock(&vd->mtx);
	if (broke.why)
		vd->info.broken(vd->info.owner, broke.queue, broke.why);
	return enabled && !q->ops ? VIOREF_ENABLED | queue : VIOREF_NOP;
}

void virtio_device_queue_reset(struct virtio_device *vd, unsigned queue)
{
	struct device_queue *q = virtio_queue_get(vd, queue);

	pthread_mutex_lock(&vd->mtx);
	if (q && q->enabled && !vd->resetting && vd->status & VIRTIO_STATUS_FEATURES_OK &&
	    virtio_features_has(vd->driver_features, VIRTIO_F_RING_RESET))
		virtio_queue_reset_begin(vd, q);
	pthread_mutex_unlock(&vd->mtx);
}

void virtio_device_queue_disable(struct virtio_device *vd, unsigned queue)
{
	struct device_queue *q = virtio_queue_get(vd, queue);

	pthread_mutex_lock(&vd->mtx);
	if (q && q->enabled && !vd->resetting)
		virtio_queue_reset_begin(vd, q);
	pthread_mutex_unlock(&vd->mtx);
}

unsigned virtio_device_doorbell(struct virtio_device *vd, unsigned queue)
{
	struct device_queue *q = virtio_queue_get(vd, queue);

	if (q && q->ops)
		virtio_queue_signal(q);
	return q && !q->ops && virtqueue_live(q->vq) ? VIOREF_NOTIFY | queue : VIOREF_NOP;
}
