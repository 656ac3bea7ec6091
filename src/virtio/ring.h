/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the virtqueue walker share: virtqueue.c (lives, requests, what is in flight),
 * chain.c (what a buffer may be), split.c and packed.c (the two ring formats). Only they touch ring
 * memory, on the thread that works the queue.
 */
#ifndef VIRTIO_RING_H
#define VIRTIO_RING_H

#include <endian.h>
#include <stdatomic.h>
#include <string.h>

#include <virtio.h>

#include "virtio/virtqueue.h"

enum { RING_DESC_SIZE = 16 };

/* A descriptor of a split ring, and of any indirect table (there a packed ring's last two fields
 * stand the other way round). */
struct ring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct shadow_desc {
	uint64_t addr;
	uint32_t len;
	bool write;
};

/* A request between virtqueue_next and the used ring, by its slot: of a split ring the head. */
struct flight {
	enum { FLIGHT_FREE, FLIGHT_TAKEN, FLIGHT_DONE } state;
	uint32_t len;	   /* TAKEN: its writable bytes; DONE: those that were written */
	uint16_t id;	   /* packed: what the driver calls it */
	uint16_t num_desc; /* packed: places in the ring */
};

/* State of one walk. */
struct walk {
	unsigned slot;
	unsigned visited; /* descriptors so far */
	bool seen_write;
	uint64_t total; /* bytes */
	struct qvmx_request req;
};

/* A ring format. Texts are static and say why the driver broke the queue; NULL: it did not. */
struct ring_format {
	/* Where the parts are and what state is the format's; the sizes fit. */
	const char *(*open)(struct virtqueue *vq, const struct virtqueue_layout *layout);
	/* Is there a request? *ret_why is set, if the ring shows that the driver is wrong. */
	bool (*waiting)(const struct virtqueue *vq, const char **ret_why);
	/* Read the request that waits. Its slot is free; the rest of the flight is filled in. */
	const char *(*take)(struct virtqueue *vq, struct walk *walk);
	void (*untake)(struct virtqueue *vq, unsigned slot);
	/* Ask for a kick at the next request; the caller looks for one again afterwards. */
	void (*arm)(struct virtqueue *vq);
	/* Requests are being taken: no kicks. */
	void (*disarm)(struct virtqueue *vq);
	/* Show what is finished, all at once, in the order of completion. */
	void (*publish)(struct virtqueue *vq);
	/* Does the driver want to hear of what was published since the last call? */
	bool (*interrupt_wanted)(struct virtqueue *vq);
};

extern const struct ring_format ring_format_split, ring_format_packed;

struct virtqueue {
	const struct memory *mem;
	unsigned index;
	struct virtqueue_host host;

	/* From open to close. */
	const struct ring_format *format;
	uint16_t size; /* 0: closed */
	bool event_idx, indirect;
	uint16_t generation; /* of this life of the queue */
	bool armed;	     /* the next entry of the driver causes a kick */
	bool undecided;	     /* something was published since interrupt_wanted */
	bool can_unget;
	uint32_t last_id;
	struct flight *flights; /* by slot */
	uint16_t *finished;	/* slots whose requests are done and not published */
	unsigned num_finished;

	/* The format's. */
	struct {
		const struct ring_desc *desc;
		struct ring_avail *avail;
		struct ring_used *used;
		uint16_t next_avail;   /* the driver's entries that were taken */
		uint16_t next_used;    /* our entries that were published */
		uint16_t decided_used; /* ... and about whose interrupt was decided */
		bool quiet;	       /* used.flags says that no kick is needed */
	} split;
	struct {
		struct packed_desc *desc;
		const uint32_t *driver_event;
		uint32_t *device_event;
		/*
		 * Positions count places over two laps: 0 to 2 * size - 1; the first lap is
		 * that with wrap counter 1.
		 */
		unsigned next_avail, next_used, decided_used;
		unsigned num_undecided; /* places published since the last decision */
		unsigned num_taken;	/* places that are ours */
		bool quiet;
		uint16_t *free_slots; /* a stack */
		unsigned num_free;
	} packed;

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
	_Atomic bool no_dma;
	_Atomic uint64_t taken, done, dropped, interrupts, times_broken, in_flight_num;
};

/* One part of the ring: aligned and wholly in RAM, or NULL. */
void *ring_part(const struct virtqueue *vq, uint64_t addr, uint64_t len, unsigned align);

/* chain.c. A buffer of the request; the descriptor was read once. */
const char *chain_add(struct virtqueue *vq, struct walk *walk, uint64_t addr, uint32_t len,
		      bool write);
/* An indirect descriptor: its table and the number of its entries. */
const char *chain_table(const struct virtqueue *vq, uint64_t addr, uint32_t len, uint16_t flags,
			const uint8_t **ret_table, unsigned *ret_entries);

/*
 * Fields that both sides look at to decide whether to tell the other: each side writes its own and
 * then reads the other's, so at least one sees what the other wrote. That takes sequentially
 * consistent accesses (an acquire and a release would let the read pass the write). The loads also
 * order what the driver wrote before, the stores what we did.
 */
static inline uint16_t ring_load16(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_SEQ_CST));
}

static inline void ring_store16(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, htole16(value), __ATOMIC_SEQ_CST);
}

/*
 * Copy what the driver may be changing. The barrier keeps the compiler from reading the source
 * again later.
 */
static inline void ring_copy_once(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	__asm__ volatile("" : : "r"(to) : "memory");
}

#endif
