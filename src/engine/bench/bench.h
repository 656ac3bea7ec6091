/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine without a CPU: accesses come from a test, and what devices send can be looked at. Used
 * by tests and vdev-test; it is no evidence for anything that names a guest or a driver. Freed by
 * engine->ops->destroy. Safe on several threads.
 */
#ifndef ENGINE_BENCH_BENCH_H
#define ENGINE_BENCH_BENCH_H

#include "engine/engine.h"

struct engine *bench_create(void);

/* Signal the doorbells at [addr, addr + len), as a guest's write would. True if there was one: no
 * exit then. */
bool bench_doorbell(struct engine *e, enum engine_space space, uint64_t addr, unsigned len,
		    uint64_t value);

/* The messages raised since the last call: number, and the last one's address and data. Waits up to
 * timeout_ms. */
unsigned bench_messages(struct engine *e, int timeout_ms, uint64_t *ret_addr, uint32_t *ret_data);

/* Have `func` told of each message when it is sent or collected by bench_messages; NULL: nobody. On
 * any thread. */
void bench_watch(struct engine *e, void (*func)(void *ctx, uint64_t addr, uint32_t data),
		 void *ctx);

/* Level of an input of the interrupt machine, and how often it has risen. */
bool bench_line(struct engine *e, unsigned gsi, unsigned *ret_edges);

/* Is a read (write) of that register trapped? What does the vCPU's identification give for a leaf
 * (false: nothing was set)? */
bool bench_traps(struct engine *e, uint32_t index, bool write);
bool bench_answer(struct engine *e, uint32_t leaf, uint32_t ret_answer[4]);

/* What engine_ops.extint_set said last. */
bool bench_extint(struct engine *e);

#endif
