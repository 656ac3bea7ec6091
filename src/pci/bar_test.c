/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BARs: placing, sizing, decode, moves, doorbells; a random walk and two threads that move them.
 */
#include "pci/testing.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static enum bus_result answer(void *opaque, unsigned cookie, struct bus_access *acc)
{
	uint64_t value = (uint64_t)cookie << 32 | acc->offset;

	(void)opaque;
	if (!acc->write)
		memcpy(acc->data, &value, acc->len);
	return BUS_OK;
}

static int bar_add(struct pci_device *dev, unsigned index, enum pci_bar_type type, uint64_t size)
{
	const struct pci_bar_info info = {
		.type = type, .size = size, .handler = answer, .cookie = index + 1
	};

	return pci_bar_add(dev, index, &info);
}

static void test_bad_bars(void **state)
{
	struct pci_device *dev;
	struct machine m;

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_MEM32, 0x1800), -EINVAL);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_MEM32, 8), -EINVAL);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_MEM32, 1ull << 32), -EINVAL);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_IO, 512), -EINVAL);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_IO, 2), -EINVAL);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_NONE, 16), -EINVAL);
	assert_int_equal(bar_add(dev, 6, PCI_BAR_MEM32, 16), -EINVAL);
	assert_int_equal(bar_add(dev, 5, PCI_BAR_MEM64, 16), -EINVAL);
	assert_int_equal(bar_add(dev, 2, PCI_BAR_MEM64, 16), 0);
	assert_int_equal(bar_add(dev, 2, PCI_BAR_MEM32, 16), -EEXIST);
	assert_int_equal(bar_add(dev, 3, PCI_BAR_MEM32, 16), -EEXIST);
	assert_int_equal(bar_add(dev, 1, PCI_BAR_MEM64, 16), -EEXIST);
	machine_start(&m);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_MEM32, 16), -EBUSY);
	machine_destroy(&m);
}

static void test_place(void **state)
{
	struct pci_device *a, *b;
	struct pci_listing list[3];
	const struct pci_device *culprit = NULL;
	unsigned bar = 99;
	struct machine m;

	(void)state;
	machine_create(&m);
	a = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	b = machine_add(&m, PCI_DEVFN_NEXT, 1, 2);
	assert_int_equal(bar_add(a, 0, PCI_BAR_MEM32, 0x1000), 0);
	assert_int_equal(bar_add(a, 1, PCI_BAR_IO, 0x20), 0);
	assert_int_equal(bar_add(a, 2, PCI_BAR_MEM64, 1ull << 35), 0);
	assert_int_equal(bar_add(b, 0, PCI_BAR_MEM32, 0x4000), 0);
	assert_int_equal(bar_add(b, 1, PCI_BAR_IO, 0x40), 0);
	assert_int_equal(bar_add(b, 2, PCI_BAR_MEM64, 0x2000), 0);
	assert_int_equal(bar_add(b, 4, PCI_BAR_MEM32, 0x1000), 0);
	machine_start(&m);
	assert_int_equal(pci_bus_list(m.pci, list, 3), 3);
	assert_int_equal(list[2].bars[0].addr, MEM32_BASE);
	assert_int_equal(list[1].bars[0].addr, MEM32_BASE + 0x4000);
	assert_int_equal(list[2].bars[4].addr, MEM32_BASE + 0x5000);
	assert_int_equal(list[2].bars[1].addr, IO_BASE);
	assert_int_equal(list[1].bars[1].addr, IO_BASE + 0x40);
	assert_int_equal(list[1].bars[2].addr, MEM64_BASE);
	assert_int_equal(list[2].bars[2].addr, MEM64_BASE + (1ull << 35));
	assert_int_equal(list[1].bars[2].size, 1ull << 35);
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		assert_false(list[1].bars[i].mapped);
	/* The guest finds what the listing shows, the type bits too. */
	assert_int_equal(cfg_read(&m, 8, 0x10, 4), MEM32_BASE + 0x4000);
	assert_int_equal(cfg_read(&m, 8, 0x14, 4), (IO_BASE + 0x40) | 1);
	assert_int_equal(cfg_read(&m, 8, 0x18, 4), 4);
	assert_int_equal(cfg_read(&m, 8, 0x1c, 4), MEM64_BASE >> 32);
	machine_destroy(&m);

	machine_create(&m);
	a = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(bar_add(a, i, PCI_BAR_MEM32, MEM32_SIZE), 0);
	assert_int_equal(pci_bus_place(m.pci, &culprit, &bar), -ENOSPC);
	assert_ptr_equal(culprit, a);
	assert_int_equal(bar, 1);
	machine_destroy(&m);
}

/*
 * Write all ones, read the size, write back: with decode off and on; on, the device stays where it
 * is.
 */
/* PCI-1 */
static void test_sizing(void **state)
{
	struct pci_device *dev;
	struct machine m;

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_MEM32, 0x4000), 0);
	assert_int_equal(bar_add(dev, 1, PCI_BAR_IO, 0x20), 0);
	assert_int_equal(bar_add(dev, 2, PCI_BAR_MEM64, 1ull << 33), 0);
	machine_start(&m);
	for (unsigned decode = 0; decode <= 3; decode += 3) {
		cfg_write(&m, 8, 4, 2, decode);
		for (unsigned i = 0; i < 6; i++) {
			static const uint32_t sizes[6] = { 0xffffc000, 0xffffffe1, 0x00000004,
							   0xfffffffe, 0,	   0 };
			uint32_t old = cfg_read(&m, 8, 0x10 + 4 * i, 4);

			cfg_write(&m, 8, 0x10 + 4 * i, 4, UINT32_MAX);
			assert_int_equal(cfg_read(&m, 8, 0x10 + 4 * i, 4), sizes[i]);
			assert_int_equal(mem_answers(&m, MEM32_BASE), decode != 0);
			assert_int_equal(mem_answers(&m, MEM64_BASE), decode != 0);
			cfg_write(&m, 8, 0x10 + 4 * i, 4, old);
			assert_int_equal(cfg_read(&m, 8, 0x10 + 4 * i, 4), old);
		}
	}
	assert_int_equal(io_read(&m, IO_BASE + 4, 1), 4);
	machine_destroy(&m);
}

static void test_rom(void **state)
{
	struct pci_device *dev;
	struct pci_listing list[2];
	struct machine m;

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(bar_add(dev, PCI_ROM, PCI_BAR_MEM32, 0x800), -EINVAL);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_ROM, 0x800), -EINVAL);
	assert_int_equal(bar_add(dev, PCI_ROM, PCI_BAR_ROM, 0x400), -EINVAL);
	assert_int_equal(bar_add(dev, PCI_ROM, PCI_BAR_ROM, 1 << 25), -EINVAL);
	assert_int_equal(bar_add(dev, PCI_ROM, PCI_BAR_ROM, 0x1000), 0);
	assert_int_equal(bar_add(dev, PCI_ROM, PCI_BAR_ROM, 0x1000), -EEXIST);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_MEM32, 0x1000), 0);
	assert_int_equal(pci_msix_add(dev, 1, PCI_ROM, 0, PCI_ROM, 0x800), -EINVAL);
	machine_start(&m);
	assert_int_equal(pci_bus_list(m.pci, list, 2), 2);
	const uint64_t rom = list[1].bars[PCI_ROM].addr;

	assert_int_equal(cfg_read(&m, 8, 0x30, 4), rom);
	cfg_write(&m, 8, 0x30, 4, 0xfffff800); /* as Linux sizes it */
	assert_int_equal(cfg_read(&m, 8, 0x30, 4), 0xfffff000);
	cfg_write(&m, 8, 0x30, 4, UINT32_MAX);
	assert_int_equal(cfg_read(&m, 8, 0x30, 4), 0xfffff001);
	/* It takes both bits, whichever comes first. */
	cfg_write(&m, 8, 0x30, 4, (uint32_t)rom | 1);
	assert_false(mem_answers(&m, rom));
	cfg_write(&m, 8, 4, 2, 2);
	assert_int_equal(mem_read(&m, rom + 8, 8), 8 | (uint64_t)(PCI_ROM + 1) << 32);
	cfg_write(&m, 8, 0x30, 4, (uint32_t)rom);
	assert_false(mem_answers(&m, rom));
	cfg_write(&m, 8, 0x30, 4, ((uint32_t)rom + 0x10000) | 1);
	assert_false(mem_answers(&m, rom));
	assert_int_equal(mem_read(&m, rom + 0x10000, 4), 0);
	pci_device_reset(dev);
	assert_int_equal(cfg_read(&m, 8, 0x30, 4), rom);
	assert_false(mem_answers(&m, rom + 0x10000));
	cfg_write(&m, 8, 4, 2, 2);
	assert_false(mem_answers(&m, rom));
	/* Without one the register is 0. */
	cfg_write(&m, 0, 0x30, 4, UINT32_MAX);
	assert_int_equal(cfg_read(&m, 0, 0x30, 4), 0);
	machine_destroy(&m);
}

static void test_decode(void **state)
{
	struct pci_device *dev;
	struct machine m;
	uint64_t addr = 7;

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_MEM32, 0x1000), 0);
	assert_int_equal(bar_add(dev, 1, PCI_BAR_IO, 0x20), 0);
	machine_start(&m);
	assert_false(mem_answers(&m, MEM32_BASE));
	assert_false(pci_bar_mapped(dev, 0, &addr));
	assert_false(pci_bar_mapped(dev, 6, &addr));
	assert_int_equal(addr, 7);
	cfg_write(&m, 8, 4, 2, 2);
	assert_int_equal(mem_read(&m, MEM32_BASE + 0x10, 8), 0x100000010ull);
	assert_true(pci_bar_mapped(dev, 0, &addr));
	assert_int_equal(addr, MEM32_BASE);
	assert_false(pci_bar_mapped(dev, 1, &addr));
	cfg_write(&m, 8, 4, 2, 1);
	assert_false(mem_answers(&m, MEM32_BASE));
	assert_int_equal(io_read(&m, IO_BASE + 8, 4), 8);
	pci_device_reset(dev);
	assert_false(pci_bar_mapped(dev, 1, &addr));
	assert_int_equal(cfg_read(&m, 8, 4, 2), 0);
	machine_destroy(&m);
}

static void test_move(void **state)
{
	const struct bus_region squatter = {
		.space = ENGINE_MEM,
		.start = MEM32_BASE + 0x100000,
		.len = 4,
		.handler = answer,
		.owner = "other",
	};
	struct pci_device *dev[2];
	struct machine m;
	uint64_t addr;

	(void)state;
	machine_create(&m);
	for (unsigned i = 0; i < 2; i++) {
		dev[i] = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
		assert_int_equal(bar_add(dev[i], i, PCI_BAR_MEM32, 0x1000), 0);
	}
	machine_start(&m);
	assert_int_equal(bus_region_replace(m.bus, NULL, &squatter, NULL), 0);
	cfg_write(&m, 8, 4, 2, 2);
	cfg_write(&m, 16, 4, 2, 2);
	/* A free place. */
	cfg_write(&m, 8, 0x10, 4, MEM32_BASE + 0x8000);
	assert_false(mem_answers(&m, MEM32_BASE));
	assert_int_equal(mem_read(&m, MEM32_BASE + 0x8004, 8), 0x100000004ull);
	/*
	 * Places that cannot be: outside the windows, over another region, into configuration
	 * space, over a BAR.
	 */
	static const uint64_t refused[] = { 0,
					    0xfffff000,
					    MEM32_BASE - 0x1000,
					    MEM32_BASE + MEM32_SIZE,
					    MEM32_BASE + 0x100000,
					    ECAM_BASE,
					    MEM32_BASE + 0x1000 };

	for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
		cfg_write(&m, 8, 0x10, 4, (uint32_t)refused[i]);
		assert_int_equal(cfg_read(&m, 8, 0x10, 4), (uint32_t)refused[i]);
		assert_true(pci_bar_mapped(dev[0], 0, &addr));
		assert_int_equal(addr, MEM32_BASE + 0x8000);
		assert_int_equal(mem_read(&m, MEM32_BASE + 0x8004, 8), 0x100000004ull);
	}
	/* The place becomes free: it is taken, since that is what the register says. */
	cfg_write(&m, 16, 0x14, 4, MEM32_BASE + 0x20000);
	assert_true(pci_bar_mapped(dev[0], 0, &addr));
	assert_int_equal(addr, MEM32_BASE + 0x1000);
	assert_int_equal(mem_read(&m, MEM32_BASE + 0x20000, 8), 0x200000000ull);
	/* Two BARs change places, one register at a time. */
	cfg_write(&m, 8, 0x10, 4, MEM32_BASE + 0x20000);
	assert_true(pci_bar_mapped(dev[0], 0, &addr));
	assert_int_equal(addr, MEM32_BASE + 0x1000);
	cfg_write(&m, 16, 0x14, 4, MEM32_BASE + 0x1000);
	assert_int_equal(mem_read(&m, MEM32_BASE + 0x20000, 8), 0x100000000ull);
	assert_int_equal(mem_read(&m, MEM32_BASE + 0x1000, 8), 0x200000000ull);
	/* A refused place is refused again after decode was off; then nothing is mapped. */
	cfg_write(&m, 8, 0x10, 4, 0);
	cfg_write(&m, 8, 4, 2, 0);
	cfg_write(&m, 8, 4, 2, 2);
	assert_false(pci_bar_mapped(dev[0], 0, &addr));
	assert_int_equal(bus_region_replace(m.bus, &squatter, NULL, NULL), 0);
	machine_destroy(&m);
}

static void test_move_64(void **state)
{
	struct pci_device *dev;
	struct machine m;

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_MEM64, 0x10000), 0);
	machine_start(&m);
	cfg_write(&m, 8, 4, 2, 2);
	assert_int_equal(mem_read(&m, MEM64_BASE, 8), 0x100000000ull);
	cfg_write(&m, 8, 0x10, 4, 0x30000);
	assert_int_equal(mem_read(&m, MEM64_BASE + 0x30000, 8), 0x100000000ull);
	cfg_write(&m, 8, 0x14, 4, 0x41);
	assert_int_equal(mem_read(&m, 0x4100030000ull, 8), 0x100000000ull);
	/* Below 4 GiB is a window too. */
	cfg_write(&m, 8, 0x10, 4, MEM32_BASE + 0x40000);
	cfg_write(&m, 8, 0x14, 4, 0);
	assert_int_equal(mem_read(&m, MEM32_BASE + 0x40000, 8), 0x100000000ull);
	assert_false(mem_answers(&m, 0x4100030000ull));
	machine_destroy(&m);
}

static bool rang(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static void test_doorbells(void **state)
{
	struct pci_device *dev;
	struct machine m;
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	machine_create(&m);
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_MEM32, 0x1000), 0);
	assert_int_equal(bar_add(dev, 1, PCI_BAR_IO, 0x10), 0);
	assert_int_equal(pci_doorbell_add(dev, 0, 0xfff, 2, fd), -EINVAL);
	assert_int_equal(pci_doorbell_add(dev, 1, 0, 2, fd), -EINVAL);
	assert_int_equal(pci_doorbell_add(dev, 2, 0, 2, fd), -EINVAL);
	assert_int_equal(pci_doorbell_add(dev, 6, 0, 2, fd), -EINVAL);
	assert_int_equal(pci_doorbell_add(dev, 0, 0xffe, 2, fd), 0);
	assert_int_equal(pci_doorbell_add(dev, 0, 0x10, 2, fd), 0);
	machine_start(&m);
	assert_int_equal(pci_doorbell_add(dev, 0, 0x20, 2, fd), -EBUSY);
	assert_false(bench_doorbell(m.engine, ENGINE_MEM, MEM32_BASE + 0x10, 2, 0));
	cfg_write(&m, 8, 4, 2, 2);
	assert_true(bench_doorbell(m.engine, ENGINE_MEM, MEM32_BASE + 0x10, 2, 0));
	assert_true(bench_doorbell(m.engine, ENGINE_MEM, MEM32_BASE + 0xffe, 2, 0));
	assert_true(rang(fd));
	assert_false(bench_doorbell(m.engine, ENGINE_MEM, MEM32_BASE + 0x10, 4, 0));
	/* They move with the BAR, stay when the move fails, go with decode. */
	cfg_write(&m, 8, 0x10, 4, MEM32_BASE + 0x7000);
	assert_false(bench_doorbell(m.engine, ENGINE_MEM, MEM32_BASE + 0x10, 2, 0));
	assert_true(bench_doorbell(m.engine, ENGINE_MEM, MEM32_BASE + 0x7010, 2, 0));
	cfg_write(&m, 8, 0x10, 4, 0);
	assert_true(bench_doorbell(m.engine, ENGINE_MEM, MEM32_BASE + 0x7010, 2, 0));
	assert_true(rang(fd));
	cfg_write(&m, 8, 4, 2, 0);
	assert_false(bench_doorbell(m.engine, ENGINE_MEM, MEM32_BASE + 0x7010, 2, 0));
	assert_false(rang(fd));
	machine_destroy(&m);
	close(fd);
}

static struct engine_ops deaf_ops;
static unsigned deaf_calls;

static int deaf_notify_set(struct engine *e, const struct engine_notify *n, bool on)
{
	(void)e, (void)n;
	assert_true(on); /* what was refused is not taken away */
	deaf_calls++;
	return -ENOSPC;
}

/* An engine that takes no doorbells: the write reaches the handler, the BAR works. */
static void test_doorbell_refused(void **state)
{
	const struct engine_ops *ops;
	struct pci_device *dev;
	struct machine m;

	(void)state;
	machine_create(&m);
	ops = m.engine->ops;
	deaf_ops = *ops;
	deaf_ops.notify_set = deaf_notify_set;
	m.engine->ops = &deaf_ops;
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_MEM32, 0x1000), 0);
	assert_int_equal(pci_doorbell_add(dev, 0, 0x10, 2, 0), 0);
	machine_start(&m);
	cfg_write(&m, 8, 4, 2, 2);
	assert_int_equal(deaf_calls, 1);
	mem_write(&m, MEM32_BASE + 0x10, 2, 0);
	cfg_write(&m, 8, 4, 2, 0);
	machine_destroy(&m);
}

enum { WALK_DEVICES = 3, WALK_BARS = 2, WALK_STEPS = 100000 };

/* What must hold at any moment, whatever was written. */
static void check_mappings(struct machine *m, struct pci_device *const *devs)
{
	struct bus_region regions[WALK_DEVICES * WALK_BARS + 3];
	unsigned num = bus_region_list(m->bus, regions, ARRAY_LEN(regions)), mapped = 0;

	for (unsigned i = 0; i + 1 < num; i++) {
		if (regions[i].space == regions[i + 1].space)
			assert_true(regions[i].start + regions[i].len <= regions[i + 1].start);
	}
	for (unsigned d = 0; d < WALK_DEVICES; d++) {
		unsigned command = cfg_read(m, PCI_DEVFN(d + 1, 0), 4, 2);

		for (unsigned b = 0; b < WALK_BARS; b++) {
			uint32_t written = cfg_read(m, PCI_DEVFN(d + 1, 0), 0x10 + 4 * b, 4) & ~1u;
			uint64_t size = b ? 0x10 : 0x1000, addr = 0,
				 start = b ? IO_BASE : MEM32_BASE;
			bool is = pci_bar_mapped(devs[d], b, &addr);
			bool blocked =
				!range_inside(written, size, start, b ? IO_SIZE : MEM32_SIZE);

			mapped += is;
			if (!(command & (b ? 1 : 2))) {
				assert_false(is);
				continue;
			}
			for (unsigned i = 0; i < num; i++)
				blocked |= regions[i].space == (b ? ENGINE_IO : ENGINE_MEM) &&
					   !(is && regions[i].start == addr) &&
					   range_overlaps(written, size, regions[i].start,
							  regions[i].len);
			if (!blocked)
				assert_true(is && addr == written);
			if (is)
				assert_true(
					range_inside(addr, size, start, b ? IO_SIZE : MEM32_SIZE));
		}
	}
	assert_int_equal(num, mapped + 2); /* and the two configuration regions */
}

static void random_write(struct machine *m, struct bus_reader *reader, unsigned *seed)
{
	unsigned devfn = (unsigned)PCI_DEVFN(1 + rand_r(seed) % WALK_DEVICES, 0);
	uint64_t value;

	switch (rand_r(seed) % 4) {
	case 0:
		value = (uint64_t)(rand_r(seed) % 8);
		guest_access(m, reader, ENGINE_MEM, true, ecam(devfn, 4), 2, &value);
		break;
	case 1: /* any bits, any width */
		value = (uint64_t)rand_r(seed) << 16 ^ (uint64_t)rand_r(seed);
		guest_access(m, reader, ENGINE_MEM, true,
			     ecam(devfn, 0x10 + (unsigned)rand_r(seed) % 8), 1u << rand_r(seed) % 4,
			     &value);
		break;
	case 2:
		value = MEM32_BASE + (uint64_t)(rand_r(seed) % 6) * 0x800;
		guest_access(m, reader, ENGINE_MEM, true, ecam(devfn, 0x10), 4, &value);
		break;
	case 3:
		value = IO_BASE + (uint64_t)(rand_r(seed) % 6) * 8;
		guest_access(m, reader, ENGINE_MEM, true, ecam(devfn, 0x14), 4, &value);
		break;
	}
}

static void walk_create(struct machine *m, struct pci_device **devs, int fd)
{
	machine_create(m);
	for (unsigned i = 0; i < WALK_DEVICES; i++) {
		devs[i] = machine_add(m, PCI_DEVFN_NEXT, 1, 1);
		assert_int_equal(bar_add(devs[i], 0, PCI_BAR_MEM32, 0x1000), 0);
		assert_int_equal(bar_add(devs[i], 1, PCI_BAR_IO, 0x10), 0);
		assert_int_equal(pci_doorbell_add(devs[i], 0, 0x30, 2, fd), 0);
	}
	machine_start(m);
}

/* A doorbell rings at each mapped BAR and nowhere else. */
static void check_doorbells(struct machine *m, struct pci_device *const *devs)
{
	for (unsigned at = 0; at < 8; at++) {
		uint64_t addr, place = MEM32_BASE + at * 0x800ull;
		bool expected = false;

		for (unsigned d = 0; d < WALK_DEVICES; d++)
			expected |= pci_bar_mapped(devs[d], 0, &addr) && addr == place;
		assert_int_equal(bench_doorbell(m->engine, ENGINE_MEM, place + 0x30, 2, 0),
				 expected);
	}
}

static void test_random_walk(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct pci_device *devs[WALK_DEVICES];
	struct machine m;
	unsigned seed = 7;

	(void)state;
	walk_create(&m, devs, fd);
	for (unsigned step = 0; step < WALK_STEPS; step++) {
		random_write(&m, &m.reader, &seed);
		check_mappings(&m, devs);
		if (step % 16 == 0)
			check_doorbells(&m, devs);
	}
	machine_destroy(&m);
	close(fd);
}

struct mover {
	struct machine *m;
	unsigned seed;
	unsigned long writes;
};

static void *move_for_a_second(void *opaque)
{
	struct mover *mover = opaque;
	struct bus_reader reader;
	struct timespec start, now;

	bus_reader_add(mover->m->bus, &reader);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		uint64_t value;

		random_write(mover->m, &reader, &mover->seed);
		guest_access(mover->m, &reader, ENGINE_MEM, false,
			     MEM32_BASE + mover->writes % 0x4000, 1, &value);
		mover->writes++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec <
		 1000000000);
	bus_reader_remove(mover->m->bus, &reader);
	return NULL;
}

static void test_two_movers(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct pci_device *devs[WALK_DEVICES];
	struct mover movers[2];
	pthread_t threads[2];
	struct machine m;

	(void)state;
	walk_create(&m, devs, fd);
	for (unsigned i = 0; i < 2; i++) {
		movers[i] = (struct mover){ .m = &m, .seed = i + 1 };
		assert_int_equal(pthread_create(&threads[i], NULL, move_for_a_second, &movers[i]),
				 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_true(movers[i].writes > 100);
	}
	check_mappings(&m, devs);
	check_doorbells(&m, devs);
	machine_destroy(&m);
	close(fd);
}

/* Where the processor has no ports those of the bus lie in memory. */
static void test_ports_in_memory(void **state)
{
	const uint64_t ports = 0x41000000;
	struct pci_device *dev;
	struct machine m;

	(void)state;
	machine_create_with(&m, ports);
	dev = machine_add(&m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(bar_add(dev, 0, PCI_BAR_IO, 0x20), 0);
	machine_start(&m);
	assert_false(mem_answers(&m, ports + IO_BASE));
	cfg_write(&m, 8, 4, 2, 1);
	assert_true(mem_answers(&m, ports + IO_BASE));
	assert_int_equal(mem_read(&m, ports + IO_BASE + 4, 1), 4);
	assert_int_equal(cfg_read(&m, 8, 0x10, 4), IO_BASE | 1);
	cfg_write(&m, 8, 0x10, 4, IO_BASE + 0x100);
	assert_true(mem_answers(&m, ports + IO_BASE + 0x100));
	assert_false(mem_answers(&m, ports + IO_BASE));
	machine_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_bars),	 cmocka_unit_test(test_place),
		cmocka_unit_test(test_sizing),		 cmocka_unit_test(test_rom),
		cmocka_unit_test(test_decode),		 cmocka_unit_test(test_move),
		cmocka_unit_test(test_move_64),		 cmocka_unit_test(test_doorbells),
		cmocka_unit_test(test_doorbell_refused), cmocka_unit_test(test_ports_in_memory),
		cmocka_unit_test(test_random_walk),	 cmocka_unit_test(test_two_movers),
	};

	return cmocka_run_group_tests_name("bar", tests, NULL, NULL);
}
