/* SPDX-License-Identifier: Apache-2.0 */
/* The driver that keeps no rule: registers by their transport, rings by hand. */
#include "hostile.h"

enum {
	MAX_RUNS = 1000,
	PATIENT_RUNS = 100 * MAX_RUNS, /* some seconds: a busy host may be long about a flush */
	VIRTIO_VENDOR = 0x1af4,
	CAP_VENDOR = 9,
	CAP_MSIX = 0x11,
	DESC_AVAIL = 1 << 7,
	DESC_USED = 1 << 15,
	PCI_COMMON_LEN = 0x48,
	MMIO_CONFIG = 0x100,
	MOST_QUEUES = 64,
};

/* The PCI transport */

static bool pci_find(struct guest *g)
{
	unsigned cap;

	for (g->dev = 1; g->dev < 32; g->dev++)
		if (vdevtest_pci_read(g->t, g->dev, 0, 2) == VIRTIO_VENDOR)
			break;
	if (g->dev == 32)
		return false;
	g->device = g->msix = 0;
	g->config_len = 0;
	vdevtest_pci_write(g->t, g->dev, 4, 2, 7);
	g->device_id = vdevtest_pci_read(g->t, g->dev, 2, 2) - 0x1040;
	g->common_len = PCI_COMMON_LEN;
	g->notify_width = 2;
	g->bar0 = vdevtest_pci_read(g->t, g->dev, 0x10, 4) & ~0xfu;
	cap = vdevtest_pci_read(g->t, g->dev, 0x34, 1);
	for (unsigned n = 0; cap && n < 48;
	     n++, cap = vdevtest_pci_read(g->t, g->dev, cap + 1, 1)) {
		unsigned id = vdevtest_pci_read(g->t, g->dev, cap, 1);
		unsigned type = vdevtest_pci_read(g->t, g->dev, cap + 3, 1);
		uint64_t addr = g->bar0 + vdevtest_pci_read(g->t, g->dev, cap + 8, 4);

		if (id == CAP_MSIX)
			g->msix = vdevtest_pci_read(g->t, g->dev, 0x14, 4) & ~0xfu;
		if (id != CAP_VENDOR)
			continue;
		if (type == 1)
			g->common = addr;
		if (type == 2) {
			g->notify = addr;
			g->notify_multiplier = vdevtest_pci_read(g->t, g->dev, cap + 16, 4);
		}
		if (type == 3)
			g->isr = addr;
		if (type == 4) {
			g->device = addr;
			g->config_len = vdevtest_pci_read(g->t, g->dev, cap + 12, 4);
		}
	}
	return true;
}

static bool pci_reg(const struct guest *g, enum reg reg, bool write, uint64_t *ret_addr,
		    unsigned *ret_len)
{
	static const struct {
		uint8_t offset, len;
	} regs[NUM_REGS] = {
		[REG_DEVICE_FEATURES_SELECT] = { 0x00, 4 },
		[REG_DEVICE_FEATURES] = { 0x04, 4 },
		[REG_DRIVER_FEATURES_SELECT] = { 0x08, 4 },
		[REG_DRIVER_FEATURES] = { 0x0c, 4 },
		[REG_CONFIG_VECTOR] = { 0x10, 2 },
		[REG_NUM_QUEUES] = { 0x12, 2 },
		[REG_STATUS] = { 0x14, 1 },
		[REG_GENERATION] = { 0x15, 1 },
		[REG_QUEUE_SELECT] = { 0x16, 2 },
		[REG_QUEUE_SIZE] = { 0x18, 2 },
		[REG_QUEUE_VECTOR] = { 0x1a, 2 },
		[REG_QUEUE_ENABLE] = { 0x1c, 2 },
		[REG_QUEUE_DESC] = { 0x20, 4 },
		[REG_QUEUE_DESC_HIGH] = { 0x24, 4 },
		[REG_QUEUE_DRIVER] = { 0x28, 4 },
		[REG_QUEUE_DRIVER_HIGH] = { 0x2c, 4 },
		[REG_QUEUE_DEVICE] = { 0x30, 4 },
		[REG_QUEUE_DEVICE_HIGH] = { 0x34, 4 },
		[REG_QUEUE_RESET] = { 0x3a, 2 },
	};

	(void)write;
	*ret_addr = g->common + regs[reg].offset;
	*ret_len = regs[reg].len;
	return true;
}

static uint64_t pci_doorbell(const struct guest *g, unsigned queue)
{
	return g->notify + (uint64_t)queue * g->notify_multiplier;
}

static unsigned pci_num_queues(struct guest *g)
{
	return (unsigned)reg_read(g, REG_NUM_QUEUES);
}

static unsigned pci_interrupts(struct guest *g)
{
	return (unsigned)vdevtest_read(g->t, VDEVTEST_MEM, g->isr, 1);
}

const struct transport transport_pci = {
	.name = "PCI",
	.place = "",
	.pci = true,
	.find = pci_find,
	.reg = pci_reg,
	.doorbell = pci_doorbell,
	.num_queues = pci_num_queues,
	.interrupts = pci_interrupts,
};

/* The MMIO transport: registers of 4 bytes; selectors, sizes and addresses are written only. */

static bool mmio_find(struct guest *g)
{
	static struct vdevtest_region all[256];
	unsigned n = vdevtest_regions(g->t, all, 256);

	g->dev = VDEVTEST_MMIO;
	if (!vdevtest_mmio_place(g->t, g->dev, &g->common))
		return false;
	g->device_id = (unsigned)vdevtest_read(g->t, VDEVTEST_MEM, g->common + 8, 4);
	g->notify = g->common + 0x50;
	g->notify_width = 4;
	g->isr = g->common + 0x60;
	g->device = g->common + MMIO_CONFIG;
	g->common_len = MMIO_CONFIG;
	for (unsigned i = 0; i < n; i++)
		if (all[i].start == g->common)
			g->config_len = (uint32_t)(all[i].len - MMIO_CONFIG);
	return true;
}

static bool mmio_reg(const struct guest *g, enum reg reg, bool write, uint64_t *ret_addr,
		     unsigned *ret_len)
{
	static const uint8_t offsets[NUM_REGS] = {
		[REG_DEVICE_FEATURES_SELECT] = 0x14,
		[REG_DEVICE_FEATURES] = 0x10,
		[REG_DRIVER_FEATURES_SELECT] = 0x24,
		[REG_DRIVER_FEATURES] = 0x20,
		[REG_STATUS] = 0x70,
		[REG_GENERATION] = 0xfc,
		[REG_QUEUE_SELECT] = 0x30,
		[REG_QUEUE_SIZE] = 0x38,
		[REG_QUEUE_ENABLE] = 0x44,
		[REG_QUEUE_DESC] = 0x80,
		[REG_QUEUE_DESC_HIGH] = 0x84,
		[REG_QUEUE_DRIVER] = 0x90,
		[REG_QUEUE_DRIVER_HIGH] = 0x94,
		[REG_QUEUE_DEVICE] = 0xa0,
		[REG_QUEUE_DEVICE_HIGH] = 0xa4,
		[REG_QUEUE_RESET] = 0xc0,
	};

	*ret_addr = g->common + offsets[reg];
	/* What can be read of a size is the largest one. */
	if (reg == REG_QUEUE_SIZE && !write)
		*ret_addr = g->common + 0x34;
	*ret_len = 4;
	return offsets[reg];
}

static uint64_t mmio_doorbell(const struct guest *g, unsigned queue)
{
	(void)queue;
	return g->notify;
}

static unsigned mmio_num_queues(struct guest *g)
{
	unsigned n = 0;

	do
		reg_write(g, REG_QUEUE_SELECT, n);
	while (reg_read(g, REG_QUEUE_SIZE) && ++n < MOST_QUEUES);
	return n;
}

static unsigned mmio_interrupts(struct guest *g)
{
	unsigned bits = (unsigned)vdevtest_read(g->t, VDEVTEST_MEM, g->isr, 4);

	vdevtest_write(g->t, VDEVTEST_MEM, g->isr + 4, 4, bits);
	return bits;
}

const struct transport transport_mmio = {
	.name = "MMIO",
	.place = "loc 0x1c0d0000 intr ioapic:16",
	.find = mmio_find,
	.reg = mmio_reg,
	.doorbell = mmio_doorbell,
	.num_queues = mmio_num_queues,
	.interrupts = mmio_interrupts,
};

/* Registers */

uint64_t reg_read(struct guest *g, enum reg reg)
{
	uint64_t addr;
	unsigned len;

	return g->transport->reg(g, reg, false, &addr, &len)
		       ? vdevtest_read(g->t, VDEVTEST_MEM, addr, len)
		       : 0;
}

void reg_write(struct guest *g, enum reg reg, uint64_t value)
{
	uint64_t addr;
	unsigned len;

	if (g->transport->reg(g, reg, true, &addr, &len))
		vdevtest_write(g->t, VDEVTEST_MEM, addr, len, value);
}

uint64_t reg_address(const struct guest *g, enum reg reg)
{
	uint64_t addr;
	unsigned len;

	return g->transport->reg(g, reg, true, &addr, &len) ? addr : 0;
}

bool selects(const struct guest *g, unsigned width)
{
	return g->transport->pci ? width >= 2 : width == 4;
}

uint8_t status(struct guest *g)
{
	return (uint8_t)reg_read(g, REG_STATUS);
}

void run(struct guest *g)
{
	vdevtest_run(g->t);
}

bool goes_zero(struct guest *g, enum reg reg)
{
	unsigned runs = g->num_failed || g->failed ? MAX_RUNS : PATIENT_RUNS;

	for (unsigned i = 0; i < runs && reg_read(g, reg); i++)
		(void)vdevtest_wait(g->t);
	return !reg_read(g, reg);
}

bool reset(struct guest *g)
{
	bool done;

	reg_write(g, REG_STATUS, 0);
	done = goes_zero(g, REG_STATUS);
	memset(g->rings, 0, sizeof(g->rings));
	return done;
}

bool negotiate(struct guest *g, uint64_t mask)
{
	uint64_t packed = UINT64_C(1) << VIRTIO_F_RING_PACKED,
		 must = UINT64_C(1) << VIRTIO_F_VERSION_1 | (g->packed ? packed : 0);

	reg_write(g, REG_STATUS, 1);
	reg_write(g, REG_STATUS, 3);
	g->offered = 0;
	for (unsigned i = 0; i < 2; i++) {
		reg_write(g, REG_DEVICE_FEATURES_SELECT, i);
		g->offered |= reg_read(g, REG_DEVICE_FEATURES) << 32 * i;
	}
	g->features = (g->offered & mask & ~packed) | (g->offered & must);
	for (unsigned i = 0; i < 2; i++) {
		reg_write(g, REG_DRIVER_FEATURES_SELECT, i);
		reg_write(g, REG_DRIVER_FEATURES, (uint32_t)(g->features >> 32 * i));
	}
	reg_write(g, REG_STATUS, 0xb);
	g->num_queues = g->transport->num_queues(g);
	for (unsigned i = 0; i < g->num_queues && i < MAX_RING_QUEUES; i++) {
		reg_write(g, REG_QUEUE_SELECT, i);
		g->max_size[i] = (unsigned)reg_read(g, REG_QUEUE_SIZE);
	}
	return status(g) == 0xb;
}

void queue_place(struct guest *g, unsigned queue, unsigned size, uint64_t desc, uint64_t driver,
		 uint64_t device)
{
	struct ring *r = &g->rings[queue];

	memset(r, 0, sizeof(*r));
	r->size = size;
	r->desc = desc;
	r->driver = driver;
	r->device = device;
	reg_write(g, REG_QUEUE_SELECT, queue);
	reg_write(g, REG_QUEUE_SIZE, size);
	reg_write(g, REG_QUEUE_DESC, (uint32_t)desc);
	reg_write(g, REG_QUEUE_DESC_HIGH, desc >> 32);
	reg_write(g, REG_QUEUE_DRIVER, (uint32_t)driver);
	reg_write(g, REG_QUEUE_DRIVER_HIGH, driver >> 32);
	reg_write(g, REG_QUEUE_DEVICE, (uint32_t)device);
	reg_write(g, REG_QUEUE_DEVICE_HIGH, device >> 32);
	reg_write(g, REG_QUEUE_ENABLE, 1);
}

void queue_setup(struct guest *g, unsigned queue, unsigned size)
{
	uint64_t at = RINGS + (uint64_t)queue * RING_ROOM;

	memset(vdevtest_ram(g->t, at, RING_ROOM), 0, RING_ROOM);
	queue_place(g, queue, size, at, at + 0x8000, at + 0xc000);
}

void driver_ok(struct guest *g)
{
	reg_write(g, REG_STATUS, STATUS_RUNNING);
	run(g);
}

void start(struct guest *g)
{
	if (!reset(g))
		fail(g, "the reset does not end");
	if (!negotiate(g, UINT64_MAX))
		fail(g, "the device does not take what it offers");
	for (unsigned i = 0; i < g->num_queues && i < MAX_RING_QUEUES; i++)
		if (g->max_size[i])
			queue_setup(g, i, g->max_size[i] < SIZE ? g->max_size[i] : SIZE);
	memset(vdevtest_ram(g->t, BUFFERS, BUFFERS_LEN), POISON, BUFFERS_LEN);
	memset(vdevtest_ram(g->t, BUFFERS, 16), 0, 16);
	driver_ok(g);
	if (status(g) != STATUS_RUNNING)
		fail(g, "status 0x%x after a proper start", status(g));
	(void)g->transport->interrupts(g);
}

void kick(struct guest *g, unsigned queue)
{
	vdevtest_write(g->t, VDEVTEST_MEM, g->transport->doorbell(g, queue), g->notify_width,
		       queue);
}

/* Rings. All values are little-endian, as the host is. */

static uint8_t *ram(struct guest *g, uint64_t gpa, uint64_t len)
{
	return vdevtest_ram(g->t, gpa, len);
}

static void put(uint8_t *at, uint64_t addr, uint32_t len, uint16_t a, uint16_t b)
{
	memcpy(at, &addr, 8);
	memcpy(at + 8, &len, 4);
	memcpy(at + 12, &a, 2);
	memcpy(at + 14, &b, 2);
}

void desc_put(struct guest *g, unsigned queue, unsigned index, uint64_t addr, uint32_t len,
	      uint16_t flags, uint16_t next)
{
	put(ram(g, g->rings[queue].desc + 16ull * index, 16), addr, len, flags, next);
}

void table_put(struct guest *g, uint64_t table, unsigned i, uint64_t addr, uint32_t len,
	       uint16_t flags, uint16_t next)
{
	uint8_t *at = ram(g, table + 16ull * i, 16);

	if (g->packed)
		put(at, addr, len, next, flags);
	else
		put(at, addr, len, flags, next);
}

void avail_index_set(struct guest *g, unsigned queue, uint16_t index)
{
	memcpy(ram(g, g->rings[queue].driver + 2, 2), &index, 2);
}

void head_put(struct guest *g, unsigned queue, uint16_t head)
{
	struct ring *r = &g->rings[queue];

	memcpy(ram(g, r->driver + 4 + 2ull * (r->avail % r->size), 2), &head, 2);
	avail_index_set(g, queue, ++r->avail);
}

void packed_put(struct guest *g, unsigned queue, uint64_t addr, uint32_t len, uint16_t id,
		uint16_t flags, bool available)
{
	struct ring *r = &g->rings[queue];
	bool wrap = r->position < r->size;

	if (available)
		flags |= wrap ? DESC_AVAIL : DESC_USED;
	else
		flags |= wrap ? 0 : DESC_AVAIL | DESC_USED;
	put(ram(g, r->desc + 16ull * (r->position % r->size), 16), addr, len, id, flags);
	r->position = (r->position + 1) % (2 * r->size);
}

unsigned offer(struct guest *g, unsigned queue, const struct buf *bufs, unsigned n)
{
	struct ring *r = &g->rings[queue];
	unsigned id = r->slot;

	if (g->packed) {
		r->slot = (r->slot + 1) & 0xffff;
		r->places[id] = (uint8_t)n;
		for (unsigned i = 0; i < n; i++)
			packed_put(g, queue, bufs[i].addr, bufs[i].len, (uint16_t)id,
				   (uint16_t)(bufs[i].flags | (i + 1 < n ? VIRTQ_DESC_F_NEXT : 0)),
				   true);
		return id;
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned next = (r->slot + 1) % r->size;

		desc_put(g, queue, r->slot, bufs[i].addr, bufs[i].len,
			 (uint16_t)(bufs[i].flags | (i + 1 < n ? VIRTQ_DESC_F_NEXT : 0)),
			 (uint16_t)next);
		r->slot = next;
	}
	head_put(g, queue, (uint16_t)id);
	return id;
}

unsigned offer_plain(struct guest *g, unsigned queue)
{
	const struct buf bufs[] = { { BUFFERS, 16, 0 },
				    { BUFFERS + 0x1000, 512, VIRTQ_DESC_F_WRITE },
				    { BUFFERS + 0x2000, 1, VIRTQ_DESC_F_WRITE } };

	return offer(g, queue, bufs, 3);
}

bool used(struct guest *g, unsigned queue, unsigned *ret_id, uint32_t *ret_len)
{
	struct ring *r = &g->rings[queue];
	uint32_t elem[2];

	if (!g->packed) {
		uint16_t idx;

		memcpy(&idx, ram(g, r->device + 2, 2), 2);
		if (idx == r->used)
			return false;
		memcpy(elem, ram(g, r->device + 4 + 8ull * (r->used % r->size), 8), 8);
		r->used++;
		*ret_id = elem[0];
		*ret_len = elem[1];
		return true;
	}
	const uint8_t *at = ram(g, r->desc + 16ull * (r->seen % r->size), 16);
	bool wrap = r->seen < r->size;
	uint16_t id, flags;

	memcpy(&flags, at + 14, 2);
	if (!!(flags & DESC_AVAIL) != wrap || !!(flags & DESC_USED) != wrap)
		return false;
	memcpy(&id, at + 12, 2);
	memcpy(ret_len, at + 8, 4);
	if (!(flags & VIRTQ_DESC_F_WRITE))
		*ret_len = 0;
	*ret_id = id;
	r->seen = (r->seen + (r->places[id] ? r->places[id] : 1)) % (2 * r->size);
	return true;
}

unsigned used_count(struct guest *g, unsigned queue)
{
	unsigned n = 0, id;
	uint32_t len;

	while (n < MAX_RUNS && used(g, queue, &id, &len))
		n++;
	return n;
}

uint64_t memory_hash(struct guest *g, uint64_t from, uint64_t to)
{
	const uint8_t *p = ram(g, from, to - from);
	uint64_t hash = UINT64_C(0xcbf29ce484222325), word;

	for (uint64_t i = 0; i + 8 <= to - from; i += 8) {
		memcpy(&word, p + i, 8);
		hash = (hash ^ word) * UINT64_C(0x100000001b3);
	}
	return hash;
}

uint64_t touched_hash(struct guest *g)
{
	return memory_hash(g, TABLES, TABLES + 0x1000) +
	       31 * memory_hash(g, RINGS, RINGS + 2 * RING_ROOM) +
	       37 * memory_hash(g, BUFFERS, BUFFERS + 0x10000);
}

bool is_memory(uint64_t addr, uint64_t len, bool write)
{
	/* Reading goes on from ROM into its neighbour. */
	const uint64_t start = write ? RAM_START : ROM_START;

	if (addr < 0xa0000)
		return len <= 0xa0000 - addr;
	return addr >= start && addr < RAM_END && len <= RAM_END - addr;
}
