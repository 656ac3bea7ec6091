/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs every pair NAME.qvmconf, NAME.expected of a folder as one test each, in TAP. Expected is
 * what the user would read (messages), then, if there was no error, the configuration as it was
 * understood. A file NAME.words gives the words of the command line, one a line, instead of
 * `@NAME.qvmconf`. With a second argument --update the expectations are written anew: read them
 * before they are kept.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf_fake.h"

#define MAX_WORDS 64

static int golden_read(const char *path, struct strbuf *out)
{
	FILE *f = fopen(path, "re");
	char chunk[4096];
	size_t n;

	if (!f)
		return -errno;
	while ((n = fread(chunk, 1, sizeof(chunk), f)))
		strbuf_add(out, chunk, n);
	fclose(f);
	return out->failed ? -ENOMEM : 0;
}

static int golden_write(const char *path, const struct strbuf *text)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return -errno;
	fwrite(strbuf_text(text), 1, text->len, f);
	return fclose(f) ? -errno : 0;
}

/* What was understood must be understood the same again. */
static int golden_again(const struct strbuf *dump)
{
	struct conf *c = conf_new(&conf_fake_env);
	struct strbuf again = { 0 };
	int r = -ENOMEM;

	if (c && !conf_read_text(c, "dump", strbuf_text(dump), dump->len) && !conf_parse(c)) {
		conf_dump(c, &again);
		r = c->num_errors || strcmp(strbuf_text(&again), strbuf_text(dump)) ? -EINVAL : 0;
		if (r)
			conf_render(c, &again);
	}
	if (r)
		printf("# the dump does not read back the same:\n%s", strbuf_text(&again));
	strbuf_free(&again);
	conf_free(c);
	return r;
}

static int golden_run(char *const *words, unsigned count, struct strbuf *out)
{
	struct conf *c = conf_new(&conf_fake_env);
	struct strbuf dump = { 0 };
	int r = -ENOMEM;

	if (c)
		r = conf_read_words(c, 1, words, count);
	if (!r)
		r = conf_parse(c);
	if (!r) {
		conf_render(c, out);
		if (!c->num_errors) {
			conf_dump(c, &dump);
			strbuf_add(out, strbuf_text(&dump), dump.len);
			r = golden_again(&dump);
		}
	}
	strbuf_free(&dump);
	conf_free(c);
	return r;
}

static int golden_pair(const char *input, bool update)
{
	struct strbuf got = { 0 }, expected = { 0 }, list = { 0 };
	char stem[256], path[300], first[300];
	char *words[MAX_WORDS] = { first };
	unsigned count = 1;
	int r;

	snprintf(stem, sizeof(stem), "%.*s", (int)(strlen(input) - strlen(".qvmconf")), input);
	snprintf(first, sizeof(first), "@%s", input);
	snprintf(path, sizeof(path), "%s.words", stem);
	if (!golden_read(path, &list)) {
		count = 0;
		for (char *word = strtok(list.data, "\n"); word && count < MAX_WORDS;
		     word = strtok(NULL, "\n"))
			words[count++] = word;
	}
	r = golden_run(words, count, &got);
	snprintf(path, sizeof(path), "%s.expected", stem);
	if (!r && update)
		r = golden_write(path, &got);
	if (!r)
		r = golden_read(path, &expected);
	if (!r && (got.len != expected.len ||
		   memcmp(strbuf_text(&got), strbuf_text(&expected), got.len))) {
		printf("# expected:\n%s# got:\n%s", strbuf_text(&expected), strbuf_text(&got));
		r = -EINVAL;
	}
	strbuf_free(&got);
	strbuf_free(&expected);
	strbuf_free(&list);
	return r;
}

int main(int argc, char **argv)
{
	glob_t found = { 0 };
	int failed = 0;

	if (argc < 2 || chdir(argv[1]) || glob("*.qvmconf", 0, NULL, &found)) {
		printf("Bail out! usage: %s FOLDER [--update]\n", argv[0]);
		return 1;
	}
	printf("1..%zu\n", found.gl_pathc);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		int r = golden_pair(found.gl_pathv[i], argc > 2 && !strcmp(argv[2], "--update"));

		printf("%s %zu - %s\n", r ? "not ok" : "ok", i + 1, found.gl_pathv[i]);
		failed += r != 0;
	}
	globfree(&found);
	return failed ? 1 : 0;
}
