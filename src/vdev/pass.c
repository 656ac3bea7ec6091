/* SPDX-License-Identifier: Apache-2.0 */
/* The public API of x/pass.h. */
#include <errno.h>

#include "vdev/host.h"

static int pass_access(const vdev_t *vdp, uint64_t offset, bool write, unsigned len,
		       uint64_t *value)
{
	const struct vdev_host *host = vdev_instance_of(vdp)->host;
	enum engine_space space;

	if (!host->pass_access || vdev_space(vdp->v_block.qst_type, &space) ||
	    !range_inside(offset, len, 0, vdp->v_block.length))
		return EINVAL;
	return -host->pass_access(host->pass_ctx, space, vdp->v_block.location + offset, write, len,
				  value);
}

int qvmx_pass_read(const vdev_t *vdp, uint64_t offset, unsigned len, uint64_t *ret_value)
{
	return pass_access(vdp, offset, false, len, ret_value);
}

int qvmx_pass_write(const vdev_t *vdp, uint64_t offset, unsigned len, uint64_t value)
{
	return pass_access(vdp, offset, true, len, &value);
}
