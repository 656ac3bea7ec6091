/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "engine/kvm/aarch64/arm.h"

/* Linux 6.4 and later; the headers may be older. */
#ifndef KVM_CAP_COUNTER_OFFSET
#define KVM_CAP_COUNTER_OFFSET	   227
#define KVM_ARM_SET_COUNTER_OFFSET _IOW(KVMIO, 0xb5, struct kvm_arm_counter_offset)
struct kvm_arm_counter_offset {
	__u64 counter_offset;
	__u64 reserved;
};
#endif

/* Of an exit by a call: a bit of the word that older headers have for something of x86. */
#ifndef KVM_HYPERCALL_EXIT_SMC
#define KVM_HYPERCALL_EXIT_SMC 1u
#endif

enum { PSTATE_EL1H_MASKED = 0x3c5, PSTATE_MODE = 0xf, PSTATE_EL1H = 0x5 };

const struct kvm_requirement kvm_arch_required[] = {
	{ KVM_CAP_ONE_REG, "this KVM does not give single registers (KVM_CAP_ONE_REG)" },
	{ KVM_CAP_ARM_PSCI_0_2, "this KVM has no PSCI 0.2 (KVM_CAP_ARM_PSCI_0_2)" },
	{ KVM_CAP_ARM_INJECT_EXT_DABT,
	  "this KVM cannot give a guest an abort (KVM_CAP_ARM_INJECT_EXT_DABT)" },
	{ KVM_CAP_ARM_NISV_TO_USER,
	  "this KVM does not tell of accesses that it cannot decode (KVM_CAP_ARM_NISV_TO_USER)" },
};
const unsigned kvm_arch_num_required = ARRAY_LEN(kvm_arch_required);

int kvm_arch_vm_init(struct kvm *kvm, const char **ret_why)
{
	struct kvm_enable_cap nisv = { .cap = KVM_CAP_ARM_NISV_TO_USER };
	struct kvm_arm *arm = calloc(1, sizeof(*arm));

	if (!arm)
		return -ENOMEM;
	arm->gic_fd = arm->its_fd = -1;
	kvm->arch = arm;
	int rc = kvm_ioctl(kvm->vm_fd, KVM_ARM_PREFERRED_TARGET, &arm->target);

	if (rc) {
		*ret_why = "KVM does not say which processor its guests have";
		return rc;
	}
	arm->target.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2;
	rc = kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &nisv);
	if (rc)
		*ret_why = kvm_arch_required[3].why;
	return rc;
}

void kvm_arch_vm_free(struct kvm *kvm)
{
	if (kvm->arch)
		kvm_gic_free(kvm);
	free(kvm->arch);
}

int kvm_arch_options_set(struct kvm *kvm, const char **ret_why)
{
	const struct engine_options *o = &kvm->options;
	/* KVM's is what the guest's counter lags behind the host's. */
	struct kvm_arm_counter_offset offset = { .counter_offset = -o->counter_offset };

	if (o->halt_in_guest) {
		*ret_why = "on AArch64 a halted vCPU always gives its host CPU back; `set "
			   "exit-on-halt off` is for x86-64";
		return -ENOTSUP;
	}
	if (o->register_exits) {
		*ret_why =
			"on AArch64 KVM itself answers accesses to registers that are not there, "
			"by an exception; `unsupported register` can only be fail";
		return -ENOTSUP;
	}
	if (!o->counter_given)
		return 0;
	if (ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COUNTER_OFFSET) <= 0) {
		*ret_why =
			"this KVM cannot move the guest's counter (KVM_CAP_COUNTER_OFFSET, Linux "
			"6.4 and later)";
		return -ENOTSUP;
	}
	return kvm_ioctl(kvm->vm_fd, KVM_ARM_SET_COUNTER_OFFSET, &offset);
}

int kvm_arch_vcpu_init(struct kvm_cpu *vcpu, unsigned num_cpus)
{
	const struct kvm_arm *arm = kvm_arm_of(vcpu->kvm);
	struct kvm_vcpu_init init = arm->target;

	/* The others wait for the boot vCPU to start them. */
	if (vcpu->cpu.index)
		init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
	int rc = kvm_ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init);

	if (!rc && vcpu->cpu.index + 1 == num_cpus)
		rc = kvm_gic_start(vcpu->kvm);
	return rc;
}

int kvm_arm_reg(const struct kvm_cpu *vcpu, unsigned long request, uint64_t id, void *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return kvm_ioctl(vcpu->fd, request, &reg);
}

/* KVM's number of the n-th of engine_regs; the stack pointer is that of the mode in pstate. */
static uint64_t reg_id(unsigned n, uint64_t pstate)
{
	enum { SP = 31, PC, PSTATE };
	const uint64_t core = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE;

	switch (n) {
	case SP:
		return core |
		       ((pstate & PSTATE_MODE) == PSTATE_EL1H ? KVM_REG_ARM_CORE_REG(sp_el1)
							      : KVM_REG_ARM_CORE_REG(regs.sp));
	case PC:
		return core | KVM_REG_ARM_CORE_REG(regs.pc);
	case PSTATE:
		return core | KVM_REG_ARM_CORE_REG(regs.pstate);
	default:
		return core |
		       (KVM_REG_ARM_CORE_REG(regs.regs[0]) + n * sizeof(__u64) / sizeof(__u32));
	}
}

int kvm_arch_vcpu_regs_get(struct guest_cpu *gcp, struct engine_regs *ret_regs)
{
	struct engine_regs regs = { 0 };
	uint64_t *pstate = &regs.r[ENGINE_NUM_REGS - 1];
	int rc = 0;

	/* From pstate on, since the stack pointer hangs on it. */
	for (unsigned n = ENGINE_NUM_REGS; n-- > 0 && !rc;)
		rc = kvm_arm_reg(kvm_cpu_of(gcp), KVM_GET_ONE_REG, reg_id(n, *pstate), &regs.r[n]);
	if (!rc)
		*ret_regs = regs;
	return rc;
}

int kvm_arch_vcpu_regs_set(struct guest_cpu *gcp, const struct engine_regs *regs)
{
	struct engine_regs copy = *regs;
	int rc = 0;

	for (unsigned n = ENGINE_NUM_REGS; n-- > 0 && !rc;)
		rc = kvm_arm_reg(kvm_cpu_of(gcp), KVM_SET_ONE_REG,
				 reg_id(n, regs->r[ENGINE_NUM_REGS - 1]), &copy.r[n]);
	return rc;
}

int kvm_arch_vcpu_boot(struct kvm_cpu *vcpu, const struct engine_boot *boot)
{
	const struct engine_regs regs = {
		.r = { [0] = boot->x0, [32] = boot->pc, [33] = PSTATE_EL1H_MASKED }
	};

	return kvm_arch_vcpu_regs_set(&vcpu->cpu, &regs);
}

/* KVM has the 8259s of nobody. */
int kvm_arch_extint(struct kvm_cpu *vcpu, const struct engine_host *host)
{
	(void)vcpu, (void)host;
	return 0;
}

/* Given before the access is completed, the abort takes the access's place. */
int kvm_arch_access_fault(struct kvm_cpu *vcpu)
{
	struct kvm_vcpu_events ev = { .exception.ext_dabt_pending = 1 };

	return kvm_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
}

/* The program counter is behind the call already. */
static bool kvm_exit_call(struct kvm_cpu *vcpu, const struct engine_host *host)
{
	uint64_t none = UINT64_MAX;
	bool smc = vcpu->run->hypercall.longmode & KVM_HYPERCALL_EXIT_SMC;

	return host->call_trap(host->ctx, &vcpu->cpu, smc, (uint32_t)vcpu->run->hypercall.nr) ==
		       ENGINE_TRAP_DONE ||
	       kvm_arm_reg(vcpu, KVM_SET_ONE_REG, reg_id(0, 0), &none) == 0;
}

bool kvm_arch_exit(struct kvm_cpu *vcpu, const struct engine_host *host, enum engine_end *ret_end)
{
	if (vcpu->run->exit_reason == KVM_EXIT_HYPERCALL)
		return kvm_exit_call(vcpu, host);
	if (vcpu->run->exit_reason != KVM_EXIT_ARM_NISV)
		return false;
	if (host->unsupported(host->ctx, &vcpu->cpu,
			      "an instruction accesses a device in a way that KVM cannot decode") &&
	    kvm_arch_access_fault(vcpu) == 0)
		return true;
	*ret_end = ENGINE_END_UNSUPPORTED;
	return false;
}

/* KVM emulates no instructions here, so nothing comes to this. */
int kvm_arch_undefined(struct kvm_cpu *vcpu)
{
	(void)vcpu;
	return -ENOTSUP;
}
