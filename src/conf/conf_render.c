/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as text: sorted by place, each with its line of the source and a caret under what is
 * meant. */
#include "conf/conf_private.h"

#include <stdlib.h>
#include <string.h>

#define RENDER_COLUMNS 120u /* of a source line that are shown */
#define RENDER_BEFORE  40u  /* of them before the caret if the line is longer */
#define RENDER_TAB     8u

static const char *const severity_names[] = { "error", "warning", "note" };

static struct conf_part render_line(const struct conf *c, const struct conf_pos *pos)
{
	const struct conf_source *source = &c->priv->sources[pos->source - 1];
	const char *line, *end, *stop;

	if (!source->text) {
		unsigned index = pos->line - source->first_number;

		if (index >= source->num_words)
			return (struct conf_part){ 0 };
		return (struct conf_part){ source->words[index], strlen(source->words[index]) };
	}
	line = source->text;
	stop = line + source->len;
	for (uint32_t n = 1; n < pos->line; n++) {
		end = memchr(line, '\n', (size_t)(stop - line));
		if (!end)
			return (struct conf_part){ 0 };
		line = end + 1;
	}
	end = memchr(line, '\n', (size_t)(stop - line));
	if (!end)
		end = stop;
	if (end > line && end[-1] == '\r')
		end--;
	return (struct conf_part){ line, (size_t)(end - line) };
}

/* The next character of a line, with a tab as wide as it is at this column. */
static struct conf_glyph render_glyph(struct conf_part line, size_t at, unsigned column)
{
	struct conf_glyph g = conf_text_glyph(line.text + at, line.len - at);

	if (line.text[at] == '\t')
		g.width = RENDER_TAB - column % RENDER_TAB;
	return g;
}

/* The columns, from 0, that the bytes [at, at + len) of a line take; *ret_total: those of the line.
 */
static unsigned render_columns(struct conf_part line, size_t at, size_t len, unsigned *ret_width,
			       unsigned *ret_total)
{
	unsigned column = 0, start = 0, end = 0;
	size_t i = 0;

	while (i < line.len) {
		struct conf_glyph g = render_glyph(line, i, column);

		if (i <= at)
			start = column;
		column += g.width;
		i += g.bytes;
		if (i <= at)
			start = column;
		if (i <= at + len)
			end = column;
	}
	*ret_width = end > start ? end - start : 1;
	*ret_total = column;
	return start;
}

static void render_window(struct strbuf *out, struct conf_part line, unsigned from, unsigned to)
{
	unsigned column = 0;

	for (size_t i = 0; i < line.len && column < to;) {
		struct conf_glyph g = render_glyph(line, i, column);
		unsigned end = column + g.width;

		if (line.text[i] == '\t' || column < from || end > to)
			strbuf_fill(out, ' ',
				    MIN(end, to) > MAX(column, from)
					    ? MIN(end, to) - MAX(column, from)
					    : 0);
		else
			strbuf_add_text(out, g.shown);
		column = end;
		i += g.bytes;
	}
}

static void render_source(const struct conf *c, struct strbuf *out, const struct conf_pos *pos)
{
	struct conf_part line = render_line(c, pos);
	unsigned start, width, total, from = 0, to = RENDER_COLUMNS;

	if (!line.text)
		return;
	start = render_columns(line, pos->col - 1, pos->length, &width, &total);
	if (total > RENDER_COLUMNS &&
	    start + MIN(width, RENDER_COLUMNS - RENDER_BEFORE) > RENDER_COLUMNS) {
		from = start - RENDER_BEFORE;
		to = from + RENDER_COLUMNS;
	}
	if (from)
		strbuf_add_text(out, "...");
	render_window(out, line, from, to);
	strbuf_add_text(out, total > to ? "...\n" : "\n");
	strbuf_fill(out, ' ', start - from + (from ? 3 : 0));
	strbuf_add_char(out, '^');
	strbuf_fill(out, '~', MIN(width, MAX(to - start, 1u)) - 1);
	strbuf_add_char(out, '\n');
}

void conf_format_pos(const struct conf *c, const struct conf_pos *pos, struct strbuf *out)
{
	const char *name = conf_source_name(c, pos);

	conf_text_clean(out, name, strlen(name));
	if (*name)
		strbuf_printf(out, ":%u:%u", pos->line, pos->col);
}

static void render_one(const struct conf *c, const struct conf_diag *d, struct strbuf *out)
{
	if (*conf_source_name(c, &d->pos)) {
		conf_format_pos(c, &d->pos, out);
		strbuf_add_text(out, ": ");
	}
	strbuf_printf(out, "%s: %s", severity_names[d->severity], d->text);
	if (d->suggest) {
		strbuf_add_text(out, "; did you mean '");
		conf_text_clean(out, d->suggest, strlen(d->suggest));
		strbuf_add_text(out, "'?");
	}
	strbuf_add_char(out, '\n');
	if (*conf_source_name(c, &d->pos))
		render_source(c, out, &d->pos);
	if (d->expected)
		strbuf_printf(out, "expected: %s\n", d->expected);
}

static int render_compare_pos(const struct conf_pos *a, const struct conf_pos *b)
{
	/* Without a place: after all that have one. */
	if (!a->source != !b->source)
		return a->source ? -1 : 1;
	if (a->source != b->source)
		return a->source < b->source ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->col != b->col)
		return a->col < b->col ? -1 : 1;
	return 0;
}

/* The list points into one array, so that the order of finding decides where all else is equal. */
static int render_compare(const void *va, const void *vb, void *array)
{
	const struct conf_diag *a = *(const struct conf_diag *const *)va;
	const struct conf_diag *b = *(const struct conf_diag *const *)vb;
	const struct conf_diag *diags = array;
	int r = render_compare_pos(&diags[a->parent].pos, &diags[b->parent].pos);

	if (r)
		return r;
	/* Messages of one place stay together with their notes. */
	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	return a < b ? -1 : a > b;
}

void conf_diags_sort(const struct conf *c, const struct conf_diag **list)
{
	for (unsigned i = 0; i < c->num_diags; i++)
		list[i] = &c->diags[i];
	if (c->num_diags)
		qsort_r(list, c->num_diags, sizeof(*list), render_compare, c->diags);
}

void conf_render(const struct conf *c, struct strbuf *out)
{
	const struct conf_diag **list = calloc(MAX(c->num_diags, 1u), sizeof(*list));
	unsigned shown = 0;

	if (!list) {
		out->failed = true;
		return;
	}
	conf_diags_sort(c, list);
	for (unsigned i = 0; i < c->num_diags; i++) {
		shown += list[i]->severity == CONF_ERROR;
		render_one(c, list[i], out);
	}
	free(list);
	if (c->num_errors > shown)
		strbuf_printf(out, "error: too many errors: %u more are not shown\n",
			      c->num_errors - shown);
}
