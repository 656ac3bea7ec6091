/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus: its functions, the two ways to configuration space, listing.
 */
#include "pci/internal.h"

#include <errno.h>
#include <stdlib.h>

#define CONFIG_ADDRESS 0xcf8u
#define CONFIG_DATA    0xcfcu
#define CONFIG_ENABLE  0x80000000u
#define ECAM_BUS_SIZE  (1ull << 20)
#define FUNCTION_SIZE  4096u

static bool window_valid(const struct pci_window *win, uint64_t limit)
{
	return !win->len || range_inside(win->start, win->len, 0, limit);
}

int pci_bus_create(const struct pci_bus_info *info, struct pci_bus **ret_bus)
{
	struct pci_bus *pb;

	if (!window_valid(&info->mem32, 1ull << 32) || !window_valid(&info->mem64, UINT64_MAX) ||
	    !window_valid(&info->io, 1ull << 16) || info->ecam_buses > 256 ||
	    !range_inside(info->ecam_base, info->ecam_buses * ECAM_BUS_SIZE, 0, UINT64_MAX))
		return -EINVAL;
	pb = calloc(1, sizeof(*pb));
	if (!pb)
		return -ENOMEM;
	pb->info = *info;
	pthread_mutex_init(&pb->map_mtx, NULL);
	*ret_bus = pb;
	return 0;
}

static enum bus_result ecam_access(void *opaque, unsigned cookie, struct bus_access *acc);
static enum bus_result port_access(void *opaque, unsigned cookie, struct bus_access *acc);

static struct bus_region ecam_region(struct pci_bus *pb)
{
	return (struct bus_region){
		.space = ENGINE_MEM,
		.start = pb->info.ecam_base,
		.len = pb->info.ecam_buses * ECAM_BUS_SIZE,
		.handler = ecam_access,
		.opaque = pb,
		.owner = "PCI configuration space",
	};
}

static struct bus_region port_region(struct pci_bus *pb)
{
	return (struct bus_region){
		.space = ENGINE_IO,
		.start = CONFIG_ADDRESS,
		.len = 8,
		.handler = port_access,
		.opaque = pb,
		.owner = "PCI configuration ports",
	};
}

static void device_destroy(struct pci_device *dev)
{
	pci_msix_free(dev);
	pci_msi_free(dev);
	free(dev->doorbells);
	pthread_mutex_destroy(&dev->mtx);
	free(dev);
}

void pci_bus_destroy(struct pci_bus *pb)
{
	struct bus_region ecam, ports;
	int r;

	if (!pb)
		return;
	for (unsigned i = 0; i < PCI_NUM_DEVFN; i++) {
		if (!pb->devices[i])
			continue;
		/* Whoever takes the line or hears of bus mastering has ended. */
		pb->devices[i]->line = NULL;
		pb->devices[i]->master_changed = NULL;
		pb->devices[i]->forward = NULL;
		pci_device_reset(pb->devices[i]);
	}
	ecam = ecam_region(pb);
	ports = port_region(pb);
	/*
	 * What the bus refuses to take away here it frees with itself; nobody dispatches any more.
	 */
	r = pb->ecam_mapped ? bus_region_replace(pb->bus, &ecam, NULL, NULL) : 0;
	r |= pb->ports_mapped ? bus_region_replace(pb->bus, &ports, NULL, NULL) : 0;
	(void)r;
	for (unsigned i = 0; i < PCI_NUM_DEVFN; i++) {
		if (pb->devices[i])
			device_destroy(pb->devices[i]);
	}
	pthread_mutex_destroy(&pb->map_mtx);
	free(pb->reserved);
	free(pb);
}

int pci_slot_reserve(struct pci_bus *pb, unsigned slot)
{
	if (slot >= PCI_NUM_DEVFN / 8)
		return -EINVAL;
	pb->reserved_slots |= 1u << slot;
	return 0;
}

int pci_window_reserve(struct pci_bus *pb, bool io, uint64_t start, uint64_t len)
{
	struct pci_reserved *list =
		realloc(pb->reserved, (pb->num_reserved + 1) * sizeof(*pb->reserved));

	if (!list)
		return -ENOMEM;
	pb->reserved = list;
	list[pb->num_reserved++] = (struct pci_reserved){ .io = io, .start = start, .len = len };
	return 0;
}

/* The place of a new function, or a negative errno. */
static int find_devfn(struct pci_bus *pb, int wanted)
{
	if (wanted != PCI_DEVFN_NEXT) {
		if (wanted < 0 || wanted >= PCI_NUM_DEVFN)
			return -EINVAL;
		return pb->devices[wanted] ? -EEXIST : wanted;
	}
	for (int slot = 1; slot < 32; slot++) {
		bool used = pb->reserved_slots & 1u << slot;

		for (int func = 0; func < 8; func++)
			used |= pb->devices[PCI_DEVFN(slot, func)] != NULL;
		if (!used)
			return PCI_DEVFN(slot, 0);
	}
	return -ENOSPC;
}

int pci_device_add(struct pci_bus *pb, const struct pci_device_info *info,
		   struct pci_device **ret_dev)
{
	struct pci_device *dev;
	int devfn = find_devfn(pb, info->devfn);

	if (devfn < 0)
		return devfn;
	if (pb->placed)
		return -EBUSY;
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->bus = pb;
	dev->name = info->name;
	dev->devfn = (unsigned)devfn;
	pthread_mutex_init(&dev->mtx, NULL);
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		dev->bars[i].dev = dev;
	pci_config_init(dev, info);
	pb->devices[devfn] = dev;
	*ret_dev = dev;
	return 0;
}

int pci_pin_add(struct pci_device *dev)
{
	if (dev->bus->placed)
		return -EBUSY;
	dev->pin = dev->devfn % 8 % PCI_NUM_LINES + 1;
	return 0;
}

void pci_master_watch(struct pci_device *dev, void (*changed)(void *opaque, bool on), void *opaque)
{
	dev->master_changed = changed;
	dev->master_opaque = opaque;
}

uint32_t pci_bus_pins(const struct pci_bus *pb)
{
	uint32_t slots = 0;

	for (unsigned i = 0; i < PCI_NUM_DEVFN; i++) {
		if (pb->devices[i] && pb->devices[i]->pin)
			slots |= 1u << i / 8;
	}
	return slots;
}

void pci_bus_lines_set(struct pci_bus *pb, struct irq_line *const lines[PCI_NUM_LINES],
		       const unsigned gsis[PCI_NUM_LINES])
{
	memcpy(pb->lines, lines, sizeof(pb->lines));
	memcpy(pb->gsis, gsis, sizeof(pb->gsis));
}

/* Neighbours' pins go to different lines. */
static unsigned line_number(const struct pci_device *dev)
{
	return (dev->devfn / 8 + dev->pin - 1) % PCI_NUM_LINES;
}

int pci_pin_gsi(const struct pci_device *dev)
{
	return dev->line ? (int)dev->bus->gsis[line_number(dev)] : -1;
}

struct irq_line *pci_pin_line(const struct pci_device *dev)
{
	return dev->line;
}

static int line_attach(struct pci_device *dev)
{
	unsigned i = line_number(dev);
	int r;

	if (!dev->pin || !dev->bus->lines[i])
		return 0;
	r = irq_line_source_add(dev->bus->lines[i], &dev->line_source);
	if (r < 0)
		return r;
	dev->line = dev->bus->lines[i];
	dev->config[PCI_REG_INTERRUPT_PIN] = (uint8_t)dev->pin;
	dev->config[PCI_REG_INTERRUPT_LINE] = (uint8_t)MIN(dev->bus->gsis[i], UINT8_MAX);
	return 0;
}

void pci_line_update(struct pci_device *dev)
{
	bool disabled = pci_get16(dev->config + PCI_REG_COMMAND) & PCI_COMMAND_INTX_DISABLE;
	bool level = atomic_load(&dev->intx) && !disabled && !pci_msix_enabled(dev) &&
		     !pci_msi_enabled(dev);

	if (!dev->line || level == dev->line_level)
		return;
	dev->line_level = level;
	/* What the controller does not take is lost as on a broken wire: nobody could do better. */
	(void)irq_line_set(dev->line, dev->line_source, level);
}

int pci_doorbell_add(struct pci_device *dev, unsigned bar, uint32_t offset, unsigned len, int fd)
{
	struct pci_doorbell *list;

	if (bar >= PCI_ROM || dev->bars[bar].info.type == PCI_BAR_NONE ||
	    dev->bars[bar].info.type == PCI_BAR_IO ||
	    !range_inside(offset, len, 0, dev->bars[bar].info.size))
		return -EINVAL;
	if (dev->bus->placed)
		return -EBUSY;
	list = realloc(dev->doorbells, (dev->num_doorbells + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	dev->doorbells = list;
	list[dev->num_doorbells++] = (struct pci_doorbell){
		.bar = bar,
		.len = len,
		.offset = offset,
		.fd = fd,
	};
	return 0;
}

int pci_bus_attach(struct pci_bus *pb, struct bus *bus, struct irq *irq, struct engine *engine,
		   const char **ret_other)
{
	struct bus_region region;
	int r;

	if (!pb->placed)
		return -EINVAL;
	pb->bus = bus;
	pb->irq = irq;
	pb->engine = engine;
	for (unsigned i = 0; i < PCI_NUM_DEVFN; i++) {
		r = pb->devices[i] ? pci_msix_attach(pb->devices[i], irq) : 0;
		if (!r && pb->devices[i])
			r = pci_msi_attach(pb->devices[i], irq);
		if (!r && pb->devices[i])
			r = line_attach(pb->devices[i]);
		if (r < 0 && ret_other)
			*ret_other = pci_device_name(pb->devices[i]);
		if (r < 0)
			return r;
	}
	if (pb->info.ecam_buses) {
		region = ecam_region(pb);
		r = bus_region_replace(bus, NULL, &region, ret_other);
		if (r < 0)
			return r;
		pb->ecam_mapped = true;
	}
	if (pb->info.config_ports) {
		region = port_region(pb);
		r = bus_region_replace(bus, NULL, &region, ret_other);
		if (r < 0)
			return r;
		pb->ports_mapped = true;
	}
	return 0;
}

uint32_t pci_config_read(struct pci_bus *pb, unsigned devfn, unsigned offset, unsigned len)
{
	struct pci_device *dev = devfn < PCI_NUM_DEVFN ? pb->devices[devfn] : NULL;

	return dev ? pci_function_read(dev, offset, len) : UINT32_MAX >> (32 - 8 * len);
}

void pci_config_write(struct pci_bus *pb, unsigned devfn, unsigned offset, unsigned len,
		      uint32_t value)
{
	struct pci_device *dev = devfn < PCI_NUM_DEVFN ? pb->devices[devfn] : NULL;

	if (dev)
		pci_function_write(dev, offset, len, value);
}

/* Any access: cut at dword borders, so that each piece has one function and one register. */
static void config_access(struct pci_bus *pb, uint64_t address, bool write, unsigned len,
			  uint8_t *data)
{
	while (len) {
		unsigned piece = MIN(len, 4 - (unsigned)(address & 3));
		unsigned offset = (unsigned)(address % FUNCTION_SIZE);
		uint64_t number = address / FUNCTION_SIZE;
		unsigned devfn = number < PCI_NUM_DEVFN ? (unsigned)number : PCI_NUM_DEVFN;
		uint32_t value = 0;

		if (write) {
			memcpy(&value, data, piece);
			pci_config_write(pb, devfn, offset, piece, le32toh(value));
		} else {
			value = htole32(pci_config_read(pb, devfn, offset, piece));
			memcpy(data, &value, piece);
		}
		address += piece;
		data += piece;
		len -= piece;
	}
}

bool pci_bus_has_ports(const struct pci_bus *pb)
{
	return pb->info.io.len != 0;
}

static enum bus_result ecam_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	(void)cookie;
	config_access(opaque, acc->offset, acc->write, acc->len, acc->data);
	return BUS_OK;
}

/*
 * Ports 0xcf8 to 0xcff. The address register is one for all vCPUs, as on real machines; drivers
 * hold a lock of their own around the pair of accesses. It takes whole dwords only.
 */
static enum bus_result port_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	struct pci_bus *pb = opaque;
	uint32_t address = atomic_load_explicit(&pb->config_address, memory_order_relaxed);

	(void)cookie;
	if (acc->offset < 4) {
		if (acc->offset != 0 || acc->len != 4) {
			if (!acc->write)
				memset(acc->data, 0xff, acc->len);
		} else if (acc->write) {
			address = pci_get32(acc->data) & (CONFIG_ENABLE | 0xfffffcu);
			atomic_store_explicit(&pb->config_address, address, memory_order_relaxed);
		} else {
			pci_put32(acc->data, address);
		}
	} else if (!(address & CONFIG_ENABLE)) {
		if (!acc->write)
			memset(acc->data, 0xff, acc->len);
	} else {
		/*
		 * Bus, device, function and register stand in the same order as in ECAM, 4 bits
		 * closer.
		 */
		uint64_t place = (uint64_t)(address & 0xffff00u) << 4 | (address & 0xfcu);

		config_access(pb, place + (acc->offset - 4), acc->write, acc->len, acc->data);
	}
	return BUS_OK;
}

void pci_device_reset(struct pci_device *dev)
{
	bool was_master;

	pthread_mutex_lock(&dev->bus->map_mtx);
	pthread_mutex_lock(&dev->mtx);
	pci_put16(dev->config + PCI_REG_COMMAND, 0);
	dev->config[PCI_REG_CACHE_LINE] = 0;
	dev->config[PCI_REG_LATENCY] = 0;
	pci_put32(dev->config + PCI_REG_ROM, 0);
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		pci_bar_write(&dev->bars[i], dev->bars[i].first_addr);
	pci_msix_reset(dev);
	pci_msi_reset(dev);
	was_master = atomic_exchange(&dev->master, false);
	if (was_master)
		pci_msix_update(dev);
	pci_line_update(dev);
	pthread_mutex_unlock(&dev->mtx);
	if (was_master && dev->master_changed)
		dev->master_changed(dev->master_opaque, false);
	pci_bars_update(dev->bus);
	pthread_mutex_unlock(&dev->bus->map_mtx);
}

void pci_intx_set(struct pci_device *dev, bool level)
{
	pthread_mutex_lock(&dev->mtx);
	atomic_store(&dev->intx, level);
	pci_line_update(dev);
	pthread_mutex_unlock(&dev->mtx);
}

static void describe(struct pci_device *dev, struct pci_listing *ret)
{
	uint8_t *config = dev->config;

	*ret = (struct pci_listing){
		.name = dev->name,
		.devfn = dev->devfn,
		.vendor = pci_get16(config),
		.device = pci_get16(config + 2),
		.subsystem_vendor = pci_get16(config + PCI_REG_SUBSYSTEM),
		.subsystem_device = pci_get16(config + PCI_REG_SUBSYSTEM + 2),
		.class_code = pci_get32(config + 8) >> 8,
		.revision = config[8],
		.msix_vectors = pci_msix_vectors(dev),
	};
	for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
		ret->bars[i].type = dev->bars[i].info.type;
		ret->bars[i].size = dev->bars[i].info.size;
		ret->bars[i].mapped = dev->bars[i].mapped;
		ret->bars[i].addr = pci_bar_written(&dev->bars[i]);
	}
}

unsigned pci_bus_list(struct pci_bus *pb, struct pci_listing *ret_list, unsigned max)
{
	unsigned num = 0;

	pthread_mutex_lock(&pb->map_mtx);
	for (unsigned i = 0; i < PCI_NUM_DEVFN; i++) {
		if (!pb->devices[i])
			continue;
		if (num < max)
			describe(pb->devices[i], &ret_list[num]);
		num++;
	}
	pthread_mutex_unlock(&pb->map_mtx);
	return num;
}

const char *pci_device_name(const struct pci_device *dev)
{
	return dev->name;
}

const char *pci_place_owner(const struct pci_bus *pb, int devfn)
{
	if (devfn < 0 || devfn >= PCI_NUM_DEVFN || !pb->devices[devfn])
		return NULL;
	return pb->devices[devfn]->name;
}
