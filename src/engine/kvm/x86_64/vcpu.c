/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "engine/kvm/kvm.h"

/* Fixed pages that Intel's VMX needs below 4 GiB; kept out of the guest's memory by the address
 * plan. */
enum { KVM_IDENTITY_MAP = 0xfeffc000, KVM_TSS = 0xfeffd000 };

enum { MAX_CPUID_ENTRIES = 256 };

enum {
	MSR_IA32_MISC_ENABLE = 0x1a0,
	MSR_IA32_MTRR_DEF_TYPE = 0x2ff,
	MISC_ENABLE_FAST_STRINGS = 1u << 0,
	MTRR_ENABLE_WRITE_BACK = 0x806,
};

enum {
	CR0_PE = 1u << 0,
	CR0_ET = 1u << 4,
	CR0_NE = 1u << 5,
	CR0_WP = 1u << 16,
	CR0_PG = 1u << 31,
	CR4_PAE = 1u << 5,
	EFER_LME = 1u << 8,
	EFER_LMA = 1u << 10,
};

enum { VECTOR_UD = 6, VECTOR_GP = 13 };

const struct kvm_requirement kvm_arch_required[] = {
	{ KVM_CAP_SPLIT_IRQCHIP,
	  "this KVM cannot leave the ioapic to user space (KVM_CAP_SPLIT_IRQCHIP)" },
};
const unsigned kvm_arch_num_required = ARRAY_LEN(kvm_arch_required);

int kvm_arch_vm_init(struct kvm *kvm, const char **ret_why)
{
	uint64_t identity = KVM_IDENTITY_MAP;
	int rc;

	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + MAX_CPUID_ENTRIES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		return -ENOMEM;
	kvm->arch = cpuid;
	cpuid->nent = MAX_CPUID_ENTRIES;
	rc = kvm_ioctl(kvm->dev_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
	if (rc) {
		*ret_why = "KVM does not say which processor features it supports";
		return rc;
	}
	if (!kvm_cpuid_host_virtualizes())
		log_write(LOG_SEV_WARN,
			  "the processor of this host has neither VMX nor SVM, so its /dev/kvm is "
			  "software: guests may be slow beyond use or not get anywhere");
	rc = kvm_ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (!rc && ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, (unsigned long)KVM_TSS) < 0)
		rc = -errno;
	if (rc)
		*ret_why = "KVM does not take the place of its fixed pages";
	return rc;
}

void kvm_arch_vm_free(struct kvm *kvm)
{
	free(kvm->arch);
}

int kvm_arch_irqchip_set(struct kvm *kvm, const struct engine_machine *machine,
			 const char **ret_why)
{
	(void)ret_why;
	if (machine->irqchip != ENGINE_IRQCHIP_KERNEL) {
		/* Local APICs only: the split machine with no pins. */
		struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP,
					      .args = { machine->num_pins } };

		return kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &cap);
	}
	int rc = kvm_ioctl(kvm->vm_fd, KVM_CREATE_IRQCHIP, NULL);

	if (!rc && machine->pit) {
		struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

		rc = kvm_ioctl(kvm->vm_fd, KVM_CREATE_PIT2, &config);
	}
	return rc;
}

/* Pins 0 to 15 reach the ioapic and the 8259s, the others the ioapic alone. */
unsigned kvm_arch_pin_routes(const struct kvm *kvm, struct kvm_irq_routing_entry *entries)
{
	unsigned n = 0;

	if (kvm->machine.irqchip != ENGINE_IRQCHIP_KERNEL)
		return 0;
	for (uint32_t pin = 0; pin < ENGINE_KERNEL_PINS; pin++) {
		entries[n++] = (struct kvm_irq_routing_entry){
			.gsi = pin,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = pin },
		};
		if (pin >= 16)
			continue;
		entries[n++] = (struct kvm_irq_routing_entry){
			.gsi = pin,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = pin < 8 ? KVM_IRQCHIP_PIC_MASTER
							  : KVM_IRQCHIP_PIC_SLAVE,
				       .pin = pin % 8 },
		};
	}
	return n;
}

/*
 * KVM holds one external vector at a time, and says after each exit whether the vCPU could take one
 * now. An interrupt that the local APIC does not let through (LINT0 masked) waits here: then KVM
 * neither says ready nor opens a window.
 */
int kvm_arch_extint(struct kvm_cpu *vcpu, const struct engine_host *host)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_run *run = vcpu->run;
	int rc = 0;

	if (atomic_load(&kvm->extint) && run->ready_for_interrupt_injection) {
		int vector = host->extint(host->ctx, &vcpu->cpu);
		struct kvm_interrupt irq = { .irq = (uint32_t)vector };

		if (vector >= 0)
			rc = kvm_ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
		run->ready_for_interrupt_injection = 0;
	}
	run->request_interrupt_window = atomic_load(&kvm->extint);
	return rc;
}

int kvm_cap_enable(struct kvm *kvm, uint32_t cap, uint64_t value)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { value } };

	return kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &enable);
}

int kvm_arch_options_set(struct kvm *kvm, const char **ret_why)
{
	const struct engine_options *o = &kvm->options;
	int can = ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_DISABLE_EXITS);
	int rc = 0;

	if (o->halt_in_guest && (can < 0 || !(can & KVM_X86_DISABLE_EXITS_HLT))) {
		*ret_why = "this KVM cannot let a halted vCPU keep its host CPU "
			   "(KVM_CAP_X86_DISABLE_EXITS)";
		return -ENOTSUP;
	}
	if (o->halt_in_guest)
		rc = kvm_cap_enable(kvm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT);
	if (!rc && o->register_exits)
		rc = kvm_cap_enable(kvm, KVM_CAP_X86_USER_SPACE_MSR, KVM_EXITS_UNKNOWN_MSR);
	if (rc)
		*ret_why = "this KVM does not take what the configuration asks for";
	return rc;
}

static int kvm_counter_set(struct kvm_cpu *vcpu)
{
	uint64_t offset = vcpu->kvm->options.counter_offset;
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL,
					.attr = KVM_VCPU_TSC_OFFSET,
					.addr = (uintptr_t)&offset };

	return vcpu->kvm->options.counter_given ? kvm_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr)
						: 0;
}

/* A register that vdevs have asked for, but leave to KVM, is KVM's own. True: there is none. */
static bool register_own(struct kvm_cpu *vcpu, bool write, uint64_t *value)
{
	const struct kvm_run *run = vcpu->run;

	return write ? kvm_arch_register_set(&vcpu->cpu, run->msr.index, *value) != 0
		     : kvm_arch_register_get(&vcpu->cpu, run->msr.index, value) != 0;
}

bool kvm_arch_exit(struct kvm_cpu *vcpu, const struct engine_host *host, enum engine_end *ret_end)
{
	struct kvm_run *run = vcpu->run;
	uint64_t value = run->msr.data;

	(void)ret_end;
	if (run->exit_reason != KVM_EXIT_X86_RDMSR && run->exit_reason != KVM_EXIT_X86_WRMSR)
		return false;
	bool write = run->exit_reason == KVM_EXIT_X86_WRMSR;
	enum engine_trap_result result =
		host->register_trap(host->ctx, &vcpu->cpu, write, run->msr.index, &value);
	bool fault = result == ENGINE_TRAP_FAULT;

	if (result == ENGINE_TRAP_PASS &&
	    (run->msr.reason != KVM_MSR_EXIT_REASON_FILTER || register_own(vcpu, write, &value)))
		fault = host->unsupported_register(host->ctx, &vcpu->cpu, write, run->msr.index,
						   &value);
	run->msr.error = fault;
	if (!write)
		run->msr.data = value;
	return true;
}

static int kvm_set_msrs(struct kvm_cpu *vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[2];
	} msrs = {
		.head.nmsrs = 2,
		.entries = { { .index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRINGS },
			     { .index = MSR_IA32_MTRR_DEF_TYPE, .data = MTRR_ENABLE_WRITE_BACK } },
	};
	int rc = kvm_ioctl(vcpu->fd, KVM_SET_MSRS, &msrs);

	return rc < 0 ? rc : rc == 2 ? 0 : -EIO;
}

/* As firmware leaves the boot processor: LINT0 takes the 8259s' interrupt, LINT1 is NMI. */
static int kvm_set_lapic(struct kvm_cpu *vcpu)
{
	enum { LVT0 = 0x350, LVT1 = 0x360 };
	const uint32_t extint = 0x700, nmi = 0x400;
	struct kvm_lapic_state lapic;
	int rc = kvm_ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic);

	if (rc)
		return rc;
	memcpy(&lapic.regs[LVT0], &extint, sizeof(extint));
	memcpy(&lapic.regs[LVT1], &nmi, sizeof(nmi));
	return kvm_ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic);
}

int kvm_arch_vcpu_init(struct kvm_cpu *vcpu, unsigned num_cpus)
{
	struct kvm_cpuid2 *cpuid = kvm_cpuid_make(vcpu->kvm, vcpu->cpu.index, num_cpus);
	int rc;

	if (!cpuid)
		return -ENOMEM;
	vcpu->cpuid = cpuid;
	rc = kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	if (!rc)
		rc = kvm_set_msrs(vcpu);
	if (!rc)
		rc = kvm_set_lapic(vcpu);
	if (!rc)
		rc = kvm_counter_set(vcpu);
	return rc;
}

static struct kvm_segment kvm_flat_segment(uint16_t selector, bool code, bool is_64)
{
	return (struct kvm_segment){
		.base = 0,
		.limit = 0xffffffff,
		.selector = selector,
		.type = code ? 11 : 3, /* accessed; execute and read, or read and write */
		.present = 1,
		.s = 1,
		.l = code && is_64,
		.db = !(code && is_64),
		.g = 1,
	};
}

static void kvm_sregs_flat(struct kvm_sregs *s, const struct engine_boot *boot)
{
	bool is_64 = boot->mode == ENGINE_MODE_LONG;
	struct kvm_segment data = kvm_flat_segment(boot->data_selector, false, is_64);

	s->cs = kvm_flat_segment(boot->code_selector, true, is_64);
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->tr = (struct kvm_segment){ .type = 11, .present = 1, .limit = 0xffff };
	s->gdt = (struct kvm_dtable){ .base = boot->gdt_base, .limit = boot->gdt_limit };
	s->idt = (struct kvm_dtable){ 0 };
	s->cr0 = CR0_PE | CR0_ET;
	if (!is_64)
		return;
	s->cr0 |= CR0_NE | CR0_WP | CR0_PG;
	s->cr3 = boot->cr3;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA;
}

int kvm_arch_vcpu_boot(struct kvm_cpu *vcpu, const struct engine_boot *boot)
{
	struct kvm_regs regs = { .rip = boot->rip,
				 .rsp = boot->rsp,
				 .rax = boot->rax,
				 .rbx = boot->rbx,
				 .rsi = boot->rsi,
				 .rflags = 2 };
	struct kvm_sregs sregs;
	int rc = kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);

	if (rc)
		return rc;
	if (boot->mode != ENGINE_MODE_REAL) {
		kvm_sregs_flat(&sregs, boot);
	} else {
		sregs.cs.base = boot->cs_base;
		sregs.cs.selector = (uint16_t)(boot->cs_base >> 4);
	}
	rc = kvm_ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
	if (!rc)
		rc = kvm_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
	return rc;
}

int kvm_arch_vcpu_regs_get(struct guest_cpu *gcp, struct engine_regs *ret_regs)
{
	struct kvm_regs k;
	int rc = kvm_ioctl(kvm_cpu_of(gcp)->fd, KVM_GET_REGS, &k);

	if (rc)
		return rc;
	*ret_regs = (struct engine_regs){ { k.rax, k.rbx, k.rcx, k.rdx, k.rsi, k.rdi, k.rsp, k.rbp,
					    k.r8, k.r9, k.r10, k.r11, k.r12, k.r13, k.r14, k.r15,
					    k.rip, k.rflags } };
	return 0;
}

int kvm_arch_vcpu_regs_set(struct guest_cpu *gcp, const struct engine_regs *regs)
{
	const uint64_t *r = regs->r;
	struct kvm_regs k = { .rax = r[0],
			      .rbx = r[1],
			      .rcx = r[2],
			      .rdx = r[3],
			      .rsi = r[4],
			      .rdi = r[5],
			      .rsp = r[6],
			      .rbp = r[7],
			      .r8 = r[8],
			      .r9 = r[9],
			      .r10 = r[10],
			      .r11 = r[11],
			      .r12 = r[12],
			      .r13 = r[13],
			      .r14 = r[14],
			      .r15 = r[15],
			      .rip = r[16],
			      .rflags = r[17] };

	return kvm_ioctl(kvm_cpu_of(gcp)->fd, KVM_SET_REGS, &k);
}

static int kvm_inject(struct kvm_cpu *vcpu, uint8_t vector)
{
	struct kvm_vcpu_events ev;
	int rc = kvm_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);

	if (rc)
		return rc;
	ev.exception.injected = 1;
	ev.exception.nr = vector;
	ev.exception.has_error_code = vector == VECTOR_GP;
	ev.exception.error_code = 0;
	return kvm_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
}

int kvm_arch_undefined(struct kvm_cpu *vcpu)
{
	return kvm_inject(vcpu, VECTOR_UD);
}

/*
 * Finish the instruction whose access has faulted, so that the program counter is the next one's:
 * the state of a vCPU may be changed only then. The rest of what it accesses reads as all ones.
 * False: it came to another exit, which stands in run, or it accesses more than is worth finishing;
 * no exception is given then.
 */
static bool kvm_complete_exit(struct kvm_cpu *vcpu)
{
	enum { MAX_FRAGMENTS = 64 };
	struct kvm_run *run = vcpu->run;

	for (unsigned i = 0; i < MAX_FRAGMENTS; i++) {
		run->immediate_exit = 1;
		int rc = ioctl(vcpu->fd, KVM_RUN, 0);

		run->immediate_exit = 0;
		if (rc < 0)
			return true;
		if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		else if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN)
			memset((uint8_t *)run + run->io.data_offset, 0xff,
			       (size_t)run->io.size * run->io.count);
		else if (run->exit_reason != KVM_EXIT_MMIO && run->exit_reason != KVM_EXIT_IO)
			return false;
	}
	return false;
}

int kvm_arch_access_fault(struct kvm_cpu *vcpu)
{
	return kvm_complete_exit(vcpu) ? kvm_inject(vcpu, VECTOR_GP) : 1;
}

struct kvm_irq_level kvm_arch_line(unsigned gsi, bool level)
{
	return (struct kvm_irq_level){ .irq = gsi, .level = level };
}

struct kvm_irq_routing_entry kvm_arch_route(const struct kvm *kvm,
					    const struct engine_msi_route *route)
{
	(void)kvm;
	return (struct kvm_irq_routing_entry){
		.gsi = route->gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = (uint32_t)route->addr,
			   .address_hi = (uint32_t)(route->addr >> 32),
			   .data = route->data },
	};
}

int kvm_arch_msi_send(const struct kvm *kvm, const struct engine_msi_route *message)
{
	struct kvm_msi m = { .address_lo = (uint32_t)message->addr,
			     .address_hi = (uint32_t)(message->addr >> 32),
			     .data = message->data };
	int rc = kvm_ioctl(kvm->vm_fd, KVM_SIGNAL_MSI, &m);

	return MIN(rc, 0);
}
