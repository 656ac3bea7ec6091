/* SPDX-License-Identifier: Apache-2.0 */
/* vio.h, vq.h and x/queue.h: the VirtIO helper over src/virtio. */
#include "vdev/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <virtio.h>

#include "vdev/host.h"
#include "virtio/device.h"
#include "virtio/mmio.h"
#include "virtio/pci.h"

struct qvmx_queue {
	struct vio_state_internal *vio;
	unsigned index;
	const struct qvmx_queue_ops *ops; /* NULL: not served */
	struct virtqueue *vq;
};

struct vio_state_internal {
	struct vdev_instance *vi;
	struct vio_state *vsp;
	struct vio_description desc;
	struct virtio_device *device;
	struct virtio_pci *pci; /* its transport: one of the two, made when it is planned */
	struct virtio_mmio *mmio;
	struct vio_queue_info *qinfo;
	bool ending; /* vio_end has asked */
	struct qvmx_queue queues[];
};

static void vio_broken(void *owner, unsigned queue, const char *why)
{
	struct vio_state_internal *vio = owner;

	vdev_logf(QL_QVM_WARN, &vio->vi->vdev,
		  "queue %u: the driver broke the rules, the device needs a reset: %s", queue, why);
}

/* What the API cannot return is an error of the configuration. */
static void vio_fail(struct vdev_instance *vi, const char *what, int rc)
{
	(void)qvmx_refuse(&vi->vdev, "%s: %s", what, strerror(-rc));
}

void vio_init(vdev_t *vdp, enum vio_version version, const struct vio_description *desc,
	      struct vio_state *vsp)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	struct vio_state_internal *vio;

	if (version == VIOVER_LEGACY) {
		(void)qvmx_queue_refuse_legacy(vdp);
		return;
	}
	if (vi->vio) {
		(void)qvmx_refuse(vdp, "vio_init: it is a VirtIO device already");
		return;
	}
	vio = calloc(1, sizeof(*vio) + desc->num_queues * sizeof(vio->queues[0]));
	if (vio)
		vio->qinfo = calloc(desc->num_queues, sizeof(*vio->qinfo));
	if (!vio || !vio->qinfo) {
		free(vio);
		vio_fail(vi, "VirtIO device", -ENOMEM);
		return;
	}
	struct virtio_device_info info = {
		.type = desc->device_type,
		.num_queues = desc->num_queues,
		.config_size = desc->device_config_size,
		.driver_features = vsp->driver_features,
		.broken = vio_broken,
		.owner = vio,
	};

	memcpy(info.features, desc->device_features, sizeof(info.features));
	vio->vi = vi;
	vio->vsp = vsp;
	vio->desc = *desc;
	int rc = virtio_device_create(&info, vi->host->mem, &vio->device);

	if (rc) {
		free(vio->qinfo);
		free(vio);
		vio_fail(vi, "VirtIO device", rc);
		return;
	}
	for (unsigned i = 0; i < desc->num_queues; i++)
		vio->queues[i] = (struct qvmx_queue){ .vio = vio, .index = i };
	vi->vio = vio;
	vsp->vsip = vio;
	vsp->qinfo = vio->qinfo;
}

void vio_free(struct vio_state_internal *vio)
{
	virtio_pci_destroy(vio->pci);
	virtio_mmio_destroy(vio->mmio);
	virtio_device_destroy(vio->device);
	free(vio->qinfo);
	free(vio);
}

/* A vdev that works its queues itself ends them itself, in VDEV_CTRL_TERMINATE. */
void vio_end(struct vio_state_internal *vio)
{
	for (unsigned i = 0; i < vio->desc.num_queues; i++)
		if (!vio->queues[i].ops)
			return;
	vio->ending = true;
	virtio_device_reset_request(vio->device);
}

bool vio_ending(struct vio_state_internal *vio)
{
	return vio->ending && virtio_device_reset_pending(vio->device);
}

int vio_init_queue(struct vio_state *vsp, unsigned idx, unsigned size)
{
	struct vio_state_internal *vio = vsp->vsip;

	if (!vio)
		return EINVAL; /* vio_init has said why */
	int rc = virtio_device_queue_init(vio->device, idx, size);

	if (rc)
		vio_fail(vio->vi, "VirtIO queue", rc);
	else
		vio->queues[idx].vq = virtio_device_queue(vio->device, idx);
	return -rc;
}

int vio_ctrl_pci_bars(struct vio_state *vsp, const char *arg)
{
	struct vio_state_internal *vio = vsp->vsip;

	int devfn = PCI_DEVFN_NEXT, err;

	(void)arg;
	if (!vio)
		return EINVAL;
	if (vio->pci)
		return qvmx_refuse(&vio->vi->vdev, "it is a PCI function already");
	err = pci_place(&vio->vi->vdev, &devfn);
	if (err != EOK)
		return err;
	const struct virtio_pci_info info = {
		.name = vio->vi->label,
		.devfn = devfn,
		.subsystem_vendor = vio->desc.vendor_id,
		.class_code = vio->desc.pci_class,
		.handler = vdev_access,
		.opaque = vio->vi,
	};

	return pci_answer(&vio->vi->vdev,
			  virtio_pci_create(vio->vi->host->pci, vio->device, &info, &vio->pci));
}

int vio_ctrl_gen_fdt(struct vio_state *vsp, const char *name, int parent_node)
{
	return vsp->vsip ? fdt_virtio_node(vsp->vsip->vi, name, parent_node) : EINVAL;
}

static void mmio_line_set(void *opaque, bool level)
{
	struct vdev_instance *vi = opaque;

	/* What the controller does not take is lost as on a broken wire. */
	(void)guest_intr_signal(&vi->vdev.v_intr, level ? GIS_ON : GIS_OFF);
}

int vio_mmio_plan(struct vdev_instance *vi)
{
	struct vio_state_internal *vio = vi->vio;
	struct qvm_state_block *b = &vi->vdev.v_block;
	const struct virtio_mmio_info info = {
		.vendor = vio->desc.vendor_id,
		.line_set = mmio_line_set,
		.opaque = vi,
	};
	int rc = virtio_mmio_create(vio->device, &info, &vio->mmio);

	if (rc)
		return rc;
	if (b->location % VIRTIO_MMIO_ALIGN)
		conf_error(vi->host->conf, vi->conf->has_loc ? &vi->conf->loc.pos : &vi->conf->pos,
			   "%s lies at 0x%llx, which is no multiple of %d", vi->label,
			   (unsigned long long)b->location, VIRTIO_MMIO_ALIGN);
	b->length = virtio_mmio_size(vio->mmio);
	return 0;
}

void vio_mmio_attach(struct vdev_instance *vi)
{
	if (vi->vio->mmio)
		virtio_mmio_attach(vi->vio->mmio, vi->host->engine, vi->vdev.v_block.location);
}

bool vio_is_mmio(const struct vdev_instance *vi)
{
	return vi->vio && vi->vio->mmio;
}

unsigned vio_read(struct vio_state *vsp, unsigned cookie, const struct qvm_state_block *vopnd,
		  const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct vio_state_internal *vio = vsp->vsip;
	unsigned ref, len = (unsigned)vopnd->length;
	uint64_t value = 0;

	(void)cookie;
	if (vio->pci)
		ref = virtio_pci_read(vio->pci, vopnd->location, len, &value);
	else if (vio->mmio)
		ref = virtio_mmio_read(vio->mmio, vopnd->location, len, &value);
	else
		return VIOREF_BUS_ERROR;
	if ((ref & VIOREF_CLASS_MASK) != VIOREF_DEVCFG)
		(void)guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value,
				      MIN(oopnd->length, sizeof(value)));
	return ref;
}

unsigned vio_write(struct vio_state *vsp, unsigned cookie, const struct qvm_state_block *vopnd,
		   const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct vio_state_internal *vio = vsp->vsip;
	unsigned len = (unsigned)vopnd->length;
	uint64_t value = 0;

	(void)cookie;
	(void)guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, MIN(oopnd->length, sizeof(value)));
	if (vio->pci)
		return virtio_pci_write(vio->pci, vopnd->location, len, value);
	return vio->mmio ? virtio_mmio_write(vio->mmio, vopnd->location, len, value)
			 : VIOREF_BUS_ERROR;
}

void vio_reset(struct vio_state *vsp)
{
	struct vio_state_internal *vio = vsp->vsip;

	virtio_device_reset_finish(vio->device);
	for (unsigned i = 0; i < vio->desc.num_queues; i++)
		vio->qinfo[i] = (struct vio_queue_info){ 0 };
}

int vio_setup_queues(struct vio_state *vsp)
{
	struct vio_state_internal *vio = vsp->vsip;
	int rc = virtio_device_setup_queues(vio->device);

	for (unsigned i = 0; !rc && i < vio->desc.num_queues && vio->queues[i].vq; i++) {
		vio->qinfo[i].pvq = vio->queues[i].vq;
		vio->qinfo[i].size = virtqueue_size(vio->queues[i].vq);
	}
	return -rc;
}

unsigned vq_get_from_driver(struct virtqueue *vq, unsigned *first)
{
	struct qvmx_request req;

	if (virtqueue_next(vq, &req) != 1)
		return VQ_INVALID_ID;
	*first = 0;
	return req.id;
}

unsigned vq_desc_get(struct virtqueue *vq, unsigned idx, uint64_t *addr, uint32_t *len,
		     unsigned *flags)
{
	uint16_t f;
	unsigned next = virtqueue_descriptor(vq, idx, addr, len, &f);

	*flags = f;
	return f & VIRTQ_DESC_F_NEXT ? next : VQ_INVALID_ID;
}

void vq_put_to_driver(struct virtqueue *vq, uint32_t bufid, uint32_t written, int notify)
{
	virtqueue_done(vq, bufid, written);
	if (notify)
		virtqueue_flush(vq);
	else
		virtqueue_publish(vq);
}

static void queue_kick(void *opaque, unsigned queue, struct virtqueue *vq)
{
	struct qvmx_queue *q = opaque;

	(void)vq;
	q->ops->kick(&q->vio->vi->vdev, queue, q);
}

static bool queue_stop(void *opaque, unsigned queue, struct virtqueue *vq)
{
	struct qvmx_queue *q = opaque;

	(void)vq;
	return !q->ops->stop || q->ops->stop(&q->vio->vi->vdev, queue, q);
}

static void queue_start(void *opaque, unsigned queue, struct virtqueue *vq)
{
	struct qvmx_queue *q = opaque;

	(void)vq;
	if (q->ops->start)
		q->ops->start(&q->vio->vi->vdev, queue, q);
}

static const struct virtio_queue_ops served = { .kick = queue_kick,
						.stop = queue_stop,
						.start = queue_start };

static void queue_ready(vdev_t *vdp, void *data, uint32_t events)
{
	struct qvmx_queue *q = data;

	(void)vdp, (void)events;
	virtio_device_queue_kicked(q->vio->device, q->index);
}

void qvmx_queue_serve(struct vio_state *vsp, unsigned idx, const struct qvmx_queue_ops *ops)
{
	struct vio_state_internal *vio = vsp->vsip;

	if (!vio)
		return;
	struct qvmx_queue *q = idx < vio->desc.num_queues ? &vio->queues[idx] : NULL;
	int rc = q ? virtio_device_queue_serve(vio->device, idx, &served, q) : -EINVAL;

	if (!rc) {
		q->ops = ops;
		rc = -qvmx_watch_add(&vio->vi->vdev, virtio_device_queue_fd(vio->device, idx),
				     EPOLLIN, queue_ready, q, NULL);
	}
	if (rc)
		vio_fail(vio->vi, "VirtIO queue", rc);
}

void qvmx_queue_split_only(struct vio_state *vsp)
{
	if (vsp->vsip)
		virtio_device_withhold(vsp->vsip->device, VIRTIO_F_RING_PACKED);
}

int qvmx_queue_refuse_legacy(const vdev_t *vdp)
{
	return qvmx_refuse(vdp, "the VirtIO 0.9.5 interface is not built: leave 'legacy' out, the "
				"guest needs a driver for VirtIO 1.0 or later");
}

int qvmx_queue_next(struct qvmx_queue *q, struct qvmx_request *ret_req)
{
	return virtqueue_next(q->vq, ret_req);
}

void qvmx_queue_unget(struct qvmx_queue *q)
{
	virtqueue_unget(q->vq);
}

unsigned qvmx_queue_size(const struct qvmx_queue *q)
{
	return virtqueue_size(q->vq);
}

void qvmx_queue_done(struct qvmx_queue *q, uint32_t id, uint32_t written)
{
	virtqueue_done(q->vq, id, written);
}

void qvmx_queue_flush(struct qvmx_queue *q)
{
	virtqueue_flush(q->vq);
}

void qvmx_queue_stopped(struct qvmx_queue *q)
{
	virtio_device_queue_stopped(q->vio->device, q->index);
}

void qvmx_config_changed(struct vio_state *vsp)
{
	virtio_device_config_changed(vsp->vsip->device);
}

vdev_ref_status_t qvmx_vio_status(unsigned vioref)
{
	switch (vioref & VIOREF_CLASS_MASK) {
	case VIOREF_BUS_ERROR:
		return VRS_BUS_ERROR;
	case VIOREF_ERRNO:
		return (vdev_ref_status_t)((unsigned)VRS_ERRNO + (vioref & ~VIOREF_CLASS_MASK));
	default:
		return VRS_NORMAL;
	}
}

vdev_ref_status_t qvmx_config_read(unsigned vioref, const void *config, size_t size,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	unsigned offset = vioref & ~VIOREF_CLASS_MASK;

	if ((vioref & VIOREF_CLASS_MASK) != VIOREF_DEVCFG)
		return qvmx_vio_status(vioref);
	if (!range_inside(offset, oopnd->length, 0, size))
		return guest_cpu_to_vrs(guest_write_all_ones(gcp, oopnd));
	return guest_cpu_to_vrs(guest_cpu_write(
		gcp, GXF_NONE, oopnd, 1, (const uint8_t *)config + offset, (size_t)oopnd->length));
}

/* Copy between a part of iovecs, from byte offset on, and flat memory. */
static size_t iov_copy(const struct iovec *iov, unsigned n, size_t offset, uint8_t *buf, size_t len,
		       bool to_iov)
{
	size_t copied = 0;

	for (unsigned i = 0; i < n && copied < len; i++) {
		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		size_t part = MIN(len - copied, iov[i].iov_len - offset);
		uint8_t *p = (uint8_t *)iov[i].iov_base + offset;

		memcpy(to_iov ? p : buf + copied, to_iov ? buf + copied : p, part);
		copied += part;
		offset = 0;
	}
	return copied;
}

size_t qvmx_iov_read(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t len)
{
	return iov_copy(iov, n, offset, buf, len, false);
}

size_t qvmx_iov_write(const struct iovec *iov, unsigned n, size_t offset, const void *buf,
		      size_t len)
{
	return iov_copy(iov, n, offset, (uint8_t *)(uintptr_t)buf, len, true);
}
