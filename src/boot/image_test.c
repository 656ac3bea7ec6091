/* SPDX-License-Identifier: Apache-2.0 */
/* ELF and multiboot files, PVH's and multiboot's start information. With BULKHEAD_TEST_VMLINUX=FILE
 * in the environment that kernel is read and loaded too. */
#include "boot/elf_file.h"

#include "base/fuzz.h"
#include "boot/test_guest.h"
#include "boot/x86_64/multiboot.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB	  0x100000ull
#define RAM_LEN	  (16 * MIB)
#define FILE_LEN  0x4000u
#define NOTES_AT  0x800u
#define CODE_AT	  0x1000u
#define DATA_AT	  0x2000u
#define MULTI_AT  0x40c /* of the multiboot header in a file that is no ELF */
#define CMDLINE	  "one two"
#define RSDP_GPA  0xe0000u
#define PVH_MAGIC 0x336ec578u

/* What a 64-bit kernel file looks like: code with an entry by virtual address, data with zeros
 * behind it, a note. */
struct file64 {
	Elf64_Ehdr head;
	Elf64_Phdr code, data, notes, stack;
};

struct note {
	Elf64_Nhdr head;
	char name[4];
	uint64_t entry;
};

static void fill(uint8_t *file, size_t len)
{
	for (size_t i = 0; i < len; i++)
		file[i] = (uint8_t)(i * 11 + (i >> 8));
}

static struct file64 good64(void)
{
	return (struct file64){
		.head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				       EV_CURRENT },
			  .e_type = ET_EXEC,
			  .e_machine = EM_X86_64,
			  .e_entry = 0xffffffff80000010,
			  .e_phoff = sizeof(Elf64_Ehdr),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 4 },
		.code = { PT_LOAD, PF_X, CODE_AT, 0xffffffff80000000, MIB, 0x1000, 0x1000, 0x1000 },
		.data = { PT_LOAD, PF_W, DATA_AT, 0xffffffff80001000, 2 * MIB, 0x800, 0x3000, 8 },
		.notes = { PT_NOTE, PF_R, NOTES_AT, 0, 0, 0x100, 0x100, 4 },
		.stack = { PT_GNU_STACK, 0, 0, 0, 0, 0, 0, 0 },
	};
}

static const struct note pvh_note = { { 4, 8, 18 }, "Xen", MIB + 0x20 };

static int file_of(const struct file64 *f, const struct note *note)
{
	uint8_t file[FILE_LEN];

	fill(file, sizeof(file));
	memset(file + NOTES_AT, 0, 0x100);
	memcpy(file, f, sizeof(*f));
	/* An unknown note stands before it. */
	memcpy(file + NOTES_AT, &(Elf64_Nhdr){ 3, 5, 99 }, sizeof(Elf64_Nhdr));
	if (note)
		memcpy(file + NOTES_AT + 24, note, sizeof(*note));
	return guest_file(file, sizeof(file), sizeof(file));
}

static int read_elf(const struct file64 *f, const struct note *note, struct boot_image *ret)
{
	const char *why = NULL;
	int fd = file_of(f, note), r;

	assert_true(fd >= 0);
	r = elf_read(fd, ret, &why);
	assert_true((r == 0) == (why == NULL));
	close(fd);
	return r;
}

static void test_elf64(void **state)
{
	struct file64 f = good64();
	uint8_t want[FILE_LEN];
	struct boot_image image;
	const char *why = NULL;
	struct guest g;
	int fd = file_of(&f, &pvh_note);

	(void)state;
	fill(want, sizeof(want));
	assert_int_equal(elf_read(fd, &image, &why), 0);
	assert_true(image.is_64);
	assert_int_equal(image.entry, MIB + 0x10);
	assert_true(image.has_pvh);
	assert_int_equal(image.pvh_entry, MIB + 0x20);
	assert_int_equal(image.num_segments, 2);
	assert_int_equal(guest_init(&g, RAM_LEN), 0);
	assert_int_equal(boot_image_load(fd, &image, &g.memory, &why), 0);
	assert_memory_equal(g.ram + MIB, want + CODE_AT, 0x1000);
	assert_memory_equal(g.ram + 2 * MIB, want + DATA_AT, 0x800);
	assert_int_equal(g.ram[2 * MIB + 0x800], 0);
	assert_int_equal(g.ram[MIB + 0x1000], 0);
	guest_free(&g);
	close(fd);
	/* A physical entry stays as it is; a file without the note has no such entry. */
	f.head.e_entry = 2 * MIB + 8;
	assert_int_equal(read_elf(&f, NULL, &image), 0);
	assert_int_equal(image.entry, 2 * MIB + 8);
	assert_false(image.has_pvh);
}

static void test_elf32(void **state)
{
	struct {
		Elf32_Ehdr head;
		Elf32_Phdr code;
	} f = {
		.head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB,
				       EV_CURRENT },
			  .e_type = ET_EXEC,
			  .e_machine = EM_386,
			  .e_entry = 0xc0000004,
			  .e_phoff = sizeof(Elf32_Ehdr),
			  .e_phentsize = sizeof(Elf32_Phdr),
			  .e_phnum = 1 },
		.code = { PT_LOAD, 0x200, 0xc0000000, MIB, 0x100, 0x200, PF_X, 4 },
	};
	struct boot_image image;
	const char *why = NULL;
	int fd = guest_file(&f, sizeof(f), 0x300);

	(void)state;
	assert_int_equal(elf_read(fd, &image, &why), 0);
	assert_false(image.is_64);
	assert_int_equal(image.entry, MIB + 4);
	assert_int_equal(image.segments[0].file_len, 0x100);
	assert_int_equal(image.segments[0].mem_len, 0x200);
	close(fd);
	f.head.e_machine = EM_X86_64;
	fd = guest_file(&f, sizeof(f), 0x300);
	assert_int_equal(elf_read(fd, &image, &why), -ENOEXEC);
	close(fd);
}

/* One field of a good file is wrong. */
#define REFUSED(change)                                                      \
	do {                                                                 \
		struct file64 f = good64();                                  \
		struct boot_image image = { .num_segments = 42 };            \
                                                                             \
		change;                                                      \
		assert_int_equal(read_elf(&f, &pvh_note, &image), -ENOEXEC); \
		assert_int_equal(image.num_segments, 42);                    \
	} while (0)

static void test_hostile_headers(void **state)
{
	(void)state;
	REFUSED(f.head.e_ident[0] = 0);
	REFUSED(f.head.e_ident[EI_CLASS] = 3);
	REFUSED(f.head.e_ident[EI_DATA] = ELFDATA2MSB);
	REFUSED(f.head.e_ident[EI_VERSION] = 9);
	REFUSED(f.head.e_machine = EM_AARCH64);
	REFUSED(f.head.e_type = ET_DYN);
	REFUSED(f.head.e_phnum = 0);
	REFUSED(f.head.e_phnum = BOOT_MAX_SEGMENTS + 1);
	REFUSED(f.head.e_phnum = UINT16_MAX);
	REFUSED(f.head.e_phentsize = 32);
	REFUSED(f.head.e_phoff = FILE_LEN - 4 * sizeof(Elf64_Phdr) + 1);
	REFUSED(f.head.e_phoff = UINT64_MAX);
	REFUSED(f.head.e_entry = 3 * MIB);
	REFUSED(f.code.p_offset = FILE_LEN - 0xfff);
	REFUSED(f.code.p_offset = UINT64_MAX - 4);
	REFUSED(f.code.p_filesz = 0x1001);
	REFUSED(f.code.p_filesz = f.code.p_memsz = UINT64_MAX);
	REFUSED(f.data.p_paddr = UINT64_MAX - 0x1000);
	REFUSED(f.data.p_paddr = MIB + 0xfff);
	REFUSED(f.data.p_paddr = MIB - 0x2fff);
	/* Nothing to load, and a PVH entry that is nowhere. */
	REFUSED(f.code.p_type = f.data.p_type = PT_NULL);
	REFUSED(f.code.p_paddr = 4 * MIB; f.head.e_entry = 2 * MIB);
}

static void test_odd_but_good(void **state)
{
	struct file64 f = good64();
	struct boot_image image;
	struct note note = pvh_note;

	(void)state;
	/* A segment of zeros alone says nothing about the file; an empty one is none. */
	f.data.p_offset = UINT64_MAX;
	f.data.p_filesz = 0;
	f.stack = (Elf64_Phdr){ .p_type = PT_LOAD, .p_paddr = UINT64_MAX, .p_offset = UINT64_MAX };
	assert_int_equal(read_elf(&f, NULL, &image), 0);
	assert_int_equal(image.num_segments, 2);
	/* Notes that end behind their segment, or outside of the file, are no notes. */
	f = good64();
	note.head.n_descsz = UINT32_MAX;
	assert_int_equal(read_elf(&f, &note, &image), 0);
	assert_false(image.has_pvh);
	note = pvh_note;
	note.head.n_namesz = UINT32_MAX;
	assert_int_equal(read_elf(&f, &note, &image), 0);
	assert_false(image.has_pvh);
	f.notes.p_filesz = 24 + sizeof(note) - 1;
	assert_int_equal(read_elf(&f, &pvh_note, &image), 0);
	assert_false(image.has_pvh);
	f.notes.p_filesz = UINT64_MAX;
	assert_int_equal(read_elf(&f, &pvh_note, &image), 0);
	assert_false(image.has_pvh);
	/* Someone else's note of that number, and a 4-byte entry. */
	f = good64();
	memcpy(note.name, "Xfn", 4);
	note.head.n_namesz = 4;
	assert_int_equal(read_elf(&f, &note, &image), 0);
	assert_false(image.has_pvh);
	note = pvh_note;
	note.head.n_descsz = 4;
	note.entry |= 0xdeadull << 32;
	assert_int_equal(read_elf(&f, &note, &image), 0);
	assert_int_equal(image.pvh_entry, MIB + 0x20);
}

static void test_no_ram_for_an_image(void **state)
{
	const uint64_t places[] = { RAM_LEN - 0x2fff, GUEST_LOW_END - 0x2000, 0xe0000, 1ull << 40 };
	struct boot_image image;
	const char *why = NULL;
	struct guest g;

	(void)state;
	assert_int_equal(guest_init(&g, RAM_LEN), 0);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct file64 f = good64();
		int fd;

		f.data.p_paddr = places[i];
		fd = file_of(&f, &pvh_note);
		assert_int_equal(elf_read(fd, &image, &why), 0);
		assert_int_equal(boot_image_load(fd, &image, &g.memory, &why), -EFBIG);
		close(fd);
	}
	guest_free(&g);
}

static int load_module(struct guest *g, uint64_t at, uint64_t size, const struct boot_image *image,
		       const struct boot_module *others, size_t num, struct boot_module *ret)
{
	const char *why = NULL;
	int fd = guest_file("initrd", MIN(size, 6), size), r;

	r = boot_module_load(fd, &g->memory, at, RAM_LEN - MIB, image, others, num, ret, &why);
	assert_true((r == 0) == (why == NULL));
	if (r == 0 && size)
		assert_memory_equal(g->ram + ret->gpa, "initrd", MIN(size, 6));
	close(fd);
	return r;
}

static void test_modules(void **state)
{
	struct boot_image image = { .num_segments = 1,
				    .segments = { { .gpa = 14 * MIB, .mem_len = MIB / 2 } } };
	struct boot_module m[4] = { { 0 } };
	struct guest g;

	(void)state;
	assert_int_equal(guest_init(&g, RAM_LEN), 0);
	/* Highest place below the limit, then below the image, then below each other. */
	assert_int_equal(load_module(&g, BOOT_ANYWHERE, 0x1001, &image, m, 0, &m[0]), 0);
	assert_int_equal(m[0].gpa, 15 * MIB - 0x2000);
	assert_int_equal(load_module(&g, BOOT_ANYWHERE, MIB, &image, m, 1, &m[1]), 0);
	assert_int_equal(m[1].gpa, 13 * MIB);
	assert_int_equal(load_module(&g, BOOT_ANYWHERE, MIB, &image, m, 2, &m[2]), 0);
	assert_int_equal(m[2].gpa, 12 * MIB);
	assert_int_equal(load_module(&g, 2 * MIB, MIB, &image, m, 3, &m[3]), 0);
	assert_int_equal(m[3].gpa, 2 * MIB);
	/* A hole between others is found. */
	m[2].len = 0;
	assert_int_equal(load_module(&g, BOOT_ANYWHERE, MIB / 2, &image, m, 2, &m[2]), 0);
	assert_int_equal(m[2].gpa, 13 * MIB - MIB / 2);
	assert_int_equal(load_module(&g, BOOT_ANYWHERE, 0, &image, m, 4, &m[2]), 0);
	assert_int_equal(m[2].len, 0);
	assert_int_equal(load_module(&g, 14 * MIB, 1, &image, m, 4, &m[2]), -EEXIST);
	assert_int_equal(load_module(&g, 3 * MIB - 1, 6, &image, m, 4, &m[2]), -EEXIST);
	assert_int_equal(load_module(&g, RAM_LEN - 1, 2, &image, m, 4, &m[2]), -EFBIG);
	assert_int_equal(load_module(&g, UINT64_MAX - 1, 6, &image, m, 4, &m[2]), -EFBIG);
	assert_int_equal(load_module(&g, BOOT_ANYWHERE, RAM_LEN, &image, m, 4, &m[2]), -EFBIG);
	guest_free(&g);
}

static uint32_t word_at(const struct guest *g, uint64_t gpa)
{
	uint32_t v;

	memcpy(&v, g->ram + gpa, sizeof(v));
	return v;
}

static uint64_t quad_at(const struct guest *g, uint64_t gpa)
{
	uint64_t v;

	memcpy(&v, g->ram + gpa, sizeof(v));
	return v;
}

static const struct boot_module two_modules[] = { { 4 * MIB, 0x1234 }, { 5 * MIB, 0x10 } };

static struct protected_boot protected_of(struct guest *g, const struct boot_image *image)
{
	return (struct protected_boot){
		.memory = g->memory,
		.image = image,
		.modules = two_modules,
		.num_modules = 2,
		.cmdline = CMDLINE,
		.rsdp_gpa = RSDP_GPA,
	};
}

static void check_flat_entry(const struct guest *g, const struct protected_entry *e)
{
	assert_int_equal(e->code_selector, 0x10);
	assert_int_equal(e->data_selector, 0x18);
	assert_int_equal(e->gdt_limit, 31);
	assert_int_equal(quad_at(g, e->gdt_base), 0);
	assert_int_equal(quad_at(g, e->gdt_base + 0x10), 0x00cf9b000000ffff);
	assert_int_equal(quad_at(g, e->gdt_base + 0x18), 0x00cf93000000ffff);
}

/* Offsets are those of Xen's start_info.h. */
static void test_pvh_start(void **state)
{
	struct boot_image image = { .num_segments = 1,
				    .segments = { { MIB, MIB, 0, 0 } },
				    .has_pvh = true,
				    .pvh_entry = MIB + 4 };
	struct protected_entry e;
	const char *why = NULL;
	uint64_t map, list;
	struct guest g;

	(void)state;
	assert_int_equal(guest_init(&g, RAM_LEN), 0);
	struct protected_boot in = protected_of(&g, &image);

	assert_int_equal(pvh_start(&in, &e, &why), 0);
	assert_int_equal(e.rip, MIB + 4);
	assert_int_equal(e.rax, 0);
	check_flat_entry(&g, &e);
	assert_int_equal(word_at(&g, e.rbx), PVH_MAGIC);
	assert_int_equal(word_at(&g, e.rbx + 4), 1);
	assert_int_equal(word_at(&g, e.rbx + 12), 2);
	list = quad_at(&g, e.rbx + 16);
	assert_int_equal(quad_at(&g, list), 4 * MIB);
	assert_int_equal(quad_at(&g, list + 8), 0x1234);
	assert_int_equal(quad_at(&g, list + 32), 5 * MIB);
	assert_string_equal(g.ram + quad_at(&g, e.rbx + 24), CMDLINE);
	assert_int_equal(quad_at(&g, e.rbx + 32), RSDP_GPA);
	map = quad_at(&g, e.rbx + 40);
	assert_int_equal(word_at(&g, e.rbx + 48), 3);
	assert_int_equal(quad_at(&g, map + 24), 0xe0000);
	assert_int_equal(quad_at(&g, map + 32), 0x20000);
	assert_int_equal(word_at(&g, map + 40), 2);
	assert_int_equal(quad_at(&g, map + 48 + 8), RAM_LEN - MIB);
	guest_free(&g);
}

static void test_no_start(void **state)
{
	static const struct boot_module low[] = { { 4 * MIB, 0x1234 }, { 0x4ff, 2 } };
	struct boot_range no_low[] = { { MIB, RAM_LEN - MIB, BOOT_RANGE_RAM } };
	struct boot_image image = { .num_segments = 1,
				    .segments = { { MIB, MIB, 0, 0 } },
				    .has_pvh = true,
				    .pvh_entry = MIB + 4 };
	char *text = malloc(0x10001);
	struct protected_entry e = { .rip = 42 };
	const char *why = NULL;
	struct guest g;

	(void)state;
	assert_int_equal(guest_init(&g, RAM_LEN), 0);
	struct protected_boot in = protected_of(&g, &image);

	image.pvh_entry = 1ull << 32;
	assert_int_equal(pvh_start(&in, &e, &why), -ENOEXEC);
	image.pvh_entry = MIB;
	image.segments[0].gpa = 0x2ffff;
	assert_int_equal(pvh_start(&in, &e, &why), -EEXIST);
	image.segments[0].gpa = 0x30000;
	assert_int_equal(pvh_start(&in, &e, &why), 0);
	in.modules = low;
	assert_int_equal(pvh_start(&in, &e, &why), -EEXIST);
	in.num_modules = 1;
	assert_int_equal(pvh_start(&in, &e, &why), 0);
	e.rip = 42;
	memset(text, 'x', 0x10000);
	text[0x10000] = 0;
	in.cmdline = text;
	assert_int_equal(pvh_start(&in, &e, &why), -E2BIG);
	text[0xffff] = 0;
	assert_int_equal(pvh_start(&in, &e, &why), 0);
	e.rip = 42;
	in.num_modules = BOOT_MAX_MODULES + 1;
	assert_int_equal(pvh_start(&in, &e, &why), -EINVAL);
	in.num_modules = 0;
	in.memory.ranges = no_low;
	in.memory.num_ranges = 1;
	assert_int_equal(pvh_start(&in, &e, &why), -EFBIG);
	struct boot_range many[PROTECTED_MAX_RANGES + 1];

	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct boot_range){ i * 0x1000, 0x1000, BOOT_RANGE_RAM };
	in.memory.ranges = many;
	in.memory.num_ranges = ARRAY_LEN(many);
	assert_int_equal(pvh_start(&in, &e, &why), -EINVAL);
	assert_int_equal(e.rip, 42);
	free(text);
	guest_free(&g);
}

struct header {
	uint32_t magic, flags, checksum, header_addr, load_addr, load_end, bss_end, entry;
};

static struct header good_header(void)
{
	return (struct header){ 0x1badb002, 0x10003,	  0,	   MIB + 12,
				MIB,	    MIB + 0x1000, 2 * MIB, MIB + 12 + 0x20 };
}

static int multiboot_file(const struct header *header, size_t at)
{
	struct header h = *header;
	uint8_t file[FILE_LEN];

	fill(file, sizeof(file));
	h.checksum = 0u - h.magic - h.flags;
	memcpy(file + at, &h, MIN(sizeof(h), FILE_LEN - at));
	return guest_file(file, sizeof(file), sizeof(file));
}

static int read_multiboot(const struct header *h, struct boot_image *ret)
{
	int fd = multiboot_file(h, MULTI_AT);
	const char *why = NULL;
	int r = multiboot_read(fd, ret, &why);

	assert_true((r == 0) == (why == NULL));
	close(fd);
	return r;
}

static void test_multiboot_addresses(void **state)
{
	struct header h = good_header();
	struct boot_image image;

	(void)state;
	assert_int_equal(read_multiboot(&h, &image), 0);
	assert_int_equal(image.num_segments, 1);
	assert_int_equal(image.segments[0].gpa, MIB);
	assert_int_equal(image.segments[0].offset, MULTI_AT - 12);
	assert_int_equal(image.segments[0].file_len, 0x1000);
	assert_int_equal(image.segments[0].mem_len, MIB);
	assert_int_equal(image.entry, MIB + 12 + 0x20);
	h.load_end = h.bss_end = 0;
	assert_int_equal(read_multiboot(&h, &image), 0);
	assert_int_equal(image.segments[0].file_len, FILE_LEN - (MULTI_AT - 12));
	assert_int_equal(image.segments[0].mem_len, FILE_LEN - (MULTI_AT - 12));
}

#define HEADER_REFUSED(change)                                          \
	do {                                                            \
		struct header h = good_header();                        \
		struct boot_image image = { .num_segments = 42 };       \
                                                                        \
		change;                                                 \
		assert_int_equal(read_multiboot(&h, &image), -ENOEXEC); \
		assert_int_equal(image.num_segments, 42);               \
	} while (0)

static void test_hostile_multiboot(void **state)
{
	(void)state;
	HEADER_REFUSED(h.magic++);
	HEADER_REFUSED(h.flags |= 1u << 2);
	HEADER_REFUSED(h.flags |= 1u << 15);
	HEADER_REFUSED(h.flags = 3);
	HEADER_REFUSED(h.load_addr = h.header_addr + 1);
	HEADER_REFUSED(h.load_addr = h.header_addr - MULTI_AT - 1);
	HEADER_REFUSED(h.load_end = MIB - 1);
	HEADER_REFUSED(h.load_end = MIB + FILE_LEN);
	HEADER_REFUSED(h.bss_end = MIB + 0xfff);
	HEADER_REFUSED(h.load_end = h.load_addr; h.bss_end = 0);
	HEADER_REFUSED(h.entry = MIB - 1);
	HEADER_REFUSED(h.entry = 2 * MIB);
}

static void test_multiboot_search(void **state)
{
	struct header h = good_header();
	uint8_t file[MULTIBOOT_SEARCH_LEN + 64] = { 0 };

	(void)state;
	h.checksum = 0u - h.magic - h.flags;
	memcpy(file + MULTIBOOT_SEARCH_LEN - sizeof(h), &h, sizeof(h));
	assert_true(multiboot_probe(file, sizeof(file)));
	assert_false(multiboot_probe(file, MULTIBOOT_SEARCH_LEN - 1));
	memset(file, 0, sizeof(file));
	memcpy(file + MULTIBOOT_SEARCH_LEN - 12, &h, sizeof(h));
	assert_false(multiboot_probe(file, sizeof(file)));
	memset(file, 0, sizeof(file));
	memcpy(file + 2, &h, sizeof(h));
	assert_false(multiboot_probe(file, sizeof(file)));
	assert_false(multiboot_probe(file, 0));
	/* Without addresses the first three words are enough. */
	h.flags = 0;
	h.checksum = 0u - h.magic;
	memcpy(file + 64, &h, 12);
	assert_true(multiboot_probe(file, 64 + 12));
	assert_false(multiboot_probe(file, 64 + 11));
}

/* Offsets are those of the multiboot specification. */
static void test_multiboot_start(void **state)
{
	struct boot_image image = { .num_segments = 1,
				    .segments = { { MIB, MIB, 0, 0 } },
				    .entry = MIB + 4 };
	struct protected_entry e;
	const char *why = NULL;
	uint64_t map, list;
	struct guest g;

	(void)state;
	assert_int_equal(guest_init(&g, RAM_LEN), 0);
	struct protected_boot in = protected_of(&g, &image);

	assert_int_equal(multiboot_start(&in, &e, &why), 0);
	assert_int_equal(e.rip, MIB + 4);
	assert_int_equal(e.rax, 0x2badb002);
	check_flat_entry(&g, &e);
	assert_int_equal(word_at(&g, e.rbx), 1u | 1u << 2 | 1u << 3 | 1u << 6 | 1u << 9);
	assert_int_equal(word_at(&g, e.rbx + 4), GUEST_LOW_END / 1024);
	assert_int_equal(word_at(&g, e.rbx + 8), (RAM_LEN - MIB) / 1024);
	assert_string_equal(g.ram + word_at(&g, e.rbx + 16), CMDLINE);
	assert_int_equal(word_at(&g, e.rbx + 20), 2);
	list = word_at(&g, e.rbx + 24);
	assert_int_equal(word_at(&g, list), 4 * MIB);
	assert_int_equal(word_at(&g, list + 4), 4 * MIB + 0x1234);
	assert_int_equal(word_at(&g, list + 16), 5 * MIB);
	assert_int_equal(word_at(&g, e.rbx + 44), 3 * 24);
	map = word_at(&g, e.rbx + 48);
	assert_int_equal(word_at(&g, map), 20);
	assert_int_equal(quad_at(&g, map + 4), 0);
	assert_int_equal(quad_at(&g, map + 24 + 4), 0xe0000);
	assert_int_equal(quad_at(&g, map + 24 + 12), 0x20000);
	assert_int_equal(word_at(&g, map + 24 + 20), 2);
	assert_string_equal(g.ram + word_at(&g, e.rbx + 64), "Bulkhead");

	const struct boot_module high[] = { { 0xfffff000, 0x2000 } };

	in.modules = high;
	in.num_modules = 1;
	assert_int_equal(multiboot_start(&in, &e, &why), -EFBIG);
	guest_free(&g);
}

/* A fixed sequence of damaged files through the fuzz target. */
static void test_damaged_files(void **state)
{
	struct file64 f = good64();
	struct header h = good_header();
	uint8_t good[2][FILE_LEN], data[FILE_LEN];
	uint64_t seed = 0x9e3779b97f4a7c15;

	(void)state;
	for (int i = 0; i < 2; i++) {
		int fd = i ? multiboot_file(&h, MULTI_AT) : file_of(&f, &pvh_note);

		assert_int_equal(pread(fd, good[i], FILE_LEN, 0), FILE_LEN);
		close(fd);
	}
	for (int round = 0; round < 3000; round++) {
		unsigned which = (unsigned)round % 2;
		size_t span = which ? sizeof(h) : sizeof(f) + 64, from = which ? MULTI_AT : 0;

		memcpy(data, good[which], FILE_LEN);
		for (int n = round % 5; n >= 0; n--) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			size_t at = from + (seed >> 33) % span;

			if (!which && at >= sizeof(f))
				at = NOTES_AT + (at - sizeof(f));
			data[at] = (uint8_t)((seed >> 24) & 1 ? seed >> 56 : seed >> 63 ? 0xff : 0);
		}
		size_t len = (seed >> 20) % 16 ? FILE_LEN : (seed >> 40) % FILE_LEN;

		LLVMFuzzerTestOneInput(data, len);
	}
}

static void test_real_kernel(void **state)
{
	const char *path = getenv("BULKHEAD_TEST_VMLINUX");
	struct boot_image image;
	const char *why = NULL;
	struct guest g;

	(void)state;
	if (!path)
		skip();
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(elf_read(fd, &image, &why), 0);
	assert_true(image.has_pvh && image.is_64);
	assert_int_equal(guest_init(&g, 128 * MIB), 0);
	assert_int_equal(boot_image_load(fd, &image, &g.memory, &why), 0);
	guest_free(&g);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elf64),
		cmocka_unit_test(test_elf32),
		cmocka_unit_test(test_hostile_headers),
		cmocka_unit_test(test_odd_but_good),
		cmocka_unit_test(test_no_ram_for_an_image),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_pvh_start),
		cmocka_unit_test(test_no_start),
		cmocka_unit_test(test_multiboot_addresses),
		cmocka_unit_test(test_hostile_multiboot),
		cmocka_unit_test(test_multiboot_search),
		cmocka_unit_test(test_multiboot_start),
		cmocka_unit_test(test_damaged_files),
		cmocka_unit_test(test_real_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
