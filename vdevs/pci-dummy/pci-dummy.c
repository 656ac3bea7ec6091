/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev pci-dummy: a PCI function that does nothing, with the ids of a device of the host or with
 * given ones. For guests whose driver looks for a neighbour, and as function 0 of a device whose
 * other functions are real.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <qvm/x/conf.h>
#include <qvm/x/pci.h>

#define CONFIG_HEADER_LEN 64u /* what any user of the host may read */

/* Offsets in the header. */
enum {
	REG_VENDOR = 0x00,
	REG_DEVICE = 0x02,
	REG_REVISION = 0x08,
	REG_CLASS = 0x09,
	REG_HEADER_TYPE = 0x0e,
	REG_SUBSYSTEM_VENDOR = 0x2c,
	REG_SUBSYSTEM_DEVICE = 0x2e,
};
#define HEADER_TYPE_MASK 0x7fu /* bit 7 says that there are more functions */

enum {
	OPT_VENDOR,
	OPT_DEVICE,
	OPT_SUBSYSTEM_VENDOR,
	OPT_SUBSYSTEM_DEVICE,
	OPT_CLASS,
	OPT_REVISION,
	NUM_IDS,
	OPT_CLONE = NUM_IDS,
	NUM_OPTIONS
};

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_VENDOR] = { .name = "vendor",
			 .type = QVMX_OPT_ADDRESS,
			 .max = 0xfffe,
			 .help = "vendor id, hexadecimal" },
	[OPT_DEVICE] = { .name = "device",
			 .type = QVMX_OPT_ADDRESS,
			 .max = 0xffff,
			 .help = "device id, hexadecimal" },
	[OPT_SUBSYSTEM_VENDOR] = { .name = "subsystem-vendor",
				   .type = QVMX_OPT_ADDRESS,
				   .max = 0xffff,
				   .help = "subsystem vendor id, hexadecimal (default 0)" },
	[OPT_SUBSYSTEM_DEVICE] = { .name = "subsystem-device",
				   .type = QVMX_OPT_ADDRESS,
				   .max = 0xffff,
				   .help = "subsystem id, hexadecimal (default 0)" },
	[OPT_CLASS] = { .name = "class",
			.type = QVMX_OPT_ADDRESS,
			.max = 0xffffff,
			.help = "class, subclass and interface, hexadecimal (default ff0000)" },
	[OPT_REVISION] = { .name = "revision",
			   .type = QVMX_OPT_ADDRESS,
			   .max = 0xff,
			   .help = "revision, hexadecimal (default 0)" },
	[OPT_CLONE] = { .name = "clone",
			.type = QVMX_OPT_STRING,
			.help = "take the ids of this device of the host: pci:BUS:DEV[.FUNC]" },
};

struct dummy {
	bool cloned;
	bool given[NUM_IDS];
	uint32_t ids[NUM_IDS];
};

/* A decimal number up to max at *text, which goes behind it. */
static bool take_number(const char **text, unsigned max, unsigned *ret_number)
{
	char *end;
	unsigned long n;

	if (**text < '0' || **text > '9')
		return false;
	n = strtoul(*text, &end, 10);
	*text = end;
	*ret_number = (unsigned)n;
	return n <= max;
}

static bool parse_place(const char *text, unsigned *bus, unsigned *dev, unsigned *func)
{
	*func = 0;
	if (strncmp(text, "pci:", 4) == 0)
		text += 4;
	if (!take_number(&text, 255, bus) || *text++ != ':' || !take_number(&text, 31, dev))
		return false;
	if (*text == '.') {
		text++;
		if (!take_number(&text, 7, func))
			return false;
	}
	return *text == '\0';
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static int option_clone(vdev_t *vdp, const char *arg)
{
	struct dummy *d = vdp->v_device;
	uint8_t c[CONFIG_HEADER_LEN];
	unsigned bus, dev, func;
	char path[64];

	if (!parse_place(arg, &bus, &dev, &func))
		return qvmx_refuse(vdp,
				   "clone '%s' is no place on the host's PCI bus such as "
				   "pci:0:31.0",
				   arg);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:%02x:%02x.%x/config", bus, dev,
		 func);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, c, sizeof(c));
	int err = errno;

	if (fd >= 0)
		close(fd);
	if (n != sizeof(c))
		return qvmx_refuse(vdp, "clone '%s': cannot read %s: %s", arg, path,
				   n < 0 ? strerror(err) : "it is too short");
	if ((c[REG_HEADER_TYPE] & HEADER_TYPE_MASK) != 0)
		return qvmx_refuse(vdp,
				   "clone '%s': that is a bridge to another bus; a dummy has "
				   "none behind it",
				   arg);
	const uint32_t ids[NUM_IDS] = {
		[OPT_VENDOR] = get16(c + REG_VENDOR),
		[OPT_DEVICE] = get16(c + REG_DEVICE),
		[OPT_SUBSYSTEM_VENDOR] = get16(c + REG_SUBSYSTEM_VENDOR),
		[OPT_SUBSYSTEM_DEVICE] = get16(c + REG_SUBSYSTEM_DEVICE),
		[OPT_CLASS] = (uint32_t)(c[REG_CLASS] | get16(c + REG_CLASS + 1) << 8),
		[OPT_REVISION] = c[REG_REVISION],
	};

	d->cloned = true;
	for (unsigned i = 0; i < NUM_IDS; i++)
		if (!d->given[i])
			d->ids[i] = ids[i];
	return EOK;
}

static int options_end(vdev_t *vdp)
{
	const struct dummy *d = vdp->v_device;

	if (!d->cloned && (!d->given[OPT_VENDOR] || !d->given[OPT_DEVICE]))
		return qvmx_refuse(vdp, "it needs ids: `clone pci:BUS:DEV.FUNC`, or `vendor` and "
					"`device`");
	return EOK;
}

static int pci_bars(vdev_t *vdp)
{
	const struct dummy *d = vdp->v_device;
	const struct qvmx_pci_info info = {
		.size = sizeof(info),
		.vendor = (uint16_t)d->ids[OPT_VENDOR],
		.device = (uint16_t)d->ids[OPT_DEVICE],
		.subsystem_vendor = (uint16_t)d->ids[OPT_SUBSYSTEM_VENDOR],
		.subsystem_device = (uint16_t)d->ids[OPT_SUBSYSTEM_DEVICE],
		.class_code = d->ids[OPT_CLASS],
		.revision = (uint8_t)d->ids[OPT_REVISION],
	};

	return qvmx_pci_function(vdp, &info);
}

static int dummy_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct dummy *d = vdp->v_device;
	unsigned option = (unsigned)ctrl - VDEV_CTRL_FIRST_OPTIDX;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		d->ids[OPT_CLASS] = 0xff0000; /* of no class that anyone has defined */
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_CLONE:
		return option_clone(vdp, arg);
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_PCI_BARS:
		return pci_bars(vdp);
	default:
		if ((unsigned)ctrl >= VDEV_CTRL_FIRST_OPTIDX && option < NUM_IDS) {
			d->given[option] = true;
			d->ids[option] = (uint32_t)qvmx_option_value(&options[option], arg);
		}
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = dummy_control,
	.factory_flags = VFF_VDEV_PCI | VFF_INTR_NO,
	.extra_space = sizeof(struct dummy),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.num_options = NUM_OPTIONS,
	.summary = "PCI function that does nothing, with the ids of another",
	.options = options,
};

static void __attribute__((constructor)) dummy_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
