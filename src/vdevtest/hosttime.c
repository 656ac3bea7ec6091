/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, sleeps and timers of vdevs, by the bench's guest time. */
#include "vdevtest/hostcalls_private.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

enum { MAX_TIMERS = 64 };

/* A timerfd of a vdev: an eventfd that expires by guest time. */
static struct timer {
	int fd;
	uint64_t deadline, interval; /* ns; deadline 0: not armed */
} timers[MAX_TIMERS];
static unsigned num_timers;

static void sleep_for(uint64_t ns)
{
	*hostcalls_now() = ns > UINT64_MAX - *hostcalls_now() ? UINT64_MAX : *hostcalls_now() + ns;
}

/* May somebody answer meanwhile? Not the test, whose thread waits here; the kernel may, by a file
 * without a type: io_uring's, an eventfd. */
static bool is_waited_for_in_vain(const struct pollfd *fds, nfds_t n)
{
	struct stat st;

	for (nfds_t i = 0; i < n; i++)
		if (fstat(fds[i].fd, &st) == 0 && !(st.st_mode & S_IFMT))
			return false;
	return hostcalls_is_bench();
}

/* Time that a vdev waits for in vain passes at once, in the guest too. */
int hosttime_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	int err = hostcalls_next(CALL_POLL), rc;

	if (err) {
		errno = err;
		return -1;
	}
	if (!hostcalls_on())
		return poll(fds, n, timeout_ms);
	rc = poll(fds, n, is_waited_for_in_vain(fds, n) ? 0 : timeout_ms);
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

int hosttime_clock_gettime(clockid_t clock, struct timespec *ts)
{
	int err = hostcalls_next(CALL_CLOCK_GETTIME);

	if (err) {
		errno = err;
		return -1;
	}
	if (!hostcalls_on())
		return clock_gettime(clock, ts);
	*ts = to_timespec(*hostcalls_now() + epoch_of(clock));
	return 0;
}

int hosttime_gettimeofday(struct timeval *tv, void *zone)
{
	(void)hostcalls_next(CALL_GETTIMEOFDAY);
	if (!hostcalls_on())
		return gettimeofday(tv, zone);
	tv->tv_sec = (time_t)(HOSTCALLS_EPOCH_S + *hostcalls_now() / NS_PER_S);
	tv->tv_usec = (suseconds_t)(*hostcalls_now() % NS_PER_S / 1000);
	return 0;
}

time_t hosttime_time(time_t *ret)
{
	time_t now = hostcalls_on() ? (time_t)(HOSTCALLS_EPOCH_S + *hostcalls_now() / NS_PER_S)
				    : time(NULL);

	(void)hostcalls_next(CALL_TIME);
	if (ret)
		*ret = now;
	return now;
}

int hosttime_nanosleep(const struct timespec *ts, struct timespec *left)
{
	int err = hostcalls_next(CALL_NANOSLEEP);

	if (err) {
		errno = err;
		return -1;
	}
	if (!hostcalls_on())
		return nanosleep(ts, left);
	sleep_for(to_ns(ts));
	return 0;
}

int hosttime_usleep(useconds_t us)
{
	(void)hostcalls_next(CALL_USLEEP);
	if (!hostcalls_on())
		return usleep(us);
	sleep_for((uint64_t)us * 1000);
	return 0;
}

int hosttime_timerfd_create(int clock, int flags)
{
	int err = hostcalls_next(CALL_TIMERFD_CREATE), fd;

	if (!hostcalls_on())
		return timerfd_create(clock, flags);
	if (!err && num_timers == MAX_TIMERS)
		err = EMFILE;
	if (err) {
		errno = err;
		return -1;
	}
	fd = eventfd(0, (flags & TFD_NONBLOCK ? EFD_NONBLOCK : 0) | EFD_CLOEXEC);
	if (fd >= 0)
		timers[num_timers++] = (struct timer){ .fd = fd };
	return fd;
}

int hosttime_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			     struct itimerspec *old)
{
	int err = hostcalls_next(CALL_TIMERFD_SETTIME);
	struct timer *t = NULL;

	for (unsigned i = 0; i < num_timers; i++)
		if (timers[i].fd == fd)
			t = &timers[i];
	if (!t && !err)
		return timerfd_settime(fd, flags, when, old);
	if (err) {
		errno = err;
		return -1;
	}
	uint64_t ns = to_ns(&when->it_value), now = *hostcalls_now(), count;

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

	for (unsigned i = 0; i < num_timers; i++) {
		const struct timer *t = &timers[i];

		if (t->deadline && (!any || t->deadline < *ret_ns)) {
			*ret_ns = t->deadline;
			any = true;
		}
	}
	return any;
}

bool hostcalls_fire(void)
{
	for (unsigned i = 0; i < num_timers; i++) {
		struct timer *t = &timers[i];

		if (t->deadline && t->deadline <= *hostcalls_now()) {
			(void)!write(t->fd, &(uint64_t){ 1 }, sizeof(uint64_t));
			t->deadline = t->interval ? t->deadline + t->interval : 0;
			return true;
		}
	}
	return false;
}

void hosttime_closed(int fd)
{
	for (unsigned i = 0; i < num_timers; i++) {
		if (timers[i].fd == fd) {
			timers[i] = timers[--num_timers];
			break;
		}
	}
}

void hosttime_end(void)
{
	num_timers = 0;
}
