/* SPDX-License-Identifier: Apache-2.0 */
/* The list of messages: collecting. conf_render.c makes text of it. */
#include "conf/conf_private.h"

#include <stdarg.h>
#include <string.h>

#define DIAG_MAX_TEXT  600u		     /* bytes of one message */
#define DIAG_MAX_ITEMS (4 * CONF_MAX_ERRORS) /* then errors and their notes alone are kept */

/* Format, make harmless, cut, and keep. NULL without memory. */
PRINTF_LIKE(2, 0)
static const char *diag_text(struct conf *c, const char *fmt, va_list args)
{
	struct strbuf raw = { 0 }, clean = { 0 };
	const char *text = NULL;

	strbuf_vprintf(&raw, fmt, args);
	conf_text_clean(&clean, strbuf_text(&raw), MIN(raw.len, DIAG_MAX_TEXT));
	if (raw.len > DIAG_MAX_TEXT)
		strbuf_add_text(&clean, "...");
	if (!raw.failed && !clean.failed)
		text = conf_strndup(c, strbuf_text(&clean), clean.len);
	strbuf_free(&raw);
	strbuf_free(&clean);
	return text;
}

static bool diag_of_error(const struct conf *c, unsigned parent)
{
	return parent < c->num_diags && c->diags[parent].severity == CONF_ERROR;
}

PRINTF_LIKE(4, 0)
static void diag_add(struct conf *c, enum conf_severity severity, const struct conf_pos *pos,
		     const char *fmt, va_list args)
{
	unsigned parent = c->num_diags;
	struct conf_diag *d;
	const char *text;

	if (severity == CONF_ERROR)
		c->num_errors++;
	if (severity == CONF_NOTE) {
		if (!c->priv->last_expected)
			return; /* the message that it belongs to was not kept */
		parent = c->diags[c->priv->last_expected - 1].parent;
	}
	if (severity != CONF_NOTE)
		c->priv->last_expected = 0;
	if (severity == CONF_ERROR ? c->num_errors > CONF_MAX_ERRORS
				   : c->num_diags >= DIAG_MAX_ITEMS && !diag_of_error(c, parent))
		return;
	text = diag_text(c, fmt, args);
	if (!text)
		return;
	d = conf_append(c, &c->diags, &c->num_diags, sizeof(*d));
	if (!d)
		return;
	d->severity = severity;
	if (pos)
		d->pos = *pos;
	d->text = text;
	d->parent = parent;
	c->priv->last_expected = c->num_diags;
}

void conf_error(struct conf *c, const struct conf_pos *pos, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	diag_add(c, CONF_ERROR, pos, fmt, args);
	va_end(args);
}

void conf_warning(struct conf *c, const struct conf_pos *pos, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	diag_add(c, CONF_WARNING, pos, fmt, args);
	va_end(args);
}

void conf_note(struct conf *c, const struct conf_pos *pos, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	diag_add(c, CONF_NOTE, pos, fmt, args);
	va_end(args);
}

void conf_expected(struct conf *c, const char *fmt, ...)
{
	va_list args;

	if (!c->priv->last_expected)
		return;
	va_start(args, fmt);
	c->diags[c->priv->last_expected - 1].expected = diag_text(c, fmt, args);
	va_end(args);
}

void conf_suggest(struct conf *c, const char *word)
{
	if (c->priv->last_expected && word)
		c->diags[c->priv->last_expected - 1].suggest = conf_strndup(c, word, strlen(word));
}

const char *conf_source_name(const struct conf *c, const struct conf_pos *pos)
{
	if (!pos || !pos->source || pos->source > c->priv->num_sources)
		return "";
	return c->priv->sources[pos->source - 1].name;
}
