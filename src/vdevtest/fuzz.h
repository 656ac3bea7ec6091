/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runs of vdev-fuzz. A worker process makes and runs inputs one after the other, each on a
 * fresh bench; what it is doing stands in shared memory, so that its parent knows what brought it
 * down. The parent makes that a script as short as it can, which vdev-test runs to the same end.
 */
#ifndef VDEVTEST_FUZZ_H
#define VDEVTEST_FUZZ_H

#include "vdevtest/command.h"

struct fuzz_setup {
	const struct command *command;
	uint64_t seed, runs;	/* runs 0: no end */
	unsigned seconds;	/* 0: no end */
	unsigned limit_s;	/* one line that takes longer is a hang */
	const char *corpus;	/* a folder of inputs to begin with and for new ones; NULL: none */
	const char *crashes;	/* the folder for scripts */
	const char *minimal;	/* a folder for those of the corpus that reach new code; NULL */
	bool corpus_only;	/* run the corpus once and nothing else */
	bool keep_going, quiet; /* after a crash; no lines while it runs */
};

enum { FUZZ_CLEAN, FUZZ_FOUND, FUZZ_START_FAILED = 65 };

/* Returns one of these; has printed what it did. */
int fuzz(const struct fuzz_setup *setup);

#endif
