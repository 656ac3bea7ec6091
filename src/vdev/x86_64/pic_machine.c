/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a PC's two interrupt machines a VM gets: KVM's chips where the file asks for nothing
 * that they cannot do. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "vdev/host.h"

#define PORT_8254 0x40u

const char *const pic_machine_texts[] = {
	[ENGINE_IRQCHIP_NONE] = "local APICs only",
	[ENGINE_IRQCHIP_KERNEL] = "kernel (ioapic, 8259s and timer8254 by KVM)",
	[ENGINE_IRQCHIP_SPLIT] = "split (local APICs by KVM, the other chips by qvm)",
};

/* The first reason counts. */
static void machine_split(struct vdev_machine *m, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void machine_split(struct vdev_machine *m, const char *fmt, ...)
{
	va_list args;

	if (m->engine.irqchip == ENGINE_IRQCHIP_SPLIT)
		return;
	m->engine.irqchip = ENGINE_IRQCHIP_SPLIT;
	va_start(args, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, args);
	va_end(args);
}

/* Why KVM cannot be this chip, if so. */
static void machine_look_at(struct vdev_machine *m, const struct vdev_instance *vi)
{
	unsigned long long at = vi->vdev.v_block.location;
	const guest_intr_t *intr = &vi->vdev.v_intr;

	if (vi->num_pins && vi->chip != QVMX_CHIP_IOAPIC)
		machine_split(m, "%s is an interrupt controller that KVM does not have", vi->label);
	if (vi->chip < 0)
		return;
	if (vi->conf->accel == CONF_ACCEL_OFF)
		machine_split(m, "%s has `accel off`", vi->label);
	if (vi->chip == QVMX_CHIP_IOAPIC && vi->gsi_base > 0)
		machine_split(m, "%s is a second one, and KVM has one", vi->label);
	if (vi->chip == QVMX_CHIP_IOAPIC && at != ADDRESS_IOAPIC)
		machine_split(m, "%s lies at 0x%llx, and KVM's at 0x%llx", vi->label, at,
			      ADDRESS_IOAPIC);
	if (vi->chip == QVMX_CHIP_IOAPIC && vi->num_pins != ENGINE_KERNEL_PINS)
		machine_split(m, "%s has %u pins, and KVM's has %u", vi->label, vi->num_pins,
			      ENGINE_KERNEL_PINS);
	if (vi->chip == QVMX_CHIP_8254 && at != PORT_8254)
		machine_split(m, "%s lies at port 0x%llx, and KVM's at port 0x%x", vi->label, at,
			      PORT_8254);
	if (vi->chip == QVMX_CHIP_8254 && intr->pic && pic_pin(intr))
		machine_split(m, "%s has the interrupt line %u, and KVM's has line 0", vi->label,
			      pic_pin(intr));
	if (vi->chip == QVMX_CHIP_8254 && intr->pic && pic_line_of(intr)->num_sources > 1)
		machine_split(m, "%s shares its interrupt line, and KVM's cannot", vi->label);
}

/* The 8254's line is line 0 if the file does not say. */
static int machine_timer_line(struct vdev_host *host, struct vdev_instance *vi)
{
	guest_intr_t intr;

	if (vi->num_intrs)
		return 0;
	int rc = pic_line_claim(host, 0, PLAN_INTR_YIELDS, vi->label, &vi->conf->pos, &intr);

	return rc ? (rc == -ENOMEM ? rc : 0) : pic_intr_keep(vi, &intr);
}

int pic_machine_pick(struct vdev_host *host)
{
	struct vdev_machine *m = &host->machine;
	const struct vdev_instance *any = NULL, *ioapic = NULL;
	int rc = 0;

	for (struct vdev_instance *vi = host->first; vi; vi = vi->next) {
		if (vi->chip == QVMX_CHIP_IOAPIC && !ioapic)
			ioapic = vi;
		if ((vi->chip >= 0 || vi->num_pins) && !any)
			any = vi;
		if (vi->chip == QVMX_CHIP_8254 && !rc)
			rc = machine_timer_line(host, vi);
		m->engine.pit |= vi->chip == QVMX_CHIP_8254;
	}
	if (rc)
		return rc;
	if (!any) {
		snprintf(m->why, sizeof(m->why), "there is no ioapic, 8259 or timer8254");
		return 0;
	}
	m->engine.irqchip = ENGINE_IRQCHIP_KERNEL;
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
		machine_look_at(m, vi);
	if (!ioapic || !m->extint[0] || !m->extint[1])
		machine_split(m, "KVM's chips come together, and there is no %s",
			      !ioapic	      ? "vdev ioapic"
			      : !m->extint[0] ? "vdev 8259 at port 0x20"
					      : "vdev 8259 at port 0xa0");
	if (m->engine.irqchip == ENGINE_IRQCHIP_KERNEL) {
		snprintf(m->why, sizeof(m->why), "it is what the file asks for, and KVM has it");
		for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
			vi->modelled = vi->chip >= 0;
	}
	return 0;
}
