/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/x86_64/protected.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define PAGE_LEN	  4096u
#define GDT_CODE	  2u
#define GDT_DATA	  3u
#define GDT_NUM		  4u
#define GDT_FLAT_CODE32	  0x00cf9b000000ffffull
#define GDT_FLAT_DATA	  0x00cf93000000ffffull

#define PVH_START_MAGIC	  0x336ec578u
#define PVH_START_VERSION 1u

/* These three are Xen's interface; all numbers are little-endian. */
struct pvh_start_info {
	uint32_t magic, version, flags, num_modules;
	uint64_t modules_gpa, cmdline_gpa, rsdp_gpa, map_gpa;
	uint32_t map_entries, reserved;
};

struct pvh_module {
	uint64_t gpa, len, cmdline_gpa, reserved;
};

struct pvh_map_entry {
	uint64_t addr, len;
	uint32_t type, reserved;
};

/* All in the one page that is handed over. */
struct pvh_page {
	struct pvh_start_info start;
	struct pvh_module modules[BOOT_MAX_MODULES];
	struct pvh_map_entry map[PROTECTED_MAX_RANGES];
};

static_assert(sizeof(struct pvh_page) <= PAGE_LEN, "what PVH hands over is more than a page");
static_assert(sizeof(struct pvh_start_info) == 56, "hvm_start_info has 56 bytes");

static int protected_fail(int error, const char *why, const char **ret_why)
{
	*ret_why = why;
	return error;
}

int protected_prepare(const struct protected_boot *in, uint64_t entry, struct protected_entry *ret,
		      uint8_t **ret_page, const char **ret_why)
{
	const uint64_t gdt[GDT_NUM] = { [GDT_CODE] = GDT_FLAT_CODE32, [GDT_DATA] = GDT_FLAT_DATA };
	size_t text_len = strlen(in->cmdline);
	uint8_t *low;

	if (boot_memory_check(&in->memory) < 0)
		return protected_fail(-EINVAL, "the memory ranges overlap or are not sorted",
				      ret_why);
	if (in->memory.num_ranges > PROTECTED_MAX_RANGES || in->num_modules > BOOT_MAX_MODULES)
		return protected_fail(-EINVAL, "the VM has too many memory ranges or initrds",
				      ret_why);
	if (entry > UINT32_MAX)
		return protected_fail(-ENOEXEC, "its 32-bit entry lies above 4 GiB", ret_why);
	if (text_len >= LINUX_LOW_END - LINUX_CMDLINE)
		return protected_fail(-E2BIG, "the command line is longer than 65535 bytes",
				      ret_why);
	if (boot_image_overlaps(in->image, LINUX_GDT, LINUX_LOW_END - LINUX_GDT))
		return protected_fail(-EEXIST,
				      "it lies over 0x500 to 0x30000, where the boot data goes",
				      ret_why);
	for (size_t i = 0; i < in->num_modules; i++)
		if (range_overlaps(in->modules[i].gpa, in->modules[i].len, LINUX_GDT,
				   LINUX_LOW_END - LINUX_GDT))
			return protected_fail(
				-EEXIST,
				"an initrd of it lies over 0x500 to 0x30000, where the boot data "
				"goes",
				ret_why);
	low = boot_memory_map(&in->memory, LINUX_GDT, LINUX_LOW_END - LINUX_GDT);
	if (!low)
		return protected_fail(
			-EFBIG, "the VM has no RAM at 0x500 to 0x30000, where the boot data goes",
			ret_why);
	memcpy(low, gdt, sizeof(gdt));
	memcpy(low + (LINUX_CMDLINE - LINUX_GDT), in->cmdline, text_len + 1);
	*ret_page = low + (LINUX_ZERO_PAGE - LINUX_GDT);
	*ret = (struct protected_entry){
		.rip = (uint32_t)entry,
		.rsp = LINUX_STACK + PAGE_LEN - 16,
		.gdt_base = LINUX_GDT,
		.gdt_limit = sizeof(gdt) - 1,
		.code_selector = GDT_CODE * sizeof(uint64_t),
		.data_selector = GDT_DATA * sizeof(uint64_t),
	};
	return 0;
}

int pvh_start(const struct protected_boot *in, struct protected_entry *ret, const char **ret_why)
{
	struct pvh_page page = {
		.start = { .magic = PVH_START_MAGIC,
			   .version = PVH_START_VERSION,
			   .num_modules = (uint32_t)in->num_modules,
			   .cmdline_gpa = LINUX_CMDLINE,
			   .rsdp_gpa = in->rsdp_gpa,
			   .map_gpa = LINUX_ZERO_PAGE + offsetof(struct pvh_page, map),
			   .map_entries = (uint32_t)in->memory.num_ranges },
	};
	struct protected_entry entry;
	uint8_t *dst;
	int r = protected_prepare(in, in->image->pvh_entry, &entry, &dst, ret_why);

	if (r < 0)
		return r;
	if (in->num_modules)
		page.start.modules_gpa = LINUX_ZERO_PAGE + offsetof(struct pvh_page, modules);
	for (size_t i = 0; i < in->num_modules; i++)
		page.modules[i] =
			(struct pvh_module){ .gpa = in->modules[i].gpa, .len = in->modules[i].len };
	for (size_t i = 0; i < in->memory.num_ranges; i++) {
		const struct boot_range *range = &in->memory.ranges[i];

		page.map[i] = (struct pvh_map_entry){ .addr = range->addr,
						      .len = range->len,
						      .type = (uint32_t)range->type };
	}
	memcpy(dst, &page, sizeof(page));
	entry.rbx = LINUX_ZERO_PAGE;
	*ret = entry;
	return 0;
}
