/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's GIC and how interrupts reach it. A pin's GSI is its interrupt number (INTID). */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/kvm/aarch64/arm.h"

enum { GIC_FIRST_SPI = 32 };

static int device_create(const struct kvm *kvm, uint32_t type, int *ret_fd)
{
	struct kvm_create_device d = { .type = type };
	int rc = kvm_ioctl(kvm->vm_fd, KVM_CREATE_DEVICE, &d);

	if (!rc)
		*ret_fd = (int)d.fd;
	return rc;
}

static int device_set(int fd, uint32_t group, uint64_t attr, const void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return kvm_ioctl(fd, KVM_SET_DEVICE_ATTR, &a);
}

static int its_create(const struct kvm *kvm, const struct engine_gic *gic, const char **ret_why)
{
	struct kvm_arm *arm = kvm_arm_of(kvm);
	int rc = device_create(kvm, KVM_DEV_TYPE_ARM_VGIC_ITS, &arm->its_fd);

	if (rc == -ENODEV)
		*ret_why = "this KVM has no ITS for messages; `vdev gic msi ADDRESS,FIRST,COUNT` "
			   "takes a GICv2m frame instead";
	if (rc)
		return rc;
	return device_set(arm->its_fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE,
			  &gic->its);
}

int kvm_arch_irqchip_set(struct kvm *kvm, const struct engine_machine *machine,
			 const char **ret_why)
{
	const struct engine_gic *gic = &machine->gic;
	const bool v3 = gic->version == 3;
	struct kvm_arm *arm = kvm_arm_of(kvm);
	uint32_t num_irqs = machine->num_pins;
	int rc = device_create(kvm, v3 ? KVM_DEV_TYPE_ARM_VGIC_V3 : KVM_DEV_TYPE_ARM_VGIC_V2,
			       &arm->gic_fd);

	if (rc == -ENODEV)
		*ret_why = v3 ? "this host cannot give guests a GICv3; `vdev gic version 2` may do"
			      : "this host cannot give guests a GICv2; leave out `version 2`";
	if (!rc)
		rc = device_set(arm->gic_fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &num_irqs);
	if (!rc)
		rc = device_set(arm->gic_fd, KVM_DEV_ARM_VGIC_GRP_ADDR,
				v3 ? KVM_VGIC_V3_ADDR_TYPE_DIST : KVM_VGIC_V2_ADDR_TYPE_DIST,
				&gic->dist);
	if (!rc)
		rc = device_set(arm->gic_fd, KVM_DEV_ARM_VGIC_GRP_ADDR,
				v3 ? KVM_VGIC_V3_ADDR_TYPE_REDIST : KVM_VGIC_V2_ADDR_TYPE_CPU,
				&gic->cpu);
	if (!rc && gic->its)
		rc = its_create(kvm, gic, ret_why);
	return rc;
}

int kvm_gic_start(struct kvm *kvm)
{
	const struct kvm_arm *arm = kvm_arm_of(kvm);
	int rc = device_set(arm->gic_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT,
			    NULL);

	if (!rc && arm->its_fd >= 0)
		rc = device_set(arm->its_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT,
				NULL);
	return rc;
}

void kvm_gic_free(struct kvm *kvm)
{
	const struct kvm_arm *arm = kvm_arm_of(kvm);

	if (arm->its_fd >= 0)
		close(arm->its_fd);
	if (arm->gic_fd >= 0)
		close(arm->gic_fd);
}

static struct kvm_irq_routing_entry pin_route(uint32_t gsi, uint32_t intid)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .pin = intid - GIC_FIRST_SPI },
	};
}

unsigned kvm_arch_pin_routes(const struct kvm *kvm, struct kvm_irq_routing_entry *entries)
{
	unsigned n = 0;

	for (uint32_t pin = GIC_FIRST_SPI; pin < kvm->machine.num_pins; pin++)
		entries[n++] = pin_route(pin, pin);
	return n;
}

/* Is it a message to the GICv2m frame that raises a pin there is? */
static bool is_frame_message(const struct kvm *kvm, const struct engine_msi_route *m)
{
	const struct engine_machine *machine = &kvm->machine;

	return machine->gic.frame && m->addr == machine->gic.frame + ENGINE_GIC_SETSPI &&
	       m->data >= GIC_FIRST_SPI && m->data < machine->num_pins;
}

struct kvm_irq_routing_entry kvm_arch_route(const struct kvm *kvm,
					    const struct engine_msi_route *route)
{
	if (is_frame_message(kvm, route))
		return pin_route(route->gsi, route->data);
	return (struct kvm_irq_routing_entry){
		.gsi = route->gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.flags = KVM_MSI_VALID_DEVID,
		.u.msi = { .address_lo = (uint32_t)route->addr,
			   .address_hi = (uint32_t)(route->addr >> 32),
			   .data = route->data,
			   .devid = route->device },
	};
}

struct kvm_irq_level kvm_arch_line(unsigned gsi, bool level)
{
	return (struct kvm_irq_level){ .irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | gsi,
				       .level = level };
}

int kvm_arch_msi_send(const struct kvm *kvm, const struct engine_msi_route *message)
{
	if (is_frame_message(kvm, message)) {
		struct kvm_irq_level l = kvm_arch_line(message->data, true);
		int rc = kvm_ioctl(kvm->vm_fd, KVM_IRQ_LINE, &l);

		l.level = false;
		return rc ? rc : kvm_ioctl(kvm->vm_fd, KVM_IRQ_LINE, &l);
	}
	struct kvm_msi m = { .address_lo = (uint32_t)message->addr,
			     .address_hi = (uint32_t)(message->addr >> 32),
			     .data = message->data,
			     .flags = KVM_MSI_VALID_DEVID,
			     .devid = message->device };
	int rc = kvm_ioctl(kvm->vm_fd, KVM_SIGNAL_MSI, &m);

	return MIN(rc, 0);
}
