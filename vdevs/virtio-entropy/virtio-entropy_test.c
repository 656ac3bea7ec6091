/* SPDX-License-Identifier: Apache-2.0 */
/* vdev virtio-entropy as a driver sees it, on the bench. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <virtio.h>
#include <qvm/x/test.h>

enum { DEV = 1, QUEUE_SIZE = 64, TIMEOUT_MS = 30000, PAGE = 4096 };

struct fixture {
	struct vdevtest *t;
	struct vdevtest_virtio *v;
};

static struct fixture start(const char *configuration)
{
	struct fixture f = { .t = vdevtest_start(configuration) };

	if (!f.t)
		fail_msg("%s", vdevtest_errors());
	f.v = vdevtest_virtio_start(f.t, DEV, UINT64_MAX, QUEUE_SIZE);
	return f;
}

static void end(struct fixture *f)
{
	vdevtest_virtio_end(f->v);
	vdevtest_end(f->t);
}

static uint32_t run(struct fixture *f, const struct vdevtest_buf *bufs, unsigned n)
{
	unsigned head = vdevtest_virtio_add(f->v, 0, bufs, n), used = ~0u;
	uint32_t len = 0;

	vdevtest_virtio_kick(f->v, 0);
	assert_true(vdevtest_virtio_used(f->v, 0, TIMEOUT_MS, &used, &len));
	assert_int_equal(used, head);
	return len;
}

static void test_identity(void **state)
{
	struct fixture f = start("ram 64m vdev virtio-entropy");

	(void)state;
	assert_int_equal(vdevtest_virtio_id(f.v), VIRTIO_ID_ENTROPY);
	assert_int_equal(vdevtest_virtio_features(f.v) & 0xffffff, 0);
	end(&f);
	f = start("ram 64m vdev virtio-entropy delayed");
	end(&f);
}

/* RNG-1, RNG-2: bytes that differ, none behind the used length. */
static void test_bytes(void **state)
{
	struct fixture f = start("ram 64m vdev virtio-entropy");
	uint64_t gpa = vdevtest_alloc(f.t, 4 * PAGE, PAGE);
	uint8_t *p = vdevtest_ram(f.t, gpa, 4 * PAGE);
	uint8_t first[64];

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		uint32_t want = round * 37 + 1;
		struct vdevtest_buf buf = { gpa, want, true };
		uint32_t len;

		memset(p, 0, 4 * PAGE);
		len = run(&f, &buf, 1);
		assert_in_range(len, 1, want);
		for (uint32_t i = len; i < 4 * PAGE; i++)
			assert_int_equal(p[i], 0);
	}
	run(&f, &(struct vdevtest_buf){ gpa, 64, true }, 1);
	memcpy(first, p, 64);
	run(&f, &(struct vdevtest_buf){ gpa, 64, true }, 1);
	assert_memory_not_equal(first, p, 64);
	end(&f);
}

/* One buffer is bounded, whatever the driver asks for; pieces are filled in order. */
static void test_large_and_cut(void **state)
{
	struct fixture f = start("ram 64m vdev virtio-entropy");
	uint64_t gpa = vdevtest_alloc(f.t, 1 << 20, PAGE);
	uint8_t *p = vdevtest_ram(f.t, gpa, 1 << 20);
	struct vdevtest_buf bufs[50];
	uint32_t len, zeroes = 0;

	(void)state;
	len = run(&f, &(struct vdevtest_buf){ gpa, 1 << 20, true }, 1);
	assert_in_range(len, 1, 1 << 16);
	for (uint32_t i = 0; i < len; i++)
		zeroes += p[i] == 0;
	assert_true(zeroes < len / 64);
	for (uint32_t i = len; i < 1 << 20; i++)
		assert_int_equal(p[i], 0);

	memset(p, 0, 1 << 20);
	for (unsigned i = 0; i < 50; i++)
		bufs[i] = (struct vdevtest_buf){ gpa + i * 16, 8, true };
	assert_int_equal(run(&f, bufs, 50), 400);
	for (unsigned i = 0; i < 50; i++) {
		static const uint8_t none[8];

		assert_memory_not_equal(p + i * 16, none, 8);
		assert_memory_equal(p + i * 16 + 8, none, 8);
	}
	end(&f);
}

/* DRV-34: readable parts are ignored and left as they are. */
static void test_wrong_direction(void **state)
{
	struct fixture f = start("ram 64m vdev virtio-entropy");
	uint64_t gpa = vdevtest_alloc(f.t, PAGE, PAGE);
	uint8_t *p = vdevtest_ram(f.t, gpa, PAGE);
	struct vdevtest_buf bufs[2] = { { gpa, 64, false }, { gpa + 64, 64, true } };
	static const uint8_t none[64];

	(void)state;
	assert_int_equal(run(&f, bufs, 1), 0);
	assert_memory_equal(p, none, 64);
	assert_int_equal(run(&f, bufs, 2), 64);
	assert_memory_equal(p, none, 64);
	assert_memory_not_equal(p + 64, none, 64);
	end(&f);
}

static void test_many_and_reset(void **state)
{
	struct fixture f = start("ram 64m vdev virtio-entropy");
	uint64_t gpa = vdevtest_alloc(f.t, 64 * 64, PAGE);

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < QUEUE_SIZE; i++)
			vdevtest_virtio_add(f.v, 0,
					    &(struct vdevtest_buf){ gpa + i * 64, 64, true }, 1);
		vdevtest_virtio_kick(f.v, 0);
		for (unsigned i = 0; round % 2 && i < QUEUE_SIZE; i++)
			assert_true(vdevtest_virtio_used(f.v, 0, TIMEOUT_MS, NULL, NULL));
		vdevtest_virtio_end(f.v);
		f.v = vdevtest_virtio_start(f.t, DEV, UINT64_MAX, QUEUE_SIZE);
	}
	assert_int_equal(run(&f, &(struct vdevtest_buf){ gpa, 64, true }, 1), 64);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),       cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_large_and_cut),  cmocka_unit_test(test_wrong_direction),
		cmocka_unit_test(test_many_and_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
