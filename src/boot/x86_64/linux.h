/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a Linux bzImage by its 64-bit entry point (boot protocol 2.12 and later): no firmware, no
 * real mode. Puts the kernel, initrd, command line, "zero page", GDT and identity page tables into
 * guest RAM and says with which registers the boot vCPU has to start; the engine applies them.
 *
 * linux_probe() may be called at any time. linux_load() is called by whoever assembles the VM, on
 * that thread, before any vCPU runs. The file descriptors stay the caller's; nothing is allocated.
 * The image is not trusted: whatever its header says, only RAM of boot_memory's list is written and
 * the work is bounded by the sizes of the files.
 */
#ifndef BOOT_X86_64_LINUX_H
#define BOOT_X86_64_LINUX_H

#include "boot/image.h"

#include <stdbool.h>

/* How much of a file's start linux_probe() wants to see; less is enough only if the file ends
 * there. */
#define LINUX_HEAD_LEN 1024

/*
 * Fixed places in low memory. The kernel copies all of it away before it uses low memory for
 * itself. Free of them: vectors and BIOS data below 0x500, and 0x90000..0x9fc00, where a kernel
 * puts its own mode switch trampoline.
 */
enum linux_low_page {
	LINUX_GDT = 0x0500,	  /* 4 descriptors */
	LINUX_ZERO_PAGE = 0x7000, /* struct boot_params */
	LINUX_STACK = 0x8000, /* one page; unused by the kernel, there for whoever traps early */
	LINUX_PML4 = 0x9000,  /* page tables: one PML4, one PDPT, */
	LINUX_PDPT = 0xa000,
	LINUX_PD = 0xb000,	 /* and 4 page directories unless 1 GiB pages are used */
	LINUX_CMDLINE = 0x20000, /* the text with its final zero byte */
	LINUX_LOW_END = 0x30000, /* end of all this; [LINUX_GDT, LINUX_LOW_END) must be RAM */
};

/* Bytes of identity-mapped space from 0 on; kernel, initrd and low pages all lie in it. */
#define LINUX_MAPPED_LEN (4ull << 30)

struct linux_boot {
	struct boot_memory
		memory;	     /* the list goes to the guest as its e820 map, at most 128 entries */
	int kernel_fd;	     /* a regular file */
	int initrd_fd;	     /* a regular file, or negative: none */
	bool has_initrd_gpa; /* it goes to initrd_gpa, not as high as possible */
	uint64_t initrd_gpa;
	const char *cmdline; /* never NULL; without a final newline */
	uint64_t rsdp_gpa;   /* 0: the guest looks for the RSDP itself, or there is no ACPI */
	bool use_gib_pages;  /* the vCPU's CPUID offers 1 GiB pages */
};

/* What the boot vCPU starts with: 64-bit mode, paging on, interrupts off, all other registers 0. */
struct linux_entry {
	uint64_t rip;
	uint64_t rsi; /* address of the zero page */
	uint64_t rsp;
	uint64_t cr3;
	uint64_t gdt_base;
	uint16_t gdt_limit;
	uint16_t code_selector; /* flat 64-bit code, ring 0 */
	uint16_t data_selector; /* flat data; for ds, es, ss */
	/* Where things went, for the machine's listing. initrd_len is 0 without an initrd. */
	uint64_t kernel_gpa,
		kernel_len; /* kernel_len: bytes that it needs until it has read the e820 map */
	uint64_t initrd_gpa, initrd_len;
	/* What of the kernel's file lies at kernel_gpa. */
	uint64_t kernel_file_offset, kernel_file_len;
};

/*
 * Is this the start of a bzImage that linux_load() can boot? 0, or -ENOEXEC and in *ret_why a
 * sentence that goes after "cannot boot FILE: ". len may be anything.
 */
int linux_probe(const void *head, size_t len, const char **ret_why) MUST_CHECK;

/*
 * On failure *ret_why is a sentence that goes after "cannot boot FILE: "; guest memory may be
 * partly written. -ENOEXEC: not a kernel we can boot, truncated, or header values that make no
 * sense; -EFBIG: kernel or initrd do not fit into RAM; -E2BIG: command line longer than the kernel
 * takes; -EEXIST: an initrd's address is the kernel's or in low memory; -EINVAL: bad arguments;
 * else pread's errno.
 */
int linux_load(const struct linux_boot *in, struct linux_entry *ret,
	       const char **ret_why) MUST_CHECK;

/*
 * Start an ELF program without an entry protocol of its own as a bzImage's unpacked kernel is
 * started: the same low memory, in (r)si the zero page; 64-bit mode, or for a 32-bit program
 * protected mode without paging, where cr3 is 0. The image is loaded already, and the initrd if its
 * len is not 0; in's file descriptors are not used. Errors as linux_load; -EEXIST: the image or its
 * initrd lies in low memory.
 */
int linux_start(const struct linux_boot *in, const struct boot_image *image,
		const struct boot_module *initrd, struct linux_entry *ret,
		const char **ret_why) MUST_CHECK;

#endif
