/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Level-triggered interrupts of the host that become a line of the guest: each stays masked in the
 * host until the guest has ended it, so that a device that asks for ever stops its own guest only.
 */
#ifndef IRQ_RELAY_H
#define IRQ_RELAY_H

#include "irq/irq.h"

struct irq_relay;

/*
 * When `fd` is signalled the line is raised; when the guest has ended that interrupt it is lowered
 * and `unmask_fd` signalled, which unmasks the interrupt in the host. Both are eventfds of the
 * caller's, and outlive the relay. gsi: the line's number for an engine that does all that by
 * itself, -1: it has none; else a thread does it. Start-up stage. Errors of irq_line_source_add,
 * pthread_create; -ENOMEM.
 */
int irq_relay_create(struct irq *irq, struct irq_line *line, int gsi, int fd, int unmask_fd,
		     struct irq_relay **ret_relay) MUST_CHECK;
/* No vCPU runs any more. */
void irq_relay_destroy(struct irq_relay *relay);

#endif
