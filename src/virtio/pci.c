/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modern PCI transport. Selectors, vectors and the interrupt status are the transport's and
 * atomic; all else is the device's.
 */
#include "virtio/pci.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <virtio.h>

enum {
	VENDOR_VIRTIO = 0x1af4,
	FIRST_DEVICE_ID = 0x1040,
	FIRST_SUBSYSTEM_ID = 0x40,
	REVISION = 1,
	PAGE = 4096,

	VIRTIO_BAR = 0,
	MSIX_BAR = 1,

	CAP_VENDOR_SPECIFIC = 9,
	CAP_COMMON = 1,
	CAP_NOTIFY = 2,
	CAP_ISR = 3,
	CAP_DEVICE = 4,
	CAP_PCI = 5,

	/* Offsets in a VirtIO capability. */
	CAP_CFG_TYPE = 3,
	CAP_BAR = 4,
	CAP_OFFSET = 8,
	CAP_LENGTH = 12,
	CAP_SIZE = 16,
	CAP_DATA = 16, /* of CAP_PCI; of CAP_NOTIFY: the multiplier */

	ISR_QUEUE = 1,
	ISR_CONFIG = 2,

	COMMON_SIZE = 0x3c,
};

/* The common configuration. */
enum common_reg {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_NUM_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY_OFF = 0x1e,
	COMMON_QUEUE_DESC = 0x20,
	COMMON_QUEUE_DRIVER = 0x28,
	COMMON_QUEUE_DEVICE = 0x30,
	COMMON_QUEUE_NOTIFY_DATA = 0x38, /* NOTIF_CONFIG_DATA, which is not offered: 0 */
	COMMON_QUEUE_RESET = 0x3a,
};

/* What a write may cover: each register once, 64-bit ones as halves. */
static const struct common_field {
	uint8_t reg, len;
} writable_fields[] = {
	{ COMMON_DEVICE_FEATURE_SELECT, 4 },
	{ COMMON_DRIVER_FEATURE_SELECT, 4 },
	{ COMMON_DRIVER_FEATURE, 4 },
	{ COMMON_CONFIG_VECTOR, 2 },
	{ COMMON_STATUS, 1 },
	{ COMMON_QUEUE_SELECT, 2 },
	{ COMMON_QUEUE_SIZE, 2 },
	{ COMMON_QUEUE_VECTOR, 2 },
	{ COMMON_QUEUE_ENABLE, 2 },
	{ COMMON_QUEUE_DESC, 4 },
	{ COMMON_QUEUE_DESC + 4, 4 },
	{ COMMON_QUEUE_DRIVER, 4 },
	{ COMMON_QUEUE_DRIVER + 4, 4 },
	{ COMMON_QUEUE_DEVICE, 4 },
	{ COMMON_QUEUE_DEVICE + 4, 4 },
	{ COMMON_QUEUE_RESET, 2 },
};

struct virtio_pci {
	struct virtio_device *vd;
	struct pci_device *dev;
	struct virtio_pci_info info;
	pthread_mutex_t isr_mtx;
	uint8_t isr;
	_Atomic uint32_t device_feature_select, driver_feature_select;
	_Atomic uint16_t queue_select, config_vector;
	unsigned num_queues;
	_Atomic uint16_t queue_vectors[];
};

/* Interrupt status and pin change together. */
static void isr_raise(struct virtio_pci *vp, uint8_t bit)
{
	pthread_mutex_lock(&vp->isr_mtx);
	vp->isr |= bit;
	pci_intx_set(vp->dev, true);
	pthread_mutex_unlock(&vp->isr_mtx);
}

static uint8_t isr_take(struct virtio_pci *vp)
{
	uint8_t isr;

	pthread_mutex_lock(&vp->isr_mtx);
	isr = vp->isr;
	vp->isr = 0;
	pci_intx_set(vp->dev, false);
	pthread_mutex_unlock(&vp->isr_mtx);
	return isr;
}

static void transport_queue_interrupt(void *transport, unsigned queue)
{
	struct virtio_pci *vp = transport;

	if (pci_msix_enabled(vp->dev))
		pci_msix_signal(vp->dev, atomic_load(&vp->queue_vectors[queue]));
	else
		isr_raise(vp, ISR_QUEUE);
}

static void transport_config_interrupt(void *transport)
{
	struct virtio_pci *vp = transport;

	isr_raise(vp, ISR_CONFIG);
	pci_msix_signal(vp->dev, atomic_load(&vp->config_vector));
}

static void transport_reset(void *transport)
{
	struct virtio_pci *vp = transport;

	atomic_store(&vp->config_vector, VIRTIO_MSI_NO_VECTOR);
	for (unsigned i = 0; i < vp->num_queues; i++)
		atomic_store(&vp->queue_vectors[i], VIRTIO_MSI_NO_VECTOR);
	atomic_store(&vp->device_feature_select, 0);
	atomic_store(&vp->driver_feature_select, 0);
	atomic_store(&vp->queue_select, 0);
	isr_take(vp);
}

static void transport_queue_reset(void *transport, unsigned queue)
{
	struct virtio_pci *vp = transport;

	atomic_store(&vp->queue_vectors[queue], VIRTIO_MSI_NO_VECTOR);
}

static void master_changed(void *opaque, bool on)
{
	struct virtio_pci *vp = opaque;

	virtio_device_dma_set(vp->vd, on);
}

static const struct virtio_transport_ops transport_ops = {
	.queue_interrupt = transport_queue_interrupt,
	.config_interrupt = transport_config_interrupt,
	.reset = transport_reset,
	.queue_reset = transport_queue_reset,
};

static void put32(uint8_t *p, uint32_t value)
{
	value = htole32(value);
	memcpy(p, &value, sizeof(value));
}

static void put16(uint8_t *p, uint16_t value)
{
	value = htole16(value);
	memcpy(p, &value, sizeof(value));
}

/* Every register as it reads now, so that any width at any offset is a copy. */
static void common_image(struct virtio_pci *vp, uint8_t image[COMMON_SIZE])
{
	uint32_t device_select = atomic_load(&vp->device_feature_select);
	uint32_t driver_select = atomic_load(&vp->driver_feature_select);
	uint16_t select = atomic_load(&vp->queue_select);
	bool there = select < vp->num_queues;
	struct virtio_queue_regs regs;

	virtio_device_queue_regs(vp->vd, select, &regs);
	put32(image + COMMON_DEVICE_FEATURE_SELECT, device_select);
	put32(image + COMMON_DEVICE_FEATURE, virtio_device_offered(vp->vd, device_select));
	put32(image + COMMON_DRIVER_FEATURE_SELECT, driver_select);
	put32(image + COMMON_DRIVER_FEATURE, virtio_device_driver_features(vp->vd, driver_select));
	put16(image + COMMON_CONFIG_VECTOR, atomic_load(&vp->config_vector));
	put16(image + COMMON_NUM_QUEUES, (uint16_t)vp->num_queues);
	image[COMMON_STATUS] = virtio_device_status(vp->vd);
	image[COMMON_GENERATION] = virtio_device_generation(vp->vd);
	put16(image + COMMON_QUEUE_SELECT, select);
	put16(image + COMMON_QUEUE_SIZE, regs.size);
	put16(image + COMMON_QUEUE_VECTOR,
	      there ? atomic_load(&vp->queue_vectors[select]) : (uint16_t)VIRTIO_MSI_NO_VECTOR);
	put16(image + COMMON_QUEUE_ENABLE, regs.enabled);
	put16(image + COMMON_QUEUE_NOTIFY_OFF, there ? select : 0);
	put16(image + COMMON_QUEUE_NOTIFY_DATA, 0);
	put16(image + COMMON_QUEUE_RESET, regs.resetting);
	for (unsigned part = 0; part < 3; part++) {
		uint8_t *field = image + COMMON_QUEUE_DESC + 8 * part;

		put32(field, (uint32_t)regs.addr[part]);
		put32(field + 4, (uint32_t)(regs.addr[part] >> 32));
	}
}

/* The vector that an event is mapped to after a driver wrote this. */
static uint16_t checked_vector(const struct virtio_pci *vp, uint32_t vector)
{
	return vector < pci_msix_vectors(vp->dev) ? (uint16_t)vector
						  : (uint16_t)VIRTIO_MSI_NO_VECTOR;
}

static unsigned common_field_write(struct virtio_pci *vp, unsigned reg, uint32_t value)
{
	uint16_t select = atomic_load(&vp->queue_select);

	switch (reg) {
	case COMMON_DEVICE_FEATURE_SELECT:
		atomic_store(&vp->device_feature_select, value);
		break;
	case COMMON_DRIVER_FEATURE_SELECT:
		atomic_store(&vp->driver_feature_select, value);
		break;
	case COMMON_DRIVER_FEATURE:
		virtio_device_driver_features_set(vp->vd, atomic_load(&vp->driver_feature_select),
						  value);
		break;
	case COMMON_CONFIG_VECTOR:
		atomic_store(&vp->config_vector, checked_vector(vp, value));
		break;
	case COMMON_STATUS:
		return virtio_device_status_set(vp->vd, (uint8_t)value);
	case COMMON_QUEUE_SELECT:
		atomic_store(&vp->queue_select, (uint16_t)value);
		break;
	case COMMON_QUEUE_SIZE:
		virtio_device_queue_size_set(vp->vd, select, (uint16_t)value);
		break;
	case COMMON_QUEUE_VECTOR:
		if (select < vp->num_queues)
			atomic_store(&vp->queue_vectors[select], checked_vector(vp, value));
		break;
	case COMMON_QUEUE_ENABLE:
		return value == 1 ? virtio_device_queue_enable(vp->vd, select) : VIOREF_NOP;
	case COMMON_QUEUE_RESET:
		if (value == 1)
			virtio_device_queue_reset(vp->vd, select);
		break;
	default: /* the queue's addresses: three of two halves */
		virtio_device_queue_addr_set(
			vp->vd, select, (enum virtio_queue_part)((reg - COMMON_QUEUE_DESC) / 8),
			reg & 4, value);
		break;
	}
	return VIOREF_NOP;
}

/*
 * The registers that lie wholly inside the access are written, in their order; parts of registers
 * are ignored.
 */
static unsigned common_write(struct virtio_pci *vp, uint64_t offset, unsigned len, uint64_t value)
{
	unsigned event = VIOREF_NOP;

	for (unsigned i = 0; i < ARRAY_LEN(writable_fields); i++) {
		const struct common_field *field = &writable_fields[i];
		uint64_t part;
		unsigned got;

		if (!range_inside(field->reg, field->len, offset, len))
			continue;
		part = value >> 8 * (field->reg - offset);
		got = common_field_write(vp, field->reg,
					 (uint32_t)(part & UINT64_MAX >> (64 - 8 * field->len)));
		if (got != VIOREF_NOP)
			event = got;
	}
	return event;
}

static uint64_t common_read(struct virtio_pci *vp, uint64_t offset, unsigned len)
{
	uint8_t image[COMMON_SIZE + sizeof(uint64_t)] = { 0 };
	uint64_t value = 0;

	if (offset >= COMMON_SIZE)
		return 0;
	common_image(vp, image);
	memcpy(&value, image + offset, len);
	return le64toh(value);
}

unsigned virtio_pci_read(struct virtio_pci *vp, uint64_t offset, unsigned len, uint64_t *ret_value)
{
	unsigned event = VIOREF_NOP;
	uint64_t value = 0;

	len = MIN(len, (unsigned)sizeof(value));
	switch (offset & ~(uint64_t)(PAGE - 1)) {
	case VIRTIO_PCI_COMMON:
		value = common_read(vp, offset, len);
		break;
	case VIRTIO_PCI_ISR:
		if (offset == VIRTIO_PCI_ISR)
			value = isr_take(vp);
		break;
	case VIRTIO_PCI_DEVICE:
		event = virtio_device_config_access(vp->vd, offset - VIRTIO_PCI_DEVICE, len, false);
		break;
	default: /* doorbells, and beyond the BAR */
		break;
	}
	*ret_value = value;
	return event;
}

unsigned virtio_pci_write(struct virtio_pci *vp, uint64_t offset, unsigned len, uint64_t value)
{
	uint64_t inside = offset & (PAGE - 1);

	len = MIN(len, (unsigned)sizeof(value));
	switch (offset - inside) {
	case VIRTIO_PCI_COMMON:
		return common_write(vp, inside, len, value);
	case VIRTIO_PCI_DEVICE:
		return virtio_device_config_access(vp->vd, inside, len, true);
	case VIRTIO_PCI_NOTIFY:
		/* The place names the queue; the value is a hint that could say nothing else. */
		if (inside % VIRTIO_PCI_NOTIFY_MULTIPLIER)
			return VIOREF_NOP;
		return virtio_device_doorbell(vp->vd,
					      (unsigned)(inside / VIRTIO_PCI_NOTIFY_MULTIPLIER));
	default: /* the interrupt status is read-only */
		return VIOREF_NOP;
	}
}

/*
 * The window of the PCI_CFG capability: an access to one of the structures, for drivers that cannot
 * map BARs. It takes the same way as the guest's own (the owner's handler). Anything but an aligned
 * access of 1, 2 or 4 bytes inside BAR 0 is none: reads give 0.
 */
static void window_access(struct virtio_pci *vp, const uint8_t *cap, bool write, uint8_t *data)
{
	struct bus_access acc = { .space = ENGINE_MEM, .write = write, .data = data };
	uint32_t offset, len;
	uint64_t base;

	memcpy(&offset, cap + CAP_OFFSET, sizeof(offset));
	memcpy(&len, cap + CAP_LENGTH, sizeof(len));
	offset = le32toh(offset);
	len = le32toh(len);
	if (cap[CAP_BAR] != VIRTIO_BAR || (len != 1 && len != 2 && len != 4) || offset % len ||
	    !range_inside(offset, len, 0, VIRTIO_PCI_BAR_SIZE))
		return;
	acc.len = len;
	acc.offset = offset;
	acc.addr = pci_bar_mapped(vp->dev, VIRTIO_BAR, &base) ? base + offset : offset;
	(void)vp->info.handler(vp->info.opaque, vp->info.cookie, &acc);
}

static void window_read(void *opaque, const uint8_t *cap, uint8_t data[4])
{
	window_access(opaque, cap, false, data);
}

static void window_write(void *opaque, const uint8_t *cap)
{
	uint8_t data[4];

	memcpy(data, cap + CAP_DATA, sizeof(data));
	window_access(opaque, cap, true, data);
}

static const struct pci_window_ops window_ops = {
	.read = window_read,
	.write = window_write,
};

/* A VirtIO capability; extra: what follows the common part. */
static int add_capability(struct virtio_pci *vp, uint8_t type, uint32_t offset, uint32_t len,
			  unsigned extra)
{
	static const uint8_t pci_writable[CAP_DATA + 4] = {
		[CAP_BAR] = 0xff,	 [CAP_OFFSET] = 0xff,	  [CAP_OFFSET + 1] = 0xff,
		[CAP_OFFSET + 2] = 0xff, [CAP_OFFSET + 3] = 0xff, [CAP_LENGTH] = 0xff,
		[CAP_LENGTH + 1] = 0xff, [CAP_LENGTH + 2] = 0xff, [CAP_LENGTH + 3] = 0xff,
		[CAP_DATA] = 0xff,	 [CAP_DATA + 1] = 0xff,	  [CAP_DATA + 2] = 0xff,
		[CAP_DATA + 3] = 0xff,
	};
	uint8_t cap[CAP_DATA + 4] = { 0 };
	struct pci_capability_info info = {
		.id = CAP_VENDOR_SPECIFIC,
		.len = CAP_SIZE + extra - 2,
		.body = cap + 2,
	};

	cap[2] = (uint8_t)(CAP_SIZE + extra);
	cap[CAP_CFG_TYPE] = type;
	cap[CAP_BAR] = VIRTIO_BAR;
	put32(cap + CAP_OFFSET, offset);
	put32(cap + CAP_LENGTH, len);
	if (type == CAP_NOTIFY)
		put32(cap + CAP_DATA, VIRTIO_PCI_NOTIFY_MULTIPLIER);
	if (type == CAP_PCI) {
		info.write_mask = pci_writable + 2;
		info.window_ops = &window_ops;
		info.opaque = vp;
		info.window = CAP_DATA;
	}
	return pci_capability_add(vp->dev, &info, NULL);
}

static int add_capabilities(struct virtio_pci *vp)
{
	unsigned config_size = virtio_device_config_size(vp->vd);
	int r = add_capability(vp, CAP_COMMON, VIRTIO_PCI_COMMON, COMMON_SIZE, 0);

	if (!r)
		r = add_capability(vp, CAP_ISR, VIRTIO_PCI_ISR, 1, 0);
	if (!r && config_size)
		r = add_capability(vp, CAP_DEVICE, VIRTIO_PCI_DEVICE, config_size, 0);
	if (!r)
		r = add_capability(vp, CAP_NOTIFY, VIRTIO_PCI_NOTIFY,
				   MAX(vp->num_queues, 1u) * VIRTIO_PCI_NOTIFY_MULTIPLIER, 4);
	return r ? r : add_capability(vp, CAP_PCI, 0, 0, 4);
}

/* Table and pending bits in a page or more each. */
static int add_msix(struct virtio_pci *vp)
{
	unsigned vectors = MAX(vp->num_queues, 1u) + 1;
	struct pci_bar_info bar = { .type = PCI_BAR_MEM32, .size = PAGE };
	int r;

	while (bar.size < vectors * 16ull)
		bar.size *= 2;
	bar.size *= 2;
	r = pci_bar_add(vp->dev, MSIX_BAR, &bar);
	return r ? r
		 : pci_msix_add(vp->dev, vectors, MSIX_BAR, 0, MSIX_BAR, (uint32_t)(bar.size / 2));
}

static int add_doorbells(struct virtio_pci *vp)
{
	int r = 0;

	for (unsigned i = 0; !r && i < vp->num_queues; i++) {
		int fd = virtio_device_queue_fd(vp->vd, i);

		if (fd >= 0)
			r = pci_doorbell_add(vp->dev, VIRTIO_BAR,
					     VIRTIO_PCI_NOTIFY + i * VIRTIO_PCI_NOTIFY_MULTIPLIER,
					     2, fd);
	}
	return r;
}

int virtio_pci_create(struct pci_bus *pb, struct virtio_device *vd,
		      const struct virtio_pci_info *info, struct virtio_pci **ret_vp)
{
	unsigned num_queues = virtio_device_num_queues(vd);
	const struct pci_device_info device = {
		.name = info->name,
		.devfn = info->devfn,
		.vendor = VENDOR_VIRTIO,
		.device = (uint16_t)(FIRST_DEVICE_ID + virtio_device_type(vd)),
		.subsystem_vendor = info->subsystem_vendor ? info->subsystem_vendor : VIO_VENDOR_ID,
		.subsystem_device = (uint16_t)(FIRST_SUBSYSTEM_ID + virtio_device_type(vd)),
		.class_code = info->class_code,
		.revision = REVISION,
	};
	const struct pci_bar_info bar = {
		.type = PCI_BAR_MEM32,
		.size = VIRTIO_PCI_BAR_SIZE,
		.handler = info->handler,
		.opaque = info->opaque,
		.cookie = info->cookie,
	};
	struct virtio_pci *vp = calloc(1, sizeof(*vp) + num_queues * sizeof(vp->queue_vectors[0]));
	int r;

	if (!vp)
		return -ENOMEM;
	pthread_mutex_init(&vp->isr_mtx, NULL);
	vp->vd = vd;
	vp->info = *info;
	vp->num_queues = num_queues;
	r = pci_device_add(pb, &device, &vp->dev);
	if (!r)
		r = pci_bar_add(vp->dev, VIRTIO_BAR, &bar);
	if (!r)
		r = add_msix(vp);
	if (!r)
		r = pci_pin_add(vp->dev);
	if (!r)
		r = add_capabilities(vp);
	if (!r)
		r = add_doorbells(vp);
	if (r) {
		virtio_pci_destroy(vp);
		return r;
	}
	transport_reset(vp);
	virtio_device_transport_set(vd, &transport_ops, vp);
	pci_master_watch(vp->dev, master_changed, vp);
	virtio_device_dma_set(vd, false);
	*ret_vp = vp;
	return 0;
}

void virtio_pci_destroy(struct virtio_pci *vp)
{
	if (vp)
		pthread_mutex_destroy(&vp->isr_mtx);
	free(vp);
}

struct pci_device *virtio_pci_device(struct virtio_pci *vp)
{
	return vp->dev;
}
