/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int rc = ioctl(fd, request, arg);

	return rc < 0 ? -errno : rc;
}

static int kvm_memory_set(struct engine *e, unsigned slot, uint64_t gpa, uint64_t len, void *hva,
			  bool readonly)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot,
		.flags = readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)hva,
	};

	return kvm_ioctl(kvm_of(e)->vm_fd, KVM_SET_USER_MEMORY_REGION, &r);
}

static int kvm_irqchip_set(struct engine *e, const struct engine_machine *machine,
			   const char **ret_why)
{
	struct kvm *kvm = kvm_of(e);
	int rc = kvm_arch_irqchip_set(kvm, machine, ret_why);

	if (rc)
		return rc;
	kvm->machine = *machine;
	e->first_msi_gsi = engine_machine_pins(machine);
	return 0;
}

static int kvm_options_set(struct engine *e, const struct engine_options *options,
			   const char **ret_why)
{
	kvm_of(e)->options = *options;
	return kvm_arch_options_set(kvm_of(e), ret_why);
}

static int kvm_vcpu_create(struct engine *e, unsigned index, unsigned num_cpus,
			   struct guest_cpu **ret_cpu)
{
	struct kvm *kvm = kvm_of(e);
	struct kvm_cpu *vcpu = calloc(1, sizeof(*vcpu));
	int rc;

	if (!vcpu)
		return -ENOMEM;
	vcpu->cpu.engine = e;
	vcpu->cpu.index = index;
	vcpu->kvm = kvm;
	vcpu->stats_fd = -1;
	vcpu->fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0) {
		rc = -errno;
		goto fail;
	}
	vcpu->run =
		mmap(NULL, (size_t)kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		rc = -errno;
		goto fail_fd;
	}
	rc = kvm_arch_vcpu_init(vcpu, num_cpus);
	if (rc)
		goto fail_run;
	if (!index)
		kvm->boot_cpu = vcpu;
	*ret_cpu = &vcpu->cpu;
	return 0;
fail_run:
	munmap(vcpu->run, (size_t)kvm->run_size);
fail_fd:
	close(vcpu->fd);
fail:
	free(vcpu->cpuid);
	free(vcpu);
	return rc;
}

static void kvm_vcpu_destroy(struct guest_cpu *gcp)
{
	struct kvm_cpu *vcpu = kvm_cpu_of(gcp);

	if (vcpu->kvm->boot_cpu == vcpu)
		vcpu->kvm->boot_cpu = NULL;
	munmap(vcpu->run, (size_t)vcpu->kvm->run_size);
	close(vcpu->fd);
	if (vcpu->stats_fd >= 0)
		close(vcpu->stats_fd);
	free(vcpu->cpuid);
	free(vcpu);
}

/* The statistics' file has a table of names before the numbers. -ENOTSUP: not this one. */
static int stats_find(int fd, const char *name, off_t *ret_at)
{
	struct kvm_stats_header head;
	struct {
		struct kvm_stats_desc desc;
		char name[64];
	} one;
	size_t name_len;

	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || head.name_size > sizeof(one.name))
		return -ENOTSUP;
	name_len = head.name_size;
	for (uint32_t i = 0; i < head.num_desc; i++) {
		size_t len = sizeof(one.desc) + name_len;

		if (pread(fd, &one, len, (off_t)(head.desc_offset + i * len)) != (ssize_t)len)
			return -ENOTSUP;
		if (strncmp(one.name, name, name_len) == 0) {
			*ret_at = (off_t)head.data_offset + (off_t)one.desc.offset;
			return 0;
		}
	}
	return -ENOTSUP;
}

/* One thread at a time: the clock's. */
static int kvm_vcpu_waiting(struct guest_cpu *gcp)
{
	struct kvm_cpu *vcpu = kvm_cpu_of(gcp);
	uint64_t value;

	if (vcpu->stats_fd < 0) {
		int fd = kvm_ioctl(vcpu->fd, KVM_GET_STATS_FD, NULL);
		int rc = fd < 0 ? -ENOTSUP : stats_find(fd, "blocking", &vcpu->waiting_at);

		if (rc) {
			if (fd >= 0)
				close(fd);
			return rc;
		}
		vcpu->stats_fd = fd;
	}
	if (pread(vcpu->stats_fd, &value, sizeof(value), vcpu->waiting_at) != sizeof(value))
		return -EIO;
	return value != 0;
}

static int kvm_vcpu_boot(struct guest_cpu *gcp, const struct engine_boot *boot)
{
	return kvm_arch_vcpu_boot(kvm_cpu_of(gcp), boot);
}

static int kvm_vcpu_notes(struct guest_cpu *gcp, struct strbuf *out)
{
	return kvm_arch_vcpu_notes(kvm_cpu_of(gcp), out);
}

static int kvm_notify_set(struct engine *e, const struct engine_notify *n, bool on)
{
	struct kvm_ioeventfd arg = {
		.addr = n->addr,
		.len = n->len,
		.fd = n->fd,
		.datamatch = n->value,
		.flags = (n->space == ENGINE_IO ? KVM_IOEVENTFD_FLAG_PIO : 0u) |
			 (n->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) |
			 (on ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return kvm_ioctl(kvm_of(e)->vm_fd, KVM_IOEVENTFD, &arg);
}

static int kvm_line_set(struct engine *e, unsigned gsi, bool level)
{
	struct kvm_irq_level l = kvm_arch_line(gsi, level);

	return kvm_ioctl(kvm_of(e)->vm_fd, KVM_IRQ_LINE, &l);
}

static int kvm_routes_set(struct engine *e, const struct engine_msi_route *routes, unsigned num)
{
	struct kvm *kvm = kvm_of(e);
	struct kvm_irq_routing *table = calloc(
		1, sizeof(*table) + (KVM_ARCH_MAX_PIN_ROUTES + num) * sizeof(table->entries[0]));
	int rc;

	if (!table)
		return -ENOMEM;
	table->nr = kvm_arch_pin_routes(kvm, table->entries);
	for (unsigned i = 0; i < num; i++)
		table->entries[table->nr++] = kvm_arch_route(kvm, &routes[i]);
	rc = kvm_ioctl(kvm->vm_fd, KVM_SET_GSI_ROUTING, table);
	free(table);
	return rc;
}

static int kvm_irqfd_set(struct engine *e, unsigned gsi, int fd, bool on)
{
	struct kvm_irqfd i = { .fd = (uint32_t)fd,
			       .gsi = gsi,
			       .flags = on ? 0u : KVM_IRQFD_FLAG_DEASSIGN };

	return kvm_ioctl(kvm_of(e)->vm_fd, KVM_IRQFD, &i);
}

static int kvm_irqfd_resample_set(struct engine *e, unsigned gsi, int fd, int resample_fd, bool on)
{
	struct kvm_irqfd i = { .fd = (uint32_t)fd,
			       .gsi = gsi,
			       .flags = KVM_IRQFD_FLAG_RESAMPLE |
					(on ? 0u : KVM_IRQFD_FLAG_DEASSIGN),
			       .resamplefd = (uint32_t)resample_fd };

	return kvm_ioctl(kvm_of(e)->vm_fd, KVM_IRQFD, &i);
}

/* One KVM device stands for all groups; it lasts as long as the VM. */
static int kvm_vfio_group_add(struct engine *e, int group_fd)
{
	struct kvm *kvm = kvm_of(e);
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_GROUP,
					.attr = KVM_DEV_VFIO_GROUP_ADD,
					.addr = (uint64_t)(uintptr_t)&group_fd };

	if (kvm->vfio_fd < 0) {
		int rc = kvm_ioctl(kvm->vm_fd, KVM_CREATE_DEVICE, &device);

		if (rc)
			return rc;
		kvm->vfio_fd = (int)device.fd;
	}
	return kvm_ioctl(kvm->vfio_fd, KVM_SET_DEVICE_ATTR, &attr);
}

static int kvm_msi_send(struct engine *e, const struct engine_msi_route *message)
{
	return kvm_arch_msi_send(kvm_of(e), message);
}

static void kvm_extint_set(struct engine *e, bool level)
{
	struct kvm *kvm = kvm_of(e);
	struct kvm_cpu *vcpu = kvm->boot_cpu;

	atomic_store(&kvm->extint, level);
	/* Its own thread looks before it enters the guest. */
	if (level && vcpu &&
	    !(atomic_load(&vcpu->running) && pthread_equal(vcpu->thread, pthread_self())))
		kvm_vcpu_kick(&vcpu->cpu);
}

static void kvm_destroy(struct engine *e)
{
	struct kvm *kvm = kvm_of(e);

	if (kvm->vfio_fd >= 0)
		close(kvm->vfio_fd);
	if (kvm->vm_fd >= 0)
		close(kvm->vm_fd);
	if (kvm->dev_fd >= 0)
		close(kvm->dev_fd);
	kvm_arch_vm_free(kvm);
	free(kvm);
}

static const struct engine_ops kvm_ops = {
	.name = "kvm",
	.memory_set = kvm_memory_set,
	.irqchip_set = kvm_irqchip_set,
	.options_set = kvm_options_set,
	.vcpu_create = kvm_vcpu_create,
	.vcpu_destroy = kvm_vcpu_destroy,
	.vcpu_boot = kvm_vcpu_boot,
	.vcpu_regs_get = kvm_arch_vcpu_regs_get,
	.vcpu_regs_set = kvm_arch_vcpu_regs_set,
	.vcpu_state_get = kvm_arch_state_get,
	.vcpu_state_set = kvm_arch_state_set,
	.vcpu_register_get = kvm_arch_register_get,
	.vcpu_register_set = kvm_arch_register_set,
	.vcpu_translate = kvm_arch_translate,
	.vcpu_waiting = kvm_vcpu_waiting,
	.vcpu_answer_set = kvm_arch_answer_set,
	.traps_set = kvm_arch_traps_set,
	.vcpu_run = kvm_vcpu_run,
	.vcpu_notes = kvm_vcpu_notes,
	.vcpu_kick = kvm_vcpu_kick,
	.notify_set = kvm_notify_set,
	.line_set = kvm_line_set,
	.routes_set = kvm_routes_set,
	.irqfd_set = kvm_irqfd_set,
	.irqfd_resample_set = kvm_irqfd_resample_set,
	.vfio_group_add = kvm_vfio_group_add,
	.msi_send = kvm_msi_send,
	.extint_set = kvm_extint_set,
	.destroy = kvm_destroy,
};

static const struct kvm_requirement kvm_required[] = {
	{ KVM_CAP_USER_MEMORY, "this KVM cannot map user memory (KVM_CAP_USER_MEMORY)" },
	{ KVM_CAP_IRQCHIP, "this KVM has no interrupt controllers (KVM_CAP_IRQCHIP)" },
	{ KVM_CAP_IRQ_ROUTING, "this KVM has no interrupt routing (KVM_CAP_IRQ_ROUTING)" },
	{ KVM_CAP_IRQFD, "this KVM has no irqfd (KVM_CAP_IRQFD)" },
	{ KVM_CAP_IOEVENTFD, "this KVM has no ioeventfd (KVM_CAP_IOEVENTFD)" },
	{ KVM_CAP_IMMEDIATE_EXIT, "this KVM has no immediate exit (KVM_CAP_IMMEDIATE_EXIT)" },
	{ KVM_CAP_READONLY_MEM, "this KVM has no read-only memory (KVM_CAP_READONLY_MEM)" },
	{ KVM_CAP_SIGNAL_MSI, "this KVM cannot send messages (KVM_CAP_SIGNAL_MSI)" },
};

/* What this KVM lacks, or NULL. */
static const char *kvm_missing(const struct kvm *kvm, const struct kvm_requirement *required,
			       unsigned num)
{
	for (unsigned i = 0; i < num; i++)
		if (ioctl(kvm->dev_fd, KVM_CHECK_EXTENSION, required[i].cap) <= 0)
			return required[i].why;
	return NULL;
}

int engine_kvm_create(struct engine **ret_engine, const char **ret_why)
{
	struct kvm *kvm = calloc(1, sizeof(*kvm));
	const char *why = NULL;
	int rc = -ENOTSUP;

	if (!kvm)
		return -ENOMEM;
	kvm->engine.ops = &kvm_ops;
	kvm->engine.first_msi_gsi = ENGINE_KERNEL_PINS;
	kvm->vm_fd = -1;
	kvm->vfio_fd = -1;
	kvm->dev_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm->dev_fd < 0) {
		rc = -errno;
		goto fail;
	}
	if (ioctl(kvm->dev_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		why = "this KVM speaks another interface version";
		goto fail;
	}
	why = kvm_missing(kvm, kvm_required, ARRAY_LEN(kvm_required));
	if (!why)
		why = kvm_missing(kvm, kvm_arch_required, kvm_arch_num_required);
	if (why)
		goto fail;
	kvm->run_size = ioctl(kvm->dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (kvm->run_size < (int)sizeof(struct kvm_run)) {
		why = "this KVM does not say how large a vCPU's run area is";
		goto fail;
	}
	/* Creating a VM takes locks that a signal may break off. */
	do {
		kvm->vm_fd = ioctl(kvm->dev_fd, KVM_CREATE_VM, 0UL);
	} while (kvm->vm_fd < 0 && errno == EINTR);
	if (kvm->vm_fd < 0) {
		rc = -errno;
		why = "KVM cannot create a VM";
		goto fail;
	}
	rc = kvm_arch_vm_init(kvm, &why);
	if (rc)
		goto fail;
	*ret_engine = &kvm->engine;
	return 0;
fail:
	*ret_why = why;
	kvm_destroy(&kvm->engine);
	return rc;
}
