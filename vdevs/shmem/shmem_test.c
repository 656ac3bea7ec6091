/* SPDX-License-Identifier: Apache-2.0 */
/* vdev shmem as a guest sees it, on the bench: clients are attachments of one guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <qvm/x/test.h>
#include "guest_shm.h"

#define FACTORY UINT64_C(0x1c050000)
#define KERNEL	"vdev ioapic name pic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "
#define MMIO	"ram 64m " KERNEL "vdev shmem loc 0x1c050000 intr pic:5 "

enum { LINE = 5, DEV = 1 };

static struct vdevtest *t;
static uint64_t factory;

static void start(const char *options)
{
	char text[512];

	snprintf(text, sizeof(text), MMIO "%s", options);
	t = vdevtest_start(text);
	if (!t)
		fail_msg("%s", vdevtest_errors());
	factory = FACTORY;
}

static int end(void **state)
{
	(void)state;
	vdevtest_end(t);
	return 0;
}

static uint64_t get(uint64_t addr, unsigned len)
{
	return vdevtest_read(t, VDEVTEST_MEM, addr, len);
}

static void put(uint64_t addr, unsigned len, uint64_t value)
{
	vdevtest_write(t, VDEVTEST_MEM, addr, len, value);
}

static void put_name(const char *name)
{
	char bytes[SHM_NAME_SIZE] = "";

	memcpy(bytes, name, strnlen(name, sizeof(bytes)));
	for (unsigned i = 0; i < sizeof(bytes); i++)
		put(factory + FACTORY_NAME + i, 1, (uint8_t)bytes[i]);
}

/* As a guest does it; returns the control page. */
static uint64_t attach_status(const char *name, uint32_t pages, enum shm_status status)
{
	put_name(name);
	put(factory + FACTORY_SIZE, 4, pages);
	assert_int_equal(get(factory + FACTORY_STATUS, 4), status);
	if (status != SHM_OK)
		assert_int_equal(get(factory + FACTORY_SHMEM, 8), 0);
	return get(factory + FACTORY_SHMEM, 8);
}

static uint64_t attach(const char *name, uint32_t pages)
{
	return attach_status(name, pages, SHM_OK);
}

static void test_identity(void **state)
{
	(void)state;
	t = vdevtest_start("ram 64m " KERNEL "vdev shmem");
	assert_non_null(t);
	assert_int_equal(vdevtest_pci_read(t, DEV, 0, 4), 0x00011c05);
	assert_int_equal(vdevtest_pci_read(t, DEV, 8, 4), 0x05800000);
	assert_int_equal(vdevtest_pci_read(t, DEV, 0x3d, 1), 1);
	vdevtest_pci_write(t, DEV, 4, 2, 6);
	factory = vdevtest_pci_read(t, DEV, 0x10, 4) & ~15u;
	assert_int_equal(get(factory, 8), SHM_SIGNATURE);
	assert_int_equal(get(factory + FACTORY_VECTOR, 4), vdevtest_pci_read(t, DEV, 0x3c, 1));
}

/* Two clients see one memory; it is zeroed, and larger than asked for is what is there. */
static void test_shared(void **state)
{
	uint64_t one, two, other;

	(void)state;
	start("");
	assert_int_equal(get(factory, 8), SHM_SIGNATURE);
	assert_int_equal(get(factory + FACTORY_VECTOR, 4), LINE);
	one = attach("demo", 3);
	assert_int_equal(get(factory + FACTORY_SIZE, 4), 3);
	two = attach("demo", 1);
	assert_int_equal(get(factory + FACTORY_SIZE, 4), 3);
	other = attach("other", 1);
	assert_true(one % SHM_PAGE == 0 && two % SHM_PAGE == 0 && one != two);
	for (uint64_t at = SHM_PAGE; at < 4 * SHM_PAGE; at += 8)
		assert_int_equal(get(one + at, 8), 0);
	put(one + 2 * SHM_PAGE + 8, 8, 0x1122334455667788);
	assert_int_equal(get(two + 2 * SHM_PAGE + 8, 4), 0x55667788);
	assert_int_equal(get(other + SHM_PAGE + 8, 8), 0);
	assert_int_equal(get(other + 2 * SHM_PAGE, 1), 0xff); /* its end */
	assert_int_equal(get(one + CONTROL_IDX, 4), 0);
	assert_int_equal(get(two + CONTROL_IDX, 4), 1);
	assert_int_equal(get(two + CONTROL_STATUS, 4) >> 16, 3);
	assert_int_equal(get(other + CONTROL_STATUS, 4) >> 16, 1);
}

static void test_names_and_sizes(void **state)
{
	uint64_t at;

	(void)state;
	start("");
	attach_status("", 1, SHM_ILLEGAL_NAME);
	attach_status("a/b", 1, SHM_ILLEGAL_NAME);
	attach_status("two words", 1, SHM_ILLEGAL_NAME);
	attach_status("0123456789012345678901234567890", 1, SHM_OK);
	attach_status("01234567890123456789012345678901", 1, SHM_ILLEGAL_NAME);
	attach_status("none", 0, SHM_DOES_NOT_EXIST);
	attach_status("large", 16385, SHM_NOMEM);
	attach_status("large", UINT32_MAX, SHM_NOMEM);
	at = attach("half", 8192);
	attach_status("more", 8192, SHM_NOMEM); /* one page is another's */
	put(at + CONTROL_DETACH, 4, 1);
	attach("more", 8192);
	assert_int_equal(get(factory + FACTORY_SIZE, 4), 8192);
}

/* 16 clients of a region, 32 regions; what is detached can be had again. */
static void test_limits(void **state)
{
	uint64_t clients[SHM_MAX_CLIENTS];
	char name[SHM_NAME_SIZE];

	(void)state;
	start("");
	for (unsigned i = 0; i < SHM_MAX_CLIENTS; i++)
		clients[i] = attach("r0", 1);
	attach_status("r0", 1, SHM_CLIENT_MAX);
	put(clients[7] + CONTROL_DETACH, 4, 0);
	assert_int_equal(get(clients[7], 4), UINT32_MAX); /* nothing lies there any more */
	clients[7] = attach("r0", 1);
	assert_int_equal(get(clients[7] + CONTROL_IDX, 4), 7);
	for (unsigned i = 1; i < 32; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		attach(name, 1);
	}
	attach_status("r32", 1, SHM_NOMEM);
}

/* Attaching again and again leaks nothing: places, memory and regions come back. */
static void test_no_leak(void **state)
{
	uint64_t first = 0;

	(void)state;
	start("create kept,4096");
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t one = attach("gone", 2), two = attach("kept", 9);

		if (!first)
			first = one;
		assert_int_equal(one, first);
		assert_int_equal(get(one + SHM_PAGE, 4), 0); /* new each time */
		assert_int_equal(get(two + SHM_PAGE, 4), i);
		put(one + SHM_PAGE, 4, 77);
		put(two + SHM_PAGE, 4, i + 1);
		put(one + CONTROL_DETACH, 4, 1);
		put(two + CONTROL_DETACH, 4, 1);
	}
	/* Without ever detaching the bounds answer, and the VM lives. */
	for (unsigned i = 0; i < 100; i++) {
		put_name("kept");
		put(factory + FACTORY_SIZE, 4, 1);
	}
	assert_int_equal(get(factory + FACTORY_STATUS, 4), SHM_CLIENT_MAX);
}

static void test_notify(void **state)
{
	uint64_t one, two, three;

	(void)state;
	start("");
	one = attach("demo", 1);
	assert_false(vdevtest_line(t, LINE, NULL));
	two = attach("demo", 1);
	assert_true(vdevtest_line(t, LINE, NULL)); /* the first hears of the second */
	assert_int_equal(get(one + CONTROL_STATUS, 4), 0x30000);
	assert_false(vdevtest_line(t, LINE, NULL));
	three = attach("demo", 1);
	(void)get(one, 4), (void)get(two, 4), (void)get(three, 4);
	assert_false(vdevtest_line(t, LINE, NULL));

	put(three + CONTROL_NOTIFY, 4, UINT32_MAX); /* everyone else */
	put(one + CONTROL_NOTIFY, 4, 1 << 1 | 1 << 9 | 1u << 31);
	assert_true(vdevtest_line(t, LINE, NULL));
	assert_int_equal(get(three + CONTROL_STATUS, 4), 0x70000);
	assert_int_equal(get(two + CONTROL_STATUS, 2),
			 1 << 0 | 1 << 2); /* a part of it clears nothing */
	assert_int_equal(get(two + CONTROL_STATUS, 4), 0x70005);
	assert_int_equal(get(two + CONTROL_STATUS, 4), 0x70000);
	assert_true(vdevtest_line(t, LINE, NULL));
	assert_int_equal(get(one + CONTROL_STATUS, 4), 0x70004);
	assert_false(vdevtest_line(t, LINE, NULL));
	put(one + CONTROL_NOTIFY, 4, 1); /* oneself, if that is wanted */
	assert_int_equal(get(one + CONTROL_STATUS, 4), 0x70001);

	put(three + CONTROL_NOTIFY, 4, 1);
	put(three + CONTROL_DETACH, 4, 1);
	assert_true(vdevtest_line(t, LINE, NULL));
	assert_int_equal(get(one + CONTROL_STATUS, 4), 0x30004);
	assert_int_equal(get(two + CONTROL_STATUS, 4), 0x30000);
	assert_false(vdevtest_line(t, LINE, NULL));
	put(three + CONTROL_NOTIFY, 4, UINT32_MAX); /* who has left reaches nobody */
	assert_false(vdevtest_line(t, LINE, NULL));
	/* A line that stays high for one who is gone would never fall. */
	put(one + CONTROL_NOTIFY, 4, 2);
	put(two + CONTROL_DETACH, 4, 1);
	(void)get(one, 4);
	assert_false(vdevtest_line(t, LINE, NULL));
}

/* By PCI: a message for each event, or the pin. */
static void test_messages(void **state)
{
	uint64_t one, two;
	uint32_t data = 0;
	unsigned cap;

	(void)state;
	t = vdevtest_start("ram 64m " KERNEL "vdev shmem");
	assert_non_null(t);
	vdevtest_pci_write(t, DEV, 4, 2, 6);
	factory = vdevtest_pci_read(t, DEV, 0x10, 4) & ~15u;
	one = attach("demo", 1);
	two = attach("demo", 1);
	assert_true(vdevtest_line(t, (unsigned)get(factory + FACTORY_VECTOR, 4), NULL));
	(void)get(one, 4);
	assert_false(vdevtest_line(t, (unsigned)get(factory + FACTORY_VECTOR, 4), NULL));

	cap = vdevtest_pci_read(t, DEV, 0x34, 1);
	assert_int_equal(vdevtest_pci_read(t, DEV, cap, 1), 0x11);
	uint64_t table = vdevtest_pci_read(t, DEV, 0x14, 4) & ~15u;

	put(table, 4, 0xfee00000);
	put(table + 8, 4, 0x44);
	put(table + 12, 4, 0);
	vdevtest_pci_write(t, DEV, cap + 2, 2, 0x8000);
	put(one + CONTROL_NOTIFY, 4, UINT32_MAX);
	assert_int_equal(vdevtest_messages(t, 0, NULL, &data), 1);
	assert_int_equal(data, 0x44);
	put(one + CONTROL_NOTIFY, 4, UINT32_MAX); /* nothing new */
	assert_int_equal(vdevtest_messages(t, 0, NULL, NULL), 0);
	assert_int_equal(get(two, 4), 0x30001);
	put(one + CONTROL_NOTIFY, 4, UINT32_MAX);
	assert_int_equal(vdevtest_messages(t, 0, NULL, NULL), 1);
}

static void test_rules(void **state)
{
	(void)state;
	start("deny pluto allow pluto* allow mars");
	attach_status("pluto", 1, SHM_NO_PERMISSION);
	attach_status("pluto2", 1, SHM_OK);
	attach_status("mars", 1, SHM_OK);
	attach_status("venus", 1, SHM_NO_PERMISSION);
	vdevtest_end(t);
	start("deny [mv]*");
	attach_status("mars", 1, SHM_NO_PERMISSION);
	attach_status("pluto", 1, SHM_OK);
}

static void test_find(void **state)
{
	char name[SHM_NAME_SIZE + 1] = "";

	(void)state;
	start("create first,4097 create hidden,1 create third,1m deny hidden");
	put(factory + FACTORY_FIND, 4, 1);
	assert_int_equal(get(factory + FACTORY_STATUS, 4), SHM_OK);
	assert_int_equal(get(factory + FACTORY_SIZE, 4), 256);
	for (unsigned i = 0; i < SHM_NAME_SIZE; i++)
		name[i] = (char)get(factory + FACTORY_NAME + i, 1);
	assert_string_equal(name, "third");
	put(factory + FACTORY_SIZE, 4, 0); /* that one, as large as it is */
	assert_int_equal(get(factory + FACTORY_STATUS, 4), SHM_OK);
	assert_int_equal(get(factory + FACTORY_SIZE, 4), 256);
	put(factory + FACTORY_FIND, 4, 2);
	assert_int_equal(get(factory + FACTORY_STATUS, 4), SHM_DOES_NOT_EXIST);
	put(factory + FACTORY_FIND, 4, UINT32_MAX);
	assert_int_equal(get(factory + FACTORY_STATUS, 4), SHM_DOES_NOT_EXIST);
	put(factory + FACTORY_FIND, 4, 0);
	assert_int_equal(get(factory + FACTORY_SIZE, 4), 2);
}

/* Any width at any place is answered; what can only be read stays. */
static void test_widths(void **state)
{
	uint64_t pages[2], signature = SHM_SIGNATURE;

	(void)state;
	start("");
	pages[0] = factory;
	pages[1] = attach("demo", 1);
	for (unsigned at = 0; at < 8; at++)
		assert_int_equal(get(factory + at, 1), ((const uint8_t *)&signature)[at]);
	for (unsigned n = 0; n < 2; n++)
		for (unsigned len = 1; len <= 8; len *= 2)
			for (unsigned at = 0; at < SHM_PAGE - 8; at++) {
				bool acts = n && at <= CONTROL_DETACH && at + len >= CONTROL_END;

				(void)get(pages[n] + at, len);
				if (!acts)
					put(pages[n] + at, len, UINT64_MAX);
			}
	assert_int_equal(get(factory, 8), SHM_SIGNATURE);
	assert_int_equal(get(factory + SHM_PAGE - 8, 8), 0);
	assert_int_equal(get(pages[1] + CONTROL_IDX, 4), 0);
	/* Name and size by one access. */
	put_name("demo");
	put(factory + FACTORY_SIZE, 8, (uint64_t)0x6f6d6564 << 32 | 1);
	assert_int_equal(get(factory + FACTORY_STATUS, 4), SHM_OK);
	assert_int_equal(get(pages[1] + CONTROL_STATUS, 4) >> 16, 3);
}

static void refused(const char *options, const char *why)
{
	char text[512];

	snprintf(text, sizeof(text), "ram 64m vdev shmem %s", options);
	assert_null(vdevtest_start(text));
	if (!strstr(vdevtest_errors(), why))
		fail_msg("%s", vdevtest_errors());
}

static void test_refused(void **state)
{
	(void)state;
	refused("create x", "is no NAME,SIZE");
	refused("create x,0", "is no size");
	refused("create x,2g", "is no size");
	refused("create ,1", "is no name");
	refused("create a/b,1", "is no name");
	refused("create 01234567890123456789012345678901,1", "is no name");
	refused("create x,1 create x,2", "made twice");
	refused("loc 0x1c050000", "needs an interrupt");
}

/* Windows lie where nothing is, reserved places included. */
static void test_places(void **state)
{
	uint64_t at;

	(void)state;
	t = vdevtest_start("ram 64m reserve loc 0x4000000,0x100000 " KERNEL
			   "vdev trace loc 0x4101000 vdev shmem loc 0x1c050000 intr pic:5");
	assert_non_null(t);
	factory = FACTORY;
	at = attach("small", 1);
	assert_int_equal(at, 0x4102000); /* one page is free before vdev trace, two are needed */
	at = attach("large", 16383);
	assert_true(at >= 0x4104000 && at + 16384ull * SHM_PAGE <= 0xe0000000);
	assert_true(at + 16384ull * SHM_PAGE <= FACTORY || at > FACTORY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_identity, end),
		cmocka_unit_test_teardown(test_shared, end),
		cmocka_unit_test_teardown(test_names_and_sizes, end),
		cmocka_unit_test_teardown(test_limits, end),
		cmocka_unit_test_teardown(test_no_leak, end),
		cmocka_unit_test_teardown(test_notify, end),
		cmocka_unit_test_teardown(test_messages, end),
		cmocka_unit_test_teardown(test_rules, end),
		cmocka_unit_test_teardown(test_find, end),
		cmocka_unit_test_teardown(test_widths, end),
		cmocka_unit_test(test_refused),
		cmocka_unit_test_teardown(test_places, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
