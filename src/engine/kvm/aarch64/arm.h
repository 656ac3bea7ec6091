/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the KVM engine on AArch64: what its files share. */
#ifndef ENGINE_KVM_AARCH64_ARM_H
#define ENGINE_KVM_AARCH64_ARM_H

#include "engine/kvm/kvm.h"

/* kvm->arch */
struct kvm_arm {
	struct kvm_vcpu_init target; /* of all vCPUs */
	int gic_fd, its_fd;	     /* -1: not made */
};

static inline struct kvm_arm *kvm_arm_of(const struct kvm *kvm)
{
	return kvm->arch;
}

/* KVM_GET_ONE_REG or KVM_SET_ONE_REG; id has the register's size. */
int kvm_arm_reg(const struct kvm_cpu *vcpu, unsigned long request, uint64_t id, void *value);

/* When all vCPUs are there: from now on the GIC takes interrupts. */
int kvm_gic_start(struct kvm *kvm);
void kvm_gic_free(struct kvm *kvm);

#endif
