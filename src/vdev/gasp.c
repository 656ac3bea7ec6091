/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gasp.h: regions of the guest's address space that come and go, free places.
 *
 * Each region stands on the bus, whatever it is: that is how overlaps are found and its place is
 * kept. What is passed is a memory slot of the engine as well; an access to it that still gets here
 * (the bench has no memory of its own; a slot was being changed) is a copy.
 */
#include "vdev/gasp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdev/host.h"

_Static_assert(MEMORY_FIRST_VDEV_SLOT + REGIONS_MAX <= MEMORY_FIRST_PASS_SLOT,
	       "slots of two owners");

enum { PAGE = 4096, FIND_MEM_MIN = 0x100000, FIND_IO_MIN = 0x1000, IO_END = 0x10000 };

#define PASS_ANY  ((gasp_region_flags_t)GRF_PASS_ANY)
#define TRAP_ANY  ((gasp_region_flags_t)(GRF_VIRT_RD | GRF_VIRT_WR))
#define KEEPS_ANY ((gasp_region_flags_t)(GRF_PASS_ANY | GRF_VIRT_ANY | GRF_NOPERMS))

struct gasp_entry {
	struct bus_retired retired; /* first: the bus frees it */
	struct gasp_entry *next;
	struct gasp *gasp;
	struct gasp_region region;
	enum engine_space space;
	unsigned slot; /* of a passed region */
	bool gone;     /* changes under copy_lock: the engine has no slot for it, so the host
			  memory may not be there */
};

struct gasp {
	struct vdev_host *host;
	/* One for regions of both types, which share all that follows. Recursive. */
	pthread_mutex_t lock;
	_Atomic(pthread_t) owner;
	unsigned depth[ENGINE_NUM_SPACES]; /* under lock: how often each type is held */
	pthread_mutex_t copy_lock;
	struct gasp_entry *entries;
	unsigned num;
	bool slots[REGIONS_MAX];
	struct gasp_reserved reserved[REGIONS_MAX];
	unsigned num_reserved;
};

int gasp_create(struct vdev_host *host, struct gasp **ret_gasp)
{
	struct gasp *g = calloc(1, sizeof(*g));
	pthread_mutexattr_t attr;

	if (!g)
		return -ENOMEM;
	g->host = host;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&g->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	pthread_mutex_init(&g->copy_lock, NULL);
	*ret_gasp = g;
	return 0;
}

void gasp_free(struct gasp *g)
{
	while (g->entries) {
		struct gasp_entry *e = g->entries;

		g->entries = e->next;
		free(e);
	}
	pthread_mutex_destroy(&g->lock);
	pthread_mutex_destroy(&g->copy_lock);
	free(g);
}

static struct gasp *gasp_current(void)
{
	struct vdev_host *host = vdev_host_current();

	return host ? host->gasp : NULL;
}

int gasp_lock(uint16_t type)
{
	struct gasp *g = gasp_current();
	enum engine_space space;

	if (!g || vdev_space(type, &space))
		return EINVAL;
	pthread_mutex_lock(&g->lock);
	g->depth[space]++;
	atomic_store(&g->owner, pthread_self());
	return EOK;
}

static bool lock_is_mine(struct gasp *g, enum engine_space space)
{
	return pthread_equal(atomic_load(&g->owner), pthread_self()) && g->depth[space];
}

int gasp_unlock(uint16_t type)
{
	struct gasp *g = gasp_current();
	enum engine_space space;

	if (!g || vdev_space(type, &space))
		return EINVAL;
	if (!lock_is_mine(g, space))
		return EPERM;
	g->depth[space]--;
	if (!g->depth[ENGINE_MEM] && !g->depth[ENGINE_IO])
		atomic_store(&g->owner, (pthread_t)0);
	pthread_mutex_unlock(&g->lock);
	return EOK;
}

static struct vdev_instance *owner_of(const struct gasp_entry *e)
{
	return e->region.vdev ? vdev_instance_of(e->region.vdev) : NULL;
}

/* False: that memory is gone. */
static bool passed_copy(struct gasp_entry *e, const struct bus_access *acc)
{
	uint8_t *host = (uint8_t *)(uintptr_t)e->region.host_location + acc->offset;

	pthread_mutex_lock(&e->gasp->copy_lock);
	bool there = !e->gone;

	if (there)
		memcpy(acc->write ? host : acc->data, acc->write ? acc->data : host, acc->len);
	pthread_mutex_unlock(&e->gasp->copy_lock);
	return there;
}

static enum bus_result region_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	struct gasp_entry *e = opaque;
	gasp_region_flags_t pass = acc->write ? GRF_PASS_WR : GRF_PASS_RD;
	gasp_region_flags_t trap = acc->write ? GRF_VIRT_WR : GRF_VIRT_RD;

	if (e->region.grf_flags & trap)
		return vdev_access(owner_of(e), cookie, acc);
	if ((e->region.grf_flags & pass) && passed_copy(e, acc))
		return BUS_OK;
	return BUS_NOT_FOUND;
}

static struct bus_region bus_region_of(struct gasp_entry *e)
{
	const struct vdev_instance *vi = owner_of(e);

	return (struct bus_region){
		.space = e->space,
		.start = e->region.guest.location,
		.len = e->region.guest.length,
		/* A copy of passed memory may have any width. */
		.acc_sizes =
			vi && !(e->region.grf_flags & PASS_ANY) ? vi->vdev.v_factory->acc_sizes : 0,
		.cookie = e->region.cookie,
		.handler = region_access,
		.opaque = e,
		.owner = vi ? vi->label : "memory that a vdev passed",
	};
}

static int region_check(const struct gasp_region *r, enum engine_space *ret_space)
{
	const struct qvm_state_block *b = &r->guest;
	gasp_region_flags_t flags = r->grf_flags;

	if (vdev_space(b->qst_type, ret_space) || !b->length ||
	    b->location + (b->length - 1) < b->location)
		return EINVAL;
	if (*ret_space == ENGINE_IO && !range_inside(b->location, b->length, 0, IO_END))
		return EINVAL;
	if (!(flags & KEEPS_ANY))
		return flags ? EINVAL : EOK;
	if ((flags & TRAP_ANY) && !r->vdev)
		return EINVAL;
	if (!(flags & PASS_ANY))
		return EOK;
	if (*ret_space == ENGINE_IO)
		return ENOTSUP;
	if (!(flags & GRF_PASS_RD) || ((flags & GRF_PASS_RD) && (flags & GRF_VIRT_RD)) ||
	    ((flags & GRF_PASS_WR) && (flags & GRF_VIRT_WR)))
		return EINVAL;
	return (b->location | b->length | r->host_location) % PAGE || !r->host_location ? EINVAL
											: EOK;
}

/* It shares bytes with [start, start + size): its last byte, which may be that before 2^64. */
static bool block_shares(const struct qvm_state_block *b, enum engine_space space, uint64_t start,
			 uint64_t size, uint64_t *ret_last)
{
	enum engine_space own;

	if (b->location == QSL_NO_LOCATION || !b->length || vdev_space(b->qst_type, &own) ||
	    own != space || !range_overlaps(b->location, b->length, start, size))
		return false;
	*ret_last = b->location + (b->length - 1);
	return true;
}

/* A vdev does, whether its places are planned already, on the bus or KVM's; likewise. */
static bool vdev_shares(const struct vdev_host *host, enum engine_space space, uint64_t start,
			uint64_t size, uint64_t *ret_last)
{
	for (const struct vdev_instance *vi = host->first; vi; vi = vi->next) {
		struct qvm_state_block own = vi->vdev.v_block;

		/* VirtIO registers in memory have their length when they are planned. */
		if (vi->vio && !own.length)
			own.length = PAGE;
		if (!(vi->vdev.v_factory->factory_flags & (VFF_LOC_NO | VFF_MANUAL_REGION)) &&
		    block_shares(&own, space, start, size, ret_last))
			return true;
		for (const struct vdev_region *r = vi->regions; r; r = r->next)
			if (block_shares(&r->where, space, start, size, ret_last))
				return true;
	}
	return false;
}

/* RAM, ROM, what is fixed and what vdevs have, be it on the bus or not. Other regions are on it;
 * the plan's may be gone. */
static bool place_is_taken(const struct gasp *g, enum engine_space space,
			   const struct qvm_state_block *b)
{
	const struct plan *plan = g->host->plan;
	uint64_t last;

	for (unsigned i = 0; i < plan->num_regions; i++) {
		const struct plan_region *r = &plan->regions[i];

		if (r->kind != PLAN_VDEV && (r->space == PLAN_IO) == (space == ENGINE_IO) &&
		    range_overlaps(r->start, r->len, b->location, b->length))
			return true;
	}
	return vdev_shares(g->host, space, b->location, b->length, &last);
}

static struct gasp_entry **entry_at(struct gasp *g, enum engine_space space, uint64_t start,
				    uint64_t len)
{
	struct gasp_entry **p = &g->entries;

	while (*p && ((*p)->space != space || (*p)->region.guest.location != start ||
		      (*p)->region.guest.length != len))
		p = &(*p)->next;
	return p;
}

static struct gasp_entry *entry_make(struct gasp *g, const struct gasp_region *r,
				     enum engine_space space)
{
	struct gasp_entry *e = calloc(1, sizeof(*e));

	if (e) {
		e->gasp = g;
		e->region = *r;
		e->space = space;
		e->gone = true;
	}
	return e;
}

/* The engine's memory at the entry's place, or none. */
static int slot_set(struct gasp_entry *e, bool on)
{
	struct engine *engine = e->gasp->host->engine;
	const struct gasp_region *r = &e->region;

	return -engine->ops->memory_set(engine, MEMORY_FIRST_VDEV_SLOT + e->slot, r->guest.location,
					on ? r->guest.length : 0,
					(void *)(uintptr_t)r->host_location,
					!(r->grf_flags & GRF_PASS_WR));
}

static void entry_gone_set(struct gasp_entry *e, bool gone)
{
	pthread_mutex_lock(&e->gasp->copy_lock);
	e->gone = gone;
	pthread_mutex_unlock(&e->gasp->copy_lock);
}

/* Of an entry that is on the bus: copies begin when the engine has accepted the memory. */
static int slot_make(struct gasp_entry *e)
{
	struct gasp *g = e->gasp;

	if (!(e->region.grf_flags & PASS_ANY))
		return EOK;
	e->slot = 0;
	while (e->slot < REGIONS_MAX && g->slots[e->slot])
		e->slot++;
	if (e->slot == REGIONS_MAX)
		return ENOSPC;
	int err = slot_set(e, true);

	if (err)
		return err;
	g->slots[e->slot] = true;
	entry_gone_set(e, false);
	return EOK;
}

/* No vCPU uses the memory any more when this returns, nor does a copy. */
static void slot_drop(struct gasp_entry *e)
{
	struct gasp *g = e->gasp;

	if (e->gone)
		return;
	(void)slot_set(e, false);
	g->slots[e->slot] = false;
	entry_gone_set(e, true);
}

static int entry_attach(struct gasp_entry *e)
{
	struct bus *bus = e->gasp->host->bus;
	const struct bus_region r = bus_region_of(e);
	int err = -bus_region_replace(bus, NULL, &r, NULL);

	if (err)
		return err;
	err = slot_make(e);
	if (err)
		(void)!bus_region_replace(bus, &r, NULL, NULL);
	return err;
}

static void entry_remove(struct gasp *g, struct gasp_entry **p)
{
	struct gasp_entry *e = *p;
	const struct bus_region r = bus_region_of(e);

	slot_drop(e);
	(void)!bus_region_replace(g->host->bus, &r, NULL, NULL);
	*p = e->next;
	g->num--;
	bus_retire(g->host->bus, &e->retired);
}

/* The same memory of the engine with both, and it is there. */
static bool same_slot(const struct gasp_entry *old, const struct gasp_entry *with)
{
	const struct gasp_region *a = &old->region, *b = &with->region;

	if ((a->grf_flags & PASS_ANY) != (b->grf_flags & PASS_ANY))
		return false;
	return !(a->grf_flags & PASS_ANY) || (a->host_location == b->host_location && !old->gone);
}

/* Of a region that is there: other flags, another owner, another cookie or other memory. */
static int entry_change(struct gasp *g, struct gasp_entry **p, struct gasp_entry *with)
{
	struct gasp_entry *old = *p;
	const struct bus_region a = bus_region_of(old), b = bus_region_of(with);
	bool keep = same_slot(old, with);

	if (keep) {
		with->slot = old->slot;
		with->gone = old->gone;
	} else {
		slot_drop(old);
	}
	int err = -bus_region_replace(g->host->bus, &a, &b, NULL);

	if (!err && !keep) {
		err = slot_make(with);
		if (err)
			(void)!bus_region_replace(g->host->bus, &b, &a, NULL);
	}
	if (err) {
		/* What was there comes back, as far as it can. */
		if (!keep)
			(void)slot_make(old);
		bus_retire(g->host->bus, &with->retired);
		return err;
	}
	with->next = old->next;
	*p = with;
	/* Whoever is still in its handler would not see the memory go. */
	entry_gone_set(old, true);
	bus_retire(g->host->bus, &old->retired);
	return EOK;
}

static int region_set(struct gasp *g, const struct gasp_region *r)
{
	enum engine_space space;
	int err = region_check(r, &space);

	if (err)
		return err;
	struct gasp_entry **p = entry_at(g, space, r->guest.location, r->guest.length);

	if (!r->grf_flags && !*p)
		return ENOENT;
	if (!r->grf_flags) {
		entry_remove(g, p);
		return EOK;
	}
	if (!*p && g->num == REGIONS_MAX)
		return ENOSPC;
	if (!*p && place_is_taken(g, space, &r->guest))
		return EEXIST;
	struct gasp_entry *e = entry_make(g, r, space);

	if (!e)
		return ENOMEM;
	if (*p)
		return entry_change(g, p, e);
	err = entry_attach(e);
	if (err) {
		/* It may have been on the bus. */
		bus_retire(g->host->bus, &e->retired);
		return err;
	}
	e->next = g->entries;
	g->entries = e;
	g->num++;
	return EOK;
}

/* Before there is a bus: a part of the plan. */
static int region_plan_later(struct gasp *g, const struct gasp_region *r)
{
	enum engine_space space;
	int err = region_check(r, &space);

	if (err)
		return err;
	struct gasp_entry **p = entry_at(g, space, r->guest.location, r->guest.length);
	struct gasp_entry *e = *p;

	if (!r->grf_flags && !e)
		return ENOENT;
	if (!r->grf_flags) {
		*p = e->next;
		g->num--;
		free(e);
		return EOK;
	}
	if (!r->vdev)
		return EINVAL;
	if (e) {
		e->region = *r;
		return EOK;
	}
	if (g->num == REGIONS_MAX)
		return ENOSPC;
	e = entry_make(g, r, space);

	if (!e)
		return ENOMEM;
	e->next = g->entries;
	g->entries = e;
	g->num++;
	return EOK;
}

static unsigned regions_set(unsigned num, const struct gasp_region *rgn, bool locked)
{
	struct gasp *g = gasp_current();
	int err = g ? EOK : EINVAL;
	unsigned i = 0;

	for (; i < num && !err; i++) {
		uint16_t type = (uint16_t)rgn[i].guest.qst_type;
		enum engine_space space;

		if (!g->host->bus)
			err = region_plan_later(g, &rgn[i]);
		else if (vdev_space(type, &space))
			err = EINVAL;
		else if (locked && !lock_is_mine(g, space))
			err = EPERM;
		if (err || !g->host->bus)
			continue;
		(void)gasp_lock(type);
		err = region_set(g, &rgn[i]);
		(void)gasp_unlock(type);
	}
	if (!err)
		return i;
	errno = err;
	return i ? i - 1 : 0;
}

unsigned gasp_region_set(unsigned num_regions, const struct gasp_region *rgn)
{
	const struct vdev_host *host = vdev_host_current();

	if (!host || vdev_too_late(num_regions ? rgn->vdev : NULL, "gasp_region_set", false)) {
		errno = EPERM;
		return 0;
	}
	return regions_set(num_regions, rgn, false);
}

unsigned gasp_region_set_soft(unsigned num_regions, const struct gasp_region *rgn)
{
	return regions_set(num_regions, rgn, true);
}

int gasp_plan(struct gasp *g,
	      int (*plan)(const struct vdev_instance *vi, const struct qvm_state_block *where))
{
	int rc = 0;

	for (const struct gasp_entry *e = g->entries; e && !rc; e = e->next)
		rc = plan(owner_of(e), &e->region.guest);
	return rc;
}

int gasp_attach(struct gasp *g)
{
	int err = EOK;

	for (struct gasp_entry *e = g->entries; e && !err; e = e->next)
		err = entry_attach(e);
	return -err;
}

static void info_of(struct gasp_region *ret, uint64_t start, uint64_t len, qvm_state_types_t type)
{
	*ret = (struct gasp_region){
		.grf_flags = GRF_ACTIVE,
		.guest = { .location = start, .length = len, .qst_type = type },
	};
}

static bool info_of_memory(const struct vdev_host *host, const struct qvm_state_block *b,
			   struct gasp_region *ret)
{
	for (unsigned i = 0; i < host->mem->num_regions; i++) {
		const struct memory_region *m = &host->mem->regions[i];

		if (!range_inside(b->location, b->length, m->gpa, m->len))
			continue;
		info_of(ret, m->gpa, m->len, QST_MEMORY);
		ret->grf_flags |= GRF_MEMORY | GRF_PASS_RD | GRF_PASS_EX;
		ret->grf_flags |= m->rom ? 0u : (unsigned)GRF_PASS_WR;
		ret->host_location = (uintptr_t)host->mem->base + m->gpa;
		return true;
	}
	return false;
}

static bool info_of_block(struct vdev_instance *vi, const struct qvm_state_block *has,
			  unsigned cookie, const struct qvm_state_block *b, struct gasp_region *ret)
{
	if (has->qst_type != b->qst_type || has->location == QSL_NO_LOCATION ||
	    !range_inside(b->location, b->length, has->location, has->length))
		return false;
	info_of(ret, has->location, has->length, has->qst_type);
	ret->vdev = &vi->vdev;
	ret->cookie = cookie;
	ret->grf_flags |= vi->vdev.v_factory->vread ? (unsigned)GRF_VIRT_RD : 0u;
	ret->grf_flags |= vi->vdev.v_factory->vwrite ? (unsigned)GRF_VIRT_WR : 0u;
	return true;
}

static bool info_of_vdev(struct vdev_host *host, const struct qvm_state_block *b,
			 struct gasp_region *ret)
{
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next) {
		if (info_of_block(vi, &vi->vdev.v_block, 0, b, ret))
			return true;
		for (const struct vdev_region *r = vi->regions; r; r = r->next)
			if (info_of_block(vi, &r->where, r->cookie, b, ret))
				return true;
	}
	return false;
}

static bool info_of_entry(const struct gasp *g, enum engine_space space,
			  const struct qvm_state_block *b, struct gasp_region *ret)
{
	for (const struct gasp_entry *e = g->entries; e; e = e->next) {
		const struct qvm_state_block *has = &e->region.guest;

		if (e->space != space ||
		    !range_inside(b->location, b->length, has->location, has->length))
			continue;
		*ret = e->region;
		ret->grf_flags |= GRF_ACTIVE;
		return true;
	}
	return false;
}

int gasp_region_info(const struct qvm_state_block *blk, struct gasp_region *rgn)
{
	struct gasp *g = gasp_current();
	struct qvm_state_block b = *blk;
	enum engine_space space;

	b.qst_type = b.qst_type == QST_PCI_IO ? QST_MEMORY : b.qst_type;
	if (!g || !b.length || vdev_space(b.qst_type, &space))
		return EINVAL;
	(void)gasp_lock((uint16_t)b.qst_type);
	bool found = (space == ENGINE_MEM && info_of_memory(g->host, &b, rgn)) ||
		     info_of_entry(g, space, &b, rgn) || info_of_vdev(g->host, &b, rgn);

	(void)gasp_unlock((uint16_t)b.qst_type);
	return found ? EOK : ENOENT;
}

/* Something does, or did when the VM was planned; likewise. */
static bool place_is_used(const struct gasp *g, enum engine_space space, uint64_t start,
			  uint64_t size, uint64_t *ret_last)
{
	const struct plan *plan = g->host->plan;

	for (unsigned i = 0; i < plan->num_regions; i++) {
		const struct plan_region *r = &plan->regions[i];

		if ((r->space == PLAN_IO) == (space == ENGINE_IO) &&
		    range_overlaps(r->start, r->len, start, size)) {
			*ret_last = r->start + (r->len - 1);
			return true;
		}
	}
	for (const struct gasp_entry *e = g->entries; e; e = e->next)
		if (block_shares(&e->region.guest, space, start, size, ret_last))
			return true;
	return vdev_shares(g->host, space, start, size, ret_last);
}

/* The file reserves some of it; likewise. */
static bool place_is_reserved(const struct conf *conf, enum engine_space space, uint64_t start,
			      uint64_t size, uint64_t *ret_last)
{
	const enum conf_space wanted = space == ENGINE_IO ? CONF_SPACE_IO : CONF_SPACE_MEM;

	for (unsigned i = 0; i < conf->num_reserves; i++)
		for (unsigned k = 0; k < conf->reserves[i].num_locs; k++) {
			const struct conf_loc *l = &conf->reserves[i].locs[k];
			uint64_t len = MAX(l->len, UINT64_C(1));

			if (l->space == wanted && range_overlaps(l->addr, len, start, size)) {
				*ret_last = l->addr + (len - 1);
				return true;
			}
		}
	return false;
}

uint64_t gasp_find_free_range(unsigned qst, uint64_t size, uint64_t align, uint64_t min_addr,
			      uint64_t max_addr)
{
	struct gasp *g = gasp_current();
	enum engine_space space;

	if (!g || vdev_space(qst, &space) || !size || (align & (align - 1)))
		return QSL_NO_LOCATION;
	if (!align)
		align = 1;
	if (space == ENGINE_IO)
		max_addr = MIN(max_addr, (uint64_t)IO_END - 1);
	for (uint64_t at = align_up(min_addr, align);
	     at >= min_addr && at <= max_addr && size - 1 <= max_addr - at;) {
		uint64_t last;

		if (!place_is_used(g, space, at, size, &last) &&
		    !place_is_reserved(g->host->conf, space, at, size, &last))
			return at;
		if (last < at || last > UINT64_MAX - align)
			break;
		at = align_up(last + 1, align);
	}
	return QSL_NO_LOCATION;
}

uint64_t gasp_find_free(unsigned qst, uint64_t size, uint64_t align)
{
	return gasp_find_free_range(qst, size, align,
				    qst == QST_X86_IO ? FIND_IO_MIN : FIND_MEM_MIN,
				    MEMORY_MAX_END - 1);
}

const struct gasp_reserved *gasp_reserved(const struct gasp *g, unsigned *ret_num)
{
	*ret_num = g->num_reserved;
	return g->reserved;
}

static bool ram_is_reserved(const struct gasp *g, uint64_t start, uint64_t size, uint64_t *ret_end)
{
	for (unsigned i = 0; i < g->num_reserved; i++) {
		const struct gasp_reserved *r = &g->reserved[i];

		if (!range_overlaps(r->start, r->len, start, size))
			continue;
		*ret_end = r->start + r->len;
		return true;
	}
	return false;
}

int gram_reserve(uint64_t start, uint64_t size)
{
	struct gasp *g = gasp_current();
	const struct memory *mem = g ? g->host->mem : NULL;
	bool inside = false;
	uint64_t end;

	if (!g || !size || vdev_too_late(NULL, "gram_reserve", g->host->loading))
		return EINVAL;
	for (unsigned i = 0; i < mem->num_regions; i++)
		inside |= range_inside(start, size, mem->regions[i].gpa, mem->regions[i].len);
	if (!inside)
		return EINVAL;
	if (ram_is_reserved(g, start, size, &end))
		return EEXIST;
	if (g->num_reserved == REGIONS_MAX)
		return ENOSPC;
	g->reserved[g->num_reserved++] = (struct gasp_reserved){ start, size };
	return EOK;
}

/* In one piece of memory, between lo and hi (inclusive); the highest place is found from below. */
static uint64_t find_in_piece(const struct gasp *g, uint64_t lo, uint64_t hi, uint64_t size,
			      uint64_t align, bool highest)
{
	uint64_t found = QSL_NO_LOCATION, end;

	for (uint64_t at = align_up(lo, align); at >= lo && at <= hi && size - 1 <= hi - at;) {
		if (ram_is_reserved(g, at, size, &end)) {
			at = align_up(end, align);
			continue;
		}
		if (!highest)
			return at;
		found = at;
		/* Up to the next thing that is reserved, or to the end. */
		uint64_t top = hi - (size - 1);

		for (unsigned i = 0; i < g->num_reserved; i++)
			if (g->reserved[i].start > at && g->reserved[i].start - size < top)
				top = g->reserved[i].start - size;
		found = MAX(at, top / align * align);
		at = found + align;
	}
	return found;
}

uint64_t gram_find_free_range(uint64_t size, uint64_t align, uint64_t min_addr, uint64_t max_addr,
			      gram_hint_flags_t flags)
{
	const struct gasp *g = gasp_current();
	uint64_t found = QSL_NO_LOCATION;

	if (!g || !size || (align & (align - 1)))
		return QSL_NO_LOCATION;
	for (unsigned i = 0; i < g->host->mem->num_regions; i++) {
		const struct memory_region *m = &g->host->mem->regions[i];
		uint64_t lo = MAX(m->gpa, min_addr), hi = MIN(m->gpa + m->len - 1, max_addr);

		if (m->rom != ((flags & GRAM_HINT_ROM) != 0) || lo > hi)
			continue;
		uint64_t at =
			find_in_piece(g, lo, hi, size, align ? align : 1, flags & GRAM_HINT_HIGH);

		if (at == QSL_NO_LOCATION)
			continue;
		found = at;
		if (!(flags & GRAM_HINT_HIGH))
			break;
	}
	if (found != QSL_NO_LOCATION && gram_reserve(found, size) != EOK)
		return QSL_NO_LOCATION;
	return found;
}

uint64_t gram_find_free(uint64_t size, uint64_t align, gram_hint_flags_t flags)
{
	/* A PC's first megabyte is the firmware's. */
	return gram_find_free_range(size, align, FIND_MEM_MIN, UINT64_MAX, flags);
}
