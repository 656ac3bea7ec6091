/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers here are those of "The Linux/x86 Boot Protocol" in the kernel's documentation. */
#include "boot/x86_64/linux.h"

#include <asm/bootparam.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

#define PAGE_LEN	4096u
#define SECTOR_LEN	512u
#define PARAGRAPH_LEN	16u
#define HEADER_OFFSET	0x1f1u
#define HEADER_END	0x290u /* what struct boot_params leaves for a header of any version */
#define ENTRY_64	0x200u /* from the start of the protected-mode part */
#define HEADER_MAGIC	0x53726448u
#define BOOT_FLAG	0xaa55u
#define VERSION_MIN	0x020cu /* the first with xloadflags */
#define LOADER_UNKNOWN	0xffu	/* a boot loader without an assigned number */
#define KERNEL_MIN	0x100000u

#define GDT_NUM		4u
#define GDT_CODE	2u /* the kernel wants its flat segments at 0x10 and 0x18 */
#define GDT_DATA	3u
#define GDT_FLAT_CODE64 0x00af9b000000ffffull
#define GDT_FLAT_CODE32 0x00cf9b000000ffffull
#define GDT_FLAT_DATA	0x00cf93000000ffffull

#define PTE_TABLE	0x03ull /* present, writable */
#define PTE_LARGE	0x83ull /* and a page of 2 MiB or 1 GiB */
#define PTE_PER_PAGE	512u
#define GIB		(1ull << 30)
#define NUM_PD		(LINUX_MAPPED_LEN / GIB)

static_assert(LINUX_PD + NUM_PD * PAGE_LEN <= LINUX_CMDLINE, "page tables reach the command line");
static_assert(sizeof(struct boot_params) == PAGE_LEN, "the zero page is one page");

/* What the file's header asks for, checked as far as that goes without knowing the guest's RAM. */
struct kernel_file {
	struct setup_header hdr;
	uint8_t raw_header[HEADER_END - HEADER_OFFSET];
	size_t raw_header_len;
	uint64_t payload_offset; /* of the protected-mode part in the file */
	uint64_t payload_len;
	uint64_t window_len; /* bytes of RAM from the load address that the kernel claims */
	bool is_32;	     /* an ELF program for 32-bit mode */
};

static int linux_fail(int error, const char *why, const char **ret_why)
{
	*ret_why = why;
	return error;
}

static int parse_header(const uint8_t *head, size_t len, struct kernel_file *ret,
			const char **ret_why)
{
	struct kernel_file k = { 0 };
	struct setup_header *hdr = &k.hdr;
	size_t end;

	if (len < HEADER_OFFSET + sizeof(*hdr))
		return linux_fail(-ENOEXEC, "it is too short to be a Linux bzImage", ret_why);
	memcpy(hdr, head + HEADER_OFFSET, sizeof(*hdr));
	if (hdr->boot_flag != BOOT_FLAG || hdr->header != HEADER_MAGIC)
		return linux_fail(-ENOEXEC, "it is not a Linux bzImage", ret_why);
	if (!(hdr->loadflags & LOADED_HIGH))
		return linux_fail(-ENOEXEC, "it is a zImage, not a bzImage", ret_why);
	if (hdr->version < VERSION_MIN)
		return linux_fail(-ENOEXEC,
				  "its boot protocol is too old (2.12, that is Linux 3.8, or later "
				  "is needed)",
				  ret_why);
	if (!(hdr->xloadflags & XLF_KERNEL_64))
		return linux_fail(-ENOEXEC, "it is a 32-bit kernel", ret_why);
	/* The header ends where the jump at 0x200, whose second byte is the distance, goes to. */
	end = 0x202u + (hdr->jump >> 8);
	if (end < HEADER_OFFSET + offsetof(struct setup_header, handover_offset) || end > len)
		return linux_fail(-ENOEXEC,
				  "its header is shorter or longer than its boot protocol allows",
				  ret_why);
	if (hdr->relocatable_kernel &&
	    (!is_pow2(hdr->kernel_alignment) || hdr->kernel_alignment < PAGE_LEN))
		return linux_fail(-ENOEXEC, "its header asks for an impossible alignment", ret_why);

	k.raw_header_len = MIN(end, (size_t)HEADER_END) - HEADER_OFFSET;
	memcpy(k.raw_header, head + HEADER_OFFSET, k.raw_header_len);
	k.payload_offset = ((hdr->setup_sects ? hdr->setup_sects : 4u) + 1u) * (uint64_t)SECTOR_LEN;
	k.payload_len = hdr->syssize * (uint64_t)PARAGRAPH_LEN;
	if (k.payload_len <= ENTRY_64)
		return linux_fail(-ENOEXEC, "it holds no code for its 64-bit entry", ret_why);
	k.window_len = align_up(MAX((uint64_t)hdr->init_size, k.payload_len), PAGE_LEN);
	*ret = k;
	return 0;
}

int linux_probe(const void *head, size_t len, const char **ret_why)
{
	struct kernel_file k;

	return parse_header(head, len, &k, ret_why);
}

static int read_header(int fd, struct kernel_file *ret, const char **ret_why)
{
	uint8_t head[LINUX_HEAD_LEN];
	struct kernel_file k;
	uint64_t size;
	size_t len;
	int r;

	r = boot_file_size(fd, &size);
	if (r < 0)
		return linux_fail(r, "it is not a regular file", ret_why);
	len = (size_t)MIN(size, (uint64_t)sizeof(head));
	r = boot_file_read(fd, 0, head, len);
	if (r < 0)
		return linux_fail(r, "the kernel cannot be read", ret_why);
	r = parse_header(head, len, &k, ret_why);
	if (r < 0)
		return r;
	/* The header counts in units of 16 bytes; Memtest86+ does not fill up the last one. */
	if (k.payload_offset < size && k.payload_len > size - k.payload_offset &&
	    k.payload_len - (size - k.payload_offset) < PARAGRAPH_LEN)
		k.payload_len = size - k.payload_offset;
	/* More than that is fine: signatures are appended. */
	if (!range_inside(k.payload_offset, k.payload_len, 0, size))
		return linux_fail(-ENOEXEC,
				  "the kernel is truncated: its header says that it is longer",
				  ret_why);
	*ret = k;
	return 0;
}

/*
 * A relocatable kernel that is loaded below its preferred address moves itself up there, so the
 * preferred address is the lowest that makes sense, and nothing else may lie in the window from
 * there on.
 */
static int place_kernel(const struct boot_memory *mem, const struct kernel_file *k,
			uint64_t *ret_gpa)
{
	uint64_t pref = k->hdr.pref_address;

	if (k->hdr.relocatable_kernel)
		return boot_memory_find_low(mem, k->window_len, k->hdr.kernel_alignment,
					    MAX(pref, (uint64_t)KERNEL_MIN), LINUX_MAPPED_LEN,
					    ret_gpa);
	if (pref < KERNEL_MIN || !range_inside(pref, k->window_len, 0, LINUX_MAPPED_LEN))
		return -ENOSPC;
	return boot_memory_find_low(mem, k->window_len, 1, pref, pref + k->window_len, ret_gpa);
}

static int load_kernel(const struct linux_boot *in, const struct kernel_file *k,
		       struct linux_entry *entry, const char **ret_why)
{
	void *dst;
	int r;

	if (place_kernel(&in->memory, k, &entry->kernel_gpa) < 0)
		return linux_fail(
			-EFBIG,
			"the VM has too little RAM for the kernel above its preferred address",
			ret_why);
	entry->kernel_len = k->window_len;
	/* All of the window has to be there, not only what the file fills. */
	dst = boot_memory_map(&in->memory, entry->kernel_gpa, k->window_len);
	if (!dst)
		return linux_fail(-EFBIG, "the VM's RAM for the kernel is not one piece", ret_why);
	r = boot_file_read(in->kernel_fd, k->payload_offset, dst, k->payload_len);
	if (r == -ENODATA)
		return linux_fail(-ENOEXEC, "the kernel file shrank while it was read", ret_why);
	if (r < 0)
		return linux_fail(r, "the kernel cannot be read", ret_why);
	entry->kernel_file_offset = k->payload_offset;
	entry->kernel_file_len = k->payload_len;
	return 0;
}

/* As high as possible, so that the guest's kernel does not have to step around it. */
static int load_initrd(const struct linux_boot *in, const struct kernel_file *k,
		       struct linux_entry *entry, const char **ret_why)
{
	uint64_t kernel_end = entry->kernel_gpa + entry->kernel_len;
	uint64_t end = MIN(k->hdr.initrd_addr_max + 1ull, LINUX_MAPPED_LEN);
	uint64_t size, len, gpa;
	void *dst;
	int r;

	if (in->initrd_fd < 0)
		return 0;
	r = boot_file_size(in->initrd_fd, &size);
	if (r < 0)
		return linux_fail(r, "the initrd is not a regular file", ret_why);
	if (!size)
		return 0;
	len = align_up(size, PAGE_LEN);
	if (in->has_initrd_gpa) {
		gpa = in->initrd_gpa;
		len = size;
		if (!range_inside(gpa, len, 0, end))
			return linux_fail(-EFBIG, "the kernel wants its initrd at a lower address",
					  ret_why);
		if (range_overlaps(gpa, len, LINUX_GDT, LINUX_LOW_END - LINUX_GDT))
			return linux_fail(-EEXIST,
					  "its initrd would lie over 0x500 to 0x30000, where the "
					  "boot data goes",
					  ret_why);
		if (range_overlaps(gpa, len, entry->kernel_gpa, entry->kernel_len))
			return linux_fail(-EEXIST,
					  "its initrd would lie over the kernel, which needs room "
					  "to unpack itself",
					  ret_why);
	} else if (boot_memory_find_high(&in->memory, len, PAGE_LEN, kernel_end, end, &gpa) < 0 &&
		   boot_memory_find_high(&in->memory, len, PAGE_LEN, KERNEL_MIN,
					 MIN(end, entry->kernel_gpa), &gpa) < 0)
		return linux_fail(-EFBIG,
				  "the VM has too little RAM for kernel and initrd together",
				  ret_why);
	dst = boot_memory_map(&in->memory, gpa, len);
	if (!dst)
		return linux_fail(-EFBIG, "the VM's RAM for the initrd is not one piece", ret_why);
	r = boot_file_read(in->initrd_fd, 0, dst, size);
	if (r == -ENODATA)
		return linux_fail(-ENOEXEC, "the initrd file shrank while it was read", ret_why);
	if (r < 0)
		return linux_fail(r, "the initrd cannot be read", ret_why);
	entry->initrd_gpa = gpa;
	entry->initrd_len = size;
	return 0;
}

static void put_u64(uint8_t *table, size_t index, uint64_t value)
{
	memcpy(table + index * sizeof(value), &value, sizeof(value));
}

/* low, here and in the functions after this, is the host address of LINUX_GDT. */
static uint8_t *low_at(uint8_t *low, enum linux_low_page page)
{
	return low + (page - LINUX_GDT);
}

static void write_page_tables(uint8_t *low, bool use_gib_pages)
{
	uint8_t *pml4 = low_at(low, LINUX_PML4);
	uint8_t *pdpt = low_at(low, LINUX_PDPT);
	uint8_t *pd = low_at(low, LINUX_PD);

	memset(pml4, 0, PAGE_LEN);
	memset(pdpt, 0, PAGE_LEN);
	put_u64(pml4, 0, LINUX_PDPT | PTE_TABLE);
	for (size_t i = 0; i < NUM_PD; i++) {
		if (use_gib_pages)
			put_u64(pdpt, i, i * GIB | PTE_LARGE);
		else
			put_u64(pdpt, i, (LINUX_PD + i * PAGE_LEN) | PTE_TABLE);
	}
	if (use_gib_pages)
		return;
	for (size_t i = 0; i < NUM_PD * PTE_PER_PAGE; i++)
		put_u64(pd, i, i * (GIB / PTE_PER_PAGE) | PTE_LARGE);
}

static void write_gdt(uint8_t *low, uint64_t code)
{
	uint8_t *gdt = low_at(low, LINUX_GDT);

	memset(gdt, 0, GDT_NUM * sizeof(uint64_t));
	put_u64(gdt, GDT_CODE, code);
	put_u64(gdt, GDT_DATA, GDT_FLAT_DATA);
}

static void write_zero_page(uint8_t *low, const struct linux_boot *in, const struct kernel_file *k,
			    const struct linux_entry *entry)
{
	struct boot_params *params = (struct boot_params *)low_at(low, LINUX_ZERO_PAGE);

	memset(params, 0, sizeof(*params));
	memcpy((uint8_t *)params + HEADER_OFFSET, k->raw_header, k->raw_header_len);
	params->hdr.type_of_loader = LOADER_UNKNOWN;
	params->hdr.cmd_line_ptr = LINUX_CMDLINE;
	params->hdr.ramdisk_image = (uint32_t)entry->initrd_gpa;
	params->hdr.ramdisk_size = (uint32_t)entry->initrd_len;
	params->hdr.setup_data = 0;
	params->acpi_rsdp_addr = in->rsdp_gpa;
	for (size_t i = 0; i < in->memory.num_ranges; i++) {
		const struct boot_range *range = &in->memory.ranges[i];

		params->e820_table[i].addr = range->addr;
		params->e820_table[i].size = range->len;
		params->e820_table[i].type = (uint32_t)range->type;
	}
	params->e820_entries = (uint8_t)in->memory.num_ranges;
}

static int write_low_memory(const struct linux_boot *in, const struct kernel_file *k,
			    struct linux_entry *entry, const char **ret_why)
{
	size_t text_len = strlen(in->cmdline);
	uint8_t *low;

	if (text_len > k->hdr.cmdline_size || text_len >= LINUX_LOW_END - LINUX_CMDLINE)
		return linux_fail(-E2BIG, "the command line is longer than this kernel takes",
				  ret_why);
	low = boot_memory_map(&in->memory, LINUX_GDT, LINUX_LOW_END - LINUX_GDT);
	if (!low)
		return linux_fail(-EFBIG,
				  "the VM has no RAM at 0x500 to 0x30000, where the boot data goes",
				  ret_why);

	memcpy(low_at(low, LINUX_CMDLINE), in->cmdline, text_len + 1);
	write_zero_page(low, in, k, entry);
	write_page_tables(low, in->use_gib_pages);
	write_gdt(low, k->is_32 ? GDT_FLAT_CODE32 : GDT_FLAT_CODE64);

	entry->rsi = LINUX_ZERO_PAGE;
	entry->rsp = LINUX_STACK + PAGE_LEN - 16;
	entry->cr3 = LINUX_PML4;
	entry->gdt_base = LINUX_GDT;
	entry->gdt_limit = GDT_NUM * sizeof(uint64_t) - 1;
	entry->code_selector = GDT_CODE * sizeof(uint64_t);
	entry->data_selector = GDT_DATA * sizeof(uint64_t);
	return 0;
}

int linux_load(const struct linux_boot *in, struct linux_entry *ret, const char **ret_why)
{
	struct linux_entry entry = { 0 };
	struct kernel_file k;
	int r;

	if (boot_memory_check(&in->memory) < 0)
		return linux_fail(-EINVAL, "the memory ranges overlap or are not sorted", ret_why);
	if (in->memory.num_ranges > E820_MAX_ENTRIES_ZEROPAGE)
		return linux_fail(-EINVAL, "the VM has more than 128 memory ranges", ret_why);
	r = read_header(in->kernel_fd, &k, ret_why);
	if (r < 0)
		return r;
	r = load_kernel(in, &k, &entry, ret_why);
	if (r < 0)
		return r;
	r = load_initrd(in, &k, &entry, ret_why);
	if (r < 0)
		return r;
	entry.rip = entry.kernel_gpa + ENTRY_64;
	r = write_low_memory(in, &k, &entry, ret_why);
	if (r < 0)
		return r;
	*ret = entry;
	return 0;
}

int linux_start(const struct linux_boot *in, const struct boot_image *image,
		const struct boot_module *initrd, struct linux_entry *ret, const char **ret_why)
{
	struct kernel_file k = {
		.hdr = { .boot_flag = BOOT_FLAG,
			 .header = HEADER_MAGIC,
			 .version = VERSION_MIN,
			 .loadflags = LOADED_HIGH,
			 .cmdline_size = LINUX_LOW_END - LINUX_CMDLINE - 1 },
		.raw_header_len = sizeof(k.hdr),
		.is_32 = !image->is_64,
	};
	struct linux_entry entry = { .rip = image->entry,
				     .initrd_gpa = initrd->gpa,
				     .initrd_len = initrd->len };
	int r;

	static_assert(sizeof(k.hdr) <= sizeof(k.raw_header), "the header is longer than its place");
	if (boot_memory_check(&in->memory) < 0)
		return linux_fail(-EINVAL, "the memory ranges overlap or are not sorted", ret_why);
	if (in->memory.num_ranges > E820_MAX_ENTRIES_ZEROPAGE)
		return linux_fail(-EINVAL, "the VM has more than 128 memory ranges", ret_why);
	if (image->entry >= LINUX_MAPPED_LEN)
		return linux_fail(-ENOEXEC, "its entry lies above 4 GiB", ret_why);
	if (boot_image_overlaps(image, LINUX_GDT, LINUX_LOW_END - LINUX_GDT))
		return linux_fail(-EEXIST,
				  "it lies over 0x500 to 0x30000, where the boot data goes",
				  ret_why);
	if (range_overlaps(initrd->gpa, initrd->len, LINUX_GDT, LINUX_LOW_END - LINUX_GDT))
		return linux_fail(-EEXIST,
				  "its initrd lies over 0x500 to 0x30000, where the boot data goes",
				  ret_why);
	if (!range_inside(initrd->gpa, initrd->len, 0, LINUX_MAPPED_LEN))
		return linux_fail(-EFBIG, "its initrd lies above 4 GiB", ret_why);
	memcpy(k.raw_header, &k.hdr, sizeof(k.hdr));
	r = write_low_memory(in, &k, &entry, ret_why);
	if (r < 0)
		return r;
	if (k.is_32)
		entry.cr3 = 0;
	*ret = entry;
	return 0;
}
