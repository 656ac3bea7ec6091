/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a vdev to the VM's logger, its status report, and the end of a start. What a guest
 * can cause must not fill a disk: messages of one vdev are limited to ten a second, and what was
 * left out is counted. Follows the documented QNX Hypervisor 8.0 vdev API (numbers ours).
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

/* vdp may be NULL. Any thread, any stage. */
void vdev_logf(unsigned severity, const vdev_t *vdp, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* What has failed (only QLS_CNF is documented; numbers ours). */
enum qvm_log_source {
	QLS_CNF = 1, /* the configuration: exit status 65 */
	QLS_QVM = 2  /* the start: exit status 64, but 65 as long as there is no plan */
};

/*
 * End the start with this message, at the place in the user's file that the callback is about.
 * Does not return: the vdev hears of nothing more but VDEV_CTRL_TERMINATE, which every vdev that
 * saw VDEV_CTRL_OPTIONS_START gets; the others' mistakes are looked for and all are printed; then
 * the process ends. In `control` in the
 * start-up stage. On another thread, and in the running stage, where guest_terminate is meant, the
 * message is logged and the process ends at once, with status 64 or 96.
 */
void qvm_fatal(unsigned source, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

/*
 * One line of the status report: in VDEV_CTRL_STATUS, on the calling thread. Goes to the log at
 * level info (SIGUSR1) or into the guest's dump (SIGUSR2). Elsewhere it does nothing.
 */
void qvm_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif

#endif
