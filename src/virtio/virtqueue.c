/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtqueue's life, and its requests from taken to published, whatever the ring's format.
 *
 * A request that is done stays in flight until it is published, so that what a driver can have
 * in our tables is bounded by its ring. Ring memory is written in virtqueue_publish only, and for
 * the wish to be kicked.
 */
#include "virtio/virtqueue.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/memory.h"
#include "virtio/ring.h"

enum { SLOT_BITS = 16 }; /* of a request id; the rest is the generation */

/* Counters have one writer at a time: no locked instruction is needed. */
static void count(_Atomic uint64_t *counter, int by)
{
	uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, n + by, memory_order_relaxed);
}

int virtqueue_create(const struct memory *mem, unsigned index, const struct virtqueue_host *host,
		     struct virtqueue **ret_vq)
{
	struct virtqueue *vq = calloc(1, sizeof(*vq));

	if (!vq)
		return -ENOMEM;
	vq->mem = mem;
	vq->index = index;
	vq->host = *host;
	*ret_vq = vq;
	return 0;
}

void virtqueue_destroy(struct virtqueue *vq)
{
	if (!vq)
		return;
	virtqueue_close(vq);
	free(vq);
}

void *ring_part(const struct virtqueue *vq, uint64_t addr, uint64_t len, unsigned align)
{
	return addr % align ? NULL : memory_translate(vq->mem, addr, len, true);
}

static void free_tables(struct virtqueue *vq)
{
	free(vq->flights);
	vq->flights = NULL;
	free(vq->finished);
	vq->finished = NULL;
	free(vq->packed.free_slots);
	memset(&vq->split, 0, sizeof(vq->split));
	memset(&vq->packed, 0, sizeof(vq->packed));
	vq->format = NULL;
}

int virtqueue_open(struct virtqueue *vq, const struct virtqueue_layout *layout,
		   const char **ret_why)
{
	uint16_t size = layout->size;
	bool memory;

	if (vq->size)
		return -EBUSY;
	if (!size || size > VIRTQ_MAX_SIZE || (!layout->packed && !is_pow2(size))) {
		*ret_why = layout->packed ? "the queue size is not 1 to 32768"
					  : "the queue size is not a power of two up to 32768";
		return -EINVAL;
	}
	vq->format = layout->packed ? &ring_format_packed : &ring_format_split;
	vq->flights = calloc(size, sizeof(*vq->flights));
	vq->finished = calloc(size, sizeof(*vq->finished));
	memory = vq->flights && vq->finished;
	if (memory && layout->packed) {
		vq->packed.free_slots = calloc(size, sizeof(*vq->packed.free_slots));
		memory = vq->packed.free_slots;
	}
	if (!memory) {
		free_tables(vq);
		*ret_why = "out of memory";
		return -ENOMEM;
	}
	const char *why = vq->format->open(vq, layout);

	if (why) {
		free_tables(vq);
		*ret_why = why;
		return -EFAULT;
	}
	vq->size = size;
	vq->event_idx = layout->event_idx;
	vq->indirect = layout->indirect;
	vq->generation++;
	vq->armed = vq->undecided = vq->can_unget = false;
	vq->num_finished = vq->num_shadow = 0;
	atomic_store(&vq->broken, false);
	atomic_store(&vq->live, true);
	return 0;
}

void virtqueue_halt(struct virtqueue *vq)
{
	atomic_store(&vq->live, false);
}

void virtqueue_close(struct virtqueue *vq)
{
	virtqueue_halt(vq);
	atomic_store(&vq->broken, false);
	vq->size = 0;
	free_tables(vq);
	free(vq->shadow);
	vq->shadow = NULL;
	free(vq->iov);
	vq->iov = NULL;
	vq->max_shadow = vq->max_iov = vq->num_shadow = 0;
	vq->can_unget = false;
	atomic_store(&vq->in_flight_num, 0);
}

void virtqueue_dma_set(struct virtqueue *vq, bool on)
{
	atomic_store(&vq->no_dma, !on);
}

bool virtqueue_live(const struct virtqueue *vq)
{
	return atomic_load(&vq->live);
}

unsigned virtqueue_size(const struct virtqueue *vq)
{
	return vq->size;
}

static int break_queue(struct virtqueue *vq, const char *why)
{
	atomic_store(&vq->broken, true);
	atomic_store(&vq->live, false);
	count(&vq->times_broken, 1);
	vq->host.broken(vq->host.opaque, vq->index, why);
	return -EIO;
}

int virtqueue_next(struct virtqueue *vq, struct qvmx_request *ret_req)
{
	struct walk walk = { 0 };
	const char *why = NULL;
	struct flight *flight;

	if (!virtqueue_live(vq))
		return atomic_load(&vq->broken) ? -EIO : -ENODEV;
	if (atomic_load(&vq->no_dma))
		return 0;
	if (!vq->format->waiting(vq, &why)) {
		if (!vq->armed)
			vq->format->arm(vq);
		vq->armed = true;
		if (!vq->format->waiting(vq, &why))
			return 0;
	}
	if (why)
		return break_queue(vq, why);
	vq->armed = false;
	vq->format->disarm(vq);
	vq->num_shadow = 0;
	why = vq->format->take(vq, &walk);
	if (why)
		return break_queue(vq, why);
	flight = &vq->flights[walk.slot];
	flight->state = FLIGHT_TAKEN;
	flight->len = (uint32_t)walk.req.write_len;
	vq->last_id = (uint32_t)vq->generation << SLOT_BITS | walk.slot;
	vq->can_unget = true;
	count(&vq->in_flight_num, 1);
	count(&vq->taken, 1);
	walk.req.id = vq->last_id;
	walk.req.iov = vq->iov;
	*ret_req = walk.req;
	return 1;
}

void virtqueue_unget(struct virtqueue *vq)
{
	unsigned slot = vq->last_id & UINT16_MAX;

	if (!vq->can_unget || !virtqueue_live(vq))
		return;
	vq->can_unget = false;
	vq->format->untake(vq, slot);
	vq->flights[slot].state = FLIGHT_FREE;
	count(&vq->in_flight_num, -1);
	count(&vq->taken, -1);
}

void virtqueue_done(struct virtqueue *vq, uint32_t id, uint32_t written)
{
	unsigned slot = id & UINT16_MAX;
	struct flight *flight;

	if (!virtqueue_live(vq) || id >> SLOT_BITS != vq->generation || slot >= vq->size ||
	    vq->flights[slot].state != FLIGHT_TAKEN) {
		count(&vq->dropped, 1);
		return;
	}
	if (id == vq->last_id)
		vq->can_unget = false;
	flight = &vq->flights[slot];
	flight->state = FLIGHT_DONE;
	flight->len = MIN(written, flight->len);
	vq->finished[vq->num_finished++] = (uint16_t)slot;
	count(&vq->in_flight_num, -1);
	count(&vq->done, 1);
}

void virtqueue_publish(struct virtqueue *vq)
{
	if (!virtqueue_live(vq) || !vq->num_finished || atomic_load(&vq->no_dma))
		return;
	/*
	 * The driver may have a head in the ring again as soon as it is published; nobody looks
	 * before this function has freed the slot.
	 */
	vq->format->publish(vq);
	for (unsigned i = 0; i < vq->num_finished; i++)
		vq->flights[vq->finished[i]].state = FLIGHT_FREE;
	vq->num_finished = 0;
	vq->undecided = true;
}

void virtqueue_flush(struct virtqueue *vq)
{
	virtqueue_publish(vq);
	if (!virtqueue_live(vq) || !vq->undecided || atomic_load(&vq->no_dma))
		return;
	vq->undecided = false;
	if (!vq->format->interrupt_wanted(vq))
		return;
	count(&vq->interrupts, 1);
	vq->host.interrupt(vq->host.opaque, vq->index);
}

unsigned virtqueue_descriptor(const struct virtqueue *vq, unsigned idx, uint64_t *ret_addr,
			      uint32_t *ret_len, uint16_t *ret_flags)
{
	const struct shadow_desc *desc = idx < vq->num_shadow ? &vq->shadow[idx] : NULL;
	unsigned flags = 0;

	if (desc && desc->write)
		flags |= VIRTQ_DESC_F_WRITE;
	if (desc && idx + 1 < vq->num_shadow)
		flags |= VIRTQ_DESC_F_NEXT;
	*ret_addr = desc ? desc->addr : 0;
	*ret_len = desc ? desc->len : 0;
	*ret_flags = (uint16_t)flags;
	return idx < vq->num_shadow ? idx + 1 : idx;
}

void virtqueue_counts(const struct virtqueue *vq, struct virtqueue_counts *ret_counts)
{
	*ret_counts = (struct virtqueue_counts){
		.taken = atomic_load(&vq->taken),
		.done = atomic_load(&vq->done),
		.dropped = atomic_load(&vq->dropped),
		.interrupts = atomic_load(&vq->interrupts),
		.broken = atomic_load(&vq->times_broken),
		.in_flight = (unsigned)atomic_load(&vq->in_flight_num),
	};
}
