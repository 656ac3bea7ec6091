/* SPDX-License-Identifier: Apache-2.0 */
/* What vdev probe and its tests have in common. */
#ifndef TESTS_VDEVS_PROBE_H
#define TESTS_VDEVS_PROBE_H

/* Scripts of guests have the numbers: new ones come last. */
enum command {
	PROBE_SET = 1, /* address, length, flags */
	PROBE_SET_UNLOCKED,
	PROBE_INFO,  /* address, length */
	PROBE_FIND,  /* type, size, alignment */
	PROBE_READ,  /* type, location: 8 bytes */
	PROBE_WRITE, /* type, location, value */
	PROBE_WALK,  /* address, length */
	PROBE_TOO_LATE,
	PROBE_MSI,   /* address, data */
	PROBE_PULSE, /* code */
	PROBE_EVENT,
	PROBE_HANDLE, /* address */
	PROBE_CONTIG, /* address, length, GMF_* */
	PROBE_POWER,
	PROBE_HOST,	 /* offset, write?, value */
	PROBE_TIMER,	 /* ns, from the last firing? */
	PROBE_PATH,	 /* offset in the text */
	PROBE_SET_PORTS, /* as PROBE_SET */
	PROBE_LOCKS,
	PROBE_LINE,	   /* its number; it is raised */
	PROBE_SET_NOWHERE, /* as PROBE_SET, of an address that no process has */
	PROBE_FIND_FROM,   /* address, size, alignment: in memory */
};

enum counter {
	PROBE_TRAPS,	/* callbacks for registers */
	PROBE_LEAVES,	/* ... for CPUID */
	PROBE_MESSAGES, /* cookie << 32 | data of the last one caught */
	PROBE_PULSES,	/* code of the last one */
	PROBE_TRAPPED,	/* last value written to a region with GRF_VIRT_WR */
	PROBE_BUTTONS,
	PROBE_TIMERS, /* 0x100 each with a vCPU */
	PROBE_WAITS,  /* power state notifications */
	PROBE_NUM_COUNTERS
};

/* Registers that its callbacks treat in a way of their own. */
enum { PROBE_MSR_PASS = 0x3a, PROBE_MSR_FAULT = 0xc0010099, PROBE_MSR_REGISTERS = 0xc0010077 };

#endif
