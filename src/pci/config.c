/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function's configuration space: header, list of capabilities, reads and writes of it.
 */
#include "pci/internal.h"

#include <errno.h>

#define CAPABILITY_MAX_BODY 62u

void pci_config_init(struct pci_device *dev, const struct pci_device_info *info)
{
	uint8_t *config = dev->config, *writable = dev->writable;

	pci_put16(config, info->vendor);
	pci_put16(config + 2, info->device);
	pci_put32(config + 8, info->class_code << 8 | info->revision);
	pci_put16(config + PCI_REG_SUBSYSTEM, info->subsystem_vendor);
	pci_put16(config + PCI_REG_SUBSYSTEM + 2, info->subsystem_device);
	pci_put16(writable + PCI_REG_COMMAND, PCI_COMMAND_WRITABLE);
	writable[PCI_REG_CACHE_LINE] = 0xff;
	writable[PCI_REG_LATENCY] = 0xff;
	writable[PCI_REG_INTERRUPT_LINE] = 0xff;
	dev->next_free = PCI_HEADER_END;
}

int pci_capability_add(struct pci_device *dev, const struct pci_capability_info *info,
		       unsigned *ret_offset)
{
	unsigned offset = dev->next_free;

	if (dev->bus->placed)
		return -EBUSY;
	if (!info->len || info->len > CAPABILITY_MAX_BODY)
		return -EINVAL;
	if (info->window_ops &&
	    (info->window % 4 || info->window < 4 || info->window + 4 > info->len + 2))
		return -EINVAL;
	if (info->window_ops && dev->window.window_ops)
		return -EEXIST;
	if (offset + 2 + info->len > PCI_CONFIG_SIZE)
		return -ENOSPC;
	dev->config[offset] = info->id;
	memcpy(dev->config + offset + 2, info->body, info->len);
	if (info->write_mask)
		memcpy(dev->writable + offset + 2, info->write_mask, info->len);
	if (info->window_ops) {
		dev->window = *info;
		dev->window_capability = offset;
	}
	/* The list keeps the order of declaration. */
	dev->config[dev->last_capability ? dev->last_capability + 1 : PCI_REG_CAP_POINTER] =
		(uint8_t)offset;
	dev->config[PCI_REG_STATUS] |= PCI_STATUS_CAPABILITIES;
	dev->last_capability = offset;
	dev->next_free = (unsigned)align_up(offset + 2 + info->len, 4);
	if (ret_offset)
		*ret_offset = offset;
	return 0;
}

void pci_capability_place(struct pci_device *dev, unsigned offset)
{
	dev->next_free = offset;
}

void pci_config_set(struct pci_device *dev, unsigned offset, const void *data, unsigned len)
{
	memcpy(dev->config + offset, data, len);
}

void pci_forward_set(struct pci_device *dev, const struct pci_forward_ops *ops, void *opaque)
{
	dev->forward = ops;
	dev->forward_opaque = opaque;
}

/* It lies behind what the core keeps. */
static bool is_forwarded(const struct pci_device *dev, unsigned dword)
{
	return dev->forward && dword >= PCI_HEADER_END && dword < PCI_EXTENDED_CONFIG_SIZE &&
	       !pci_msi_has(dev, dword) && !pci_msix_has(dev, dword);
}

static bool is_window(const struct pci_device *dev, unsigned dword)
{
	return dev->window.window_ops && dword == dev->window_capability + dev->window.window;
}

static bool is_multifunction(const struct pci_device *dev)
{
	for (unsigned func = 1; func < 8; func++) {
		if (dev->bus->devices[(dev->devfn & ~7u) + func])
			return true;
	}
	return false;
}

static uint32_t window_read(struct pci_device *dev)
{
	uint8_t cap[CAPABILITY_MAX_BODY + 2] = { 0 }, data[4] = { 0 };

	pthread_mutex_lock(&dev->mtx);
	memcpy(cap, dev->config + dev->window_capability, dev->window.len + 2);
	pthread_mutex_unlock(&dev->mtx);
	dev->window.window_ops->read(dev->window.opaque, cap, data);
	return pci_get32(data);
}

uint32_t pci_function_read(struct pci_device *dev, unsigned offset, unsigned len)
{
	unsigned dword = offset & ~3u;
	uint32_t value;

	if (is_forwarded(dev, dword)) {
		value = dev->forward->read(dev->forward_opaque, dword);
	} else if (dword >= PCI_CONFIG_SIZE) {
		return 0;
	} else if (is_window(dev, dword)) {
		value = window_read(dev);
	} else {
		pthread_mutex_lock(&dev->mtx);
		value = pci_get32(dev->config + dword);
		pthread_mutex_unlock(&dev->mtx);
		if (dword == PCI_REG_COMMAND && dev->forward)
			value = (value & UINT16_MAX) |
				(dev->forward->read(dev->forward_opaque, dword) & ~UINT16_MAX);
		else if (dword == PCI_REG_COMMAND && atomic_load(&dev->intx) &&
			 !pci_msix_enabled(dev))
			value |= (uint32_t)PCI_STATUS_INTERRUPT << 16;
		else if (dword == PCI_REG_CACHE_LINE && is_multifunction(dev))
			value |= (uint32_t)PCI_HEADER_MULTIFUNCTION << 16;
	}
	return value >> (offset & 3) * 8 & UINT32_MAX >> (32 - 8 * len);
}

void pci_function_write(struct pci_device *dev, unsigned offset, unsigned len, uint32_t value)
{
	unsigned dword = offset & ~3u, shift = (offset & 3) * 8;
	bool moves = dword == PCI_REG_COMMAND || dword == PCI_REG_ROM ||
		     (dword >= PCI_REG_BAR0 && dword < PCI_REG_BAR0 + 4 * PCI_ROM);
	uint8_t cap[CAPABILITY_MAX_BODY + 2];
	bool master, was_master;
	uint32_t mask, old;
	uint16_t command;

	if (is_forwarded(dev, dword)) {
		dev->forward->write(dev->forward_opaque, offset, len, value);
		return;
	}
	if (dword >= PCI_CONFIG_SIZE)
		return;
	if (moves)
		pthread_mutex_lock(&dev->bus->map_mtx);
	pthread_mutex_lock(&dev->mtx);
	mask = pci_get32(dev->writable + dword) & UINT32_MAX >> (32 - 8 * len) << shift;
	old = pci_get32(dev->config + dword);
	pci_put32(dev->config + dword, (old & ~mask) | (value << shift & mask));
	if (dev->msix && dword == dev->msix->capability)
		pci_msix_control_written(dev);
	if (is_window(dev, dword))
		memcpy(cap, dev->config + dev->window_capability, dev->window.len + 2);
	was_master = atomic_load(&dev->master);
	command = pci_get16(dev->config + PCI_REG_COMMAND);
	master = command & PCI_COMMAND_MASTER;
	if (master != was_master) {
		atomic_store(&dev->master, master);
		pci_msix_update(dev);
	}
	if (master != was_master || pci_msi_has(dev, dword))
		pci_msi_update(dev);
	pci_line_update(dev);
	pthread_mutex_unlock(&dev->mtx);
	if (master != was_master && dev->master_changed)
		dev->master_changed(dev->master_opaque, master);
	if (dword == PCI_REG_COMMAND && dev->forward)
		dev->forward->command(dev->forward_opaque, command);
	if (moves) {
		pci_bars_update(dev->bus);
		pthread_mutex_unlock(&dev->bus->map_mtx);
	}
	if (dev->forward && (pci_msi_has(dev, dword) || pci_msix_has(dev, dword)))
		dev->forward->messages(dev->forward_opaque);
	if (is_window(dev, dword))
		dev->window.window_ops->write(dev->window.opaque, cap);
}
