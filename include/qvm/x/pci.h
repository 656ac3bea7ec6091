/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/pci: a vdev that is a PCI function of its own and no VirtIO device. The core keeps its
 * configuration space, its BARs, its capabilities and its MSI-X table; the vdev declares them in
 * VDEV_CTRL_PCI_BARS, first the function, and sees accesses to the registers in its BARs only.
 * Ours, not part of the documented API.
 */
#ifndef QVM_X_PCI_H
#define QVM_X_PCI_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

struct qvmx_pci_info {
	unsigned size; /* sizeof(struct qvmx_pci_info): fields are only appended */
	uint16_t vendor, device, subsystem_vendor, subsystem_device;
	uint32_t class_code; /* class << 16 | subclass << 8 | interface */
	uint8_t revision;
};

/*
 * Be a function of PCI bus 0: at v_block's place (`loc pci:BUS:DEV.FUNC`), else at the next free
 * device number. In VDEV_CTRL_PCI_BARS, once. info is copied. Returns EOK, ENOMEM, or EINVAL after
 * it was reported: a place that is taken or is not there, no device number left, another size.
 */
int qvmx_pci_function(vdev_t *vdp, const struct qvmx_pci_info *info);

enum qvmx_pci_bar_type {
	QVMX_PCI_BAR_MEM32 = 1, /* below 4 GiB */
	QVMX_PCI_BAR_MEM64,	/* takes this number and the next */
};

/*
 * BAR number `bar` (0 to 5): size bytes of memory, a power of two from 16 on. Accesses arrive in
 * vread and vwrite with this cookie and offsets from the BAR's start, wherever the guest has put
 * it, and of the widths in acc_sizes. There are no BARs of ports: the machine has no PCI window for
 * them. In VDEV_CTRL_PCI_BARS. Returns EOK, ENOMEM, or EINVAL after it was reported.
 */
int qvmx_pci_bar(vdev_t *vdp, unsigned bar, enum qvmx_pci_bar_type type, uint64_t size,
		 unsigned cookie);

/*
 * A capability with this id. body: the len bytes (2 to 62) behind id and next pointer, copied.
 * Bits that are set in write_mask (len bytes; NULL: none) may be written by the guest; they mean
 * nothing to the core. *ret_offset (may be NULL): where it stands in configuration space. In
 * VDEV_CTRL_PCI_BARS. Returns EOK, or EINVAL after it was reported.
 */
int qvmx_pci_capability(vdev_t *vdp, unsigned id, const void *body, const void *write_mask,
			unsigned len, unsigned *ret_offset);

/*
 * num MSI-X vectors (1 to 2048). Their table (16 bytes each) and their pending bits (8 bytes for 64
 * of them) lie at these offsets, multiples of 8, of memory BAR `bar`, which was declared before;
 * accesses there never reach the vdev. In VDEV_CTRL_PCI_BARS, once. Returns EOK, ENOMEM, or EINVAL
 * after it was reported.
 */
int qvmx_pci_msix(vdev_t *vdp, unsigned num, unsigned bar, uint32_t table_offset,
		  uint32_t pba_offset);

/*
 * The function has an interrupt pin, for guests that do not use MSI-X. In VDEV_CTRL_PCI_BARS, once.
 * In a VM without an interrupt controller it leads nowhere. Returns EOK, or EINVAL after it was
 * reported.
 */
int qvmx_pci_pin(vdev_t *vdp);

/*
 * Send MSI-X vector `vector`. Nothing happens while the guest has MSI-X off, nor with a vector that
 * qvmx_pci_msix did not declare; while the vector is masked it becomes pending. Running stage, any
 * thread, takes no lock.
 */
void qvmx_pci_interrupt(vdev_t *vdp, unsigned vector);

/* The pin asks for an interrupt, until it is set to 0. Nothing happens while the guest has MSI-X
 * on. Running stage, any thread. */
void qvmx_pci_pin_set(vdev_t *vdp, int level);

/* The line of the pin as the guest's tables number it (GSI), or -1: it leads nowhere. Running
 * stage.
 */
int qvmx_pci_pin_gsi(const vdev_t *vdp);

/* 1: the guest has MSI-X on. Running stage, any thread. */
int qvmx_pci_msix_is_on(const vdev_t *vdp);

/*
 * 1: the guest lets the function be bus master. While it does not, the vdev reads and writes no
 * guest memory of its own accord. Running stage, any thread.
 */
int qvmx_pci_is_master(const vdev_t *vdp);

#ifdef __cplusplus
}
#endif

#endif
