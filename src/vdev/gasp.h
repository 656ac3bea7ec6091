/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The regions that vdevs have set in the guest's address space (qvm/gasp.h), and the RAM that they
 * have reserved. One a host, made and freed with it.
 */
#ifndef VDEV_GASP_H
#define VDEV_GASP_H

#include <stdint.h>
#include "base/util.h"
#include "vdev/api.h"

struct gasp;
struct vdev_host;
struct vdev_instance;

enum { REGIONS_MAX = 256 }; /* regions of all vdevs; pieces of RAM that are reserved */

struct gasp_reserved {
	uint64_t start, len;
};

int gasp_create(struct vdev_host *host, struct gasp **ret_gasp) MUST_CHECK;
void gasp_free(struct gasp *g);

/* What vdevs have set so far goes to `plan`, one after the other; what that returns. */
int gasp_plan(struct gasp *g,
	      int (*plan)(const struct vdev_instance *vi, const struct qvm_state_block *where));

/* All of it onto the bus and into the engine, which are there now. -EEXIST: an overlap; errors of
 * the engine. */
int gasp_attach(struct gasp *g) MUST_CHECK;

/* RAM and ROM that nothing may be loaded to. */
const struct gasp_reserved *gasp_reserved(const struct gasp *g, unsigned *ret_num);

#endif
