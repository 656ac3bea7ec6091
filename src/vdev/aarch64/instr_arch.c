/* SPDX-License-Identifier: Apache-2.0 */
/* AArch64: SMC and HVC are what KVM could be told to hand over; that is not built. */
#include <stddef.h>

#include "vdev/instr.h"

const char *instr_refusal(guest_instr_type_t git, unsigned qualifier, bool any)
{
	(void)qualifier, (void)any;
	if (git == GIT_ARM_SMC || git == GIT_ARM_HVC)
		return "SMC and HVC cannot be taken over yet";
	return "a guest for AArch64 has no such instruction";
}

bool instr_pc_inside(uint64_t offset, size_t len)
{
	return range_overlaps(offset, len, offsetof(struct qvmx_cpu_registers, pc),
			      sizeof(uint64_t));
}

bool instr_regs_copy(struct guest_cpu *gcp, uint64_t offset, uint8_t *data, size_t len,
		     bool to_regs, int *ret_err)
{
	(void)gcp, (void)offset, (void)data, (void)len, (void)to_regs, (void)ret_err;
	return false;
}

int instr_answers(struct vdev_host *host, struct guest_cpu *gcp)
{
	(void)host, (void)gcp;
	return 0;
}
