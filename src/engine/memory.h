/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's RAM and ROM: one reservation (PROT_NONE) that spans guest-physical space, congruent
 * to 2 MiB, with the regions mapped into it, so that guest-physical to host is base + address plus
 * one check.
 *
 * Regions are added before the guest starts, on one thread; translation is read-only and may run on
 * any thread. The memory goes away with memory_destroy, when nobody can hold a pointer any more.
 */
#ifndef ENGINE_MEMORY_H
#define ENGINE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"

struct engine;

enum { MEMORY_MAX_REGIONS = 256 };

/* Guest-physical memory ends here at the latest: what a process can reserve of its own address
 * space. */
#define MEMORY_MAX_END (UINT64_C(1) << 46)

/* The engine's memory slots: first those of regions here, then those that vdevs set at run time,
 * then those of passed devices. */
enum {
	MEMORY_FIRST_VDEV_SLOT = MEMORY_MAX_REGIONS,
	MEMORY_FIRST_PASS_SLOT = 2 * MEMORY_MAX_REGIONS
};

struct memory_region {
	uint64_t gpa, len; /* bytes, multiples of 4 KiB */
	bool rom;
};

struct memory {
	uint8_t *base; /* host address of guest-physical 0 */
	uint64_t span; /* bytes reserved */
	/* Told of each translation, for tools; NULL: nobody. Set before the guest starts. */
	void (*watch)(void *ctx, uint64_t gpa, uint64_t len, bool for_write);
	void *watch_ctx;
	unsigned num_regions;
	struct memory_region
		regions[MEMORY_MAX_REGIONS]; /* sorted, adjacent regions of one kind joined */
};

/* regions: sorted, not overlapping. Gives zeroed memory. -ENOMEM: the host has not enough; -ENOSPC:
 * too many; -EINVAL: memory above MEMORY_MAX_END. */
int memory_create(const struct memory_region *regions, unsigned num,
		  struct memory **ret_mem) MUST_CHECK;
void memory_destroy(struct memory *mem);

/* Give every region to the engine, which keeps mem too. */
int memory_attach(const struct memory *mem, struct engine *engine) MUST_CHECK;

/*
 * Host address of [gpa, gpa + len), or NULL if that is not wholly RAM (reading: or ROM, or both in
 * a row). len 0 gives NULL. The one place where a guest address becomes a pointer.
 */
void *memory_translate(const struct memory *mem, uint64_t gpa, uint64_t len, bool for_write);

#endif
