/* SPDX-License-Identifier: Apache-2.0 */
/* The wrappers of host calls but for time's, and the table of all. */
#include "vdevtest/hostcalls_private.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "vdevtest/adversary.h"
#include "vdevtest/standin.h"

/*
 * A wrapper of a call that gives -1 and errno when it fails; GONE: the errno of a device that is no
 * more; SHORTEN makes the call one for about half, of a single part. The kernel may use guest
 * memory.
 */
#define WRAP_SOME(CALL, TYPE, NAME, PARAMS, ARGS, GONE, SHORTEN) \
	static TYPE wrap_##NAME PARAMS                           \
	{                                                        \
		struct iovec half = { 0 };                       \
		int err = hostcalls_next(CALL);                  \
		TYPE result = (TYPE)-1;                          \
                                                                 \
		if (err == HOSTCALLS_SHORT) {                    \
			SHORTEN;                                 \
			err = 0;                                 \
		}                                                \
		if (!err)                                        \
			err = (GONE);                            \
		if (err) {                                       \
			errno = err;                             \
		} else {                                         \
			bool on = adversary_set(false);          \
                                                                 \
			result = NAME ARGS;                      \
			adversary_set(on);                       \
		}                                                \
		(void)half;                                      \
		return result;                                   \
	}

#define WRAP(CALL, TYPE, NAME, PARAMS, ARGS) WRAP_SOME(CALL, TYPE, NAME, PARAMS, ARGS, 0, (void)0)

#define HALF_OF_BYTES			     n = (n + 1) / 2
#define HALF_OF_PARTS			     iov = first_half(iov, &n, &half)

static const struct iovec *first_half(const struct iovec *iov, int *n, struct iovec *half)
{
	if (*n < 1)
		return iov;
	*half = (struct iovec){ iov[0].iov_base, (iov[0].iov_len + 1) / 2 };
	*n = 1;
	return half;
}

/* And of one that gives NULL. */
#define WRAP_NULL(CALL, TYPE, NAME, PARAMS, ARGS) \
	static TYPE wrap_##NAME PARAMS            \
	{                                         \
		int err = hostcalls_next(CALL);   \
                                                  \
		if (!err)                         \
			return NAME ARGS;         \
		errno = err;                      \
		return NULL;                      \
	}

WRAP_SOME(CALL_READ, ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n), standin_gone(fd),
	  HALF_OF_BYTES)
WRAP_SOME(CALL_WRITE, ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n),
	  standin_gone(fd), HALF_OF_BYTES)
WRAP_SOME(CALL_READV, ssize_t, readv, (int fd, const struct iovec *iov, int n), (fd, iov, n),
	  standin_gone(fd), HALF_OF_PARTS)
WRAP_SOME(CALL_WRITEV, ssize_t, writev, (int fd, const struct iovec *iov, int n), (fd, iov, n),
	  standin_gone(fd), HALF_OF_PARTS)
WRAP_SOME(CALL_PREAD, ssize_t, pread, (int fd, void *buf, size_t n, off_t at), (fd, buf, n, at), 0,
	  HALF_OF_BYTES)
WRAP_SOME(CALL_PWRITE, ssize_t, pwrite, (int fd, const void *buf, size_t n, off_t at),
	  (fd, buf, n, at), 0, HALF_OF_BYTES)
WRAP_SOME(CALL_PREADV, ssize_t, preadv, (int fd, const struct iovec *iov, int n, off_t at),
	  (fd, iov, n, at), 0, HALF_OF_PARTS)
WRAP_SOME(CALL_PWRITEV, ssize_t, pwritev, (int fd, const struct iovec *iov, int n, off_t at),
	  (fd, iov, n, at), 0, HALF_OF_PARTS)
WRAP_SOME(CALL_RECV, ssize_t, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags),
	  0, HALF_OF_BYTES)
WRAP_SOME(CALL_SEND, ssize_t, send, (int fd, const void *buf, size_t n, int flags),
	  (fd, buf, n, flags), 0, HALF_OF_BYTES)
WRAP(CALL_FSYNC, int, fsync, (int fd), (fd))
WRAP(CALL_FDATASYNC, int, fdatasync, (int fd), (fd))
WRAP(CALL_FALLOCATE, int, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len))
WRAP(CALL_FTRUNCATE, int, ftruncate, (int fd, off_t len), (fd, len))
WRAP(CALL_STATX, int, statx,
     (int fd, const char *path, int flags, unsigned mask, struct statx *ret),
     (fd, path, flags, mask, ret))
WRAP(CALL_EPOLL_CTL, int, epoll_ctl, (int fd, int op, int which, struct epoll_event *ev),
     (fd, op, which, ev))
WRAP(CALL_EVENTFD, int, eventfd, (unsigned n, int flags), (n, flags))
WRAP(CALL_SIGNALFD, int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
WRAP(CALL_SOCKET, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(CALL_CONNECT, int, connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
WRAP_NULL(CALL_FOPEN, FILE *, fopen, (const char *path, const char *mode),
	  (standin_file(path), mode))
WRAP_NULL(CALL_MALLOC, void *, malloc, (size_t n), (n))
WRAP_NULL(CALL_CALLOC, void *, calloc, (size_t n, size_t size), (n, size))
WRAP_NULL(CALL_REALLOC, void *, realloc, (void *p, size_t n), (p, n))
WRAP_NULL(CALL_STRDUP, char *, strdup, (const char *text), (text))

static void *wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	int err = hostcalls_next(CALL_MMAP);

	if (!err)
		return mmap(at, len, prot, flags, fd, offset);
	errno = err;
	return MAP_FAILED;
}

static int wrap_posix_memalign(void **ret, size_t align, size_t n)
{
	int err = hostcalls_next(CALL_MEMALIGN);

	return err ? err : posix_memalign(ret, align, n);
}

static int wrap_close(int fd)
{
	int err = hostcalls_next(CALL_CLOSE), rc;

	hosttime_closed(fd);
	standin_closed(fd);
	/* The file is gone even if closing it fails. */
	rc = close(fd);
	if (!err)
		return rc;
	errno = err;
	return -1;
}

static int open_checked(const char *path, int flags, mode_t mode)
{
	int err = hostcalls_next(CALL_OPEN), fd;

	if (err) {
		errno = err;
		return -1;
	}
	return hostcalls_on() && standin_open(path, flags, &fd) ? fd : open(path, flags, mode);
}

static int wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	return open_checked(path, flags, mode);
}

static int wrap_open_2(const char *path, int flags)
{
	return open_checked(path, flags, 0);
}

static int wrap_stat(const char *path, struct stat *ret)
{
	int err = hostcalls_next(CALL_STAT), rc;

	if (!err)
		return hostcalls_on() && standin_stat(path, ret, &rc) ? rc : stat(path, ret);
	errno = err;
	return -1;
}

static int wrap_fstat(int fd, struct stat *ret)
{
	int err = hostcalls_next(CALL_FSTAT), rc;

	if (err) {
		errno = err;
		return -1;
	}
	rc = fstat(fd, ret);
	if (rc == 0)
		standin_fstat(fd, ret);
	return rc;
}

static int access_checked(int dir, const char *path, int mode, int flags)
{
	int err = hostcalls_next(CALL_ACCESS);

	if (!err)
		return hostcalls_on() && standin_is(path) ? 0 : faccessat(dir, path, mode, flags);
	errno = err;
	return -1;
}

static int wrap_access(const char *path, int mode)
{
	return access_checked(AT_FDCWD, path, mode, 0);
}

static int wrap_ioctl(int fd, unsigned long request, ...)
{
	int err = hostcalls_next(CALL_IOCTL);
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!err)
		return hostcalls_on() && standin_ioctl(fd, request, arg) ? 0
									 : ioctl(fd, request, arg);
	errno = err;
	return -1;
}

static int wrap_fcntl(int fd, int command, ...)
{
	int err = hostcalls_next(CALL_FCNTL);
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	if (err) {
		errno = err;
		return -1;
	}
	int rc = fcntl(fd, command, arg);

	if (rc >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
		standin_duplicated(fd, rc);
	return rc;
}

static int wrap_dup(int fd)
{
	int err = hostcalls_next(CALL_DUP), copy = err ? -1 : dup(fd);

	if (err)
		errno = err;
	else if (copy >= 0)
		standin_duplicated(fd, copy);
	return copy;
}

static int wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			       void *(*run)(void *arg), void *arg)
{
	int err = hostcalls_next(CALL_PTHREAD_CREATE);

	return err ? err : pthread_create(thread, attr, run, arg);
}

static ssize_t wrap_getrandom(void *buf, size_t n, unsigned flags)
{
	int err = hostcalls_next(CALL_GETRANDOM);

	if (err == HOSTCALLS_SHORT) {
		n = (n + 1) / 2;
		err = 0;
	}
	if (err) {
		errno = err;
		return -1;
	}
	if (!hostcalls_on())
		return getrandom(buf, n, flags);
	bool on = adversary_set(false);

	for (size_t at = 0; at < n; at += sizeof(uint64_t)) {
		uint64_t value = hostcalls_random();

		memcpy((uint8_t *)buf + at, &value, MIN(n - at, sizeof(value)));
	}
	adversary_set(on);
	return (ssize_t)n;
}

/* io_uring: what was submitted is done when the call returns, so that its order is always the same;
 * and so it can be said to have failed. */

static void spoil_results(struct io_uring *ring, unsigned from)
{
	unsigned ready = io_uring_cq_ready(ring), head = *ring->cq.khead;

	for (; from < ready; from++) {
		struct io_uring_cqe *cqe = &ring->cq.cqes[(head + from) & *ring->cq.kring_mask];
		int err = hostcalls_next(CALL_URING_RESULT);

		if (err == HOSTCALLS_SHORT && cqe->res > 0)
			cqe->res = (cqe->res + 1) / 2;
		else if (err > 0)
			cqe->res = -err;
	}
}

static int wrap_uring_submit(struct io_uring *ring)
{
	int err = hostcalls_next(CALL_URING_SUBMIT), n;
	struct __kernel_timespec limit = { .tv_sec = 1 };
	struct io_uring_cqe *cqe;

	if (err)
		return -err;
	bool on = adversary_set(false);
	unsigned before = io_uring_cq_ready(ring);

	n = hostcalls_uring.submit(ring);
	if (hostcalls_on() && hostcalls_waits() && n > 0) {
		(void)hostcalls_uring.wait(ring, &cqe, before + (unsigned)n, &limit, NULL);
		spoil_results(ring, before);
	}
	adversary_set(on);
	return n;
}

static int wrap_uring_init(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
	int err = hostcalls_next(CALL_URING_INIT);

	return err ? -err : hostcalls_uring.init(entries, ring, params);
}

const struct hostwrap hostwraps[] = {
	{ "open", CALL_OPEN, wrap_open, false },
	{ "fopen", CALL_FOPEN, wrap_fopen, false },
	{ "close", CALL_CLOSE, wrap_close, false },
	{ "read", CALL_READ, wrap_read, true },
	{ "write", CALL_WRITE, wrap_write, true },
	{ "readv", CALL_READV, wrap_readv, true },
	{ "writev", CALL_WRITEV, wrap_writev, true },
	{ "pread", CALL_PREAD, wrap_pread, true },
	{ "pwrite", CALL_PWRITE, wrap_pwrite, true },
	{ "preadv", CALL_PREADV, wrap_preadv, true },
	{ "pwritev", CALL_PWRITEV, wrap_pwritev, true },
	{ "fsync", CALL_FSYNC, wrap_fsync, false },
	{ "fdatasync", CALL_FDATASYNC, wrap_fdatasync, false },
	{ "fallocate", CALL_FALLOCATE, wrap_fallocate, false },
	{ "ftruncate", CALL_FTRUNCATE, wrap_ftruncate, false },
	{ "stat", CALL_STAT, wrap_stat, false },
	{ "fstat", CALL_FSTAT, wrap_fstat, false },
	{ "statx", CALL_STATX, wrap_statx, false },
	{ "access", CALL_ACCESS, wrap_access, false },
	{ "ioctl", CALL_IOCTL, wrap_ioctl, false },
	{ "fcntl", CALL_FCNTL, wrap_fcntl, false },
	{ "dup", CALL_DUP, wrap_dup, false },
	{ "mmap", CALL_MMAP, wrap_mmap, false },
	{ "poll", CALL_POLL, hosttime_poll, false },
	{ "epoll_ctl", CALL_EPOLL_CTL, wrap_epoll_ctl, false },
	{ "eventfd", CALL_EVENTFD, wrap_eventfd, false },
	{ "signalfd", CALL_SIGNALFD, wrap_signalfd, false },
	{ "timerfd_create", CALL_TIMERFD_CREATE, hosttime_timerfd_create, false },
	{ "timerfd_settime", CALL_TIMERFD_SETTIME, hosttime_timerfd_settime, false },
	{ "socket", CALL_SOCKET, wrap_socket, false },
	{ "connect", CALL_CONNECT, wrap_connect, false },
	{ "recv", CALL_RECV, wrap_recv, true },
	{ "send", CALL_SEND, wrap_send, true },
	{ "malloc", CALL_MALLOC, wrap_malloc, false },
	{ "calloc", CALL_CALLOC, wrap_calloc, false },
	{ "realloc", CALL_REALLOC, wrap_realloc, false },
	{ "strdup", CALL_STRDUP, wrap_strdup, false },
	{ "posix_memalign", CALL_MEMALIGN, wrap_posix_memalign, false },
	{ "pthread_create", CALL_PTHREAD_CREATE, wrap_pthread_create, false },
	{ "getrandom", CALL_GETRANDOM, wrap_getrandom, true },
	{ "clock_gettime", CALL_CLOCK_GETTIME, hosttime_clock_gettime, false },
	{ "gettimeofday", CALL_GETTIMEOFDAY, hosttime_gettimeofday, false },
	{ "time", CALL_TIME, hosttime_time, false },
	{ "nanosleep", CALL_NANOSLEEP, hosttime_nanosleep, false },
	{ "usleep", CALL_USLEEP, hosttime_usleep, false },
	{ "io_uring_queue_init_params", CALL_URING_INIT, wrap_uring_init, false },
	{ "io_uring_submit", CALL_URING_SUBMIT, wrap_uring_submit, false },
	{ "io_uring_result", CALL_URING_RESULT, NULL, true },
	{ "open64", CALL_OPEN, wrap_open, false },
	{ "__open_2", CALL_OPEN, wrap_open_2, false },
	{ "__open64_2", CALL_OPEN, wrap_open_2, false },
	{ "fopen64", CALL_FOPEN, wrap_fopen, false },
	{ "__read_chk", CALL_READ, wrap_read, true },
	{ "pread64", CALL_PREAD, wrap_pread, true },
	{ "__pread_chk", CALL_PREAD, wrap_pread, true },
	{ "__pread64_chk", CALL_PREAD, wrap_pread, true },
	{ "pwrite64", CALL_PWRITE, wrap_pwrite, true },
	{ "preadv64", CALL_PREADV, wrap_preadv, true },
	{ "pwritev64", CALL_PWRITEV, wrap_pwritev, true },
	{ "fallocate64", CALL_FALLOCATE, wrap_fallocate, false },
	{ "ftruncate64", CALL_FTRUNCATE, wrap_ftruncate, false },
	{ "stat64", CALL_STAT, wrap_stat, false },
	{ "fstat64", CALL_FSTAT, wrap_fstat, false },
	{ "faccessat", CALL_ACCESS, access_checked, false },
	{ "fcntl64", CALL_FCNTL, wrap_fcntl, false },
	{ "mmap64", CALL_MMAP, wrap_mmap, false },
	{ "__poll_chk", CALL_POLL, hosttime_poll, false },
	{ "__recv_chk", CALL_RECV, wrap_recv, true },
	{ "__strdup", CALL_STRDUP, wrap_strdup, false },
	{ NULL, NUM_CALLS, NULL, false },
};
