/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM: put together from a parsed configuration, run, ended.
 *
 * vm_build and what it calls run on the main thread before the guest; vm_run starts a thread for
 * each vCPU and waits on the main thread for the end. All signals must be blocked before vm_build.
 * The caller frees with vm_free, also after a failure.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "boot/acpi.h"
#include "boot/memory.h"
#include "bus/bus.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "engine/memory.h"
#include "irq/irq.h"
#include "machine/plan.h"
#include "pass/pass.h"
#include "vdev/host.h"
#include "vm/user.h"

struct platform;
struct rundir;

/* Exit status of qvm beside those of guest_termination_cause_t. */
enum vm_status {
	VM_STATUS_START_FAILED = 64, /* fatal before the guest started */
	VM_STATUS_BAD_CONFIG = 65,
	VM_STATUS_RUN_FAILED = 96 /* fatal after the guest started */
};

enum { VM_MAX_LOADS = 256 };

struct vm_cpu {
	struct vm *vm;
	struct guest_cpu *gcp;
	struct bus_reader reader;
	pthread_t thread;
	bool started;
};

struct vm {
	struct conf *conf;
	struct plan *plan;
	struct memory *mem;
	struct pci_bus *pci;
	struct vdev_host *vdevs;
	struct pass_set *passes;
	struct pass_lines pass_lines;
	int button_gsi; /* -1: nothing can tell the guest */
	guest_intr_t button_intr;
	struct platform *platform;
	struct rundir *rundir;
	struct engine *engine;
	struct bus *bus;
	struct irq *irq;
	unsigned num_cpus;
	struct vm_cpu *cpus;
	struct guest_cpu **gcps; /* of all of them */
	/* vCPU threads are held before they start, and while their state is looked at. */
	_Atomic bool hold;
	pthread_mutex_t hold_mtx;
	pthread_cond_t hold_changed;
	unsigned num_running, num_held; /* vCPU threads; num_held of them wait */
	struct user user;
	struct acpi_extra acpi_extra[ACPI_MAX_EXTRA]; /* of `acpi load`; the data is the VM's */
	size_t num_acpi_extra;
	struct strbuf tree; /* dryrun: the device tree as source; empty: the guest has none */
	time_t started;	    /* CLOCK_MONOTONIC, seconds */
	int end_fd;	    /* eventfd: somebody wants the end; -1: not made */
	_Atomic int end;    /* exit status, -1: runs */
	/* A vdev wants a dump; the end that a vdev wants comes after it. */
	_Atomic bool core_wanted;
	_Atomic int end_after_core; /* -1: none */
	bool button_pressed;
};

/* Everything that needs no KVM: plan, vdevs, PCI. Mistakes stand in conf. -ENOMEM, or -EINVAL:
 * there are mistakes. */
int vm_plan(struct conf *conf, struct vm **ret_vm) MUST_CHECK;

/* Of the interrupt machine: "kernel", or "local" for local APICs alone. */
const char *vm_irqchip_name(const struct vm *vm);

/* ACPI with its fixed registers, not hardware-reduced: the VM has an HPET, and a line for it. */
static inline bool vm_has_fixed_acpi(const struct vm *vm)
{
	return vm->vdevs->hpet.vdev && vm->button_gsi >= 0;
}

/* The whole machine as text, for dryrun. */
void vm_print(struct vm *vm, struct strbuf *out);

/*
 * Assemble and run. Returns qvm's exit status. What goes wrong before the guest starts is in conf
 * (places) or logged.
 */
int vm_run(struct vm *vm);

/* The first half of it. Errors (< 0) have been told. */
int vm_assemble(struct vm *vm) MUST_CHECK;

/* The event interrupt is level triggered, so that it waits for a guest that has not unmasked it
 * yet. */
void vm_button_line(void *ctx, bool level);

/* Ends the vdevs too. */
void vm_free(struct vm *vm);

/* The exit status of a VM that does not start. */
int vm_start_failed(const struct vm *vm);

/* The end, with this exit status; the first one counts: true if it is this one. Any thread. */
bool vm_end(struct vm *vm, int status);

/* Per architecture: the interrupt by which the guest is told of the power button; sets button_gsi.
 */
void vm_button_plan(struct vm *vm);

/* Per architecture: the files of `acpi load`. What is wrong with them is recorded. -ENOMEM, or
 * errno of nothing else. */
int vm_tables_read(struct vm *vm) MUST_CHECK;
void vm_tables_free(struct vm *vm);

/* vm/boot.c: files and tables into guest memory. Failures are recorded in conf with the place of
 * the `load`. */
int vm_load(struct vm *vm, struct engine_boot *ret_boot) MUST_CHECK;

/* For dryrun, once: builds the tables and writes them where `set acpi-dump-dir` and `fdt-dump-file`
 * say; sets `tree`. Failures are recorded in conf. */
int vm_tables_dump(struct vm *vm) MUST_CHECK;

/* The guest's ACPI devices, one call each, behind vm_tables_dump; none where the architecture has a
 * device tree. -ENOMEM.
 */
int vm_acpi_devices(struct vm *vm, void (*each)(void *ctx, const struct acpi_device *device),
		    void *ctx) MUST_CHECK;

#endif
