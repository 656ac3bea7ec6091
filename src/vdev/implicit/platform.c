/* SPDX-License-Identifier: Apache-2.0 */
#include "vdev/implicit/platform.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <qvm/guest.h>

#include "address.h"
#include "boot/acpi.h"

struct platform {
	_Atomic uint8_t events;
	void (*line)(void *ctx, bool level);
	void *ctx;
};

static enum bus_result platform_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	struct platform *p = opaque;
	uint8_t value = 0;

	(void)cookie;
	if (acc->write)
		memcpy(&value, acc->data, 1);
	switch (acc->offset) {
	case PLATFORM_SLEEP_CONTROL:
		if (acc->write && value == ACPI_SLEEP_CONTROL_S5)
			guest_terminate(GTC_NORMAL_EXIT);
		break;
	case PLATFORM_EVENT:
		if (acc->write)
			break;
		value = atomic_exchange(&p->events, 0);
		p->line(p->ctx, false);
		break;
	case PLATFORM_RESET:
		if (acc->write && value == PLATFORM_RESET_VALUE)
			guest_terminate(GTC_NORMAL_EXIT);
		break;
	default: /* sleep status: nothing to tell, nothing ever sleeps */
		break;
	}
	if (!acc->write)
		memcpy(acc->data, &value, 1);
	return BUS_OK;
}

/* Writes to port 0x80 are how a PC waits a moment. */
static enum bus_result delay_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	(void)opaque, (void)cookie;
	if (!acc->write)
		memset(acc->data, 0xff, acc->len);
	return BUS_OK;
}

int platform_host_bridge_add(struct pci_bus *pci)
{
	static const struct pci_device_info bridge = {
		.name = "the PCI host bridge",
		.devfn = PCI_DEVFN(0, 0),
		.vendor = 0x1c05,
		.device = 0x0002,
		.subsystem_vendor = 0x1c05,
		.subsystem_device = 0x0002,
		.class_code = 0x060000,
	};
	struct pci_device *dev;

	return pci_device_add(pci, &bridge, &dev);
}

int platform_create(struct bus *bus, void (*line)(void *ctx, bool level), void *ctx,
		    struct platform **ret_platform)
{
	struct platform *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->line = line;
	p->ctx = ctx;
	const struct bus_region registers = {
		.space = ENGINE_IO,
		.start = PORT_PLATFORM,
		.len = PORT_PLATFORM_LEN,
		.acc_sizes = 1u << 1,
		.handler = platform_access,
		.opaque = p,
		.owner = "the ACPI platform",
	};
	const struct bus_region delay = {
		.space = ENGINE_IO,
		.start = PORT_DELAY,
		.len = 1,
		.handler = delay_access,
		.owner = "the delay port",
	};
	int rc = bus_region_replace(bus, NULL, &registers, NULL);

	if (!rc)
		rc = bus_region_replace(bus, NULL, &delay, NULL);
	if (rc) {
		free(p);
		return rc;
	}
	*ret_platform = p;
	return 0;
}

void platform_free(struct platform *platform)
{
	free(platform);
}

void platform_button(struct platform *platform)
{
	atomic_fetch_or(&platform->events, (uint8_t)ACPI_EVENT_POWER_BUTTON);
	platform->line(platform->ctx, true);
}
