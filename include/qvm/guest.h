/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vdev asks of the guest it serves: moving values between itself and the guest, interrupts,
 * message signalled interrupts, timers in guest time, the end of the VM. All functions may be
 * called on any thread; the stage in which each may be called is given with it. Follows the
 * documented QNX Hypervisor 8.0 vdev API.
 */
#ifndef QVM_GUEST_H
#define QVM_GUEST_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint32_t guest_cpu_access_flags_t;
#define GXF_NONE 0u

/*
 * Read (write) data_len bytes from (to) nblks state blocks one after the other. Running stage. gcp
 * may be NULL for QST_MEMORY. QST_MEMORY reaches guest RAM (writes: not ROM) and nothing else.
 * Returns EOK; -1 when the guest must get an exception (see guest_cpu_to_vrs); EFAULT: outside
 * guest RAM; ERANGE: data_len is more than the blocks hold; EPERM: state of a vCPU that is not
 * stopped; EINVAL: outside of the registers; ENOTSUP: that type is not built. QST_CPUREGS reaches
 * gcp's registers (x/cpu.h) in VDEV_CTRL_GUEST_STARTING, where these two may be called as well.
 */
int guest_cpu_read(struct guest_cpu *gcp, guest_cpu_access_flags_t flags,
		   const struct qvm_state_block *blk, unsigned nblks, void *data, size_t data_len);
int guest_cpu_write(struct guest_cpu *gcp, guest_cpu_access_flags_t flags,
		    const struct qvm_state_block *blk, unsigned nblks, const void *data,
		    size_t data_len);

static inline vdev_ref_status_t guest_cpu_to_vrs(int errcode)
{
	if (errcode == EOK)
		return VRS_NORMAL;
	return errcode == -1 ? VRS_BUS_ERROR : (vdev_ref_status_t)((int)VRS_ERRNO + errcode);
}

/* Write all ones to blk: what a read of nothing gives. As guest_cpu_write. */
int guest_write_all_ones(struct guest_cpu *gcp, const struct qvm_state_block *blk);

/*
 * Set one source of an interrupt line. The line is the OR of its sources. An edge is GIS_ON, then
 * GIS_OFF. Running stage; without a system call where the line does not change. Returns EOK, or
 * EINVAL if gip has no controller.
 */
errno_t guest_intr_signal(guest_intr_t *gip, guest_intr_state_t gis);

/*
 * From an interrupt controller: the guest has unmasked (GIN_UNMASK) or acknowledged, that is ended
 * (GIN_ACK), the line `param` of vdp. Whoever drives that line is told: a controller on it by its
 * `notify`. Running stage, without the vdev's lock held if such a controller may signal from there.
 * guest_intr_notify is its name in the 7.x API.
 */
void guest_pic_notify(const vdev_t *vdp, unsigned param, guest_intr_notifications_t gin);
void guest_intr_notify(const vdev_t *vdp, unsigned param, guest_intr_notifications_t gin);

/* The number of pins of the controller that gip names, 0 if none. Start-up stage. */
unsigned guest_intr_num_pins(const guest_intr_t *gip);

/* Interrupt as text ("NAME:LINE"), snprintf-like; allocates nothing. Any stage. */
size_t guest_intr_string(const guest_intr_t *gip, char *buf, size_t len);

/* Send a message signalled interrupt. Running stage. */
void guest_msi_signal(vdev_t *src, uint64_t addr, unsigned data);

/* Times of a timer: host fields in ns of CLOCK_MONOTONIC, guest fields in ns of guest time. */
struct guest_timer_data {
	uint64_t host_notify_start, host_current;
	uint64_t guest_notify_start, guest_current;
};

/*
 * Make a timer. gcp must be NULL (timers of a vCPU are not built). data is handed to the factory's
 * `timer`. *resolutionp gets its frequency in Hz (1 000 000 000). Start-up stage. NULL on failure,
 * errno in *resolutionp.
 */
struct guest_timer *guest_timer_create(const struct guest_cpu *gcp, const vdev_t *vdp,
				       const void *data, uint64_t *resolutionp);

/*
 * Call the factory's `timer` once, incr units of the timer's resolution from now (tdp NULL) or from
 * the last firing (tdp: the data of that firing). incr 0 disarms. The callback runs on the VM's
 * clock thread with gcp NULL. Running stage. Returns EOK.
 */
int guest_timer_notify(struct guest_timer *vtp, const struct guest_timer_data *tdp, uint64_t incr);

/* The current times. Running stage. */
void guest_timer_state(const struct guest_timer *vtp, struct guest_timer_data *tdp);

/* Why a VM ends: becomes qvm's exit status. 1 to 31 are the system's, 32 to 63 a vdev's own. */
typedef enum guest_termination_cause {
	GTC_NORMAL_EXIT = 0,
	GTC_POWER_CUT = 3,
	GTC_WATCHDOG = 4,
	GTC_UNSUPPORTED = 5,
	GTC_VDEV_ERROR = 6,
	GTC_UNEXPECTED_ERROR = 7,
	GTC_CUSTOM_MIN = 32,
	GTC_CUSTOM_MAX = 63
} guest_termination_cause_t;

/*
 * Dump the guest to where the configuration's `dump` says. Returns at once: the dump is made on
 * another thread while the guest's vCPUs stand still, and a guest_terminate that comes meanwhile
 * waits for it. Running stage, any thread. Returns EOK, or ENOENT: the configuration has no `dump`.
 * (What it returns is ours.)
 */
int guest_write_core_file(void);

/* End the VM. Returns at once; the guest's vCPUs stop soon after. Any stage. */
void guest_terminate(guest_termination_cause_t cause);

#ifdef __cplusplus
}
#endif

#endif
