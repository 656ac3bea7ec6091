/* SPDX-License-Identifier: Apache-2.0 */
/* The interrupt machine of AArch64 is KVM's GIC, which the vdev gic has described. */
#include <stdio.h>

#include "vdev/host.h"

const char *const pic_machine_texts[] = { [ENGINE_IRQCHIP_KERNEL] = "kernel (the GIC by KVM)" };

int pic_machine_pick(struct vdev_host *host)
{
	struct vdev_machine *m = &host->machine;

	m->engine.irqchip = ENGINE_IRQCHIP_KERNEL;
	snprintf(m->why, sizeof(m->why), "a GICv%u, messages by %s", m->engine.gic.version,
		 m->engine.gic.its     ? "an ITS"
		 : m->engine.gic.frame ? "a GICv2m frame"
				       : "nothing");
	return 0;
}
