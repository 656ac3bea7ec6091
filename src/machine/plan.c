/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"

int plan_create(struct conf *conf, struct plan **ret_plan)
{
	struct plan *plan = calloc(1, sizeof(*plan));

	if (!plan)
		return -ENOMEM;
	plan->conf = conf;
	*ret_plan = plan;
	return 0;
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (unsigned i = 0; i < plan->num_regions; i++)
		free((char *)plan->regions[i].owner);
	for (unsigned i = 0; i < plan->num_intrs; i++) {
		free((char *)plan->intrs[i].owner);
		free((char *)plan->intrs[i].pic);
	}
	free(plan->regions);
	free(plan->intrs);
	free(plan);
}

static const char *plan_space_name(enum plan_space space)
{
	return space == PLAN_IO ? "ports" : "guest-physical addresses";
}

static void plan_note_other(struct plan *plan, const struct conf_pos *pos, const char *owner)
{
	if (pos->source)
		conf_note(plan->conf, pos, "%s is here", owner);
}

static bool guards(const struct plan_region *guard, const struct plan_region *pass)
{
	return guard->kind == PLAN_GUARD && pass->kind == PLAN_PASS &&
	       guard->space == pass->space &&
	       range_inside(guard->start, guard->len, pass->start, pass->len);
}

int plan_region_add(struct plan *plan, const struct plan_region *region)
{
	unsigned at = 0;

	if (!region->len || !range_inside(region->start, region->len, 0,
					  region->space == PLAN_IO ? 0x10000 : PLAN_MEMORY_END)) {
		conf_error(plan->conf, &region->pos, "%s ends %s", region->owner,
			   region->space == PLAN_IO ? "outside of the ports"
						    : "above 64 TiB of guest-physical memory");
		return -EINVAL;
	}
	for (unsigned i = 0; i < plan->num_regions; i++) {
		const struct plan_region *r = &plan->regions[i];

		if (r->space < region->space ||
		    (r->space == region->space && r->start <= region->start))
			at = i + 1;
		if (r->space == region->space &&
		    range_overlaps(r->start, r->len, region->start, region->len) &&
		    !guards(r, region) && !guards(region, r)) {
			uint64_t first = MAX(r->start, region->start);
			uint64_t last =
				MIN(r->start + (r->len - 1), region->start + (region->len - 1));

			conf_error(plan->conf, &region->pos,
				   "%s overlaps %s: both have the %s 0x%" PRIx64 " to 0x%" PRIx64,
				   region->owner, r->owner, plan_space_name(region->space), first,
				   last);
			plan_note_other(plan, &r->pos, r->owner);
			return -EEXIST;
		}
	}
	struct plan_region *more = realloc(plan->regions, (plan->num_regions + 1) * sizeof(*more));
	char *owner = strdup(region->owner);

	if (more)
		plan->regions = more;
	if (!more || !owner) {
		free(owner);
		return -ENOMEM;
	}
	memmove(&more[at + 1], &more[at], (plan->num_regions - at) * sizeof(*more));
	plan->num_regions++;
	more[at] = *region;
	more[at].owner = owner;
	return 0;
}

int plan_intr_add(struct plan *plan, const struct plan_intr *intr)
{
	for (unsigned i = 0; i < plan->num_intrs; i++) {
		const struct plan_intr *other = &plan->intrs[i];

		if (other->line != intr->line || strcmp(other->pic, intr->pic) != 0)
			continue;
		if (other->use != PLAN_INTR_ALONE && intr->use != PLAN_INTR_ALONE &&
		    other->use != intr->use)
			continue;
		conf_error(plan->conf, &intr->pos, "interrupt %s:%u of %s is already that of %s",
			   intr->pic, intr->line, intr->owner, other->owner);
		plan_note_other(plan, &other->pos, other->owner);
		return -EEXIST;
	}
	struct plan_intr *more = realloc(plan->intrs, (plan->num_intrs + 1) * sizeof(*more));
	char *owner = strdup(intr->owner), *pic = strdup(intr->pic);

	if (more)
		plan->intrs = more;
	if (!more || !owner || !pic) {
		free(owner);
		free(pic);
		return -ENOMEM;
	}
	more[plan->num_intrs] = *intr;
	more[plan->num_intrs].owner = owner;
	more[plan->num_intrs++].pic = pic;
	return 0;
}

void plan_guards_check(struct plan *plan)
{
	for (unsigned i = 0; i < plan->num_regions; i++) {
		const struct plan_region *r = &plan->regions[i];
		unsigned k = 0;

		while (k < plan->num_regions && !guards(r, &plan->regions[k]))
			k++;
		if (r->kind == PLAN_GUARD && k == plan->num_regions) {
			conf_error(plan->conf, &r->pos, "%s stands before nothing", r->owner);
			conf_expected(plan->conf, "a `pass loc` that has its place");
		}
	}
}

int plan_memory_add(struct plan *plan)
{
	uint64_t next = 0; /* after the highest RAM or ROM so far */

	for (unsigned i = 0; i < plan->conf->num_memories; i++) {
		const struct conf_memory *m = &plan->conf->memories[i];
		struct plan_region r = {
			.space = PLAN_MEM,
			.kind = m->rom ? PLAN_ROM : PLAN_RAM,
			.start = m->has_addr ? m->addr : next,
			.len = m->len,
			.owner = m->rom ? "rom" : "ram",
			.pos = m->pos,
		};

		if (r.start % CONF_PAGE) {
			conf_error(plan->conf, &m->pos,
				   "%s starts at 0x%" PRIx64 ", which is no multiple of 4 KiB",
				   r.owner, r.start);
			continue;
		}
		const int rc = plan_region_add(plan, &r);

		if (rc == -ENOMEM)
			return rc;
		if (rc != -EINVAL)
			next = MAX(next, r.start + r.len);
	}
	return 0;
}

static const char *const kind_names[] = {
	[PLAN_RAM] = "ram",   [PLAN_ROM] = "rom",     [PLAN_VDEV] = "vdev",
	[PLAN_PASS] = "pass", [PLAN_GUARD] = "guard", [PLAN_PLATFORM] = "fixed",
};

const char *plan_kind_name(enum plan_kind kind)
{
	return kind_names[kind];
}

static void plan_print_pos(const struct plan *plan, const struct conf_pos *pos, struct strbuf *out)
{
	if (pos->source) {
		strbuf_add_text(out, "  ");
		conf_format_pos(plan->conf, pos, out);
	}
	strbuf_add_char(out, '\n');
}

void plan_print(const struct plan *plan, struct strbuf *out)
{
	int space = -1;

	for (unsigned i = 0; i < plan->num_regions; i++) {
		const struct plan_region *r = &plan->regions[i];

		if ((int)r->space != space)
			strbuf_add_text(out, r->space == PLAN_IO ? "\nPorts\n"
								 : "Guest-physical memory\n");
		space = (int)r->space;
		if (r->space == PLAN_IO)
			strbuf_printf(out, "  %04" PRIx64 "-%04" PRIx64, r->start,
				      r->start + (r->len - 1));
		else
			strbuf_printf(out, "  %012" PRIx64 "-%012" PRIx64, r->start,
				      r->start + (r->len - 1));
		strbuf_printf(out, "  %-5s  %s", kind_names[r->kind], r->owner);
		plan_print_pos(plan, &r->pos, out);
	}
	if (plan->num_intrs)
		strbuf_add_text(out, "\nInterrupt lines\n");
	for (unsigned i = 0; i < plan->num_intrs; i++) {
		strbuf_printf(out, "  %s:%u  %s", plan->intrs[i].pic, plan->intrs[i].line,
			      plan->intrs[i].owner);
		plan_print_pos(plan, &plan->intrs[i].pos, out);
	}
}
