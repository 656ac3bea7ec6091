/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev debugcon, for tests: the byte port to which firmware made for QEMU writes what it does. It
 * reads as 0xe9, by which such firmware knows it; what is written goes to the VM's standard error.
 * Built outside of the tree's build, from the public headers alone.
 */
#include <errno.h>
#include <unistd.h>
#include <qvm/guest.h>

#define DEFAULT_PORT 0x402
#define PRESENT	     0xe9

static vdev_ref_status_t debugcon_vread(vdev_t *vdp, unsigned cookie,
					const struct qvm_state_block *vopnd,
					const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint8_t value = PRESENT;

	(void)vdp;
	(void)cookie;
	(void)vopnd;
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

static vdev_ref_status_t debugcon_vwrite(vdev_t *vdp, unsigned cookie,
					 const struct qvm_state_block *vopnd,
					 const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint8_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	(void)vdp;
	(void)cookie;
	(void)vopnd;
	if (err == EOK && write(STDERR_FILENO, &value, 1) != 1)
		err = EIO;
	return guest_cpu_to_vrs(err);
}

static int debugcon_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	(void)arg;
	if (ctrl == VDEV_CTRL_OPTIONS_START)
		vdp->v_block = (struct qvm_state_block){ .qst_type = QST_X86_IO,
							 .location = DEFAULT_PORT,
							 .length = 1 };
	return EOK;
}

static struct vdev_factory factory = {
	.control = debugcon_control,
	.vread = debugcon_vread,
	.vwrite = debugcon_vwrite,
	.factory_flags = VFF_VDEV_X86_IO,
	.acc_sizes = 1u << 1,
};

static void __attribute__((constructor)) debugcon_register(void)
{
	vdev_register_factory(&factory, QVM_VDEV_ABI);
}
