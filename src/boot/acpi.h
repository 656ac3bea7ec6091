/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the ACPI tables of an x86 VM from a description: hardware-reduced ACPI (no SCI, no fixed
 * power registers), so the platform device only needs a sleep control register, a reset register
 * and one event register; or, if the description has them, the fixed registers.
 *
 * Pure: no I/O, no guest memory; the caller copies the bytes to the guest. Called by whoever
 * assembles or prints the VM, on any thread. The result is one allocation, freed by
 * acpi_tables_free(). The description and all that it points to stay the caller's and are not kept.
 */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "boot/aml.h"
#include "base/util.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the guest writes to sleep_port to power off: SLP_TYP (as in \_S5) and SLP_EN. */
#define ACPI_SLEEP_TYPE_S5    5u
#define ACPI_SLEEP_CONTROL_S5 ((ACPI_SLEEP_TYPE_S5 << 2) | 0x20u)

/* Fixed registers: bits of status and enable, and of control. */
#define ACPI_PM1_POWER_BUTTON 0x0100u
#define ACPI_PM1_SCI_ENABLED  0x0001u
#define ACPI_PM1_SLEEP_SHIFT  10
#define ACPI_PM1_SLEEP_ENABLE 0x2000u
#define ACPI_PM1_EVENT_LEN    4u
#define ACPI_PM1_CONTROL_LEN  2u

/* Bits of the event register. Reading it returns what is pending and clears it. */
#define ACPI_EVENT_POWER_BUTTON 0x01u

#define ACPI_MAX_CPUS		4096u

enum {
	ACPI_MAX_EXTRA = 32,
	ACPI_MAX_EXTRA_LEN = 1 << 20 /* bytes of one */
};

/* [first, last], both inclusive; last < first: none (so { 1, 0 }). */
struct acpi_window {
	uint64_t first;
	uint64_t last;
};

struct acpi_ioapic {
	uint8_t id;
	uint32_t addr;
	uint32_t gsi_base;
};

/* An ISA interrupt that does not arrive at the GSI of the same number, or not edge and active high.
 */
struct acpi_override {
	uint8_t isa_irq;
	struct aml_irq irq; /* shared does not matter here */
};

struct acpi_pci {
	bool present;
	uint64_t ecam_base; /* address of the configuration space of bus 0, also if first_bus is not
			       0 */
	uint8_t first_bus, last_bus;
	struct acpi_window memory32, memory64, io;
	bool has_intx;
	uint32_t intx_slots;  /* device numbers whose pins are routed, a bit each */
	uint32_t intx_gsi[4]; /* pin (A = 0) of device d goes to intx_gsi[(d + pin) % 4]; level,
				 active low */
};

enum acpi_resource_kind {
	ACPI_RESOURCE_IO,
	ACPI_RESOURCE_MEMORY,
	ACPI_RESOURCE_IRQ,
};

struct acpi_resource {
	enum acpi_resource_kind kind;
	uint64_t base, len; /* ports (at most 255) or bytes of memory */
	struct aml_irq irq;
};

struct acpi_device {
	const char *name; /* 4 characters, unique in \_SB; NULL: made up */
	const char *hid;  /* "PNP0501" or "LNRO0005" */
	const char *cid;  /* the same, or NULL */
	uint32_t uid;	  /* unique among devices of one hid */
	const struct acpi_resource *resources;
	size_t num_resources;
};

/* A generic event device whose interrupt announces bits in the event register. */
struct acpi_events {
	bool present;
	struct aml_irq irq;
	uint16_t port;
};

/* A table that is taken as it is, with its header. */
struct acpi_extra {
	const uint8_t *data;
	size_t len;
};

/*
 * The fixed registers of ACPI that is not hardware-reduced. present: there is a system control
 * interrupt (isa_irq of the same number), and guests use 8259s, 8254 and HPET, which Linux leaves
 * alone on reduced hardware.
 */
struct acpi_fixed {
	bool present;
	uint8_t sci;
	uint16_t event_port;   /* status, 16 bits, then enable */
	uint16_t control_port; /* 16 bits */
};

struct acpi_hpet {
	bool present;
	uint32_t addr;
	uint32_t id; /* low half of its capabilities register */
	uint16_t min_ticks;
};

struct acpi_config {
	unsigned int num_cpus; /* local APIC ids 0 .. num_cpus - 1 */
	uint32_t lapic_addr;   /* 0xfee00000 */
	const struct acpi_ioapic *ioapics;
	size_t num_ioapics;
	const struct acpi_override *overrides;
	size_t num_overrides;
	bool has_8259, has_rtc, has_8042;
	bool legacy_free; /* the guest is told that there are no such devices all the same */
	struct acpi_pci pci;
	uint16_t sleep_port; /* 8-bit sleep control; the port after it is sleep status */
	/* The guest writes reset_value, 8 bits, to reset_port; how Linux comes to it:
	 * x86_64/reset_stub.h. */
	uint16_t reset_port;
	uint8_t reset_value;
	struct acpi_events events; /* present: the VM has a power button */
	struct acpi_fixed fixed;
	struct acpi_hpet hpet;
	const struct acpi_device *devices;
	size_t num_devices;
	const struct acpi_extra
		*extra; /* at most ACPI_MAX_EXTRA, each passed by acpi_extra_check */
	size_t num_extra;
};

/* One table in the result, for listings and dumps. */
struct acpi_table {
	char signature[5];
	size_t offset;
	size_t len;
};

/*
 * data[0] belongs at the gpa_base that was given; the RSDP comes first. tables[] holds all but the
 * RSDP.
 */
struct acpi_tables {
	uint8_t *data;
	size_t len;
	uint64_t rsdp_gpa;
	struct acpi_table tables[7 + ACPI_MAX_EXTRA];
	size_t num_tables;
};

/*
 * gpa_base: a multiple of 16, and gpa_base + max_len at most 4 GiB (there is an RSDT beside the
 * XSDT). Guests that are not told where the RSDP is look for it at 0xe0000..0xfffff. -EINVAL:
 * something in cfg cannot be expressed; -EEXIST: two devices with one name; -ENOSPC: more than
 * max_len bytes; -ENOMEM.
 */
int acpi_build(const struct acpi_config *cfg, uint64_t gpa_base, size_t max_len,
	       struct acpi_tables *ret) MUST_CHECK;

/*
 * Whether the bytes can be a table beside ours. -EINVAL: *ret_why is a sentence part that says why
 * not: no header, another length than the header's, a wrong checksum, or a table that is ours.
 */
int acpi_extra_check(const uint8_t *data, size_t len, const char **ret_why) MUST_CHECK;

void acpi_tables_free(struct acpi_tables *tables);

#endif
