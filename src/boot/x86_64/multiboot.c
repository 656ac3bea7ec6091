/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/x86_64/multiboot.h"

#include "boot/elf_file.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define PAGE_LEN	 4096u
#define HEADER_MAGIC	 0x1badb002u
#define HEADER_ALIGN	 4u
#define ENTRY_MAGIC	 0x2badb002u

#define HEADER_VIDEO	 (1u << 2)
#define HEADER_KNOWN	 0x7u	 /* page-aligned modules, memory information, video */
#define HEADER_REQUIRED	 0xffffu /* a loader that does not know one of these refuses */
#define HEADER_ADDRESSES (1u << 16)

#define INFO_MEMORY	 (1u << 0)
#define INFO_CMDLINE	 (1u << 2)
#define INFO_MODULES	 (1u << 3)
#define INFO_MEMORY_MAP	 (1u << 6)
#define INFO_LOADER_NAME (1u << 9)

#define LOW_END		 0xa0000u
#define HIGH_START	 0x100000u
#define KIB		 1024u
#define LOADER_NAME	 "Bulkhead"

struct multiboot_header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
	uint32_t mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr, config_table, boot_loader_name;
	uint32_t apm_table, vbe[4];
};

struct multiboot_module {
	uint32_t start, end, string, reserved;
};

/* size does not count itself; the address is not aligned, so it is two words here. */
struct multiboot_map_entry {
	uint32_t size, addr[2], len[2], type;
};

/* All in the one page that is handed over. */
struct multiboot_page {
	struct multiboot_info info;
	char name[16];
	struct multiboot_module modules[BOOT_MAX_MODULES];
	struct multiboot_map_entry map[PROTECTED_MAX_RANGES];
};

static_assert(sizeof(struct multiboot_page) <= PAGE_LEN, "what multiboot hands over is too much");
static_assert(sizeof(struct multiboot_map_entry) == 24, "an entry has 24 bytes");

static int multiboot_fail(int error, const char *why, const char **ret_why)
{
	*ret_why = why;
	return error;
}

static bool find_header(const uint8_t *head, size_t len, struct multiboot_header *ret,
			uint64_t *ret_offset)
{
	const size_t min = offsetof(struct multiboot_header, header_addr);

	len = MIN(len, (size_t)MULTIBOOT_SEARCH_LEN);
	for (size_t at = 0; at + min <= len; at += HEADER_ALIGN) {
		struct multiboot_header h = { 0 };

		memcpy(&h, head + at, MIN(sizeof(h), len - at));
		if (h.magic != HEADER_MAGIC || h.magic + h.flags + h.checksum != 0)
			continue;
		if ((h.flags & HEADER_ADDRESSES) && len - at < sizeof(h))
			continue;
		*ret = h;
		*ret_offset = at;
		return true;
	}
	return false;
}

bool multiboot_probe(const void *head, size_t len)
{
	struct multiboot_header h;
	uint64_t offset;

	return find_header(head, len, &h, &offset);
}

/* The header says where it lies itself; the file's bytes before and after it follow from that. */
static int image_by_addresses(const struct multiboot_header *h, uint64_t offset, uint64_t size,
			      struct boot_image *image)
{
	struct boot_segment *s = &image->segments[0];

	if (h->header_addr < h->load_addr || h->header_addr - h->load_addr > offset)
		return -ENOEXEC;
	s->gpa = h->load_addr;
	s->offset = offset - (h->header_addr - h->load_addr);
	if (h->load_end_addr && h->load_end_addr < h->load_addr)
		return -ENOEXEC;
	s->file_len = h->load_end_addr ? h->load_end_addr - h->load_addr : size - s->offset;
	s->mem_len = s->file_len;
	if (h->bss_end_addr) {
		if (h->bss_end_addr < s->gpa + s->file_len)
			return -ENOEXEC;
		s->mem_len = h->bss_end_addr - s->gpa;
	}
	image->num_segments = 1;
	image->entry = h->entry_addr;
	return 0;
}

int multiboot_read(int fd, struct boot_image *ret, const char **ret_why)
{
	struct boot_image image = { .num_segments = 0 };
	uint8_t head[MULTIBOOT_SEARCH_LEN];
	struct multiboot_header h;
	uint64_t size, offset;
	size_t len;
	int r = boot_file_size(fd, &size);

	if (r < 0)
		return multiboot_fail(r, "it is not a regular file", ret_why);
	len = (size_t)MIN(size, (uint64_t)sizeof(head));
	r = boot_file_read(fd, 0, head, len);
	if (r < 0)
		return multiboot_fail(r, "the file cannot be read", ret_why);
	if (!find_header(head, len, &h, &offset))
		return multiboot_fail(-ENOEXEC, "it has no multiboot header", ret_why);
	if (h.flags & HEADER_VIDEO)
		return multiboot_fail(-ENOEXEC,
				      "its multiboot header asks for a video mode; there is none",
				      ret_why);
	if (h.flags & HEADER_REQUIRED & ~HEADER_KNOWN)
		return multiboot_fail(-ENOEXEC, "its multiboot header asks for something unknown",
				      ret_why);
	if (!(h.flags & HEADER_ADDRESSES)) {
		if (!elf_probe(head, len))
			return multiboot_fail(
				-ENOEXEC,
				"its multiboot header has no addresses, and it is no ELF file",
				ret_why);
		return elf_read(fd, ret, ret_why);
	}
	if (image_by_addresses(&h, offset, size, &image) < 0)
		return multiboot_fail(-ENOEXEC,
				      "the addresses in its multiboot header contradict each other",
				      ret_why);
	r = boot_image_check(&image, size, ret_why);
	if (r < 0)
		return r;
	*ret = image;
	return 0;
}

/* KiB of RAM from start on, without a gap, below end. */
static uint32_t kib_from(const struct boot_memory *mem, uint64_t start, uint64_t end)
{
	uint64_t at = start;

	for (size_t i = 0; i < mem->num_ranges; i++) {
		const struct boot_range *r = &mem->ranges[i];

		if (r->type == BOOT_RANGE_RAM && r->addr <= at && at - r->addr < r->len)
			at = r->addr + r->len;
	}
	return (uint32_t)((MIN(at, end) - start) / KIB);
}

int multiboot_start(const struct protected_boot *in, struct protected_entry *ret,
		    const char **ret_why)
{
	struct multiboot_page page = {
		.info = { .flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MEMORY_MAP |
				   INFO_LOADER_NAME,
			  .cmdline = LINUX_CMDLINE,
			  .mods_addr = LINUX_ZERO_PAGE + offsetof(struct multiboot_page, modules),
			  .mmap_addr = LINUX_ZERO_PAGE + offsetof(struct multiboot_page, map),
			  .boot_loader_name =
				  LINUX_ZERO_PAGE + offsetof(struct multiboot_page, name) },
		.name = LOADER_NAME,
	};
	struct protected_entry entry;
	uint8_t *dst;
	int r = protected_prepare(in, in->image->entry, &entry, &dst, ret_why);

	if (r < 0)
		return r;
	page.info.mem_lower = kib_from(&in->memory, 0, LOW_END);
	page.info.mem_upper = kib_from(&in->memory, HIGH_START, UINT32_MAX);
	page.info.mods_count = (uint32_t)in->num_modules;
	page.info.mmap_length =
		(uint32_t)(in->memory.num_ranges * sizeof(struct multiboot_map_entry));
	for (size_t i = 0; i < in->num_modules; i++) {
		uint64_t end = in->modules[i].gpa + in->modules[i].len;

		if (end > UINT32_MAX)
			return multiboot_fail(-EFBIG,
					      "an initrd of it lies above 4 GiB, which multiboot "
					      "cannot say",
					      ret_why);
		page.modules[i] = (struct multiboot_module){ .start = (uint32_t)in->modules[i].gpa,
							     .end = (uint32_t)end };
	}
	for (size_t i = 0; i < in->memory.num_ranges; i++) {
		const struct boot_range *range = &in->memory.ranges[i];
		struct multiboot_map_entry *e = &page.map[i];

		e->size = sizeof(*e) - sizeof(e->size);
		memcpy(e->addr, &range->addr, sizeof(e->addr));
		memcpy(e->len, &range->len, sizeof(e->len));
		e->type = (uint32_t)range->type;
	}
	memcpy(dst, &page, sizeof(page));
	entry.rax = ENTRY_MAGIC;
	entry.rbx = LINUX_ZERO_PAGE;
	*ret = entry;
	return 0;
}
