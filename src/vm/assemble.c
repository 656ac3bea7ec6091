/* SPDX-License-Identifier: Apache-2.0 */
/* From the plan to a VM whose boot vCPU can run: rights, claims, the engine, vdevs, memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/thread.h"
#include "vdev/implicit/platform.h"
#include "vm/rundir.h"
#include "vm/vm.h"

static int vm_cpus_create(struct vm *vm)
{
	int rc = 0;

	vm->cpus = calloc(vm->num_cpus, sizeof(*vm->cpus));
	if (!vm->cpus)
		return -ENOMEM;
	for (unsigned i = 0; i < vm->num_cpus && !rc; i++) {
		struct vm_cpu *cpu = &vm->cpus[i];

		cpu->vm = vm;
		bus_reader_add(vm->bus, &cpu->reader);
		rc = vm->engine->ops->vcpu_create(vm->engine, i, vm->num_cpus, &cpu->gcp);
		if (!rc)
			cpu->gcp->owner = cpu;
	}
	return rc;
}

/* On a thread of its own, so that nothing of it stays. */
static void *sched_try(void *arg)
{
	const struct conf_sched *sched = arg;

	return (void *)(intptr_t)thread_schedule(sched->prio, sched->policy);
}

/* A real-time priority that the host does not give would be found out when it is too late. */
static int sched_check(struct vm *vm, const struct conf_sched *sched)
{
	pthread_t thread;
	void *rc;

	if (!sched->given || (sched->policy != 'r' && sched->policy != 'f'))
		return 0;
	if (pthread_create(&thread, NULL, sched_try, (void *)sched))
		return -EAGAIN;
	pthread_join(thread, &rc);
	if (!rc)
		return 0;
	conf_error(vm->conf, &sched->pos, "no right to the real-time priority %u%c: %s",
		   sched->prio, sched->policy, strerror(-(int)(intptr_t)rc));
	conf_expected(vm->conf, "qvm as root or with CAP_SYS_NICE, a higher limit (ulimit -r), or "
				"a priority without the letter");
	return -EPERM;
}

static void *cpus_try(void *arg)
{
	const struct conf_cpu *cpu = arg;

	return (void *)(intptr_t)thread_run_on(cpu->host_cpus, cpu->num_host_cpus);
}

static int cpus_check(struct vm *vm, const struct conf_cpu *cpu)
{
	pthread_t thread;
	void *rc;

	if (!cpu->num_host_cpus)
		return 0;
	if (pthread_create(&thread, NULL, cpus_try, (void *)cpu))
		return -EAGAIN;
	pthread_join(thread, &rc);
	if (!rc)
		return 0;
	conf_error(vm->conf, &cpu->runmask_pos, "none of these CPUs is there for qvm: %s",
		   strerror(-(int)(intptr_t)rc));
	conf_expected(vm->conf, "numbers of online CPUs, counted from 0");
	return -EINVAL;
}

static int vm_sched_check(struct vm *vm)
{
	const struct conf *conf = vm->conf;
	int rc = 0;

	for (unsigned i = 0; i < conf->num_cpus && !rc; i++) {
		rc = sched_check(vm, &conf->cpus[i].sched);
		if (!rc)
			rc = cpus_check(vm, &conf->cpus[i]);
	}
	for (unsigned i = 0; i < conf->num_vdevs && !rc; i++)
		rc = sched_check(vm, &conf->vdevs[i].sched);
	return rc;
}

static int vm_claim(struct vm *vm)
{
	const char *path = NULL;

	if (!vm->conf->system.text)
		return 0;
	int rc = rundir_claim(vm->conf->system.text, &vm->rundir, &path);

	if (rc == -EBUSY)
		conf_error(vm->conf, &vm->conf->system.pos,
			   "a VM called '%s' is running (%s is locked)", vm->conf->system.text,
			   path);
	else if (rc)
		conf_error(vm->conf, &vm->conf->system.pos, "the run directory %s: %s", path,
			   strerror(-rc));
	return rc;
}

static int vm_engine_create(struct vm *vm)
{
	const char *why = NULL;
	int rc = engine_kvm_create(&vm->engine, &why);

	if (rc == -ENOENT)
		why = "there is no /dev/kvm: load kvm_amd or kvm_intel, or switch on "
		      "virtualization in the firmware";
	else if (rc == -EACCES)
		why = "no right to open /dev/kvm: be root or a member of its group";
	if (rc)
		log_write(LOG_SEV_FATAL, "/dev/kvm: %s", why ? why : strerror(-rc));
	return rc;
}

static int vm_irqchip_set(struct vm *vm)
{
	const char *why = NULL;
	int rc = vm->engine->ops->irqchip_set(vm->engine, &vm->vdevs->machine.engine, &why);

	if (rc)
		log_write(LOG_SEV_FATAL, "KVM does not make the interrupt machine: %s",
			  why ? why : strerror(-rc));
	return rc;
}

/* `set counter-offset` and `exit-on-halt`, `unsupported register`. */
static int vm_options_set(struct vm *vm)
{
	const struct conf_set *counter = conf_set_find(vm->conf, "counter-offset", -1);
	struct engine_options options = {
		.halt_in_guest = !conf_set_bool(vm->conf, "exit-on-halt", -1),
		/* To give an exception is what the engine does by itself. */
		.register_exits = vm->conf->unsupported[CONF_UNSUP_REGISTER] != CONF_ACTION_FAIL,
	};
	const char *why = NULL;
	uint64_t offset;
	int rc;

	if (counter && !conf_set_value(counter, &offset) && offset != UINT64_MAX) {
		options.counter_given = true;
		options.counter_offset = offset;
	}
	rc = vm->engine->ops->options_set(vm->engine, &options, &why);
	if (rc)
		log_write(LOG_SEV_FATAL, "KVM: %s: %s", why ? why : "options", strerror(-rc));
	return rc;
}

/* One step of the assembly, with what to say when it fails and has recorded no error. */
#define STEP(call, what)                                                              \
	do {                                                                          \
		int step_rc = (call);                                                 \
                                                                                      \
		if (step_rc && !vm->conf->num_errors)                                 \
			log_write(LOG_SEV_FATAL, "%s: %s", what, strerror(-step_rc)); \
		if (step_rc)                                                          \
			return step_rc;                                               \
	} while (0)

/* What vdevs take over of the processor. */
static int vm_instructions(struct vm *vm)
{
	const char *why = NULL;

	vm->gcps = calloc(vm->num_cpus, sizeof(*vm->gcps));
	if (!vm->gcps)
		return -ENOMEM;
	for (unsigned i = 0; i < vm->num_cpus; i++)
		vm->gcps[i] = vm->cpus[i].gcp;
	STEP(vdev_host_instructions(vm->vdevs, vm->gcps, vm->num_cpus, &why), why);
	return 0;
}

int vm_assemble(struct vm *vm)
{
	const char *why = "the vdevs";
	struct engine_boot boot = { 0 };
	int rc = vm_sched_check(vm);

	if (!rc)
		rc = vm_claim(vm);
	if (rc)
		return rc;
	rc = pass_claim(vm->passes);
	if (rc)
		return rc;
	rc = vm_engine_create(vm);
	if (rc)
		return rc;
	rc = vm_options_set(vm);
	if (rc)
		return rc;
	STEP(memory_attach(vm->mem, vm->engine), "KVM does not take the guest's memory");
	rc = vm_irqchip_set(vm);
	if (rc)
		return rc;
	STEP(bus_create(&vm->bus), "the bus");
	STEP(vm_cpus_create(vm), "KVM does not make the vCPUs");
	STEP(irq_create(vm->engine, &vm->irq), "the interrupts");
	STEP(platform_create(vm->bus, vm_has_fixed_acpi(vm), vm_button_line, vm, &vm->platform),
	     "the platform");
	STEP(vdev_host_attach(vm->vdevs, vm->engine, vm->bus, vm->irq, &why), why);
	STEP(pass_attach(vm->passes, vm->engine, vm->mem, vm->bus, vm->irq, &why), why);
	rc = vdev_host_configured(vm->vdevs);
	if (rc)
		return rc;
	rc = vm_instructions(vm);
	if (rc)
		return rc;
	rc = vdev_host_gen_acpi(vm->vdevs);
	if (rc)
		return rc;
	rc = vm_load(vm, &boot);
	if (rc)
		return rc;
	STEP(vm->engine->ops->vcpu_boot(vm->cpus[0].gcp, &boot),
	     "KVM does not take the boot vCPU's registers");
	STEP(vdev_host_starting(vm->vdevs, vm->cpus[0].gcp), "the vdevs' threads do not start");
	STEP(pass_start(vm->passes, &why), why);
	return 0;
}
