/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev virtio-entropy: random bytes from the host's kernel, put straight into the guest's buffers.
 * The queue is worked on the vdev's thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <virtio.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include <qvm/x/loop.h>
#include <qvm/x/queue.h>

enum {
	QUEUE_SIZE = 64,
	BATCH = QUEUE_SIZE,	/* buffers taken before others on the thread have a turn */
	MOST_PER_BUFFER = 4096, /* a driver takes what it gets, and asks again */
	ALWAYS_WHOLE = 256,	/* what getrandom(2) never cuts short */
};

struct entropy {
	struct vio_state vio;
	struct qvmx_queue *queue; /* NULL: not started */
	bool call_pending, split_only;
};

enum { OPT_DELAYED, OPT_PACKED, OPT_LEGACY };

static const struct qvmx_option options[] = {
	[OPT_DELAYED] = { .name = "delayed",
			  .type = QVMX_OPT_FLAG,
			  .help = "open the source at first use (always so: nothing is opened)" },
	[OPT_PACKED] = QVMX_QUEUE_OPTION_PACKED,
	[OPT_LEGACY] = QVMX_QUEUE_OPTION_LEGACY,
};

/* Fill up to `most` bytes of n iovecs. Returns how many; 0 and errno if there are none to be had.
 */
static size_t fill(const struct iovec *iov, unsigned n, size_t most)
{
	size_t filled = 0;

	for (unsigned i = 0; i < n; i++) {
		for (size_t at = 0; at < iov[i].iov_len && filled < most;) {
			size_t want = iov[i].iov_len - at;
			ssize_t got;

			if (want > most - filled)
				want = most - filled;
			if (want > ALWAYS_WHOLE)
				want = ALWAYS_WHOLE;
			got = getrandom((uint8_t *)iov[i].iov_base + at, want, 0);
			if (got <= 0)
				return filled;
			at += (size_t)got;
			filled += (size_t)got;
		}
	}
	return filled;
}

static void serve(vdev_t *vdp);

static void serve_again(vdev_t *vdp, void *data, uint32_t events)
{
	struct entropy *ent = vdp->v_device;

	(void)data, (void)events;
	ent->call_pending = false;
	serve(vdp);
}

static void serve(vdev_t *vdp)
{
	struct entropy *ent = vdp->v_device;
	struct qvmx_request req;
	unsigned taken = 0;

	if (!ent->queue)
		return;
	while (taken < BATCH && qvmx_queue_next(ent->queue, &req) == 1) {
		size_t filled = fill(req.iov + req.num_read, req.num_write, MOST_PER_BUFFER);

		if (!filled && req.write_len)
			vdev_logf(QL_QVM_ERR, vdp, "getrandom: %s", strerror(errno));
		qvmx_queue_done(ent->queue, req.id, (uint32_t)filled);
		taken++;
	}
	qvmx_queue_flush(ent->queue);
	/* Without memory for the call the next doorbell goes on. */
	if (taken == BATCH && !ent->call_pending)
		ent->call_pending = qvmx_loop_call(vdp, serve_again, NULL) == EOK;
}

static void queue_kick(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	(void)queue, (void)q;
	serve(vdp);
}

static void queue_start(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct entropy *ent = vdp->v_device;

	(void)queue;
	ent->queue = q;
}

static bool queue_stop(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct entropy *ent = vdp->v_device;

	(void)queue, (void)q;
	ent->queue = NULL;
	return true;
}

static const struct qvmx_queue_ops queue_ops = {
	.size = sizeof(queue_ops),
	.kick = queue_kick,
	.stop = queue_stop,
	.start = queue_start,
};

static vdev_ref_status_t entropy_vread(vdev_t *vdp, unsigned cookie,
				       const struct qvm_state_block *vopnd,
				       const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct entropy *ent = vdp->v_device;

	return qvmx_vio_status(vio_read(&ent->vio, cookie, vopnd, oopnd, gcp));
}

static vdev_ref_status_t entropy_vwrite(vdev_t *vdp, unsigned cookie,
					const struct qvm_state_block *vopnd,
					const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct entropy *ent = vdp->v_device;

	return qvmx_vio_status(vio_write(&ent->vio, cookie, vopnd, oopnd, gcp));
}

static int options_end(vdev_t *vdp)
{
	static const struct vio_description desc = {
		.device_type = VIRTIO_ID_ENTROPY,
		.pci_class = 0x00ff00, /* of no class */
		.num_queues = 1,
	};
	struct entropy *ent = vdp->v_device;

	vio_init(vdp, VIOVER_100, &desc, &ent->vio);
	if (ent->split_only)
		qvmx_queue_split_only(&ent->vio);
	vio_init_queue(&ent->vio, 0, QUEUE_SIZE);
	qvmx_queue_serve(&ent->vio, 0, &queue_ops);
	return EOK;
}

static int entropy_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct entropy *ent = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_PCI_BARS:
		return vio_ctrl_pci_bars(&ent->vio, arg);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_PACKED:
		ent->split_only = !qvmx_option_value(&options[OPT_PACKED], arg);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_LEGACY:
		return qvmx_queue_refuse_legacy(vdp);
	default:
		return EOK;
	}
}

static struct vdev_factory entropy_factory = {
	.control = entropy_control,
	.vread = entropy_vread,
	.vwrite = entropy_vwrite,
	.factory_flags = VFF_VDEV_PCI | VFF_VDEV_MEM | VFF_INTR_NONPCI,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct entropy),
};

static const struct qvmx_vdev_info entropy_info = {
	.size = sizeof(entropy_info),
	.num_options = sizeof(options) / sizeof(options[0]),
	.summary = "VirtIO source of random bytes",
	.options = options,
};

static void __attribute__((constructor)) entropy_register(void)
{
	qvmx_vdev_register(&entropy_factory, &entropy_info, QVM_VDEV_ABI);
}
