/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that vdevs have taken over (guest_instr_register): the list, the callbacks, and how
 * the values get in and out of them. What an architecture can trap is in ARCH/instr_arch.c.
 */
#ifndef VDEV_INSTR_H
#define VDEV_INSTR_H

#include "bus/bus.h"
#include "vdev/api.h"
#include "vdev/host.h"

/* The instruction that a vCPU's thread is in; guest_cpu.trap while its callbacks run. */
struct instr_trap {
	guest_instr_type_t git;
	uint32_t qualifier;
	uint64_t value;		 /* of the register that is read or written */
	struct engine_regs regs; /* GIT_X86_CPUID: all there is */
};

/*
 * A vCPU, on its own thread, reads (writes) the register. BUS_OK: done, *value is what is read;
 * BUS_NOT_FOUND: nobody has taken it; else as for an access.
 */
enum bus_result instr_register_access(struct vdev_host *host, struct guest_cpu *gcp, bool write,
				      uint32_t index, uint64_t *value);

/* AArch64: a vCPU, on its own thread, has called a function by SMC, else by HVC. BUS_NOT_FOUND:
 * nobody has taken it; else as for an access. */
enum bus_result instr_call(struct vdev_host *host, struct guest_cpu *gcp, bool smc,
			   uint32_t function);

/*
 * Behind VDEV_CTRL_GUEST_CONFIGURED: have the engine trap what is registered; make the answers of
 * instructions that it answers by itself. cpus: all vCPUs. *ret_why says what failed.
 */
int instr_apply(struct vdev_host *host, struct guest_cpu *const *cpus, unsigned num_cpus,
		const char **ret_why) MUST_CHECK;

void instr_free(struct vdev_host *host);

/* In a callback: general registers as the instruction has them. False: not in one, or they are the
 * vCPU's own. */
bool instr_regs_copy(struct guest_cpu *gcp, uint64_t offset, uint8_t *data, size_t len,
		     bool to_regs, int *ret_err);
/* Does that part of the general registers have the program counter in it? */
bool instr_pc_inside(uint64_t offset, size_t len);
/* In a callback: the register that it is about, 8 bytes. False: it is about another one. */
bool instr_register_copy(struct guest_cpu *gcp, uint32_t index, uint8_t *data, bool to_register);

/* Per architecture. Does the engine trap it when it is executed? Else it answers by itself. */
bool instr_is_trapped(guest_instr_type_t git);
/* Why this cannot be taken over, NULL: it can. */
const char *instr_refusal(guest_instr_type_t git, unsigned qualifier, bool any);
/* The answer that the callbacks of one vCPU give, for what the engine answers by itself. */
int instr_answers(struct vdev_host *host, struct guest_cpu *gcp);
/* Run the callbacks for the trap; with the vCPU's thread, or in the start-up stage. */
enum bus_result instr_run(struct vdev_host *host, struct guest_cpu *gcp, struct instr_trap *trap);

#endif
