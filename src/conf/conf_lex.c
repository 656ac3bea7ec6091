/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From text to words. White space separates; `#` outside of quotes starts a comment; double quotes
 * keep white space and may run over lines; inside of them a backslash joins lines and stands before
 * `"`, `\` and `$` that are meant literally. `$env{NAME}` is replaced, in quotes too; its value
 * never splits a word.
 */
#include "conf/conf_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct lexer {
	struct conf *c;
	uint32_t source;
	const char *text;
	size_t len, at;
	uint32_t line;
	size_t line_start; /* offset of the line's first byte */
	bool one_word;	   /* a word of the command line: no quotes, no comments, no lines */
	/* The first quote that ran over lines and ended in the middle of a word: probably its own
	 * end is missing and it took another's beginning for it. */
	struct conf_pos suspect;

	struct strbuf word;
	struct conf_word out;
};

static struct conf_pos lexer_pos(const struct lexer *lx, size_t at, size_t len)
{
	return (struct conf_pos){ lx->source, lx->line, (uint32_t)(at - lx->line_start + 1),
				  (uint32_t)len };
}

static bool lexer_at_space(const struct lexer *lx)
{
	return isspace((unsigned char)lx->text[lx->at]);
}

/* Step over one byte, counting lines. */
static void lexer_step(struct lexer *lx)
{
	if (lx->text[lx->at++] == '\n' && !lx->one_word) {
		lx->line++;
		lx->line_start = lx->at;
	}
}

static void lexer_fail(struct lexer *lx)
{
	lx->out.bad = true;
	lx->out.plain = false;
}

static const char *lexer_getenv(const struct lexer *lx, const char *name)
{
	const struct conf_env *env = &lx->c->priv->env;

	return env->getenv ? env->getenv(env->ctx, name) : getenv(name);
}

/* What stands in a line from `at` up to white space or a quote: for pointing at half a
 * substitution. */
static size_t lexer_run(const struct lexer *lx, size_t at)
{
	size_t end = at;

	while (end < lx->len && !isspace((unsigned char)lx->text[end]) && lx->text[end] != '"')
		end++;
	return end - at;
}

static void lexer_replace(struct lexer *lx, struct conf_part kind, struct conf_part name,
			  struct conf_pos pos)
{
	static const char page[] =
		"'$%.*s{%.*s}' is about the QNX system page, which Linux does not have";
	char variable[256];
	const char *value;

	if (conf_part_is(kind, "asinfo_start")) {
		conf_error(lx->c, &pos, page, (int)kind.len, kind.text, (int)MIN(name.len, 64),
			   name.text);
		conf_expected(lx->c, "the start address itself, such as 0x80000000 (the host's "
				     "ranges are in /proc/iomem)");
		lexer_fail(lx);
		return;
	}
	if (conf_part_is(kind, "asinfo_length")) {
		conf_error(lx->c, &pos, page, (int)kind.len, kind.text, (int)MIN(name.len, 64),
			   name.text);
		conf_expected(lx->c, "the length itself, such as 0x100000 (the host's ranges are "
				     "in /proc/iomem)");
		lexer_fail(lx);
		return;
	}
	if (!conf_part_is(kind, "env")) {
		conf_error(lx->c, &pos, "unknown substitution '$%.*s{}'", (int)MIN(kind.len, 64),
			   kind.text);
		conf_expected(lx->c, "$env{NAME}; in quotes, '\\$' is a plain '$'");
		lexer_fail(lx);
		return;
	}
	if (!name.len || name.len >= sizeof(variable) || memchr(name.text, '\0', name.len)) {
		conf_error(lx->c, &pos, "'$env{}' %s",
			   name.len ? "with a name that is too long" : "without a name");
		conf_expected(lx->c, "$env{NAME}");
		lexer_fail(lx);
		return;
	}
	memcpy(variable, name.text, name.len);
	variable[name.len] = '\0';
	value = lexer_getenv(lx, variable);
	if (!value) {
		conf_error(lx->c, &pos, "environment variable '%s' is not set", variable);
		lexer_fail(lx);
		return;
	}
	if (lx->word.len <= CONF_MAX_WORD) /* what is longer is refused anyway */
		strbuf_add_text(&lx->word, value);
	lx->out.plain = false;
}

/* At a '$'. One that is not followed by NAME{ is an ordinary character. */
static void lexer_dollar(struct lexer *lx)
{
	struct conf_part kind = { lx->text + lx->at + 1, 0 }, name;
	size_t at = lx->at + 1, start = lx->at;

	while (at < lx->len && (isalnum((unsigned char)lx->text[at]) || lx->text[at] == '_'))
		at++;
	kind.len = at - start - 1;
	if (!kind.len || at == lx->len || lx->text[at] != '{') {
		strbuf_add_char(&lx->word, '$');
		lexer_step(lx);
		return;
	}
	name.text = lx->text + ++at;
	while (at < lx->len && lx->text[at] != '}' && lx->text[at] != '\n' && lx->text[at] != '"')
		at++;
	name.len = (size_t)(lx->text + at - name.text);
	if (at == lx->len || lx->text[at] != '}') {
		struct conf_pos pos = lexer_pos(lx, start, lexer_run(lx, start));

		conf_error(lx->c, &pos, "'$%.*s{' without its '}'", (int)MIN(kind.len, 64),
			   kind.text);
		lexer_fail(lx);
		lx->at = start + lexer_run(lx, start);
		return;
	}
	at++;
	lexer_replace(lx, kind, name, lexer_pos(lx, start, at - start));
	lx->at = at;
}

/* Inside of quotes, at a backslash. */
static void lexer_backslash(struct lexer *lx)
{
	const char *rest = lx->text + lx->at;
	size_t left = lx->len - lx->at;

	lx->out.plain = false;
	if (left > 1 && rest[1] == '\n') {
		lexer_step(lx);
		lexer_step(lx);
	} else if (left > 2 && rest[1] == '\r' && rest[2] == '\n') {
		lexer_step(lx);
		lexer_step(lx);
		lexer_step(lx);
	} else if (left > 1 && strchr("\"\\$", rest[1]) && rest[1]) {
		strbuf_add_char(&lx->word, rest[1]);
		lx->at += 2;
	} else {
		strbuf_add_char(&lx->word, '\\');
		lx->at++;
	}
}

/* One byte of a word that stands for itself. */
static void lexer_plain(struct lexer *lx)
{
	char ch = lx->text[lx->at];

	if (!ch) {
		struct conf_pos pos = lexer_pos(lx, lx->at, 1);

		if (!lx->out.bad)
			conf_error(lx->c, &pos, "a zero byte: this is not a text file");
		lexer_fail(lx);
	} else {
		strbuf_add_char(&lx->word, ch);
	}
	lexer_step(lx);
}

/* Behind the closing quote of what began at `open`. */
static void lexer_closed(struct lexer *lx, struct conf_pos open)
{
	if (lx->line == open.line || lx->suspect.source || lx->at == lx->len)
		return;
	if (!lexer_at_space(lx) && lx->text[lx->at] != '#')
		lx->suspect = open;
}

static void lexer_not_closed(struct lexer *lx, struct conf_pos open)
{
	struct conf_pos at = lx->suspect.source ? lx->suspect : open;

	conf_error(lx->c, &at, "this quote is not closed");
	if (lx->suspect.source) {
		conf_expected(lx->c,
			      "another '\"' before the one in which it ends, which looks like "
			      "a beginning");
		conf_note(lx->c, &open, "so this one has no end either");
	} else {
		conf_expected(lx->c, "another '\"' before the end of the file");
	}
	lexer_fail(lx);
}

static void lexer_quoted(struct lexer *lx)
{
	struct conf_pos open = lexer_pos(lx, lx->at, 1);

	lx->out.quoted = true;
	lx->out.plain = false;
	lx->at++;
	while (lx->at < lx->len) {
		char ch = lx->text[lx->at];

		if (ch == '"') {
			lx->at++;
			lexer_closed(lx, open);
			return;
		}
		if (ch == '\\')
			lexer_backslash(lx);
		else if (ch == '$')
			lexer_dollar(lx);
		else if (ch == '\r' && lx->at + 1 < lx->len && lx->text[lx->at + 1] == '\n')
			lx->at++;
		else
			lexer_plain(lx);
	}
	lexer_not_closed(lx, open);
}

/* Take the word that starts here. */
static int lexer_word(struct lexer *lx)
{
	struct conf_priv *p = lx->c->priv;
	uint32_t line = lx->line;
	size_t start = lx->at, line_start = lx->line_start;
	struct conf_word *w;
	const char *end;

	strbuf_reset(&lx->word);
	lx->out = (struct conf_word){ .pos = lexer_pos(lx, start, 0), .plain = true };
	while (lx->at < lx->len &&
	       (lx->one_word || (!lexer_at_space(lx) && lx->text[lx->at] != '#'))) {
		if (lx->text[lx->at] == '"' && !lx->one_word)
			lexer_quoted(lx);
		else if (lx->text[lx->at] == '$')
			lexer_dollar(lx);
		else
			lexer_plain(lx);
	}
	/* A word over several lines is pointed at up to the end of its first line. */
	end = lx->line != line ? memchr(lx->text + line_start, '\n', lx->len - line_start) : NULL;
	lx->out.pos.length = (uint32_t)((end ? (size_t)(end - lx->text) : lx->at) - start);
	if (lx->word.len > CONF_MAX_WORD) {
		conf_error(lx->c, &lx->out.pos,
			   "a word of %zu bytes is longer than the limit of %u", lx->word.len,
			   CONF_MAX_WORD);
		lx->out.bad = true;
		strbuf_reset(&lx->word);
	}
	if (lx->word.failed)
		return -ENOMEM;
	if (p->num_words >= CONF_MAX_WORDS) {
		if (!p->words_full)
			conf_error(lx->c, &lx->out.pos, "too many words (more than %u)",
				   CONF_MAX_WORDS);
		p->words_full = true;
		return 0;
	}
	lx->out.text = conf_strndup(lx->c, strbuf_text(&lx->word), lx->word.len);
	w = conf_append(lx->c, &p->words, &p->num_words, sizeof(*w));
	if (!lx->out.text || !w)
		return -ENOMEM;
	*w = lx->out;
	return 0;
}

int conf_lex_text(struct conf *c, uint32_t source)
{
	const struct conf_source *src = &c->priv->sources[source - 1];
	struct lexer lx = {
		.c = c, .source = source, .text = src->text, .len = src->len, .line = 1
	};
	int r = 0;

	while (!r && lx.at < lx.len && !c->priv->words_full) {
		if (lexer_at_space(&lx)) {
			lexer_step(&lx);
		} else if (lx.text[lx.at] == '#') {
			while (lx.at < lx.len && lx.text[lx.at] != '\n')
				lx.at++;
		} else {
			r = lexer_word(&lx);
		}
	}
	strbuf_free(&lx.word);
	return r;
}

/* The shell has split and unquoted a word of the command line already: it is one word whatever is
 * in it. */
int conf_lex_argument(struct conf *c, uint32_t source, uint32_t number, const char *text)
{
	struct lexer lx = { .c = c,
			    .source = source,
			    .text = text,
			    .len = strlen(text),
			    .line = number,
			    .one_word = true };
	int r;

	if (c->priv->words_full)
		return 0;
	r = lexer_word(&lx);
	if (!r && !c->priv->words_full)
		c->priv->words[c->priv->num_words - 1].quoted = strpbrk(text, " \t\n") != NULL;
	strbuf_free(&lx.word);
	return r;
}
