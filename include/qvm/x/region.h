/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/region: more places than v_block, and mappings with a handle. Accesses arrive in vread and
 * vwrite with the cookie given here; offsets count from this region's start. Ours, not part of the
 * documented API.
 */
#ifndef QVM_X_REGION_H
#define QVM_X_REGION_H

#include <qvm/gasp.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Add a region (QST_MEMORY or QST_X86_IO). In VDEV_CTRL_OPTIONS_END or VDEV_CTRL_ASSIGN. Overlaps
 * are reported with both owners when the VM is planned. Returns EOK, ENOMEM, or EINVAL: not such a
 * type, or the VM is planned already.
 */
int qvmx_region_add(vdev_t *vdp, const struct qvm_state_block *where, unsigned cookie);

/* As gasp_map_vdma, with a handle for gasp_get_vaddr and gasp_unmap_handle. Returns EOK or EFAULT.
 */
int qvmx_map(vdev_t *vdp, uint64_t gpa, size_t len, unsigned flags, gasp_map_handle_t *ret_handle);

#ifdef __cplusplus
}
#endif

#endif
