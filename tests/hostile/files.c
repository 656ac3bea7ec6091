/* SPDX-License-Identifier: Apache-2.0 */
/*
 * B13: files that are wrong in one number. An ELF program with two segments and a note, each field
 * of its headers in turn with each number that parsers get wrong; what must hold is the fuzz
 * target's (src/boot/image_fuzz.c).
 */
#include <elf.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "base/fuzz.h"

enum { CASE_SECONDS = 30, LOADED = 0x100000 };

struct file {
	Elf64_Ehdr head;
	Elf64_Phdr parts[3];
	Elf64_Nhdr note;
	char name[4];
	uint64_t entry;
	uint8_t text[512];
};

static const struct file good = {
	.head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			       EV_CURRENT },
		  .e_type = ET_EXEC,
		  .e_machine = EM_X86_64,
		  .e_version = EV_CURRENT,
		  .e_entry = LOADED,
		  .e_phoff = offsetof(struct file, parts),
		  .e_ehsize = sizeof(Elf64_Ehdr),
		  .e_phentsize = sizeof(Elf64_Phdr),
		  .e_phnum = 3 },
	.parts = { { PT_LOAD, PF_R | PF_X, offsetof(struct file, text), LOADED, LOADED, 256, 4096,
		     4096 },
		   { PT_LOAD, PF_R, offsetof(struct file, text) + 256, LOADED + 8192, LOADED + 8192,
		     256, 256, 4096 },
		   { PT_NOTE, PF_R, offsetof(struct file, note), 0, 0, 24, 24, 4 } },
	.note = { 4, 8, 18 },
	.name = "Xen",
	.entry = LOADED,
};

static const struct field {
	const char *name;
	size_t offset, len;
} fields[] = {
#define HEAD(f)                                                        \
	{                                                              \
#f, offsetof(struct file, head.f), sizeof(good.head.f) \
	}
#define PART(i, f)                                                                            \
	{                                                                                     \
#f " of part " #i, offsetof(struct file, parts[i].f), sizeof(good.parts[0].f) \
	}
#define PARTS(i)                                                                                   \
	PART(i, p_type), PART(i, p_offset), PART(i, p_vaddr), PART(i, p_paddr), PART(i, p_filesz), \
		PART(i, p_memsz), PART(i, p_align)
	HEAD(e_type),
	HEAD(e_machine),
	HEAD(e_version),
	HEAD(e_entry),
	HEAD(e_phoff),
	HEAD(e_phentsize),
	HEAD(e_phnum),
	PARTS(0),
	PARTS(1),
	PARTS(2),
	{ "note's name", offsetof(struct file, note.n_namesz), 4 },
	{ "note's length", offsetof(struct file, note.n_descsz), 4 },
	{ "note's entry", offsetof(struct file, entry), 8 },
};

int main(void)
{
	const uint64_t values[] = { 0,
				    1,
				    sizeof(good) - 1,
				    sizeof(good),
				    sizeof(good) + 1,
				    0xffff,
				    0x7fffffff,
				    UINT32_MAX,
				    INT64_MAX,
				    UINT64_MAX,
				    UINT64_MAX - 4095,
				    4u << 20,
				    4097,
				    255,
				    257,
				    LOADED };
	unsigned n = 0;

	for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
		for (size_t v = 0; v < ARRAY_LEN(values); v++, n++) {
			struct file file = good;

			alarm(CASE_SECONDS);
			fprintf(stderr, "\r%s = 0x%llx ", fields[f].name,
				(unsigned long long)values[v]);
			memcpy((uint8_t *)&file + fields[f].offset, &values[v], fields[f].len);
			(void)LLVMFuzzerTestOneInput((const uint8_t *)&file, sizeof(file));
		}
	}
	for (size_t len = 0; len < sizeof(good); len += 3, n++) {
		fprintf(stderr, "\rcut to %zu bytes ", len);
		(void)LLVMFuzzerTestOneInput((const uint8_t *)&good, len);
	}
	printf("hostile B13: %u cases, 0 failed\n", n);
	return 0;
}
