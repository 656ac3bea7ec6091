/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev old, for tests: as a vdev for QNX Hypervisor 2.x (SDP 7) is written. A write of a
 * guest-physical address fetches the word there by a mapping; reads give it, and at 4 the number of
 * the option `emit`. Each fetch sends a message.
 */
#define QVM_VDEV_API 71
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <qvm/gasp.h>
#include <qvm/guest.h>
#include <qvm/outpipe.h>
#include <qvm/vdev-core.h>

struct old_state {
	uint32_t word, emit;
};

static enum vdev_ref_status old_vread(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct old_state *s = vdp->v_device;

	(void)cookie;
	return guest_cpu_to_vrs(guest_cpu_write(
		gcp, GXF_NONE, oopnd, 1, vopnd->location ? &s->emit : &s->word, sizeof(uint32_t)));
}

static enum vdev_ref_status old_vwrite(vdev_t *vdp, unsigned cookie,
				       const struct qvm_state_block *vopnd,
				       const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct old_state *s = vdp->v_device;
	uint32_t addr;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &addr, sizeof(addr));

	(void)cookie, (void)vopnd;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	void *p = gasp_map_vdma(vdp, PROT_READ, addr, sizeof(s->word));

	s->word = 0;
	if (p) {
		memcpy(&s->word, p, sizeof(s->word));
		gasp_unmap(p, sizeof(s->word), 0);
	}
	if (guest_msi_signal(vdp, 0xfee00000, 0x40) != EOK)
		return VRS_TERMINATE;
	return VRS_NORMAL;
}

static int old_control(vdev_t *vdp, unsigned ctrl, const char *arg)
{
	struct old_state *s = vdp->v_device;

	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block.type = QST_MEMORY;
		vdp->v_block.length = 8;
		break;
	case VDEV_CTRL_FIRST_OPTIDX:
		s->emit = (uint32_t)strtoul(arg, NULL, 0);
		break;
	case VDEV_CTRL_BOOTUP:
		if (!vdp->v_gsp || gasp_lock(vdp->v_gsp, QST_MEMORY) != EOK ||
		    gasp_unlock(vdp->v_gsp, QST_MEMORY) != EOK)
			qvm_outff(QVM_OUTF_QVM, "no guest system");
		qvm_outf(QVM_OUTI_QVM, "an old one is there");
		break;
	default:
		break;
	}
	return EOK;
}

static const char *const old_options[] = { "emit", NULL };

static struct vdev_factory old_factory = {
	.next = NULL,
	.control = old_control,
	.vread = old_vread,
	.vwrite = old_vwrite,
	.option_list = old_options,
	.factory_flags = VFF_VDEV_MEM,
	.acc_sizes = 1u << sizeof(uint32_t),
	.extra_space = sizeof(struct old_state),
};

static void __attribute__((constructor)) old_register(void)
{
	vdev_register_factory(&old_factory, QVM_VDEV_ABI);
}
