/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM descriptions that the ACPI tests go through: acpi_test checks their tables byte by byte
 * and writes them to files, and acpi_iasl_test.py gives those to ACPICA's tools. Test code only;
 * all of it is constant.
 */
#ifndef BOOT_ACPI_CASES_H
#define BOOT_ACPI_CASES_H

#include "boot/acpi.h"

struct acpi_case {
	const char *name;
	struct acpi_config cfg;
};

extern const struct acpi_case acpi_cases[];
extern const size_t acpi_num_cases;

#endif
