/* SPDX-License-Identifier: Apache-2.0 */
/* Files and tables into guest memory, and the boot vCPU's state. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "boot/acpi.h"
#include "boot/elf_file.h"
#include "boot/raw.h"
#include "boot/x86_64/linux.h"
#include "boot/x86_64/multiboot.h"
#include "boot/x86_64/protected.h"
#include "boot/x86_64/reset_stub.h"
#include "vdev/gasp.h"
#include "vm/vm.h"

enum { MAX_RANGES = 640, TABLES_ELSEWHERE_LEN = 0x10000 };

/* A processor starts here after a reset: the last 16 bytes below 4 GiB. */
#define RESET_CS_BASE 0xffff0000u
#define RESET_IP      0xfff0u
#define RESET_END     (UINT64_C(1) << 32)

/* Kernels find an initrd below this at the latest. */
#define INITRD_END 0x80000000u

/* The guest's memory as it is told of it, sorted. */
struct ranges {
	struct boot_range list[MAX_RANGES];
	size_t num;
	bool full; /* something did not fit */
};

/* What was put into the guest's memory, so that nothing is put over it. */
struct placed {
	uint64_t start, end;
	const char *what;
	const struct conf_pos *pos; /* NULL: not the user's */
};

struct loader {
	struct vm *vm;
	struct ranges ranges;
	struct placed placed[VM_MAX_LOADS + BOOT_MAX_SEGMENTS + REGIONS_MAX + 1];
	size_t num_placed;
	uint64_t rsdp; /* 0: no tables */
	const struct conf_load *initrds[BOOT_MAX_MODULES];
	unsigned num_initrds;
};

static void range_add(struct ranges *r, uint64_t start, uint64_t end, enum boot_range_type type)
{
	if (start >= end)
		return;
	r->full |= r->num == MAX_RANGES;
	if (!r->full)
		r->list[r->num++] =
			(struct boot_range){ .addr = start, .len = end - start, .type = type };
}

/* RAM below 1 MiB ends where a PC's does; the rest of it up to 1 MiB is there but not the guest's
 * to use. */
static void ranges_from_plan(const struct vm *vm, struct ranges *ret)
{
	*ret = (struct ranges){ .num = 0 };
	for (unsigned i = 0; i < vm->plan->num_regions; i++) {
		const struct plan_region *r = &vm->plan->regions[i];
		uint64_t end = r->start + r->len;

		if (r->space != PLAN_MEM)
			continue;
		if (r->kind == PLAN_RAM) {
			range_add(ret, r->start, MIN(end, ADDRESS_LOW_RAM_END), BOOT_RANGE_RAM);
			range_add(ret, MAX(r->start, ADDRESS_LOW_RAM_END),
				  MIN(end, ADDRESS_HIGH_RAM), BOOT_RANGE_RESERVED);
			range_add(ret, MAX(r->start, ADDRESS_HIGH_RAM), end, BOOT_RANGE_RAM);
		} else if (r->kind == PLAN_ROM || r->start == ADDRESS_ECAM) {
			range_add(ret, r->start, end, BOOT_RANGE_RESERVED);
		}
	}
}

/* Take what [start, end) shares with RAM out of it. */
static void range_carve(struct ranges *r, uint64_t start, uint64_t end, enum boot_range_type type)
{
	struct ranges out = { .full = r->full };

	for (size_t i = 0; i < r->num; i++) {
		const struct boot_range *b = &r->list[i];
		uint64_t b_end = b->addr + b->len;

		if (b->type != BOOT_RANGE_RAM || start >= b_end || end <= b->addr) {
			range_add(&out, b->addr, b_end, b->type);
			continue;
		}
		range_add(&out, b->addr, MAX(start, b->addr), b->type);
		range_add(&out, MAX(start, b->addr), MIN(end, b_end), type);
		range_add(&out, MIN(end, b_end), b_end, b->type);
	}
	*r = out;
}

static void *map_any(void *ctx, uint64_t gpa, uint64_t len)
{
	const struct vm *vm = ctx;

	return memory_translate(vm->mem, gpa, len, false);
}

static struct boot_memory boot_memory_of(struct vm *vm, const struct ranges *r)
{
	return (struct boot_memory){
		.map = map_any, .ctx = vm, .ranges = r->list, .num_ranges = r->num
	};
}

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

int vm_acpi_config(struct vm *vm, struct acpi_config *ret_cfg, struct vm_acpi_arrays *ret_arrays)
{
	const struct vdev_host *host = vm->vdevs;
	size_t num_resources = 0, used = 0;
	unsigned gsis[PCI_NUM_LINES];

	for (unsigned i = 0; i < host->num_acpi; i++)
		num_resources += 2 + host->acpi[i].num_more;
	struct vm_acpi_arrays a = {
		.devices = calloc(host->num_acpi + 1, sizeof(*a.devices)),
		.resources = calloc(num_resources + 1, sizeof(*a.resources)),
	};

	if (!a.devices || !a.resources) {
		free(a.devices);
		free(a.resources);
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
			 .io = { 1, 0 } },
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

/* Bytes of a file that is to be loaded; 0 if it is not there (which is reported when it is opened).
 */
static uint64_t load_size(const struct conf_load *load)
{
	struct stat st;

	return stat(load->path.text, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

/* The end of the first megabyte is as firmware leaves it, unless the user brings something there.
 */
static bool firmware_is_ours(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->conf->num_loads; i++) {
		const struct conf_load *l = &vm->conf->loads[i];

		if (l->has_addr && l->addr < ADDRESS_TABLES + ADDRESS_TABLES_LEN &&
		    l->addr + load_size(l) > ADDRESS_TABLES)
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
	struct boot_memory mem = boot_memory_of(vm, r);
	int rc = boot_memory_find_high(&mem, room, 0x1000, 0, 1ull << 32, &gpa);

	if (rc)
		return rc;
	range_carve(r, gpa, gpa + room, BOOT_RANGE_ACPI);
	*ret_gpa = gpa;
	*ret_len = room;
	return 0;
}

static int tables_build(struct vm *vm, struct ranges *r, uint64_t *ret_gpa,
			struct acpi_tables *ret_tables)
{
	struct acpi_config cfg;
	struct vm_acpi_arrays arrays;
	size_t len;
	int rc = tables_place(vm, r, ret_gpa, &len);

	if (!rc)
		rc = vm_acpi_config(vm, &cfg, &arrays);
	if (rc)
		return rc;
	rc = acpi_build(&cfg, *ret_gpa, len, ret_tables);
	free(arrays.devices);
	free(arrays.resources);
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

/* Note that [start, end) is taken. -EEXIST: it was; both are named. */
static int place(struct loader *ld, uint64_t start, uint64_t end, const char *what,
		 const struct conf_pos *pos)
{
	for (size_t i = 0; i < ld->num_placed; i++) {
		const struct placed *p = &ld->placed[i];

		if (!range_overlaps(p->start, p->end - p->start, start, end - start))
			continue;
		conf_error(ld->vm->conf, pos,
			   "'%s' would lie over '%s': both have the guest-physical addresses "
			   "0x%" PRIx64 " to 0x%" PRIx64,
			   what, p->what, MAX(p->start, start), MIN(p->end, end) - 1);
		if (p->pos)
			conf_note(ld->vm->conf, p->pos, "'%s' is loaded here", p->what);
		return -EEXIST;
	}
	ld->placed[ld->num_placed++] =
		(struct placed){ .start = start, .end = end, .what = what, .pos = pos };
	return 0;
}

/* RAM that vdevs have reserved (gram_reserve): nothing is put there, nor may the guest use it. */
static int reserved_place(struct loader *ld)
{
	unsigned num;
	const struct gasp_reserved *r = gasp_reserved(ld->vm->vdevs->gasp, &num);
	int rc = 0;

	for (unsigned i = 0; i < num && !rc; i++) {
		range_carve(&ld->ranges, r[i].start, r[i].start + r[i].len, BOOT_RANGE_RESERVED);
		rc = place(ld, r[i].start, r[i].start + r[i].len, "memory that a vdev keeps", NULL);
	}
	return rc;
}

/* For boot vdevs: these bytes of the load's file lie there. */
static int loaded(struct loader *ld, const struct conf_load *load, uint64_t gpa, uint64_t offset,
		  uint64_t len)
{
	const struct vdev_load piece = { .path = load->path.text,
					 .line = (unsigned)(load - ld->vm->conf->loads),
					 .gpa = gpa,
					 .offset = offset,
					 .len = len };

	return vdev_host_load_add(ld->vm->vdevs, &piece);
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
		int rc = loaded(ld, l, gpa + tables->tables[t].offset, 0, e->len);

		if (rc)
			return rc;
	}
	return 0;
}

static int tables_load(struct loader *ld, uint64_t *ret_rsdp)
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
	*ret_rsdp = tables.rsdp_gpa;
	if (!rc)
		rc = place(ld, gpa, gpa + tables.len, "the ACPI tables", NULL);
	if (!rc)
		rc = tables_loaded(ld, &tables, gpa);
	acpi_tables_free(&tables);
	return rc;
}

int vm_tables_dump(struct vm *vm)
{
	struct loader ld = { .vm = vm };
	uint64_t rsdp = 0;

	vdev_host_gen_acpi(vm->vdevs);
	ranges_from_plan(vm, &ld.ranges);
	return tables_load(&ld, &rsdp);
}

static int load_open(struct vm *vm, const struct conf_load *load)
{
	int fd = open(load->path.text, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		conf_error(vm->conf, &load->path.pos, "cannot open '%s': %s", load->path.text,
			   strerror(errno));
	return fd;
}

static int load_failed(struct vm *vm, const struct conf_load *load, const char *why, int rc)
{
	conf_error(vm->conf, &load->path.pos, "cannot load '%s': %s", load->path.text,
		   why ? why : strerror(-rc));
	return rc;
}

/* What is at a given address must not be lost, so look before reading the file. */
static int place_load(struct loader *ld, const struct conf_load *load)
{
	uint64_t size = load_size(load);

	if (!load->has_addr || !size || load->addr + size <= load->addr)
		return 0;
	return place(ld, load->addr, load->addr + size, load->path.text, &load->path.pos);
}

/* A raw file. It may go into ROM too, so the memory behind its address counts as free whatever the
 * guest is told. */
static int load_raw(struct loader *ld, const struct conf_load *load, int fd, struct raw_entry *ret)
{
	struct vm *vm = ld->vm;
	struct ranges *r = &ld->ranges;
	struct ranges whole = { .num = 0 };
	struct boot_memory mem = boot_memory_of(vm, load->has_addr ? &whole : r);
	const char *why = NULL;

	for (unsigned i = 0; i < vm->mem->num_regions; i++)
		range_add(&whole, vm->mem->regions[i].gpa,
			  vm->mem->regions[i].gpa + vm->mem->regions[i].len, BOOT_RANGE_RAM);
	mem.num_ranges = load->has_addr ? whole.num : r->num;
	int rc = place_load(ld, load);

	if (rc)
		return rc;
	rc = raw_load(fd, &mem, load->has_addr ? load->addr : RAW_ANYWHERE, ret, &why);

	if (rc)
		return load_failed(vm, load, why, rc);
	range_carve(r, align_down(ret->gpa, CONF_PAGE), align_up(ret->gpa + ret->len, CONF_PAGE),
		    BOOT_RANGE_RESERVED);
	return loaded(ld, load, ret->gpa, 0, ret->len);
}

static struct engine_boot boot_from_linux(const struct linux_entry *entry)
{
	return (struct engine_boot){
		.mode = entry->cr3 ? ENGINE_MODE_LONG : ENGINE_MODE_PROTECTED,
		.rip = entry->rip,
		.rsp = entry->rsp,
		.rsi = entry->rsi,
		.cr3 = entry->cr3,
		.gdt_base = entry->gdt_base,
		.gdt_limit = entry->gdt_limit,
		.code_selector = entry->code_selector,
		.data_selector = entry->data_selector,
	};
}

static struct engine_boot boot_from_protected(const struct protected_entry *entry)
{
	return (struct engine_boot){
		.mode = ENGINE_MODE_PROTECTED,
		.rip = entry->rip,
		.rsp = entry->rsp,
		.rax = entry->rax,
		.rbx = entry->rbx,
		.gdt_base = entry->gdt_base,
		.gdt_limit = entry->gdt_limit,
		.code_selector = entry->code_selector,
		.data_selector = entry->data_selector,
	};
}

/* Firmware reaches up to 4 GiB and is started as a processor starts after a reset. */
static struct engine_boot boot_from_raw(const struct raw_entry *raw)
{
	if (raw->gpa + raw->len == RESET_END && raw->len >= RESET_END - RESET_CS_BASE - RESET_IP)
		return (struct engine_boot){ .mode = ENGINE_MODE_REAL,
					     .cs_base = RESET_CS_BASE,
					     .rip = RESET_IP };
	return (struct engine_boot){ .mode = ENGINE_MODE_REAL, .cs_base = raw->gpa };
}

static int load_linux(struct loader *ld, const struct conf_load *load, int fd,
		      struct engine_boot *ret_boot)
{
	struct vm *vm = ld->vm;
	const struct conf_load *initrd = ld->num_initrds ? ld->initrds[0] : NULL;
	struct linux_boot in = {
		.memory = boot_memory_of(vm, &ld->ranges),
		.kernel_fd = fd,
		.initrd_fd = -1,
		.cmdline = vm->conf->cmdline.text ? vm->conf->cmdline.text : "",
		.rsdp_gpa = ld->rsdp,
	};
	struct linux_entry entry;
	const char *why = NULL;
	int rc = initrd ? place_load(ld, initrd) : 0;

	if (rc)
		return rc;
	if (!ld->rsdp)
		return load_failed(vm, load, "the guest's memory is too small for the ACPI tables",
				   -ENOSPC);
	if (initrd) {
		in.has_initrd_gpa = initrd->has_addr;
		in.initrd_gpa = initrd->addr;
		in.initrd_fd = load_open(vm, initrd);
		if (in.initrd_fd < 0)
			return -ENOENT;
	}
	rc = linux_load(&in, &entry, &why);
	if (in.initrd_fd >= 0)
		close(in.initrd_fd);
	if (rc)
		return load_failed(vm, load, why, rc);
	*ret_boot = boot_from_linux(&entry);
	rc = loaded(ld, load, entry.kernel_gpa, entry.kernel_file_offset, entry.kernel_file_len);
	if (!rc && initrd)
		rc = loaded(ld, initrd, entry.initrd_gpa, 0, entry.initrd_len);
	return rc;
}

/* The files of the `initrd load` lines beside an image. */
static int load_modules(struct loader *ld, const struct boot_image *image,
			struct boot_module *modules)
{
	struct vm *vm = ld->vm;
	struct boot_memory mem = boot_memory_of(vm, &ld->ranges);
	int rc = 0;

	/* Those with an address first, so that the others are put beside them. */
	for (unsigned i = 0; i < 2 * ld->num_initrds && !rc; i++) {
		unsigned n = i % ld->num_initrds;
		const struct conf_load *l = ld->initrds[n];
		const char *why = NULL;

		if (l->has_addr != (i < ld->num_initrds))
			continue;
		int fd = load_open(vm, l);

		if (fd < 0)
			return -ENOENT;
		rc = place_load(ld, l);
		if (!rc) {
			rc = boot_module_load(fd, &mem, l->has_addr ? l->addr : BOOT_ANYWHERE,
					      INITRD_END, image, modules, ld->num_initrds,
					      &modules[n], &why);
			if (rc)
				load_failed(vm, l, why, rc);
			else
				rc = loaded(ld, l, modules[n].gpa, 0, modules[n].len);
		}
		close(fd);
	}
	return rc;
}

/* An ELF or multiboot file whose headers are read. */
static int load_image(struct loader *ld, const struct conf_load *load, int fd,
		      const struct boot_image *image, bool multiboot, struct engine_boot *ret_boot)
{
	struct vm *vm = ld->vm;
	struct boot_module modules[BOOT_MAX_MODULES] = { { 0 } };
	const char *cmdline = vm->conf->cmdline.text ? vm->conf->cmdline.text : "";
	struct boot_memory mem = boot_memory_of(vm, &ld->ranges);
	const char *why = NULL;
	int rc = 0;

	for (unsigned i = 0; i < image->num_segments && !rc; i++) {
		const struct boot_segment *s = &image->segments[i];

		rc = place(ld, s->gpa, s->gpa + s->mem_len, load->path.text, &load->path.pos);
	}
	if (rc)
		return rc;
	rc = boot_image_load(fd, image, &mem, &why);
	if (rc)
		return load_failed(vm, load, why, rc);
	for (unsigned i = 0; i < image->num_segments && !rc; i++) {
		const struct boot_segment *s = &image->segments[i];

		rc = loaded(ld, load, s->gpa, s->offset, s->file_len);
	}
	if (rc)
		return rc;
	rc = load_modules(ld, image, modules);
	if (rc)
		return rc;
	if (!image->has_pvh && !multiboot) {
		struct linux_boot in = { .memory = mem, .cmdline = cmdline, .rsdp_gpa = ld->rsdp };
		struct linux_entry entry;

		rc = linux_start(&in, image, &modules[0], &entry, &why);
		if (rc)
			return load_failed(vm, load, why, rc);
		*ret_boot = boot_from_linux(&entry);
		return 0;
	}
	struct protected_boot in = { .memory = mem,
				     .image = image,
				     .modules = modules,
				     .num_modules = ld->num_initrds,
				     .cmdline = cmdline,
				     .rsdp_gpa = ld->rsdp };
	struct protected_entry entry;

	rc = image->has_pvh ? pvh_start(&in, &entry, &why) : multiboot_start(&in, &entry, &why);
	if (rc)
		return load_failed(vm, load, why, rc);
	*ret_boot = boot_from_protected(&entry);
	return 0;
}

/* What the guest's file is, by its content. */
enum guest_kind { GUEST_RAW, GUEST_LINUX, GUEST_ELF, GUEST_MULTIBOOT };

static const char *const guest_kinds[] = {
	[GUEST_RAW] = "raw code",
	[GUEST_LINUX] = "a Linux kernel",
	[GUEST_ELF] = "an ELF program",
	[GUEST_MULTIBOOT] = "a multiboot kernel",
};

/* *ret_image is read for ELF and multiboot. A PVH note counts more than a multiboot header. */
static int guest_kind_of(int fd, enum guest_kind *ret_kind, struct boot_image *ret_image,
			 const char **ret_why)
{
	uint8_t head[MULTIBOOT_SEARCH_LEN];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	size_t len = n > 0 ? (size_t)n : 0;
	const char *no_linux = NULL;

	*ret_kind = GUEST_RAW;
	*ret_image = (struct boot_image){ .num_segments = 0 };
	if (linux_probe(head, len, &no_linux) == 0) {
		*ret_kind = GUEST_LINUX;
		return 0;
	}
	if (elf_probe(head, len)) {
		int rc = elf_read(fd, ret_image, ret_why);

		*ret_kind = GUEST_ELF;
		if (rc || ret_image->has_pvh)
			return rc;
	}
	if (!multiboot_probe(head, len))
		return 0;
	*ret_kind = GUEST_MULTIBOOT;
	return multiboot_read(fd, ret_image, ret_why);
}

static int check_initrds(struct loader *ld, const struct conf_load *guest, enum guest_kind kind,
			 bool takes_several)
{
	struct conf *conf = ld->vm->conf;

	if (ld->num_initrds && kind == GUEST_RAW) {
		conf_error(
			conf, &ld->initrds[0]->pos,
			"'%s' is raw code (no Linux kernel, ELF program or multiboot kernel): it "
			"takes no initrd",
			guest->path.text);
		return -EINVAL;
	}
	if (ld->num_initrds > 1 && !takes_several) {
		conf_error(conf, &ld->initrds[1]->pos, "'%s' is %s: it takes one initrd",
			   guest->path.text, guest_kinds[kind]);
		conf_note(conf, &ld->initrds[0]->pos, "this is the first one");
		return -EINVAL;
	}
	return 0;
}

/* The first file that is no initrd and no data is the guest; the others are data. */
static int load_guest(struct loader *ld, const struct conf_load *guest,
		      struct engine_boot *ret_boot)
{
	struct vm *vm = ld->vm;
	const char *why = NULL;
	struct boot_image image;
	enum guest_kind kind;
	struct raw_entry raw;
	int fd = load_open(vm, guest), rc;

	if (fd < 0)
		return -ENOENT;
	rc = guest_kind_of(fd, &kind, &image, &why);
	if (rc) {
		load_failed(vm, guest, why, rc);
	} else if (kind != GUEST_RAW && guest->has_addr) {
		conf_error(vm->conf, &guest->addr_pos,
			   "'%s' is %s, which goes to a place of its own", guest->path.text,
			   guest_kinds[kind]);
		rc = -EINVAL;
	} else {
		rc = check_initrds(ld, guest, kind, image.has_pvh || kind == GUEST_MULTIBOOT);
	}
	if (!rc && kind == GUEST_RAW) {
		rc = load_raw(ld, guest, fd, &raw);
		if (!rc)
			*ret_boot = boot_from_raw(&raw);
	} else if (!rc && kind == GUEST_LINUX) {
		rc = load_linux(ld, guest, fd, ret_boot);
	} else if (!rc) {
		rc = load_image(ld, guest, fd, &image, kind == GUEST_MULTIBOOT, ret_boot);
	}
	close(fd);
	return rc;
}

int vm_load(struct vm *vm, struct engine_boot *ret_boot)
{
	const struct conf_load *guest = NULL;
	struct loader ld = { .vm = vm };

	ranges_from_plan(vm, &ld.ranges);
	int rc = reserved_place(&ld);

	if (!rc)
		rc = tables_load(&ld, &ld.rsdp);

	for (unsigned i = 0; i < vm->conf->num_loads && !rc; i++) {
		const struct conf_load *l = &vm->conf->loads[i];

		if (l->blob == CONF_BLOB_ACPI)
			continue;
		if (l->blob == CONF_BLOB_INITRD) {
			if (ld.num_initrds == BOOT_MAX_MODULES) {
				conf_error(vm->conf, &l->pos, "a VM has at most %u initrds",
					   BOOT_MAX_MODULES);
				return -E2BIG;
			}
			ld.initrds[ld.num_initrds++] = l;
		} else if (!guest && l->blob != CONF_BLOB_DATA) {
			guest = l;
		} else {
			struct raw_entry raw;
			int fd = load_open(vm, l);

			rc = fd < 0 ? -ENOENT : load_raw(&ld, l, fd, &raw);
			if (fd >= 0)
				close(fd);
		}
	}
	if (rc)
		return rc;
	if (!guest) {
		conf_error(vm->conf, NULL,
			   "nothing to start: a line such as `load FILE` is missing");
		return -EINVAL;
	}
	if (ld.ranges.full) {
		conf_error(vm->conf, NULL, "the guest's memory falls into more than %d pieces",
			   MAX_RANGES);
		return -E2BIG;
	}
	return load_guest(&ld, guest, ret_boot);
}
