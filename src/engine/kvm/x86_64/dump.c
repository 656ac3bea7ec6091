/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers as notes of an ELF core file: those that debuggers know, and the others. */
#include <elf.h>
#include <string.h>
#include <sys/procfs.h>

#include "engine/kvm/kvm.h"

/* The note "BULKHEAD", type 1; qvm(1) describes it. */
struct dump_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector, attributes; /* attributes as in a VMCB: type, s, dpl, p, avl, l, db, g */
};

struct dump_system {
	uint32_t version, vcpu;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
	uint64_t gdt_base, gdt_limit, idt_base, idt_limit;
	struct dump_segment cs, ds, es, fs, gs, ss, tr, ldt;
};

static struct dump_segment dump_segment(const struct kvm_segment *s)
{
	return (struct dump_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.attributes = (uint16_t)(s->type | s->s << 4 | s->dpl << 5 | s->present << 7 |
					 s->avl << 8 | s->l << 9 | s->db << 10 | s->g << 11),
	};
}

static void dump_general(struct strbuf *out, unsigned index, const struct kvm_regs *r,
			 const struct kvm_sregs *s)
{
	const struct user_regs_struct regs = {
		.r15 = r->r15,
		.r14 = r->r14,
		.r13 = r->r13,
		.r12 = r->r12,
		.rbp = r->rbp,
		.rbx = r->rbx,
		.r11 = r->r11,
		.r10 = r->r10,
		.r9 = r->r9,
		.r8 = r->r8,
		.rax = r->rax,
		.rcx = r->rcx,
		.rdx = r->rdx,
		.rsi = r->rsi,
		.rdi = r->rdi,
		.orig_rax = (unsigned long long)-1,
		.rip = r->rip,
		.cs = s->cs.selector,
		.eflags = r->rflags,
		.rsp = r->rsp,
		.ss = s->ss.selector,
		.fs_base = s->fs.base,
		.gs_base = s->gs.base,
		.ds = s->ds.selector,
		.es = s->es.selector,
		.fs = s->fs.selector,
		.gs = s->gs.selector,
	};
	struct elf_prstatus status;

	memset(&status, 0, sizeof(status));
	status.pr_pid = (int)index + 1; /* a debugger takes 0 for no thread */
	memcpy(&status.pr_reg, &regs, sizeof(regs));
	kvm_note_add(out, "CORE", NT_PRSTATUS, &status, sizeof(status));
}

int kvm_arch_vcpu_notes(struct kvm_cpu *vcpu, struct strbuf *out)
{
	struct kvm_regs regs;
	struct kvm_sregs s;
	int rc = kvm_ioctl(vcpu->fd, KVM_GET_REGS, &regs);

	if (!rc)
		rc = kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &s);
	if (rc)
		return rc;
	const struct dump_system system = {
		.version = 1,
		.vcpu = vcpu->cpu.index,
		.cr0 = s.cr0,
		.cr2 = s.cr2,
		.cr3 = s.cr3,
		.cr4 = s.cr4,
		.cr8 = s.cr8,
		.efer = s.efer,
		.apic_base = s.apic_base,
		.gdt_base = s.gdt.base,
		.gdt_limit = s.gdt.limit,
		.idt_base = s.idt.base,
		.idt_limit = s.idt.limit,
		.cs = dump_segment(&s.cs),
		.ds = dump_segment(&s.ds),
		.es = dump_segment(&s.es),
		.fs = dump_segment(&s.fs),
		.gs = dump_segment(&s.gs),
		.ss = dump_segment(&s.ss),
		.tr = dump_segment(&s.tr),
		.ldt = dump_segment(&s.ldt),
	};

	dump_general(out, vcpu->cpu.index, &regs, &s);
	kvm_note_add(out, "BULKHEAD", 1, &system, sizeof(system));
	return 0;
}
