/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an x86-64 vCPU starts with, and which registers it has; part of engine.h.
 */
#ifndef ENGINE_VCPU_STATE_H
#define ENGINE_VCPU_STATE_H

#include <elf.h>
#include <stdint.h>

/* Of programs and core files; 32-bit programs too. */
enum { ENGINE_ELF_MACHINE = EM_X86_64, ENGINE_ELF_MACHINE_32 = EM_386 };

enum engine_mode {
	ENGINE_MODE_REAL,      /* 16-bit; cs_base:rip, the other segments at 0 */
	ENGINE_MODE_PROTECTED, /* 32-bit, flat, no paging */
	ENGINE_MODE_LONG,      /* 64-bit, flat, paging by cr3 */
};

/* State of the boot vCPU. Interrupts are off; registers that are not here are 0. */
struct engine_boot {
	enum engine_mode mode;
	uint64_t rip, rsp, rax, rbx, rsi, cr3;
	uint64_t gdt_base;
	uint16_t gdt_limit, code_selector, data_selector;
	uint64_t cs_base; /* real mode */
};

/* Of engine_regs: rax rbx rcx rdx rsi rdi rsp rbp r8 to r15 rip rflags. */
enum { ENGINE_NUM_REGS = 18 };

#endif
