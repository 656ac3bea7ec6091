/* SPDX-License-Identifier: Apache-2.0 */
/* Run with "--dump DIR" it writes the tables of all cases to files DIR/CASE/SIGNATURE.dat instead
 * of testing. */
#include "boot/acpi.h"
#include "boot/acpi_cases.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define GPA_BASE 0xe0000u
#define MAX_LEN	 0x20000u

static uint64_t load_le(const uint8_t *p, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | p[bytes];
	return value;
}

static uint8_t sum_of(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return sum;
}

static const struct acpi_config *config_of(const char *name)
{
	for (size_t i = 0; i < acpi_num_cases; i++) {
		if (!strcmp(acpi_cases[i].name, name))
			return &acpi_cases[i].cfg;
	}
	fail_msg("no case %s", name);
	return NULL;
}

static void build(const char *name, struct acpi_tables *ret)
{
	assert_int_equal(acpi_build(config_of(name), GPA_BASE, MAX_LEN, ret), 0);
}

static const struct acpi_table *find(const struct acpi_tables *t, const char *signature)
{
	for (size_t i = 0; i < t->num_tables; i++) {
		if (!strcmp(t->tables[i].signature, signature))
			return &t->tables[i];
	}
	return NULL;
}

static const uint8_t *bytes_of(const struct acpi_tables *t, const char *signature)
{
	const struct acpi_table *table = find(t, signature);

	assert_non_null(table);
	return t->data + table->offset;
}

static void test_checksums_and_pointers(void **state)
{
	(void)state;
	for (size_t i = 0; i < acpi_num_cases; i++) {
		struct acpi_tables t;
		const uint8_t *rsdp, *xsdt, *rsdt;
		size_t entries;

		build(acpi_cases[i].name, &t);
		rsdp = t.data;
		assert_int_equal(t.rsdp_gpa, GPA_BASE);
		assert_memory_equal(rsdp, "RSD PTR ", 8);
		assert_int_equal(rsdp[15], 2);
		assert_int_equal(sum_of(rsdp, 20), 0);
		assert_int_equal(sum_of(rsdp, 36), 0);
		assert_int_equal(load_le(rsdp + 20, 4), 36);

		for (size_t j = 0; j < t.num_tables; j++) {
			const uint8_t *p = t.data + t.tables[j].offset;

			assert_true(
				range_inside(t.tables[j].offset, t.tables[j].len, 36, t.len - 36));
			assert_int_equal(t.tables[j].offset % 16, 0);
			assert_memory_equal(p, t.tables[j].signature, 4);
			assert_int_equal(load_le(p + 4, 4), t.tables[j].len);
			assert_int_equal(sum_of(p, t.tables[j].len), 0);
			assert_memory_equal(p + 10, "BLKHD BULKHEAD", 14);
		}

		xsdt = bytes_of(&t, "XSDT");
		rsdt = bytes_of(&t, "RSDT");
		assert_int_equal(load_le(rsdp + 24, 8), GPA_BASE + (size_t)(xsdt - t.data));
		assert_int_equal(load_le(rsdp + 16, 4), GPA_BASE + (size_t)(rsdt - t.data));
		entries = (find(&t, "XSDT")->len - 36) / 8;
		assert_int_equal(entries, 2u + acpi_cases[i].cfg.pci.present +
						  acpi_cases[i].cfg.hpet.present);
		assert_int_equal((find(&t, "RSDT")->len - 36) / 4, entries);
		for (size_t j = 0; j < entries; j++) {
			uint64_t gpa = load_le(xsdt + 36 + 8 * j, 8);
			const char *const order[] = { "FACP", "APIC", "MCFG", "HPET" };

			assert_int_equal(load_le(rsdt + 36 + 4 * j, 4), gpa);
			assert_ptr_equal(t.data + (gpa - GPA_BASE), bytes_of(&t, order[j]));
		}
		acpi_tables_free(&t);
		assert_null(t.data);
	}
}

static void check_port(const uint8_t *gas, uint16_t port)
{
	assert_int_equal(gas[0], 1);
	assert_int_equal(gas[1], 8);
	assert_int_equal(gas[2], 0);
	assert_int_equal(gas[3], 1);
	assert_int_equal(load_le(gas + 4, 8), port);
}

static void test_fadt(void **state)
{
	struct acpi_tables t;
	const uint8_t *p;

	(void)state;
	build("cpu1_pc", &t);
	p = bytes_of(&t, "FACP");
	assert_int_equal(find(&t, "FACP")->len, 276);
	assert_int_equal(p[8], 6);
	assert_int_equal(load_le(p + 40, 4), load_le(p + 140, 8));
	assert_ptr_equal(t.data + load_le(p + 140, 8) - GPA_BASE, bytes_of(&t, "DSDT"));
	assert_int_equal(load_le(p + 109, 2), 0x07); /* ISA devices, 8042, no VGA */
	assert_int_equal(load_le(p + 112, 4), 0x100435);
	check_port(p + 116, 0x602);
	assert_int_equal(p[128], 1);
	check_port(p + 244, 0x600);
	check_port(p + 256, 0x601);
	acpi_tables_free(&t);

	build("cpu1", &t);
	p = bytes_of(&t, "FACP");
	assert_int_equal(load_le(p + 109, 2), 0x24); /* no VGA, no CMOS clock */
	acpi_tables_free(&t);
}

static void test_madt(void **state)
{
	static const uint8_t lapic[] = { 0, 8, 254, 254, 1, 0, 0, 0 };
	static const uint8_t x2apic[] = { 9, 16, 0, 0, 255, 0, 0, 0, 1, 0, 0, 0, 255, 0, 0, 0 };
	static const uint8_t ioapics[] = { 1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0,  0, 0, 0,
					   1, 12, 1, 0, 0, 0, 0xc1, 0xfe, 24, 0, 0, 0 };
	static const uint8_t overrides[] = { 2, 10, 0, 0, 2, 0, 0, 0, 0x05, 0,
					     2, 10, 0, 9, 9, 0, 0, 0, 0x0f, 0 };
	struct acpi_tables t;
	const uint8_t *p;

	(void)state;
	build("cpu300_odd", &t);
	p = bytes_of(&t, "APIC");
	assert_int_equal(load_le(p + 36, 4), 0xfee00000);
	assert_int_equal(load_le(p + 40, 4), 0);
	assert_memory_equal(p + 44 + 254 * 8, lapic, sizeof(lapic));
	assert_memory_equal(p + 44 + 255 * 8, x2apic, sizeof(x2apic));
	assert_memory_equal(p + 44 + 255 * 8 + 45 * 16, ioapics, sizeof(ioapics));
	assert_int_equal(find(&t, "APIC")->len, 44 + 255 * 8 + 45 * 16 + sizeof(ioapics));
	acpi_tables_free(&t);

	build("cpu1_pc", &t);
	p = bytes_of(&t, "APIC");
	assert_int_equal(load_le(p + 40, 4), 1);
	assert_memory_equal(p + 44 + 8 + 12, overrides, sizeof(overrides));
	acpi_tables_free(&t);
}

static void test_mcfg(void **state)
{
	struct acpi_tables t;
	const uint8_t *p;

	(void)state;
	build("cpu300_odd", &t);
	p = bytes_of(&t, "MCFG");
	assert_int_equal(find(&t, "MCFG")->len, 60);
	assert_int_equal(load_le(p + 44, 8), 0x1000000000);
	assert_int_equal(load_le(p + 52, 2), 0);
	assert_int_equal(p[54], 16);
	assert_int_equal(p[55], 31);
	acpi_tables_free(&t);

	build("cpu1", &t);
	assert_null(find(&t, "MCFG"));
	acpi_tables_free(&t);
}

static void test_dsdt_holds_the_power_button(void **state)
{
	/* _S5 in the root: a package of 4, the first being 5. */
	static const uint8_t s5[] = { 0x08, '_', 'S', '5', '_', 0x12, 0x07, 4, 0x0a, 5, 0, 0, 0 };
	/* Interrupt(consumer, edge, active high, exclusive) { 9 }, end tag. */
	static const uint8_t irq[] = { 0x89, 6, 0, 0x03, 1, 9, 0, 0, 0, 0x79 };
	/* Notify(PWRB, 0x80) */
	static const uint8_t notify[] = { 0x86, 'P', 'W', 'R', 'B', 0x0a, 0x80 };
	struct acpi_tables t;
	const struct acpi_table *dsdt;

	(void)state;
	build("cpu1_pc", &t);
	dsdt = find(&t, "DSDT");
	assert_memory_equal(t.data + dsdt->offset + dsdt->len - sizeof(s5), s5, sizeof(s5));
	assert_non_null(memmem(t.data + dsdt->offset, dsdt->len, irq, sizeof(irq)));
	assert_non_null(memmem(t.data + dsdt->offset, dsdt->len, notify, sizeof(notify)));
	acpi_tables_free(&t);

	build("cpu1", &t);
	dsdt = find(&t, "DSDT");
	assert_null(memmem(t.data + dsdt->offset, dsdt->len, notify, sizeof(notify)));
	acpi_tables_free(&t);
}

static void test_interrupt_routing(void **state)
{
	/* Slot, pin, no link device, GSI. */
	static const uint8_t slot1_a[] = { 0x12, 0x0b, 4, 0x0c, 0xff, 0xff, 1, 0, 0, 0, 0x0a, 17 };
	static const uint8_t slot3_a[] = { 0x12, 0x0c, 4, 0x0c, 0xff, 0xff, 3,
					   0,	 0,    0, 0x0b, 0x2c, 1 };
	static const uint8_t slot31_c[] = { 0x12, 0x0c, 4, 0x0c, 0xff, 0xff, 31,
					    0,	  0x0a, 2, 0,	 0x0a, 17 };
	static const uint8_t slot2[] = { 0x0c, 0xff, 0xff, 2, 0 };
	struct acpi_tables t;
	const struct acpi_table *dsdt;

	(void)state;
	build("cpu4_intx", &t);
	dsdt = find(&t, "DSDT");
	assert_non_null(memmem(t.data + dsdt->offset, dsdt->len, slot1_a, sizeof(slot1_a)));
	assert_non_null(memmem(t.data + dsdt->offset, dsdt->len, slot3_a, sizeof(slot3_a)));
	assert_non_null(memmem(t.data + dsdt->offset, dsdt->len, slot31_c, sizeof(slot31_c)));
	/* Nobody is at 2. */
	assert_null(memmem(t.data + dsdt->offset, dsdt->len, slot2, sizeof(slot2)));
	acpi_tables_free(&t);

	build("cpu1_pc", &t);
	dsdt = find(&t, "DSDT");
	assert_null(memmem(t.data + dsdt->offset, dsdt->len, "_PRT", 4));
	acpi_tables_free(&t);
}

static void expect(const struct acpi_config *cfg, int error)
{
	struct acpi_tables t = { .len = 42 };

	assert_int_equal(acpi_build(cfg, GPA_BASE, MAX_LEN, &t), error);
	assert_int_equal(t.len, 42);
}

static void expect_device(struct acpi_device device, int error)
{
	struct acpi_config cfg = *config_of("cpu1_pc");

	cfg.devices = &device;
	cfg.num_devices = 1;
	expect(&cfg, error);
}

static void expect_resource(struct acpi_resource resource)
{
	expect_device((struct acpi_device){ .hid = "PNP0501",
					    .resources = &resource,
					    .num_resources = 1 },
		      -EINVAL);
}

static void test_bad_devices(void **state)
{
	const struct acpi_device twins[] = { { .name = "TWIN", .hid = "PNP0501", .uid = 1 },
					     { .name = "TWIN", .hid = "PNP0501", .uid = 2 } };
	const struct acpi_device made_up[] = { { .name = "D001", .hid = "PNP0501", .uid = 1 },
					       { .hid = "PNP0501", .uid = 2 } };
	struct acpi_config cfg = *config_of("cpu1_pc");

	(void)state;
	expect_device((struct acpi_device){ .name = "PCI0", .hid = "PNP0501" }, -EEXIST);
	expect_device((struct acpi_device){ .name = "C000", .hid = "PNP0501" }, -EEXIST);
	expect_device((struct acpi_device){ .name = "COM", .hid = "PNP0501" }, -EINVAL);
	expect_device((struct acpi_device){ .name = "COMPORT", .hid = "PNP0501" }, -EINVAL);
	expect_device((struct acpi_device){ .name = "1COM", .hid = "PNP0501" }, -EINVAL);
	expect_device((struct acpi_device){ .name = "com1", .hid = "PNP0501" }, -EINVAL);
	expect_device((struct acpi_device){ .name = "A.BC", .hid = "PNP0501" }, -EINVAL);
	expect_device((struct acpi_device){ .hid = "PNP050" }, -EINVAL);
	expect_device((struct acpi_device){ .hid = "pnp0501" }, -EINVAL);
	expect_device((struct acpi_device){ .hid = "PNP05G1" }, -EINVAL);
	expect_device((struct acpi_device){ .hid = "LNRO00055" }, -EINVAL);
	expect_device((struct acpi_device){ .hid = "LNRO000G" }, -EINVAL);
	expect_device((struct acpi_device){ .hid = "" }, -EINVAL);
	expect_device((struct acpi_device){ .hid = "PNP0501", .cid = "*PNP0501" }, -EINVAL);
	expect_resource((struct acpi_resource){ .kind = ACPI_RESOURCE_IO, .base = 0x3f8 });
	expect_resource(
		(struct acpi_resource){ .kind = ACPI_RESOURCE_IO, .base = 0x3f8, .len = 256 });
	expect_resource(
		(struct acpi_resource){ .kind = ACPI_RESOURCE_IO, .base = 0xffff, .len = 2 });
	expect_resource(
		(struct acpi_resource){ .kind = ACPI_RESOURCE_IO, .base = 0x10000, .len = 1 });
	expect_resource((struct acpi_resource){ .kind = ACPI_RESOURCE_MEMORY, .base = 0x1000 });
	expect_resource((struct acpi_resource){
		.kind = ACPI_RESOURCE_MEMORY, .base = UINT64_MAX, .len = 2 });

	cfg.devices = twins;
	cfg.num_devices = 2;
	expect(&cfg, -EEXIST);
	cfg.devices = made_up;
	expect(&cfg, -EEXIST);
}

static void test_bad_machine(void **state)
{
	const struct acpi_config *good = config_of("cpu1_pc");
	struct acpi_tables t = { .len = 42 };
	struct acpi_config cfg;

	(void)state;
	cfg = *good;
	cfg.num_cpus = 0;
	expect(&cfg, -EINVAL);
	cfg.num_cpus = ACPI_MAX_CPUS + 1;
	expect(&cfg, -EINVAL);
	cfg = *good;
	cfg.sleep_port = 0xffff;
	expect(&cfg, -EINVAL);
	cfg = *good;
	cfg.pci.first_bus = 1;
	expect(&cfg, -EINVAL);
	cfg = *good;
	cfg.pci.ecam_base += 0x1000;
	expect(&cfg, -EINVAL);
	cfg = *good;
	cfg.pci.ecam_base = 0xfffffffffff00000;
	expect(&cfg, -EINVAL);
	cfg = *good;
	cfg.pci.io.last = 0x10000;
	expect(&cfg, -EINVAL);
	cfg = *good;
	cfg.pci.memory32.last = 0x100000000;
	expect(&cfg, -EINVAL);
	cfg = *good;
	cfg.pci.memory64 = (struct acpi_window){ 0, UINT64_MAX };
	expect(&cfg, -EINVAL);

	assert_int_equal(acpi_build(good, GPA_BASE + 8, MAX_LEN, &t), -EINVAL);
	assert_int_equal(acpi_build(good, 0xffff0000, MAX_LEN, &t), -EINVAL);
	assert_int_equal(acpi_build(good, UINT64_MAX - 15, MAX_LEN, &t), -EINVAL);
	assert_int_equal(acpi_build(good, GPA_BASE, 512, &t), -ENOSPC);
	assert_int_equal(t.len, 42);
}

static void test_exact_limit(void **state)
{
	struct acpi_tables t, again;

	(void)state;
	build("cpu16_pc", &t);
	assert_int_equal(acpi_build(config_of("cpu16_pc"), GPA_BASE, t.len - 1, &again), -ENOSPC);
	assert_int_equal(acpi_build(config_of("cpu16_pc"), GPA_BASE, t.len, &again), 0);
	assert_int_equal(again.len, t.len);
	assert_memory_equal(again.data, t.data, t.len);
	acpi_tables_free(&again);
	acpi_tables_free(&t);
}

static void test_most_cpus(void **state)
{
	struct acpi_config cfg = *config_of("cpu1");
	struct acpi_tables t;

	(void)state;
	cfg.num_cpus = ACPI_MAX_CPUS;
	assert_int_equal(acpi_build(&cfg, 0x100000, 0x100000, &t), 0);
	acpi_tables_free(&t);
}

static int dump_bytes(const char *dir, const char *name, const uint8_t *data, size_t len)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
	f = fopen(path, "wb");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f)) {
		perror(path);
		return 1;
	}
	return 0;
}

static int dump_case(const char *dir, const struct acpi_case *c)
{
	char sub[2048];
	struct acpi_tables t;
	int r;

	snprintf(sub, sizeof(sub), "%s/%s", dir, c->name);
	r = acpi_build(&c->cfg, GPA_BASE, MAX_LEN, &t);
	if (r < 0 || (mkdir(sub, 0777) < 0 && errno != EEXIST)) {
		fprintf(stderr, "%s: %s\n", sub, strerror(r < 0 ? -r : errno));
		return 1;
	}
	r = dump_bytes(sub, "RSDP", t.data, 36);
	for (size_t i = 0; r == 0 && i < t.num_tables; i++)
		r = dump_bytes(sub, t.tables[i].signature, t.data + t.tables[i].offset,
			       t.tables[i].len);
	acpi_tables_free(&t);
	return r;
}

static void test_fixed_registers(void **state)
{
	struct acpi_tables t;
	const uint8_t *fadt, *facs, *hpet;

	(void)state;
	build("cpu2_fixed", &t);
	fadt = bytes_of(&t, "FACP");
	facs = t.data + (load_le(fadt + 36, 4) - GPA_BASE);
	assert_int_equal((facs - t.data + GPA_BASE) % 64, 0);
	assert_memory_equal(facs, "FACS\x40\0\0\0", 8);
	assert_int_equal(load_le(fadt + 46, 2), 9);
	assert_int_equal(load_le(fadt + 48, 4), 0); /* always in ACPI mode */
	assert_int_equal(load_le(fadt + 56, 4), 0x604);
	assert_int_equal(load_le(fadt + 64, 4), 0x608);
	assert_int_equal(fadt[88], 4);
	assert_int_equal(fadt[89], 2);
	assert_int_equal(fadt[108], 0x32);
	assert_int_equal(load_le(fadt + 112, 4) & (1u << 20 | 1u << 4), 0);
	assert_int_equal(load_le(fadt + 152, 8), 0x604);
	assert_int_equal(load_le(fadt + 176, 8), 0x608);
	assert_int_equal(find(&t, "FACP")->len, 276);
	hpet = bytes_of(&t, "HPET");
	assert_int_equal(find(&t, "HPET")->len, 56);
	assert_int_equal(load_le(hpet + 36, 4), 0x1c05a201);
	assert_int_equal(load_le(hpet + 44, 8), 0xf8008000);
	assert_int_equal(load_le(hpet + 53, 2), 128);
	acpi_tables_free(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksums_and_pointers),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt),
		cmocka_unit_test(test_mcfg),
		cmocka_unit_test(test_dsdt_holds_the_power_button),
		cmocka_unit_test(test_interrupt_routing),
		cmocka_unit_test(test_bad_devices),
		cmocka_unit_test(test_bad_machine),
		cmocka_unit_test(test_exact_limit),
		cmocka_unit_test(test_fixed_registers),
		cmocka_unit_test(test_most_cpus),
	};

	if (argc != 3 || strcmp(argv[1], "--dump"))
		return cmocka_run_group_tests(tests, NULL, NULL);
	for (size_t i = 0; i < acpi_num_cases; i++) {
		if (dump_case(argv[2], &acpi_cases[i]))
			return 1;
	}
	return 0;
}
