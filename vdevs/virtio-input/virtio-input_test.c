/* SPDX-License-Identifier: Apache-2.0 */
/* vdev virtio-input with recordings, as a driver sees it, in virtual time. Nodes of the host are in
 * the system tests. */
#include <dlfcn.h>
#include <qvm/guest.h>
#include <qvm/x/queue.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

enum { DEV = 1, EVENTS = 0, STATUS = 1, MS = 1000000, EVENT = 8, MAX_BUFS = 128 };

#define TABLET                                                           \
	"# EVEMU 1.3\nN: Test Tablet\nI: 0003 1234 5678 0111\n"          \
	"P: 02 00 00 00 00 00 00 00\nB: 00 0b 00 00 00 00 00 00 00\n"    \
	"B: 01 00 00 00 00 00 00 00 00\nB: 01 00 04 00 00 00 00 00 00\n" \
	"B: 03 03 00 00 00 00 00 00 00\nB: 11 07 00 00 00 00 00 00 00\n" \
	"A: 00 0 1023 4 5 6\nA: 01 -100 100 0 0\nL: 00 0\n"
#define STROKE                                                                                \
	"E: 7.000000 0003 0000 10\t# x\nE: 7.000000 0003 0001 -20\nE: 7.000000 0000 0000 0\n" \
	"E: 7.250000 0001 004a 1\nE: 7.250000 0000 0000 0\n"

struct fixture {
	struct test_dir dir;
	struct vdevtest *t;
	struct vdevtest_virtio *v;
	uint64_t buffers;
	unsigned heads[MAX_BUFS], num;
};

static void record(struct fixture *f, const char *text)
{
	FILE *file;

	test_dir_make(&f->dir);
	file = fopen(f->dir.file, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	fclose(file);
}

static void begin(struct fixture *f, const char *text)
{
	char configuration[256];

	*f = (struct fixture){ 0 };
	record(f, text);
	snprintf(configuration, sizeof(configuration), "ram 8m vdev virtio-input hostdev %s",
		 f->dir.file);
	f->t = vdevtest_start_stepped(configuration, 1);
	if (!f->t)
		fail_msg("%s", vdevtest_errors());
	f->buffers = vdevtest_alloc(f->t, MAX_BUFS * EVENT, 64);
}

static void drive(struct fixture *f, unsigned queue_size)
{
	f->v = vdevtest_virtio_start(f->t, DEV, UINT64_MAX, queue_size);
	vdevtest_run(f->t);
	f->num = 0;
}

static void end(struct fixture *f)
{
	if (f->v)
		vdevtest_virtio_end(f->v);
	vdevtest_end(f->t);
	test_dir_remove(&f->dir);
}

static void give(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++, f->num++)
		f->heads[f->num] = vdevtest_virtio_add(
			f->v, EVENTS,
			&(struct vdevtest_buf){ f->buffers + f->num * EVENT, EVENT, true }, 1);
	vdevtest_virtio_kick(f->v, EVENTS);
	vdevtest_run(f->t);
}

/* The next buffer that came back holds this event. */
static void expect(struct fixture *f, unsigned type, unsigned code, int32_t value)
{
	unsigned head = ~0u, i = 0;
	uint32_t len = 0;

	assert_true(vdevtest_virtio_used(f->v, EVENTS, 0, &head, &len));
	assert_int_equal(len, EVENT);
	while (i < f->num && f->heads[i] != head)
		i++;
	assert_true(i < f->num);
	const uint8_t *p = vdevtest_ram(f->t, f->buffers + i * EVENT, EVENT);

	assert_int_equal(p[0] | p[1] << 8, type);
	assert_int_equal(p[2] | p[3] << 8, code);
	assert_int_equal((int32_t)(p[4] | p[5] << 8 | p[6] << 16 | (uint32_t)p[7] << 24), value);
	f->heads[i] = ~1u;
}

static bool nothing(struct fixture *f)
{
	return !vdevtest_virtio_used(f->v, EVENTS, 0, NULL, NULL);
}

static unsigned select_config(struct fixture *f, unsigned select, unsigned subsel)
{
	vdevtest_virtio_config_write(f->v, 0, 1, select);
	vdevtest_virtio_config_write(f->v, 1, 1, subsel);
	return (unsigned)vdevtest_virtio_config(f->v, 2, 1);
}

static uint32_t data(struct fixture *f, unsigned offset, unsigned len)
{
	return (uint32_t)vdevtest_virtio_config(f->v, 8 + offset, len);
}

/* INP-1, INP-4. */
static void configuration(void **state)
{
	struct fixture f;
	unsigned pairs = 0;

	(void)state;
	begin(&f, TABLET);
	drive(&f, 64);
	assert_int_equal(vdevtest_virtio_id(f.v), 18);
	if (vdevtest_virtio_on_pci(f.v))
		assert_int_equal(vdevtest_pci_read(f.t, DEV, 8, 4) >> 8, 0x098000);
	assert_int_equal(select_config(&f, 1, 0), strlen("Test Tablet"));
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(data(&f, i, 1), "Test Tablet"[i]);
	assert_int_equal(select_config(&f, 2, 0), 0);
	assert_int_equal(select_config(&f, 3, 0), 8);
	assert_int_equal(data(&f, 0, 2), 3);
	assert_int_equal(data(&f, 2, 2), 0x1234);
	assert_int_equal(data(&f, 4, 2), 0x5678);
	assert_int_equal(data(&f, 6, 2), 0x0111);
	assert_int_equal(select_config(&f, 0x10, 0), 1);
	assert_int_equal(data(&f, 0, 1), 2);
	assert_int_equal(select_config(&f, 0x11, 1), 10);
	assert_int_equal(data(&f, 9, 1), 4); /* key 0x4a */
	assert_int_equal(select_config(&f, 0x11, 3), 1);
	assert_int_equal(select_config(&f, 0x12, 0), 20);
	assert_int_equal(data(&f, 4, 4), 1023);
	assert_int_equal(data(&f, 16, 4), 6);
	assert_int_equal(select_config(&f, 0x12, 1), 20);
	assert_int_equal((int32_t)data(&f, 0, 4), -100);
	for (unsigned select = 0; select < 256; select++)
		for (unsigned subsel = 0; subsel < 256; subsel++)
			pairs += select_config(&f, select, subsel) > 0;
	assert_int_equal(pairs, 8); /* name, ids, properties, 3 types, 2 axes */
	vdevtest_virtio_config_write(f.v, 0, 2, 0x0112); /* both at once */
	assert_int_equal(vdevtest_virtio_config(f.v, 2, 1), 20);
	vdevtest_virtio_config_write(f.v, 2, 1, 99); /* not for drivers */
	assert_int_equal(vdevtest_virtio_config(f.v, 2, 1), 20);
	end(&f);
}

/* INP-5; the recording's times are guest time from the first driver on. */
static void plays(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, TABLET STROKE);
	assert_true(vdevtest_clock_set(f.t, 100 * MS)); /* nobody listens yet */
	drive(&f, 64);
	give(&f, 64);
	expect(&f, 3, 0, 10);
	expect(&f, 3, 1, -20);
	expect(&f, 0, 0, 0);
	assert_true(vdevtest_clock_set(f.t, 349 * MS));
	vdevtest_run(f.t);
	assert_true(nothing(&f));
	assert_true(vdevtest_clock_set(f.t, 350 * MS));
	vdevtest_run(f.t);
	expect(&f, 1, 0x4a, 1);
	expect(&f, 0, 0, 0);
	assert_true(vdevtest_clock_set(f.t, 10000 * (uint64_t)MS));
	vdevtest_run(f.t);
	assert_true(nothing(&f));
	end(&f);
}

/* INP-2, INP-3: of an update nothing is lost. What the driver has buffers for goes at once, the
 * rest when there are more; another driver gets all of it. */
static void few_buffers(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, TABLET STROKE);
	drive(&f, 64);
	give(&f, 1);
	expect(&f, 3, 0, 10);
	assert_true(nothing(&f));
	give(&f, 1);
	expect(&f, 3, 1, -20);
	assert_true(nothing(&f));
	vdevtest_virtio_end(f.v);
	drive(&f, 64);
	give(&f, 2);
	expect(&f, 3, 0, 10);
	expect(&f, 3, 1, -20);
	assert_true(nothing(&f));
	give(&f, 1);
	expect(&f, 0, 0, 0);
	assert_true(nothing(&f));
	end(&f);
}

/* How often buffers went back to the driver. */
static unsigned flushes;

/* Stands before the vdev host's. */
__attribute__((visibility("default"))) void qvmx_queue_flush(struct qvmx_queue *q)
{
	void (*real)(struct qvmx_queue *);

	*(void **)&real = dlsym(RTLD_NEXT, "qvmx_queue_flush");
	flushes++;
	real(q);
}

/* An update that there are buffers for goes at once. */
static void updates_are_whole(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, TABLET STROKE);
	drive(&f, 64);
	flushes = 0;
	give(&f, 3);
	assert_int_equal(flushes, 1);
	expect(&f, 3, 0, 10);
	expect(&f, 3, 1, -20);
	expect(&f, 0, 0, 0);
	end(&f);
}

/* A queue that is shorter than an update does not stop the device. */
static void short_queue(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, TABLET STROKE);
	drive(&f, 2);
	give(&f, 2);
	expect(&f, 3, 0, 10);
	expect(&f, 3, 1, -20);
	give(&f, 1);
	expect(&f, 0, 0, 0);
	end(&f);
}

static void useless_buffers(void **state)
{
	struct fixture f;
	uint32_t len = ~0u;

	(void)state;
	begin(&f, TABLET STROKE);
	drive(&f, 64);
	vdevtest_virtio_add(f.v, EVENTS, &(struct vdevtest_buf){ f.buffers, EVENT - 1, true }, 1);
	vdevtest_virtio_add(f.v, EVENTS, &(struct vdevtest_buf){ f.buffers, EVENT, false }, 1);
	vdevtest_virtio_kick(f.v, EVENTS);
	vdevtest_run(f.t);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(vdevtest_virtio_used(f.v, EVENTS, 0, NULL, &len));
		assert_int_equal(len, 0);
	}
	give(&f, 3);
	expect(&f, 3, 0, 10);
	end(&f);
}

static void status_comes_back(void **state)
{
	struct fixture f;
	uint32_t len = ~0u;

	(void)state;
	begin(&f, TABLET);
	drive(&f, 64);
	for (unsigned i = 0; i < 60; i++)
		vdevtest_virtio_add(f.v, STATUS,
				    &(struct vdevtest_buf){ f.buffers, i % 3 ? EVENT : 3, false },
				    1);
	vdevtest_virtio_kick(f.v, STATUS);
	vdevtest_run(f.t);
	for (unsigned i = 0; i < 60; i++) {
		assert_true(vdevtest_virtio_used(f.v, STATUS, 0, NULL, &len));
		assert_int_equal(len, 0);
	}
	end(&f);
}

static void refused(const char *text, const char *why)
{
	struct fixture f = { 0 };
	char configuration[256];

	record(&f, text);
	snprintf(configuration, sizeof(configuration), "ram 8m vdev virtio-input hostdev %s",
		 f.dir.file);
	test_refused(configuration, why);
	test_dir_remove(&f.dir);
}

static void refusals(void **state)
{
	static const char *const lines[] = {
		"I: 1 2 3\n",
		"I: 10000 0 0 0\n",
		"P: 1 2 3 4 5 6 7\n",
		"P: 1 2 3 4 5 6 7 100\n",
		"B: 20 0 0 0 0 0 0 0 0\n",
		"A: 40 0 0 0 0\n",
		"A: 00 0 0 0\n",
		"E: 1 0 0 0\n",
		"E: 1.00000 0 0 0\n",
		"E: 1.0000000 0 0 0\n",
		"E: 1.000000 0020 0 0\n",
		"E: 1.000000 1 10000 0\n",
		"E: 1.000000 1 1 2147483648\n",
		"E: 1.000000 1 1\n",
		"E: -1.000000 1 1 1\n",
		"E: 2.000000 1 1 1\nE: 1.999999 1 1 1\n",
	};
	char text[2048];

	(void)state;
	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(text, sizeof(text), "N: x\n%s", lines[i]);
		refused(text, strchr(lines[i], '\n')[1] ? "line 3: " : "line 2: ");
	}
	strcpy(text, "N: x\nB: 01");
	for (unsigned i = 0; i < 600; i++)
		strcat(text, " 0");
	refused(text, "line 2: it is longer than");
	strcpy(text, "N: x\n");
	for (unsigned i = 0; i < 17; i++)
		strcat(text, "B: 01 0 0 0 0 0 0 0 0\n");
	refused(text, "line 18: there are more bits");
	memset(text, 'n', 200);
	memcpy(text, "N: ", 3);
	text[131] = '\0';
	refused(text, "line 1: the name is longer");
	refused("", "it has no line N:");
	refused("# EVEMU\n", "it has no line N:");
	test_refused("ram 8m vdev virtio-input", "hostdev");
	test_refused("ram 8m vdev virtio-input hostdev /nowhere", "No such file");
	test_refused("ram 8m vdev virtio-input hostdev /dev/null", "is no evdev node");
	test_refused("ram 8m vdev virtio-input hostdev /tmp", "neither an evdev node");
	test_refused("ram 8m vdev virtio-input hostdev -", "takes an evdev node");
}

/* Whatever is in the file: it is taken or refused. */
static void damaged_recordings(void **state)
{
	enum { ROUNDS = 300 };
	char text[2048], configuration[256];
	struct fixture f = { 0 };

	(void)state;
	record(&f, TABLET STROKE);
	snprintf(configuration, sizeof(configuration), "ram 1m vdev virtio-input hostdev %s",
		 f.dir.file);
	srand(1);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t len = strlen(TABLET STROKE);

		memcpy(text, TABLET STROKE, len);
		for (int n = rand() % 8; n >= 0; n--) {
			size_t at = (size_t)rand() % len;

			if (rand() % 4 == 0)
				len = at + 1;
			else
				text[at] = rand() % 2 ? (char)rand()
						      : "0123456789:.- \nEBNAPI"[rand() % 22];
		}
		FILE *file = fopen(f.dir.file, "w");

		assert_non_null(file);
		assert_int_equal(fwrite(text, 1, len, file), len);
		fclose(file);
		struct vdevtest *t = vdevtest_start_stepped(configuration, 1);

		if (t)
			vdevtest_end(t);
		else
			assert_non_null(strstr(vdevtest_errors(), "hostdev '"));
	}
	test_dir_remove(&f.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configuration),      cmocka_unit_test(plays),
		cmocka_unit_test(updates_are_whole),  cmocka_unit_test(few_buffers),
		cmocka_unit_test(short_queue),	      cmocka_unit_test(useless_buffers),
		cmocka_unit_test(status_comes_back),  cmocka_unit_test(refusals),
		cmocka_unit_test(damaged_recordings),
	};

	return cmocka_run_group_tests_name("virtio-input", tests, NULL, NULL);
}
