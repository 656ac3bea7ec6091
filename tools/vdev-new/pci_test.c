/* SPDX-License-Identifier: 0BSD */
/* The guest is played by this program; time is moved by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <qvm/x/test.h>

#define PLATFORM "ram 1m vdev ioapic name pic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "

enum { DEV = 1, MS = 1000000, MESSAGE = 0x41, WAIT_MS = 10000 };
enum {
	COMMAND = 0x04,
	DECODE_AND_MASTER = 6,
	BAR0 = 0x10,
	BAR1 = 0x14,
	CAPABILITIES = 0x34,
	INTERRUPT_LINE = 0x3c,
};

struct guest {
	struct vdevtest *t;
	uint64_t registers, vectors;
};

static struct guest start_with(const char *words)
{
	struct guest g = { .t = vdevtest_start_stepped(words, 1) };

	if (!g.t)
		fail_msg("%s", vdevtest_errors());
	assert_int_equal(vdevtest_pci_read(g.t, DEV, 0, 4), 0x7a011c05);
	g.registers = vdevtest_pci_read(g.t, DEV, BAR0, 4) & ~15u;
	g.vectors = vdevtest_pci_read(g.t, DEV, BAR1, 4) & ~15u;
	vdevtest_pci_write(g.t, DEV, COMMAND, 2, DECODE_AND_MASTER);
	return g;
}

static struct guest start(void)
{
	return start_with(PLATFORM "vdev @NAME@");
}

static void msix_on(struct guest *g)
{
	unsigned capability = vdevtest_pci_read(g->t, DEV, CAPABILITIES, 1);

	vdevtest_write(g->t, VDEVTEST_MEM, g->vectors, 4, 0xfee00000);
	vdevtest_write(g->t, VDEVTEST_MEM, g->vectors + 8, 4, MESSAGE);
	vdevtest_write(g->t, VDEVTEST_MEM, g->vectors + 12, 4, 0);
	vdevtest_pci_write(g->t, DEV, capability + 2, 2, 0x8000);
}

static uint32_t get(struct guest *g, unsigned reg)
{
	return (uint32_t)vdevtest_read(g->t, VDEVTEST_MEM, g->registers + reg, 4);
}

static void set(struct guest *g, unsigned reg, uint32_t value)
{
	vdevtest_write(g->t, VDEVTEST_MEM, g->registers + reg, 4, value);
}

static void sends_a_message(void **state)
{
	struct guest g = start();
	uint64_t address;
	uint32_t data;

	(void)state;
	msix_on(&g);
	assert_int_equal(get(&g, 0), 0x31564551);
	set(&g, 4, 5000);
	assert_int_equal(get(&g, 4), 5000);
	assert_true(vdevtest_clock_set(g.t, 5 * MS - 1));
	assert_int_equal(vdevtest_messages(g.t, 0, &address, &data), 0);
	assert_true(vdevtest_clock_set(g.t, 5 * MS));
	assert_int_equal(vdevtest_messages(g.t, WAIT_MS, &address, &data), 1);
	assert_int_equal(data, MESSAGE);
	assert_int_equal(get(&g, 8), 1);
	vdevtest_end(g.t);
}

static void raises_its_pin(void **state)
{
	struct guest g = start();
	unsigned line = vdevtest_pci_read(g.t, DEV, INTERRUPT_LINE, 1);

	(void)state;
	set(&g, 4, 5000);
	assert_true(vdevtest_clock_set(g.t, 5 * MS));
	assert_true(vdevtest_line(g.t, line, NULL));
	set(&g, 8, 0);
	assert_false(vdevtest_line(g.t, line, NULL));
	vdevtest_end(g.t);
}

static void stops(void **state)
{
	struct guest g = start();

	(void)state;
	set(&g, 4, 5000);
	set(&g, 4, 0);
	assert_true(vdevtest_clock_set(g.t, 9 * MS));
	assert_int_equal(get(&g, 8), 0);
	vdevtest_end(g.t);
}

static void takes_an_identity(void **state)
{
	struct guest g = start_with(PLATFORM "vdev @NAME@ identity 0x1234");

	(void)state;
	assert_int_equal(get(&g, 0), 0x1234);
	vdevtest_end(g.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_a_message),
		cmocka_unit_test(raises_its_pin),
		cmocka_unit_test(stops),
		cmocka_unit_test(takes_an_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
