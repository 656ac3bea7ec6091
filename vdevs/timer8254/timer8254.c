/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev timer8254: the interval timer at ports 0x40 to 0x43 and its gate and speaker bits at port
 * 0x61. With KVM's model the engine answers, and its interrupt is line 0; else this file is the
 * chip.
 *
 * Nothing ticks: what a counter holds is worked out from the guest's time when somebody looks. Only
 * the rising edges of counter 0's output, which are the interrupts, have a timer. Edges that come
 * faster than MIN_EDGE_NS, or that nobody was there to give in time, are left out.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <qvm/guest.h>
#include <qvm/x/conf.h>
#include <qvm/x/model.h>
#include <qvm/x/region.h>

#define DEFAULT_PORT 0x40
#define NUM_PORTS    4
#define GATE_PORT    0x61
#define COOKIE_GATE  1

#define FREQUENCY    1193182u
#define NS_PER_S     1000000000u
#define MIN_EDGE_NS  100000u
#define NUM_COUNTERS 3u
#define SPEAKER	     2u /* the counter whose gate and output are at GATE_PORT */

/* The control word. */
#define CW_COUNTER(v) ((v) >> 6)
#define CW_ACCESS(v)  ((v) >> 4 & 3u)
#define CW_MODE(v)    ((v) >> 1 & 7u)
#define CW_BCD	      0x01u
#define CW_READ_BACK  3u
#define RB_NO_COUNT   0x20u
#define RB_NO_STATUS  0x10u
#define STATUS_OUT    0x80u
#define STATUS_NULL   0x40u /* the new count does not count yet */

/* The speaker port. */
#define GATE_ON	      0x01u
#define GATE_WRITABLE 0x03u
#define GATE_REFRESH  0x10u /* toggles all the time */
#define GATE_OUT      0x20u
#define REFRESH_NS    15085u

enum access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };

enum mode {
	MODE_TERMINAL_COUNT,
	MODE_ONE_SHOT,
	MODE_RATE,
	MODE_SQUARE,
	MODE_SOFTWARE_STROBE,
	MODE_HARDWARE_STROBE,
};

struct counter {
	enum mode mode;
	enum access access;
	bool bcd, gate;
	bool counting;	  /* since `start`; else `elapsed` stands */
	bool loaded;	  /* a count was written since the control word */
	uint64_t start;	  /* guest ns */
	uint64_t elapsed; /* ticks when it was stopped by its gate */
	uint32_t count;	  /* 1 to 0x10000, in BCD to 10000 */
	uint32_t next;	  /* the count from the next start on; 0: the same */
	uint8_t low;	  /* of a count whose high byte is to come */
	bool write_high, read_high, latched, status_latched;
	uint16_t latch;
	uint8_t status;
};

struct pit {
	struct counter counters[NUM_COUNTERS];
	uint8_t port; /* writable bits of the speaker port */
	struct guest_timer *timer;
	uint64_t due; /* guest ns of counter 0's next edge; 0: none */
};

static uint64_t now_ns(const struct pit *pit)
{
	struct guest_timer_data now;

	guest_timer_state(pit->timer, &now);
	return now.guest_current;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t ns_to_ticks(uint64_t ns)
{
	return ns / NS_PER_S * FREQUENCY + ns % NS_PER_S * FREQUENCY / NS_PER_S;
}

/* The first nanosecond at which so many ticks have gone by. */
static uint64_t ticks_to_ns(uint64_t ticks)
{
	return ticks / FREQUENCY * NS_PER_S +
	       (ticks % FREQUENCY * NS_PER_S + FREQUENCY - 1) / FREQUENCY;
}

static bool is_periodic(const struct counter *c)
{
	return c->mode == MODE_RATE || c->mode == MODE_SQUARE;
}

/* Counting starts with a rising gate, not with the count. */
static bool is_triggered(const struct counter *c)
{
	return c->mode == MODE_ONE_SHOT || c->mode == MODE_HARDWARE_STROBE;
}

static uint64_t ticks_of(const struct counter *c, uint64_t now)
{
	return c->counting ? ns_to_ticks(now - c->start) : c->elapsed;
}

static uint16_t value_of(const struct counter *c, uint64_t now)
{
	const uint32_t modulus = c->bcd ? 10000 : 0x10000;
	uint64_t ticks = ticks_of(c, now);
	uint32_t value;

	if (c->mode == MODE_RATE)
		value = c->count - (uint32_t)(ticks % c->count);
	else if (c->mode == MODE_SQUARE) /* counts by two, twice a period */
		value = c->count - (uint32_t)(2 * ticks % c->count);
	else
		value = (uint32_t)((c->count + modulus - ticks % modulus) % modulus);
	value %= modulus;
	if (c->bcd)
		value = value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
			value % 10;
	return (uint16_t)value;
}

static bool output_of(const struct counter *c, uint64_t now)
{
	uint64_t ticks = ticks_of(c, now);

	if (!c->loaded || (!c->counting && !c->elapsed))
		return c->mode != MODE_TERMINAL_COUNT;
	switch (c->mode) {
	case MODE_TERMINAL_COUNT:
		return ticks >= c->count;
	case MODE_ONE_SHOT:
		return ticks >= c->count;
	case MODE_RATE:
		return ticks % c->count != c->count - 1;
	case MODE_SQUARE:
		return !c->gate || ticks % c->count < (c->count + 1) / 2;
	default:
		return ticks != c->count;
	}
}

/*
 * The tick of the first rising edge of the output after `after` ticks, or 0: there is none. The
 * beginning itself is none: the output was high before it.
 */
static uint64_t next_edge(const struct counter *c, uint64_t after)
{
	uint64_t once = c->mode == MODE_SOFTWARE_STROBE || c->mode == MODE_HARDWARE_STROBE
				? c->count + UINT64_C(1)
				: c->count;

	if (!c->counting)
		return 0;
	if (is_periodic(c))
		return (after / c->count + 1) * c->count;
	return after < once ? once : 0;
}

/* With the lock held: the timer for counter 0's first edge after `after`, which is `now` or later.
 */
static void arm(struct pit *pit, uint64_t now, uint64_t after)
{
	const struct counter *c = &pit->counters[0];
	uint64_t edge = c->counting ? next_edge(c, ns_to_ticks(after - c->start)) : 0;

	pit->due = edge ? c->start + ticks_to_ns(edge) : 0;
	guest_timer_notify(pit->timer, NULL, edge ? later(pit->due, now + 1) - now : 0);
}

static void set_line(vdev_t *vdp, bool level)
{
	guest_intr_signal(&vdp->v_intr, level ? GIS_ON : GIS_OFF);
}

static void pit_timer(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
		      struct guest_cpu *gcp)
{
	struct pit *pit = vdp->v_device;

	(void)data, (void)tdp, (void)gcp;
	pthread_mutex_lock(&vdp->v_mtx);
	uint64_t now = now_ns(pit);

	/* The guest may have changed the counter while this call was on its way. */
	if (pit->due && now >= pit->due) {
		set_line(vdp, false);
		set_line(vdp, true);
		arm(pit, now, now + (is_periodic(&pit->counters[0]) ? MIN_EDGE_NS : 0));
	}
	pthread_mutex_unlock(&vdp->v_mtx);
}

static void start(struct counter *c, uint64_t now)
{
	c->start = now;
	c->elapsed = 0;
	c->counting = true;
	if (c->next)
		c->count = c->next;
	c->next = 0;
}

static void load(vdev_t *vdp, unsigned n, uint32_t value)
{
	struct pit *pit = vdp->v_device;
	struct counter *c = &pit->counters[n];
	uint64_t now = now_ns(pit);

	if (c->bcd) /* digits above 9 count as what they are worth */
		value = (value >> 12) * 1000 + (value >> 8 & 15u) * 100 + (value >> 4 & 15u) * 10 +
			(value & 15u);
	if (!value)
		value = c->bcd ? 10000 : 0x10000;
	if (is_periodic(c) && value == 1)
		value = 2; /* the chip does not define it */
	c->next = value;
	c->loaded = true;
	/* A running period ends as it began; here the new one begins at once. */
	if (!is_triggered(c)) {
		start(c, now);
		c->counting = c->gate;
	}
	if (n == 0) {
		set_line(vdp, output_of(c, now));
		arm(pit, now, now);
	}
}

static void write_counter(vdev_t *vdp, unsigned n, uint8_t value)
{
	struct counter *c = &((struct pit *)vdp->v_device)->counters[n];

	switch (c->access) {
	case ACCESS_LOW:
		load(vdp, n, value);
		break;
	case ACCESS_HIGH:
		load(vdp, n, (uint32_t)value << 8);
		break;
	default:
		if (c->write_high)
			load(vdp, n, (uint32_t)value << 8 | c->low);
		else
			c->low = value;
		c->write_high = !c->write_high;
		break;
	}
}

static void latch_count(struct counter *c, uint64_t now)
{
	if (c->latched)
		return;
	c->latch = value_of(c, now);
	c->latched = true;
}

static void latch_status(struct counter *c, uint64_t now)
{
	if (c->status_latched)
		return;
	c->status = (uint8_t)((output_of(c, now) ? STATUS_OUT : 0) |
			      (c->loaded && !c->next ? 0 : STATUS_NULL) | (unsigned)c->access << 4 |
			      (unsigned)c->mode << 1 | c->bcd);
	c->status_latched = true;
}

static void write_control(vdev_t *vdp, uint8_t value)
{
	struct pit *pit = vdp->v_device;
	unsigned n = CW_COUNTER(value), mode = CW_MODE(value);
	uint64_t now = now_ns(pit);

	if (n == CW_READ_BACK) {
		for (unsigned i = 0; i < NUM_COUNTERS; i++) {
			if (!(value & 2u << i))
				continue;
			if (!(value & RB_NO_COUNT))
				latch_count(&pit->counters[i], now);
			if (!(value & RB_NO_STATUS))
				latch_status(&pit->counters[i], now);
		}
		return;
	}
	struct counter *c = &pit->counters[n];

	if (CW_ACCESS(value) == ACCESS_LATCH) {
		latch_count(c, now);
		return;
	}
	*c = (struct counter){
		.mode = (enum mode)(mode > MODE_HARDWARE_STROBE ? mode - 4 : mode),
		.access = (enum access)CW_ACCESS(value),
		.bcd = value & CW_BCD,
		.gate = c->gate,
		.count = c->count,
	};
	if (n == 0) {
		set_line(vdp, output_of(c, now));
		arm(pit, now, now);
	}
}

static uint8_t read_counter(struct pit *pit, unsigned n)
{
	struct counter *c = &pit->counters[n];

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	uint16_t value = c->latched ? c->latch : value_of(c, now_ns(pit));
	bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high);

	if (c->access == ACCESS_BOTH)
		c->read_high = !c->read_high;
	if (c->access != ACCESS_BOTH || high)
		c->latched = false;
	return (uint8_t)(high ? value >> 8 : value);
}

/* A gate stops the count; a rising one goes on with it, begins anew, or triggers. */
static void set_gate(struct counter *c, bool on, uint64_t now)
{
	if (on == c->gate)
		return;
	if (!on && !is_triggered(c) && c->counting) {
		c->elapsed = ticks_of(c, now);
		c->counting = false;
	}
	c->gate = on;
	if (!on || !c->loaded)
		return;
	if (is_triggered(c) || is_periodic(c)) {
		start(c, now);
	} else if (!c->counting) {
		c->start = now - ticks_to_ns(c->elapsed);
		c->counting = true;
	}
}

static uint8_t read_gate(const struct pit *pit)
{
	uint64_t now = now_ns(pit);

	return (uint8_t)(pit->port | (now / REFRESH_NS % 2 ? GATE_REFRESH : 0) |
			 (output_of(&pit->counters[SPEAKER], now) ? GATE_OUT : 0));
}

static vdev_ref_status_t pit_vread(vdev_t *vdp, unsigned cookie,
				   const struct qvm_state_block *vopnd,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct pit *pit = vdp->v_device;
	uint8_t value = 0xff; /* of the control word */

	pthread_mutex_lock(&vdp->v_mtx);
	if (cookie == COOKIE_GATE)
		value = read_gate(pit);
	else if (vopnd->location < NUM_COUNTERS)
		value = read_counter(pit, (unsigned)vopnd->location);
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

static vdev_ref_status_t pit_vwrite(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct pit *pit = vdp->v_device;
	uint8_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (cookie == COOKIE_GATE) {
		pit->port = value & GATE_WRITABLE;
		set_gate(&pit->counters[SPEAKER], value & GATE_ON, now_ns(pit));
	} else if (vopnd->location < NUM_COUNTERS) {
		write_counter(vdp, (unsigned)vopnd->location, value);
	} else {
		write_control(vdp, value);
	}
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

static int options_end(vdev_t *vdp)
{
	const struct qvm_state_block gate = { .qst_type = QST_X86_IO,
					      .location = GATE_PORT,
					      .length = 1 };

	vdp->v_block.length = NUM_PORTS;
	return qvmx_region_add(vdp, &gate, COOKIE_GATE);
}

static int configured(vdev_t *vdp)
{
	struct pit *pit = vdp->v_device;
	uint64_t resolution;

	if (qvmx_model_is_used(vdp))
		return EOK;
	for (unsigned i = 0; i < NUM_COUNTERS; i++)
		pit->counters[i] = (struct counter){ .mode = MODE_RATE,
						     .access = ACCESS_BOTH,
						     .gate = i != SPEAKER,
						     .count = 0x10000 };
	pit->timer = guest_timer_create(NULL, vdp, NULL, &resolution);
	return pit->timer ? EOK : (int)resolution;
}

static int pit_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	(void)arg;
	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_X86_IO,
			.location = DEFAULT_PORT,
			.length = NUM_PORTS,
		};
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_ASSIGN:
		return qvmx_model_use(vdp, QVMX_CHIP_8254);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return configured(vdp);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = pit_control,
	.vread = pit_vread,
	.vwrite = pit_vwrite,
	.timer = pit_timer,
	.factory_flags = VFF_VDEV_X86_IO | VFF_MUTEX,
	.acc_sizes = 1u << 1,
	.extra_space = sizeof(struct pit),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.flags = QVMX_VDEV_ACCEL | QVMX_VDEV_LINE_YIELDS,
	.summary = "8254 interval timer",
};

static void __attribute__((constructor)) timer8254_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
