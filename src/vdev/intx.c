/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt pins of PCI functions: four lines among those that the address plan sets aside. They
 * are claimed when all vdevs have theirs, so that a user's `intr` always comes first.
 */
#include "address.h"
#include "vdev/host.h"

bool vdev_host_gsi_reserved(const struct conf *conf, unsigned gsi)
{
	for (unsigned i = 0; i < conf->num_reserves; i++)
		for (unsigned k = 0; k < conf->reserves[i].num_intrs; k++)
			if (conf->reserves[i].intrs[k].line == gsi)
				return true;
	return false;
}

void vdev_host_intx_plan(struct vdev_host *host)
{
	struct vdev_intx *x = &host->intx;

	if (!pci_bus_pins(host->pci))
		return;
	for (unsigned gsi = INTX_FIRST_GSI; gsi <= INTX_LAST_GSI && x->num < PCI_NUM_LINES; gsi++) {
		if (vdev_host_gsi_reserved(host->conf, gsi) ||
		    !vdev_host_line_claim(host, gsi, "PCI interrupt pins", &x->lines[x->num]))
			continue;
		x->gsis[x->num++] = gsi;
	}
}

bool vdev_host_intx_gsis(const struct vdev_host *host, unsigned ret_gsis[PCI_NUM_LINES])
{
	for (unsigned i = 0; i < PCI_NUM_LINES && host->intx.num; i++)
		ret_gsis[i] = host->intx.gsis[i % host->intx.num];
	return host->intx.num > 0;
}

void vdev_host_intx_attach(struct vdev_host *host)
{
	struct irq_line *lines[PCI_NUM_LINES];
	unsigned gsis[PCI_NUM_LINES];

	if (!vdev_host_intx_gsis(host, gsis))
		return;
	for (unsigned i = 0; i < PCI_NUM_LINES; i++)
		lines[i] = pic_line(&host->intx.lines[i % host->intx.num]);
	pci_bus_lines_set(host->pci, lines, gsis);
}
