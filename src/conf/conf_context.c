/* SPDX-License-Identifier: Apache-2.0 */
/* The options that apply to an open `cpu`, `reserve` or `pass`. */
#include "conf/conf_private.h"

#include <string.h>

static void cpu_runmask(struct conf *c, const struct conf_word *w, struct conf_cpu *cpu)
{
	const struct conf_word *arg =
		conf_take_argument(c, w, "host CPUs, counted from 0, separated by commas");
	struct conf_part rest;

	if (!arg || arg->bad)
		return;
	rest = (struct conf_part){ arg->text, strlen(arg->text) };
	cpu->host_cpus = NULL;
	cpu->num_host_cpus = 0;
	cpu->runmask_pos = arg->pos;
	while (rest.text) {
		uint64_t number;
		unsigned *item;

		if (!conf_read_number(c, arg, conf_split(&rest, ','), 0, CONF_MAX_HOST_CPU,
				      &number))
			return;
		item = conf_append(c, &cpu->host_cpus, &cpu->num_host_cpus, sizeof(*item));
		if (!item)
			return;
		*item = (unsigned)number;
	}
}

/* What a QNX host has by a name and Linux by other means. */
static void cpu_foreign(struct conf *c, const struct conf_word *w, const char *what,
			const char *instead)
{
	const struct conf_word *arg = conf_take_argument(c, w, "a name");

	if (!arg)
		return;
	conf_error(c, &w->pos, "'%s' is about %s, which Linux does not have", w->text, what);
	conf_expected(c, "%s", instead);
}

static bool cpu_option(struct conf *c, const struct conf_word *w)
{
	struct conf_cpu *cpu = &c->cpus[c->num_cpus - 1];

	if (!strcmp(w->text, "sched")) {
		const struct conf_word *arg = conf_take_argument(c, w, "a priority from 1 to 255");

		if (arg && conf_read_sched(c, arg, &cpu->sched))
			cpu->sched.pos = w->pos;
	} else if (!strcmp(w->text, "runmask")) {
		cpu_runmask(c, w, cpu);
	} else if (!strcmp(w->text, "partition")) {
		cpu_foreign(c, w, "the partitions of a QNX scheduler",
			    "qvm started in a control group, such as 'systemd-run -p "
			    "CPUQuota=50% qvm ...'");
	} else if (!strcmp(w->text, "cluster")) {
		cpu_foreign(c, w, "named sets of CPUs", "runmask with the numbers of the CPUs");
	} else {
		return false;
	}
	return true;
}

static void reserve_loc(struct conf *c, const struct conf_word *w, struct conf_reserve *reserve)
{
	const struct conf_word *arg;
	struct conf_loc loc, *item;

	arg = conf_take_argument(c, w,
				 "mem:ADDRESS,LENGTH, io:PORT[,LENGTH] or pci:BUS:DEV[.FUNC]");
	if (!arg || !conf_read_loc(c, arg, CONF_SPACE_MEM, &loc))
		return;
	if (loc.space == CONF_SPACE_PCI_ID) {
		conf_error(c, &arg->pos, "'%s' is a kind of device, not a place", arg->text);
		conf_expected(c, "pci:BUS:DEV[.FUNC]");
		return;
	}
	if (loc.space == CONF_SPACE_MEM && !loc.has_len) {
		conf_error(c, &arg->pos, "'%s' is without a length", arg->text);
		conf_expected(c, "mem:ADDRESS,LENGTH");
		return;
	}
	if (loc.space == CONF_SPACE_IO && !loc.has_len) {
		loc.has_len = true;
		loc.len = 1;
	}
	item = conf_append(c, &reserve->locs, &reserve->num_locs, sizeof(*item));
	if (item)
		*item = loc;
}

static void reserve_intr(struct conf *c, const struct conf_word *w, struct conf_reserve *reserve)
{
	const struct conf_word *arg = conf_take_argument(c, w, "the number of an interrupt");
	struct conf_intr *item;
	uint64_t line;

	if (!arg || !conf_read_number(c, arg, (struct conf_part){ arg->text, strlen(arg->text) }, 0,
				      UINT32_MAX, &line))
		return;
	item = conf_append(c, &reserve->intrs, &reserve->num_intrs, sizeof(*item));
	if (item)
		*item = (struct conf_intr){ .text = arg->text,
					    .has_line = true,
					    .line = (uint32_t)line,
					    .pic_vdev = -1,
					    .pos = arg->pos };
}

static bool reserve_option(struct conf *c, const struct conf_word *w)
{
	struct conf_reserve *reserve = &c->reserves[c->num_reserves - 1];

	if (!strcmp(w->text, "loc"))
		reserve_loc(c, w, reserve);
	else if (!strcmp(w->text, "intr"))
		reserve_intr(c, w, reserve);
	else
		return false;
	return true;
}

bool conf_context_option(struct conf *c, const struct conf_word *w)
{
	switch (c->priv->context) {
	case CONF_IN_VDEV:
		return conf_vdev_option(c, w);
	case CONF_IN_CPU:
		return cpu_option(c, w);
	case CONF_IN_RESERVE:
		return reserve_option(c, w);
	case CONF_IN_PASS:
		return conf_pass_option(c, w);
	case CONF_IN_NONE:
	case CONF_IN_UNKNOWN:
		break;
	}
	return false;
}

void conf_context_offer_all(struct conf *c, struct conf_near *near)
{
	static const char *const of_cpu[] = { "sched", "runmask", "partition", "cluster" };

	switch (c->priv->context) {
	case CONF_IN_VDEV:
		conf_vdev_offer_all(c, near);
		break;
	case CONF_IN_CPU:
		for (unsigned i = 0; i < ARRAY_LEN(of_cpu); i++)
			conf_near_offer(near, of_cpu[i]);
		break;
	case CONF_IN_PASS:
		conf_near_offer(near, "shared");
		/* fall through */
	case CONF_IN_RESERVE:
		conf_near_offer(near, "loc");
		conf_near_offer(near, "intr");
		break;
	case CONF_IN_NONE:
	case CONF_IN_UNKNOWN:
		break;
	}
}
