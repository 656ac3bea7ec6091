/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space: slots, headers, both ways of access, capabilities, listing.
 */
#include "pci/testing.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t ones(unsigned len)
{
	return UINT64_MAX >> (64 - 8 * len);
}

static void test_slots(void **state)
{
	struct pci_device_info info = { .name = "x", .devfn = PCI_DEVFN_NEXT, .vendor = 1 };
	struct pci_listing list[40];
	struct pci_device *dev;
	struct machine m;

	(void)state;
	machine_create(&m);
	machine_add(&m, PCI_DEVFN(2, 0), 0x2222, 1);
	machine_add(&m, PCI_DEVFN_NEXT, 0x1111, 1);
	machine_add(&m, PCI_DEVFN_NEXT, 0x3333, 1);
	assert_int_equal(pci_bus_list(m.pci, list, 40), 4);
	assert_int_equal(list[0].devfn, 0);
	assert_int_equal(list[1].devfn, PCI_DEVFN(1, 0));
	assert_int_equal(list[1].vendor, 0x1111);
	assert_int_equal(list[2].vendor, 0x2222);
	assert_int_equal(list[3].devfn, PCI_DEVFN(3, 0));
	assert_int_equal(list[3].vendor, 0x3333);

	info.devfn = PCI_DEVFN(2, 0);
	assert_int_equal(pci_device_add(m.pci, &info, &dev), -EEXIST);
	info.devfn = PCI_DEVFN(32, 0);
	assert_int_equal(pci_device_add(m.pci, &info, &dev), -EINVAL);
	info.devfn = -2;
	assert_int_equal(pci_device_add(m.pci, &info, &dev), -EINVAL);
	info.devfn = PCI_DEVFN_NEXT;
	for (unsigned i = 4; i < 32; i++)
		assert_int_equal(pci_device_add(m.pci, &info, &dev), 0);
	assert_int_equal(pci_device_add(m.pci, &info, &dev), -ENOSPC);
	machine_start(&m);
	info.devfn = PCI_DEVFN(31, 1);
	assert_int_equal(pci_device_add(m.pci, &info, &dev), -EBUSY);
	machine_destroy(&m);
}

/*
 * What is not configured reads all ones and takes writes without effect, at every width and place.
 */
static void test_empty_slots(void **state)
{
	static const unsigned widths[] = { 1, 2, 4, 8 };
	struct machine m;

	(void)state;
	machine_create(&m);
	machine_start(&m);
	for (unsigned devfn = 1; devfn < 512; devfn += 3) {
		for (unsigned i = 0; i < ARRAY_LEN(widths); i++) {
			for (unsigned offset = 0; offset < 4088; offset += 0x1f) {
				mem_write(&m, ecam(devfn, offset), widths[i], 0);
				assert_int_equal(mem_read(&m, ecam(devfn, offset), widths[i]),
						 ones(widths[i]));
			}
		}
	}
	/* Over the border of two functions, one there and one not: each byte from its own. */
	assert_int_equal(mem_read(&m, ecam(0, 4092), 8), 0xffffffff00000000ull);
	machine_destroy(&m);
}

/* PCI-1 */
static void test_header(void **state)
{
	struct machine m;

	(void)state;
	machine_create(&m);
	machine_add(&m, PCI_DEVFN_NEXT, 0x1af4, 0x1042);
	machine_start(&m);
	assert_int_equal(cfg_read(&m, 0, 0, 4), 0x00021c05);
	assert_int_equal(cfg_read(&m, 8, 0, 4), 0x10421af4);
	assert_int_equal(cfg_read(&m, 8, 8, 4), 0x01800003);
	assert_int_equal(cfg_read(&m, 8, 0x0e, 1), 0);
	assert_int_equal(cfg_read(&m, 8, 0x2c, 4), 0x00771c05);
	assert_int_equal(cfg_read(&m, 8, 0x3d, 1), 0);
	for (unsigned offset = 0; offset < 256; offset += 4)
		cfg_write(&m, 8, offset, 4, UINT32_MAX);
	assert_int_equal(cfg_read(&m, 8, 0, 4), 0x10421af4);
	assert_int_equal(cfg_read(&m, 8, 4, 4), 0x547);
	assert_int_equal(cfg_read(&m, 8, 8, 4), 0x01800003);
	assert_int_equal(cfg_read(&m, 8, 0xc, 4), 0xffff);
	assert_int_equal(cfg_read(&m, 8, 0x10, 4), 0);
	assert_int_equal(cfg_read(&m, 8, 0x2c, 4), 0x00771c05);
	assert_int_equal(cfg_read(&m, 8, 0x30, 4), 0);
	assert_int_equal(cfg_read(&m, 8, 0x3c, 4), 0xff);
	for (unsigned offset = 256; offset < 4096; offset += 4)
		assert_int_equal(cfg_read(&m, 8, offset, 4), 0);
	machine_destroy(&m);
}

static void test_multifunction(void **state)
{
	struct machine m;

	(void)state;
	machine_create(&m);
	machine_add(&m, PCI_DEVFN(4, 0), 1, 1);
	machine_add(&m, PCI_DEVFN(4, 3), 1, 2);
	machine_add(&m, PCI_DEVFN(5, 0), 1, 3);
	machine_start(&m);
	assert_int_equal(cfg_read(&m, PCI_DEVFN(4, 0), 0x0e, 1), 0x80);
	assert_int_equal(cfg_read(&m, PCI_DEVFN(5, 0), 0x0e, 1), 0);
	assert_int_equal(cfg_read(&m, PCI_DEVFN(4, 3), 0, 4), 0x20001);
	machine_destroy(&m);
}

/* Any width at any place: bytes of a model in which only the writable bits change. */
static void test_any_width(void **state)
{
	static const unsigned widths[] = { 1, 2, 4, 8 };
	uint8_t model[4096] = { 0 }, writable[4096] = { 0 };
	struct machine m;

	(void)state;
	srandom(1);
	machine_create(&m);
	machine_add(&m, PCI_DEVFN_NEXT, 0x1234, 0x5678);
	machine_start(&m);
	for (unsigned i = 0; i < 256; i++)
		model[i] = (uint8_t)cfg_read(&m, 8, i, 1);
	writable[4] = 0x47;
	writable[5] = 0x05;
	writable[0xc] = writable[0xd] = writable[0x3c] = 0xff;
	for (unsigned step = 0; step < 100000; step++) {
		unsigned len = widths[random() % 4];
		unsigned offset = (unsigned)(random() % (step % 2 ? 80 : 4096 - 8));
		uint64_t value = (uint64_t)random() << 32 ^ (uint64_t)random() << 8, expected = 0;

		if (random() % 2) {
			mem_write(&m, ecam(8, offset), len, value);
			for (unsigned i = 0; i < len; i++) {
				uint8_t mask = writable[offset + i],
					byte = (uint8_t)(value >> 8 * i);

				model[offset + i] =
					(uint8_t)((model[offset + i] & ~mask) | (byte & mask));
			}
		}
		memcpy(&expected, model + offset, len);
		assert_int_equal(mem_read(&m, ecam(8, offset), len), expected);
	}
	machine_destroy(&m);
}

static void test_ports(void **state)
{
	static const uint8_t body[62] = { [58] = 0xa1, 0xb2, 0xc3, 0xd4 },
			     mask[62] = { [58] = 0xff };
	const struct pci_capability_info cap = {
		.id = 9, .len = sizeof(body), .body = body, .write_mask = mask
	};
	struct pci_device *dev;
	struct machine m;
	unsigned at;

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, PCI_DEVFN(3, 0), 0x1af4, 0x1041);
	for (unsigned i = 0; i < 3; i++) /* up to the last register */
		assert_int_equal(pci_capability_add(dev, &cap, &at), 0);
	machine_start(&m);
	assert_int_equal(io_read(&m, 0xcf8, 4), 0);
	assert_int_equal(io_read(&m, 0xcfc, 4), 0xffffffff); /* not enabled */
	io_write(&m, 0xcf8, 4, 0x80001800 | 0x3);
	assert_int_equal(io_read(&m, 0xcf8, 4), 0x80001800);
	assert_int_equal(io_read(&m, 0xcfc, 4), 0x10411af4);
	assert_int_equal(io_read(&m, 0xcfc, 2), 0x1af4);
	assert_int_equal(io_read(&m, 0xcfe, 2), 0x1041);
	assert_int_equal(io_read(&m, 0xcfd, 1), 0x1a);
	assert_int_equal(io_read(&m, 0xcfd, 2), 0x411a);
	io_write(&m, 0xcf8, 4, 0x80001800 | 0x3c);
	io_write(&m, 0xcfc, 1, 0x5a);
	assert_int_equal(cfg_read(&m, PCI_DEVFN(3, 0), 0x3c, 1), 0x5a);
	/* The address register takes dwords only. */
	io_write(&m, 0xcf8, 1, 0);
	io_write(&m, 0xcf9, 1, 6);
	io_write(&m, 0xcfa, 2, 0);
	assert_int_equal(io_read(&m, 0xcf8, 4), 0x8000183c);
	assert_int_equal(io_read(&m, 0xcf9, 1), 0xff);
	/* Other buses and functions. */
	io_write(&m, 0xcf8, 4, 0x80011800);
	assert_int_equal(io_read(&m, 0xcfc, 4), 0xffffffff);
	io_write(&m, 0xcf8, 4, 0x80ff1800);
	assert_int_equal(io_read(&m, 0xcfc, 4), 0xffffffff);
	io_write(&m, 0xcf8, 4, 0x80001900);
	assert_int_equal(io_read(&m, 0xcfc, 4), 0xffffffff);
	io_write(&m, 0xcfc, 4, 0);
	io_write(&m, 0xcf8, 4, 0x80000000);
	assert_int_equal(io_read(&m, 0xcfc, 4), 0x00021c05);
	/* The upper half of the registers. */
	io_write(&m, 0xcf8, 4, 0x800018fc);
	assert_int_equal(io_read(&m, 0xcfc, 4), 0xd4c3b2a1);
	io_write(&m, 0xcfc, 4, 0x5a);
	assert_int_equal(io_read(&m, 0xcfc, 4), 0xd4c3b25a);
	assert_int_equal(cfg_read(&m, PCI_DEVFN(3, 0), 0xfc, 4), 0xd4c3b25a);
	/* An address without the enable bit reaches nothing. */
	io_write(&m, 0xcf8, 4, 0x00001800);
	assert_int_equal(io_read(&m, 0xcfc, 4), 0xffffffff);
	io_write(&m, 0xcf8, 4, 0x000018fc);
	assert_int_equal(io_read(&m, 0xcfc, 4), 0xffffffff);
	io_write(&m, 0xcfc, 1, 0x77);
	assert_int_equal(cfg_read(&m, PCI_DEVFN(3, 0), 0xfc, 1), 0x5a);
	machine_destroy(&m);
}

static void test_capabilities(void **state)
{
	static const uint8_t body[6] = { 1, 2, 3, 4, 5, 6 }, mask[6] = { 0, 0xf0, 0, 0, 0, 0xff };
	struct pci_capability_info cap = { .id = 9, .len = 6, .body = body, .write_mask = mask };
	struct pci_device *dev;
	struct machine m;
	unsigned first, second, added = 2;

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(pci_capability_add(dev, &cap, &first), 0);
	cap.id = 5;
	cap.write_mask = NULL;
	cap.len = 3;
	assert_int_equal(pci_capability_add(dev, &cap, &second), 0);
	cap.len = 0;
	assert_int_equal(pci_capability_add(dev, &cap, NULL), -EINVAL);
	cap.len = 63;
	assert_int_equal(pci_capability_add(dev, &cap, NULL), -EINVAL);
	cap.len = 6;
	cap.id = 9;
	while (pci_capability_add(dev, &cap, NULL) == 0)
		added++;
	assert_int_equal(added, (256 - 64) / 8);
	assert_int_equal(pci_capability_add(dev, &cap, NULL), -ENOSPC);
	machine_start(&m);
	assert_int_equal(pci_capability_add(dev, &cap, NULL), -EBUSY);
	assert_int_equal(cfg_read(&m, 0, 0x06, 2), 0);
	assert_int_equal(cfg_read(&m, 8, 0x06, 2), 0x10);
	assert_int_equal(cfg_capability(&m, 8, 9, 0), first);
	assert_int_equal(cfg_capability(&m, 8, 5, 0), second);
	assert_int_equal(cfg_capability(&m, 8, 9, added - 2), 256 - 8);
	assert_int_equal(cfg_capability(&m, 8, 9, added - 1), 0);
	cfg_write(&m, 8, first, 4, UINT32_MAX);
	cfg_write(&m, 8, first + 4, 4, 0);
	cfg_write(&m, 8, second, 4, UINT32_MAX);
	assert_int_equal(cfg_read(&m, 8, first, 4), 0xf2010009 | (second << 8));
	assert_int_equal(cfg_read(&m, 8, first + 4, 4), 0x00050403);
	assert_int_equal(cfg_read(&m, 8, second + 2, 2), 0x0201);
	machine_destroy(&m);
}

struct window_log {
	unsigned reads, writes;
	uint8_t cap[12];
};

static void log_read(void *opaque, const uint8_t *cap, uint8_t data[4])
{
	struct window_log *log = opaque;

	log->reads++;
	memcpy(log->cap, cap, sizeof(log->cap));
	memcpy(data, "\x11\x22\x33\x44", 4);
}

static void log_write(void *opaque, const uint8_t *cap)
{
	struct window_log *log = opaque;

	log->writes++;
	memcpy(log->cap, cap, sizeof(log->cap));
}

static void test_window(void **state)
{
	static const struct pci_window_ops ops = { log_read, log_write };
	static const uint8_t body[10] = { 0 };
	static const uint8_t mask[10] = { 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct window_log log = { 0 };
	struct pci_capability_info cap = {
		.id = 9,
		.len = 10,
		.body = body,
		.write_mask = mask,
		.window_ops = &ops,
		.opaque = &log,
		.window = 8,
	};
	struct pci_device *dev;
	struct machine m;
	unsigned at;

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	cap.window = 12;
	assert_int_equal(pci_capability_add(dev, &cap, &at), -EINVAL);
	cap.window = 6;
	assert_int_equal(pci_capability_add(dev, &cap, &at), -EINVAL);
	cap.window = 8;
	assert_int_equal(pci_capability_add(dev, &cap, &at), 0);
	assert_int_equal(pci_capability_add(dev, &cap, &at), -EEXIST);
	machine_start(&m);
	cfg_write(&m, 8, at + 4, 4, 0xa1b2c3d4);
	assert_int_equal(cfg_read(&m, 8, at + 4, 4), 0xa1b2c3d4);
	assert_int_equal(log.reads + log.writes, 0);
	assert_int_equal(cfg_read(&m, 8, at + 8, 4), 0x44332211);
	assert_int_equal(cfg_read(&m, 8, at + 9, 1), 0x22);
	assert_int_equal(cfg_read(&m, 8, at + 10, 2), 0x4433);
	assert_int_equal(log.reads, 3);
	assert_memory_equal(log.cap + 4, "\xd4\xc3\xb2\xa1", 4);
	cfg_write(&m, 8, at + 8, 4, 0x04030201);
	assert_memory_equal(log.cap + 8, "\1\2\3\4", 4);
	cfg_write(&m, 8, at + 9, 1, 9);
	assert_memory_equal(log.cap + 8, "\1\x9\3\4", 4);
	assert_int_equal(log.writes, 2);
	/* An access over the register before it is one of each. */
	assert_int_equal(mem_read(&m, ecam(8, at + 4), 8), 0x44332211a1b2c3d4ull);
	assert_int_equal(log.reads, 4);
	machine_destroy(&m);
}

static void test_interrupt_status(void **state)
{
	struct pci_device *dev;
	struct machine m;

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	machine_start(&m);
	pci_intx_set(dev, true);
	assert_int_equal(cfg_read(&m, 8, 6, 2), 8);
	cfg_write(&m, 8, 6, 2, 0xffff);
	assert_int_equal(cfg_read(&m, 8, 6, 2), 8);
	pci_intx_set(dev, false);
	assert_int_equal(cfg_read(&m, 8, 6, 2), 0);
	machine_destroy(&m);
}

static void test_bad_bus(void **state)
{
	struct pci_bus_info info = machine_info();
	struct pci_bus *pb = NULL;

	(void)state;
	info.mem32.start = 0xf0000001;
	assert_int_equal(pci_bus_create(&info, &pb), -EINVAL);
	info = machine_info();
	info.mem64.start = UINT64_MAX - 0xfff;
	assert_int_equal(pci_bus_create(&info, &pb), -EINVAL);
	info = machine_info();
	info.io.len = 0x10000;
	assert_int_equal(pci_bus_create(&info, &pb), -EINVAL);
	info = machine_info();
	info.ecam_base = UINT64_MAX - 0xfffff;
	assert_int_equal(pci_bus_create(&info, &pb), -EINVAL);
	assert_null(pb);
}

/* The configuration regions overlap something: the start fails and names it. */
static void test_attach_overlap(void **state)
{
	const struct bus_region squatter = {
		.space = ENGINE_IO,
		.start = 0xcf9,
		.len = 1,
		.owner = "reset register",
	};
	const char *other = NULL;
	struct machine m;

	(void)state;
	machine_create(&m);
	assert_int_equal(pci_bus_attach(m.pci, m.bus, m.irq, m.engine, &other),
			 -EINVAL); /* not placed */
	assert_int_equal(bus_region_replace(m.bus, NULL, &squatter, NULL), 0);
	assert_int_equal(pci_bus_place(m.pci, NULL, NULL), 0);
	assert_int_equal(pci_bus_attach(m.pci, m.bus, m.irq, m.engine, &other), -EEXIST);
	assert_string_equal(other, "reset register");
	assert_int_equal(bus_region_replace(m.bus, &squatter, NULL, NULL), 0);
	machine_destroy(&m);
}

/* PCI-34: pins to lines by the usual swizzle, one level for all on a line, Interrupt Disable. */
static void test_lines(void **state)
{
	static const int places[] = { PCI_DEVFN(1, 0), PCI_DEVFN(1, 1), PCI_DEVFN(2, 0),
				      PCI_DEVFN(5, 0), PCI_DEVFN(7, 5) };
	static const unsigned pins[] = { 1, 2, 1, 1, 2 }, lines[] = { 1, 2, 2, 1, 0 };
	struct pci_device *devs[ARRAY_LEN(places)];
	struct machine m;

	(void)state;
	machine_create(&m);
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		devs[i] = machine_add(&m, places[i], 0x1af4, 0x1042);
		assert_int_equal(pci_pin_add(devs[i]), 0);
	}
	machine_add(&m, PCI_DEVFN(9, 0), 0x1af4, 0x1042);
	assert_int_equal(pci_bus_pins(m.pci), 1u << 1 | 1u << 2 | 1u << 5 | 1u << 7);
	machine_start(&m);
	assert_int_equal(pci_pin_add(devs[0]), -EBUSY);
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		unsigned devfn = (unsigned)places[i];

		assert_int_equal(cfg_read(&m, devfn, 0x3d, 1), pins[i]);
		assert_int_equal(cfg_read(&m, devfn, 0x3c, 1), 16 + lines[i]);
		cfg_write(&m, devfn, 0x3c, 2, 0xff0b); /* the line is the guest's, the pin not */
		assert_int_equal(cfg_read(&m, devfn, 0x3c, 2), pins[i] << 8 | 0x0b);
		pci_intx_set(devs[i], true);
		for (unsigned l = 0; l < PCI_NUM_LINES; l++)
			assert_int_equal(m.levels[l], l == lines[i]);
		cfg_write(&m, devfn, 4, 2, 0x400);
		assert_false(m.levels[lines[i]]);
		assert_int_equal(cfg_read(&m, devfn, 6, 2) & 8, 8);
		cfg_write(&m, devfn, 4, 2, 0);
		assert_true(m.levels[lines[i]]);
		pci_intx_set(devs[i], false);
		assert_false(m.levels[lines[i]]);
	}
	assert_int_equal(cfg_read(&m, PCI_DEVFN(9, 0), 0x3c, 2), 0);
	/* Two on one line */
	pci_intx_set(devs[0], true);
	pci_intx_set(devs[3], true);
	pci_intx_set(devs[0], false);
	assert_true(m.levels[1]);
	cfg_write(&m, (unsigned)places[3], 4, 2, 0x400);
	assert_false(m.levels[1]);
	pci_device_reset(devs[3]);
	assert_true(m.levels[1]); /* it still asks, and nothing disables it any more */
	machine_destroy(&m);
}

static void count_master(void *opaque, bool on)
{
	unsigned *count = opaque;

	count[on]++;
}

static void test_bus_master(void **state)
{
	unsigned count[2] = { 0 };
	struct pci_device *dev;
	struct machine m;

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, 8, 0x1af4, 0x1042);
	pci_master_watch(dev, count_master, count);
	machine_start(&m);
	cfg_write(&m, 8, 4, 2, 2);
	assert_int_equal(count[0] + count[1], 0);
	cfg_write(&m, 8, 4, 1, 4);
	cfg_write(&m, 8, 4, 2, 0x406);
	assert_int_equal(count[1], 1);
	assert_int_equal(count[0], 0);
	cfg_write(&m, 8, 4, 4, 0);
	assert_int_equal(count[0], 1);
	cfg_write(&m, 8, 4, 2, 4);
	pci_device_reset(dev);
	pci_device_reset(dev);
	assert_int_equal(count[1], 2);
	assert_int_equal(count[0], 2);
	machine_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_empty_slots),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_multifunction),
		cmocka_unit_test(test_any_width),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_interrupt_status),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_bus_master),
		cmocka_unit_test(test_bad_bus),
		cmocka_unit_test(test_attach_overlap),
	};

	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
