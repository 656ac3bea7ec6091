/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define AT    0xf8008000u
#define CONF  "ram 1m vdev ioapic name pic accel off vdev hpet loc 0xf8008000 "
#define THREE CONF "intr pic:0,pic:8,pic:11 "

enum { CAPS = 0, CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0 };
enum { T_CONFIG = 0x100, T_COMPARATOR = 0x108, T_MESSAGE = 0x110, NEXT = 0x20 };

#define ENABLED	  0x1u
#define LEGACY	  0x2u
#define LEVEL	  0x2u
#define INTERRUPT 0x4u
#define PERIODIC  0x8u
#define SET_VALUE 0x40u
#define ONLY_32	  0x100u
#define MESSAGE	  0x4000u
#define HZ	  14318180u

static uint64_t in(struct vdevtest *t, unsigned reg)
{
	return vdevtest_read(t, VDEVTEST_MEM, AT + reg, 8);
}

static void out(struct vdevtest *t, unsigned reg, uint64_t value)
{
	vdevtest_write(t, VDEVTEST_MEM, AT + reg, 8, value);
}

/* Pin n of the ioapic sends vector 0x30 + n. */
static void unmask(struct vdevtest *t, unsigned pin)
{
	vdevtest_write(t, VDEVTEST_MEM, 0xfec00000, 4, 0x10 + 2 * pin);
	vdevtest_write(t, VDEVTEST_MEM, 0xfec00010, 4, 0x30 + pin);
	vdevtest_messages(t, 0, NULL, NULL);
}

static unsigned messages(struct vdevtest *t)
{
	return vdevtest_messages(t, 0, NULL, NULL);
}

static unsigned messages_in(struct vdevtest *t, int64_t ms)
{
	int64_t until = test_now_ms() + ms;
	unsigned n = 0;

	while (test_now_ms() < until)
		n += messages(t);
	return n;
}

static void what_it_says_of_itself(void **state)
{
	struct vdevtest *t = test_start(THREE);

	(void)state;
	assert_int_equal(in(t, CAPS) >> 32, 69841279 - 1); /* femtoseconds */
	assert_int_equal(in(t, CAPS) & 0xffff, 0xa201);	   /* three timers, 64 bits, legacy */
	assert_int_equal(in(t, T_CONFIG) >> 32, 1u << 0);
	assert_int_equal(in(t, T_CONFIG + NEXT) >> 32, 1u << 8);
	assert_int_equal(in(t, T_CONFIG + 2 * NEXT) >> 32, 1u << 11);
	assert_int_equal(in(t, T_CONFIG) & 0xffff, 0x8030);
	assert_int_equal(in(t, T_CONFIG + 3 * NEXT), 0);
	out(t, T_CONFIG + NEXT, 8u << 9 | 3u << 9);
	assert_int_equal(in(t, T_CONFIG + NEXT) & 0x3e00, 0); /* no such line */
	out(t, T_CONFIG + NEXT, 8u << 9);
	assert_int_equal(in(t, T_CONFIG + NEXT) & 0x3e00, 8u << 9);
	out(t, CAPS, 0);
	assert_int_equal(in(t, CAPS) & 0xffff, 0xa201);
	vdevtest_end(t);
	t = test_start(CONF
		       "legacy-free frequency 10000000 intr pic:2,pic:3 intr pic:4 intr pic:5");
	assert_int_equal(in(t, CAPS) >> 32, 100000000);
	assert_int_equal(in(t, CAPS) & 0xffff, 0x2301);
	out(t, CONFIG, LEGACY);
	assert_int_equal(in(t, CONFIG), 0);
	vdevtest_end(t);
}

static void the_counter_counts_in_time(void **state)
{
	struct vdevtest *t = test_start(THREE);

	(void)state;
	assert_int_equal(in(t, COUNTER), 0);
	out(t, COUNTER, UINT64_C(0x1122334455667788));
	vdevtest_write(t, VDEVTEST_MEM, AT + COUNTER + 4, 4, 5); /* one half */
	assert_int_equal(in(t, COUNTER), UINT64_C(0x555667788));
	out(t, CONFIG, ENABLED);
	int64_t before_ms = test_now_ms();
	uint64_t first = in(t, COUNTER);

	while (test_now_ms() < before_ms + 20)
		;
	uint64_t ms = (in(t, COUNTER) - first) * 1000 / HZ;
	int64_t after_ms = test_now_ms();

	assert_in_range(ms, 19, after_ms - before_ms + 1);
	out(t, CONFIG, 0);
	first = in(t, COUNTER);
	assert_int_equal(in(t, COUNTER), first); /* stands */
	out(t, CONFIG, ENABLED);
	assert_true(in(t, COUNTER) - first < HZ); /* goes on from there */
	vdevtest_end(t);
}

static void a_one_shot_interrupts_once(void **state)
{
	struct vdevtest *t = test_start(THREE);
	uint32_t data;

	(void)state;
	unmask(t, 8);
	out(t, T_CONFIG + NEXT, INTERRUPT | 8u << 9);
	out(t, T_COMPARATOR + NEXT, HZ / 100);
	assert_int_equal(messages_in(t, 20), 0); /* nothing counts yet */
	int64_t since = test_now_ms();

	out(t, CONFIG, ENABLED);
	wait_until(vdevtest_messages(t, 0, NULL, &data) == 1);
	assert_true(test_now_ms() - since >= 9);
	assert_int_equal(data & 0xff, 0x38);
	assert_int_equal(messages_in(t, 40), 0);
	out(t, T_COMPARATOR + NEXT, in(t, COUNTER) + HZ / 1000);
	wait_until(messages(t) == 1);
	out(t, T_CONFIG + NEXT, 0); /* disabled */
	out(t, T_COMPARATOR + NEXT, in(t, COUNTER) + HZ / 1000);
	assert_int_equal(messages_in(t, 10), 0);
	vdevtest_end(t);
}

/* Messages until that time, which is virtual. */
static unsigned messages_until(struct vdevtest *t, uint64_t ms)
{
	assert_true(vdevtest_clock_set(t, ms * 1000000));
	return vdevtest_messages(t, 0, NULL, NULL);
}

static void a_period_goes_on(void **state)
{
	struct vdevtest *t = vdevtest_start_stepped(THREE, 1);

	(void)state;
	assert_non_null(t);
	unmask(t, 0);
	out(t, CONFIG, ENABLED | LEGACY);
	/* As Linux does, by 32 bits: first the first match, then the period. */
	vdevtest_write(t, VDEVTEST_MEM, AT + T_CONFIG, 4,
		       INTERRUPT | PERIODIC | SET_VALUE | ONLY_32);
	vdevtest_write(t, VDEVTEST_MEM, AT + T_COMPARATOR, 4,
		       (in(t, COUNTER) + HZ / 100) & UINT32_MAX);
	vdevtest_write(t, VDEVTEST_MEM, AT + T_COMPARATOR, 4, HZ / 100);
	assert_in_range(messages_until(t, 1005), 99, 101);
	uint64_t ahead = (in(t, T_COMPARATOR) - in(t, COUNTER)) & UINT32_MAX;

	assert_true(ahead <= HZ / 100);
	out(t, T_COMPARATOR, 1); /* a period that nobody can take: the host is not flooded */
	assert_in_range(messages_until(t, 1105), 500, 1001);
	out(t, CONFIG, 0);
	messages_until(t, 1106);
	assert_int_equal(messages_until(t, 1140), 0);
	vdevtest_end(t);
}

/* A half of 64 bits leaves the other half of what it sets: of the period, not of the comparator. */
static void a_period_by_halves(void **state)
{
	struct vdevtest *t = test_start_stepped(THREE);

	(void)state;
	unmask(t, 0);
	out(t, T_CONFIG, INTERRUPT | PERIODIC | SET_VALUE);
	out(t, COUNTER, UINT64_C(0x200000000));
	out(t, T_COMPARATOR, UINT64_C(0x200000000) + HZ / 100);
	vdevtest_write(t, VDEVTEST_MEM, AT + T_COMPARATOR, 4, HZ / 100);
	vdevtest_write(t, VDEVTEST_MEM, AT + T_COMPARATOR + 4, 4, 0);
	out(t, CONFIG, ENABLED);
	assert_in_range(messages_until(t, 1005), 99, 101);
	vdevtest_write(t, VDEVTEST_MEM, AT + T_COMPARATOR, 4, HZ / 200);
	assert_in_range(messages_until(t, 2005), 198, 201);
	/* The comparator by halves, too, each with its SET_VALUE. */
	vdevtest_write(t, VDEVTEST_MEM, AT + T_CONFIG, 4, INTERRUPT | PERIODIC | SET_VALUE);
	vdevtest_write(t, VDEVTEST_MEM, AT + T_COMPARATOR, 4, 0x12345678);
	vdevtest_write(t, VDEVTEST_MEM, AT + T_CONFIG, 4, INTERRUPT | PERIODIC | SET_VALUE);
	vdevtest_write(t, VDEVTEST_MEM, AT + T_COMPARATOR + 4, 4, 3);
	assert_int_equal(in(t, T_COMPARATOR), UINT64_C(0x312345678));
	vdevtest_end(t);
}

/* A counter of 32 bits comes round in 300 s. */
static void a_one_shot_of_32_bits_comes_again(void **state)
{
	struct vdevtest *t = test_start_stepped(THREE);

	(void)state;
	unmask(t, 0);
	out(t, CONFIG, ENABLED);
	out(t, T_CONFIG, INTERRUPT | ONLY_32);
	out(t, T_COMPARATOR, HZ / 100);
	assert_int_equal(messages_until(t, 20), 1);
	assert_int_equal(messages_until(t, 299900), 0);
	assert_int_equal(messages_until(t, 300000), 1);
	out(t, T_CONFIG, INTERRUPT);
	out(t, T_COMPARATOR, in(t, COUNTER) + HZ / 100);
	assert_int_equal(messages_until(t, 300100), 1);
	assert_int_equal(messages_until(t, 900000), 0);
	vdevtest_end(t);
}

static void a_level_stays_until_its_status_is_cleared(void **state)
{
	struct vdevtest *t = test_start(THREE);

	(void)state;
	vdevtest_write(t, VDEVTEST_MEM, 0xfec00000, 4, 0x10 + 2 * 11);
	vdevtest_write(t, VDEVTEST_MEM, 0xfec00010, 4, 0x8041); /* level */
	out(t, CONFIG, ENABLED);
	out(t, T_CONFIG + 2 * NEXT, INTERRUPT | LEVEL | 11u << 9);
	out(t, T_COMPARATOR + 2 * NEXT, in(t, COUNTER) + HZ / 1000);
	wait_until(messages(t) == 1);
	assert_int_equal(in(t, STATUS), 4);
	vdevtest_eoi(t, 0x41);
	assert_int_equal(messages(t), 1); /* still high */
	out(t, STATUS, 3);
	assert_int_equal(in(t, STATUS), 4);
	vdevtest_write(t, VDEVTEST_MEM, AT + STATUS, 4, 4);
	assert_int_equal(in(t, STATUS), 0);
	vdevtest_eoi(t, 0x41);
	assert_int_equal(messages(t), 0);
	vdevtest_end(t);
}

static void messages_need_no_line(void **state)
{
	struct vdevtest *t = test_start(CONF);
	uint64_t addr;
	uint32_t data;

	(void)state;
	assert_int_equal(in(t, T_CONFIG) >> 32, 0);
	out(t, CONFIG, ENABLED);
	out(t, T_MESSAGE, UINT64_C(0xfee0100000004321));
	out(t, T_CONFIG, INTERRUPT | MESSAGE);
	out(t, T_COMPARATOR, in(t, COUNTER) + HZ / 1000);
	wait_until(vdevtest_messages(t, 0, &addr, &data) == 1);
	assert_int_equal(addr, 0xfee01000);
	assert_int_equal(data, 0x4321);
	out(t, T_MESSAGE, UINT64_C(0x1000000004321)); /* to where no local APIC is */
	out(t, T_COMPARATOR, in(t, COUNTER) + HZ / 1000);
	assert_int_equal(messages_in(t, 20), 0);
	vdevtest_end(t);
}

/* The 8254's line is the HPET's while it replaces it. */
static void legacy_replacement(void **state)
{
	struct vdevtest *t =
		test_start("ram 1m vdev ioapic name pic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "
			   "vdev timer8254 intr pic:0 vdev hpet loc 0xf8008000 intr pic:0");

	(void)state;
	unmask(t, 0);
	vdevtest_write(t, VDEVTEST_IO, 0x43, 1, 0x34);
	vdevtest_write(t, VDEVTEST_IO, 0x40, 1, 0x00);
	vdevtest_write(t, VDEVTEST_IO, 0x40, 1, 0x10); /* 3.4 ms */
	wait_until(messages(t) > 0);
	out(t, CONFIG, LEGACY);
	messages_in(t, 5);
	assert_int_equal(messages_in(t, 40), 0);
	out(t, CONFIG, LEGACY | ENABLED);
	out(t, T_CONFIG, INTERRUPT);
	out(t, T_COMPARATOR, in(t, COUNTER) + HZ / 1000);
	wait_until(messages(t) == 1);
	out(t, CONFIG, 0);
	wait_until(messages(t) > 0);
	vdevtest_end(t);
}

static void hostile_registers(void **state)
{
	struct vdevtest *t = test_start(THREE);
	uint32_t x = 1;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		x = x * 1664525 + 1013904223;
		unsigned reg = x >> 4 & (x & 0x10000000 ? 0x13c : 0xffc);

		if (x & 0x80000000)
			vdevtest_write(t, VDEVTEST_MEM, AT + reg, x & 0x20000000 ? 4 : 8,
				       (uint64_t)x * x);
		else
			vdevtest_read(t, VDEVTEST_MEM, AT + reg, x & 0x20000000 ? 4 : 8);
	}
	assert_int_equal(vdevtest_ended(t), -1);
	vdevtest_end(t);
}

static void what_is_refused(void **state)
{
	(void)state;
	test_refused(CONF "frequency 9999999", "frequency");
	test_refused(CONF "intr pic:0,pic:0", "already");
	test_refused(CONF "intr pic:4 vdev ser8250 intr pic:4", "already");
	test_refused("ram 1m vdev hpet loc 0xf8008010", "4 KiB");
	test_refused("ram 1m vdev ioapic name pic pins 40 vdev hpet intr pic:32", "lines 0 to 31");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_says_of_itself),
		cmocka_unit_test(the_counter_counts_in_time),
		cmocka_unit_test(a_one_shot_interrupts_once),
		cmocka_unit_test(a_period_goes_on),
		cmocka_unit_test(a_period_by_halves),
		cmocka_unit_test(a_one_shot_of_32_bits_comes_again),
		cmocka_unit_test(a_level_stays_until_its_status_is_cleared),
		cmocka_unit_test(messages_need_no_line),
		cmocka_unit_test(legacy_replacement),
		cmocka_unit_test(hostile_registers),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests_name("hpet", tests, NULL, NULL);
}
