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
	if (!pass->num_locs && !pass->num_intrs) {
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
				rc = pass_pci_plan(set, pass, &pass->locs[k]);
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

int pass_plan_rest(struct pass_set *set)
{
	return plan_devices(set, false);
}

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

/* All of its group is taken with it: nobody else's devices may be there. */
struct group_items {
	struct pass_pci *p;
	struct ledger_item *items;
	unsigned num, max;
};

static int group_item(void *ctx, const struct host_pci *pci)
{
	struct group_items *g = ctx;
	struct ledger_item *item = &g->items[g->num];

	if (g->num == g->max || !ledger_pci(pci->bdf, &item->start))
		return 0;
	/* Several devices of one group may be this VM's. */
	for (unsigned i = 0; i < g->num; i++)
		if (g->items[i].start == item->start)
			return 0;
	item->space = LEDGER_PCI;
	item->len = 1;
	owner_name(g->p->set, &g->p->loc->host.pos, item->owner);
	g->num++;
	return 0;
}

static int ledger_claim(struct pass_set *set)
{
	enum { MAX_ITEMS = 256 };
	struct group_items g = { .items = calloc(MAX_ITEMS, sizeof(*g.items)), .max = MAX_ITEMS };
	unsigned of_device[PASS_MAX_DEVICES], clashing = 0;
	struct ledger_item other;
	const char *path;

	if (!g.items)
		return -ENOMEM;
	for (unsigned i = 0; i < set->num_devices; i++) {
		g.p = set->devices[i];
		(void)host_group_each(g.p->host.group, group_item, &g);
		of_device[i] = g.num;
	}
	int rc = ledger_take(g.items, g.num, &set->ledger, &clashing, &other, &path);

	free(g.items);
	if (rc == -EBUSY) {
		unsigned i = 0;

		while (i + 1 < set->num_devices && of_device[i] <= clashing)
			i++;
		const struct pass_pci *p = set->devices[i];

		conf_error(set->conf, &p->loc->host.pos, "%s is another VM's: %s has it",
			   p->host.bdf, other.owner);
		conf_expected(set->conf, "that VM ended first");
	} else if (rc) {
		conf_error(set->conf, NULL, "the ledger of passed devices, %s: %s", path,
			   strerror(-rc));
	}
	return rc ? -EINVAL : 0;
}

int pass_claim(struct pass_set *set)
{
	if (!set->num_devices)
		return 0;
	int rc = ledger_claim(set);

	for (unsigned i = 0; i < set->num_devices && !rc; i++)
		rc = pass_pci_open(set->devices[i]);
	return rc ? -EINVAL : 0;
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
		struct irq *irq, const char **ret_why)
{
	set->engine = engine;
	if (!set->num_devices)
		return 0;
	int rc = memory_map(set, mem, ret_why);

	for (unsigned i = 0; i < set->num_devices && !rc; i++)
		rc = pass_pci_attach(set->devices[i], irq, ret_why);
	return rc;
}

void pass_quiesce(struct pass_set *set)
{
	for (unsigned i = 0; set && i < set->num_devices; i++)
		pass_pci_quiesce(set->devices[i]);
}

void pass_free(struct pass_set *set)
{
	if (!set)
		return;
	while (set->num_devices)
		pass_pci_free(set->devices[--set->num_devices]);
	vfio_close(&set->vfio);
	ledger_release(set->ledger);
	free(set);
}
