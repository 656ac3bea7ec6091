/* SPDX-License-Identifier: Apache-2.0 */
/* The conf in the syntax of a configuration file: each number in one way, each entry on its line.
 */
#include "conf/conf_private.h"

#include <string.h>

#include "base/log.h"

static void dump_text(struct strbuf *out, const char *text)
{
	if (*text && !strpbrk(text, " \t\n\r\v\f\"#$")) {
		strbuf_add_text(out, text);
		return;
	}
	strbuf_add_char(out, '"');
	for (; *text; text++) {
		if (strchr("\"\\$", *text))
			strbuf_add_char(out, '\\');
		strbuf_add_char(out, *text);
	}
	strbuf_add_char(out, '"');
}

static void dump_value(struct strbuf *out, const struct qvmx_option *opt, const char *text)
{
	unsigned long long number;
	uint64_t value;

	if (conf_option_value(opt, text, &value)) {
		dump_text(out, text);
		return;
	}
	number = value;
	switch (opt->type) {
	case QVMX_OPT_NUMBER:
	case QVMX_OPT_SIZE:
		strbuf_printf(out, "%llu", number);
		break;
	case QVMX_OPT_ADDRESS:
		strbuf_printf(out, "0x%llx", number);
		break;
	case QVMX_OPT_BOOL:
		strbuf_add_text(out, number ? "on" : "off");
		break;
	case QVMX_OPT_SECONDS:
		if (value == UINT64_MAX)
			strbuf_add_text(out, "forever");
		else
			strbuf_printf(out, "%llu", number);
		break;
	case QVMX_OPT_FLAG:
	case QVMX_OPT_STRING:
	case QVMX_OPT_CHOICE:
	case QVMX_OPT_PATH:
	case QVMX_OPT_MAC:
		dump_text(out, text);
		break;
	}
}

void conf_place_dump(struct strbuf *out, const struct conf_loc *loc)
{
	switch (loc->space) {
	case CONF_SPACE_MEM:
	case CONF_SPACE_IO:
		strbuf_printf(out, "%s:0x%llx", loc->space == CONF_SPACE_MEM ? "mem" : "io",
			      (unsigned long long)loc->addr);
		if (loc->has_len)
			strbuf_printf(out, ",0x%llx", (unsigned long long)loc->len);
		break;
	case CONF_SPACE_PCI:
		strbuf_printf(out, "pci:%u:%u", loc->bus, loc->dev);
		if (loc->has_func)
			strbuf_printf(out, ".%u", loc->func);
		break;
	case CONF_SPACE_PCI_ID:
		strbuf_printf(out, "pci:0x%04x/0x%04x", loc->vendor, loc->device);
		if (loc->has_index)
			strbuf_printf(out, "/%u", loc->index);
		break;
	}
}

static void dump_loc(struct strbuf *out, const struct conf_loc *loc)
{
	strbuf_add_text(out, "loc ");
	conf_place_dump(out, loc);
}

static void dump_sched(struct strbuf *out, const struct conf_sched *sched)
{
	strbuf_printf(out, "sched %u", sched->prio);
	if (sched->policy)
		strbuf_add_char(out, sched->policy);
}

static void dump_logger(struct strbuf *out, const char *word, const struct conf_logger *logger)
{
	const char *separator = " ";

	strbuf_add_text(out, word);
	for (unsigned bit = 0; bit < LOG_NUM_SEV; bit++) {
		if (!(logger->mask & 1u << bit))
			continue;
		strbuf_printf(out, "%s%s", separator, log_severity_name(bit));
		separator = ",";
	}
	strbuf_printf(out, " %s\n", log_dest_name((unsigned)logger->dest));
}

static void dump_sets(const struct conf *c, struct strbuf *out, int vdev, int cpu,
		      const char *indent)
{
	for (unsigned i = 0; i < c->num_sets; i++) {
		const struct conf_set *set = &c->sets[i];

		if (set->vdev != vdev || set->cpu != cpu)
			continue;
		strbuf_printf(out, "%sset %s ", indent, set->var.text);
		dump_text(out, set->value.text);
		strbuf_add_char(out, '\n');
	}
}

static void dump_memories(const struct conf *c, struct strbuf *out)
{
	for (unsigned i = 0; i < c->num_memories; i++) {
		const struct conf_memory *memory = &c->memories[i];

		strbuf_add_text(out, memory->rom ? "rom " : "ram ");
		if (memory->has_addr)
			strbuf_printf(out, "0x%llx,", (unsigned long long)memory->addr);
		strbuf_printf(out, "0x%llx\n", (unsigned long long)memory->len);
	}
	for (unsigned i = 0; i < c->num_reserves; i++) {
		const struct conf_reserve *reserve = &c->reserves[i];

		strbuf_add_text(out, "reserve");
		for (unsigned k = 0; k < reserve->num_locs; k++) {
			strbuf_add_char(out, ' ');
			dump_loc(out, &reserve->locs[k]);
		}
		for (unsigned k = 0; k < reserve->num_intrs; k++)
			strbuf_printf(out, " intr %u", reserve->intrs[k].line);
		strbuf_add_char(out, '\n');
	}
}

static void dump_cpus(const struct conf *c, struct strbuf *out)
{
	for (unsigned i = 0; i < c->num_cpus; i++) {
		strbuf_add_text(out, "cpu");
		if (c->cpus[i].sched.given) {
			strbuf_add_char(out, ' ');
			dump_sched(out, &c->cpus[i].sched);
		}
		for (unsigned k = 0; k < c->cpus[i].num_host_cpus; k++)
			strbuf_printf(out, "%s%u", k ? "," : " runmask ", c->cpus[i].host_cpus[k]);
		strbuf_add_char(out, '\n');
		dump_sets(c, out, -1, (int)i, "\t");
	}
}

static void dump_loads(const struct conf *c, struct strbuf *out)
{
	static const char *const blobs[] = { "", "guest ", "initrd ", "data ", "fdt ", "acpi " };

	for (unsigned i = 0; i < c->num_loads; i++) {
		const struct conf_load *load = &c->loads[i];

		strbuf_printf(out, "%sload ", blobs[load->blob]);
		if (load->has_addr)
			strbuf_printf(out, "0x%llx,", (unsigned long long)load->addr);
		dump_text(out, load->path.text);
		strbuf_add_char(out, '\n');
	}
	if (c->cmdline.text) {
		strbuf_add_text(out, "cmdline ");
		dump_text(out, c->cmdline.text);
		strbuf_add_char(out, '\n');
	}
}

static void dump_vdev(const struct conf *c, struct strbuf *out, unsigned index)
{
	static const char *const accels[] = { "auto", "on", "off" };
	const struct conf_vdev *v = &c->vdevs[index];

	if (!v->pos.source) /* the implicit one, of which the file says nothing */
		return;
	strbuf_add_text(out, "vdev ");
	dump_text(out, v->type_name.text);
	strbuf_add_char(out, '\n');
	for (unsigned i = 0; i < v->num_options; i++) {
		if (v->options[i].common != CONF_COMMON_NONE)
			continue;
		strbuf_printf(out, "\t%s", v->options[i].opt->name);
		if (v->options[i].text) {
			strbuf_add_char(out, ' ');
			dump_value(out, v->options[i].opt, v->options[i].text);
		}
		strbuf_add_char(out, '\n');
	}
	if (v->has_loc) {
		strbuf_add_char(out, '\t');
		dump_loc(out, &v->loc);
		strbuf_add_char(out, '\n');
	}
	for (unsigned i = 0; i < v->num_intrs; i++) {
		strbuf_printf(out, "\tintr %s", v->intrs[i].pic);
		if (v->intrs[i].has_line)
			strbuf_printf(out, ":%u", v->intrs[i].line);
		strbuf_add_char(out, '\n');
	}
	if (v->name.text) {
		strbuf_add_text(out, "\tname ");
		dump_text(out, v->name.text);
		strbuf_add_char(out, '\n');
	}
	if (v->log.given)
		dump_logger(out, "\tlog", &v->log);
	if (v->has_hostvector)
		strbuf_printf(out, "\thostvector %u\n", v->hostvector);
	if (v->sched.given) {
		strbuf_add_char(out, '\t');
		dump_sched(out, &v->sched);
		strbuf_add_char(out, '\n');
	}
	if (v->accel_pos.source)
		strbuf_printf(out, "\taccel %s\n", accels[v->accel]);
	dump_sets(c, out, (int)index, -1, "\t");
}

void conf_dump(const struct conf *c, struct strbuf *out)
{
	static const char *const kinds[] = { "instruction", "reference", "register" };
	static const char *const actions[] = { "abort", "fail", "ignore" };

	if (c->system.text) {
		strbuf_add_text(out, "system ");
		dump_text(out, c->system.text);
		strbuf_add_char(out, '\n');
	}
	dump_memories(c, out);
	dump_sets(c, out, -1, -1, "");
	dump_cpus(c, out);
	dump_loads(c, out);
	for (unsigned i = 0; i < c->num_vdevs; i++)
		dump_vdev(c, out, i);
	for (unsigned i = 0; i < c->num_passes; i++)
		conf_pass_dump(&c->passes[i], out);
	for (unsigned i = 0; i < CONF_NUM_UNSUP; i++) {
		if (c->unsupported_pos[i].source)
			strbuf_printf(out, "unsupported %s %s\n", kinds[i],
				      actions[c->unsupported[i]]);
	}
	for (unsigned i = 0; i < c->num_loggers; i++)
		dump_logger(out, "logger", &c->loggers[i]);
	if (c->dryrun)
		strbuf_add_text(out, "dryrun\n");
	if (c->debug)
		strbuf_add_text(out, "debug\n");
	if (c->safety)
		strbuf_add_text(out, "safety\n");
	if (c->dump.text) {
		strbuf_add_text(out, "dump ");
		dump_text(out, c->dump.text);
		strbuf_add_char(out, '\n');
	}
	if (c->user.text) {
		struct strbuf user = { 0 };

		strbuf_printf(&user, "%s%s%s", c->user.text, c->group.text ? ":" : "",
			      c->group.text ? c->group.text : "");
		strbuf_add_text(out, "user ");
		dump_text(out, strbuf_text(&user));
		strbuf_add_char(out, '\n');
		strbuf_free(&user);
	}
}
