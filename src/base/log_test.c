/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define THREADS 4
#define LINES	500

/* stdout and stderr of the process go into files while a test runs. */
struct capture {
	int file[2], saved[2];
	char *text[2];
};

static void capture_start(struct capture *cap)
{
	for (int i = 0; i < 2; i++) {
		char name[] = "/tmp/log_test.XXXXXX";

		cap->file[i] = mkstemp(name);
		assert_true(cap->file[i] >= 0);
		unlink(name);
		/* Writers of several threads append, as to a terminal. */
		assert_int_equal(fcntl(cap->file[i], F_SETFL, O_APPEND), 0);
		fflush(i ? stderr : stdout);
		cap->saved[i] = dup(i + 1);
		dup2(cap->file[i], i + 1);
	}
}

static void capture_end(struct capture *cap)
{
	for (int i = 0; i < 2; i++) {
		off_t size = lseek(cap->file[i], 0, SEEK_END);

		dup2(cap->saved[i], i + 1);
		close(cap->saved[i]);
		cap->text[i] = calloc(1, (size_t)size + 1);
		assert_non_null(cap->text[i]);
		assert_true(pread(cap->file[i], cap->text[i], (size_t)size, 0) == size);
		close(cap->file[i]);
	}
}

static void capture_free(struct capture *cap)
{
	free(cap->text[0]);
	free(cap->text[1]);
}

static int teardown(void **state)
{
	(void)state;
	log_set_name("qvm");
	return log_set_sinks(NULL, 0);
}

static void test_default(void **state)
{
	struct capture cap;

	(void)state;
	capture_start(&cap);
	log_write(LOG_SEV_ERROR, "broken %d", 3);
	log_write(LOG_SEV_INFO, "with newline\n");
	log_write(LOG_SEV_DEBUG, "not seen");
	log_set_name("demo");
	log_write(LOG_SEV_FATAL, "end");
	capture_end(&cap);
	assert_string_equal(cap.text[0], "");
	assert_string_equal(cap.text[1],
			    "qvm: error: broken 3\nqvm: info: with newline\ndemo: fatal: end\n");
	assert_true(log_wanted(LOG_SEV_WARN));
	assert_false(log_wanted(LOG_SEV_VERBOSE));
	capture_free(&cap);
}

static void test_sinks(void **state)
{
	static const struct log_sink sinks[] = {
		{ LOG_SEV_ERROR | LOG_SEV_DEBUG, LOG_TO_STDOUT },
		{ LOG_SEV_ERROR | LOG_SEV_WARN, LOG_TO_STDERR },
		{ LOG_SEV_WARN, LOG_TO_NONE },
	};
	struct capture cap;

	(void)state;
	assert_int_equal(log_set_sinks(sinks, 3), 0);
	capture_start(&cap);
	log_write(LOG_SEV_ERROR, "both");
	log_write(LOG_SEV_DEBUG, "out");
	log_write(LOG_SEV_WARN, "nowhere");
	log_write(LOG_SEV_INFO, "not asked for");
	capture_end(&cap);
	assert_string_equal(cap.text[0], "qvm: error: both\nqvm: debug: out\n");
	assert_string_equal(cap.text[1], "qvm: error: both\n");
	assert_int_equal(log_set_sinks(sinks, LOG_MAX_SINKS + 1), -E2BIG);
	capture_free(&cap);
}

static void write_to(const struct log_sink *sink, enum log_severity severity, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

static void write_to(const struct log_sink *sink, enum log_severity severity, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_vwrite(sink, severity, fmt, args);
	va_end(args);
}

static void test_override(void **state)
{
	static const struct log_sink sink = { LOG_SEV_VERBOSE, LOG_TO_STDOUT };
	struct capture cap;

	(void)state;
	capture_start(&cap);
	write_to(&sink, LOG_SEV_VERBOSE, "mine");
	write_to(&sink, LOG_SEV_ERROR, "switched off here");
	capture_end(&cap);
	assert_string_equal(cap.text[0], "qvm: verbose: mine\n");
	assert_string_equal(cap.text[1], "");
	capture_free(&cap);
}

static void test_harmless(void **state)
{
	static const char first[] =
		"qvm: error: a qvm: fatal: forged?[2J ?? ok: No such file or directory\n";
	struct capture cap;
	char text[2 * LOG_MAX_LINE];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	capture_start(&cap);
	errno = ENOENT;
	log_write(LOG_SEV_ERROR, "a\nqvm: fatal: forged\x1b[2J \xc2\x9b ok: %m");
	assert_int_equal(errno, ENOENT);
	log_write(LOG_SEV_ERROR, "%s", text);
	capture_end(&cap);
	assert_int_equal(strncmp(cap.text[1], first, strlen(first)), 0);
	assert_int_equal(strlen(cap.text[1]), strlen(first) + LOG_MAX_LINE);
	assert_string_equal(cap.text[1] + strlen(cap.text[1]) - 5, "x...\n");
	capture_free(&cap);
}

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_write(LOG_SEV_INFO, "thread %d writes line %d whole", *(int *)arg, i);
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	int ids[THREADS], seen = 0;
	struct capture cap;

	(void)state;
	capture_start(&cap);
	for (int i = 0; i < THREADS; i++) {
		ids[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &ids[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	capture_end(&cap);
	for (char *rest = cap.text[1], *line; (line = strsep(&rest, "\n")) && *line; seen++)
		assert_true(strstr(line, "qvm: info: thread ") == line &&
			    strstr(line, " whole") + 6 == rest - 1);
	assert_int_equal(seen, THREADS * LINES);
	capture_free(&cap);
}

static void test_limit(void **state)
{
	struct log_limit limit = { 0 };
	uint32_t suppressed = 0, passed = 0;
	struct timespec ts;

	(void)state;
	/* Begin early in a second, so that the burst stays in it. */
	do {
		clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	} while (ts.tv_nsec > 500000000);
	for (int i = 0; i < 50; i++)
		passed += log_limit_pass(&limit, &suppressed);
	assert_int_equal(passed, LOG_LIMIT_PER_SECOND);
	assert_int_equal(suppressed, 0);
	/* As if all that had been in an earlier second. */
	limit.second--;
	assert_true(log_limit_pass(&limit, &suppressed));
	assert_int_equal(suppressed, 40);
	assert_true(log_limit_pass(&limit, &suppressed));
	assert_int_equal(suppressed, 0);
}

static void test_limited_macro(void **state)
{
	struct capture cap;
	unsigned lines = 0;

	(void)state;
	capture_start(&cap);
	for (int i = 0; i < 1000; i++)
		log_limited(LOG_SEV_WARN, "guest did %d", i);
	capture_end(&cap);
	for (const char *p = cap.text[1]; (p = strchr(p, '\n')); p++)
		lines++;
	/* Two seconds at most, and a line about what was held back. */
	assert_in_range(lines, LOG_LIMIT_PER_SECOND, 2 * LOG_LIMIT_PER_SECOND + 1);
	capture_free(&cap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_default, teardown),
		cmocka_unit_test_teardown(test_sinks, teardown),
		cmocka_unit_test_teardown(test_override, teardown),
		cmocka_unit_test_teardown(test_harmless, teardown),
		cmocka_unit_test_teardown(test_threads, teardown),
		cmocka_unit_test_teardown(test_limit, teardown),
		cmocka_unit_test_teardown(test_limited_macro, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
