/* SPDX-License-Identifier: Apache-2.0 */
/* The host end of a disk alone, with its inside open: what a guest can hardly bring about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include "backend.c"

enum { DISK_SIZE = 4 << 20, MANY = 300 };

struct fixture {
	char path[64];
	int fd;
	uint8_t *image; /* what the disk should hold */
	struct backend *backend;
	struct backend_geometry geometry;
	unsigned done, failed, warnings;
	ptrdiff_t last_res;
};

static void count_done(void *owner, struct backend_io *io, ptrdiff_t res)
{
	struct fixture *f = owner;

	(void)io;
	f->done++;
	f->failed += res < 0;
	f->last_res = res;
}

static void count_warning(void *owner, const char *text)
{
	struct fixture *f = owner;

	assert_non_null(strstr(text, f->path));
	f->warnings++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->path, "/tmp/backend-test-XXXXXX");
	f->fd = mkstemp(f->path);
	assert_true(f->fd >= 0);
	f->image = malloc(DISK_SIZE);
	assert_non_null(f->image);
	for (size_t i = 0; i < DISK_SIZE; i++)
		f->image[i] = (uint8_t)(i >> 9 ^ i * 7);
	assert_int_equal(pwrite(f->fd, f->image, DISK_SIZE, 0), DISK_SIZE);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	backend_destroy(f->backend);
	close(f->fd);
	unlink(f->path);
	free(f->image);
	free(f);
	return 0;
}

static struct backend_config config_of(struct fixture *f)
{
	return (struct backend_config){
		.path = f->path, .done = count_done, .warn = count_warning, .owner = f, .threads = 2
	};
}

static void open_backend(struct fixture *f, const struct backend_config *config)
{
	char why[BACKEND_WHY_SIZE] = "";

	if (backend_create(config, &f->backend, why) != 0)
		fail_msg("%s", why);
	if (backend_open(f->backend, &f->geometry, why) != 0)
		fail_msg("%s", why);
}

/* Until `count` requests are done. */
static void finish(struct fixture *f, unsigned count)
{
	bool again = backend_run(f->backend);

	while (f->done < count) {
		struct pollfd pfd = { .fd = backend_fd(f->backend), .events = POLLIN };

		if (!again)
			assert_int_equal(poll(&pfd, 1, 20000), 1);
		again = backend_run(f->backend);
	}
	assert_int_equal(f->done, count);
}

static void test_more_requests_than_the_ring_has_places(void **state)
{
	struct fixture *f = *state;
	struct backend_config config = config_of(f);
	struct backend_io *ios = calloc(MANY, sizeof(*ios));
	struct iovec *iovs = calloc(MANY, sizeof(*iovs));
	uint8_t *buf = malloc(MANY * 512);

	assert_true(ios && iovs && buf);
	open_backend(f, &config);
	for (unsigned i = 0; i < MANY; i++) {
		iovs[i] = (struct iovec){ buf + i * 512, 512 };
		ios[i] = (struct backend_io){
			.op = BACKEND_READ, .offset = i * 1024, .iov = &iovs[i], .num_iov = 1
		};
		backend_start(f->backend, &ios[i]);
	}
	finish(f, MANY);
	assert_int_equal(f->failed, 0);
	for (unsigned i = 0; i < MANY; i++)
		assert_memory_equal(buf + i * 512, f->image + i * 1024, 512);
	free(buf);
	free(iovs);
	free(ios);
}

static void test_more_iovecs_than_one_call_takes(void **state)
{
	enum { PIECES = 2 * IOV_MAX + 5, PIECE = 16, TOTAL = PIECES * PIECE };
	struct fixture *f = *state;
	struct backend_config config = config_of(f);
	struct iovec *iovs = calloc(PIECES, sizeof(*iovs));
	uint8_t *buf = malloc(TOTAL);
	struct backend_io io = { .op = BACKEND_WRITE, .offset = 512, .num_iov = PIECES };

	assert_true(iovs && buf);
	open_backend(f, &config);
	for (unsigned i = 0; i < PIECES; i++)
		iovs[i] = (struct iovec){ buf + i * PIECE, PIECE };
	memset(buf, 0xa5, TOTAL);
	io.iov = iovs;
	backend_start(f->backend, &io);
	finish(f, 1);
	assert_int_equal(f->last_res, TOTAL);
	memset(f->image + 512, 0xa5, TOTAL);
	buf = realloc(buf, DISK_SIZE);
	assert_int_equal(pread(f->fd, buf, DISK_SIZE, 0), DISK_SIZE);
	assert_memory_equal(buf, f->image, DISK_SIZE);
	free(buf);
	free(iovs);
}

static void test_file_cut_short(void **state)
{
	struct fixture *f = *state;
	struct backend_config config = config_of(f);
	uint8_t buf[2048];
	struct iovec iov = { buf, sizeof(buf) };
	struct backend_io io = { .op = BACKEND_READ, .offset = 3584, .iov = &iov, .num_iov = 1 };

	open_backend(f, &config);
	assert_int_equal(ftruncate(f->fd, 4096), 0);
	backend_start(f->backend, &io);
	finish(f, 1);
	assert_int_equal(f->last_res, -EIO);
	assert_int_equal(io.done, 512);
	assert_memory_equal(buf, f->image + 3584, 512);
}

static bool open_direct_or_skip(struct fixture *f)
{
	struct backend_config config = config_of(f);

	config.direct = true;
	open_backend(f, &config);
	return f->backend->use_direct;
}

/* Unaligned memory: each request is in need of a copy, and there are fewer copies than requests. */
static void test_bounce(void **state)
{
	enum { COUNT = 40, LEN = 160 * 1024, ROOM = LEN + 4 };
	struct fixture *f = *state;
	struct backend_io ios[COUNT];
	struct iovec iovs[COUNT][2];
	uint8_t *buf = malloc(COUNT * ROOM);

	assert_non_null(buf);
	if (!open_direct_or_skip(f))
		skip();
	for (unsigned i = 0; i < COUNT; i++) {
		uint8_t *p = buf + i * ROOM + (i % 3 + 1);
		size_t at = (i * 8192) % (DISK_SIZE - LEN);

		iovs[i][0] = (struct iovec){ p, 1000 };
		iovs[i][1] = (struct iovec){ p + 1000, LEN - 1000 };
		ios[i] = (struct backend_io){
			.op = BACKEND_READ, .offset = at, .iov = iovs[i], .num_iov = 2
		};
		backend_start(f->backend, &ios[i]);
		assert_true(f->backend->bounces <= BOUNCE_MAX);
	}
	finish(f, COUNT);
	assert_int_equal(f->failed, 0);
	assert_int_equal(f->warnings, 0);
	assert_int_equal(f->backend->bounces, 0);
	assert_true(f->backend->use_direct);
	for (unsigned i = 0; i < COUNT; i++)
		assert_memory_equal(buf + i * ROOM + (i % 3 + 1),
				    f->image + (i * 8192) % (DISK_SIZE - LEN), LEN);
	free(buf);
}

/* A file system that says no at the first request: one warning, nothing lost, never tried again. */
static void test_direct_refused_late(void **state)
{
	enum { COUNT = 20 };
	struct fixture *f = *state;
	struct backend_io ios[COUNT];
	struct iovec iovs[COUNT];
	uint8_t *buf = aligned_alloc(4096, (COUNT + 1) * 4096);

	assert_non_null(buf);
	if (!open_direct_or_skip(f))
		skip();
	f->backend->mem_align = 1; /* so that what cannot work is not avoided */
	for (unsigned i = 0; i < COUNT; i++) {
		iovs[i] = (struct iovec){ buf + i * 4096 + 1, 4096 };
		ios[i] = (struct backend_io){
			.op = BACKEND_READ, .offset = i * 4096, .iov = &iovs[i], .num_iov = 1
		};
		backend_start(f->backend, &ios[i]);
	}
	finish(f, COUNT);
	assert_int_equal(f->failed, 0);
	assert_memory_equal(buf + 1, f->image, COUNT * 4096);
	free(buf);
	if (f->backend->use_direct)
		skip(); /* this file system takes any memory */
	assert_int_equal(f->warnings, 1);
}

static void test_lock(void **state)
{
	struct fixture *f = *state;
	struct backend_config config = config_of(f);
	struct backend_geometry geometry;
	char why[BACKEND_WHY_SIZE];
	struct backend *other;

	open_backend(f, &config);
	config.read_only = true;
	assert_int_equal(backend_create(&config, &other, why), 0);
	assert_int_equal(backend_open(other, &geometry, why), -EBUSY);
	assert_non_null(strstr(why, f->path));
	assert_non_null(strstr(why, "another process"));
	backend_destroy(f->backend);
	f->backend = NULL;
	/* The failure left nothing behind: it may be tried again. */
	assert_int_equal(backend_open(other, &geometry, why), 0);
	open_backend(f, &config); /* readers do not exclude each other */
	backend_destroy(other);
}

static void test_size(void **state)
{
	struct fixture *f = *state;
	struct backend_config config = config_of(f);
	char why[BACKEND_WHY_SIZE];

	assert_int_equal(ftruncate(f->fd, 1500), 0);
	assert_int_equal(backend_create(&config, &f->backend, why), 0);
	assert_int_equal(backend_open(f->backend, &f->geometry, why), -EINVAL);
	assert_non_null(strstr(why, "1500"));
	assert_non_null(strstr(why, "truncate -s %512"));
	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(backend_open(f->backend, &f->geometry, why), -EINVAL);
	assert_non_null(strstr(why, "empty"));
	backend_destroy(f->backend);
	f->backend = NULL;
	assert_int_equal(ftruncate(f->fd, 1500), 0);
	config.read_only = true;
	open_backend(f, &config);
	assert_int_equal(f->geometry.capacity, 1024);
	assert_int_equal(f->geometry.ignored, 476);
}

static void test_wrong_files(void **state)
{
	static const struct {
		const char *path, *word;
		int err;
	} cases[] = {
		{ "/tmp", "neither a regular file nor a block device", -EINVAL },
		{ "/dev/null", "neither a regular file nor a block device", -EINVAL },
		{ "/nonexistent/disk.img", "No such file", -ENOENT },
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct backend_config config = config_of(f);
		char why[BACKEND_WHY_SIZE] = "";

		config.path = cases[i].path;
		assert_int_equal(backend_check(&config, why), cases[i].err);
		assert_non_null(strstr(why, cases[i].word));
		assert_non_null(strstr(why, cases[i].path));
		assert_int_equal(backend_create(&config, &f->backend, why), 0);
		assert_int_equal(backend_open(f->backend, &f->geometry, why), cases[i].err);
		assert_non_null(strstr(why, cases[i].word));
		backend_destroy(f->backend);
		f->backend = NULL;
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_more_requests_than_the_ring_has_places),
		TEST(test_more_iovecs_than_one_call_takes),
		TEST(test_file_cut_short),
		TEST(test_bounce),
		TEST(test_direct_refused_late),
		TEST(test_lock),
		TEST(test_size),
		TEST(test_wrong_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
