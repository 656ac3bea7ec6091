/* SPDX-License-Identifier: Apache-2.0 */
/* x/pci.h: vdevs that are PCI functions of their own. */
#include "vdev/api.h"

#include <errno.h>

#include "vdev/host.h"

int pci_place(const vdev_t *vdp, int *ret_devfn)
{
	uint64_t at = vdp->v_block.location;

	if (at != QSL_NO_LOCATION && QSL_PCI_BUS(at) != 0)
		return qvmx_refuse(vdp, "there is only PCI bus 0");
	*ret_devfn = at == QSL_NO_LOCATION ? PCI_DEVFN_NEXT
					   : PCI_DEVFN((int)QSL_PCI_DEV(at), (int)QSL_PCI_FUNC(at));
	return EOK;
}

int pci_answer(const vdev_t *vdp, int rc)
{
	switch (rc) {
	case -EEXIST:
		return qvmx_refuse(vdp, "that PCI place is taken");
	case -ENOSPC:
		return qvmx_refuse(vdp, "all 31 device numbers of PCI bus 0 are in use");
	default:
		return -rc;
	}
}

int qvmx_pci_function(vdev_t *vdp, const struct qvmx_pci_info *info)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	struct pci_device *dev;
	int devfn = PCI_DEVFN_NEXT, err;

	if (info->size != sizeof(*info))
		return qvmx_refuse(vdp, "its PCI description is of another version");
	err = pci_place(vdp, &devfn);
	if (err != EOK)
		return err;
	const struct pci_device_info pci = {
		.name = vi->label,
		.devfn = devfn,
		.vendor = info->vendor,
		.device = info->device,
		.subsystem_vendor = info->subsystem_vendor,
		.subsystem_device = info->subsystem_device,
		.class_code = info->class_code,
		.revision = info->revision,
	};
	int rc = pci_device_add(vi->host->pci, &pci, &dev);

	return rc == -EINVAL ? qvmx_refuse(vdp, "there is no such PCI place") : pci_answer(vdp, rc);
}
