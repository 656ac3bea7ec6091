/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "vdevtest/hostcalls.h"
#include "vdevtest/standin.h"

static char *own(struct command *c, char *text)
{
	if (!text || c->num_owned == COMMAND_MAX_WORDS)
		vdevtest_die("the command line is too long");
	return c->owned[c->num_owned++] = text;
}

bool command_number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	uint64_t value = strtoull(text, &end, 0);

	if (*text < '0' || *text > '9' || *end || errno || value > max)
		return false;
	*ret = value;
	return true;
}

int command_fail(struct command *c, char *text)
{
	char *copy = own(c, strdup(text)), *rest = copy;
	const char *call = strsep(&rest, ":"), *nth = strsep(&rest, ":"), *err = strsep(&rest, ":");
	struct vdevtest_fail f = { .call = call, .times = 1 };
	uint64_t count;

	if (!err || c->num_fails == COMMAND_MAX_FAILS || hostcalls_count(call, &count) ||
	    !command_number(nth, UINT64_MAX, &f.nth) || !(f.err = hostcalls_errno(err)) ||
	    (rest && !command_number(rest, UINT64_MAX, &f.times)))
		return -1;
	c->fails[c->num_fails++] = f;
	return 0;
}

int command_standin(struct command *c, const char *text)
{
	if (c->num_standins == COMMAND_MAX_STANDINS || !standin_is_proper(text))
		return -1;
	c->standins[c->num_standins++] = text;
	return 0;
}

int command_dir(struct command *c, const char *dir)
{
	if (c->num_dirs == COMMAND_MAX_DIRS - 1)
		return -1;
	c->dirs[c->num_dirs++] = dir;
	return 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && strcmp(text + a - b, end) == 0;
}

static bool has_word(char **words, unsigned num, const char *word)
{
	for (unsigned i = 0; i < num; i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

/* DIR/vdev-NAME.so becomes `vdev NAME` and a folder to look in first. */
static const char *split_path(struct command *c, const char *path, char **ret_name)
{
	char *copy = own(c, strdup(path)), *file = strrchr(copy, '/');

	if (file)
		*file++ = '\0';
	else
		file = copy;
	if (strncmp(file, "vdev-", 5) != 0)
		return "a vdev's shared object is called vdev-NAME.so";
	memmove(&c->dirs[1], &c->dirs[0], c->num_dirs * sizeof(c->dirs[0]));
	c->dirs[0] = file == copy ? "." : *copy ? copy : "/";
	c->num_dirs++;
	*ret_name = own(c, strndup(file + 5, strlen(file) - 5 - strlen(".so")));
	return NULL;
}

const char *command_words(struct command *c, char **words, unsigned num)
{
	static char ram[] = "ram", size[] = "16m", vdev[] = "vdev";
	unsigned n = 0, at = 0;

	if (c->words && !num)
		return NULL; /* those of the trace */
	if (!num)
		return "no vdev: name its shared object, or a configuration as @FILE";
	while (at < num && (words[at][0] == '@' || !ends_with(words[at], ".so")))
		at++;
	free(c->words);
	c->words = calloc(num + 4, sizeof(*c->words));
	if (!c->words)
		return "out of memory";
	c->num_implied = at < num && !has_word(words, num, ram) ? 2 : 0;
	/* Before what they may be needed for; a VM's name stands first. */
	c->implied_at = c->num_implied && at > 1 && strcmp(words[0], "system") == 0 ? 2 : 0;
	for (unsigned i = 0; i < num; i++) {
		char *name;

		if (c->num_implied && i == c->implied_at) {
			c->words[n++] = ram;
			c->words[n++] = size;
		}
		const char *why = i == at ? split_path(c, words[i], &name) : NULL;

		if (why)
			return why;
		if (i == at)
			c->words[n++] = vdev;
		c->words[n++] = i == at ? name : words[i];
	}
	c->num_words = n;
	return NULL;
}

/* A word is one line. */
static void escape(FILE *trace, const char *word)
{
	for (; *word; word++) {
		if (*word == '\n')
			fputs("\\n", trace);
		else if (*word == '\\')
			fputs("\\\\", trace);
		else
			fputc(*word, trace);
	}
}

static void unescape(char *word)
{
	char *to = word;

	for (; *word; word++) {
		bool escaped = word[0] == '\\' && (word[1] == 'n' || word[1] == '\\');

		word += escaped;
		*to++ = escaped && *word == 'n' ? '\n' : *word;
	}
	*to = '\0';
}

void command_to_trace(const struct command *c, FILE *trace)
{
	fprintf(trace, "# vdev-test trace\n# seed %llu\n", (unsigned long long)c->seed);
	for (unsigned i = 0; i < c->num_dirs; i++)
		fprintf(trace, "# vdev-dir %s\n", c->dirs[i]);
	for (unsigned i = 0; i < c->num_fails; i++)
		fprintf(trace, "# fail %s:%llu:%d:%llu\n", c->fails[i].call,
			(unsigned long long)c->fails[i].nth, c->fails[i].err,
			(unsigned long long)c->fails[i].times);
	for (unsigned i = 0; i < c->num_standins; i++)
		fprintf(trace, "# stand-in %s\n", c->standins[i]);
	for (unsigned i = 0; i < c->num_words; i++) {
		fputs("# word ", trace);
		escape(trace, c->words[i]);
		fputc('\n', trace);
	}
}

const char *command_from_trace(struct command *c, const char *path, bool words)
{
	FILE *in = fopen(path, "re");
	const char *why = NULL;
	bool fails = !c->num_fails, standins = !c->num_standins;
	char *line = NULL;
	size_t room = 0;

	if (!in)
		return "the trace cannot be opened";
	if (words)
		c->words = calloc(COMMAND_MAX_WORDS, sizeof(*c->words));
	while (!why && getline(&line, &room, in) >= 0 && line[0] == '#') {
		char *value = own(c, strdup(line));

		value[strcspn(value, "\n")] = '\0';
		if (strncmp(value, "# seed ", 7) == 0 && !c->has_seed) {
			if (!command_number(value + 7, UINT64_MAX, &c->seed))
				why = "the trace has no proper seed";
		} else if (strncmp(value, "# fail ", 7) == 0 && fails) {
			if (command_fail(c, value + 7))
				why = "the trace has a wrong failure of a call";
		} else if (strncmp(value, "# stand-in ", 11) == 0 && standins) {
			if (command_standin(c, value + 11))
				why = "the trace has a wrong stand-in";
		} else if (words && strncmp(value, "# vdev-dir ", 11) == 0) {
			if (command_dir(c, value + 11))
				why = "the trace has too many folders";
		} else if (words && strncmp(value, "# word ", 7) == 0 &&
			   c->num_words < COMMAND_MAX_WORDS) {
			unescape(value + 7);
			c->words[c->num_words++] = value + 7;
		}
	}
	if (ferror(in))
		why = "the trace cannot be read";
	if (words && !c->num_words && !why)
		why = "the trace does not say which vdev: name it";
	free(line);
	fclose(in);
	return why;
}

struct vdevtest *command_start(const struct command *c)
{
	/* In qvm no vdev ends by writing to what nobody reads. */
	(void)signal(SIGPIPE, SIG_IGN);

	const struct vdevtest_setup setup = {
		.words = c->words,
		.num_words = c->num_words,
		.implied_at = c->implied_at,
		.num_implied = c->num_implied,
		.dirs = c->dirs,
		.num_dirs = c->num_dirs,
		.stepped = true,
		.seed = c->seed,
		.fails = c->fails,
		.num_fails = c->num_fails,
		.standins = c->standins,
		.num_standins = c->num_standins,
	};

	return vdevtest_start_with(&setup);
}

void command_free(struct command *c)
{
	for (unsigned i = 0; i < c->num_owned; i++)
		free(c->owned[i]);
	free(c->words);
}
