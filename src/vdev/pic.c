/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt lines between vdevs and their controllers, and the machine that the platform's chips
 * make up: the public API of x/model.h and x/pic.h, and the interrupts of guest.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdev/host.h"

#define LINE_CASCADE 2u

static struct vdev_instance *instance_of_conf(struct vdev_host *host, int index)
{
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
		if (vi->conf == &host->conf->vdevs[index])
			return vi;
	return NULL;
}

const char *pic_name(const struct vdev_instance *pic)
{
	if (pic->conf->name.text)
		return pic->conf->name.text;
	return pic->type->conf.pic_name ? pic->type->conf.pic_name : pic->type->name;
}

unsigned pic_pin(const guest_intr_t *intr)
{
	return intr->param & intr->pic->v_factory->pic->pnum_mask & GIPF_PIN_MASK;
}

struct vdev_line *pic_line_of(const guest_intr_t *gip)
{
	if (!gip->pic || !gip->pic->v_factory->pic)
		return NULL;
	struct vdev_line *l = vdev_instance_of(gip->pic)->lines;

	while (l && l->pin != pic_pin(gip))
		l = l->next;
	return l;
}

struct irq_line *pic_line(const guest_intr_t *intr)
{
	return pic_line_of(intr)->line;
}

/* The line that intr names; NULL: out of memory. */
static struct vdev_line *line_get(const guest_intr_t *intr)
{
	struct vdev_instance *pic = vdev_instance_of(intr->pic);
	struct vdev_line *l = pic_line_of(intr);

	if (l || !(l = calloc(1, sizeof(*l))))
		return l;
	l->pin = pic_pin(intr);
	l->param = intr->param;
	l->next = pic->lines;
	pic->lines = l;
	return l;
}

/* One more source of the line that intr names. */
static int line_add(guest_intr_t *intr)
{
	struct vdev_line *l = line_get(intr);

	if (!l)
		return -ENOMEM;
	intr->src_id = l->num_sources++;
	return 0;
}

/* A pin's number as the file has it. */
static unsigned pin_number(const guest_intr_t *intr)
{
	const struct vdev_pic_functions *f = intr->pic->v_factory->pic;
	char text[32];

	if (!f->string)
		return pic_pin(intr);
	f->string(intr, text, sizeof(text));
	return (unsigned)strtoul(text, NULL, 10);
}

int pic_intr_keep(struct vdev_instance *vi, guest_intr_t *intr)
{
	guest_intr_t *more = realloc(vi->intrs, (vi->num_intrs + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	vi->intrs = more;
	int rc = line_add(intr);

	if (rc)
		return rc;
	more[vi->num_intrs++] = *intr;
	vi->vdev.v_intr = more[0];
	return 0;
}

static enum plan_intr_use intr_use(const struct vdev_instance *vi)
{
	unsigned flags = vi->type->info ? vi->type->info->flags : 0;

	return flags & QVMX_VDEV_LINE_TAKES    ? PLAN_INTR_TAKES
	       : flags & QVMX_VDEV_LINE_YIELDS ? PLAN_INTR_YIELDS
					       : PLAN_INTR_ALONE;
}

/* The controller says whether that is a line of its, and what else param has for it. */
static bool pic_line_find(struct vdev_instance *pic, unsigned number, guest_intr_t *ret)
{
	const struct vdev_pic_functions *f = pic->vdev.v_factory->pic;
	char line[16];

	*ret = (guest_intr_t){ .pic = &pic->vdev, .param = number & f->pnum_mask };
	if (!f->parse)
		return true;
	snprintf(line, sizeof(line), "%u", number);
	ret->param = 0;

	const char *rest = f->parse(ret, line);

	ret->pic = &pic->vdev;
	return rest && !*rest;
}

/* `intr PIC:LINE`. 1: there is no such line, which is recorded. */
static int intr_find(struct vdev_host *host, const struct conf_intr *ci, guest_intr_t *ret)
{
	struct vdev_instance *pic = ci->pic_vdev < 0 ? NULL : instance_of_conf(host, ci->pic_vdev);

	if (!ci->has_line || !pic || !pic->vdev.v_factory->pic)
		return 1; /* the local APIC, or the parser has said what is wrong */
	if (pic_line_find(pic, ci->line, ret))
		return 0;
	conf_error(host->conf, &ci->pos, "%s has no line %u", pic->label, ci->line);
	return 1;
}

static int intr_claim(struct vdev_host *host, const struct conf_intr *ci, const guest_intr_t *intr,
		      enum plan_intr_use how, const char *owner)
{
	const struct plan_intr use = { .pic = pic_name(vdev_instance_of(intr->pic)),
				       .line = ci->line,
				       .use = how,
				       .owner = owner,
				       .pos = ci->pos };

	return plan_intr_add(host->plan, &use);
}

static int intr_add(struct vdev_instance *vi, const struct conf_intr *ci)
{
	guest_intr_t intr;

	if (intr_find(vi->host, ci, &intr))
		return 0;
	int rc = intr_claim(vi->host, ci, &intr, intr_use(vi), vi->label);

	if (rc)
		return rc == -ENOMEM ? rc : 0;
	return pic_intr_keep(vi, &intr);
}

/* What the host's interrupts of a controller's lines begin with, if its `hostvector` does not say:
 * they go on where those of the one before end. */
static uint32_t host_vector(const struct vdev_host *host, const struct vdev_instance *pic)
{
	uint32_t base = 0;

	for (const struct vdev_instance *vi = host->first; vi; vi = vi->next) {
		if (!vi->vdev.v_factory->pic)
			continue;
		if (vi->conf->has_hostvector)
			base = vi->conf->hostvector;
		if (vi == pic)
			break;
		base += guest_intr_num_pins(&(guest_intr_t){ .pic = (vdev_t *)&vi->vdev });
	}
	return base;
}

int vdev_host_intr_plan(struct vdev_host *host, const struct conf_intr *ci, const char *owner,
			unsigned *ret_line, uint32_t *ret_number)
{
	guest_intr_t intr, *more;
	int rc = intr_find(host, ci, &intr) ? -EINVAL : 0;

	if (!rc)
		rc = intr_claim(host, ci, &intr, PLAN_INTR_ALONE, owner);
	if (rc)
		return rc == -ENOMEM ? rc : -EINVAL;
	more = realloc(host->lines, (host->num_lines + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	host->lines = more;
	/* Whoever attaches to it adds a source of its own. */
	if (!line_get(&intr))
		return -ENOMEM;
	*ret_number = host_vector(host, vdev_instance_of(intr.pic)) + ci->line;
	*ret_line = host->num_lines;
	more[host->num_lines++] = intr;
	return 0;
}

struct irq_line *vdev_host_intr_line(const struct vdev_host *host, unsigned line, int *ret_gsi)
{
	*ret_gsi = qvmx_intr_gsi(&host->lines[line]);
	return pic_line(&host->lines[line]);
}

int pic_intrs(struct vdev_instance *vi)
{
	for (unsigned i = 0; i < vi->conf->num_intrs; i++) {
		int rc = intr_add(vi, &vi->conf->intrs[i]);

		if (rc)
			return rc;
	}
	return 0;
}

/* The controller and pin of a line that the guest's tables number. */
static struct vdev_instance *pic_of_gsi(const struct vdev_host *host, unsigned gsi,
					unsigned *ret_pin)
{
	for (unsigned i = 0; i < host->machine.num_pics; i++) {
		struct vdev_instance *pic = host->machine.pics[i];

		if (gsi - (unsigned)pic->gsi_base < pic->num_pins) {
			*ret_pin = gsi - (unsigned)pic->gsi_base;
			return pic;
		}
	}
	return NULL;
}

int pic_line_claim(struct vdev_host *host, unsigned gsi, enum plan_intr_use how, const char *owner,
		   const struct conf_pos *pos, guest_intr_t *ret_intr)
{
	unsigned pin;
	struct vdev_instance *pic = pic_of_gsi(host, gsi, &pin);

	if (!pic)
		return -ENOENT;
	const struct plan_intr use = {
		.pic = pic_name(pic), .line = pin, .use = how, .owner = owner, .pos = *pos
	};
	int rc = plan_intr_add(host->plan, &use);

	if (!rc)
		*ret_intr = (guest_intr_t){ .pic = &pic->vdev, .param = pin };
	return rc;
}

bool vdev_host_line_claim(struct vdev_host *host, unsigned gsi, const char *owner,
			  guest_intr_t *ret_intr)
{
	static const struct conf_pos nowhere;
	guest_intr_t intr;
	unsigned pin;
	const struct vdev_instance *pic = pic_of_gsi(host, gsi, &pin);

	for (unsigned i = 0; pic && i < host->plan->num_intrs; i++)
		if (host->plan->intrs[i].line == pin &&
		    !strcmp(host->plan->intrs[i].pic, pic_name(pic)))
			return false;
	if (pic_line_claim(host, gsi, PLAN_INTR_ALONE, owner, &nowhere, &intr) || line_add(&intr))
		return false;
	*ret_intr = intr;
	return true;
}

/* Lines 0 to 15 of the first ioapic are those of the 8259s, too. */
static void isa_line(struct vdev_host *host, unsigned line, bool level)
{
	struct vdev_instance *vi = host->machine.extint[line / 8];

	if (vi && line != LINE_CASCADE)
		vi->extint->line(&vi->vdev, line % 8, level);
}

static int line_signal(void *opaque, unsigned param, bool level)
{
	struct vdev_instance *pic = opaque;
	const guest_intr_t intr = { .pic = &pic->vdev, .param = param };
	unsigned pin = pic_pin(&intr);
	unsigned gsi = (unsigned)pic->gsi_base + pin;

	if (pic->host->line_watch)
		pic->host->line_watch(pic->host->line_watch_ctx, &pic->vdev, pin, level);
	int rc = pic->vdev.v_factory->pic->signal(&intr, level ? GIS_ON : GIS_OFF);

	if (!pic->modelled && pic->gsi_base >= 0 && gsi < VDEV_NUM_ISA_LINES)
		isa_line(pic->host, gsi, level);
	return -rc;
}

int vdev_host_input(struct vdev_instance *pic, unsigned pin, bool level)
{
	return line_signal(pic, pin, level);
}

/* A controller on a line of another one hears of what the guest does to that line. */
static void controller_notified(void *opaque, int what)
{
	struct vdev_instance *vi = opaque;
	const guest_intr_t intr = { .pic = &vi->vdev, .param = vi->vdev.v_intr.param };

	vi->vdev.v_factory->pic->notify(&intr, (guest_intr_notifications_t)what);
}

int pic_attach(struct vdev_instance *vi)
{
	int rc = 0;

	for (struct vdev_line *l = vi->lines; l && !rc; l = l->next) {
		unsigned source;

		rc = irq_line_create(vi->host->irq, line_signal, vi, l->param, &l->line);
		for (unsigned i = 0; !rc && i < l->num_sources; i++)
			rc = irq_line_source_add(l->line, &source);
	}
	/* A controller stands before its users, so its lines are there. */
	struct vdev_line *up = pic_line_of(&vi->vdev.v_intr);

	if (!rc && up && up->line && vi->vdev.v_factory->pic && vi->vdev.v_factory->pic->notify)
		rc = irq_line_watch(up->line, controller_notified, vi);
	return rc;
}

int vdev_host_extint(struct vdev_host *host)
{
	struct vdev_instance *master = host->machine.extint[0], *slave = host->machine.extint[1];
	int vector = master ? master->extint->acknowledge(&master->vdev) : -1;

	if (vector == QVMX_EXTINT_CASCADE && slave)
		vector = slave->extint->acknowledge(&slave->vdev);
	return vector;
}

void vdev_host_eoi(struct vdev_host *host, unsigned vector)
{
	for (unsigned i = 0; i < host->machine.num_pics; i++) {
		struct vdev_instance *pic = host->machine.pics[i];

		if (pic->eoi && !pic->modelled)
			pic->eoi(&pic->vdev, vector);
	}
}

errno_t guest_intr_signal(guest_intr_t *gip, guest_intr_state_t gis)
{
	struct vdev_line *l = pic_line_of(gip);

	if (!l || !l->line)
		return EINVAL;
	return -irq_line_set(l->line, gip->src_id, (gis & GIS_ON) != 0);
}

void guest_pic_notify(const vdev_t *vdp, unsigned param, guest_intr_notifications_t gin)
{
	const guest_intr_t intr = { .pic = (vdev_t *)(uintptr_t)vdp, .param = param };
	struct vdev_line *l = pic_line_of(&intr);

	if (l && l->line)
		irq_line_notify(l->line, (int)gin);
}

/* The highest line of the first controller that nobody has and the file does not reserve. */
static int line_pick(struct vdev_host *host, guest_intr_t *ret_intr)
{
	struct vdev_instance *pic = host->first;

	while (pic && !pic->vdev.v_factory->pic)
		pic = pic->next;
	if (!pic)
		return -ENOENT;
	const guest_intr_t any = { .pic = &pic->vdev };

	for (unsigned pin = guest_intr_num_pins(&any); pin-- > 0;) {
		const guest_intr_t intr = { .pic = &pic->vdev, .param = pin };
		unsigned number = pin_number(&intr);
		bool used = pic->gsi_base >= 0 &&
			    vdev_host_gsi_reserved(host->conf, (unsigned)pic->gsi_base + pin);

		for (unsigned i = 0; i < host->plan->num_intrs && !used; i++)
			used = host->plan->intrs[i].line == number &&
			       !strcmp(host->plan->intrs[i].pic, pic_name(pic));
		if (!used && pic_line_find(pic, number, ret_intr))
			return 0;
	}
	return -ENOENT;
}

int guest_intr_assign(vdev_t *vdp, guest_intr_t *gip)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	guest_intr_t intr = *gip;

	if (vdev_too_late(vdp, "guest_intr_assign", vi->host->engine))
		return EINVAL;
	int rc = intr.pic ? 0 : line_pick(vi->host, &intr);

	if (!rc && (!intr.pic->v_factory->pic || pic_pin(&intr) >= guest_intr_num_pins(&intr)))
		rc = -ENOENT;
	if (rc)
		return -rc;
	const struct plan_intr use = { .pic = pic_name(vdev_instance_of(intr.pic)),
				       .line = pin_number(&intr),
				       .use = intr_use(vi),
				       .owner = vi->label,
				       .pos = vi->blame };

	rc = plan_intr_add(vi->host->plan, &use);
	if (!rc)
		rc = pic_intr_keep(vi, &intr);
	if (rc)
		return -rc;
	*gip = vi->intrs[vi->num_intrs - 1];
	return EOK;
}

int guest_intr_level(guest_intr_t *gip, int level)
{
	if (vdev_too_late(NULL, "guest_intr_level", vdev_host_current()->engine) || !gip->pic)
		return EINVAL;
	gip->param = level ? gip->param | GIPF_LEVEL : gip->param & ~GIPF_LEVEL;
	return EOK;
}

unsigned guest_intr_num_pins(const guest_intr_t *gip)
{
	if (!gip->pic || !gip->pic->v_factory->pic)
		return 0;
	const struct vdev_instance *pic = vdev_instance_of(gip->pic);

	return pic->num_pins ? pic->num_pins : pic->vdev.v_factory->pic->pnum_mask + 1;
}

size_t guest_intr_string(const guest_intr_t *gip, char *buf, size_t len)
{
	if (!gip->pic || !gip->pic->v_factory->pic)
		return (size_t)snprintf(buf, len, "none");
	const struct vdev_instance *pic = vdev_instance_of(gip->pic);
	const struct vdev_pic_functions *f = pic->vdev.v_factory->pic;
	char line[32];

	if (f->string)
		f->string(gip, line, sizeof(line));
	else
		snprintf(line, sizeof(line), "%u", gip->param & f->pnum_mask);
	return (size_t)snprintf(buf, len, "%s:%s", pic_name(pic), line);
}

int qvmx_model_use(vdev_t *vdp, enum qvmx_chip chip)
{
	vdev_instance_of(vdp)->chip = (int)chip;
	return EOK;
}

int qvmx_model_is_used(const vdev_t *vdp)
{
	return vdev_instance_of(vdp)->modelled;
}

int qvmx_model_line(const vdev_t *vdp, unsigned pin, int level)
{
	struct engine *e = vdev_instance_of(vdp)->host->engine;

	return -e->ops->line_set(e, pin, level != 0);
}

int qvmx_pic_pins(vdev_t *vdp, unsigned num_pins, qvmx_eoi_func_t *eoi)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	struct vdev_machine *m = &vi->host->machine;

	if (!vdp->v_factory->pic)
		return qvmx_refuse(vdp, "its factory has no `pic`");
	if (m->num_pics == VDEV_MAX_PICS)
		return qvmx_refuse(vdp, "a VM has at most %d of them", VDEV_MAX_PICS);
	if (!num_pins || num_pins > ENGINE_MAX_PINS - m->engine.num_pins)
		return qvmx_refuse(vdp, "the controllers of a VM have 1 to %d pins together",
				   ENGINE_MAX_PINS);
	vi->num_pins = num_pins;
	vi->gsi_base = (int)m->engine.num_pins;
	vi->eoi = eoi;
	m->engine.num_pins += num_pins;
	m->pics[m->num_pics++] = vi;
	return EOK;
}

int qvmx_pic_route(vdev_t *vdp, unsigned pin, uint64_t addr, unsigned data)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);

	if (pin >= vi->num_pins)
		return EINVAL;
	return -irq_pin_route(vi->host->irq, (uint32_t)vi->gsi_base + pin, addr, data);
}

int qvmx_extint_provide(vdev_t *vdp, unsigned first_line, const struct qvmx_extint_ops *ops)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	struct vdev_instance **slot = &vi->host->machine.extint[first_line != 0];

	if (*slot)
		return qvmx_refuse(vdp, "%s has these interrupt lines", (*slot)->label);
	vi->extint = ops;
	*slot = vi;
	return EOK;
}

void qvmx_extint_output(vdev_t *vdp, int level)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	struct vdev_host *host = vi->host;
	struct vdev_instance *master = host->machine.extint[0];

	if (vi == master)
		host->engine->ops->extint_set(host->engine, level != 0);
	else if (master)
		master->extint->line(&master->vdev, LINE_CASCADE, level);
}

int qvmx_intr_get(const vdev_t *vdp, unsigned n, guest_intr_t *ret_intr)
{
	const struct vdev_instance *vi = vdev_instance_of(vdp);

	if (n >= vi->num_intrs)
		return EINVAL;
	*ret_intr = vi->intrs[n];
	return EOK;
}

int qvmx_intr_own(guest_intr_t *gip, int on)
{
	struct vdev_line *l = pic_line_of(gip);

	if (!l || !l->line)
		return EINVAL;
	return -irq_line_own(l->line, gip->src_id, on != 0);
}

int qvmx_intr_gsi(const guest_intr_t *gip)
{
	if (!gip->pic || vdev_instance_of(gip->pic)->gsi_base < 0)
		return -1;
	return vdev_instance_of(gip->pic)->gsi_base + (int)pic_pin(gip);
}
