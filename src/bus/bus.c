/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { READER_OUTSIDE = 0 };

/* One published state of the bus. Immutable once published. */
struct bus_table {
	struct bus_retired retired; /* from the epoch on in which it was replaced */
	unsigned first[ENGINE_NUM_SPACES], num[ENGINE_NUM_SPACES];
	struct bus_region regions[];
};

struct bus {
	_Atomic(struct bus_table *) table;
	_Atomic uint64_t epoch; /* grows with each replacement; starts at 1 */
	pthread_mutex_t lock;	/* writers, the list of readers, the retired tables */
	struct bus_reader *readers;
	struct bus_retired *retired;
};

int bus_create(struct bus **ret_bus)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	struct bus_table *table = calloc(1, sizeof(*table));

	if (!bus || !table) {
		free(bus);
		free(table);
		return -ENOMEM;
	}
	pthread_mutex_init(&bus->lock, NULL);
	atomic_init(&bus->table, table);
	atomic_init(&bus->epoch, 1);
	*ret_bus = bus;
	return 0;
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	while (bus->retired) {
		struct bus_retired *r = bus->retired;

		bus->retired = r->next;
		free(r);
	}
	free(atomic_load(&bus->table));
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}

void bus_reader_add(struct bus *bus, struct bus_reader *reader)
{
	reader->depth = 0;
	atomic_init(&reader->epoch, READER_OUTSIDE);
	pthread_mutex_lock(&bus->lock);
	reader->next = bus->readers;
	bus->readers = reader;
	pthread_mutex_unlock(&bus->lock);
}

void bus_reader_remove(struct bus *bus, struct bus_reader *reader)
{
	pthread_mutex_lock(&bus->lock);
	for (struct bus_reader **p = &bus->readers; *p; p = &(*p)->next) {
		if (*p == reader) {
			*p = reader->next;
			break;
		}
	}
	pthread_mutex_unlock(&bus->lock);
}

/*
 * Free what is retired and no reader can hold: a reader that is inside published the epoch which
 * it saw before it loaded the table pointer, so it cannot hold a table that was replaced in an
 * earlier epoch, nor what only that table led to.
 */
static void bus_reclaim(struct bus *bus)
{
	uint64_t oldest = UINT64_MAX;

	for (struct bus_reader *r = bus->readers; r; r = r->next) {
		uint64_t e = atomic_load(&r->epoch);

		if (e != READER_OUTSIDE && e < oldest)
			oldest = e;
	}
	for (struct bus_retired **p = &bus->retired; *p;) {
		struct bus_retired *r = *p;

		if (r->at < oldest) {
			*p = r->next;
			free(r);
		} else {
			p = &r->next;
		}
	}
}

/* Locked. */
static void bus_retire_locked(struct bus *bus, struct bus_retired *memory)
{
	memory->at = atomic_fetch_add(&bus->epoch, 1);
	memory->next = bus->retired;
	bus->retired = memory;
	bus_reclaim(bus);
}

void bus_retire(struct bus *bus, struct bus_retired *memory)
{
	pthread_mutex_lock(&bus->lock);
	bus_retire_locked(bus, memory);
	pthread_mutex_unlock(&bus->lock);
}

static bool region_before(const struct bus_region *a, const struct bus_region *b)
{
	return a->space != b->space ? a->space < b->space : a->start < b->start;
}

int bus_region_replace(struct bus *bus, const struct bus_region *old, const struct bus_region *new,
		       const char **ret_other)
{
	int rc = 0;

	if (new && (!new->len || new->start + (new->len - 1) < new->start))
		return -EINVAL;
	pthread_mutex_lock(&bus->lock);
	struct bus_table *from = atomic_load(&bus->table);
	unsigned num = 0, total = 0;

	for (unsigned s = 0; s < ENGINE_NUM_SPACES; s++)
		total += from->num[s];
	struct bus_table *to = calloc(1, sizeof(*to) + (total + 1) * sizeof(to->regions[0]));
	bool found = !old, placed = !new;

	if (!to) {
		rc = -ENOMEM;
		goto out;
	}
	for (unsigned i = 0; i < total; i++) {
		const struct bus_region *r = &from->regions[i];

		if (!found && r->space == old->space && r->start == old->start &&
		    r->len == old->len && r->opaque == old->opaque) {
			found = true;
			continue;
		}
		if (new && r->space == new->space &&
		    range_overlaps(r->start, r->len, new->start, new->len)) {
			if (ret_other)
				*ret_other = r->owner;
			rc = -EEXIST;
			goto out;
		}
		if (!placed && region_before(new, r)) {
			to->regions[num++] = *new;
			placed = true;
		}
		to->regions[num++] = *r;
	}
	if (!placed)
		to->regions[num++] = *new;
	if (!found) {
		rc = -ENOENT;
		goto out;
	}
	for (unsigned i = num; i-- > 0;) {
		to->first[to->regions[i].space] = i;
		to->num[to->regions[i].space]++;
	}
	atomic_store(&bus->table, to);
	bus_retire_locked(bus, &from->retired);
	to = NULL;
out:
	free(to);
	pthread_mutex_unlock(&bus->lock);
	return rc;
}

static const struct bus_region *bus_find(const struct bus_table *t, enum engine_space space,
					 uint64_t addr)
{
	unsigned lo = t->first[space], hi = lo + t->num[space];

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct bus_region *r = &t->regions[mid];

		if (addr < r->start)
			hi = mid;
		else if (addr - r->start >= r->len)
			lo = mid + 1;
		else
			return r;
	}
	return NULL;
}

enum bus_result bus_dispatch(struct bus *bus, struct bus_reader *reader, struct bus_access *acc)
{
	enum bus_result result = BUS_NOT_FOUND;

	if (reader->depth++ == 0)
		atomic_store(&reader->epoch, atomic_load(&bus->epoch));
	const struct bus_table *t = atomic_load(&bus->table);
	const struct bus_region *r = bus_find(t, acc->space, acc->addr);

	if (r && acc->len <= r->len - (acc->addr - r->start) &&
	    (!r->acc_sizes || (r->acc_sizes & (1u << acc->len)))) {
		acc->offset = acc->addr - r->start;
		result = r->handler(r->opaque, r->cookie, acc);
	}
	if (--reader->depth == 0)
		atomic_store_explicit(&reader->epoch, READER_OUTSIDE, memory_order_release);
	return result;
}

unsigned bus_region_list(struct bus *bus, struct bus_region *ret_regions, unsigned max)
{
	unsigned total = 0;

	pthread_mutex_lock(&bus->lock);
	const struct bus_table *t = atomic_load(&bus->table);

	for (unsigned s = 0; s < ENGINE_NUM_SPACES; s++)
		total += t->num[s];
	memcpy(ret_regions, t->regions, MIN(total, max) * sizeof(*ret_regions));
	pthread_mutex_unlock(&bus->lock);
	return total;
}
