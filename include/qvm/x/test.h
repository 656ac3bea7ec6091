/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/test: libvdevtest. Loads vdevs the way qvm does, without a VM and without KVM; the test plays
 * the guest.
 *
 *     struct vdevtest *t = vdevtest_start("ram 1m vdev trace loc 0xfa000000");
 *     assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0xfa000000, 4), 0);
 *     vdevtest_end(t);
 *
 * The text is the configuration language; of `load` it knows `load ADDRESS,FILE`. One bench at a
 * time in a process. Accesses may come from several threads; each uses its own struct vdevtest_cpu,
 * or the plain functions from the thread that started the bench. Functions that cannot fail on a
 * correct test end the process with a sentence when they do.
 */
#ifndef QVM_X_TEST_H
#define QVM_X_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdevtest;
struct vdevtest_cpu;

enum vdevtest_space { VDEVTEST_MEM, VDEVTEST_IO };

/* Start the VM up to the point where the guest would run. NULL if the start failed; then
 * vdevtest_errors has why. */
struct vdevtest *vdevtest_start(const char *configuration);
void vdevtest_end(struct vdevtest *t);

/*
 * The same in virtual time: guest time starts at 0 and moves by vdevtest_clock_set only. The core
 * has no threads; vdevtest_run lets the vdevs' loops do what they have to do and returns how much
 * that was. The clock and the random numbers that the vdevs themselves ask the host for are the
 * bench's (seed), so one sequence of calls always gives the same results. A vdev with threads of
 * its own is as free as ever.
 */
struct vdevtest *vdevtest_start_stepped(const char *configuration, uint64_t seed);
unsigned vdevtest_run(struct vdevtest *t);

/* Guest time in ns; the time at which the next timer goes off (false: there is none); move to a
 * time, every timer on the way going off at its own. False: it lies in the past, or timers kept
 * the clock from getting there. */
uint64_t vdevtest_clock(const struct vdevtest *t);
bool vdevtest_clock_next(struct vdevtest *t, uint64_t *ret_ns);
bool vdevtest_clock_set(struct vdevtest *t, uint64_t ns);

/* What the last vdevtest_start reported, rendered as for a user; "" if nothing. */
const char *vdevtest_errors(void);

/* Accesses of a guest; len 1, 2, 4 or 8 bytes. A read of nothing gives all ones. Doorbells reach
 * their eventfds. */
uint64_t vdevtest_read(struct vdevtest *t, enum vdevtest_space space, uint64_t addr, unsigned len);
void vdevtest_write(struct vdevtest *t, enum vdevtest_space space, uint64_t addr, unsigned len,
		    uint64_t value);

/* The same on another thread. */
struct vdevtest_cpu *vdevtest_cpu_create(struct vdevtest *t);
void vdevtest_cpu_free(struct vdevtest_cpu *cpu);
uint64_t vdevtest_cpu_read(struct vdevtest_cpu *cpu, enum vdevtest_space space, uint64_t addr,
			   unsigned len);
void vdevtest_cpu_write(struct vdevtest_cpu *cpu, enum vdevtest_space space, uint64_t addr,
			unsigned len, uint64_t value);

/* Guest RAM as host memory; len bytes from gpa on. */
void *vdevtest_ram(struct vdevtest *t, uint64_t gpa, size_t len);

/* What stands for the passed device of a vdev with QVMX_VDEV_GUARD: VDEVTEST_PASSED bytes, of which
 * an address means the one at its remainder. */
enum { VDEVTEST_PASSED = 4096 };
void *vdevtest_passed(struct vdevtest *t);

/* An input of the interrupt machine: level now, and the number of rising edges since the start. */
bool vdevtest_line(struct vdevtest *t, unsigned pin, unsigned *ret_edges);

/* Messages raised since the last call; waits up to timeout_ms for the first. Address and data of
 * the last one. */
unsigned vdevtest_messages(struct vdevtest *t, int timeout_ms, uint64_t *ret_addr,
			   uint32_t *ret_data);

/* The boot processor's side of chips that are not KVM's: is there an interrupt of the 8259s at
 * LINT0; take it (its vector, or -1); end a level-triggered interrupt of that vector. */
bool vdevtest_extint(struct vdevtest *t);
int vdevtest_acknowledge(struct vdevtest *t);
void vdevtest_eoi(struct vdevtest *t, unsigned vector);

/* Has a vdev asked for the end (guest_terminate)? Its cause, or -1. */
int vdevtest_ended(const struct vdevtest *t);
/* How many dumps vdevs have asked for (guest_write_core_file). None is written. */
unsigned vdevtest_cores(const struct vdevtest *t);

/* A register of the boot vCPU as boot vdevs left it; offset: in struct qvmx_cpu_registers. They are
 * 0 before. */
uint64_t vdevtest_register(const struct vdevtest *t, size_t offset);

/*
 * A vCPU reads (writes) a model specific register. False: it gets a general protection fault. On
 * the bench a vCPU has no registers but those that vdevs answer and those that a write was left
 * for.
 */
bool vdevtest_msr(struct vdevtest *t, bool write, uint32_t index, uint64_t *value);
/* What CPUID gives for a leaf: eax, ebx, ecx, edx. False: no vdev has answered it. */
bool vdevtest_cpuid(struct vdevtest *t, uint32_t leaf, uint32_t ret_regs[4]);
/* The power button. False: no vdev has asked for it. */
bool vdevtest_button(struct vdevtest *t);

/* PCI configuration space of bus 0 by ECAM. */
uint32_t vdevtest_pci_read(struct vdevtest *t, unsigned dev, unsigned reg, unsigned len);
void vdevtest_pci_write(struct vdevtest *t, unsigned dev, unsigned reg, unsigned len,
			uint32_t value);

/*
 * A small VirtIO driver (split rings, or packed ones if `features` has them) for tests of VirtIO
 * vdevs (never packed, with VDEVTEST_RING=split in the environment). dev: PCI device number, or
 * VDEVTEST_MMIO + n for the n-th (from 0) VirtIO vdev that has a place in memory. Ring memory and
 * buffers come from a bump allocator in guest RAM (vdevtest_alloc). MSI-X vector n+1 (0:
 * configuration) of device dev sends address 0xfee00000, data dev << 8 | vector.
 *
 * With VDEVTEST_TRANSPORT=mmio in the environment each `vdev virtio-NAME` of a configuration that
 * does not say `loc` gets a place in memory and a line of an ioapic that is put in front, and
 * device 1 is the first of them: so a vdev's tests run by either transport.
 */
enum { VDEVTEST_MMIO = 32 };
struct vdevtest_virtio;
uint64_t vdevtest_alloc(struct vdevtest *t, size_t len,
			size_t align); /* guest-physical address, zeroed */

/* Reset, negotiate (offered & features), set up all queues with at most queue_size entries,
 * DRIVER_OK. */
struct vdevtest_virtio *vdevtest_virtio_start(struct vdevtest *t, unsigned dev, uint64_t features,
					      unsigned queue_size);
unsigned vdevtest_virtio_id(const struct vdevtest_virtio *v); /* VirtIO device id */
bool vdevtest_virtio_on_pci(const struct vdevtest_virtio *v); /* else by MMIO */
/*
 * Interrupts since the last call; waits up to timeout_ms for the first. PCI: messages of the whole
 * bench, as vdevtest_messages. MMIO: bits of the interrupt status, which are acknowledged.
 */
unsigned vdevtest_virtio_interrupts(struct vdevtest_virtio *v, int timeout_ms);
/* Reset the device and wait until it is done. Frees v. */
void vdevtest_virtio_end(struct vdevtest_virtio *v);
/* Frees v of a bench that has ended. */
void vdevtest_virtio_forget(struct vdevtest_virtio *v);
uint64_t vdevtest_virtio_features(struct vdevtest_virtio *v); /* negotiated */
uint8_t vdevtest_virtio_status(struct vdevtest_virtio *v);
uint64_t vdevtest_virtio_config(struct vdevtest_virtio *v, unsigned offset, unsigned len);
void vdevtest_virtio_config_write(struct vdevtest_virtio *v, unsigned offset, unsigned len,
				  uint64_t value);

/* Reset one queue (RING_RESET was negotiated) and wait until that is done; its buffers are
 * forgotten. Then set it up anew. */
void vdevtest_virtio_queue_reset(struct vdevtest_virtio *v, unsigned queue);
void vdevtest_virtio_queue_enable(struct vdevtest_virtio *v, unsigned queue, unsigned queue_size);

struct vdevtest_buf {
	uint64_t gpa;
	uint32_t len;
	bool write; /* the device writes it */
};

/* Add a chain of n buffers; no kick. Returns its head (packed: its buffer id). */
unsigned vdevtest_virtio_add(struct vdevtest_virtio *v, unsigned queue,
			     const struct vdevtest_buf *bufs, unsigned n);
void vdevtest_virtio_kick(struct vdevtest_virtio *v, unsigned queue);

/* Wait for the next used element (up to timeout_ms). True and head and length, or false. */
bool vdevtest_virtio_used(struct vdevtest_virtio *v, unsigned queue, int timeout_ms,
			  unsigned *ret_head, uint32_t *ret_len);

#ifdef __cplusplus
}
#endif

#endif
