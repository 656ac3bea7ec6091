/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev timer8254: the interval timer at ports 0x40 to 0x43 and its gate and speaker bits at port
 * 0x61, modelled by KVM. Its interrupt is pin 0 of the VM's interrupt machine.
 */
#include <qvm/x/conf.h>
#include <qvm/x/model.h>

#define DEFAULT_PORT 0x40
#define NUM_PORTS    4

static int timer8254_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	(void)arg;
	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_X86_IO,
			.location = DEFAULT_PORT,
			.length = NUM_PORTS,
		};
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		vdp->v_block.length = NUM_PORTS;
		return EOK;
	case VDEV_CTRL_ASSIGN:
		return qvmx_model_use(vdp, QVMX_CHIP_8254);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = timer8254_control,
	.factory_flags = VFF_VDEV_X86_IO,
	.acc_sizes = 1u << 1,
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.flags = QVMX_VDEV_ACCEL,
	.summary = "8254 interval timer",
};

static void __attribute__((constructor)) timer8254_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
