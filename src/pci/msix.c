/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X: table, pending bits, masks.
 *
 * A vector is an eventfd of src/irq. It is attached to the engine while MSI-X is on and neither the
 * function nor the vector is masked; else it is detached and what it counts is its pending bit. The
 * routing table is touched only for vectors that are attached.
 */
#include "pci/internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
	ENTRY_SIZE = 16,
	ENTRY_ADDR_LOW = 0,
	ENTRY_ADDR_HIGH = 4,
	ENTRY_DATA = 8,
	ENTRY_CONTROL = 12,
	ENTRY_MASKED = 1,

	CONTROL_ENABLE = 0x8000,
	CONTROL_FUNCTION_MASK = 0x4000,
};

static const uint8_t entry_writable[ENTRY_SIZE] = {
	0xfc, 0xff, 0xff, 0xff, 0xff,	      0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, ENTRY_MASKED, 0,    0,	  0,
};

static uint64_t table_size(const struct pci_msix *msix)
{
	return (uint64_t)msix->num * ENTRY_SIZE;
}

static uint64_t pba_size(const struct pci_msix *msix)
{
	return align_up(msix->num, 64) / 8;
}

/* [offset, offset + len) is part of memory BAR bar. */
static bool inside_bar(const struct pci_device *dev, unsigned bar, uint64_t offset, uint64_t len)
{
	return bar < PCI_NUM_BARS && offset % 8 == 0 &&
	       (dev->bars[bar].info.type == PCI_BAR_MEM32 ||
		dev->bars[bar].info.type == PCI_BAR_MEM64) &&
	       range_inside(offset, len, 0, dev->bars[bar].info.size);
}

int pci_msix_add(struct pci_device *dev, unsigned num, unsigned table_bar, uint32_t table_offset,
		 unsigned pba_bar, uint32_t pba_offset)
{
	static const uint8_t write_mask[10] = { 0, (CONTROL_ENABLE | CONTROL_FUNCTION_MASK) >> 8 };
	uint8_t body[10];
	struct pci_capability_info cap = {
		.id = PCI_CAP_MSIX,
		.len = sizeof(body),
		.body = body,
		.write_mask = write_mask,
	};
	struct pci_msix *msix;
	int r = -ENOMEM;

	if (dev->msix)
		return -EEXIST;
	if (!num || num > PCI_MAX_MSIX_VECTORS)
		return -EINVAL;
	msix = calloc(1, sizeof(*msix));
	if (!msix)
		return -ENOMEM;
	msix->num = num;
	msix->table_bar = table_bar;
	msix->pba_bar = pba_bar;
	msix->table_offset = table_offset;
	msix->pba_offset = pba_offset;
	msix->table = calloc(num, ENTRY_SIZE);
	msix->vectors = calloc(num, sizeof(*msix->vectors));
	if (!msix->table || !msix->vectors)
		goto fail;
	r = -EINVAL;
	if (!inside_bar(dev, table_bar, table_offset, table_size(msix)) ||
	    !inside_bar(dev, pba_bar, pba_offset, pba_size(msix)) ||
	    (table_bar == pba_bar &&
	     range_overlaps(table_offset, table_size(msix), pba_offset, pba_size(msix))))
		goto fail;
	pci_put16(body, (uint16_t)(num - 1));
	pci_put32(body + 2, table_offset | table_bar);
	pci_put32(body + 6, pba_offset | pba_bar);
	r = pci_capability_add(dev, &cap, &msix->capability);
	if (r < 0)
		goto fail;
	for (unsigned i = 0; i < num; i++)
		msix->table[i * ENTRY_SIZE + ENTRY_CONTROL] = ENTRY_MASKED;
	dev->msix = msix;
	return 0;
fail:
	free(msix->table);
	free(msix->vectors);
	free(msix);
	return r;
}

int pci_msix_attach(struct pci_device *dev, struct irq *irq)
{
	struct pci_msix *msix = dev->msix;

	while (msix && msix->num_vectors < msix->num) {
		int r = irq_vector_create(irq, dev->devfn, &msix->vectors[msix->num_vectors]);

		if (r < 0)
			return r;
		msix->num_vectors++;
	}
	return 0;
}

void pci_msix_free(struct pci_device *dev)
{
	struct pci_msix *msix = dev->msix;

	if (!msix)
		return;
	while (msix->num_vectors)
		irq_vector_destroy(dev->bus->irq, &msix->vectors[--msix->num_vectors]);
	free(msix->table);
	free(msix->vectors);
	free(msix);
	dev->msix = NULL;
}

/*
 * Bring vector i into the state that the table and the control word ask for. A message that the
 * engine does not take leaves the vector detached, so that its interrupts become pending, as if it
 * were masked.
 */
static void vector_update(struct pci_device *dev, unsigned i)
{
	struct pci_msix *msix = dev->msix;
	const uint8_t *entry = msix->table + i * ENTRY_SIZE;
	struct irq_vector *vector = &msix->vectors[i];
	struct irq *irq = dev->bus->irq;
	bool on = atomic_load(&msix->enabled) && !msix->function_mask &&
		  atomic_load(&dev->master) && !(entry[ENTRY_CONTROL] & ENTRY_MASKED);

	if (on) {
		uint64_t addr = (uint64_t)pci_get32(entry + ENTRY_ADDR_HIGH) << 32 |
				pci_get32(entry + ENTRY_ADDR_LOW);

		on = irq_vector_route(irq, vector, addr, pci_get32(entry + ENTRY_DATA)) == 0;
	}
	irq_vector_attach(irq, vector, on);
}

void pci_msix_control_written(struct pci_device *dev)
{
	struct pci_msix *msix = dev->msix;
	uint16_t control = pci_get16(dev->config + msix->capability + 2);
	bool enable = control & CONTROL_ENABLE, mask = control & CONTROL_FUNCTION_MASK;

	if (enable == atomic_load(&msix->enabled) && mask == msix->function_mask)
		return;
	/* What was signalled while MSI-X was on before is not pending now. */
	for (unsigned i = 0; enable && !atomic_load(&msix->enabled) && i < msix->num_vectors; i++)
		irq_vector_clear(&msix->vectors[i]);
	msix->function_mask = mask;
	atomic_store(&msix->enabled, enable);
	pci_msix_update(dev);
}

void pci_msix_update(struct pci_device *dev)
{
	for (unsigned i = 0; dev->msix && i < dev->msix->num_vectors; i++)
		vector_update(dev, i);
}

void pci_msix_reset(struct pci_device *dev)
{
	struct pci_msix *msix = dev->msix;

	if (!msix)
		return;
	dev->config[msix->capability + 3] &=
		(uint8_t) ~((CONTROL_ENABLE | CONTROL_FUNCTION_MASK) >> 8);
	pci_msix_control_written(dev);
	memset(msix->table, 0, table_size(msix));
	for (unsigned i = 0; i < msix->num; i++)
		msix->table[i * ENTRY_SIZE + ENTRY_CONTROL] = ENTRY_MASKED;
}

static uint8_t table_read(struct pci_device *dev, uint64_t offset)
{
	return dev->msix->table[offset];
}

static uint8_t pba_read(struct pci_device *dev, uint64_t offset)
{
	struct pci_msix *msix = dev->msix;
	uint8_t bits = 0;

	for (unsigned bit = 0; bit < 8; bit++) {
		uint64_t i = offset * 8 + bit;

		if (i < msix->num_vectors && atomic_load(&msix->enabled) &&
		    !msix->vectors[i].attached && irq_vector_pending(&msix->vectors[i]))
			bits |= (uint8_t)(1u << bit);
	}
	return bits;
}

static void table_write(struct pci_device *dev, uint64_t offset, unsigned len, const uint8_t *data)
{
	struct pci_msix *msix = dev->msix;
	unsigned first = (unsigned)(offset / ENTRY_SIZE),
		 last = (unsigned)((offset + len - 1) / ENTRY_SIZE);

	for (unsigned i = 0; i < len; i++) {
		uint8_t *byte = &msix->table[offset + i],
			mask = entry_writable[(offset + i) % ENTRY_SIZE];

		*byte = (uint8_t)((*byte & ~mask) | (data[i] & mask));
	}
	for (unsigned i = first; i <= last && i < msix->num_vectors; i++)
		vector_update(dev, i);
}

bool pci_msix_access(struct pci_device *dev, unsigned bar, struct bus_access *acc)
{
	struct pci_msix *msix = dev->msix;
	uint8_t (*read)(struct pci_device * dev, uint64_t offset) = NULL;
	uint8_t *data = acc->data;
	uint64_t offset = 0, size = 0;
	unsigned len;

	if (!msix)
		return false;
	if (bar == msix->table_bar &&
	    range_inside(acc->offset, 1, msix->table_offset, table_size(msix))) {
		offset = acc->offset - msix->table_offset;
		size = table_size(msix);
		read = table_read;
	} else if (bar == msix->pba_bar &&
		   range_inside(acc->offset, 1, msix->pba_offset, pba_size(msix))) {
		offset = acc->offset - msix->pba_offset;
		size = pba_size(msix);
		read = pba_read;
	} else {
		return false;
	}
	/* What an access has beyond the end reads 0. */
	len = (unsigned)MIN(acc->len, size - offset);
	pthread_mutex_lock(&dev->mtx);
	if (!acc->write) {
		memset(data, 0, acc->len);
		for (unsigned i = 0; i < len; i++)
			data[i] = read(dev, offset + i);
	} else if (read == table_read) {
		table_write(dev, offset, len, data);
	}
	pthread_mutex_unlock(&dev->mtx);
	return true;
}

void pci_msix_signal(const struct pci_device *dev, unsigned vector)
{
	const struct pci_msix *msix = dev->msix;

	if (msix && vector < msix->num_vectors && atomic_load(&msix->enabled))
		irq_vector_signal(&msix->vectors[vector]);
}

bool pci_msix_enabled(const struct pci_device *dev)
{
	return dev->msix && atomic_load(&dev->msix->enabled);
}

unsigned pci_msix_vectors(const struct pci_device *dev)
{
	return dev->msix ? dev->msix->num : 0;
}

bool pci_msix_has(const struct pci_device *dev, unsigned dword)
{
	return dev->msix && range_inside(dword, 4, dev->msix->capability, 12);
}
