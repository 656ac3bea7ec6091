/* SPDX-License-Identifier: Apache-2.0 */
/* How fast vdev-test is with a vdev: printed, the best of some rounds. Used by vdev-test. */
#ifndef VDEVTEST_MEASURE_H
#define VDEVTEST_MEASURE_H

#include "vdevtest/command.h"

/* Returns the exit status. */
int measure(const struct command *command);

#endif
