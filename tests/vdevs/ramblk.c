/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev ramblk, for tests: a disk in this process's memory for the guest's virtio-blk driver, from
 * the documented interface alone, in the shape in which vdevs for hardware with a context of its
 * own are written: a worker thread that starts in OPTIONS_END works two queues when the driver
 * kicks them; a reset waits for it. PCI or memory mapped. Options: `size BYTES`, `serial TEXT`.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <qvm/gasp.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/vdev-core.h>
#include <qvm/vio.h>
#include <virtio.h>
#include <vq.h>

#define SECTOR	   512u
#define NUM_QUEUES 2u
#define QUEUE_SIZE 64u
#define BLK_F_MQ   12
#define MAX_SIZE   (64u << 20)

enum { REQ_IN = 0, REQ_OUT = 1, REQ_FLUSH = 4, REQ_GET_ID = 8 };
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2 };

/* As the VirtIO specification has it, up to the number of queues. */
struct blk_config {
	uint64_t capacity;
	uint32_t size_max, seg_max;
	uint32_t geometry, blk_size;
	uint8_t topology[8];
	uint8_t writeback, unused;
	uint16_t num_queues;
} __attribute__((packed));

struct request {
	uint32_t type, reserved;
	uint64_t sector;
};

struct piece {
	uint64_t addr;
	uint32_t len;
	unsigned write;
};

struct ramblk {
	struct vio_state vs;
	struct vio_description desc;
	struct blk_config config;
	uint8_t *disk;
	uint64_t size;
	char serial[20];
	pthread_t worker;
	pthread_mutex_t mtx; /* what follows */
	pthread_cond_t work, idle;
	int running, quiescing, working;
	int kicked[NUM_QUEUES];
	uint64_t served;
};

/* Between the guest and a buffer; the part of the piece from `skip` on. */
static uint32_t piece_copy(vdev_t *vdp, const struct piece *p, uint32_t skip, void *buf,
			   uint64_t len)
{
	uint32_t n = p->len - skip < len ? p->len - skip : (uint32_t)len;
	uint8_t *va =
		n ? gasp_map_vdma(vdp, p->addr, p->len, p->write ? GMF_WRITE : GMF_READ) : NULL;

	if (!va)
		return 0;
	memcpy(p->write ? va + skip : buf, p->write ? buf : va + skip, n);
	gasp_unmap(va, p->len, p->write != 0);
	return n;
}

/* The data of a request: from byte `skip` of the first piece on, up to `end` pieces. */
static uint8_t transfer(vdev_t *vdp, const struct request *req, const struct piece *pieces,
			unsigned num, uint32_t skip, uint32_t *written)
{
	struct ramblk *s = vdp->v_device;
	uint64_t at = req->sector * SECTOR;

	if (req->sector > s->size / SECTOR)
		return STATUS_IOERR;
	for (unsigned i = 0; i < num; i++) {
		uint32_t from = i ? 0 : skip, want = pieces[i].len - from;

		if (want > s->size - at)
			return STATUS_IOERR;
		uint32_t n = piece_copy(vdp, &pieces[i], from, s->disk + at, want);

		if (n != want)
			return STATUS_IOERR;
		at += n;
		*written += pieces[i].write ? n : 0;
	}
	return STATUS_OK;
}

static uint32_t serve(vdev_t *vdp, struct piece *pieces, unsigned num)
{
	struct ramblk *s = vdp->v_device;
	struct request req = { 0 };
	uint32_t got = 0, skip = 0, written = 0;
	unsigned first = 0;
	uint8_t status = STATUS_UNSUPP;

	if (!num || !pieces[num - 1].write || !pieces[num - 1].len)
		return 0;
	while (got < sizeof(req) && first < num && !pieces[first].write) {
		skip = piece_copy(vdp, &pieces[first], 0, (uint8_t *)&req + got, sizeof(req) - got);
		got += skip;
		if (got == sizeof(req) && skip < pieces[first].len)
			break;
		first++;
		skip = 0;
	}
	/* The last byte is the status; what is before it in the same piece is data. */
	struct piece last = pieces[num - 1], end = { last.addr + last.len - 1, 1, 1 };
	unsigned end_data = num;

	if (--pieces[num - 1].len == 0)
		end_data--;
	if (got == sizeof(req) && req.type == REQ_IN) {
		while (first < end_data && !pieces[first].write)
			first++;
		status = transfer(vdp, &req, pieces + first, end_data - first, 0, &written);
	} else if (got == sizeof(req) && req.type == REQ_OUT) {
		unsigned n = first;

		while (n < end_data && !pieces[n].write)
			n++;
		status = transfer(vdp, &req, pieces + first, n - first, skip, &written);
	} else if (got == sizeof(req) && req.type == REQ_FLUSH) {
		status = STATUS_OK;
	} else if (got == sizeof(req) && req.type == REQ_GET_ID && first < end_data &&
		   pieces[first].write) {
		written += piece_copy(vdp, &pieces[first], 0, s->serial, sizeof(s->serial));
		status = STATUS_OK;
	}
	piece_copy(vdp, &end, 0, &status, 1);
	return written + 1;
}

/* On the worker's thread, until the queue is empty or a reset is asked for. */
static void work_queue(vdev_t *vdp, unsigned index)
{
	struct ramblk *s = vdp->v_device;
	vq_t *vq = s->vs.qinfo[index].pvq;
	struct piece pieces[QUEUE_SIZE];
	unsigned first, id;

	while (vq && !__atomic_load_n(&s->quiescing, __ATOMIC_SEQ_CST) &&
	       (id = vq_get_from_driver(vq, &first)) != VQ_INVALID_ID) {
		unsigned num = 0, flags;

		for (unsigned i = first; i != VQ_INVALID_ID && num < QUEUE_SIZE; num++) {
			i = vq_desc_get(vq, i, &pieces[num].addr, &pieces[num].len, &flags);
			pieces[num].write = flags & VIRTQ_DESC_F_WRITE;
		}
		uint32_t written = serve(vdp, pieces, num);

		vq_put_to_driver(vq, id, written, true);
		s->served++;
	}
}

static void *work(void *arg)
{
	vdev_t *vdp = arg;
	struct ramblk *s = vdp->v_device;

	pthread_mutex_lock(&s->mtx);
	while (s->running) {
		if (s->quiescing || (!s->kicked[0] && !s->kicked[1])) {
			pthread_cond_wait(&s->work, &s->mtx);
			continue;
		}
		int todo[NUM_QUEUES] = { s->kicked[0], s->kicked[1] };

		s->kicked[0] = s->kicked[1] = 0;
		s->working = 1;
		pthread_mutex_unlock(&s->mtx);
		for (unsigned i = 0; i < NUM_QUEUES; i++)
			if (todo[i])
				work_queue(vdp, i);
		pthread_mutex_lock(&s->mtx);
		s->working = 0;
		pthread_cond_broadcast(&s->idle);
	}
	pthread_mutex_unlock(&s->mtx);
	return NULL;
}

static void reset(struct ramblk *s)
{
	pthread_mutex_lock(&s->mtx);
	__atomic_store_n(&s->quiescing, 1, __ATOMIC_SEQ_CST);
	while (s->working)
		pthread_cond_wait(&s->idle, &s->mtx);
	vio_reset(&s->vs);
	s->kicked[0] = s->kicked[1] = 0;
	__atomic_store_n(&s->quiescing, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&s->mtx);
}

static vdev_ref_status_t status_of(unsigned class, unsigned detail)
{
	if (class == VIOREF_CLASS_BUS_ERROR)
		return VRS_BUS_ERROR;
	return class == VIOREF_CLASS_ERRNO ? VRS_ERRNO + detail : VRS_NORMAL;
}

static vdev_ref_status_t ramblk_vread(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct ramblk *s = vdp->v_device;

	pthread_mutex_lock(&vdp->v_mtx);
	unsigned ref = vio_read(&s->vs, cookie, vopnd, oopnd, gcp);
	unsigned class = ref & VIOREF_CLASS_MASK, detail = ref & ~VIOREF_CLASS_MASK;
	vdev_ref_status_t ret = status_of(class, detail);

	if (class == VIOREF_CLASS_DEVCFG)
		ret = guest_cpu_to_vrs(guest_cpu_write(
			gcp, GXF_NONE, oopnd, 1, (uint8_t *)&s->config + detail, vopnd->length));
	pthread_mutex_unlock(&vdp->v_mtx);
	return ret;
}

static vdev_ref_status_t ramblk_vwrite(vdev_t *vdp, unsigned cookie,
				       const struct qvm_state_block *vopnd,
				       const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct ramblk *s = vdp->v_device;

	pthread_mutex_lock(&vdp->v_mtx);
	unsigned ref = vio_write(&s->vs, cookie, vopnd, oopnd, gcp);
	unsigned class = ref & VIOREF_CLASS_MASK, detail = ref & ~VIOREF_CLASS_MASK;

	switch (class) {
	case VIOREF_CLASS_RESET:
		reset(s);
		break;
	case VIOREF_CLASS_NOTIFY:
		pthread_mutex_lock(&s->mtx);
		if (detail < NUM_QUEUES)
			s->kicked[detail] = 1;
		pthread_cond_signal(&s->work);
		pthread_mutex_unlock(&s->mtx);
		break;
	case VIOREF_CLASS_STATUS:
		if (detail & VIRTIO_DS_DRIVER_OK)
			(void)vio_setup_queues(&s->vs);
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&vdp->v_mtx);
	return status_of(class, detail);
}

enum { OPT_SIZE, OPT_SERIAL };
static const char *const ramblk_options[] = {
	[OPT_SIZE] = "size", [OPT_SERIAL] = "serial", [OPT_SERIAL + 1] = NULL
};

static int options_end(vdev_t *vdp)
{
	struct ramblk *s = vdp->v_device;

	if (s->size < SECTOR || s->size > MAX_SIZE || s->size % SECTOR)
		qvm_fatal(QLS_CNF, "a disk has sectors of %u bytes and at most %u bytes", SECTOR,
			  MAX_SIZE);
	s->disk = calloc(1, s->size);
	if (!s->disk)
		return ENOMEM;
	s->config.capacity = s->size / SECTOR;
	s->config.num_queues = NUM_QUEUES;
	vio_init(vdp, VIOVER_100, &s->desc, &s->vs);
	for (unsigned i = 0; i < NUM_QUEUES; i++) {
		int err = vio_init_queue(&s->vs, i, QUEUE_SIZE);

		if (err != EOK)
			return err;
	}
	pthread_mutex_init(&s->mtx, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_cond_init(&s->idle, NULL);
	s->running = 1;
	int err = vdev_thread_create(vdp, "ramblk", &s->worker, NULL, work, vdp);

	if (err != EOK)
		s->running = 0;
	return err;
}

static void terminate(struct ramblk *s)
{
	if (s->running) {
		pthread_mutex_lock(&s->mtx);
		s->running = 0;
		__atomic_store_n(&s->quiescing, 1, __ATOMIC_SEQ_CST);
		pthread_cond_signal(&s->work);
		pthread_mutex_unlock(&s->mtx);
		pthread_join(s->worker, NULL);
		pthread_cond_destroy(&s->work);
		pthread_cond_destroy(&s->idle);
		pthread_mutex_destroy(&s->mtx);
	}
	free(s->disk);
}

static int ramblk_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct ramblk *s = vdp->v_device;

	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block.qst_type = QST_MEMORY;
		vdp->v_block.location = QSL_NO_LOCATION;
		s->size = 4u << 20;
		s->desc = (struct vio_description){
			.device_type = VIRTIO_DT_BLOCK,
			.pci_class = PCI_CLASS_STORAGE | PCI_SUBCLASS_STORAGE_OTHER,
			.num_queues = NUM_QUEUES,
			.device_config_size = sizeof(struct blk_config),
			.device_features = { VIO_F_BIT(BLK_F_MQ), VIO_F_BIT(VIRTIO_F_VERSION_1) },
		};
		break;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_SIZE:
		s->size = strtoull(arg, NULL, 0);
		break;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_SERIAL:
		memcpy(s->serial, arg, strnlen(arg, sizeof(s->serial)));
		break;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_PCI_BARS:
		return vio_ctrl_pci_bars(&s->vs, arg);
	case VDEV_CTRL_GEN_FDT:
		(void)vio_ctrl_gen_fdt(&s->vs, "ramblk", (int)(intptr_t)arg);
		break;
	case VDEV_CTRL_STATUS:
		qvm_report("served=%llu", (unsigned long long)s->served);
		break;
	case VDEV_CTRL_TERMINATE:
		terminate(s);
		break;
	default:
		break;
	}
	return EOK;
}

static struct vdev_factory ramblk_factory = {
	.control = ramblk_control,
	.vread = ramblk_vread,
	.vwrite = ramblk_vwrite,
	.option_list = ramblk_options,
	.name = "ramblk",
	.factory_flags =
		VFF_INTR_NONPCI | VFF_VDEV_MEM | VFF_VDEV_PCI | VFF_MUTEX | VFF_MUTEX_RECURSIVE,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct ramblk),
};

static void __attribute__((constructor)) ramblk_register(void)
{
	vdev_register_factory(&ramblk_factory, QVM_VDEV_ABI);
}
