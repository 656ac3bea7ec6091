/* SPDX-License-Identifier: Apache-2.0 */
/* vdev recorder, for order_test.c: each stage of its life is a line "NOTE STAGE" in a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <qvm/x/conf.h>

struct recorder {
	char *note, *file;
};

enum { OPT_NOTE, OPT_FILE, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_NOTE] = { "note", QVMX_OPT_STRING, QVMX_OPTF_REQUIRED, .help = "who it is" },
	[OPT_FILE] = { "file", QVMX_OPT_STRING, QVMX_OPTF_REQUIRED, .help = "where it writes" },
};

static void record(const struct recorder *r, const char *stage)
{
	FILE *f = fopen(r->file, "ae");

	if (!f)
		abort();
	fprintf(f, "%s %s\n", r->note, stage);
	fclose(f);
}

static int control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct recorder *r = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_FIRST_OPTIDX + OPT_NOTE:
		r->note = strdup(arg);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_FILE:
		r->file = strdup(arg);
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		record(r, "options");
		return EOK;
	case VDEV_CTRL_GUEST_CONFIGURED:
		record(r, "configured");
		return EOK;
	case VDEV_CTRL_TERMINATE:
		record(r, "terminate");
		free(r->note);
		free(r->file);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = control,
	.factory_flags = VFF_LOC_NO | VFF_INTR_NO,
	.extra_space = sizeof(struct recorder),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.summary = "writes down its own life",
	.num_options = NUM_OPTIONS,
	.options = options,
};

static void __attribute__((constructor)) recorder_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
