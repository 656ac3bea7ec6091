/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/engine.h"

#define HUGE_PAGE (UINT64_C(2) << 20)

static int memory_map_region(struct memory *mem, const struct memory_region *r)
{
	void *at = mem->base + r->gpa;
	void *p = mmap(at, r->len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	/* Advice only: a host without huge pages runs the guest too. */
	(void)madvise(p, r->len, MADV_HUGEPAGE);
	(void)madvise(p, r->len, MADV_DONTDUMP);
	return 0;
}

int memory_create(const struct memory_region *regions, unsigned num, struct memory **ret_mem)
{
	struct memory *mem = calloc(1, sizeof(*mem));
	int rc = 0;

	if (!mem)
		return -ENOMEM;
	for (unsigned i = 0; i < num; i++) {
		if (!range_inside(regions[i].gpa, regions[i].len, 0, MEMORY_MAX_END)) {
			rc = -EINVAL;
			goto fail;
		}
		struct memory_region *last =
			&mem->regions[mem->num_regions - (mem->num_regions > 0)];

		if (mem->num_regions && last->gpa + last->len == regions[i].gpa &&
		    last->rom == regions[i].rom) {
			last->len += regions[i].len;
			continue;
		}
		if (mem->num_regions == MEMORY_MAX_REGIONS) {
			rc = -ENOSPC;
			goto fail;
		}
		mem->regions[mem->num_regions++] = regions[i];
	}
	if (mem->num_regions) {
		const struct memory_region *last = &mem->regions[mem->num_regions - 1];

		mem->span = align_up(last->gpa + last->len, HUGE_PAGE);
	}
	/* One huge page more than needed, so that the base can be congruent to guest-physical 0. */
	void *p = mmap(NULL, mem->span + HUGE_PAGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		rc = -errno;
		goto fail;
	}
	uint64_t start = (uint64_t)(uintptr_t)p;
	uint64_t base = align_up(start, HUGE_PAGE);

	if (base > start)
		munmap(p, base - start);
	munmap((void *)(uintptr_t)(base + mem->span), start + HUGE_PAGE - base);
	mem->base = (uint8_t *)(uintptr_t)base;
	for (unsigned i = 0; !rc && i < mem->num_regions; i++)
		rc = memory_map_region(mem, &mem->regions[i]);
	if (rc)
		goto fail;
	*ret_mem = mem;
	return 0;
fail:
	memory_destroy(mem);
	return rc;
}

void memory_destroy(struct memory *mem)
{
	if (mem && mem->base && mem->span)
		munmap(mem->base, mem->span);
	free(mem);
}

int memory_attach(const struct memory *mem, struct engine *engine)
{
	int rc = 0;

	engine->mem = mem;
	for (unsigned i = 0; !rc && i < mem->num_regions; i++) {
		const struct memory_region *r = &mem->regions[i];

		rc = engine->ops->memory_set(engine, i, r->gpa, r->len, mem->base + r->gpa, r->rom);
	}
	return rc;
}

static void *memory_found(const struct memory *mem, uint64_t gpa, uint64_t len, bool for_write)
{
	if (mem->watch)
		mem->watch(mem->watch_ctx, gpa, len, for_write);
	return mem->base + gpa;
}

/* What can be accessed from gpa on, which lies in region i. Reading goes on into a neighbour. */
static uint64_t memory_room(const struct memory *mem, unsigned i, uint64_t gpa, uint64_t len,
			    bool for_write)
{
	uint64_t room = mem->regions[i].len - (gpa - mem->regions[i].gpa);

	while (!for_write && room < len && ++i < mem->num_regions &&
	       mem->regions[i].gpa == gpa + room)
		room += mem->regions[i].len;
	return room;
}

void *memory_translate(const struct memory *mem, uint64_t gpa, uint64_t len, bool for_write)
{
	unsigned lo = 0, hi = mem->num_regions;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct memory_region *r = &mem->regions[mid];

		if (gpa < r->gpa)
			hi = mid;
		else if (gpa - r->gpa >= r->len)
			lo = mid + 1;
		else if (!len || len > memory_room(mem, mid, gpa, len, for_write) ||
			 (for_write && r->rom))
			return NULL;
		else
			return memory_found(mem, gpa, len, for_write);
	}
	return NULL;
}
