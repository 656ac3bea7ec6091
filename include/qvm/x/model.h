/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/model: use KVM's own model of a platform chip behind a vdev (`accel auto`), so that its
 * interrupts cost no exit. All chips of a VM come from one interrupt machine: if KVM cannot give
 * one of them as the file has it, all are the vdevs' own. Ours, not part of the documented API.
 */
#ifndef QVM_X_MODEL_H
#define QVM_X_MODEL_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

enum qvmx_chip {
	QVMX_CHIP_IOAPIC, /* 24 pins at 0xfec00000 */
	QVMX_CHIP_8259,	  /* at port 0x20 (pins 0-7) or 0xa0 (pins 8-15) */
	QVMX_CHIP_8254,	  /* ports 0x40-0x43 and 0x61 */
};

/*
 * This vdev is that chip, at its location, and would have the engine provide it. In
 * VDEV_CTRL_ASSIGN. The machine is picked when all vdevs have spoken: from then on
 * qvmx_model_is_used says whether the engine answers in the vdev's place or its vread, vwrite and
 * controller functions do. Returns EOK, or EINVAL after the reason was reported (a place that the
 * chip cannot have).
 */
int qvmx_model_use(vdev_t *vdp, enum qvmx_chip chip);

/* 1: the engine has the chip. After VDEV_CTRL_ASSIGN. */
int qvmx_model_is_used(const vdev_t *vdp);

/* Set input `pin` of the interrupt machine. Running stage, any thread. */
int qvmx_model_line(const vdev_t *vdp, unsigned pin, int level);

#ifdef __cplusplus
}
#endif

#endif
