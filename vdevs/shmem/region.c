/* SPDX-License-Identifier: Apache-2.0 */
/* Regions, their names, and who may have them. */
#include "shmem.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/mman.h>

struct region *region_find(struct region *regions, const char *name)
{
	for (unsigned i = 0; i < MAX_REGIONS; i++)
		if (regions[i].name[0] && strcmp(regions[i].name, name) == 0)
			return &regions[i];
	return NULL;
}

struct region *region_new(struct region *regions, const char *name, uint32_t pages, bool kept)
{
	for (unsigned i = 0; i < MAX_REGIONS; i++) {
		struct region *r = &regions[i];

		if (r->name[0])
			continue;
		*r = (struct region){ .pages = pages, .kept = kept };
		memcpy(r->name, name, strlen(name) + 1);
		return r;
	}
	return NULL;
}

int region_alloc(struct region *r, bool populate)
{
	void *mem = mmap(NULL, (size_t)r->pages * SHM_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | (populate ? MAP_POPULATE : 0), -1, 0);

	if (mem == MAP_FAILED)
		return errno;
	r->mem = mem;
	return EOK;
}

void region_free(struct region *r)
{
	if (r->mem)
		munmap(r->mem, (size_t)r->pages * SHM_PAGE);
	*r = (struct region){ 0 };
}

uint16_t region_attached(const struct region *r)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < SHM_MAX_CLIENTS; i++)
		bits |= (unsigned)r->clients[i].attached << i;
	return (uint16_t)bits;
}

bool region_name_valid(const char name[SHM_NAME_SIZE])
{
	size_t len = strnlen(name, SHM_NAME_SIZE);

	if (!len || len == SHM_NAME_SIZE)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '/')
			return false;
	return true;
}

/*
 * The first rule that fits decides. Behind the last one stands the opposite of a list of one kind:
 * where something is allowed all else is denied, else it is allowed.
 */
bool rules_allow(const struct rule *rules, const char *name)
{
	bool any_allow = false;

	for (const struct rule *r = rules; r; r = r->next) {
		if (fnmatch(r->pattern, name, 0) == 0)
			return r->allow;
		any_allow |= r->allow;
	}
	return !any_allow;
}
