/* SPDX-License-Identifier: Apache-2.0 */
/* The words that may stand anywhere, and what each reads. */
#include "conf/conf_private.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

static const char expect_memory[] = "[ADDRESS,]LENGTH, such as 1m,1023m";

static bool word_text(struct conf *c, const struct conf_word *w, const char *expected,
		      struct conf_text *ret)
{
	const struct conf_word *arg = conf_take_argument(c, w, expected);

	if (!arg || arg->bad)
		return false;
	*ret = (struct conf_text){ arg->text, arg->pos };
	return true;
}

static bool word_system(struct conf *c, const struct conf_word *w)
{
	const struct conf_word *arg = conf_take_argument(c, w, "the name of the VM");

	if (w != c->priv->words) {
		conf_error(c, &w->pos,
			   c->system.text ? "'system' is given twice"
					  : "'system' does not stand first");
		if (c->system.text)
			conf_note(c, &c->system.pos, "the VM got its name here");
		else
			conf_expected(c, "'system NAME' before everything else");
		return false;
	}
	return arg && conf_read_name(c, arg, "VM", &c->system);
}

static bool word_pages(struct conf *c, const struct conf_word *w, struct conf_part part,
		       uint64_t value, const char *what)
{
	struct conf_pos pos = conf_word_part(w, part.text, part.len);

	if (value % CONF_PAGE == 0)
		return true;
	conf_error(c, &pos, "%s 0x%llx is not a multiple of 4 KiB", what,
		   (unsigned long long)value);
	return false;
}

static bool word_memory(struct conf *c, const struct conf_word *w, bool rom)
{
	const struct conf_word *arg = conf_take_argument(c, w, expect_memory);
	struct conf_memory memory = { .rom = rom, .pos = w->pos }, *item;
	struct conf_part addr = { 0 }, len;
	uint64_t last;

	c->memory_seen = true;
	if (!arg || arg->bad)
		return false;
	len = (struct conf_part){ arg->text, strlen(arg->text) };
	memory.has_addr = memchr(len.text, ',', len.len) != NULL;
	if (memory.has_addr) {
		addr = conf_split(&len, ',');
		if (!conf_read_address(c, arg, addr, &memory.addr))
			return false;
	}
	if (!conf_read_length(c, arg, len, &memory.len))
		return false;
	if (!memory.len) {
		conf_error(c, &arg->pos, "'%s' with no bytes at all", w->text);
		return false;
	}
	if (memory.has_addr && !word_pages(c, arg, addr, memory.addr, "address"))
		return false;
	if (!word_pages(c, arg, len, memory.len, "length"))
		return false;
	if (__builtin_add_overflow(memory.addr, memory.len - 1, &last)) {
		conf_error(c, &arg->pos, "'%s' reaches behind the last address", arg->text);
		return false;
	}
	item = conf_append(c, &c->memories, &c->num_memories, sizeof(*item));
	if (!item)
		return false;
	*item = memory;
	return true;
}

static bool word_ram(struct conf *c, const struct conf_word *w)
{
	return word_memory(c, w, false);
}

static bool word_rom(struct conf *c, const struct conf_word *w)
{
	return word_memory(c, w, true);
}

static bool word_cpu(struct conf *c, const struct conf_word *w)
{
	struct conf_cpu *cpu;

	if (c->num_cpus == CONF_MAX_CPUS) {
		conf_error(c, &w->pos, "too many vCPUs (more than %u)", CONF_MAX_CPUS);
		return false;
	}
	cpu = conf_append(c, &c->cpus, &c->num_cpus, sizeof(*cpu));
	if (!cpu)
		return false;
	cpu->pos = w->pos;
	c->priv->context = CONF_IN_CPU;
	return true;
}

static bool word_reserve(struct conf *c, const struct conf_word *w)
{
	struct conf_reserve *reserve =
		conf_append(c, &c->reserves, &c->num_reserves, sizeof(*reserve));

	if (!reserve)
		return false;
	reserve->pos = w->pos;
	c->priv->context = CONF_IN_RESERVE;
	return true;
}

static bool word_load_blob(struct conf *c, const struct conf_word *w, enum conf_blob blob)
{
	const struct conf_word *arg = conf_take_argument(c, w, "[ADDRESS,]FILE");
	struct conf_load load = { .blob = blob, .pos = w->pos }, *item;
	struct conf_part path;
	uint64_t addr;

	if (!c->memory_seen) {
		conf_error(c, &w->pos, "'load' before any guest memory");
		conf_expected(c, "'ram' or 'rom' before the first 'load'");
	}
	if (!arg || arg->bad)
		return false;
	path = (struct conf_part){ arg->text, strlen(arg->text) };
	/* A comma may also be part of the file's name: what stands before it must be a number. */
	if (memchr(path.text, ',', path.len)) {
		struct conf_part rest = path, first = conf_split(&rest, ',');
		int r = conf_number_parse(first.text, first.len, CONF_HEXADECIMAL, true, &addr);

		if (!r) {
			load.has_addr = true;
			load.addr = addr;
			load.addr_pos = conf_word_part(arg, first.text, first.len);
			path = rest;
		} else if (r == -ERANGE || (first.len > 1 && first.text[0] == '0' &&
					    !memchr(first.text, '/', first.len) &&
					    !memchr(first.text, '.', first.len))) {
			return conf_read_address(c, arg, first, &addr);
		}
	}
	if (load.has_addr && blob == CONF_BLOB_ACPI) {
		conf_error(c, &load.addr_pos,
			   "an ACPI table has no address: it is put beside the others");
		conf_expected(c, "acpi load FILE");
		return false;
	}
	if (!path.len) {
		conf_error(c, &arg->pos, "'load' without the name of a file");
		conf_expected(c, "[ADDRESS,]FILE");
		return false;
	}
	load.path = (struct conf_text){ path.text, conf_word_part(arg, path.text, path.len) };
	item = conf_append(c, &c->loads, &c->num_loads, sizeof(*item));
	if (!item)
		return false;
	*item = load;
	return true;
}

static bool word_load(struct conf *c, const struct conf_word *w)
{
	return word_load_blob(c, w, CONF_BLOB_AUTO);
}

static bool word_pass(struct conf *c, const struct conf_word *w)
{
	struct conf_pass *pass = conf_append(c, &c->passes, &c->num_passes, sizeof(*pass));

	if (!pass)
		return false;
	pass->pos = w->pos;
	c->priv->context = CONF_IN_PASS;
	return true;
}

/* A blob word says what the file of the following `load` is, or the memory of the following `pass`.
 */
static bool word_blob(struct conf *c, const struct conf_word *w, enum conf_blob blob)
{
	struct conf_priv *p = c->priv;
	const struct conf_word *verb = p->next < p->num_words ? &p->words[p->next] : NULL;

	if (!verb || verb->pos.source != w->pos.source ||
	    (strcmp(verb->text, "load") && strcmp(verb->text, "pass"))) {
		conf_error(c, &w->pos, "'%s' without 'load' or 'pass'", w->text);
		conf_expected(c, "%s load [ADDRESS,]FILE", w->text);
		/* It was the file's name, probably; in a file the rest of the line is left out. */
		p->next += verb && verb->pos.source == w->pos.source &&
			   !p->sources[w->pos.source - 1].text && !conf_keyword_find(verb->text);
		return false;
	}
	p->next++;
	if (!strcmp(verb->text, "pass")) {
		if (blob != CONF_BLOB_DATA) {
			conf_error(c, &w->pos,
				   "what is passed cannot be '%s': qvm reads that from a file",
				   w->text);
			conf_expected(c, "'%s load FILE', or 'data pass'", w->text);
		}
		return word_pass(c, verb);
	}
	return word_load_blob(c, verb, blob);
}

static bool word_guest(struct conf *c, const struct conf_word *w)
{
	return word_blob(c, w, CONF_BLOB_GUEST);
}

static bool word_initrd(struct conf *c, const struct conf_word *w)
{
	return word_blob(c, w, CONF_BLOB_INITRD);
}

static bool word_data(struct conf *c, const struct conf_word *w)
{
	return word_blob(c, w, CONF_BLOB_DATA);
}

static bool word_fdt(struct conf *c, const struct conf_word *w)
{
	return word_blob(c, w, CONF_BLOB_FDT);
}

static bool word_acpi(struct conf *c, const struct conf_word *w)
{
	return word_blob(c, w, CONF_BLOB_ACPI);
}

/* Line breaks inside of the quotes only lay the text out: the guest gets one blank for each. */
static bool word_cmdline(struct conf *c, const struct conf_word *w)
{
	struct conf_text text;
	char *copy;

	if (!word_text(c, w, "the guest's command line, in quotes if it has blanks", &text))
		return false;
	copy = conf_strndup(c, text.text, strlen(text.text));
	if (!copy)
		return false;
	for (char *p = copy; *p; p++) {
		if (*p == '\n')
			*p = ' ';
	}
	c->cmdline = (struct conf_text){ copy, text.pos };
	return true;
}

static bool word_unsupported(struct conf *c, const struct conf_word *w)
{
	static const char kinds[] = "instruction|reference|register",
			  actions[] = "abort|fail|ignore";
	const struct conf_word *kind, *action;
	int k, a;

	kind = conf_take_argument(c, w, "instruction, reference or register");
	if (!kind || kind->bad)
		return false;
	k = conf_choice_index(kinds, kind->text, strlen(kind->text));
	if (k < 0) {
		conf_error(c, &kind->pos, "'%s' is nothing that 'unsupported' knows", kind->text);
		conf_suggest(c, conf_near_choice(c, kind->text, kinds));
		conf_expected(c, "instruction, reference or register");
	}
	action = conf_take_argument(c, w, "abort, fail or ignore, as the second argument");
	if (!action || action->bad)
		return false;
	a = conf_choice_index(actions, action->text, strlen(action->text));
	if (a < 0) {
		conf_error(c, &action->pos, "'%s' is no action of 'unsupported'", action->text);
		conf_suggest(c, conf_near_choice(c, action->text, actions));
		conf_expected(c, "abort, fail or ignore");
	}
	if (k < 0 || a < 0)
		return false;
	c->unsupported[k] = (enum conf_action)a;
	c->unsupported_pos[k] = w->pos;
	return true;
}

static bool word_logger(struct conf *c, const struct conf_word *w)
{
	struct conf_logger logger, *item;

	if (!conf_read_logger(c, w, &logger))
		return false;
	if (c->num_loggers == LOG_MAX_SINKS) {
		conf_error(c, &w->pos, "too many loggers (more than %d)", LOG_MAX_SINKS);
		return false;
	}
	item = conf_append(c, &c->loggers, &c->num_loggers, sizeof(*item));
	if (!item)
		return false;
	*item = logger;
	return true;
}

static bool word_dump(struct conf *c, const struct conf_word *w)
{
	static const char expected[] = "a directory, or \"|COMMAND\"";
	struct conf_text text;
	const char *command;

	if (!word_text(c, w, expected, &text))
		return false;
	command = text.text + (text.text[0] == '|');
	if (!command[strspn(command, " \t\n")]) {
		conf_error(c, &text.pos, "'%s' is no place for a dump", text.text);
		conf_expected(c, "%s", expected);
		return false;
	}
	c->dump = text;
	return true;
}

/* USER[:GROUP]. Whether they exist is seen when the VM is planned. */
static bool word_user(struct conf *c, const struct conf_word *w)
{
	static const char expected[] = "USER[:GROUP], names or numbers";
	const struct conf_word *arg = conf_take_argument(c, w, expected);
	struct conf_part group, user;
	const char *name;

	if (!arg || arg->bad)
		return false;
	group = (struct conf_part){ arg->text, strlen(arg->text) };
	user = conf_split(&group, ':');
	if (!user.len || (group.text && (!group.len || memchr(group.text, ':', group.len)))) {
		conf_error(c, &arg->pos, "'%s' names no user", arg->text);
		conf_expected(c, "%s", expected);
		return false;
	}
	name = conf_strndup(c, user.text, user.len);
	if (!name)
		return false;
	c->user = (struct conf_text){ name, conf_word_part(arg, user.text, user.len) };
	c->group = (struct conf_text){ 0 };
	if (group.text)
		c->group = (struct conf_text){ group.text,
					       conf_word_part(arg, group.text, group.len) };
	return true;
}

static bool word_safety(struct conf *c, const struct conf_word *w)
{
	c->safety = true;
	c->safety_pos = w->pos;
	return true;
}

static bool word_dryrun(struct conf *c, const struct conf_word *w)
{
	c->dryrun = true;
	c->dryrun_pos = w->pos;
	return true;
}

static bool word_debug(struct conf *c, const struct conf_word *w)
{
	c->debug = true;
	c->debug_pos = w->pos;
	return true;
}

static const struct conf_keyword keywords[] = {
	{ "system", word_system },
	{ "ram", word_ram },
	{ "rom", word_rom },
	{ "cpu", word_cpu },
	{ "load", word_load },
	{ "initrd", word_initrd },
	{ "cmdline", word_cmdline },
	{ "vdev", conf_vdev_open },
	{ "set", conf_set_read },
	{ "reserve", word_reserve },
	{ "guest", word_guest },
	{ "data", word_data },
	{ "fdt", word_fdt },
	{ "acpi", word_acpi },
	{ "unsupported", word_unsupported },
	{ "logger", word_logger },
	{ "dryrun", word_dryrun },
	{ "debug", word_debug },
	{ "pass", word_pass },
	{ "dump", word_dump },
	{ "user", word_user },
	{ "safety", word_safety },
};

const struct conf_keyword *conf_keyword_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(keywords); i++) {
		if (!strcmp(keywords[i].name, name))
			return &keywords[i];
	}
	return NULL;
}

void conf_keyword_offer_all(struct conf_near *near)
{
	for (unsigned i = 0; i < ARRAY_LEN(keywords); i++)
		conf_near_offer(near, keywords[i].name);
}
