/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function with a device of the host's behind it: what of configuration space is the core's and
 * what the device's, MSI, and who is told of what.
 */
#include "pci/testing.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEVFN = 8, MSI = 0x50, MSI_CONTROL = MSI + 2, BAR_SIZE = 0x2000 };

struct fixture {
	struct machine m;
	struct pci_device *dev;
	uint32_t written, commands, told; /* what came last, how often it was told */
	unsigned written_at, written_len;
	bool mapped;
	uint64_t mapped_at;
};

static uint32_t device_read(void *opaque, unsigned offset)
{
	(void)opaque;
	return offset == 4 ? 0x00181234 : 0xd0000000 | offset;
}

static void device_write(void *opaque, unsigned offset, unsigned len, uint32_t value)
{
	struct fixture *f = opaque;

	f->written = value;
	f->written_at = offset;
	f->written_len = len;
}

static void device_command(void *opaque, uint16_t command)
{
	((struct fixture *)opaque)->commands = command;
}

static void device_messages(void *opaque)
{
	((struct fixture *)opaque)->told++;
}

static void device_mapped(void *opaque, unsigned cookie, bool on, uint64_t addr)
{
	struct fixture *f = opaque;

	assert_int_equal(cookie, 7);
	assert_int_not_equal(f->mapped, on);
	if (!on)
		assert_int_equal(f->mapped_at, addr);
	f->mapped = on;
	f->mapped_at = addr;
}

static const struct pci_forward_ops ops = { device_read, device_write, device_command,
					    device_messages };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct pci_bar_info bar = { .type = PCI_BAR_MEM32,
					  .size = BAR_SIZE,
					  .opaque = f,
					  .cookie = 7,
					  .mapped = device_mapped };

	machine_create(&f->m);
	f->dev = machine_add(&f->m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(pci_bar_add(f->dev, 0, &bar), 0);
	pci_forward_set(f->dev, &ops, f);
	pci_capability_place(f->dev, MSI);
	assert_int_equal(pci_msi_add(f->dev, 6, true), -EINVAL);
	assert_int_equal(pci_msi_add(f->dev, 2, true), 0);
	assert_int_equal(pci_msi_add(f->dev, 2, true), -EEXIST);
	machine_start(&f->m);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_destroy(&f->m);
	assert_false(f->mapped);
	free(f);
	return 0;
}

static void test_configuration_space_is_shared(void **state)
{
	struct fixture *f = *state;

	/* The core's: ids, BARs, the command register, MSI. The device's: status, all else. */
	assert_int_equal(cfg_read(&f->m, DEVFN, 0, 4), 0x00010001);
	assert_int_equal(cfg_read(&f->m, DEVFN, 4, 4), 0x00180000);
	assert_int_equal(cfg_read(&f->m, DEVFN, 0x40, 4), 0xd0000040);
	assert_int_equal(cfg_read(&f->m, DEVFN, 0x42, 1), 0);
	assert_int_equal(cfg_read(&f->m, DEVFN, 0x43, 1), 0xd0);
	assert_int_equal(cfg_read(&f->m, DEVFN, MSI, 1), 0x05);
	assert_int_equal(cfg_read(&f->m, DEVFN, MSI + 0x10, 4), 0xd0000000 | (MSI + 0x10));
	assert_int_equal(cfg_read(&f->m, DEVFN, 0xffc, 4), 0xd0000ffc);
	cfg_write(&f->m, DEVFN, 0x61, 2, 0xabcd);
	assert_int_equal(f->written, 0xabcd);
	assert_int_equal(f->written_at, 0x61);
	assert_int_equal(f->written_len, 2);
	f->written = 0;
	cfg_write(&f->m, DEVFN, MSI_CONTROL, 2, 0);
	cfg_write(&f->m, DEVFN, 0x10, 4, 0);
	assert_int_equal(f->written, 0);
	cfg_write(&f->m, DEVFN, 4, 2, 0x406);
	assert_int_equal(f->commands, 0x406);
}

static void test_a_bar_is_told_where_it_is(void **state)
{
	struct fixture *f = *state;

	assert_false(f->mapped);
	cfg_write(&f->m, DEVFN, 4, 2, 2);
	assert_true(f->mapped);
	assert_int_equal(f->mapped_at, MEM32_BASE);
	cfg_write(&f->m, DEVFN, 0x10, 4, (uint32_t)MEM32_BASE + 0x10000);
	assert_true(f->mapped);
	assert_int_equal(f->mapped_at, MEM32_BASE + 0x10000);
	cfg_write(&f->m, DEVFN, 4, 2, 0);
	assert_false(f->mapped);
}

static void signal_message(struct fixture *f, unsigned i)
{
	const int fd = pci_message_fd(f->dev, PCI_MESSAGES_MSI, i);

	assert_int_equal(write(fd, &(uint64_t){ 1 }, 8), 8);
}

static void test_msi_sends_what_the_guest_has_set(void **state)
{
	struct fixture *f = *state;
	unsigned num = 9;
	uint64_t addr;
	uint32_t data;

	assert_int_equal(pci_messages_now(f->dev, &num), PCI_MESSAGES_NONE);
	cfg_write(&f->m, DEVFN, 4, 2, 4);
	cfg_write(&f->m, DEVFN, MSI + 4, 4, 0xfee01000);
	cfg_write(&f->m, DEVFN, MSI + 8, 4, 0);
	cfg_write(&f->m, DEVFN, MSI + 12, 2, 0x4346);
	cfg_write(&f->m, DEVFN, MSI_CONTROL, 2, 1 | 1 << 4);
	assert_true(f->told > 0);
	assert_int_equal(pci_messages_now(f->dev, &num), PCI_MESSAGES_MSI);
	assert_int_equal(num, 2);
	assert_int_equal(bench_messages(f->m.engine, 0, NULL, NULL), 0);
	signal_message(f, 1);
	assert_int_equal(bench_messages(f->m.engine, 0, &addr, &data), 1);
	assert_int_equal(addr, 0xfee01000);
	assert_int_equal(data, 0x4347);
	/* The third was not allowed; and nothing is sent by a function that is no bus master. */
	signal_message(f, 2);
	assert_int_equal(bench_messages(f->m.engine, 0, NULL, NULL), 0);
	cfg_write(&f->m, DEVFN, 4, 2, 0);
	signal_message(f, 0);
	assert_int_equal(bench_messages(f->m.engine, 0, NULL, NULL), 0);
	/* What the guest may not change stays. */
	cfg_write(&f->m, DEVFN, MSI_CONTROL, 2, 0xffff);
	assert_int_equal(cfg_read(&f->m, DEVFN, MSI_CONTROL, 2), 0x80 | 2 << 1 | 7 << 4 | 1);
	assert_int_equal(pci_messages_now(f->dev, &num), PCI_MESSAGES_MSI);
	assert_int_equal(num, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_configuration_space_is_shared, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_bar_is_told_where_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(test_msi_sends_what_the_guest_has_set, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
