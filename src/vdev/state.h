/* SPDX-License-Identifier: Apache-2.0 */
/* Whose state a vdev may look at: set by whoever enters a vdev on a vCPU's thread. */
#ifndef VDEV_STATE_H
#define VDEV_STATE_H

#include "engine/engine.h"
#include "vdev/api.h"

/* This thread is gcp's (NULL: no vCPU's) and stays in a vdev until what this returns is set again.
 */
struct guest_cpu *state_own_set(struct guest_cpu *gcp);

/* Per architecture: the type of a block that is one system register. */
extern const qvm_state_types_t state_register_type;

#endif
