/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev recorder, for tests: an interrupt controller as somebody else would write one, from the
 * documented interface alone. It has lines 100 to 107, ORs them onto its own `intr` if it has one,
 * and records what happens. Registers of 32 bits:
 *
 *     0x0  levels, a bit a line            0x8  write: the guest has ended that line (GIN_ACK)
 *     0x4  number of calls of `signal`     0xc  calls of `notify`: unmasks << 16 | ends
 *
 * In guest_intr.param it keeps a bit of its own beside the pin, without which it takes no signal.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <qvm/guest.h>

#define FIRST_LINE 100
#define NUM_LINES  8u
#define OWN	   0x100u

struct recorder {
	uint32_t levels, signals, unmasks, ends;
};

static int recorder_signal(const guest_intr_t *intr, guest_intr_state_t state)
{
	struct recorder *r = intr->pic->v_device;
	uint32_t bit = 1u << (intr->param & (NUM_LINES - 1));

	if (!(intr->param & OWN))
		return EINVAL;
	r->signals++;
	r->levels = state == GIS_ON ? r->levels | bit : r->levels & ~bit;
	if (!intr->pic->v_intr.pic)
		return EOK;
	return guest_intr_signal(&intr->pic->v_intr, r->levels ? GIS_ON : GIS_OFF);
}

static void recorder_notify(const guest_intr_t *intr, guest_intr_notifications_t what)
{
	struct recorder *r = intr->pic->v_device;

	r->unmasks += what == GIN_UNMASK;
	r->ends += what == GIN_ACK;
}

static const char *recorder_parse(guest_intr_t *intr, const char *text)
{
	char *rest;
	unsigned long line = strtoul(text, &rest, 10);

	if (rest == text || line < FIRST_LINE || line >= FIRST_LINE + NUM_LINES)
		return NULL;
	intr->param = ((unsigned)line - FIRST_LINE) | OWN;
	return rest;
}

static size_t recorder_string(const guest_intr_t *intr, char *buf, size_t len)
{
	return (size_t)snprintf(buf, len, "%u", FIRST_LINE + (intr->param & (NUM_LINES - 1)));
}

static const struct vdev_pic_functions pic = {
	.pnum_mask = NUM_LINES - 1,
	.signal = recorder_signal,
	.notify = recorder_notify,
	.parse = recorder_parse,
	.string = recorder_string,
};

static vdev_ref_status_t recorder_vread(vdev_t *vdp, unsigned cookie,
					const struct qvm_state_block *vopnd,
					const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct recorder *r = vdp->v_device;
	const uint32_t regs[] = { r->levels, r->signals, 0, r->unmasks << 16 | r->ends };

	(void)cookie;
	return guest_cpu_to_vrs(
		guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &regs[vopnd->location / 4 & 3], 4));
}

static vdev_ref_status_t recorder_vwrite(vdev_t *vdp, unsigned cookie,
					 const struct qvm_state_block *vopnd,
					 const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint32_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	(void)cookie;
	if (err == EOK && vopnd->location == 8)
		guest_pic_notify(vdp, value & (NUM_LINES - 1), GIN_ACK);
	return guest_cpu_to_vrs(err);
}

static int recorder_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	(void)arg;
	if (ctrl == VDEV_CTRL_OPTIONS_START)
		vdp->v_block.qst_type = QST_MEMORY;
	else if (ctrl == VDEV_CTRL_OPTIONS_END)
		vdp->v_block.length = 0x10;
	return EOK;
}

static struct vdev_factory factory = {
	.control = recorder_control,
	.vread = recorder_vread,
	.vwrite = recorder_vwrite,
	.pic = &pic,
	.factory_flags = VFF_VDEV_MEM,
	.acc_sizes = 1u << 4,
	.extra_space = sizeof(struct recorder),
};

static void __attribute__((constructor)) recorder_register(void)
{
	vdev_register_factory(&factory, QVM_VDEV_ABI);
}
