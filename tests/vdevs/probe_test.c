/* SPDX-License-Identifier: Apache-2.0 */
/* The documented API on the bench, called by vdev probe and by one written for 7.x. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>
#include <qvm/gasp.h>
#include <qvm/x/test.h>
#include "../../vdevs/common/test_util.h"
#include "probe.h"

#define AT    0xfa000000u
#define PROBE "ram 4m vdev probe loc 0xfa000000 "
#define PASS  ((unsigned)GRF_PASS_RD | (unsigned)GRF_PASS_WR)

static uint64_t reg(struct vdevtest *t, unsigned offset)
{
	return vdevtest_read(t, VDEVTEST_MEM, AT + offset, 8);
}

static uint64_t counter(struct vdevtest *t, enum counter which)
{
	return reg(t, 0x28 + 8 * (unsigned)which);
}

/* The error; the result is in register 0. */
static int run(struct vdevtest *t, enum command command, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t args[] = { a, b, c };

	for (unsigned i = 0; i < 3; i++)
		vdevtest_write(t, VDEVTEST_MEM, AT + 8 + 8 * i, 8, args[i]);
	vdevtest_write(t, VDEVTEST_MEM, AT, 8, command);
	return (int)reg(t, 0x20);
}

static bool reaches(struct vdevtest *t, enum counter which, uint64_t value)
{
	for (unsigned ms = 0; ms < 5000 && counter(t, which) != value; ms++)
		usleep(1000);
	return counter(t, which) == value;
}

static void registers_are_taken_over(void **state)
{
	struct vdevtest *t = test_start(PROBE "msr 0x8b msr 0x3a msr 0xc0010099 msr 0xc0010077");
	uint64_t value = 0x1234567890abcdef;

	(void)state;
	assert_true(vdevtest_msr(t, true, 0x8b, &value));
	value = 0;
	assert_true(vdevtest_msr(t, false, 0x8b, &value));
	assert_int_equal(value, 0x1234567890abcdef);
	assert_int_equal(counter(t, PROBE_TRAPS), 2);
	assert_false(vdevtest_msr(t, false, PROBE_MSR_FAULT, &value));
	/* Left to the engine, which has what was written. */
	assert_false(vdevtest_msr(t, false, PROBE_MSR_PASS, &value));
	value = 5;
	assert_true(vdevtest_msr(t, true, PROBE_MSR_PASS, &value));
	assert_true(vdevtest_msr(t, false, PROBE_MSR_PASS, &value));
	assert_int_equal(value, 5);
	assert_true(vdevtest_msr(t, false, PROBE_MSR_REGISTERS, &value));
	assert_int_equal(value, 0x5566778811223344);
	assert_false(vdevtest_msr(t, false, 0x1234, &value)); /* nobody's */
	vdevtest_end(t);
	test_refused(PROBE "x2apic", "x2APIC (0x800 to 0x8ff) are KVM's");
}

static void leaves_are_answered(void **state)
{
	struct vdevtest *t = test_start(PROBE "cpuid 0x40000200");
	uint32_t regs[4];

	(void)state;
	assert_true(vdevtest_cpuid(t, 0x40000200, regs));
	assert_int_equal(regs[0], 0x40000200);
	assert_int_equal(regs[1], 0x1111);
	assert_int_equal(regs[2] | regs[3], 0);
	assert_int_equal(counter(t, PROBE_LEAVES), 2); /* the first one passed it on */
	assert_false(vdevtest_cpuid(t, 1, regs));
	vdevtest_end(t);
}

static void memory_comes_and_goes(void **state)
{
	struct vdevtest *t = test_start(PROBE);
	const uint64_t at = 0x10000000;

	(void)state;
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, at, 4), 0xffffffff);
	assert_int_equal(run(t, PROBE_SET, at, 0x2000, PASS), EOK);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, at, 4), 0xa5a5a5a5);
	vdevtest_write(t, VDEVTEST_MEM, at + 0x1ff8, 8, 77);
	assert_int_equal(run(t, PROBE_HOST, 0x1ff8, 0, 0), EOK);
	assert_int_equal(reg(t, 0), 77);
	assert_int_equal(run(t, PROBE_INFO, at + 0x1000, 8, 0), EOK);
	assert_int_equal(reg(t, 0), PASS | GRF_ACTIVE);
	assert_int_equal(reg(t, 8), at);
	assert_int_equal(reg(t, 16), 0x2000);
	/* Changed: read by itself, writes to the vdev. */
	assert_int_equal(run(t, PROBE_SET, at, 0x2000, GRF_PASS_RD | GRF_VIRT_WR), EOK);
	vdevtest_write(t, VDEVTEST_MEM, at + 8, 4, 99);
	assert_int_equal(counter(t, PROBE_TRAPPED), 99);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, at + 8, 4), 0xa5a5a5a5);
	/* Trapped altogether, then gone. */
	assert_int_equal(run(t, PROBE_SET, at, 0x2000, GRF_VIRT_RD | GRF_VIRT_WR), EOK);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, at + 8, 4), 0x7008);
	assert_int_equal(run(t, PROBE_SET, at, 0x2000, GRF_NONE), EOK);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, at, 4), 0xffffffff);
	assert_int_equal(run(t, PROBE_SET, at, 0x2000, GRF_NONE), ENOENT);
	/* Reserved: nothing is there, and nothing else may be. */
	assert_int_equal(run(t, PROBE_SET, at, 0x1000, GRF_NOPERMS), EOK);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, at, 4), 0xffffffff);
	assert_int_equal(run(t, PROBE_SET, at, 0x2000, PASS), EEXIST);
	vdevtest_end(t);
}

/* The sanitizers see each use of what was freed; without them it takes one that meets what came
 * there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CHANGES = 300 };
#else
enum { CHANGES = 10000 };
#endif

struct reader {
	struct vdevtest *t;
	uint64_t at;
	atomic_bool stop;
	atomic_uint there, gone, other;
};

static void *keep_reading(void *arg)
{
	struct reader *r = arg;
	struct vdevtest_cpu *cpu = vdevtest_cpu_create(r->t);

	while (!atomic_load(&r->stop)) {
		uint64_t value = vdevtest_cpu_read(cpu, VDEVTEST_MEM, r->at + 8, 4);

		atomic_fetch_add(value == 0xa5a5a5a5   ? &r->there
				 : value == 0xffffffff ? &r->gone
						       : &r->other,
				 1);
	}
	vdevtest_cpu_free(cpu);
	return NULL;
}

/* Each access finds the memory or nothing, whatever happens to it meanwhile. */
static void regions_change_while_others_use_them(void **state)
{
	struct reader r = { .t = test_start(PROBE), .at = 0x10000000 };
	pthread_t threads[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, keep_reading, &r), 0);
	for (unsigned i = 0; i < CHANGES || !atomic_load(&r.there) || !atomic_load(&r.gone); i++) {
		assert_int_equal(run(r.t, PROBE_SET, r.at, 0x2000, PASS), EOK);
		assert_int_equal(run(r.t, PROBE_SET, r.at, 0x2000, GRF_PASS_RD), EOK);
		sched_yield();
		assert_int_equal(run(r.t, PROBE_SET, r.at, 0x2000, GRF_NONE), EOK);
		sched_yield();
	}
	atomic_store(&r.stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&r.other), 0);
	vdevtest_end(r.t);
}

/* What the engine does not take is never seen, and what was there comes back. */
static void memory_that_is_refused_is_not_used(void **state)
{
	struct reader r = { .t = test_start(PROBE), .at = 0x10000000 };
	pthread_t threads[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, keep_reading, &r), 0);
	for (unsigned i = 0; i < CHANGES || !atomic_load(&r.there) || !atomic_load(&r.gone); i++) {
		assert_int_equal(run(r.t, PROBE_SET_NOWHERE, r.at, 0x2000, PASS), EINVAL);
		assert_int_equal(run(r.t, PROBE_SET, r.at, 0x2000, GRF_NONE), ENOENT);
		assert_int_equal(run(r.t, PROBE_SET, r.at, 0x2000, PASS), EOK);
		assert_int_equal(run(r.t, PROBE_SET_NOWHERE, r.at, 0x2000, PASS), EINVAL);
		assert_int_equal(vdevtest_read(r.t, VDEVTEST_MEM, r.at, 4), 0xa5a5a5a5);
		sched_yield();
		assert_int_equal(run(r.t, PROBE_SET, r.at, 0x2000, GRF_NONE), EOK);
		sched_yield();
	}
	atomic_store(&r.stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&r.other), 0);
	vdevtest_end(r.t);
}

enum { CHANGES_EACH = 2000 };

struct changer {
	struct vdevtest_cpu *cpu;
	uint64_t probe; /* whose registers are there */
	enum command command;
	uint64_t at, len;
	unsigned errors;
};

static void *keep_changing(void *arg)
{
	struct changer *c = arg;
	const unsigned flags[] = { GRF_VIRT_RD | GRF_VIRT_WR, GRF_VIRT_RD, GRF_NONE };

	for (unsigned i = 0; i < CHANGES_EACH; i++) {
		for (unsigned k = 0; k < 3; k++) {
			const uint64_t args[] = { c->at + i % 8 * c->len, c->len, flags[k] };

			for (unsigned n = 0; n < 3; n++)
				vdevtest_cpu_write(c->cpu, VDEVTEST_MEM, c->probe + 8 + 8 * n, 8,
						   args[n]);
			vdevtest_cpu_write(c->cpu, VDEVTEST_MEM, c->probe, 8, c->command);
			c->errors +=
				vdevtest_cpu_read(c->cpu, VDEVTEST_MEM, c->probe + 0x20, 8) != EOK;
		}
	}
	return NULL;
}

/* Two vCPUs, each with regions of another type. */
static void regions_of_both_types_change_at_once(void **state)
{
	struct vdevtest *t = test_start(PROBE "vdev probe loc 0xfb000000");
	struct changer changers[] = {
		{ .probe = AT, .command = PROBE_SET, .at = 0x10000000, .len = 0x1000 },
		{ .probe = 0xfb000000, .command = PROBE_SET_PORTS, .at = 0x4000, .len = 16 },
	};
	pthread_t threads[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		changers[i].cpu = vdevtest_cpu_create(t);
		assert_int_equal(pthread_create(&threads[i], NULL, keep_changing, &changers[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		vdevtest_cpu_free(changers[i].cpu);
		assert_int_equal(changers[i].errors, 0);
	}
	vdevtest_end(t);
}

static void a_lock_is_of_its_type(void **state)
{
	struct vdevtest *t = test_start(PROBE);

	(void)state;
	assert_int_equal(run(t, PROBE_LOCKS, 0x10000000, 0x1000, GRF_NOPERMS), EOK);
	assert_int_equal(reg(t, 0), 0xff);
	vdevtest_end(t);
}

static void regions_that_cannot_be(void **state)
{
	struct vdevtest *t = test_start(PROBE);

	(void)state;
	assert_int_equal(run(t, PROBE_SET_UNLOCKED, 0x10000000, 0x1000, PASS), EPERM);
	assert_int_equal(run(t, PROBE_SET, 0x100000, 0x1000, PASS), EEXIST);   /* RAM */
	assert_int_equal(run(t, PROBE_SET, 0xfee00000, 0x1000, PASS), EEXIST); /* local APIC */
	assert_int_equal(run(t, PROBE_SET, 0xfa000000, 0x1000, PASS), EEXIST); /* the vdev itself */
	assert_int_equal(run(t, PROBE_SET, 0x10000800, 0x1000, PASS), EINVAL);
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0x800, PASS), EINVAL);
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0x1000, GRF_PASS_WR), EINVAL);
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0, PASS), EINVAL);
	assert_int_equal(run(t, PROBE_SET, UINT64_MAX - 0xfff, 0x2000, PASS), EINVAL);
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0x1000, GRF_DMA_USES), EINVAL);
	/* As many as there may be, and one more. */
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(run(t, PROBE_SET, 0x20000000 + 0x1000 * i, 0x1000, GRF_NOPERMS),
				 EOK);
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0x1000, GRF_NOPERMS), ENOSPC);
	assert_int_equal(run(t, PROBE_SET, 0x20000000, 0x1000, GRF_NONE), EOK);
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0x1000, PASS), EOK);
	vdevtest_end(t);
	test_refused(PROBE "region 0x1000", "overlaps ram");
	test_refused(PROBE "empty", "at 0xfa000000 with a length of 0");
	/* KVM's own chips are not on the bus. */
	t = test_start("ram 4m vdev ioapic vdev 8259 loc io:0x20 vdev 8259 loc io:0xa0 "
		       "vdev probe loc 0xfa000000 region mem:0x10000000");
	assert_int_equal(run(t, PROBE_SET, 0xfec00000, 0x1000, PASS), EEXIST);
	assert_int_equal(run(t, PROBE_SET, 0xfebff000, 0x2000, GRF_VIRT_RD), EEXIST);
	assert_int_equal(run(t, PROBE_SET_PORTS, 0x21, 1, GRF_VIRT_WR), EEXIST);
	assert_int_equal(run(t, PROBE_SET_PORTS, 0x4d1, 1, GRF_VIRT_WR), EEXIST);
	assert_int_equal(run(t, PROBE_SET_PORTS, 0x22, 1, GRF_VIRT_WR), EOK);
	/* The place of one that was there from the start and went is free. */
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0x2000, PASS), EEXIST);
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0x1000, GRF_NONE), EOK);
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0x2000, PASS), EOK);
	vdevtest_end(t);
}

/* Before the VM is planned. */
static void regions_change_in_the_start(void **state)
{
	struct vdevtest *t = test_start(PROBE "region mem:0x10000000 region mem:0x10000000 "
					      "region mem:0x10001000 drop mem:0x10001000 "
					      "region mem:0x1000 drop mem:0x1000");

	(void)state;
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x10000010, 4), 0x7010);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x10001010, 4), 0xffffffff);
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0x1000, GRF_NONE), EOK);
	assert_int_equal(run(t, PROBE_SET, 0x10000000, 0x1000, GRF_NONE), ENOENT);
	vdevtest_end(t);
	test_refused(PROBE "drop mem:0x10000000", "does not start");
}

static void places_are_found(void **state)
{
	struct vdevtest *t = test_start("ram 0,640k ram 1m,3m rom 8m,1m vdev probe loc 0xfa000000 "
					"region mem:0x10000000");

	(void)state;
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x10000010, 4), 0x7010);
	assert_int_equal(run(t, PROBE_FIND, QST_MEMORY, 0x100000, 0x100000), EOK);
	assert_int_equal(reg(t, 0), 0x400000);
	assert_int_equal(run(t, PROBE_FIND, QST_MEMORY, 0x800000, 0x100000), EOK);
	assert_int_equal(reg(t, 0), 0x900000);
	/* Behind what the vdev has, the PCI window and the fixed places. */
	assert_int_equal(run(t, PROBE_FIND, QST_MEMORY, 0xe0000000, 0x1000), EOK);
	assert_int_equal(reg(t, 0), 0xff000000);
	assert_int_equal(run(t, PROBE_FIND, QST_X86_IO, 8, 8), EOK);
	assert_int_equal(reg(t, 0), 0x1000);
	assert_int_equal(run(t, PROBE_FIND, QST_MEMORY, 8, 3), EOK);
	assert_int_equal(reg(t, 0), UINT64_MAX);
	assert_int_equal(run(t, PROBE_INFO, 0x800000, 0x1000, 0), EOK);
	assert_int_equal(reg(t, 0), GRF_ACTIVE | GRF_MEMORY | GRF_PASS_RD | GRF_PASS_EX);
	assert_int_equal(run(t, PROBE_INFO, AT, 4, 0), EOK);
	assert_int_equal(reg(t, 0), GRF_ACTIVE | GRF_VIRT_RD | GRF_VIRT_WR);
	assert_int_equal(run(t, PROBE_INFO, 0x3ff000, 0x2000, 0), ENOENT);
	assert_int_equal(run(t, PROBE_WALK, 0x1000, 0x1000000, 0), EOK);
	assert_int_equal(reg(t, 0), 3);
	assert_int_equal(reg(t, 24), 0x900000);
	assert_int_equal(run(t, PROBE_WALK, UINT64_MAX, 2, 0), EINVAL);
	/* To the last address that there is. */
	assert_int_equal(run(t, PROBE_WALK, 0x801000, 0 - UINT64_C(0x801000), 0), EOK);
	assert_int_equal(reg(t, 0), 1);
	assert_int_equal(reg(t, 16), 0 - UINT64_C(0x900000));
	assert_int_equal(reg(t, 24), 0x900000);
	assert_int_equal(run(t, PROBE_SET, 0 - UINT64_C(0x1000), 0x1000, GRF_NOPERMS), EOK);
	assert_int_equal(run(t, PROBE_FIND_FROM, 0 - UINT64_C(0x2000), 0x1000, 0x1000), EOK);
	assert_int_equal(reg(t, 0), 0 - UINT64_C(0x2000));
	assert_int_equal(run(t, PROBE_FIND_FROM, 0 - UINT64_C(0x1000), 0x1000, 0x1000), EOK);
	assert_int_equal(reg(t, 0), UINT64_MAX);
	*(uint64_t *)vdevtest_ram(t, 0x200000, 8) = 0x1122;
	assert_int_equal(run(t, PROBE_HANDLE, 0x200000, 0, 0), EOK);
	assert_int_equal(reg(t, 0), 0x1122);
	assert_int_equal(run(t, PROBE_HANDLE, 0x500000, 0, 0), EFAULT);
	int err = run(t, PROBE_CONTIG, 0x200010, 0x4000, GMF_READ);

	assert_true(err == EOK || err == EPERM); /* the right of root */
	if (!err)
		assert_true(reg(t, 0) >= 0xff0 && reg(t, 0) <= 0x4000);
	vdevtest_end(t);
}

/* While places are still being chosen. */
static void places_are_found_beside_those_of_other_vdevs(void **state)
{
	struct vdevtest *t = test_start("ram 4m vdev probe place 0x10000000 extra 0x10001000 "
					"vdev probe place 0x10000000 "
					"vdev probe loc 0x10004000 region 0x10002000");

	(void)state;
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x10000000, 8), 0);
	vdevtest_write(t, VDEVTEST_MEM, 0x10000008, 8, 1);
	vdevtest_write(t, VDEVTEST_MEM, 0x10003008, 8, 2);
	vdevtest_write(t, VDEVTEST_MEM, 0x10004008, 8, 3);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x10000008, 8), 1);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x10001008, 8), 0x7008);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x10002008, 8), 0x7008);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0x10003008, 8), 2);
	vdevtest_end(t);
}

/* Memory that nobody has used yet is where it will be when it is written. */
static void fresh_memory_has_its_place(void **state)
{
	struct vdevtest *t = test_start(PROBE);
	int err = run(t, PROBE_CONTIG, 0x300000, 0x1000, GMF_READ | GMF_WRITE);
	uint64_t at = reg(t, 8);

	(void)state;
	assert_true(err == EOK || err == EPERM);
	*(uint8_t *)vdevtest_ram(t, 0x300000, 1) = 1;
	assert_int_equal(run(t, PROBE_CONTIG, 0x300000, 0x1000, GMF_READ), err);
	assert_true(err || reg(t, 8) == at);
	vdevtest_end(t);
}

static void state_is_reached(void **state)
{
	struct vdevtest *t = test_start(PROBE);

	(void)state;
	assert_int_equal(run(t, PROBE_WRITE, QST_CPUREGS, 8, 55), EOK); /* rbx */
	assert_int_equal(run(t, PROBE_READ, QST_CPUREGS, 8, 0), EOK);
	assert_int_equal(reg(t, 0), 55);
	assert_int_equal(run(t, PROBE_WRITE, QST_CPUREGS, 128, 55), EPERM); /* rip */
	assert_int_equal(run(t, PROBE_READ, QST_CPUREGS, 144, 0), EINVAL);
	assert_int_equal(run(t, PROBE_READ, QST_X86_MSR, 0x10, 0), -1);
	assert_int_equal(run(t, PROBE_WRITE, QST_X86_MSR, 0x10, 3), EOK);
	assert_int_equal(run(t, PROBE_READ, QST_X86_MSR, 0x10, 0), EOK);
	assert_int_equal(reg(t, 0), 3);
	assert_int_equal(run(t, PROBE_READ, QST_X86_SEGREGS, 0, 0), ENOTSUP); /* no such CPU */
	assert_int_equal(run(t, PROBE_READ, QST_PCI, 0, 0), ENOTSUP);
	assert_int_equal(run(t, PROBE_READ, QST_IMMEDIATE, 9, 0), EOK);
	assert_int_equal(reg(t, 0), 9);
	vdevtest_end(t);
}

static void calls_have_their_stage(void **state)
{
	struct vdevtest *t = test_start(PROBE);

	(void)state;
	assert_int_equal(run(t, PROBE_TOO_LATE, 0, 0, 0), EOK);
	assert_int_equal(reg(t, 0), 0x1ff);
	vdevtest_end(t);
	test_refused(PROBE "late", "does not start");
}

static void interrupts_are_assigned(void **state)
{
	struct vdevtest *t = test_start("ram 4m vdev recorder name pic loc 0xfa001000 "
					"vdev probe loc 0xfa000000 line pic:103 catch 0xfe000000 "
					"button");

	(void)state;
	assert_int_equal(run(t, PROBE_MSI, 0xfe000abc, 12, 0), EOK);
	assert_int_equal(counter(t, PROBE_MESSAGES), UINT64_C(42) << 32 | 12);
	assert_int_equal(vdevtest_messages(t, 0, NULL, NULL), 0);
	assert_int_equal(run(t, PROBE_MSI, 0xfee00000, 13, 0), EOK);
	assert_int_equal(vdevtest_messages(t, 0, NULL, NULL), 1);
	assert_true(vdevtest_button(t));
	assert_int_equal(counter(t, PROBE_BUTTONS), 1);
	vdevtest_end(t);
	t = test_start(PROBE);
	assert_false(vdevtest_button(t));
	vdevtest_end(t);
	test_refused("ram 4m vdev recorder name pic loc 0xfa001000 "
		     "vdev probe loc 0xfa000000 intr pic:103 line pic:103",
		     "already");
	test_refused(PROBE "line pic:3", "does not start");
}

/* The highest that nobody has and the file does not reserve. */
static void a_line_is_picked(void **state)
{
	struct vdevtest *t = test_start("ram 4m vdev ioapic name p reserve intr 23 intr 21 "
					"vdev probe loc 0xfb000000 line p:22 "
					"vdev probe loc 0xfa000000 pick");

	(void)state;
	assert_int_equal(run(t, PROBE_LINE, 0, 0, 0), EOK);
	assert_int_equal(reg(t, 0), 20);
	vdevtest_end(t);
	t = test_start("ram 4m vdev ioapic name p reserve intr 21 "
		       "vdev probe loc 0xfa000000 line p:21");
	vdevtest_end(t);
	/* A controller whose lines the guest's tables do not number. */
	t = test_start("ram 4m vdev recorder name pic loc 0xfa001000 reserve intr 7 "
		       "vdev probe loc 0xfa000000 pick");
	assert_int_equal(run(t, PROBE_LINE, 0, 0, 0), EOK);
	assert_int_equal(reg(t, 0) & 7, 7); /* beside a bit of the controller's */
	vdevtest_end(t);
}

static void pulses_and_timers(void **state)
{
	struct vdevtest *t = test_start(PROBE);

	(void)state;
	assert_int_equal(run(t, PROBE_PULSE, 7, 0, 0), EOK);
	assert_true(reaches(t, PROBE_PULSES, 7));
	assert_int_equal(run(t, PROBE_PULSE, 0x80, 0, 0), EOK);
	assert_true(reaches(t, PROBE_PULSES, 0x80));
#ifndef __SANITIZE_THREAD__ /* which does not know the C library's thread for such events */
	assert_int_equal(run(t, PROBE_EVENT, 0, 0, 0), EOK);
	assert_true(reaches(t, PROBE_PULSES, 33));
#endif
	assert_int_equal(run(t, PROBE_TIMER, 1000000, 0, 0), EOK);
	assert_true(reaches(t, PROBE_TIMERS, 0x100)); /* with its vCPU */
	vdevtest_end(t);
}

/* What happened to the timer meanwhile does not count. */
static void a_timer_goes_on_from_its_last_firing(void **state)
{
	struct vdevtest *t = test_start_stepped(PROBE);
	uint64_t start = vdevtest_clock(t);

	(void)state;
	run(t, PROBE_TIMER, 1000, 0, 0);
	assert_true(vdevtest_clock_set(t, start + 5000));
	assert_int_equal(counter(t, PROBE_TIMERS), 0x100);
	run(t, PROBE_TIMER, 0, 0, 0);
	assert_true(vdevtest_clock_set(t, start + 6000));
	run(t, PROBE_TIMER, 10000, 1, 0);
	assert_true(vdevtest_clock_set(t, start + 10999));
	assert_int_equal(counter(t, PROBE_TIMERS), 0x100);
	assert_true(vdevtest_clock_set(t, start + 11000));
	assert_int_equal(counter(t, PROBE_TIMERS), 0x200);
	vdevtest_end(t);
}

#ifndef __SANITIZE_THREAD__
/* The C library delivers an event when its vdev is gone: that is nobody's. */
static void a_pulse_may_be_under_way_at_the_end(void **state)
{
	struct vdevtest *t;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		t = test_start(PROBE);
		assert_int_equal(run(t, PROBE_EVENT, 0, 0, 0), EOK);
		vdevtest_end(t);
	}
	t = test_start(PROBE);
	assert_int_equal(run(t, PROBE_EVENT, 0, 0, 0), EOK);
	assert_true(reaches(t, PROBE_PULSES, 33)); /* the others were before it */
	vdevtest_end(t);
}
#endif

/* The vdev is left in the middle; what others have done wrong is told too. */
static void a_fatal_error_ends_the_start(void **state)
{
	struct vdevtest *t = vdevtest_start(PROBE "fatal this vdev probe loc 0xfb000000 line x:1");

	(void)state;
	assert_null(t);
	assert_non_null(strstr(vdevtest_errors(), "cannot go on with 'this'"));
	assert_non_null(strstr(vdevtest_errors(), "bench:1:"));
	assert_non_null(strstr(vdevtest_errors(), "does not start"));
	test_refused(PROBE "outf that", "does not like 'that'");
}

static void numbers_end_where_they_do(void **state)
{
	(void)state;
	test_refused(PROBE "parse 12", "found 12'' 12'' 18''");
	test_refused(PROBE "parse 10ms", "found 10'ms' 10485760's' 10485760's'");
	test_refused(PROBE "parse 0x1f,3", "found 31',3' 31',3' 31',3'");
	test_refused(PROBE "parse 5x3", "found 5'x3' 5'x3' 5'x3'");
	test_refused(PROBE "parse 12abz", "found 12'abz' 12'abz' 4779'z'");
	test_refused(PROBE "parse ms", "found 0'-' 0'-' 0'-'");
	test_refused(PROBE "parse 99999999999999999999s", "found 0'-' 0'-' 0'-'");
}

static void a_named_vdev_has_a_path(void **state)
{
	struct vdevtest *t;
	uint64_t text;

	(void)state;
	unsetenv("QVM_RUN_DIR");
	t = test_start("system sys " PROBE "name p");
	assert_int_equal(run(t, PROBE_PATH, 6, 0, 0), strlen("/run/qvm/sys/p"));
	text = reg(t, 0);
	assert_memory_equal(&text, "vm/sys/p", 8);
	vdevtest_end(t);
	t = test_start(PROBE);
	assert_int_equal(run(t, PROBE_PATH, 0, 0, 0), 0);
	vdevtest_end(t);
}

/* Compiled with QVM_VDEV_API 71. */
static void old_vdevs_build_and_run(void **state)
{
	struct vdevtest *t = test_start("ram 4m vdev old loc 0xfa000000 emit 3");
	uint64_t addr;
	uint32_t data;

	(void)state;
	memcpy(vdevtest_ram(t, 0x100000, 4), "\x11\x22\x33\x44", 4);
	vdevtest_write(t, VDEVTEST_MEM, AT, 4, 0x100000);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, AT, 4), 0x44332211);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, AT + 4, 4), 3);
	assert_int_equal(vdevtest_messages(t, 0, &addr, &data), 1);
	assert_int_equal(addr, 0xfee00000);
	assert_int_equal(data, 0x40);
	vdevtest_write(t, VDEVTEST_MEM, AT, 4, 0x10000000); /* no RAM */
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, AT, 4), 0);
	vdevtest_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_are_taken_over),
		cmocka_unit_test(leaves_are_answered),
		cmocka_unit_test(memory_comes_and_goes),
		cmocka_unit_test(regions_change_while_others_use_them),
		cmocka_unit_test(memory_that_is_refused_is_not_used),
		cmocka_unit_test(regions_of_both_types_change_at_once),
		cmocka_unit_test(a_lock_is_of_its_type),
		cmocka_unit_test(regions_that_cannot_be),
		cmocka_unit_test(regions_change_in_the_start),
		cmocka_unit_test(places_are_found),
		cmocka_unit_test(places_are_found_beside_those_of_other_vdevs),
		cmocka_unit_test(fresh_memory_has_its_place),
		cmocka_unit_test(state_is_reached),
		cmocka_unit_test(calls_have_their_stage),
		cmocka_unit_test(interrupts_are_assigned),
		cmocka_unit_test(a_line_is_picked),
		cmocka_unit_test(pulses_and_timers),
		cmocka_unit_test(a_timer_goes_on_from_its_last_firing),
#ifndef __SANITIZE_THREAD__
		cmocka_unit_test(a_pulse_may_be_under_way_at_the_end),
#endif
		cmocka_unit_test(a_fatal_error_ends_the_start),
		cmocka_unit_test(numbers_end_where_they_do),
		cmocka_unit_test(a_named_vdev_has_a_path),
		cmocka_unit_test(old_vdevs_build_and_run),
	};

	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
