/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BARs: declaring, placing, and making the mapping follow the registers.
 *
 * Each BAR has the address in its register and the address where it is mapped. All mapping is under
 * the bus's one map_mtx, so two vCPUs that move BARs wait for one another and for nothing else.
 * Doorbells (ioeventfds) follow within the same step: the region moves first, since that is what
 * can fail.
 */
#include "pci/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum { ROM_ENABLE = 0x1 };

static bool is_io(const struct pci_bar *bar)
{
	return bar->info.type == PCI_BAR_IO;
}

static uint8_t *bar_register(const struct pci_bar *bar, uint8_t *bytes)
{
	return bytes + (bar->info.type == PCI_BAR_ROM ? PCI_REG_ROM
						      : PCI_REG_BAR0 + 4 * (bar - bar->dev->bars));
}

/* The second half of a 64-bit BAR. */
static bool is_upper_half(const struct pci_device *dev, unsigned index)
{
	return index > 0 && dev->bars[index - 1].info.type == PCI_BAR_MEM64;
}

static bool size_valid(const struct pci_bar_info *info)
{
	if (!is_pow2(info->size))
		return false;
	switch (info->type) {
	case PCI_BAR_MEM32:
		return info->size >= 16 && info->size <= 1ull << 31;
	case PCI_BAR_MEM64:
		return info->size >= 16 && info->size <= 1ull << 62;
	case PCI_BAR_IO:
		return info->size >= 4 && info->size <= 256;
	case PCI_BAR_ROM:
		return info->size >= 1u << 11 && info->size <= 1u << 24;
	case PCI_BAR_NONE:
		break;
	}
	return false;
}

int pci_bar_add(struct pci_device *dev, unsigned index, const struct pci_bar_info *info)
{
	bool wide = info->type == PCI_BAR_MEM64;
	struct pci_bar *bar;

	if (index >= PCI_NUM_BARS || (wide && index + 1 >= PCI_ROM) ||
	    (info->type == PCI_BAR_ROM) != (index == PCI_ROM) || !size_valid(info))
		return -EINVAL;
	if (dev->bus->placed)
		return -EBUSY;
	bar = &dev->bars[index];
	if (bar->info.type != PCI_BAR_NONE || is_upper_half(dev, index) ||
	    (wide && bar[1].info.type != PCI_BAR_NONE))
		return -EEXIST;
	bar->info = *info;
	pci_put32(bar_register(bar, dev->writable),
		  (uint32_t) ~(info->size - 1) | (index == PCI_ROM ? ROM_ENABLE : 0));
	pci_put32(bar_register(bar, dev->config), is_io(bar) ? 1 : wide ? 4 : 0);
	if (wide)
		pci_put32(bar_register(bar, dev->writable) + 4,
			  (uint32_t)(~(info->size - 1) >> 32));
	return 0;
}

/* Those of the register that are no address. */
static uint32_t low_bits(const struct pci_bar *bar)
{
	return is_io(bar) ? 3 : bar->info.type == PCI_BAR_ROM ? 0x7ff : 0xf;
}

uint64_t pci_bar_written(const struct pci_bar *bar)
{
	const uint8_t *reg = bar_register(bar, bar->dev->config);
	uint64_t addr;

	if (bar->info.type == PCI_BAR_NONE)
		return 0;
	addr = pci_get32(reg) & ~low_bits(bar);
	if (bar->info.type == PCI_BAR_MEM64)
		addr |= (uint64_t)pci_get32(reg + 4) << 32;
	return addr;
}

void pci_bar_write(struct pci_bar *bar, uint64_t addr)
{
	uint8_t *reg = bar_register(bar, bar->dev->config);

	if (bar->info.type == PCI_BAR_NONE)
		return;
	pci_put32(reg, (uint32_t)addr | (pci_get32(reg) & low_bits(bar)));
	if (bar->info.type == PCI_BAR_MEM64)
		pci_put32(reg + 4, (uint32_t)(addr >> 32));
}

/*
 * The window that BARs of this kind are placed in. A 64-bit BAR may be moved to either memory
 * window.
 */
static const struct pci_window *home_window(const struct pci_bus *pb, const struct pci_bar *bar)
{
	if (is_io(bar))
		return &pb->info.io;
	return bar->info.type == PCI_BAR_MEM64 && pb->info.mem64.len ? &pb->info.mem64
								     : &pb->info.mem32;
}

static bool inside_window(const struct pci_bus *pb, const struct pci_bar *bar, uint64_t addr)
{
	const struct pci_window *home = home_window(pb, bar), *mem = &pb->info.mem32;

	return range_inside(addr, bar->info.size, home->start, home->len) ||
	       (!is_io(bar) && range_inside(addr, bar->info.size, mem->start, mem->len));
}

/* The first address from addr on, aligned to size, where nothing is reserved. It may have wrapped.
 */
static uint64_t after_reserved(const struct pci_bus *pb, bool io, uint64_t addr, uint64_t size)
{
	for (unsigned i = 0; i < pb->num_reserved; i++) {
		const struct pci_reserved *r = &pb->reserved[i];
		uint64_t next;

		if (r->io != io || !range_overlaps(r->start, r->len, addr, size))
			continue;
		next = align_up(r->start + r->len, size);
		if (next <= addr)
			return 0;
		addr = next;
		i = UINT_MAX; /* another may lie there */
	}
	return addr;
}

/* Largest first, so that alignment leaves no gaps; within a size in the order of the functions. */
int pci_bus_place(struct pci_bus *pb, const struct pci_device **ret_dev, unsigned *ret_bar)
{
	uint64_t used[3] = { 0 }; /* bytes from the start of io, mem32, mem64 */

	if (pb->placed)
		return -EBUSY;
	for (unsigned n = 63 * PCI_NUM_DEVFN * PCI_NUM_BARS; n-- > 0;) {
		unsigned index = PCI_NUM_BARS - 1 - n % PCI_NUM_BARS;
		unsigned devfn = PCI_NUM_DEVFN - 1 - n / PCI_NUM_BARS % PCI_NUM_DEVFN;
		uint64_t size = 1ull << (n / PCI_NUM_BARS / PCI_NUM_DEVFN);
		struct pci_device *dev = pb->devices[devfn];
		struct pci_bar *bar = dev ? &dev->bars[index] : NULL;
		const struct pci_window *win;
		uint64_t *used_here, addr;

		if (!bar || bar->info.type == PCI_BAR_NONE || bar->info.size != size)
			continue;
		win = home_window(pb, bar);
		used_here = &used[win == &pb->info.io ? 0 : win == &pb->info.mem32 ? 1 : 2];
		addr = align_up(win->start + *used_here, size);
		addr = after_reserved(pb, is_io(bar), addr, size);
		/* Rounding up may wrap. */
		if (addr < win->start + *used_here ||
		    !range_inside(addr, size, win->start, win->len)) {
			if (ret_dev)
				*ret_dev = dev;
			if (ret_bar)
				*ret_bar = index;
			return -ENOSPC;
		}
		*used_here = addr + size - win->start;
		bar->first_addr = addr;
		pci_bar_write(bar, addr);
	}
	pb->placed = true;
	return 0;
}

/* What the bus calls for every access to a BAR. */
static enum bus_result bar_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	struct pci_bar *bar = opaque;

	(void)cookie;
	if (pci_msix_access(bar->dev, (unsigned)(bar - bar->dev->bars), acc))
		return BUS_OK;
	if (bar->info.handler)
		return bar->info.handler(bar->info.opaque, bar->info.cookie, acc);
	if (!acc->write)
		memset(acc->data, 0, acc->len);
	return BUS_OK;
}

static struct bus_region bar_region(struct pci_bar *bar, uint64_t addr)
{
	const uint64_t ports = bar->dev->bus->info.ports;

	return (struct bus_region){
		.space = is_io(bar) && !ports ? ENGINE_IO : ENGINE_MEM,
		.start = is_io(bar) ? ports + addr : addr,
		.len = bar->info.size,
		.handler = bar_access,
		.opaque = bar,
		.owner = bar->dev->name,
	};
}

/*
 * An engine that refuses a doorbell costs an exit for each kick, no more: the write then reaches
 * the handler.
 */
static void doorbells_set(struct pci_bar *bar, bool on)
{
	struct pci_device *dev = bar->dev;
	struct engine *engine = dev->bus->engine;

	for (unsigned i = 0; i < dev->num_doorbells; i++) {
		struct pci_doorbell *bell = &dev->doorbells[i];
		int r;

		if (&dev->bars[bell->bar] != bar || bell->armed == on)
			continue;
		r = engine->ops->notify_set(
			engine,
			&(struct engine_notify){ .space = ENGINE_MEM,
						 .addr = bar->mapped_addr + bell->offset,
						 .len = bell->len,
						 .fd = bell->fd },
			on);
		bell->armed = on && r == 0;
	}
}

static void bar_tell(const struct pci_bar *bar, bool on)
{
	if (bar->info.mapped)
		bar->info.mapped(bar->info.opaque, bar->info.cookie, on, bar->mapped_addr);
}

static int bar_map(struct pci_bar *bar, uint64_t addr)
{
	struct bus_region old = bar_region(bar, bar->mapped_addr), new = bar_region(bar, addr);
	int r = bus_region_replace(bar->dev->bus->bus, bar->mapped ? &old : NULL, &new, NULL);

	if (r < 0)
		return r;
	if (bar->mapped) {
		doorbells_set(bar, false);
		bar_tell(bar, false);
	}
	bar->mapped = true;
	bar->mapped_addr = addr;
	bar_tell(bar, true);
	doorbells_set(bar, true);
	return 0;
}

static int bar_unmap(struct pci_bar *bar)
{
	struct bus_region old = bar_region(bar, bar->mapped_addr);
	int r = bus_region_replace(bar->dev->bus->bus, &old, NULL, NULL);

	if (r < 0)
		return r;
	doorbells_set(bar, false);
	bar_tell(bar, false);
	bar->mapped = false;
	return 0;
}

/*
 * Take away the mapping of a BAR that lies in the way though its register no longer says so. True
 * if one was.
 */
static bool evict_stale(struct pci_bus *pb, const struct pci_bar *bar, uint64_t addr)
{
	for (unsigned i = 0; i < PCI_NUM_DEVFN; i++) {
		for (unsigned j = 0; pb->devices[i] && j < PCI_NUM_BARS; j++) {
			struct pci_bar *other = &pb->devices[i]->bars[j];

			if (other == bar || !other->mapped || is_io(other) != is_io(bar) ||
			    other->mapped_addr == pci_bar_written(other) ||
			    !range_overlaps(addr, bar->info.size, other->mapped_addr,
					    other->info.size))
				continue;
			return bar_unmap(other) == 0;
		}
	}
	return false;
}

/* The function answers there, as far as its registers say. */
static bool is_decoded(const struct pci_bar *bar)
{
	const uint8_t *config = bar->dev->config;
	const uint16_t decode = is_io(bar) ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

	return pci_get16(config + PCI_REG_COMMAND) & decode &&
	       (bar->info.type != PCI_BAR_ROM || config[PCI_REG_ROM] & ROM_ENABLE);
}

/* True if the mapping changed. */
static bool bar_update(struct pci_bus *pb, struct pci_bar *bar)
{
	uint64_t addr = pci_bar_written(bar);

	if (bar->info.type == PCI_BAR_NONE)
		return false;
	if (!is_decoded(bar))
		return bar->mapped && bar_unmap(bar) == 0;
	if ((bar->mapped && bar->mapped_addr == addr) || !inside_window(pb, bar, addr))
		return false;
	return bar_map(bar, addr) == 0 || evict_stale(pb, bar, addr);
}

/*
 * Ends: in one call a BAR is unmapped at most once for its command register, evicted at most once,
 * since it is then mapped nowhere or where its register says, and mapped at most once after each.
 */
void pci_bars_update(struct pci_bus *pb)
{
	bool changed = pb->bus != NULL;

	while (changed) {
		changed = false;
		for (unsigned i = 0; i < PCI_NUM_DEVFN; i++) {
			for (unsigned j = 0; pb->devices[i] && j < PCI_NUM_BARS; j++)
				changed |= bar_update(pb, &pb->devices[i]->bars[j]);
		}
	}
}

bool pci_bar_mapped(struct pci_device *dev, unsigned bar, uint64_t *ret_addr)
{
	bool mapped;

	if (bar >= PCI_NUM_BARS)
		return false;
	pthread_mutex_lock(&dev->bus->map_mtx);
	mapped = dev->bars[bar].mapped;
	if (mapped)
		*ret_addr = dev->bars[bar].mapped_addr;
	pthread_mutex_unlock(&dev->bus->map_mtx);
	return mapped;
}
