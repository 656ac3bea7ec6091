/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev pciparts, for tests: a PCI function with one of everything that x/pci.h has. Each BAR is a
 * word: BAR 0 and 4 below 4 GiB, BAR 2 of 64 bits; BAR 1 holds the MSI-X
 * table. A write to BAR 0 sends that MSI-X vector, one to BAR 2 sets the pin to its lowest bit; BAR
 * 4 reads as bit 0: MSI-X is on, bit 1: bus master. `mistake N` declares something that cannot be.
 * `vdev pcilined` is the same with an `intr` that it must be given.
 */
#include <errno.h>
#include <qvm/guest.h>
#include <qvm/x/conf.h>
#include <qvm/x/pci.h>
#include <qvm/x/region.h>

enum { COOKIE_VECTOR = 7, COOKIE_PIN, COOKIE_STATE };
#ifdef LINED
#define INTERRUPT VFF_INTR_REQ
#else
#define INTERRUPT VFF_INTR_NO
#endif

enum { VENDOR_SPECIFIC = 9, NUM_VECTORS = 3, TABLE_AT = 0, PENDING_AT = 0x800 };

struct parts {
	unsigned mistake;
	uint32_t words[2];
};

static const struct qvmx_option options[] = {
	{ .name = "mistake", .type = QVMX_OPT_NUMBER, .max = 20, .help = "what it does wrong" },
};

static vdev_ref_status_t parts_vread(vdev_t *vdp, unsigned cookie,
				     const struct qvm_state_block *vopnd,
				     const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct parts *p = vdp->v_device;
	uint32_t value = (uint32_t)(qvmx_pci_msix_is_on(vdp) | qvmx_pci_is_master(vdp) << 1);

	(void)vopnd;
	if (cookie != COOKIE_STATE)
		value = p->words[cookie - COOKIE_VECTOR];
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

static vdev_ref_status_t parts_vwrite(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct parts *p = vdp->v_device;
	uint32_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	(void)vopnd;
	if (err != EOK || cookie == COOKIE_STATE)
		return guest_cpu_to_vrs(err);
	p->words[cookie - COOKIE_VECTOR] = value;
	if (cookie == COOKIE_VECTOR)
		qvmx_pci_interrupt(vdp, value);
	else
		qvmx_pci_pin_set(vdp, value & 1);
	return VRS_NORMAL;
}

static struct vdev_factory factory;

static int without_sizes(vdev_t *vdp)
{
	unsigned sizes = factory.acc_sizes;

	factory.acc_sizes = 0;
	int err = qvmx_pci_bar(vdp, 5, QVMX_PCI_BAR_MEM32, 16, 0);

	factory.acc_sizes = sizes;
	return err;
}

static int mistake(vdev_t *vdp, unsigned number)
{
	static const uint8_t body[64];
	/* In RAM. */
	const struct gasp_region region = {
		.grf_flags = GRF_VIRT_RD,
		.vdev = vdp,
		.guest = { .location = 0x1000, .length = 0x1000, .qst_type = QST_MEMORY },
	};
	uint64_t resolution;

	switch (number) {
	case 1:
		return qvmx_pci_bar(vdp, 0, QVMX_PCI_BAR_MEM32, 16, 0);
	case 2:
		return qvmx_pci_bar(vdp, 3, QVMX_PCI_BAR_MEM32, 16, 0);
	case 3:
		return qvmx_pci_bar(vdp, 6, QVMX_PCI_BAR_MEM32, 16, 0);
	case 4:
		return qvmx_pci_bar(vdp, 5, QVMX_PCI_BAR_MEM64, 16, 0);
	case 5:
		return qvmx_pci_bar(vdp, 5, QVMX_PCI_BAR_MEM32, 24, 0);
	case 6:
		return qvmx_pci_bar(vdp, 5, QVMX_PCI_BAR_MEM32, 8, 0);
	case 7:
		return qvmx_pci_bar(vdp, 5, (enum qvmx_pci_bar_type)9, 16, 0);
	case 8:
		return qvmx_pci_msix(vdp, 1, 1, 0, 0x800);
	case 9:
		return qvmx_pci_capability(vdp, 256, body, NULL, 2, NULL);
	case 10:
		return qvmx_pci_capability(vdp, 9, body, NULL, 63, NULL);
	case 11:
		for (unsigned i = 0; i < 64; i++)
			if (qvmx_pci_capability(vdp, 9, body, NULL, 30, NULL) != EOK)
				return EINVAL;
		return EOK;
	case 12:
		return qvmx_pci_function(
			vdp, &(struct qvmx_pci_info){ .size = sizeof(struct qvmx_pci_info) });
	case 13:
		return without_sizes(vdp);
	case 14:
		return guest_timer_create(NULL, vdp, NULL, &resolution) ? EOK : (int)resolution;
	case 15:
		return gasp_region_set(1, &region) == 1 ? EOK : errno;
	case 16:
		return qvmx_region_add(vdp, &region.guest, 1);
	default:
		return EOK;
	}
}

static int parts_declare(vdev_t *vdp)
{
	static const struct qvmx_pci_info info = {
		.size = sizeof(info), .vendor = 0x1234, .device = 0x5678, .class_code = 0xff0000
	};
	static const uint8_t body[4] = { 1, 2, 3, 4 }, mask[4] = { 0, 0xff };
	const struct parts *p = vdp->v_device;
	unsigned at = 0;

	if (p->mistake == 18) /* all the messages that there can be */
		return qvmx_pci_function(vdp, &info) == EOK &&
				       qvmx_pci_bar(vdp, 0, QVMX_PCI_BAR_MEM32, 65536, 0) == EOK
			       ? qvmx_pci_msix(vdp, 2048, 0, 0, 32768)
			       : EINVAL;
	if (p->mistake == 20)
		return qvmx_pci_pin(vdp);
	if (p->mistake == 19)
		return EOK;
	if (qvmx_pci_function(vdp, &info) != EOK ||
	    qvmx_pci_bar(vdp, 0, QVMX_PCI_BAR_MEM32, 16, COOKIE_VECTOR) != EOK ||
	    qvmx_pci_bar(vdp, 1, QVMX_PCI_BAR_MEM32, 4096, 0) != EOK ||
	    qvmx_pci_bar(vdp, 2, QVMX_PCI_BAR_MEM64, 16, COOKIE_PIN) != EOK ||
	    qvmx_pci_bar(vdp, 4, QVMX_PCI_BAR_MEM32, 16, COOKIE_STATE) != EOK ||
	    qvmx_pci_capability(vdp, VENDOR_SPECIFIC, body, mask, sizeof(body), &at) != EOK ||
	    qvmx_pci_msix(vdp, NUM_VECTORS, 1, TABLE_AT, PENDING_AT) != EOK ||
	    qvmx_pci_pin(vdp) != EOK)
		return EINVAL;
	if (!at)
		return qvmx_refuse(vdp, "its capability has no offset");
	return mistake(vdp, p->mistake);
}

static int parts_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct parts *p = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_FIRST_OPTIDX:
		p->mistake = (unsigned)qvmx_option_value(&options[0], arg);
		return EOK;
	case VDEV_CTRL_PCI_BARS:
		return parts_declare(vdp);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = parts_control,
	.vread = parts_vread,
	.vwrite = parts_vwrite,
	.factory_flags = VFF_VDEV_PCI | INTERRUPT,
	.acc_sizes = 1u << 4,
	.extra_space = sizeof(struct parts),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.num_options = 1,
	.summary = "PCI function with one of everything",
	.options = options,
};

static void __attribute__((constructor)) parts_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
