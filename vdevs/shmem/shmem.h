/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev shmem: regions of memory that clients in a guest share. shmem.c is the vdev: options, pages,
 * interrupt; region.c the regions and their clients. All of it under the vdev's v_mtx, on vCPU
 * threads.
 */
#ifndef SHMEM_H
#define SHMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <qvm/vdev-core.h>
#include "guest_shm.h"

enum {
	MAX_REGIONS = 32,
	MAX_GUEST_PAGES = 16384,   /* of all regions that guests made together: 64 MiB */
	MAX_CREATE_PAGES = 262144, /* of one that the file makes: 1 GiB */
	COOKIE_FACTORY = 0,
	COOKIE_MSIX = 1,     /* accesses to the table do not come here */
	COOKIE_CONTROL = 16, /* + region * SHM_MAX_CLIENTS + client */
};

struct client {
	bool attached;
	uint64_t gpa;	   /* of its control page */
	uint16_t notified; /* by whom, since the client looked */
	bool changed;	   /* who is attached has, since the client looked */
};

struct region {
	char name[SHM_NAME_SIZE]; /* "": free */
	uint32_t pages;
	bool kept;    /* the file has made it: it stays */
	uint8_t *mem; /* NULL: not yet */
	struct client clients[SHM_MAX_CLIENTS];
};

/* A region of that name, or NULL. */
struct region *region_find(struct region *regions, const char *name);
/* Take a place for a new region without memory; NULL: all are in use. */
struct region *region_new(struct region *regions, const char *name, uint32_t pages, bool kept);
/* Zeroed memory for it, all of which is there (populate) or comes when it is touched. EOK or an
 * errno. */
int region_alloc(struct region *r, bool populate);
/* Forget it, memory included. No window shows it. */
void region_free(struct region *r);
/* Who is attached, a bit each. */
uint16_t region_attached(const struct region *r);

/* Is this a name: 1 to 31 printable characters, no '/', and a NUL. */
bool region_name_valid(const char name[SHM_NAME_SIZE]);

/* The lists of `allow` and `deny`, in the file's order. */
struct rule {
	struct rule *next;
	bool allow;
	char pattern[];
};
bool rules_allow(const struct rule *rules, const char *name);

#endif
