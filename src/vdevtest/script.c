/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/script.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "vdevtest/internal.h"

enum { STATUS_HANG = 124, MAX_SHOWN = 200 };

struct script {
	struct script_setup setup;
	struct qtest *q;
	struct strbuf said; /* lines since the request, for a comparison */
	bool keep;
};

/* What is being done, for the handlers of signals. */
static struct {
	const char *name;
	unsigned line, limit_s;
	uint64_t since_ms; /* of the request */
	const char *text;  /* NULL: no request */
	size_t len;
} now;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void last_words(const char *what, const char *more)
{
	char text[512];
	int n;

	if (now.text)
		n = snprintf(text, sizeof(text), "vdev-test: %s:%u: %s%s: %.*s\n", now.name,
			     now.line, what, more, (int)MIN(now.len, (size_t)MAX_SHOWN), now.text);
	else
		n = snprintf(text, sizeof(text), "vdev-test: %s%s outside of a request\n", what,
			     more);
	(void)!write(STDERR_FILENO, text, MIN((size_t)n, sizeof(text) - 1));
}

static void on_crash(const char *what)
{
	last_words(what, "");
}

/* One alarm after the other, and not one a request: that would be a system call a line. */
static void on_alarm(int number)
{
	uint64_t took_s = now.text ? (now_ms() - now.since_ms) / 1000 : 0;
	char more[32];

	(void)number;
	if (took_s < now.limit_s) {
		alarm(now.limit_s - (unsigned)took_s);
		return;
	}
	snprintf(more, sizeof(more), " within %u s", now.limit_s);
	last_words("no answer", more);
	_exit(STATUS_HANG);
}

static void say(void *ctx, const char *line, size_t len)
{
	struct script *s = ctx;

	if (s->setup.out) {
		fwrite(line, 1, len, s->setup.out);
		fputc('\n', s->setup.out);
	}
	if (s->setup.trace)
		fprintf(s->setup.trace, "< %.*s\n", (int)len, line);
	if (s->keep) {
		strbuf_add(&s->said, line, len);
		strbuf_add_char(&s->said, '\n');
	}
}

struct script *script_create(struct vdevtest *t, const struct script_setup *setup)
{
	const struct sigaction alarmed = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct script *s = calloc(1, sizeof(*s));

	if (!s)
		vdevtest_die("out of memory");
	s->setup = *setup;
	s->q = qtest_create(t, say, s);
	now.limit_s = setup->limit_s;
	sigaction(SIGALRM, &alarmed, NULL);
	alarm(now.limit_s);
	crash_watch(on_crash);
	return s;
}

void script_free(struct script *s)
{
	now.text = NULL;
	alarm(0);
	qtest_free(s->q);
	strbuf_free(&s->said);
	free(s);
}

static enum qtest_result request(struct script *s, const char *name, unsigned line,
				 const char *text, size_t len)
{
	if (s->setup.trace) {
		fprintf(s->setup.trace, "> %.*s\n", (int)len, text);
		/* What was asked for last must be there if it is the end. */
		fflush(s->setup.trace);
	}
	now.name = name;
	now.line = line;
	now.len = len;
	now.since_ms = now_ms();
	now.text = text;
	enum qtest_result result = qtest_line(s->q, text, len);

	now.text = NULL;
	if (s->setup.out)
		fflush(s->setup.out);
	return result;
}

static size_t without_newline(char *line, ssize_t len)
{
	while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	line[len] = '\0';
	return (size_t)len;
}

static const char *reply_of(struct script *s)
{
	char *end = s->said.len ? s->said.data + s->said.len - 1 : NULL;

	if (!end)
		return "";
	*end = '\0';
	const char *start = strrchr(s->said.data, '\n');

	return start ? start + 1 : s->said.data;
}

/* Of a file: not all of it was read. */
static bool read_failed(FILE *in, const char *name)
{
	if (!ferror(in))
		return false;
	fprintf(stderr, "vdev-test: %s: %s\n", name, strerror(errno));
	return true;
}

enum script_end script_run(struct script *s, FILE *in, const char *name)
{
	enum script_end end = SCRIPT_DONE;
	char *line = NULL;
	size_t room = 0, len;
	ssize_t n;

	s->keep = !s->setup.lenient;
	for (unsigned number = 1; end == SCRIPT_DONE && (n = getline(&line, &room, in)) >= 0;
	     number++) {
		len = without_newline(line, n);
		if (!s->setup.lenient &&
		    (line[strspn(line, " \t")] == '\0' || line[strspn(line, " \t")] == '#'))
			continue;
		strbuf_reset(&s->said);
		enum qtest_result result = request(s, name, number, line, len);

		if (s->setup.lenient)
			continue;
		if (result == QTEST_ERR)
			end = SCRIPT_WRONG;
		else if (result == QTEST_UNEXPECTED)
			end = SCRIPT_DIVERGED;
		if (end != SCRIPT_DONE)
			fprintf(stderr, "vdev-test: %s:%u: %s: %s\n", name, number, line,
				reply_of(s));
	}
	/* A peer may go away as it likes. */
	if (end == SCRIPT_DONE && !s->setup.lenient && read_failed(in, name))
		end = SCRIPT_WRONG;
	free(line);
	return end;
}

/* The difference of what came back, line by line; false: there is none. */
static bool compare(const char *name, unsigned first_line, const char *asked, const char *then,
		    const char *today)
{
	for (unsigned line = first_line; *then || *today; line++) {
		size_t a = strcspn(then, "\n"), b = strcspn(today, "\n");

		if (a != b || memcmp(then, today, a) != 0) {
			fprintf(stderr,
				"vdev-test: %s:%u: after '%.*s' the trace has '%.*s', this run "
				"'%.*s'\n",
				name, line, MAX_SHOWN, asked, (int)a, *then ? then : "nothing",
				(int)b, *today ? today : "nothing");
			return true;
		}
		then += a + (then[a] == '\n');
		today += b + (today[b] == '\n');
	}
	return false;
}

enum script_end script_replay(struct script *s, FILE *in, const char *name)
{
	enum script_end end = SCRIPT_DONE;
	struct strbuf asked = { 0 }, then = { 0 };
	unsigned number = 0, asked_at = 0;
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	s->keep = true;
	do {
		n = getline(&line, &room, in);
		number++;
		size_t len = n < 0 ? 0 : without_newline(line, n);

		if (n >= 0 && strncmp(line, "< ", 2) == 0) {
			strbuf_add(&then, line + 2, len - 2);
			strbuf_add_char(&then, '\n');
			continue;
		}
		/* A request, or the end: what the one before brought is complete. */
		if (asked_at) {
			strbuf_reset(&s->said);
			(void)request(s, name, asked_at, strbuf_text(&asked), asked.len);
			if (compare(name, asked_at + 1, strbuf_text(&asked), strbuf_text(&then),
				    strbuf_text(&s->said)))
				end = SCRIPT_DIVERGED;
		}
		asked_at = 0;
		strbuf_reset(&asked);
		strbuf_reset(&then);
		if (n >= 0 && strncmp(line, "> ", 2) == 0) {
			strbuf_add(&asked, line + 2, len - 2);
			asked_at = number;
		} else if (n >= 0 && len && line[0] != '#') {
			fprintf(stderr, "vdev-test: %s:%u: '%.*s' is no line of a trace\n", name,
				number, MAX_SHOWN, line);
			end = SCRIPT_WRONG;
		}
	} while (n >= 0 && end == SCRIPT_DONE);
	if (end == SCRIPT_DONE && read_failed(in, name))
		end = SCRIPT_WRONG;
	strbuf_free(&asked);
	strbuf_free(&then);
	free(line);
	return end;
}
