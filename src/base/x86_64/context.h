/* SPDX-License-Identifier: Apache-2.0 */
/* What a signal's handler is told of this architecture's registers: used by base/crash. */
#ifndef BASE_CONTEXT_H
#define BASE_CONTEXT_H

#include <stdint.h>
#include <ucontext.h>

/* The instruction that was interrupted. */
static inline uintptr_t context_pc(const void *context)
{
	return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}

static inline uintptr_t context_sp(const void *context)
{
	return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RSP];
}

#endif
