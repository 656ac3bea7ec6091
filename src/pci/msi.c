/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI: one address and a run of data values, no table. A message is an eventfd of src/irq, attached
 * to the engine while MSI is on and the function is bus master.
 */
#include "pci/internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
	CONTROL = 2,
	CONTROL_ENABLE = 0x1,
	CONTROL_CAPABLE_SHIFT = 1,
	CONTROL_ORDER_SHIFT = 4,
	CONTROL_ORDER = 7 << CONTROL_ORDER_SHIFT,
	CONTROL_WIDE = 0x80,
	ADDRESS = 4,
	ADDRESS_HIGH = 8,
	DATA = 8,
	DATA_WIDE = 12,
	LEN = 10,
	LEN_WIDE = 14
};

int pci_msi_add(struct pci_device *dev, unsigned order, bool wide)
{
	const unsigned data = wide ? DATA_WIDE : DATA;
	uint8_t cap[LEN_WIDE] = { 0 }, mask[LEN_WIDE] = { 0 };
	const struct pci_capability_info info = { .id = PCI_CAP_MSI,
						  .len = (wide ? LEN_WIDE : LEN) - CONTROL,
						  .body = cap + CONTROL,
						  .write_mask = mask + CONTROL };

	if (dev->msi)
		return -EEXIST;
	if (order > PCI_MAX_MSI_ORDER)
		return -EINVAL;
	struct pci_msi *msi = calloc(1, sizeof(*msi));

	if (!msi)
		return -ENOMEM;
	msi->order = order;
	msi->wide = wide;
	pci_put16(cap + CONTROL,
		  (uint16_t)(order << CONTROL_CAPABLE_SHIFT | (wide ? CONTROL_WIDE : 0)));
	pci_put16(mask + CONTROL, CONTROL_ENABLE | CONTROL_ORDER);
	pci_put32(mask + ADDRESS, ~UINT32_C(3));
	if (wide)
		pci_put32(mask + ADDRESS_HIGH, UINT32_MAX);
	pci_put16(mask + data, UINT16_MAX);
	int rc = pci_capability_add(dev, &info, &msi->capability);

	if (rc) {
		free(msi);
		return rc;
	}
	dev->msi = msi;
	return 0;
}

int pci_msi_attach(struct pci_device *dev, struct irq *irq)
{
	struct pci_msi *msi = dev->msi;

	while (msi && msi->num_vectors < 1u << msi->order) {
		int rc = irq_vector_create(irq, dev->devfn, &msi->vectors[msi->num_vectors]);

		if (rc < 0)
			return rc;
		msi->num_vectors++;
	}
	return 0;
}

void pci_msi_free(struct pci_device *dev)
{
	struct pci_msi *msi = dev->msi;

	if (!msi)
		return;
	while (msi->num_vectors)
		irq_vector_destroy(dev->bus->irq, &msi->vectors[--msi->num_vectors]);
	free(msi);
	dev->msi = NULL;
}

/* What the engine does not take is lost, as a message to nowhere. */
void pci_msi_update(struct pci_device *dev)
{
	struct pci_msi *msi = dev->msi;
	struct irq *irq = dev->bus->irq;

	if (!msi)
		return;
	const uint8_t *cap = dev->config + msi->capability;
	const uint16_t control = pci_get16(cap + CONTROL);
	const bool enable = control & CONTROL_ENABLE;
	const unsigned num =
		1u << MIN((unsigned)(control & CONTROL_ORDER) >> CONTROL_ORDER_SHIFT, msi->order);
	uint64_t addr = pci_get32(cap + ADDRESS);
	uint32_t data = pci_get16(cap + (msi->wide ? DATA_WIDE : DATA));

	if (msi->wide)
		addr |= (uint64_t)pci_get32(cap + ADDRESS_HIGH) << 32;
	for (unsigned i = 0; i < msi->num_vectors; i++) {
		struct irq_vector *vector = &msi->vectors[i];
		bool on = enable && i < num && atomic_load(&dev->master);

		if (enable && !atomic_load(&msi->enabled))
			irq_vector_clear(vector);
		if (on)
			on = !irq_vector_route(irq, vector, addr, (data & ~(num - 1)) | i);
		(void)irq_vector_attach(irq, vector, on);
	}
	atomic_store(&msi->num, num);
	atomic_store(&msi->enabled, enable);
}

void pci_msi_reset(struct pci_device *dev)
{
	if (!dev->msi)
		return;
	pci_put16(dev->config + dev->msi->capability + CONTROL,
		  pci_get16(dev->config + dev->msi->capability + CONTROL) &
			  (uint16_t) ~(CONTROL_ENABLE | CONTROL_ORDER));
	pci_msi_update(dev);
}

bool pci_msi_enabled(const struct pci_device *dev)
{
	return dev->msi && atomic_load(&dev->msi->enabled);
}

bool pci_msi_has(const struct pci_device *dev, unsigned dword)
{
	return dev->msi && range_inside(dword, 4, dev->msi->capability,
					align_up(dev->msi->wide ? LEN_WIDE : LEN, 4));
}

enum pci_messages pci_messages_now(struct pci_device *dev, unsigned *ret_num)
{
	if (pci_msix_enabled(dev)) {
		*ret_num = pci_msix_vectors(dev);
		return PCI_MESSAGES_MSIX;
	}
	*ret_num = pci_msi_enabled(dev) ? atomic_load(&dev->msi->num) : 0;
	return *ret_num ? PCI_MESSAGES_MSI : PCI_MESSAGES_NONE;
}

int pci_message_fd(const struct pci_device *dev, enum pci_messages kind, unsigned i)
{
	return kind == PCI_MESSAGES_MSIX ? dev->msix->vectors[i].fd : dev->msi->vectors[i].fd;
}
