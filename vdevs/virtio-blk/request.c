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
enum { BLK_T_IN = 0, BLK_T_OUT = 1, BLK_T_FLUSH = 4, BLK_T_GET_ID = 8 };
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

struct blk_request {
	struct backend_io io; /* first: the backend gives it back */
	struct blk_request *next;
	uint32_t id;
	uint8_t *status;
	size_t write_len;
	struct iovec *many; /* NULL: `few` is enough */
	struct iovec few[FEW_IOVECS];
};

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
static void answer(const struct blk *blk, const struct blk_request *r, uint8_t status,
		   size_t filled)
{
	*r->status = status;
	if (filled == r->write_len - 1)
		filled++;
	qvmx_queue_done(blk->queue, r->id, (uint32_t)(filled < UINT32_MAX ? filled : UINT32_MAX));
}

void blk_request_done(void *owner, struct backend_io *io, ptrdiff_t res)
{
	vdev_t *vdp = owner;
	struct blk *blk = vdp->v_device;
	struct blk_request *r = (struct blk_request *)io;
	size_t filled = io->op == BACKEND_READ ? io->done : 0;

	if (res < 0 && res != -ECANCELED)
		vdev_logf(QL_QVM_WARN, vdp, "'%s': %s at byte %llu: %s", blk->path,
			  io->op == BACKEND_READ    ? "read"
			  : io->op == BACKEND_FLUSH ? "flush"
						    : "write",
			  (unsigned long long)(io->offset + io->done), strerror((int)-res));
	/* After a reset begun meanwhile the guest's request is forgotten. */
	if (blk->queue)
		answer(blk, r, res < 0 ? BLK_S_IOERR : BLK_S_OK, filled);
	put_request(blk, r);
	blk->in_flight--;
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
	blk->in_flight++;
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
		answer(blk, r, BLK_S_IOERR, 0);
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
	bool io = false;

	switch (type) {
	case BLK_T_IN:
		len = req->write_len - 1;
		r->io.op = BACKEND_READ;
		io = have_disk && range_ok(blk, sector, len);
		break;
	case BLK_T_OUT:
		len = req->read_len - sizeof(*header);
		r->io.op = blk->has_flush ? BACKEND_WRITE : BACKEND_WRITE_STABLE;
		io = have_disk && !blk->read_only && range_ok(blk, sector, len);
		break;
	case BLK_T_FLUSH:
		r->io.op = BACKEND_FLUSH;
		io = have_disk && sector == 0;
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
	r->io.offset = io ? sector * BLK_SECTOR : 0;
	if (io && type == BLK_T_FLUSH) {
		start_io(blk, r);
	} else if (io && len) {
		if (type == BLK_T_IN)
			start_transfer(blk, r, writable, req->num_write, 0, len);
		else
			start_transfer(blk, r, req->iov, req->num_read, sizeof(*header), len);
	} else {
		answer(blk, r, io ? BLK_S_OK : status, filled);
		put_request(blk, r);
	}
}

static void take_request(vdev_t *vdp, const struct qvmx_request *req, bool have_disk)
{
	struct blk *blk = vdp->v_device;
	struct blk_header header;
	struct blk_request *r;

	/* Nowhere to put a status. */
	if (!req->write_len) {
		qvmx_queue_done(blk->queue, req->id, 0);
		return;
	}
	r = get_request(blk);
	if (!r) {
		*(uint8_t *)last_byte(req->iov + req->num_read, req->num_write) = BLK_S_IOERR;
		qvmx_queue_done(blk->queue, req->id, req->write_len == 1);
		return;
	}
	r->id = req->id;
	r->write_len = req->write_len;
	r->status = last_byte(req->iov + req->num_read, req->num_write);
	r->many = NULL;
	if (qvmx_iov_read(req->iov, req->num_read, 0, &header, sizeof(header)) == sizeof(header)) {
		perform(vdp, r, req, &header, have_disk);
	} else {
		answer(blk, r, BLK_S_IOERR, 0);
		put_request(blk, r);
	}
}

static void run_again(vdev_t *vdp, void *data, uint32_t events);

/* After the backend has run: let the driver see what is done. */
static void settle(vdev_t *vdp, bool again)
{
	struct blk *blk = vdp->v_device;

	if (blk->stopping && !blk->in_flight) {
		struct qvmx_queue *q = blk->stopping;

		blk->stopping = NULL;
		qvmx_queue_stopped(q);
	}
	if (blk->queue)
		qvmx_queue_flush(blk->queue);
	/* Without memory for the call the next doorbell or completion goes on. */
	if (again && !blk->call_pending)
		blk->call_pending = qvmx_loop_call(vdp, run_again, NULL) == EOK;
}

void blk_serve(vdev_t *vdp)
{
	struct blk *blk = vdp->v_device;
	struct qvmx_request req;
	enum disk_state state;
	unsigned taken = 0;
	bool again;

	if (!blk->queue)
		return;
	state = blk_refer(vdp);
	if (state == DISK_WAITING)
		return; /* the timer comes back here */
	while (taken < BATCH && qvmx_queue_next(blk->queue, &req) == 1) {
		take_request(vdp, &req, state == DISK_OPEN);
		taken++;
	}
	again = backend_run(blk->backend);
	settle(vdp, again || taken == BATCH);
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
	(void)queue, (void)q;
	blk_serve(vdp);
}

static void queue_start(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct blk *blk = vdp->v_device;
	uint32_t features = blk->vio.driver_features[0];

	(void)queue;
	blk->queue = q;
	blk->has_flush = features & (1u << BLK_F_FLUSH);
}

static bool queue_stop(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct blk *blk = vdp->v_device;

	(void)queue;
	blk->queue = NULL;
	if (!blk->in_flight)
		return true;
	blk->stopping = q;
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
