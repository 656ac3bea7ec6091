/* SPDX-License-Identifier: 0BSD */
/*
 * vdev @NAME@: a VirtIO device with one queue. It writes what the driver sends back into the rest
 * of the same buffer, with all bits inverted. Put your device in its place.
 */
#include <stdbool.h>
#include <string.h>
#include <qvm/x/conf.h>
#include <qvm/x/queue.h>

/* Not in the standard's list of devices: take the number of your device, or ask for one. */
#define DEVICE_TYPE 63

enum { QUEUE_SIZE = 64, MOST = 4096 };

/* What the driver reads in the device configuration, little endian. */
struct config {
	uint32_t most; /* bytes of a buffer that are inverted */
};

struct device {
	struct vio_state vio;
	uint8_t buffer[MOST];
};

/* On the vdev's own thread, which alone works the queue. The core has checked every address. */
static void queue_kick(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct device *d = vdp->v_device;
	struct qvmx_request req;

	(void)queue;
	while (qvmx_queue_next(q, &req) == 1) {
		size_t len = qvmx_iov_read(req.iov, req.num_read, 0, d->buffer, MOST);

		for (size_t i = 0; i < len; i++)
			d->buffer[i] = (uint8_t)~d->buffer[i];
		len = qvmx_iov_write(req.iov + req.num_read, req.num_write, 0, d->buffer, len);
		qvmx_queue_done(q, req.id, (uint32_t)len);
	}
	qvmx_queue_flush(q);
}

static const struct qvmx_queue_ops queue_ops = {
	.size = sizeof(queue_ops),
	.kick = queue_kick,
};

static vdev_ref_status_t device_vread(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	static const struct config config = { .most = MOST };
	struct device *d = vdp->v_device;
	unsigned what = vio_read(&d->vio, cookie, vopnd, oopnd, gcp);

	return qvmx_config_read(what, &config, sizeof(config), oopnd, gcp);
}

static vdev_ref_status_t device_vwrite(vdev_t *vdp, unsigned cookie,
				       const struct qvm_state_block *vopnd,
				       const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct device *d = vdp->v_device;

	return qvmx_vio_status(vio_write(&d->vio, cookie, vopnd, oopnd, gcp));
}

static int options_end(vdev_t *vdp)
{
	static const struct vio_description description = {
		.device_type = DEVICE_TYPE,
		.pci_class = 0xff0000,
		.num_queues = 1,
		.device_config_size = sizeof(struct config),
	};
	struct device *d = vdp->v_device;

	vio_init(vdp, VIOVER_100, &description, &d->vio);
	vio_init_queue(&d->vio, 0, QUEUE_SIZE);
	qvmx_queue_serve(&d->vio, 0, &queue_ops);
	return EOK;
}

static int device_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct device *d = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_PCI_BARS:
		return vio_ctrl_pci_bars(&d->vio, arg);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = device_control,
	.vread = device_vread,
	.vwrite = device_vwrite,
	.factory_flags = VFF_VDEV_PCI | VFF_VDEV_MEM | VFF_INTR_NONPCI,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct device),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.summary = "@SUMMARY@",
};

static void __attribute__((constructor)) device_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
