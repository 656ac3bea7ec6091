/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heart of the vdev API: what a vdev is, how it registers, when it is called.
 *
 * A vdev is a shared object vdev-NAME.so with one static `struct vdev_factory` that a constructor
 * hands to vdev_register_factory(). The core then makes one vdev_t for each `vdev NAME` in the
 * configuration. control is called on the main thread only, also while the guest runs
 * (VDEV_CTRL_STATUS, _BUTTON). The start-up stage (everything up to and including
 * VDEV_CTRL_GUEST_CONFIGURED) has no other; from then on vread and vwrite run on the thread of the
 * vCPU that made the access and timer on the VM's clock thread or a vCPU's, several at once: lock
 * with v_mtx (VFF_MUTEX), which the core initialises and the vdev locks. Follows the documented QNX
 * Hypervisor 8.0 vdev API; numbers its documents do not give are ours and marked.
 */
#ifndef QVM_VDEV_CORE_H
#define QVM_VDEV_CORE_H

#include <pthread.h>
#include <sys/types.h>
#include <qvm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdev_factory;
struct guest_timer_data;
struct sigevent; /* of signal.h */

struct vdev_s {
	void *v_device; /* the vdev's own state: extra_space bytes, zeroed */
	const struct vdev_factory *v_factory;
	struct qvm_state_block v_block; /* where it is in the guest */
	guest_intr_t v_intr;		/* its interrupt, if it has one */
	pthread_mutex_t v_mtx;		/* with VFF_MUTEX */
	struct qvm_sched_info v_sched;
#if QVM_VDEV_API < 80
	struct guest_system *v_gsp; /* the VM */
#endif
};

/* Reasons of a control call. */
enum vdev_ctrl_options {
	VDEV_CTRL_OPTIONS_START = 0,
	VDEV_CTRL_OPTIONS_END = 1,
	VDEV_CTRL_GUEST_CONFIGURED = 2,
	VDEV_CTRL_BOOTUP = VDEV_CTRL_GUEST_CONFIGURED,
	VDEV_CTRL_TERMINATE = 3,
	VDEV_CTRL_STATUS = 4,
	VDEV_CTRL_GEN_ACPI = 5,
	VDEV_CTRL_GEN_FDT = 6,
	VDEV_CTRL_BUTTON = 7,
	VDEV_CTRL_ASSIGN = 8,	      /* value ours */
	VDEV_CTRL_GUEST_STARTING = 9, /* value ours; arg: the boot vCPU's struct guest_cpu * */
	VDEV_CTRL_PCI_BARS = 10,      /* value ours */
	VDEV_CTRL_FIRST_OPTIDX =
		0x100 /* value ours; + index in the option list, arg: the option's text */
};
typedef uint32_t vdev_ctrl_options_t;

/* How the guest goes on after vread or vwrite. */
typedef enum vdev_ref_status {
	VRS_NORMAL,	/* done, next instruction */
	VRS_NO_ADVANCE, /* done, the program counter stays */
	VRS_ABORT,	/* give up the emulation, run the guest again */
	VRS_BUS_ERROR,	/* the guest gets a bus error, or what the architecture has in its place */
	VRS_CONTINUE,	/* instruction callbacks: ask the next one */
	VRS_TERMINATE,	/* end the VM */
	VRS_ERRNO = 0x100
} vdev_ref_status_t;

struct vdev_pic_functions {
	unsigned flags;
	unsigned pnum_mask; /* the pin number's bits in guest_intr.param */
	int (*signal)(const guest_intr_t *intr, guest_intr_state_t state);
	/* The guest unmasked or acknowledged the line of another controller that this one drives
	 * (its v_intr). intr->pic is this controller, param that line. May be NULL. */
#if QVM_VDEV_API < 80
	void (*notify)(const guest_intr_t *intr, enum guest_intr_notifications what);
#else
	void (*notify)(const guest_intr_t *intr, guest_intr_notifications_t what);
#endif
	/* Text after "NAME:" to param; returns the rest of the text, NULL if it is no line of this
	 * controller. */
	const char *(*parse)(guest_intr_t *intr, const char *text);
	size_t (*string)(const guest_intr_t *intr, char *buf, size_t len);
	/* The line's form in the guest's tables: bytes needed (written if len is enough), or a
	 * negative errno. NULL: the core's. Start-up stage. */
	ssize_t (*table_spec)(const guest_intr_t *intr, guest_table_spec_component_t what,
			      void *buf, size_t len);
};

/* Factory flags: which locations and interrupts the vdev takes, what the core does for it. */
#define VFF_NONE	    0x000u
#define VFF_INTR_NO	    0x002u /* never has an interrupt */
#define VFF_INTR_REQ	    0x004u /* must be given one */
#define VFF_INTR_NONPCI	    0x008u /* must be given one unless it is a PCI device */
#define VFF_LOC_NO	    0x010u /* has no location */
#define VFF_VDEV_MEM	    0x020u /* may lie in memory */
#define VFF_VDEV_X86_IO	    0x040u /* may lie in port space */
#define VFF_VDEV_PCI	    0x080u /* may be a PCI device */
#define VFF_VDEV_LOC_TYPES  (VFF_VDEV_MEM | VFF_VDEV_X86_IO | VFF_VDEV_PCI)
#define VFF_MUTEX	    0x100u /* v_mtx is made */
#define VFF_MUTEX_RECURSIVE 0x200u /* ... recursive; only with VFF_MUTEX */
#define VFF_RC		    0x400u /* reserved */
#define VFF_MANUAL_REGION   0x800u /* the vdev makes its own regions */

struct vdev_factory {
	struct vdev_factory *next; /* the core's */
	/* Required. Returns EOK or an errno. arg: see vdev_ctrl_options_t. */
#if QVM_VDEV_API < 80
	int (*control)(vdev_t *vdp, unsigned ctrl, const char *arg);
#else
	int (*control)(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg);
#endif
	/*
	 * The guest reads (writes) the vdev: vopnd says where in the vdev (location = byte offset
	 * in its region), oopnd where the value goes (comes from): move it with guest_cpu_write
	 * (guest_cpu_read). On the vCPU's thread; must not block. NULL: the VM's `unsupported
	 * reference` rule.
	 */
	vdev_ref_status_t (*vread)(vdev_t *vdp, unsigned cookie,
				   const struct qvm_state_block *vopnd,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp);
	vdev_ref_status_t (*vwrite)(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp);
	int (*pulse)(vdev_t *vdp, int8_t code); /* see vdev_pulse */
	void (*timer)(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
		      struct guest_cpu *gcp);
	const struct vdev_pic_functions *pic; /* interrupt controllers only */
	const char *const *option_list;	      /* NULL-terminated; see QVM_OPTION_NO_ARG_PREFIX */
	const char *name;		      /* NULL: from the file name */
	unsigned factory_flags;		      /* VFF_* */
	unsigned acc_sizes;   /* bit n set: accesses of n bytes reach the vdev. 0: all, but BARs of
				 x/pci.h are refused */
	unsigned extra_space; /* bytes at v_device, zeroed; 0: v_device is NULL */
	unsigned safety;      /* VDEV_SAFETY_* */
};

/* It is a safety variant: a VM whose configuration says `safety` takes it (value ours; see
 * QVMX_VDEV_SAFETY in x/conf.h for what that promises). */
#define VDEV_SAFETY_NONE     0u
#define VDEV_SAFETY_SELECTED 1u

/* An option_list entry that begins with this takes no argument. */
#define QVM_OPTION_NO_ARG_PREFIX "0"

/* Interface version (high half) and size of the factory, so that a loader knows what it was handed
 * (value ours). */
#define QVM_VDEV_ABI_VERSION 1u
#define QVM_VDEV_ABI	     ((QVM_VDEV_ABI_VERSION << 16) | (unsigned)sizeof(struct vdev_factory))

/* From the constructor of a shared object. factory has static lifetime; abi_version is
 * QVM_VDEV_ABI. */
void vdev_register_factory(struct vdev_factory *factory, unsigned abi_version);

/* Name and place for people, snprintf-like. After VDEV_CTRL_GUEST_CONFIGURED, any thread. */
int vdev_string(char *buf, size_t count, const vdev_t *vdp);

/*
 * Where a vdev with a `name` is found on the host: "/run/qvm/SYSTEM/NAME" as a text, snprintf-like;
 * 0 and an empty text for one without a name, and in a VM without `system`. After
 * VDEV_CTRL_GUEST_CONFIGURED, any thread. (Arguments ours.)
 */
int vdev_path(char *buf, size_t count, const vdev_t *vdp);

/*
 * Fill in ev, so that its delivery (timer_create, mq_notify, aio ...) has the factory's `pulse`
 * called with that code, on the vdev's own thread (x/loop.h), one at a time. priority and coid have
 * no meaning on Linux: pulses come in the order of delivery. After VDEV_CTRL_OPTIONS_START, before
 * the running stage. Without `pulse` in the factory, or without memory, the event does nothing
 * (SIGEV_NONE). ev may be used until VDEV_CTRL_TERMINATE. See qvmx_pulse_send for sending one
 * without an event.
 */
void vdev_pulse(vdev_t *vdp, int8_t code, int priority, struct sigevent *ev, int coid);

typedef void *vdev_thread_create_func_t(void *arg);

/*
 * A thread with a name (15 bytes are kept), all signals blocked. attr may be NULL. Any time from
 * VDEV_CTRL_OPTIONS_END on. Returns EOK or the errno of pthread_create. The vdev joins it in
 * VDEV_CTRL_TERMINATE.
 */
int vdev_thread_create(const vdev_t *vdp, const char *name, pthread_t *thread, pthread_attr_t *attr,
		       vdev_thread_create_func_t *start_routine, void *arg);

#ifdef __cplusplus
}
#endif

#endif
