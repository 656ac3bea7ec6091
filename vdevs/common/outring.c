/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <qvm/log.h>
#include "outring.h"

#define DELAY_NS 2000000u
#define END_MS	 2000

void outring_init(struct outring *ring, vdev_t *vdp, struct hostend *end, void (*room)(vdev_t *vdp))
{
	ring->vdp = vdp;
	ring->end = end;
	ring->room = room;
	ring->timer = -1;
}

static unsigned used(const struct outring *ring)
{
	return ring->head - ring->tail;
}

/* With v_mtx held. */
static void set_timer(struct outring *ring, uint64_t ns)
{
	struct itimerspec when = {
		.it_value = { .tv_sec = (time_t)(ns / 1000000000u),
			      .tv_nsec = (long)(ns % 1000000000u) },
	};

	ring->pending = true;
	ring->seen = ring->head;
	timerfd_settime(ring->timer, 0, &when, NULL);
}

bool outring_put(struct outring *ring, uint8_t byte)
{
	if (outring_free(ring) == 0)
		return false;
	ring->data[ring->head++ % OUTRING_SIZE] = byte;
	if (!ring->pending) {
		set_timer(ring, ring->delay_ns);
	} else if (used(ring) == OUTRING_SIZE / 2 && !ring->urgent) {
		ring->urgent = true;
		set_timer(ring, 1);
	}
	return true;
}

/*
 * Write up to the byte count `upto`. Only this thread moves `tail`, and putting changes no byte
 * between tail and head, so the bytes are written without the lock. Returns false if the host end
 * must be waited for.
 */
static bool write_to(struct outring *ring, unsigned upto)
{
	while (ring->tail != upto) {
		unsigned at = ring->tail % OUTRING_SIZE, len = upto - ring->tail;
		struct iovec iov[2] = { { ring->data + at, len }, { ring->data, 0 } };
		ssize_t n;

		if (at + len > OUTRING_SIZE) {
			iov[0].iov_len = OUTRING_SIZE - at;
			iov[1].iov_len = len - iov[0].iov_len;
		}
		n = hostend_writev(ring->end, iov, 2);
		if (n < 0)
			return false;
		pthread_mutex_lock(&ring->vdp->v_mtx);
		ring->tail += (unsigned)n;
		pthread_mutex_unlock(&ring->vdp->v_mtx);
	}
	return true;
}

void outring_drain(struct outring *ring)
{
	bool done, room;

	pthread_mutex_lock(&ring->vdp->v_mtx);
	unsigned upto = ring->head;
	ring->urgent = false;
	pthread_mutex_unlock(&ring->vdp->v_mtx);
	done = write_to(ring, upto);
	pthread_mutex_lock(&ring->vdp->v_mtx);
	room = used(ring) <= OUTRING_SIZE / 2;
	if (done && used(ring) == 0)
		ring->pending = false;
	else if (done)
		set_timer(ring, room ? ring->delay_ns : 1);
	pthread_mutex_unlock(&ring->vdp->v_mtx);
	if (room)
		ring->room(ring->vdp);
}

static void timer_fired(vdev_t *vdp, void *data, uint32_t events)
{
	struct outring *ring = data;
	uint64_t count;
	bool more;

	(void)events;
	if (read(ring->timer, &count, sizeof(count)) < 0)
		return; /* set again meanwhile */
	pthread_mutex_lock(&vdp->v_mtx);
	more = ring->wait_quiet && ring->head != ring->seen && used(ring) < OUTRING_SIZE / 2;
	if (more)
		set_timer(ring, ring->delay_ns);
	pthread_mutex_unlock(&vdp->v_mtx);
	if (!more)
		outring_drain(ring);
}

int outring_start(struct outring *ring, uint64_t batch_us)
{
	ring->wait_quiet = batch_us != 0;
	ring->delay_ns = batch_us != 0 ? batch_us * 1000 : DELAY_NS;
	ring->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (ring->timer < 0)
		return errno;
	return qvmx_watch_add(ring->vdp, ring->timer, EPOLLIN, timer_fired, ring, NULL);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void outring_end(struct outring *ring)
{
	int64_t until = now_ms() + END_MS, left = END_MS;

	while (used(ring) != 0 && left > 0 && hostend_poll_output(ring->end, (int)left)) {
		write_to(ring, ring->head);
		left = until - now_ms();
	}
	if (used(ring) != 0)
		vdev_logf(QL_QVM_WARN, ring->vdp, "%u bytes of output are lost: nobody reads them",
			  used(ring));
	if (ring->timer >= 0)
		close(ring->timer);
	ring->timer = -1;
}
