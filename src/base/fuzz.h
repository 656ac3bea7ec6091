/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry of a fuzz target, under the name that libFuzzer calls. Unit tests call it too, with
 * damaged samples (tests/parsers), so that the target is run wherever the tests are. One thread;
 * nothing is kept; it aborts if something is wrong.
 */
#ifndef BASE_FUZZ_H
#define BASE_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_require(bool condition)
{
	if (!condition)
		abort();
}

#endif
