/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damages good files of a folder in one known line, from a fixed seed, so that each run does the
 * same, and counts how often the first message is about that line. Each kind of damage is certain
 * to make the file wrong. Usage: conf_damage_test FOLDER [COUNT]
 *
 * Prints one line a kind, and what was reported elsewhere. Fails if less than 98 in 100 are on the
 * right line, or if a file is taken for good.
 */
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf_fake.h"

enum { MAX_LINES = 200, MAX_LINE = 400, MAX_TRIES = 200, WANTED_PERCENT = 98 };

struct text {
	unsigned num;
	char lines[MAX_LINES][MAX_LINE];
};

static uint64_t state = 0x2545f4914f6cdd1du;

/* xorshift64*: the same numbers everywhere. */
static unsigned damage_random(unsigned below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (unsigned)((state * 0x9e3779b97f4a7c15u) >> 33) % below;
}

/* The first word of a line, without what stands before it. */
static char *first_word(char *line, size_t *ret_len)
{
	line += strspn(line, " \t");
	*ret_len = strcspn(line, " \t#");
	return line;
}

static bool word_is(const char *word, size_t len, const char *const *list)
{
	for (; *list; list++) {
		if (strlen(*list) == len && !memcmp(*list, word, len))
			return true;
	}
	return false;
}

static const char *const entries[] = { "system", "ram",	   "rom",     "cpu",  "load",
				       "vdev",	 "set",	   "reserve", "dump", "unsupported",
				       "logger", "dryrun", "cmdline", "user", "safety",
				       "initrd", "data",   "guest",   NULL };
/* Those that need an argument on their line to mean anything. */
static const char *const with_argument[] = { "system", "ram",  "rom",	      "load",
					     "vdev",   "dump", "unsupported", "logger",
					     "set",    "user", "cmdline",     NULL };
static const char *const with_number[] = { "ram", "rom", NULL };
static const char *const with_choice[] = { "unsupported", "logger", NULL };
static const char *const vdevs[] = { "vdev", NULL };

/* Put text in the place of len bytes at `at`. False: no room. */
static bool line_replace(char *line, char *at, size_t len, const char *text)
{
	size_t more = strlen(text), rest = strlen(at + len);

	if (strlen(line) - len + more >= MAX_LINE)
		return false;
	memmove(at + more, at + len, rest + 1);
	memcpy(at, text, more);
	return true;
}

/* The word behind the first one, or NULL. */
static char *second_word(char *line, size_t *ret_len)
{
	size_t len;
	char *at = first_word(line, &len);

	at += len;
	at += strspn(at, " \t");
	*ret_len = strcspn(at, " \t#");
	return *ret_len ? at : NULL;
}

/* The kinds of damage. False: the line has nothing to damage in this way. */

static bool damage_keyword(char *line)
{
	static const char letters[] = "qzxw";
	char text[2] = { letters[damage_random(4)], '\0' };
	size_t len;
	char *word = first_word(line, &len);

	return word_is(word, len, entries) &&
	       line_replace(line, word + 1 + damage_random((unsigned)len), 0, text);
}

static bool damage_lost_argument(char *line)
{
	size_t len;
	char *word = first_word(line, &len);

	size_t rest;

	if (!word_is(word, len, with_argument) || strchr(line, '"') || !second_word(line, &rest))
		return false;
	word[len] = '\0';
	return true;
}

static bool damage_number(char *line)
{
	static const char *const wrong[] = {
		"12y4", "0xh", "-5", "99999999999999999999", "1mm", "0"
	};
	size_t len;
	char *word = first_word(line, &len), *arg;

	if (!word_is(word, len, with_number))
		return false;
	arg = second_word(line, &len);
	return arg && arg[0] != '"' && arg[0] != '$' &&
	       line_replace(line, arg, len, wrong[damage_random(ARRAY_LEN(wrong))]);
}

static bool damage_stray(char *line)
{
	size_t len;
	char *word = first_word(line, &len);

	size_t rest;

	return word_is(word, len, entries) && !strchr(line, '#') && !strchr(line, '"') &&
	       (!word_is(word, len, with_argument) || second_word(line, &rest)) &&
	       strlen(line) + 10 < MAX_LINE && strcat(line, " zzzqqq");
}

static bool damage_type(char *line)
{
	size_t len;
	char *word = first_word(line, &len), *arg;

	if (!word_is(word, len, vdevs))
		return false;
	arg = second_word(line, &len);
	return arg && line_replace(line, arg + len / 2, 0, "q");
}

static bool damage_choice(char *line)
{
	size_t len;
	char *word = first_word(line, &len), *arg;

	if (!word_is(word, len, with_choice))
		return false;
	arg = second_word(line, &len);
	return arg && line_replace(line, arg + len, 0, "x");
}

static bool damage_variable(char *line)
{
	static const char *const wrong[] = { "$env{NOT_SET}", "$env{OPEN", "$host{X}",
					     "$asinfo_start{ram}", "$env{}" };
	size_t len;
	char *word = first_word(line, &len), *arg;

	if (!word_is(word, len, with_argument))
		return false;
	arg = second_word(line, &len);
	return arg && arg[0] != '"' &&
	       line_replace(line, arg, len, wrong[damage_random(ARRAY_LEN(wrong))]);
}

static bool damage_quote(char *line)
{
	size_t len;
	char *word = first_word(line, &len), *arg;

	if (!word_is(word, len, with_argument) || strchr(line, '"'))
		return false;
	arg = second_word(line, &len);
	return arg && line_replace(line, arg, 0, "\"");
}

static bool damage_pic(char *line)
{
	char *at = strstr(line, "intr ");
	size_t len;

	if (!at || (at != line && !isspace((unsigned char)at[-1])) || !strchr(at, ':'))
		return false;
	/* Of several the last one counts. */
	for (char *next = at; (next = strstr(next + 1, "intr ")); at = next)
		;
	at += strlen("intr ");
	len = strcspn(at, ":");
	return line_replace(line, at, len, "nobody");
}

static bool damage_place(char *line)
{
	static const char *const wrong[] = { "mem:nowhere", "pci:0:99", "io:12345", "slot:3",
					     "pci:0" };
	char *at = strstr(line, "loc ");

	if (!at || (at != line && !isspace((unsigned char)at[-1])))
		return false;
	at += strlen("loc ");
	return line_replace(line, at, strcspn(at, " \t#"), wrong[damage_random(ARRAY_LEN(wrong))]);
}

static bool damage_cut(char *line)
{
	char *at = strstr(line, ",");

	if (!at || !word_is(line, strcspn(line, " "), with_number))
		return false;
	at[1] = '\0';
	return true;
}

static const struct kind {
	const char *name;
	bool (*damage)(char *line);
} kinds[] = {
	{ "misspelt word", damage_keyword },
	{ "lost argument", damage_lost_argument },
	{ "wrong number", damage_number },
	{ "stray word", damage_stray },
	{ "unknown vdev", damage_type },
	{ "wrong choice", damage_choice },
	{ "wrong substitution", damage_variable },
	{ "open quote", damage_quote },
	{ "unknown controller", damage_pic },
	{ "wrong place", damage_place },
	{ "half a pair", damage_cut },
};

static bool text_load(const char *path, struct text *t)
{
	FILE *f = fopen(path, "re");
	char line[MAX_LINE];
	bool whole = true;

	*t = (struct text){ 0 };
	if (!f)
		return false;
	while (whole && fgets(line, sizeof(line), f)) {
		size_t len = strlen(line);

		whole = t->num < MAX_LINES && strlen(line) + 1 < sizeof(line);
		if (len && line[len - 1] == '\n')
			line[--len] = '\0';
		if (whole)
			memcpy(t->lines[t->num++], line, len + 1);
	}
	fclose(f);
	return whole && t->num;
}

/* Reads it. *ret_line: of the first message that is an error; 0: there is none. */
static bool text_read(const struct text *t, unsigned *ret_line, struct strbuf *ret_said)
{
	struct conf *c = conf_new(&conf_fake_env);
	struct strbuf all = { 0 };
	const struct conf_diag **list;
	bool ok = c != NULL;

	for (unsigned i = 0; i < t->num; i++)
		strbuf_printf(&all, "%s\n", t->lines[i]);
	ok = ok && !conf_read_text(c, "damaged", strbuf_text(&all), all.len) && !conf_parse(c);
	list = ok ? calloc(c->num_diags + 1, sizeof(*list)) : NULL;
	*ret_line = 0;
	if (list) {
		conf_diags_sort(c, list);
		for (unsigned i = 0; i < c->num_diags && !*ret_line; i++)
			*ret_line = list[i]->severity == CONF_ERROR ? list[i]->pos.line : 0;
		conf_render(c, ret_said);
	}
	free(list);
	conf_free(c);
	strbuf_free(&all);
	return ok;
}

static struct text *texts;
static unsigned num_texts;

static bool texts_load(void)
{
	struct strbuf said = { 0 };
	glob_t found = { 0 };
	unsigned line;

	if (glob("*.qvmconf", 0, NULL, &found))
		return false;
	texts = calloc(found.gl_pathc, sizeof(*texts));
	for (size_t i = 0; texts && i < found.gl_pathc; i++) {
		/* One-line files say little about finding a line. */
		if (!text_load(found.gl_pathv[i], &texts[num_texts]) || texts[num_texts].num < 2)
			continue;
		strbuf_reset(&said);
		if (text_read(&texts[num_texts], &line, &said) && !line)
			num_texts++;
	}
	strbuf_free(&said);
	globfree(&found);
	return num_texts;
}

/* A line that begins inside of quotes, or whose first word is the argument of the line before, is
 * not what the kinds take it for. */
static bool line_stands_alone(const struct text *t, unsigned line)
{
	unsigned quotes = 0;
	size_t len;
	char last[MAX_LINE];

	for (unsigned i = 0; i < line; i++)
		for (const char *p = t->lines[i]; *p; p++)
			quotes += *p == '"';
	if (quotes % 2)
		return false;
	if (!line)
		return true;
	memcpy(last, t->lines[line - 1], sizeof(last));
	first_word(last, &len);
	return second_word(last, &len) || !word_is(last, strcspn(last, " \t"), with_argument);
}

/* One damaged file of this kind, or false after many tries. *ret_line counts from 1. */
static bool damage_one(const struct kind *kind, struct text *t, unsigned *ret_line)
{
	for (unsigned i = 0; i < MAX_TRIES; i++) {
		*t = texts[damage_random(num_texts)];
		unsigned line = damage_random(t->num);

		if (line_stands_alone(t, line) && kind->damage(t->lines[line])) {
			*ret_line = line + 1;
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 200, right = 0, made = 0, missed = 0;
	struct text *t = malloc(sizeof(*t));

	if (argc < 2 || chdir(argv[1]) || !t || !texts_load()) {
		fprintf(stderr, "usage: %s FOLDER [COUNT]\n", argv[0]);
		return 1;
	}
	for (unsigned n = 0; n < count; n++) {
		const struct kind *kind = &kinds[n % ARRAY_LEN(kinds)];
		struct strbuf said = { 0 };
		unsigned line, found;

		if (!damage_one(kind, t, &line) || !text_read(t, &found, &said)) {
			printf("nothing to damage: %s\n", kind->name);
			strbuf_free(&said);
			continue;
		}
		made++;
		right += found == line;
		missed += !found;
		if (found != line)
			printf("%s in line %u ('%s'), reported in line %u\n%s", kind->name, line,
			       t->lines[line - 1], found, strbuf_text(&said));
		strbuf_free(&said);
	}
	printf("%u good files, %u damaged ones: %u reported on the right line, %u taken for good\n",
	       num_texts, made, right, missed);
	free(t);
	free(texts);
	return made < count || missed || right * 100 < made * WANTED_PERCENT;
}
