/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a virtual address of EL1 and EL0 to a guest-physical one, by the guest's page tables: KVM
 * has no such call on AArch64. Reads the guest's memory and changes nothing; permissions are not
 * looked at. Any thread; knows nothing of the machine that it runs on.
 */
#ifndef ENGINE_KVM_AARCH64_WALK_H
#define ENGINE_KVM_AARCH64_WALK_H

#include <stdint.h>

#include "engine/memory.h"

struct walk_regime {
	uint64_t sctlr, tcr, ttbr[2];
};

/* -ENOENT: nothing is mapped there. -ENOTSUP: the tables are big-endian. */
int walk_translate(const struct memory *mem, const struct walk_regime *regime, uint64_t gva,
		   uint64_t *ret_gpa) MUST_CHECK;

#endif
