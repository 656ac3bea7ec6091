/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry of a libFuzzer target. libFuzzer calls it with inputs that it makes up; a unit test
 * calls it with a fixed sequence of damaged inputs, so that the target itself is run wherever the
 * tests are. One thread; nothing is kept.
 */
#ifndef BOOT_FUZZ_H
#define BOOT_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
