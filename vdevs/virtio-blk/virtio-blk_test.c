/* SPDX-License-Identifier: Apache-2.0 */
/* vdev virtio-blk as a driver sees it, on the bench. Clause numbers are those of the VirtIO text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <virtio.h>
#include <qvm/x/test.h>
#include "../common/test_config.h"

enum {
	DISK_SECTORS = 4096,
	DISK_SIZE = DISK_SECTORS * 512,
	DEV = 1,
	QUEUE_SIZE = 256,
	TIMEOUT_MS = 20000,

	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_GET_ID = 8,
	T_DISCARD = 11,
	T_WRITE_ZEROES = 13,
	S_OK = 0,
	S_IOERR = 1,
	S_UNSUPP = 2,
	S_UNTOUCHED = 0xee,

	F_RO = 5,
	F_FLUSH = 9,
	F_MQ = 12,
	F_DISCARD = 13,
	F_WRITE_ZEROES = 14,
	UNMAP = 1,
	MAX_RANGE = (256 << 20) / 512,

	CFG_CAPACITY = 0,
	CFG_SEG_MAX = 12,
	CFG_BLK_SIZE = 20,
	CFG_NUM_QUEUES = 34,
	CFG_DISCARD = 36,
	CFG_WRITE_ZEROES = 48,
	CFG_MAY_UNMAP = 56,
	CFG_SIZE = 60,
};

#define ALL_FEATURES UINT64_MAX
#define BIT(n)	     (UINT64_C(1) << (n))

struct fixture {
	char path[64];
	int fd;
	uint8_t *image; /* what the disk should hold */
	struct vdevtest *t;
	struct vdevtest_virtio *v;
	uint64_t header, status, data; /* guest memory; data: 1 MiB */
	uint32_t used_len;
};

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

/* The disk image and the bench */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->path, "/tmp/virtio-blk-test-XXXXXX");
	f->fd = mkstemp(f->path);
	assert_true(f->fd >= 0);
	f->image = malloc(DISK_SIZE);
	assert_non_null(f->image);
	for (size_t i = 0; i < DISK_SIZE; i++)
		f->image[i] = (uint8_t)((i >> 9) * 31 + i);
	assert_int_equal(pwrite(f->fd, f->image, DISK_SIZE, 0), DISK_SIZE);
	*state = f;
	return 0;
}

static void stop(struct fixture *f)
{
	if (f->v)
		vdevtest_virtio_end(f->v);
	if (f->t)
		vdevtest_end(f->t);
	f->v = NULL;
	f->t = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	stop(f);
	close(f->fd);
	unlink(f->path);
	free(f->image);
	free(f);
	return 0;
}

/* format: with one %s for the path of the image */
static const char *configuration(const struct fixture *f, const char *format)
{
	static char text[256];
	const char *at = strstr(format, "%s");

	assert_non_null(at);
	snprintf(text, sizeof(text), "ram 64m vdev virtio-blk %.*s%s%s", (int)(at - format), format,
		 f->path, at + 2);
	return text;
}

static void start_bench(struct fixture *f, const char *format)
{
	f->t = vdevtest_start(configuration(f, format));
	if (!f->t)
		fail_msg("%s", vdevtest_errors());
	f->header = vdevtest_alloc(f->t, sizeof(struct header), 16);
	f->status = vdevtest_alloc(f->t, 1, 1);
	f->data = vdevtest_alloc(f->t, 1 << 20, 4096);
}

static void start(struct fixture *f, const char *format, uint64_t features)
{
	start_bench(f, format);
	f->v = vdevtest_virtio_start(f->t, DEV, features, QUEUE_SIZE);
}

/* In virtual time: a disk in use is waited for. */
static void start_refused(struct fixture *f, const char *format, const char *word)
{
	struct vdevtest *t = vdevtest_start_stepped(configuration(f, format), 1);

	if (t) {
		vdevtest_end(t);
		fail_msg("'%s' was not refused", format);
	}
	if (!strstr(vdevtest_errors(), word))
		fail_msg("'%s' is not in: %s", word, vdevtest_errors());
}

static uint8_t *ram(struct fixture *f, uint64_t gpa, size_t len)
{
	return vdevtest_ram(f->t, gpa, len);
}

/* Requests */

static void set_header(struct fixture *f, uint32_t type, uint64_t sector)
{
	struct header header = { .type = type, .sector = sector };

	memcpy(ram(f, f->header, sizeof(header)), &header, sizeof(header));
	*ram(f, f->status, 1) = S_UNTOUCHED;
}

/* Add, kick, wait. Returns the status byte. */
static uint8_t run_chain(struct fixture *f, const struct vdevtest_buf *bufs, unsigned n)
{
	unsigned head = vdevtest_virtio_add(f->v, 0, bufs, n), used = ~0u;

	vdevtest_virtio_kick(f->v, 0);
	assert_true(vdevtest_virtio_used(f->v, 0, TIMEOUT_MS, &used, &f->used_len));
	assert_int_equal(used, head);
	return *ram(f, f->status, 1);
}

/* A request as Linux makes it: header, data, status. */
static uint8_t request(struct fixture *f, uint32_t type, uint64_t sector, uint64_t data,
		       uint32_t len)
{
	struct vdevtest_buf bufs[3] = {
		{ f->header, sizeof(struct header), false },
		{ data, len, type != T_OUT },
		{ f->status, 1, true },
	};

	set_header(f, type, sector);
	if (len)
		return run_chain(f, bufs, 3);
	bufs[1] = bufs[2];
	return run_chain(f, bufs, 2);
}

/* The file on the host against what the disk should hold. */
static void check_file(struct fixture *f)
{
	uint8_t *now = malloc(DISK_SIZE);

	assert_non_null(now);
	assert_int_equal(pread(f->fd, now, DISK_SIZE, 0), DISK_SIZE);
	assert_memory_equal(now, f->image, DISK_SIZE);
	free(now);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Random reads and writes, cut in up to four pieces at any byte, one in eight a flush. */
static void random_io(struct fixture *f, unsigned count, unsigned misalign)
{
	uint32_t seed = 12345;

	for (unsigned n = 0; n < count; n++) {
		uint32_t sectors = 1 + next_random(&seed) % 64, len = sectors * 512;
		uint64_t sector = next_random(&seed) % (DISK_SECTORS - sectors + 1);
		uint64_t gpa = f->data + (misalign ? next_random(&seed) % misalign : 0);
		uint32_t kind = next_random(&seed) % 8, pieces = 1 + next_random(&seed) % 4;
		bool write = kind < 4;
		struct vdevtest_buf bufs[6] = { { f->header, sizeof(struct header), false } };
		unsigned num = 1;
		uint8_t *p = ram(f, gpa, len);

		if (kind == 7) {
			assert_int_equal(request(f, T_FLUSH, 0, 0, 0), S_OK);
			continue;
		}
		for (uint32_t at = 0; at < len; num++) {
			uint32_t piece =
				num == pieces ? len - at : 1 + next_random(&seed) % (len - at);

			bufs[num] = (struct vdevtest_buf){ gpa + at, piece, !write };
			at += piece;
		}
		bufs[num++] = (struct vdevtest_buf){ f->status, 1, true };
		for (uint32_t i = 0; i < len; i++)
			p[i] = write ? (uint8_t)(next_random(&seed) >> 4) : 0x55;
		set_header(f, write ? T_OUT : T_IN, sector);
		assert_int_equal(run_chain(f, bufs, num), S_OK);
		assert_int_equal(f->used_len, write ? 1 : len + 1);
		if (write)
			memcpy(f->image + sector * 512, p, len);
		else
			assert_memory_equal(p, f->image + sector * 512, len);
	}
	check_file(f);
}

/* What the device says of itself */

static void test_identity(void **state)
{
	struct fixture *f = *state;

	start(f, "hostdev %s", ALL_FEATURES);
	assert_int_equal(vdevtest_virtio_id(f->v), 2);
	if (vdevtest_virtio_on_pci(f->v))
		assert_int_equal(vdevtest_pci_read(f->t, DEV, 0x0a, 2), 0x0180);
}

/* BLK-1, 17, 22: neither more nor less is offered. */
static void test_features(void **state)
{
	struct fixture *f = *state;

	start(f, "hostdev %s", ALL_FEATURES);
	/* SEG_MAX, BLK_SIZE, FLUSH (BLK-1), TOPOLOGY, DISCARD, WRITE_ZEROES; nothing that is not
	 * kept (GEN-8). */
	assert_int_equal(vdevtest_virtio_features(f->v) & 0xffffff,
			 BIT(2) | BIT(6) | BIT(9) | BIT(10) | BIT(F_DISCARD) | BIT(F_WRITE_ZEROES));
	assert_true(vdevtest_virtio_features(f->v) & BIT(VIRTIO_F_VERSION_1));
	stop(f);
	start(f, "hostdev <%s", ALL_FEATURES);
	assert_int_equal(vdevtest_virtio_features(f->v) & 0xffffff,
			 BIT(2) | BIT(F_RO) | BIT(6) | BIT(9) | BIT(10));
}

/* BLK-4, 11, 21, DRV-6 */
static void test_config(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[CFG_SIZE];

	start(f, "hostdev %s", ALL_FEATURES);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_CAPACITY, 4), DISK_SECTORS);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_CAPACITY + 4, 4), 0);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_BLK_SIZE, 4), 512);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_SEG_MAX, 4), QUEUE_SIZE - 2);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_NUM_QUEUES, 2), 1);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_DISCARD, 4), MAX_RANGE);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_DISCARD + 4, 4), 1);
	assert_true(vdevtest_virtio_config(f->v, CFG_DISCARD + 8, 4) >= 1);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_WRITE_ZEROES, 4), MAX_RANGE);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_WRITE_ZEROES + 4, 4), 1);
	/* BLK-11, and padding that is 0 */
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_MAY_UNMAP, 4), 1);
	assert_int_equal(vdevtest_virtio_config(f->v, 32, 2), 0);
	/* Any width gives the same bytes, and writes change nothing. */
	for (unsigned i = 0; i < CFG_SIZE; i++) {
		bytes[i] = (uint8_t)vdevtest_virtio_config(f->v, i, 1);
		vdevtest_virtio_config_write(f->v, i, 1, 0xa5);
	}
	for (unsigned i = 0; i < CFG_SIZE; i += 2)
		assert_int_equal(vdevtest_virtio_config(f->v, i, 2), bytes[i] | bytes[i + 1] << 8);
	for (unsigned i = 0; i < CFG_SIZE; i += 4)
		assert_int_equal(vdevtest_virtio_config(f->v, i, 4) & 0xffff,
				 bytes[i] | bytes[i + 1] << 8);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_SIZE, 4), 0); /* DRV-6 */
}

/* Requests that are as they should be */

static void test_random_io(void **state)
{
	struct fixture *f = *state;

	start(f, "hostdev %s", ALL_FEATURES);
	random_io(f, 1500, 0);
	stop(f);
	/* ... without event index, and without FLUSH: every write is stable before it is used. */
	start(f, "hostdev %s threads 1", 0);
	random_io(f, 100, 0);
}

/* BLK-20 */
static void test_get_id(void **state)
{
	struct fixture *f = *state;
	const char *name = strrchr(f->path, '/') + 1;
	char expected[20] = { 0 };

	memcpy(expected, name + strlen(name) - 20, 20);
	start(f, "hostdev %s", ALL_FEATURES);
	assert_int_equal(request(f, T_GET_ID, 0, f->data, 20), S_OK);
	assert_int_equal(f->used_len, 21);
	assert_memory_equal(ram(f, f->data, 20), expected, 20);
	stop(f);

	start(f, "serial 12345678901234567890 hostdev %s", ALL_FEATURES);
	assert_int_equal(request(f, T_GET_ID, 0, f->data, 20), S_OK);
	assert_memory_equal(ram(f, f->data, 20), "12345678901234567890", 20);
	stop(f);

	/* BLK-20: padded by NULs */
	start(f, "serial A1 hostdev %s", ALL_FEATURES);
	memset(ram(f, f->data, 20), 0x55, 20);
	assert_int_equal(request(f, T_GET_ID, 7, f->data, 20), S_OK);
	assert_memory_equal(ram(f, f->data, 20), "A1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	stop(f);
	start_refused(f, "hostdev %s serial 123456789012345678901", "21 characters");
}

/* SPLIT-1: a request may be cut anywhere. */
static void test_framing(void **state)
{
	struct fixture *f = *state;
	struct vdevtest_buf bufs[200];
	uint8_t *p;
	unsigned n = 0;

	start(f, "hostdev %s", ALL_FEATURES);

	/* Header and data in one piece, for a write; data and status in one, for a read */
	p = ram(f, f->data, 4096);
	memset(p, 0x77, 16 + 1024);
	memcpy(p, &(struct header){ .type = T_OUT, .sector = 3 }, 16);
	set_header(f, T_OUT, 0);
	bufs[0] = (struct vdevtest_buf){ f->data, 16 + 1024, false };
	bufs[1] = (struct vdevtest_buf){ f->status, 1, true };
	assert_int_equal(run_chain(f, bufs, 2), S_OK);
	assert_int_equal(f->used_len, 1);
	memset(f->image + 3 * 512, 0x77, 1024);
	check_file(f);

	set_header(f, T_IN, 2);
	bufs[0] = (struct vdevtest_buf){ f->header, 16, false };
	bufs[1] = (struct vdevtest_buf){ f->data, 1024 + 1, true };
	(void)run_chain(f, bufs, 2);
	assert_int_equal(f->used_len, 1025);
	assert_memory_equal(p, f->image + 2 * 512, 1024);
	assert_int_equal(p[1024], S_OK);

	/* The header byte by byte, the data in pieces of 1, 2, 3 ... bytes */
	for (unsigned i = 0; i < 16; i++)
		bufs[n++] = (struct vdevtest_buf){ f->header + i, 1, false };
	for (uint32_t at = 0, len = 1; at < 512; at += len++)
		bufs[n++] = (struct vdevtest_buf){ f->data + at, at + len > 512 ? 512 - at : len,
						   true };
	bufs[n++] = (struct vdevtest_buf){ f->status, 1, true };
	set_header(f, T_IN, 9);
	memset(p, 0x55, 512);
	assert_int_equal(run_chain(f, bufs, n), S_OK);
	assert_int_equal(f->used_len, 513);
	assert_memory_equal(p, f->image + 9 * 512, 512);

	/* 150 pieces of 512 bytes: many iovecs */
	n = 0;
	bufs[n++] = (struct vdevtest_buf){ f->header, 16, false };
	for (unsigned i = 0; i < 150; i++)
		bufs[n++] = (struct vdevtest_buf){ f->data + i * 1024, 512, true };
	bufs[n++] = (struct vdevtest_buf){ f->status, 1, true };
	set_header(f, T_IN, 100);
	assert_int_equal(run_chain(f, bufs, n), S_OK);
	for (unsigned i = 0; i < 150; i++)
		assert_memory_equal(ram(f, f->data + i * 1024, 512), f->image + (100 + i) * 512,
				    512);
}

/* 100 requests under way at once come back, each once, each with its own data. */
static void test_depth(void **state)
{
	enum { DEPTH = 80, LEN = 4096, ROUNDS = 20 };
	struct fixture *f = *state;
	uint64_t headers, statuses;
	unsigned slot_of_head[QUEUE_SIZE];
	uint32_t seed = 99;

	start(f, "hostdev %s", ALL_FEATURES);
	headers = vdevtest_alloc(f->t, DEPTH * 16, 16);
	statuses = vdevtest_alloc(f->t, DEPTH, 1);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t sectors[DEPTH];

		for (unsigned i = 0; i < DEPTH; i++) {
			struct vdevtest_buf bufs[3] = {
				{ headers + i * 16, 16, false },
				{ f->data + i * LEN, LEN, true },
				{ statuses + i, 1, true },
			};

			sectors[i] = next_random(&seed) % (DISK_SECTORS - 8);
			memcpy(ram(f, bufs[0].gpa, 16), &(struct header){ T_IN, 0, sectors[i] },
			       16);
			*ram(f, statuses + i, 1) = S_UNTOUCHED;
			slot_of_head[vdevtest_virtio_add(f->v, 0, bufs, 3)] = i;
			if (i % 7 == 0)
				vdevtest_virtio_kick(f->v, 0);
		}
		vdevtest_virtio_kick(f->v, 0);
		for (unsigned i = 0; i < DEPTH; i++) {
			unsigned head, slot;
			uint32_t len;

			assert_true(vdevtest_virtio_used(f->v, 0, TIMEOUT_MS, &head, &len));
			slot = slot_of_head[head];
			assert_true(slot < DEPTH);
			slot_of_head[head] = DEPTH; /* once */
			assert_int_equal(len, LEN + 1);
			assert_int_equal(*ram(f, statuses + slot, 1), S_OK);
			assert_memory_equal(ram(f, f->data + slot * LEN, LEN),
					    f->image + sectors[slot] * 512, LEN);
		}
		assert_false(vdevtest_virtio_used(f->v, 0, 0, NULL, NULL));
	}
}

/* Requests that are not (DRV-29, BLK-6, 7, 8, 19, 23) */

/* BLK-19, 23, DRV-29 */
static void test_edges(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		uint8_t status;
	} cases[] = {
		{ T_IN, DISK_SECTORS - 1, 512, S_OK },
		{ T_IN, DISK_SECTORS - 1, 1024, S_IOERR },
		{ T_IN, DISK_SECTORS, 512, S_IOERR },
		{ T_IN, UINT64_MAX, 512, S_IOERR },
		{ T_IN, UINT64_MAX / 512, 512, S_IOERR },
		{ T_IN, UINT64_MAX / 512 + 1, 512, S_IOERR },
		{ T_IN, UINT64_C(1) << 63, 512, S_IOERR },
		{ T_IN, 0, 511, S_IOERR },
		{ T_IN, 0, 513, S_IOERR },
		{ T_IN, 0, 1, S_IOERR },
		{ T_IN, 0, 0, S_OK },
		{ T_IN, DISK_SECTORS, 0, S_OK },
		{ T_IN, DISK_SECTORS + 1, 0, S_IOERR },
		{ T_OUT, DISK_SECTORS - 1, 1024, S_IOERR },
		{ T_OUT, DISK_SECTORS, 512, S_IOERR },
		{ T_OUT, UINT64_MAX, 512, S_IOERR },
		{ T_OUT, UINT64_MAX / 512 + 1, 512, S_IOERR },
		{ T_OUT, 0, 511, S_IOERR },
		{ T_OUT, 0, 513, S_IOERR },
		{ T_OUT, 0, 0, S_OK },
		{ T_FLUSH, 0, 0, S_OK },
		{ T_FLUSH, 1, 0, S_IOERR },
		{ T_GET_ID, 0, 20, S_OK },
		{ T_GET_ID, 0, 19, S_IOERR },
		{ T_GET_ID, 0, 21, S_IOERR },
		{ T_GET_ID, 0, 0, S_IOERR },
		{ 2, 0, 512, S_UNSUPP },
		{ T_DISCARD, 0, 16, S_IOERR }, /* what should be readable is writable */
		{ T_WRITE_ZEROES, 0, 16, S_IOERR },
		{ 14, 0, 16, S_UNSUPP }, /* secure erase */
		{ 0xff, 0, 512, S_UNSUPP },
		{ 0x80000000, 0, 512, S_UNSUPP },
		{ UINT32_MAX, UINT64_MAX, 0, S_UNSUPP },
	};
	struct fixture *f = *state;

	start(f, "hostdev %s", ALL_FEATURES);
	memset(ram(f, f->data, 4096), 0xbb, 4096);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t status = request(f, cases[i].type, cases[i].sector, f->data, cases[i].len);

		if (status != cases[i].status)
			fail_msg("case %u: status %u, not %u", i, status, cases[i].status);
		/* SPLIT-14: no more than what was written */
		if (status != S_OK && cases[i].type != T_OUT)
			assert_int_equal(f->used_len, cases[i].len ? 0 : 1);
	}
	for (uint32_t type = 15; type <= 26; type++)
		assert_int_equal(request(f, type, 0, f->data, 512), S_UNSUPP);
	check_file(f);
}

/* A discard or write zeroes as Linux makes it. */
static uint8_t range_request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t num,
			     uint32_t flags)
{
	struct {
		uint64_t sector;
		uint32_t num, flags;
	} range = { sector, num, flags };
	struct vdevtest_buf bufs[3] = {
		{ f->header, sizeof(struct header), false },
		{ f->data + 0x80000, sizeof(range), false },
		{ f->status, 1, true },
	};

	set_header(f, type, 0);
	memcpy(ram(f, f->data + 0x80000, sizeof(range)), &range, sizeof(range));
	return run_chain(f, bufs, 3);
}

/* BLK-8 to 11: ranges, flags, and what is there afterwards. */
static void test_ranges(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t num, flags;
		uint8_t zeroes, discard; /* answers */
	} cases[] = {
		{ 0, 1, 0, S_OK, S_OK },
		{ 17, 100, 0, S_OK, S_OK },
		{ 200, 1024, UNMAP, S_OK, S_UNSUPP },
		{ DISK_SECTORS - 1, 1, UNMAP, S_OK, S_UNSUPP },
		{ DISK_SECTORS - 1, 2, 0, S_IOERR, S_IOERR },
		{ DISK_SECTORS, 1, 0, S_IOERR, S_IOERR },
		{ DISK_SECTORS, 0, 0, S_OK, S_OK },
		{ DISK_SECTORS + 1, 0, 0, S_IOERR, S_IOERR },
		{ 0, DISK_SECTORS + 1, 0, S_IOERR, S_IOERR },
		{ UINT64_MAX, 1, 0, S_IOERR, S_IOERR },
		{ UINT64_MAX - 1, UINT32_MAX, 0, S_IOERR, S_IOERR },
		{ UINT64_MAX / 512 + 1, 1, 0, S_IOERR, S_IOERR },
		{ 0, MAX_RANGE + 1, 0, S_IOERR, S_IOERR },
		{ 0, 1, 2, S_UNSUPP, S_UNSUPP },
		{ 0, 1, 0x80000001, S_UNSUPP, S_UNSUPP },
	};
	struct fixture *f = *state;
	struct vdevtest_buf bufs[4];

	for (unsigned round = 0; round < 3; round++) {
		/* With FLUSH, without (what is answered is stable), with direct I/O */
		start(f, round == 2 ? "hostdev %s dio enable" : "hostdev %s",
		      round == 1 ? BIT(F_DISCARD) | BIT(F_WRITE_ZEROES) : ALL_FEATURES);
		for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			uint8_t status = range_request(f, T_WRITE_ZEROES, cases[i].sector,
						       cases[i].num, cases[i].flags);

			if (status != cases[i].zeroes)
				fail_msg("write zeroes %u: status %u", i, status);
			if (status == S_OK)
				memset(f->image + cases[i].sector * 512, 0, cases[i].num * 512);
			assert_int_equal(f->used_len, 1);
		}
		check_file(f);
		for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			uint8_t status = range_request(f, T_DISCARD, cases[i].sector, cases[i].num,
						       cases[i].flags);

			if (status != cases[i].discard)
				fail_msg("discard %u: status %u", i, status);
			/* What is there afterwards is open; beside it nothing changes. */
			if (status == S_OK && cases[i].num)
				assert_int_equal(pread(f->fd, f->image + cases[i].sector * 512,
						       cases[i].num * 512, cases[i].sector * 512),
						 cases[i].num * 512);
		}
		check_file(f);
		stop(f);
	}
	/* No range, half of one, one and a half, two (the limit is one), and a range that is
	 * writable */
	start(f, "hostdev %s", ALL_FEATURES);
	for (uint32_t len = 0; len <= 32; len += 8) {
		set_header(f, T_WRITE_ZEROES, 0);
		memset(ram(f, f->data, 64), 0, 64);
		bufs[0] = (struct vdevtest_buf){ f->header, 16, false };
		bufs[1] = (struct vdevtest_buf){ f->data, len, false };
		bufs[2] = (struct vdevtest_buf){ f->status, 1, true };
		assert_int_equal(run_chain(f, bufs, 3), len == 16 ? S_OK : S_IOERR);
	}
	set_header(f, T_DISCARD, 0);
	bufs[1] = (struct vdevtest_buf){ f->data, 16, true };
	assert_int_equal(run_chain(f, bufs, 3), S_IOERR);
	/* Cut at any byte */
	set_header(f, T_WRITE_ZEROES, 0);
	memcpy(ram(f, f->data, 16), (uint64_t[]){ 40, 3 }, 16);
	bufs[1] = (struct vdevtest_buf){ f->data, 5, false };
	bufs[2] = (struct vdevtest_buf){ f->data + 5, 11, false };
	bufs[3] = (struct vdevtest_buf){ f->status, 1, true };
	assert_int_equal(run_chain(f, bufs, 4), S_OK);
	memset(f->image + 40 * 512, 0, 3 * 512);
	check_file(f);
	stop(f);
	/* Not negotiated; read-only */
	start(f, "hostdev %s", BIT(F_FLUSH));
	assert_int_equal(range_request(f, T_WRITE_ZEROES, 0, 1, 0), S_UNSUPP);
	assert_int_equal(range_request(f, T_DISCARD, 0, 1, 0), S_UNSUPP);
	stop(f);
	start(f, "hostdev <%s", ALL_FEATURES);
	assert_int_equal(range_request(f, T_WRITE_ZEROES, 0, 1, 0), S_UNSUPP);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_DISCARD, 4), 0);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_MAY_UNMAP, 4), 0);
	check_file(f);
}

/* Several queues: each answers what came by it, and one is reset while another works. */
static void test_queues(void **state)
{
	enum { QUEUES = 4, DEPTH = 16, LEN = 4096 };
	struct fixture *f = *state;
	uint32_t seed = 3;

	start(f, "queues 4 hostdev %s", ALL_FEATURES);
	assert_true(vdevtest_virtio_features(f->v) & BIT(F_MQ));
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_NUM_QUEUES, 2), QUEUES);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < QUEUES * DEPTH; i++) {
			uint64_t header = f->data + 0x90000 + i * 16;
			struct vdevtest_buf bufs[3] = {
				{ header, 16, false },
				{ f->data + i * LEN, LEN, i % 2 },
				{ f->data + 0xa0000 + i, 1, true },
			};

			for (unsigned k = 0; k < LEN; k++)
				f->image[i * LEN + k] =
					i % 2 ? f->image[i * LEN + k] : (uint8_t)next_random(&seed);
			memcpy(ram(f, f->data + i * LEN, LEN), f->image + i * LEN, LEN);
			memcpy(ram(f, header, 16),
			       &(struct header){ i % 2 ? T_IN : T_OUT, 0, i * (LEN / 512) }, 16);
			*ram(f, f->data + 0xa0000 + i, 1) = S_UNTOUCHED;
			vdevtest_virtio_add(f->v, i / DEPTH, bufs, 3);
		}
		for (unsigned q = 0; q < QUEUES; q++)
			vdevtest_virtio_kick(f->v, q);
		for (unsigned n = 0; n < QUEUES; n++) {
			unsigned q = (n + round) % QUEUES;

			for (unsigned i = 0; i < DEPTH; i++)
				assert_true(vdevtest_virtio_used(f->v, q, TIMEOUT_MS, NULL, NULL));
			if (n || round % 5)
				continue;
			vdevtest_virtio_queue_reset(f->v, q);
			vdevtest_virtio_queue_enable(f->v, q, QUEUE_SIZE);
		}
		for (unsigned i = 0; i < QUEUES * DEPTH; i++)
			assert_int_equal(*ram(f, f->data + 0xa0000 + i, 1), S_OK);
		assert_memory_equal(ram(f, f->data, QUEUES * DEPTH * LEN), f->image,
				    QUEUES * DEPTH * LEN);
	}
	check_file(f);
}

/* What the host cannot read is told as an error: the file has become shorter than the disk. */
static void test_read_fails(void **state)
{
	struct fixture *f = *state;

	start(f, "hostdev %s", ALL_FEATURES);
	assert_int_equal(ftruncate(f->fd, 8 * 512), 0);
	assert_int_equal(request(f, T_IN, 64, f->data, 4096), S_IOERR);
	assert_int_equal(f->used_len, 0);
	assert_int_equal(request(f, T_IN, 0, f->data, 4096), S_OK);
	assert_int_equal(f->used_len, 4097);
	assert_memory_equal(ram(f, f->data, 4096), f->image, 4096);
}

/* DRV-29 */
static void test_bad_shapes(void **state)
{
	struct fixture *f = *state;
	struct vdevtest_buf bufs[4];

	start(f, "hostdev %s", ALL_FEATURES);

	/* No status byte: used, length 0, nothing done. */
	set_header(f, T_OUT, 0);
	memset(ram(f, f->data, 512), 0xcc, 512);
	bufs[0] = (struct vdevtest_buf){ f->header, 16, false };
	bufs[1] = (struct vdevtest_buf){ f->data, 512, false };
	assert_int_equal(run_chain(f, bufs, 2), S_UNTOUCHED);
	assert_int_equal(f->used_len, 0);

	/* A header that is too short, by one byte and wholly */
	bufs[0].len = 15;
	bufs[1] = (struct vdevtest_buf){ f->status, 1, true };
	assert_int_equal(run_chain(f, bufs, 2), S_IOERR);
	assert_int_equal(f->used_len, 1);
	set_header(f, T_IN, 0);
	assert_int_equal(run_chain(f, bufs + 1, 1), S_IOERR);
	assert_int_equal(f->used_len, 1);

	/* A read whose only writable byte is the status; a write with writable bytes before it */
	bufs[0].len = 16;
	set_header(f, T_IN, 0);
	assert_int_equal(run_chain(f, bufs, 2), S_OK);
	set_header(f, T_OUT, 5);
	memset(ram(f, f->data, 1024), 0x11, 1024);
	bufs[1] = (struct vdevtest_buf){ f->data, 512, false };
	bufs[2] = (struct vdevtest_buf){ f->data + 512, 512, true };
	bufs[3] = (struct vdevtest_buf){ f->status, 1, true };
	assert_int_equal(run_chain(f, bufs, 4), S_OK);
	assert_int_equal(f->used_len, 0);
	memset(f->image + 5 * 512, 0x11, 512);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(ram(f, f->data + 512, 512)[i], 0x11);
	check_file(f);
}

/* BLK-6, 7 */
static void test_read_only(void **state)
{
	struct fixture *f = *state;

	/* BLK-6, 7: whether the driver has accepted RO or not */
	for (unsigned i = 0; i < 2; i++) {
		start(f, "hostdev <%s", i ? BIT(F_RO) : 0);
		memset(ram(f, f->data, 4096), 0x99, 4096);
		assert_int_equal(request(f, T_OUT, 0, f->data, 4096), S_IOERR);
		assert_int_equal(request(f, T_IN, 8, f->data, 4096), S_OK);
		assert_memory_equal(ram(f, f->data, 4096), f->image + 8 * 512, 4096);
		assert_int_equal(request(f, T_FLUSH, 0, 0, 0), S_OK);
		stop(f);
		check_file(f);
	}
}

/* B2: a broken ring stops this device and nothing else, and a reset cures it. */
static void test_broken_ring(void **state)
{
	struct fixture *f = *state;
	struct vdevtest_buf buf = { UINT64_MAX - 100, 4096, true };

	start(f, "hostdev %s", ALL_FEATURES);
	vdevtest_virtio_add(f->v, 0, &buf, 1);
	vdevtest_virtio_kick(f->v, 0);
	assert_false(vdevtest_virtio_used(f->v, 0, 100, NULL, NULL));
	assert_true(vdevtest_virtio_status(f->v) & VIRTIO_STATUS_NEEDS_RESET);
	vdevtest_virtio_end(f->v);
	f->v = vdevtest_virtio_start(f->t, DEV, ALL_FEATURES, QUEUE_SIZE);
	assert_int_equal(request(f, T_IN, 0, f->data, 512), S_OK);
	assert_memory_equal(ram(f, f->data, 512), f->image, 512);
}

/* B10, GEN-11: after a reset the device leaves the guest's memory alone. */
static void reset_during_io(struct fixture *f, const char *format)
{
	enum { DEPTH = 60, LEN = 8192 };
	uint8_t *before = malloc(DEPTH * LEN);
	uint32_t seed = 4711;

	assert_non_null(before);
	start(f, format, ALL_FEATURES);
	for (unsigned round = 0; round < 60; round++) {
		for (unsigned i = 0; i < DEPTH; i++) {
			uint64_t header = f->data + 0x90000 + i * 16;
			bool write = next_random(&seed) % 4 == 0;
			struct vdevtest_buf bufs[3] = {
				{ header, 16, false },
				{ f->data + i * LEN, LEN, !write },
				{ f->status, 1, true },
			};

			/* What is written is what is there. */
			memcpy(ram(f, f->data + i * LEN, LEN), f->image + i * LEN, LEN);
			memcpy(ram(f, header, 16),
			       &(struct header){ write ? T_OUT : T_IN, 0, i * (LEN / 512) }, 16);
			vdevtest_virtio_add(f->v, 0, bufs, 3);
			if (next_random(&seed) % 16 == 0)
				vdevtest_virtio_kick(f->v, 0);
		}
		vdevtest_virtio_kick(f->v, 0);
		if (round % 3 == 0)
			(void)vdevtest_virtio_used(f->v, 0, TIMEOUT_MS, NULL, NULL);
		vdevtest_virtio_end(f->v);
		f->v = NULL;
		memset(ram(f, f->data, DEPTH * LEN), (int)round, DEPTH * LEN);
		memcpy(before, ram(f, f->data, DEPTH * LEN), DEPTH * LEN);
		if (round % 20 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
		assert_memory_equal(ram(f, f->data, DEPTH * LEN), before, DEPTH * LEN);
		f->v = vdevtest_virtio_start(f->t, DEV, ALL_FEATURES, QUEUE_SIZE);
	}
	assert_int_equal(request(f, T_IN, 0, f->data, 512), S_OK);
	free(before);
	check_file(f);
}

static void test_reset_during_io(void **state)
{
	reset_during_io(*state, "hostdev %s");
}

/* Direct I/O keeps reads under way for longer. */
static void test_reset_during_direct_io(void **state)
{
	reset_during_io(*state, "hostdev %s dio enable");
}

/* GEN-16 to 18: the same with a reset of the queue alone. */
static void test_queue_reset_during_io(void **state)
{
	enum { DEPTH = 60, LEN = 8192 };
	struct fixture *f = *state;
	uint32_t seed = 77;

	start(f, "hostdev %s dio enable", ALL_FEATURES);
	assert_true(vdevtest_virtio_features(f->v) & BIT(VIRTIO_F_RING_RESET));
	for (unsigned round = 0; round < 40; round++) {
		uint8_t *data = ram(f, f->data, DEPTH * LEN);

		for (unsigned i = 0; i < DEPTH; i++) {
			uint64_t header = f->data + 0x90000 + i * 16;
			struct vdevtest_buf bufs[3] = {
				{ header, 16, false },
				{ f->data + i * LEN, LEN, true },
				{ f->status, 1, true },
			};

			memcpy(ram(f, header, 16), &(struct header){ T_IN, 0, i * (LEN / 512) },
			       16);
			vdevtest_virtio_add(f->v, 0, bufs, 3);
		}
		vdevtest_virtio_kick(f->v, 0);
		for (unsigned i = next_random(&seed) % 20; i > 0; i--)
			assert_true(vdevtest_virtio_used(f->v, 0, TIMEOUT_MS, NULL, NULL));
		vdevtest_virtio_queue_reset(f->v, 0);
		(void)vdevtest_virtio_interrupts(f->v, 0);
		memset(data, (int)round, DEPTH * LEN);
		if (round % 10 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
		assert_int_equal(vdevtest_virtio_interrupts(f->v, 0), 0);
		for (unsigned i = 0; i < DEPTH * LEN; i++)
			assert_int_equal(data[i], round);
		vdevtest_virtio_queue_enable(f->v, 0, 16 << next_random(&seed) % 4);
		assert_int_equal(request(f, T_IN, 0, f->data, 512), S_OK);
		assert_memory_equal(ram(f, f->data, 512), f->image, 512);
		vdevtest_virtio_queue_reset(f->v, 0);
		vdevtest_virtio_queue_enable(f->v, 0, QUEUE_SIZE);
	}
	check_file(f);
}

/* The VM ends with requests under way. */
static void test_end_during_io(void **state)
{
	struct fixture *f = *state;

	for (unsigned round = 0; round < 10; round++) {
		start(f, "hostdev %s", ALL_FEATURES);
		memcpy(ram(f, f->data, 65536), f->image, 65536);
		set_header(f, T_OUT, 0);
		for (unsigned i = 0; i < 60; i++) {
			struct vdevtest_buf bufs[3] = {
				{ f->header, 16, false },
				{ f->data, 65536, false },
				{ f->status, 1, true },
			};

			vdevtest_virtio_add(f->v, 0, bufs, 3);
		}
		vdevtest_virtio_kick(f->v, 0);
		vdevtest_end(f->t);
		f->t = NULL;
		vdevtest_virtio_forget(f->v); /* the driver went with its VM */
		f->v = NULL;
		check_file(f);
	}
}

/* Stable storage */

/* Is the file's first block only in the page cache? 1, 0; -1: this file system does not tell. */
static int first_block_unwritten(int fd)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent;
	} m = { .map = { .fm_length = 4096, .fm_extent_count = 1 } };

	if (ioctl(fd, FS_IOC_FIEMAP, &m.map) != 0 || m.map.fm_mapped_extents != 1)
		return -1;
	return !!(m.extent.fe_flags & FIEMAP_EXTENT_DELALLOC);
}

static void make_sparse(struct fixture *f)
{
	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(ftruncate(f->fd, DISK_SIZE), 0);
	memset(f->image, 0, DISK_SIZE);
}

/*
 * BLK-13, BLK-15. On file systems that put off allocation, a block that was written and not synced
 * is seen to be so.
 */
static void test_stable_storage(void **state)
{
	struct fixture *f = *state;

	make_sparse(f);
	start(f, "hostdev %s", BIT(F_FLUSH));
	memset(ram(f, f->data, 4096), 0x42, 4096);
	assert_int_equal(request(f, T_OUT, 0, f->data, 4096), S_OK);
	if (first_block_unwritten(f->fd) != 1)
		skip();
	assert_int_equal(request(f, T_FLUSH, 0, 0, 0), S_OK);
	assert_int_equal(first_block_unwritten(f->fd), 0);
	stop(f);

	make_sparse(f);
	start(f, "hostdev %s", 0);
	memset(ram(f, f->data, 4096), 0x42, 4096);
	assert_int_equal(request(f, T_OUT, 0, f->data, 4096), S_OK);
	assert_int_equal(first_block_unwritten(f->fd), 0);
}

/* The host's file */

static void test_size(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ftruncate(f->fd, 100000), 0);
	start_refused(f, "hostdev %s", "100000 bytes");
	start(f, "hostdev <%s", ALL_FEATURES);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_CAPACITY, 4), 100000 / 512);
	assert_int_equal(request(f, T_IN, 100000 / 512 - 1, f->data, 512), S_OK);
	assert_int_equal(request(f, T_IN, 100000 / 512, f->data, 512), S_IOERR);
	stop(f);
	assert_int_equal(ftruncate(f->fd, 0), 0);
	start_refused(f, "hostdev %s", "empty");
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;

	start_refused(f, "hostdev %s legacy", "legacy");
	start_refused(f, "hostdev %s.missing", "No such file");
	start_refused(f, "hostdev >%s", "write-only");
	start_refused(f, "hostdev %s threads 33", "32");
	start_refused(f, "hostdev %s queues 17", "16");
	start_refused(f, "hostdev %s queues 0", "16");
	start_refused(f, "hostdev %s dio perhaps", "perhaps");
	start_refused(f, "serial %s", "hostdev");
	start_refused(f, "serial x hostdev /tmp name %s",
		      "neither a regular file nor a block device");
}

static void test_lock(void **state)
{
	struct fixture *f = *state;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char twice[256];

	assert_int_equal(fcntl(f->fd, F_OFD_SETLK, &lock), 0);
	start_refused(f, "hostdev %s", "another process");
	start_refused(f, "hostdev <%s", "another process");
	lock.l_type = F_RDLCK;
	assert_int_equal(fcntl(f->fd, F_OFD_SETLK, &lock), 0);
	start_refused(f, "hostdev %s", f->path);
	start(f, "hostdev <%s", ALL_FEATURES);
	stop(f);
	lock.l_type = F_UNLCK;
	assert_int_equal(fcntl(f->fd, F_OFD_SETLK, &lock), 0);

	/* The same file twice in one VM */
	snprintf(twice, sizeof(twice), "hostdev %s vdev virtio-blk hostdev <%%s", f->path);
	start_refused(f, twice, "in use");
	snprintf(twice, sizeof(twice), "hostdev <%s vdev virtio-blk hostdev <%%s", f->path);
	start(f, twice, ALL_FEATURES);
	vdevtest_virtio_end(f->v);
	f->v = vdevtest_virtio_start(f->t, DEV + 1, ALL_FEATURES, QUEUE_SIZE);
	stop(f);

	/* A VM that has ended holds nothing. */
	start(f, "hostdev %s", ALL_FEATURES);
	stop(f);
	lock.l_type = F_WRLCK;
	assert_int_equal(fcntl(f->fd, F_OFD_SETLK, &lock), 0);
}

/* Does this process have the image open with O_DIRECT? */
static bool open_with_direct(const struct fixture *f)
{
	DIR *dir = opendir("/proc/self/fd");
	bool found = false;
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char target[128];
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (len < 0)
			continue;
		target[len] = '\0';
		if (strcmp(target, f->path) == 0 && fcntl(atoi(entry->d_name), F_GETFL) & O_DIRECT)
			found = true;
	}
	closedir(dir);
	return found;
}

static bool file_system_does_direct(const struct fixture *f)
{
	int fd = open(f->path, O_RDONLY | O_DIRECT);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void test_direct(void **state)
{
	struct fixture *f = *state;

	if (!file_system_does_direct(f))
		skip();
	start(f, "hostdev %s", ALL_FEATURES);
	assert_false(open_with_direct(f));
	stop(f);
	start(f, "hostdev %s dio enable", ALL_FEATURES);
	assert_true(open_with_direct(f));
	random_io(f, 300, 0);
	/* Buffers at any byte: what O_DIRECT does not take is copied. */
	random_io(f, 300, 4096);
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* The image goes out of the way, and comes back. */
static void hide(struct fixture *f, char away[80])
{
	snprintf(away, 80, "%s.away", f->path);
	assert_int_equal(rename(f->path, away), 0);
}

static void test_delayed_there(void **state)
{
	struct fixture *f = *state;
	char away[80];

	/* Opened when the driver asks for the capacity, so it may come after the VM's start. */
	hide(f, away);
	start_bench(f, "hostdev %s delayed 0");
	assert_int_equal(rename(away, f->path), 0);
	f->v = vdevtest_virtio_start(f->t, DEV, ALL_FEATURES, QUEUE_SIZE);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_CAPACITY, 4), DISK_SECTORS);
	random_io(f, 20, 0);
}

static void test_delayed_comes(void **state)
{
	struct fixture *f = *state;
	struct vdevtest_buf bufs[3];
	unsigned messages = 0;
	char away[80];

	hide(f, away);
	start(f, "delayed forever hostdev %s", ALL_FEATURES);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_CAPACITY, 4), 0);
	set_header(f, T_IN, 1);
	bufs[0] = (struct vdevtest_buf){ f->header, 16, false };
	bufs[1] = (struct vdevtest_buf){ f->data, 512, true };
	bufs[2] = (struct vdevtest_buf){ f->status, 1, true };
	vdevtest_virtio_add(f->v, 0, bufs, 3);
	vdevtest_virtio_kick(f->v, 0);
	assert_false(vdevtest_virtio_used(f->v, 0, 300, NULL, NULL));
	(void)vdevtest_virtio_interrupts(f->v, 0);
	assert_int_equal(rename(away, f->path), 0);
	/* The driver is told of the capacity (vector 0), and the request that waited is done. */
	assert_true(vdevtest_virtio_used(f->v, 0, TIMEOUT_MS, NULL, NULL));
	assert_int_equal(*ram(f, f->status, 1), S_OK);
	assert_memory_equal(ram(f, f->data, 512), f->image + 512, 512);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_CAPACITY, 4), DISK_SECTORS);
	while (messages < 2) {
		unsigned more = vdevtest_virtio_interrupts(f->v, TIMEOUT_MS);

		assert_true(more > 0);
		messages += more;
	}
	assert_int_equal(messages, 2);
}

static void test_delayed_missing(void **state)
{
	struct fixture *f = *state;
	char away[80];

	hide(f, away);
	start(f, "delayed 0 hostdev %s", ALL_FEATURES);
	assert_int_equal(request(f, T_IN, 0, f->data, 512), S_IOERR);
	assert_int_equal(request(f, T_FLUSH, 0, 0, 0), S_IOERR);
	assert_int_equal(request(f, T_GET_ID, 0, f->data, 20), S_OK);
	stop(f);

	start(f, "delayed 1 hostdev %s", ALL_FEATURES);
	assert_int_equal(request(f, T_IN, 0, f->data, 512), S_IOERR);
	/* Given up, but not for ever: whoever asks again later finds it. */
	assert_int_equal(rename(away, f->path), 0);
	sleep_ms(150);
	assert_int_equal(request(f, T_IN, 0, f->data, 512), S_OK);
	assert_memory_equal(ram(f, f->data, 512), f->image, 512);
}

/* PCI-14, GEN-14, MMIO-7: a disk that comes is not seen with the old generation. */
static void test_delayed_comes_whole(void **state)
{
	struct fixture *f = *state;
	uint64_t early, value;
	char away[80];

	hide(f, away);
	start(f, "delayed forever hostdev %s", ALL_FEATURES);
	assert_int_equal(vdevtest_virtio_config(f->v, CFG_CAPACITY, 4), 0);
	look_begin(f->v, CFG_CAPACITY, 4);
	assert_int_equal(rename(away, f->path), 0);
	assert_true(look_end(&early, &value));
	assert_int_not_equal(early, DISK_SECTORS);
	assert_int_equal(value, DISK_SECTORS);
}

/* A reset ends the wait for a file that does not come. */
static void test_delayed_reset(void **state)
{
	struct fixture *f = *state;
	struct vdevtest_buf buf;
	char away[80];

	hide(f, away);
	start(f, "delayed forever hostdev %s", ALL_FEATURES);
	buf = (struct vdevtest_buf){ f->status, 1, true };
	vdevtest_virtio_add(f->v, 0, &buf, 1);
	vdevtest_virtio_kick(f->v, 0);
	stop(f);
	assert_int_equal(rename(away, f->path), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_identity),
		TEST(test_features),
		TEST(test_config),
		TEST(test_random_io),
		TEST(test_get_id),
		TEST(test_framing),
		TEST(test_depth),
		TEST(test_edges),
		TEST(test_ranges),
		TEST(test_queues),
		TEST(test_read_fails),
		TEST(test_bad_shapes),
		TEST(test_read_only),
		TEST(test_broken_ring),
		TEST(test_reset_during_io),
		TEST(test_reset_during_direct_io),
		TEST(test_queue_reset_during_io),
		TEST(test_end_during_io),
		TEST(test_stable_storage),
		TEST(test_size),
		TEST(test_refusals),
		TEST(test_lock),
		TEST(test_direct),
		TEST(test_delayed_there),
		TEST(test_delayed_comes),
		TEST(test_delayed_comes_whole),
		TEST(test_delayed_missing),
		TEST(test_delayed_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
