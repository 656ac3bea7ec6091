/* SPDX-License-Identifier: Apache-2.0 */
/* The public API of x/fdt.h, and the call that leads to it. */
#include <errno.h>
#include <string.h>

#include "boot/devtree.h"
#include "vdev/host.h"

int fdt_virtio_node(struct vdev_instance *vi, const char *name, int parent)
{
	static const char compatible[] = "virtio,mmio";
	int node, err;

	if (!vio_is_mmio(vi))
		return EOK;
	err = qvmx_fdt_device(&vi->vdev, parent, name, compatible, sizeof(compatible), 0, &node);
	return err != EOK ? err : qvmx_fdt_prop(&vi->vdev, node, "dma-coherent", NULL, 0);
}

int vdev_host_gen_fdt(struct vdev_host *host, struct devtree *tree)
{
	struct vdev_instance *done = NULL;
	int rc = 0;

	host->tree = tree;
	/* Backwards: a new node stands before those that are there, so that the tree has the file's
	 * order. */
	while (rc == EOK && done != host->first) {
		struct vdev_instance *vi = host->first;
		const char *parent = (const char *)(intptr_t)devtree_root(tree);

		while (vi->next != done)
			vi = vi->next;
		vi->in_tree = false; /* whoever asks again gets the same */
		rc = instance_control(vi, VDEV_CTRL_GEN_FDT, parent, &vi->conf->pos);

		/* What a VirtIO-MMIO device is its transport knows; no vdev has to say it. */
		if (rc == EOK && vi->vio && !vi->in_tree)
			rc = fdt_virtio_node(vi, "virtio_mmio", devtree_root(tree));
		done = vi;
	}
	host->tree = NULL;
	return rc == -1 ? -EINVAL : -rc;
}

int qvmx_fdt_device(vdev_t *vdp, int parent, const char *kind, const char *compatible, size_t len,
		    int edge, int *ret_node)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	const struct devtree_device d = {
		.kind = kind,
		.vdev = vi->conf->name.text,
		.compatible = compatible,
		.compatible_len = len,
		.reg = { vdp->v_block.location, vdp->v_block.length },
		.intr = vdp->v_intr.pic ? vdp->v_intr.param & GIPF_PIN_MASK : 0,
		.edge = edge,
	};

	if (!vi->host->tree || vdp->v_block.qst_type != QST_MEMORY ||
	    vdp->v_block.location == QSL_NO_LOCATION)
		return EINVAL;
	vi->in_tree = true;
	return -devtree_device(vi->host->tree, parent, &d, ret_node);
}

int qvmx_fdt_node(vdev_t *vdp, int parent, const char *name, int *ret_node)
{
	return -devtree_node(vdev_instance_of(vdp)->host->tree, parent, name, ret_node);
}

int qvmx_fdt_phandle(vdev_t *vdp, int node, uint32_t *ret_phandle)
{
	return -devtree_phandle(vdev_instance_of(vdp)->host->tree, node, ret_phandle);
}

int qvmx_fdt_prop(vdev_t *vdp, int node, const char *name, const void *value, size_t len)
{
	return -devtree_prop(vdev_instance_of(vdp)->host->tree, node, name, value, len);
}

int qvmx_fdt_prop_cells(vdev_t *vdp, int node, const char *name, const uint32_t *cells, size_t num)
{
	return -devtree_prop_cells(vdev_instance_of(vdp)->host->tree, node, name, cells, num);
}

int qvmx_fdt_clock(vdev_t *vdp, uint32_t hz, uint32_t *ret_phandle)
{
	return -devtree_clock(vdev_instance_of(vdp)->host->tree, hz, ret_phandle);
}
