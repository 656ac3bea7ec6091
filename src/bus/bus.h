/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trap dispatch: from the address of an access to the region that answers it.
 *
 * The regions of a space are a sorted, immutable array, published by pointer: bus_dispatch takes no
 * lock and costs a binary search. Changes (a PCI BAR moves) copy the array under a writers' lock;
 * the old one is freed once every reader has left the dispatch in which it may have seen it. A
 * writer never waits for readers, so it may itself run inside a handler. No lock is held while a
 * handler runs.
 */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"
#include "engine/engine.h"

struct bus;
struct guest_cpu;

enum bus_result {
	BUS_OK,
	BUS_NOT_FOUND,	/* no region, or the access leaves it */
	BUS_NO_ADVANCE, /* handled; the program counter stays */
	BUS_FAULT,	/* the guest gets an exception */
	BUS_ERROR,	/* the vdev failed: the VM ends with an unexpected vdev error */
	BUS_TERMINATE	/* the handler ends the VM */
};

struct bus_access {
	enum engine_space space;
	bool write;
	unsigned len;	       /* bytes */
	uint64_t addr;	       /* guest-physical address or port */
	uint64_t offset;       /* addr - start of the region */
	void *data;	       /* len bytes, little endian */
	struct guest_cpu *gcp; /* NULL on the bench */
};

typedef enum bus_result bus_handler_fn(void *opaque, unsigned cookie, struct bus_access *acc);

struct bus_region {
	enum engine_space space;
	uint64_t start, len;
	unsigned acc_sizes; /* bit n set: accesses of n bytes are handled; 0: all */
	unsigned cookie;
	bus_handler_fn *handler;
	void *opaque;
	const char *owner; /* for messages; outlives the region */
};

/* A thread that dispatches. Owned by the caller; one dispatch (nesting allowed) at a time. */
struct bus_reader {
	struct bus_reader *next;
	_Atomic uint64_t epoch; /* 0: outside */
	unsigned depth;
};

int bus_create(struct bus **ret_bus) MUST_CHECK;
void bus_destroy(struct bus *bus); /* no reader is inside */
void bus_reader_add(struct bus *bus, struct bus_reader *reader);
void bus_reader_remove(struct bus *bus, struct bus_reader *reader);

/*
 * Replace: take away the region at old (NULL: none) and add new (NULL: none), as one step. Any
 * thread, handlers too. -EEXIST: new overlaps a region, which *ret_other (may be NULL) names;
 * nothing has changed. -ENOENT: no such old.
 */
int bus_region_replace(struct bus *bus, const struct bus_region *old, const struct bus_region *new,
		       const char **ret_other) MUST_CHECK;

/*
 * Memory that a handler may be looking at, such as a region's opaque after the region was replaced:
 * free(3) takes it, from its beginning, once every reader that may hold it has left its dispatch.
 * It begins with this struct. Any thread, handlers too; nobody waits.
 */
struct bus_retired {
	struct bus_retired *next;
	uint64_t at;
};
void bus_retire(struct bus *bus, struct bus_retired *memory);

/* Find the region and run its handler. acc->offset is filled in. */
enum bus_result bus_dispatch(struct bus *bus, struct bus_reader *reader, struct bus_access *acc);

/* The number of regions and one of them (for listings and tests); 0-based, sorted by space and
 * start. */
unsigned bus_region_list(struct bus *bus, struct bus_region *ret_regions, unsigned max);

#endif
