/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/acpi_cases.h"

#define NO_WINDOW                     \
	{                             \
		.first = 1, .last = 0 \
	}

static const struct acpi_ioapic one_ioapic[] = {
	{ .id = 0, .addr = 0xfec00000, .gsi_base = 0 },
};

static const struct acpi_ioapic two_ioapics[] = {
	{ .id = 0, .addr = 0xfec00000, .gsi_base = 0 },
	{ .id = 1, .addr = 0xfec10000, .gsi_base = 24 },
};

static const struct acpi_override timer_override[] = {
	{ .isa_irq = 0, .irq = { .gsi = 2 } },
	{ .isa_irq = 9, .irq = { .gsi = 9, .level = true, .active_low = true } },
};

static const struct acpi_resource com1_resources[] = {
	{ .kind = ACPI_RESOURCE_IO, .base = 0x3f8, .len = 8 },
	{ .kind = ACPI_RESOURCE_IRQ, .irq = { .gsi = 4 } },
};

static const struct acpi_resource rtc_resources[] = {
	{ .kind = ACPI_RESOURCE_IO, .base = 0x70, .len = 2 },
	{ .kind = ACPI_RESOURCE_IRQ, .irq = { .gsi = 8 } },
};

static const struct acpi_resource keyboard_resources[] = {
	{ .kind = ACPI_RESOURCE_IO, .base = 0x60, .len = 1 },
	{ .kind = ACPI_RESOURCE_IO, .base = 0x64, .len = 1 },
	{ .kind = ACPI_RESOURCE_IRQ, .irq = { .gsi = 1 } },
};

static const struct acpi_resource mmio_resources[] = {
	{ .kind = ACPI_RESOURCE_MEMORY, .base = 0xfeb00000, .len = 0x200 },
	{ .kind = ACPI_RESOURCE_IRQ, .irq = { .gsi = 17, .level = true, .shared = true } },
};

static const struct acpi_resource all_resources[] = {
	{ .kind = ACPI_RESOURCE_IO, .base = 0xffff, .len = 1 },
	{ .kind = ACPI_RESOURCE_IO, .base = 0x1000, .len = 255 },
	{ .kind = ACPI_RESOURCE_MEMORY, .base = 0xffffffff, .len = 1 },
	{ .kind = ACPI_RESOURCE_MEMORY, .base = 0xfffff000, .len = 0x2000 },
	{ .kind = ACPI_RESOURCE_MEMORY, .base = 0x8000000000, .len = 0x4000000000 },
	{ .kind = ACPI_RESOURCE_IRQ, .irq = { .gsi = 5 } },
	{ .kind = ACPI_RESOURCE_IRQ, .irq = { .gsi = 300, .active_low = true } },
	{ .kind = ACPI_RESOURCE_IRQ, .irq = { .gsi = 18, .level = true } },
	{ .kind = ACPI_RESOURCE_IRQ,
	  .irq = { .gsi = 19, .level = true, .active_low = true, .shared = true } },
	{ .kind = ACPI_RESOURCE_IRQ, .irq = { .gsi = 20, .shared = true } },
};

#define RES(r) .resources = r, .num_resources = ARRAY_LEN(r)

static const struct acpi_device pc_devices[] = {
	{ .name = "COM1", .hid = "PNP0501", .uid = 1, RES(com1_resources) },
	{ .name = "RTC_", .hid = "PNP0B00", .uid = 0, RES(rtc_resources) },
	{ .hid = "PNP0303", .cid = "PNP030B", .uid = 0, RES(keyboard_resources) },
};

static const struct acpi_device odd_devices[] = {
	{ .hid = "LNRO0005", .uid = 0, RES(mmio_resources) },
	{ .hid = "LNRO0005", .uid = 0xffffffff, RES(mmio_resources) },
	{ .name = "ODD1", .hid = "ACPI0011", .cid = "PNP0C02", .uid = 256, RES(all_resources) },
	{ .name = "_ODD", .hid = "PNP0C0F", .cid = "LNRO0005", .uid = 65536 },
};

const struct acpi_case acpi_cases[] = {
	{ "cpu1",
	  { .num_cpus = 1, .lapic_addr = 0xfee00000, .sleep_port = 0x600, .reset_port = 0x604 } },
	{ "cpu1_pc",
	  { .num_cpus = 1,
	    .lapic_addr = 0xfee00000,
	    .ioapics = one_ioapic,
	    .num_ioapics = ARRAY_LEN(one_ioapic),
	    .overrides = timer_override,
	    .num_overrides = ARRAY_LEN(timer_override),
	    .has_8259 = true,
	    .has_rtc = true,
	    .has_8042 = true,
	    .pci = { .present = true,
		     .ecam_base = 0xe0000000,
		     .memory32 = { 0xc0000000, 0xdfffffff },
		     .memory64 = { 0x4000000000, 0x7fffffffff },
		     .io = { 0x1000, 0xffff } },
	    .sleep_port = 0x600,
	    .reset_port = 0x602,
	    .reset_value = 1,
	    .events = { .present = true, .irq = { .gsi = 9 }, .port = 0x603 },
	    .devices = pc_devices,
	    .num_devices = ARRAY_LEN(pc_devices) } },
	{ "cpu4_intx",
	  { .num_cpus = 4,
	    .lapic_addr = 0xfee00000,
	    .ioapics = two_ioapics,
	    .num_ioapics = ARRAY_LEN(two_ioapics),
	    .has_rtc = true,
	    .pci = { .present = true,
		     .ecam_base = 0xb0000000,
		     .last_bus = 255,
		     .memory32 = { 0xc0000000, 0xfebfffff },
		     .memory64 = NO_WINDOW,
		     .io = NO_WINDOW,
		     .has_intx = true,
		     .intx_slots = 0x8000000a,
		     .intx_gsi = { 16, 17, 18, 300 } },
	    .sleep_port = 0xfffe,
	    .reset_port = 0x64,
	    .reset_value = 0xfe,
	    .events = { .present = true,
			.irq = { .gsi = 10, .level = true, .active_low = true },
			.port = 0x10 } } },
	{ "cpu16_pc",
	  { .num_cpus = 16,
	    .lapic_addr = 0xfee00000,
	    .ioapics = one_ioapic,
	    .num_ioapics = ARRAY_LEN(one_ioapic),
	    .overrides = timer_override,
	    .num_overrides = ARRAY_LEN(timer_override),
	    .has_8259 = true,
	    .has_rtc = true,
	    .has_8042 = true,
	    .pci = { .present = true,
		     .ecam_base = 0xe0000000,
		     .memory32 = { 0xc0000000, 0xdfffffff },
		     .memory64 = { 0x4000000000, 0x7fffffffff },
		     .io = { 0x1000, 0xffff } },
	    .sleep_port = 0x600,
	    .reset_port = 0x602,
	    .reset_value = 1,
	    .events = { .present = true, .irq = { .gsi = 9 }, .port = 0x603 },
	    .devices = pc_devices,
	    .num_devices = ARRAY_LEN(pc_devices) } },
	{ "cpu2_fixed",
	  { .num_cpus = 2,
	    .lapic_addr = 0xfee00000,
	    .ioapics = one_ioapic,
	    .num_ioapics = ARRAY_LEN(one_ioapic),
	    .has_8259 = true,
	    .has_rtc = true,
	    .pci = { .present = true,
		     .ecam_base = 0xe0000000,
		     .memory32 = { 0xc0000000, 0xdfffffff },
		     .memory64 = NO_WINDOW,
		     .io = NO_WINDOW },
	    .sleep_port = 0x600,
	    .reset_port = 0x603,
	    .reset_value = 1,
	    .fixed = { .present = true, .sci = 9, .event_port = 0x604, .control_port = 0x608 },
	    .hpet = { .present = true, .addr = 0xf8008000, .id = 0x1c05a201, .min_ticks = 128 },
	    .devices = pc_devices,
	    .num_devices = ARRAY_LEN(pc_devices) } },
	{ "cpu300_odd",
	  { .num_cpus = 300,
	    .lapic_addr = 0xfee00000,
	    .ioapics = two_ioapics,
	    .num_ioapics = ARRAY_LEN(two_ioapics),
	    .pci = { .present = true,
		     .ecam_base = 0x1000000000,
		     .first_bus = 16,
		     .last_bus = 31,
		     .memory32 = NO_WINDOW,
		     .memory64 = { 0x2000000000, 0x2fffffffff },
		     .io = { 0x0, 0xcf7 } },
	    .sleep_port = 0x600,
	    .reset_port = 0xcf9,
	    .reset_value = 6,
	    .devices = odd_devices,
	    .num_devices = ARRAY_LEN(odd_devices) } },
};

const size_t acpi_num_cases = ARRAY_LEN(acpi_cases);
