/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AML of the DSDT: CPUs, PCI root, event device and power button, the VM's devices, \_S5. Part
 * of the table builder (acpi.c), which puts the table header before it and frees the buffer; nobody
 * else calls it.
 */
#ifndef BOOT_ACPI_DSDT_H
#define BOOT_ACPI_DSDT_H

#include "boot/acpi.h"

/*
 * Appends to b. -EEXIST: two objects of one name in \_SB; -EINVAL: a value that does not fit its
 * place. What AML itself cannot express is told by aml_error() afterwards.
 */
int acpi_put_dsdt(struct aml *b, const struct acpi_config *cfg) MUST_CHECK;

/* The bytes of ECAM that the bus range has. */
uint64_t acpi_ecam_base(const struct acpi_pci *pci);
uint64_t acpi_ecam_len(const struct acpi_pci *pci);

#endif
