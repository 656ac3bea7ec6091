/* SPDX-License-Identifier: Apache-2.0 */
/* With BULKHEAD_TEST_KERNEL=FILE in the environment that bzImage is loaded too. */
#include "boot/x86_64/linux.h"

#include "base/fuzz.h"
#include "boot/test_guest.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB	      0x100000ull
#define RAM_LEN	      (64 * MIB)
#define HEADER_OFFSET 0x1f1
#define PAYLOAD_AT    1024u /* one sector of set-up code after the boot sector */
#define PAYLOAD_LEN   8192u
#define IMAGE_LEN     (PAYLOAD_AT + PAYLOAD_LEN)
#define RSDP_GPA      0xe0000u
#define CMDLINE	      "console=ttyS0 panic=-1"

/* A kernel file, what is loaded with it, and the guest that it is loaded into. */
struct bench {
	struct setup_header hdr;
	uint64_t kernel_size;
	uint64_t initrd_size;
	struct guest g;
	struct linux_boot in;
	struct linux_entry entry;
	const char *why;
};

static void setup(struct bench *t)
{
	*t = (struct bench){
		.hdr = { .setup_sects = 1,
			 .syssize = PAYLOAD_LEN / 16,
			 .boot_flag = 0xaa55,
			 .jump = 0x6aeb,
			 .header = 0x53726448,
			 .version = 0x020f,
			 .loadflags = LOADED_HIGH,
			 .initrd_addr_max = 0x7fffffff,
			 .kernel_alignment = 2 * MIB,
			 .relocatable_kernel = 1,
			 .xloadflags = XLF_KERNEL_64,
			 .cmdline_size = 2047,
			 .pref_address = 16 * MIB,
			 .init_size = 20 * MIB },
		.kernel_size = IMAGE_LEN,
	};
	assert_int_equal(guest_init(&t->g, RAM_LEN), 0);
	t->in.memory = t->g.memory;
	t->in.cmdline = CMDLINE;
	t->in.rsdp_gpa = RSDP_GPA;
	t->in.initrd_fd = -1;
}

static void make_image(const struct bench *t, uint8_t image[IMAGE_LEN])
{
	memset(image, 0x5a, IMAGE_LEN);
	memcpy(image + HEADER_OFFSET, &t->hdr, sizeof(t->hdr));
	for (size_t i = PAYLOAD_AT; i < IMAGE_LEN; i++)
		image[i] = (uint8_t)(i * 7);
}

static int load(struct bench *t)
{
	uint8_t image[IMAGE_LEN];
	int r;

	make_image(t, image);
	t->why = NULL;
	t->in.kernel_fd = guest_file(image, MIN(IMAGE_LEN, t->kernel_size), t->kernel_size);
	assert_true(t->in.kernel_fd >= 0);
	if (t->initrd_size) {
		t->in.initrd_fd = guest_file("initrd", 6, t->initrd_size);
		assert_true(t->in.initrd_fd >= 0);
	}
	r = linux_load(&t->in, &t->entry, &t->why);
	close(t->in.kernel_fd);
	if (t->initrd_size)
		close(t->in.initrd_fd);
	return r;
}

static void expect_failure(struct bench *t, int error, const char *word)
{
	t->entry.rip = 42;
	assert_int_equal(load(t), error);
	assert_non_null(t->why);
	assert_non_null(strstr(t->why, word));
	assert_int_equal(t->entry.rip, 42);
}

static void teardown(struct bench *t)
{
	guest_free(&t->g);
}

static const struct boot_params *zero_page(const struct bench *t)
{
	return (const struct boot_params *)(t->g.ram + t->entry.rsi);
}

/* Walks the page tables as a CPU does. */
static uint64_t translate(const struct bench *t, uint64_t va)
{
	uint64_t entry, table = t->entry.cr3;

	for (int shift = 39; shift >= 12; shift -= 9) {
		memcpy(&entry, t->g.ram + table + (va >> shift) % 512 * 8, sizeof(entry));
		if (!(entry & 1))
			return UINT64_MAX;
		table = entry & 0x000ffffffffff000;
		if (shift == 12 || (shift < 39 && entry & 0x80))
			return table + va % (1ull << shift);
	}
	return UINT64_MAX;
}

static void check_identity(const struct bench *t)
{
	const uint64_t inside[] = { 0,		LINUX_ZERO_PAGE, 0x1fffff,   0x200000,
				    0x3fffffff, 0x40000000,	 0xc0123456, 0xffffffff };

	for (size_t i = 0; i < ARRAY_LEN(inside); i++)
		assert_int_equal(translate(t, inside[i]), inside[i]);
	assert_int_equal(translate(t, LINUX_MAPPED_LEN), UINT64_MAX);
	assert_int_equal(translate(t, 1ull << 39), UINT64_MAX);
}

static void test_good(void **state)
{
	const uint64_t descriptors[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
	const struct boot_params *params;
	uint8_t image[IMAGE_LEN];
	struct bench t;

	(void)state;
	setup(&t);
	t.initrd_size = 3 * MIB + 5;
	assert_int_equal(load(&t), 0);
	make_image(&t, image);

	assert_int_equal(t.entry.kernel_gpa, 16 * MIB);
	assert_int_equal(t.entry.kernel_len, 20 * MIB);
	assert_int_equal(t.entry.rip, 16 * MIB + 0x200);
	assert_memory_equal(t.g.ram + 16 * MIB, image + PAYLOAD_AT, PAYLOAD_LEN);
	assert_int_equal(t.g.ram[16 * MIB + PAYLOAD_LEN], 0);

	assert_int_equal(t.entry.initrd_gpa, RAM_LEN - 4 * MIB + MIB - 0x1000);
	assert_int_equal(t.entry.initrd_len, 3 * MIB + 5);
	assert_memory_equal(t.g.ram + t.entry.initrd_gpa, "initrd", 7);

	params = zero_page(&t);
	assert_memory_equal((const uint8_t *)params + 0x202, image + 0x202, 0x210 - 0x202);
	assert_int_equal(params->hdr.type_of_loader, 0xff);
	assert_int_equal(params->hdr.init_size, 20 * MIB);
	assert_int_equal(params->hdr.cmd_line_ptr, LINUX_CMDLINE);
	assert_string_equal(t.g.ram + params->hdr.cmd_line_ptr, CMDLINE);
	assert_int_equal(params->hdr.ramdisk_image, t.entry.initrd_gpa);
	assert_int_equal(params->hdr.ramdisk_size, t.entry.initrd_len);
	assert_int_equal(params->acpi_rsdp_addr, RSDP_GPA);
	assert_int_equal(params->sentinel, 0);
	assert_int_equal(params->e820_entries, 3);
	assert_int_equal(params->e820_table[1].addr, 0xe0000);
	assert_int_equal(params->e820_table[1].size, 0x20000);
	assert_int_equal(params->e820_table[1].type, 2);
	assert_int_equal(params->e820_table[2].size, RAM_LEN - MIB);

	assert_int_equal(t.entry.gdt_limit, sizeof(descriptors) - 1);
	assert_memory_equal(t.g.ram + t.entry.gdt_base, descriptors, sizeof(descriptors));
	assert_int_equal(t.entry.code_selector, 0x10);
	assert_int_equal(t.entry.data_selector, 0x18);
	assert_int_equal(t.entry.rsp % 16, 0);
	check_identity(&t);
	teardown(&t);
}

static void test_gib_pages(void **state)
{
	struct bench t;

	(void)state;
	setup(&t);
	t.in.use_gib_pages = true;
	assert_int_equal(load(&t), 0);
	check_identity(&t);
	/* No page directories. */
	assert_int_equal(t.g.ram[LINUX_PD], 0);
	assert_int_equal(zero_page(&t)->hdr.ramdisk_size, 0);
	teardown(&t);
}

static void test_header_is_cut_at_its_end(void **state)
{
	struct bench t;

	(void)state;
	setup(&t);
	/* A header far longer than we know: what follows it in the zero page must stay zero. */
	t.hdr.jump = 0xffeb;
	assert_int_equal(load(&t), 0);
	assert_int_equal(((const uint8_t *)zero_page(&t))[0x28f], 0x5a);
	assert_int_equal(((const uint8_t *)zero_page(&t))[0x290], 0);
	/* One of protocol 2.12, which ends before kernel_info_offset. */
	t.hdr.jump = 0x66eb;
	t.hdr.version = 0x020c;
	t.hdr.kernel_info_offset = 0x01010101;
	assert_int_equal(load(&t), 0);
	assert_int_equal(zero_page(&t)->hdr.kernel_info_offset, 0);
	teardown(&t);
}

static void test_relocation(void **state)
{
	struct boot_range ranges[] = {
		{ 0, GUEST_LOW_END, BOOT_RANGE_RAM },
		{ MIB, 15 * MIB, BOOT_RANGE_RAM },
		{ 16 * MIB, 0x1000, BOOT_RANGE_RESERVED },
		{ 16 * MIB + 0x1000, RAM_LEN - 16 * MIB - 0x1000, BOOT_RANGE_RAM },
	};
	struct bench t;

	(void)state;
	setup(&t);
	t.in.memory.ranges = ranges;
	t.in.memory.num_ranges = ARRAY_LEN(ranges);
	assert_int_equal(load(&t), 0);
	assert_int_equal(t.entry.kernel_gpa, 18 * MIB);
	t.hdr.kernel_alignment = 16 * MIB;
	assert_int_equal(load(&t), 0);
	assert_int_equal(t.entry.kernel_gpa, 32 * MIB);
	t.hdr.relocatable_kernel = 0;
	expect_failure(&t, -EFBIG, "RAM");
	t.hdr.pref_address = 17 * MIB;
	assert_int_equal(load(&t), 0);
	assert_int_equal(t.entry.kernel_gpa, 17 * MIB);
	t.hdr.pref_address = 0x90000;
	expect_failure(&t, -EFBIG, "RAM");
	t.hdr.pref_address = UINT64_MAX - 0xfff;
	expect_failure(&t, -EFBIG, "RAM");
	teardown(&t);
}

static void test_kernel_too_big(void **state)
{
	struct bench t;

	(void)state;
	setup(&t);
	t.hdr.init_size = 48 * MIB;
	assert_int_equal(load(&t), 0);
	t.hdr.init_size = 48 * MIB + 1;
	expect_failure(&t, -EFBIG, "RAM");
	t.hdr.init_size = UINT32_MAX;
	expect_failure(&t, -EFBIG, "RAM");
	t.hdr.init_size = MIB;
	t.hdr.pref_address = UINT64_MAX;
	expect_failure(&t, -EFBIG, "RAM");
	t.hdr.pref_address = 1ull << 32;
	expect_failure(&t, -EFBIG, "RAM");
	/* The file itself is longer than what it says it needs. */
	t.hdr.pref_address = 16 * MIB;
	t.hdr.init_size = 0;
	assert_int_equal(load(&t), 0);
	assert_int_equal(t.entry.kernel_len, PAYLOAD_LEN);
	t.hdr.syssize = 49 * MIB / 16;
	t.kernel_size = 50 * MIB;
	expect_failure(&t, -EFBIG, "RAM");
	teardown(&t);
}

static void test_truncated(void **state)
{
	struct bench t;

	(void)state;
	setup(&t);
	t.kernel_size = IMAGE_LEN - 16;
	expect_failure(&t, -ENOEXEC, "truncated");
	/* The last of the units in which the header counts need not be full. */
	t.kernel_size = IMAGE_LEN - 15;
	assert_int_equal(load(&t), 0);
	t.kernel_size = IMAGE_LEN + 1;
	assert_int_equal(load(&t), 0);
	t.hdr.setup_sects = 255;
	expect_failure(&t, -ENOEXEC, "truncated");
	t.hdr.setup_sects = 0; /* means 4 */
	expect_failure(&t, -ENOEXEC, "truncated");
	t.kernel_size = IMAGE_LEN + 3 * 512;
	assert_int_equal(load(&t), 0);
	t.hdr.syssize = UINT32_MAX;
	expect_failure(&t, -ENOEXEC, "truncated");
	t.hdr.syssize = 0;
	expect_failure(&t, -ENOEXEC, "64-bit entry");
	t.kernel_size = 100;
	expect_failure(&t, -ENOEXEC, "too short");
	t.kernel_size = 0;
	expect_failure(&t, -ENOEXEC, "too short");
	teardown(&t);
}

static void test_initrd_places(void **state)
{
	struct bench t;

	(void)state;
	setup(&t);
	/* The kernel claims 16..36 MiB: 28 MiB are free above it and 15 below. */
	t.initrd_size = 28 * MIB;
	assert_int_equal(load(&t), 0);
	assert_int_equal(t.entry.initrd_gpa, 36 * MIB);
	t.initrd_size = 28 * MIB + 1;
	expect_failure(&t, -EFBIG, "initrd");
	t.initrd_size = 15 * MIB;
	t.hdr.initrd_addr_max = 40 * MIB - 1; /* the last byte that may be used */
	assert_int_equal(load(&t), 0);
	assert_int_equal(t.entry.initrd_gpa, MIB);
	t.initrd_size = 4096;
	assert_int_equal(load(&t), 0);
	assert_int_equal(t.entry.initrd_gpa, 40 * MIB - 4096);
	t.hdr.initrd_addr_max = MIB;
	expect_failure(&t, -EFBIG, "initrd");
	t.hdr.initrd_addr_max = 0;
	expect_failure(&t, -EFBIG, "initrd");
	t.hdr.initrd_addr_max = UINT32_MAX;
	assert_int_equal(load(&t), 0);
	assert_int_equal(t.entry.initrd_gpa, RAM_LEN - 4096);
	t.initrd_size = 1ull << 40;
	expect_failure(&t, -EFBIG, "initrd");
	teardown(&t);
}

static void test_initrd_at_an_address(void **state)
{
	struct bench t;

	(void)state;
	setup(&t);
	t.initrd_size = MIB;
	t.in.has_initrd_gpa = true;
	t.in.initrd_gpa = 2 * MIB;
	assert_int_equal(load(&t), 0);
	assert_int_equal(t.entry.initrd_gpa, 2 * MIB);
	assert_memory_equal(t.g.ram + 2 * MIB, "initrd", 7);
	assert_int_equal(zero_page(&t)->hdr.ramdisk_image, 2 * MIB);
	t.in.initrd_gpa = 36 * MIB - 1;
	expect_failure(&t, -EEXIST, "over the kernel");
	t.in.initrd_gpa = 15 * MIB + 1;
	expect_failure(&t, -EEXIST, "over the kernel");
	t.in.initrd_gpa = RAM_LEN - MIB + 1;
	expect_failure(&t, -EFBIG, "one piece");
	t.in.initrd_gpa = 0x7fffffff;
	expect_failure(&t, -EFBIG, "lower address");
	t.in.initrd_gpa = UINT64_MAX;
	expect_failure(&t, -EFBIG, "lower address");
	t.initrd_size = 4096;
	t.in.initrd_gpa = LINUX_LOW_END - 1;
	expect_failure(&t, -EEXIST, "boot data");
	t.initrd_size = LINUX_GDT + 1;
	t.in.initrd_gpa = 0;
	expect_failure(&t, -EEXIST, "boot data");
	t.in.initrd_gpa = LINUX_LOW_END;
	assert_int_equal(load(&t), 0);
	teardown(&t);
}

/* An unpacked kernel: the same low memory, the entry as its file says. */
static void test_start_of_a_program(void **state)
{
	struct boot_image image = { .is_64 = true,
				    .entry = 2 * MIB + 4,
				    .num_segments = 1,
				    .segments = { { 2 * MIB, MIB, 0, 0 } } };
	const struct boot_module low = { LINUX_LOW_END - 1, 1 }, high = { 0xfffff000, 0x1001 };
	const struct boot_module initrd = { 4 * MIB, 0x1234 };
	struct bench t;
	uint64_t code;

	(void)state;
	setup(&t);
	assert_int_equal(linux_start(&t.in, &image, &initrd, &t.entry, &t.why), 0);
	assert_int_equal(t.entry.rip, 2 * MIB + 4);
	assert_int_equal(zero_page(&t)->hdr.header, 0x53726448);
	assert_int_equal(zero_page(&t)->hdr.ramdisk_image, 4 * MIB);
	assert_int_equal(zero_page(&t)->hdr.ramdisk_size, 0x1234);
	assert_int_equal(zero_page(&t)->acpi_rsdp_addr, RSDP_GPA);
	assert_string_equal(t.g.ram + zero_page(&t)->hdr.cmd_line_ptr, CMDLINE);
	check_identity(&t);
	/* 32-bit: no paging, a segment of 32-bit code. */
	image.is_64 = false;
	assert_int_equal(linux_start(&t.in, &image, &initrd, &t.entry, &t.why), 0);
	assert_int_equal(t.entry.cr3, 0);
	memcpy(&code, t.g.ram + t.entry.gdt_base + t.entry.code_selector, sizeof(code));
	assert_int_equal(code, 0x00cf9b000000ffff);
	assert_int_equal(linux_start(&t.in, &image, &low, &t.entry, &t.why), -EEXIST);
	assert_int_equal(linux_start(&t.in, &image, &high, &t.entry, &t.why), -EFBIG);
	image.segments[0].gpa = LINUX_LOW_END - 1;
	assert_int_equal(linux_start(&t.in, &image, &initrd, &t.entry, &t.why), -EEXIST);
	image.segments[0].gpa = LINUX_LOW_END;
	image.entry = LINUX_MAPPED_LEN;
	assert_int_equal(linux_start(&t.in, &image, &initrd, &t.entry, &t.why), -ENOEXEC);
	teardown(&t);
}

static void test_command_line(void **state)
{
	char text[0x10001];
	struct bench t;

	(void)state;
	setup(&t);
	memset(text, 'x', sizeof(text));
	text[2047] = '\0';
	t.in.cmdline = text;
	assert_int_equal(load(&t), 0);
	assert_string_equal(t.g.ram + LINUX_CMDLINE, text);
	text[2047] = 'x';
	text[2048] = '\0';
	expect_failure(&t, -E2BIG, "command line");
	/* A kernel that would take more than there is room for. */
	t.hdr.cmdline_size = UINT32_MAX;
	text[2048] = 'x';
	text[0xffff] = '\0';
	assert_int_equal(load(&t), 0);
	text[0xffff] = 'x';
	text[0x10000] = '\0';
	expect_failure(&t, -E2BIG, "command line");
	teardown(&t);
}

static void test_memory_map(void **state)
{
	struct boot_range many[129];
	struct bench t;

	(void)state;
	setup(&t);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct boot_range){ RAM_LEN + i * 4096, 4096, BOOT_RANGE_RESERVED };
	many[0] = (struct boot_range){ 0, GUEST_LOW_END, BOOT_RANGE_RAM };
	many[1] = (struct boot_range){ MIB, RAM_LEN - MIB, BOOT_RANGE_RAM };
	t.in.memory.ranges = many;
	t.in.memory.num_ranges = 128;
	assert_int_equal(load(&t), 0);
	assert_int_equal(zero_page(&t)->e820_entries, 128);
	assert_int_equal(zero_page(&t)->e820_table[127].addr, many[127].addr);
	t.in.memory.num_ranges = 129;
	expect_failure(&t, -EINVAL, "128");
	/* No low memory. */
	t.in.memory.ranges = many + 1;
	t.in.memory.num_ranges = 1;
	expect_failure(&t, -EFBIG, "0x500");
	/* The list says RAM where there is none. */
	many[1].len = RAM_LEN;
	t.initrd_size = 4096;
	expect_failure(&t, -EFBIG, "one piece");
	many[1] = many[0];
	t.in.memory.num_ranges = 3;
	t.in.memory.ranges = many;
	expect_failure(&t, -EINVAL, "overlap");
	teardown(&t);
}

static void expect_refusal(const struct bench *t, const char *word)
{
	uint8_t image[IMAGE_LEN];
	const char *why = NULL;

	make_image(t, image);
	assert_int_equal(linux_probe(image, sizeof(image), &why), -ENOEXEC);
	assert_non_null(why);
	assert_non_null(strstr(why, word));
}

static void test_probe(void **state)
{
	uint8_t image[IMAGE_LEN];
	const char *why = NULL;
	struct bench t;

	(void)state;
	setup(&t);
	make_image(&t, image);
	assert_int_equal(linux_probe(image, LINUX_HEAD_LEN, &why), 0);
	assert_null(why);
	/* Each length in a block of its own size, so that a read past its end is found. */
	for (size_t len = 0; len < LINUX_HEAD_LEN; len++) {
		uint8_t *copy = malloc(len ? len : 1);

		assert_non_null(copy);
		memcpy(copy, image, len);
		assert_int_equal(linux_probe(copy, len, &why), len >= 0x26c ? 0 : -ENOEXEC);
		free(copy);
	}

	t.hdr.xloadflags = 0;
	expect_refusal(&t, "32-bit");
	t.hdr.version = 0x020b;
	expect_refusal(&t, "too old");
	t.hdr.loadflags = 0;
	expect_refusal(&t, "zImage");
	t.hdr.header = 0;
	expect_refusal(&t, "not a Linux bzImage");
	t.hdr.header = 0x53726448;
	t.hdr.boot_flag = 0;
	expect_refusal(&t, "not a Linux bzImage");
	teardown(&t);

	setup(&t);
	t.hdr.kernel_alignment = 0;
	expect_refusal(&t, "alignment");
	t.hdr.kernel_alignment = 3 * MIB;
	expect_refusal(&t, "alignment");
	t.hdr.kernel_alignment = 1;
	expect_refusal(&t, "alignment");
	t.hdr.kernel_alignment = 2 * MIB;
	t.hdr.jump = 0x61eb;
	expect_refusal(&t, "header");
	teardown(&t);
}

static void test_bad_files(void **state)
{
	struct bench t;

	(void)state;
	setup(&t);
	t.in.kernel_fd = open("/", O_RDONLY | O_DIRECTORY);
	assert_int_equal(linux_load(&t.in, &t.entry, &t.why), -EINVAL);
	close(t.in.kernel_fd);
	t.in.initrd_fd = open("/dev/null", O_RDONLY);
	expect_failure(&t, -EINVAL, "regular");
	close(t.in.initrd_fd);
	teardown(&t);
}

/* A fixed sequence of damaged images through the fuzz target, which checks what came of them. */
static void test_damaged_images(void **state)
{
	const size_t header_len = sizeof(struct setup_header);
	uint64_t random = 88172645463325252u;
	uint8_t input[12 + IMAGE_LEN] = { 0 };
	struct bench t;

	(void)state;
	setup(&t);
	teardown(&t);
	for (int round = 0; round < 3000; round++) {
		const uint32_t sizes[] = { IMAGE_LEN, (uint32_t)(random >> 20) };

		make_image(&t, input + 12);
		memcpy(input, sizes, sizeof(sizes));
		input[8] = (uint8_t)(random >> 8);
		input[9] = (uint8_t)(random >> 16);
		for (int i = 0; i < 1 + round % 4; i++) {
			static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff, 0x10 };

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			input[12 + HEADER_OFFSET + (random >> 8) % header_len] =
				values[(random >> 40) % ARRAY_LEN(values)];
		}
		LLVMFuzzerTestOneInput(input, round % 8 ? sizeof(input)
							: (size_t)(random % sizeof(input)));
	}
}

static void test_real_kernel(void **state)
{
	const char *file = getenv("BULKHEAD_TEST_KERNEL");
	uint8_t head[LINUX_HEAD_LEN], start[64];
	struct guest g;
	struct bench t;

	(void)state;
	if (!file)
		skip();
	setup(&t);
	assert_int_equal(guest_init(&g, 512 * MIB), 0);
	t.in.memory = g.memory;
	t.in.kernel_fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_true(t.in.kernel_fd >= 0);
	assert_int_equal(pread(t.in.kernel_fd, head, sizeof(head), 0), sizeof(head));
	assert_int_equal(linux_probe(head, sizeof(head), &t.why), 0);
	assert_int_equal(linux_load(&t.in, &t.entry, &t.why), 0);
	assert_int_equal(t.entry.rip, t.entry.kernel_gpa + 0x200);
	assert_int_equal(
		pread(t.in.kernel_fd, start, sizeof(start), (head[0x1f1] + 1) * 512 + 0x200),
		sizeof(start));
	assert_memory_equal(g.ram + t.entry.rip, start, sizeof(start));
	close(t.in.kernel_fd);
	guest_free(&g);
	teardown(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_gib_pages),
		cmocka_unit_test(test_header_is_cut_at_its_end),
		cmocka_unit_test(test_relocation),
		cmocka_unit_test(test_kernel_too_big),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_initrd_places),
		cmocka_unit_test(test_initrd_at_an_address),
		cmocka_unit_test(test_start_of_a_program),
		cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_memory_map),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_damaged_images),
		cmocka_unit_test(test_real_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
