/* SPDX-License-Identifier: Apache-2.0 */
/* Files and tables into guest memory, and the boot vCPU's state: what all architectures share. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdev/gasp.h"
#include "vm/loader.h"

void ranges_add(struct ranges *r, uint64_t start, uint64_t end, enum boot_range_type type)
{
	if (start >= end)
		return;
	r->full |= r->num == MAX_RANGES;
	if (!r->full)
		r->list[r->num++] =
			(struct boot_range){ .addr = start, .len = end - start, .type = type };
}

void ranges_carve(struct ranges *r, uint64_t start, uint64_t end, enum boot_range_type type)
{
	struct ranges out = { .full = r->full };

	for (size_t i = 0; i < r->num; i++) {
		const struct boot_range *b = &r->list[i];
		uint64_t b_end = b->addr + b->len;

		if (b->type != BOOT_RANGE_RAM || start >= b_end || end <= b->addr) {
			ranges_add(&out, b->addr, b_end, b->type);
			continue;
		}
		ranges_add(&out, b->addr, MAX(start, b->addr), b->type);
		ranges_add(&out, MAX(start, b->addr), MIN(end, b_end), type);
		ranges_add(&out, MIN(end, b_end), b_end, b->type);
	}
	*r = out;
}

static void *map_any(void *ctx, uint64_t gpa, uint64_t len)
{
	const struct vm *vm = ctx;

	return memory_translate(vm->mem, gpa, len, false);
}

struct boot_memory loader_memory(struct vm *vm, const struct ranges *r)
{
	return (struct boot_memory){
		.map = map_any, .ctx = vm, .ranges = r->list, .num_ranges = r->num
	};
}

uint64_t loader_file_size(const struct conf_load *load)
{
	struct stat st;

	return stat(load->path.text, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

int loader_place(struct loader *ld, uint64_t start, uint64_t end, const char *what,
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
		ranges_carve(&ld->ranges, r[i].start, r[i].start + r[i].len, BOOT_RANGE_RESERVED);
		rc = loader_place(ld, r[i].start, r[i].start + r[i].len, "memory that a vdev keeps",
				  NULL);
	}
	return rc;
}

int loader_loaded(struct loader *ld, const struct conf_load *load, uint64_t gpa, uint64_t offset,
		  uint64_t len)
{
	const struct vdev_load piece = { .path = load->path.text,
					 .line = (unsigned)(load - ld->vm->conf->loads),
					 .gpa = gpa,
					 .offset = offset,
					 .len = len };

	return vdev_host_load_add(ld->vm->vdevs, &piece);
}

int loader_open(struct vm *vm, const struct conf_load *load)
{
	int fd = open(load->path.text, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		conf_error(vm->conf, &load->path.pos, "cannot open '%s': %s", load->path.text,
			   strerror(errno));
	return fd;
}

int loader_failed(struct vm *vm, const struct conf_load *load, const char *why, int rc)
{
	conf_error(vm->conf, &load->path.pos, "cannot load '%s': %s", load->path.text,
		   why ? why : strerror(-rc));
	return rc;
}

int loader_place_file(struct loader *ld, const struct conf_load *load)
{
	uint64_t size = loader_file_size(load);

	if (!load->has_addr || !size || load->addr + size <= load->addr)
		return 0;
	return loader_place(ld, load->addr, load->addr + size, load->path.text, &load->path.pos);
}

/* A raw file. It may go into ROM too, so the memory behind its address counts as free whatever the
 * guest is told. */
int loader_raw(struct loader *ld, const struct conf_load *load, int fd, struct raw_entry *ret)
{
	struct vm *vm = ld->vm;
	struct ranges *r = &ld->ranges;
	struct ranges whole = { .num = 0 };
	struct boot_memory mem = loader_memory(vm, load->has_addr ? &whole : r);
	const char *why = NULL;

	for (unsigned i = 0; i < vm->mem->num_regions; i++)
		ranges_add(&whole, vm->mem->regions[i].gpa,
			   vm->mem->regions[i].gpa + vm->mem->regions[i].len, BOOT_RANGE_RAM);
	mem.num_ranges = load->has_addr ? whole.num : r->num;
	int rc = loader_place_file(ld, load);

	if (rc)
		return rc;
	rc = raw_load(fd, &mem, load->has_addr ? load->addr : RAW_ANYWHERE, ret, &why);

	if (rc)
		return loader_failed(vm, load, why, rc);
	ranges_carve(r, align_down(ret->gpa, CONF_PAGE), align_up(ret->gpa + ret->len, CONF_PAGE),
		     BOOT_RANGE_RESERVED);
	return loader_loaded(ld, load, ret->gpa, 0, ret->len);
}

int vm_load(struct vm *vm, struct engine_boot *ret_boot)
{
	const struct conf_load *guest = NULL;
	struct loader ld = { .vm = vm };

	loader_arch_ranges(vm, &ld.ranges);
	int rc = reserved_place(&ld);

	if (!rc)
		rc = loader_arch_tables(&ld);

	for (unsigned i = 0; i < vm->conf->num_loads && !rc; i++) {
		const struct conf_load *l = &vm->conf->loads[i];

		if (l->blob == CONF_BLOB_ACPI || l->blob == CONF_BLOB_FDT)
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
			int fd = loader_open(vm, l);

			rc = fd < 0 ? -ENOENT : loader_raw(&ld, l, fd, &raw);
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
	return loader_arch_guest(&ld, guest, ret_boot);
}
