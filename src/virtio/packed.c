/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed rings: one ring of descriptors that both sides write, and a word for each side's wish to
 * be told.
 *
 * The driver names its buffers as it likes, so a request's slot is a number of ours. A descriptor
 * is available when its AVAIL bit is the driver's wrap counter and its USED bit is not. Its flags
 * are read first, by one atomic load, and what that load gave is used; the rest of the descriptor
 * is copied after it. Only places that the driver has given and we have not given back are
 * counted as ours, so a driver that runs over its own tail is seen.
 */
#include "virtio/ring.h"

enum {
	DESC_AVAIL = 1u << 7, /* flags of a descriptor */
	DESC_USED = 1u << 15,

	EVENT_ENABLE = 0, /* flags of an event word */
	EVENT_DISABLE = 1,
	EVENT_DESC = 2,
	EVENT_FLAGS = 3,
	EVENT_FLAGS_SHIFT = 16, /* below them: the place, and on top of it the wrap counter */
	EVENT_PLACE = 0x7fff,
	EVENT_WRAP = 0x8000,
};

/* As in guest memory. */
struct packed_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id, flags;
};

static const char *packed_open(struct virtqueue *vq, const struct virtqueue_layout *layout)
{
	vq->packed.desc = ring_part(vq, layout->desc, RING_DESC_SIZE * (uint64_t)layout->size, 16);
	vq->packed.driver_event = ring_part(vq, layout->driver, sizeof(uint32_t), 4);
	vq->packed.device_event = ring_part(vq, layout->device, sizeof(uint32_t), 4);
	if (!vq->packed.desc)
		return "the descriptor ring is misaligned or not in RAM";
	if (!vq->packed.driver_event)
		return "the driver's event area is misaligned or not in RAM";
	if (!vq->packed.device_event)
		return "the device's event area is misaligned or not in RAM";
	for (unsigned i = layout->size; i > 0; i--)
		vq->packed.free_slots[vq->packed.num_free++] = (uint16_t)(i - 1);
	return NULL;
}

static unsigned lap_add(const struct virtqueue *vq, unsigned position, unsigned n)
{
	unsigned laps = 2u * vq->size;

	position += n;
	return position >= laps ? position - laps : position;
}

static bool lap_wrap(const struct virtqueue *vq, unsigned position)
{
	return position < vq->size;
}

static struct packed_desc *lap_desc(const struct virtqueue *vq, unsigned position)
{
	return &vq->packed.desc[position < vq->size ? position : position - vq->size];
}

static bool flags_available(const struct virtqueue *vq, unsigned position, uint16_t flags)
{
	bool wrap = lap_wrap(vq, position);

	return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

static bool packed_waiting(const struct virtqueue *vq, const char **ret_why)
{
	unsigned position = vq->packed.next_avail;

	(void)ret_why;
	return flags_available(vq, position, ring_load16(&lap_desc(vq, position)->flags));
}

/* The entries of a table count one after the other; of their flags only WRITE means something. */
static const char *walk_table(struct virtqueue *vq, struct walk *walk, const uint8_t *table,
			      unsigned entries)
{
	for (unsigned i = 0; i < entries; i++) {
		struct packed_desc desc;
		const char *why;

		ring_copy_once(&desc, table + i * (size_t)RING_DESC_SIZE, sizeof(desc));
		why = chain_add(vq, walk, le64toh(desc.addr), le32toh(desc.len),
				le16toh(desc.flags) & VIRTQ_DESC_F_WRITE);
		if (why)
			return why;
	}
	return NULL;
}

/* Read n descriptors from the ring, up to one without NEXT. */
static const char *walk_list(struct virtqueue *vq, struct walk *walk, struct flight *flight)
{
	unsigned position = vq->packed.next_avail, n = 0;

	for (;;) {
		struct packed_desc *shared = lap_desc(vq, position), desc;
		const uint8_t *table;
		const char *why;
		unsigned entries;

		if (vq->packed.num_taken + n == vq->size)
			return "more descriptors are available than the ring has";
		desc.flags = ring_load16(&shared->flags);
		if (!flags_available(vq, position, desc.flags))
			return "a list goes on in a descriptor that is not available";
		ring_copy_once(&desc, shared, offsetof(struct packed_desc, flags));
		n++;
		position = lap_add(vq, position, 1);
		if (desc.flags & VIRTQ_DESC_F_INDIRECT) {
			if (n > 1)
				return "an indirect descriptor inside a list";
			why = chain_table(vq, le64toh(desc.addr), le32toh(desc.len), desc.flags,
					  &table, &entries);
			if (!why)
				why = walk_table(vq, walk, table, entries);
		} else {
			why = chain_add(vq, walk, le64toh(desc.addr), le32toh(desc.len),
					desc.flags & VIRTQ_DESC_F_WRITE);
		}
		if (why)
			return why;
		if (!(desc.flags & VIRTQ_DESC_F_NEXT)) {
			flight->id = le16toh(desc.id);
			flight->num_desc = (uint16_t)n;
			return NULL;
		}
	}
}

static const char *packed_take(struct virtqueue *vq, struct walk *walk)
{
	struct flight flight = { 0 };
	const char *why = walk_list(vq, walk, &flight);

	if (why)
		return why;
	/* Each request in flight holds a place of the ring, so there is a slot for this one. */
	walk->slot = vq->packed.free_slots[--vq->packed.num_free];
	vq->flights[walk->slot] = flight;
	vq->packed.num_taken += flight.num_desc;
	vq->packed.next_avail = lap_add(vq, vq->packed.next_avail, flight.num_desc);
	return NULL;
}

static void packed_untake(struct virtqueue *vq, unsigned slot)
{
	unsigned n = vq->flights[slot].num_desc;

	vq->packed.next_avail = lap_add(vq, vq->packed.next_avail, 2u * vq->size - n);
	vq->packed.num_taken -= n;
	vq->packed.free_slots[vq->packed.num_free++] = (uint16_t)slot;
}

/* One store, so that the driver sees place and flags of one moment. */
static void store_event(struct virtqueue *vq, uint32_t event)
{
	__atomic_store_n(vq->packed.device_event, htole32(event), __ATOMIC_SEQ_CST);
}

static void packed_arm(struct virtqueue *vq)
{
	unsigned position = vq->packed.next_avail;
	unsigned place = lap_wrap(vq, position) ? position | EVENT_WRAP : position - vq->size;

	store_event(vq, vq->event_idx ? place | EVENT_DESC << EVENT_FLAGS_SHIFT : EVENT_ENABLE);
	vq->packed.quiet = false;
}

/* With EVENT_IDX the place that lies behind says that no kick is needed. */
static void packed_disarm(struct virtqueue *vq)
{
	if (vq->event_idx || vq->packed.quiet)
		return;
	store_event(vq, EVENT_DISABLE << EVENT_FLAGS_SHIFT);
	vq->packed.quiet = true;
}

/* The driver looks for used descriptors one after the other, so the flags of the first come last.
 */
static void packed_publish(struct virtqueue *vq)
{
	uint16_t *first = NULL, first_flags = 0;

	for (unsigned i = 0; i < vq->num_finished; i++) {
		unsigned slot = vq->finished[i];
		const struct flight *flight = &vq->flights[slot];
		struct packed_desc *desc = lap_desc(vq, vq->packed.next_used);
		unsigned flags = lap_wrap(vq, vq->packed.next_used) ? DESC_AVAIL | DESC_USED : 0;

		if (flight->len)
			flags |= VIRTQ_DESC_F_WRITE;
		__atomic_store_n(&desc->id, htole16(flight->id), __ATOMIC_RELAXED);
		__atomic_store_n(&desc->len, htole32(flight->len), __ATOMIC_RELAXED);
		if (i == 0) {
			first = &desc->flags;
			first_flags = (uint16_t)flags;
		} else {
			__atomic_store_n(&desc->flags, htole16((uint16_t)flags), __ATOMIC_RELEASE);
		}
		vq->packed.next_used = lap_add(vq, vq->packed.next_used, flight->num_desc);
		vq->packed.num_undecided =
			MIN(vq->packed.num_undecided + flight->num_desc, 2u * vq->size);
		vq->packed.num_taken -= flight->num_desc;
		vq->packed.free_slots[vq->packed.num_free++] = (uint16_t)slot;
	}
	if (first)
		ring_store16(first, first_flags);
}

static bool packed_interrupt_wanted(struct virtqueue *vq)
{
	uint32_t event = le32toh(__atomic_load_n(vq->packed.driver_event, __ATOMIC_SEQ_CST));
	unsigned from = vq->packed.decided_used, batch = vq->packed.num_undecided;
	unsigned flags = event >> EVENT_FLAGS_SHIFT & EVENT_FLAGS, place = event & EVENT_PLACE;

	vq->packed.decided_used = vq->packed.next_used;
	vq->packed.num_undecided = 0;
	if (flags == EVENT_DISABLE)
		return false;
	if (flags != EVENT_DESC || !vq->event_idx || place >= vq->size)
		return true;
	if (!(event & EVENT_WRAP))
		place += vq->size;
	/* Is that place among the batch's? */
	return (place >= from ? place - from : place + 2u * vq->size - from) < batch;
}

const struct ring_format ring_format_packed = {
	.open = packed_open,
	.waiting = packed_waiting,
	.take = packed_take,
	.untake = packed_untake,
	.arm = packed_arm,
	.disarm = packed_disarm,
	.publish = packed_publish,
	.interrupt_wanted = packed_interrupt_wanted,
};
