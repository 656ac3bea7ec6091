/* SPDX-License-Identifier: Apache-2.0 */
/* A VM from its first instruction to its end. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "vdev/implicit/platform.h"
#include "vdev/instr.h"
#include "vm/dump.h"
#include "vm/rundir.h"
#include "vm/vm.h"

/* The guest touched what is not there: the `unsupported reference` rule. */
static bool vm_unsupported_reference(struct vm *vm, const struct bus_access *acc)
{
	enum conf_action action = vm->conf->unsupported[CONF_UNSUP_REFERENCE];

	if (!acc->write)
		memset(acc->data, 0xff, acc->len);
	if (action == CONF_ACTION_ABORT && vm_end(vm, GTC_UNSUPPORTED)) {
		log_write(LOG_SEV_FATAL,
			  "vCPU %u: %s of %u bytes at %s 0x%llx: nothing is there "
			  "(unsupported reference abort)",
			  acc->gcp->index, acc->write ? "write" : "read", acc->len,
			  acc->space == ENGINE_IO ? "port" : "address",
			  (unsigned long long)acc->addr);
	}
	return action == CONF_ACTION_FAIL;
}

static bool vm_access(void *ctx, struct guest_cpu *gcp, struct engine_access *acc)
{
	struct vm *vm = ctx;
	struct vm_cpu *cpu = gcp->owner;
	struct bus_access b = {
		.space = acc->space,
		.write = acc->write,
		.len = acc->len,
		.addr = acc->addr,
		.data = acc->data,
		.gcp = gcp,
	};

	if (!acc->write)
		memset(acc->data, 0, acc->len);
	switch (bus_dispatch(vm->bus, &cpu->reader, &b)) {
	case BUS_OK:
	case BUS_NO_ADVANCE:
		return false;
	case BUS_NOT_FOUND:
		return vm_unsupported_reference(vm, &b);
	case BUS_FAULT:
		return true;
	case BUS_ERROR:
	case BUS_TERMINATE:
		vm_end(vm, GTC_VDEV_ERROR);
		return false;
	}
	return false;
}

static bool vm_unsupported_instruction(void *ctx, struct guest_cpu *gcp, const char *why)
{
	struct vm *vm = ctx;

	bool abort = vm->conf->unsupported[CONF_UNSUP_INSTRUCTION] == CONF_ACTION_ABORT;

	log_limited(abort ? LOG_SEV_FATAL : LOG_SEV_WARN, "vCPU %u: %s%s", gcp->index, why,
		    abort ? " (unsupported instruction abort)" : "");
	return !abort;
}

static uint64_t vm_memory_size(const struct vm *vm)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < vm->mem->num_regions; i++)
		size += vm->mem->regions[i].len;
	return size;
}

static bool vm_unsupported_register(void *ctx, struct guest_cpu *gcp, bool write, uint32_t index,
				    uint64_t *value)
{
	struct vm *vm = ctx;

	if (!write)
		*value = 0;
	if (vm->conf->unsupported[CONF_UNSUP_REGISTER] == CONF_ACTION_ABORT &&
	    vm_end(vm, GTC_UNSUPPORTED))
		log_write(LOG_SEV_FATAL,
			  "vCPU %u: %s of register 0x%x, which is not emulated (unsupported "
			  "register abort)",
			  gcp->index, write ? "write" : "read", index);
	return vm->conf->unsupported[CONF_UNSUP_REGISTER] == CONF_ACTION_FAIL;
}

static enum engine_trap_result trap_result(struct vm *vm, enum bus_result result)
{
	switch (result) {
	case BUS_OK:
	case BUS_NO_ADVANCE:
		return ENGINE_TRAP_DONE;
	case BUS_FAULT:
		return ENGINE_TRAP_FAULT;
	case BUS_ERROR:
	case BUS_TERMINATE:
		vm_end(vm, GTC_VDEV_ERROR);
		return ENGINE_TRAP_DONE;
	case BUS_NOT_FOUND:
		break;
	}
	return ENGINE_TRAP_PASS;
}

static enum engine_trap_result vm_register_trap(void *ctx, struct guest_cpu *gcp, bool write,
						uint32_t index, uint64_t *value)
{
	struct vm *vm = ctx;

	return trap_result(vm, instr_register_access(vm->vdevs, gcp, write, index, value));
}

static enum engine_trap_result vm_call_trap(void *ctx, struct guest_cpu *gcp, bool smc,
					    uint32_t function)
{
	struct vm *vm = ctx;

	return trap_result(vm, instr_call(vm->vdevs, gcp, smc, function));
}

static bool vm_must_stop(void *ctx, struct guest_cpu *gcp)
{
	struct vm *vm = ctx;

	(void)gcp;
	return atomic_load(&vm->end) >= 0;
}

static bool vm_must_hold(void *ctx, struct guest_cpu *gcp)
{
	struct vm *vm = ctx;

	return atomic_load(&vm->hold) || atomic_load(&gcp->due);
}

static void vm_hold_here(void *ctx, struct guest_cpu *gcp)
{
	struct vm *vm = ctx;

	if (atomic_load(&gcp->due))
		vdev_host_cpu_work(vm->vdevs, gcp);
	pthread_mutex_lock(&vm->hold_mtx);
	vm->num_held++;
	pthread_cond_broadcast(&vm->hold_changed);
	while (atomic_load(&vm->hold))
		pthread_cond_wait(&vm->hold_changed, &vm->hold_mtx);
	vm->num_held--;
	pthread_mutex_unlock(&vm->hold_mtx);
}

static void vm_release(struct vm *vm)
{
	pthread_mutex_lock(&vm->hold_mtx);
	atomic_store(&vm->hold, false);
	pthread_cond_broadcast(&vm->hold_changed);
	pthread_mutex_unlock(&vm->hold_mtx);
}

/* Wait until every vCPU thread that has not ended is held. -ETIMEDOUT: one does not come back from
 * a vdev. */
static int vm_hold_wait(struct vm *vm)
{
	enum { LIMIT_S = 10 };
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LIMIT_S;
	pthread_mutex_lock(&vm->hold_mtx);
	while (vm->num_held < vm->num_running && !rc)
		rc = pthread_cond_timedwait(&vm->hold_changed, &vm->hold_mtx, &until);
	pthread_mutex_unlock(&vm->hold_mtx);
	return -rc;
}

static int vm_hold_all(struct vm *vm)
{
	atomic_store(&vm->hold, true);
	for (unsigned i = 0; i < vm->num_cpus; i++)
		if (vm->cpus[i].started)
			vm->engine->ops->vcpu_kick(vm->cpus[i].gcp);
	return vm_hold_wait(vm);
}

static int vm_extint(void *ctx, struct guest_cpu *gcp)
{
	const struct vm *vm = ctx;

	(void)gcp;
	return vdev_host_extint(vm->vdevs);
}

static void vm_eoi(void *ctx, struct guest_cpu *gcp, unsigned vector)
{
	const struct vm *vm = ctx;

	(void)gcp;
	vdev_host_eoi(vm->vdevs, vector);
}

/* `cpu sched` and `runmask`, on the vCPU's thread. The right to real-time priorities and the CPUs
 * have been looked at. */
static void vm_cpu_schedule(const struct vm_cpu *cpu)
{
	const struct conf *conf = cpu->vm->conf;
	unsigned i = cpu->gcp->index;
	int rc;

	if (i >= conf->num_cpus)
		return;
	const struct conf_cpu *c = &conf->cpus[i];

	rc = c->num_host_cpus ? thread_run_on(c->host_cpus, c->num_host_cpus) : 0;
	if (rc)
		log_write(LOG_SEV_WARN, "vCPU %u cannot be kept on its host CPUs: %s", i,
			  strerror(-rc));
	rc = c->sched.given ? thread_schedule(c->sched.prio, c->sched.policy) : 0;
	if (rc)
		log_write(LOG_SEV_WARN, "vCPU %u: no right to priority %u: %s", i, c->sched.prio,
			  strerror(-rc));
}

static void *vm_cpu_main(void *arg)
{
	struct vm_cpu *cpu = arg;
	struct vm *vm = cpu->vm;
	const struct engine_host host = {
		.access = vm_access,
		.unsupported = vm_unsupported_instruction,
		.unsupported_register = vm_unsupported_register,
		.register_trap = vm_register_trap,
		.call_trap = vm_call_trap,
		.must_stop = vm_must_stop,
		.must_hold = vm_must_hold,
		.hold = vm_hold_here,
		.extint = vm_extint,
		.eoi = vm_eoi,
		.ctx = vm,
	};
	const char *why = NULL;
	char name[16];
	sigset_t kick;

	snprintf(name, sizeof(name), "vcpu %u", cpu->gcp->index);
	pthread_setname_np(pthread_self(), name);
	vm_cpu_schedule(cpu);
	sigemptyset(&kick);
	sigaddset(&kick, SIGRTMIN);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	vm_hold_here(vm, cpu->gcp);
	switch (vm->engine->ops->vcpu_run(cpu->gcp, &host, &why)) {
	case ENGINE_END_STOPPED:
		break;
	case ENGINE_END_SHUTDOWN:
		log_write(LOG_SEV_INFO, "vCPU %u: triple fault, which resets a PC: the VM ends",
			  cpu->gcp->index);
		vm_end(vm, GTC_NORMAL_EXIT);
		break;
	case ENGINE_END_POWER_OFF:
	case ENGINE_END_RESET: /* whoever started the VM starts it anew, or not */
		vm_end(vm, GTC_NORMAL_EXIT);
		break;
	case ENGINE_END_UNSUPPORTED:
		vm_end(vm, GTC_UNSUPPORTED);
		break;
	case ENGINE_END_ERROR:
		log_write(LOG_SEV_FATAL, "vCPU %u: %s", cpu->gcp->index,
			  why ? why : "the engine failed");
		vm_end(vm, VM_STATUS_RUN_FAILED);
		break;
	}
	pthread_mutex_lock(&vm->hold_mtx);
	vm->num_running--;
	pthread_cond_broadcast(&vm->hold_changed);
	pthread_mutex_unlock(&vm->hold_mtx);
	return NULL;
}

/* SIGTERM, SIGINT and SIGHUP are the power button; a second one, or a guest that cannot be told,
 * ends the VM. */
static void vm_button(struct vm *vm)
{
	bool told = !vm->button_pressed && vdev_host_button(vm->vdevs);

	if ((vm->button_gsi < 0 && !told) || vm->button_pressed) {
		log_write(LOG_SEV_INFO, "the VM ends without telling the guest");
		vm_end(vm, GTC_POWER_CUT);
		return;
	}
	vm->button_pressed = true;
	log_write(LOG_SEV_INFO,
		  "power button: the guest is asked to shut down; once more ends the VM");
	platform_button(vm->platform);
}

void vm_button_line(void *ctx, bool level)
{
	struct vm *vm = ctx;

	if (vm->button_gsi >= 0)
		(void)guest_intr_signal(&vm->button_intr, level ? GIS_ON : GIS_OFF);
}

/* Those that ask for the end come first. */
static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
enum { NUM_ENDS = 4 };

/* An end that was ignored when the VM was started, as by nohup, is left alone. It is pending all
 * the same when it comes, since all signals are blocked. */
static bool vm_takes(int signo)
{
	struct sigaction act;

	return sigaction(signo, NULL, &act) == 0 && act.sa_handler != SIG_IGN;
}

/* A dump is given up for the end of the VM, whoever wants that. */
static bool vm_wants_end(void *ctx)
{
	struct vm *vm = ctx;
	sigset_t pending;

	if (atomic_load(&vm->end) >= 0)
		return true;
	sigpending(&pending);
	for (unsigned i = 0; i < NUM_ENDS; i++)
		if (sigismember(&pending, signals[i]) && vm_takes(signals[i]))
			return true;
	return false;
}

static const char *dump_failure(int rc)
{
	switch (rc) {
	case -ECANCELED:
		return "the VM is to end";
	case -EPIPE:
		return "the command has failed";
	case -ETIMEDOUT:
		return "the command takes nothing";
	case -EEXIST:
		return "all names of this second are taken";
	default:
		return strerror(-rc);
	}
}

/* SIGUSR2: the guest stands still meanwhile, and goes on. */
static void vm_dump(struct vm *vm)
{
	struct strbuf notes = { 0 };
	const struct dump_job job = {
		.where = vm->conf->dump.text,
		.prefix = vm->conf->system.text ? vm->conf->system.text : "qvm-guest",
		.now = time(NULL),
		.mem = vm->mem,
		.notes = &notes,
		.must_end = vm_wants_end,
		.ctx = vm,
	};
	char *path = NULL;
	int rc;

	if (!job.where) {
		log_write(LOG_SEV_WARN, "SIGUSR2 dumps the guest if the configuration says where: "
					"`dump DIRECTORY`");
		return;
	}
	if (vm_hold_all(vm)) {
		vm_release(vm);
		log_write(LOG_SEV_ERROR, "no dump: a vCPU does not come back from a vdev");
		return;
	}
	rc = 0;
	for (unsigned i = 0; i < vm->num_cpus && !rc; i++)
		rc = vm->engine->ops->vcpu_notes(vm->cpus[i].gcp, &notes);
	if (!rc) {
		struct strbuf report = { 0 };

		vdev_host_report(vm->vdevs, &report);
		dump_report_note(&notes, &report);
		strbuf_free(&report);
	}
	if (!rc && notes.failed)
		rc = -ENOMEM;
	if (!rc)
		rc = dump_write(&job, &path);
	vm_release(vm);
	if (rc)
		log_write(LOG_SEV_ERROR, "no dump to '%s': %s", path ? path : job.where,
			  dump_failure(rc));
	else
		log_write(LOG_SEV_INFO, "the guest is dumped to '%s'", path);
	free(path);
	strbuf_free(&notes);
}

/* The end that a vdev wanted meanwhile. See vm_terminate. */
static void vm_core_done(struct vm *vm)
{
	if (!atomic_exchange(&vm->core_wanted, false))
		return;
	int cause = atomic_load(&vm->end_after_core);

	if (cause >= 0)
		vm_end(vm, cause);
}

/* SIGUSR1: the VM and each vdev, to the log. */
static void vm_report(struct vm *vm)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	log_write(LOG_SEV_INFO, "status: %u vCPUs, %llu KiB of memory in %u pieces, up %lld s",
		  vm->num_cpus, (unsigned long long)(vm_memory_size(vm) >> 10),
		  vm->mem->num_regions, (long long)(now.tv_sec - vm->started));
	vdev_host_status(vm->vdevs);
}

static void vm_signal(struct vm *vm, int signal_fd)
{
	struct signalfd_siginfo si;

	if (read(signal_fd, &si, sizeof(si)) != sizeof(si))
		return;
	switch (si.ssi_signo) {
	case SIGTERM:
	case SIGINT:
	case SIGHUP:
		vm_button(vm);
		break;
	case SIGQUIT:
		vm_end(vm, GTC_POWER_CUT);
		break;
	case SIGUSR1:
		vm_report(vm);
		break;
	case SIGUSR2:
		vm_dump(vm);
		vm_core_done(vm);
		break;
	default:
		break;
	}
}

static void vm_wait(struct vm *vm)
{
	sigset_t taken;

	sigemptyset(&taken);
	for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
		if (i >= NUM_ENDS || vm_takes(signals[i]))
			sigaddset(&taken, signals[i]);
	int signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	struct pollfd fds[] = { { .fd = vm->end_fd, .events = POLLIN },
				{ .fd = signal_fd, .events = POLLIN } };

	while (atomic_load(&vm->end) < 0) {
		if (poll(fds, ARRAY_LEN(fds), -1) > 0 && (fds[1].revents & POLLIN))
			vm_signal(vm, signal_fd);
	}
	if (signal_fd >= 0)
		close(signal_fd);
}

static void kicked(int signo)
{
	(void)signo;
}

static int vm_cpus_start(struct vm *vm)
{
	struct sigaction kick = { .sa_handler = kicked };

	sigaction(SIGRTMIN, &kick, NULL);
	/* The others wait in KVM for the boot vCPU to start them. */
	for (unsigned i = vm->num_cpus; i-- > 0;) {
		int rc = pthread_create(&vm->cpus[i].thread, NULL, vm_cpu_main, &vm->cpus[i]);

		if (rc) {
			log_write(LOG_SEV_FATAL, "cannot make the thread of vCPU %u: %s", i,
				  strerror(rc));
			return -rc;
		}
		vm->cpus[i].started = true;
		pthread_mutex_lock(&vm->hold_mtx);
		vm->num_running++;
		pthread_mutex_unlock(&vm->hold_mtx);
	}
	return 0;
}

/*
 * The vCPU threads have their priorities, which a user may have no right to, and wait; every file
 * is open: from here on the VM is `user`'s.
 */
static int vm_go(struct vm *vm)
{
	struct timespec now;
	int rc = vm_hold_wait(vm);

	if (rc) {
		log_write(LOG_SEV_FATAL, "the vCPUs' threads do not come up: %s", strerror(-rc));
		return rc;
	}
	if (vm->rundir && vm->user.given)
		rc = rundir_give(vm->rundir, vm->user.uid, vm->user.gid);
	if (!rc)
		rc = user_become(&vm->user);
	if (rc) {
		conf_error(vm->conf, &vm->conf->user.pos, "the VM cannot become user '%s': %s",
			   vm->conf->user.text ? vm->conf->user.text : "",
			   rc == -EPERM ? "only root can do that" : strerror(-rc));
		return rc;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	vm->started = now.tv_sec;
	vm_release(vm);
	return 0;
}

static void vm_cpus_stop(struct vm *vm)
{
	enum { LIMIT_S = 10 };
	struct timespec until;

	for (unsigned i = 0; i < vm->num_cpus; i++)
		if (vm->cpus[i].started)
			vm->engine->ops->vcpu_kick(vm->cpus[i].gcp);
	vm_release(vm);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LIMIT_S;
	for (unsigned i = 0; i < vm->num_cpus; i++) {
		if (!vm->cpus[i].started)
			continue;
		if (pthread_timedjoin_np(vm->cpus[i].thread, NULL, &until)) {
			/* Nothing can be freed while it runs; the kernel takes back what the
			 * process holds. */
			log_write(LOG_SEV_ERROR,
				  "vCPU %u does not come back from a vdev; the process ends "
				  "without it",
				  i);
			_exit(atomic_load(&vm->end));
		}
		vm->cpus[i].started = false;
	}
}

int vm_start_failed(const struct vm *vm)
{
	return vm->vdevs->bad_configuration ? VM_STATUS_BAD_CONFIG : VM_STATUS_START_FAILED;
}

int vm_run(struct vm *vm)
{
	int rc = vm_assemble(vm);

	if (rc)
		return vm_start_failed(vm);
	if (vm_cpus_start(vm) || vm_go(vm))
		vm_end(vm, VM_STATUS_START_FAILED);
	vm_wait(vm);
	vm_cpus_stop(vm);
	return atomic_load(&vm->end);
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	if (vm->vdevs)
		vdev_host_terminate(vm->vdevs);
	pass_quiesce(vm->passes);
	pci_bus_destroy(vm->pci);
	vdev_host_free(vm->vdevs);
	for (unsigned i = 0; vm->cpus && i < vm->num_cpus; i++) {
		if (vm->cpus[i].vm)
			bus_reader_remove(vm->bus, &vm->cpus[i].reader);
		if (vm->cpus[i].gcp)
			vm->engine->ops->vcpu_destroy(vm->cpus[i].gcp);
	}
	free(vm->cpus);
	free(vm->gcps);
	user_free(&vm->user);
	vm_tables_free(vm);
	strbuf_free(&vm->tree);
	pthread_cond_destroy(&vm->hold_changed);
	pthread_mutex_destroy(&vm->hold_mtx);
	platform_free(vm->platform);
	irq_destroy(vm->irq);
	bus_destroy(vm->bus);
	if (vm->engine)
		vm->engine->ops->destroy(vm->engine);
	pass_free(vm->passes);
	memory_destroy(vm->mem);
	rundir_release(vm->rundir);
	plan_free(vm->plan);
	if (vm->end_fd >= 0)
		close(vm->end_fd);
	free(vm);
}
