// SPDX-License-Identifier: Apache-2.0
/*
 * Is /dev/kvm real? Says so in one sentence; exit status 0 = good, 1 = not good.
 *
 * Some machines offer a /dev/kvm without hardware virtualization: it answers every ioctl, and no
 * stock kernel runs on it at a usable speed. So: the CPU must have svm or vmx, and a paged 64-bit
 * guest that does cmpxchg16b and leaves by a port must take at most LIMIT times as long as the same
 * loop outside. The measuring is done by a child, which is killed when its time is up, because such
 * a KVM may also hang.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
	LIMIT = 20,	      /* times native */
	NATIVE_NS = 20000000, /* length of the loop outside: long against the clock and one exit */
	ROUNDS = 20,	      /* port exits */
	GIVE_UP_MS = 10000,
	PORT = 0x10,
	PML4 = 0x1000,
	PDPT = 0x2000,
	PAGE_DIRECTORY = 0x3000,
	CELL = 0x4000,
	CODE = 0x5000,
	MEMORY = 0x200000,
};

enum { PRESENT = 1, WRITABLE = 2, LARGE = 128 }; /* page tables */
enum { CR0_PE = 1, CR0_PG = 1u << 31, CR4_PAE = 32, EFER_LME = 256, EFER_LMA = 1024 };

/* r8 = how often, rdi = 16 bytes; both the machine and the guest run this. */
#define LOOP                                                                                 \
	"1: xorl %%eax, %%eax\n xorl %%edx, %%edx\n xorl %%ebx, %%ebx\n xorl %%ecx, %%ecx\n" \
	"lock cmpxchg16b (%%rdi)\n decq %%r8\n jnz 1b\n"

struct verdict {
	int good;
	char why[200];
};

extern const char guest_code[], guest_code_end[];

/* Never called: its body is copied into the guest. r9 = how often a round. */
__attribute__((used)) static void guest_code_holder(void)
{
	__asm__ volatile("guest_code: movq %%r9, %%r8\n" LOOP
			 "outb %%al, %0\n jmp guest_code\n guest_code_end:" ::"i"(PORT));
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void run_native(uint64_t count)
{
	static char cell[16] __attribute__((aligned(16)));
	register uint64_t left __asm__("r8") = count;

	__asm__ volatile(LOOP
			 : "+r"(left)
			 : "D"(cell)
			 : "rax", "rbx", "rcx", "rdx", "memory", "cc");
}

/* How often the loop runs a round, so that ROUNDS of them take NATIVE_NS; *ret_ns is what they
 * took. */
static uint64_t calibrate(int64_t *ret_ns)
{
	for (uint64_t count = 64;; count *= 2) {
		int64_t begun = now_ns();

		for (int round = 0; round < ROUNDS; round++)
			run_native(count);
		*ret_ns = now_ns() - begun;
		if (*ret_ns >= NATIVE_NS)
			return count;
	}
}

static void fill_memory(char *memory)
{
	uint64_t *pml4 = (uint64_t *)(memory + PML4), *pdpt = (uint64_t *)(memory + PDPT);
	uint64_t *directory = (uint64_t *)(memory + PAGE_DIRECTORY);

	pml4[0] = PDPT | PRESENT | WRITABLE;
	pdpt[0] = PAGE_DIRECTORY | PRESENT | WRITABLE;
	directory[0] = 0 | PRESENT | WRITABLE | LARGE;
	memcpy(memory + CODE, guest_code, (size_t)(guest_code_end - guest_code));
}

static int set_registers(int vcpu, uint64_t count)
{
	struct kvm_segment code = {
		.selector = 8, .type = 11, .s = 1, .present = 1, .l = 1, .g = 1, .limit = ~0u
	};
	struct kvm_segment data = {
		.selector = 16, .type = 3, .s = 1, .present = 1, .db = 1, .g = 1, .limit = ~0u
	};
	struct kvm_regs regs = { .rip = CODE, .rdi = CELL, .r9 = count, .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
		return -errno;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr3 = PML4;
	sregs.cr4 = CR4_PAE;
	sregs.cr0 = CR0_PE | CR0_PG;
	sregs.efer = EFER_LME | EFER_LMA;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
		return -errno;
	return 0;
}

/* Without the guest's CPUID the vCPU may lack long mode and cmpxchg16b. */
static int set_cpuid(int kvm, int vcpu)
{
	enum { ENTRIES = 256 };
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(cpuid->entries[0]));
	int rc = -ENOMEM;

	if (!cpuid)
		return rc;
	cpuid->nent = ENTRIES;
	rc = ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) || ioctl(vcpu, KVM_SET_CPUID2, cpuid)
		     ? -errno
		     : 0;
	free(cpuid);
	return rc;
}

static struct verdict fail(const char *what, int error)
{
	struct verdict verdict = { 0 };

	snprintf(verdict.why, sizeof(verdict.why), "%s failed: %s", what, strerror(error));
	return verdict;
}

static struct verdict measure(int kvm)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), vcpu, size, rc;
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY };
	struct verdict verdict = { 0 };
	int64_t native_ns, guest_ns;
	struct kvm_run *run;
	uint64_t count;
	char *memory;

	if (vm < 0)
		return fail("KVM_CREATE_VM", errno);
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return fail("mmap of guest memory", errno);
	fill_memory(memory);
	region.userspace_addr = (uintptr_t)memory;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
		return fail("KVM_SET_USER_MEMORY_REGION", errno);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return fail("KVM_CREATE_VCPU", errno);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < 0)
		return fail("KVM_GET_VCPU_MMAP_SIZE", errno);
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		return fail("mmap of the vCPU", errno);
	count = calibrate(&native_ns);
	rc = set_cpuid(kvm, vcpu);
	if (rc == 0)
		rc = set_registers(vcpu, count);
	if (rc)
		return fail("setting up a 64-bit vCPU", -rc);

	guest_ns = now_ns();
	for (int round = 0; round < ROUNDS; round++) {
		if (ioctl(vcpu, KVM_RUN, 0))
			return fail("KVM_RUN", errno);
		if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT) {
			snprintf(verdict.why, sizeof(verdict.why),
				 "a 64-bit guest with cmpxchg16b stopped with KVM exit reason %u",
				 run->exit_reason);
			return verdict;
		}
	}
	guest_ns = now_ns() - guest_ns;
	verdict.good = guest_ns <= LIMIT * native_ns;
	snprintf(verdict.why, sizeof(verdict.why),
		 "a guest takes %.1f times as long as the machine itself (limit %d)",
		 (double)guest_ns / (double)native_ns, LIMIT);
	return verdict;
}

static struct verdict measure_in_child(int kvm)
{
	struct verdict verdict = { 0 };
	struct pollfd from_child = { .events = POLLIN };
	int ends[2];
	pid_t child;

	if (pipe(ends))
		return fail("pipe", errno);
	child = fork();
	if (child < 0)
		return fail("fork", errno);
	if (child == 0) {
		verdict = measure(kvm);
		_exit(write(ends[1], &verdict, sizeof(verdict)) != sizeof(verdict));
	}
	close(ends[1]);
	from_child.fd = ends[0];
	if (poll(&from_child, 1, GIVE_UP_MS) <= 0)
		snprintf(verdict.why, sizeof(verdict.why),
			 "a short guest loop did not end within %d s", GIVE_UP_MS / 1000);
	else if (read(ends[0], &verdict, sizeof(verdict)) != sizeof(verdict))
		snprintf(verdict.why, sizeof(verdict.why),
			 "the program that ran a short guest loop died");
	kill(child, SIGKILL); /* not waited for: it may be stuck in the kernel */
	return verdict;
}

static const char *virtualization_flag(void)
{
	unsigned int a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 5))
		return "vmx";
	if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1u << 2))
		return "svm";
	return NULL;
}

int main(void)
{
	const char *flag = virtualization_flag();
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct verdict verdict;

	if (kvm < 0) {
		printf("not good: /dev/kvm: %s (CPU flag: %s)\n", strerror(errno),
		       flag ? flag : "neither svm nor vmx");
		return 1;
	}
	if (!flag) {
		puts("not good: there is a /dev/kvm, but the CPU has neither svm nor vmx, so it is "
		     "a software kind of KVM");
		return 1;
	}
	verdict = measure_in_child(kvm);
	printf("%s: %s, CPU flag %s\n", verdict.good ? "good" : "not good", verdict.why, flag);
	return !verdict.good;
}
