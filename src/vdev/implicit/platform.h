/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The implicit vdevs that are not KVM's: the PCI host bridge, and what a machine has for its power.
 * x86-64: the ACPI platform (sleep control and status, reset register, event register of the power
 * button, the delay port). AArch64: nothing, KVM has PSCI.
 *
 * Made and freed by src/vm. The registers are used on vCPU threads; platform_button on any thread.
 */
#ifndef VDEV_IMPLICIT_PLATFORM_H
#define VDEV_IMPLICIT_PLATFORM_H

#include "base/util.h"
#include "bus/bus.h"
#include "pci/pci.h"

struct platform;

/* 00:00.0, 1c05:0002, class 06/00/00. */
int platform_host_bridge_add(struct pci_bus *pci) MUST_CHECK;

/* line sets the event interrupt's level; called on any thread. fixed: with the fixed registers of
 * ACPI, which then have the power button. */
int platform_create(struct bus *bus, bool fixed, void (*line)(void *ctx, bool level), void *ctx,
		    struct platform **ret_platform) MUST_CHECK;
void platform_free(struct platform *platform);

/* The power button is pressed: the event register shows it, the interrupt is raised until the guest
 * reads that. */
void platform_button(struct platform *platform);

#endif
