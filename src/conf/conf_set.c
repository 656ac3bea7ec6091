/* SPDX-License-Identifier: Apache-2.0 */
/* `set VARIABLE VALUE`, and the variables there are. */
#include "conf/conf_private.h"

#include <string.h>

static const struct conf_variable variables[] = {
	{ { "acpi-dump-dir", QVMX_OPT_PATH,
	    .help = "write the guest's ACPI tables into this directory" },
	  "global",
	  "" },
	{ { "counter-offset", QVMX_OPT_NUMBER,
	    .help = "guest counter less host counter; all ones: start at 0" },
	  "global",
	  "0xffffffffffffffff" },
	{ { "debug", QVMX_OPT_BOOL, .help = "include this vdev in the status report" },
	  "vdev",
	  "on" },
	{ { "exit-on-halt", QVMX_OPT_BOOL, .help = "a halted vCPU gives its host CPU to others" },
	  "global",
	  "on" },
	{ { "fdt-dump-file", QVMX_OPT_PATH, .help = "write the guest's device tree to this file" },
	  "global",
	  "" },
	{ { "grow-heap", QVMX_OPT_ADDRESS, .help = "enlarge the heap by this; no effect on Linux" },
	  "global",
	  "0",
	  CONF_VARIABLE_NO_EFFECT },
	{ { "host-paddr-gich", QVMX_OPT_ADDRESS,
	    .help = "where the host's GICH is; no effect on Linux" },
	  "global",
	  "0",
	  CONF_VARIABLE_NO_EFFECT },
	{ { "host-paddr-gicv", QVMX_OPT_ADDRESS,
	    .help = "where the host's GICV is; no effect on Linux" },
	  "global",
	  "0",
	  CONF_VARIABLE_NO_EFFECT },
	{ { "legacy-free", QVMX_OPT_BOOL,
	    .help = "the guest is told that there are no legacy devices" },
	  "global",
	  "off" },
	{ { "message-block-timeout", QVMX_OPT_NUMBER,
	    .help = "milliseconds that a host server may block; no effect on Linux" },
	  "global",
	  "10000",
	  CONF_VARIABLE_NO_EFFECT },
	{ { "posted-interrupts", QVMX_OPT_BOOL, .help = "KVM decides; no effect on Linux" },
	  "global",
	  "on",
	  CONF_VARIABLE_NO_EFFECT },
	{ { "slog-buffer", QVMX_OPT_ADDRESS,
	    .help = "bytes of the log buffer; no effect on Linux" },
	  "global",
	  "4K",
	  CONF_VARIABLE_NO_EFFECT },
	{ { "virtual-interrupts", QVMX_OPT_BOOL, .help = "KVM decides; no effect on Linux" },
	  "global",
	  "on",
	  CONF_VARIABLE_NO_EFFECT },
};

const struct conf_variable *conf_variable(unsigned index)
{
	return index < ARRAY_LEN(variables) ? &variables[index] : NULL;
}

const struct conf_set *conf_set_find(const struct conf *c, const char *name, int vdev)
{
	const struct conf_set *best = NULL;

	for (unsigned i = 0; i < c->num_sets; i++) {
		const struct conf_set *set = &c->sets[i];

		if (strcmp(set->var.text, name) || (set->vdev != -1 && set->vdev != vdev))
			continue;
		if (!best || set->vdev >= best->vdev)
			best = set;
	}
	return best;
}

static const struct conf_variable *variable_of(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(variables); i++) {
		if (!strcmp(variables[i].option.name, name))
			return &variables[i];
	}
	return NULL;
}

int conf_set_value(const struct conf_set *set, uint64_t *ret_value)
{
	return conf_option_value(&variable_of(set->var.text)->option, set->value.text, ret_value);
}

bool conf_set_bool(const struct conf *c, const char *name, int vdev)
{
	const struct conf_set *set = conf_set_find(c, name, vdev);
	uint64_t value = 0;

	(void)!conf_bool_parse(set ? set->value.text : variable_of(name)->initial, &value);
	return value;
}

static const struct conf_variable *set_find(struct conf *c, const struct conf_word *name)
{
	struct conf_near near;

	conf_near_start(&near, name->text);
	for (unsigned i = 0; i < ARRAY_LEN(variables); i++) {
		if (!strcmp(variables[i].option.name, name->text))
			return &variables[i];
		conf_near_offer(&near, variables[i].option.name);
	}
	conf_error(c, &name->pos, "no variable is called '%s'", name->text);
	conf_suggest(c, near.best);
	conf_expected(c, "a variable; 'qvm set ?' lists them");
	return NULL;
}

bool conf_set_read(struct conf *c, const struct conf_word *w)
{
	struct conf_set set = { .vdev = -1, .cpu = -1, .pos = w->pos }, *item;
	const struct conf_variable *variable;
	const struct conf_word *name, *value;

	name = conf_take_argument(c, w, "VARIABLE VALUE");
	if (!name || name->bad)
		return false;
	if (!strcmp(name->text, "?")) {
		c->set_query = w->pos;
		return true;
	}
	variable = set_find(c, name);
	value = conf_take_argument(c, w, "VARIABLE VALUE");
	if (!variable || !value || !conf_check_option(c, name, value, &variable->option, "set"))
		return false;
	if (variable->state == CONF_VARIABLE_NO_EFFECT)
		conf_warning(c, &name->pos, "'set %s' has no effect on Linux", name->text);
	if (!strcmp(variable->context, "vdev") && c->priv->context == CONF_IN_VDEV)
		set.vdev = (int)c->priv->vdev;
	if (!strcmp(variable->context, "cpu") && c->priv->context == CONF_IN_CPU)
		set.cpu = (int)c->num_cpus - 1;
	set.var = (struct conf_text){ name->text, name->pos };
	set.value = (struct conf_text){ value->text, value->pos };
	item = conf_append(c, &c->sets, &c->num_sets, sizeof(*item));
	if (!item)
		return false;
	*item = set;
	return true;
}
