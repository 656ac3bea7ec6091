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

/*
 * Which version of the interface a vdev is written to: 80 (8.0), or 71 (7.x) by `#define
 * QVM_VDEV_API 71` before the first header. Some functions have one name and two argument lists;
 * those of 7.x are other symbols (QVM_API_71). Layouts are those of 8.0 in both: 7.x sources find
 * their own names of fields.
 */
#ifndef QVM_VDEV_API
#define QVM_VDEV_API 80
#endif
#if QVM_VDEV_API != 71 && QVM_VDEV_API != 80
#error "QVM_VDEV_API is 71 or 80"
#endif
#define QVM_API_71(name) __asm__(#name "_71")

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
#if QVM_VDEV_API < 80
	qvm_state_types_t type;
	qvm_state_flags_t flags;
#else
	qvm_state_types_t qst_type;
	qvm_state_flags_t qst_flags;
#endif
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

enum guest_intr_notifications { GIN_UNMASK = 1, GIN_ACK = 2 };
typedef uint32_t guest_intr_notifications_t;

/* What a controller's table_spec is asked for. */
typedef enum guest_table_spec_component {
	GTSC_FDT_INTR /* cells of a device tree's `interrupts`, big endian */
} guest_table_spec_component_t;

/* What a region of the guest's address space is; see gasp.h. */
enum gasp_region_flags {
	GRF_NONE = 0x00000000,
	GRF_VIRT_RD = 0x00000001, /* a read exits and reaches vread */
	GRF_VIRT_WR = 0x00000002, /* a write exits and reaches vwrite */
	GRF_VIRT_EX = 0x00000004, /* an execution follows the VM's `unsupported` rules */
	GRF_VIRT_ANY = GRF_VIRT_RD | GRF_VIRT_WR | GRF_VIRT_EX,
	GRF_PASS_RD = 0x00000008, /* reads, writes, executions reach host memory without an exit */
	GRF_PASS_WR = 0x00000010,
	GRF_PASS_EX = 0x00000020,
	GRF_PASS_ANY = GRF_PASS_RD | GRF_PASS_WR | GRF_PASS_EX,
	GRF_NOCACHE = 0x00000040,
	GRF_ACTIVE = 0x00000080, /* told by gasp_region_info: it is there */
	GRF_MEMORY = 0x00000100, /* told: RAM or ROM of the VM */
	GRF_PASSTHRU = 0x00000200,
	GRF_DMA_USES = 0x00000400,
	GRF_DMA_NO_USE = 0x00000800,
	GRF_DMA_SOURCE = 0x00001000,
	GRF_DMA_TARGET = 0x00002000,
	GRF_PRECIOUS = 0x00004000,
	GRF_NOPERMS = 0x00008000, /* reserved: accesses go to nothing */
	GRF_BACKUP_SHIFT = 28 - 3,
	GRF_STICKY = GRF_MEMORY | GRF_DMA_SOURCE | GRF_DMA_TARGET | GRF_PASSTHRU
};
#define GRF_BACKUP_MASK 0xf0000000u
typedef uint32_t gasp_region_flags_t;

/* A region of the guest's address space. */
struct gasp_region {
#if QVM_VDEV_API < 80
	gasp_region_flags_t flags;
#else
	gasp_region_flags_t grf_flags;
#endif
	uint32_t cookie;	      /* comes back in vread and vwrite */
	vdev_t *vdev;		      /* whose vread and vwrite, with GRF_VIRT_* */
	uint64_t host_location;	      /* with GRF_PASS_*: host-virtual address in this process */
	struct qvm_state_block guest; /* QST_MEMORY or QST_X86_IO */
};

/* Scheduling of threads that a vdev makes (field order ours). */
struct qvm_sched_info {
	int priority; /* 0: as the vdev's VM */
	int policy;   /* SCHED_OTHER, SCHED_RR or SCHED_FIFO */
};

#ifdef __cplusplus
}
#endif

#endif
