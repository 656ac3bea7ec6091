/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vdev calls of the host, on a stepped bench: the calls that a vdev's shared object makes
 * itself go through wrappers here, by its table of imported functions. They are counted, can be
 * made to fail, and those that tell the time or throw dice answer from the bench's clock and seed.
 * Files may have stand-ins (standin.h). Calls of the core are left alone.
 *
 * One bench at a time in a process, so there is one state. Counting is safe on any thread; the rest
 * belongs to the bench's thread. Without a bench the wrappers just call through.
 */
#ifndef VDEVTEST_HOSTCALLS_H
#define VDEVTEST_HOSTCALLS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"

/* The time of day at guest time 0: 2024-01-01 00:00:00 UTC. */
#define HOSTCALLS_EPOCH_S UINT64_C(1704067200)

/* From now on; now_ns: guest time, which a sleep of a vdev moves on. Counts and failures start
 * anew. */
void hostcalls_begin(uint64_t seed, uint64_t *now_ns);
/* Timers and stand-ins are forgotten; their files were the vdevs'. */
void hostcalls_end(void);

/* Does a submission to io_uring come back with all of it done (true at first)? That makes runs the
 * same; without, requests are in flight as they are in a VM. */
void hostcalls_wait_set(bool on);

/* Put the wrappers into the shared object at path, which is loaded. Once is enough. */
void hostcalls_patch(const char *path);

/* In the place of an errno: the call does about half of what it was asked for, if it can. */
#define HOSTCALLS_SHORT (-1)

/*
 * Calls number nth (1: the next) to nth + times - 1 of `name` fail with err. A later plan for the
 * same call replaces this one. io_uring_result is what a request came to. -ENOENT: no such call;
 * -EINVAL: it does all or nothing.
 */
int hostcalls_fail(const char *name, uint64_t nth, int err, uint64_t times) MUST_CHECK;

/* How often it was called. -ENOENT: no such call. */
int hostcalls_count(const char *name, uint64_t *ret_count) MUST_CHECK;

/* Names of the calls, NULL at the end. */
const char *hostcalls_name(unsigned index);

/* Timers that vdevs have as files: the next one's time; let one that is due expire. False: none. */
bool hostcalls_deadline(uint64_t *ret_ns);
bool hostcalls_fire(void);

/* An errno by its name (EIO) or number, or SHORT. 0: neither. */
int hostcalls_errno(const char *text);

#endif
