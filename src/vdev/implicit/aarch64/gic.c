/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev gic: the interrupt controller, KVM's GICv3 or GICv2. There is always one; a line of it in
 * the file says more about it. Message signalled interrupts go to an ITS, which is KVM's too, or
 * with `msi` to a GICv2m frame, whose few registers are here. Its lines are numbered as the
 * architecture numbers interrupts: gic:32 is the first shared one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "vdev/host.h"
#include "vdev/implicit/builtin.h"

/* Registers of the frame. */
enum { FRAME_TYPER = 0x08, FRAME_SETSPI = ENGINE_GIC_SETSPI, FRAME_IIDR = 0xfcc };

enum { COOKIE_MAIN, COOKIE_CPU, COOKIE_ITS, COOKIE_FRAME };

struct gic {
	uint64_t version;
	bool has_frame;
	uint64_t frame, first, count;
};

enum { OPT_VERSION, OPT_MSI, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_VERSION] = { "version", QVMX_OPT_NUMBER, .min = 2, .max = 3,
			  .help = "2 or 3 (default 3)" },
	[OPT_MSI] = { "msi", QVMX_OPT_STRING,
		      .help = "ADDRESS,FIRST,COUNT: a GICv2m frame at ADDRESS for messages, which "
			      "raise the interrupts from FIRST on; instead of an ITS" },
};

static const struct qvmx_option address_option = { "ADDRESS", QVMX_OPT_ADDRESS };
static const struct qvmx_option number_option = { "FIRST,COUNT", QVMX_OPT_NUMBER };

static int msi_parse(vdev_t *vdp, const char *arg)
{
	struct gic *gic = vdp->v_device;
	char text[128], *comma1, *comma2;

	snprintf(text, sizeof(text), "%s", arg);
	comma1 = strchr(text, ',');
	comma2 = comma1 ? strchr(comma1 + 1, ',') : NULL;
	if (!comma2)
		return qvmx_refuse(vdp, "'%s' is not ADDRESS,FIRST,COUNT", arg);
	*comma1 = *comma2 = '\0';
	if (qvmx_option_parse(&address_option, text, &gic->frame) != EOK ||
	    qvmx_option_parse(&number_option, comma1 + 1, &gic->first) != EOK ||
	    qvmx_option_parse(&number_option, comma2 + 1, &gic->count) != EOK ||
	    gic->frame % GIC_FRAME_LEN)
		return qvmx_refuse(vdp,
				   "'%s' is not ADDRESS,FIRST,COUNT with an address that is a "
				   "multiple of 4 KiB and two numbers",
				   arg);
	if (!gic->count ||
	    !range_inside(gic->first, gic->count, GIC_FIRST_SPI, INTX_FIRST_GSI - GIC_FIRST_SPI))
		return qvmx_refuse(vdp, "messages have interrupts from %u to %u", GIC_FIRST_SPI,
				   INTX_FIRST_GSI - 1);
	gic->has_frame = true;
	return EOK;
}

static int part_add(vdev_t *vdp, uint64_t addr, uint64_t len, unsigned cookie, uint64_t *ret_addr)
{
	const struct qvm_state_block where = { .location = addr,
					       .length = len,
					       .qst_type = QST_MEMORY };

	*ret_addr = addr;
	return qvmx_region_add(vdp, &where, cookie);
}

static int options_end(vdev_t *vdp)
{
	struct engine_gic *plan = &vdev_instance_of(vdp)->host->machine.engine.gic;
	const struct gic *gic = vdp->v_device;
	const bool v3 = gic->version == 3;
	uint64_t at = vdp->v_block.location;
	int err = qvmx_pic_pins(vdp, GIC_NUM_IRQS, NULL);

	if (err == EOK && at % GIC_DIST_LEN)
		return qvmx_refuse(vdp, "it lies at a multiple of 64 KiB");
	if (err == EOK && !v3 && !gic->has_frame)
		vdev_logf(QL_QVM_DEBUG, vdp, "no messages: a GICv2 has them by `msi` only");
	vdp->v_block.length = v3 ? GIC_DIST_LEN : GIC2_DIST_LEN;
	plan->version = (unsigned)gic->version;
	plan->dist = at;
	if (err == EOK)
		err = part_add(vdp, at + (v3 ? GIC_REDIST_OFFSET : GIC2_CPU_OFFSET),
			       v3 ? MAX_CPUS * GIC_REDIST_CPU_LEN : GIC2_CPU_LEN, COOKIE_CPU,
			       &plan->cpu);
	if (err == EOK && v3 && !gic->has_frame)
		err = part_add(vdp, at + GIC_ITS_OFFSET, GIC_ITS_LEN, COOKIE_ITS, &plan->its);
	if (err == EOK && gic->has_frame)
		err = part_add(vdp, gic->frame, GIC_FRAME_LEN, COOKIE_FRAME, &plan->frame);
	return err;
}

static int gic_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct gic *gic = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block.qst_type = QST_MEMORY;
		vdp->v_block.location = ADDRESS_GIC;
		gic->version = 3;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_VERSION:
		gic->version = qvmx_option_value(&options[OPT_VERSION], arg);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_MSI:
		return msi_parse(vdp, arg);
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	default:
		return EOK;
	}
}

/* All but the frame is KVM's, which answers before anybody here is asked. */
static vdev_ref_status_t gic_vread(vdev_t *vdp, unsigned cookie,
				   const struct qvm_state_block *vopnd,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct gic *gic = vdp->v_device;
	uint32_t value = 0;

	if (cookie == COOKIE_FRAME && vopnd->location == FRAME_TYPER)
		value = (uint32_t)(gic->first << 16 | gic->count);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

/* A processor may raise them too. */
static vdev_ref_status_t gic_vwrite(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct gic *gic = vdp->v_device;
	uint32_t value = 0;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	if (err == EOK && cookie == COOKIE_FRAME && vopnd->location == FRAME_SETSPI &&
	    range_inside(value, 1, gic->first, gic->count))
		guest_msi_signal(vdp, gic->frame + FRAME_SETSPI, value);
	return guest_cpu_to_vrs(err);
}

static int gic_signal(const guest_intr_t *intr, guest_intr_state_t state)
{
	return qvmx_model_line(intr->pic, intr->param & GIPF_PIN_MASK, state == GIS_ON);
}

/* The interrupts of a processor, and those of messages, are nobody's. */
static const char *gic_parse(guest_intr_t *intr, const char *text)
{
	const struct gic *gic = intr->pic->v_device;
	char *end;
	unsigned long line = strtoul(text, &end, 10);

	if (end == text || line < GIC_FIRST_SPI || line >= GIC_NUM_IRQS ||
	    (gic->has_frame && range_inside(line, 1, gic->first, gic->count)))
		return NULL;
	intr->param = (unsigned)line;
	return end;
}

static const struct vdev_pic_functions pic = {
	.pnum_mask = GIPF_PIN_MASK,
	.signal = gic_signal,
	.parse = gic_parse,
};

static struct vdev_factory factory = {
	.control = gic_control,
	.vread = gic_vread,
	.vwrite = gic_vwrite,
	.pic = &pic,
	.factory_flags = VFF_VDEV_MEM | VFF_INTR_NO,
	.acc_sizes = 1u << 4,
	.extra_space = sizeof(struct gic),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.summary = "the interrupt controller, always there; a line of it says more about it",
	.num_options = NUM_OPTIONS,
	.options = options,
};

const struct vdev_builtin vdev_builtin = { .name = "gic", .factory = &factory, .info = &info };
