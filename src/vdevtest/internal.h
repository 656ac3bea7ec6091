/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of libvdevtest: what its files share. The allocator hands out guest RAM from 1 MiB
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

/*
 * The driver's side of a virtqueue (ring.c): memory from the allocator, one thread. *ret_parts:
 * descriptors, driver area, device area. Free it with free().
 */
struct vdevtest_ring;
struct vdevtest_ring *vdevtest_ring_create(struct vdevtest *t, unsigned size, bool packed,
					   bool event_idx, uint64_t ret_parts[3]);
/* As vdevtest_virtio_add. */
unsigned vdevtest_ring_add(struct vdevtest_ring *r, const struct vdevtest_buf *bufs, unsigned n);
/* Does the device want to hear of what was added since the last call? */
bool vdevtest_ring_wants_kick(struct vdevtest_ring *r);
/* Ask for an interrupt at the next used buffer. */
void vdevtest_ring_want_interrupt(struct vdevtest_ring *r);
/* The next used buffer, if there is one. */
bool vdevtest_ring_used(struct vdevtest_ring *r, unsigned *ret_head, uint32_t *ret_len);

/* End the process: a test that cannot go on. */
_Noreturn void vdevtest_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
