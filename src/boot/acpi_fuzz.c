/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of a user (`acpi load`), as they are and with length and checksum put right. What passes
 * becomes part of the guest's tables, whole.
 */
#include "boot/acpi.h"

#include <string.h>

#include "base/fuzz.h"

enum { BASE = 0xe0000, MAX_LEN = 128 << 10, LENGTH_AT = 4, CHECKSUM_AT = 9, HEADER = 36 };

static void check(const uint8_t *data, size_t len)
{
	const struct acpi_extra extra = { data, len };
	const struct acpi_config config = { .num_cpus = 1,
					    .lapic_addr = 0xfee00000,
					    .sleep_port = 0x600,
					    .reset_port = 0x602,
					    .extra = &extra,
					    .num_extra = 1 };
	struct acpi_tables tables;
	const char *why = NULL;
	int rc = acpi_extra_check(data, len, &why);

	fuzz_require(rc <= 0 && (rc < 0) == (why != NULL));
	if (rc || acpi_build(&config, BASE, MAX_LEN, &tables))
		return;
	const struct acpi_table *last = &tables.tables[tables.num_tables - 1];
	bool found = false;

	for (const struct acpi_table *t = tables.tables; t <= last; t++) {
		fuzz_require(t->offset <= tables.len && t->len <= tables.len - t->offset);
		found |= t->len == len && memcmp(tables.data + t->offset, data, len) == 0;
	}
	fuzz_require(found);
	acpi_tables_free(&tables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(data, size);
	if (size < HEADER || size > MAX_LEN)
		return 0;
	uint8_t *right = malloc(size), sum = 0;

	fuzz_require(right);
	memcpy(right, data, size);
	for (unsigned i = 0; i < 4; i++)
		right[LENGTH_AT + i] = (uint8_t)(size >> 8 * i);
	right[CHECKSUM_AT] = 0;
	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + right[i]);
	right[CHECKSUM_AT] = (uint8_t)-sum;
	check(right, size);
	free(right);
	return 0;
}
