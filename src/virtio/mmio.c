/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VirtIO-MMIO transport. Selectors and the interrupt status are the transport's; all else is
 * the device's. A register is 32 bits wide: what is no aligned access of 4 bytes reads 0 and writes
 * nothing, but for the device configuration, which may be read and written at any width.
 */
#include "virtio/mmio.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/engine.h"

enum {
	MAGIC = 0x74726976, /* "virt" */
	VERSION = 2,

	INTERRUPT_QUEUE = 1,
	INTERRUPT_CONFIG = 2,
};

enum mmio_reg {
	MMIO_MAGIC = 0x000,
	MMIO_VERSION = 0x004,
	MMIO_DEVICE_ID = 0x008,
	MMIO_VENDOR_ID = 0x00c,
	MMIO_DEVICE_FEATURES = 0x010,
	MMIO_DEVICE_FEATURES_SEL = 0x014,
	MMIO_DRIVER_FEATURES = 0x020,
	MMIO_DRIVER_FEATURES_SEL = 0x024,
	MMIO_QUEUE_SEL = 0x030,
	MMIO_QUEUE_SIZE_MAX = 0x034,
	MMIO_QUEUE_SIZE = 0x038,
	MMIO_QUEUE_READY = 0x044,
	MMIO_QUEUE_NOTIFY = 0x050,
	MMIO_INTERRUPT_STATUS = 0x060,
	MMIO_INTERRUPT_ACK = 0x064,
	MMIO_STATUS = 0x070,
	MMIO_QUEUE_DESC = 0x080,
	MMIO_QUEUE_DRIVER = 0x090,
	MMIO_QUEUE_DEVICE = 0x0a0,
	MMIO_SHM_SEL = 0x0ac,
	MMIO_SHM_LEN = 0x0b0,
	MMIO_SHM_BASE_HIGH = 0x0bc,
	MMIO_QUEUE_RESET = 0x0c0,
	MMIO_CONFIG_GENERATION = 0x0fc,
};

struct virtio_mmio {
	struct virtio_device *vd;
	struct virtio_mmio_info info;
	struct engine *engine; /* NULL: not attached */
	uint64_t addr;
	uint64_t *armed; /* queues whose doorbell is the engine's, a bit each */
	_Atomic uint32_t device_features_sel, driver_features_sel, queue_sel;
	pthread_mutex_t interrupt_mtx; /* status and line change together */
	_Atomic uint32_t interrupt_status;
};

static void interrupt_change(struct virtio_mmio *vm, uint32_t set, uint32_t clear)
{
	uint32_t before, after;

	pthread_mutex_lock(&vm->interrupt_mtx);
	before = atomic_load(&vm->interrupt_status);
	after = (before | set) & ~clear;
	atomic_store(&vm->interrupt_status, after);
	if (!before != !after)
		vm->info.line_set(vm->info.opaque, after != 0);
	pthread_mutex_unlock(&vm->interrupt_mtx);
}

static void transport_queue_interrupt(void *transport, unsigned queue)
{
	(void)queue;
	interrupt_change(transport, INTERRUPT_QUEUE, 0);
}

static void transport_config_interrupt(void *transport)
{
	interrupt_change(transport, INTERRUPT_CONFIG, 0);
}

static void transport_reset(void *transport)
{
	struct virtio_mmio *vm = transport;

	atomic_store(&vm->device_features_sel, 0);
	atomic_store(&vm->driver_features_sel, 0);
	atomic_store(&vm->queue_sel, 0);
	interrupt_change(vm, 0, UINT32_MAX);
}

static void transport_queue_reset(void *transport, unsigned queue)
{
	(void)transport, (void)queue; /* a queue has nothing of its own here */
}

static const struct virtio_transport_ops transport_ops = {
	.queue_interrupt = transport_queue_interrupt,
	.config_interrupt = transport_config_interrupt,
	.reset = transport_reset,
	.queue_reset = transport_queue_reset,
};

static uint32_t register_read(struct virtio_mmio *vm, unsigned reg)
{
	struct virtio_queue_regs queue;

	switch (reg) {
	case MMIO_MAGIC:
		return MAGIC;
	case MMIO_VERSION:
		return VERSION;
	case MMIO_DEVICE_ID:
		return virtio_device_type(vm->vd);
	case MMIO_VENDOR_ID:
		return vm->info.vendor;
	case MMIO_DEVICE_FEATURES:
		return virtio_device_offered(vm->vd, atomic_load(&vm->device_features_sel));
	case MMIO_QUEUE_SIZE_MAX:
		virtio_device_queue_regs(vm->vd, atomic_load(&vm->queue_sel), &queue);
		return queue.max_size;
	case MMIO_QUEUE_READY:
		virtio_device_queue_regs(vm->vd, atomic_load(&vm->queue_sel), &queue);
		/* What was written; a 0 when nothing of the queue's memory is used any more. */
		return queue.enabled || queue.stopping;
	case MMIO_QUEUE_RESET:
		virtio_device_queue_regs(vm->vd, atomic_load(&vm->queue_sel), &queue);
		return queue.resetting;
	case MMIO_INTERRUPT_STATUS:
		return atomic_load(&vm->interrupt_status);
	case MMIO_STATUS:
		return virtio_device_status(vm->vd);
	case MMIO_CONFIG_GENERATION:
		return virtio_device_generation(vm->vd);
	default:
		/* There are no shared memory regions, whichever is selected: length and base are
		 * all ones. Registers that are written only read 0. */
		return reg >= MMIO_SHM_LEN && reg <= MMIO_SHM_BASE_HIGH ? UINT32_MAX : 0;
	}
}

static unsigned register_write(struct virtio_mmio *vm, unsigned reg, uint32_t value)
{
	uint32_t queue = atomic_load(&vm->queue_sel);

	switch (reg) {
	case MMIO_DEVICE_FEATURES_SEL:
		atomic_store(&vm->device_features_sel, value);
		break;
	case MMIO_DRIVER_FEATURES:
		virtio_device_driver_features_set(vm->vd, atomic_load(&vm->driver_features_sel),
						  value);
		break;
	case MMIO_DRIVER_FEATURES_SEL:
		atomic_store(&vm->driver_features_sel, value);
		break;
	case MMIO_QUEUE_SEL:
		atomic_store(&vm->queue_sel, value);
		break;
	case MMIO_QUEUE_SIZE:
		/* Cut off, a size would be another one. */
		virtio_device_queue_size_set(vm->vd, queue,
					     value <= UINT16_MAX ? (uint16_t)value : 0);
		break;
	case MMIO_QUEUE_READY:
		if (value == 1)
			return virtio_device_queue_enable(vm->vd, queue);
		if (!value)
			virtio_device_queue_disable(vm->vd, queue);
		break;
	case MMIO_QUEUE_NOTIFY:
		return virtio_device_doorbell(vm->vd, value);
	case MMIO_INTERRUPT_ACK:
		interrupt_change(vm, 0, value);
		break;
	case MMIO_STATUS:
		/* A zero byte under other bits is no reset. */
		return value <= UINT8_MAX ? virtio_device_status_set(vm->vd, (uint8_t)value)
					  : VIOREF_NOP;
	case MMIO_QUEUE_DESC:
	case MMIO_QUEUE_DESC + 4:
		virtio_device_queue_addr_set(vm->vd, queue, VIRTIO_QUEUE_DESC, reg & 4, value);
		break;
	case MMIO_QUEUE_DRIVER:
	case MMIO_QUEUE_DRIVER + 4:
		virtio_device_queue_addr_set(vm->vd, queue, VIRTIO_QUEUE_DRIVER, reg & 4, value);
		break;
	case MMIO_QUEUE_DEVICE:
	case MMIO_QUEUE_DEVICE + 4:
		virtio_device_queue_addr_set(vm->vd, queue, VIRTIO_QUEUE_DEVICE, reg & 4, value);
		break;
	case MMIO_QUEUE_RESET:
		if (value == 1)
			virtio_device_queue_reset(vm->vd, queue);
		break;
	default: /* SHMSel: no region has a number; registers that are read only */
		break;
	}
	return VIOREF_NOP;
}

static bool is_register(uint64_t offset, unsigned len)
{
	return len == 4 && offset % 4 == 0;
}

unsigned virtio_mmio_read(struct virtio_mmio *vm, uint64_t offset, unsigned len,
			  uint64_t *ret_value)
{
	*ret_value = 0;
	if (offset >= VIRTIO_MMIO_CONFIG)
		return virtio_device_config_access(vm->vd, offset - VIRTIO_MMIO_CONFIG, len, false);
	if (is_register(offset, len))
		*ret_value = register_read(vm, (unsigned)offset);
	return VIOREF_NOP;
}

unsigned virtio_mmio_write(struct virtio_mmio *vm, uint64_t offset, unsigned len, uint64_t value)
{
	if (offset >= VIRTIO_MMIO_CONFIG)
		return virtio_device_config_access(vm->vd, offset - VIRTIO_MMIO_CONFIG, len, true);
	return is_register(offset, len) ? register_write(vm, (unsigned)offset, (uint32_t)value)
					: VIOREF_NOP;
}

int virtio_mmio_create(struct virtio_device *vd, const struct virtio_mmio_info *info,
		       struct virtio_mmio **ret_vm)
{
	struct virtio_mmio *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return -ENOMEM;
	vm->armed = calloc(virtio_device_num_queues(vd) / 64 + 1, sizeof(*vm->armed));
	if (!vm->armed) {
		free(vm);
		return -ENOMEM;
	}
	pthread_mutex_init(&vm->interrupt_mtx, NULL);
	vm->vd = vd;
	vm->info = *info;
	if (!vm->info.vendor)
		vm->info.vendor = VIO_VENDOR_ID;
	virtio_device_transport_set(vd, &transport_ops, vm);
	*ret_vm = vm;
	return 0;
}

uint64_t virtio_mmio_size(const struct virtio_mmio *vm)
{
	uint64_t end = VIRTIO_MMIO_CONFIG + virtio_device_config_size(vm->vd);

	return align_up(end, VIRTIO_MMIO_MIN_SIZE);
}

static void doorbell_set(struct virtio_mmio *vm, unsigned queue, bool on)
{
	const struct engine_notify bell = {
		.space = ENGINE_MEM,
		.addr = vm->addr + MMIO_QUEUE_NOTIFY,
		.len = 4,
		.match = true,
		.value = queue,
		.fd = virtio_device_queue_fd(vm->vd, queue),
	};
	uint64_t bit = UINT64_C(1) << queue % 64;

	if (on && bell.fd >= 0 && !vm->engine->ops->notify_set(vm->engine, &bell, true))
		vm->armed[queue / 64] |= bit;
	else if (!on && vm->armed[queue / 64] & bit)
		(void)vm->engine->ops->notify_set(vm->engine, &bell, false);
}

void virtio_mmio_attach(struct virtio_mmio *vm, struct engine *engine, uint64_t addr)
{
	vm->engine = engine;
	vm->addr = addr;
	for (unsigned i = 0; i < virtio_device_num_queues(vm->vd); i++)
		doorbell_set(vm, i, true);
}

void virtio_mmio_destroy(struct virtio_mmio *vm)
{
	if (!vm)
		return;
	for (unsigned i = 0; vm->engine && i < virtio_device_num_queues(vm->vd); i++)
		doorbell_set(vm, i, false);
	pthread_mutex_destroy(&vm->interrupt_mtx);
	free(vm->armed);
	free(vm);
}
