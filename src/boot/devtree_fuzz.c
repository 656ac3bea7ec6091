/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device trees and overlays of a user. The input is a length, 4 bytes little-endian, and two files
 * of which the first is that long. Whatever they say, the guest's tree is one.
 */
#include "boot/devtree.h"

#include <endian.h>
#include <libfdt.h>
#include <string.h>

#include "base/fuzz.h"

static const struct boot_range ranges[] = { { 0x80000000, 0x10000000, BOOT_RANGE_RAM },
					    { 0x90000000, 0x1000, BOOT_RANGE_RESERVED } };
static const struct devtree_config config = {
	.num_cpus = 2,
	.ranges = ranges,
	.num_ranges = ARRAY_LEN(ranges),
	.cmdline = "console=ttyAMA0",
	.initrd = { 0x88000000, 12345 },
	.gic = { .name = "gic",
		 .version = 3,
		 .dist = { 0x2f000000, 0x10000 },
		 .cpu = { 0x2f100000, 0x100000 },
		 .its = { 0x2f020000, 0x20000 } },
	.timers = { 29, 30, 27, 26 },
	.pci = { .ecam = { 0x40000000, 0x100000 },
		 .mem32 = { 0x50000000, 0x10000000 },
		 .has_intx = true,
		 .intx = { 480, 481, 482, 483 } },
};
static const struct devtree_device uart = {
	.kind = "serial",
	.vdev = "tty",
	.compatible = "arm,pl011",
	.compatible_len = sizeof("arm,pl011"),
	.reg = { 0x1c090000, 0x1000 },
	.intr = 37,
};

/* A machine on the user's trees, if it comes about. */
static void build(struct devtree *t)
{
	const char *why = NULL;
	const void *blob;
	uint32_t clock;
	size_t len;
	int node;

	if (devtree_machine(t, &config) || devtree_device(t, devtree_root(t), &uart, &node) ||
	    devtree_clock(t, 24000000, &clock) || devtree_prop_u32(t, node, "clocks", clock))
		return;
	int rc = devtree_finish(t, &blob, &len, &why);

	fuzz_require(rc <= 0);
	if (rc == 0)
		fuzz_require(len <= DEVTREE_MAX_LEN && fdt_check_full(blob, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	struct devtree *t;
	uint32_t first;

	if (size < sizeof(first))
		return 0;
	memcpy(&first, data, sizeof(first));
	data += sizeof(first);
	size -= sizeof(first);
	first = MIN(le32toh(first), (uint32_t)size);
	fuzz_require(devtree_create(&t) == 0);
	/* libfdt wants them aligned, as what is read from a file is. */
	void *one = malloc(MAX(first, 1u)), *two = malloc(MAX(size - first, (size_t)1));

	fuzz_require(one && two);
	memcpy(one, data, first);
	memcpy(two, data + first, size - first);
	int rc = devtree_user(t, one, first, &why);

	if (rc == 0 && size > first)
		rc = devtree_user(t, two, size - first, &why);
	fuzz_require(rc <= 0 && (rc < 0) == (why != NULL));
	if (rc == 0)
		build(t);
	devtree_free(t);
	free(one);
	free(two);
	return 0;
}
