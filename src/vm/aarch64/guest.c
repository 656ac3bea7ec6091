/* SPDX-License-Identifier: Apache-2.0 */
/* A guest of AArch64: Linux Image, ELF or raw code, its initrd, the device tree, and the boot
 * vCPU's state. */
#include <errno.h>
#include <unistd.h>

#include "address.h"
#include "boot/aarch64/linux.h"
#include "boot/elf_file.h"
#include "vm/aarch64/tree.h"
#include "vm/loader.h"

void loader_arch_ranges(const struct vm *vm, struct ranges *ret)
{
	*ret = (struct ranges){ .num = 0 };
	for (unsigned i = 0; i < vm->plan->num_regions; i++) {
		const struct plan_region *r = &vm->plan->regions[i];

		if (r->space == PLAN_MEM && r->kind == PLAN_RAM)
			ranges_add(ret, r->start, r->start + r->len, BOOT_RANGE_RAM);
	}
}

/* The device tree comes last: it says where the initrd is. */
int loader_arch_tables(struct loader *ld)
{
	(void)ld;
	return 0;
}

static void carve(struct loader *ld, uint64_t gpa, uint64_t len)
{
	ranges_carve(&ld->ranges, align_down(gpa, CONF_PAGE), align_up(gpa + len, CONF_PAGE),
		     BOOT_RANGE_RESERVED);
}

static int load_image(struct loader *ld, const struct conf_load *load, int fd, uint64_t *ret_entry)
{
	struct boot_memory mem = loader_memory(ld->vm, &ld->ranges);
	struct boot_image image;
	const char *why = NULL;
	int rc = elf_read(fd, &image, &why);

	if (rc)
		return loader_failed(ld->vm, load, why, rc);
	for (unsigned i = 0; i < image.num_segments && !rc; i++) {
		const struct boot_segment *s = &image.segments[i];

		rc = loader_place(ld, s->gpa, s->gpa + s->mem_len, load->path.text,
				  &load->path.pos);
	}
	if (rc)
		return rc;
	rc = boot_image_load(fd, &image, &mem, &why);
	if (rc)
		return loader_failed(ld->vm, load, why, rc);
	for (unsigned i = 0; i < image.num_segments && !rc; i++) {
		const struct boot_segment *s = &image.segments[i];

		carve(ld, s->gpa, s->mem_len);
		rc = loader_loaded(ld, load, s->gpa, s->offset, s->file_len);
	}
	*ret_entry = image.entry;
	return rc;
}

static int load_linux(struct loader *ld, const struct conf_load *load, int fd, uint64_t *ret_entry,
		      struct devtree_range *ret_kernel)
{
	struct boot_memory mem = loader_memory(ld->vm, &ld->ranges);
	const char *why = NULL;
	struct arm_linux at;
	int rc = arm_linux_load(fd, &mem, &at, &why);

	if (rc)
		return loader_failed(ld->vm, load, why, rc);
	*ret_entry = at.gpa;
	*ret_kernel = (struct devtree_range){ at.gpa, at.len };
	return loader_loaded(ld, load, at.gpa, 0, at.file_len);
}

static int load_initrd(struct loader *ld, const struct boot_image *kernel,
		       struct devtree_range *ret_initrd)
{
	const struct conf_load *l = ld->initrds[0];
	struct boot_memory mem = loader_memory(ld->vm, &ld->ranges);
	struct boot_module module;
	const char *why = NULL;
	int fd = loader_open(ld->vm, l);

	if (fd < 0)
		return -ENOENT;
	int rc = loader_place_file(ld, l);

	if (!rc) {
		rc = boot_module_load(fd, &mem, l->has_addr ? l->addr : BOOT_ANYWHERE, UINT64_MAX,
				      kernel, NULL, 0, &module, &why);
		if (rc)
			loader_failed(ld->vm, l, why, rc);
		else
			rc = loader_loaded(ld, l, module.gpa, 0, module.len);
	}
	close(fd);
	if (!rc)
		*ret_initrd = (struct devtree_range){ module.gpa, module.len };
	return rc;
}

/* What is in the file tells. Code that is neither Linux nor ELF starts at its first byte. */
static int load_by_content(struct loader *ld, const struct conf_load *guest, int fd,
			   uint64_t *ret_entry, struct devtree_range *ret_kernel)
{
	uint8_t head[ELF_HEAD_LEN];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	size_t len = n > 0 ? (size_t)n : 0;
	const bool linux_image = arm_linux_probe(head, len) || arm_linux_is_compressed(head, len);

	if ((linux_image || elf_probe(head, len)) && guest->has_addr) {
		conf_error(ld->vm->conf, &guest->addr_pos,
			   "'%s' is %s, which goes to a place of its own", guest->path.text,
			   linux_image ? "a Linux kernel" : "an ELF program");
		return -EINVAL;
	}
	if (linux_image)
		return load_linux(ld, guest, fd, ret_entry, ret_kernel);
	if (elf_probe(head, len))
		return load_image(ld, guest, fd, ret_entry);
	struct raw_entry raw;
	int rc = loader_raw(ld, guest, fd, &raw);

	if (!rc)
		*ret_entry = raw.gpa;
	return rc;
}

int loader_arch_guest(struct loader *ld, const struct conf_load *guest,
		      struct engine_boot *ret_boot)
{
	struct devtree_range kernel = { 0 }, initrd = { 0 };
	int fd = loader_open(ld->vm, guest);

	if (fd < 0)
		return -ENOENT;
	if (ld->num_initrds > 1) {
		conf_error(ld->vm->conf, &ld->initrds[1]->pos,
			   "a guest of AArch64 takes one initrd");
		conf_note(ld->vm->conf, &ld->initrds[0]->pos, "this is the first one");
		close(fd);
		return -EINVAL;
	}
	int rc = load_by_content(ld, guest, fd, &ret_boot->pc, &kernel);

	close(fd);
	if (!rc && ld->num_initrds) {
		/* The kernel's own memory stays RAM in the guest's eyes, but nothing goes there. */
		const struct boot_image taken = { .num_segments = kernel.len != 0,
						  .segments = { { .gpa = kernel.start,
								  .mem_len = kernel.len } } };

		rc = load_initrd(ld, &taken, &initrd);
	}
	return rc ? rc : tree_load(ld, &kernel, &initrd, &ret_boot->x0);
}
