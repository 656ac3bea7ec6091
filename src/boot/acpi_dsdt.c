/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/acpi_dsdt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PCI_CONFIG_PORT	 0xcf8u
#define PCI_CONFIG_PORTS 8u
#define PCI_NUM_SLOTS	 32u
#define PCI_NUM_PINS	 4u
#define ECAM_BUS_LEN	 (1ull << 20)
#define MAX_DEVICES	 0x1000u /* made-up names have three hexadecimal digits */
#define NAME_LEN	 4u
#define NAME_CHARS	 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static const char *const fixed_names[] = { "PCI0", "MBRD", "PWRB", "GED_" };

uint64_t acpi_ecam_base(const struct acpi_pci *pci)
{
	return pci->ecam_base + pci->first_bus * ECAM_BUS_LEN;
}

uint64_t acpi_ecam_len(const struct acpi_pci *pci)
{
	return (pci->last_bus - pci->first_bus + 1ull) * ECAM_BUS_LEN;
}

static void put_name_integer(struct aml *b, const char *name, uint64_t value)
{
	aml_put_name(b, name);
	aml_put_integer(b, value);
}

static void put_name_id(struct aml *b, const char *name, const char *id)
{
	aml_put_name(b, name);
	aml_put_hardware_id(b, id);
}

static void put_cpus(struct aml *b, unsigned int num_cpus)
{
	for (unsigned int i = 0; i < num_cpus; i++) {
		char name[NAME_LEN + 1];
		size_t dev;

		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		dev = aml_open_device(b, name);
		put_name_id(b, "_HID", "ACPI0007");
		put_name_integer(b, "_UID", i);
		aml_close(b, dev);
	}
}

static bool window_present(const struct acpi_window *w)
{
	return w->first <= w->last;
}

static bool window_fits(const struct acpi_window *w, uint64_t max)
{
	return !window_present(w) || w->last <= max;
}

static bool pci_valid(const struct acpi_pci *pci)
{
	return pci->first_bus <= pci->last_bus && pci->ecam_base % ECAM_BUS_LEN == 0 &&
	       pci->ecam_base <= UINT64_MAX - (pci->last_bus + 1ull) * ECAM_BUS_LEN &&
	       window_fits(&pci->io, UINT16_MAX) && window_fits(&pci->memory32, UINT32_MAX);
}

/* The usual swizzle: neighbours' pins go to different lines. Each row is { slot, pin, no link
 * device, gsi }. */
static void put_interrupt_routing(struct aml *b, const struct acpi_pci *pci)
{
	unsigned int num_slots = 0;
	size_t table, row;

	for (unsigned int slot = 0; slot < PCI_NUM_SLOTS; slot++)
		num_slots += pci->intx_slots >> slot & 1;
	aml_put_name(b, "_PRT");
	table = aml_open_package(b, (uint8_t)(num_slots * PCI_NUM_PINS));
	for (unsigned int slot = 0; slot < PCI_NUM_SLOTS; slot++) {
		if (!(pci->intx_slots & 1u << slot))
			continue;
		for (unsigned int pin = 0; pin < PCI_NUM_PINS; pin++) {
			row = aml_open_package(b, 4);
			aml_put_integer(b, slot << 16 | 0xffffu);
			aml_put_integer(b, pin);
			aml_put_integer(b, 0);
			aml_put_integer(b, pci->intx_gsi[(slot + pin) % PCI_NUM_PINS]);
			aml_close(b, row);
		}
	}
	aml_close(b, table);
}

static void put_pci_root(struct aml *b, const struct acpi_pci *pci)
{
	size_t dev = aml_open_device(b, "PCI0");
	size_t res;

	put_name_id(b, "_HID", "PNP0A03");
	put_name_integer(b, "_UID", 0);
	put_name_integer(b, "_BBN", pci->first_bus);
	put_name_integer(b, "_SEG", 0);
	aml_put_name(b, "_CRS");
	res = aml_res_open(b);
	aml_res_put_bus_window(b, pci->first_bus, pci->last_bus);
	aml_res_put_io(b, PCI_CONFIG_PORT, PCI_CONFIG_PORTS);
	if (window_present(&pci->io))
		aml_res_put_io_window(b, (uint16_t)pci->io.first, (uint16_t)pci->io.last);
	if (window_present(&pci->memory32))
		aml_res_put_memory_window32(b, (uint32_t)pci->memory32.first,
					    (uint32_t)pci->memory32.last);
	if (window_present(&pci->memory64))
		aml_res_put_memory_window64(b, pci->memory64.first, pci->memory64.last);
	aml_res_close(b, res);
	if (pci->has_intx && pci->intx_slots)
		put_interrupt_routing(b, pci);
	aml_close(b, dev);
}

/* Linux uses ECAM only where the firmware says, outside MCFG too, that nothing else lies there. */
static void put_motherboard(struct aml *b, const struct acpi_pci *pci)
{
	size_t dev = aml_open_device(b, "MBRD");
	size_t res;

	put_name_id(b, "_HID", "PNP0C02");
	put_name_integer(b, "_UID", 0);
	aml_put_name(b, "_CRS");
	res = aml_res_open(b);
	aml_res_put_memory(b, acpi_ecam_base(pci), acpi_ecam_len(pci));
	aml_res_close(b, res);
	aml_close(b, dev);
}

static void put_events(struct aml *b, const struct acpi_events *events)
{
	size_t dev, res, method, branch;

	dev = aml_open_device(b, "PWRB");
	put_name_id(b, "_HID", "PNP0C0C");
	put_name_integer(b, "_UID", 0);
	aml_close(b, dev);

	dev = aml_open_device(b, "GED_");
	put_name_id(b, "_HID", "ACPI0013");
	put_name_integer(b, "_UID", 0);
	aml_put_name(b, "_CRS");
	res = aml_res_open(b);
	aml_res_put_irq(b, &events->irq);
	aml_res_close(b, res);
	aml_put_region(b, "EREG", AML_SPACE_IO, events->port, 1);
	aml_put_byte_field(b, "EREG", "EVNT");

	/* One read: it clears what it returns. */
	method = aml_open_method(b, "_EVT", 1);
	aml_put_op(b, AML_OP_STORE);
	aml_put_path(b, "EVNT");
	aml_put_op(b, AML_OP_LOCAL0);
	branch = aml_open_if(b);
	aml_put_op(b, AML_OP_AND);
	aml_put_op(b, AML_OP_LOCAL0);
	aml_put_integer(b, ACPI_EVENT_POWER_BUTTON);
	aml_put_null_name(b);
	aml_put_op(b, AML_OP_NOTIFY);
	aml_put_path(b, "PWRB");
	aml_put_integer(b, 0x80); /* "pressed" */
	aml_close(b, branch);
	aml_close(b, method);
	aml_close(b, dev);
}

static int put_resource(struct aml *b, const struct acpi_resource *r)
{
	switch (r->kind) {
	case ACPI_RESOURCE_IO:
		if (!r->len || r->len > UINT8_MAX ||
		    !range_inside(r->base, r->len, 0, UINT16_MAX + 1ull))
			return -EINVAL;
		aml_res_put_io(b, (uint16_t)r->base, (uint8_t)r->len);
		return 0;
	case ACPI_RESOURCE_MEMORY:
		aml_res_put_memory(b, r->base, r->len);
		return 0;
	case ACPI_RESOURCE_IRQ:
		aml_res_put_irq(b, &r->irq);
		return 0;
	}
	return -EINVAL;
}

/* The name of device i, made up if it has none. */
static void device_name(const struct acpi_config *cfg, size_t i, char name[NAME_LEN + 1])
{
	if (cfg->devices[i].name)
		memcpy(name, cfg->devices[i].name, NAME_LEN + 1);
	else
		snprintf(name, NAME_LEN + 1, "D%03zX", i & 0xfff);
}

static bool is_cpu_name(const struct acpi_config *cfg, const char *name)
{
	char cpu[NAME_LEN + 1];

	for (unsigned int i = 0; i < cfg->num_cpus; i++) {
		snprintf(cpu, sizeof(cpu), "C%03X", i & 0xfff);
		if (!strcmp(cpu, name))
			return true;
	}
	return false;
}

static int check_names(const struct acpi_config *cfg)
{
	char name[NAME_LEN + 1], other[NAME_LEN + 1];

	if (cfg->num_devices > MAX_DEVICES)
		return -EINVAL;
	for (size_t i = 0; i < cfg->num_devices; i++) {
		const char *given = cfg->devices[i].name;

		/* One segment, not a path. */
		if (given && (strlen(given) != NAME_LEN || strspn(given, NAME_CHARS) != NAME_LEN))
			return -EINVAL;
	}
	for (size_t i = 0; i < cfg->num_devices; i++) {
		device_name(cfg, i, name);
		for (size_t j = 0; j < ARRAY_LEN(fixed_names); j++) {
			if (!strcmp(name, fixed_names[j]))
				return -EEXIST;
		}
		if (is_cpu_name(cfg, name))
			return -EEXIST;
		for (size_t j = 0; j < i; j++) {
			device_name(cfg, j, other);
			if (!strcmp(name, other))
				return -EEXIST;
		}
	}
	return 0;
}

static int put_device(struct aml *b, const struct acpi_config *cfg, size_t i)
{
	const struct acpi_device *d = &cfg->devices[i];
	char name[NAME_LEN + 1];
	size_t dev, res;

	device_name(cfg, i, name);
	dev = aml_open_device(b, name);
	put_name_id(b, "_HID", d->hid);
	if (d->cid)
		put_name_id(b, "_CID", d->cid);
	put_name_integer(b, "_UID", d->uid);
	if (d->num_resources) {
		aml_put_name(b, "_CRS");
		res = aml_res_open(b);
		for (size_t j = 0; j < d->num_resources; j++) {
			int r = put_resource(b, &d->resources[j]);

			if (r < 0)
				return r;
		}
		aml_res_close(b, res);
	}
	aml_close(b, dev);
	return 0;
}

/* Power-off: the first number is what the guest writes to the sleep control register as SLP_TYP. */
static void put_s5(struct aml *b)
{
	size_t package;

	aml_put_name(b, "_S5_");
	package = aml_open_package(b, 4);
	aml_put_integer(b, ACPI_SLEEP_TYPE_S5);
	for (int i = 0; i < 3; i++)
		aml_put_integer(b, 0);
	aml_close(b, package);
}

int acpi_put_dsdt(struct aml *b, const struct acpi_config *cfg)
{
	size_t scope;
	int r;

	if (cfg->pci.present && !pci_valid(&cfg->pci))
		return -EINVAL;
	r = check_names(cfg);
	if (r < 0)
		return r;
	scope = aml_open_scope(b, "_SB_");
	put_cpus(b, cfg->num_cpus);
	if (cfg->events.present)
		put_events(b, &cfg->events);
	if (cfg->pci.present) {
		put_motherboard(b, &cfg->pci);
		put_pci_root(b, &cfg->pci);
	}
	for (size_t i = 0; i < cfg->num_devices; i++) {
		r = put_device(b, cfg, i);
		if (r < 0)
			return r;
	}
	aml_close(b, scope);
	put_s5(b);
	return 0;
}
