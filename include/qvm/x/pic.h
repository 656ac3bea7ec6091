/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/pic: what interrupt controllers in user space need of the machine beside the documented
 * interface (struct vdev_pic_functions, guest_msi_signal, guest_intr_notify), and what devices with
 * several interrupts need. A level-triggered pin must hear when the guest has ended its interrupt;
 * the 8259s see the first 16 lines and interrupt the boot processor by a wire of their own. Ours,
 * not part of the documented API.
 */
#ifndef QVM_X_PIC_H
#define QVM_X_PIC_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The guest has ended an interrupt of this vector, which a level-triggered message had raised. On
 * the vCPU's thread. */
typedef void qvmx_eoi_func_t(vdev_t *vdp, unsigned vector);

/*
 * This controller has num_pins pins, which the guest's tables number after those of the controllers
 * before it in the file; the first 16 of the first one are the lines of a PC. In
 * VDEV_CTRL_OPTIONS_END. eoi runs only if the controller is not KVM's. Returns EOK, or EINVAL after
 * the reason was reported (too many pins or controllers).
 */
int qvmx_pic_pins(vdev_t *vdp, unsigned num_pins, qvmx_eoi_func_t *eoi);

/*
 * What `pin` sends by guest_msi_signal while it is level triggered (bit 15 of data is 1): from now
 * on the end of that interrupt is reported. Cheap when nothing changed. Running stage, with the
 * controller's lock held. Returns EOK or an errno.
 */
int qvmx_pic_route(vdev_t *vdp, unsigned pin, uint64_t addr, unsigned data);

/* acknowledge: the other 8259, whose output is line 2 here, knows the vector. */
#define QVMX_EXTINT_CASCADE (-1)

struct qvmx_extint_ops {
	/* One of its 8 lines changed. Any thread. */
	void (*line)(vdev_t *vdp, unsigned line, int level);
	/* The boot processor takes the interrupt: its vector (0 to 255) or QVMX_EXTINT_CASCADE. */
	int (*acknowledge)(vdev_t *vdp);
};

/*
 * This vdev is the 8259 of lines 0 to 7 (first_line 0) or 8 to 15 (8). In VDEV_CTRL_OPTIONS_END.
 * ops has static lifetime and is used only if the chip is not KVM's. Returns EOK, or EINVAL after
 * the reason was reported (there is one already).
 */
int qvmx_extint_provide(vdev_t *vdp, unsigned first_line, const struct qvmx_extint_ops *ops);

/* Its output: the boot processor's LINT0, or line 2 of the other one. With the vdev's lock held.
 * Running stage. */
void qvmx_extint_output(vdev_t *vdp, int level);

/*
 * The n-th interrupt (from 0) that the file gave the vdev, for types with qvmx_vdev_info.max_intrs
 * above 1; v_intr is the first. From VDEV_CTRL_OPTIONS_END on. Returns EOK or EINVAL: there is
 * none.
 */
int qvmx_intr_get(const vdev_t *vdp, unsigned n, guest_intr_t *ret_intr);

/*
 * While on, this source alone drives its line: the HPET takes the lines of the 8254 and of the
 * clock. Running stage. Returns EOK or EINVAL: gip has no line.
 */
int qvmx_intr_own(guest_intr_t *gip, int on);

/* Number of the line in the guest's tables (GSI), or -1: its controller has none. After
 * VDEV_CTRL_ASSIGN. */
int qvmx_intr_gsi(const guest_intr_t *gip);

#ifdef __cplusplus
}
#endif

#endif
