/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define IDS "vendor 8086 device 0x2918 "

static void given_ids(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev pci-dummy " IDS
					"class 060100 revision 2 subsystem-vendor 1af4 "
					"subsystem-device 1100 loc pci:0:31.0");

	(void)state;
	assert_int_equal(vdevtest_pci_read(t, 31, 0x00, 4), 0x29188086);
	assert_int_equal(vdevtest_pci_read(t, 31, 0x08, 4), 0x06010002);
	assert_int_equal(vdevtest_pci_read(t, 31, 0x2c, 4), 0x11001af4);
	assert_int_equal(vdevtest_pci_read(t, 31, 0x0e, 1), 0);
	vdevtest_end(t);
}

static void defaults_and_next_place(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev virtio-entropy vdev pci-dummy " IDS
					"vdev pci-dummy vendor 1234 device 5678");

	(void)state;
	assert_int_equal(vdevtest_pci_read(t, 2, 0x00, 4), 0x29188086);
	assert_int_equal(vdevtest_pci_read(t, 2, 0x08, 4), 0xff000000);
	assert_int_equal(vdevtest_pci_read(t, 2, 0x2c, 4), 0);
	assert_int_equal(vdevtest_pci_read(t, 3, 0x00, 4), 0x56781234);
	vdevtest_end(t);
}

/* Whatever the guest writes, nothing comes of it. */
static void is_inert(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev pci-dummy " IDS);

	(void)state;
	for (unsigned reg = 0; reg < 0x100; reg += 4)
		vdevtest_pci_write(t, 1, reg, 4, UINT32_MAX);
	assert_int_equal(vdevtest_pci_read(t, 1, 0x00, 4), 0x29188086);
	assert_int_equal(vdevtest_pci_read(t, 1, 0x34, 1), 0); /* no capabilities */
	assert_int_equal(vdevtest_pci_read(t, 1, 0x3d, 1), 0); /* no interrupt pin */
	for (unsigned bar = 0x10; bar <= 0x30; bar += 4)
		if (bar < 0x28 || bar > 0x2c)
			assert_int_equal(vdevtest_pci_read(t, 1, bar, 4), 0);
	vdevtest_end(t);
}

/* Function 0 says that there are more. */
static void several_functions(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev pci-dummy " IDS "loc pci:0:5 "
					"vdev pci-dummy vendor 1234 device 5678 loc pci:0:5.3");

	(void)state;
	assert_int_equal(vdevtest_pci_read(t, 5, 0x0e, 1), 0x80);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0xe0000000 + (5 << 15) + (3 << 12), 4),
			 0x56781234);
	vdevtest_end(t);
}

static unsigned long from_file(const char *device, const char *name)
{
	unsigned long value = 0;
	char path[512];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", device, name);
	FILE *f = fopen(path, "r");

	if (f && fscanf(f, "%lx", &value) != 1)
		value = 0;
	if (f)
		fclose(f);
	return value;
}

/* The first device of this machine, if it has a PCI bus. What the host says of it is compared. */
static void clones_a_device_of_the_host(void **state)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	unsigned bus, dev, func;
	struct dirent *e = NULL;

	(void)state;
	while (dir && (e = readdir(dir)))
		if (sscanf(e->d_name, "0000:%x:%x.%x", &bus, &dev, &func) == 3 &&
		    from_file(e->d_name, "class") >> 8 != 0x0604)
			break;
	if (!e) {
		if (dir)
			closedir(dir);
		skip();
	}
	struct vdevtest *t =
		test_start("ram 1m vdev pci-dummy revision 7a clone pci:%u:%u.%u", bus, dev, func);

	assert_int_equal(vdevtest_pci_read(t, 1, 0x00, 2), from_file(e->d_name, "vendor"));
	assert_int_equal(vdevtest_pci_read(t, 1, 0x02, 2), from_file(e->d_name, "device"));
	assert_int_equal(vdevtest_pci_read(t, 1, 0x08, 1), 0x7a);
	assert_int_equal(vdevtest_pci_read(t, 1, 0x08, 4) >> 8, from_file(e->d_name, "class"));
	assert_int_equal(vdevtest_pci_read(t, 1, 0x2c, 2),
			 from_file(e->d_name, "subsystem_vendor"));
	assert_int_equal(vdevtest_pci_read(t, 1, 0x2e, 2),
			 from_file(e->d_name, "subsystem_device"));
	vdevtest_end(t);
	closedir(dir);
}

static void refusals(void **state)
{
	static const char *const places[] = { "0",	   "pci:0",    "pci:0:32",   "pci:256:0",
					      "pci:0:1.8", "pci:0:1.", "pci:0:1.0x", "" };
	char text[128];

	(void)state;
	test_refused("ram 1m vdev pci-dummy", "it needs ids");
	test_refused("ram 1m vdev pci-dummy vendor 8086", "it needs ids");
	test_refused("ram 1m vdev pci-dummy vendor ffff device 1", "ffff");
	test_refused("ram 1m vdev pci-dummy " IDS "class 1000000", "1000000");
	test_refused("ram 1m vdev pci-dummy " IDS "loc pci:1:0", "only PCI bus 0");
	test_refused("ram 1m vdev pci-dummy " IDS "loc pci:0:0", "is taken");
	test_refused("ram 1m vdev pci-dummy " IDS "loc mem:0xfa000000", "kind of place");
	test_refused("ram 1m vdev pci-dummy clone pci:255:31.7", "cannot read");
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(text, sizeof(text), "ram 1m vdev pci-dummy clone \"%s\"", places[i]);
		test_refused(text, "no place on the host's PCI bus");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(given_ids), cmocka_unit_test(defaults_and_next_place),
		cmocka_unit_test(is_inert),  cmocka_unit_test(several_functions),
		cmocka_unit_test(refusals),  cmocka_unit_test(clones_a_device_of_the_host),
	};

	return cmocka_run_group_tests_name("pci-dummy", tests, NULL, NULL);
}
