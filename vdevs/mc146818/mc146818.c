/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev mc146818: the real time clock and CMOS memory of a PC, ports 0x70 and 0x71.
 *
 * Guest time is the host's UTC plus an offset that changes when the guest sets the clock; nothing
 * ticks here. The flags of register C are worked out when somebody looks: what has happened between
 * `seen` and now. The timer runs only for enabled interrupts whose flag is not set yet, so a guest
 * that leaves an interrupt unanswered costs nothing.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <qvm/guest.h>
#include <qvm/x/acpi.h>
#include <qvm/x/conf.h>

#define DEFAULT_PORT 0x70
#define NUM_PORTS    2
#define CMOS_SIZE    128u

enum {
	REG_SECONDS = 0,
	REG_SECONDS_ALARM = 1,
	REG_MINUTES = 2,
	REG_MINUTES_ALARM = 3,
	REG_HOURS = 4,
	REG_HOURS_ALARM = 5,
	REG_WEEKDAY = 6,
	REG_DAY = 7,
	REG_MONTH = 8,
	REG_YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13,
	REG_CENTURY = 0x32,
};

#define A_UIP	    0x80u
#define A_DIVIDER   0x70u
#define A_DIV_RESET 0x60u /* and 0x70 */
#define A_RATE	    0x0fu
#define A_DEFAULT   0x26u /* 32768 Hz, 1024 Hz periodic */
#define B_SET	    0x80u
#define B_24_HOURS  0x02u
#define B_BINARY    0x04u
#define C_IRQ	    0x80u
#define FLAG_PERIOD 0x40u /* in C; in B: that interrupt is enabled */
#define FLAG_ALARM  0x20u
#define FLAG_UPDATE 0x10u
#define FLAGS	    (FLAG_PERIOD | FLAG_ALARM | FLAG_UPDATE)
#define D_VALID	    0x80u
#define HOUR_PM	    0x80u
#define ALARM_ANY   0xc0u /* this and above: don't care */

#define NS_PER_SEC  1000000000
#define LAST_SECOND 8000000000
#define NEVER	    INT64_MAX
#define UIP_LEAD_NS 244000 /* UIP rises so long before an update */

struct rtc {
	uint8_t cmos[CMOS_SIZE];
	uint8_t index;
	int64_t offset_ns;	   /* guest time less host time */
	int64_t seen;		   /* guest time up to which the flags are right */
	struct guest_timer *timer; /* NULL: no interrupt */
};

static int64_t guest_now(const struct rtc *rtc)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * NS_PER_SEC + now.tv_nsec + rtc->offset_ns;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static uint8_t encode(const struct rtc *rtc, int value)
{
	if (rtc->cmos[REG_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 0x0f);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->cmos[REG_B] & B_24_HOURS)
		return encode(rtc, hour);
	return (uint8_t)(encode(rtc, hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? HOUR_PM : 0));
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_24_HOURS)
		return decode(rtc, value);
	return decode(rtc, value & (uint8_t)~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

/* Is the register one that the clock counts? */
static bool is_time(unsigned reg)
{
	return reg == REG_CENTURY || reg == REG_SECONDS || reg == REG_MINUTES || reg == REG_HOURS ||
	       (reg >= REG_WEEKDAY && reg <= REG_YEAR);
}

static bool is_alarm(unsigned reg)
{
	return reg == REG_SECONDS_ALARM || reg == REG_MINUTES_ALARM || reg == REG_HOURS_ALARM;
}

/* The time `now` into the registers. */
static void latch_time(struct rtc *rtc, int64_t now)
{
	time_t sec = (time_t)floor_div(now, NS_PER_SEC);
	struct tm tm;

	if (!gmtime_r(&sec, &tm))
		return;
	rtc->cmos[REG_SECONDS] = encode(rtc, tm.tm_sec);
	rtc->cmos[REG_MINUTES] = encode(rtc, tm.tm_min);
	rtc->cmos[REG_HOURS] = encode_hour(rtc, tm.tm_hour);
	rtc->cmos[REG_WEEKDAY] = encode(rtc, tm.tm_wday + 1);
	rtc->cmos[REG_DAY] = encode(rtc, tm.tm_mday);
	rtc->cmos[REG_MONTH] = encode(rtc, tm.tm_mon + 1);
	rtc->cmos[REG_YEAR] = encode(rtc, tm.tm_year % 100);
	rtc->cmos[REG_CENTURY] = encode(rtc, tm.tm_year / 100 + 19);
}

/* The guest has set the registers: go on from there, from the host clock's place within the second.
 */
static void apply_time(struct rtc *rtc)
{
	int64_t now = guest_now(rtc);
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->cmos[REG_SECONDS]),
		.tm_min = decode(rtc, rtc->cmos[REG_MINUTES]),
		.tm_hour = decode_hour(rtc, rtc->cmos[REG_HOURS]),
		.tm_mday = decode(rtc, rtc->cmos[REG_DAY]),
		.tm_mon = decode(rtc, rtc->cmos[REG_MONTH]) - 1,
		.tm_year = (decode(rtc, rtc->cmos[REG_CENTURY]) - 19) * 100 +
			   decode(rtc, rtc->cmos[REG_YEAR]),
	};

	int64_t sec = timegm(&tm);

	if (sec >= 0 && sec <= LAST_SECOND)
		rtc->offset_ns += (sec - floor_div(now, NS_PER_SEC)) * NS_PER_SEC;
	rtc->seen = guest_now(rtc);
}

static bool is_stopped(const struct rtc *rtc)
{
	return (rtc->cmos[REG_B] & B_SET) || (rtc->cmos[REG_A] & A_DIV_RESET) == A_DIV_RESET;
}

/* The periodic interrupt's period in ns, 0: none. */
static int64_t period(const struct rtc *rtc)
{
	unsigned rate = rtc->cmos[REG_A] & A_RATE;

	if (rate == 0 || (rtc->cmos[REG_A] & A_DIV_RESET) == A_DIV_RESET)
		return 0;
	if (rate <= 2)
		rate += 7;
	return ((int64_t)NS_PER_SEC << (rate - 1)) / 32768;
}

static bool alarm_matches(const struct rtc *rtc, unsigned reg, int value)
{
	uint8_t alarm = rtc->cmos[reg];

	if (alarm >= ALARM_ANY)
		return true;
	return value == (reg == REG_HOURS_ALARM ? decode_hour(rtc, alarm) : decode(rtc, alarm));
}

/* The first second after `after` at which the alarm goes off, or NEVER. */
static int64_t next_alarm(const struct rtc *rtc, int64_t after)
{
	int64_t sec = after + 1;

	while (sec <= after + 86400) {
		int of_day = (int)(sec - floor_div(sec, 86400) * 86400);

		if (!alarm_matches(rtc, REG_HOURS_ALARM, of_day / 3600))
			sec += 3600 - of_day % 3600;
		else if (!alarm_matches(rtc, REG_MINUTES_ALARM, of_day / 60 % 60))
			sec += 60 - of_day % 60;
		else if (!alarm_matches(rtc, REG_SECONDS_ALARM, of_day % 60))
			sec++;
		else
			return sec;
	}
	return NEVER;
}

/* Set the flags of what happened since `seen`. */
static void advance(struct rtc *rtc)
{
	int64_t now = guest_now(rtc), step = period(rtc);
	int64_t sec = floor_div(now, NS_PER_SEC), seen_sec = floor_div(rtc->seen, NS_PER_SEC);

	if (!is_stopped(rtc) && sec > seen_sec) {
		rtc->cmos[REG_C] |= FLAG_UPDATE;
		if (next_alarm(rtc, seen_sec) <= sec)
			rtc->cmos[REG_C] |= FLAG_ALARM;
	}
	if (step > 0 && floor_div(now, step) > floor_div(rtc->seen, step))
		rtc->cmos[REG_C] |= FLAG_PERIOD;
	rtc->seen = now;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Flags and enables changed: set the line, and the timer for what is to come. */
static void update_interrupt(vdev_t *vdp)
{
	struct rtc *rtc = vdp->v_device;
	uint8_t enabled = rtc->cmos[REG_B] & FLAGS, set = rtc->cmos[REG_C];
	uint8_t waiting = enabled & (uint8_t)~set;
	int64_t at = NEVER, sec = floor_div(rtc->seen, NS_PER_SEC), step = period(rtc), alarm;

	if (!rtc->timer)
		return;
	guest_intr_signal(&vdp->v_intr, enabled & set ? GIS_ON : GIS_OFF);
	if ((waiting & FLAG_UPDATE) && !is_stopped(rtc))
		at = (sec + 1) * NS_PER_SEC;
	if ((waiting & FLAG_ALARM) && !is_stopped(rtc)) {
		alarm = next_alarm(rtc, sec);
		if (alarm != NEVER)
			at = earlier(at, alarm * NS_PER_SEC);
	}
	if ((waiting & FLAG_PERIOD) && step > 0)
		at = earlier(at, (floor_div(rtc->seen, step) + 1) * step);
	guest_timer_notify(rtc->timer, NULL, at == NEVER ? 0 : (uint64_t)(at - rtc->seen));
}

static void rtc_timer(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
		      struct guest_cpu *gcp)
{
	(void)data;
	(void)tdp;
	(void)gcp;
	pthread_mutex_lock(&vdp->v_mtx);
	advance(vdp->v_device);
	update_interrupt(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
}

static uint8_t read_reg(vdev_t *vdp, unsigned reg)
{
	struct rtc *rtc = vdp->v_device;
	uint8_t value;
	int64_t now;

	if (is_time(reg)) {
		if (!is_stopped(rtc))
			latch_time(rtc, guest_now(rtc));
		return rtc->cmos[reg];
	}
	if (reg == REG_A && !is_stopped(rtc)) {
		now = guest_now(rtc);
		now -= floor_div(now, NS_PER_SEC) * NS_PER_SEC;
		return (uint8_t)(rtc->cmos[REG_A] | (now >= NS_PER_SEC - UIP_LEAD_NS ? A_UIP : 0));
	}
	if (reg != REG_C)
		return rtc->cmos[reg];
	advance(rtc);
	value = rtc->cmos[REG_C];
	if (value & rtc->cmos[REG_B])
		value |= C_IRQ;
	rtc->cmos[REG_C] = 0;
	update_interrupt(vdp);
	return value;
}

/* A and B: either may stop the clock. */
static void write_control(struct rtc *rtc, unsigned reg, uint8_t value)
{
	bool stopped = is_stopped(rtc);

	if (reg == REG_A)
		value &= (uint8_t)~A_UIP;
	else if (value & B_SET)
		value &= (uint8_t)~FLAG_UPDATE;
	rtc->cmos[reg] = value;
	if (is_stopped(rtc) && !stopped)
		latch_time(rtc, guest_now(rtc));
	if (stopped && !is_stopped(rtc))
		apply_time(rtc);
}

static void write_reg(vdev_t *vdp, unsigned reg, uint8_t value)
{
	struct rtc *rtc = vdp->v_device;

	if (is_time(reg)) {
		bool stopped = is_stopped(rtc);

		if (!stopped)
			latch_time(rtc, guest_now(rtc));
		rtc->cmos[reg] = value;
		if (!stopped)
			apply_time(rtc);
	} else if (reg == REG_A || reg == REG_B || is_alarm(reg)) {
		advance(rtc); /* what happened so far did so under the old setting */
		if (is_alarm(reg))
			rtc->cmos[reg] = value;
		else
			write_control(rtc, reg, value);
	} else if (reg != REG_C && reg != REG_D) {
		rtc->cmos[reg] = value;
		return;
	}
	update_interrupt(vdp);
}

static vdev_ref_status_t rtc_vread(vdev_t *vdp, unsigned cookie,
				   const struct qvm_state_block *vopnd,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct rtc *rtc = vdp->v_device;
	uint8_t value = 0xff;

	(void)cookie;
	if (vopnd->location != 0) {
		pthread_mutex_lock(&vdp->v_mtx);
		value = read_reg(vdp, rtc->index);
		pthread_mutex_unlock(&vdp->v_mtx);
	}
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

static vdev_ref_status_t rtc_vwrite(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct rtc *rtc = vdp->v_device;
	uint8_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	(void)cookie;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (vopnd->location == 0)
		rtc->index = value % CMOS_SIZE; /* bit 7 masks the NMI, which there is none of */
	else
		write_reg(vdp, rtc->index, value);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

/* `reg OFFSET,VALUE` */
static int preset(vdev_t *vdp, const char *text)
{
	struct rtc *rtc = vdp->v_device;
	unsigned long reg, value;
	char *end;

	reg = strtoul(text, &end, 0);
	if (end == text || *end != ',' || reg >= CMOS_SIZE)
		return qvmx_refuse(vdp,
				   "'reg %s' is not 'reg OFFSET,VALUE' with an offset below %u",
				   text, CMOS_SIZE);
	text = end + 1;
	value = strtoul(text, &end, 0);
	if (end == text || *end != '\0' || value > 0xff)
		return qvmx_refuse(vdp, "register %#lx holds one byte, not '%s'", reg, text);
	if (is_time((unsigned)reg) || reg == REG_C || reg == REG_D)
		return qvmx_refuse(vdp, "register %#lx belongs to the clock and cannot be preset",
				   reg);
	rtc->cmos[reg] = (uint8_t)value;
	return EOK;
}

static int configured(vdev_t *vdp)
{
	struct rtc *rtc = vdp->v_device;
	uint64_t resolution;

	rtc->cmos[REG_A] &= (uint8_t)~A_UIP;
	rtc->cmos[REG_B] &= (uint8_t)~B_SET;
	rtc->seen = guest_now(rtc);
	latch_time(rtc, rtc->seen); /* A may say that it stands */
	if (!vdp->v_intr.pic)
		return EOK;
	rtc->timer = guest_timer_create(NULL, vdp, NULL, &resolution);
	return rtc->timer ? EOK : (int)resolution;
}

static void options_start(vdev_t *vdp)
{
	struct rtc *rtc = vdp->v_device;

	vdp->v_block = (struct qvm_state_block){
		.qst_type = QST_X86_IO,
		.location = DEFAULT_PORT,
		.length = NUM_PORTS,
	};
	rtc->cmos[REG_A] = A_DEFAULT;
	rtc->cmos[REG_B] = B_24_HOURS;
	rtc->cmos[REG_D] = D_VALID;
}

enum { OPT_REG, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_REG] = { "reg", QVMX_OPT_STRING, QVMX_OPTF_REPEAT,
		      .help = "OFFSET,VALUE: what a CMOS register holds at the start" },
};

static int rtc_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		options_start(vdp);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_REG:
		return preset(vdp, arg);
	case VDEV_CTRL_OPTIONS_END:
		vdp->v_block.length = NUM_PORTS;
		return EOK;
	case VDEV_CTRL_GUEST_CONFIGURED:
		return configured(vdp);
	case VDEV_CTRL_GEN_ACPI:
		return qvmx_acpi_device(vdp, "PNP0B00", NULL, 0);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = rtc_control,
	.vread = rtc_vread,
	.vwrite = rtc_vwrite,
	.timer = rtc_timer,
	.factory_flags = VFF_VDEV_X86_IO | VFF_MUTEX,
	.acc_sizes = 1u << 1,
	.extra_space = sizeof(struct rtc),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.flags = QVMX_VDEV_ACCEL | QVMX_VDEV_LINE_YIELDS,
	.summary = "real time clock and CMOS memory",
	.num_options = NUM_OPTIONS,
	.options = options,
};

static void __attribute__((constructor)) rtc_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
