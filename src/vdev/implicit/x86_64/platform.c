/* SPDX-License-Identifier: Apache-2.0 */
#include "vdev/implicit/platform.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <qvm/guest.h>

#include "address.h"
#include "boot/acpi.h"
#include "vdev/implicit/builtin.h"

const struct vdev_builtin vdev_builtin = { .name = NULL };

struct platform {
	_Atomic uint8_t events;
	bool fixed;
	pthread_mutex_t lock; /* the fixed registers */
	uint16_t status, enable, control;
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

/* The fixed registers, 16 bits each: status (a 1 clears), enable, control. */
static enum bus_result fixed_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	struct platform *p = opaque;
	uint16_t *const regs[] = { &p->status, &p->enable, &p->control };
	unsigned which = (unsigned)acc->offset / 2;
	unsigned shift = 8 * (acc->offset % 2);
	uint16_t value = 0;
	bool sleep = false;

	(void)cookie;
	pthread_mutex_lock(&p->lock);
	if (which < ARRAY_LEN(regs) && !acc->write) {
		value = (uint16_t)(*regs[which] >> shift);
		memcpy(acc->data, &value, acc->len);
	} else if (which < ARRAY_LEN(regs)) {
		uint16_t mask = (uint16_t)((acc->len == 1 ? 0xffu : 0xffffu) << shift);

		memcpy(&value, acc->data, acc->len);
		value = (uint16_t)(value << shift);
		if (which == 0)
			p->status &= (uint16_t)~value;
		else if (which == 1)
			p->enable = (uint16_t)((p->enable & ~mask) | value);
		else
			sleep = value & ACPI_PM1_SLEEP_ENABLE;
		if (sleep)
			sleep = (value >> ACPI_PM1_SLEEP_SHIFT & 7) == ACPI_SLEEP_TYPE_S5;
	}
	p->line(p->ctx, p->status & p->enable);
	pthread_mutex_unlock(&p->lock);
	if (sleep)
		guest_terminate(GTC_NORMAL_EXIT);
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

void platform_free(struct platform *platform)
{
	if (!platform)
		return;
	pthread_mutex_destroy(&platform->lock);
	free(platform);
}

int platform_create(struct bus *bus, bool fixed, void (*line)(void *ctx, bool level), void *ctx,
		    struct platform **ret_platform)
{
	struct platform *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->line = line;
	p->ctx = ctx;
	p->fixed = fixed;
	p->control = ACPI_PM1_SCI_ENABLED;
	pthread_mutex_init(&p->lock, NULL);
	const struct bus_region registers = {
		.space = ENGINE_IO,
		.start = PORT_PLATFORM,
		.len = PORT_PLATFORM_LEN,
		.acc_sizes = 1u << 1,
		.handler = platform_access,
		.opaque = p,
		.owner = "the ACPI platform",
	};
	const struct bus_region fixed_registers = {
		.space = ENGINE_IO,
		.start = PORT_FIXED_EVENT,
		.len = PORT_FIXED_LEN,
		.acc_sizes = 1u << 1 | 1u << 2,
		.handler = fixed_access,
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
	if (!rc && fixed)
		rc = bus_region_replace(bus, NULL, &fixed_registers, NULL);
	if (rc) {
		platform_free(p);
		return rc;
	}
	*ret_platform = p;
	return 0;
}

void platform_button(struct platform *platform)
{
	if (!platform->fixed) {
		atomic_fetch_or(&platform->events, (uint8_t)ACPI_EVENT_POWER_BUTTON);
		platform->line(platform->ctx, true);
		return;
	}
	pthread_mutex_lock(&platform->lock);
	platform->status |= ACPI_PM1_POWER_BUTTON;
	platform->line(platform->ctx, platform->status & platform->enable);
	pthread_mutex_unlock(&platform->lock);
}
