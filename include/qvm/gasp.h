/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's address space: mapping guest RAM into the vdev. A pointer outlives a callback only
 * between gasp_map_vdma and gasp_unmap. Any thread, running stage. Follows the documented QNX
 * Hypervisor 8.0 vdev API (argument order of 8.0, flag values ours).
 */
#ifndef QVM_GASP_H
#define QVM_GASP_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GMF_READ  0x1u
#define GMF_WRITE 0x2u

/*
 * Host address of [gpa, gpa + len) for access on behalf of vdp, or NULL with errno EFAULT if that
 * is not wholly guest RAM (with GMF_WRITE: RAM that the guest may write).
 */
void *gasp_map_vdma(vdev_t *vdp, uint64_t gpa, size_t len, unsigned flags);

/* Undo gasp_map_vdma. Returns EOK. */
int gasp_unmap(void *va, size_t len, int flush);

#ifdef __cplusplus
}
#endif

#endif
