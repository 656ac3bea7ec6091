/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modern PCI transport: one function of a virtual PCI bus in front of a struct virtio_device.
 *
 * BAR 0 (32-bit) holds the common configuration, the interrupt status, the device configuration and
 * the doorbells, each in a 4 KiB page of its own; BAR 1 holds the MSI-X table. Accesses to BAR 0 go
 * to the owner's handler (where a vdev's vread and vwrite are called), which passes them on to
 * virtio_pci_read and virtio_pci_write. Made in the start-up stage after the device's queues are
 * declared, before pci_bus_place; freed by the owner before the device, after pci_bus_destroy. The
 * rest runs on vCPU threads, several at once.
 */
#ifndef VIRTIO_PCI_H
#define VIRTIO_PCI_H

#include <stdint.h>
#include "base/util.h"
#include "bus/bus.h"
#include "pci/pci.h"
#include "virtio/device.h"

struct virtio_pci;

struct virtio_pci_info {
	const char *name;	   /* for messages; outlives the bus */
	int devfn;		   /* as in struct pci_device_info */
	uint16_t subsystem_vendor; /* 0: VIO_VENDOR_ID */
	uint32_t class_code;
	bus_handler_fn *handler; /* of BAR 0; called for accesses through the PCI_CFG capability too
				    (gcp NULL) */
	void *opaque;
	unsigned cookie;
};

/* Where things are in BAR 0. */
enum {
	VIRTIO_PCI_COMMON = 0x0000,
	VIRTIO_PCI_ISR = 0x1000,
	VIRTIO_PCI_DEVICE = 0x2000,
	VIRTIO_PCI_NOTIFY = 0x3000,
	VIRTIO_PCI_BAR_SIZE = 0x4000,
	VIRTIO_PCI_NOTIFY_MULTIPLIER = 4,
};

/* Errors of pci_device_add and of the other functions of pci/pci.h. */
int virtio_pci_create(struct pci_bus *pb, struct virtio_device *vd,
		      const struct virtio_pci_info *info, struct virtio_pci **ret_vp) MUST_CHECK;
void virtio_pci_destroy(struct virtio_pci *vp);
struct pci_device *virtio_pci_device(struct virtio_pci *vp);

/*
 * An access of len bytes (1 to 8) at offset of BAR 0. Return VIOREF_*. *ret_value: what is read, 0
 * with VIOREF_DEVCFG (whose detail is the offset in the device configuration; the owner gives the
 * value).
 */
unsigned virtio_pci_read(struct virtio_pci *vp, uint64_t offset, unsigned len, uint64_t *ret_value);
unsigned virtio_pci_write(struct virtio_pci *vp, uint64_t offset, unsigned len, uint64_t value);

#endif
