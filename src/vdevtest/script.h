/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests from a file, a stream or a trace, one after the other: numbers their lines, writes the
 * trace, compares with one. Used by vdev-test.
 *
 * A trace has comments (#), requests (>) and what came back (<).
 */
#ifndef VDEVTEST_SCRIPT_H
#define VDEVTEST_SCRIPT_H

#include <stdbool.h>
#include <stdio.h>

#include "vdevtest/qtest.h"

struct script;

enum script_end {
	SCRIPT_DONE,
	SCRIPT_DIVERGED, /* an x-expect failed, or the trace differs; it has been said on stderr */
	SCRIPT_WRONG,	 /* a line that is no request; it has been said */
};

enum { SCRIPT_LIMIT_S = 60 };

struct script_setup {
	FILE *out;   /* replies; NULL: nowhere */
	FILE *trace; /* NULL: none */
	unsigned
		limit_s; /* a request that takes longer ends the process with status 124; 0: none */
	bool lenient;	 /* wrong lines are answered, not the end: a live peer */
};

struct script *script_create(struct vdevtest *t, const struct script_setup *setup);
void script_free(struct script *s);

/* All lines of `in`; name is for messages. Empty lines and those with # are passed over. */
enum script_end script_run(struct script *s, FILE *in, const char *name);

/* All requests of a trace, until something else comes back than then. */
enum script_end script_replay(struct script *s, FILE *in, const char *name);

#endif
