/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/hostcalls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "vdevtest/adversary.h"

#define NS_PER_S   UINT64_C(1000000000)
#define TUN_DEVICE "/dev/net/tun"

enum { MAX_TIMERS = 64, MAX_TAPS = 8, MAX_FRAME = 1 << 17, MAX_ECHOES = 64, MAX_ERRNO = 133 };

/* In the order of the table below. */
enum call {
	CALL_OPEN,
	CALL_CLOSE,
	CALL_READ,
	CALL_WRITE,
	CALL_READV,
	CALL_WRITEV,
	CALL_PREAD,
	CALL_PWRITE,
	CALL_PREADV,
	CALL_PWRITEV,
	CALL_FSYNC,
	CALL_FDATASYNC,
	CALL_FALLOCATE,
	CALL_IOCTL,
	CALL_FCNTL,
	CALL_ACCESS,
	CALL_MMAP,
	CALL_POLL,
	CALL_EPOLL_CTL,
	CALL_EVENTFD,
	CALL_TIMERFD_CREATE,
	CALL_TIMERFD_SETTIME,
	CALL_SOCKET,
	CALL_CONNECT,
	CALL_RECV,
	CALL_SEND,
	CALL_MALLOC,
	CALL_CALLOC,
	CALL_REALLOC,
	CALL_STRDUP,
	CALL_PTHREAD_CREATE,
	CALL_GETRANDOM,
	CALL_CLOCK_GETTIME,
	CALL_GETTIMEOFDAY,
	CALL_TIME,
	CALL_NANOSLEEP,
	CALL_USLEEP,
	CALL_URING_INIT,
	CALL_URING_SUBMIT,
	NUM_CALLS
};

struct plan {
	_Atomic uint64_t count;
	uint64_t first, last; /* of `count`: these fail; 0: none */
	int err;
};

/* A timerfd of a vdev: an eventfd that expires by guest time. */
struct timer {
	int fd;
	uint64_t deadline, interval; /* ns; deadline 0: not armed */
};

struct tap {
	int fd, peer;
};

static struct {
	bool on, no_wait;
	uint64_t *now_ns, random;
	struct plan plans[NUM_CALLS];
	struct timer timers[MAX_TIMERS];
	unsigned num_timers;
	struct tap taps[MAX_TAPS];
	unsigned num_taps;
	int (*uring_submit)(struct io_uring *ring);
	int (*uring_wait)(struct io_uring *ring, struct io_uring_cqe **ret, unsigned n,
			  struct __kernel_timespec *ts, sigset_t *mask);
	int (*uring_init)(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
} host;

/* The errno that this call fails with, or 0. */
static int fails(enum call call)
{
	struct plan *p = &host.plans[call];
	uint64_t number = atomic_fetch_add_explicit(&p->count, 1, memory_order_relaxed) + 1;

	return host.on && p->first && number >= p->first && number <= p->last ? p->err : 0;
}

/* A wrapper of a call that gives -1 and errno when it fails. The kernel may use guest memory. */
#define WRAP(CALL, TYPE, NAME, PARAMS, ARGS)            \
	static TYPE wrap_##NAME PARAMS                  \
	{                                               \
		int err = fails(CALL);                  \
		TYPE result = (TYPE)-1;                 \
                                                        \
		if (err) {                              \
			errno = err;                    \
		} else {                                \
			bool on = adversary_set(false); \
                                                        \
			result = NAME ARGS;             \
			adversary_set(on);              \
		}                                       \
		return result;                          \
	}

/* And of one that gives NULL. */
#define WRAP_NULL(CALL, TYPE, NAME, PARAMS, ARGS) \
	static TYPE wrap_##NAME PARAMS            \
	{                                         \
		int err = fails(CALL);            \
                                                  \
		if (!err)                         \
			return NAME ARGS;         \
		errno = err;                      \
		return NULL;                      \
	}

WRAP(CALL_READ, ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n))
WRAP(CALL_WRITE, ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n))
WRAP(CALL_READV, ssize_t, readv, (int fd, const struct iovec *iov, int n), (fd, iov, n))
WRAP(CALL_WRITEV, ssize_t, writev, (int fd, const struct iovec *iov, int n), (fd, iov, n))
WRAP(CALL_PREAD, ssize_t, pread, (int fd, void *buf, size_t n, off_t at), (fd, buf, n, at))
WRAP(CALL_PWRITE, ssize_t, pwrite, (int fd, const void *buf, size_t n, off_t at), (fd, buf, n, at))
WRAP(CALL_PREADV, ssize_t, preadv, (int fd, const struct iovec *iov, int n, off_t at),
     (fd, iov, n, at))
WRAP(CALL_PWRITEV, ssize_t, pwritev, (int fd, const struct iovec *iov, int n, off_t at),
     (fd, iov, n, at))
WRAP(CALL_FSYNC, int, fsync, (int fd), (fd))
WRAP(CALL_FDATASYNC, int, fdatasync, (int fd), (fd))
WRAP(CALL_FALLOCATE, int, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len))
WRAP(CALL_EPOLL_CTL, int, epoll_ctl, (int fd, int op, int which, struct epoll_event *ev),
     (fd, op, which, ev))
WRAP(CALL_EVENTFD, int, eventfd, (unsigned n, int flags), (n, flags))
WRAP(CALL_SOCKET, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(CALL_CONNECT, int, connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
WRAP(CALL_RECV, ssize_t, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags))
WRAP(CALL_SEND, ssize_t, send, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags))
WRAP_NULL(CALL_MALLOC, void *, malloc, (size_t n), (n))
WRAP_NULL(CALL_CALLOC, void *, calloc, (size_t n, size_t size), (n, size))
WRAP_NULL(CALL_REALLOC, void *, realloc, (void *p, size_t n), (p, n))
WRAP_NULL(CALL_STRDUP, char *, strdup, (const char *text), (text))

static void *wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	int err = fails(CALL_MMAP);

	if (!err)
		return mmap(at, len, prot, flags, fd, offset);
	errno = err;
	return MAP_FAILED;
}

static int wrap_close(int fd)
{
	int err = fails(CALL_CLOSE), rc;

	for (unsigned i = 0; i < host.num_timers; i++) {
		if (host.timers[i].fd == fd) {
			host.timers[i] = host.timers[--host.num_timers];
			break;
		}
	}
	for (unsigned i = 0; i < host.num_taps; i++) {
		if (host.taps[i].fd == fd) {
			close(host.taps[i].peer);
			host.taps[i] = host.taps[--host.num_taps];
			break;
		}
	}
	/* The file is gone even if closing it fails. */
	rc = close(fd);
	if (!err)
		return rc;
	errno = err;
	return -1;
}

static bool is_tap(int fd)
{
	for (unsigned i = 0; i < host.num_taps; i++)
		if (host.taps[i].fd == fd)
			return true;
	return false;
}

static int tap_open(void)
{
	int fds[2];

	if (host.num_taps == MAX_TAPS) {
		errno = EBUSY;
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		return -1;
	host.taps[host.num_taps++] = (struct tap){ .fd = fds[0], .peer = fds[1] };
	return fds[0];
}

static int open_checked(const char *path, int flags, mode_t mode)
{
	int err = fails(CALL_OPEN);

	if (err) {
		errno = err;
		return -1;
	}
	if (host.on && strcmp(path, TUN_DEVICE) == 0)
		return tap_open();
	return open(path, flags, mode);
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

static int wrap_access(const char *path, int mode)
{
	int err = fails(CALL_ACCESS);

	if (!err)
		return host.on && strcmp(path, TUN_DEVICE) == 0 ? 0 : access(path, mode);
	errno = err;
	return -1;
}

static int wrap_ioctl(int fd, unsigned long request, ...)
{
	int err = fails(CALL_IOCTL);
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!err)
		return host.on && is_tap(fd) ? 0 : ioctl(fd, request, arg);
	errno = err;
	return -1;
}

static int wrap_fcntl(int fd, int command, ...)
{
	int err = fails(CALL_FCNTL);
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	if (!err)
		return fcntl(fd, command, arg);
	errno = err;
	return -1;
}

static int wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			       void *(*run)(void *arg), void *arg)
{
	int err = fails(CALL_PTHREAD_CREATE);

	return err ? err : pthread_create(thread, attr, run, arg);
}

/* Time */

static void sleep_for(uint64_t ns)
{
	*host.now_ns = ns > UINT64_MAX - *host.now_ns ? UINT64_MAX : *host.now_ns + ns;
}

/* Time that a vdev waits for in vain passes at once, in the guest too. */
static int wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	int err = fails(CALL_POLL), rc;

	if (err) {
		errno = err;
		return -1;
	}
	if (!host.on)
		return poll(fds, n, timeout_ms);
	rc = poll(fds, n, timeout_ms);
	if (rc == 0 && timeout_ms > 0)
		sleep_for((uint64_t)timeout_ms * 1000000);
	return rc;
}

static uint64_t to_ns(const struct timespec *ts)
{
	if (ts->tv_sec < 0 || (uint64_t)ts->tv_sec > UINT64_MAX / NS_PER_S / 2)
		return ts->tv_sec < 0 ? 0 : UINT64_MAX / 2;
	return (uint64_t)ts->tv_sec * NS_PER_S + (uint64_t)ts->tv_nsec;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S),
				  .tv_nsec = (long)(ns % NS_PER_S) };
}

static uint64_t epoch_of(clockid_t clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI
		       ? HOSTCALLS_EPOCH_S * NS_PER_S
		       : 0;
}

static int wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	int err = fails(CALL_CLOCK_GETTIME);

	if (err) {
		errno = err;
		return -1;
	}
	if (!host.on)
		return clock_gettime(clock, ts);
	*ts = to_timespec(*host.now_ns + epoch_of(clock));
	return 0;
}

static int wrap_gettimeofday(struct timeval *tv, void *zone)
{
	(void)fails(CALL_GETTIMEOFDAY);
	if (!host.on)
		return gettimeofday(tv, zone);
	tv->tv_sec = (time_t)(HOSTCALLS_EPOCH_S + *host.now_ns / NS_PER_S);
	tv->tv_usec = (suseconds_t)(*host.now_ns % NS_PER_S / 1000);
	return 0;
}

static time_t wrap_time(time_t *ret)
{
	time_t now = host.on ? (time_t)(HOSTCALLS_EPOCH_S + *host.now_ns / NS_PER_S) : time(NULL);

	(void)fails(CALL_TIME);
	if (ret)
		*ret = now;
	return now;
}

static int wrap_nanosleep(const struct timespec *ts, struct timespec *left)
{
	int err = fails(CALL_NANOSLEEP);

	if (err) {
		errno = err;
		return -1;
	}
	if (!host.on)
		return nanosleep(ts, left);
	sleep_for(to_ns(ts));
	return 0;
}

static int wrap_usleep(useconds_t us)
{
	(void)fails(CALL_USLEEP);
	if (!host.on)
		return usleep(us);
	sleep_for((uint64_t)us * 1000);
	return 0;
}

static int wrap_timerfd_create(int clock, int flags)
{
	int err = fails(CALL_TIMERFD_CREATE), fd;

	if (!host.on)
		return timerfd_create(clock, flags);
	if (!err && host.num_timers == MAX_TIMERS)
		err = EMFILE;
	if (err) {
		errno = err;
		return -1;
	}
	fd = eventfd(0, (flags & TFD_NONBLOCK ? EFD_NONBLOCK : 0) | EFD_CLOEXEC);
	if (fd >= 0)
		host.timers[host.num_timers++] = (struct timer){ .fd = fd };
	return fd;
}

static int wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
				struct itimerspec *old)
{
	int err = fails(CALL_TIMERFD_SETTIME);
	struct timer *t = NULL;

	for (unsigned i = 0; i < host.num_timers; i++)
		if (host.timers[i].fd == fd)
			t = &host.timers[i];
	if (!t && !err)
		return timerfd_settime(fd, flags, when, old);
	if (err) {
		errno = err;
		return -1;
	}
	uint64_t ns = to_ns(&when->it_value), now = *host.now_ns, count;

	if (old)
		*old = (struct itimerspec){ .it_value = to_timespec(
						    t->deadline > now ? t->deadline - now : 0),
					    .it_interval = to_timespec(t->interval) };
	/* What has expired before does not count any more. */
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (poll(&pfd, 1, 0) == 1)
		(void)!read(fd, &count, sizeof(count));
	t->interval = to_ns(&when->it_interval);
	t->deadline = !ns ? 0 : flags & TFD_TIMER_ABSTIME ? MAX(ns, now + 1) : now + ns;
	return 0;
}

bool hostcalls_deadline(uint64_t *ret_ns)
{
	bool any = false;

	for (unsigned i = 0; i < host.num_timers; i++) {
		const struct timer *t = &host.timers[i];

		if (t->deadline && (!any || t->deadline < *ret_ns)) {
			*ret_ns = t->deadline;
			any = true;
		}
	}
	return any;
}

bool hostcalls_fire(void)
{
	for (unsigned i = 0; i < host.num_timers; i++) {
		struct timer *t = &host.timers[i];

		if (t->deadline && t->deadline <= *host.now_ns) {
			(void)!write(t->fd, &(uint64_t){ 1 }, sizeof(uint64_t));
			t->deadline = t->interval ? t->deadline + t->interval : 0;
			return true;
		}
	}
	return false;
}

/* Dice */

static ssize_t wrap_getrandom(void *buf, size_t n, unsigned flags)
{
	int err = fails(CALL_GETRANDOM);

	if (err) {
		errno = err;
		return -1;
	}
	if (!host.on)
		return getrandom(buf, n, flags);
	bool on = adversary_set(false);

	for (size_t i = 0; i < n; i++) {
		host.random = host.random * UINT64_C(6364136223846793005) + 1442695040888963407;
		((uint8_t *)buf)[i] = (uint8_t)(host.random >> 56);
	}
	adversary_set(on);
	return (ssize_t)n;
}

/* io_uring: what was submitted is done when the call returns, so that its order is always the same.
 */

static int wrap_uring_submit(struct io_uring *ring)
{
	int err = fails(CALL_URING_SUBMIT), n;
	struct __kernel_timespec limit = { .tv_sec = 1 };
	struct io_uring_cqe *cqe;

	if (err)
		return -err;
	bool on = adversary_set(false);
	unsigned before = io_uring_cq_ready(ring);

	n = host.uring_submit(ring);
	if (host.on && !host.no_wait && n > 0)
		(void)host.uring_wait(ring, &cqe, before + (unsigned)n, &limit, NULL);
	adversary_set(on);
	return n;
}

static int wrap_uring_init(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
	int err = fails(CALL_URING_INIT);

	return err ? -err : host.uring_init(entries, ring, params);
}

/* Stand-ins */

bool hostcalls_echo(void)
{
	static char frame[MAX_FRAME];
	bool any = false;

	for (unsigned i = 0; i < host.num_taps; i++) {
		for (unsigned k = 0; k < MAX_ECHOES; k++) {
			ssize_t n = recv(host.taps[i].peer, frame, sizeof(frame), 0);

			if (n <= 0)
				break;
			/* A full queue drops frames, as an interface does. */
			any |= send(host.taps[i].peer, frame, (size_t)n, MSG_NOSIGNAL) == n;
		}
	}
	return any;
}

/* The table; several names of the C library may be one call. */
static const struct wrapper {
	const char *name;
	enum call call;
	const void *wrapper;
} wrappers[] = {
	{ "open", CALL_OPEN, wrap_open },
	{ "close", CALL_CLOSE, wrap_close },
	{ "read", CALL_READ, wrap_read },
	{ "write", CALL_WRITE, wrap_write },
	{ "readv", CALL_READV, wrap_readv },
	{ "writev", CALL_WRITEV, wrap_writev },
	{ "pread", CALL_PREAD, wrap_pread },
	{ "pwrite", CALL_PWRITE, wrap_pwrite },
	{ "preadv", CALL_PREADV, wrap_preadv },
	{ "pwritev", CALL_PWRITEV, wrap_pwritev },
	{ "fsync", CALL_FSYNC, wrap_fsync },
	{ "fdatasync", CALL_FDATASYNC, wrap_fdatasync },
	{ "fallocate", CALL_FALLOCATE, wrap_fallocate },
	{ "ioctl", CALL_IOCTL, wrap_ioctl },
	{ "fcntl", CALL_FCNTL, wrap_fcntl },
	{ "access", CALL_ACCESS, wrap_access },
	{ "mmap", CALL_MMAP, wrap_mmap },
	{ "poll", CALL_POLL, wrap_poll },
	{ "epoll_ctl", CALL_EPOLL_CTL, wrap_epoll_ctl },
	{ "eventfd", CALL_EVENTFD, wrap_eventfd },
	{ "timerfd_create", CALL_TIMERFD_CREATE, wrap_timerfd_create },
	{ "timerfd_settime", CALL_TIMERFD_SETTIME, wrap_timerfd_settime },
	{ "socket", CALL_SOCKET, wrap_socket },
	{ "connect", CALL_CONNECT, wrap_connect },
	{ "recv", CALL_RECV, wrap_recv },
	{ "send", CALL_SEND, wrap_send },
	{ "malloc", CALL_MALLOC, wrap_malloc },
	{ "calloc", CALL_CALLOC, wrap_calloc },
	{ "realloc", CALL_REALLOC, wrap_realloc },
	{ "strdup", CALL_STRDUP, wrap_strdup },
	{ "pthread_create", CALL_PTHREAD_CREATE, wrap_pthread_create },
	{ "getrandom", CALL_GETRANDOM, wrap_getrandom },
	{ "clock_gettime", CALL_CLOCK_GETTIME, wrap_clock_gettime },
	{ "gettimeofday", CALL_GETTIMEOFDAY, wrap_gettimeofday },
	{ "time", CALL_TIME, wrap_time },
	{ "nanosleep", CALL_NANOSLEEP, wrap_nanosleep },
	{ "usleep", CALL_USLEEP, wrap_usleep },
	{ "io_uring_queue_init_params", CALL_URING_INIT, wrap_uring_init },
	{ "io_uring_submit", CALL_URING_SUBMIT, wrap_uring_submit },
	{ NULL, NUM_CALLS, NULL },
	{ "open64", CALL_OPEN, wrap_open },
	{ "__open_2", CALL_OPEN, wrap_open_2 },
	{ "__open64_2", CALL_OPEN, wrap_open_2 },
	{ "__read_chk", CALL_READ, wrap_read },
	{ "pread64", CALL_PREAD, wrap_pread },
	{ "__pread_chk", CALL_PREAD, wrap_pread },
	{ "__pread64_chk", CALL_PREAD, wrap_pread },
	{ "pwrite64", CALL_PWRITE, wrap_pwrite },
	{ "preadv64", CALL_PREADV, wrap_preadv },
	{ "pwritev64", CALL_PWRITEV, wrap_pwritev },
	{ "fallocate64", CALL_FALLOCATE, wrap_fallocate },
	{ "fcntl64", CALL_FCNTL, wrap_fcntl },
	{ "mmap64", CALL_MMAP, wrap_mmap },
	{ "__poll_chk", CALL_POLL, wrap_poll },
	{ "__recv_chk", CALL_RECV, wrap_recv },
	{ "__strdup", CALL_STRDUP, wrap_strdup },
};

static const struct wrapper *wrapper_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(wrappers); i++)
		if (wrappers[i].name && strcmp(wrappers[i].name, name) == 0)
			return &wrappers[i];
	return NULL;
}

const char *hostcalls_name(unsigned index)
{
	return index < ARRAY_LEN(wrappers) ? wrappers[index].name : NULL;
}

int hostcalls_fail(const char *name, uint64_t nth, int err, uint64_t times)
{
	const struct wrapper *w = wrapper_find(name);
	struct plan *p = w ? &host.plans[w->call] : NULL;

	if (!p)
		return -ENOENT;
	uint64_t count = atomic_load(&p->count);

	p->first = nth && times && nth <= UINT64_MAX - count ? count + nth : 0;
	p->last = times - 1 > UINT64_MAX - p->first ? UINT64_MAX : p->first + times - 1;
	p->err = err;
	return 0;
}

int hostcalls_count(const char *name, uint64_t *ret_count)
{
	const struct wrapper *w = wrapper_find(name);

	if (!w)
		return -ENOENT;
	*ret_count = atomic_load(&host.plans[w->call].count);
	return 0;
}

int hostcalls_errno(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (end != text && !*end)
		return number > 0 && number <= MAX_ERRNO ? (int)number : 0;
	for (int err = 1; err <= MAX_ERRNO; err++) {
		const char *name = strerrorname_np(err);

		if (name && strcmp(name, text) == 0)
			return err;
	}
	return 0;
}

void hostcalls_begin(uint64_t seed, uint64_t *now_ns)
{
	for (unsigned i = 0; i < NUM_CALLS; i++) {
		atomic_store(&host.plans[i].count, 0);
		host.plans[i].first = 0;
	}
	host.no_wait = false;
	host.random = seed;
	host.now_ns = now_ns;
	host.on = true;
}

void hostcalls_wait_set(bool on)
{
	host.no_wait = !on;
}

void hostcalls_end(void)
{
	for (unsigned i = 0; i < host.num_taps; i++)
		close(host.taps[i].peer);
	host.num_timers = host.num_taps = 0;
	host.on = false;
}

/* One table of relocations: those that name a function of ours get the wrapper. */
static void patch_table(const struct link_map *map, void *handle, const ElfW(Rela) * rela,
			size_t size, const ElfW(Sym) * symbols, const char *names)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < size / sizeof(*rela); i++) {
		const char *name = names + symbols[ELF64_R_SYM(rela[i].r_info)].st_name;
		const struct wrapper *w = wrapper_find(name);
		const void **slot = (const void **)(map->l_addr + rela[i].r_offset);

		/* Other kinds of relocations do not hold just the function's address. */
		if (!w || *slot != dlsym(handle, name))
			continue;
		/* The table is read-only once the dynamic linker is done with it. */
		if (mprotect((void *)((uintptr_t)slot & ~(page - 1)), page,
			     PROT_READ | PROT_WRITE) == 0)
			*slot = w->wrapper;
	}
}

void hostcalls_patch(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
	const ElfW(Rela) *plt = NULL, *rela = NULL;
	const ElfW(Sym) *symbols = NULL;
	const char *names = NULL;
	size_t plt_size = 0, rela_size = 0;
	struct link_map *map;

	if (!handle || dlinfo(handle, RTLD_DI_LINKMAP, &map))
		return;
	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
		switch (d->d_tag) {
		case DT_JMPREL:
			plt = (const void *)d->d_un.d_ptr;
			break;
		case DT_PLTRELSZ:
			plt_size = d->d_un.d_val;
			break;
		case DT_RELA:
			rela = (const void *)d->d_un.d_ptr;
			break;
		case DT_RELASZ:
			rela_size = d->d_un.d_val;
			break;
		case DT_SYMTAB:
			symbols = (const void *)d->d_un.d_ptr;
			break;
		case DT_STRTAB:
			names = (const void *)d->d_un.d_ptr;
			break;
		}
	}
	/* A vdev that uses them is linked to the library; this program need not be. */
	void *submit = dlsym(handle, "io_uring_submit");

	if (submit) {
		host.uring_submit = submit;
		host.uring_wait = dlsym(handle, "io_uring_wait_cqes");
		host.uring_init = dlsym(handle, "io_uring_queue_init_params");
	}
	if (symbols && names) {
		patch_table(map, handle, plt, plt_size, symbols, names);
		patch_table(map, handle, rela, rela_size, symbols, names);
	}
	dlclose(handle);
}
