/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables: what they say of this VM, and where they lie in its memory. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "boot/acpi.h"
#include "boot/x86_64/reset_stub.h"
#include "vm/loader.h"
#include "vm/x86_64/passed.h"

enum { TABLES_ELSEWHERE_LEN = 0x10000 };

/* For the platform's interrupt: the classic ACPI interrupt of a PC, then what PCs have free. */
static const unsigned button_gsis[] = { 9, 10, 11, 5, 7, 3 };

enum { PASSED_FIRST_UID = 100 }; /* after those of vdevs */

/* What an acpi_config points at; acpi_arrays_free. */
struct acpi_arrays {
	struct acpi_device *devices;
	struct acpi_resource *resources;
	struct passed_ids *passed;
	struct acpi_ioapic ioapics[VDEV_MAX_PICS];
};

static size_t acpi_resources_of(const struct vm *vm, const struct vdev_acpi *a,
				struct acpi_resource *res)
{
	const vdev_t *v = &a->vdev->vdev;
	size_t n = 0;

	(void)vm;
	if (v->v_block.qst_type == QST_X86_IO && v->v_block.location != QSL_NO_LOCATION)
		res[n++] = (struct acpi_resource){ ACPI_RESOURCE_IO, .base = v->v_block.location,
						   .len = v->v_block.length };
	else if (v->v_block.qst_type == QST_MEMORY && v->v_block.location != QSL_NO_LOCATION)
		res[n++] =
			(struct acpi_resource){ ACPI_RESOURCE_MEMORY, .base = v->v_block.location,
						.len = v->v_block.length };
	for (unsigned i = 0; i < a->num_more; i++)
		res[n++] = (struct acpi_resource){ ACPI_RESOURCE_IO, .base = a->more[i].first,
						   .len = a->more[i].count };
	if (qvmx_intr_gsi(&v->v_intr) >= 0)
		res[n++] =
			(struct acpi_resource){ ACPI_RESOURCE_IRQ,
						.irq = { .gsi = (uint32_t)qvmx_intr_gsi(&v->v_intr),
							 .level = vio_is_mmio(a->vdev) } };
	return n;
}

static void acpi_arrays_free(struct acpi_arrays *a)
{
	free(a->devices);
	free(a->resources);
	free(a->passed);
}

static int acpi_config_make(struct vm *vm, struct acpi_config *ret_cfg,
			    struct acpi_arrays *ret_arrays)
{
	const struct vdev_host *host = vm->vdevs;
	const struct conf_pass *passes = vm->conf->passes;
	const unsigned num_passes = vm->conf->num_passes;
	size_t num_resources = 0, used = 0;
	unsigned gsis[PCI_NUM_LINES];

	for (unsigned i = 0; i < host->num_acpi; i++)
		num_resources += 2 + host->acpi[i].num_more;
	for (unsigned i = 0; i < num_passes; i++)
		num_resources += passes[i].num_locs + passes[i].num_intrs;
	struct acpi_arrays a = {
		.devices = calloc(host->num_acpi + num_passes + 1, sizeof(*a.devices)),
		.resources = calloc(num_resources + 1, sizeof(*a.resources)),
		.passed = calloc(num_passes + 1, sizeof(*a.passed)),
	};

	if (!a.devices || !a.resources || !a.passed) {
		acpi_arrays_free(&a);
		return -ENOMEM;
	}
	struct acpi_config cfg = {
		.num_cpus = vm->num_cpus,
		.lapic_addr = (uint32_t)ADDRESS_LAPIC,
		.has_8259 = host->machine.extint[0] != NULL,
		.pci = { .present = true,
			 .ecam_base = ADDRESS_ECAM,
			 .last_bus = ADDRESS_ECAM_BUSES - 1,
			 .memory32 = { ADDRESS_PCI_MEM32,
				       ADDRESS_PCI_MEM32 + ADDRESS_PCI_MEM32_LEN - 1 },
			 .memory64 = { 1, 0 },
			 .io = { ADDRESS_PCI_IO, ADDRESS_PCI_IO + ADDRESS_PCI_IO_LEN - 1 } },
		.sleep_port = PORT_PLATFORM + PLATFORM_SLEEP_CONTROL,
		.reset_port = PORT_PLATFORM + PLATFORM_RESET,
		.reset_value = PLATFORM_RESET_VALUE,
		.fixed = { .present = vm_has_fixed_acpi(vm),
			   .sci = (uint8_t)MAX(vm->button_gsi, 0),
			   .event_port = PORT_FIXED_EVENT,
			   .control_port = PORT_FIXED_CONTROL },
		.hpet = { .present = host->hpet.vdev != NULL,
			  .id = host->hpet.id,
			  .min_ticks = host->hpet.min_ticks },
		.events = { .present = vm->button_gsi >= 0 && !vm_has_fixed_acpi(vm),
			    .irq = { .gsi = (uint32_t)MAX(vm->button_gsi, 0), .level = true },
			    .port = PORT_PLATFORM + PLATFORM_EVENT },
		.devices = a.devices,
		.num_devices = host->num_acpi,
		.legacy_free = conf_set_bool(vm->conf, "legacy-free", -1),
		.extra = vm->acpi_extra,
		.num_extra = vm->num_acpi_extra,
	};

	cfg.pci.has_intx = vdev_host_intx_gsis(host, gsis);
	cfg.pci.intx_slots = pci_bus_pins(vm->pci);
	for (unsigned i = 0; i < PCI_NUM_LINES && cfg.pci.has_intx; i++)
		cfg.pci.intx_gsi[i] = gsis[i];
	for (unsigned i = 0; i < host->num_acpi; i++) {
		const struct vdev_acpi *v = &host->acpi[i];
		struct acpi_device *d = &a.devices[i];

		*d = (struct acpi_device){ .hid = v->hid,
					   .uid = v->uid,
					   .resources = &a.resources[used] };
		d->num_resources = acpi_resources_of(vm, v, &a.resources[used]);
		used += d->num_resources;
		cfg.has_rtc |= strcmp(v->hid, "PNP0B00") == 0;
		cfg.has_8042 |= strcmp(v->hid, "PNP0303") == 0;
	}
	for (unsigned i = 0; i < num_passes; i++) {
		if (!passed_find(vm, &passes[i], &a.passed[i]))
			continue;
		struct acpi_device *d = &a.devices[cfg.num_devices++];

		*d = (struct acpi_device){ .hid = a.passed[i].hid,
					   .cid = a.passed[i].cid[0] ? a.passed[i].cid : NULL,
					   .uid = PASSED_FIRST_UID + i,
					   .resources = &a.resources[used] };
		d->num_resources = passed_resources(vm, &passes[i], &a.resources[used]);
		used += d->num_resources;
	}
	for (unsigned i = 0; i < host->machine.num_pics; i++) {
		const struct vdev_instance *pic = host->machine.pics[i];

		if (pic->chip == QVMX_CHIP_IOAPIC)
			a.ioapics[cfg.num_ioapics++] = (struct acpi_ioapic){
				.id = (uint8_t)i,
				.addr = (uint32_t)pic->vdev.v_block.location,
				.gsi_base = (uint32_t)pic->gsi_base,
			};
	}
	if (cfg.hpet.present)
		cfg.hpet.addr = (uint32_t)host->hpet.vdev->vdev.v_block.location;
	*ret_arrays = a;
	cfg.ioapics = ret_arrays->ioapics;
	*ret_cfg = cfg;
	return 0;
}

/* The end of the first megabyte is as firmware leaves it, unless the user brings something there.
 */
static bool firmware_is_ours(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->conf->num_loads; i++) {
		const struct conf_load *l = &vm->conf->loads[i];

		if (l->has_addr && l->addr < ADDRESS_TABLES + ADDRESS_TABLES_LEN &&
		    l->addr + loader_file_size(l) > ADDRESS_TABLES)
			return false;
	}
	return memory_translate(vm->mem, ADDRESS_TABLES, ADDRESS_TABLES_LEN, false) != NULL;
}

/* What the user's own tables take, with the gaps between them. */
static size_t tables_extra(const struct vm *vm)
{
	size_t len = 0;

	for (size_t i = 0; i < vm->num_acpi_extra; i++)
		len += align_up(vm->acpi_extra[i].len, 16);
	return len;
}

/* What the user gave an address lies there: nothing that has none may take its place. */
static void loads_carve(const struct vm *vm, struct ranges *r)
{
	for (unsigned i = 0; i < vm->conf->num_loads; i++) {
		const struct conf_load *l = &vm->conf->loads[i];
		uint64_t end = l->addr + loader_file_size(l);

		if (l->has_addr && end > l->addr)
			ranges_carve(r, l->addr, end, BOOT_RANGE_RESERVED);
	}
}

/* Where firmware has its tables if there is memory, else at the top of the memory below 4 GiB. */
static int tables_place(struct vm *vm, struct ranges *r, uint64_t *ret_gpa, size_t *ret_len)
{
	const size_t room = (size_t)align_up(TABLES_ELSEWHERE_LEN + tables_extra(vm), CONF_PAGE);
	uint64_t gpa;

	if (firmware_is_ours(vm) && room <= RESET_STUB_GPA - ADDRESS_TABLES) {
		reset_stub_write(PORT_PLATFORM + PLATFORM_RESET, PLATFORM_RESET_VALUE,
				 memory_translate(vm->mem, RESET_STUB_GPA, RESET_STUB_LEN, false));
		*ret_gpa = ADDRESS_TABLES;
		*ret_len = RESET_STUB_GPA - ADDRESS_TABLES;
		return 0;
	}
	struct ranges left = *r;

	loads_carve(vm, &left);
	struct boot_memory mem = loader_memory(vm, &left);
	int rc = boot_memory_find_high(&mem, room, 0x1000, 0, 1ull << 32, &gpa);

	if (rc)
		return rc;
	ranges_carve(r, gpa, gpa + room, BOOT_RANGE_ACPI);
	*ret_gpa = gpa;
	*ret_len = room;
	return 0;
}

static int tables_build(struct vm *vm, struct ranges *r, uint64_t *ret_gpa,
			struct acpi_tables *ret_tables)
{
	struct acpi_config cfg;
	struct acpi_arrays arrays;
	size_t len;
	int rc = tables_place(vm, r, ret_gpa, &len);

	if (!rc)
		rc = acpi_config_make(vm, &cfg, &arrays);
	if (rc)
		return rc;
	rc = acpi_build(&cfg, *ret_gpa, len, ret_tables);
	acpi_arrays_free(&arrays);
	return rc;
}

/* `set acpi-dump-dir`: each table as DIR/SIGNATURE.dat, further ones of a kind with a number. */
static int tables_dump(struct vm *vm, const struct acpi_tables *tables)
{
	const struct conf_set *set = conf_set_find(vm->conf, "acpi-dump-dir", -1);
	char path[PATH_MAX];

	for (size_t i = 0; set && i < tables->num_tables; i++) {
		const struct acpi_table *t = &tables->tables[i];
		unsigned before = 0;
		char number[16] = "";

		for (size_t k = 0; k < i; k++)
			before += memcmp(tables->tables[k].signature, t->signature, 4) == 0;
		if (before)
			snprintf(number, sizeof(number), "-%u", before);
		snprintf(path, sizeof(path), "%s/%s%s.dat", set->value.text, t->signature, number);
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		bool good =
			fd >= 0 && write(fd, tables->data + t->offset, t->len) == (ssize_t)t->len;

		if (!good)
			conf_error(vm->conf, &set->value.pos, "cannot write '%s': %s", path,
				   strerror(errno));
		if (fd >= 0)
			close(fd);
		if (!good)
			return -EIO;
	}
	return 0;
}

/* The tables of `acpi load` went to the guest as they are. */
static int tables_loaded(struct loader *ld, const struct acpi_tables *tables, uint64_t gpa)
{
	const struct vm *vm = ld->vm;
	size_t extra = 0;

	for (unsigned i = 0; i < vm->conf->num_loads; i++) {
		const struct conf_load *l = &vm->conf->loads[i];
		size_t t = 0;

		if (l->blob != CONF_BLOB_ACPI)
			continue;
		const struct acpi_extra *e = &vm->acpi_extra[extra++];

		while (t < tables->num_tables &&
		       (tables->tables[t].len != e->len ||
			memcmp(tables->data + tables->tables[t].offset, e->data, e->len) != 0))
			t++;
		assert(t < tables->num_tables);
		int rc = loader_loaded(ld, l, gpa + tables->tables[t].offset, 0, e->len);

		if (rc)
			return rc;
	}
	return 0;
}

int loader_arch_tables(struct loader *ld)
{
	struct vm *vm = ld->vm;
	struct acpi_tables tables;
	uint64_t gpa;
	int rc = tables_build(vm, &ld->ranges, &gpa, &tables);

	if (rc == -ENOSPC && !vm->num_acpi_extra) /* a guest so small has no use for them */
		return 0;
	if (rc) {
		conf_error(vm->conf, NULL, "the ACPI tables cannot be made: %s", strerror(-rc));
		return rc;
	}
	rc = tables_dump(vm, &tables);
	memcpy(memory_translate(vm->mem, gpa, tables.len, false), tables.data, tables.len);
	ld->rsdp = tables.rsdp_gpa;
	if (!rc)
		rc = loader_place(ld, gpa, gpa + tables.len, "the ACPI tables", NULL);
	if (!rc)
		rc = tables_loaded(ld, &tables, gpa);
	acpi_tables_free(&tables);
	return rc;
}

int vm_tables_dump(struct vm *vm)
{
	struct loader ld = { .vm = vm };

	int rc = vdev_host_gen_acpi(vm->vdevs);

	if (rc)
		return rc;
	loader_arch_ranges(vm, &ld.ranges);
	return loader_arch_tables(&ld);
}

int vm_acpi_devices(struct vm *vm, void (*each)(void *ctx, const struct acpi_device *device),
		    void *ctx)
{
	struct acpi_arrays arrays;
	struct acpi_config cfg;
	int rc = acpi_config_make(vm, &cfg, &arrays);

	if (rc)
		return rc;
	for (size_t i = 0; i < cfg.num_devices; i++)
		each(ctx, &cfg.devices[i]);
	acpi_arrays_free(&arrays);
	return 0;
}

/* The guest is told of the power button by an interrupt, if there is a controller that takes one.
 */
void vm_button_plan(struct vm *vm)
{
	vm->button_gsi = -1;
	for (unsigned i = 0; i < ARRAY_LEN(button_gsis) && vm->button_gsi < 0; i++)
		if (!vdev_host_gsi_reserved(vm->conf, button_gsis[i]) &&
		    vdev_host_line_claim(vm->vdevs, button_gsis[i], "the ACPI platform",
					 &vm->button_intr))
			vm->button_gsi = (int)button_gsis[i];
}
