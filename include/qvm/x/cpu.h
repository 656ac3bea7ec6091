/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/cpu: what the state blocks of a vCPU's registers count in: a block's location is an offset in
 * one of these structs. The documented API names the types and leaves the layouts to the
 * architecture; these are ours. See guest_cpu_read for when they can be reached.
 */
#ifndef QVM_X_CPU_H
#define QVM_X_CPU_H

#include <qvm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __aarch64__
/* QST_CPUREGS: the general registers of an AArch64 vCPU; sp is that of the current exception level.
 */
struct qvmx_cpu_registers {
	uint64_t x[31];
	uint64_t sp, pc, pstate;
};

/* QST_FPUREGS: floating point and SIMD. */
struct qvmx_cpu_fpu {
	uint8_t v[32][16];
	uint32_t fpsr, fpcr;
};

/* The location of a system register in QST_ARM_SR, by the five numbers that MRS and MSR have. */
#define QVMX_ARM_SR(op0, op1, crn, crm, op2)                                    \
	((uint64_t)(op0) << 14 | (uint64_t)(op1) << 11 | (uint64_t)(crn) << 7 | \
	 (uint64_t)(crm) << 3 | (uint64_t)(op2))
#else
/* QST_CPUREGS: the general registers of an x86-64 vCPU. */
struct qvmx_cpu_registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
};

/* attributes: bits 3-0 type, 4 s, 6-5 dpl, 7 present, 8 avl, 9 l, 10 d/b, 11 g. */
struct qvmx_cpu_segment {
	uint64_t base;
	uint32_t limit; /* bytes - 1 */
	uint16_t selector, attributes;
};

/* QST_X86_SEGREGS. */
struct qvmx_cpu_segments {
	struct qvmx_cpu_segment cs, ds, es, fs, gs, ss, tr, ldt;
	uint64_t gdt_base, gdt_limit, idt_base, idt_limit;
};

/* QST_X86_CTRLREGS. */
struct qvmx_cpu_control {
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
};

/* QST_X86_DBGREGS. */
struct qvmx_cpu_debug {
	uint64_t dr[4], dr6, dr7;
};

/* QST_FPUREGS: x87 and SSE. */
struct qvmx_cpu_fpu {
	uint8_t st[8][16];
	uint16_t fcw, fsw;
	uint8_t ftw; /* abridged, as FXSAVE has it */
	uint8_t spare;
	uint16_t last_opcode;
	uint64_t last_ip, last_dp;
	uint8_t xmm[16][16];
	uint32_t mxcsr, spare2;
};
#endif

#ifdef __cplusplus
}
#endif

#endif
