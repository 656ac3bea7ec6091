/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare FILE: the least that a VMM can do between an exit and the next entry. It runs the guest of
 * FILE in real mode with KVM's interrupt controllers and KVM's CPUID; what the guest writes to
 * COM1 goes to standard output line by line, every other port reads as 0. The time of an exit here
 * is what hardware and KVM take.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RAM = 1 << 20, PLACE = 0x8000, COM1 = 0x3f8, MAX_LEAVES = 100 };

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

static void run(int vcpu, struct kvm_run *run)
{
	char line[256];
	size_t len = 0;

	while (ioctl(vcpu, KVM_RUN, 0) == 0 && run->exit_reason == KVM_EXIT_IO) {
		uint8_t *data = (uint8_t *)run + run->io.data_offset;

		if (run->io.direction == KVM_EXIT_IO_IN) {
			*data = 0;
		} else if (run->io.port == COM1) {
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
	struct kvm_userspace_memory_region region = { .memory_size = RAM,
						      .userspace_addr = (uintptr_t)ram };
	int vm = call(kvm, KVM_CREATE_VM, NULL, "VM");

	call(vm, KVM_SET_TSS_ADDR, (void *)0xfffbd000ul, "TSS");
	call(vm, KVM_CREATE_IRQCHIP, NULL, "interrupt controllers");
	call(vm, KVM_SET_USER_MEMORY_REGION, &region, "memory");
	int vcpu = vcpu_create(kvm, vm);
	size_t size = (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "vCPU");

	run(vcpu, must(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0), "vCPU"));
	return 1;
}
