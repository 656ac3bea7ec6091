/* SPDX-License-Identifier: Apache-2.0 */
/* With an argument: writes the trees there, for devtree_dtc_test.py. */
#include <errno.h>
#include <libfdt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "boot/devtree.h"

static const struct boot_range ranges[] = {
	{ 0x80000000, 0x10000000, BOOT_RANGE_RAM },
	{ 0x90000000, 0x1000, BOOT_RANGE_RESERVED },
	{ 0x90001000, 0xffff000, BOOT_RANGE_RAM },
};

static struct devtree_config config_make(unsigned version, bool frame)
{
	return (struct devtree_config){
		.num_cpus = 3,
		.ranges = ranges,
		.num_ranges = ARRAY_LEN(ranges),
		.cmdline = "console=ttyAMA0",
		.initrd = { 0x88000000, 12345 },
		.gic = { .name = "gic",
			 .version = version,
			 .dist = { 0x2f000000, 0x10000 },
			 .cpu = { 0x2f100000, 0x100000 },
			 .its = { 0x2f020000, version == 3 && !frame ? 0x20000 : 0 },
			 .frame = { 0x30000000, frame ? 0x1000 : 0 } },
		.timers = { 29, 30, 27, 26 },
		.pci = { .ecam = { 0x40000000, 0x100000 },
			 .mem32 = { 0x50000000, 0x10000000 },
			 .io = { 0x1000, 0xf000 },
			 .ports = 0x41000000,
			 .has_intx = true,
			 .intx = { 480, 481, 482, 483 } },
	};
}

static const struct devtree_device uart = {
	.kind = "serial",
	.vdev = "tty",
	.compatible = "arm,pl011\0arm,primecell",
	.compatible_len = sizeof("arm,pl011\0arm,primecell"),
	.reg = { 0x1c090000, 0x1000 },
	.intr = 37,
};
static const struct devtree_device disk = {
	.kind = "virtio_mmio",
	.compatible = "virtio,mmio",
	.compatible_len = sizeof("virtio,mmio"),
	.reg = { 0x1c0d0000, 0x1000 },
	.intr = 41,
	.edge = true,
};

static int build(struct devtree *t, const struct devtree_config *config, const void **ret_blob,
		 size_t *ret_len, const char **ret_why)
{
	uint32_t clock = 0;
	int node;

	assert_int_equal(devtree_machine(t, config), 0);
	assert_int_equal(devtree_device(t, devtree_root(t), &disk, &node), 0);
	assert_int_equal(devtree_clock(t, 24000000, &clock), 0);
	assert_int_equal(devtree_device(t, devtree_root(t), &uart, &node), 0);
	assert_int_equal(devtree_prop_cells(t, node, "clocks", (uint32_t[]){ clock, clock }, 2), 0);
	assert_int_equal(devtree_prop(t, node, "clock-names", "uartclk\0apb_pclk", 17), 0);
	assert_int_equal(devtree_node(t, devtree_root(t), "acme", &node), 0);
	assert_int_equal(devtree_prop(t, node, "acme,text", "a \"quote\" and a \\", 18), 0);
	assert_int_equal(devtree_prop(t, node, "acme,empty", "", 1), 0);
	assert_int_equal(devtree_prop(t, node, "acme,bytes", "\1\2\3\4\5", 5), 0);
	assert_int_equal(devtree_node(t, node, "part", &node), 0);
	return devtree_finish(t, ret_blob, ret_len, ret_why);
}

static uint32_t cell(const void *fdt, const char *path, const char *prop, unsigned n)
{
	int len, node = fdt_path_offset(fdt, path);
	const fdt32_t *value = node < 0 ? NULL : fdt_getprop(fdt, node, prop, &len);

	assert_non_null(value);
	assert_true((int)(4 * n) < len);
	return fdt32_to_cpu(value[n]);
}

static const char *text(const void *fdt, const char *path, const char *prop)
{
	int len, node = fdt_path_offset(fdt, path);
	const char *value = node < 0 ? NULL : fdt_getprop(fdt, node, prop, &len);

	assert_non_null(value);
	return value;
}

static void the_machine_is_described(void **state)
{
	const struct devtree_config config = config_make(3, false);
	const char *why = NULL;
	struct devtree *t;
	const void *fdt;
	uint64_t start, len;
	size_t size;

	(void)state;
	assert_int_equal(devtree_create(&t), 0);
	assert_int_equal(build(t, &config, &fdt, &size, &why), 0);
	assert_int_equal(fdt_check_full(fdt, size), 0);
	assert_string_equal(text(fdt, "/", "model"), "QVM-v8A");
	assert_string_equal(text(fdt, "/cpus/cpu@2", "enable-method"), "psci");
	assert_int_equal(fdt_path_offset(fdt, "/cpus/cpu@3"), -FDT_ERR_NOTFOUND);
	assert_string_equal(text(fdt, "/chosen", "bootargs"), "console=ttyAMA0");
	assert_string_equal(text(fdt, "/chosen", "stdout-path"), "/serial@1c090000");
	assert_int_equal(cell(fdt, "/chosen", "linux,initrd-end", 1), 0x88000000 + 12345);
	assert_int_equal(cell(fdt, "/memory@90001000", "reg", 3), 0xffff000);
	assert_int_equal(fdt_num_mem_rsv(fdt), 1);
	assert_int_equal(fdt_get_mem_rsv(fdt, 0, &start, &len), 0);
	assert_int_equal(start, 0x90000000);
	/* Interrupt 27 is the processor's own number 11, 37 the fifth shared one. */
	assert_int_equal(cell(fdt, "/timer", "interrupts", 7), 11);
	assert_int_equal(cell(fdt, "/serial@1c090000", "interrupts", 1), 5);
	assert_int_equal(cell(fdt, "/serial@1c090000", "interrupts", 2), 4);
	assert_int_equal(cell(fdt, "/virtio_mmio@1c0d0000", "interrupts", 2), 1);
	/* Ports: their number on the bus, then where that lies. */
	assert_int_equal(cell(fdt, "/pcie@40000000", "ranges", 7), 0x01000000);
	assert_int_equal(cell(fdt, "/pcie@40000000", "ranges", 9), 0x1000);
	assert_int_equal(cell(fdt, "/pcie@40000000", "ranges", 11), 0x41001000);
	assert_int_equal(cell(fdt, "/pcie@40000000", "ranges", 13), 0xf000);
	/* Device 1, INTB goes to the third line. */
	assert_int_equal(cell(fdt, "/pcie@40000000", "interrupt-map", 50), 1 << 11);
	assert_int_equal(cell(fdt, "/pcie@40000000", "interrupt-map", 53), 2);
	assert_int_equal(cell(fdt, "/pcie@40000000", "interrupt-map", 58), 482 - 32);
	assert_int_equal(
		cell(fdt, "/pcie@40000000", "msi-map", 1),
		cell(fdt, "/interrupt-controller@2f000000/msi-controller@2f020000", "phandle", 0));
	devtree_free(t);
}

static void set_text(void *fdt, int node, const char *name, const char *value)
{
	assert_int_equal(fdt_setprop(fdt, node, name, value, (int)strlen(value) + 1), 0);
}

/* What the user's tree refers to by a stub is our node afterwards. */
static void user_make(void *fdt, size_t room, const char *name)
{
	int node;

	assert_int_equal(fdt_create_empty_tree(fdt, (int)room), 0);
	set_text(fdt, 0, "compatible", "acme,board");
	node = fdt_add_subnode(fdt, 0, "stub");
	set_text(fdt, node, "qvm,vdev", name);
	fdt_setprop_u32(fdt, node, "phandle", 77);
	node = fdt_add_subnode(fdt, 0, "widget");
	fdt_setprop_u32(fdt, node, "interrupt-parent", 77);
	node = fdt_add_subnode(fdt, 0, "chosen");
	set_text(fdt, node, "stdout-path", "/widget");
}

static void stubs_are_redirected(void **state)
{
	static uint8_t user[4096], twice[4096];
	const struct devtree_config config = config_make(3, false);
	const char *why = NULL;
	struct devtree *t;
	const void *fdt;
	size_t size;

	(void)state;
	user_make(user, sizeof(user), "gic");
	assert_int_equal(devtree_create(&t), 0);
	assert_int_equal(devtree_user(t, user, sizeof(user), &why), 0);
	assert_int_equal(devtree_user(t, user, sizeof(user), &why), -EINVAL);
	assert_int_equal(build(t, &config, &fdt, &size, &why), 0);
	assert_int_equal(fdt_path_offset(fdt, "/stub"), -FDT_ERR_NOTFOUND);
	assert_int_equal(cell(fdt, "/interrupt-controller@2f000000", "phandle", 0), 77);
	assert_int_equal(cell(fdt, "/widget", "interrupt-parent", 0), 77);
	assert_int_equal(cell(fdt, "/", "interrupt-parent", 0), 77);
	assert_int_not_equal(cell(fdt, "/clock-24000000", "phandle", 0), 77);
	assert_string_equal(text(fdt, "/", "compatible"), "acme,board");
	assert_string_equal(text(fdt, "/chosen", "stdout-path"), "/widget");
	assert_string_equal(text(fdt, "/chosen", "bootargs"), "console=ttyAMA0");
	devtree_free(t);

	user_make(user, sizeof(user), "nobody");
	assert_int_equal(devtree_create(&t), 0);
	assert_int_equal(devtree_user(t, user, sizeof(user), &why), 0);
	assert_int_equal(build(t, &config, &fdt, &size, &why), -EINVAL);
	assert_non_null(strstr(why, "'nobody'"));
	devtree_free(t);

	user_make(twice, sizeof(twice), "gic");
	set_text(twice, fdt_add_subnode(twice, 0, "again"), "qvm,vdev", "gic");
	assert_int_equal(devtree_create(&t), 0);
	assert_int_equal(devtree_user(t, twice, sizeof(twice), &why), -EINVAL);
	assert_string_equal(why, "two nodes stand for vdev 'gic'");
	devtree_free(t);
}

static void an_overlay_has_the_last_word(void **state)
{
	static uint8_t overlay[4096];
	const struct devtree_config config = config_make(3, true);
	const char *why = NULL;
	struct devtree *t;
	const void *fdt;
	size_t size;
	int node;

	(void)state;
	assert_int_equal(fdt_create_empty_tree(overlay, sizeof(overlay)), 0);
	node = fdt_add_subnode(overlay, 0, "fragment@0");
	set_text(overlay, node, "target-path", "/virtio_mmio@1c0d0000");
	node = fdt_add_subnode(overlay, node, "__overlay__");
	set_text(overlay, node, "compatible", "acme,disk");
	assert_int_equal(devtree_create(&t), 0);
	assert_int_equal(devtree_user(t, overlay, sizeof(overlay), &why), 0);
	assert_int_equal(build(t, &config, &fdt, &size, &why), 0);
	assert_string_equal(text(fdt, "/virtio_mmio@1c0d0000", "compatible"), "acme,disk");
	devtree_free(t);
	node = fdt_subnode_offset(overlay, 0, "fragment@0");
	set_text(overlay, node, "target-path", "/nowhere");
	assert_int_equal(devtree_create(&t), 0);
	assert_int_equal(devtree_user(t, overlay, sizeof(overlay), &why), 0);
	assert_int_equal(build(t, &config, &fdt, &size, &why), -EINVAL);
	assert_non_null(strstr(why, "an overlay cannot be applied"));
	devtree_free(t);
}

/* Whatever is in the file, the answer is a sentence or a tree that holds together. */
static void damaged_trees_are_refused(void **state)
{
	static uint8_t user[4096], bad[4096];
	const struct devtree_config config = config_make(3, false);
	unsigned refused = 0;

	(void)state;
	user_make(user, sizeof(user), "gic");
	size_t len;

	fdt_pack(user);
	len = fdt_totalsize(user);
	for (size_t i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit += 3) {
			const char *why = NULL;
			struct devtree *t;
			const void *fdt;
			size_t size;

			memcpy(bad, user, len);
			bad[i] ^= (uint8_t)(1u << bit);
			assert_int_equal(devtree_create(&t), 0);
			int rc = devtree_user(t, bad, len, &why);

			if (!rc)
				rc = devtree_machine(t, &config);
			if (!rc)
				rc = devtree_finish(t, &fdt, &size, &why);
			assert_true(rc || !fdt_check_full(fdt, size));
			refused += rc != 0;
			devtree_free(t);
		}
	}
	assert_true(refused > 100);
	for (size_t cut = 0; cut < len; cut++) {
		const char *why = NULL;
		struct devtree *t;

		assert_int_equal(devtree_create(&t), 0);
		assert_int_equal(devtree_user(t, user, cut, &why), -EINVAL);
		assert_non_null(why);
		devtree_free(t);
	}
}

static void printed_it_has_a_line_for_each_thing(void **state)
{
	static const char *const parts[] = {
		"/memreserve/ 0x90000000 0x1000;\n",
		"\n\tacme {\n",
		"\n\t\tacme,text = \"a \\\"quote\\\" and a \\\\\";\n",
		"\n\t\tacme,empty = [00];\n",
		"\n\t\tacme,bytes = [01 02 03 04 05];\n",
		"\n\t\tpart {\n\t\t};\n\t};\n",
		"\n\t\tclock-names = \"uartclk\", \"apb_pclk\";\n",
		"\n\t\tinterrupts = <0x00 0x05 0x04>;\n",
		"\n\t\tinterrupt-controller;\n",
	};
	const struct devtree_config config = config_make(3, false);
	struct strbuf source = { 0 };
	const char *why = NULL;
	struct devtree *t;
	const void *fdt;
	size_t size;

	(void)state;
	assert_int_equal(devtree_create(&t), 0);
	assert_int_equal(build(t, &config, &fdt, &size, &why), 0);
	devtree_print(fdt, &source);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (!strstr(strbuf_text(&source), parts[i]))
			fail_msg("no '%s' in:\n%s", parts[i], strbuf_text(&source));
	strbuf_free(&source);
	devtree_free(t);
}

static int write_file(const char *folder, unsigned kind, const char *end, const void *data,
		      size_t len)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%u.%s", folder, kind, end);
	FILE *to = fopen(path, "wb");

	return !to || fwrite(data, 1, len, to) != len || fclose(to);
}

static int write_all(const char *folder)
{
	for (unsigned kind = 0; kind < 3; kind++) {
		const struct devtree_config config = config_make(kind ? 3 : 2, kind == 1);
		struct strbuf source = { 0 };
		const char *why = NULL;
		struct devtree *t;
		const void *fdt;
		size_t size;

		if (devtree_create(&t) || build(t, &config, &fdt, &size, &why))
			return 1;
		devtree_print(fdt, &source);
		if (write_file(folder, kind, "dtb", fdt, size) ||
		    write_file(folder, kind, "source", source.data, source.len))
			return 1;
		strbuf_free(&source);
		devtree_free(t);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_machine_is_described),
		cmocka_unit_test(stubs_are_redirected),
		cmocka_unit_test(an_overlay_has_the_last_word),
		cmocka_unit_test(damaged_trees_are_refused),
		cmocka_unit_test(printed_it_has_a_line_for_each_thing),
	};

	if (argc > 1)
		return write_all(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
