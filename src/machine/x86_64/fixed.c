/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "address.h"
#include "machine/plan.h"

static const struct plan_region fixed[] = {
	{ PLAN_MEM, PLAN_PLATFORM, ADDRESS_ECAM, ADDRESS_ECAM_BUSES *ADDRESS_ECAM_BUS_LEN,
	  "the PCI configuration space" },
	{ PLAN_MEM, PLAN_PLATFORM, ADDRESS_PCI_MEM32, ADDRESS_PCI_MEM32_LEN,
	  "the PCI memory window" },
	{ PLAN_MEM, PLAN_PLATFORM, ADDRESS_LAPIC, ADDRESS_LAPIC_LEN, "the local APICs" },
	{ PLAN_MEM, PLAN_PLATFORM, ADDRESS_KVM_PAGES, ADDRESS_KVM_PAGES_LEN,
	  "pages that KVM needs" },
	{ PLAN_IO, PLAN_PLATFORM, PORT_PCI_CONFIG, PORT_PCI_CONFIG_LEN,
	  "the PCI configuration ports" },
	{ PLAN_IO, PLAN_PLATFORM, ADDRESS_PCI_IO, ADDRESS_PCI_IO_LEN, "the PCI port window" },
	{ PLAN_IO, PLAN_PLATFORM, PORT_PLATFORM, PORT_PLATFORM_LEN + PORT_FIXED_LEN,
	  "the ACPI platform" },
	{ PLAN_IO, PLAN_PLATFORM, PORT_DELAY, 1, "the delay port" },
};

int plan_fixed_add(struct plan *plan)
{
	for (unsigned i = 0; i < ARRAY_LEN(fixed); i++) {
		int rc = plan_region_add(plan, &fixed[i]);

		if (rc)
			return rc;
	}
	return 0;
}
