/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define PICS "ram 1m vdev ioapic name pic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "

static void starts(void **state)
{
	struct vdevtest *t = test_start(PICS "vdev timer8254 intr pic:0");

	(void)state;
	vdevtest_end(t);
}

#define OWN "ram 1m vdev ioapic name pic accel off vdev timer8254 "

static void out(struct vdevtest *t, unsigned port, unsigned value)
{
	vdevtest_write(t, VDEVTEST_IO, port, 1, value);
}

static unsigned in(struct vdevtest *t, unsigned port)
{
	return (unsigned)vdevtest_read(t, VDEVTEST_IO, port, 1);
}

/* A counter with both bytes in binary. */
static void program(struct vdevtest *t, unsigned counter, unsigned mode, unsigned count)
{
	out(t, 0x43, counter << 6 | 0x30 | mode << 1);
	out(t, 0x40 + counter, count & 0xff);
	out(t, 0x40 + counter, count >> 8);
}

static unsigned count_of(struct vdevtest *t, unsigned counter)
{
	out(t, 0x43, counter << 6);
	unsigned low = in(t, 0x40 + counter);

	return low | in(t, 0x40 + counter) << 8;
}

/* The ioapic's table starts masked; edges of pin 0 come as messages. */
static void unmask(struct vdevtest *t)
{
	vdevtest_write(t, VDEVTEST_MEM, 0xfec00000, 4, 0x10);
	vdevtest_write(t, VDEVTEST_MEM, 0xfec00010, 4, 0x30);
	vdevtest_messages(t, 0, NULL, NULL);
}

/* Messages until `ms` milliseconds are over. */
static unsigned edges_in(struct vdevtest *t, int64_t ms)
{
	int64_t until = test_now_ms() + ms;
	unsigned n = 0;

	while (test_now_ms() < until)
		n += vdevtest_messages(t, 0, NULL, NULL);
	return n;
}

static void counts_down_in_time(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	program(t, 1, 2, 0);
	for (unsigned i = 0; i < 3; i++) {
		int64_t before_ms = test_now_ms();
		unsigned first = count_of(t, 1);

		while (test_now_ms() < before_ms + 20)
			;
		unsigned second = count_of(t, 1);
		unsigned ms = ((first - second) & 0xffff) * 1000 / 1193182;
		int64_t after_ms = test_now_ms();

		assert_true(ms >= 19 &&
			    (after_ms - before_ms > 40 || ms <= after_ms - before_ms + 1));
	}
	vdevtest_end(t);
}

static void square_wave_and_latches(void **state)
{
	struct vdevtest *t = test_start(OWN);
	bool low = false, high = false;

	(void)state;
	program(t, 0, 3, 0xfffe);
	for (int64_t since = test_now_ms(); test_now_ms() - since < 200;) {
		out(t, 0x43, 0xe2); /* read back: status of counter 0 */
		unsigned status = in(t, 0x40);

		assert_int_equal(status & 0x7f, 0x36);
		low |= !(status & 0x80);
		high |= (status & 0x80) != 0;
		assert_int_equal(count_of(t, 0) & 1, 0); /* by two */
	}
	assert_true(low && high);
	out(t, 0x43, 0xce); /* read back: counts of all three */
	unsigned first = in(t, 0x40) | in(t, 0x40) << 8;

	program(t, 1, 2, 1234);
	assert_true(first <= 0xfffe);
	out(t, 0x43, 0x54); /* counter 1, low byte only */
	out(t, 0x41, 2);
	assert_true(in(t, 0x41) <= 2);
	out(t, 0x43, 0x71); /* counter 1, BCD, mode 0 */
	out(t, 0x41, 0x00);
	out(t, 0x41, 0x00);
	for (unsigned i = 0; i < 100; i++) {
		unsigned value = count_of(t, 1);

		for (unsigned digit = 0; digit < 4; digit++)
			assert_true((value >> 4 * digit & 15) < 10);
	}
	vdevtest_end(t);
}

static void terminal_count_interrupts_once(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	unmask(t);
	program(t, 0, 0, 11932); /* 10 ms */
	assert_int_equal(vdevtest_messages(t, 0, NULL, NULL), 0);
	wait_until(vdevtest_messages(t, 0, NULL, NULL) == 1);
	assert_int_equal(edges_in(t, 50), 0);
	program(t, 0, 0, 1193);
	wait_until(vdevtest_messages(t, 0, NULL, NULL) == 1);
	vdevtest_end(t);
}

/* The same in virtual time. */
static unsigned edges_until(struct vdevtest *t, uint64_t ms)
{
	assert_true(vdevtest_clock_set(t, ms * 1000000));
	return vdevtest_messages(t, 0, NULL, NULL);
}

static void a_rate_interrupts_again_and_again(void **state)
{
	struct vdevtest *t = vdevtest_start_stepped(OWN, 1);

	(void)state;
	assert_non_null(t);
	unmask(t);
	program(t, 0, 2, 11932); /* 10 ms */
	assert_in_range(edges_until(t, 305), 29, 31);
	program(t, 0, 2, 2); /* more than anybody can take: the host is not flooded */
	assert_in_range(edges_until(t, 405), 500, 1001);
	out(t, 0x43, 0x34); /* a control word stops it */
	edges_until(t, 406);
	assert_int_equal(edges_until(t, 456), 0);
	vdevtest_end(t);
}

/* As Linux uses it without a tick: one control word, then a count for each event. */
static void strobes_one_after_the_other(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	unmask(t);
	out(t, 0x43, 0x38);
	edges_in(t, 5);
	for (unsigned i = 0; i < 300; i++) {
		unsigned count = 15 + i * 7;

		out(t, 0x40, count & 0xff);
		out(t, 0x40, count >> 8);
		wait_until(vdevtest_messages(t, 0, NULL, NULL) == 1);
	}
	assert_int_equal(edges_in(t, 20), 0);
	vdevtest_end(t);
}

static void gate_and_speaker(void **state)
{
	struct vdevtest *t = test_start(OWN);

	(void)state;
	out(t, 0x61, 0);
	program(t, 2, 0, 0xffff);
	assert_int_equal(in(t, 0x61) & 0x20, 0);
	unsigned stopped = count_of(t, 2);

	assert_int_equal(edges_in(t, 2), 0);
	assert_int_equal(count_of(t, 2), stopped); /* the gate is low */
	out(t, 0x61, 1);
	wait_until(in(t, 0x61) & 0x20); /* 55 ms later */
	assert_int_equal(in(t, 0x61) & 3, 1);
	out(t, 0x61, 0);
	program(t, 2, 1, 1193);
	assert_int_equal(in(t, 0x61) & 0x20, 0x20);
	out(t, 0x61, 1); /* triggers */
	wait_until(in(t, 0x61) & 0x20);
	unsigned refresh = in(t, 0x61) & 0x10;

	wait_until((in(t, 0x61) & 0x10) != refresh);
	vdevtest_end(t);
}

static void counts_written_with_the_gate_low(void **state)
{
	struct vdevtest *t = test_start_stepped(OWN);

	(void)state;
	out(t, 0x61, 1);
	program(t, 2, 0, 60000);
	edges_until(t, 10);
	assert_true(count_of(t, 2) < 60000);
	out(t, 0x61, 0);
	out(t, 0x42, 0xa9); /* 11,945: 10 ms */
	out(t, 0x42, 0x2e);
	assert_int_equal(count_of(t, 2), 0x2ea9);
	out(t, 0x61, 1);
	edges_until(t, 19);
	assert_int_equal(in(t, 0x61) & 0x20, 0);
	edges_until(t, 21);
	assert_int_equal(in(t, 0x61) & 0x20, 0x20);
	vdevtest_end(t);
}

/* The count of a running one-shot is that of its trigger. */
static void a_count_waits_for_the_next_trigger(void **state)
{
	struct vdevtest *t = test_start_stepped(OWN);

	(void)state;
	out(t, 0x61, 0);
	program(t, 2, 1, 11932); /* 10 ms */
	out(t, 0x61, 1);
	edges_until(t, 5);
	out(t, 0x42, 0x52); /* 1 s / 20 */
	out(t, 0x42, 0xe9);
	assert_int_equal(in(t, 0x61) & 0x20, 0);
	out(t, 0x43, 0xe8); /* read back: the status of counter 2, whose count waits */
	assert_int_equal(in(t, 0x42), 0x72);
	edges_until(t, 9);
	assert_int_equal(in(t, 0x61) & 0x20, 0);
	edges_until(t, 11);
	assert_int_equal(in(t, 0x61) & 0x20, 0x20);
	out(t, 0x61, 0);
	out(t, 0x61, 1);
	out(t, 0x43, 0xe8);
	assert_int_equal(in(t, 0x42), 0x32);
	edges_until(t, 60);
	assert_int_equal(in(t, 0x61) & 0x20, 0);
	edges_until(t, 62);
	assert_int_equal(in(t, 0x61) & 0x20, 0x20);
	vdevtest_end(t);
}

static void hostile_ports(void **state)
{
	static const unsigned ports[] = { 0x40, 0x41, 0x42, 0x43, 0x43, 0x61, 0x40, 0x42 };
	struct vdevtest *t = test_start(OWN);
	uint32_t x = 1;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		x = x * 1664525 + 1013904223;
		if (x & 0x80000000)
			out(t, ports[x >> 8 & 7], x >> 16 & 0xff);
		else
			in(t, ports[x >> 8 & 7]);
	}
	vdevtest_end(t);
}

static void what_is_refused(void **state)
{
	(void)state;
	test_refused(PICS "vdev timer8254 accel on loc 0x50", "lies at port 0x50");
	test_refused(PICS "vdev timer8254 accel on intr pic:3", "line 3");
	test_refused(PICS "vdev timer8254 vdev timer8254", "timer8254");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts),
		cmocka_unit_test(counts_down_in_time),
		cmocka_unit_test(square_wave_and_latches),
		cmocka_unit_test(terminal_count_interrupts_once),
		cmocka_unit_test(a_rate_interrupts_again_and_again),
		cmocka_unit_test(strobes_one_after_the_other),
		cmocka_unit_test(gate_and_speaker),
		cmocka_unit_test(counts_written_with_the_gate_low),
		cmocka_unit_test(a_count_waits_for_the_next_trigger),
		cmocka_unit_test(hostile_ports),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests_name("timer8254", tests, NULL, NULL);
}
