/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler of a fault can see and do: used by vdevtest/adversary. */
#ifndef VDEVTEST_STEP_H
#define VDEVTEST_STEP_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

enum { STEP_POSSIBLE = true, STEP_TRAP_FLAG = 0x100, STEP_FAULT_WRITE = 2 };

/* Was the access that faulted a write? */
static inline bool step_is_write(const void *context)
{
	return ((const ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & STEP_FAULT_WRITE;
}

/* On return from the handler one instruction runs, then SIGTRAP comes. */
static inline void step_begin(void *context)
{
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= STEP_TRAP_FLAG;
}

/* In the handler of that. */
static inline void step_end(void *context)
{
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)STEP_TRAP_FLAG;
}

#endif
