/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last words of a process that a vdev takes down: what happened and where. Under a sanitizer
 * the sanitizer says that, and `tell` is called with its name only.
 */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

enum { CRASH_NUM_SIGNALS = 5 };

/* Those of faults and abort(3), which a thread must not block. */
extern const int crash_signals[CRASH_NUM_SIGNALS];

/*
 * Call `tell` once before the process ends by a fault, an abort or a sanitizer's report. It runs in
 * a signal handler. what: "SIGSEGV at vdev-x.so+0x1234".
 */
void crash_watch(void (*tell)(const char *what));

/* Is this process built with a sanitizer that reports for itself? */
int crash_has_sanitizer(void);

#endif
