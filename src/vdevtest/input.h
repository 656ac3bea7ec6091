/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What vdev-fuzz tries: qtest lines, made from what the bench says of its devices, and changed at
 * random. One thread.
 */
#ifndef VDEVTEST_INPUT_H
#define VDEVTEST_INPUT_H

#include "base/strbuf.h"
#include "vdevtest/internal.h"

enum {
	INPUT_MAX_LINES = 200,
	INPUT_MAX_TEXT = 48 << 10,
	TARGET_MAX_REGIONS = 256,
	TARGET_MAX_PICS = 8,
	TARGET_MAX_INSTRUCTIONS = 64,
};

/* What there is to attack. */
struct target {
	struct vdevtest_region regions[TARGET_MAX_REGIONS], ram;
	unsigned num_regions; /* the vdevs' */
	struct {
		unsigned dev, num_queues; /* num_queues 0: no VirtIO device */
	} pci[32];
	unsigned num_pci;
	char pics[TARGET_MAX_PICS][32]; /* names of the interrupt controllers */
	unsigned num_pics;
	struct vdevtest_instruction instructions[TARGET_MAX_INSTRUCTIONS];
	unsigned num_instructions;
	unsigned num_standins; /* devices of the host that the vdevs have open */
	bool has_button;
};

void target_look_at(struct vdevtest *t, struct target *ret);

struct dice {
	uint64_t state;
};
uint64_t dice_roll(struct dice *d, uint64_t sides);

/* Lines from nothing; append them to out. */
void input_make(struct dice *d, const struct target *target, struct strbuf *out);

/* text changed in a few places, some of it perhaps from `other`. */
void input_change(struct dice *d, const struct target *target, const char *text, const char *other,
		  struct strbuf *out);

#endif
