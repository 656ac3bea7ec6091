/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of libvdevtest: what its two files share. The allocator hands out guest RAM from 1 MiB
 * upwards.
 */
#ifndef VDEVTEST_INTERNAL_H
#define VDEVTEST_INTERNAL_H

#pragma GCC visibility push(default)
#include <qvm/x/test.h>
#pragma GCC visibility pop

struct vdevtest_alloc {
	uint64_t next, end; /* guest-physical */
};

struct vdevtest_alloc *vdevtest_alloc_state(struct vdevtest *t);

/* End the process: a test that cannot go on. */
_Noreturn void vdevtest_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
