/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vdev of the tests with a mistake to be found: two registers at port 0x1000, an index and a
 * value. Option `mistake`: 1 aborts, 2 never answers, 3 returns an error, 4 writes behind its
 * state, 5 takes 128 MiB, each at one index with one value; 0 is right.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <qvm/guest.h>
#include <qvm/x/conf.h>

enum { PORT = 0x1000, BAD_INDEX = 0x5c, BAD_VALUE = 0xa7, MUCH = 128 << 20 };

struct buggy {
	unsigned mistake;
	uint8_t index;
	uint8_t *cells;
};

static const struct qvmx_option options[] = {
	{ .name = "mistake", .type = QVMX_OPT_NUMBER, .max = 5, .help = "which one (0 to 5)" },
};

static int buggy_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct buggy *b = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block.qst_type = QST_X86_IO;
		vdp->v_block.location = PORT;
		vdp->v_block.length = 2;
		b->cells = calloc(1, BAD_INDEX);
		return b->cells ? EOK : ENOMEM;
	case VDEV_CTRL_FIRST_OPTIDX:
		b->mistake = (unsigned)qvmx_option_value(&options[0], arg);
		return EOK;
	case VDEV_CTRL_TERMINATE:
		free(b->cells);
		return EOK;
	default:
		return EOK;
	}
}

static vdev_ref_status_t mistake(struct buggy *b, uint8_t value)
{
	switch (b->mistake) {
	case 1:
		abort();
	case 2:
		for (volatile int on = 1; on;)
			;
		return VRS_NORMAL;
	case 3:
		return VRS_ERRNO + EIO;
	case 4:
		b->cells[b->index] = value;
		return VRS_NORMAL;
	case 5:
		free(b->cells);
		b->cells = malloc(MUCH);
		if (b->cells)
			memset(b->cells, value, MUCH);
		return b->cells ? VRS_NORMAL : VRS_ERRNO + ENOMEM;
	default:
		return VRS_NORMAL;
	}
}

static vdev_ref_status_t buggy_vwrite(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct buggy *b = vdp->v_device;
	uint8_t value = 0;

	(void)cookie;
	if (guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, 1) != EOK)
		return VRS_BUS_ERROR;
	if (vopnd->location == 0)
		b->index = value;
	else if (b->index == BAD_INDEX && value == BAD_VALUE)
		return mistake(b, value);
	else if (b->index < BAD_INDEX)
		b->cells[b->index] = value;
	return VRS_NORMAL;
}

static struct vdev_factory buggy_factory = {
	.control = buggy_control,
	.vwrite = buggy_vwrite,
	.factory_flags = VFF_VDEV_X86_IO,
	.acc_sizes = 1u << 1,
	.extra_space = sizeof(struct buggy),
};

static const struct qvmx_vdev_info buggy_info = {
	.size = sizeof(buggy_info),
	.num_options = sizeof(options) / sizeof(options[0]),
	.summary = "a vdev with a mistake, for tests",
	.options = options,
};

static void __attribute__((constructor)) buggy_register(void)
{
	qvmx_vdev_register(&buggy_factory, &buggy_info, QVM_VDEV_ABI);
}
