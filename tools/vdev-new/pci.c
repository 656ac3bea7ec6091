/* SPDX-License-Identifier: 0BSD */
/*
 * vdev @NAME@: a PCI function with a countdown that ends with an interrupt, by MSI-X or by its pin.
 * Put your device in its place.
 *
 * BAR 0, registers of 32 bits:
 *     0x0  read: IDENTITY, or the option `identity`
 *     0x4  write: interrupt after so many microseconds, 0 stops it; read: what was written
 *     0x8  read: 1 the time is over; write anything: the guest has seen it
 * BAR 1 holds the MSI-X table of one vector.
 */
#include <errno.h>
#include <stdbool.h>
#include <qvm/guest.h>
#include <qvm/x/conf.h>
#include <qvm/x/pci.h>

/* Ids that no product has: take your own before others use the device. */
#define VENDOR	 0x1c05u
#define DEVICE	 0x7a01u
#define CLASS	 0xff0000u
#define IDENTITY 0x31564551u
#define US_IN_NS 1000u

enum { REG_IDENTITY = 0x0, REG_COUNT = 0x4, REG_OVER = 0x8, NUM_BYTES = 0x1000 };
enum { MSIX_BYTES = 0x1000, MSIX_TABLE = 0x0, MSIX_PENDING = 0x800 };

enum { OPT_IDENTITY, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_IDENTITY] = { .name = "identity",
			   .type = QVMX_OPT_NUMBER,
			   .max = UINT32_MAX,
			   .help = "what register 0 reads (default 0x31564551)" },
};

struct device {
	struct guest_timer *timer;
	uint32_t identity;
	uint32_t count; /* v_mtx, as what follows */
	uint64_t deadline;
	bool running, over;
};

/* With v_mtx. */
static void count_from(vdev_t *vdp, uint32_t us)
{
	struct device *d = vdp->v_device;
	struct guest_timer_data now;

	d->count = us;
	d->running = us != 0;
	guest_timer_state(d->timer, &now);
	d->deadline = now.guest_current + (uint64_t)us * US_IN_NS;
	guest_timer_notify(d->timer, NULL, (uint64_t)us * US_IN_NS);
}

/* A message when it begins; the pin for as long as it lasts. The core uses what the guest does. */
static void over_set(vdev_t *vdp, bool over)
{
	struct device *d = vdp->v_device;

	d->over = over;
	qvmx_pci_pin_set(vdp, over);
	if (over)
		qvmx_pci_interrupt(vdp, 0);
}

/* On the clock's thread. The guest may have written the register since the time was over. */
static void device_timer(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
			 struct guest_cpu *gcp)
{
	struct device *d = vdp->v_device;

	(void)data, (void)gcp;
	pthread_mutex_lock(&vdp->v_mtx);
	if (d->running && tdp->guest_current >= d->deadline) {
		d->running = false;
		over_set(vdp, true);
	}
	pthread_mutex_unlock(&vdp->v_mtx);
}

/* On the thread of the vCPU that reads; several may at once. */
static vdev_ref_status_t device_vread(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct device *d = vdp->v_device;
	uint32_t value = 0;

	(void)cookie; /* BAR 0's; the core answers for BAR 1 */
	pthread_mutex_lock(&vdp->v_mtx);
	switch (vopnd->location) {
	case REG_IDENTITY:
		value = d->identity;
		break;
	case REG_COUNT:
		value = d->count;
		break;
	case REG_OVER:
		value = d->over;
		break;
	default: /* reads 0 */
		break;
	}
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

static vdev_ref_status_t device_vwrite(vdev_t *vdp, unsigned cookie,
				       const struct qvm_state_block *vopnd,
				       const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint32_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	(void)cookie;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (vopnd->location == REG_COUNT)
		count_from(vdp, value);
	else if (vopnd->location == REG_OVER)
		over_set(vdp, false);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

static int options_end(vdev_t *vdp)
{
	struct device *d = vdp->v_device;
	uint64_t resolution;

	d->timer = guest_timer_create(NULL, vdp, NULL, &resolution);
	return d->timer ? EOK : (int)resolution;
}

static int pci_declare(vdev_t *vdp)
{
	static const struct qvmx_pci_info info = {
		.size = sizeof(info),
		.vendor = VENDOR,
		.device = DEVICE,
		.class_code = CLASS,
	};

	/* What cannot be is in the user's list of errors already. */
	if (qvmx_pci_function(vdp, &info) != EOK ||
	    qvmx_pci_bar(vdp, 0, QVMX_PCI_BAR_MEM32, NUM_BYTES, 0) != EOK ||
	    qvmx_pci_bar(vdp, 1, QVMX_PCI_BAR_MEM32, MSIX_BYTES, 1) != EOK ||
	    qvmx_pci_msix(vdp, 1, 1, MSIX_TABLE, MSIX_PENDING) != EOK ||
	    qvmx_pci_pin(vdp) != EOK)
		return EINVAL;
	return EOK;
}

static int device_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct device *d = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		d->identity = IDENTITY;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_IDENTITY: /* the core has checked the text */
		d->identity = (uint32_t)qvmx_option_value(&options[OPT_IDENTITY], arg);
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_PCI_BARS:
		return pci_declare(vdp);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = device_control,
	.vread = device_vread,
	.vwrite = device_vwrite,
	.timer = device_timer,
	.factory_flags = VFF_VDEV_PCI | VFF_INTR_NO | VFF_MUTEX,
	.acc_sizes = 1u << 4, /* other widths never get here */
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
