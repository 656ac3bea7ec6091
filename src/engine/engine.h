/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs vCPUs, as one table of operations: KVM (engine/kvm), or the bench that has no CPU and
 * whose accesses come from a test (engine/bench). Everything above speaks to this table only.
 *
 * Made and freed by src/vm (or a test). memory_set, irqchip_set, vcpu_create and boot run before
 * the guest starts, on one thread; the others on any thread. Functions return 0 or a negative
 * errno.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/strbuf.h"
#include "base/util.h"
#include "vcpu_state.h"

enum engine_space { ENGINE_MEM, ENGINE_IO, ENGINE_NUM_SPACES };

/* One access of a vCPU that nothing in the engine answered. data: len bytes, in the guest's byte
 * order. */
struct engine_access {
	enum engine_space space;
	bool write;
	unsigned len; /* 1 to 8; string accesses arrive one element at a time */
	uint64_t addr;
	void *data;
};

struct engine;
struct memory;

/* A vCPU. The public API knows the name only. */
struct guest_cpu {
	struct engine *engine;
	unsigned index;
	void *owner;	  /* of src/vm */
	void *trap;	  /* of src/vdev: the instruction that its thread is in, or NULL */
	_Atomic bool due; /* of src/vdev: it wants the thread between two instructions */
};

enum engine_end {
	ENGINE_END_STOPPED,	/* vcpu_kick after `stop` was set by the caller */
	ENGINE_END_SHUTDOWN,	/* triple fault */
	ENGINE_END_POWER_OFF,	/* the guest has switched itself off, or ... */
	ENGINE_END_RESET,	/* ... asked for a reset, by firmware calls that the engine has */
	ENGINE_END_UNSUPPORTED, /* engine_host.unsupported returned false */
	ENGINE_END_ERROR	/* the engine failed */
};

/* Registers of a vCPU beside the general ones, in the layouts of x/cpu.h. */
enum engine_state {
	ENGINE_STATE_SEGMENTS,
	ENGINE_STATE_CONTROL,
	ENGINE_STATE_DEBUG,
	ENGINE_STATE_FPU
};

enum { ENGINE_STATE_MAX = 1024 }; /* bytes of one of them */

/* What is to reach the owner: reads, or writes, of a system register; on AArch64 calls by SMC or
 * HVC of the function `index`. */
struct engine_trap {
	uint32_t index;
	bool write;
};

enum { ENGINE_MAX_TRAPS = 256 };

enum engine_trap_result { ENGINE_TRAP_PASS, ENGINE_TRAP_DONE, ENGINE_TRAP_FAULT };

/* What the engine asks of its owner; called on the vCPU's thread. */
struct engine_host {
	/* Answer the access (fill data of a read). True: the guest gets an exception in its place.
	 */
	bool (*access)(void *ctx, struct guest_cpu *gcp, struct engine_access *acc);
	/* An instruction that cannot be emulated. True: the guest gets an undefined instruction
	 * exception. */
	bool (*unsupported)(void *ctx, struct guest_cpu *gcp, const char *why);
	/*
	 * With register_exits: a system register that the engine does not know. True: the guest
	 * gets an exception; else a write is dropped and a read gives *value.
	 */
	bool (*unsupported_register)(void *ctx, struct guest_cpu *gcp, bool write, uint32_t index,
				     uint64_t *value);
	/*
	 * A register that traps_set names (or with its `unknown`: that the engine does not know).
	 * ENGINE_TRAP_PASS: as if it were not trapped.
	 */
	enum engine_trap_result (*register_trap)(void *ctx, struct guest_cpu *gcp, bool write,
						 uint32_t index, uint64_t *value);
	/*
	 * AArch64: a call of a function that traps_set names (or with its `unknown`: that the
	 * engine does not know), by SMC, else by HVC; registers are those of the call, and what
	 * they are then the guest gets. Other than ENGINE_TRAP_DONE: the call gives -1, which says
	 * that there is no such function.
	 */
	enum engine_trap_result (*call_trap)(void *ctx, struct guest_cpu *gcp, bool smc,
					     uint32_t function);
	/* Asked between entries: true ends vcpu_run with ENGINE_END_STOPPED. */
	bool (*must_stop)(void *ctx, struct guest_cpu *gcp);
	/*
	 * Asked between entries: true calls `hold`, which returns when the vCPU may go on. While it
	 * is held no instruction is half done, and its registers may be read.
	 */
	bool (*must_hold)(void *ctx, struct guest_cpu *gcp);
	void (*hold)(void *ctx, struct guest_cpu *gcp);
	/* The boot vCPU takes the interrupt that extint_set announced: its vector, or negative if
	 * there is none any more. */
	int (*extint)(void *ctx, struct guest_cpu *gcp);
	/* The guest has ended a level-triggered interrupt that a pin below num_pins had sent. */
	void (*eoi)(void *ctx, struct guest_cpu *gcp, unsigned vector);
	void *ctx;
};

enum engine_irqchip {
	ENGINE_IRQCHIP_NONE,   /* local APICs and message signalled interrupts only */
	ENGINE_IRQCHIP_KERNEL, /* ioapic and 8259s of the engine too; AArch64: the GIC */
	ENGINE_IRQCHIP_SPLIT,  /* local APICs of the engine, the other chips above it */
};

enum { ENGINE_KERNEL_PINS = 24, ENGINE_MAX_PINS = 1920 };

/* AArch64's interrupt controller; addresses are guest-physical, 0: none. */
struct engine_gic {
	unsigned version; /* 2 or 3 */
	uint64_t dist;
	uint64_t cpu;	/* version 3: the redistributors, else the CPU interface */
	uint64_t its;	/* messages by an ITS, or ... */
	uint64_t frame; /* ... by the GICv2m frame here, which is not the engine's: what is sent to
			   ENGINE_GIC_SETSPI in it raises the pin in its data */
};

enum { ENGINE_GIC_SETSPI = 0x40 };

/* An interrupt machine: kind, and what more there is. */
struct engine_machine {
	enum engine_irqchip irqchip;
	bool pit; /* kernel: the 8254 too */
	struct engine_gic gic;
	unsigned num_pins; /* of all controllers, at most ENGINE_MAX_PINS; they have the first GSIs
			    */
};

/* GSIs that are pins of the machine's controllers, or set aside for them; messages have those
 * behind them. */
static inline unsigned engine_machine_pins(const struct engine_machine *machine)
{
	return machine->irqchip == ENGINE_IRQCHIP_SPLIT
		       ? machine->num_pins
		       : MAX(machine->num_pins, (unsigned)ENGINE_KERNEL_PINS);
}

/* The general registers of a vCPU, in the order of vcpu_state.h. */
struct engine_regs {
	uint64_t r[ENGINE_NUM_REGS];
};

/* A route of the interrupt routing table: GSI to message. The pins of the kernel machine are the
 * engine's own; in the split machine the route of a pin is what it sends when it is level
 * triggered, so that the engine reports the interrupt's end (engine_host.eoi). */
struct engine_msi_route {
	uint32_t gsi;
	uint32_t data;
	uint64_t addr;
	uint32_t device; /* who sends it, for an engine whose controller tells devices apart: bus <<
			    8 | devfn */
};

/* What a VM may ask for; all zero is the usual. */
struct engine_options {
	bool halt_in_guest;  /* a halted vCPU keeps its host CPU */
	bool register_exits; /* accesses to registers that the engine does not know ask the host */
	bool counter_given;  /* else the guest's counter starts at 0 */
	uint64_t counter_offset; /* guest's counter less the host's */
};

/* Writes of len bytes to addr; with `match` those of `value` only. */
struct engine_notify {
	enum engine_space space;
	unsigned len;
	uint64_t addr;
	bool match;
	uint32_t value;
	int fd; /* an eventfd */
};

struct engine_ops {
	const char *name;
	/* Back guest-physical [gpa, gpa + len) with hva; len and both addresses are multiples of 4
	 * KiB. */
	int (*memory_set)(struct engine *e, unsigned slot, uint64_t gpa, uint64_t len, void *hva,
			  bool readonly);
	/* Sets first_msi_gsi too. *ret_why: what this engine lacks, if that is known. */
	int (*irqchip_set)(struct engine *e, const struct engine_machine *machine,
			   const char **ret_why);
	/* Before the first vCPU. -ENOTSUP: *ret_why says what this engine lacks. */
	int (*options_set)(struct engine *e, const struct engine_options *options,
			   const char **ret_why);
	int (*vcpu_create)(struct engine *e, unsigned index, unsigned num_cpus,
			   struct guest_cpu **ret_cpu);
	void (*vcpu_destroy)(struct guest_cpu *gcp); /* its vcpu_run has ended */
	int (*vcpu_boot)(struct guest_cpu *gcp, const struct engine_boot *boot);
	/* The registers of a vCPU whose vcpu_run has not begun, or on its own thread. The same of
	 * the operations below up to traps_set; each may be NULL: not built. */
	int (*vcpu_regs_get)(struct guest_cpu *gcp, struct engine_regs *ret_regs);
	int (*vcpu_regs_set)(struct guest_cpu *gcp, const struct engine_regs *regs);
	/* *ret_size: bytes of that set; at most ENGINE_STATE_MAX. */
	int (*vcpu_state_get)(struct guest_cpu *gcp, enum engine_state kind, void *ret_state,
			      size_t *ret_size);
	int (*vcpu_state_set)(struct guest_cpu *gcp, enum engine_state kind, const void *state);
	/* A system register. -ENOENT: the vCPU has none of that number, or not that value. */
	int (*vcpu_register_get)(struct guest_cpu *gcp, uint32_t index, uint64_t *ret_value);
	int (*vcpu_register_set)(struct guest_cpu *gcp, uint32_t index, uint64_t value);
	/* By its page tables as they are now. -ENOENT: nothing is mapped there. */
	int (*vcpu_translate)(struct guest_cpu *gcp, uint64_t gva, uint64_t *ret_gpa);
	/* 1: it waits for an interrupt, or has not been started by the guest. Any thread. */
	int (*vcpu_waiting)(struct guest_cpu *gcp);
	/* What the processor's identification gives for that leaf, and all below it. Before
	 * vcpu_run. */
	int (*vcpu_answer_set)(struct guest_cpu *gcp, uint32_t leaf, const uint32_t answer[4]);
	/* Trap these registers, and with `unknown` those that the engine does not know. Once,
	 * before vcpu_run. */
	int (*traps_set)(struct engine *e, const struct engine_trap *traps, unsigned num,
			 bool unknown, const char **ret_why);
	/* Run until it ends. On its own thread. *ret_why: text for people that lasts as long as the
	 * vCPU, or NULL. */
	enum engine_end (*vcpu_run)(struct guest_cpu *gcp, const struct engine_host *host,
				    const char **ret_why);
	/* Append the registers of a vCPU that is held as notes of an ELF core file. Any thread. */
	int (*vcpu_notes)(struct guest_cpu *gcp, struct strbuf *out);
	/* Make vcpu_run ask must_stop and must_hold soon. Any thread. */
	void (*vcpu_kick)(struct guest_cpu *gcp);
	/* Writes of the guest that n describes signal n->fd, without an exit where the engine can.
	 */
	int (*notify_set)(struct engine *e, const struct engine_notify *n, bool on);
	int (*line_set)(struct engine *e, unsigned gsi, bool level);
	/* Replace all message routes. */
	int (*routes_set)(struct engine *e, const struct engine_msi_route *routes, unsigned num);
	/* fd (an eventfd) raises gsi. What it counted before is delivered at once. */
	int (*irqfd_set)(struct engine *e, unsigned gsi, int fd, bool on);
	/*
	 * fd raises gsi until the guest has ended that interrupt, when resample_fd is signalled; a
	 * pin of the engine's own controllers. -EINVAL, -ENOTSUP: not with this machine. NULL: the
	 * same.
	 */
	int (*irqfd_resample_set)(struct engine *e, unsigned gsi, int fd, int resample_fd, bool on);
	/* What a VFIO group does decides how the guest's memory is cached: tell the engine of it.
	 */
	int (*vfio_group_add)(struct engine *e, int group_fd);
	/* gsi counts for nothing. */
	int (*msi_send)(struct engine *e, const struct engine_msi_route *message);
	/* Split: the output of the 8259s, at LINT0 of the boot vCPU. Any thread. */
	void (*extint_set)(struct engine *e, bool level);
	void (*destroy)(struct engine *e);
};

struct engine {
	const struct engine_ops *ops;
	const struct memory *mem; /* memory_attach sets it */
	unsigned first_msi_gsi;	  /* GSIs from here on are free for messages */
};

/* engine/kvm. Errors: -ENOENT, -EACCES: /dev/kvm; -ENOTSUP: *ret_why says what this KVM lacks. */
int engine_kvm_create(struct engine **ret_engine, const char **ret_why) MUST_CHECK;

#endif
