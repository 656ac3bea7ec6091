/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/region: more places than v_block. Accesses arrive in vread and vwrite with the cookie given
 * here; offsets count from this region's start. Ours, not part of the documented API.
 */
#ifndef QVM_X_REGION_H
#define QVM_X_REGION_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Add a region (QST_MEMORY or QST_X86_IO). In VDEV_CTRL_OPTIONS_END or VDEV_CTRL_ASSIGN. Overlaps
 * are reported with both owners when the VM is planned. Returns EOK, ENOMEM, or EINVAL: not such a
 * type.
 */
int qvmx_region_add(vdev_t *vdp, const struct qvm_state_block *where, unsigned cookie);

#ifdef __cplusplus
}
#endif

#endif
