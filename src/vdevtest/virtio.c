/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvdevtest: the VirtIO driver. Written as a guest would, on accesses and guest RAM only: it
 * finds the device by its PCI capabilities and programs MSI-X, or is told of an address; and works
 * its queues (ring.c). The two transports differ in where the registers are and how wide.
 */
#include "vdevtest/internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <virtio.h>

#include "address.h"

enum {
	PCI_COMMAND = 0x04,
	PCI_COMMAND_MEMORY = 2,
	PCI_COMMAND_MASTER = 4,
	PCI_BAR0 = 0x10,
	PCI_CAPABILITIES = 0x34,
	PCI_CAP_VENDOR = 0x09,
	PCI_CAP_MSIX = 0x11,
	PCI_MAX_CAPABILITIES = 48,
	MSIX_ENABLE = 0x8000,
	MSIX_TABLE_SIZE = 0x07ff,
	MSIX_ADDRESS = 0xfee00000,

	/* Types of VirtIO structures, and the fields of their capability */
	CFG_COMMON = 1,
	CFG_NOTIFY = 2,
	CFG_DEVICE = 4,
	CAP_TYPE = 3,
	CAP_BAR = 4,
	CAP_OFFSET = 8,
	CAP_MULTIPLIER = 16,

	MMIO_MAGIC = 0x74726976,
	MMIO_VERSION = 0x004,
	MMIO_DEVICE_ID = 0x008,
	MMIO_QUEUE_NOTIFY = 0x050,
	MMIO_INTERRUPT_STATUS = 0x060,
	MMIO_INTERRUPT_ACK = 0x064,
	MMIO_CONFIG = 0x100,

	FEATURE_WORDS = 2,
	RESET_TIMEOUT_MS = 30000,
	MAX_QUEUES = 1024,
};

/* Registers that both transports have. QUEUE_MAX: the most descriptors. */
enum reg {
	DEVICE_FEATURE_SELECT,
	DEVICE_FEATURE,
	DRIVER_FEATURE_SELECT,
	DRIVER_FEATURE,
	STATUS,
	QUEUE_SELECT,
	QUEUE_MAX,
	QUEUE_SIZE,
	QUEUE_ENABLE,
	QUEUE_RESET,
	QUEUE_DESC,
	QUEUE_DRIVER,
	QUEUE_DEVICE,
	NUM_QUEUES, /* the rest: PCI's alone */
	CONFIG_VECTOR,
	QUEUE_VECTOR,
	QUEUE_NOTIFY_OFF,
	NUM_REGS,
};

static const struct place {
	uint16_t offset;
	uint8_t len;
} pci_places[NUM_REGS] = {
	[DEVICE_FEATURE_SELECT] = { 0x00, 4 },
	[DEVICE_FEATURE] = { 0x04, 4 },
	[DRIVER_FEATURE_SELECT] = { 0x08, 4 },
	[DRIVER_FEATURE] = { 0x0c, 4 },
	[CONFIG_VECTOR] = { 0x10, 2 },
	[NUM_QUEUES] = { 0x12, 2 },
	[STATUS] = { 0x14, 1 },
	[QUEUE_SELECT] = { 0x16, 2 },
	[QUEUE_MAX] = { 0x18, 2 },
	[QUEUE_SIZE] = { 0x18, 2 },
	[QUEUE_VECTOR] = { 0x1a, 2 },
	[QUEUE_ENABLE] = { 0x1c, 2 },
	[QUEUE_NOTIFY_OFF] = { 0x1e, 2 },
	[QUEUE_DESC] = { 0x20, 4 },
	[QUEUE_DRIVER] = { 0x28, 4 },
	[QUEUE_DEVICE] = { 0x30, 4 },
	[QUEUE_RESET] = { 0x3a, 2 },
}, mmio_places[NUM_REGS] = {
	[DEVICE_FEATURE] = { 0x010, 4 },
	[DEVICE_FEATURE_SELECT] = { 0x014, 4 },
	[DRIVER_FEATURE] = { 0x020, 4 },
	[DRIVER_FEATURE_SELECT] = { 0x024, 4 },
	[QUEUE_SELECT] = { 0x030, 4 },
	[QUEUE_MAX] = { 0x034, 4 },
	[QUEUE_SIZE] = { 0x038, 4 },
	[QUEUE_ENABLE] = { 0x044, 4 },
	[STATUS] = { 0x070, 4 },
	[QUEUE_DESC] = { 0x080, 4 },
	[QUEUE_DRIVER] = { 0x090, 4 },
	[QUEUE_DEVICE] = { 0x0a0, 4 },
	[QUEUE_RESET] = { 0x0c0, 4 },
};

struct queue {
	struct vdevtest_ring *ring; /* NULL: the queue is not there */
	uint64_t doorbell;
};

struct vdevtest_virtio {
	struct vdevtest *t;
	unsigned dev;
	const struct place *places;
	uint64_t common, device, notify; /* addresses; 0: none */
	uint32_t notify_multiplier;
	unsigned num_vectors;
	uint64_t features;
	unsigned num_queues;
	struct queue queues[];
};

static uint64_t ecam_address(unsigned dev, unsigned reg)
{
	return ADDRESS_ECAM + (uint64_t)dev * 0x8000 + reg;
}

uint32_t vdevtest_pci_read(struct vdevtest *t, unsigned dev, unsigned reg, unsigned len)
{
	return (uint32_t)vdevtest_read(t, VDEVTEST_MEM, ecam_address(dev, reg), len);
}

void vdevtest_pci_write(struct vdevtest *t, unsigned dev, unsigned reg, unsigned len,
			uint32_t value)
{
	vdevtest_write(t, VDEVTEST_MEM, ecam_address(dev, reg), len, value);
}

uint64_t vdevtest_alloc(struct vdevtest *t, size_t len, size_t align)
{
	struct vdevtest_alloc *alloc = vdevtest_alloc_state(t);
	uint64_t gpa = alloc->next;

	if (align > 1)
		gpa = (gpa + align - 1) / align * align;
	if (gpa > alloc->end || len > alloc->end - gpa)
		vdevtest_die("the guest's RAM is too small: %zu bytes wanted at 0x%llx, it ends at "
			     "0x%llx",
			     len, (unsigned long long)gpa, (unsigned long long)alloc->end);
	alloc->next = gpa + len;
	memset(vdevtest_ram(t, gpa, len), 0, len);
	return gpa;
}

static bool is_mmio(const struct vdevtest_virtio *v)
{
	return v->places == mmio_places;
}

static uint32_t reg_read(const struct vdevtest_virtio *v, enum reg reg)
{
	const struct place *p = &v->places[reg];

	return (uint32_t)vdevtest_read(v->t, VDEVTEST_MEM, v->common + p->offset, p->len);
}

static void reg_write(const struct vdevtest_virtio *v, enum reg reg, uint32_t value)
{
	const struct place *p = &v->places[reg];

	vdevtest_write(v->t, VDEVTEST_MEM, v->common + p->offset, p->len, value);
}

/* A 64-bit register is written by halves, as drivers do. */
static void reg_write64(const struct vdevtest_virtio *v, enum reg reg, uint64_t value)
{
	uint64_t at = v->common + v->places[reg].offset;

	vdevtest_write(v->t, VDEVTEST_MEM, at, 4, (uint32_t)value);
	vdevtest_write(v->t, VDEVTEST_MEM, at + 4, 4, (uint32_t)(value >> 32));
}

static uint64_t bar_address(const struct vdevtest_virtio *v, unsigned bar)
{
	uint32_t low = vdevtest_pci_read(v->t, v->dev, PCI_BAR0 + 4 * bar, 4);
	uint64_t high = 0;

	if (low & 1)
		vdevtest_die("device %u: BAR %u is an I/O BAR", v->dev, bar);
	if ((low & 6) == 4)
		high = vdevtest_pci_read(v->t, v->dev, PCI_BAR0 + 4 * (bar + 1), 4);
	return high << 32 | (low & ~0xfu);
}

static void find_structure(struct vdevtest_virtio *v, unsigned cap)
{
	unsigned bar = vdevtest_pci_read(v->t, v->dev, cap + CAP_BAR, 1);
	uint64_t addr;

	if (bar > 5)
		return;
	addr = bar_address(v, bar) + vdevtest_pci_read(v->t, v->dev, cap + CAP_OFFSET, 4);
	switch (vdevtest_pci_read(v->t, v->dev, cap + CAP_TYPE, 1)) {
	case CFG_COMMON:
		v->common = v->common ? v->common : addr;
		break;
	case CFG_NOTIFY:
		if (v->notify)
			break;
		v->notify = addr;
		v->notify_multiplier = vdevtest_pci_read(v->t, v->dev, cap + CAP_MULTIPLIER, 4);
		break;
	case CFG_DEVICE:
		v->device = v->device ? v->device : addr;
		break;
	default:
		break;
	}
}

static void enable_msix(struct vdevtest_virtio *v, unsigned cap)
{
	uint32_t control = vdevtest_pci_read(v->t, v->dev, cap + 2, 2);
	uint32_t place = vdevtest_pci_read(v->t, v->dev, cap + 4, 4);
	uint64_t table = bar_address(v, place & 7) + (place & ~7u);

	v->num_vectors = (control & MSIX_TABLE_SIZE) + 1;
	for (unsigned i = 0; i < v->num_vectors; i++) {
		vdevtest_write(v->t, VDEVTEST_MEM, table + 16 * i, 4, MSIX_ADDRESS);
		vdevtest_write(v->t, VDEVTEST_MEM, table + 16 * i + 4, 4, 0);
		vdevtest_write(v->t, VDEVTEST_MEM, table + 16 * i + 8, 4, v->dev << 8 | i);
		vdevtest_write(v->t, VDEVTEST_MEM, table + 16 * i + 12, 4, 0);
	}
	vdevtest_pci_write(v->t, v->dev, cap + 2, 2, control | MSIX_ENABLE);
}

static void walk_capabilities(struct vdevtest_virtio *v)
{
	unsigned cap = vdevtest_pci_read(v->t, v->dev, PCI_CAPABILITIES, 1);

	for (unsigned n = 0; cap && n < PCI_MAX_CAPABILITIES; n++) {
		uint32_t id = vdevtest_pci_read(v->t, v->dev, cap, 1);

		if (id == PCI_CAP_VENDOR)
			find_structure(v, cap);
		else if (id == PCI_CAP_MSIX)
			enable_msix(v, cap);
		cap = vdevtest_pci_read(v->t, v->dev, cap + 1, 1) & ~3u;
	}
	if (!v->common || !v->notify)
		vdevtest_die("device %u: no VirtIO capabilities", v->dev);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void reset(const struct vdevtest_virtio *v)
{
	uint64_t deadline = now_ms() + vdevtest_patience_ms(v->t, RESET_TIMEOUT_MS);

	reg_write(v, STATUS, 0);
	while (reg_read(v, STATUS) != 0) {
		if (!vdevtest_wait(v->t) && now_ms() >= deadline)
			vdevtest_die("device %u: the reset does not end", v->dev);
	}
}

static void negotiate(struct vdevtest_virtio *v, uint64_t wanted)
{
	const char *ring = getenv("VDEVTEST_RING");
	uint64_t offered = 0;
	unsigned status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

	reg_write(v, STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
	reg_write(v, STATUS, status);
	for (unsigned i = 0; i < FEATURE_WORDS; i++) {
		reg_write(v, DEVICE_FEATURE_SELECT, i);
		offered |= (uint64_t)reg_read(v, DEVICE_FEATURE) << 32 * i;
	}
	if (ring && strcmp(ring, "split") == 0)
		offered &= ~(UINT64_C(1) << VIRTIO_F_RING_PACKED);
	v->features = offered & (wanted | UINT64_C(1) << VIRTIO_F_VERSION_1);
	for (unsigned i = 0; i < FEATURE_WORDS; i++) {
		reg_write(v, DRIVER_FEATURE_SELECT, i);
		reg_write(v, DRIVER_FEATURE, (uint32_t)(v->features >> 32 * i));
	}
	reg_write(v, STATUS, status | VIRTIO_STATUS_FEATURES_OK);
	if (!(reg_read(v, STATUS) & VIRTIO_STATUS_FEATURES_OK))
		vdevtest_die("device %u: features 0x%llx refused", v->dev,
			     (unsigned long long)v->features);
}

static bool has_feature(const struct vdevtest_virtio *v, unsigned bit)
{
	return v->features & UINT64_C(1) << bit;
}

static void set_up_queue(struct vdevtest_virtio *v, unsigned index, unsigned most)
{
	struct queue *q = &v->queues[index];
	unsigned size, vector = index + 1;
	uint64_t parts[3];

	reg_write(v, QUEUE_SELECT, index);
	size = reg_read(v, QUEUE_MAX);
	if (!size)
		return;
	if (size > most)
		size = most;
	reg_write(v, QUEUE_SIZE, size);
	q->ring = vdevtest_ring_create(v->t, size, has_feature(v, VIRTIO_F_RING_PACKED),
				       has_feature(v, VIRTIO_F_EVENT_IDX), parts);
	reg_write64(v, QUEUE_DESC, parts[0]);
	reg_write64(v, QUEUE_DRIVER, parts[1]);
	reg_write64(v, QUEUE_DEVICE, parts[2]);
	if (vector < v->num_vectors)
		reg_write(v, QUEUE_VECTOR, vector);
	q->doorbell = v->notify;
	if (!is_mmio(v))
		q->doorbell += (uint64_t)reg_read(v, QUEUE_NOTIFY_OFF) * v->notify_multiplier;
	reg_write(v, QUEUE_ENABLE, 1);
}

/* By MMIO nobody says how many there are; a queue that is not there has size 0. */
static unsigned count_queues(const struct vdevtest_virtio *v)
{
	unsigned num = 0;

	if (!is_mmio(v))
		return reg_read(v, NUM_QUEUES);
	do
		reg_write(v, QUEUE_SELECT, num);
	while (reg_read(v, QUEUE_MAX) && num++ < MAX_QUEUES);
	return num;
}

static struct vdevtest_virtio *add_queues(struct vdevtest_virtio *v)
{
	unsigned num = count_queues(v);

	if (num > MAX_QUEUES)
		vdevtest_die("device %u: %u queues", v->dev, num);
	v = realloc(v, sizeof(*v) + num * sizeof(v->queues[0]));
	if (!v)
		vdevtest_die("out of memory");
	memset(v->queues, 0, num * sizeof(v->queues[0]));
	v->num_queues = num;
	return v;
}

static void find_by_pci(struct vdevtest_virtio *v)
{
	uint32_t command;

	v->places = pci_places;
	if (vdevtest_pci_read(v->t, v->dev, 0, 2) != 0x1af4)
		vdevtest_die("PCI device %u is no VirtIO device", v->dev);
	command = vdevtest_pci_read(v->t, v->dev, PCI_COMMAND, 2);
	vdevtest_pci_write(v->t, v->dev, PCI_COMMAND, 2,
			   command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	walk_capabilities(v);
}

static void find_by_address(struct vdevtest_virtio *v)
{
	v->places = mmio_places;
	v->device = v->common + MMIO_CONFIG;
	v->notify = v->common + MMIO_QUEUE_NOTIFY;
	if (vdevtest_read(v->t, VDEVTEST_MEM, v->common, 4) != MMIO_MAGIC ||
	    vdevtest_read(v->t, VDEVTEST_MEM, v->common + MMIO_VERSION, 4) != 2)
		vdevtest_die("no VirtIO device at 0x%llx", (unsigned long long)v->common);
}

struct vdevtest_virtio *vdevtest_virtio_start(struct vdevtest *t, unsigned dev, uint64_t features,
					      unsigned queue_size)
{
	struct vdevtest_alloc *alloc = vdevtest_alloc_state(t);
	struct vdevtest_virtio *v = calloc(1, sizeof(*v));

	if (!v)
		vdevtest_die("out of memory");
	vdevtest_virtio_forget(alloc->unfinished);
	alloc->unfinished = v;
	v->t = t;
	v->dev = dev;
	if (vdevtest_mmio_place(t, dev, &v->common))
		find_by_address(v);
	else
		find_by_pci(v);
	reset(v);
	negotiate(v, features);
	if (v->num_vectors)
		reg_write(v, CONFIG_VECTOR, 0);
	alloc->unfinished = v = add_queues(v);
	for (unsigned i = 0; i < v->num_queues; i++)
		set_up_queue(v, i, queue_size);
	reg_write(v, STATUS, reg_read(v, STATUS) | VIRTIO_STATUS_DRIVER_OK);
	alloc->unfinished = NULL;
	return v;
}

bool vdevtest_virtio_on_pci(const struct vdevtest_virtio *v)
{
	return !is_mmio(v);
}

unsigned vdevtest_virtio_id(const struct vdevtest_virtio *v)
{
	if (is_mmio(v))
		return (unsigned)vdevtest_read(v->t, VDEVTEST_MEM, v->common + MMIO_DEVICE_ID, 4);
	return vdevtest_pci_read(v->t, v->dev, 2, 2) - 0x1040;
}

unsigned vdevtest_virtio_num_queues(const struct vdevtest_virtio *v)
{
	return v->num_queues;
}

bool vdevtest_virtio_has_queue(const struct vdevtest_virtio *v, unsigned queue)
{
	return queue < v->num_queues && v->queues[queue].ring;
}

void vdevtest_virtio_end(struct vdevtest_virtio *v)
{
	reset(v);
	vdevtest_virtio_forget(v);
}

void vdevtest_virtio_forget(struct vdevtest_virtio *v)
{
	for (unsigned i = 0; v && i < v->num_queues; i++)
		free(v->queues[i].ring);
	free(v);
}

uint64_t vdevtest_virtio_features(struct vdevtest_virtio *v)
{
	return v->features;
}

uint8_t vdevtest_virtio_status(struct vdevtest_virtio *v)
{
	return (uint8_t)reg_read(v, STATUS);
}

static uint64_t config_address(const struct vdevtest_virtio *v, unsigned offset)
{
	if (!v->device)
		vdevtest_die("device %u has no device configuration", v->dev);
	return v->device + offset;
}

uint64_t vdevtest_virtio_config(struct vdevtest_virtio *v, unsigned offset, unsigned len)
{
	return vdevtest_read(v->t, VDEVTEST_MEM, config_address(v, offset), len);
}

void vdevtest_virtio_config_write(struct vdevtest_virtio *v, unsigned offset, unsigned len,
				  uint64_t value)
{
	vdevtest_write(v->t, VDEVTEST_MEM, config_address(v, offset), len, value);
}

static struct queue *queue_of(struct vdevtest_virtio *v, unsigned queue)
{
	if (queue >= v->num_queues || !v->queues[queue].ring)
		vdevtest_die("device %u has no queue %u", v->dev, queue);
	return &v->queues[queue];
}

void vdevtest_virtio_queue_reset(struct vdevtest_virtio *v, unsigned queue)
{
	struct queue *q = queue_of(v, queue);
	uint64_t deadline = now_ms() + vdevtest_patience_ms(v->t, RESET_TIMEOUT_MS);

	reg_write(v, QUEUE_SELECT, queue);
	reg_write(v, QUEUE_RESET, 1);
	while (reg_read(v, QUEUE_RESET) != 0) {
		if (!vdevtest_wait(v->t) && now_ms() >= deadline)
			vdevtest_die("device %u, queue %u: the reset does not end", v->dev, queue);
	}
	if (reg_read(v, QUEUE_ENABLE) != 0)
		vdevtest_die("device %u, queue %u: enabled after its reset", v->dev, queue);
	free(q->ring);
	q->ring = NULL;
}

void vdevtest_virtio_queue_enable(struct vdevtest_virtio *v, unsigned queue, unsigned queue_size)
{
	set_up_queue(v, queue, queue_size);
}

unsigned vdevtest_virtio_add(struct vdevtest_virtio *v, unsigned queue,
			     const struct vdevtest_buf *bufs, unsigned n)
{
	return vdevtest_ring_add(queue_of(v, queue)->ring, bufs, n);
}

void vdevtest_virtio_kick(struct vdevtest_virtio *v, unsigned queue)
{
	struct queue *q = queue_of(v, queue);

	if (vdevtest_ring_wants_kick(q->ring))
		vdevtest_write(v->t, VDEVTEST_MEM, q->doorbell, is_mmio(v) ? 4 : 2, queue);
}

/* The status is what the line shows; it is acknowledged as a driver would. */
static unsigned mmio_interrupts(const struct vdevtest_virtio *v)
{
	uint64_t at = v->common + MMIO_INTERRUPT_STATUS;
	uint64_t status = vdevtest_read(v->t, VDEVTEST_MEM, at, 4);

	if (status)
		vdevtest_write(v->t, VDEVTEST_MEM, v->common + MMIO_INTERRUPT_ACK, 4, status);
	return (status & 1) + (status >> 1 & 1);
}

unsigned vdevtest_virtio_interrupts(struct vdevtest_virtio *v, int timeout_ms)
{
	uint64_t deadline = now_ms() + vdevtest_patience_ms(v->t, (unsigned)timeout_ms);
	unsigned num;

	if (!is_mmio(v))
		return vdevtest_messages(v->t, timeout_ms, NULL, NULL);
	while (!(num = mmio_interrupts(v)) && (vdevtest_wait(v->t) || now_ms() < deadline))
		;
	return num;
}

bool vdevtest_virtio_used(struct vdevtest_virtio *v, unsigned queue, int timeout_ms,
			  unsigned *ret_head, uint32_t *ret_len)
{
	struct vdevtest_ring *ring = queue_of(v, queue)->ring;
	uint64_t deadline = now_ms() + vdevtest_patience_ms(v->t, (unsigned)timeout_ms);
	unsigned head;
	uint32_t len;

	/* The next one is worth an interrupt; the messages are the test's to count, so here it is
	 * looked for. */
	vdevtest_ring_want_interrupt(ring);
	while (!vdevtest_ring_used(ring, &head, &len)) {
		if (!vdevtest_wait(v->t) && now_ms() >= deadline)
			return false;
	}
	if (ret_head)
		*ret_head = head;
	if (ret_len)
		*ret_len = len;
	return true;
}
