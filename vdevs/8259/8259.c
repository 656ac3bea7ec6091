/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev 8259: one of the two legacy interrupt controllers, modelled by KVM. It is there because
 * guests look for it; no vdev may use it as its interrupt controller (that is what ioapic is for).
 */
#include <qvm/x/conf.h>
#include <qvm/x/model.h>

#define NUM_PORTS 2

static int control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	(void)arg;
	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_X86_IO,
			.location = QSL_NO_LOCATION,
			.length = NUM_PORTS,
		};
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		if (vdp->v_block.location == QSL_NO_LOCATION)
			return qvmx_refuse(vdp, "it needs a place: 'loc 0x20' or 'loc 0xa0'");
		vdp->v_block.length = NUM_PORTS;
		return EOK;
	case VDEV_CTRL_ASSIGN:
		return qvmx_model_use(vdp, QVMX_CHIP_8259);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = control,
	.factory_flags = VFF_VDEV_X86_IO | VFF_INTR_NO,
	.acc_sizes = 1u << 1,
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.flags = QVMX_VDEV_ACCEL,
	.summary = "legacy interrupt controller (not usable by vdevs)",
};

static void __attribute__((constructor)) register_8259(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
