/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X: capability, table, masks, pending bits, and what reaches the interrupt machine.
 */
#include "pci/testing.h"

#include <errno.h>
#include <stdlib.h>

enum {
	DEVFN = 8,
	VECTORS = 70,
	TABLE = 0x1000,
	PBA = 0x1800,
	BAR_SIZE = 0x2000,
	ENABLE = 0x8000,
	MASK_ALL = 0x4000,
};

static unsigned routings; /* calls of routes_set */
static struct engine_ops counting_ops;
static const struct engine_ops *bench_ops;

static int counting_routes_set(struct engine *e, const struct engine_msi_route *routes,
			       unsigned num)
{
	routings++;
	for (unsigned i = 0; i < num; i++)
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(routes[i].gsi, routes[k].gsi);
	return bench_ops->routes_set(e, routes, num);
}

static enum bus_result device_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	(void)cookie;
	++*(unsigned *)opaque;
	if (!acc->write)
		memset(acc->data, 0x5a, acc->len);
	return BUS_OK;
}

struct fixture {
	struct machine m;
	struct pci_device *dev;
	unsigned control; /* offset of the control word */
	unsigned device_accesses;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct pci_bar_info bar = {
		.type = PCI_BAR_MEM32,
		.size = BAR_SIZE,
		.handler = device_access,
		.opaque = &f->device_accesses,
	};

	machine_create(&f->m);
	bench_ops = f->m.engine->ops;
	counting_ops = *bench_ops;
	counting_ops.routes_set = counting_routes_set;
	f->m.engine->ops = &counting_ops;
	f->dev = machine_add(&f->m, PCI_DEVFN_NEXT, 1, 1);
	assert_int_equal(pci_bar_add(f->dev, 2, &bar), 0);
	assert_int_equal(pci_msix_add(f->dev, 0, 2, TABLE, 2, PBA), -EINVAL);
	assert_int_equal(pci_msix_add(f->dev, 2049, 2, 0, 2, PBA), -EINVAL);
	assert_int_equal(pci_msix_add(f->dev, VECTORS, 1, TABLE, 1, PBA), -EINVAL);
	assert_int_equal(pci_msix_add(f->dev, VECTORS, 6, TABLE, 6, PBA), -EINVAL);
	assert_int_equal(pci_msix_add(f->dev, VECTORS, 2, TABLE + 4, 2, PBA), -EINVAL);
	assert_int_equal(pci_msix_add(f->dev, VECTORS, 2, TABLE, 2, TABLE + 0x400), -EINVAL);
	assert_int_equal(pci_msix_add(f->dev, VECTORS, 2, BAR_SIZE - 0x400, 2, 0), -EINVAL);
	assert_int_equal(pci_msix_add(f->dev, VECTORS, 2, TABLE, 2, BAR_SIZE - 8), -EINVAL);
	assert_int_equal(pci_msix_add(f->dev, VECTORS, 2, TABLE, 2, PBA), 0);
	assert_int_equal(pci_msix_add(f->dev, VECTORS, 2, TABLE, 2, PBA), -EEXIST);
	machine_start(&f->m);
	cfg_write(&f->m, DEVFN, 4, 2, 6);
	f->control = cfg_capability(&f->m, DEVFN, 0x11, 0) + 2;
	routings = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_destroy(&f->m);
	free(f);
	return 0;
}

static void control(struct fixture *f, uint32_t value)
{
	cfg_write(&f->m, DEVFN, f->control, 2, value);
}

static uint64_t entry(unsigned vector)
{
	return MEM32_BASE + TABLE + 16ull * vector;
}

/* Message and mask of a vector, as drivers write them: four dwords. */
static void entry_set(struct fixture *f, unsigned vector, uint32_t data, bool masked)
{
	mem_write(&f->m, entry(vector) + 12, 4, 1);
	mem_write(&f->m, entry(vector), 4, 0xfee01000);
	mem_write(&f->m, entry(vector) + 4, 4, 0);
	mem_write(&f->m, entry(vector) + 8, 4, data);
	mem_write(&f->m, entry(vector) + 12, 4, masked);
}

static void mask(struct fixture *f, unsigned vector, bool masked)
{
	mem_write(&f->m, entry(vector) + 12, 4, masked);
}

static unsigned messages(struct fixture *f, uint32_t *ret_data)
{
	return bench_messages(f->m.engine, 0, NULL, ret_data);
}

static bool pending(struct fixture *f, unsigned vector)
{
	return mem_read(&f->m, MEM32_BASE + PBA + vector / 64 * 8, 8) >> vector % 64 & 1;
}

static void test_capability(void **state)
{
	struct fixture *f = *state;
	struct pci_listing list[2];

	assert_int_equal(cfg_read(&f->m, DEVFN, f->control, 2), VECTORS - 1);
	assert_int_equal(cfg_read(&f->m, DEVFN, f->control + 2, 4), TABLE | 2);
	assert_int_equal(cfg_read(&f->m, DEVFN, f->control + 6, 4), PBA | 2);
	cfg_write(&f->m, DEVFN, f->control, 2, 0xffff);
	cfg_write(&f->m, DEVFN, f->control + 2, 4, 0xffffffff);
	assert_int_equal(cfg_read(&f->m, DEVFN, f->control, 2), ENABLE | MASK_ALL | (VECTORS - 1));
	assert_int_equal(cfg_read(&f->m, DEVFN, f->control + 2, 4), TABLE | 2);
	assert_int_equal(pci_bus_list(f->m.pci, list, 2), 2);
	assert_int_equal(list[1].msix_vectors, VECTORS);
	assert_int_equal(pci_msix_vectors(f->dev), VECTORS);
}

static void test_deliver(void **state)
{
	struct fixture *f = *state;
	uint32_t data = 0;

	pci_msix_signal(f->dev, 3); /* off: nothing, not even pending */
	control(f, ENABLE);
	assert_true(pci_msix_enabled(f->dev));
	entry_set(f, 3, 0x4041, false);
	assert_int_equal(messages(f, &data), 0);
	pci_msix_signal(f->dev, 3);
	assert_int_equal(messages(f, &data), 1);
	assert_int_equal(data, 0x4041);
	pci_msix_signal(f->dev, VECTORS);
	pci_msix_signal(f->dev, 0xffff);
	pci_msix_signal(f->dev, UINT32_MAX);
	assert_int_equal(messages(f, &data), 0);
	control(f, 0);
	pci_msix_signal(f->dev, 3);
	assert_int_equal(messages(f, &data), 0);
	control(f, ENABLE);
	assert_int_equal(messages(f, &data), 0);
	assert_false(pending(f, 3));
}

static void test_masks(void **state)
{
	struct fixture *f = *state;
	uint32_t data = 0;

	control(f, ENABLE);
	entry_set(f, 0, 0x50, false);
	entry_set(f, 69, 0x51, true);
	pci_msix_signal(f->dev, 69);
	pci_msix_signal(f->dev, 69);
	assert_int_equal(messages(f, &data), 0);
	assert_true(pending(f, 69));
	assert_false(pending(f, 0));
	assert_int_equal(mem_read(&f->m, MEM32_BASE + PBA + 8, 1), 1 << 5);
	assert_int_equal(mem_read(&f->m, MEM32_BASE + PBA + 8, 4), 1 << 5);
	mask(f, 69, false);
	assert_int_equal(messages(f, &data), 1);
	assert_int_equal(data, 0x51);
	assert_false(pending(f, 69));

	control(f, ENABLE | MASK_ALL);
	pci_msix_signal(f->dev, 0);
	assert_int_equal(messages(f, &data), 0);
	assert_true(pending(f, 0));
	mem_write(&f->m, MEM32_BASE + PBA, 8, 0); /* read-only */
	assert_true(pending(f, 0));
	control(f, ENABLE);
	assert_int_equal(messages(f, &data), 1);
	assert_int_equal(data, 0x50);

	/* What was pending when MSI-X went off is forgotten. */
	mask(f, 0, true);
	pci_msix_signal(f->dev, 0);
	assert_true(pending(f, 0));
	control(f, 0);
	assert_false(pending(f, 0));
	control(f, ENABLE);
	assert_false(pending(f, 0));
	mask(f, 0, false);
	assert_int_equal(messages(f, &data), 0);
}

/* The routing table is touched when an unmasked vector's message changed, and not otherwise. */
static void test_routing(void **state)
{
	struct fixture *f = *state;

	entry_set(f, 1, 0x61, false);
	assert_int_equal(routings, 0);
	control(f, ENABLE | MASK_ALL);
	assert_int_equal(routings, 0);
	control(f, ENABLE);
	assert_int_equal(routings, 1);
	mask(f, 1, true);
	mask(f, 1, false);
	control(f, ENABLE | MASK_ALL);
	control(f, ENABLE);
	mem_write(&f->m, entry(1) + 8, 4, 0x61);
	assert_int_equal(routings, 1);
	entry_set(f, 1, 0x62, true);
	assert_int_equal(routings, 1);
	mask(f, 1, false);
	assert_int_equal(routings, 2);
	mem_write(&f->m, entry(1) + 8, 4, 0x63); /* live */
	assert_int_equal(routings, 3);
	pci_msix_signal(f->dev, 1);
	uint32_t data;

	assert_int_equal(messages(f, &data), 1);
	assert_int_equal(data, 0x63);
}

/*
 * Any width at any place, a model of the bytes beside it; nothing reaches the device's own handler.
 */
static void test_any_width(void **state)
{
	static const unsigned widths[] = { 1, 2, 4, 8 };
	struct fixture *f = *state;
	uint8_t model[VECTORS * 16 + 8] = { 0 };

	srandom(3);
	control(f, ENABLE | MASK_ALL);
	for (unsigned i = 0; i < VECTORS; i++)
		model[16 * i + 12] = 1;
	for (unsigned step = 0; step < 50000; step++) {
		unsigned len = widths[random() % 4];
		unsigned offset = (unsigned)random() % (VECTORS * 16);
		uint64_t value = (uint64_t)random() << 32 ^ (uint64_t)random() << 4, expected = 0;

		if (random() % 2) {
			mem_write(&f->m, entry(0) + offset, len, value);
			for (unsigned i = offset; i < offset + len && i < VECTORS * 16; i++) {
				uint8_t bits = i % 16 == 0    ? 0xfc
					       : i % 16 < 12  ? 0xff
					       : i % 16 == 12 ? 1
							      : 0;

				model[i] = (uint8_t)((model[i] & ~bits) |
						     ((value >> 8 * (i - offset)) & bits));
			}
		}
		memcpy(&expected, model + offset, len);
		assert_int_equal(mem_read(&f->m, entry(0) + offset, len), expected);
	}
	for (unsigned offset = PBA; offset < PBA + 16; offset++) {
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(mem_read(&f->m, MEM32_BASE + offset, widths[i]), 0);
			mem_write(&f->m, MEM32_BASE + offset, widths[i], UINT64_MAX);
		}
	}
	for (unsigned offset = 0; offset < VECTORS * 16; offset++)
		assert_int_equal(mem_read(&f->m, entry(0) + offset, 1), model[offset]);
	assert_int_equal(f->device_accesses, 0);
	assert_int_equal(mem_read(&f->m, MEM32_BASE + PBA + 16, 1), 0x5a);
	assert_int_equal(mem_read(&f->m, MEM32_BASE, 4), 0x5a5a5a5a);
	assert_int_equal(f->device_accesses, 2);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;
	uint32_t data;

	control(f, ENABLE);
	entry_set(f, 2, 0x71, false);
	entry_set(f, 3, 0x72, true);
	pci_msix_signal(f->dev, 3);
	pci_device_reset(f->dev);
	assert_false(pci_msix_enabled(f->dev));
	assert_int_equal(cfg_read(&f->m, DEVFN, f->control, 2), VECTORS - 1);
	pci_msix_signal(f->dev, 2);
	assert_int_equal(messages(f, &data), 0);
	cfg_write(&f->m, DEVFN, 4, 2, 6);
	assert_int_equal(mem_read(&f->m, entry(2), 8), 0);
	assert_int_equal(mem_read(&f->m, entry(2) + 8, 8), 1ull << 32);
	control(f, ENABLE);
	assert_false(pending(f, 3));
}

/* A message is a write to memory: without bus mastering it waits, as if masked. */
static void test_bus_master(void **state)
{
	struct fixture *f = *state;
	uint32_t data;

	control(f, ENABLE);
	entry_set(f, 5, 0x55, false);
	cfg_write(&f->m, DEVFN, 4, 2, 2);
	pci_msix_signal(f->dev, 5);
	assert_int_equal(bench_messages(f->m.engine, 20, NULL, NULL), 0);
	assert_true(pending(f, 5));
	cfg_write(&f->m, DEVFN, 4, 2, 6);
	assert_int_equal(bench_messages(f->m.engine, 1000, NULL, &data), 1);
	assert_int_equal(data, 0x55);
	pci_msix_signal(f->dev, 5);
	assert_int_equal(bench_messages(f->m.engine, 1000, NULL, &data), 1);
	pci_device_reset(f->dev);
	cfg_write(&f->m, DEVFN, 4, 2, 2);
	control(f, ENABLE);
	entry_set(f, 5, 0x55, false);
	pci_msix_signal(f->dev, 5);
	assert_int_equal(bench_messages(f->m.engine, 20, NULL, NULL), 0);
}

/* While MSI-X is on the pin's status bit is not shown. */
static void test_no_pin(void **state)
{
	struct fixture *f = *state;

	pci_intx_set(f->dev, true);
	assert_int_equal(cfg_read(&f->m, DEVFN, 6, 2), 0x18);
	control(f, ENABLE);
	assert_int_equal(cfg_read(&f->m, DEVFN, 6, 2), 0x10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_capability, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deliver, setup, teardown),
		cmocka_unit_test_setup_teardown(test_masks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_routing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_width, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bus_master, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_pin, setup, teardown),
	};

	return cmocka_run_group_tests_name("msix", tests, NULL, NULL);
}
