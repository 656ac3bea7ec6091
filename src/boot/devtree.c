/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/devtree.h"

#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Cells of an interrupt specifier of a GIC. */
enum { GIC_SPI = 0, GIC_PPI = 1, GIC_FIRST_PPI = 16, GIC_FIRST_SPI = 32 };
enum { EDGE_RISING = 1, LEVEL_HIGH = 4, GIC2_CPU_MASK_SHIFT = 8 };
enum {
	PCI_RANGE_IO = 0x01000000,
	PCI_RANGE_MEM32 = 0x02000000,
	PCI_RANGE_CELLS = 7,
	PCI_DEV_SHIFT = 11,
	PCI_RIDS = 0x10000,
	NUM_LINES = 4
};

/* A node of the user's that stands for one of ours: others refer to it by this phandle. */
struct stub {
	char vdev[64];
	uint32_t phandle;
	bool used;
};

struct overlay {
	const void *data;
	size_t len;
};

struct devtree {
	void *fdt; /* DEVTREE_MAX_LEN bytes */
	bool has_user;
	bool has_console; /* the user's tree says which one is */
	uint32_t next_phandle, gic, msi;
	unsigned num_stubs, num_overlays;
	struct stub stubs[DEVTREE_MAX_STUBS];
	struct overlay overlays[DEVTREE_MAX_OVERLAYS];
	char why[256];
};

static int tree_error(int rc)
{
	return rc >= 0 ? 0 : rc == -FDT_ERR_NOSPACE ? -ENOSPC : -EINVAL;
}

int devtree_create(struct devtree **ret_tree)
{
	struct devtree *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->fdt = malloc(DEVTREE_MAX_LEN);
	if (!t->fdt || fdt_create_empty_tree(t->fdt, DEVTREE_MAX_LEN)) {
		devtree_free(t);
		return -ENOMEM;
	}
	t->next_phandle = 1;
	*ret_tree = t;
	return 0;
}

void devtree_free(struct devtree *tree)
{
	if (!tree)
		return;
	free(tree->fdt);
	free(tree);
}

static int user_fail(struct devtree *t, const char **ret_why, const char *what, int rc)
{
	snprintf(t->why, sizeof(t->why), "%s%s%s", what, rc ? ": " : "",
		 rc ? fdt_strerror(rc) : "");
	*ret_why = t->why;
	return -EINVAL;
}

/* Nodes with `qvm,vdev` are taken out; who refers to them refers to our node from now on, which
 * gets their phandle. */
static int user_stubs(struct devtree *t, const char **ret_why)
{
	for (;;) {
		const char *name = NULL;
		int node, len;

		/* From the start again: a node that is taken out moves the others. */
		for (node = fdt_next_node(t->fdt, -1, NULL); node >= 0 && !name;) {
			name = fdt_getprop(t->fdt, node, "qvm,vdev", &len);
			if (!name)
				node = fdt_next_node(t->fdt, node, NULL);
		}
		if (!name)
			return 0;
		if (len < 2 || name[len - 1] || len > (int)sizeof(t->stubs[0].vdev))
			return user_fail(t, ret_why, "qvm,vdev is no name of a vdev", 0);
		if (t->num_stubs == DEVTREE_MAX_STUBS)
			return user_fail(t, ret_why, "it has more than 64 nodes with qvm,vdev", 0);
		for (unsigned i = 0; i < t->num_stubs; i++)
			if (!strcmp(t->stubs[i].vdev, name)) {
				snprintf(t->why, sizeof(t->why), "two nodes stand for vdev '%s'",
					 name);
				*ret_why = t->why;
				return -EINVAL;
			}
		struct stub *stub = &t->stubs[t->num_stubs++];

		memcpy(stub->vdev, name, (size_t)len);
		stub->phandle = fdt_get_phandle(t->fdt, node);
		if (fdt_del_node(t->fdt, node))
			return user_fail(t, ret_why, "the node with qvm,vdev is the root", 0);
	}
}

int devtree_user(struct devtree *tree, const void *data, size_t len, const char **ret_why)
{
	uint32_t highest;

	/* fdt_check_full of libfdt 1.6 follows a null pointer for damaged trees of older versions.
	 */
	if (len < FDT_V17_SIZE || fdt_version(data) < 17 || fdt_check_full(data, len))
		return user_fail(tree, ret_why, "it is no device tree, as dtc writes it (*.dtb)",
				 0);
	if (len > DEVTREE_MAX_LEN)
		return user_fail(tree, ret_why, "it is larger than 2 MiB", 0);
	if (fdt_subnode_offset(data, 0, "fragment@0") >= 0 ||
	    fdt_subnode_offset(data, 0, "__fixups__") >= 0) {
		if (tree->num_overlays == DEVTREE_MAX_OVERLAYS)
			return user_fail(tree, ret_why, "it is one overlay more than 16", 0);
		tree->overlays[tree->num_overlays++] = (struct overlay){ data, len };
		return 0;
	}
	if (tree->has_user)
		return user_fail(tree, ret_why,
				 "there is a device tree already; further ones are overlays", 0);
	int rc = fdt_open_into(data, tree->fdt, DEVTREE_MAX_LEN);

	if (rc)
		return user_fail(tree, ret_why, "it cannot be taken", rc);
	tree->has_user = true;
	rc = user_stubs(tree, ret_why);
	if (rc)
		return rc;
	if (fdt_find_max_phandle(tree->fdt, &highest) || highest >= UINT32_MAX / 2)
		return user_fail(tree, ret_why, "its phandles make no sense", 0);
	tree->next_phandle = highest + 1;
	for (unsigned i = 0; i < tree->num_stubs; i++)
		tree->next_phandle = MAX(tree->next_phandle, tree->stubs[i].phandle + 1);
	return 0;
}

int devtree_root(const struct devtree *tree)
{
	(void)tree;
	return 0;
}

int devtree_node(struct devtree *tree, int parent, const char *name, int *ret_node)
{
	int node = fdt_subnode_offset(tree->fdt, parent, name);

	if (node == -FDT_ERR_NOTFOUND)
		node = fdt_add_subnode(tree->fdt, parent, name);
	if (node < 0)
		return tree_error(node);
	*ret_node = node;
	return 0;
}

int devtree_prop(struct devtree *tree, int node, const char *name, const void *value, size_t len)
{
	return tree_error(fdt_setprop(tree->fdt, node, name, value, (int)len));
}

int devtree_prop_u32(struct devtree *tree, int node, const char *name, uint32_t value)
{
	return tree_error(fdt_setprop_u32(tree->fdt, node, name, value));
}

static int prop_text(struct devtree *t, int node, const char *name, const char *text)
{
	return devtree_prop(t, node, name, text, strlen(text) + 1);
}

int devtree_prop_cells(struct devtree *tree, int node, const char *name, const uint32_t *cells,
		       size_t num)
{
	fdt32_t big[256];

	if (num > ARRAY_LEN(big))
		return -ENOSPC;
	for (size_t i = 0; i < num; i++)
		big[i] = cpu_to_fdt32(cells[i]);
	return devtree_prop(tree, node, name, big, num * sizeof(big[0]));
}

static int prop_ranges(struct devtree *t, int node, const char *name,
		       const struct devtree_range *ranges, size_t num)
{
	uint32_t cells[16];
	size_t n = 0;

	for (size_t i = 0; i < num; i++) {
		cells[n++] = (uint32_t)(ranges[i].start >> 32);
		cells[n++] = (uint32_t)ranges[i].start;
		cells[n++] = (uint32_t)(ranges[i].len >> 32);
		cells[n++] = (uint32_t)ranges[i].len;
	}
	return devtree_prop_cells(t, node, name, cells, n);
}

static int cells_two(struct devtree *t, int node)
{
	int rc = devtree_prop_u32(t, node, "#address-cells", 2);

	return rc ? rc : devtree_prop_u32(t, node, "#size-cells", 2);
}

int devtree_phandle(struct devtree *tree, int node, uint32_t *ret_phandle)
{
	uint32_t phandle = fdt_get_phandle(tree->fdt, node);
	int rc = 0;

	if (!phandle) {
		phandle = tree->next_phandle++;
		rc = devtree_prop_u32(tree, node, "phandle", phandle);
	}
	if (!rc)
		*ret_phandle = phandle;
	return rc;
}

/* The node gets the phandle of the user's stub for that vdev. */
static int stub_take(struct devtree *t, int node, const char *vdev)
{
	for (unsigned i = 0; vdev && i < t->num_stubs; i++) {
		struct stub *s = &t->stubs[i];

		if (strcmp(s->vdev, vdev))
			continue;
		s->used = true;
		return s->phandle ? devtree_prop_u32(t, node, "phandle", s->phandle) : 0;
	}
	return 0;
}

static int build_cpus(struct devtree *t, unsigned num)
{
	int cpus, cpu, rc = devtree_node(t, 0, "cpus", &cpus);

	if (!rc)
		rc = devtree_prop_u32(t, cpus, "#address-cells", 1);
	if (!rc)
		rc = devtree_prop_u32(t, cpus, "#size-cells", 0);
	/* A new node stands before its older sisters. */
	for (unsigned i = num; i-- > 0 && !rc;) {
		char name[16];

		snprintf(name, sizeof(name), "cpu@%x", i);
		rc = devtree_node(t, cpus, name, &cpu);
		if (!rc)
			rc = prop_text(t, cpu, "device_type", "cpu");
		if (!rc)
			rc = prop_text(t, cpu, "compatible", "arm,armv8");
		if (!rc)
			rc = devtree_prop_u32(t, cpu, "reg", i);
		if (!rc)
			rc = prop_text(t, cpu, "enable-method", "psci");
	}
	return rc;
}

/* RAM as it is, and in the list of reservations what of it is taken. */
static int build_memory(struct devtree *t, const struct devtree_config *c)
{
	int rc = 0;

	for (size_t i = c->num_ranges; i-- > 0 && !rc;) {
		struct devtree_range r = { c->ranges[i].addr, c->ranges[i].len };
		char name[32];
		int node;

		if (c->ranges[i].type != BOOT_RANGE_RAM) {
			rc = tree_error(fdt_add_mem_rsv(t->fdt, r.start, r.len));
			continue;
		}
		snprintf(name, sizeof(name), "memory@%" PRIx64, r.start);
		rc = devtree_node(t, 0, name, &node);
		if (!rc)
			rc = prop_text(t, node, "device_type", "memory");
		if (!rc)
			rc = prop_ranges(t, node, "reg", &r, 1);
	}
	return rc;
}

/* The ITS is a part of the GIC. */
static int build_its(struct devtree *t, const struct devtree_config *c, int gic)
{
	char name[40];
	int node, rc;

	snprintf(name, sizeof(name), "msi-controller@%" PRIx64, c->gic.its.start);
	rc = devtree_node(t, gic, name, &node);
	if (!rc)
		rc = prop_text(t, node, "compatible", "arm,gic-v3-its");
	if (!rc)
		rc = devtree_prop(t, node, "msi-controller", NULL, 0);
	if (!rc)
		rc = devtree_prop_u32(t, node, "#msi-cells", 1);
	if (!rc)
		rc = prop_ranges(t, node, "reg", &c->gic.its, 1);
	return rc ? rc : devtree_phandle(t, node, &t->msi);
}

/* The bindings have a frame as a part of a GICv2 and know of none with a GICv3, so it stands for
 * itself. Linux looks for it behind the GIC: it is made first. */
static int build_frame(struct devtree *t, const struct devtree_config *c)
{
	char name[40];
	int node, rc;

	snprintf(name, sizeof(name), "v2m@%" PRIx64, c->gic.frame.start);
	rc = devtree_node(t, 0, name, &node);
	if (!rc)
		rc = prop_text(t, node, "compatible", "arm,gic-v2m-frame");
	if (!rc)
		rc = devtree_prop(t, node, "msi-controller", NULL, 0);
	if (!rc)
		rc = prop_ranges(t, node, "reg", &c->gic.frame, 1);
	return rc ? rc : devtree_phandle(t, node, &t->msi);
}

static int build_gic(struct devtree *t, const struct devtree_config *c)
{
	const struct devtree_range regs[] = { c->gic.dist, c->gic.cpu };
	char name[48];
	int node, rc;

	snprintf(name, sizeof(name), "interrupt-controller@%" PRIx64, c->gic.dist.start);
	rc = devtree_node(t, 0, name, &node);
	if (!rc)
		rc = stub_take(t, node, c->gic.name);
	if (!rc)
		rc = devtree_phandle(t, node, &t->gic);
	if (!rc)
		rc = prop_text(t, node, "compatible",
			       c->gic.version == 3 ? "arm,gic-v3" : "arm,gic-400");
	if (!rc)
		rc = devtree_prop_u32(t, node, "#interrupt-cells", 3);
	if (!rc)
		rc = devtree_prop(t, node, "interrupt-controller", NULL, 0);
	if (!rc)
		rc = cells_two(t, node);
	if (!rc)
		rc = devtree_prop(t, node, "ranges", NULL, 0);
	if (!rc)
		rc = prop_ranges(t, node, "reg", regs, ARRAY_LEN(regs));
	if (!rc && c->gic.its.len)
		rc = build_its(t, c, node);
	if (!rc)
		rc = devtree_prop_u32(t, 0, "interrupt-parent", t->gic);
	return rc;
}

static int build_timer(struct devtree *t, const struct devtree_config *c)
{
	static const char compatible[] = "arm,armv8-timer";
	uint32_t cells[3 * ARRAY_LEN(c->timers)], flags = LEVEL_HIGH;
	int node, rc = devtree_node(t, 0, "timer", &node);

	if (c->gic.version == 2)
		flags |= ((1u << c->num_cpus) - 1) << GIC2_CPU_MASK_SHIFT;
	for (unsigned i = 0; i < ARRAY_LEN(c->timers); i++) {
		cells[3 * i] = GIC_PPI;
		cells[3 * i + 1] = c->timers[i] - GIC_FIRST_PPI;
		cells[3 * i + 2] = flags;
	}
	if (!rc)
		rc = devtree_prop(t, node, "compatible", compatible, sizeof(compatible));
	if (!rc)
		rc = devtree_prop_cells(t, node, "interrupts", cells, ARRAY_LEN(cells));
	return rc ? rc : devtree_prop(t, node, "always-on", NULL, 0);
}

static int build_psci(struct devtree *t)
{
	static const char compatible[] = "arm,psci-1.0\0arm,psci-0.2";
	int node, rc = devtree_node(t, 0, "psci", &node);

	if (!rc)
		rc = devtree_prop(t, node, "compatible", compatible, sizeof(compatible));
	return rc ? rc : prop_text(t, node, "method", "hvc");
}

static int build_chosen(struct devtree *t, const struct devtree_config *c)
{
	int node, rc = devtree_node(t, 0, "chosen", &node);

	if (!rc)
		t->has_console = fdt_getprop(t->fdt, node, "stdout-path", NULL);
	if (!rc && c->cmdline)
		rc = prop_text(t, node, "bootargs", c->cmdline);
	if (!rc && c->initrd.len) {
		const struct devtree_range *r = &c->initrd;

		rc = tree_error(fdt_setprop_u64(t->fdt, node, "linux,initrd-start", r->start));
		if (!rc)
			rc = tree_error(fdt_setprop_u64(t->fdt, node, "linux,initrd-end",
							r->start + r->len));
	}
	return rc;
}

/* The four lines repeat after four devices, so that bits 11 and 12 of the device number are
 * enough. */
static int build_intx(struct devtree *t, const struct devtree_config *c, int node)
{
	static const uint32_t mask[] = { (NUM_LINES - 1) << PCI_DEV_SHIFT, 0, 0, 7 };
	uint32_t cells[NUM_LINES * NUM_LINES * 10];
	size_t n = 0;

	for (uint32_t dev = 0; dev < NUM_LINES; dev++) {
		for (uint32_t pin = 0; pin < NUM_LINES; pin++) {
			/* The function; its pin; the controller, which has an address of two cells;
			 * the line. */
			const uint32_t one[] = { dev << PCI_DEV_SHIFT,
						 0,
						 0,
						 pin + 1,
						 t->gic,
						 0,
						 0,
						 GIC_SPI,
						 c->pci.intx[(dev + pin) % NUM_LINES] -
							 GIC_FIRST_SPI,
						 LEVEL_HIGH };

			memcpy(&cells[n], one, sizeof(one));
			n += ARRAY_LEN(one);
		}
	}
	int rc = devtree_prop_u32(t, node, "#interrupt-cells", 1);

	if (!rc)
		rc = devtree_prop_cells(t, node, "interrupt-map-mask", mask, ARRAY_LEN(mask));
	return rc ? rc : devtree_prop_cells(t, node, "interrupt-map", cells, n);
}

static int build_pci(struct devtree *t, const struct devtree_config *c)
{
	const struct devtree_range *m = &c->pci.mem32;
	const uint32_t bus_range[] = { 0, (uint32_t)(c->pci.ecam.len >> 20) - 1 };
	const struct devtree_range *io = &c->pci.io;
	const uint64_t at = c->pci.ports + io->start;
	const uint32_t windows[] = { PCI_RANGE_MEM32,
				     0,
				     (uint32_t)m->start,
				     0,
				     (uint32_t)m->start,
				     0,
				     (uint32_t)m->len,
				     PCI_RANGE_IO,
				     0,
				     (uint32_t)io->start,
				     (uint32_t)(at >> 32),
				     (uint32_t)at,
				     0,
				     (uint32_t)io->len };
	char name[32];
	int node, rc;

	snprintf(name, sizeof(name), "pcie@%" PRIx64, c->pci.ecam.start);
	rc = devtree_node(t, 0, name, &node);
	if (!rc)
		rc = prop_text(t, node, "compatible", "pci-host-ecam-generic");
	if (!rc)
		rc = prop_text(t, node, "device_type", "pci");
	if (!rc)
		rc = devtree_prop_u32(t, node, "#address-cells", 3);
	if (!rc)
		rc = devtree_prop_u32(t, node, "#size-cells", 2);
	if (!rc)
		rc = devtree_prop_cells(t, node, "bus-range", bus_range, ARRAY_LEN(bus_range));
	if (!rc)
		rc = prop_ranges(t, node, "reg", &c->pci.ecam, 1);
	if (!rc)
		rc = devtree_prop_cells(t, node, "ranges", windows,
					PCI_RANGE_CELLS * (io->len ? 2 : 1));
	if (!rc)
		rc = devtree_prop(t, node, "dma-coherent", NULL, 0);
	if (!rc && c->pci.has_intx)
		rc = build_intx(t, c, node);
	if (!rc && c->gic.its.len) {
		const uint32_t map[] = { 0, t->msi, 0, PCI_RIDS };

		rc = devtree_prop_cells(t, node, "msi-map", map, ARRAY_LEN(map));
	} else if (!rc && c->gic.frame.len) {
		rc = devtree_prop_u32(t, node, "msi-parent", t->msi);
	}
	return rc;
}

int devtree_machine(struct devtree *tree, const struct devtree_config *config)
{
	static const char compatible[] = "linux,dummy-virt";
	int rc = prop_text(tree, 0, "model", "QVM-v8A");

	if (!rc && !fdt_getprop(tree->fdt, 0, "compatible", NULL))
		rc = devtree_prop(tree, 0, "compatible", compatible, sizeof(compatible));
	if (!rc)
		rc = cells_two(tree, 0);
	if (!rc && config->gic.frame.len)
		rc = build_frame(tree, config);
	if (!rc)
		rc = build_gic(tree, config);
	if (!rc)
		rc = build_pci(tree, config);
	if (!rc)
		rc = build_timer(tree, config);
	if (!rc)
		rc = build_psci(tree);
	if (!rc)
		rc = build_memory(tree, config);
	if (!rc)
		rc = build_cpus(tree, config->num_cpus);
	return rc ? rc : build_chosen(tree, config);
}

/* Devices come in reverse order, so it is the file's first serial port in the end. */
static int console_set(struct devtree *t, const char *name)
{
	char path[72];
	int node, rc = devtree_node(t, 0, "chosen", &node);

	snprintf(path, sizeof(path), "/%s", name);
	return rc ? rc : prop_text(t, node, "stdout-path", path);
}

int devtree_device(struct devtree *tree, int parent, const struct devtree_device *d, int *ret_node)
{
	const uint32_t intr[] = { GIC_SPI, d->intr - GIC_FIRST_SPI,
				  d->edge ? EDGE_RISING : LEVEL_HIGH };
	char name[64];
	int node, rc;

	snprintf(name, sizeof(name), "%s@%" PRIx64, d->kind, d->reg.start);
	rc = devtree_node(tree, parent, name, &node);
	if (!rc)
		rc = stub_take(tree, node, d->vdev);
	if (!rc)
		rc = devtree_prop(tree, node, "compatible", d->compatible, d->compatible_len);
	if (!rc)
		rc = prop_ranges(tree, node, "reg", &d->reg, 1);
	if (!rc && d->intr >= GIC_FIRST_SPI)
		rc = devtree_prop_cells(tree, node, "interrupts", intr, ARRAY_LEN(intr));
	/* This changes nothing before the node. */
	if (!rc && !tree->has_console && parent == devtree_root(tree) && !strcmp(d->kind, "serial"))
		rc = console_set(tree, name);
	if (!rc)
		*ret_node = node;
	return rc;
}

int devtree_clock(struct devtree *tree, uint32_t hz, uint32_t *ret_phandle)
{
	char name[32];
	int node, rc;

	snprintf(name, sizeof(name), "clock-%" PRIu32, hz);
	rc = devtree_node(tree, 0, name, &node);
	if (!rc)
		rc = prop_text(tree, node, "compatible", "fixed-clock");
	if (!rc)
		rc = devtree_prop_u32(tree, node, "#clock-cells", 0);
	if (!rc)
		rc = devtree_prop_u32(tree, node, "clock-frequency", hz);
	return rc ? rc : devtree_phandle(tree, node, ret_phandle);
}

int devtree_finish(struct devtree *tree, const void **ret_blob, size_t *ret_len,
		   const char **ret_why)
{
	for (unsigned i = 0; i < tree->num_stubs; i++) {
		if (tree->stubs[i].used)
			continue;
		snprintf(tree->why, sizeof(tree->why),
			 "the user's device tree has a node for vdev '%s', and there is none of "
			 "that name that the tree describes",
			 tree->stubs[i].vdev);
		*ret_why = tree->why;
		return -EINVAL;
	}
	for (unsigned i = 0; i < tree->num_overlays; i++) {
		/* libfdt changes the overlay while it applies it. */
		void *copy = malloc(tree->overlays[i].len);

		if (!copy)
			return -ENOMEM;
		memcpy(copy, tree->overlays[i].data, tree->overlays[i].len);
		int rc = fdt_overlay_apply(tree->fdt, copy);

		free(copy);
		if (rc)
			return user_fail(tree, ret_why, "an overlay cannot be applied", rc);
	}
	int rc = fdt_pack(tree->fdt);

	if (rc)
		return tree_error(rc);
	*ret_blob = tree->fdt;
	*ret_len = fdt_totalsize(tree->fdt);
	return 0;
}
