/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev hpet: high precision event timers. As many as the file gives interrupts, at least the three
 * that the specification asks for; one without an interrupt of the file can send messages only.
 * Register layout: IA-PC HPET specification 1.0a.
 *
 * Nothing ticks: the counter is worked out from the guest's time when somebody looks. Each timer
 * that can interrupt has a timer of the core. Periods shorter than MIN_PERIOD_NS, or that nobody
 * was there to give in time, are left out.
 *
 * Timer n interrupts on the line that the file gives it and on no other. With legacy replacement
 * timers 0 and 1 have their lines alone, whatever the 8254 and the clock do with them.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <qvm/guest.h>
#include <qvm/x/acpi.h>
#include <qvm/x/conf.h>
#include <qvm/x/pic.h>

#define DEFAULT_ADDRESS	  0xfed00000u
#define WINDOW		  0x1000u
#define DEFAULT_FREQUENCY 14318180u
#define MIN_FREQUENCY	  10000000u /* the specification's 100 ns */
#define MAX_FREQUENCY	  1000000000u
#define MIN_TIMERS	  3u
#define MAX_TIMERS	  32u
#define MAX_LINE	  32u /* lines that a timer's register can name */
#define MIN_PERIOD_NS	  100000u
#define MIN_TICKS	  128u /* least distance of a comparator, for the ACPI table */
#define NS_PER_S	  1000000000u
#define FS_PER_S	  1000000000000000u

#define REG_CAPABILITIES  0x000u
#define REG_CONFIG	  0x010u
#define REG_STATUS	  0x020u
#define REG_COUNTER	  0x0f0u
#define REG_TIMERS	  0x100u
#define TIMER_LEN	  0x20u
#define TIMER_CONFIG	  0x00u
#define TIMER_COMPARATOR  0x08u
#define TIMER_MESSAGE	  0x10u

#define CAP_REVISION	  0x01u
#define CAP_NUM_SHIFT	  8
#define CAP_64_BIT	  0x2000u
#define CAP_LEGACY	  0x8000u
#define CAP_VENDOR	  0x1c050000u
#define CAP_PERIOD_SHIFT  32

#define CONFIG_ENABLE	  0x1u
#define CONFIG_LEGACY	  0x2u

#define T_LEVEL		  0x0002u
#define T_ENABLE	  0x0004u
#define T_PERIODIC	  0x0008u
#define T_CAP_PERIODIC	  0x0010u
#define T_CAP_64_BIT	  0x0020u
#define T_SET_VALUE	  0x0040u
#define T_32_BIT	  0x0100u
#define T_ROUTE		  0x3e00u
#define T_ROUTE_SHIFT	  9
#define T_MESSAGE	  0x4000u
#define T_CAP_MESSAGE	  0x8000u
#define T_WRITABLE	  (T_LEVEL | T_ENABLE | T_PERIODIC | T_SET_VALUE | T_32_BIT | T_MESSAGE)
#define T_LINES_SHIFT	  32

#define MSI_ADDRESS	  0xfee00000u
#define MSI_ADDRESS_MASK  0xfff00000u

struct hpet_timer {
	guest_intr_t intr;
	int line; /* its number in the guest's tables, -1: none */
	struct guest_timer *timer;
	uint32_t config; /* without the capabilities */
	uint64_t comparator, period, message;
	uint64_t due; /* guest ns of its next interrupt; 0: none */
};

struct hpet {
	bool legacy_free;
	uint64_t frequency;
	unsigned num_timers;
	uint32_t config, status;
	uint64_t start;	  /* guest ns when the counter was 0, while it counts */
	uint64_t counter; /* while it does not */
	struct hpet_timer timers[MAX_TIMERS];
};

static uint64_t now_ns(const struct hpet *h)
{
	struct guest_timer_data now;

	guest_timer_state(h->timers[0].timer, &now);
	return now.guest_current;
}

static uint64_t scale(uint64_t value, uint64_t mul, uint64_t div)
{
	return (uint64_t)((unsigned __int128)value * mul / div);
}

/* h->start may lie before the guest's time began: differences are modulo 2^64 ns, 584 years. */
static uint64_t counter_at(const struct hpet *h, uint64_t now)
{
	if (!(h->config & CONFIG_ENABLE))
		return h->counter;
	return h->counter + scale(now - h->start, h->frequency, NS_PER_S);
}

static void set_line(struct hpet_timer *t, bool level)
{
	if (t->line >= 0)
		guest_intr_signal(&t->intr, level ? GIS_ON : GIS_OFF);
}

static bool is_legacy(const struct hpet *h, unsigned n)
{
	return n < 2 && (h->config & CONFIG_LEGACY);
}

/* The level of a level-triggered timer's line is its status bit. */
static void update_level(struct hpet *h, unsigned n)
{
	struct hpet_timer *t = &h->timers[n];

	if ((t->config & T_LEVEL) && !(t->config & T_MESSAGE))
		set_line(t, (h->status & 1u << n) && (t->config & T_ENABLE));
	else
		set_line(t, false);
}

static void interrupt(vdev_t *vdp, unsigned n)
{
	struct hpet *h = vdp->v_device;
	struct hpet_timer *t = &h->timers[n];

	if (t->config & T_LEVEL)
		h->status |= 1u << n;
	if (!(t->config & T_ENABLE))
		return;
	if ((t->config & T_MESSAGE) && !is_legacy(h, n)) {
		if ((t->message >> 32 & MSI_ADDRESS_MASK) == MSI_ADDRESS)
			guest_msi_signal(vdp, t->message >> 32, (uint32_t)t->message);
	} else if (t->config & T_LEVEL) {
		update_level(h, n);
	} else {
		set_line(t, true);
		set_line(t, false);
	}
}

static uint64_t mask_of(const struct hpet_timer *t)
{
	return t->config & T_32_BIT ? UINT32_MAX : UINT64_MAX;
}

/* With the lock held: the core's timer for a match `ticks` away, and at least `least` ns. */
static void arm_in(struct hpet *h, unsigned n, uint64_t now, uint64_t ticks, uint64_t least)
{
	struct hpet_timer *t = &h->timers[n];
	uint64_t limit = scale(UINT32_MAX, h->frequency, 1); /* 136 years */

	t->due = 0;
	if ((h->config & CONFIG_ENABLE) && ticks < limit) {
		uint64_t ns = scale(ticks, NS_PER_S, h->frequency) + 1;

		t->due = now + (ns > least ? ns : least);
	}
	guest_timer_notify(t->timer, NULL, t->due ? t->due - now : 0);
}

/* The next match may be now. */
static void arm(struct hpet *h, unsigned n, uint64_t now, uint64_t least)
{
	const struct hpet_timer *t = &h->timers[n];

	arm_in(h, n, now, (t->comparator - counter_at(h, now)) & mask_of(t), least);
}

/* One that has matched does so again when the counter comes round; 64 bits outlive everybody. */
static void arm_again(struct hpet *h, unsigned n, uint64_t now)
{
	struct hpet_timer *t = &h->timers[n];

	if (t->config & T_32_BIT)
		arm_in(h, n, now,
		       ((t->comparator - counter_at(h, now) - 1) & UINT32_MAX) + UINT64_C(1), 0);
	else
		t->due = 0;
}

static void arm_all(struct hpet *h, uint64_t now)
{
	for (unsigned n = 0; n < h->num_timers; n++)
		arm(h, n, now, 0);
}

/* The comparator of a periodic timer goes on to the first match after now. */
static void next_period(const struct hpet *h, struct hpet_timer *t, uint64_t now)
{
	uint64_t mask = mask_of(t), period = t->period & mask;
	uint64_t late = (counter_at(h, now) - t->comparator) & mask;

	if (period)
		t->comparator = (t->comparator + (late / period + 1) * period) & mask;
}

static void hpet_timer(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
		       struct guest_cpu *gcp)
{
	struct hpet *h = vdp->v_device;
	struct hpet_timer *t = data;
	unsigned n = (unsigned)(t - h->timers);

	(void)tdp, (void)gcp;
	pthread_mutex_lock(&vdp->v_mtx);
	uint64_t now = now_ns(h);

	/* The guest may have changed the timer while this call was on its way. */
	if (t->due && now >= t->due) {
		interrupt(vdp, n);
		if ((t->config & T_PERIODIC) && t->period) {
			next_period(h, t, now);
			arm(h, n, now, MIN_PERIOD_NS);
		} else {
			arm_again(h, n, now);
		}
	}
	pthread_mutex_unlock(&vdp->v_mtx);
}

static uint64_t timer_config(const struct hpet_timer *t)
{
	uint64_t value = t->config | T_CAP_PERIODIC | T_CAP_64_BIT | T_CAP_MESSAGE;

	if (t->line >= 0)
		value |= UINT64_C(1) << (T_LINES_SHIFT + t->line);
	return value;
}

static uint64_t read_reg(const struct hpet *h, unsigned reg)
{
	unsigned n = (reg - REG_TIMERS) / TIMER_LEN;

	switch (reg) {
	case REG_CAPABILITIES:
		return CAP_REVISION | (uint64_t)(h->num_timers - 1) << CAP_NUM_SHIFT | CAP_64_BIT |
		       (h->legacy_free ? 0 : CAP_LEGACY) | CAP_VENDOR |
		       FS_PER_S / h->frequency << CAP_PERIOD_SHIFT;
	case REG_CONFIG:
		return h->config;
	case REG_STATUS:
		return h->status;
	case REG_COUNTER:
		return counter_at(h, now_ns(h));
	default:
		break;
	}
	if (reg < REG_TIMERS || n >= h->num_timers)
		return 0;
	switch (reg % TIMER_LEN) {
	case TIMER_CONFIG:
		return timer_config(&h->timers[n]);
	case TIMER_COMPARATOR:
		return h->timers[n].comparator;
	case TIMER_MESSAGE:
		return h->timers[n].message;
	default:
		return 0;
	}
}

/* Timers 0 and 1 take their lines over, or give them back. */
static void set_legacy(struct hpet *h, bool on)
{
	for (unsigned n = 0; n < 2; n++)
		if (h->timers[n].line >= 0)
			qvmx_intr_own(&h->timers[n].intr, on);
}

static void write_config(struct hpet *h, uint64_t value)
{
	uint64_t now = now_ns(h);
	uint32_t old = h->config;
	uint64_t counter = counter_at(h, now);

	h->config = (uint32_t)value & (CONFIG_ENABLE | (h->legacy_free ? 0 : CONFIG_LEGACY));
	if ((h->config ^ old) & CONFIG_LEGACY)
		set_legacy(h, h->config & CONFIG_LEGACY);
	if ((h->config ^ old) & CONFIG_ENABLE) {
		h->counter = counter;
		h->start = now;
		arm_all(h, now);
	}
}

static void write_status(struct hpet *h, uint64_t value)
{
	h->status &= ~(uint32_t)value;
	for (unsigned n = 0; n < h->num_timers; n++)
		update_level(h, n);
}

/* The counter is written while it stands; running it takes the value all the same. */
static void write_counter(struct hpet *h, uint64_t value)
{
	uint64_t now = now_ns(h);

	h->counter = value;
	h->start = now;
	arm_all(h, now);
}

static void write_timer_config(struct hpet *h, unsigned n, uint64_t value)
{
	struct hpet_timer *t = &h->timers[n];
	uint32_t route = ((uint32_t)value & T_ROUTE) >> T_ROUTE_SHIFT;

	t->config = (uint32_t)value & T_WRITABLE;
	if (t->line >= 0 && route == (uint32_t)t->line)
		t->config |= route << T_ROUTE_SHIFT;
	if (t->config & T_32_BIT) {
		t->comparator &= UINT32_MAX;
		t->period &= UINT32_MAX;
	}
	update_level(h, n);
	arm(h, n, now_ns(h), 0);
}

/* What a register holds after a write of those bits of it. */
static uint64_t merge(uint64_t old, uint64_t value, uint64_t written)
{
	return (old & ~written) | (value & written);
}

/*
 * The value last written is the period of a periodic timer; the comparator itself is set only with
 * T_SET_VALUE, which goes off then.
 */
static void write_comparator(struct hpet *h, unsigned n, uint64_t value, uint64_t written)
{
	struct hpet_timer *t = &h->timers[n];

	if (!(t->config & T_PERIODIC) || (t->config & T_SET_VALUE))
		t->comparator = merge(t->comparator, value, written) & mask_of(t);
	if (t->config & T_PERIODIC)
		t->period = merge(t->period, value, written) & mask_of(t);
	t->config &= ~T_SET_VALUE;
	arm(h, n, now_ns(h), 0);
}

static void write_reg(struct hpet *h, unsigned reg, uint64_t value, uint64_t written)
{
	unsigned n = (reg - REG_TIMERS) / TIMER_LEN;

	if (reg >= REG_TIMERS && n < h->num_timers && reg % TIMER_LEN == TIMER_COMPARATOR) {
		write_comparator(h, n, value, written);
		return;
	}
	/* The other half stays, but bits that are cleared by a 1 get none. */
	if (reg != REG_STATUS)
		value = merge(read_reg(h, reg), value, written);
	switch (reg) {
	case REG_CONFIG:
		write_config(h, value);
		return;
	case REG_STATUS:
		write_status(h, value);
		return;
	case REG_COUNTER:
		write_counter(h, value);
		return;
	default:
		break;
	}
	if (reg < REG_TIMERS || n >= h->num_timers)
		return;
	switch (reg % TIMER_LEN) {
	case TIMER_CONFIG:
		write_timer_config(h, n, value);
		break;
	case TIMER_MESSAGE:
		h->timers[n].message = value;
		break;
	default:
		break;
	}
}

static vdev_ref_status_t hpet_vread(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	unsigned reg = (unsigned)vopnd->location, half = reg & 4;
	uint64_t value;

	(void)cookie;
	pthread_mutex_lock(&vdp->v_mtx);
	value = read_reg(vdp->v_device, reg & ~7u) >> 8 * half;
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, oopnd->length));
}

static vdev_ref_status_t hpet_vwrite(vdev_t *vdp, unsigned cookie,
				     const struct qvm_state_block *vopnd,
				     const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	unsigned reg = (unsigned)vopnd->location, half = reg & 4;
	struct hpet *h = vdp->v_device;
	uint64_t value = 0, written = UINT64_MAX;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, oopnd->length);

	(void)cookie;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (oopnd->length == 4) {
		value <<= 8 * half;
		written = UINT64_C(0xffffffff) << 8 * half;
	}
	write_reg(h, reg & ~7u, value, written);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

static int configured(vdev_t *vdp)
{
	struct hpet *h = vdp->v_device;

	for (unsigned n = 0; n < h->num_timers; n++) {
		struct hpet_timer *t = &h->timers[n];
		uint64_t resolution;

		t->comparator = UINT64_MAX;
		t->timer = guest_timer_create(NULL, vdp, t, &resolution);
		if (!t->timer)
			return (int)resolution;
	}
	return EOK;
}

static int assign(vdev_t *vdp)
{
	struct hpet *h = vdp->v_device;
	unsigned n = 0;

	for (unsigned i = 0; i < MAX_TIMERS; i++)
		h->timers[i].line = -1;
	for (; n < MAX_TIMERS && qvmx_intr_get(vdp, n, &h->timers[n].intr) == EOK; n++) {
		int line = qvmx_intr_gsi(&h->timers[n].intr);

		if (line < 0 || line >= (int)MAX_LINE)
			return qvmx_refuse(vdp,
					   "interrupt %u is none of lines 0 to %u of the ioapics",
					   n + 1, MAX_LINE - 1);
		h->timers[n].line = line;
	}
	h->num_timers = n < MIN_TIMERS ? MIN_TIMERS : n;
	return qvmx_acpi_hpet(vdp, (uint32_t)read_reg(h, REG_CAPABILITIES), MIN_TICKS);
}

enum { OPT_FREQUENCY, OPT_LEGACY_FREE, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_FREQUENCY] = { "frequency", QVMX_OPT_NUMBER, .min = MIN_FREQUENCY,
			    .max = MAX_FREQUENCY,
			    .help = "of its counter, in Hz; default 14318180" },
	[OPT_LEGACY_FREE] = { "legacy-free", QVMX_OPT_FLAG,
			      .help = "it cannot take the place of the 8254 and the clock" },
};

static int hpet_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct hpet *h = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_MEMORY,
			.location = DEFAULT_ADDRESS,
			.length = WINDOW,
		};
		h->frequency = DEFAULT_FREQUENCY;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_FREQUENCY:
		h->frequency = qvmx_option_value(&options[OPT_FREQUENCY], arg);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_LEGACY_FREE:
		h->legacy_free = true;
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		vdp->v_block.length = WINDOW;
		if (vdp->v_block.location % WINDOW || vdp->v_block.location > UINT32_MAX)
			return qvmx_refuse(vdp, "it lies at a multiple of 4 KiB below 4 GiB");
		return EOK;
	case VDEV_CTRL_ASSIGN:
		return assign(vdp);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return configured(vdp);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = hpet_control,
	.vread = hpet_vread,
	.vwrite = hpet_vwrite,
	.timer = hpet_timer,
	.factory_flags = VFF_VDEV_MEM | VFF_MUTEX,
	.acc_sizes = 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct hpet),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.flags = QVMX_VDEV_LINE_TAKES,
	.summary = "high precision event timers",
	.num_options = NUM_OPTIONS,
	.options = options,
	.max_intrs = MAX_TIMERS,
};

static void __attribute__((constructor)) hpet_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
