/* SPDX-License-Identifier: Apache-2.0 */
/* x/pci.h as a guest and a vdev's author see it. */
#include <qvm/x/test.h>
#include "../../vdevs/common/test_util.h"

#define CONF "ram 1m vdev ioapic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 vdev pciparts "

enum { DEV = 1, COMMAND = 4, CMD_DECODE = 3, CMD_MASTER = 4, CAPABILITIES = 0x34, MSIX_ID = 0x11 };
enum { MSIX_ON = 0x8000, MESSAGE_ADDRESS = 0xfee00000, MESSAGE = 0x40 };

struct guest {
	struct vdevtest *t;
	uint64_t bars[6];
	unsigned msix; /* its capability */
};

static struct guest start(void)
{
	struct guest g = { .t = test_start(CONF) };

	for (unsigned i = 0; i < 6; i++)
		g.bars[i] = vdevtest_pci_read(g.t, DEV, 0x10 + 4 * i, 4) & ~15u;
	g.bars[2] |= (uint64_t)vdevtest_pci_read(g.t, DEV, 0x1c, 4) << 32;
	for (g.msix = vdevtest_pci_read(g.t, DEV, CAPABILITIES, 1);
	     g.msix && vdevtest_pci_read(g.t, DEV, g.msix, 1) != MSIX_ID;)
		g.msix = vdevtest_pci_read(g.t, DEV, g.msix + 1, 1);
	assert_int_not_equal(g.msix, 0);
	vdevtest_pci_write(g.t, DEV, COMMAND, 2, CMD_DECODE);
	return g;
}

static uint32_t get(struct guest *g, unsigned bar)
{
	return (uint32_t)vdevtest_read(g->t, VDEVTEST_MEM, g->bars[bar], 4);
}

static void set(struct guest *g, unsigned bar, uint32_t value)
{
	vdevtest_write(g->t, VDEVTEST_MEM, g->bars[bar], 4, value);
}

static void bars_and_widths(void **state)
{
	struct guest g = start();

	(void)state;
	assert_int_equal(vdevtest_pci_read(g.t, DEV, 0x10, 4) & 7, 0);
	assert_int_equal(vdevtest_pci_read(g.t, DEV, 0x18, 4) & 7, 4);
	set(&g, 0, 5);
	set(&g, 2, 6);
	assert_int_equal(get(&g, 0), 5);
	assert_int_equal(get(&g, 2), 6);
	/* A width that the vdev does not take reaches it in no BAR. */
	assert_int_equal(vdevtest_read(g.t, VDEVTEST_MEM, g.bars[0], 2), 0xffff);
	vdevtest_write(g.t, VDEVTEST_MEM, g.bars[0], 1, 9);
	assert_int_equal(get(&g, 0), 5);
	/* They move. */
	vdevtest_pci_write(g.t, DEV, 0x10, 4, (uint32_t)g.bars[0] + 0x100000);
	assert_int_equal(get(&g, 0), UINT32_MAX);
	g.bars[0] += 0x100000;
	assert_int_equal(get(&g, 0), 5);
	vdevtest_end(g.t);
}

static void capability(void **state)
{
	struct guest g = start();
	unsigned at = vdevtest_pci_read(g.t, DEV, CAPABILITIES, 1);

	(void)state;
	assert_int_equal(vdevtest_pci_read(g.t, DEV, at, 1), 9);
	assert_int_equal(vdevtest_pci_read(g.t, DEV, at + 2, 2), 0x0201);
	vdevtest_pci_write(g.t, DEV, at + 2, 2, 0xbbaa);
	assert_int_equal(vdevtest_pci_read(g.t, DEV, at + 2, 2), 0xbb01);
	vdevtest_end(g.t);
}

static void messages(void **state)
{
	struct guest g = start();
	uint64_t addr;
	uint32_t data;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		vdevtest_write(g.t, VDEVTEST_MEM, g.bars[1] + 16 * i, 4, MESSAGE_ADDRESS);
		vdevtest_write(g.t, VDEVTEST_MEM, g.bars[1] + 16 * i + 8, 4, MESSAGE + i);
		vdevtest_write(g.t, VDEVTEST_MEM, g.bars[1] + 16 * i + 12, 4, 0);
	}
	set(&g, 0, 2); /* MSI-X is off */
	assert_int_equal(get(&g, 4), 0);
	assert_int_equal(vdevtest_messages(g.t, 0, &addr, &data), 0);
	vdevtest_pci_write(g.t, DEV, g.msix + 2, 2, MSIX_ON);
	vdevtest_pci_write(g.t, DEV, COMMAND, 2, CMD_DECODE | CMD_MASTER);
	assert_int_equal(get(&g, 4), 3);
	set(&g, 0, 2);
	assert_int_equal(vdevtest_messages(g.t, WAIT_MS, &addr, &data), 1);
	assert_int_equal(addr, MESSAGE_ADDRESS);
	assert_int_equal(data, MESSAGE + 2);
	set(&g, 0, 3); /* there is none such */
	assert_int_equal(vdevtest_messages(g.t, 0, &addr, &data), 0);
	vdevtest_pci_write(g.t, DEV, COMMAND, 2, CMD_DECODE);
	assert_int_equal(get(&g, 4), 1);
	vdevtest_end(g.t);
}

static void pin(void **state)
{
	struct guest g = start();
	unsigned line = vdevtest_pci_read(g.t, DEV, 0x3c, 1), edges = 0;

	(void)state;
	assert_int_equal(vdevtest_pci_read(g.t, DEV, 0x3d, 1), 1);
	assert_false(vdevtest_line(g.t, line, &edges));
	set(&g, 2, 1);
	assert_true(vdevtest_line(g.t, line, &edges));
	set(&g, 2, 0);
	assert_false(vdevtest_line(g.t, line, &edges));
	vdevtest_pci_write(g.t, DEV, g.msix + 2, 2, MSIX_ON);
	set(&g, 2, 1);
	assert_false(vdevtest_line(g.t, line, &edges));
	vdevtest_end(g.t);
}

static void mistakes(void **state)
{
	static const char *const words[] = {
		[1] = "BAR: there is one already",
		[2] = "BAR: there is one already",
		[3] = "BAR 6: the numbers are 0 to 5",
		[4] = "BAR 5: one of 64 bits takes the next number",
		[5] = "BAR 5: a size of 24 bytes",
		[6] = "BAR 5: a size of 8 bytes",
		[7] = "BAR 5: there is no type 9",
		[8] = "MSI-X table: there is one already",
		[9] = "capability: the ids are 0 to 255, not 256",
		[10] = "capability: 2 to 62 bytes, not 63",
		[11] = "the configuration space is full",
		[12] = "it is a PCI function already",
		[13] = "BAR 5: acc_sizes of its factory is 0",
		[14] = "its factory has no `timer`",
		[15] = "overlaps ram",
		[16] = "overlaps ram",
		[19] = "is no PCI function",
		[20] = "qvmx_pci_function comes first",
	};
	char text[128];

	(void)state;
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!words[i])
			continue;
		snprintf(text, sizeof(text), CONF "mistake %u", i);
		test_refused(text, words[i]);
	}
	/* Too many messages, or files: that is the function's. */
	test_refused("ram 1m vdev pciparts mistake 18 name first vdev pciparts mistake 18 name one",
		     "error: vdev pciparts '");
	test_refused(CONF "loc 0xfa000000", "expected: `loc pci:0:DEV[.FUNC]`");
	test_refused(CONF "intr myioapic:5", "no `intr`: a PCI function's interrupts");
}

/* One that must have a line, and one that must have it unless it is a PCI function. */
static void a_line_beside_the_pin(void **state)
{
	(void)state;
	test_refused("ram 1m vdev pcilined", "needs an interrupt");
	vdevtest_end(test_start("ram 1m vdev ioapic name io vdev pcilined intr io:5"));
	vdevtest_end(test_start("ram 1m vdev ramblk"));
	test_refused("ram 1m vdev ramblk loc 0xfa000000", "needs an interrupt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bars_and_widths),
		cmocka_unit_test(capability),
		cmocka_unit_test(messages),
		cmocka_unit_test(pin),
		cmocka_unit_test(a_line_beside_the_pin),
		cmocka_unit_test(mistakes),
	};

	return cmocka_run_group_tests_name("pciparts", tests, NULL, NULL);
}
