/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

/* An ordinary thread's number that means "as it is anyway", and the one that is the nicest to it.
 */
enum { PRIO_USUAL = 10, PRIO_HIGHEST = 30 };

int thread_schedule(unsigned prio, char policy)
{
	struct sched_param param = { .sched_priority = (int)prio };

	if (policy == 'r' || policy == 'f')
		return sched_setscheduler(0, policy == 'r' ? SCHED_RR : SCHED_FIFO, &param) ? -errno
											    : 0;
	if (!setpriority(PRIO_PROCESS, (id_t)gettid(),
			 PRIO_USUAL - (int)MIN(prio, (unsigned)PRIO_HIGHEST)))
		return 0;
	return errno == EACCES ? -EPERM : -errno;
}

int thread_run_on(const unsigned *cpus, unsigned num)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (unsigned i = 0; i < num; i++) {
		if (cpus[i] >= CPU_SETSIZE)
			return -EINVAL;
		CPU_SET(cpus[i], &set);
	}
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}
