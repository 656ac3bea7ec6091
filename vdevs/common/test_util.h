/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of serial-like and network vdevs share. <qvm/x/test.h> comes before it. */
#ifndef TEST_UTIL_H
#define TEST_UTIL_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 10000

static inline int64_t test_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Wait until the condition holds, which it must within WAIT_MS. */
#define wait_until(condition)                                                     \
	do {                                                                      \
		int64_t until_ = test_now_ms() + WAIT_MS;                         \
		bool ok_;                                                         \
		while (!(ok_ = (condition)) && test_now_ms() < until_)            \
			nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL); \
		if (!ok_)                                                         \
			fail_msg("waited in vain for: %s", #condition);           \
	} while (0)

/* A folder for one test's files, with pipes "in" and "out" in it. */
struct test_dir {
	char path[32];
	char in[64], out[64], file[64];
};

static inline void test_dir_make(struct test_dir *dir)
{
	strcpy(dir->path, "/tmp/vdev-test-XXXXXX");
	assert_non_null(mkdtemp(dir->path));
	snprintf(dir->in, sizeof(dir->in), "%s/in", dir->path);
	snprintf(dir->out, sizeof(dir->out), "%s/out", dir->path);
	snprintf(dir->file, sizeof(dir->file), "%s/file", dir->path);
	assert_int_equal(mkfifo(dir->in, 0600), 0);
	assert_int_equal(mkfifo(dir->out, 0600), 0);
}

static inline void test_dir_remove(const struct test_dir *dir)
{
	unlink(dir->in);
	unlink(dir->out);
	unlink(dir->file);
	rmdir(dir->path);
}

/* Start a bench that must start. */
static inline struct vdevtest *test_start(const char *fmt, ...)
{
	struct vdevtest *t;
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	t = vdevtest_start(text);
	if (!t)
		fail_msg("%s", vdevtest_errors());
	return t;
}

/* The same in virtual time. */
static inline struct vdevtest *test_start_stepped(const char *text)
{
	struct vdevtest *t = vdevtest_start_stepped(text, 1);

	if (!t)
		fail_msg("%s", vdevtest_errors());
	return t;
}

/* Virtual time moves on, and what vdevs watch is looked at. */
static inline void test_pass_ms(struct vdevtest *t, unsigned ms)
{
	assert_true(vdevtest_clock_set(t, vdevtest_clock(t) + ms * UINT64_C(1000000)));
	vdevtest_run(t);
}

/* A byte that comes out within WAIT_MS of virtual time. */
static inline uint8_t test_read_stepped(struct vdevtest *t, int fd)
{
	uint8_t c;

	for (unsigned ms = 0; read(fd, &c, 1) != 1; ms++) {
		assert_true(ms < WAIT_MS);
		test_pass_ms(t, 1);
	}
	return c;
}

/* Start a bench that must not start, and say `word` in the reason. */
static inline void test_refused(const char *text, const char *word)
{
	struct vdevtest *t = vdevtest_start(text);

	if (t) {
		vdevtest_end(t);
		fail_msg("'%s' was not refused", text);
	}
	if (!strstr(vdevtest_errors(), word))
		fail_msg("no '%s' in: %s", word, vdevtest_errors());
}

/* Read exactly len bytes from a non-blocking descriptor. */
static inline void test_read_all(int fd, uint8_t *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = 0;

		wait_until((n = read(fd, buf + done, len - done)) > 0);
		done += (size_t)n;
	}
}

#endif
