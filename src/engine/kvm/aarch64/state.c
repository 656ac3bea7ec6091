/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's state beside its general registers, and what of it is trapped. */
#include <errno.h>
#include <string.h>

#include <qvm/x/cpu.h>

#include "engine/kvm/aarch64/arm.h"
#include "engine/kvm/aarch64/walk.h"

/* Linux 6.4 and later; the headers may be older. */
#ifndef KVM_ARM_VM_SMCCC_CTRL
#define KVM_ARM_VM_SMCCC_CTRL	     0
#define KVM_ARM_VM_SMCCC_FILTER	     0
#define KVM_SMCCC_FILTER_FWD_TO_USER 2
struct kvm_smccc_filter {
	__u32 base;
	__u32 nr_functions;
	__u8 action;
	__u8 pad[15];
};
#endif

_Static_assert(sizeof(struct qvmx_cpu_fpu) <= ENGINE_STATE_MAX, "FPU");

#define CORE_REG(size, field) \
	(KVM_REG_ARM64 | KVM_REG_SIZE_##size | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(field))

static int fpu_copy(const struct kvm_cpu *vcpu, unsigned long request, struct qvmx_cpu_fpu *fpu)
{
	const uint64_t step = sizeof(__uint128_t) / sizeof(__u32);
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_LEN(fpu->v) && !rc; i++)
		rc = kvm_arm_reg(vcpu, request, CORE_REG(U128, fp_regs.vregs[0]) + i * step,
				 fpu->v[i]);
	if (!rc)
		rc = kvm_arm_reg(vcpu, request, CORE_REG(U32, fp_regs.fpsr), &fpu->fpsr);
	return rc ? rc : kvm_arm_reg(vcpu, request, CORE_REG(U32, fp_regs.fpcr), &fpu->fpcr);
}

int kvm_arch_state_get(struct guest_cpu *gcp, enum engine_state kind, void *ret_state,
		       size_t *ret_size)
{
	if (kind != ENGINE_STATE_FPU)
		return -ENOTSUP;
	*ret_size = sizeof(struct qvmx_cpu_fpu);
	return fpu_copy(kvm_cpu_of(gcp), KVM_GET_ONE_REG, ret_state);
}

int kvm_arch_state_set(struct guest_cpu *gcp, enum engine_state kind, const void *state)
{
	struct qvmx_cpu_fpu fpu;

	if (kind != ENGINE_STATE_FPU)
		return -ENOTSUP;
	memcpy(&fpu, state, sizeof(fpu));
	return fpu_copy(kvm_cpu_of(gcp), KVM_SET_ONE_REG, &fpu);
}

/* KVM's number of a system register. Some it counts among the general ones, and the virtual timer's
 * two have changed places. */
static uint64_t system_reg_id(uint32_t index)
{
	static const struct {
		uint32_t index;
		uint64_t id;
	} others[] = {
		{ QVMX_ARM_SR(3, 0, 4, 0, 0), CORE_REG(U64, spsr[KVM_SPSR_EL1]) },
		{ QVMX_ARM_SR(3, 0, 4, 0, 1), CORE_REG(U64, elr_el1) },
		{ QVMX_ARM_SR(3, 0, 4, 1, 0), CORE_REG(U64, regs.sp) },
		{ QVMX_ARM_SR(3, 4, 4, 1, 0), CORE_REG(U64, sp_el1) },
		{ QVMX_ARM_SR(3, 3, 14, 0, 2), KVM_REG_ARM_TIMER_CNT },
		{ QVMX_ARM_SR(3, 3, 14, 3, 2), KVM_REG_ARM_TIMER_CVAL },
	};

	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		if (others[i].index == index)
			return others[i].id;
	return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | (index & UINT16_MAX);
}

static int system_reg(struct guest_cpu *gcp, unsigned long request, uint32_t index, uint64_t *value)
{
	int rc = index > UINT16_MAX
			 ? -ENOENT
			 : kvm_arm_reg(kvm_cpu_of(gcp), request, system_reg_id(index), value);

	return rc == -EINVAL ? -ENOENT : rc;
}

int kvm_arch_register_get(struct guest_cpu *gcp, uint32_t index, uint64_t *ret_value)
{
	return system_reg(gcp, KVM_GET_ONE_REG, index, ret_value);
}

int kvm_arch_register_set(struct guest_cpu *gcp, uint32_t index, uint64_t value)
{
	return system_reg(gcp, KVM_SET_ONE_REG, index, &value);
}

int kvm_arch_translate(struct guest_cpu *gcp, uint64_t gva, uint64_t *ret_gpa)
{
	struct walk_regime r;
	const struct {
		uint32_t index;
		uint64_t *value;
	} regs[] = {
		{ QVMX_ARM_SR(3, 0, 1, 0, 0), &r.sctlr },
		{ QVMX_ARM_SR(3, 0, 2, 0, 0), &r.ttbr[0] },
		{ QVMX_ARM_SR(3, 0, 2, 0, 1), &r.ttbr[1] },
		{ QVMX_ARM_SR(3, 0, 2, 0, 2), &r.tcr },
	};
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_LEN(regs) && !rc; i++)
		rc = kvm_arch_register_get(gcp, regs[i].index, regs[i].value);
	return rc ? rc : walk_translate(gcp->engine->mem, &r, gva, ret_gpa);
}

/* Identification is registers here, and a vdev can set those of a vCPU that has not started. */
int kvm_arch_answer_set(struct guest_cpu *gcp, uint32_t leaf, const uint32_t answer[4])
{
	(void)gcp, (void)leaf, (void)answer;
	return -ENOTSUP;
}

static int calls_forward(const struct kvm *kvm, uint32_t first, uint32_t last)
{
	struct kvm_smccc_filter filter = { .base = first,
					   .nr_functions = last - first + 1,
					   .action = KVM_SMCCC_FILTER_FWD_TO_USER };
	struct kvm_device_attr attr = { .group = KVM_ARM_VM_SMCCC_CTRL,
					.attr = KVM_ARM_VM_SMCCC_FILTER,
					.addr = (uintptr_t)&filter };

	return kvm_ioctl(kvm->vm_fd, KVM_SET_DEVICE_ATTR, &attr);
}

/* Owners of functions of which KVM knows none: all but the architecture, the standard services and
 * those of hypervisors. */
static const struct {
	uint32_t first, last;
} others[] = { { 0, 0x7fffffff },
	       { 0x81000000, 0x83ffffff },
	       { 0x87000000, 0xbfffffff },
	       { 0xc1000000, 0xc3ffffff },
	       { 0xc7000000, 0xffffffff } };

static bool is_others(uint32_t function)
{
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		if (function >= others[i].first && function <= others[i].last)
			return true;
	return false;
}

/* A function is forwarded once, whoever and by whichever instruction wants it. */
static bool is_first(const struct engine_trap *traps, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (traps[i].index == traps[n].index)
			return false;
	return true;
}

int kvm_arch_traps_set(struct engine *e, const struct engine_trap *traps, unsigned num,
		       bool unknown, const char **ret_why)
{
	const struct kvm *kvm = kvm_of(e);
	int rc = 0;

	*ret_why = "this KVM does not hand over calls by SMC and HVC (Linux 6.4 and later do)";
	for (unsigned i = 0; i < ARRAY_LEN(others) && unknown && !rc; i++)
		rc = calls_forward(kvm, others[i].first, others[i].last);
	for (unsigned i = 0; i < num && !rc; i++)
		if (is_first(traps, i) && !(unknown && is_others(traps[i].index)))
			rc = calls_forward(kvm, traps[i].index, traps[i].index);
	return rc;
}
