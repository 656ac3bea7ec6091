/* SPDX-License-Identifier: Apache-2.0 */
#include "../verified-boot.h"

#include <stddef.h>
#include <qvm/x/cpu.h>

#define REGISTER(name)                                           \
	{                                                        \
#name, offsetof(struct qvmx_cpu_registers, name) \
	}
#define X(n)                                                      \
	{                                                         \
		"x" #n, offsetof(struct qvmx_cpu_registers, x[n]) \
	}
const struct boot_register boot_registers[] = {
	X(0),	      X(1),
	X(2),	      X(3),
	X(4),	      X(5),
	X(6),	      X(7),
	X(8),	      X(9),
	X(10),	      X(11),
	X(12),	      X(13),
	X(14),	      X(15),
	X(16),	      X(17),
	X(18),	      X(19),
	X(20),	      X(21),
	X(22),	      X(23),
	X(24),	      X(25),
	X(26),	      X(27),
	X(28),	      X(29),
	X(30),	      REGISTER(sp),
	REGISTER(pc), REGISTER(pstate),
	{ "", 0 },
};
