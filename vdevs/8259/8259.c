/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev 8259: one of the two legacy interrupt controllers. It is there because guests look for it;
 * no vdev may use it as its interrupt controller (that is what ioapic is for). With KVM's model the
 * engine answers; else this file is the chip. Its inputs are the first lines of the VM's first
 * ioapic; the one at 0x20 interrupts the boot processor, the one at 0xa0 is on line 2 of that.
 *
 * Lock order: the second chip's lock, then the first one's, since an output is set with the lock
 * held.
 */
#include <stdbool.h>
#include <qvm/guest.h>
#include <qvm/x/conf.h>
#include <qvm/x/model.h>
#include <qvm/x/pic.h>
#include <qvm/x/region.h>

#define NUM_PORTS      2
#define PORT_FIRST     0x20u
#define PORT_SECOND    0xa0u
#define PORT_TRIGGER   0x4d0u /* of the first; the second's is next to it */
#define COOKIE_TRIGGER 1
#define NUM_LINES      8u
#define LINE_CASCADE   2u
#define LINE_SPURIOUS  7u

/* The inputs that may be level triggered: not timer, keyboard, cascade, clock, coprocessor. */
#define TRIGGER_FIRST  0xf8u
#define TRIGGER_SECOND 0xdeu

#define ICW1	       0x10u
#define ICW1_ICW4      0x01u
#define ICW1_SINGLE    0x02u
#define ICW4_AUTO_EOI  0x02u
#define ICW4_NESTED    0x10u /* special fully nested */
#define OCW3	       0x08u
#define OCW3_READ      0x02u
#define OCW3_READ_ISR  0x01u
#define OCW3_POLL      0x04u
#define OCW3_SET_MASK  0x40u
#define OCW3_MASK      0x20u
#define OCW2_ROTATE    0x80u
#define OCW2_SPECIFIC  0x40u
#define OCW2_EOI       0x20u
#define POLL_PENDING   0x80u

enum init_step { INIT_NONE, INIT_VECTOR, INIT_CASCADE, INIT_MODE };

struct pic {
	bool second;
	enum init_step step;
	bool wants_icw4, single;
	uint8_t lines;	 /* inputs now */
	uint8_t irr;	 /* requests */
	uint8_t isr;	 /* in service */
	uint8_t imr;	 /* masked */
	uint8_t trigger; /* 1: level */
	uint8_t base;	 /* vector of line 0 */
	uint8_t highest; /* line that has the highest priority */
	bool auto_eoi, rotate_auto, nested, special_mask, read_isr, poll, output;
};

/* The line of the highest priority in a set, or NUM_LINES: it is empty; as a distance from the
 * highest. */
static unsigned rank(const struct pic *p, uint8_t set)
{
	unsigned n = 0;

	while (n < NUM_LINES && !(set & 1u << (p->highest + n) % NUM_LINES))
		n++;
	return n;
}

static unsigned line_of_rank(const struct pic *p, unsigned n)
{
	return (p->highest + n) % NUM_LINES;
}

/* The rank of the request that is to be served now, or NUM_LINES. */
static unsigned pending(const struct pic *p)
{
	uint8_t blocking = p->isr;
	unsigned n = rank(p, p->irr & (uint8_t)~p->imr);

	if (p->special_mask)
		blocking &= (uint8_t)~p->imr;
	if (p->nested && !p->second)
		blocking &= (uint8_t) ~(1u << LINE_CASCADE);
	return n < rank(p, blocking) ? n : NUM_LINES;
}

static void update(vdev_t *vdp)
{
	struct pic *p = vdp->v_device;
	bool output = p->step == INIT_NONE && pending(p) < NUM_LINES;

	if (output == p->output)
		return;
	p->output = output;
	qvmx_extint_output(vdp, output);
}

static void pic_line(vdev_t *vdp, unsigned line, int level)
{
	struct pic *p = vdp->v_device;
	uint8_t bit = (uint8_t)(1u << line);

	pthread_mutex_lock(&vdp->v_mtx);
	if (level && ((p->trigger & bit) || !(p->lines & bit)))
		p->irr |= bit;
	if (!level && (p->trigger & bit))
		p->irr &= (uint8_t)~bit;
	p->lines = level ? p->lines | bit : p->lines & (uint8_t)~bit;
	update(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
}

/* With the lock held: the processor takes what is pending. Returns the line; nothing: the last. */
static unsigned take(vdev_t *vdp)
{
	struct pic *p = vdp->v_device;
	unsigned n = pending(p), line = n < NUM_LINES ? line_of_rank(p, n) : LINE_SPURIOUS;
	uint8_t bit = (uint8_t)(1u << line);

	if (n < NUM_LINES) {
		if (!(p->trigger & bit))
			p->irr &= (uint8_t)~bit;
		if (!p->auto_eoi)
			p->isr |= bit;
		else if (p->rotate_auto)
			p->highest = (uint8_t)((line + 1) % NUM_LINES);
	}
	/* The output falls with every interrupt that is taken: the next one is an edge again. */
	if (p->output) {
		p->output = false;
		qvmx_extint_output(vdp, 0);
	}
	update(vdp);
	return line;
}

static int pic_acknowledge(vdev_t *vdp)
{
	struct pic *p = vdp->v_device;

	pthread_mutex_lock(&vdp->v_mtx);
	unsigned line = take(vdp);
	int vector = !p->second && !p->single && line == LINE_CASCADE ? QVMX_EXTINT_CASCADE
								      : (int)(p->base + line);

	pthread_mutex_unlock(&vdp->v_mtx);
	return vector;
}

static const struct qvmx_extint_ops extint_ops = {
	.line = pic_line,
	.acknowledge = pic_acknowledge,
};

static void write_icw1(struct pic *p, uint8_t value)
{
	*p = (struct pic){
		.second = p->second,
		.output = p->output,
		.lines = p->lines,
		.trigger = p->trigger,
		.irr = p->lines & p->trigger, /* edges count anew */
		.base = p->base,
		.step = INIT_VECTOR,
		.wants_icw4 = value & ICW1_ICW4,
		.single = value & ICW1_SINGLE,
	};
}

static void write_ocw2(struct pic *p, uint8_t value)
{
	uint8_t ends = p->special_mask ? p->isr & (uint8_t)~p->imr : p->isr;
	unsigned n = rank(p, ends), line = value % NUM_LINES;

	if (!(value & OCW2_SPECIFIC) && (value & OCW2_EOI)) {
		if (n == NUM_LINES)
			return;
		line = line_of_rank(p, n);
	}
	if (value & OCW2_EOI)
		p->isr &= (uint8_t) ~(1u << line);
	if (!(value & (OCW2_EOI | OCW2_SPECIFIC)))
		p->rotate_auto = value & OCW2_ROTATE;
	else if (value & OCW2_ROTATE)
		p->highest = (uint8_t)((line + 1) % NUM_LINES);
}

static void write_ocw3(struct pic *p, uint8_t value)
{
	p->poll = value & OCW3_POLL;
	if (value & OCW3_READ)
		p->read_isr = value & OCW3_READ_ISR;
	if (value & OCW3_SET_MASK)
		p->special_mask = value & OCW3_MASK;
}

/* The port with the higher number: mask, or what follows the first initialisation word. */
static void write_second_port(struct pic *p, uint8_t value)
{
	switch (p->step) {
	case INIT_NONE:
		p->imr = value;
		break;
	case INIT_VECTOR:
		p->base = value & 0xf8;
		p->step = !p->single ? INIT_CASCADE : p->wants_icw4 ? INIT_MODE : INIT_NONE;
		break;
	case INIT_CASCADE: /* the wiring is fixed */
		p->step = p->wants_icw4 ? INIT_MODE : INIT_NONE;
		break;
	case INIT_MODE:
		p->auto_eoi = value & ICW4_AUTO_EOI;
		p->nested = value & ICW4_NESTED;
		p->step = INIT_NONE;
		break;
	}
}

static uint8_t read_port(vdev_t *vdp, unsigned port)
{
	struct pic *p = vdp->v_device;

	if (p->poll) {
		bool any = pending(p) < NUM_LINES;

		p->poll = false;
		return any ? (uint8_t)(POLL_PENDING | take(vdp)) : 0;
	}
	if (port)
		return p->imr;
	return p->read_isr ? p->isr : p->irr;
}

static vdev_ref_status_t pic_vread(vdev_t *vdp, unsigned cookie,
				   const struct qvm_state_block *vopnd,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct pic *p = vdp->v_device;
	uint8_t value;

	pthread_mutex_lock(&vdp->v_mtx);
	value = cookie == COOKIE_TRIGGER ? p->trigger : read_port(vdp, vopnd->location != 0);
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

static void write_trigger(struct pic *p, uint8_t value)
{
	p->trigger = value & (p->second ? TRIGGER_SECOND : TRIGGER_FIRST);
	p->irr = (uint8_t)((p->irr & ~p->trigger) | (p->lines & p->trigger));
}

static vdev_ref_status_t pic_vwrite(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct pic *p = vdp->v_device;
	uint8_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (cookie == COOKIE_TRIGGER)
		write_trigger(p, value);
	else if (vopnd->location != 0)
		write_second_port(p, value);
	else if (value & ICW1)
		write_icw1(p, value);
	else if (value & OCW3)
		write_ocw3(p, value);
	else
		write_ocw2(p, value);
	update(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

static int options_end(vdev_t *vdp)
{
	struct pic *p = vdp->v_device;
	struct qvm_state_block trigger = { .qst_type = QST_X86_IO, .length = 1 };
	uint64_t at = vdp->v_block.location;

	if (at != PORT_FIRST && at != PORT_SECOND)
		return qvmx_refuse(vdp, "it needs its place: 'loc 0x20' or 'loc 0xa0'");
	vdp->v_block.length = NUM_PORTS;
	p->second = at == PORT_SECOND;
	p->imr = 0xff; /* as firmware leaves it */
	trigger.location = PORT_TRIGGER + p->second;
	int err = qvmx_region_add(vdp, &trigger, COOKIE_TRIGGER);

	return err ? err : qvmx_extint_provide(vdp, p->second ? NUM_LINES : 0, &extint_ops);
}

static int control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	(void)arg;
	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_X86_IO,
			.location = QSL_NO_LOCATION,
			.length = NUM_PORTS,
		};
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_ASSIGN:
		return qvmx_model_use(vdp, QVMX_CHIP_8259);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = control,
	.vread = pic_vread,
	.vwrite = pic_vwrite,
	.factory_flags = VFF_VDEV_X86_IO | VFF_INTR_NO | VFF_MUTEX,
	.acc_sizes = 1u << 1,
	.extra_space = sizeof(struct pic),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.flags = QVMX_VDEV_ACCEL,
	.summary = "legacy interrupt controller (not usable by vdevs)",
};

static void __attribute__((constructor)) register_8259(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
