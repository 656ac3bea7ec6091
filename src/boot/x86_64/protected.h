/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of a guest in 32-bit protected mode without paging: what its boot protocol hands over
 * (PVH's or multiboot's start information, memory map, command line, modules), and with which
 * registers the boot vCPU has to start; the engine applies them.
 *
 * All of it lies where x86_64/linux.h has the same things, so neither image nor modules may reach
 * there. Called by whoever assembles the VM after the image and its modules are loaded, on that
 * thread, before any vCPU runs. Nothing is allocated.
 */
#ifndef BOOT_X86_64_PROTECTED_H
#define BOOT_X86_64_PROTECTED_H

#include "boot/image.h"
#include "boot/x86_64/linux.h"

/* Ranges that fit into the page that is handed over, beside BOOT_MAX_MODULES modules. */
#define PROTECTED_MAX_RANGES 128u

struct protected_boot {
	struct boot_memory memory; /* the list is what the guest is told */
	const struct boot_image *image;
	const struct boot_module *modules;
	size_t num_modules;  /* at most BOOT_MAX_MODULES */
	const char *cmdline; /* never NULL */
	uint64_t rsdp_gpa;   /* 0: none */
};

/* Flat segments from 0 to 4 GiB; interrupts off; registers that are not here are 0. */
struct protected_entry {
	uint32_t rip, rsp, rax, rbx;
	uint32_t gdt_base;
	uint16_t gdt_limit;
	uint16_t code_selector; /* 32-bit code, ring 0 */
	uint16_t data_selector; /* for ds, es, ss */
};

/*
 * Write the low page's descriptor table and command line, for both protocols. *ret_page is the host
 * address of LINUX_ZERO_PAGE, for what is handed over; entry->rip is checked to be below 4 GiB.
 * -EINVAL: bad ranges or too many; -E2BIG: the command line; -EFBIG: no RAM at 0x500 to 0x30000;
 * -EEXIST: the image or a module is there. *ret_why is a sentence that goes after "cannot load
 * FILE: ".
 */
int protected_prepare(const struct protected_boot *in, uint64_t entry, struct protected_entry *ret,
		      uint8_t **ret_page, const char **ret_why) MUST_CHECK;

/*
 * PVH, as Xen's public start_info.h and hvm documentation describe it: entry at image->pvh_entry,
 * ebx points to hvm_start_info version 1. Errors as protected_prepare.
 */
int pvh_start(const struct protected_boot *in, struct protected_entry *ret,
	      const char **ret_why) MUST_CHECK;

#endif
