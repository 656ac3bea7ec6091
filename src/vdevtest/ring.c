/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvdevtest: the driver's side of a virtqueue, split or packed, with event index if that was
 * negotiated. Buffers are named by numbers below the ring's size: of a split ring the head.
 */
#include "vdevtest/internal.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <virtio.h>

enum {
	USED_NO_NOTIFY = 1,
	NO_DESCRIPTOR = 0xffff,
	DESC_AVAIL = 1 << 7, /* packed */
	DESC_USED = 1 << 15,
	EVENT_DISABLE = 1,
	EVENT_DESC = 2,
	EVENT_WRAP = 0x8000,
};

struct descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct packed_descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t id;
	_Atomic uint16_t flags;
};

struct used_element {
	uint32_t id, len;
};

struct ring_head {
	_Atomic uint16_t flags, idx;
};

struct vdevtest_ring {
	unsigned size;
	bool packed, event_idx;
	unsigned num_free; /* descriptors */

	/* Split */
	struct descriptor *desc;
	struct ring_head *avail;
	uint16_t *avail_ring; /* and behind it used_event */
	struct ring_head *used;
	struct used_element *used_ring; /* and behind it avail_event */
	uint16_t *next;			/* our own, since the device may write over the table's */
	uint16_t free_head;
	uint16_t added, kicked, seen; /* free-running */

	/* Packed; positions count over two laps, the first with wrap counter 1 */
	struct packed_descriptor *slots;
	_Atomic uint32_t *driver_event, *device_event;
	unsigned next_add, next_kick, next_used;
	uint16_t num_of[]; /* descriptors of the buffer with that id or head; 0: it is not out */
};

static void create_split(struct vdevtest *t, struct vdevtest_ring *r, const uint64_t parts[3])
{
	r->desc = vdevtest_ram(t, parts[0], r->size * sizeof(struct descriptor));
	r->avail = vdevtest_ram(t, parts[1], 6 + r->size * sizeof(uint16_t));
	r->used = vdevtest_ram(t, parts[2], 6 + r->size * sizeof(struct used_element));
	r->avail_ring = (uint16_t *)(r->avail + 1);
	r->used_ring = (struct used_element *)(r->used + 1);
	for (unsigned i = 0; i < r->size; i++)
		r->next[i] = (uint16_t)(i + 1 < r->size ? i + 1 : NO_DESCRIPTOR);
}

static void create_packed(struct vdevtest *t, struct vdevtest_ring *r, const uint64_t parts[3])
{
	r->slots = vdevtest_ram(t, parts[0], r->size * sizeof(struct packed_descriptor));
	r->driver_event = vdevtest_ram(t, parts[1], sizeof(uint32_t));
	r->device_event = vdevtest_ram(t, parts[2], sizeof(uint32_t));
}

struct vdevtest_ring *vdevtest_ring_create(struct vdevtest *t, unsigned size, bool packed,
					   bool event_idx, uint64_t ret_parts[3])
{
	struct vdevtest_ring *r;

	/* Memory of the guest first: there may be too little, which ends the caller. */
	if (packed) {
		ret_parts[0] = vdevtest_alloc(t, size * sizeof(struct packed_descriptor), 16);
		ret_parts[1] = vdevtest_alloc(t, sizeof(uint32_t), 4);
		ret_parts[2] = vdevtest_alloc(t, sizeof(uint32_t), 4);
	} else {
		ret_parts[0] = vdevtest_alloc(t, size * sizeof(struct descriptor), 16);
		ret_parts[1] = vdevtest_alloc(t, 6 + size * sizeof(uint16_t), 2);
		ret_parts[2] = vdevtest_alloc(t, 6 + size * sizeof(struct used_element), 4);
	}
	r = calloc(1, sizeof(*r) + 2 * size * sizeof(r->num_of[0]));
	if (!r)
		vdevtest_die("out of memory");
	r->size = r->num_free = size;
	r->next = r->num_of + size;
	r->packed = packed;
	r->event_idx = event_idx;
	(packed ? create_packed : create_split)(t, r, ret_parts);
	return r;
}

static _Atomic uint16_t *used_event(const struct vdevtest_ring *r)
{
	return (_Atomic uint16_t *)&r->avail_ring[r->size];
}

static _Atomic uint16_t *avail_event(const struct vdevtest_ring *r)
{
	return (_Atomic uint16_t *)&r->used_ring[r->size];
}

static unsigned add_split(struct vdevtest_ring *r, const struct vdevtest_buf *bufs, unsigned n)
{
	uint16_t head = r->free_head, at = head;

	for (unsigned i = 0; i < n; i++) {
		struct descriptor *d = &r->desc[at];

		d->addr = bufs[i].gpa;
		d->len = bufs[i].len;
		d->flags = (uint16_t)((bufs[i].write ? VIRTQ_DESC_F_WRITE : 0) |
				      (i + 1 < n ? VIRTQ_DESC_F_NEXT : 0));
		d->next = at = r->next[at];
	}
	r->num_of[head] = (uint16_t)n;
	r->free_head = at;
	r->avail_ring[r->added % r->size] = head;
	r->added++;
	atomic_store_explicit(&r->avail->idx, r->added, memory_order_release);
	return head;
}

static unsigned step(const struct vdevtest_ring *r, unsigned position, unsigned n)
{
	return (position + n) % (2 * r->size);
}

static unsigned distance(const struct vdevtest_ring *r, unsigned from, unsigned to)
{
	return (to + 2 * r->size - from) % (2 * r->size);
}

static unsigned add_packed(struct vdevtest_ring *r, const struct vdevtest_buf *bufs, unsigned n)
{
	unsigned id = 0;

	while (r->num_of[id])
		id++;
	/* The first descriptor makes the list available, so it comes last. */
	for (unsigned i = n; i > 0; i--) {
		unsigned position = step(r, r->next_add, i - 1);
		struct packed_descriptor *d = &r->slots[position % r->size];
		unsigned flags = position < r->size ? DESC_AVAIL : DESC_USED;

		d->addr = bufs[i - 1].gpa;
		d->len = bufs[i - 1].len;
		d->id = (uint16_t)id;
		flags |= (bufs[i - 1].write ? VIRTQ_DESC_F_WRITE : 0) |
			 (i < n ? VIRTQ_DESC_F_NEXT : 0);
		atomic_store_explicit(&d->flags, (uint16_t)flags, memory_order_release);
	}
	r->num_of[id] = (uint16_t)n;
	r->next_add = step(r, r->next_add, n);
	return id;
}

unsigned vdevtest_ring_add(struct vdevtest_ring *r, const struct vdevtest_buf *bufs, unsigned n)
{
	if (!n || n > r->num_free)
		vdevtest_die("%u descriptors wanted, %u of %u are free", n, r->num_free, r->size);
	r->num_free -= n;
	return r->packed ? add_packed(r, bufs, n) : add_split(r, bufs, n);
}

static bool wants_kick_split(struct vdevtest_ring *r)
{
	uint16_t added = (uint16_t)(r->added - r->kicked), event;

	r->kicked = r->added;
	if (!r->event_idx)
		return !(atomic_load_explicit(&r->used->flags, memory_order_relaxed) &
			 USED_NO_NOTIFY);
	event = atomic_load_explicit(avail_event(r), memory_order_relaxed);
	return (uint16_t)(r->added - event - 1) < added;
}

static bool wants_kick_packed(struct vdevtest_ring *r)
{
	uint32_t event = atomic_load_explicit(r->device_event, memory_order_relaxed);
	unsigned from = r->next_kick, place = event & (EVENT_WRAP - 1);

	r->next_kick = r->next_add;
	if (event >> 16 != EVENT_DESC)
		return event >> 16 != EVENT_DISABLE;
	if (!r->event_idx || place >= r->size)
		vdevtest_die("a kick is asked for at %u, which cannot be", place);
	if (!(event & EVENT_WRAP))
		place += r->size;
	return distance(r, from, place) < distance(r, from, r->next_add);
}

bool vdevtest_ring_wants_kick(struct vdevtest_ring *r)
{
	/* What was added must be seen before what the device asks for is looked at. */
	__sync_synchronize(); /* a barrier that the thread sanitizer lets pass */
	return r->packed ? wants_kick_packed(r) : wants_kick_split(r);
}

void vdevtest_ring_want_interrupt(struct vdevtest_ring *r)
{
	unsigned place = r->next_used % r->size;

	if (!r->event_idx)
		return;
	if (!r->packed)
		atomic_store_explicit(used_event(r), r->seen, memory_order_seq_cst);
	else
		atomic_store_explicit(r->driver_event,
				      (uint32_t)EVENT_DESC << 16 |
					      (r->next_used < r->size ? EVENT_WRAP : 0u) | place,
				      memory_order_seq_cst);
}

static void free_chain(struct vdevtest_ring *r, uint16_t head)
{
	uint16_t at = head;

	for (unsigned i = 1; i < r->num_of[head]; i++)
		at = r->next[at];
	r->next[at] = r->num_free ? r->free_head : NO_DESCRIPTOR;
	r->free_head = head;
	r->num_free += r->num_of[head];
	r->num_of[head] = 0;
}

static bool used_split(struct vdevtest_ring *r, unsigned *ret_head, uint32_t *ret_len)
{
	struct used_element e;

	if (atomic_load_explicit(&r->used->idx, memory_order_acquire) == r->seen)
		return false;
	e = r->used_ring[r->seen % r->size];
	if (e.id >= r->size || !r->num_of[e.id])
		vdevtest_die("a used element with id %u", e.id);
	r->seen++;
	free_chain(r, (uint16_t)e.id);
	*ret_head = e.id;
	*ret_len = e.len;
	return true;
}

static bool used_packed(struct vdevtest_ring *r, unsigned *ret_head, uint32_t *ret_len)
{
	const struct packed_descriptor *d = &r->slots[r->next_used % r->size];
	uint16_t flags = atomic_load_explicit(&d->flags, memory_order_acquire);
	bool wrap = r->next_used < r->size;

	if (!!(flags & DESC_AVAIL) != wrap || !!(flags & DESC_USED) != wrap)
		return false;
	if (d->id >= r->size || !r->num_of[d->id])
		vdevtest_die("a used descriptor with id %u", d->id);
	*ret_head = d->id;
	*ret_len = d->len;
	r->next_used = step(r, r->next_used, r->num_of[d->id]);
	r->num_free += r->num_of[d->id];
	r->num_of[d->id] = 0;
	return true;
}

bool vdevtest_ring_used(struct vdevtest_ring *r, unsigned *ret_head, uint32_t *ret_len)
{
	return r->packed ? used_packed(r, ret_head, ret_len) : used_split(r, ret_head, ret_len);
}
