/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of the host that are the guest's: the `pass` entries of a VM.
 *
 * Start-up, on one thread: pass_plan, then the vdevs find their places, then pass_plan_rest;
 * pass_claim opens what it is and makes it this VM's alone; pass_attach gives it to the guest.
 * pass_quiesce when no vCPU runs any more and before guest memory goes; pass_free last.
 */
#ifndef PASS_PASS_H
#define PASS_PASS_H

#include "base/util.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "engine/memory.h"
#include "irq/irq.h"
#include "machine/plan.h"
#include "pci/pci.h"

struct pass_set;

/* Lines of the guest's interrupt controllers, which are above this folder. */
struct pass_lines {
	/* `owner` has that line: *ret_line names it from now on; *ret_number is the interrupt of
	 * the host that goes there if the file does not say. -EINVAL: that cannot be, recorded;
	 * -ENOMEM. */
	int (*plan)(void *ctx, const struct conf_intr *intr, const char *owner, unsigned *ret_line,
		    uint32_t *ret_number);
	/* After the vdevs are attached; *ret_gsi: as irq_relay_create takes it. */
	struct irq_line *(*line)(void *ctx, unsigned line, int *ret_gsi);
	void *ctx;
};

/*
 * What the file asks for is looked up in the host, without opening it, and put into the plan: first
 * what has a place on the PCI bus, then the rest. Mistakes are recorded in conf. -ENOMEM. conf,
 * plan and pci outlive the set.
 */
int pass_plan(struct conf *conf, struct plan *plan, struct pci_bus *pci,
	      struct pass_set **ret_set) MUST_CHECK;
int pass_plan_rest(struct pass_set *set, const struct pass_lines *lines) MUST_CHECK;

/* -EINVAL: somebody else has it, or the host does not give it; that is recorded in conf. */
int pass_claim(struct pass_set *set) MUST_CHECK;

/* After pci_bus_attach. All that is given outlives the set. *ret_why says what failed. */
int pass_attach(struct pass_set *set, struct engine *engine, const struct memory *mem,
		struct bus *bus, struct irq *irq, const char **ret_why) MUST_CHECK;

/* The guest starts: from now on the devices' interrupts come, since there is a controller to take
 * them. *ret_why says what failed. */
int pass_start(struct pass_set *set, const char **ret_why) MUST_CHECK;

/* The line of the guest's that an interrupt of the file has become (pass_lines.plan). False: none.
 */
bool pass_intr_line(const struct pass_set *set, const struct conf_pass_intr *intr,
		    unsigned *ret_line);

/* An access that a vdev before it does: *value is what was read, or what is written. -EPERM: the
 * file does not allow it; -EINVAL: not such a width there, or nothing is passed there. Any thread.
 */
int pass_access(struct pass_set *set, enum engine_space space, uint64_t addr, bool write,
		unsigned len, uint64_t *value);

/* No device writes to memory any more, or interrupts. NULL, or not claimed: nothing. */
void pass_quiesce(struct pass_set *set);
void pass_free(struct pass_set *set);

#endif
