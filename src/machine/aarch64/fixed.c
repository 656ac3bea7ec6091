/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "address.h"
#include "machine/plan.h"

static const struct plan_region fixed[] = {
	{ PLAN_MEM, PLAN_PLATFORM, ADDRESS_ECAM, ADDRESS_ECAM_BUSES *ADDRESS_ECAM_BUS_LEN,
	  "the PCI configuration space" },
	{ PLAN_MEM, PLAN_PLATFORM, ADDRESS_PCI_MEM32, ADDRESS_PCI_MEM32_LEN,
	  "the PCI memory window" },
	{ PLAN_MEM, PLAN_PLATFORM, ADDRESS_PCI_PORTS, ADDRESS_PCI_IO + ADDRESS_PCI_IO_LEN,
	  "the PCI port window" },
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
