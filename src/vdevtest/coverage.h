/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which code of a vdev has run: the callbacks of SanitizerCoverage, for shared objects built with
 * -fsanitize-coverage=trace-pc (gcc), trace-pc-guard or inline-8bit-counters (clang), each with or
 * without trace-cmp. Without any of those there is nothing to see.
 */
#ifndef VDEVTEST_COVERAGE_H
#define VDEVTEST_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

enum { COVERAGE_SIZE = 1 << 16, COVERAGE_VALUES = 256 };

/* Start a run: nothing has been seen. */
void coverage_reset(void);

/*
 * Add what the run has seen to `known` (COVERAGE_SIZE bytes; a bit for how often, roughly). Returns
 * whether that was new: a place, or, with `counts`, another count of one. *ret_places: places of
 * the run.
 */
bool coverage_merge(uint8_t *known, bool counts, unsigned *ret_places);

/* Has any code with coverage been loaded? */
bool coverage_is_there(void);

/* One of the constants that the code compared with something else. False: none yet. */
bool coverage_value(uint64_t dice, uint64_t *ret_value);

#endif
