/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes AML, the byte code of ACPI tables, into a growing buffer. Terms are put one after the
 * other in the order in which AML has them: aml_put_name(b, "_UID"); aml_put_integer(b, 3). What
 * has a PkgLength (scopes, devices, methods, packages, resource templates ...) is opened, filled
 * and closed again, innermost first; closing fills in the length.
 *
 * Errors stick: after one, every call does nothing, and aml_error() tells at the end. -ENOMEM: no
 * memory; -EINVAL: a name, id or value that AML cannot express; -E2BIG: a package of 256 MiB or
 * more. Used by the table builder on one thread. struct aml starts as all zero bytes and is freed
 * by aml_free().
 */
#ifndef BOOT_AML_H
#define BOOT_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *data;
	size_t len;
	size_t cap;
	int error;
};

void aml_free(struct aml *b);
int aml_error(const struct aml *b);

/* Opcodes that take their operands from what is put next. */
enum aml_op {
	AML_OP_LOCAL0 = 0x60,
	AML_OP_ARG0 = 0x68,
	AML_OP_STORE = 0x70,  /* source, target */
	AML_OP_AND = 0x7b,    /* left, right, target */
	AML_OP_NOTIFY = 0x86, /* object, value */
};

enum aml_space {
	AML_SPACE_MEMORY = 0,
	AML_SPACE_IO = 1,
};

/* Plain bytes, and little-endian numbers, for tables around the AML. */
void aml_put_bytes(struct aml *b, const void *data, size_t len);
void aml_put_le(struct aml *b, uint64_t value, unsigned int bytes);

void aml_put_op(struct aml *b, enum aml_op op);
void aml_put_integer(struct aml *b, uint64_t value);  /* the shortest form */
void aml_put_string(struct aml *b, const char *text); /* ASCII */
void aml_put_path(
	struct aml *b,
	const char *path); /* "NAME", "\\_SB.PCI0", "^X" ; segments of 1 to 4 characters */
void aml_put_null_name(struct aml *b);		    /* "no target" */
void aml_put_name(struct aml *b, const char *path); /* Name(path, what is put next) */

/* "PNP0A03" as a compressed EISA id; an id of another form ("ACPI0007") as a string. */
void aml_put_hardware_id(struct aml *b, const char *id);

/* Each returns what aml_close() needs. */
size_t aml_open_scope(struct aml *b, const char *path);
size_t aml_open_device(struct aml *b, const char *path);
size_t aml_open_method(struct aml *b, const char *path, unsigned int num_args); /* serialized */
size_t aml_open_if(struct aml *b);						/* predicate next */
size_t aml_open_package(struct aml *b, uint8_t num_elements);
void aml_close(struct aml *b, size_t mark);

void aml_put_region(struct aml *b, const char *path, enum aml_space space, uint64_t offset,
		    uint64_t len);
/* One field of 8 bits at the start of a region. */
void aml_put_byte_field(struct aml *b, const char *region, const char *name);

/* A resource template: open, any of aml_res_put_*, close (which adds the end tag with its
 * checksum). */
size_t aml_res_open(struct aml *b);
void aml_res_close(struct aml *b, size_t mark);

struct aml_irq {
	uint32_t gsi;
	bool level;	 /* else edge */
	bool active_low; /* else active high */
	bool shared;
};

/* [first, last] is what a range covers, both inclusive. A window is what a bridge passes on, else
 * what a device uses. */
void aml_res_put_io(struct aml *b, uint16_t base, uint8_t len);
void aml_res_put_irq(struct aml *b, const struct aml_irq *irq);
void aml_res_put_memory(struct aml *b, uint64_t base,
			uint64_t len); /* fixed; 32- or 64-bit form as needed */
void aml_res_put_io_window(struct aml *b, uint16_t first, uint16_t last);
void aml_res_put_bus_window(struct aml *b, uint8_t first, uint8_t last);
void aml_res_put_memory_window32(struct aml *b, uint32_t first, uint32_t last);
void aml_res_put_memory_window64(struct aml *b, uint64_t first, uint64_t last);

#endif
