/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/elf_file.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "vcpu_state.h"

/* The note by which a kernel offers the PVH entry: name "Xen", as Xen's public elfnote.h has it. */
#define NOTE_PVH_NAME	  "Xen"
#define NOTE_PHYS32_ENTRY 18u
#define NOTE_ALIGN	  4u

/* A program header of either class. */
struct program_header {
	uint32_t type;
	uint64_t offset, vaddr, paddr, file_len, mem_len;
};

struct elf_file {
	int fd;
	uint64_t size;
	bool is_64;
	uint64_t entry, headers_offset;
	unsigned num_headers;
};

static int elf_fail(int error, const char *why, const char **ret_why)
{
	*ret_why = why;
	return error;
}

bool elf_probe(const void *head, size_t len)
{
	return len >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0;
}

static int read_head(struct elf_file *f, const char **ret_why)
{
	union {
		Elf64_Ehdr e64;
		Elf32_Ehdr e32;
		unsigned char ident[EI_NIDENT];
	} h = { 0 };
	unsigned type, machine, entry_len, want_len, header_len;
	int r = boot_file_size(f->fd, &f->size);

	if (r < 0)
		return elf_fail(r, "it is not a regular file", ret_why);
	r = boot_file_read(f->fd, 0, &h, (size_t)MIN(f->size, (uint64_t)sizeof(h)));
	if (r < 0)
		return elf_fail(r, "the file cannot be read", ret_why);
	if (!elf_probe(&h, sizeof(h)))
		return elf_fail(-ENOEXEC, "it is no ELF file", ret_why);
	f->is_64 = h.ident[EI_CLASS] == ELFCLASS64;
	header_len = f->is_64 ? sizeof(h.e64) : sizeof(h.e32);
	if (f->size < header_len)
		return elf_fail(-ENOEXEC, "it is too short to be an ELF file", ret_why);
	if ((!f->is_64 && h.ident[EI_CLASS] != ELFCLASS32) || h.ident[EI_DATA] != ELFDATA2LSB ||
	    h.ident[EI_VERSION] != EV_CURRENT)
		return elf_fail(-ENOEXEC,
				"it is an ELF file, but not of a kind that this processor has",
				ret_why);
	type = f->is_64 ? h.e64.e_type : h.e32.e_type;
	machine = f->is_64 ? h.e64.e_machine : h.e32.e_machine;
	f->entry = f->is_64 ? h.e64.e_entry : h.e32.e_entry;
	f->headers_offset = f->is_64 ? h.e64.e_phoff : h.e32.e_phoff;
	f->num_headers = f->is_64 ? h.e64.e_phnum : h.e32.e_phnum;
	entry_len = f->is_64 ? h.e64.e_phentsize : h.e32.e_phentsize;
	want_len = f->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	if (machine != (unsigned)(f->is_64 ? ENGINE_ELF_MACHINE : ENGINE_ELF_MACHINE_32))
		return elf_fail(-ENOEXEC, "it is an ELF program for another processor", ret_why);
	if (type != ET_EXEC)
		return elf_fail(-ENOEXEC,
				"it is an ELF file, but no program for a fixed place (ET_EXEC)",
				ret_why);
	if (!f->num_headers || f->num_headers > BOOT_MAX_SEGMENTS || entry_len != want_len ||
	    !range_inside(f->headers_offset, (uint64_t)f->num_headers * want_len, 0, f->size))
		return elf_fail(-ENOEXEC,
				"its ELF program headers are missing, too many (64 are taken) or "
				"outside of the file",
				ret_why);
	return 0;
}

static int read_program_header(const struct elf_file *f, unsigned index, struct program_header *ret)
{
	Elf64_Phdr p64;
	Elf32_Phdr p32;
	int r;

	if (f->is_64) {
		r = boot_file_read(f->fd, f->headers_offset + index * sizeof(p64), &p64,
				   sizeof(p64));
		if (!r)
			*ret = (struct program_header){ p64.p_type,  p64.p_offset, p64.p_vaddr,
							p64.p_paddr, p64.p_filesz, p64.p_memsz };
	} else {
		r = boot_file_read(f->fd, f->headers_offset + index * sizeof(p32), &p32,
				   sizeof(p32));
		if (!r)
			*ret = (struct program_header){ p32.p_type,  p32.p_offset, p32.p_vaddr,
							p32.p_paddr, p32.p_filesz, p32.p_memsz };
	}
	return r;
}

/* The numbers of a note are relative to its segment, which may lie anywhere. */
static int read_notes(const struct elf_file *f, const struct program_header *p,
		      struct boot_image *image)
{
	uint64_t at = p->offset, left = p->file_len;

	if (!range_inside(at, left, 0, f->size))
		return 0;
	for (unsigned i = 0; i < ELF_MAX_NOTES && left >= sizeof(Elf64_Nhdr); i++) {
		Elf64_Nhdr note; /* the same in both classes */
		char name[sizeof(NOTE_PVH_NAME)];
		uint64_t name_len, len, entry = 0;
		int r = boot_file_read(f->fd, at, &note, sizeof(note));

		if (r < 0)
			return r;
		name_len = align_up((uint64_t)note.n_namesz, NOTE_ALIGN);
		len = sizeof(note) + name_len + align_up((uint64_t)note.n_descsz, NOTE_ALIGN);
		if (len > left)
			return 0;
		if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == sizeof(name) &&
		    (note.n_descsz == 4 || note.n_descsz == 8)) {
			r = boot_file_read(f->fd, at + sizeof(note), name, sizeof(name));
			if (!r)
				r = boot_file_read(f->fd, at + sizeof(note) + name_len, &entry,
						   note.n_descsz);
			if (r < 0)
				return r;
			if (memcmp(name, NOTE_PVH_NAME, sizeof(name)) == 0) {
				image->has_pvh = true;
				image->pvh_entry = entry;
			}
		}
		at += len;
		left -= len;
	}
	return 0;
}

int elf_read(int fd, struct boot_image *ret, const char **ret_why)
{
	struct elf_file f = { .fd = fd };
	struct boot_image image = { .num_segments = 0 };
	bool entry_is_virtual = false;
	int r = read_head(&f, ret_why);

	if (r < 0)
		return r;
	image.is_64 = f.is_64;
	image.entry = f.entry;
	for (unsigned i = 0; i < f.num_headers; i++) {
		struct program_header p = { 0 };

		r = read_program_header(&f, i, &p);
		if (!r && p.type == PT_NOTE)
			r = read_notes(&f, &p, &image);
		if (r < 0)
			return elf_fail(r, "the file cannot be read to its end", ret_why);
		if (p.type != PT_LOAD || !p.mem_len)
			continue;
		image.segments[image.num_segments++] = (struct boot_segment){
			.gpa = p.paddr,
			.mem_len = p.mem_len,
			.offset = p.file_len ? p.offset : 0,
			.file_len = p.file_len,
		};
		if (!entry_is_virtual && range_inside(f.entry, 1, p.vaddr, p.mem_len)) {
			image.entry = p.paddr + (f.entry - p.vaddr);
			entry_is_virtual = true;
		}
	}
	r = boot_image_check(&image, f.size, ret_why);
	if (r < 0)
		return r;
	*ret = image;
	return 0;
}
