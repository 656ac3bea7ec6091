/* SPDX-License-Identifier: 0BSD */
/*
 * vdev @NAME@: acts once, before the guest's first instruction: puts a text into the guest's
 * memory. Put your device in its place. It can also look at what was loaded (qvm/x/load.h), change
 * the boot vCPU's registers (QST_CPUREGS, qvm/x/cpu.h), and refuse the start.
 */
#include <string.h>
#include <qvm/guest.h>
#include <qvm/x/conf.h>

struct device {
	const char *text; /* of the configuration, which lasts as long as the VM */
	uint64_t address;
};

enum { OPT_ADDRESS, OPT_TEXT, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_ADDRESS] = { .name = "address",
			  .type = QVMX_OPT_ADDRESS,
			  .flags = QVMX_OPTF_REQUIRED,
			  .help = "where in the guest's memory the text goes" },
	[OPT_TEXT] = { .name = "text", .type = QVMX_OPT_STRING, .help = "the text (default hello)" },
};

static int guest_starting(vdev_t *vdp)
{
	const struct device *d = vdp->v_device;
	const struct qvm_state_block where = {
		.qst_type = QST_MEMORY,
		.location = d->address,
		.length = strlen(d->text),
	};
	int err = guest_cpu_write(NULL, GXF_NONE, &where, 1, d->text, where.length);

	if (err != EOK)
		return qvmx_refuse(vdp, "the text does not fit at 0x%llx: there is no memory",
				   (unsigned long long)d->address);
	return EOK;
}

static int device_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct device *d = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		d->text = "hello";
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_ADDRESS:
		d->address = qvmx_option_value(&options[OPT_ADDRESS], arg);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_TEXT:
		d->text = arg;
		return EOK;
	case VDEV_CTRL_GUEST_STARTING:
		return guest_starting(vdp);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = device_control,
	.factory_flags = VFF_LOC_NO | VFF_INTR_NO,
	.extra_space = sizeof(struct device),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.num_options = NUM_OPTIONS,
	.summary = "@SUMMARY@",
	.options = options,
};

static void __attribute__((constructor)) device_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
