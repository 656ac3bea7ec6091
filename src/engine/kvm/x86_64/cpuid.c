/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPUID table of a vCPU: what KVM supports, with the topology of this VM (one package of
 * single-threaded cores, APIC id = index), without nested virtualization, and with two hypervisor
 * ranges: ours at 0x40000000, KVM's at 0x40000100.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "engine/kvm/kvm.h"

enum {
	LEAF_FEATURES = 0x1,
	LEAF_CACHES = 0x4,
	LEAF_TOPOLOGY = 0xb,
	LEAF_TOPOLOGY_V2 = 0x1f,
	LEAF_EXT_FEATURES = 0x80000001,
	LEAF_SVM = 0x8000000a,
	LEAF_HYPERVISOR = 0x40000000,
	LEAF_HYPERVISOR_KVM = 0x40000100,
	LEAF_HYPERVISOR_END = 0x400001ff,
	LEAF_EXT_SIZES = 0x80000008,
	LEAF_EXT_CACHES = 0x8000001d,
	LEAF_EXT_TOPOLOGY = 0x8000001e,

	FEATURES_ECX_VMX = 1u << 5,
	FEATURES_ECX_TSC_DEADLINE = 1u << 24,
	EXT_FEATURES_ECX_SVM = 1u << 2,
	FEATURES_ECX_HYPERVISOR = 1u << 31,
	FEATURES_EDX_HTT = 1u << 28,
};

/* Threads, cores, and the end of the list. */
enum { TOPOLOGY_LEVELS = 3 };

bool kvm_cpuid_host_virtualizes(void)
{
	unsigned eax, ebx, ecx, edx;

	return (__get_cpuid(LEAF_FEATURES, &eax, &ebx, &ecx, &edx) && ecx & FEATURES_ECX_VMX) ||
	       (__get_cpuid(LEAF_EXT_FEATURES, &eax, &ebx, &ecx, &edx) &&
		ecx & EXT_FEATURES_ECX_SVM);
}

/* Bits needed to number n things. */
static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while ((1u << bits) < n)
		bits++;
	return bits;
}

/* A level of the topology leaf; KVM gives no more than an empty first one. */
static void cpuid_topology(struct kvm_cpuid_entry2 *e, unsigned level, unsigned index,
			   unsigned num_cpus)
{
	e->function = LEAF_TOPOLOGY;
	e->index = level;
	e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	e->edx = index;
	if (e->index == 0) { /* threads of a core: one */
		e->eax = 0;
		e->ebx = 1;
		e->ecx = 1u << 8;
	} else if (e->index == 1) { /* cores of the package */
		e->eax = bits_for(num_cpus);
		e->ebx = num_cpus;
		e->ecx = 2u << 8 | 1;
	} else {
		e->eax = e->ebx = 0;
		e->ecx = e->index;
	}
}

static void cpuid_patch(const struct kvm *kvm, struct kvm_cpuid_entry2 *e, unsigned index,
			unsigned num_cpus)
{
	switch (e->function) {
	case LEAF_FEATURES:
		e->ebx = (e->ebx & 0x0000ffff) | index << 24 | MIN(num_cpus, 255u) << 16;
		e->ecx |= FEATURES_ECX_HYPERVISOR;
		e->ecx &= ~(uint32_t)FEATURES_ECX_VMX;
		if (ioctl(kvm->dev_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
			e->ecx |= FEATURES_ECX_TSC_DEADLINE;
		if (num_cpus > 1)
			e->edx |= FEATURES_EDX_HTT;
		else
			e->edx &= ~(uint32_t)FEATURES_EDX_HTT;
		break;
	case LEAF_CACHES: /* cores of the package, CPUs that share the cache: each its own but the
			     last level */
		if (e->eax & 0x1f) {
			unsigned sharing = ((e->eax >> 5) & 7) >= 3 ? num_cpus : 1;

			e->eax = (e->eax & 0x3fff) | (sharing - 1) << 14 |
				 ((1u << bits_for(num_cpus)) - 1) << 26;
		}
		break;
	case LEAF_EXT_CACHES:
		if (e->eax & 0x1f) {
			unsigned sharing = ((e->eax >> 5) & 7) >= 3 ? num_cpus : 1;

			e->eax = (e->eax & 0x3fff) | (sharing - 1) << 14;
		}
		break;
	case LEAF_EXT_FEATURES:
		e->ecx &= ~(uint32_t)EXT_FEATURES_ECX_SVM;
		break;
	case LEAF_SVM:
		e->eax = e->ebx = e->ecx = e->edx = 0;
		break;
	case LEAF_EXT_SIZES:
		e->ecx = (e->ecx & ~0xf0ffu) | bits_for(num_cpus) << 12 | (num_cpus - 1);
		break;
	case LEAF_EXT_TOPOLOGY:
		e->eax = index;
		e->ebx = index;
		e->ecx = 0;
		break;
	case LEAF_HYPERVISOR_KVM:
		e->eax = LEAF_HYPERVISOR_KVM + 1;
		break;
	default:
		break;
	}
}

struct kvm_cpuid2 *kvm_cpuid_make(const struct kvm *kvm, unsigned index, unsigned num_cpus)
{
	const struct kvm_cpuid2 *from = kvm->arch;
	struct kvm_cpuid2 *to = calloc(1, sizeof(*to) + (from->nent + 1 + TOPOLOGY_LEVELS) *
								sizeof(to->entries[0]));

	if (!to)
		return NULL;
	for (unsigned i = 0; i < from->nent; i++) {
		const struct kvm_cpuid_entry2 *given = &from->entries[i];

		if (given->function == LEAF_TOPOLOGY || given->function == LEAF_TOPOLOGY_V2)
			continue;
		struct kvm_cpuid_entry2 *e = &to->entries[to->nent++];

		*e = *given;
		/* KVM's own range moves up to make room for ours. */
		if (e->function >= LEAF_HYPERVISOR && e->function <= LEAF_HYPERVISOR_END)
			e->function += LEAF_HYPERVISOR_KVM - LEAF_HYPERVISOR;
		cpuid_patch(kvm, e, index, num_cpus);
	}
	for (unsigned level = 0; level < TOPOLOGY_LEVELS; level++)
		cpuid_topology(&to->entries[to->nent++], level, index, num_cpus);
	struct kvm_cpuid_entry2 *ours = &to->entries[to->nent++];

	ours->function = LEAF_HYPERVISOR;
	ours->eax = LEAF_HYPERVISOR;
	memcpy(&ours->ebx, "QNXQ", 4);
	memcpy(&ours->ecx, "VMBS", 4);
	return to;
}
