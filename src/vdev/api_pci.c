/* SPDX-License-Identifier: Apache-2.0 */
/* x/pci.h: vdevs that are PCI functions of their own. */
#include "vdev/api.h"

#include <errno.h>

#include "vdev/host.h"

static void master_changed(void *opaque, bool on)
{
	struct vdev_instance *vi = opaque;

	atomic_store(&vi->pci_master, on);
}

int pci_place(const vdev_t *vdp, int *ret_devfn)
{
	uint64_t at = vdp->v_block.location;

	if (at != QSL_NO_LOCATION && QSL_PCI_BUS(at) != 0)
		return qvmx_refuse(vdp, "there is only PCI bus 0");
	*ret_devfn = at == QSL_NO_LOCATION ? PCI_DEVFN_NEXT
					   : PCI_DEVFN((int)QSL_PCI_DEV(at), (int)QSL_PCI_FUNC(at));
	return EOK;
}

const struct conf_pos *vdev_host_function_pos(const struct vdev_host *host, const char *name)
{
	const struct vdev_instance *vi = host->first;

	while (vi && vi->label != name)
		vi = vi->next;
	if (!vi)
		return NULL;
	return vi->conf->has_loc ? &vi->conf->loc.pos : &vi->conf->pos;
}

static int pci_taken(const vdev_t *vdp)
{
	const struct vdev_host *host = vdev_instance_of(vdp)->host;
	uint64_t at = vdp->v_block.location;
	const char *owner =
		pci_place_owner(host->pci, PCI_DEVFN((int)QSL_PCI_DEV(at), (int)QSL_PCI_FUNC(at)));
	const struct conf_pos *pos = vdev_host_function_pos(host, owner);
	int err = qvmx_refuse(vdp, "that PCI place is taken by %s", owner);

	if (pos)
		conf_note(host->conf, pos, "%s is here", owner);
	return err;
}

int pci_answer(const vdev_t *vdp, int rc)
{
	switch (rc) {
	case -EEXIST:
		return pci_taken(vdp);
	case -ENOSPC:
		return qvmx_refuse(vdp, "all 31 device numbers of PCI bus 0 are in use");
	default:
		return -rc;
	}
}

int qvmx_pci_function(vdev_t *vdp, const struct qvmx_pci_info *info)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	int devfn = PCI_DEVFN_NEXT, err;

	if (info->size != sizeof(*info))
		return qvmx_refuse(vdp, "its PCI description is of another version");
	if (vi->pci)
		return qvmx_refuse(vdp, "it is a PCI function already");
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
	int rc = pci_device_add(vi->host->pci, &pci, &vi->pci);

	if (!rc)
		pci_master_watch(vi->pci, master_changed, vi);
	return rc == -EINVAL ? qvmx_refuse(vdp, "there is no such PCI place") : pci_answer(vdp, rc);
}

/* The widths that reach a vdev are the same wherever it lies. */
static enum bus_result bar_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	const struct vdev_instance *vi = opaque;

	if (!(vi->vdev.v_factory->acc_sizes & (1u << acc->len)))
		return BUS_NOT_FOUND;
	return vdev_access(opaque, cookie, acc);
}

/* What came of declaring a part of the function. */
static int declared(const vdev_t *vdp, const char *what, int rc)
{
	switch (rc) {
	case 0:
		return EOK;
	case -EEXIST:
		return qvmx_refuse(vdp, "its %s: there is one already", what);
	case -ENOSPC:
		return qvmx_refuse(vdp, "its %s: the configuration space is full", what);
	case -EBUSY:
		return qvmx_refuse(vdp, "its %s: too late, the functions have their places", what);
	default:
		return -rc;
	}
}

/* Parts come after the function. Nothing that a guest does gets here. */
static struct pci_device *function_of(const vdev_t *vdp, const char *what)
{
	struct pci_device *dev = vdev_instance_of(vdp)->pci;

	if (!dev)
		(void)qvmx_refuse(vdp, "its %s: qvmx_pci_function comes first", what);
	return dev;
}

/* What of a BAR that the function does not take is wrong. */
static int bar_refuse(const vdev_t *vdp, unsigned bar, enum qvmx_pci_bar_type type, uint64_t size)
{
	if (type != QVMX_PCI_BAR_MEM32 && type != QVMX_PCI_BAR_MEM64)
		return qvmx_refuse(vdp, "its BAR %u: there is no type %u", bar, (unsigned)type);
	if (bar >= PCI_ROM)
		return qvmx_refuse(vdp, "its BAR %u: the numbers are 0 to 5", bar);
	if (type == QVMX_PCI_BAR_MEM64 && bar + 1 == PCI_ROM)
		return qvmx_refuse(vdp, "its BAR %u: one of 64 bits takes the next number, too",
				   bar);
	return qvmx_refuse(vdp,
			   "its BAR %u: a size of %llu bytes is no power of two from 16 on, or too "
			   "large for its type",
			   bar, (unsigned long long)size);
}

int qvmx_pci_bar(vdev_t *vdp, unsigned bar, enum qvmx_pci_bar_type type, uint64_t size,
		 unsigned cookie)
{
	static const enum pci_bar_type types[] = {
		[QVMX_PCI_BAR_MEM32] = PCI_BAR_MEM32,
		[QVMX_PCI_BAR_MEM64] = PCI_BAR_MEM64,
	};
	struct vdev_instance *vi = vdev_instance_of(vdp);
	const struct vdev_factory *f = vdp->v_factory;
	struct pci_device *dev = function_of(vdp, "BAR");

	if (!dev)
		return EINVAL;
	if (!f->acc_sizes && (f->vread || f->vwrite))
		return qvmx_refuse(vdp,
				   "its BAR %u: acc_sizes of its factory is 0, which lets no "
				   "access through; 1u << 4 lets those of 4 bytes",
				   bar);
	const struct pci_bar_info info = {
		.type = (unsigned)type < ARRAY_LEN(types) ? types[type] : PCI_BAR_NONE,
		.size = size,
		.handler = bar_access,
		.opaque = vi,
		.cookie = cookie,
	};

	int rc = pci_bar_add(dev, bar, &info);

	return rc == -EINVAL ? bar_refuse(vdp, bar, type, size) : declared(vdp, "BAR", rc);
}

int qvmx_pci_capability(vdev_t *vdp, unsigned id, const void *body, const void *write_mask,
			unsigned len, unsigned *ret_offset)
{
	struct pci_device *dev = function_of(vdp, "capability");

	if (!dev)
		return EINVAL;
	const struct pci_capability_info info = {
		.id = (uint8_t)id,
		.len = len,
		.body = body,
		.write_mask = write_mask,
	};

	if (id > UINT8_MAX)
		return qvmx_refuse(vdp, "its capability: the ids are 0 to 255, not %u", id);
	int rc = pci_capability_add(dev, &info, ret_offset);

	return rc == -EINVAL ? qvmx_refuse(vdp, "its capability: 2 to 62 bytes, not %u", len)
			     : declared(vdp, "capability", rc);
}

int qvmx_pci_msix(vdev_t *vdp, unsigned num, unsigned bar, uint32_t table_offset,
		  uint32_t pba_offset)
{
	struct pci_device *dev = function_of(vdp, "MSI-X table");

	if (!dev)
		return EINVAL;
	if (!num || num > PCI_MAX_MSIX_VECTORS)
		return qvmx_refuse(vdp, "its MSI-X table: 1 to %u vectors, not %u",
				   (unsigned)PCI_MAX_MSIX_VECTORS, num);
	int rc = pci_msix_add(dev, num, bar, table_offset, bar, pba_offset);

	return rc == -EINVAL
		       ? qvmx_refuse(vdp,
				     "its MSI-X table: table (0x%x) and pending bits (0x%x) lie at "
				     "multiples of 8, one beside the other, inside a memory BAR "
				     "that is declared before; BAR %u has no such room",
				     table_offset, pba_offset, bar)
		       : declared(vdp, "MSI-X table", rc);
}

int qvmx_pci_pin(vdev_t *vdp)
{
	struct pci_device *dev = function_of(vdp, "interrupt pin");

	return dev ? declared(vdp, "interrupt pin", pci_pin_add(dev)) : EINVAL;
}

void qvmx_pci_interrupt(vdev_t *vdp, unsigned vector)
{
	struct pci_device *dev = vdev_instance_of(vdp)->pci;

	if (dev)
		pci_msix_signal(dev, vector);
}

void qvmx_pci_pin_set(vdev_t *vdp, int level)
{
	struct pci_device *dev = vdev_instance_of(vdp)->pci;

	if (dev)
		pci_intx_set(dev, level != 0);
}

int qvmx_pci_pin_gsi(const vdev_t *vdp)
{
	const struct pci_device *dev = vdev_instance_of(vdp)->pci;

	return dev ? pci_pin_gsi(dev) : -1;
}

int qvmx_pci_msix_is_on(const vdev_t *vdp)
{
	const struct pci_device *dev = vdev_instance_of(vdp)->pci;

	return dev && pci_msix_enabled(dev);
}

int qvmx_pci_is_master(const vdev_t *vdp)
{
	return atomic_load(&vdev_instance_of(vdp)->pci_master);
}
