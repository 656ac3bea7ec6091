/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of a VM: who owns which guest-physical addresses, ports and interrupt lines, before
 * anything exists. Overlaps and double use become diagnostics of the configuration that name both
 * owners.
 *
 * Made in the start-up stage on one thread from a parsed `struct conf`, which outlives it. Owner
 * texts are copied.
 */
#ifndef MACHINE_PLAN_H
#define MACHINE_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include "base/strbuf.h"
#include "base/util.h"
#include "conf/conf.h"

/* `ram` and `rom` end here at the latest. */
#define PLAN_MEMORY_END (UINT64_C(1) << 46)

enum plan_space { PLAN_MEM, PLAN_IO };

enum plan_kind {
	PLAN_RAM,
	PLAN_ROM,
	PLAN_VDEV,
	PLAN_PASS,
	PLAN_GUARD,   /* a vdev whose place may be inside of a PLAN_PASS */
	PLAN_PLATFORM /* fixed by the address plan */
};

struct plan_region {
	enum plan_space space;
	enum plan_kind kind;
	uint64_t start, len;
	const char *owner;   /* for people: "ram", "vdev ser8250 'tty'" */
	struct conf_pos pos; /* source 0: not the user's */
};

/* A line has one owner; but one that takes lines may have that of one that yields it. */
enum plan_intr_use { PLAN_INTR_ALONE, PLAN_INTR_TAKES, PLAN_INTR_YIELDS };

struct plan_intr {
	const char *pic; /* its name */
	unsigned line;
	enum plan_intr_use use;
	const char *owner;
	struct conf_pos pos;
};

struct plan {
	struct conf *conf;
	struct plan_region *regions; /* sorted by space, then start */
	unsigned num_regions;
	struct plan_intr *intrs;
	unsigned num_intrs;
};

int plan_create(struct conf *conf, struct plan **ret_plan) MUST_CHECK;
void plan_free(struct plan *plan);

/* -EEXIST: it overlaps another; the error has been recorded. -EINVAL: it wraps; likewise. -ENOMEM.
 */
int plan_region_add(struct plan *plan, const struct plan_region *region) MUST_CHECK;

/* -EEXIST: the line has an owner; the error has been recorded. -ENOMEM. */
int plan_intr_add(struct plan *plan, const struct plan_intr *intr) MUST_CHECK;

/* When all regions are there: a PLAN_GUARD without a PLAN_PASS is recorded. */
void plan_guards_check(struct plan *plan);

/* The fixed places of this architecture, then the `ram` and `rom` of the configuration. Mistakes
 * are recorded. */
int plan_fixed_add(struct plan *plan) MUST_CHECK;
int plan_memory_add(struct plan *plan) MUST_CHECK;

/* "ram", "rom", "vdev", "pass", "guard" or "fixed". */
const char *plan_kind_name(enum plan_kind kind);

/* What `dryrun` shows of it. */
void plan_print(const struct plan *plan, struct strbuf *out);

#endif
