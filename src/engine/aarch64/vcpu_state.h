/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an AArch64 vCPU starts with, and which registers it has; part of engine.h.
 */
#ifndef ENGINE_VCPU_STATE_H
#define ENGINE_VCPU_STATE_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>

/* Of programs and core files; there are no 32-bit programs. */
enum { ENGINE_ELF_MACHINE = EM_AARCH64, ENGINE_ELF_MACHINE_32 = EM_NONE };

/* State of the boot vCPU: at EL1 with the MMU and caches off and interrupts masked; registers that
 * are not here are 0. The others wait for PSCI's CPU_ON. */
struct engine_boot {
	uint64_t pc, x0;
};

/* Of engine_regs: x0 to x30, sp of the current exception level, pc, pstate. */
enum { ENGINE_NUM_REGS = 34 };

/* Functions of SMC and HVC that are always KVM's: the architecture's and PSCI's, of both widths. */
static inline bool engine_call_is_own(uint32_t function)
{
	uint32_t narrow = function & ~UINT32_C(0x40000000);

	return (narrow >= 0x80000000 && narrow <= 0x8000ffff) ||
	       (narrow >= 0x84000000 && narrow <= 0x8400001f);
}

#endif
