/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The types that every part of the vdev API shares: a vdev, a place in the guest (state block), an
 * interrupt. Names and meanings follow the documented QNX Hypervisor 8.0 vdev API; numbers that its
 * documents do not give are ours and are marked. Layouts are part of the ABI and asserted in
 * src/vdev/abi.c.
 */
#ifndef QVM_TYPES_H
#define QVM_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef EOK
#define EOK 0
#endif

typedef int errno_t;
typedef struct vdev_s vdev_t;

/* Opaque: a vCPU of the guest, a time-counting entity with a callback, the VM's address space. */
struct guest_cpu;
struct guest_timer;
struct guest_system;

/* What a state block's location counts in. */
typedef enum qvm_state_types {
	QST_MEMORY,    /* guest-physical address */
	QST_VIRTUAL,   /* guest-virtual address */
	QST_CPUREGS,   /* byte offset in the general registers */
	QST_FPUREGS,   /* byte offset in the floating point registers */
	QST_HOST,      /* host-virtual address in this process */
	QST_PCI,       /* QSL_PCI_MAKE_LOC: bus, device, function and configuration register */
	QST_PCI_IO,    /* PCI I/O space on machines that have none of their own */
	QST_IMMEDIATE, /* the location is the value */
	QST_ARCH_SPECIFIC = 0x8000,
	QST_X86_IO = 0x8000, /* port number */
	QST_X86_SEGREGS,
	QST_X86_CTRLREGS,
	QST_X86_DBGREGS,
	QST_X86_MSR,
	QST_ARM_SR = 0x8000,
	QST_NO_TYPE = 0xffff
} qvm_state_types_t;

typedef uint32_t qvm_state_flags_t;

/* `location` of a vdev that has no place yet (ours). */
#define QSL_NO_LOCATION UINT64_MAX

/* QST_PCI locations (layout ours): bits 31-24 bus, 23-19 device, 18-16 function, 11-0 configuration
 * register. */
#define QSL_PCI_MAKE_LOC(bus, dev, func, reg)                                           \
	(((uint64_t)(bus) << 24) | ((uint64_t)(dev) << 19) | ((uint64_t)(func) << 16) | \
	 (uint64_t)(reg))
#define QSL_PCI_BUS(loc)  ((unsigned)((loc) >> 24) & 0xffu)
#define QSL_PCI_DEV(loc)  ((unsigned)((loc) >> 19) & 0x1fu)
#define QSL_PCI_FUNC(loc) ((unsigned)((loc) >> 16) & 0x7u)
#define QSL_PCI_REG(loc)  ((unsigned)(loc)&0xfffu)

struct qvm_state_block {
	uint64_t location; /* in units of qst_type */
	uint64_t length;   /* bytes */
	qvm_state_types_t qst_type;
	qvm_state_flags_t qst_flags;
	uint32_t spare;
};

/* One source of one interrupt line. */
typedef struct guest_intr {
	vdev_t *pic;	 /* the interrupt controller, NULL: none given */
	unsigned param;	 /* pin number and GIPF_* */
	unsigned src_id; /* which of the line's sources this is; given out by the core */
} guest_intr_t;

/* Bits of guest_intr.param above the pin number (values ours). */
#define GIPF_PIN_MASK	0x0000ffffu
#define GIPF_LEVEL	0x00010000u
#define GIPF_ACTIVE_LOW 0x00020000u

typedef enum guest_intr_state { GIS_OFF = 0x02, GIS_ON = 0x01, GIS_ISR = 0x04 } guest_intr_state_t;

typedef enum guest_intr_notifications { GIN_UNMASK = 1, GIN_ACK = 2 } guest_intr_notifications_t;

/* Scheduling of threads that a vdev makes (field order ours). */
struct qvm_sched_info {
	int priority; /* 0: as the vdev's VM */
	int policy;   /* SCHED_OTHER, SCHED_RR or SCHED_FIFO */
};

#ifdef __cplusplus
}
#endif

#endif
