/* SPDX-License-Identifier: Apache-2.0 */
/* The run loop of a vCPU: entering the guest, and what each exit asks for. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "engine/kvm/kvm.h"

/*
 * Finish the access that KVM has started for the guest, so that the program counter is the next instruction's: the
 * state of a vCPU may be changed only then.
 */
static void kvm_complete_exit(struct kvm_cpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	(void)ioctl(vcpu->fd, KVM_RUN, 0);
	vcpu->run->immediate_exit = 0;
}

static bool kvm_access(struct kvm_cpu *vcpu, const struct engine_host *host, struct engine_access *acc)
{
	if (!host->access(host->ctx, &vcpu->cpu, acc))
		return true;
	kvm_complete_exit(vcpu);
	return kvm_arch_inject(vcpu, KVM_ARCH_BUS_ERROR) == 0;
}

/* A string instruction arrives as `count` elements; each is one access. */
static bool kvm_exit_io(struct kvm_cpu *vcpu, const struct engine_host *host)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		struct engine_access acc = {
			.space = ENGINE_IO,
			.write = run->io.direction == KVM_EXIT_IO_OUT,
			.len = run->io.size,
			.addr = run->io.port,
			.data = data,
		};

		if (!kvm_access(vcpu, host, &acc))
			return false;
	}
	return true;
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

	return kvm_access(vcpu, host, &acc);
}

enum engine_end kvm_vcpu_run(struct guest_cpu *gcp, const struct engine_host *host, const char **ret_why)
{
	struct kvm_cpu *vcpu = kvm_cpu_of(gcp);
	struct kvm_run *run = vcpu->run;
	enum engine_end end = ENGINE_END_ERROR;
	const char *why = NULL;

	vcpu->thread = pthread_self();
	atomic_store(&vcpu->running, true);
	for (;;) {
		/*
		 * The order matters: a kick sets immediate_exit after its reason, so either must_stop sees the
		 * reason or KVM_RUN sees immediate_exit.
		 */
		run->immediate_exit = 0;
		atomic_thread_fence(memory_order_seq_cst);
		if (host->must_stop(host->ctx, gcp)) {
			end = ENGINE_END_STOPPED;
			break;
		}
		if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			why = "KVM_RUN failed";
			break;
		}
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			if (kvm_exit_io(vcpu, host))
				continue;
			why = "an exception could not be injected";
			break;
		case KVM_EXIT_MMIO:
			if (kvm_exit_mmio(vcpu, host))
				continue;
			why = "an exception could not be injected";
			break;
		case KVM_EXIT_INTR:
			continue;
		case KVM_EXIT_SHUTDOWN:
			end = ENGINE_END_SHUTDOWN;
			break;
		case KVM_EXIT_INTERNAL_ERROR:
			if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
				why = "KVM reports an internal error";
				break;
			}
			if (host->unsupported(host->ctx, gcp, "KVM cannot emulate an instruction") &&
			    kvm_arch_inject(vcpu, KVM_ARCH_UNDEFINED_INSTRUCTION) == 0)
				continue;
			end = ENGINE_END_UNSUPPORTED;
			break;
		case KVM_EXIT_FAIL_ENTRY:
			why = "the processor refused to enter the guest";
			break;
		case KVM_EXIT_HLT:
			why = "the vCPU halted where nothing can wake it";
			break;
		default:
			why = "KVM returned an exit that is not known here";
			break;
		}
		break;
	}
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
