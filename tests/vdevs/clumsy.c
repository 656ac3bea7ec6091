/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev clumsy, for tests: a VirtIO device that uses the API wrongly. `mistake WORD` says how; what
 * comes back ends the start in the sentence "was answered ...".
 */
#include <errno.h>
#include <string.h>
#include <qvm/guest.h>
#include <qvm/vio.h>
#include <qvm/x/conf.h>
#include <qvm/x/pci.h>
#include <qvm/x/queue.h>
#include <virtio.h>

struct clumsy {
	struct vio_state vio;
	const char *mistake;
};

static void kick(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	(void)vdp, (void)queue, (void)q;
}

static vdev_ref_status_t executed(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
				  unsigned qualifier)
{
	(void)vdp, (void)gcp, (void)git, (void)qualifier;
	return VRS_CONTINUE;
}

static vdev_ref_status_t clumsy_vread(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct clumsy *c = vdp->v_device;

	return qvmx_vio_status(vio_read(&c->vio, cookie, vopnd, oopnd, gcp));
}

static vdev_ref_status_t clumsy_vwrite(vdev_t *vdp, unsigned cookie,
				       const struct qvm_state_block *vopnd,
				       const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct clumsy *c = vdp->v_device;

	return qvmx_vio_status(vio_write(&c->vio, cookie, vopnd, oopnd, gcp));
}

static int options_end(vdev_t *vdp, struct clumsy *c)
{
	static const struct vio_description desc = { .device_type = VIRTIO_DT_ENTROPY,
						     .pci_class = PCI_CLASS_UNKNOWN,
						     .num_queues = 1 };
	static const struct qvmx_queue_ops ops = { .size = sizeof(ops), .kick = kick };
	guest_intr_t own = { .pic = vdp };
	char text[32];

	vio_init(vdp, VIOVER_100, &desc, &c->vio);
	if (!strcmp(c->mistake, "device"))
		vio_init(vdp, VIOVER_100, &desc, &c->vio);
	int err = vio_init_queue(&c->vio, 0, 64);

	if (err != EOK)
		return err;
	if (!strcmp(c->mistake, "queue"))
		qvmx_queue_serve(&c->vio, 1, &ops);
	if (!strcmp(c->mistake, "far"))
		qvmx_queue_serve(&c->vio, 100000, &ops);
	if (!strcmp(c->mistake, "controller")) {
		guest_intr_string(&own, text, sizeof(text));
		return qvmx_refuse(vdp, "was answered %u and %s", guest_intr_num_pins(&own), text);
	}
	if (!strcmp(c->mistake, "instruction"))
		return qvmx_refuse(
			vdp, "was answered %d",
			guest_instr_register(vdp, (guest_instr_type_t)0x77, 0, executed));
	return EOK;
}

static int clumsy_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct clumsy *c = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		c->mistake = "";
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX:
		c->mistake = arg;
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp, c);
	case VDEV_CTRL_PCI_BARS:
		if (!strcmp(c->mistake, "bars"))
			(void)vio_ctrl_pci_bars(&c->vio, arg);
		return vio_ctrl_pci_bars(&c->vio, arg);
	case VDEV_CTRL_GUEST_CONFIGURED:
		if (strcmp(c->mistake, "function"))
			return EOK;
		qvmx_pci_interrupt(vdp, 0);
		qvmx_pci_pin_set(vdp, 1);
		return qvmx_refuse(vdp, "was answered %d and %d", qvmx_pci_pin_gsi(vdp),
				   qvmx_pci_msix_is_on(vdp));
	default:
		return EOK;
	}
}

static const char *const options[] = { "mistake", NULL };

static struct vdev_factory factory = {
	.control = clumsy_control,
	.vread = clumsy_vread,
	.vwrite = clumsy_vwrite,
	.option_list = options,
	.factory_flags = VFF_VDEV_PCI,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct clumsy),
};

static void __attribute__((constructor)) clumsy_register(void)
{
	vdev_register_factory(&factory, QVM_VDEV_ABI);
}
