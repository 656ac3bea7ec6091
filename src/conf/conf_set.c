/* SPDX-License-Identifier: Apache-2.0 */
/* `set VARIABLE VALUE`, and the variables there are. */
#include "conf/conf_private.h"

#include <string.h>

enum variable_state {
	VARIABLE_BUILT,
	VARIABLE_LATER,
	VARIABLE_NO_EFFECT, /* about something that Linux does not have: accepted, with a warning */
};

struct variable {
	struct qvmx_option option;
	const char *context;
	enum variable_state state;
};

static const struct variable variables[] = {
	{ { "acpi-dump-dir", QVMX_OPT_PATH,
	    .help = "write the guest's ACPI tables into this directory" },
	  "global" },
	{ { "counter-offset", QVMX_OPT_NUMBER,
	    .help = "guest counter less host counter; all ones: start at 0" },
	  "global",
	  VARIABLE_LATER },
	{ { "debug", QVMX_OPT_BOOL, .help = "include this vdev in the status report" },
	  "vdev",
	  VARIABLE_LATER },
	{ { "exit-on-halt", QVMX_OPT_BOOL, .help = "a halted vCPU gives its host CPU to others" },
	  "global",
	  VARIABLE_LATER },
	{ { "fdt-dump-file", QVMX_OPT_PATH, .help = "write the guest's device tree to this file" },
	  "global",
	  VARIABLE_LATER },
	{ { "grow-heap", QVMX_OPT_ADDRESS, .help = "enlarge the heap by this; no effect on Linux" },
	  "global",
	  VARIABLE_NO_EFFECT },
	{ { "host-paddr-gich", QVMX_OPT_ADDRESS,
	    .help = "where the host's GICH is; no effect on Linux" },
	  "global",
	  VARIABLE_NO_EFFECT },
	{ { "host-paddr-gicv", QVMX_OPT_ADDRESS,
	    .help = "where the host's GICV is; no effect on Linux" },
	  "global",
	  VARIABLE_NO_EFFECT },
	{ { "legacy-free", QVMX_OPT_BOOL,
	    .help = "the guest is told that there are no legacy devices" },
	  "global",
	  VARIABLE_LATER },
	{ { "message-block-timeout", QVMX_OPT_NUMBER,
	    .help = "milliseconds that a host server may block" },
	  "global",
	  VARIABLE_LATER },
	{ { "posted-interrupts", QVMX_OPT_BOOL, .help = "KVM decides; no effect on Linux" },
	  "global",
	  VARIABLE_NO_EFFECT },
	{ { "slog-buffer", QVMX_OPT_ADDRESS,
	    .help = "bytes of the log buffer; no effect on Linux" },
	  "global",
	  VARIABLE_NO_EFFECT },
	{ { "virtual-interrupts", QVMX_OPT_BOOL, .help = "KVM decides; no effect on Linux" },
	  "global",
	  VARIABLE_NO_EFFECT },
};

const struct qvmx_option *conf_variable(unsigned index, const char **ret_context, bool *ret_built)
{
	if (index >= ARRAY_LEN(variables))
		return NULL;
	*ret_context = variables[index].context;
	*ret_built = variables[index].state != VARIABLE_LATER;
	return &variables[index].option;
}

static const struct variable *set_find(struct conf *c, const struct conf_word *name)
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
	const struct variable *variable;
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
	if (variable->state == VARIABLE_LATER) {
		conf_error(c, &name->pos, "'set %s' is not built yet", name->text);
		return false;
	}
	if (variable->state == VARIABLE_NO_EFFECT)
		conf_warning(c, &name->pos, "'set %s' has no effect on Linux", name->text);
	if (!strcmp(variable->context, "vdev") && c->priv->context == CONF_IN_VDEV)
		set.vdev = (int)c->num_vdevs - 1;
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
