/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/fdt: put a device into the guest's device tree. All of it in VDEV_CTRL_GEN_FDT, whose `arg`,
 * cast to int, is the node under which devices stand. Where a guest has no device tree that call
 * never comes. Ours, not part of the documented API.
 */
#ifndef QVM_X_FDT_H
#define QVM_X_FDT_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A node KIND@ADDRESS with the vdev's location and interrupt (edge: triggered by a rising edge,
 * else by a high level). compatible: strings one after the other, len bytes of them with their
 * zeros. A user's tree refers to the node by the vdev's name. Returns EOK or an errno (ENOSPC: the
 * tree is full; EINVAL: the vdev has no place in memory).
 */
int qvmx_fdt_device(vdev_t *vdp, int parent, const char *kind, const char *compatible, size_t len,
		    int edge, int *ret_node);
/*
 * A node that has no registers, such as one that says what hangs on a device. It may be under
 * another one, whose properties are made before. As above.
 */
int qvmx_fdt_node(vdev_t *vdp, int parent, const char *name, int *ret_node);
/* The number by which other nodes refer to the node. As a property of it. */
int qvmx_fdt_phandle(vdev_t *vdp, int node, uint32_t *ret_phandle);
/* Properties of that node, before any other node is made. Returns EOK or ENOSPC. */
int qvmx_fdt_prop(vdev_t *vdp, int node, const char *name, const void *value, size_t len);
/* The same of numbers, 32 bits each. */
int qvmx_fdt_prop_cells(vdev_t *vdp, int node, const char *name, const uint32_t *cells, size_t num);
/* The phandle of a clock that always runs at hz. Before the device's node is made. As above. */
int qvmx_fdt_clock(vdev_t *vdp, uint32_t hz, uint32_t *ret_phandle);

#ifdef __cplusplus
}
#endif

#endif
