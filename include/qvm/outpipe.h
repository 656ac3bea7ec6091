/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in the 7.x vdev API; 8.0 has qvm/log.h. Any thread, any stage. Follows the documented
 * interface (numbers ours).
 */
#ifndef QVM_OUTPIPE_H
#define QVM_OUTPIPE_H

#include <qvm/log.h>

#ifdef __cplusplus
extern "C" {
#endif

enum outpipe_alert_level {
	OUTAL_FATAL = QL_QVM_FATAL,
	OUTAL_INTERNAL = QL_QVM_INTERNAL,
	OUTAL_ERROR = QL_QVM_ERR,
	OUTAL_WARN = QL_QVM_WARN,
	OUTAL_INFO = QL_QVM_INFO,
	OUTAL_DEBUG = QL_QVM_DEBUG,
	OUTAL_VERBOSE = QL_QVM_VERBOSE
};

/* Where to: the VM's loggers. */
#define QVM_OUTF_QVM OUTAL_FATAL
#define QVM_OUTE_QVM OUTAL_ERROR
#define QVM_OUTW_QVM OUTAL_WARN
#define QVM_OUTI_QVM OUTAL_INFO
#define QVM_OUTD_QVM OUTAL_DEBUG
#define QVM_OUTV_QVM OUTAL_VERBOSE

/*
 * A message. With QVM_OUTF_QVM in the start-up stage it is an error of the configuration: the start
 * fails when all errors have been found. qvm_outff does not return: as qvm_fatal(QLS_CNF, ...).
 */
void qvm_outf(unsigned to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void qvm_outff(unsigned to, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif

#endif
