/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device tree that a guest gets: what the machine has, a node for each device, the user's tree
 * and overlays. Knows nothing of the architecture that it runs on.
 *
 * Order: devtree_create; devtree_user for each file of the user; devtree_machine; devtree_device
 * and devtree_prop_* for the devices; devtree_finish. By whoever assembles the VM, on one thread.
 * The user's files are not trusted. Functions return 0 or a negative errno: -ENOSPC: larger than
 * DEVTREE_MAX_LEN, -EINVAL: it makes no sense, with a sentence in *ret_why where there is one; it
 * lasts as long as the tree.
 */
#ifndef BOOT_DEVTREE_H
#define BOOT_DEVTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "boot/memory.h"

/* What Linux takes. */
enum { DEVTREE_MAX_LEN = 2 << 20, DEVTREE_MAX_OVERLAYS = 16, DEVTREE_MAX_STUBS = 64 };

struct devtree_range {
	uint64_t start, len; /* len 0: none */
};

/* Interrupts are numbered as the GIC numbers them: 16 to 31 are a processor's own. */
struct devtree_config {
	unsigned num_cpus;
	const struct boot_range *ranges; /* RAM, and what the guest must leave alone */
	size_t num_ranges;
	const char *cmdline;
	struct devtree_range initrd;
	struct {
		const char *name; /* of the vdev, for stubs */
		unsigned version;
		struct devtree_range dist, cpu, its, frame;
	} gic;
	unsigned timers[4]; /* secure, physical, virtual, hypervisor */
	struct {
		struct devtree_range ecam, mem32;
		struct devtree_range io; /* ports of the bus */
		uint64_t ports;		 /* where port 0 lies in memory */
		bool has_intx;
		unsigned intx[4]; /* pin p of device d has intx[(d + p) % 4] */
	} pci;
};

struct devtree;

int devtree_create(struct devtree **ret_tree) MUST_CHECK;
void devtree_free(struct devtree *tree);

/* A tree or an overlay of the user's; data must outlive the tree. One tree at most, any number of
 * overlays. */
int devtree_user(struct devtree *tree, const void *data, size_t len,
		 const char **ret_why) MUST_CHECK;

int devtree_machine(struct devtree *tree, const struct devtree_config *config) MUST_CHECK;

/* The node under which devices stand. */
int devtree_root(const struct devtree *tree);

/* A device: node KIND@ADDRESS with its registers and its interrupt. compatible: strings, one after
 * the other, len bytes with their zeros. */
struct devtree_device {
	const char *kind;
	const char *vdev; /* its name, for stubs; NULL: none */
	const char *compatible;
	size_t compatible_len;
	struct devtree_range reg;
	unsigned intr; /* 0: none */
	bool edge;
};
int devtree_device(struct devtree *tree, int parent, const struct devtree_device *device,
		   int *ret_node) MUST_CHECK;
/* A node without registers; the user's, if there is one of that name. */
int devtree_node(struct devtree *tree, int parent, const char *name, int *ret_node) MUST_CHECK;
int devtree_prop(struct devtree *tree, int node, const char *name, const void *value,
		 size_t len) MUST_CHECK;
int devtree_prop_u32(struct devtree *tree, int node, const char *name, uint32_t value) MUST_CHECK;
/* At most 256 numbers. */
int devtree_prop_cells(struct devtree *tree, int node, const char *name, const uint32_t *cells,
		       size_t num) MUST_CHECK;
/* The number by which others refer to the node. */
int devtree_phandle(struct devtree *tree, int node, uint32_t *ret_phandle) MUST_CHECK;
/* A clock of that frequency, for devices that want one. */
int devtree_clock(struct devtree *tree, uint32_t hz, uint32_t *ret_phandle) MUST_CHECK;

/* Stubs of the user become the nodes that they stand for, overlays are applied. The blob belongs to
 * the tree. */
int devtree_finish(struct devtree *tree, const void **ret_blob, size_t *ret_len,
		   const char **ret_why) MUST_CHECK;

/* A tree that is right, as source that dtc compiles. */
void devtree_print(const void *blob, struct strbuf *out);

#endif
