/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers as notes of an ELF core file: those that debuggers know, and the others. */
#include <elf.h>
#include <string.h>
#include <sys/procfs.h>

#include "engine/kvm/aarch64/arm.h"

/* The note "BULKHEAD", type 1; qvm(1) describes it. */
struct dump_system {
	uint32_t version, vcpu;
	uint64_t mpidr, sctlr, ttbr0, ttbr1, tcr, mair, vbar, esr, far, elr, spsr, sp_el0, sp_el1,
		tpidr;
};

static int dump_system_get(const struct kvm_cpu *vcpu, struct dump_system *s)
{
	const uint64_t core = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE;
	const struct {
		uint64_t id;
		uint64_t *value;
	} regs[] = {
		{ ARM64_SYS_REG(3, 0, 0, 0, 5), &s->mpidr },
		{ ARM64_SYS_REG(3, 0, 1, 0, 0), &s->sctlr },
		{ ARM64_SYS_REG(3, 0, 2, 0, 0), &s->ttbr0 },
		{ ARM64_SYS_REG(3, 0, 2, 0, 1), &s->ttbr1 },
		{ ARM64_SYS_REG(3, 0, 2, 0, 2), &s->tcr },
		{ ARM64_SYS_REG(3, 0, 10, 2, 0), &s->mair },
		{ ARM64_SYS_REG(3, 0, 12, 0, 0), &s->vbar },
		{ ARM64_SYS_REG(3, 0, 5, 2, 0), &s->esr },
		{ ARM64_SYS_REG(3, 0, 6, 0, 0), &s->far },
		{ ARM64_SYS_REG(3, 0, 13, 0, 4), &s->tpidr },
		{ core | KVM_REG_ARM_CORE_REG(elr_el1), &s->elr },
		{ core | KVM_REG_ARM_CORE_REG(spsr[KVM_SPSR_EL1]), &s->spsr },
		{ core | KVM_REG_ARM_CORE_REG(regs.sp), &s->sp_el0 },
		{ core | KVM_REG_ARM_CORE_REG(sp_el1), &s->sp_el1 },
	};
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_LEN(regs) && !rc; i++)
		rc = kvm_arm_reg(vcpu, KVM_GET_ONE_REG, regs[i].id, regs[i].value);
	return rc;
}

int kvm_arch_vcpu_notes(struct kvm_cpu *vcpu, struct strbuf *out)
{
	struct dump_system system = { .version = 1, .vcpu = vcpu->cpu.index };
	struct elf_prstatus status;
	struct engine_regs regs;
	int rc = kvm_arch_vcpu_regs_get(&vcpu->cpu, &regs);

	if (!rc)
		rc = dump_system_get(vcpu, &system);
	if (rc)
		return rc;
	_Static_assert(sizeof(regs) == sizeof(status.pr_reg), "the same registers, the same order");
	memset(&status, 0, sizeof(status));
	status.pr_pid = (int)vcpu->cpu.index + 1; /* a debugger takes 0 for no thread */
	memcpy(&status.pr_reg, &regs, sizeof(regs));
	kvm_note_add(out, "CORE", NT_PRSTATUS, &status, sizeof(status));
	kvm_note_add(out, "BULKHEAD", 1, &system, sizeof(system));
	return 0;
}
