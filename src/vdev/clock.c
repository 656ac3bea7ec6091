/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest timers: one clock thread a VM calls the `timer` function of the vdevs. Guest time is the
 * monotonic clock; it does not stop yet, since nothing stops a VM. In a host that is stepped there
 * is no such thread: time is what its owner says, and timers fire when it moves.
 */
#include "vdev/api.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "vdev/host.h"
#include "vdev/state.h"

#define NS_PER_S UINT64_C(1000000000)

struct guest_timer {
	struct guest_timer *next;
	struct clock *clock;
	vdev_t *vdp;
	void *data;
	void (*func)(void *data); /* of the core's own; NULL: vdp's */
	struct guest_cpu *gcp;	  /* on whose thread; NULL: the clock's */
	bool due;		  /* gcp's thread has been told */
	struct guest_timer_data fired;
	uint64_t start, deadline; /* ns; deadline 0: not armed */
	uint64_t last;		  /* when it has gone off; 0: never */
};

struct clock {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct guest_timer *timers;
	bool stop, started;
	pthread_t thread;
	struct vdev_host *host;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t clock_now(const struct vdev_host *host)
{
	return host->stepped ? host->now_ns : now_ns();
}

static struct clock *clock_create(struct vdev_host *host)
{
	struct clock *clock = calloc(1, sizeof(*clock));
	pthread_condattr_t attr;

	if (!clock)
		return NULL;
	clock->host = host;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&clock->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&clock->lock, NULL);
	return clock;
}

void clock_free(struct clock *clock)
{
	while (clock->timers) {
		struct guest_timer *t = clock->timers;

		clock->timers = t->next;
		free(t);
	}
	pthread_cond_destroy(&clock->changed);
	pthread_mutex_destroy(&clock->lock);
	free(clock);
}

static struct guest_timer *clock_first(const struct clock *clock)
{
	struct guest_timer *first = NULL;

	for (struct guest_timer *t = clock->timers; t; t = t->next)
		if (t->deadline && (!first || t->deadline < first->deadline))
			first = t;
	return first;
}

/* Locked on entry and on return, not while the vdev runs. */
static void timer_call(struct clock *clock, struct guest_timer *t)
{
	const struct guest_timer_data data = t->fired;

	pthread_mutex_unlock(&clock->lock);
	if (t->func)
		t->func(t->data);
	else
		t->vdp->v_factory->timer(t->vdp, t->data, &data, t->gcp);
	pthread_mutex_lock(&clock->lock);
}

/* Likewise. A vCPU's thread calls by itself; where nothing can send it there, the caller does. */
static void clock_fire(struct clock *clock, struct guest_timer *t, uint64_t now)
{
	t->fired = (struct guest_timer_data){ .host_notify_start = t->start,
					      .host_current = now,
					      .guest_notify_start = t->start,
					      .guest_current = now };
	t->last = t->start = t->deadline;
	t->deadline = 0;
	if (!t->gcp || !t->gcp->engine->ops->vcpu_kick) {
		timer_call(clock, t);
		return;
	}
	t->due = true;
	atomic_store(&t->gcp->due, true);
	t->gcp->engine->ops->vcpu_kick(t->gcp);
}

void vdev_host_cpu_work(struct vdev_host *host, struct guest_cpu *gcp)
{
	struct guest_cpu *own = state_own_set(gcp);
	struct clock *clock = host->clock;

	atomic_store(&gcp->due, false);
	pthread_mutex_lock(&clock->lock);
	for (struct guest_timer *t = clock->timers; t; t = t->next) {
		if (t->gcp != gcp || !t->due)
			continue;
		t->due = false;
		timer_call(clock, t);
	}
	pthread_mutex_unlock(&clock->lock);
	(void)state_own_set(own);
}

bool clock_deadline(struct clock *clock, uint64_t *ret_ns)
{
	pthread_mutex_lock(&clock->lock);
	const struct guest_timer *t = clock_first(clock);

	if (t)
		*ret_ns = t->deadline;
	pthread_mutex_unlock(&clock->lock);
	return t;
}

bool clock_fire_due(struct clock *clock)
{
	pthread_mutex_lock(&clock->lock);
	struct guest_timer *t = clock_first(clock);
	uint64_t now = clock_now(clock->host);

	if (t && t->deadline > now)
		t = NULL;
	if (t)
		clock_fire(clock, t, now);
	pthread_mutex_unlock(&clock->lock);
	return t;
}

static void *clock_main(void *arg)
{
	struct clock *clock = arg;

	pthread_setname_np(pthread_self(), "clock");
	pthread_mutex_lock(&clock->lock);
	while (!clock->stop) {
		struct guest_timer *t = clock_first(clock);
		uint64_t now = now_ns();

		if (!t) {
			pthread_cond_wait(&clock->changed, &clock->lock);
		} else if (t->deadline > now) {
			const struct timespec until = { .tv_sec = (time_t)(t->deadline / NS_PER_S),
							.tv_nsec = (long)(t->deadline % NS_PER_S) };

			pthread_cond_timedwait(&clock->changed, &clock->lock, &until);
		} else {
			clock_fire(clock, t, now);
		}
	}
	pthread_mutex_unlock(&clock->lock);
	return NULL;
}

int clock_start(struct clock *clock)
{
	int rc = pthread_create(&clock->thread, NULL, clock_main, clock);

	clock->started = rc == 0;
	return -rc;
}

void clock_stop(struct clock *clock)
{
	pthread_mutex_lock(&clock->lock);
	clock->stop = true;
	pthread_cond_signal(&clock->changed);
	pthread_mutex_unlock(&clock->lock);
	if (clock->started)
		pthread_join(clock->thread, NULL);
	clock->started = false;
}

static struct guest_timer *timer_make(struct vdev_host *host)
{
	struct guest_timer *t;

	if (!host->clock)
		host->clock = clock_create(host);
	t = host->clock ? calloc(1, sizeof(*t)) : NULL;
	if (!t)
		return NULL;
	t->clock = host->clock;
	t->next = host->clock->timers;
	host->clock->timers = t;
	return t;
}

struct guest_timer *clock_timer_make(struct vdev_host *host, void (*func)(void *data), void *data)
{
	struct guest_timer *t = timer_make(host);

	if (t) {
		t->func = func;
		t->data = data;
	}
	return t;
}

struct guest_timer *guest_timer_create(const struct guest_cpu *gcp, const vdev_t *vdp,
				       const void *data, uint64_t *resolutionp)
{
	struct vdev_host *host = vdev_instance_of(vdp)->host;
	struct guest_timer *t;

	if (vdev_too_late(vdp, "guest_timer_create", false) ||
	    (!vdp->v_factory->timer &&
	     qvmx_refuse(vdp, "guest_timer_create: its factory has no `timer` to call"))) {
		*resolutionp = EINVAL;
		return NULL;
	}
	t = timer_make(host);
	if (!t) {
		*resolutionp = ENOMEM;
		return NULL;
	}
	t->gcp = (struct guest_cpu *)(uintptr_t)gcp;
	t->vdp = (vdev_t *)(uintptr_t)vdp;
	t->data = (void *)(uintptr_t)data;
	*resolutionp = NS_PER_S;
	return t;
}

int guest_timer_notify(struct guest_timer *vtp, const struct guest_timer_data *tdp, uint64_t incr)
{
	uint64_t now = clock_now(vtp->clock->host);

	pthread_mutex_lock(&vtp->clock->lock);
	uint64_t from = tdp && vtp->last ? vtp->last : now;

	vtp->start = from;
	/* Nothing goes off after the end of time. */
	vtp->deadline = !incr || incr > UINT64_MAX - from ? 0 : from + incr;
	pthread_cond_signal(&vtp->clock->changed);
	pthread_mutex_unlock(&vtp->clock->lock);
	return EOK;
}

void guest_timer_state(const struct guest_timer *vtp, struct guest_timer_data *tdp)
{
	uint64_t now = clock_now(vtp->clock->host);

	pthread_mutex_lock(&vtp->clock->lock);
	*tdp = (struct guest_timer_data){ .host_notify_start = vtp->start,
					  .host_current = now,
					  .guest_notify_start = vtp->start,
					  .guest_current = now };
	pthread_mutex_unlock(&vtp->clock->lock);
}
