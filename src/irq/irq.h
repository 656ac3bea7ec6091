/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt lines and messages.
 *
 * A message vector (struct irq_vector) is an eventfd that raises a message: signalling it is one
 * write, on any thread. While it is masked the eventfd is detached and counts, which is its pending
 * bit; attaching delivers what was counted. This module owns the engine's routing table. Vectors
 * are changed by one thread at a time (their owner locks). Lines are wired ORs: a level for each
 * source; only changes of the OR reach the controller.
 */
#ifndef IRQ_IRQ_H
#define IRQ_IRQ_H

#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"

struct irq;
struct engine;

enum { IRQ_MAX_VECTORS = 2048, IRQ_MAX_LINE_SOURCES = 32 };

struct irq_vector {
	int fd; /* eventfd, -1: not made */
	uint32_t gsi;
	uint32_t device; /* as in engine_msi_route */
	bool routed, attached;
	uint64_t addr;
	uint32_t data;
};

/* When all vCPUs are there. */
int irq_create(struct engine *engine, struct irq **ret_irq) MUST_CHECK;
void irq_destroy(struct irq *irq);
struct engine *irq_engine(const struct irq *irq);

/* Make the eventfd and reserve a route; device: who sends, as in engine_msi_route. -ENOSPC:
 * IRQ_MAX_VECTORS are in use. */
int irq_vector_create(struct irq *irq, uint32_t device, struct irq_vector *ret_vector) MUST_CHECK;
void irq_vector_destroy(struct irq *irq, struct irq_vector *vector);

/* What the vector sends; touches the routing table only if it changed. */
int irq_vector_route(struct irq *irq, struct irq_vector *vector, uint64_t addr, uint32_t data);

/* Unmask (mask). Attaching delivers what is pending; needs a route. */
int irq_vector_attach(struct irq *irq, struct irq_vector *vector, bool on);

/* Signal it. Any thread, lock-free. */
void irq_vector_signal(const struct irq_vector *vector);

/* Masked and signalled since. Clearing forgets it. */
bool irq_vector_pending(const struct irq_vector *vector);
void irq_vector_clear(struct irq_vector *vector);

/*
 * Lines. `set` is called with the OR's new level, without any lock of the caller's being needed;
 * calls for one line are ordered. A line has up to IRQ_MAX_LINE_SOURCES sources.
 */
struct irq_line;
int irq_line_create(struct irq *irq, int (*set)(void *opaque, unsigned pin, bool level),
		    void *opaque, unsigned pin, struct irq_line **ret_line) MUST_CHECK;
int irq_line_source_add(struct irq_line *line, unsigned *ret_source) MUST_CHECK;
int irq_line_set(struct irq_line *line, unsigned source, bool level);

/*
 * While it is on, `source` alone drives the line, as the HPET takes the 8254's and the clock's
 * lines; the levels of the others are kept and count again afterwards.
 */
int irq_line_own(struct irq_line *line, unsigned source, bool on);

/* Have `func` told of what the guest did to the line (guest_intr_notifications_t), by
 * irq_line_notify on any thread. Start-up stage. -ENOMEM. */
int irq_line_watch(struct irq_line *line, void (*func)(void *opaque, int what), void *opaque);
void irq_line_notify(const struct irq_line *line, int what);

/*
 * What a pin of the split machine (its GSI) sends when it is level triggered, so that the engine
 * reports the interrupt's end. Touches the routing table only if it changed. One thread at a time
 * for one pin.
 */
int irq_pin_route(struct irq *irq, uint32_t gsi, uint64_t addr, uint32_t data);

#endif
