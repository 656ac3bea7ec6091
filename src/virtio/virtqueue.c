/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues.
 *
 * The ring's parts are host addresses from virtqueue_open on, where they were checked with their
 * lengths. Indices that the driver writes are read by atomic loads, ours are written by atomic
 * stores. What the driver may change at any time is copied to a local variable once, and the copy
 * is what is checked and used.
 */
#include "virtio/virtqueue.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <virtio.h>

#include "engine/memory.h"

enum {
	DESC_SIZE = 16,
	FIRST_SCRATCH = 16,	/* entries of the shadow table and of the iovecs at first */
	AVAIL_NO_INTERRUPT = 1, /* avail.flags */
	USED_NO_NOTIFY = 1,	/* used.flags */
	HEAD_BITS = 16,		/* of a request id; the rest is the generation */
};

/* As in guest memory. Sizes: 16 n, 6 + 2 n, 6 + 8 n. */
struct ring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

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

struct shadow_desc {
	uint64_t addr;
	uint32_t len;
	bool write;
};

struct virtqueue {
	const struct memory *mem;
	unsigned index;
	struct virtqueue_host host;

	/* From open to close. */
	uint16_t size; /* 0: closed */
	bool event_idx, indirect;
	const struct ring_desc *desc;
	struct ring_avail *avail;
	struct ring_used *used;
	uint16_t generation;	 /* of this life of the queue */
	uint16_t next_avail;	 /* the driver's entries that were taken */
	uint16_t next_used;	 /* our entries that were written */
	uint16_t published_used; /* ... and shown */
	uint16_t decided_used;	 /* ... and about whose interrupt was decided */
	bool armed;		 /* the next entry of the driver causes a kick */
	bool quiet;		 /* used.flags says that no kick is needed */
	bool can_unget;
	uint32_t last_id;
	uint32_t *write_len; /* of the request in flight with that head */
	uint8_t *in_flight;  /* a bit for each head */

	/*
	 * Scratch of the request that was taken last; grows to what chains need, at most size
	 * entries.
	 */
	struct shadow_desc *shadow;
	struct iovec *iov;
	unsigned max_shadow, num_shadow, max_iov;

	/* For other threads. */
	_Atomic bool live; /* open, not halted, not broken */
	_Atomic bool broken;
	_Atomic uint64_t taken, done, dropped, interrupts, times_broken, in_flight_num;
};

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

/* One part of the ring: aligned and wholly in RAM, or NULL. */
static void *ring_part(const struct virtqueue *vq, uint64_t addr, uint64_t len, unsigned align)
{
	return addr % align ? NULL : memory_translate(vq->mem, addr, len, true);
}

int virtqueue_open(struct virtqueue *vq, const struct virtqueue_layout *layout,
		   const char **ret_why)
{
	const struct ring_desc *desc;
	struct ring_avail *avail;
	struct ring_used *used;
	uint32_t *write_len;
	uint8_t *in_flight;
	uint16_t size = layout->size;

	if (vq->size)
		return -EBUSY;
	if (!is_pow2(size) || size > VIRTQ_MAX_SIZE) {
		*ret_why = "the queue size is not a power of two up to 32768";
		return -EINVAL;
	}
	desc = ring_part(vq, layout->desc, DESC_SIZE * (uint64_t)size, 16);
	avail = ring_part(vq, layout->driver, 6 + 2 * (uint64_t)size, 2);
	used = ring_part(vq, layout->device, 6 + 8 * (uint64_t)size, 4);
	if (!desc || !avail || !used) {
		*ret_why = !desc    ? "the descriptor table is misaligned or not in RAM"
			   : !avail ? "the available ring is misaligned or not in RAM"
				    : "the used ring is misaligned or not in RAM";
		return -EFAULT;
	}
	write_len = calloc(size, sizeof(*write_len));
	in_flight = calloc(((unsigned)size + 7) / 8, 1);
	if (!write_len || !in_flight) {
		free(write_len);
		free(in_flight);
		*ret_why = "out of memory";
		return -ENOMEM;
	}
	vq->size = size;
	vq->event_idx = layout->event_idx;
	vq->indirect = layout->indirect;
	vq->desc = desc;
	vq->avail = avail;
	vq->used = used;
	vq->write_len = write_len;
	vq->in_flight = in_flight;
	vq->generation++;
	vq->next_avail = vq->next_used = vq->published_used = vq->decided_used = 0;
	vq->armed = vq->quiet = vq->can_unget = false;
	vq->num_shadow = 0;
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
	vq->desc = NULL;
	vq->avail = NULL;
	vq->used = NULL;
	free(vq->write_len);
	vq->write_len = NULL;
	free(vq->in_flight);
	vq->in_flight = NULL;
	free(vq->shadow);
	vq->shadow = NULL;
	free(vq->iov);
	vq->iov = NULL;
	vq->max_shadow = vq->max_iov = vq->num_shadow = 0;
	vq->can_unget = false;
	atomic_store(&vq->in_flight_num, 0);
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

static bool flight_test(const struct virtqueue *vq, unsigned head)
{
	return vq->in_flight[head / 8] & 1u << head % 8;
}

static void flight_set(struct virtqueue *vq, unsigned head)
{
	count(&vq->in_flight_num, 1);
	vq->in_flight[head / 8] |= (uint8_t)(1u << head % 8);
}

static void flight_clear(struct virtqueue *vq, unsigned head)
{
	count(&vq->in_flight_num, -1);
	vq->in_flight[head / 8] &= (uint8_t) ~(1u << head % 8);
}

static uint16_t *avail_event(struct virtqueue *vq)
{
	return (uint16_t *)(void *)&vq->used->ring[vq->size];
}

/*
 * Fields that both sides look at to decide whether to tell the other: each side writes its own and
 * then reads the other's, so at least one sees what the other wrote. That takes sequentially
 * consistent accesses (an acquire and a release would let the read pass the write). The loads also
 * order what the driver wrote before, the stores what we did.
 */
static uint16_t load16(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_SEQ_CST));
}

static void store16(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, htole16(value), __ATOMIC_SEQ_CST);
}

static uint16_t driver_index(const struct virtqueue *vq)
{
	return load16(&vq->avail->idx);
}

/*
 * Copy what the driver may be changing. The barrier keeps the compiler from reading the source
 * again later.
 */
static void copy_once(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	__asm__ volatile("" : : "r"(to) : "memory");
}

/* Make room for one entry more; at most limit entries. */
static bool grow(void **array, unsigned *max, unsigned num, unsigned limit, size_t entry_size)
{
	unsigned more = MIN(*max ? *max * 2 : FIRST_SCRATCH, limit);
	void *p;

	if (num < *max)
		return true;
	p = realloc(*array, more * entry_size);
	if (!p)
		return false;
	*array = p;
	*max = more;
	return true;
}

/* State of one walk. */
struct walk {
	const uint8_t *table;
	unsigned entries; /* of the table */
	unsigned visited; /* descriptors so far */
	bool inside_indirect, seen_write;
	uint64_t total; /* bytes */
	struct qvmx_request req;
};

/* Why the walk failed, or NULL. */
static const char *add_buffer(struct virtqueue *vq, struct walk *walk, const struct ring_desc *desc)
{
	bool write = desc->flags & VIRTQ_DESC_F_WRITE;
	struct qvmx_request *req = &walk->req;
	unsigned num_iov = req->num_read + req->num_write;
	unsigned num_same = write ? req->num_write : req->num_read;
	struct iovec *last;
	void *host;

	if (!write && walk->seen_write)
		return "a readable descriptor follows a writable one";
	walk->seen_write = write;
	if (!desc->len)
		return NULL;
	walk->total += desc->len;
	if (walk->total > UINT32_MAX)
		return "a chain holds more than 4 GiB";
	host = memory_translate(vq->mem, desc->addr, desc->len, write);
	if (!host)
		return write ? "a writable buffer is not wholly in RAM"
			     : "a buffer is not wholly in RAM";
	if (!grow((void **)&vq->shadow, &vq->max_shadow, vq->num_shadow, vq->size,
		  sizeof(*vq->shadow)) ||
	    !grow((void **)&vq->iov, &vq->max_iov, num_iov, vq->size, sizeof(*vq->iov)))
		return "out of memory";
	vq->shadow[vq->num_shadow++] = (struct shadow_desc){ desc->addr, desc->len, write };
	*(write ? &req->write_len : &req->read_len) += desc->len;
	last = num_same ? &vq->iov[num_iov - 1] : NULL;
	if (last && (char *)last->iov_base + last->iov_len == host) {
		last->iov_len += desc->len;
		return NULL;
	}
	vq->iov[num_iov] = (struct iovec){ host, desc->len };
	*(write ? &req->num_write : &req->num_read) += 1;
	return NULL;
}

static const char *enter_indirect(struct virtqueue *vq, struct walk *walk,
				  const struct ring_desc *desc)
{
	if (!vq->indirect)
		return "an indirect descriptor, which was not negotiated";
	if (walk->inside_indirect)
		return "an indirect descriptor inside an indirect table";
	if (desc->flags & VIRTQ_DESC_F_NEXT)
		return "an indirect descriptor with a next one";
	if (!desc->len || desc->len % DESC_SIZE)
		return "the length of an indirect table is not a multiple of 16, or 0";
	walk->table = memory_translate(vq->mem, desc->addr, desc->len, false);
	if (!walk->table)
		return "an indirect table is not wholly in RAM";
	walk->entries = desc->len / DESC_SIZE;
	walk->inside_indirect = true;
	return NULL;
}

/* Follow the chain that starts at head. Why it failed, or NULL. */
static const char *walk_chain(struct virtqueue *vq, unsigned head, struct walk *walk)
{
	unsigned next = head;

	walk->table = (const uint8_t *)vq->desc;
	walk->entries = vq->size;
	for (;;) {
		struct ring_desc desc;
		const char *why;

		if (next >= walk->entries)
			return "a descriptor index is beyond its table";
		copy_once(&desc, walk->table + next * (size_t)DESC_SIZE, sizeof(desc));
		desc.addr = le64toh(desc.addr);
		desc.len = le32toh(desc.len);
		desc.flags = le16toh(desc.flags);
		if (desc.flags & VIRTQ_DESC_F_INDIRECT) {
			why = enter_indirect(vq, walk, &desc);
			if (why)
				return why;
			next = 0;
			continue;
		}
		if (walk->visited++ == vq->size)
			return "a chain is longer than the queue, or loops";
		why = add_buffer(vq, walk, &desc);
		if (why)
			return why;
		if (!(desc.flags & VIRTQ_DESC_F_NEXT))
			return NULL;
		next = le16toh(desc.next);
	}
}

/* Ask for a kick at the next entry; the caller looks at the index again afterwards. */
static void arm(struct virtqueue *vq)
{
	if (vq->event_idx)
		store16(avail_event(vq), vq->next_avail);
	else
		store16(&vq->used->flags, 0);
	vq->quiet = false;
	vq->armed = true;
}

/* Entries are being taken: no kicks. With EVENT_IDX the event index that lies behind says so. */
static void disarm(struct virtqueue *vq)
{
	vq->armed = false;
	if (vq->event_idx || vq->quiet)
		return;
	store16(&vq->used->flags, USED_NO_NOTIFY);
	vq->quiet = true;
}

/* The number of entries that wait, or -1 if the driver's index makes no sense. */
static int entries_waiting(const struct virtqueue *vq)
{
	uint16_t waiting = (uint16_t)(driver_index(vq) - vq->next_avail);

	return waiting > vq->size ? -1 : waiting;
}

int virtqueue_next(struct virtqueue *vq, struct qvmx_request *ret_req)
{
	struct walk walk = { 0 };
	const char *why;
	unsigned head;
	int waiting;

	if (!virtqueue_live(vq))
		return atomic_load(&vq->broken) ? -EIO : -ENODEV;
	waiting = entries_waiting(vq);
	if (!waiting) {
		if (!vq->armed)
			arm(vq);
		waiting = entries_waiting(vq);
		if (!waiting)
			return 0;
	}
	if (waiting < 0)
		return break_queue(vq, "the available index is too far ahead");
	disarm(vq);
	head = le16toh(__atomic_load_n(&vq->avail->ring[vq->next_avail & (vq->size - 1)],
				       __ATOMIC_RELAXED));
	if (head >= vq->size)
		return break_queue(vq, "a head index is not below the queue size");
	if (flight_test(vq, head))
		return break_queue(vq, "a head was made available again while it is in use");
	vq->num_shadow = 0;
	why = walk_chain(vq, head, &walk);
	if (why)
		return break_queue(vq, why);
	vq->next_avail++;
	flight_set(vq, head);
	vq->write_len[head] = (uint32_t)walk.req.write_len;
	vq->last_id = (uint32_t)vq->generation << HEAD_BITS | head;
	vq->can_unget = true;
	count(&vq->taken, 1);
	walk.req.id = vq->last_id;
	walk.req.iov = vq->iov;
	*ret_req = walk.req;
	return 1;
}

void virtqueue_unget(struct virtqueue *vq)
{
	if (!vq->can_unget || !virtqueue_live(vq))
		return;
	vq->can_unget = false;
	vq->next_avail--;
	flight_clear(vq, vq->last_id & UINT16_MAX);
	count(&vq->taken, -1);
}

void virtqueue_done(struct virtqueue *vq, uint32_t id, uint32_t written)
{
	unsigned head = id & UINT16_MAX;
	struct ring_used_elem *elem;

	if (!virtqueue_live(vq) || id >> HEAD_BITS != vq->generation || head >= vq->size ||
	    !flight_test(vq, head)) {
		count(&vq->dropped, 1);
		return;
	}
	flight_clear(vq, head);
	if (id == vq->last_id)
		vq->can_unget = false;
	elem = &vq->used->ring[vq->next_used++ & (vq->size - 1)];
	__atomic_store_n(&elem->id, htole32(head), __ATOMIC_RELAXED);
	__atomic_store_n(&elem->len, htole32(MIN(written, vq->write_len[head])), __ATOMIC_RELAXED);
	count(&vq->done, 1);
}

void virtqueue_publish(struct virtqueue *vq)
{
	if (!virtqueue_live(vq) || vq->published_used == vq->next_used)
		return;
	vq->published_used = vq->next_used;
	store16(&vq->used->idx, vq->next_used);
}

/* Does the driver want to hear of the entries since the last decision? They are published. */
static bool interrupt_wanted(const struct virtqueue *vq)
{
	uint16_t event, batch = (uint16_t)(vq->published_used - vq->decided_used);

	if (!vq->event_idx)
		return !(load16(&vq->avail->flags) & AVAIL_NO_INTERRUPT);
	event = load16(&vq->avail->ring[vq->size]);
	return (uint16_t)(vq->published_used - event - 1) < batch;
}

void virtqueue_flush(struct virtqueue *vq)
{
	bool wanted;

	virtqueue_publish(vq);
	if (!virtqueue_live(vq) || vq->decided_used == vq->published_used)
		return;
	wanted = interrupt_wanted(vq);
	vq->decided_used = vq->published_used;
	if (!wanted)
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
