/* SPDX-License-Identifier: Apache-2.0 */
#include "fakering.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#pragma GCC visibility push(default)
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum { MAX_WAITING = 512 };

static struct {
	fakering_do_fn *fn;
	void *opaque;
	unsigned seed;
	struct io_uring_sqe waiting[MAX_WAITING];
	unsigned num_waiting;
	_Atomic unsigned count;
	unsigned sq_head, sq_tail, cq_head, cq_tail;
} fake;

void fakering_use(fakering_do_fn *fn, void *opaque)
{
	fake.fn = fn;
	fake.opaque = opaque;
	atomic_store(&fake.count, 0);
}

void fakering_shuffle(unsigned seed)
{
	fake.seed = seed;
}

static unsigned next_random(void)
{
	fake.seed = fake.seed * 1664525u + 1013904223u;
	return fake.seed >> 8;
}

unsigned fakering_count(void)
{
	return atomic_load(&fake.count);
}

bool fakering_piece(const struct io_uring_sqe *sqe, unsigned n, struct iovec *ret_piece)
{
	const struct iovec *iov = (const struct iovec *)(uintptr_t)sqe->addr;

	switch (sqe->opcode) {
	case IORING_OP_READ:
	case IORING_OP_WRITE:
		*ret_piece = (struct iovec){ (void *)(uintptr_t)sqe->addr, sqe->len };
		return n == 0;
	case IORING_OP_READV:
	case IORING_OP_WRITEV:
		if (n < sqe->len)
			*ret_piece = iov[n];
		return n < sqe->len;
	default:
		return false;
	}
}

size_t fakering_length(const struct io_uring_sqe *sqe)
{
	struct iovec piece;
	size_t len = 0;

	for (unsigned n = 0; fakering_piece(sqe, n, &piece); n++)
		len += piece.iov_len;
	return len;
}

int fakering_part(const struct io_uring_sqe *sqe, size_t most)
{
	bool write = sqe->opcode == IORING_OP_WRITE || sqe->opcode == IORING_OP_WRITEV;
	struct iovec piece;
	size_t done = 0;

	for (unsigned n = 0; done < most && fakering_piece(sqe, n, &piece); n++) {
		size_t len = piece.iov_len < most - done ? piece.iov_len : most - done;
		off_t at = (off_t)(sqe->off + done);
		ssize_t got = write ? pwrite(sqe->fd, piece.iov_base, len, at)
				    : pread(sqe->fd, piece.iov_base, len, at);

		if (got < 0)
			return -errno;
		done += (size_t)got;
		if ((size_t)got < len)
			break;
	}
	return (int)done;
}

int fakering_really(const struct io_uring_sqe *sqe)
{
	switch (sqe->opcode) {
	case IORING_OP_FSYNC:
		return fdatasync(sqe->fd) ? -errno : 0;
	case IORING_OP_FALLOCATE:
		return fallocate(sqe->fd, (int)sqe->len, (off_t)sqe->off, (off_t)sqe->addr) ? -errno
											    : 0;
	default:
		return fakering_part(sqe, SIZE_MAX);
	}
}

/* liburing's names */

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p)
{
	(void)p;
	memset(ring, 0, sizeof(*ring));
	fake.sq_head = fake.cq_head = fake.cq_tail = fake.num_waiting = 0;
	ring->sq.khead = &fake.sq_head;
	ring->sq.ktail = &fake.sq_tail;
	ring->sq.sqes = calloc(entries, sizeof(*ring->sq.sqes));
	ring->sq.ring_entries = entries;
	ring->sq.ring_mask = entries - 1;
	ring->cq.khead = &fake.cq_head;
	ring->cq.ktail = &fake.cq_tail;
	ring->cq.cqes = calloc(2 * entries, sizeof(*ring->cq.cqes));
	ring->cq.ring_entries = 2 * entries;
	ring->cq.ring_mask = 2 * entries - 1;
	ring->ring_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return ring->sq.sqes && ring->cq.cqes && ring->ring_fd >= 0 ? 0 : -ENOMEM;
}

void io_uring_queue_exit(struct io_uring *ring)
{
	free(ring->sq.sqes);
	free(ring->cq.cqes);
	close(ring->ring_fd);
}

int io_uring_register_iowq_max_workers(struct io_uring *ring, unsigned int *values)
{
	(void)ring, (void)values;
	return 0;
}

static void finish(struct io_uring *ring, const struct io_uring_sqe *sqe)
{
	struct io_uring_cqe *cqe = &ring->cq.cqes[fake.cq_tail & ring->cq.ring_mask];

	cqe->user_data = sqe->user_data;
	cqe->res = fake.fn(fake.opaque, atomic_fetch_add(&fake.count, 1), sqe);
	cqe->flags = 0;
	fake.cq_tail++;
}

/* Some of what waits is done now; for the rest the vdev is woken again. */
int io_uring_submit(struct io_uring *ring)
{
	int submitted = 0;
	uint64_t times;

	(void)!read(ring->ring_fd, &times, sizeof(times));
	for (; fake.sq_head != ring->sq.sqe_tail && fake.num_waiting < MAX_WAITING; submitted++)
		fake.waiting[fake.num_waiting++] =
			ring->sq.sqes[fake.sq_head++ & ring->sq.ring_mask];
	while (fake.num_waiting && fake.cq_tail - fake.cq_head < ring->cq.ring_entries) {
		unsigned i = fake.seed ? next_random() % fake.num_waiting : 0;
		struct io_uring_sqe sqe = fake.waiting[i];

		if (fake.seed && next_random() % 3 == 0)
			break;
		fake.num_waiting--;
		memmove(&fake.waiting[i], &fake.waiting[i + 1],
			(fake.num_waiting - i) * sizeof(fake.waiting[0]));
		finish(ring, &sqe);
	}
	if (fake.num_waiting)
		(void)!write(ring->ring_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
	return submitted;
}

#pragma GCC visibility pop
