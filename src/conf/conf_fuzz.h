/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests only: the entry of the fuzz target, under the name that libFuzzer calls.
 * conf_smoke_test.c calls it too, with inputs of its own making. One thread. Aborts if something is
 * wrong.
 */
#ifndef CONF_CONF_FUZZ_H
#define CONF_CONF_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
