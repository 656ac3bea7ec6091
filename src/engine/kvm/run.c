/* SPDX-License-Identifier: Apache-2.0 */
/* The run loop of a vCPU: entering the guest, and what each exit asks for. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "engine/kvm/kvm.h"

/*
 * A string instruction arrives as `count` elements; each is one access. True: one of them faulted.
 * What stands in run is copied first: it changes when the vCPU goes on.
 */
static bool kvm_exit_io(struct kvm_cpu *vcpu, const struct engine_host *host)
{
	const struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)vcpu->run + run->io.data_offset;
	const uint32_t count = run->io.count, size = run->io.size;
	const bool write = run->io.direction == KVM_EXIT_IO_OUT;
	const uint16_t port = run->io.port;

	for (uint32_t i = 0; i < count && !host->must_stop(host->ctx, &vcpu->cpu);
	     i++, data += size) {
		struct engine_access acc = {
			.space = ENGINE_IO, .write = write, .len = size, .addr = port, .data = data
		};

		if (!host->access(host->ctx, &vcpu->cpu, &acc))
			continue;
		if (!write)
			memset(data, 0xff, (size_t)size * (count - i));
		return true;
	}
	return false;
}

static bool kvm_exit_mmio(struct kvm_cpu *vcpu, const struct engine_host *host)
{
	struct kvm_run *run = vcpu->run;
	struct engine_access acc = {
		.space = ENGINE_MEM,
		.write = run->mmio.is_write,
		.len = run->mmio.len,
		.addr = run->mmio.phys_addr,
		.data = run->mmio.data,
	};

	return host->access(host->ctx, &vcpu->cpu, &acc);
}

/*
 * Finish an access that was answered, as KVM_RUN does first of all, then let the owner hold the
 * vCPU. False: the instruction came to another exit, which stands in run.
 */
static bool kvm_hold(struct kvm_cpu *vcpu, const struct engine_host *host)
{
	vcpu->run->immediate_exit = 1;
	if (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
		return false;
	host->hold(host->ctx, &vcpu->cpu);
	/* The guest's clock has gone on: it is told that this was not its fault, if it wants to
	 * know. */
	(void)!ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
	return true;
}

static const char *kvm_why(struct kvm_cpu *vcpu, const char *what, unsigned long long number)
{
	snprintf(vcpu->why, sizeof(vcpu->why), "%s %llu", what, number);
	return vcpu->why;
}

/* An internal error is the guest's doing as far as it is known to be reachable by one. */
static bool kvm_exit_internal(struct kvm_cpu *vcpu, const struct engine_host *host,
			      enum engine_end *ret_end, const char **ret_why)
{
	switch (vcpu->run->internal.suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		if (host->unsupported(host->ctx, &vcpu->cpu, "KVM cannot emulate an instruction") &&
		    kvm_arch_undefined(vcpu) == 0)
			return true;
		*ret_end = ENGINE_END_UNSUPPORTED;
		return false;
	case KVM_INTERNAL_ERROR_SIMUL_EX:
	case KVM_INTERNAL_ERROR_DELIVERY_EV: /* its stack or interrupt table lies where no memory is
					      */
		*ret_end = ENGINE_END_SHUTDOWN;
		return false;
	default:
		*ret_why =
			kvm_why(vcpu, "KVM reports internal error", vcpu->run->internal.suberror);
		return false;
	}
}

enum engine_end kvm_vcpu_run(struct guest_cpu *gcp, const struct engine_host *host,
			     const char **ret_why)
{
	struct kvm_cpu *vcpu = kvm_cpu_of(gcp);
	struct kvm_run *run = vcpu->run;
	enum engine_end end = ENGINE_END_ERROR;
	const char *why = NULL;
	bool in_exit = false; /* an exit stands in run that has not been looked at */

	vcpu->thread = pthread_self();
	atomic_store(&vcpu->running, true);
	for (;;) {
		bool fault = false;

		/*
		 * The order matters: a kick sets immediate_exit after its reason, so either
		 * must_stop sees the reason or KVM_RUN sees immediate_exit.
		 */
		run->immediate_exit = 0;
		atomic_thread_fence(memory_order_seq_cst);
		if (host->must_stop(host->ctx, gcp)) {
			end = ENGINE_END_STOPPED;
			break;
		}
		if (!in_exit && host->must_hold(host->ctx, gcp)) {
			in_exit = !kvm_hold(vcpu, host);
			if (!in_exit)
				continue;
		}
		if (!in_exit && vcpu == vcpu->kvm->boot_cpu && kvm_arch_extint(vcpu, host)) {
			why = "an interrupt of the 8259s cannot be injected";
			break;
		}
		if (!in_exit && ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			why = kvm_why(vcpu, "KVM_RUN fails with errno", (unsigned)errno);
			break;
		}
		in_exit = false;
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			fault = kvm_exit_io(vcpu, host);
			break;
		case KVM_EXIT_MMIO:
			fault = kvm_exit_mmio(vcpu, host);
			break;
		case KVM_EXIT_INTR:
		case KVM_EXIT_IRQ_WINDOW_OPEN: /* kvm_arch_extint asked for it */
			break;
		case KVM_EXIT_IOAPIC_EOI:
			host->eoi(host->ctx, gcp, run->eoi.vector);
			break;
		case KVM_EXIT_SHUTDOWN:
			end = ENGINE_END_SHUTDOWN;
			goto out;
		case KVM_EXIT_SYSTEM_EVENT:
			if (run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN)
				end = ENGINE_END_POWER_OFF;
			else if (run->system_event.type == KVM_SYSTEM_EVENT_RESET)
				end = ENGINE_END_RESET;
			else
				why = kvm_why(vcpu, "KVM reports system event",
					      run->system_event.type);
			goto out;
		case KVM_EXIT_INTERNAL_ERROR:
			if (!kvm_exit_internal(vcpu, host, &end, &why))
				goto out;
			break;
		case KVM_EXIT_FAIL_ENTRY:
			why = kvm_why(vcpu, "the processor refuses to enter the guest, reason",
				      run->fail_entry.hardware_entry_failure_reason);
			goto out;
		default:
			if (kvm_arch_exit(vcpu, host, &end))
				break;
			if (end != ENGINE_END_ERROR)
				goto out;
			why = kvm_why(vcpu, "KVM returned an exit that is not known here:",
				      run->exit_reason);
			goto out;
		}
		if (!fault)
			continue;
		int rc = kvm_arch_access_fault(vcpu);

		in_exit = rc > 0;
		if (rc < 0) {
			why = "an exception cannot be injected";
			break;
		}
	}
out:
	atomic_store(&vcpu->running, false);
	*ret_why = why;
	return end;
}

void kvm_vcpu_kick(struct guest_cpu *gcp)
{
	struct kvm_cpu *vcpu = kvm_cpu_of(gcp);

	atomic_thread_fence(memory_order_seq_cst);
	vcpu->run->immediate_exit = 1;
	if (atomic_load(&vcpu->running))
		pthread_kill(vcpu->thread, SIGRTMIN);
}
