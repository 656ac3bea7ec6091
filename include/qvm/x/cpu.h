/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/cpu: what QST_CPUREGS counts in. The documented API names the type and leaves the layout to
 * the architecture; this one is ours.
 *
 * guest_cpu_read and guest_cpu_write reach the registers of the boot vCPU in
 * VDEV_CTRL_GUEST_STARTING, with the vCPU that `arg` is; a state block's location is an offset in
 * this struct. Later they give EPERM: no vCPU is stopped for them.
 */
#ifndef QVM_X_CPU_H
#define QVM_X_CPU_H

#include <qvm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The general registers of an x86-64 vCPU. */
struct qvmx_cpu_registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
};

#ifdef __cplusplus
}
#endif

#endif
