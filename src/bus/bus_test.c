/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "bus/bus.h"

static enum bus_result answer(void *opaque, unsigned cookie, struct bus_access *acc)
{
	(void)opaque;
	if (!acc->write) {
		uint64_t v = cookie + acc->offset;

		memcpy(acc->data, &v, acc->len);
	}
	return BUS_OK;
}

static struct bus_region region(uint64_t start, uint64_t len, unsigned cookie)
{
	return (struct bus_region){ .space = ENGINE_MEM,
				    .start = start,
				    .len = len,
				    .cookie = cookie,
				    .handler = answer,
				    .owner = "one" };
}

static enum bus_result get(struct bus *bus, struct bus_reader *r, uint64_t addr, unsigned len,
			   uint64_t *ret)
{
	struct bus_access acc = { .space = ENGINE_MEM, .len = len, .addr = addr, .data = ret };

	*ret = 0;
	return bus_dispatch(bus, r, &acc);
}

static void test_find(void **state)
{
	struct bus *bus;
	struct bus_reader reader;
	const char *other = NULL;
	uint64_t v;

	(void)state;
	assert_int_equal(bus_create(&bus), 0);
	bus_reader_add(bus, &reader);
	struct bus_region a = region(0x1000, 0x100, 1000), b = region(0x3000, 8, 2000),
			  top = region(UINT64_MAX - 0xf, 0x10, 3000);

	assert_int_equal(bus_region_replace(bus, NULL, &b, NULL), 0);
	assert_int_equal(bus_region_replace(bus, NULL, &a, NULL), 0);
	assert_int_equal(bus_region_replace(bus, NULL, &top, NULL), 0);
	assert_int_equal(get(bus, &reader, 0x1000, 4, &v), BUS_OK);
	assert_int_equal(v, 1000);
	assert_int_equal(get(bus, &reader, 0x10ff, 1, &v), BUS_OK);
	assert_int_equal(v, 1255 & 0xff);
	assert_int_equal(get(bus, &reader, 0x10ff, 2, &v), BUS_NOT_FOUND); /* leaves the region */
	assert_int_equal(get(bus, &reader, 0xfff, 1, &v), BUS_NOT_FOUND);
	assert_int_equal(get(bus, &reader, 0x1100, 1, &v), BUS_NOT_FOUND);
	assert_int_equal(get(bus, &reader, UINT64_MAX, 1, &v), BUS_OK);
	assert_int_equal(get(bus, &reader, UINT64_MAX, 8, &v), BUS_NOT_FOUND);

	struct bus_access io = { .space = ENGINE_IO, .len = 1, .addr = 0x1000, .data = &v };

	assert_int_equal(bus_dispatch(bus, &reader, &io), BUS_NOT_FOUND);

	/* Overlaps change nothing and name the other owner; touching is no overlap. */
	struct bus_region c = region(0x10ff, 2, 1);

	assert_int_equal(bus_region_replace(bus, NULL, &c, &other), -EEXIST);
	assert_string_equal(other, "one");
	c.start = 0x1100;
	assert_int_equal(bus_region_replace(bus, NULL, &c, NULL), 0);
	/* A move is one step, also onto a part of its own old place. */
	struct bus_region moved = region(0x1080, 0x80, 5000);

	assert_int_equal(bus_region_replace(bus, &a, &moved, NULL), 0);
	assert_int_equal(get(bus, &reader, 0x1000, 4, &v), BUS_NOT_FOUND);
	assert_int_equal(get(bus, &reader, 0x1080, 4, &v), BUS_OK);
	assert_int_equal(bus_region_replace(bus, &a, NULL, NULL), -ENOENT);
	/* Wrapping and empty regions are refused. */
	struct bus_region wrap = region(UINT64_MAX, 2, 0), empty = region(0, 0, 0);

	assert_int_equal(bus_region_replace(bus, NULL, &wrap, NULL), -EINVAL);
	assert_int_equal(bus_region_replace(bus, NULL, &empty, NULL), -EINVAL);
	bus_reader_remove(bus, &reader);
	bus_destroy(bus);
}

/* A number is a port and an address, of two regions that know nothing of each other. */
static void test_spaces(void **state)
{
	struct bus *bus;
	struct bus_reader reader;
	struct bus_region mem = region(0x600, 8, 1000), io = region(0x600, 8, 2000);
	uint64_t v = 0;
	struct bus_access acc = { .space = ENGINE_IO, .len = 4, .addr = 0x604, .data = &v };

	(void)state;
	io.space = ENGINE_IO;
	assert_int_equal(bus_create(&bus), 0);
	bus_reader_add(bus, &reader);
	assert_int_equal(bus_region_replace(bus, NULL, &mem, NULL), 0);
	assert_int_equal(bus_region_replace(bus, NULL, &io, NULL), 0);
	assert_int_equal(bus_dispatch(bus, &reader, &acc), BUS_OK);
	assert_int_equal(v, 2004);
	assert_int_equal(get(bus, &reader, 0x604, 4, &v), BUS_OK);
	assert_int_equal(v, 1004);
	assert_int_equal(bus_region_replace(bus, NULL, &io, NULL), -EEXIST);
	bus_reader_remove(bus, &reader);
	bus_destroy(bus);
}

/* Where one region ends the next one answers, whichever the search looks at first. */
static void test_touching(void **state)
{
	struct bus *bus;
	struct bus_reader reader;
	uint64_t v;

	(void)state;
	assert_int_equal(bus_create(&bus), 0);
	bus_reader_add(bus, &reader);
	for (unsigned i = 0; i < 3; i++) {
		struct bus_region r = region(0x1000 + i * 0x10, 0x10, (i + 1) * 1000);

		assert_int_equal(bus_region_replace(bus, NULL, &r, NULL), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(get(bus, &reader, 0x1000 + i * 0x10, 4, &v), BUS_OK);
		assert_int_equal(v, (i + 1) * 1000);
		assert_int_equal(get(bus, &reader, 0x100c + i * 0x10, 4, &v), BUS_OK);
		assert_int_equal(v, (i + 1) * 1000 + 0xc);
	}
	bus_reader_remove(bus, &reader);
	bus_destroy(bus);
}

static void test_sizes(void **state)
{
	struct bus *bus;
	struct bus_reader reader;
	struct bus_region a = region(0, 16, 0);
	uint64_t v;

	(void)state;
	a.acc_sizes = 1u << 4;
	assert_int_equal(bus_create(&bus), 0);
	bus_reader_add(bus, &reader);
	assert_int_equal(bus_region_replace(bus, NULL, &a, NULL), 0);
	assert_int_equal(get(bus, &reader, 4, 4, &v), BUS_OK);
	assert_int_equal(get(bus, &reader, 4, 1, &v), BUS_NOT_FOUND);
	assert_int_equal(get(bus, &reader, 4, 8, &v), BUS_NOT_FOUND);
	bus_reader_remove(bus, &reader);
	bus_destroy(bus);
}

/* A handler that replaces its own region, as a BAR does when the guest moves it. */
static enum bus_result move_self(void *opaque, unsigned cookie, struct bus_access *acc)
{
	struct bus *bus = opaque;
	struct bus_region from = region(acc->addr - acc->offset, 8, cookie), to;

	from.handler = move_self;
	from.opaque = bus;
	to = from;
	to.start ^= 0x8;
	return bus_region_replace(bus, &from, &to, NULL) ? BUS_ERROR : BUS_OK;
}

struct mover {
	struct bus *bus;
	uint64_t base;
	unsigned moves;
};

static void *move_many(void *arg)
{
	struct mover *m = arg;
	struct bus_reader reader;
	uint64_t v;

	bus_reader_add(m->bus, &reader);
	for (unsigned i = 0; i < 20000; i++)
		m->moves += get(m->bus, &reader, m->base + (i & 1) * 8, 1, &v) == BUS_OK;
	bus_reader_remove(m->bus, &reader);
	return NULL;
}

/* Two threads move regions out of their handlers while both dispatch: no deadlock, no table freed
 * too early. */
static void test_moves_from_handlers(void **state)
{
	struct bus *bus;
	struct mover movers[2];
	pthread_t threads[2];

	(void)state;
	assert_int_equal(bus_create(&bus), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct bus_region r = region(i * 0x1000, 8, 0);

		r.handler = move_self;
		r.opaque = bus;
		assert_int_equal(bus_region_replace(bus, NULL, &r, NULL), 0);
		movers[i] = (struct mover){ .bus = bus, .base = r.start };
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, move_many, &movers[i]), 0);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(movers[i].moves, 20000);
	}
	struct bus_region list[4];

	assert_int_equal(bus_region_list(bus, list, 4), 2);
	bus_destroy(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_spaces),
		cmocka_unit_test(test_touching),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_moves_from_handlers),
	};

	return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
