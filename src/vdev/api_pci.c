/* SPDX-License-Identifier: Apache-2.0 */
/* x/pci.h: vdevs that are PCI functions of their own. */
#include "vdev/api.h"

#include <errno.h>

#include "vdev/host.h"

int qvmx_pci_function(vdev_t *vdp, const struct qvmx_pci_info *info)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	uint64_t at = vdp->v_block.location;
	struct pci_device *dev;

	if (info->size != sizeof(*info))
		return qvmx_refuse(vdp, "its PCI description is of another version");
	if (at != QSL_NO_LOCATION && QSL_PCI_BUS(at) != 0)
		return qvmx_refuse(vdp, "there is only PCI bus 0");
	const struct pci_device_info pci = {
		.name = vi->label,
		.devfn = at == QSL_NO_LOCATION
				 ? PCI_DEVFN_NEXT
				 : PCI_DEVFN((int)QSL_PCI_DEV(at), (int)QSL_PCI_FUNC(at)),
		.vendor = info->vendor,
		.device = info->device,
		.subsystem_vendor = info->subsystem_vendor,
		.subsystem_device = info->subsystem_device,
		.class_code = info->class_code,
		.revision = info->revision,
	};

	switch (pci_device_add(vi->host->pci, &pci, &dev)) {
	case 0:
		return EOK;
	case -ENOMEM:
		return ENOMEM;
	case -EEXIST:
		return qvmx_refuse(vdp, "that PCI place is taken");
	case -ENOSPC:
		return qvmx_refuse(vdp, "all 31 device numbers of PCI bus 0 are in use");
	default:
		return qvmx_refuse(vdp, "there is no such PCI place");
	}
}
