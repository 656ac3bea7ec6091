/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <liburing.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "backend.h"

enum {
	RING_ENTRIES = 128,
	SECTOR = 512,
	BOUNCE_SIZE = 64 * 1024,
	BOUNCE_ALIGN = 4096,
	BOUNCE_MAX = 8,	     /* copies at a time; more requests wait */
	MAX_ROUNDS = 16,     /* of one backend_run, before others on the thread have a turn */
	MAX_PIECE = 1 << 30, /* bytes that one plain read or write asks for */
	DIRECT_ALIGN_UNKNOWN = BOUNCE_ALIGN, /* satisfies every disk there is */
	ZERO_PIECE = 16 * 1024,
	ZERO_PIECES = 64, /* of one write */
};

static const uint8_t zeros[ZERO_PIECE];

struct backend {
	struct backend_config config;
	struct io_uring ring;
	/* fd holds the lock and works always; direct_fd is the same file with O_DIRECT, or -1. */
	int fd, direct_fd;
	bool use_direct;
	uint32_t mem_align, offset_align; /* of direct_fd */
	unsigned in_kernel;		  /* requests that io_uring has */
	struct iovec zero_iov[ZERO_PIECES];
	unsigned bounces;
	struct backend_io *waiting, **last_waiting; /* for a bounce buffer or a place in the ring */
};

static int explain(char why[BACKEND_WHY_SIZE], int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int explain(char why[BACKEND_WHY_SIZE], int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, BACKEND_WHY_SIZE, fmt, args);
	va_end(args);
	return -err;
}

static int explain_access(const struct backend_config *config, int err, char why[BACKEND_WHY_SIZE])
{
	if (!config->read_only && (err == EACCES || err == EPERM || err == EROFS))
		return explain(
			why, err,
			"'%s' cannot be opened for writing: %s; '<%s' would make it read-only",
			config->path, strerror(err), config->path);
	return explain(why, err, "'%s' cannot be opened: %s", config->path, strerror(err));
}

static int check_type(const struct backend_config *config, const struct stat *st,
		      char why[BACKEND_WHY_SIZE])
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	return explain(why, EINVAL, "'%s' is neither a regular file nor a block device",
		       config->path);
}

int backend_check(const struct backend_config *config, char why[BACKEND_WHY_SIZE])
{
	int mode = config->read_only ? R_OK : R_OK | W_OK;
	struct stat st;

	if (stat(config->path, &st) != 0)
		return explain_access(config, errno, why);
	if (check_type(config, &st, why) != 0)
		return -EINVAL;
	if (faccessat(AT_FDCWD, config->path, mode, AT_EACCESS) != 0)
		return explain_access(config, errno, why);
	return 0;
}

int backend_create(const struct backend_config *config, struct backend **ret_backend,
		   char why[BACKEND_WHY_SIZE])
{
	/*
	 * Completions wait until the thread enters the kernel, instead of interrupting it there and
	 * then. (DEFER_TASKRUN would suit as well, but epoll(7) does not hear of its completions.)
	 */
	struct io_uring_params params = {
		.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
	};
	unsigned workers[2] = { config->threads, 0 }; /* for files; for what may take for ever */
	struct backend *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return explain(why, ENOMEM, "out of memory");
	b->config = *config;
	b->fd = b->direct_fd = -1;
	b->last_waiting = &b->waiting;
	for (unsigned i = 0; i < ZERO_PIECES; i++)
		b->zero_iov[i] = (struct iovec){ (void *)(uintptr_t)zeros, ZERO_PIECE };
	err = io_uring_queue_init_params(RING_ENTRIES, &b->ring, &params);
	if (err == 0 && config->threads) {
		err = io_uring_register_iowq_max_workers(&b->ring, workers);
		if (err)
			io_uring_queue_exit(&b->ring);
	}
	if (err == 0) {
		*ret_backend = b;
		return 0;
	}
	free(b);
	switch (-err) {
	case ENOSYS:
		return explain(why, ENOSYS,
			       "the host's kernel is built without io_uring, which disks need");
	case EPERM:
		return explain(
			why, EPERM,
			"the host does not allow io_uring, which disks need: see sysctl "
			"kernel.io_uring_disabled, and the system call filter of a container");
	case EINVAL:
		return explain(why, EINVAL,
			       "the host's io_uring is too old: disks need Linux 5.19 or later");
	default:
		return explain(why, -err, "io_uring cannot be set up: %s", strerror(-err));
	}
}

static void close_files(struct backend *b)
{
	if (b->direct_fd >= 0)
		close(b->direct_fd);
	if (b->fd >= 0)
		close(b->fd);
	b->fd = b->direct_fd = -1;
}

void backend_destroy(struct backend *b)
{
	struct flock unlock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	if (!b)
		return;
	/*
	 * io_uring lets go of the file some time after its last request. What is still under way
	 * keeps the lock: it may write.
	 */
	if (b->fd >= 0 && !b->in_kernel)
		(void)fcntl(b->fd, F_OFD_SETLK, &unlock);
	io_uring_queue_exit(&b->ring);
	close_files(b);
	free(b);
}

static int lock_file(const struct backend *b, char why[BACKEND_WHY_SIZE])
{
	/* Whole file, owned by the open file: it also keeps two vdevs of one VM apart. */
	struct flock lock = { .l_type = b->config.read_only ? F_RDLCK : F_WRLCK,
			      .l_whence = SEEK_SET };

	if (fcntl(b->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return explain(
			why, EBUSY,
			"'%s' is in use: another process, perhaps another VM, holds its lock%s",
			b->config.path, b->config.read_only ? " for writing" : "");
	return explain(why, errno, "'%s' cannot be locked against use by others: %s",
		       b->config.path, strerror(errno));
}

static uint32_t block_size_or(uint64_t size, uint32_t otherwise)
{
	bool power = size && !(size & (size - 1));

	return power && size >= SECTOR && size <= BOUNCE_SIZE ? (uint32_t)size : otherwise;
}

static int device_geometry(const struct backend *b, uint64_t *ret_size,
			   struct backend_geometry *geo, char why[BACKEND_WHY_SIZE])
{
	int logical = 0, alignment_offset = 0;
	unsigned physical = 0, min_io = 0, opt_io = 0;

	if (ioctl(b->fd, BLKGETSIZE64, ret_size) != 0 || ioctl(b->fd, BLKSSZGET, &logical) != 0)
		return explain(why, errno, "'%s' does not tell its size: %s", b->config.path,
			       strerror(errno));
	geo->logical_block = block_size_or((uint64_t)logical, SECTOR);
	/* What a device does not tell stays unknown. */
	if (ioctl(b->fd, BLKPBSZGET, &physical) != 0)
		physical = 0;
	if (ioctl(b->fd, BLKALIGNOFF, &alignment_offset) != 0 || alignment_offset < 0)
		alignment_offset = 0;
	if (ioctl(b->fd, BLKIOMIN, &min_io) != 0)
		min_io = 0;
	if (ioctl(b->fd, BLKIOOPT, &opt_io) != 0)
		opt_io = 0;
	geo->physical_block = block_size_or(physical, geo->logical_block);
	geo->alignment_offset = (uint32_t)alignment_offset;
	geo->min_io = min_io;
	geo->opt_io = opt_io;
	return 0;
}

static int read_geometry(const struct backend *b, const struct stat *st,
			 struct backend_geometry *geo, char why[BACKEND_WHY_SIZE])
{
	uint64_t size = (uint64_t)st->st_size;
	int err = 0;

	*geo = (struct backend_geometry){ .logical_block = SECTOR };
	if (S_ISBLK(st->st_mode))
		err = device_geometry(b, &size, geo, why);
	else
		geo->physical_block = block_size_or((uint64_t)st->st_blksize, SECTOR);
	if (err)
		return err;
	geo->ignored = size % SECTOR;
	geo->capacity = size - geo->ignored;
	if (geo->ignored && !b->config.read_only)
		return explain(why, EINVAL,
			       "the size of '%s', %llu bytes, is no multiple of 512: extend it by "
			       "'truncate -s %%512', or give '<%s', which leaves out the rest",
			       b->config.path, (unsigned long long)size, b->config.path);
	if (!geo->capacity)
		return explain(why, EINVAL,
			       "'%s' is empty: a disk has one sector of 512 bytes at least",
			       b->config.path);
	return 0;
}

static void warn_direct(const struct backend *b, int err)
{
	char text[BACKEND_WHY_SIZE];

	snprintf(text, sizeof(text), "'%s': direct I/O is not possible (%s), going on without it",
		 b->config.path, strerror(err));
	b->config.warn(b->config.owner, text);
}

/* Alignment that direct I/O asks for. Returns 0 or an errno. */
static int direct_alignment(struct backend *b, const struct backend_geometry *geo, bool device)
{
	struct statx sx;

	b->mem_align = b->offset_align = device ? geo->logical_block : DIRECT_ALIGN_UNKNOWN;
	if (statx(b->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) != 0 ||
	    !(sx.stx_mask & STATX_DIOALIGN))
		return 0;
	if (!sx.stx_dio_offset_align)
		return EOPNOTSUPP;
	b->mem_align = sx.stx_dio_mem_align;
	b->offset_align = sx.stx_dio_offset_align;
	if (BOUNCE_SIZE % b->offset_align || !b->mem_align || b->mem_align > BOUNCE_ALIGN)
		return EOPNOTSUPP;
	return 0;
}

/* A second open file; without it the disk works too. */
static void open_direct(struct backend *b, const struct stat *st,
			const struct backend_geometry *geo)
{
	int flags = (b->config.read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC | O_NOCTTY;
	struct stat again;
	int err;

	b->direct_fd = open(b->config.path, flags);
	if (b->direct_fd < 0) {
		warn_direct(b, errno);
		return;
	}
	if (fstat(b->direct_fd, &again) != 0)
		err = errno;
	else if (again.st_dev != st->st_dev || again.st_ino != st->st_ino)
		err = ESTALE; /* replaced since the first open */
	else
		err = direct_alignment(b, geo, S_ISBLK(st->st_mode));
	if (err) {
		warn_direct(b, err);
		close(b->direct_fd);
		b->direct_fd = -1;
	}
	b->use_direct = b->direct_fd >= 0;
}

int backend_open(struct backend *b, struct backend_geometry *ret_geometry,
		 char why[BACKEND_WHY_SIZE])
{
	int flags = (b->config.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY;
	struct backend_geometry geo;
	struct stat st;
	int err;

	/* Looked at first: opening a tape or a pipe would have effects. */
	if (stat(b->config.path, &st) != 0)
		return explain_access(&b->config, errno, why);
	err = check_type(&b->config, &st, why);
	if (err)
		return err;
	/* The host's own users of a block device take no locks; exclusive open keeps them away. */
	if (S_ISBLK(st.st_mode) && !b->config.read_only)
		flags |= O_EXCL;
	b->fd = open(b->config.path, flags);
	if (b->fd < 0 && errno == EBUSY)
		return explain(
			why, EBUSY,
			"'%s' is in use on the host (mounted, part of a RAID or volume group, or "
			"another VM's): end that, or give '<%s'",
			b->config.path, b->config.path);
	if (b->fd < 0)
		return explain_access(&b->config, errno, why);
	if (fstat(b->fd, &st) != 0)
		err = explain_access(&b->config, errno, why);
	if (!err)
		err = check_type(&b->config, &st, why);
	if (!err)
		err = lock_file(b, why);
	if (!err)
		err = read_geometry(b, &st, &geo, why);
	if (err) {
		close_files(b);
		return err;
	}
	if (b->config.direct)
		open_direct(b, &st, &geo);
	*ret_geometry = geo;
	return 0;
}

int backend_fd(const struct backend *b)
{
	return b->ring.ring_fd;
}

static void wait_in_line(struct backend *b, struct backend_io *io)
{
	io->next = NULL;
	*b->last_waiting = io;
	b->last_waiting = &io->next;
}

static bool memory_aligned(const struct backend *b, const struct backend_io *io)
{
	for (unsigned i = 0; i < io->num_iov; i++) {
		if ((uintptr_t)io->iov[i].iov_base % b->mem_align ||
		    io->iov[i].iov_len % b->offset_align)
			return false;
	}
	return true;
}

/* Copy the first len bytes of the request's iovecs to (from) its bounce buffer. */
static void bounce_copy(struct backend_io *io, size_t len, bool to_bounce)
{
	uint8_t *p = io->bounce;

	for (unsigned i = 0; len; i++) {
		size_t part = len < io->iov[i].iov_len ? len : io->iov[i].iov_len;

		memcpy(to_bounce ? p : io->iov[i].iov_base, to_bounce ? io->iov[i].iov_base : p,
		       part);
		p += part;
		len -= part;
	}
}

/*
 * By which file, and whether by a copy. Blocks that are cut in a way that O_DIRECT does not take go
 * by the page cache, which the kernel keeps consistent. False: every bounce buffer is in use.
 */
static bool choose_way(struct backend *b, struct backend_io *io)
{
	bool whole_blocks = ((io->offset + io->done) | io->left) % b->offset_align == 0;

	io->direct = whole_blocks;
	if (!whole_blocks || memory_aligned(b, io))
		return true;
	if (b->bounces == BOUNCE_MAX)
		return false;
	io->bounced = io->left < BOUNCE_SIZE ? io->left : BOUNCE_SIZE;
	if (posix_memalign(&io->bounce, BOUNCE_ALIGN, io->bounced) != 0) {
		io->bounce = NULL;
		io->direct = false;
		return true;
	}
	b->bounces++;
	if (io->op != BACKEND_READ)
		bounce_copy(io, io->bounced, true);
	return true;
}

static void free_bounce(struct backend *b, struct backend_io *io)
{
	if (!io->bounce)
		return;
	free(io->bounce);
	io->bounce = NULL;
	b->bounces--;
}

static void fill_transfer(const struct backend *b, struct io_uring_sqe *sqe, struct backend_io *io)
{
	unsigned num = io->num_iov < IOV_MAX ? io->num_iov : IOV_MAX;
	int fd = io->direct ? b->direct_fd : b->fd;
	uint64_t offset = io->offset + io->done;
	struct iovec one = { .iov_base = io->bounce, .iov_len = io->bounced };

	if (!io->bounce)
		one = io->iov[0];
	if (one.iov_len > MAX_PIECE)
		one.iov_len = MAX_PIECE;
	if (io->bounce || num == 1) {
		if (io->op == BACKEND_READ)
			io_uring_prep_read(sqe, fd, one.iov_base, (unsigned)one.iov_len, offset);
		else
			io_uring_prep_write(sqe, fd, one.iov_base, (unsigned)one.iov_len, offset);
	} else if (io->op == BACKEND_READ) {
		io_uring_prep_readv(sqe, fd, io->iov, num, offset);
	} else {
		io_uring_prep_writev(sqe, fd, io->iov, num, offset);
	}
	if (io->op == BACKEND_WRITE_STABLE)
		sqe->rw_flags = RWF_DSYNC;
}

static bool is_zero(const struct backend_io *io)
{
	return io->op == BACKEND_ZERO || io->op == BACKEND_ZERO_STABLE;
}

static bool is_transfer(const struct backend_io *io)
{
	return io->op == BACKEND_READ || io->op == BACKEND_WRITE || io->op == BACKEND_WRITE_STABLE;
}

/* All of it goes by the page cache, which the kernel keeps consistent with O_DIRECT. */
static void fill_zero(const struct backend *b, struct io_uring_sqe *sqe,
		      const struct backend_io *io)
{
	int mode = FALLOC_FL_KEEP_SIZE | (io->unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
	uint64_t offset = io->offset + io->done;

	switch (io->zero) {
	case ZERO_FAST:
		io_uring_prep_fallocate(sqe, b->fd, mode, (off_t)offset, (off_t)io->range);
		break;
	case ZERO_WRITE:
		if (io->left >= ZERO_PIECE)
			io_uring_prep_writev(sqe, b->fd, b->zero_iov,
					     (unsigned)(io->left / ZERO_PIECE < ZERO_PIECES
								? io->left / ZERO_PIECE
								: ZERO_PIECES),
					     offset);
		else
			io_uring_prep_write(sqe, b->fd, zeros, (unsigned)io->left, offset);
		break;
	case ZERO_SYNC:
		io_uring_prep_fsync(sqe, b->fd, IORING_FSYNC_DATASYNC);
		break;
	}
}

/* Put what is left of a request into the ring. False: it has to wait. */
static bool launch(struct backend *b, struct backend_io *io)
{
	struct io_uring_sqe *sqe;
	int submitted;

	io->direct = false;
	if (is_transfer(io) && b->use_direct && !choose_way(b, io))
		return false;
	sqe = io_uring_get_sqe(&b->ring);
	if (!sqe) {
		submitted = io_uring_submit(&b->ring);
		if (submitted > 0)
			b->in_kernel += (unsigned)submitted;
		sqe = io_uring_get_sqe(&b->ring);
	}
	if (!sqe) {
		free_bounce(b, io);
		return false;
	}
	if (io->op == BACKEND_FLUSH)
		io_uring_prep_fsync(sqe, b->fd, IORING_FSYNC_DATASYNC);
	else if (io->op == BACKEND_DISCARD)
		io_uring_prep_fallocate(sqe, b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)io->offset, (off_t)io->range);
	else if (is_zero(io))
		fill_zero(b, sqe, io);
	else
		fill_transfer(b, sqe, io);
	io_uring_sqe_set_data(sqe, io);
	return true;
}

void backend_start(struct backend *b, struct backend_io *io)
{
	io->left = io->done = 0;
	io->bounce = NULL;
	io->zero = ZERO_FAST;
	for (unsigned i = 0; is_transfer(io) && i < io->num_iov; i++)
		io->left += io->iov[i].iov_len;
	if (!launch(b, io))
		wait_in_line(b, io);
}

static void advance(struct backend_io *io, size_t len)
{
	io->done += len;
	io->left -= len;
	while (len && len >= io->iov[0].iov_len) {
		len -= io->iov[0].iov_len;
		io->iov++;
		io->num_iov--;
	}
	if (len) {
		io->iov[0].iov_base = (uint8_t *)io->iov[0].iov_base + len;
		io->iov[0].iov_len -= len;
	}
}

/* Is err what a file system says that opened a file with O_DIRECT but does not do it? */
static bool refuses_direct(const struct backend_io *io, int err)
{
	return io->direct && (err == EINVAL || err == EOPNOTSUPP);
}

/* A file system without such a call, or a range that is not whole blocks of a device. */
static bool cannot_fallocate(int err)
{
	return err == EOPNOTSUPP || err == ENOSYS || err == EINVAL;
}

/* A step of a BACKEND_ZERO has ended. True: there is another one. */
static bool zero_goes_on(struct backend_io *io, int *res)
{
	if (io->zero == ZERO_FAST && cannot_fallocate(-*res)) {
		io->zero = ZERO_WRITE;
		io->left = io->range;
		return io->left > 0;
	}
	if (io->zero == ZERO_WRITE && *res == 0)
		*res = -EIO; /* no progress, and no error */
	if (*res < 0)
		return false;
	if (io->zero == ZERO_WRITE) {
		io->done += (size_t)*res;
		io->left -= (size_t)*res;
		if (io->left)
			return true;
	}
	if (io->op == BACKEND_ZERO || io->zero == ZERO_SYNC)
		return false;
	io->zero = ZERO_SYNC;
	return true;
}

/* What was under way of io has ended; res as io_uring gives it. */
static void complete(struct backend *b, struct backend_io *io, int res)
{
	bool repeat = res == -EINTR || res == -EAGAIN;

	if (res > 0 && io->bounce && io->op == BACKEND_READ)
		bounce_copy(io, (size_t)res, false);
	free_bounce(b, io);
	if (res < 0 && refuses_direct(io, -res)) {
		/* The file stays open: others are on their way by it, and will come back here. */
		if (b->use_direct)
			warn_direct(b, -res);
		b->use_direct = false;
		repeat = true;
	}
	if (!repeat && io->op == BACKEND_DISCARD && cannot_fallocate(-res))
		res = 0; /* an advice that the host has no use for */
	if (!repeat && is_zero(io))
		repeat = zero_goes_on(io, &res);
	if (!repeat && is_transfer(io)) {
		if (res > 0)
			advance(io, (size_t)res);
		else if (res == 0)
			res = -EIO; /* the file ends before its size at the start */
		repeat = res > 0 && io->left > 0;
	}
	if (repeat) {
		if (!launch(b, io))
			wait_in_line(b, io);
		return;
	}
	b->config.done(b->config.owner, io, res < 0 ? res : (ptrdiff_t)io->done);
}

static void start_waiting(struct backend *b)
{
	while (b->waiting) {
		struct backend_io *io = b->waiting, *next = io->next;

		if (!launch(b, io))
			return;
		b->waiting = next;
		if (!next)
			b->last_waiting = &b->waiting;
	}
}

static void reap(struct backend *b)
{
	struct io_uring_cqe *cqe;
	unsigned head;

	io_uring_for_each_cqe(&b->ring, head, cqe)
	{
		struct backend_io *io = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cq_advance(&b->ring, 1);
		b->in_kernel--;
		complete(b, io, res);
	}
}

bool backend_run(struct backend *b)
{
	for (unsigned round = 0; round < MAX_ROUNDS; round++) {
		int submitted;

		start_waiting(b);
		/* Also collects what did not fit into the ring of completions. */
		submitted = io_uring_submit(&b->ring);
		if (submitted > 0)
			b->in_kernel += (unsigned)submitted;
		reap(b);
		if (submitted < 0 && submitted != -EINTR)
			return b->in_kernel == 0;
		if (!io_uring_sq_ready(&b->ring) && !(b->waiting && b->in_kernel == 0))
			return false;
	}
	return true;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool backend_drain(struct backend *b, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	struct pollfd pfd = { .fd = b->ring.ring_fd, .events = POLLIN };

	while (b->waiting) {
		struct backend_io *io = b->waiting;

		b->waiting = io->next;
		b->config.done(b->config.owner, io, -ECANCELED);
	}
	b->last_waiting = &b->waiting;
	for (;;) {
		bool again = backend_run(b);
		int64_t left = deadline - now_ms();

		if (!b->in_kernel && !b->waiting && !io_uring_sq_ready(&b->ring))
			return true;
		if (left <= 0)
			return false;
		if (!again)
			(void)poll(&pfd, 1, (int)left);
	}
}
