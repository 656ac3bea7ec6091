/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the KVM engine: what its common and its per-architecture files share. Nobody else
 * includes this.
 */
#ifndef ENGINE_KVM_KVM_H
#define ENGINE_KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <sys/types.h>
#include "engine/engine.h"

struct kvm {
	struct engine engine;
	int dev_fd, vm_fd, vfio_fd;
	int run_size; /* bytes of struct kvm_run and what follows it */
	struct engine_machine machine;
	struct kvm_cpu *boot_cpu; /* takes the 8259s' interrupt; NULL: not made */
	_Atomic bool extint;	  /* the 8259s' output */
	struct engine_options options;
	void *arch; /* the architecture's own; kvm_arch_vm_free */
};

struct kvm_cpu {
	struct guest_cpu cpu;
	struct kvm *kvm;
	int fd;
	struct kvm_run *run;
	pthread_t thread; /* valid while vcpu_run runs */
	_Atomic bool running;
	struct kvm_cpuid2 *cpuid; /* x86-64: its table; kept while it may change */
	int stats_fd;		  /* its statistics, -1: not open */
	off_t waiting_at;	  /* where they say that it waits */
	char why[96];		  /* what vcpu_run returned in *ret_why */
};

static inline struct kvm *kvm_of(struct engine *e)
{
	return container_of(e, struct kvm, engine);
}

static inline struct kvm_cpu *kvm_cpu_of(struct guest_cpu *gcp)
{
	return container_of(gcp, struct kvm_cpu, cpu);
}

/* ioctl that returns its result or -errno. */
int kvm_ioctl(int fd, unsigned long request, void *arg);

int kvm_cap_enable(struct kvm *kvm, uint32_t cap, uint64_t value);

/* x86-64: accesses to registers that KVM does not know, or with values that it does not take. */
#define KVM_EXITS_UNKNOWN_MSR (KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL)

/* Per architecture. */
int kvm_arch_vm_init(struct kvm *kvm, const char **ret_why);
void kvm_arch_vm_free(struct kvm *kvm);
int kvm_arch_irqchip_set(struct kvm *kvm, const struct engine_machine *machine,
			 const char **ret_why);
unsigned kvm_arch_pin_routes(const struct kvm *kvm, struct kvm_irq_routing_entry *entries);
enum { KVM_ARCH_MAX_PIN_ROUTES = 1024 };
/* Before each entry of the boot vCPU in the split machine: take what the 8259s have for it, if it
 * can take an interrupt now, else have KVM say when it can. */
int kvm_arch_extint(struct kvm_cpu *vcpu, const struct engine_host *host);
int kvm_arch_vcpu_init(struct kvm_cpu *vcpu, unsigned num_cpus);
int kvm_arch_vcpu_boot(struct kvm_cpu *vcpu, const struct engine_boot *boot);
int kvm_arch_vcpu_regs_get(struct guest_cpu *gcp, struct engine_regs *ret_regs);
int kvm_arch_vcpu_regs_set(struct guest_cpu *gcp, const struct engine_regs *regs);
int kvm_arch_state_get(struct guest_cpu *gcp, enum engine_state kind, void *ret_state,
		       size_t *ret_size);
int kvm_arch_state_set(struct guest_cpu *gcp, enum engine_state kind, const void *state);
int kvm_arch_register_get(struct guest_cpu *gcp, uint32_t index, uint64_t *ret_value);
int kvm_arch_register_set(struct guest_cpu *gcp, uint32_t index, uint64_t value);
int kvm_arch_translate(struct guest_cpu *gcp, uint64_t gva, uint64_t *ret_gpa);
int kvm_arch_answer_set(struct guest_cpu *gcp, uint32_t leaf, const uint32_t answer[4]);
int kvm_arch_traps_set(struct engine *e, const struct engine_trap *traps, unsigned num,
		       bool unknown, const char **ret_why);
int kvm_arch_options_set(struct kvm *kvm, const char **ret_why);
/* An exit that only this architecture has. False: it is not known, or *ret_end says why that was
 * the end. */
bool kvm_arch_exit(struct kvm_cpu *vcpu, const struct engine_host *host, enum engine_end *ret_end);
int kvm_arch_vcpu_notes(struct kvm_cpu *vcpu, struct strbuf *out);
/* The guest gets the exception of an instruction that is not there; in place of an emulation. */
int kvm_arch_undefined(struct kvm_cpu *vcpu);
/* The access whose exit stands in run has faulted: the guest gets an exception. 1: the instruction
 * came to another exit instead, which stands in run. */
int kvm_arch_access_fault(struct kvm_cpu *vcpu);
/* What KVM calls the level of a line. */
struct kvm_irq_level kvm_arch_line(unsigned gsi, bool level);
/* The route of a message, as KVM has it. */
struct kvm_irq_routing_entry kvm_arch_route(const struct kvm *kvm,
					    const struct engine_msi_route *route);
/* Send a message. 0 or a negative errno. */
int kvm_arch_msi_send(const struct kvm *kvm, const struct engine_msi_route *message);
/* What KVM must have, beside what all architectures need. */
struct kvm_requirement {
	int cap;
	const char *why;
};
extern const struct kvm_requirement kvm_arch_required[];
extern const unsigned kvm_arch_num_required;

/* Append a note of an ELF core file. */
void kvm_note_add(struct strbuf *out, const char *name, uint32_t type, const void *data,
		  size_t len);

/* x86-64: the host's processor has VMX or SVM. */
bool kvm_cpuid_host_virtualizes(void);
/* The CPUID table of vCPU index. Allocated; NULL if out of memory. */
struct kvm_cpuid2 *kvm_cpuid_make(const struct kvm *kvm, unsigned index, unsigned num_cpus);

enum engine_end kvm_vcpu_run(struct guest_cpu *gcp, const struct engine_host *host,
			     const char **ret_why);
void kvm_vcpu_kick(struct guest_cpu *gcp);

#endif
