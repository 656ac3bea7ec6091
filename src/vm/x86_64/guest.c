/* SPDX-License-Identifier: Apache-2.0 */
/* A PC's guest: Linux, ELF, multiboot or raw code, and the boot vCPU's state. */
#include <errno.h>
#include <unistd.h>

#include "address.h"
#include "boot/elf_file.h"
#include "boot/x86_64/linux.h"
#include "boot/x86_64/multiboot.h"
#include "boot/x86_64/protected.h"
#include "vm/loader.h"

/* A processor starts here after a reset: the last 16 bytes below 4 GiB. */
#define RESET_CS_BASE 0xffff0000u
#define RESET_IP      0xfff0u
#define RESET_END     (UINT64_C(1) << 32)

/* Kernels find an initrd below this at the latest. */
#define INITRD_END 0x80000000u

/* RAM below 1 MiB ends where a PC's does; the rest of it up to 1 MiB is there but not the guest's
 * to use. */
void loader_arch_ranges(const struct vm *vm, struct ranges *ret)
{
	*ret = (struct ranges){ .num = 0 };
	for (unsigned i = 0; i < vm->plan->num_regions; i++) {
		const struct plan_region *r = &vm->plan->regions[i];
		uint64_t end = r->start + r->len;

		if (r->space != PLAN_MEM)
			continue;
		if (r->kind == PLAN_RAM) {
			ranges_add(ret, r->start, MIN(end, ADDRESS_LOW_RAM_END), BOOT_RANGE_RAM);
			ranges_add(ret, MAX(r->start, ADDRESS_LOW_RAM_END),
				   MIN(end, ADDRESS_HIGH_RAM), BOOT_RANGE_RESERVED);
			ranges_add(ret, MAX(r->start, ADDRESS_HIGH_RAM), end, BOOT_RANGE_RAM);
		} else if (r->kind == PLAN_ROM || r->start == ADDRESS_ECAM) {
			ranges_add(ret, r->start, end, BOOT_RANGE_RESERVED);
		}
	}
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
		.memory = loader_memory(vm, &ld->ranges),
		.kernel_fd = fd,
		.initrd_fd = -1,
		.cmdline = vm->conf->cmdline.text ? vm->conf->cmdline.text : "",
		.rsdp_gpa = ld->rsdp,
	};
	struct linux_entry entry;
	const char *why = NULL;
	int rc = initrd ? loader_place_file(ld, initrd) : 0;

	if (rc)
		return rc;
	if (!ld->rsdp)
		return loader_failed(
			vm, load, "the guest's memory is too small for the ACPI tables", -ENOSPC);
	if (initrd) {
		in.has_initrd_gpa = initrd->has_addr;
		in.initrd_gpa = initrd->addr;
		in.initrd_fd = loader_open(vm, initrd);
		if (in.initrd_fd < 0)
			return -ENOENT;
	}
	rc = linux_load(&in, &entry, &why);
	if (in.initrd_fd >= 0)
		close(in.initrd_fd);
	if (rc)
		return loader_failed(vm, load, why, rc);
	*ret_boot = boot_from_linux(&entry);
	rc = loader_loaded(ld, load, entry.kernel_gpa, entry.kernel_file_offset,
			   entry.kernel_file_len);
	if (!rc && initrd)
		rc = loader_loaded(ld, initrd, entry.initrd_gpa, 0, entry.initrd_len);
	return rc;
}

/* The files of the `initrd load` lines beside an image. */
static int load_modules(struct loader *ld, const struct boot_image *image,
			struct boot_module *modules)
{
	struct vm *vm = ld->vm;
	struct boot_memory mem = loader_memory(vm, &ld->ranges);
	int rc = 0;

	/* Those with an address first, so that the others are put beside them. */
	for (unsigned i = 0; i < 2 * ld->num_initrds && !rc; i++) {
		unsigned n = i % ld->num_initrds;
		const struct conf_load *l = ld->initrds[n];
		const char *why = NULL;

		if (l->has_addr != (i < ld->num_initrds))
			continue;
		int fd = loader_open(vm, l);

		if (fd < 0)
			return -ENOENT;
		rc = loader_place_file(ld, l);
		if (!rc) {
			rc = boot_module_load(fd, &mem, l->has_addr ? l->addr : BOOT_ANYWHERE,
					      INITRD_END, image, modules, ld->num_initrds,
					      &modules[n], &why);
			if (rc)
				loader_failed(vm, l, why, rc);
			else
				rc = loader_loaded(ld, l, modules[n].gpa, 0, modules[n].len);
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
	struct boot_memory mem = loader_memory(vm, &ld->ranges);
	const char *why = NULL;
	int rc = 0;

	for (unsigned i = 0; i < image->num_segments && !rc; i++) {
		const struct boot_segment *s = &image->segments[i];

		rc = loader_place(ld, s->gpa, s->gpa + s->mem_len, load->path.text,
				  &load->path.pos);
	}
	if (rc)
		return rc;
	rc = boot_image_load(fd, image, &mem, &why);
	if (rc)
		return loader_failed(vm, load, why, rc);
	for (unsigned i = 0; i < image->num_segments && !rc; i++) {
		const struct boot_segment *s = &image->segments[i];

		rc = loader_loaded(ld, load, s->gpa, s->offset, s->file_len);
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
			return loader_failed(vm, load, why, rc);
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
		return loader_failed(vm, load, why, rc);
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
int loader_arch_guest(struct loader *ld, const struct conf_load *guest,
		      struct engine_boot *ret_boot)
{
	struct vm *vm = ld->vm;
	const char *why = NULL;
	struct boot_image image;
	enum guest_kind kind;
	struct raw_entry raw;
	int fd = loader_open(vm, guest), rc;

	if (fd < 0)
		return -ENOENT;
	rc = guest_kind_of(fd, &kind, &image, &why);
	if (rc) {
		loader_failed(vm, guest, why, rc);
	} else if (kind != GUEST_RAW && guest->has_addr) {
		conf_error(vm->conf, &guest->addr_pos,
			   "'%s' is %s, which goes to a place of its own", guest->path.text,
			   guest_kinds[kind]);
		rc = -EINVAL;
	} else {
		rc = check_initrds(ld, guest, kind, image.has_pvh || kind == GUEST_MULTIBOOT);
	}
	if (!rc && kind == GUEST_RAW) {
		rc = loader_raw(ld, guest, fd, &raw);
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
