/* SPDX-License-Identifier: Apache-2.0 */
/* x/loop.h: the thread of a vdev. */
#include "vdev/api.h"

#include <errno.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vdev/host.h"

enum { LOOP_EVENTS = 16 };

struct qvmx_watch {
	struct qvmx_watch *next;
	struct loop *loop;
	int fd;
	bool dead, registered;
	qvmx_watch_func_t *func;
	void *data;
};

struct loop_call {
	struct loop_call *next;
	qvmx_watch_func_t *func;
	void *data;
};

/*
 * Events carry an address: of a byte in here, whose number is the pulse's code. The C library may
 * deliver one when its source is gone, on a thread that nobody can wait for: what has been made
 * stays as long as the process, and says whether there is a vdev behind it.
 */
struct loop_pulses {
	struct loop_pulses *next;
	vdev_t *vdp; /* NULL: it has ended */
	uint8_t codes[256];
};

static struct {
	pthread_mutex_t lock;
	struct loop_pulses *all;
} pulses_made = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct loop {
	struct vdev_instance *vi;
	int epoll_fd, wake_fd;
	struct qvmx_watch *watches;
	struct loop_pulses *pulses; /* NULL: vdev_pulse was not called */
	pthread_mutex_t lock;	    /* calls */
	struct loop_call *calls, **last_call;
	_Atomic bool stop;
	bool started;
	pthread_t thread;
};

static struct loop *loop_create(struct vdev_instance *vi)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };

	if (!loop)
		return NULL;
	loop->vi = vi;
	loop->last_call = &loop->calls;
	pthread_mutex_init(&loop->lock, NULL);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev)) {
		loop_free(loop);
		return NULL;
	}
	return loop;
}

void loop_free(struct loop *loop)
{
	if (loop->pulses) {
		pthread_mutex_lock(&pulses_made.lock);
		loop->pulses->vdp = NULL;
		pthread_mutex_unlock(&pulses_made.lock);
	}
	while (loop->watches) {
		struct qvmx_watch *w = loop->watches;

		loop->watches = w->next;
		free(w);
	}
	while (loop->calls) {
		struct loop_call *c = loop->calls;

		loop->calls = c->next;
		free(c);
	}
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static void loop_wake(struct loop *loop)
{
	(void)!write(loop->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static void loop_run_calls(struct loop *loop)
{
	uint64_t count;

	(void)!read(loop->wake_fd, &count, sizeof(count));
	pthread_mutex_lock(&loop->lock);
	struct loop_call *c = loop->calls;

	loop->calls = NULL;
	loop->last_call = &loop->calls;
	pthread_mutex_unlock(&loop->lock);
	while (c) {
		struct loop_call *next = c->next;

		c->func(&loop->vi->vdev, c->data, 0);
		free(c);
		c = next;
	}
}

/* A removed watch may still stand in the batch of events that is being worked, so it is freed after
 * the batch. */
static void loop_bury(struct loop *loop)
{
	for (struct qvmx_watch **p = &loop->watches; *p;) {
		struct qvmx_watch *w = *p;

		if (w->dead) {
			*p = w->next;
			free(w);
		} else {
			p = &w->next;
		}
	}
}

unsigned loop_batch(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[LOOP_EVENTS];
	int n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct qvmx_watch *w = events[i].data.ptr;

		if (!w)
			loop_run_calls(loop);
		else if (!w->dead)
			w->func(&loop->vi->vdev, w->data, events[i].events);
	}
	if (n > 0)
		loop_bury(loop);
	return n > 0 ? (unsigned)n : 0;
}

static void *loop_main(void *arg)
{
	struct loop *loop = arg;

	while (!atomic_load(&loop->stop))
		(void)loop_batch(loop, -1);
	return NULL;
}

int loop_start(struct loop *loop)
{
	int rc = vdev_thread_create(&loop->vi->vdev, NULL, &loop->thread, NULL, loop_main, loop);

	loop->started = rc == 0;
	return -rc;
}

void loop_stop(struct loop *loop)
{
	if (!loop->started)
		return;
	atomic_store(&loop->stop, true);
	loop_wake(loop);
	pthread_join(loop->thread, NULL);
	loop->started = false;
}

/* Made for the first who asks in the start-up stage, when a vdev may have threads already. */
static struct loop *loop_of(vdev_t *vdp)
{
	static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
	struct vdev_instance *vi = vdev_instance_of(vdp);

	pthread_mutex_lock(&making);
	if (!vi->loop && !vi->host->running)
		vi->loop = loop_create(vi);
	struct loop *loop = vi->loop;

	pthread_mutex_unlock(&making);
	return loop;
}

/* epoll reports errors and hang-ups even for no events at all, so that a paused fd is taken out. */
static int watch_apply(struct qvmx_watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };
	int op = w->registered ? (events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL) : EPOLL_CTL_ADD;

	if (!events && !w->registered)
		return EOK;
	if (epoll_ctl(w->loop->epoll_fd, op, w->fd, &ev))
		return errno;
	w->registered = events != 0;
	return EOK;
}

int qvmx_watch_add(vdev_t *vdp, int fd, uint32_t events, qvmx_watch_func_t *func, void *data,
		   struct qvmx_watch **ret_watch)
{
	struct loop *loop = loop_of(vdp);
	struct qvmx_watch *w = loop ? calloc(1, sizeof(*w)) : NULL;

	if (!w)
		return ENOMEM;
	*w = (struct qvmx_watch){ .loop = loop, .fd = fd, .func = func, .data = data };
	int rc = watch_apply(w, events);

	if (rc) {
		free(w);
		return rc;
	}
	w->next = loop->watches;
	loop->watches = w;
	if (ret_watch)
		*ret_watch = w;
	return EOK;
}

void qvmx_watch_set(struct qvmx_watch *watch, uint32_t events)
{
	(void)watch_apply(watch, events);
}

void qvmx_watch_remove(struct qvmx_watch *watch)
{
	(void)watch_apply(watch, 0);
	watch->dead = true;
}

static void pulse_run(vdev_t *vdp, void *data, uint32_t events)
{
	(void)events;
	(void)vdp->v_factory->pulse(vdp, (int8_t)(intptr_t)data);
}

int qvmx_pulse_send(vdev_t *vdp, int8_t code)
{
	if (!vdp->v_factory->pulse)
		return EINVAL;
	return qvmx_loop_call(vdp, pulse_run, (void *)(intptr_t)code);
}

/* The C library delivers on a thread of its own. */
static void pulse_delivered(union sigval value)
{
	uint8_t *at = value.sival_ptr;
	const struct loop_pulses *pulses = container_of(at - *at, struct loop_pulses, codes);

	pthread_mutex_lock(&pulses_made.lock);
	if (pulses->vdp)
		(void)qvmx_pulse_send(pulses->vdp, (int8_t)*at);
	pthread_mutex_unlock(&pulses_made.lock);
}

static struct loop_pulses *pulses_make(vdev_t *vdp)
{
	struct loop_pulses *pulses = malloc(sizeof(*pulses));

	if (!pulses)
		return NULL;
	pulses->vdp = vdp;
	for (unsigned i = 0; i < ARRAY_LEN(pulses->codes); i++)
		pulses->codes[i] = (uint8_t)i;
	pthread_mutex_lock(&pulses_made.lock);
	pulses->next = pulses_made.all;
	pulses_made.all = pulses;
	pthread_mutex_unlock(&pulses_made.lock);
	return pulses;
}

void vdev_pulse(vdev_t *vdp, int8_t code, int priority, struct sigevent *ev, int coid)
{
	struct loop *loop = vdp->v_factory->pulse ? loop_of(vdp) : NULL;

	(void)priority, (void)coid;
	memset(ev, 0, sizeof(*ev));
	ev->sigev_notify = SIGEV_NONE;
	if (loop && !loop->pulses)
		loop->pulses = pulses_make(vdp);
	if (!loop || !loop->pulses)
		return;
	ev->sigev_notify = SIGEV_THREAD;
	ev->sigev_notify_function = pulse_delivered;
	ev->sigev_value.sival_ptr = &loop->pulses->codes[(uint8_t)code];
}

int qvmx_loop_call(vdev_t *vdp, qvmx_watch_func_t *func, void *data)
{
	struct loop *loop = loop_of(vdp);
	struct loop_call *c = loop ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return ENOMEM;
	c->func = func;
	c->data = data;
	pthread_mutex_lock(&loop->lock);
	*loop->last_call = c;
	loop->last_call = &c->next;
	pthread_mutex_unlock(&loop->lock);
	loop_wake(loop);
	return EOK;
}
