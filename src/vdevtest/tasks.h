/* SPDX-License-Identifier: Apache-2.0 */
/* The threads of this process. */
#ifndef VDEVTEST_TASKS_H
#define VDEVTEST_TASKS_H

#include <stdbool.h>

/* Has the process a thread of its own beside this one? The kernel's for io_uring are none: what
 * they do has ended when a submission comes back. */
bool tasks_others(void);

#endif
