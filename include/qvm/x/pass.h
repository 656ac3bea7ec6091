/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/pass: a vdev that stands before a part of a passed device (QVMX_VDEV_GUARD of x/conf.h): its
 * place lies in what a `pass loc` gives the guest, and the guest's accesses there come to its vread
 * and vwrite, which decide what the device sees of them. Ours, not part of the documented API.
 */
#ifndef QVM_X_PASS_H
#define QVM_X_PASS_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Read or write len bytes (1, 2, 4 or 8; ports 1, 2 or 4) of the passed device, offset bytes from
 * the vdev's place on, as the guest would without the vdev. Running stage, any thread. Returns EOK;
 * EPERM: the file does not allow it; EINVAL: not such a width there, or nothing is passed there.
 */
int qvmx_pass_read(const vdev_t *vdp, uint64_t offset, unsigned len, uint64_t *ret_value);
int qvmx_pass_write(const vdev_t *vdp, uint64_t offset, unsigned len, uint64_t value);

#ifdef __cplusplus
}
#endif

#endif
