/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.h: the power state of the guest's vCPUs. KVM reports no halt, but its statistics say of
 * each vCPU whether it waits; so a notification looks now and then.
 */
#include "vdev/api.h"

#include <errno.h>
#include <stdlib.h>

#include "vdev/host.h"

#define LOOK_NS UINT64_C(10000000)

struct guest_power_state_notify {
	struct guest_power_state_notify *next;
	struct guest_timer *timer;
	pthread_mutex_t lock; /* recursive: a callback may register and delete */
	guest_power_state_cmd_t cmd;
	uint64_t mask, bits;
	guest_power_state_callback_func_t *func; /* NULL: not registered */
	void *data;
	bool armed, matched;
};

int guest_power_state_current(guest_power_state_cmd_t cmd, unsigned base, unsigned nresult,
			      uint64_t *result)
{
	const struct vdev_host *host = vdev_host_current();
	uint64_t waiting = 0;

	if (!host || !host->running || base || !nresult || !(cmd & (GPSC_WAIT | GPSC_OFF)))
		return -EINVAL;
	for (unsigned i = 0; (cmd & GPSC_WAIT) && i < MIN(host->num_cpus, 64u); i++) {
		const struct engine_ops *ops = host->engine->ops;
		int rc = ops->vcpu_waiting ? ops->vcpu_waiting(host->cpus[i]) : 0;

		if (rc < 0)
			return rc;
		waiting |= (uint64_t)rc << i;
	}
	/* A vCPU that the guest has switched off waits for KVM in the same way. */
	result[0] = waiting;
	return 1;
}

static bool matches(const struct guest_power_state_notify *n, uint64_t *ret_state)
{
	*ret_state = 0;
	return guest_power_state_current(n->cmd, 0, 1, ret_state) == 1 &&
	       (*ret_state & n->mask) == n->bits;
}

static void look(void *data)
{
	struct guest_power_state_notify *n = data;
	uint64_t state;

	pthread_mutex_lock(&n->lock);
	n->armed = false;
	if (n->func) {
		bool was = n->matched, is = n->matched = matches(n, &state);

		if (is != was && (n->cmd & (is ? GPSC_TO : GPSC_FROM)))
			n->func(n->data, state, 0);
	}
	if (n->func && !n->armed) {
		n->armed = true;
		(void)guest_timer_notify(n->timer, NULL, LOOK_NS);
	}
	pthread_mutex_unlock(&n->lock);
}

struct guest_power_state_notify *guest_power_state_notify_create(void)
{
	struct vdev_host *host = vdev_host_current();
	struct guest_power_state_notify *n;
	pthread_mutexattr_t attr;

	if (!host || vdev_too_late(NULL, "guest_power_state_notify_create", false))
		return NULL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->timer = clock_timer_make(host, look, n);
	if (!n->timer) {
		free(n);
		return NULL;
	}
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&n->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	n->next = host->notifies;
	host->notifies = n;
	return n;
}

void guest_power_state_notify_register(struct guest_power_state_notify *qpnp,
				       guest_power_state_cmd_t cmd, unsigned base, uint64_t mask,
				       uint64_t bits, guest_power_state_callback_func_t *func,
				       void *data)
{
	uint64_t state;

	pthread_mutex_lock(&qpnp->lock);
	qpnp->cmd = cmd;
	qpnp->mask = mask;
	qpnp->bits = bits;
	qpnp->func = base ? NULL : func;
	qpnp->data = data;
	qpnp->matched = matches(qpnp, &state);
	if (qpnp->func && !qpnp->armed) {
		qpnp->armed = true;
		(void)guest_timer_notify(qpnp->timer, NULL, LOOK_NS);
	}
	pthread_mutex_unlock(&qpnp->lock);
}

/* Its memory, and the timer's, are the host's until the end: the clock may be about to call. */
void guest_power_state_notify_delete(struct guest_power_state_notify *qpnp)
{
	pthread_mutex_lock(&qpnp->lock);
	qpnp->func = NULL;
	pthread_mutex_unlock(&qpnp->lock);
}

void power_free(struct vdev_host *host)
{
	while (host->notifies) {
		struct guest_power_state_notify *n = host->notifies;

		host->notifies = n->next;
		pthread_mutex_destroy(&n->lock);
		free(n);
	}
}

/* The guest is told of stolen time by KVM: see guest.h. */
void guest_clock_start(void)
{
}

void guest_clock_stop(void)
{
}
