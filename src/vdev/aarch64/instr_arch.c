/* SPDX-License-Identifier: Apache-2.0 */
/* AArch64: SMC and HVC, which KVM can be told to hand over. */
#include <stddef.h>

#include "vdev/instr.h"
#include "vdev/state.h"

/* The layouts of x/cpu.h that shared objects were built against; the others are in abi.c. */
#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type)
SIZE(struct qvmx_cpu_registers, 272);
SIZE(struct qvmx_cpu_fpu, 520);

const qvm_state_types_t state_register_type = QST_ARM_SR;

bool instr_is_trapped(guest_instr_type_t git)
{
	return git == GIT_ARM_SMC || git == GIT_ARM_HVC;
}

const char *instr_refusal(guest_instr_type_t git, unsigned qualifier, bool any)
{
	if (!instr_is_trapped(git))
		return "a guest for AArch64 has no such instruction";
	if (!any && engine_call_is_own(qualifier))
		return "calls of the architecture (0x80000000 to 0x8000ffff) and of PSCI "
		       "(0x84000000 to 0x8400001f), and those 64 bits wide, are KVM's and cannot "
		       "be taken over";
	return NULL;
}

bool instr_pc_inside(uint64_t offset, size_t len)
{
	return range_overlaps(offset, len, offsetof(struct qvmx_cpu_registers, pc),
			      sizeof(uint64_t));
}

/* They are the vCPU's own: the call is complete. */
bool instr_regs_copy(struct guest_cpu *gcp, uint64_t offset, uint8_t *data, size_t len,
		     bool to_regs, int *ret_err)
{
	(void)gcp, (void)offset, (void)data, (void)len, (void)to_regs, (void)ret_err;
	return false;
}

/* Nothing is answered from a table. */
int instr_answers(struct vdev_host *host, struct guest_cpu *gcp)
{
	(void)host, (void)gcp;
	return 0;
}
