/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare FILE: the least that a VMM can do between an exit and the next entry. It runs the guest of
 * FILE, in real mode or at EL1, with KVM's interrupt controllers and KVM's CPUID; what the guest
 * writes to COM1 or its PL011 goes to standard output line by line, everything else reads as 0. The
 * time of an exit here is what hardware and KVM take.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RAM = 1 << 20, PLACE = 0x8000 }; /* the guest's place in it */

static void *must(void *p, const char *what)
{
	if (p == MAP_FAILED) {
		perror(what);
		exit(1);
	}
	return p;
}

static int call(int fd, unsigned long request, void *arg, const char *what)
{
	int rc = ioctl(fd, request, arg);

	if (rc < 0) {
		perror(what);
		exit(1);
	}
	return rc;
}

#ifdef __x86_64__
enum { START = 0, COM1 = 0x3f8, MAX_LEAVES = 100 };

static void chips_create(int vm)
{
	call(vm, KVM_SET_TSS_ADDR, (void *)0xfffbd000ul, "TSS");
	call(vm, KVM_CREATE_IRQCHIP, NULL, "interrupt controllers");
}

static int vcpu_create(int kvm, int vm)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 leaves[MAX_LEAVES];
	} cpuid = { .head.nent = MAX_LEAVES };
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs sregs;
	int vcpu = call(vm, KVM_CREATE_VCPU, NULL, "vCPU");

	call(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid, "CPUID");
	call(vcpu, KVM_SET_CPUID2, &cpuid, "CPUID");
	call(vcpu, KVM_GET_SREGS, &sregs, "registers");
	sregs.cs.base = PLACE;
	sregs.cs.selector = PLACE >> 4;
	call(vcpu, KVM_SET_SREGS, &sregs, "registers");
	call(vcpu, KVM_SET_REGS, &regs, "registers");
	return vcpu;
}

/* The data of an access, NULL of another exit. */
static uint8_t *data_of(struct kvm_run *run, bool *ret_write, bool *ret_console)
{
	*ret_write = run->io.direction == KVM_EXIT_IO_OUT;
	*ret_console = run->io.port == COM1;
	return run->exit_reason == KVM_EXIT_IO ? (uint8_t *)run + run->io.data_offset : NULL;
}
#else
enum { START = 0x40000000, DISTRIBUTOR = 0x8000000, REDISTRIBUTORS = 0x80a0000, UART = 0x9000000 };

static int gic;

static void gic_set(uint32_t group, uint64_t attribute, uint64_t value)
{
	struct kvm_device_attr set = { .group = group,
				       .attr = attribute,
				       .addr = (uintptr_t)&value };

	call(gic, KVM_SET_DEVICE_ATTR, &set, "interrupt controller");
}

static void chips_create(int vm)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };

	call(vm, KVM_CREATE_DEVICE, &device, "interrupt controller");
	gic = (int)device.fd;
	gic_set(KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, DISTRIBUTOR);
	gic_set(KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, REDISTRIBUTORS);
}

static int vcpu_create(int kvm, int vm)
{
	struct kvm_vcpu_init init;
	uint64_t start = START + PLACE;
	struct kvm_one_reg pc = { .id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
					KVM_REG_ARM_CORE_REG(regs.pc),
				  .addr = (uintptr_t)&start };
	int vcpu = call(vm, KVM_CREATE_VCPU, NULL, "vCPU");

	(void)kvm;
	call(vm, KVM_ARM_PREFERRED_TARGET, &init, "vCPU");
	call(vcpu, KVM_ARM_VCPU_INIT, &init, "vCPU");
	call(vcpu, KVM_SET_ONE_REG, &pc, "registers");
	gic_set(KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
	return vcpu;
}

/* The data of an access, NULL of another exit. */
static uint8_t *data_of(struct kvm_run *run, bool *ret_write, bool *ret_console)
{
	*ret_write = run->mmio.is_write;
	*ret_console = run->mmio.phys_addr == UART;
	return run->exit_reason == KVM_EXIT_MMIO ? run->mmio.data : NULL;
}
#endif

static void run(int vcpu, struct kvm_run *run)
{
	char line[256];
	size_t len = 0;
	bool out, console;

	while (ioctl(vcpu, KVM_RUN, 0) == 0) {
		uint8_t *data = data_of(run, &out, &console);

		if (!data)
			break;
		if (!out) {
			memset(data, 0, sizeof(uint32_t));
		} else if (console) {
			line[len++] = (char)*data;
			if (*data == '\n' || len == sizeof(line)) {
				(void)!write(STDOUT_FILENO, line, len);
				len = 0;
			}
		}
	}
	fprintf(stderr, "exit %u\n", run->exit_reason);
}

int main(int argc, char **argv)
{
	int file = open(argc == 2 ? argv[1] : "", O_RDONLY);
	int kvm = open("/dev/kvm", O_RDWR);
	char *ram =
		must(mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		     "memory");

	if (file < 0 || kvm < 0 || read(file, ram + PLACE, RAM - PLACE) <= 0) {
		perror("FILE, /dev/kvm");
		return 1;
	}
	struct kvm_userspace_memory_region region = { .guest_phys_addr = START,
						      .memory_size = RAM,
						      .userspace_addr = (uintptr_t)ram };
	int vm = call(kvm, KVM_CREATE_VM, NULL, "VM");

	chips_create(vm);
	call(vm, KVM_SET_USER_MEMORY_REGION, &region, "memory");
	int vcpu = vcpu_create(kvm, vm);
	size_t size = (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "vCPU");

	run(vcpu, must(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0), "vCPU"));
	return 1;
}
