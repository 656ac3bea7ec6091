/* SPDX-License-Identifier: Apache-2.0 */
/* The queue: requests are checked here and given to the backend; nothing blocks. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <qvm/log.h>
#include <qvm/x/loop.h>
#include "blk.h"

/* VirtIO, block device: request types, and the answer in a request's last byte */
enum {
	BLK_T_IN = 0,
	BLK_T_OUT = 1,
	BLK_T_FLUSH = 4,
	BLK_T_GET_ID = 8,
	BLK_T_DISCARD = 11,
	BLK_T_WRITE_ZEROES = 13,
};
enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

enum {
	FEW_IOVECS = 4,		 /* requests with more get an array of their own */
	MAX_SPARE_REQUESTS = 32, /* kept for later; more are freed */
	BATCH = BLK_QUEUE_SIZE,	 /* requests taken before others on the thread have a turn */
};

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

/* What a discard or write zeroes is about. */
struct blk_range {
	uint64_t sector;
	uint32_t num_sectors, flags;
};
enum { BLK_RANGE_UNMAP = 1 };

struct blk_request {
	struct backend_io io; /* first: the backend gives it back */
	struct blk_request *next;
	struct blk_queue *queue;
	uint32_t id;
	uint8_t *status;
	size_t write_len;
	struct iovec *many; /* NULL: `few` is enough */
	struct iovec few[FEW_IOVECS];
};

static const char *op_name(enum backend_op op)
{
	switch (op) {
	case BACKEND_READ:
		return "read";
	case BACKEND_FLUSH:
		return "flush";
	case BACKEND_DISCARD:
		return "discard";
	case BACKEND_ZERO:
	case BACKEND_ZERO_STABLE:
		return "write zeroes";
	default:
		return "write";
	}
}

static struct blk_request *get_request(struct blk *blk)
{
	struct blk_request *r = blk->spare;

	if (!r)
		return malloc(sizeof(*r));
	blk->spare = r->next;
	blk->num_spare--;
	return r;
}

static void put_request(struct blk *blk, struct blk_request *r)
{
	free(r->many);
	if (blk->num_spare == MAX_SPARE_REQUESTS) {
		free(r);
		return;
	}
	r->next = blk->spare;
	blk->spare = r;
	blk->num_spare++;
}

/*
 * Give a request back. filled: bytes from the start of its writable part on that were written. The
 * status byte counts only if nothing unwritten lies before it: the length may be too small, never
 * too large.
 */
static void answer(const struct blk_request *r, uint8_t status, size_t filled)
{
	*r->status = status;
	if (filled == r->write_len - 1)
		filled++;
	qvmx_queue_done(r->queue->live, r->id,
			(uint32_t)(filled < UINT32_MAX ? filled : UINT32_MAX));
}

void blk_request_done(void *owner, struct backend_io *io, ptrdiff_t res)
{
	vdev_t *vdp = owner;
	struct blk *blk = vdp->v_device;
	struct blk_request *r = (struct blk_request *)io;
	size_t filled = io->op == BACKEND_READ ? io->done : 0;

	if (res < 0 && res != -ECANCELED)
		vdev_logf(QL_QVM_WARN, vdp, "'%s': %s at byte %llu: %s", blk->path, op_name(io->op),
			  (unsigned long long)(io->offset + io->done), strerror((int)-res));
	/* After a reset begun meanwhile the guest's request is forgotten. */
	r->queue->in_flight--;
	if (r->queue->live)
		answer(r, res < 0 ? BLK_S_IOERR : BLK_S_OK, filled);
	put_request(blk, r);
}

/* The part [skip, skip + len) of src's n iovecs, to dst. Returns the number of iovecs used. */
static unsigned slice(struct iovec *dst, const struct iovec *src, unsigned n, size_t skip,
		      size_t len)
{
	unsigned used = 0;

	for (unsigned i = 0; i < n && len; i++) {
		size_t part = src[i].iov_len;

		if (skip >= part) {
			skip -= part;
			continue;
		}
		part -= skip;
		if (part > len)
			part = len;
		dst[used].iov_base = (uint8_t *)src[i].iov_base + skip;
		dst[used++].iov_len = part;
		skip = 0;
		len -= part;
	}
	return used;
}

/* Is [sector, sector + len bytes) a range of whole sectors of the disk? */
static bool range_ok(const struct blk *blk, uint64_t sector, size_t len)
{
	uint64_t sectors = blk->geometry.capacity / BLK_SECTOR;

	return len % BLK_SECTOR == 0 && sector <= sectors && len / BLK_SECTOR <= sectors - sector;
}

/* r is handed to the backend, as prepared in r->io. */
static void start_io(struct blk *blk, struct blk_request *r)
{
	r->queue->in_flight++;
	backend_start(blk->backend, &r->io);
}

/* Read or write len bytes, which are src's n iovecs from byte `skip` on. */
static void start_transfer(struct blk *blk, struct blk_request *r, const struct iovec *src,
			   unsigned n, size_t skip, size_t len)
{
	r->io.iov = r->few;
	if (n > FEW_IOVECS) {
		r->many = malloc(n * sizeof(*r->many));
		r->io.iov = r->many;
	}
	if (!r->io.iov) {
		answer(r, BLK_S_IOERR, 0);
		put_request(blk, r);
		return;
	}
	r->io.num_iov = slice(r->io.iov, src, n, skip, len);
	start_io(blk, r);
}

static void *last_byte(const struct iovec *iov, unsigned n)
{
	while (iov[n - 1].iov_len == 0)
		n--;
	return (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len - 1;
}

/* May the guest's driver use it, and is there a disk to write to? */
static bool may_write(const struct blk *blk, bool have_disk)
{
	return have_disk && !blk->read_only;
}

/*
 * A discard or write zeroes: the one range that stands behind the header. True: r->io is prepared;
 * else *ret_status is the answer.
 */
static bool prepare_range(const struct blk *blk, struct blk_request *r,
			  const struct qvmx_request *req, bool zeroes, bool have_disk,
			  uint8_t *ret_status)
{
	struct blk_range range;
	uint64_t len;

	if (!(blk->features & 1u << (zeroes ? BLK_F_WRITE_ZEROES : BLK_F_DISCARD))) {
		*ret_status = BLK_S_UNSUPP;
		return false;
	}
	*ret_status = BLK_S_IOERR;
	if (req->read_len != sizeof(struct blk_header) + sizeof(range))
		return false;
	qvmx_iov_read(req->iov, req->num_read, sizeof(struct blk_header), &range, sizeof(range));
	if (le32toh(range.flags) & ~(zeroes ? BLK_RANGE_UNMAP : 0u)) {
		*ret_status = BLK_S_UNSUPP;
		return false;
	}
	len = (uint64_t)le32toh(range.num_sectors) * BLK_SECTOR;
	if (!may_write(blk, have_disk) || len > BLK_MAX_RANGE ||
	    !range_ok(blk, le64toh(range.sector), len))
		return false;
	*ret_status = BLK_S_OK;
	r->io.op = !zeroes			       ? BACKEND_DISCARD
		   : blk->features & 1u << BLK_F_FLUSH ? BACKEND_ZERO
						       : BACKEND_ZERO_STABLE;
	r->io.offset = le64toh(range.sector) * BLK_SECTOR;
	r->io.range = len;
	r->io.unmap = le32toh(range.flags) & BLK_RANGE_UNMAP;
	return len > 0;
}

/* Do what needs no disk, and answer; or prepare r->io and start it. */
static void perform(vdev_t *vdp, struct blk_request *r, const struct qvmx_request *req,
		    const struct blk_header *header, bool have_disk)
{
	struct blk *blk = vdp->v_device;
	uint64_t sector = le64toh(header->sector);
	const struct iovec *writable = req->iov + req->num_read;
	uint32_t type = le32toh(header->type);
	size_t len = 0, filled = 0;
	uint8_t status = BLK_S_IOERR;
	bool transfer = false, other = false;

	switch (type) {
	case BLK_T_IN:
		len = req->write_len - 1;
		r->io.op = BACKEND_READ;
		transfer = have_disk && range_ok(blk, sector, len);
		break;
	case BLK_T_OUT:
		len = req->read_len - sizeof(*header);
		r->io.op = blk->features & 1u << BLK_F_FLUSH ? BACKEND_WRITE : BACKEND_WRITE_STABLE;
		transfer = may_write(blk, have_disk) && range_ok(blk, sector, len);
		break;
	case BLK_T_FLUSH:
		r->io.op = BACKEND_FLUSH;
		r->io.offset = 0;
		other = have_disk && sector == 0;
		break;
	case BLK_T_DISCARD:
	case BLK_T_WRITE_ZEROES:
		other = prepare_range(blk, r, req, type == BLK_T_WRITE_ZEROES, have_disk, &status);
		break;
	case BLK_T_GET_ID:
		if (req->write_len != BLK_ID_SIZE + 1)
			break;
		filled = qvmx_iov_write(writable, req->num_write, 0, blk->id, BLK_ID_SIZE);
		status = BLK_S_OK;
		break;
	default:
		status = BLK_S_UNSUPP;
		break;
	}
	if (other) {
		start_io(blk, r);
	} else if (transfer && len) {
		r->io.offset = sector * BLK_SECTOR;
		if (type == BLK_T_IN)
			start_transfer(blk, r, writable, req->num_write, 0, len);
		else
			start_transfer(blk, r, req->iov, req->num_read, sizeof(*header), len);
	} else {
		answer(r, transfer ? BLK_S_OK : status, filled);
		put_request(blk, r);
	}
}

static void take_request(vdev_t *vdp, struct blk_queue *queue, const struct qvmx_request *req,
			 bool have_disk)
{
	struct blk *blk = vdp->v_device;
	struct blk_header header;
	struct blk_request *r;

	/* Nowhere to put a status. */
	if (!req->write_len) {
		qvmx_queue_done(queue->live, req->id, 0);
		return;
	}
	r = get_request(blk);
	if (!r) {
		*(uint8_t *)last_byte(req->iov + req->num_read, req->num_write) = BLK_S_IOERR;
		qvmx_queue_done(queue->live, req->id, req->write_len == 1);
		return;
	}
	r->queue = queue;
	r->id = req->id;
	r->write_len = req->write_len;
	r->status = last_byte(req->iov + req->num_read, req->num_write);
	r->many = NULL;
	if (qvmx_iov_read(req->iov, req->num_read, 0, &header, sizeof(header)) == sizeof(header)) {
		perform(vdp, r, req, &header, have_disk);
	} else {
		answer(r, BLK_S_IOERR, 0);
		put_request(blk, r);
	}
}

static void run_again(vdev_t *vdp, void *data, uint32_t events);

/* After the backend has run: let the driver see what is done. */
static void settle(vdev_t *vdp, bool again)
{
	struct blk *blk = vdp->v_device;

	for (unsigned i = 0; i < blk->num_queues; i++) {
		struct blk_queue *queue = &blk->queues[i];

		if (queue->stopping && !queue->in_flight) {
			struct qvmx_queue *q = queue->stopping;

			queue->stopping = NULL;
			qvmx_queue_stopped(q);
		}
		if (queue->live)
			qvmx_queue_flush(queue->live);
	}
	/* Without memory for the call the next doorbell or completion goes on. */
	if (again && !blk->call_pending)
		blk->call_pending = qvmx_loop_call(vdp, run_again, NULL) == EOK;
}

/* Queues first to last - 1. */
static void serve(vdev_t *vdp, unsigned first, unsigned last)
{
	struct blk *blk = vdp->v_device;
	enum disk_state state = DISK_WAITING;
	struct qvmx_request req;
	bool again = false;

	for (unsigned i = first; i < last; i++) {
		struct blk_queue *queue = &blk->queues[i];
		unsigned taken = 0;

		if (!queue->live)
			continue;
		state = blk_refer(vdp);
		if (state == DISK_WAITING)
			return; /* the timer comes back here */
		while (taken < BATCH && qvmx_queue_next(queue->live, &req) == 1) {
			take_request(vdp, queue, &req, state == DISK_OPEN);
			taken++;
		}
		again |= taken == BATCH;
	}
	if (state == DISK_WAITING)
		return;
	again |= backend_run(blk->backend);
	settle(vdp, again);
}

void blk_serve(vdev_t *vdp)
{
	struct blk *blk = vdp->v_device;

	serve(vdp, 0, blk->num_queues);
}

void blk_backend_ready(vdev_t *vdp, void *data, uint32_t events)
{
	struct blk *blk = vdp->v_device;

	(void)data, (void)events;
	settle(vdp, backend_run(blk->backend));
}

static void run_again(vdev_t *vdp, void *data, uint32_t events)
{
	struct blk *blk = vdp->v_device;

	(void)data, (void)events;
	blk->call_pending = false;
	settle(vdp, backend_run(blk->backend));
	blk_serve(vdp);
}

static void queue_kick(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	(void)q;
	serve(vdp, queue, queue + 1);
}

static void queue_start(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct blk *blk = vdp->v_device;

	blk->queues[queue].live = q;
	blk->features = blk->vio.driver_features[0];
}

static bool queue_stop(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct blk *blk = vdp->v_device;

	blk->queues[queue].live = NULL;
	if (!blk->queues[queue].in_flight)
		return true;
	blk->queues[queue].stopping = q;
	return false;
}

const struct qvmx_queue_ops blk_queue_ops = {
	.size = sizeof(blk_queue_ops),
	.kick = queue_kick,
	.stop = queue_stop,
	.start = queue_start,
};

void blk_requests_free(struct blk *blk)
{
	while (blk->spare) {
		struct blk_request *r = blk->spare;

		blk->spare = r->next;
		free(r);
	}
}
