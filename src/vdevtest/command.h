/* SPDX-License-Identifier: Apache-2.0 */
/* What vdev-test and vdev-fuzz share of their command lines: which vdevs, and how to start them. */
#ifndef VDEVTEST_COMMAND_H
#define VDEVTEST_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vdevtest/internal.h"

enum {
	COMMAND_MAX_DIRS = 17,
	COMMAND_MAX_FAILS = 32,
	COMMAND_MAX_STANDINS = 16,
	COMMAND_MAX_WORDS = 4096
};

struct command {
	const char *dirs[COMMAND_MAX_DIRS];
	unsigned num_dirs;
	struct vdevtest_fail fails[COMMAND_MAX_FAILS];
	unsigned num_fails;
	const char *standins[COMMAND_MAX_STANDINS];
	unsigned num_standins;
	uint64_t seed;
	bool has_seed; /* it was given */
	char **words;  /* of the configuration */
	unsigned num_words;
	unsigned implied_at, num_implied; /* as in vdevtest_setup */
	char *owned[COMMAND_MAX_WORDS];	  /* texts to free */
	unsigned num_owned;
};

bool command_number(const char *text, uint64_t max, uint64_t *ret);
/* CALL:NTH:ERRNO[:TIMES], what stands in for what (standin.h), and a folder. Nonzero: it is wrong,
 * or too many. */
int command_fail(struct command *c, char *text);
int command_standin(struct command *c, const char *text);
int command_dir(struct command *c, const char *dir);

/*
 * The words after the options, those of a configuration. The first that ends with .so,
 * DIR/vdev-NAME.so, stands for `vdev NAME`, and there is some RAM then. NULL, or what is wrong.
 */
const char *command_words(struct command *c, char **words, unsigned num);

/* As a trace's first lines, and from there: the seed if none was given, the words if asked for.
 * NULL, or what is wrong. */
void command_to_trace(const struct command *c, FILE *trace);
const char *command_from_trace(struct command *c, const char *path, bool words);

/* NULL: vdevtest_errors says why. */
struct vdevtest *command_start(const struct command *c);
void command_free(struct command *c);

#endif
