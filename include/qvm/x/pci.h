/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/pci: a vdev that is a PCI function of its own and no VirtIO device. The core keeps its
 * configuration space. BARs, capabilities and interrupts of such functions are not built yet. Ours,
 * not part of the documented API.
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

#ifdef __cplusplus
}
#endif

#endif
