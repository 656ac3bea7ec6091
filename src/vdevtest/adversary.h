/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that changes its memory behind the device's back: the bytes of a range flip once, right
 * after the first read (or a later one) of any of them by anything that serves the device, the
 * walker of virtqueues and the vdev's threads included. The range's pages are closed while a device
 * may run; the fault tells of a read, one step of the processor lets it happen.
 *
 * The fault tells where an access begins, not how wide it is: one that begins up to 15 bytes before
 * the range counts as one of it. What the kernel reads for a vdev does not count. One state a
 * process; arm and disarm on the bench's thread while no device runs.
 */
#ifndef VDEVTEST_ADVERSARY_H
#define VDEVTEST_ADVERSARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

enum { ADVERSARY_MAX_RANGES = 64 };

/* len bytes at hva, each exclusive-ored with mask after so many reads (1: the first). -ENOSPC: too
 * many; -ENOTSUP: not on this architecture. */
int adversary_arm(void *hva, size_t len, uint8_t mask, unsigned reads) MUST_CHECK;

/* Forget all ranges. */
void adversary_disarm(void);

/* Ranges that have not flipped yet. */
unsigned adversary_armed(void);

/* Close the pages of armed ranges, or open them; returns what it was. Cheap when nothing is armed.
 */
bool adversary_set(bool closed);

#endif
