/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev wdt-sp805: Arm's SP805 watchdog timer. It counts down twice: at the first zero it raises its
 * interrupt and starts again, at the second one, if the guest has not cleared the interrupt and has
 * allowed it (RESEN), it bites (`action`). The counter is not run: what it shows is worked out from
 * the time of its next zero.
 */
#include <stdbool.h>
#include <string.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/wdog.h>
#include <qvm/x/conf.h>
#include <qvm/x/fdt.h>

#define DEFAULT_ADDRESS	  0x1c0f0000
#define LENGTH		  0x1000
#define DEFAULT_FREQUENCY 25000000

enum {
	REG_LOAD = 0x000,
	REG_VALUE = 0x004,
	REG_CONTROL = 0x008,
	REG_INTCLR = 0x00c,
	REG_RIS = 0x010,
	REG_MIS = 0x014,
	REG_LOCK = 0xc00,
	REG_ID = 0xfe0,
};

#define CONTROL_INTEN 0x1u
#define CONTROL_RESEN 0x2u
#define CONTROL_MASK  0x3u
#define UNLOCK_KEY    0x1acce551u
#define WDOG_FIQ      0x80000000u /* an edge on the interrupt line in place of the end */

struct wdt {
	struct guest_timer *timer;
	uint64_t per_second; /* units of the timer */
	uint64_t frequency;  /* of the counter, Hz */
	unsigned actions;
	/* v_mtx */
	uint32_t load, control;
	uint32_t stopped_value; /* what the counter shows while it does not run */
	bool locked, ris, biting;
	uint64_t zero; /* guest time at which the counter reaches 0 */
};

static uint64_t now(const struct wdt *wdt)
{
	struct guest_timer_data t;

	guest_timer_state(wdt->timer, &t);
	return t.guest_current;
}

/* Ticks of the counter as units of the timer, never 0; 2^32 ticks of 1 Hz fit. */
static uint64_t ticks_to_time(const struct wdt *wdt, uint64_t ticks)
{
	unsigned __int128 time = (unsigned __int128)ticks * wdt->per_second / wdt->frequency;

	return time ? (uint64_t)time : 1;
}

static uint32_t value(const struct wdt *wdt)
{
	uint64_t at = now(wdt), period = ticks_to_time(wdt, wdt->load);
	uint64_t left = wdt->zero > at ? wdt->zero - at : period - (at - wdt->zero) % period;

	if (!(wdt->control & CONTROL_INTEN))
		return wdt->stopped_value;
	return (uint32_t)((unsigned __int128)left * wdt->frequency / wdt->per_second);
}

static void count_from(struct wdt *wdt, uint32_t ticks)
{
	uint64_t incr = ticks_to_time(wdt, ticks);

	wdt->stopped_value = ticks;
	if (!(wdt->control & CONTROL_INTEN)) {
		(void)guest_timer_notify(wdt->timer, NULL, 0);
		return;
	}
	wdt->zero = now(wdt) + incr;
	(void)guest_timer_notify(wdt->timer, NULL, incr);
}

/* With the lock held. With `action fiq` the line is the bite's. */
static void update_line(vdev_t *vdp)
{
	const struct wdt *wdt = vdp->v_device;
	bool level =
		wdt->actions & WDOG_FIQ ? wdt->biting : wdt->ris && (wdt->control & CONTROL_INTEN);

	if (vdp->v_intr.pic)
		(void)guest_intr_signal(&vdp->v_intr, level ? GIS_ON : GIS_OFF);
}

static void write_control(struct wdt *wdt, uint32_t control)
{
	bool was_on = wdt->control & CONTROL_INTEN, on = control & CONTROL_INTEN;

	if (was_on && !on)
		wdt->stopped_value = value(wdt);
	wdt->control = control & CONTROL_MASK;
	/* Also where zeros did not count so far. */
	if (on)
		count_from(wdt, was_on ? value(wdt) : wdt->load);
	else if (was_on)
		count_from(wdt, wdt->stopped_value);
}

static void write_reg(struct wdt *wdt, unsigned reg, uint32_t data)
{
	if (reg == REG_LOCK)
		wdt->locked = data != UNLOCK_KEY;
	if (wdt->locked)
		return;
	switch (reg) {
	case REG_LOAD:
		wdt->load = data;
		count_from(wdt, data);
		break;
	case REG_CONTROL:
		write_control(wdt, data);
		break;
	case REG_INTCLR:
		wdt->ris = wdt->biting = false;
		count_from(wdt, wdt->load);
		break;
	default:
		break;
	}
}

static uint32_t read_reg(const struct wdt *wdt, unsigned reg)
{
	static const uint8_t id[] = { 0x05, 0x18, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

	if (reg >= REG_ID)
		return id[(reg - REG_ID) / 4];
	switch (reg) {
	case REG_LOAD:
		return wdt->load;
	case REG_VALUE:
		return value(wdt);
	case REG_CONTROL:
		return wdt->control;
	case REG_RIS:
		return wdt->ris;
	case REG_MIS:
		return wdt->ris && (wdt->control & CONTROL_INTEN);
	case REG_LOCK:
		return wdt->locked;
	default:
		return 0;
	}
}

static vdev_ref_status_t wdt_vread(vdev_t *vdp, unsigned cookie,
				   const struct qvm_state_block *vopnd,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint32_t data;

	(void)cookie;
	pthread_mutex_lock(&vdp->v_mtx);
	data = vopnd->location % 4 ? 0 : read_reg(vdp->v_device, (unsigned)vopnd->location);
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &data, sizeof(data)));
}

static vdev_ref_status_t wdt_vwrite(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint32_t data;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &data, sizeof(data));

	(void)cookie;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (vopnd->location % 4 == 0)
		write_reg(vdp->v_device, (unsigned)vopnd->location, data);
	update_line(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

/* Zero, unless the guest has kicked or stopped the watchdog between the timer's end and the lock:
 * then the timer was set anew. */
static void wdt_timer(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
		      struct guest_cpu *gcp)
{
	struct wdt *wdt = vdp->v_device;
	bool bite = false;

	(void)data, (void)gcp;
	pthread_mutex_lock(&vdp->v_mtx);
	if ((wdt->control & CONTROL_INTEN) && tdp->guest_current >= wdt->zero) {
		bite = wdt->ris && !wdt->biting && (wdt->control & CONTROL_RESEN);
		/* Further zeros that change nothing cost nothing, however fast the counter is. */
		if (!wdt->ris)
			count_from(wdt, wdt->load);
		wdt->ris = true;
		wdt->biting |= bite;
		update_line(vdp);
	}
	pthread_mutex_unlock(&vdp->v_mtx);
	if (bite && !(wdt->actions & WDOG_FIQ))
		wdog_bite(vdp, wdt->actions);
}

enum { OPT_ACTION, OPT_FREQUENCY, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_ACTION] = { "action", QVMX_OPT_STRING,
			 .help = "what a bite does: [dump,]terminate, or fiq: raise the interrupt "
				 "(default terminate)" },
	[OPT_FREQUENCY] = { "frequency", QVMX_OPT_NUMBER, .min = 1, .max = 1000000000,
			    .help = "of the counter in Hz (default 25000000)" },
};

static int options_end(vdev_t *vdp)
{
	struct wdt *wdt = vdp->v_device;

	vdp->v_block.length = LENGTH;
	if ((wdt->actions & WDOG_FIQ) && !vdp->v_intr.pic)
		return qvmx_refuse(vdp, "action 'fiq' needs an interrupt, such as intr gic:32");
	wdt->timer = guest_timer_create(NULL, vdp, NULL, &wdt->per_second);
	return wdt->timer ? EOK : (int)wdt->per_second;
}

static int gen_fdt(vdev_t *vdp, int parent)
{
	static const char compatible[] = "arm,sp805\0arm,primecell";
	static const char clock_names[] = "wdog_clk\0apb_pclk";
	const struct wdt *wdt = vdp->v_device;
	uint32_t clock;
	int node, err = qvmx_fdt_clock(vdp, (uint32_t)wdt->frequency, &clock);

	if (err == EOK)
		err = qvmx_fdt_device(vdp, parent, "watchdog", compatible, sizeof(compatible), 0,
				      &node);
	if (err == EOK)
		err = qvmx_fdt_prop_cells(vdp, node, "clocks", (uint32_t[]){ clock, clock }, 2);
	return err != EOK
		       ? err
		       : qvmx_fdt_prop(vdp, node, "clock-names", clock_names, sizeof(clock_names));
}

static int wdt_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct wdt *wdt = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_MEMORY,
			.location = DEFAULT_ADDRESS,
			.length = LENGTH,
		};
		wdt->actions = WDOG_TERMINATE;
		wdt->frequency = DEFAULT_FREQUENCY;
		wdt->load = wdt->stopped_value = UINT32_MAX;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_ACTION:
		if (strcmp(arg, "fiq") == 0) {
			wdt->actions = WDOG_FIQ;
			return EOK;
		}
		return wdog_action_parse(vdp, arg, &wdt->actions);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_FREQUENCY:
		wdt->frequency = qvmx_option_value(&options[OPT_FREQUENCY], arg);
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_GEN_FDT:
		return gen_fdt(vdp, (int)(intptr_t)arg);
	case VDEV_CTRL_STATUS:
		pthread_mutex_lock(&vdp->v_mtx);
		vdev_logf(QL_QVM_INFO, vdp, "control=%#x value=%u of %u%s", wdt->control,
			  value(wdt), wdt->load, wdt->ris ? ", counted down once" : "");
		pthread_mutex_unlock(&vdp->v_mtx);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = wdt_control,
	.vread = wdt_vread,
	.vwrite = wdt_vwrite,
	.timer = wdt_timer,
	.factory_flags = VFF_VDEV_MEM | VFF_MUTEX,
	.acc_sizes = 1u << 4,
	.extra_space = sizeof(struct wdt),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.num_options = NUM_OPTIONS,
	.summary = "Arm SP805 watchdog timer",
	.options = options,
};

static void __attribute__((constructor)) wdt_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
