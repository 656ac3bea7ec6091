/* SPDX-License-Identifier: Apache-2.0 */
#include "vdev/implicit/platform.h"

int platform_host_bridge_add(struct pci_bus *pci)
{
	static const struct pci_device_info bridge = {
		.name = "the PCI host bridge",
		.devfn = PCI_DEVFN(0, 0),
		.vendor = 0x1c05,
		.device = 0x0002,
		.subsystem_vendor = 0x1c05,
		.subsystem_device = 0x0002,
		.class_code = 0x060000,
	};
	struct pci_device *dev;

	return pci_device_add(pci, &bridge, &dev);
}
