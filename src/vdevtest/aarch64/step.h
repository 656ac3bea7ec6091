/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler of a fault can see and do: used by vdevtest/adversary. */
#ifndef VDEVTEST_STEP_H
#define VDEVTEST_STEP_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/* A process of this architecture cannot run one instruction and get SIGTRAP then. */
enum { STEP_POSSIBLE = false };

static inline bool step_is_write(const void *context)
{
	(void)context;
	return false;
}

static inline void step_begin(void *context)
{
	(void)context;
}

static inline void step_end(void *context)
{
	(void)context;
}

#endif
