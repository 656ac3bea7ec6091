/* SPDX-License-Identifier: Apache-2.0 */
#include "../verified-boot.h"

#include <stddef.h>
#include <qvm/x/cpu.h>

#define REGISTER(name)                                           \
	{                                                        \
#name, offsetof(struct qvmx_cpu_registers, name) \
	}
const struct boot_register boot_registers[] = {
	REGISTER(rax), REGISTER(rbx), REGISTER(rcx),	REGISTER(rdx), REGISTER(rsi),
	REGISTER(rdi), REGISTER(rsp), REGISTER(rbp),	REGISTER(r8),  REGISTER(r9),
	REGISTER(r10), REGISTER(r11), REGISTER(r12),	REGISTER(r13), REGISTER(r14),
	REGISTER(r15), REGISTER(rip), REGISTER(rflags), { "", 0 },
};
