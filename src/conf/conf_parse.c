/* SPDX-License-Identifier: Apache-2.0 */
/* From words to the conf: contexts, and going on after a word that nothing knows. */
#include "conf/conf_private.h"

#include <errno.h>
#include <string.h>

static const char *const opening_words[] = { "vdev", "cpu", "reserve", "pass" };
static const char *const context_words[] = { "loc",   "intr",	    "name",  "log",
					     "sched", "hostvector", "accel", "runmask" };

static bool parse_among(const char *const *words, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(words[i], text))
			return true;
	}
	return false;
}

static void parse_report_unknown(struct conf *c, const struct conf_word *w)
{
	switch (c->priv->context) {
	case CONF_IN_VDEV:
		conf_error(c, &w->pos, "unknown option '%s' of vdev %s", w->text,
			   c->vdevs[c->priv->vdev].type_name.text);
		return;
	case CONF_IN_CPU:
		conf_error(c, &w->pos, "unknown option '%s' of cpu", w->text);
		return;
	case CONF_IN_RESERVE:
		conf_error(c, &w->pos, "unknown option '%s' of reserve", w->text);
		return;
	case CONF_IN_PASS:
		conf_error(c, &w->pos, "unknown option '%s' of pass", w->text);
		return;
	case CONF_IN_NONE:
	case CONF_IN_UNKNOWN:
		break;
	}
	if (w->text[0] == '@')
		conf_error(c, &w->pos, "'%s': a file is named with '@' on the command line only",
			   w->text);
	else if (parse_among(context_words, ARRAY_LEN(context_words), w->text))
		conf_error(c, &w->pos, "'%s' has nothing before it that it could belong to",
			   w->text);
	else
		conf_error(c, &w->pos, "unknown word '%s'", w->text);
}

/* The options of the open vdev, for a word that is near to none of them. */
static void parse_expect_options(struct conf *c)
{
	const struct conf_vdev_type *type = NULL;
	struct strbuf list = { 0 };

	if (c->priv->context == CONF_IN_CPU) {
		conf_expected(c, "sched, runmask, or a new entry");
		return;
	}
	if (c->priv->context == CONF_IN_RESERVE || c->priv->context == CONF_IN_PASS) {
		conf_expected(c, "loc, intr, %sor a new entry",
			      c->priv->context == CONF_IN_PASS ? "shared, " : "");
		return;
	}
	if (c->priv->context == CONF_IN_VDEV)
		type = c->vdevs[c->priv->vdev].type;
	if (!type) {
		conf_expected(c, "an entry such as ram, cpu, load, cmdline, vdev or set");
		return;
	}
	for (unsigned i = 0; i < type->num_options; i++)
		strbuf_printf(&list, "%s, ", type->options[i].name);
	conf_expected(c, "%sloc, intr, name, log, sched%s%s, or a new entry", strbuf_text(&list),
		      type->pic ? ", hostvector" : "", type->accel ? ", accel" : "");
	strbuf_free(&list);
}

/*
 * Report the word once and leave out what probably belongs to it: the rest of its line, on the
 * command line the next word. If it was meant to open a context, then everything up to the next
 * word that stands anywhere.
 */
static void parse_unknown(struct conf *c, const struct conf_word *w, struct conf_pos *skip)
{
	struct conf_near near;

	conf_near_start(&near, w->text);
	conf_context_offer_all(c, &near);
	conf_keyword_offer_all(&near);
	parse_report_unknown(c, w);
	if (near.best && c->priv->context == CONF_IN_VDEV && !conf_keyword_find(near.best))
		conf_vdev_meant(c, near.best);
	if (near.best)
		conf_suggest(c, near.best);
	else
		parse_expect_options(c);
	*skip = w->pos;
	if (!c->priv->sources[w->pos.source - 1].text)
		skip->line++;
	if (near.best && parse_among(opening_words, ARRAY_LEN(opening_words), near.best))
		c->priv->context = CONF_IN_UNKNOWN;
}

static bool parse_skips(const struct conf *c, const struct conf_word *w,
			const struct conf_pos *skip)
{
	if (skip->source == w->pos.source && skip->line == w->pos.line)
		return true;
	if (c->priv->context == CONF_IN_VDEV)
		return !c->vdevs[c->priv->vdev].type;
	return c->priv->context == CONF_IN_UNKNOWN;
}

int conf_parse(struct conf *c)
{
	struct conf_priv *p = c->priv;
	struct conf_pos skip = { 0 };

	conf_vdev_add_implicit(c);
	while (p->next < p->num_words && !p->no_memory) {
		const struct conf_word *w = &p->words[p->next++];
		const struct conf_keyword *keyword;

		if (w->bad || conf_context_option(c, w))
			continue;
		keyword = conf_keyword_find(w->text);
		if (keyword) {
			if (!keyword->read(c, w))
				skip = w->pos;
		} else if (!parse_skips(c, w, &skip)) {
			parse_unknown(c, w, &skip);
		}
	}
	conf_vdev_check_all(c);
	conf_pass_check_all(c);
	return p->no_memory ? -ENOMEM : 0;
}
