/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the host schedules the calling thread: priorities in the words of the configuration, and
 * CPUs.
 *
 * Called by threads on themselves, at their start. Nothing is kept.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/util.h"

/*
 * policy 'r' (round robin) or 'f' (first in, first out): the real-time priority prio, 1 to 99. 'o'
 * or 0: ordinary scheduling at the nice value 10 - prio, so that 10 is what a thread has anyway;
 * from 30 on nothing differs. -EPERM: no right to it; -EINVAL: no such priority.
 */
int thread_schedule(unsigned prio, char policy) MUST_CHECK;

/* Run on these CPUs of the host only, counted from 0. -EINVAL: none of them is there and online. */
int thread_run_on(const unsigned *cpus, unsigned num) MUST_CHECK;

#endif
