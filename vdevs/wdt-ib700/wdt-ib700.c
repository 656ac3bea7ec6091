/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev wdt-ib700: the watchdog timer of the IB700 single board computer. A write to the port at
 * offset 2 starts it, or kicks it, with a time in its low four bits; a write to offset 0 stops it.
 * When the time is over it bites (`action`). It is written only: reads find nothing there.
 */
#include <stdbool.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/wdog.h>
#include <qvm/x/conf.h>

#define DEFAULT_PORT 0x441
#define NUM_PORTS    3
#define LONGEST_S    30u /* code 0; each step of the code is 2 s less, 15 is at once */
#define CODE_MASK    0x0fu
#define CODE_STEP_S  2u

enum { PORT_STOP = 0, PORT_START = 2 };

struct wdt {
	struct guest_timer *timer;
	uint64_t per_second; /* units of the timer */
	unsigned actions;
	/* v_mtx */
	bool armed;
	uint64_t deadline; /* guest time */
};

enum { OPT_ACTION };

static const struct qvmx_option options[] = {
	[OPT_ACTION] = { .name = "action",
			 .type = QVMX_OPT_STRING,
			 .help = "what a bite does: [dump,]terminate (default terminate)" },
};

static void wdt_stop(vdev_t *vdp)
{
	struct wdt *wdt = vdp->v_device;

	wdt->armed = false;
	(void)guest_timer_notify(wdt->timer, NULL, 0);
}

static void wdt_start(vdev_t *vdp, uint8_t value)
{
	struct wdt *wdt = vdp->v_device;
	uint64_t seconds = LONGEST_S - CODE_STEP_S * (value & CODE_MASK);
	uint64_t incr = seconds ? seconds * wdt->per_second : 1;
	struct guest_timer_data now;

	guest_timer_state(wdt->timer, &now);
	wdt->armed = true;
	wdt->deadline = now.guest_current + incr;
	(void)guest_timer_notify(wdt->timer, NULL, incr);
}

static vdev_ref_status_t wdt_vwrite(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint8_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	(void)cookie;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (vopnd->location == PORT_START)
		wdt_start(vdp, value);
	else if (vopnd->location == PORT_STOP)
		wdt_stop(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

/*
 * The time is over, unless the guest has kicked or stopped the watchdog since: this runs on another
 * thread, so a kick may come between the timer's end and the lock. That kick has set the timer
 * anew.
 */
static void wdt_timer(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
		      struct guest_cpu *gcp)
{
	struct wdt *wdt = vdp->v_device;
	bool bite;

	(void)data, (void)gcp;
	pthread_mutex_lock(&vdp->v_mtx);
	bite = wdt->armed && tdp->guest_current >= wdt->deadline;
	if (bite)
		wdt->armed = false;
	pthread_mutex_unlock(&vdp->v_mtx);
	if (bite)
		wdog_bite(vdp, wdt->actions);
}

static int options_end(vdev_t *vdp)
{
	struct wdt *wdt = vdp->v_device;

	vdp->v_block.length = NUM_PORTS;
	wdt->timer = guest_timer_create(NULL, vdp, NULL, &wdt->per_second);
	return wdt->timer ? EOK : (int)wdt->per_second;
}

static void status(vdev_t *vdp)
{
	struct wdt *wdt = vdp->v_device;
	struct guest_timer_data now;
	uint64_t left = 0;
	bool armed;

	guest_timer_state(wdt->timer, &now);
	pthread_mutex_lock(&vdp->v_mtx);
	armed = wdt->armed;
	if (armed && wdt->deadline > now.guest_current)
		left = (wdt->deadline - now.guest_current) / wdt->per_second;
	pthread_mutex_unlock(&vdp->v_mtx);
	if (armed)
		vdev_logf(QL_QVM_INFO, vdp, "bites in %u s", (unsigned)left);
	else
		vdev_logf(QL_QVM_INFO, vdp, "stopped");
}

static int wdt_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct wdt *wdt = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_X86_IO,
			.location = DEFAULT_PORT,
			.length = NUM_PORTS,
		};
		wdt->actions = WDOG_TERMINATE;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_ACTION:
		return wdog_action_parse(vdp, arg, &wdt->actions);
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_STATUS:
		status(vdp);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = wdt_control,
	.vwrite = wdt_vwrite,
	.timer = wdt_timer,
	.factory_flags = VFF_VDEV_X86_IO | VFF_INTR_NO | VFF_MUTEX,
	.acc_sizes = 1u << 1,
	.extra_space = sizeof(struct wdt),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.num_options = sizeof(options) / sizeof(options[0]),
	.summary = "IB700 watchdog timer",
	.options = options,
};

static void __attribute__((constructor)) wdt_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
