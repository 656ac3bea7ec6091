/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev trace: the smallest useful vdev, and the template for others. One 32-bit cell in memory: a
 * thread adds 1 to it each second, the guest reads and writes it. On request each access of the
 * guest goes to the VM's log or to the host kernel's trace.
 *
 * It uses the documented API alone (no qvm/x header), so its source also builds against other
 * implementations of that API.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <qvm/guest.h>
#include <qvm/log.h>

#define CELL_SIZE      4u
#define PERIOD_S       1
#define MAX_EVENT      1023u
#define MARKER	       "/sys/kernel/tracing/trace_marker"
#define MARKER_DEBUGFS "/sys/kernel/debug/tracing/trace_marker"

struct trace {
	pthread_t thread;
	pthread_cond_t changed; /* `ending`, with v_mtx */
	bool started, ending;
	uint32_t counter; /* v_mtx */
	bool emit_logger, emit_trace;
	unsigned event; /* the number of emit-trace */
	int marker;	/* the kernel's trace, -1: not open */
};

enum { OPT_EMIT_LOGGER, OPT_EMIT_TRACE };

static const char *const options[] = {
	[OPT_EMIT_LOGGER] = QVM_OPTION_NO_ARG_PREFIX "emit-logger",
	[OPT_EMIT_TRACE] = "emit-trace",
	NULL,
};

static void emit(vdev_t *vdp, const char *what, uint32_t value)
{
	const struct trace *tr = vdp->v_device;

	if (tr->emit_logger)
		vdev_logf(QL_QVM_INFO, vdp, "%s %u", what, value);
	if (tr->emit_trace)
		(void)!dprintf(tr->marker, "vdev trace: event %u: %s %u\n", tr->event, what, value);
}

static vdev_ref_status_t trace_vread(vdev_t *vdp, unsigned cookie,
				     const struct qvm_state_block *vopnd,
				     const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct trace *tr = vdp->v_device;
	uint32_t value;

	(void)cookie, (void)vopnd; /* there is one cell, and it is read whole */
	pthread_mutex_lock(&vdp->v_mtx);
	value = tr->counter;
	pthread_mutex_unlock(&vdp->v_mtx);
	emit(vdp, "read", value);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

static vdev_ref_status_t trace_vwrite(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct trace *tr = vdp->v_device;
	uint32_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	(void)cookie, (void)vopnd;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	tr->counter = value;
	pthread_mutex_unlock(&vdp->v_mtx);
	emit(vdp, "write", value);
	return VRS_NORMAL;
}

static void *count(void *arg)
{
	vdev_t *vdp = arg;
	struct trace *tr = vdp->v_device;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	next.tv_sec += PERIOD_S;
	pthread_mutex_lock(&vdp->v_mtx);
	while (!tr->ending) {
		if (pthread_cond_timedwait(&tr->changed, &vdp->v_mtx, &next) != ETIMEDOUT)
			continue;
		tr->counter++;
		next.tv_sec += PERIOD_S;
	}
	pthread_mutex_unlock(&vdp->v_mtx);
	return NULL;
}

static void options_start(vdev_t *vdp)
{
	struct trace *tr = vdp->v_device;
	pthread_condattr_t attr;

	vdp->v_block.qst_type = QST_MEMORY;
	vdp->v_block.location = QSL_NO_LOCATION; /* the user gives it: `loc` */
	vdp->v_block.length = CELL_SIZE;
	tr->marker = -1;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&tr->changed, &attr);
	pthread_condattr_destroy(&attr);
}

static int option_emit_trace(vdev_t *vdp, const char *arg)
{
	struct trace *tr = vdp->v_device;
	char *end;
	unsigned long number = strtoul(arg, &end, 0);

	if (*arg < '0' || *arg > '9' || *end || number > MAX_EVENT) {
		vdev_logf(QL_QVM_ERR, vdp, "emit-trace takes a number from 0 to %u, not '%s'",
			  MAX_EVENT, arg);
		return EINVAL;
	}
	tr->emit_trace = true;
	tr->event = (unsigned)number;
	return EOK;
}

static int guest_configured(vdev_t *vdp)
{
	struct trace *tr = vdp->v_device;

	if (tr->emit_trace) {
		tr->marker = open(MARKER, O_WRONLY | O_CLOEXEC);
		if (tr->marker < 0)
			tr->marker = open(MARKER_DEBUGFS, O_WRONLY | O_CLOEXEC);
		if (tr->marker < 0) {
			int err = errno;

			vdev_logf(QL_QVM_ERR, vdp, "emit-trace: cannot open " MARKER ": %s",
				  strerror(err));
			return err;
		}
	}
	int err = vdev_thread_create(vdp, "vdev trace", &tr->thread, NULL, count, vdp);

	tr->started = err == EOK;
	return err;
}

static void terminate(vdev_t *vdp)
{
	struct trace *tr = vdp->v_device;

	if (tr->started) {
		pthread_mutex_lock(&vdp->v_mtx);
		tr->ending = true;
		pthread_cond_signal(&tr->changed);
		pthread_mutex_unlock(&vdp->v_mtx);
		pthread_join(tr->thread, NULL);
		tr->started = false;
	}
	pthread_cond_destroy(&tr->changed);
	if (tr->marker >= 0)
		close(tr->marker);
	tr->marker = -1;
}

static int trace_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct trace *tr = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		options_start(vdp);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_EMIT_LOGGER:
		tr->emit_logger = true;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_EMIT_TRACE:
		return option_emit_trace(vdp, arg);
	case VDEV_CTRL_OPTIONS_END:
		vdp->v_block.length = CELL_SIZE;
		return EOK;
	case VDEV_CTRL_GUEST_CONFIGURED:
		return guest_configured(vdp);
	case VDEV_CTRL_TERMINATE:
		terminate(vdp);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = trace_control,
	.vread = trace_vread,
	.vwrite = trace_vwrite,
	.option_list = options,
	.factory_flags = VFF_VDEV_MEM | VFF_INTR_NO | VFF_MUTEX,
	.acc_sizes = 1u << CELL_SIZE,
	.extra_space = sizeof(struct trace),
};

static void __attribute__((constructor)) trace_register(void)
{
	vdev_register_factory(&factory, QVM_VDEV_ABI);
}
