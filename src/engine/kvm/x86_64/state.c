/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's state beside its general registers, and what of it is trapped. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <qvm/x/cpu.h>

#include "engine/kvm/kvm.h"

/* struct kvm_fpu has the registers in this order. */
_Static_assert(sizeof(struct qvmx_cpu_fpu) == sizeof(struct kvm_fpu), "FPU");
_Static_assert(sizeof(struct qvmx_cpu_segments) <= ENGINE_STATE_MAX, "segments");

static struct qvmx_cpu_segment segment_get(const struct kvm_segment *s)
{
	return (struct qvmx_cpu_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.attributes = (uint16_t)(s->type | s->s << 4 | s->dpl << 5 | s->present << 7 |
					 s->avl << 8 | s->l << 9 | s->db << 10 | s->g << 11),
	};
}

static struct kvm_segment segment_set(const struct qvmx_cpu_segment *s)
{
	uint16_t a = s->attributes;

	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = a & 15,
		.s = a >> 4 & 1,
		.dpl = a >> 5 & 3,
		.present = a >> 7 & 1,
		.unusable = !(a >> 7 & 1),
		.avl = a >> 8 & 1,
		.l = a >> 9 & 1,
		.db = a >> 10 & 1,
		.g = a >> 11 & 1,
	};
}

static void segments_get(const struct kvm_sregs *s, struct qvmx_cpu_segments *ret)
{
	*ret = (struct qvmx_cpu_segments){
		.cs = segment_get(&s->cs),
		.ds = segment_get(&s->ds),
		.es = segment_get(&s->es),
		.fs = segment_get(&s->fs),
		.gs = segment_get(&s->gs),
		.ss = segment_get(&s->ss),
		.tr = segment_get(&s->tr),
		.ldt = segment_get(&s->ldt),
		.gdt_base = s->gdt.base,
		.gdt_limit = s->gdt.limit,
		.idt_base = s->idt.base,
		.idt_limit = s->idt.limit,
	};
}

static void segments_set(struct kvm_sregs *s, const struct qvmx_cpu_segments *from)
{
	s->cs = segment_set(&from->cs);
	s->ds = segment_set(&from->ds);
	s->es = segment_set(&from->es);
	s->fs = segment_set(&from->fs);
	s->gs = segment_set(&from->gs);
	s->ss = segment_set(&from->ss);
	s->tr = segment_set(&from->tr);
	s->ldt = segment_set(&from->ldt);
	s->gdt = (struct kvm_dtable){ .base = from->gdt_base, .limit = (uint16_t)from->gdt_limit };
	s->idt = (struct kvm_dtable){ .base = from->idt_base, .limit = (uint16_t)from->idt_limit };
}

static void control_get(const struct kvm_sregs *s, struct qvmx_cpu_control *ret)
{
	*ret = (struct qvmx_cpu_control){ s->cr0, s->cr2,  s->cr3,	s->cr4,
					  s->cr8, s->efer, s->apic_base };
}

static void control_set(struct kvm_sregs *s, const struct qvmx_cpu_control *from)
{
	s->cr0 = from->cr0;
	s->cr2 = from->cr2;
	s->cr3 = from->cr3;
	s->cr4 = from->cr4;
	s->cr8 = from->cr8;
	s->efer = from->efer;
	s->apic_base = from->apic_base;
}

static int debug_copy(int fd, struct qvmx_cpu_debug *state, bool set)
{
	struct kvm_debugregs d;
	int rc = kvm_ioctl(fd, KVM_GET_DEBUGREGS, &d);

	if (rc)
		return rc;
	if (!set) {
		memcpy(state->dr, d.db, sizeof(state->dr));
		state->dr6 = d.dr6;
		state->dr7 = d.dr7;
		return 0;
	}
	memcpy(d.db, state->dr, sizeof(state->dr));
	d.dr6 = state->dr6;
	d.dr7 = state->dr7;
	return kvm_ioctl(fd, KVM_SET_DEBUGREGS, &d);
}

int kvm_arch_state_get(struct guest_cpu *gcp, enum engine_state kind, void *ret_state,
		       size_t *ret_size)
{
	int fd = kvm_cpu_of(gcp)->fd, rc = 0;
	struct kvm_sregs s;

	if (kind == ENGINE_STATE_FPU) {
		*ret_size = sizeof(struct qvmx_cpu_fpu);
		return kvm_ioctl(fd, KVM_GET_FPU, ret_state);
	}
	if (kind == ENGINE_STATE_DEBUG) {
		*ret_size = sizeof(struct qvmx_cpu_debug);
		return debug_copy(fd, ret_state, false);
	}
	rc = kvm_ioctl(fd, KVM_GET_SREGS, &s);
	if (rc)
		return rc;
	if (kind == ENGINE_STATE_SEGMENTS) {
		*ret_size = sizeof(struct qvmx_cpu_segments);
		segments_get(&s, ret_state);
	} else {
		*ret_size = sizeof(struct qvmx_cpu_control);
		control_get(&s, ret_state);
	}
	return 0;
}

int kvm_arch_state_set(struct guest_cpu *gcp, enum engine_state kind, const void *state)
{
	int fd = kvm_cpu_of(gcp)->fd, rc;
	struct qvmx_cpu_debug debug;
	struct kvm_sregs s;
	struct kvm_fpu fpu;

	switch (kind) {
	case ENGINE_STATE_FPU:
		memcpy(&fpu, state, sizeof(fpu));
		return kvm_ioctl(fd, KVM_SET_FPU, &fpu);
	case ENGINE_STATE_DEBUG:
		memcpy(&debug, state, sizeof(debug));
		return debug_copy(fd, &debug, true);
	case ENGINE_STATE_SEGMENTS:
	case ENGINE_STATE_CONTROL:
		break;
	}
	rc = kvm_ioctl(fd, KVM_GET_SREGS, &s);
	if (rc)
		return rc;
	if (kind == ENGINE_STATE_SEGMENTS)
		segments_set(&s, state);
	else
		control_set(&s, state);
	return kvm_ioctl(fd, KVM_SET_SREGS, &s);
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

int kvm_arch_register_get(struct guest_cpu *gcp, uint32_t index, uint64_t *ret_value)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = index };
	int rc = kvm_ioctl(kvm_cpu_of(gcp)->fd, KVM_GET_MSRS, &m);

	if (rc < 0)
		return rc;
	if (rc != 1)
		return -ENOENT;
	*ret_value = m.entry.data;
	return 0;
}

int kvm_arch_register_set(struct guest_cpu *gcp, uint32_t index, uint64_t value)
{
	struct one_msr m = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };
	int rc = kvm_ioctl(kvm_cpu_of(gcp)->fd, KVM_SET_MSRS, &m);

	return rc < 0 ? rc : rc == 1 ? 0 : -ENOENT;
}

int kvm_arch_translate(struct guest_cpu *gcp, uint64_t gva, uint64_t *ret_gpa)
{
	struct kvm_translation t = { .linear_address = gva };
	int rc = kvm_ioctl(kvm_cpu_of(gcp)->fd, KVM_TRANSLATE, &t);

	if (rc)
		return rc;
	if (!t.valid)
		return -ENOENT;
	*ret_gpa = t.physical_address;
	return 0;
}

/* One entry without subleaves in place of all that the table has of the leaf. */
int kvm_arch_answer_set(struct guest_cpu *gcp, uint32_t leaf, const uint32_t answer[4])
{
	struct kvm_cpu *vcpu = kvm_cpu_of(gcp);
	const struct kvm_cpuid2 *from = vcpu->cpuid;
	struct kvm_cpuid2 *to = calloc(1, sizeof(*to) + (from->nent + 1) * sizeof(to->entries[0]));

	if (!to)
		return -ENOMEM;
	for (unsigned i = 0; i < from->nent; i++)
		if (from->entries[i].function != leaf)
			to->entries[to->nent++] = from->entries[i];
	to->entries[to->nent++] = (struct kvm_cpuid_entry2){ .function = leaf,
							     .eax = answer[0],
							     .ebx = answer[1],
							     .ecx = answer[2],
							     .edx = answer[3] };
	free(vcpu->cpuid);
	vcpu->cpuid = to;
	return kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, to);
}

/* KVM takes ranges with a bit for each register: 0 traps. */
enum { FILTER_SPAN = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8 };

struct filter {
	struct kvm_msr_filter kvm;
	uint64_t bitmaps[KVM_MSR_FILTER_MAX_RANGES][FILTER_SPAN / 64];
};

static bool filter_add(struct filter *f, unsigned *num, const struct engine_trap *t)
{
	uint32_t flags = t->write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;
	unsigned i = 0;

	while (i < *num && (f->kvm.ranges[i].flags != flags || f->kvm.ranges[i].base > t->index ||
			    t->index - f->kvm.ranges[i].base >= FILTER_SPAN))
		i++;
	if (i == KVM_MSR_FILTER_MAX_RANGES)
		return false;
	struct kvm_msr_filter_range *r = &f->kvm.ranges[i];

	if (i == *num) {
		memset(f->bitmaps[i], 0xff, sizeof(f->bitmaps[i]));
		/* Registers of one kind stand together: the next ones go into the same range. */
		*r = (struct kvm_msr_filter_range){ .flags = flags,
						    .base = t->index & ~(uint32_t)0xfff,
						    .bitmap = (uint8_t *)f->bitmaps[i] };
		++*num;
	}
	uint32_t bit = t->index - r->base;

	f->bitmaps[i][bit / 64] &= ~(UINT64_C(1) << bit % 64);
	r->nmsrs = MAX(r->nmsrs, bit + 1);
	return true;
}

int kvm_arch_traps_set(struct engine *e, const struct engine_trap *traps, unsigned num,
		       bool unknown, const char **ret_why)
{
	struct kvm *kvm = kvm_of(e);
	uint64_t exits = num ? KVM_MSR_EXIT_REASON_FILTER : 0;
	unsigned num_ranges = 0;
	int rc;

	if (unknown || kvm->options.register_exits)
		exits |= KVM_EXITS_UNKNOWN_MSR;
	*ret_why = "this KVM cannot hand over registers (KVM_CAP_X86_USER_SPACE_MSR)";
	rc = kvm_cap_enable(kvm, KVM_CAP_X86_USER_SPACE_MSR, exits);
	if (rc || !num)
		return rc;
	struct filter *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->kvm.flags = KVM_MSR_FILTER_DEFAULT_ALLOW;
	*ret_why = "the registers that vdevs take over lie too far apart for KVM's filter";
	for (unsigned i = 0; i < num && !rc; i++)
		rc = filter_add(f, &num_ranges, &traps[i]) ? 0 : -ENOSPC;
	if (!rc) {
		*ret_why = "KVM does not take the filter of registers (KVM_X86_SET_MSR_FILTER)";
		rc = kvm_ioctl(kvm->vm_fd, KVM_X86_SET_MSR_FILTER, &f->kvm);
	}
	free(f);
	return rc;
}
