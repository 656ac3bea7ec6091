/* SPDX-License-Identifier: Apache-2.0 */
#include "pass/pass.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pass/internal.h"

static bool is_pci(const struct conf_pass_loc *loc)
{
	return loc->host.space == CONF_SPACE_PCI || loc->host.space == CONF_SPACE_PCI_ID;
}

/* What a `pass` says that cannot be. */
static void entry_check(struct pass_set *set, const struct conf_pass *pass)
{
	struct conf *conf = set->conf;
	bool any_pci = false, any_other = false;

	for (unsigned i = 0; i < pass->num_locs; i++) {
		any_pci |= is_pci(&pass->locs[i]);
		any_other |= !is_pci(&pass->locs[i]);
	}
	if (!pass->num_locs && !pass->num_intrs && !pass->incomplete) {
		conf_error(conf, &pass->pos, "'pass' without a place: nothing is passed");
		conf_expected(conf, "loc LOCATION[,LENGTH][,ATTRIBUTES][=HOST_LOCATION]");
	}
	if (any_pci && pass->shared_pos.source) {
		conf_error(conf, &pass->shared_pos,
			   "a PCI device does DMA and is never shared between VMs");
		conf_expected(conf, "'shared' with places that have the attribute n only");
	}
	if (any_pci && !any_other && pass->num_intrs) {
		conf_error(conf, &pass->intrs[0].pos,
			   "the interrupts of a PCI device are passed by themselves");
		conf_expected(conf, "no intr");
	}
}

/* The entries whose guest place is given, or the others. */
static int plan_devices(struct pass_set *set, bool placed)
{
	int rc = 0;

	for (unsigned i = 0; i < set->conf->num_passes; i++) {
		const struct conf_pass *pass = &set->conf->passes[i];

		for (unsigned k = 0; k < pass->num_locs && !rc; k++)
			if (is_pci(&pass->locs[k]) && pass->locs[k].has_guest == placed)
				rc = pass_pci_plan(set, &pass->locs[k]);
	}
	return rc;
}

int pass_plan(struct conf *conf, struct plan *plan, struct pci_bus *pci, struct pass_set **ret_set)
{
	struct pass_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	*set = (struct pass_set){ .conf = conf, .plan = plan, .bus = pci, .vfio = { .fd = -1 } };
	*ret_set = set;
	for (unsigned i = 0; i < conf->num_passes; i++)
		entry_check(set, &conf->passes[i]);
	return plan_devices(set, true);
}

int pass_plan_rest(struct pass_set *set, const struct pass_lines *lines)
{
	const struct conf *conf = set->conf;
	int rc = plan_devices(set, false);

	set->lines = lines;
	for (unsigned i = 0; i < conf->num_passes; i++) {
		const struct conf_pass *pass = &conf->passes[i];

		for (unsigned k = 0; k < pass->num_locs && !rc; k++)
			if (!is_pci(&pass->locs[k]))
				rc = pass_window_plan(set, pass, &pass->locs[k]);
		for (unsigned k = 0; k < pass->num_intrs && !rc; k++)
			rc = pass_intr_plan(set, pass, &pass->intrs[k]);
	}
	return rc;
}

/* Items of the ledger, each with what it is about. */
struct claim {
	struct pass_set *set;
	struct ledger_item *items;
	struct claim_about {
		const char *label;
		const struct conf_pos *pos;
	} * about;
	unsigned num;
	struct claim_about now;
};

/* "VM 'rail' (rail.qvmconf:12)" */
static void owner_name(const struct pass_set *set, const struct conf_pos *pos, char *owner)
{
	const char *name = set->conf->system.text;
	struct strbuf at = { 0 };

	conf_format_pos(set->conf, pos, &at);
	snprintf(owner, LEDGER_OWNER_LEN, "VM %s%s%s (%s)", name ? "'" : "",
		 name ? name : "without a name", name ? "'" : "", strbuf_text(&at));
	strbuf_free(&at);
}

static int claim_add(struct claim *c, enum ledger_space space, uint64_t start, uint64_t len,
		     bool shared)
{
	struct ledger_item *items = realloc(c->items, (c->num + 1) * sizeof(*items));

	if (!items)
		return -ENOMEM;
	c->items = items;
	struct claim_about *about = realloc(c->about, (c->num + 1) * sizeof(*about));

	if (!about)
		return -ENOMEM;
	c->about = about;
	about[c->num] = c->now;
	items[c->num] = (struct ledger_item){
		.space = space, .start = start, .len = len, .shared = shared
	};
	owner_name(c->set, c->now.pos, items[c->num++].owner);
	return 0;
}

/* All of its group is taken with a device: nobody else's may be there. */
static int claim_group_each(void *ctx, const struct host_pci *pci)
{
	struct claim *c = ctx;
	uint64_t start;

	if (!ledger_pci(pci->bdf, &start))
		return 0;
	/* Several devices of one group may be this VM's. */
	for (unsigned i = 0; i < c->num; i++)
		if (c->items[i].space == LEDGER_PCI && c->items[i].start == start)
			return 0;
	return claim_add(c, LEDGER_PCI, start, 1, false);
}

static int claim_all(struct claim *c)
{
	const struct pass_set *set = c->set;
	int rc = 0;

	for (unsigned i = 0; i < set->num_devices && !rc; i++) {
		const struct pass_pci *p = set->devices[i];

		c->now = (struct claim_about){ p->label, &p->loc->host.pos };
		rc = host_group_each(p->host.group, claim_group_each, c);
	}
	for (const struct pass_window *w = set->windows; w && !rc; w = w->next) {
		const struct conf_loc *host = &w->loc->host;

		c->now = (struct claim_about){ w->label, &w->loc->pos };
		rc = claim_add(c, host->space == CONF_SPACE_IO ? LEDGER_IO : LEDGER_MEM, host->addr,
			       host->len, w->pass->shared_pos.source != 0);
	}
	for (const struct pass_intr *intr = set->intrs; intr && !rc; intr = intr->next) {
		c->now = (struct claim_about){ intr->label, &intr->conf->pos };
		rc = claim_add(c, LEDGER_INTR, intr->number, 1, intr->pass->shared_pos.source != 0);
	}
	return rc;
}

static int ledger_claim(struct pass_set *set)
{
	struct claim c = { .set = set };
	struct ledger_item other;
	unsigned clashing = 0;
	int rc = claim_all(&c);

	if (!rc)
		rc = ledger_take(c.items, c.num, &set->ledger, &clashing, &other);
	if (rc == -EBUSY) {
		conf_error(set->conf, c.about[clashing].pos, "%s: %s has it",
			   c.about[clashing].label, other.owner);
		conf_expected(set->conf, "that VM ended first%s",
			      other.space == LEDGER_PCI ? ""
							: ", or `shared` in the files of both, if "
							  "they are made for that");
	} else if (rc) {
		conf_error(set->conf, NULL, "the ledger of passed devices, " LEDGER_FOLDER ": %s",
			   strerror(-rc));
	}
	free(c.items);
	free(c.about);
	return rc;
}

int pass_claim(struct pass_set *set)
{
	if (!set->num_devices && !set->windows && !set->intrs)
		return 0;
	int rc = ledger_claim(set);

	for (unsigned i = 0; i < set->num_devices && !rc; i++)
		rc = pass_pci_open(set->devices[i]);
	for (struct pass_window *w = set->windows; w && !rc; w = w->next)
		rc = pass_window_open(w);
	for (struct pass_intr *intr = set->intrs; intr && !rc; intr = intr->next)
		rc = pass_intr_open(intr);
	return rc;
}

/* Devices reach the guest's memory at the addresses that the guest knows, and nothing else. */
static int memory_map(struct pass_set *set, const struct memory *mem, const char **ret_why)
{
	int rc = 0;

	*ret_why = "the guest's memory for passed devices";
	for (unsigned i = 0; i < mem->num_regions && !rc; i++) {
		const struct memory_region *r = &mem->regions[i];

		rc = vfio_map(&set->vfio, r->gpa, r->len, mem->base + r->gpa, r->rom);
	}
	if (rc == -ENOMEM)
		*ret_why = "the guest's memory is to be kept in place for passed devices, and the "
			   "limit of locked memory (ulimit -l) is lower";
	for (unsigned i = 0; i < set->vfio.num_groups && !rc; i++)
		if (set->engine->ops->vfio_group_add)
			rc = set->engine->ops->vfio_group_add(set->engine, set->vfio.groups[i].fd);
	return rc;
}

int pass_attach(struct pass_set *set, struct engine *engine, const struct memory *mem,
		struct bus *bus, struct irq *irq, const char **ret_why)
{
	int rc;

	set->engine = engine;
	rc = set->num_devices ? memory_map(set, mem, ret_why) : 0;
	for (unsigned i = 0; i < set->num_devices && !rc; i++)
		rc = pass_pci_attach(set->devices[i], irq, ret_why);
	for (struct pass_window *w = set->windows; w && !rc; w = w->next)
		rc = pass_window_attach(w, bus, ret_why);
	for (struct pass_intr *intr = set->intrs; intr && !rc; intr = intr->next)
		rc = pass_intr_attach(intr, irq, ret_why);
	return rc;
}

int pass_start(struct pass_set *set, const char **ret_why)
{
	int rc = 0;

	for (unsigned i = 0; i < set->num_devices && !rc; i++) {
		*ret_why = set->devices[i]->label;
		rc = pass_pci_start(set->devices[i]);
	}
	for (struct pass_intr *intr = set->intrs; intr && !rc; intr = intr->next) {
		*ret_why = intr->label;
		rc = pass_intr_start(intr);
	}
	return rc;
}

bool pass_intr_line(const struct pass_set *set, const struct conf_pass_intr *intr,
		    unsigned *ret_line)
{
	const struct pass_intr *i = set->intrs;

	while (i && i->conf != intr)
		i = i->next;
	if (i)
		*ret_line = i->line;
	return i;
}

int pass_access(struct pass_set *set, enum engine_space space, uint64_t addr, bool write,
		unsigned len, uint64_t *value)
{
	for (struct pass_window *w = set->windows; w; w = w->next) {
		const struct conf_loc *guest = &w->loc->guest;

		if ((guest->space == CONF_SPACE_IO) == (space == ENGINE_IO) &&
		    range_inside(addr, len, guest->addr, guest->len))
			return pass_window_access(w, addr - guest->addr, write, len, value);
	}
	return -EINVAL;
}

void pass_quiesce(struct pass_set *set)
{
	if (!set)
		return;
	for (unsigned i = 0; i < set->num_devices; i++)
		pass_pci_quiesce(set->devices[i]);
	for (struct pass_intr *intr = set->intrs; intr; intr = intr->next)
		pass_intr_stop(intr);
}

void pass_free(struct pass_set *set)
{
	if (!set)
		return;
	while (set->num_devices)
		pass_pci_free(set->devices[--set->num_devices]);
	while (set->windows) {
		struct pass_window *w = set->windows;

		set->windows = w->next;
		pass_window_free(w);
	}
	while (set->intrs) {
		struct pass_intr *intr = set->intrs;

		set->intrs = intr->next;
		pass_intr_free(intr);
	}
	vfio_close(&set->vfio);
	ledger_release(set->ledger);
	free(set);
}
