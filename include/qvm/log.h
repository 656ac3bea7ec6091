/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a vdev to the VM's logger. Any thread, any stage. What a guest can cause must not
 * fill a disk: messages of one vdev are limited to ten a second, and what was left out is counted.
 * Follows the documented QNX Hypervisor 8.0 vdev API (numbers ours).
 */
#ifndef QVM_LOG_H
#define QVM_LOG_H

#include <qvm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum qvm_log_severity {
	QL_QVM_FATAL = 0x01,
	QL_QVM_INTERNAL = 0x02,
	QL_QVM_ERR = 0x04,
	QL_QVM_WARN = 0x08,
	QL_QVM_INFO = 0x10,
	QL_QVM_DEBUG = 0x20,
	QL_QVM_VERBOSE = 0x40
};

/* vdp may be NULL. */
void vdev_logf(unsigned severity, const vdev_t *vdp, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#ifdef __cplusplus
}
#endif

#endif
