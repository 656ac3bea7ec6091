/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call that the disk makes to the host fails once, in each way that a host has: the guest
 * gets an error for that request or right data, and for no other request anything changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <virtio.h>
#include <qvm/x/test.h>
#include "fakering.h"

enum {
	SECTORS = 1024,
	SIZE = SECTORS * 512,
	DEV = 1,
	TIMEOUT_MS = 20000,
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_DISCARD = 11,
	T_WRITE_ZEROES = 13,
	S_OK = 0,
	S_IOERR = 1,
	UNTOUCHED = 0xee,
	NEVER = -1,
};

/* What the guest does, in three batches; requests of one batch are under way at the same time and
 * concern different sectors. */
static const struct step {
	unsigned batch, type, sector, num, pieces;
} steps[] = {
	{ 0, T_OUT, 0, 8, 1 },
	{ 0, T_OUT, 8, 1, 3 },
	{ 0, T_OUT, 100, 64, 2 },
	{ 0, T_IN, 300, 16, 1 },
	{ 0, T_WRITE_ZEROES, 400, 40, 0 },
	{ 1, T_FLUSH, 0, 0, 0 },
	{ 1, T_IN, 0, 9, 4 },
	{ 1, T_IN, 100, 64, 1 },
	{ 1, T_OUT, 500, 5, 1 },
	{ 1, T_DISCARD, 700, 20, 0 },
	{ 2, T_IN, 400, 40, 2 },
	{ 2, T_IN, 500, 5, 1 },
	{ 2, T_WRITE_ZEROES, 0, 3, 0 },
	{ 2, T_FLUSH, 0, 0, 0 },
};
enum { NUM_STEPS = sizeof(steps) / sizeof(steps[0]), BATCHES = 3 };

/* What becomes of the one call. */
enum { FAIL_ERRNO, FAIL_SHORT, FAIL_NOTHING };

struct fixture {
	char path[64];
	int fd;
	struct vdevtest *t;
	struct vdevtest_virtio *v;
	uint64_t memory;     /* of step i: 64 KiB at memory + i * 64 KiB */
	uint8_t disk[SIZE];  /* as it should be */
	uint8_t maybe[SIZE]; /* or as it could be as well */
	uint8_t round;
	int target, how, err; /* of this round */
	unsigned failed_op;   /* opcode of the call that failed */
};

static int do_call(void *opaque, unsigned n, const struct io_uring_sqe *sqe)
{
	struct fixture *f = opaque;
	size_t len = fakering_length(sqe);

	if ((int)n != f->target)
		return fakering_really(sqe);
	f->failed_op = sqe->opcode;
	if (f->how == FAIL_SHORT && len)
		return fakering_part(sqe, len > 700 ? 700 : len - 1);
	if (f->how == FAIL_NOTHING && len)
		return 0;
	if (f->how == FAIL_ERRNO)
		return -f->err;
	return fakering_really(sqe);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char text[160];

	assert_non_null(f);
	strcpy(f->path, "/tmp/hostcalls-test-XXXXXX");
	f->fd = mkstemp(f->path);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, SIZE), 0);
	f->target = NEVER;
	fakering_use(do_call, f);
	snprintf(text, sizeof(text), "ram 8m vdev virtio-blk hostdev %s", f->path);
	f->t = vdevtest_start(text);
	if (!f->t)
		fail_msg("%s", vdevtest_errors());
	f->memory = vdevtest_alloc(f->t, NUM_STEPS << 16, 4096);
	f->v = vdevtest_virtio_start(f->t, DEV, UINT64_MAX, 256);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vdevtest_virtio_end(f->v);
	vdevtest_end(f->t);
	close(f->fd);
	unlink(f->path);
	free(f);
	return 0;
}

/* Header at 0, status at 32, data from 64 on. */
static uint8_t *memory(struct fixture *f, unsigned step, unsigned offset)
{
	return vdevtest_ram(f->t, f->memory + (step << 16) + offset, 1);
}

static void add_step(struct fixture *f, unsigned i)
{
	const struct step *s = &steps[i];
	uint64_t base = f->memory + (i << 16);
	struct vdevtest_buf bufs[8] = { { base, 16, false } };
	uint32_t len = s->num * 512, range[4] = { s->sector, 0, s->num, 0 };
	uint64_t sector = s->type <= T_OUT ? s->sector : 0;
	unsigned n = 1;

	memcpy(memory(f, i, 0), &(uint32_t[]){ s->type, 0 }, 8);
	memcpy(memory(f, i, 8), &sector, 8);
	*memory(f, i, 32) = UNTOUCHED;
	if (s->type == T_OUT)
		for (unsigned k = 0; k < len; k++)
			*memory(f, i, 64 + k) = (uint8_t)(f->round * 31 + i * 7 + k / 512 + 1);
	else
		memset(memory(f, i, 64), UNTOUCHED, len);
	if (s->type > T_FLUSH) {
		memcpy(memory(f, i, 64), range, 16);
		bufs[n++] = (struct vdevtest_buf){ base + 64, 16, false };
	}
	for (unsigned p = 0; p < s->pieces; p++)
		bufs[n++] = (struct vdevtest_buf){ base + 64 + len / s->pieces * p,
						   p + 1 < s->pieces ? len / s->pieces
								     : len - len / s->pieces * p,
						   s->type == T_IN };
	bufs[n++] = (struct vdevtest_buf){ base + 32, 1, true };
	vdevtest_virtio_add(f->v, 0, bufs, n);
}

/* Apply a finished step to the model; what failed may have been done, in part. */
static void learn(struct fixture *f, unsigned i)
{
	const struct step *s = &steps[i];
	uint8_t status = *memory(f, i, 32);
	size_t at = s->sector * 512, len = s->num * 512;

	assert_true(status == S_OK || status == S_IOERR);
	for (size_t k = 0; k < len; k++) {
		uint8_t is = f->disk[at + k], other = f->maybe[at + k],
			now = s->type == T_OUT ? *memory(f, i, (unsigned)(64 + k)) : 0;

		if (s->type == T_IN && status == S_OK) {
			uint8_t got = *memory(f, i, (unsigned)(64 + k));

			if (got != is && got != other)
				fail_msg("call %d: step %u read 0x%02x at byte %zu, not 0x%02x",
					 f->target, i, got, at + k, is);
		} else if (s->type == T_OUT || s->type == T_WRITE_ZEROES) {
			f->maybe[at + k] = status == S_OK ? now : is;
			f->disk[at + k] = now;
		}
	}
	if (s->type == T_DISCARD)
		assert_int_equal(pread(f->fd, f->disk + at, len, (off_t)at), (ssize_t)len);
	if (s->type == T_DISCARD)
		memcpy(f->maybe + at, f->disk + at, len);
}

/* One round of all steps. Returns the number of requests that failed. */
static unsigned run_round(struct fixture *f)
{
	unsigned errors = 0;

	f->round++;
	fakering_use(do_call, f);
	for (unsigned batch = 0; batch < BATCHES; batch++) {
		unsigned n = 0;

		for (unsigned i = 0; i < NUM_STEPS; i++) {
			if (steps[i].batch == batch)
				add_step(f, i);
			n += steps[i].batch == batch;
		}
		vdevtest_virtio_kick(f->v, 0);
		for (; n; n--)
			assert_true(vdevtest_virtio_used(f->v, 0, TIMEOUT_MS, NULL, NULL));
		for (unsigned i = 0; i < NUM_STEPS; i++) {
			if (steps[i].batch != batch)
				continue;
			errors += *memory(f, i, 32) == S_IOERR;
			learn(f, i);
		}
	}
	assert_false(vdevtest_virtio_status(f->v) & VIRTIO_STATUS_NEEDS_RESET);
	return errors;
}

static void check_disk(struct fixture *f)
{
	static uint8_t now[SIZE];

	assert_int_equal(pread(f->fd, now, SIZE, 0), SIZE);
	for (size_t k = 0; k < SIZE; k++) {
		if (now[k] != f->disk[k] && now[k] != f->maybe[k])
			fail_msg("call %d: byte %zu is 0x%02x, not 0x%02x", f->target, k, now[k],
				 f->disk[k]);
	}
	/* What it turned out to be counts from now on. */
	memcpy(f->disk, now, SIZE);
	memcpy(f->maybe, now, SIZE);
}

/* Does this call's failure cost the guest its request? */
static bool costs_request(const struct fixture *f)
{
	bool fallocate = f->failed_op == IORING_OP_FALLOCATE;
	bool transfer = f->failed_op != IORING_OP_FSYNC && !fallocate;

	if (f->how == FAIL_SHORT)
		return false;
	if (f->how == FAIL_NOTHING)
		return transfer;
	if (f->err == EINTR || f->err == EAGAIN)
		return false;
	return !(fallocate && (f->err == EOPNOTSUPP || f->err == EINVAL));
}

static void test_every_call_fails_once(void **state)
{
	static const int errnos[] = { EIO, ENOSPC, EINVAL, EOPNOTSUPP, EINTR, EAGAIN, ENOMEM };
	enum { NUM_ERRNOS = sizeof(errnos) / sizeof(errnos[0]) };
	struct fixture *f = *state;
	unsigned calls, rounds = 0, costs = 0;

	assert_int_equal(run_round(f), 0);
	check_disk(f);
	calls = fakering_count();
	assert_true(calls >= NUM_STEPS);
	for (unsigned kind = 0; kind < NUM_ERRNOS + 2; kind++) {
		f->how = kind < NUM_ERRNOS    ? FAIL_ERRNO
			 : kind == NUM_ERRNOS ? FAIL_SHORT
					      : FAIL_NOTHING;
		f->err = kind < NUM_ERRNOS ? errnos[kind] : 0;
		/* The last ones: every call of a round in which one more was needed */
		for (f->target = 0; f->target < (int)calls + 2; f->target++, rounds++) {
			unsigned errors;
			bool happened;

			f->failed_op = IORING_OP_LAST;
			errors = run_round(f);
			happened = f->failed_op != IORING_OP_LAST;
			if (errors != (happened && costs_request(f)))
				fail_msg("call %d, errno %d, way %d: %u requests failed", f->target,
					 f->err, f->how, errors);
			costs += errors;
			check_disk(f);
		}
	}
	print_message("# %u calls, %u rounds, %u errors told to the guest\n", calls, rounds, costs);
	assert_true(costs > 3 * calls);
}

/* From some call on everything fails, and then the host recovers. */
static int fail_from(void *opaque, unsigned n, const struct io_uring_sqe *sqe)
{
	struct fixture *f = opaque;

	return (int)n >= f->target ? -f->err : fakering_really(sqe);
}

static void test_all_calls_fail_from_one_on(void **state)
{
	struct fixture *f = *state;
	unsigned calls;

	assert_int_equal(run_round(f), 0);
	calls = fakering_count();
	for (unsigned i = 0; i < calls; i++) {
		f->target = (int)i;
		f->err = i % 2 ? EIO : ENOSPC;
		f->round++;
		fakering_use(fail_from, f);
		for (unsigned k = 0; k < NUM_STEPS; k++) {
			if (steps[k].batch != 1)
				continue;
			add_step(f, k);
			vdevtest_virtio_kick(f->v, 0);
			assert_true(vdevtest_virtio_used(f->v, 0, TIMEOUT_MS, NULL, NULL));
			learn(f, k);
		}
		check_disk(f);
		f->target = NEVER;
		assert_int_equal(run_round(f), 0);
		check_disk(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_call_fails_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_calls_fail_from_one_on, setup, teardown),
	};

	return cmocka_run_group_tests_name("virtio-blk host calls", tests, NULL, NULL);
}
