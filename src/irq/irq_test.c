/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine/bench/bench.h"
#include "irq/irq.h"
#include "irq/relay.h"
#include "qvm/guest.h"

struct fixture {
	struct engine *engine;
	struct irq *irq;
};

static int setup(void **state)
{
	static struct fixture f;

	f.engine = bench_create();
	*state = &f;
	return f.engine ? irq_create(f.engine, &f.irq) : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	irq_destroy(f->irq);
	f->engine->ops->destroy(f->engine);
	return 0;
}

static void test_vector(void **state)
{
	struct fixture *f = *state;
	struct irq_vector v;
	uint64_t addr;
	uint32_t data;

	assert_int_equal(irq_vector_create(f->irq, 0, &v), 0);
	assert_int_equal(irq_vector_attach(f->irq, &v, true), -EINVAL); /* no route yet */
	irq_vector_signal(&v);
	assert_true(irq_vector_pending(&v));
	assert_int_equal(bench_messages(f->engine, 0, NULL, NULL), 0);
	assert_int_equal(irq_vector_route(f->irq, &v, 0xfee01000, 0x4321), 0);
	assert_int_equal(irq_vector_attach(f->irq, &v, true), 0);
	/* What was pending is delivered when the vector is unmasked. */
	assert_int_equal(bench_messages(f->engine, 0, &addr, &data), 1);
	assert_int_equal(addr, 0xfee01000);
	assert_int_equal(data, 0x4321);
	assert_false(irq_vector_pending(&v));
	assert_int_equal(irq_vector_attach(f->irq, &v, false), 0);
	irq_vector_signal(&v);
	irq_vector_clear(&v);
	assert_false(irq_vector_pending(&v));
	irq_vector_destroy(f->irq, &v);
	assert_int_equal(v.fd, -1);
}

static void test_gsis_are_distinct_and_reused(void **state)
{
	struct fixture *f = *state;
	struct irq_vector a, b, c;

	assert_int_equal(irq_vector_create(f->irq, 0, &a), 0);
	assert_int_equal(irq_vector_create(f->irq, 0, &b), 0);
	assert_int_not_equal(a.gsi, b.gsi);
	uint32_t gsi = a.gsi;

	irq_vector_destroy(f->irq, &a);
	assert_int_equal(irq_vector_create(f->irq, 0, &c), 0);
	assert_int_equal(c.gsi, gsi);
	irq_vector_destroy(f->irq, &b);
	irq_vector_destroy(f->irq, &c);
}

static unsigned changes;
static bool last_level;

static int count_change(void *opaque, unsigned pin, bool level)
{
	assert_null(opaque);
	assert_int_equal(pin, 7);
	changes++;
	last_level = level;
	return 0;
}

static void test_line_is_wired_or(void **state)
{
	struct fixture *f = *state;
	struct irq_line *line;
	unsigned a, b, more;

	changes = 0;
	assert_int_equal(irq_line_create(f->irq, count_change, NULL, 7, &line), 0);
	assert_int_equal(irq_line_source_add(line, &a), 0);
	assert_int_equal(irq_line_source_add(line, &b), 0);
	irq_line_set(line, a, true);
	irq_line_set(line, b, true);
	irq_line_set(line, a, true);
	assert_int_equal(changes, 1);
	assert_true(last_level);
	irq_line_set(line, a, false);
	assert_int_equal(changes, 1); /* the other source still holds it */
	irq_line_set(line, b, false);
	assert_int_equal(changes, 2);
	assert_false(last_level);
	for (unsigned i = 2; i < IRQ_MAX_LINE_SOURCES; i++)
		assert_int_equal(irq_line_source_add(line, &more), 0);
	assert_int_equal(irq_line_source_add(line, &more), -ENOSPC);
}

/* As an HPET takes the 8254's line and gives it back. */
static void test_a_source_takes_the_line_over(void **state)
{
	struct fixture *f = *state;
	struct irq_line *line;
	unsigned a, b;

	changes = 0;
	assert_int_equal(irq_line_create(f->irq, count_change, NULL, 7, &line), 0);
	assert_int_equal(irq_line_source_add(line, &a), 0);
	assert_int_equal(irq_line_source_add(line, &b), 0);
	irq_line_set(line, a, true);
	irq_line_own(line, b, true);
	assert_false(last_level);
	irq_line_set(line, a, false);
	irq_line_set(line, a, true);
	assert_int_equal(changes, 2);
	irq_line_set(line, b, true);
	assert_true(last_level);
	irq_line_set(line, b, false);
	irq_line_own(line, b, false);
	assert_true(last_level); /* what the other did meanwhile counts again */
	assert_int_equal(changes, 5);
}

static int notified;

static void note(void *opaque, int what)
{
	assert_ptr_equal(opaque, &notified);
	notified = notified * 10 + what;
}

static void test_what_the_guest_did_is_told(void **state)
{
	struct fixture *f = *state;
	struct irq_line *line;

	notified = 0;
	assert_int_equal(irq_line_create(f->irq, count_change, NULL, 7, &line), 0);
	irq_line_notify(line, 1);
	assert_int_equal(irq_line_watch(line, note, &notified), 0);
	irq_line_notify(line, 2);
	irq_line_notify(line, 1);
	assert_int_equal(notified, 21);
}

static void test_pins_have_routes_below_the_vectors(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(irq_pin_route(f->irq, 23, 0xfee00000, 0x8030), 0);
	assert_int_equal(irq_pin_route(f->irq, 23, 0xfee00000, 0x8030), 0);
	assert_int_equal(irq_pin_route(f->irq, 24, 0xfee00000, 0x8030), -EINVAL);
}

static int store_level(void *opaque, unsigned pin, bool level)
{
	(void)pin;
	atomic_store((_Atomic int *)opaque, level);
	return 0;
}

/* The bench has no pins of its own, so that a thread does it. */
static void test_a_host_interrupt_waits_for_its_end(void **state)
{
	struct fixture *f = *state;
	const int fd = eventfd(0, EFD_NONBLOCK), unmask = eventfd(0, EFD_NONBLOCK);
	struct pollfd unmasked = { .fd = unmask, .events = POLLIN };
	struct irq_relay *relay;
	struct irq_line *line;
	_Atomic int level = 0;
	uint64_t count;

	assert_int_equal(irq_line_create(f->irq, store_level, &level, 7, &line), 0);
	assert_int_equal(irq_relay_create(f->irq, line, 7, fd, unmask, &relay), 0);
	irq_line_notify(line, GIN_ACK); /* of something else on the line */
	assert_int_equal(poll(&unmasked, 1, 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(write(fd, &(uint64_t){ 1 }, 8), 8);
		while (!atomic_load(&level))
			usleep(100);
		/* One end is enough, as soon as the line is up. */
		irq_line_notify(line, GIN_ACK);
		assert_int_equal(poll(&unmasked, 1, 10000), 1);
		assert_int_equal(read(unmask, &count, 8), 8);
		assert_int_equal(count, 1);
		assert_int_equal(atomic_load(&level), 0);
	}
	irq_relay_destroy(relay);
	close(fd);
	close(unmask);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_vector, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gsis_are_distinct_and_reused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_line_is_wired_or, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_source_takes_the_line_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_the_guest_did_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_host_interrupt_waits_for_its_end, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_pins_have_routes_below_the_vectors, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("irq", tests, NULL, NULL);
}
