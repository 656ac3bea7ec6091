/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split rings: a table of descriptors, the driver's ring of heads, the device's ring of used heads.
 * A request's slot is its head.
 *
 * Indices that the driver writes are read by atomic loads, ours are written by atomic stores. What
 * the driver may change at any time is copied to a local variable once, and the copy is what is
 * checked and used.
 */
#include "virtio/ring.h"

enum {
	AVAIL_NO_INTERRUPT = 1, /* avail.flags */
	USED_NO_NOTIFY = 1,	/* used.flags */
};

/* As in guest memory. Sizes: 16 n, 6 + 2 n, 6 + 8 n. */
struct ring_avail {
	uint16_t flags, idx;
	uint16_t ring[]; /* size entries, then used_event */
};

struct ring_used_elem {
	uint32_t id, len;
};

struct ring_used {
	uint16_t flags, idx;
	struct ring_used_elem ring[]; /* size entries, then avail_event */
};

static const char *split_open(struct virtqueue *vq, const struct virtqueue_layout *layout)
{
	uint64_t size = layout->size;

	vq->split.desc = ring_part(vq, layout->desc, RING_DESC_SIZE * size, 16);
	vq->split.avail = ring_part(vq, layout->driver, 6 + 2 * size, 2);
	vq->split.used = ring_part(vq, layout->device, 6 + 8 * size, 4);
	if (!vq->split.desc)
		return "the descriptor table is misaligned or not in RAM";
	if (!vq->split.avail)
		return "the available ring is misaligned or not in RAM";
	return vq->split.used ? NULL : "the used ring is misaligned or not in RAM";
}

static uint16_t *avail_event(const struct virtqueue *vq)
{
	return (uint16_t *)(void *)&vq->split.used->ring[vq->size];
}

static bool split_waiting(const struct virtqueue *vq, const char **ret_why)
{
	uint16_t waiting = (uint16_t)(ring_load16(&vq->split.avail->idx) - vq->split.next_avail);

	if (waiting > vq->size)
		*ret_why = "the available index is too far ahead";
	return waiting > 0;
}

/* Follow the chain that starts at head. */
static const char *walk_chain(struct virtqueue *vq, unsigned head, struct walk *walk)
{
	const uint8_t *table = (const uint8_t *)vq->split.desc;
	unsigned next = head, entries = vq->size;
	bool inside_indirect = false;

	for (;;) {
		struct ring_desc desc;
		const char *why;

		if (next >= entries)
			return "a descriptor index is beyond its table";
		ring_copy_once(&desc, table + next * (size_t)RING_DESC_SIZE, sizeof(desc));
		desc.addr = le64toh(desc.addr);
		desc.len = le32toh(desc.len);
		desc.flags = le16toh(desc.flags);
		if (desc.flags & VIRTQ_DESC_F_INDIRECT) {
			if (inside_indirect)
				return "an indirect descriptor inside an indirect table";
			why = chain_table(vq, desc.addr, desc.len, desc.flags, &table, &entries);
			if (why)
				return why;
			inside_indirect = true;
			next = 0;
			continue;
		}
		why = chain_add(vq, walk, desc.addr, desc.len, desc.flags & VIRTQ_DESC_F_WRITE);
		if (why)
			return why;
		if (!(desc.flags & VIRTQ_DESC_F_NEXT))
			return NULL;
		next = le16toh(desc.next);
	}
}

static const char *split_take(struct virtqueue *vq, struct walk *walk)
{
	const uint16_t *entry = &vq->split.avail->ring[vq->split.next_avail & (vq->size - 1)];
	unsigned head = le16toh(__atomic_load_n(entry, __ATOMIC_RELAXED));
	const char *why;

	if (head >= vq->size)
		return "a head index is not below the queue size";
	if (vq->flights[head].state != FLIGHT_FREE)
		return "a head was made available again while it is in use";
	why = walk_chain(vq, head, walk);
	if (why)
		return why;
	walk->slot = head;
	vq->split.next_avail++;
	return NULL;
}

static void split_untake(struct virtqueue *vq, unsigned slot)
{
	(void)slot;
	vq->split.next_avail--;
}

static void split_arm(struct virtqueue *vq)
{
	if (vq->event_idx)
		ring_store16(avail_event(vq), vq->split.next_avail);
	else
		ring_store16(&vq->split.used->flags, 0);
	vq->split.quiet = false;
}

/* With EVENT_IDX the event index that lies behind says that no kick is needed. */
static void split_disarm(struct virtqueue *vq)
{
	if (vq->event_idx || vq->split.quiet)
		return;
	ring_store16(&vq->split.used->flags, USED_NO_NOTIFY);
	vq->split.quiet = true;
}

static void split_publish(struct virtqueue *vq)
{
	for (unsigned i = 0; i < vq->num_finished; i++) {
		unsigned slot = vq->finished[i];
		struct ring_used_elem *elem =
			&vq->split.used->ring[vq->split.next_used++ & (vq->size - 1)];

		__atomic_store_n(&elem->id, htole32(slot), __ATOMIC_RELAXED);
		__atomic_store_n(&elem->len, htole32(vq->flights[slot].len), __ATOMIC_RELAXED);
	}
	ring_store16(&vq->split.used->idx, vq->split.next_used);
}

static bool split_interrupt_wanted(struct virtqueue *vq)
{
	uint16_t event, batch = (uint16_t)(vq->split.next_used - vq->split.decided_used);

	vq->split.decided_used = vq->split.next_used;
	if (!vq->event_idx)
		return !(ring_load16(&vq->split.avail->flags) & AVAIL_NO_INTERRUPT);
	event = ring_load16(&vq->split.avail->ring[vq->size]);
	return (uint16_t)(vq->split.next_used - event - 1) < batch;
}

const struct ring_format ring_format_split = {
	.open = split_open,
	.waiting = split_waiting,
	.take = split_take,
	.untake = split_untake,
	.arm = split_arm,
	.disarm = split_disarm,
	.publish = split_publish,
	.interrupt_wanted = split_interrupt_wanted,
};
