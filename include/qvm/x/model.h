/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/model: use KVM's own model of a platform chip behind a vdev (`accel auto`), so that its
 * interrupts cost no exit. All chips of a VM come from one interrupt machine: the plan picks it and
 * refuses a mixture with a sentence. Ours, not part of the documented API.
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
 * Have the engine provide this chip at the vdev's location. In VDEV_CTRL_ASSIGN. Returns EOK, or
 * EINVAL after the reason was reported (wrong place, twice, an engine without that model).
 */
int qvmx_model_use(vdev_t *vdp, enum qvmx_chip chip);

/* Set input `pin` of the interrupt machine. Running stage, any thread. */
int qvmx_model_line(const vdev_t *vdp, unsigned pin, int level);

#ifdef __cplusplus
}
#endif

#endif
