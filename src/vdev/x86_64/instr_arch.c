/* SPDX-License-Identifier: Apache-2.0 */
/* x86-64: RDMSR and WRMSR, which KVM can be told to hand over, and CPUID, which it answers from a
 * table. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vdev/instr.h"
#include "vdev/state.h"

/* The layouts of x/cpu.h that shared objects were built against; the others are in abi.c. */
#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type)
SIZE(struct qvmx_cpu_registers, 144);
SIZE(struct qvmx_cpu_segment, 16);
SIZE(struct qvmx_cpu_segments, 160);
SIZE(struct qvmx_cpu_control, 56);
SIZE(struct qvmx_cpu_debug, 48);
SIZE(struct qvmx_cpu_fpu, 416);

const qvm_state_types_t state_register_type = QST_X86_MSR;

enum { X2APIC_FIRST = 0x800, X2APIC_LAST = 0x8ff };

#define REG(name) (offsetof(struct qvmx_cpu_registers, name) / sizeof(uint64_t))

bool instr_is_trapped(guest_instr_type_t git)
{
	return git == GIT_X86_RDMSR || git == GIT_X86_WRMSR;
}

const char *instr_refusal(guest_instr_type_t git, unsigned qualifier, bool any)
{
	switch (git) {
	case GIT_X86_RDMSR:
	case GIT_X86_WRMSR:
		if (!any && qualifier >= X2APIC_FIRST && qualifier <= X2APIC_LAST)
			return "the registers of the x2APIC (0x800 to 0x8ff) are KVM's and cannot "
			       "be taken over";
		return NULL;
	case GIT_X86_CPUID:
		return any ? "CPUID is answered from a table: it is taken over leaf by leaf, with "
			     "a qualifier"
			   : NULL;
	case GIT_ARM_SMC:
	case GIT_ARM_HVC:
		return "a guest for x86-64 has no instructions SMC and HVC";
	default:
		return "there is no such instruction to take over";
	}
}

bool instr_pc_inside(uint64_t offset, size_t len)
{
	return range_overlaps(offset, len, offsetof(struct qvmx_cpu_registers, rip),
			      sizeof(uint64_t));
}

/* RDMSR leaves its result in edx:eax, which the engine makes of the value. */
static int rdmsr_regs_copy(struct guest_cpu *gcp, uint64_t offset, uint8_t *data, size_t len,
			   bool to_regs)
{
	struct instr_trap *trap = gcp->trap;
	struct engine_regs regs, before;
	int rc = gcp->engine->ops->vcpu_regs_get(gcp, &regs);

	if (rc)
		return -rc;
	before = regs;
	regs.r[REG(rax)] = (uint32_t)trap->value;
	regs.r[REG(rdx)] = trap->value >> 32;
	if (!to_regs) {
		memcpy(data, (uint8_t *)&regs + offset, len);
		return EOK;
	}
	if (instr_pc_inside(offset, len))
		return EPERM;
	memcpy((uint8_t *)&regs + offset, data, len);
	trap->value = regs.r[REG(rdx)] << 32 | (uint32_t)regs.r[REG(rax)];
	regs.r[REG(rax)] = before.r[REG(rax)];
	regs.r[REG(rdx)] = before.r[REG(rdx)];
	return memcmp(&regs, &before, sizeof(regs)) ? -gcp->engine->ops->vcpu_regs_set(gcp, &regs)
						    : EOK;
}

bool instr_regs_copy(struct guest_cpu *gcp, uint64_t offset, uint8_t *data, size_t len,
		     bool to_regs, int *ret_err)
{
	struct instr_trap *trap = gcp->trap;

	if (!trap || trap->git == GIT_X86_WRMSR)
		return false;
	if (trap->git == GIT_X86_RDMSR) {
		*ret_err = rdmsr_regs_copy(gcp, offset, data, len, to_regs);
		return true;
	}
	uint8_t *regs = (uint8_t *)&trap->regs + offset;

	memcpy(to_regs ? regs : data, to_regs ? data : regs, len);
	*ret_err = EOK;
	return true;
}

static bool leaf_is_first(const struct vdev_host *host, const struct vdev_instr *of)
{
	for (const struct vdev_instr *i = host->instrs; i != of; i = i->next)
		if (i->git == GIT_X86_CPUID && i->qualifier == of->qualifier)
			return false;
	return true;
}

int instr_answers(struct vdev_host *host, struct guest_cpu *gcp)
{
	int rc = 0;

	for (const struct vdev_instr *i = host->instrs; i && !rc; i = i->next) {
		if (i->git != GIT_X86_CPUID || !leaf_is_first(host, i))
			continue;
		struct instr_trap trap = { .git = GIT_X86_CPUID,
					   .qualifier = i->qualifier,
					   .regs.r[REG(rax)] = i->qualifier };
		enum bus_result result = instr_run(host, gcp, &trap);

		if (result == BUS_NOT_FOUND)
			continue;
		if (result != BUS_OK)
			return -EIO;
		const uint32_t answer[4] = { (uint32_t)trap.regs.r[REG(rax)],
					     (uint32_t)trap.regs.r[REG(rbx)],
					     (uint32_t)trap.regs.r[REG(rcx)],
					     (uint32_t)trap.regs.r[REG(rdx)] };

		rc = gcp->engine->ops->vcpu_answer_set
			     ? gcp->engine->ops->vcpu_answer_set(gcp, i->qualifier, answer)
			     : -ENOTSUP;
	}
	return rc;
}
