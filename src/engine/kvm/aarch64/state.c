/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's state beside its general registers, and traps: none of it is built on AArch64, and who
 * asks is told. */
#include <errno.h>

#include "engine/kvm/kvm.h"

int kvm_arch_state_get(struct guest_cpu *gcp, enum engine_state kind, void *ret_state,
		       size_t *ret_size)
{
	(void)gcp, (void)kind, (void)ret_state, (void)ret_size;
	return -ENOTSUP;
}

int kvm_arch_state_set(struct guest_cpu *gcp, enum engine_state kind, const void *state)
{
	(void)gcp, (void)kind, (void)state;
	return -ENOTSUP;
}

int kvm_arch_register_get(struct guest_cpu *gcp, uint32_t index, uint64_t *ret_value)
{
	(void)gcp, (void)index, (void)ret_value;
	return -ENOTSUP;
}

int kvm_arch_register_set(struct guest_cpu *gcp, uint32_t index, uint64_t value)
{
	(void)gcp, (void)index, (void)value;
	return -ENOTSUP;
}

int kvm_arch_translate(struct guest_cpu *gcp, uint64_t gva, uint64_t *ret_gpa)
{
	(void)gcp, (void)gva, (void)ret_gpa;
	return -ENOTSUP;
}

int kvm_arch_answer_set(struct guest_cpu *gcp, uint32_t leaf, const uint32_t answer[4])
{
	(void)gcp, (void)leaf, (void)answer;
	return -ENOTSUP;
}

int kvm_arch_traps_set(struct engine *e, const struct engine_trap *traps, unsigned num,
		       bool unknown, const char **ret_why)
{
	(void)e, (void)traps;
	if (!num && !unknown)
		return 0;
	*ret_why = "registers of AArch64 cannot be taken over yet";
	return -ENOTSUP;
}
