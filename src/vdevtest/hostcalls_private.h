/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the wrappers of host calls: what their files share. */
#ifndef VDEVTEST_HOSTCALLS_PRIVATE_H
#define VDEVTEST_HOSTCALLS_PRIVATE_H

#include <poll.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "vdevtest/hostcalls.h"

enum hostcall {
	CALL_OPEN,
	CALL_FOPEN,
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
	CALL_FTRUNCATE,
	CALL_STAT,
	CALL_FSTAT,
	CALL_STATX,
	CALL_ACCESS,
	CALL_IOCTL,
	CALL_FCNTL,
	CALL_DUP,
	CALL_MMAP,
	CALL_POLL,
	CALL_EPOLL_CTL,
	CALL_EVENTFD,
	CALL_SIGNALFD,
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
	CALL_MEMALIGN,
	CALL_PTHREAD_CREATE,
	CALL_GETRANDOM,
	CALL_CLOCK_GETTIME,
	CALL_GETTIMEOFDAY,
	CALL_TIME,
	CALL_NANOSLEEP,
	CALL_USLEEP,
	CALL_URING_INIT,
	CALL_URING_SUBMIT,
	CALL_URING_RESULT,
	NUM_CALLS
};

/* A name of the C library and what is called in its place. */
struct hostwrap {
	const char *name;
	enum hostcall call;
	const void *wrapper; /* NULL: nothing that a vdev calls */
	bool counts;	     /* its result is how much was done */
};
/* First the calls in their order, by the names that users see; then other names of the same calls;
 * NULL at the end. */
extern const struct hostwrap hostwraps[];

/* The call is counted. Returns the errno that it fails with, HOSTCALLS_SHORT, or 0. */
int hostcalls_next(enum hostcall call);

bool hostcalls_on(void);       /* is there a stepped bench? */
bool hostcalls_is_bench(void); /* is this its thread? */
uint64_t *hostcalls_now(void);
uint64_t hostcalls_random(void); /* of the bench's seed */
bool hostcalls_waits(void);	 /* hostcalls_wait_set */

/* What a vdev that uses io_uring is linked to; this program need not be. */
struct io_uring;
struct io_uring_cqe;
struct io_uring_params;
struct __kernel_timespec;
struct hostcalls_uring {
	int (*submit)(struct io_uring *ring);
	int (*wait)(struct io_uring *ring, struct io_uring_cqe **ret, unsigned n,
		    struct __kernel_timespec *ts, sigset_t *mask);
	int (*init)(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
};
extern struct hostcalls_uring hostcalls_uring;

/* hosttime.c: wrappers of clocks and timers. */
struct itimerspec;
int hosttime_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int hosttime_clock_gettime(clockid_t clock, struct timespec *ts);
int hosttime_gettimeofday(struct timeval *tv, void *zone);
time_t hosttime_time(time_t *ret);
int hosttime_nanosleep(const struct timespec *ts, struct timespec *left);
int hosttime_usleep(useconds_t us);
int hosttime_timerfd_create(int clock, int flags);
int hosttime_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			     struct itimerspec *old);
void hosttime_closed(int fd);
void hosttime_end(void);

#endif
