/* SPDX-License-Identifier: Apache-2.0 */
/* The host's tree is read where its kernel shows it: a folder for each node, a file for each
 * property. Its numbers are big endian. */
#include "vm/aarch64/passed.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define HOST_TREE "/sys/firmware/devicetree/base"
/* What the device is, where `compatible` says what the host's UIO driver looks for. */
#define GUEST_COMPATIBLE "qvm,compatible"

enum {
	MAX_PROP = 4096,
	MAX_CELLS = 64,
	INTR_CELLS = 3, /* kind, number, flags */
	GIC_FIRST_SPI = 32,
	LEVEL_HIGH = 4
};

/* What the guest gets as its own, or has nothing to refer to. */
static const char *const own_props[] = { "compatible", GUEST_COMPATIBLE, "name",
					 "phandle",    "linux,phandle",	 "reg",
					 "interrupts", "status",	 "clocks",
					 "clock-names" };
static const char *const reference_props[] = { "interrupt-parent",
					       "interrupts-extended",
					       "interrupt-names",
					       "dmas",
					       "dma-names",
					       "resets",
					       "reset-names",
					       "power-domains",
					       "iommus",
					       "msi-parent",
					       "phys",
					       "phy-names",
					       "phy-handle",
					       "mboxes",
					       "memory-region",
					       "nvmem-cells",
					       "interconnects",
					       "assigned-clocks",
					       "operating-points-v2" };

/* Bytes of a property, at most `max`; negative: there is none, or it is longer. */
static ssize_t prop_read(const char *node, const char *name, void *data, size_t max)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", node, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, data, max + 1);
	close(fd);
	return n > (ssize_t)max ? -EFBIG : n;
}

static unsigned cells_read(const char *node, const char *name, uint32_t cells[MAX_CELLS])
{
	uint32_t data[MAX_CELLS + 1];
	ssize_t n = prop_read(node, name, data, MAX_CELLS * sizeof(cells[0]));

	for (ssize_t i = 0; i < n / (ssize_t)sizeof(cells[0]); i++)
		cells[i] = be32toh(data[i]);
	return n > 0 ? (unsigned)n / sizeof(cells[0]) : 0;
}

static unsigned cell_read(const char *node, const char *name, unsigned by_default)
{
	uint32_t cells[MAX_CELLS];

	return cells_read(node, name, cells) == 1 ? cells[0] : by_default;
}

/* The node of the device that the host's kernel has at that address, by the name that it gives to
 * devices of trees. */
static bool node_find(uint64_t addr, char node[PATH_MAX])
{
	static const char *const buses[] = { "/sys/bus/amba/devices", "/sys/bus/platform/devices" };
	char prefix[32], path[PATH_MAX];
	bool found = false;

	snprintf(prefix, sizeof(prefix), "%" PRIx64 ".", addr);
	for (unsigned i = 0; i < ARRAY_LEN(buses) && !found; i++) {
		DIR *dir = opendir(buses[i]);
		const struct dirent *entry;

		while (dir && !found && (entry = readdir(dir))) {
			snprintf(path, sizeof(path), "%s/%s/of_node", buses[i], entry->d_name);
			found = !strncmp(entry->d_name, prefix, strlen(prefix)) &&
				realpath(path, node);
		}
		if (dir)
			closedir(dir);
	}
	return found;
}

/* The entry has as many places as the device has registers, each as long. */
static bool is_whole(const struct conf_pass *pass, const char *node)
{
	uint32_t reg[MAX_CELLS];
	char parent[PATH_MAX];

	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(node, '/') - node), node);
	const unsigned addr_cells = cell_read(parent, "#address-cells", 2);
	const unsigned size_cells = cell_read(parent, "#size-cells", 1);
	const unsigned num = cells_read(node, "reg", reg);

	if (!size_cells || num != pass->num_locs * (addr_cells + size_cells))
		return false;
	for (unsigned i = 0; i < pass->num_locs; i++) {
		uint64_t size = 0;

		for (unsigned k = 0; k < size_cells; k++)
			size = size << 32 | reg[i * (addr_cells + size_cells) + addr_cells + k];
		if (size > pass->locs[i].host.len)
			return false;
	}
	return true;
}

struct clock_search {
	uint32_t phandle, hz;
};

static _Thread_local struct clock_search clock_wanted; /* nftw has no argument for it */

static int clock_each(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char compatible[16];

	(void)st, (void)ftw;
	if (type != FTW_D || cell_read(path, "phandle", 0) != clock_wanted.phandle)
		return 0;
	if (prop_read(path, "compatible", compatible, sizeof(compatible) - 1) > 0 &&
	    !strcmp(compatible, "fixed-clock"))
		clock_wanted.hz = cell_read(path, "clock-frequency", 0);
	return 1;
}

/* Clocks of a fixed frequency, which the guest gets of its own: their phandles there. *ret_num: 0
 * if one of them is another, which is said. */
static int clocks_make(struct devtree *tree, const char *node, uint32_t clocks[MAX_CELLS],
		       unsigned *ret_num)
{
	const unsigned num = cells_read(node, "clocks", clocks);
	int rc = 0;

	*ret_num = 0;
	for (unsigned i = 0; i < num && !rc; i++) {
		clock_wanted = (struct clock_search){ .phandle = clocks[i] };
		(void)nftw(HOST_TREE, clock_each, 16, FTW_PHYS);
		if (!clock_wanted.hz) {
			log_write(LOG_SEV_INFO,
				  "pass %s: the guest is not told of its clocks, which are not all "
				  "of a fixed frequency",
				  strrchr(node, '/') + 1);
			return 0;
		}
		rc = devtree_clock(tree, clock_wanted.hz, &clocks[i]);
	}
	*ret_num = num;
	return rc;
}

static int clocks_set(struct devtree *tree, int guest, const char *node, const uint32_t *clocks,
		      unsigned num)
{
	char names[MAX_PROP + 1];
	const ssize_t len = prop_read(node, "clock-names", names, MAX_PROP);
	int rc = num ? devtree_prop_cells(tree, guest, "clocks", clocks, num) : 0;

	return rc || !num || len <= 0
		       ? rc
		       : devtree_prop(tree, guest, "clock-names", names, (size_t)len);
}

static bool is_one_of(const char *name, const char *const list[], unsigned num)
{
	for (unsigned i = 0; i < num; i++)
		if (!strcmp(name, list[i]))
			return true;
	return false;
}

static bool ends_with(const char *name, const char *end)
{
	const size_t len = strlen(name), end_len = strlen(end);

	return len >= end_len && !strcmp(name + len - end_len, end);
}

static bool is_reference(const char *name)
{
	return is_one_of(name, reference_props, ARRAY_LEN(reference_props)) ||
	       !strncmp(name, "pinctrl-", strlen("pinctrl-")) || ends_with(name, "-supply") ||
	       ends_with(name, "-gpios") || ends_with(name, "-gpio");
}

/* What is the device's alone. */
static int props_copy(struct devtree *tree, int guest, const char *node, const char *label)
{
	uint8_t data[MAX_PROP + 1];
	DIR *dir = opendir(node);
	const struct dirent *entry;
	int rc = 0;

	while (dir && !rc && (entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (entry->d_type != DT_REG || is_one_of(name, own_props, ARRAY_LEN(own_props)))
			continue;
		ssize_t n = is_reference(name) ? -ENOENT : prop_read(node, name, data, MAX_PROP);

		if (n >= 0)
			rc = devtree_prop(tree, guest, name, data, (size_t)n);
		else
			log_write(LOG_SEV_INFO, "pass %s: the guest is not told of its '%s'", label,
				  name);
	}
	if (dir)
		closedir(dir);
	return rc;
}

/* The guest's places and interrupts, as the guest's root and interrupt controller number them. */
static int places_set(const struct vm *vm, const struct conf_pass *pass, struct devtree *tree,
		      int guest, const char *node)
{
	uint32_t reg[MAX_CELLS], intrs[MAX_CELLS], host[MAX_CELLS];
	const unsigned num_host = cells_read(node, "interrupts", host);
	unsigned num_reg = 0, num_intrs = 0, line;

	for (unsigned i = 0; i < pass->num_locs; i++) {
		const struct conf_loc *loc = &pass->locs[i].guest;

		reg[num_reg++] = (uint32_t)(loc->addr >> 32);
		reg[num_reg++] = (uint32_t)loc->addr;
		reg[num_reg++] = (uint32_t)(loc->len >> 32);
		reg[num_reg++] = (uint32_t)loc->len;
	}
	for (unsigned i = 0; i < pass->num_intrs; i++) {
		if (!pass_intr_line(vm->passes, &pass->intrs[i], &line))
			continue;
		const unsigned number = vm->vdevs->lines[line].param & GIPF_PIN_MASK;

		intrs[num_intrs++] = 0; /* an SPI */
		intrs[num_intrs++] = number - GIC_FIRST_SPI;
		intrs[num_intrs] =
			num_host == pass->num_intrs * INTR_CELLS ? host[num_intrs] : LEVEL_HIGH;
		num_intrs++;
	}
	int rc = devtree_prop_cells(tree, guest, "reg", reg, num_reg);

	return rc || !num_intrs ? rc
				: devtree_prop_cells(tree, guest, "interrupts", intrs, num_intrs);
}

static int node_add(const struct vm *vm, const struct conf_pass *pass, struct devtree *tree,
		    const char *node)
{
	char compatible[MAX_PROP + 1], kind[32];
	const char *name = strrchr(node, '/') + 1;
	ssize_t len = prop_read(node, GUEST_COMPATIBLE, compatible, MAX_PROP);

	if (len <= 0)
		len = prop_read(node, "compatible", compatible, MAX_PROP);
	if (len <= 0)
		return 0;
	const struct devtree_device device = {
		.kind = kind,
		.compatible = compatible,
		.compatible_len = (size_t)len,
		.reg = { pass->locs[0].guest.addr, pass->locs[0].guest.len },
	};
	uint32_t clocks[MAX_CELLS];
	unsigned num_clocks;
	int guest, rc;

	snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(name, "@"), name);
	/* First: a node that is made moves those that are there. */
	rc = clocks_make(tree, node, clocks, &num_clocks);
	if (!rc)
		rc = devtree_device(tree, devtree_root(tree), &device, &guest);
	if (!rc)
		rc = places_set(vm, pass, tree, guest, node);
	if (!rc)
		rc = props_copy(tree, guest, node, name);
	if (!rc)
		rc = clocks_set(tree, guest, node, clocks, num_clocks);
	return rc;
}

int passed_nodes(struct vm *vm, struct devtree *tree)
{
	char node[PATH_MAX];
	int rc = 0;

	for (unsigned i = 0; i < vm->conf->num_loads; i++)
		if (vm->conf->loads[i].blob == CONF_BLOB_FDT)
			return 0;
	for (unsigned i = 0; i < vm->conf->num_passes && !rc; i++) {
		const struct conf_pass *pass = &vm->conf->passes[i];
		bool registers = pass->num_locs && pass->num_locs <= MAX_CELLS / 4 &&
				 pass->num_intrs <= MAX_CELLS / INTR_CELLS;

		for (unsigned k = 0; k < pass->num_locs; k++)
			registers &= pass->locs[k].host.space == CONF_SPACE_MEM;
		if (registers && node_find(pass->locs[0].host.addr, node) && is_whole(pass, node))
			rc = node_add(vm, pass, tree, node);
	}
	return rc;
}
