/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For this folder's tests: guest memory with a hole and a ROM, and the driver's side of a split
 * ring, which can be made to break every rule. One thread, but for ring_offer and the reads of the
 * used ring, which use atomics.
 */
#ifndef VIRTIO_TESTING_H
#define VIRTIO_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <virtio.h>

#include "base/util.h"
#include "engine/memory.h"

/*
 * Guest-physical: RAM, a hole, ROM, a hole, one page of RAM; far up RAM of 3 GiB that is hardly
 * touched.
 */
#define RAM_SIZE    0x400000ull
#define ROM_BASE    0x800000ull
#define ROM_SIZE    0x1000ull
#define ISLAND	    0xc00000ull
#define ISLAND_SIZE 0x1000ull
#define HUGE_BASE   0x100000000ull
#define HUGE_SIZE   0xc0000000ull

/* Where rings lie by default; buffers are taken from BUFFERS on. */
#define RING_DESC  0x100000ull
#define RING_AVAIL 0x200000ull
#define RING_USED  0x220000ull
#define RING_TABLE 0x280000ull
#define BUFFERS	   0x300000ull

struct ring {
	struct memory *mem;
	uint64_t desc, avail, used;
	unsigned size;
	uint16_t idx; /* of the available ring */
};

static inline struct memory *testing_memory(void)
{
	static const struct memory_region regions[] = {
		{ 0, RAM_SIZE, false },
		{ ROM_BASE, ROM_SIZE, true },
		{ ISLAND, ISLAND_SIZE, false },
		{ HUGE_BASE, HUGE_SIZE, false },
	};
	struct memory *mem;

	assert_int_equal(memory_create(regions, ARRAY_LEN(regions), &mem), 0);
	return mem;
}

static inline void *guest(const struct memory *mem, uint64_t gpa)
{
	return mem->base + gpa;
}

static inline void guest_put16(const struct memory *mem, uint64_t gpa, uint16_t value)
{
	__atomic_store_n((uint16_t *)guest(mem, gpa), value, __ATOMIC_SEQ_CST);
}

static inline uint16_t guest_get16(const struct memory *mem, uint64_t gpa)
{
	return __atomic_load_n((uint16_t *)guest(mem, gpa), __ATOMIC_SEQ_CST);
}

static inline uint32_t guest_get32(const struct memory *mem, uint64_t gpa)
{
	return __atomic_load_n((uint32_t *)guest(mem, gpa), __ATOMIC_SEQ_CST);
}

/* Write a descriptor of any table. */
static inline void desc_put(const struct memory *mem, uint64_t table, unsigned i, uint64_t addr,
			    uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t *p = guest(mem, table + 16ull * i);

	memcpy(p, &addr, 8);
	memcpy(p + 8, &len, 4);
	memcpy(p + 12, &flags, 2);
	memcpy(p + 14, &next, 2);
}

static inline void ring_desc(const struct ring *r, unsigned i, uint64_t addr, uint32_t len,
			     uint16_t flags, uint16_t next)
{
	desc_put(r->mem, r->desc, i, addr, len, flags, next);
}

static inline void ring_init(struct ring *r, struct memory *mem, unsigned size)
{
	*r = (struct ring){
		.mem = mem, .desc = RING_DESC, .avail = RING_AVAIL, .used = RING_USED, .size = size
	};
	memset(guest(mem, r->desc), 0, 16ull * size);
	memset(guest(mem, r->avail), 0, 6 + 2ull * size);
	memset(guest(mem, r->used), 0, 6 + 8ull * size);
}

static inline void ring_set_idx(struct ring *r, uint16_t idx)
{
	r->idx = idx;
	guest_put16(r->mem, r->avail + 2, idx);
}

static inline void ring_offer(struct ring *r, uint16_t head)
{
	guest_put16(r->mem, r->avail + 4 + 2ull * (r->idx % r->size), head);
	ring_set_idx(r, (uint16_t)(r->idx + 1));
}

static inline uint16_t ring_used_idx(const struct ring *r)
{
	return guest_get16(r->mem, r->used + 2);
}

static inline uint32_t ring_used_id(const struct ring *r, uint16_t i)
{
	return guest_get32(r->mem, r->used + 4 + 8ull * (i % r->size));
}

static inline uint32_t ring_used_len(const struct ring *r, uint16_t i)
{
	return guest_get32(r->mem, r->used + 8 + 8ull * (i % r->size));
}

static inline uint16_t ring_used_flags(const struct ring *r)
{
	return guest_get16(r->mem, r->used);
}

static inline uint16_t ring_avail_event(const struct ring *r)
{
	return guest_get16(r->mem, r->used + 4 + 8ull * r->size);
}

static inline void ring_set_flags(struct ring *r, uint16_t flags)
{
	guest_put16(r->mem, r->avail, flags);
}

static inline void ring_set_used_event(struct ring *r, uint16_t event)
{
	guest_put16(r->mem, r->avail + 4 + 2ull * r->size, event);
}

#endif
