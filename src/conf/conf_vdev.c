/* SPDX-License-Identifier: Apache-2.0 */
/* The context of a `vdev`: its own options by its table, then those that all vdevs have. */
#include "conf/conf_private.h"

#include <string.h>

static const char *const common_names[] = {
	[CONF_COMMON_LOC] = "loc",
	[CONF_COMMON_INTR] = "intr",
	[CONF_COMMON_NAME] = "name",
	[CONF_COMMON_LOG] = "log",
	[CONF_COMMON_HOSTVECTOR] = "hostvector",
	[CONF_COMMON_SCHED] = "sched",
	[CONF_COMMON_ACCEL] = "accel",
};

const char *conf_option_word(const struct conf_option *option)
{
	return option->common == CONF_COMMON_NONE ? option->opt->name
						  : common_names[option->common];
}

static struct conf_vdev *vdev_open(struct conf *c)
{
	return &c->vdevs[c->priv->vdev];
}

static void vdev_report_unknown(struct conf *c, const struct conf_word *vdev,
				const struct conf_word *name, const char *why)
{
	const struct conf_env *env = &c->priv->env;
	struct conf_near near;
	const char *known;

	/* What stands on a later line and is no vdev is not meant to be one. */
	if (name->pos.line != vdev->pos.line && !name->quoted &&
	    c->priv->sources[name->pos.source - 1].text) {
		conf_error(c, &vdev->pos, "'vdev' needs an argument");
		conf_expected(c, "the type of a vdev, such as virtio-blk; '%s' on line %u is none",
			      name->text, name->pos.line);
		return;
	}
	conf_near_start(&near, name->text);
	for (unsigned i = 0; env->vdev_name && (known = env->vdev_name(env->ctx, i)); i++)
		conf_near_offer(&near, known);
	/* Its file is there: `why` says what is wrong with it. */
	if (why && near.best && !strcmp(near.best, name->text)) {
		conf_error(c, &name->pos, "vdev '%s': %s", name->text, why);
		return;
	}
	conf_error(c, &name->pos, why ? "no vdev called '%s': %s" : "no vdev called '%s'",
		   name->text, why);
	conf_suggest(c, near.best);
}

bool conf_vdev_open(struct conf *c, const struct conf_word *w)
{
	const struct conf_word *name =
		conf_take_argument(c, w, "the type of a vdev, such as virtio-blk");
	const struct conf_env *env = &c->priv->env;
	const char *why = NULL;
	struct conf_vdev *v;

	c->priv->context = CONF_IN_UNKNOWN;
	if (c->num_vdevs == CONF_MAX_VDEVS) {
		conf_error(c, &w->pos, "too many vdevs (more than %u)", CONF_MAX_VDEVS);
		return false;
	}
	if (!name || name->bad)
		return false;
	c->priv->context = CONF_IN_VDEV;
	if (env->implicit_vdev && !strcmp(env->implicit_vdev, name->text)) {
		/* There is one; the file says more about it. */
		c->priv->vdev = 0;
		c->vdevs[0].pos = w->pos;
		c->vdevs[0].type_name.pos = name->pos;
		return true;
	}
	v = conf_append(c, &c->vdevs, &c->num_vdevs, sizeof(*v));
	if (!v)
		return false;
	c->priv->vdev = c->num_vdevs - 1;
	v->pos = w->pos;
	v->type_name = (struct conf_text){ name->text, name->pos };
	if (env->find_vdev)
		v->type = env->find_vdev(env->ctx, name->text, &why);
	if (!v->type)
		vdev_report_unknown(c, w, name, why);
	return true;
}

void conf_vdev_add_implicit(struct conf *c)
{
	const struct conf_env *env = &c->priv->env;
	const char *why = NULL;

	if (!env->implicit_vdev)
		return;
	struct conf_vdev *v = conf_append(c, &c->vdevs, &c->num_vdevs, sizeof(*v));

	if (!v)
		return;
	v->type_name.text = env->implicit_vdev;
	v->type = env->find_vdev(env->ctx, env->implicit_vdev, &why);
}

/* The same option given before is forgotten: the last one wins. */
static void vdev_forget(struct conf_vdev *v, const struct conf_option *option)
{
	for (unsigned i = 0; i < v->num_options; i++) {
		if (v->options[i].common != option->common || v->options[i].index != option->index)
			continue;
		memmove(&v->options[i], &v->options[i + 1],
			(v->num_options - i - 1) * sizeof(v->options[0]));
		v->num_options--;
		return;
	}
}

static void vdev_keep(struct conf *c, const struct conf_option *option, bool repeat)
{
	struct conf_vdev *v = vdev_open(c);
	struct conf_option *item;

	if (!repeat)
		vdev_forget(v, option);
	item = conf_append(c, &v->options, &v->num_options, sizeof(*item));
	if (item)
		*item = *option;
}

static bool type_requires(const struct conf_vdev_type *type)
{
	for (unsigned i = 0; i < type->num_options; i++)
		if (type->options[i].flags & QVMX_OPTF_REQUIRED)
			return true;
	return false;
}

/* An option (NULL: its place or interrupt) is wrong. A type that says of no option that it needs it
 * may still need one of several, or a place. */
static void vdev_wrong(struct conf_vdev *v, const struct qvmx_option *opt)
{
	v->wrong = true;
	v->lacks |=
		v->type && ((opt && opt->flags & QVMX_OPTF_REQUIRED) || !type_requires(v->type));
}

/* That it is missing would be untrue. */
static void vdev_bad(struct conf *c, unsigned index)
{
	struct conf_vdev *v = vdev_open(c);
	unsigned *item = conf_append(c, &v->bad, &v->num_bad, sizeof(*item));

	if (item)
		*item = index;
	vdev_wrong(v, &v->type->options[index]);
}

void conf_vdev_meant(struct conf *c, const char *option)
{
	const struct conf_vdev_type *type = vdev_open(c)->type;

	for (unsigned i = 0; type && i < type->num_options; i++) {
		if (!strcmp(type->options[i].name, option))
			vdev_bad(c, i);
	}
	vdev_open(c)->wrong = vdev_open(c)->lacks = true;
}

static void vdev_own(struct conf *c, const struct conf_word *w, unsigned index)
{
	const struct conf_vdev_type *type = vdev_open(c)->type;
	const struct qvmx_option *opt = &type->options[index];
	struct conf_option option = {
		.index = index, .opt = opt, .pos = w->pos, .text_pos = w->pos
	};

	if (opt->type != QVMX_OPT_FLAG) {
		struct strbuf expected = { 0 }, owner = { 0 };
		const struct conf_word *arg;
		bool ok;

		conf_option_describe(opt, &expected);
		arg = conf_take_argument(c, w, strbuf_text(&expected));
		strbuf_free(&expected);
		strbuf_printf(&owner, "vdev %s", type->name);
		ok = arg && conf_check_option(c, w, arg, opt, strbuf_text(&owner));
		strbuf_free(&owner);
		if (!ok) {
			vdev_bad(c, index);
			return;
		}
		option.text = arg->text;
		option.text_pos = arg->pos;
	}
	vdev_keep(c, &option, opt->flags & QVMX_OPTF_REPEAT);
}

/* A[,B...]; several only for a type that has several. */
static bool vdev_intr(struct conf *c, const struct conf_word *arg)
{
	struct conf_vdev *v = vdev_open(c);
	unsigned max = v->type ? MAX(v->type->max_intrs, 1u) : UINT32_MAX;
	struct conf_part rest = { arg->text, strlen(arg->text) };

	if (arg->bad)
		return false;
	if (max == 1)
		v->num_intrs = 0;
	while (rest.text) {
		struct conf_intr intr, *item;

		if (!conf_read_intr(c, arg, conf_split(&rest, ','), &intr))
			return false;
		if (v->num_intrs == max) {
			conf_error(c, &intr.pos, "vdev %s has %u interrupt%s, and this is one more",
				   v->type_name.text, max, max == 1 ? "" : "s");
			return false;
		}
		item = conf_append(c, &v->intrs, &v->num_intrs, sizeof(*item));
		if (!item)
			return false;
		*item = intr;
	}
	return true;
}

static bool vdev_hostvector(struct conf *c, const struct conf_word *w, const struct conf_word *arg)
{
	struct conf_vdev *v = vdev_open(c);
	uint64_t value;

	if (v->type && !v->type->pic) {
		conf_error(c, &w->pos,
			   "'hostvector' is for interrupt controllers, and vdev %s is none",
			   v->type_name.text);
		return false;
	}
	if (!conf_read_number(c, arg, (struct conf_part){ arg->text, strlen(arg->text) }, 0,
			      UINT32_MAX, &value))
		return false;
	v->has_hostvector = true;
	v->hostvector = (uint32_t)value;
	return true;
}

static bool vdev_accel(struct conf *c, const struct conf_word *w, const struct conf_word *arg)
{
	static const char choices[] = "auto|on|off";
	struct conf_vdev *v = vdev_open(c);
	int index;

	if (arg->bad)
		return false;
	if (v->type && !v->type->accel) {
		conf_error(c, &w->pos,
			   "'accel' is for chips that KVM also has, and vdev %s is none",
			   v->type_name.text);
		return false;
	}
	index = conf_choice_index(choices, arg->text, strlen(arg->text));
	if (index < 0) {
		conf_error(c, &arg->pos, "'%s' does not fit 'accel'", arg->text);
		conf_suggest(c, conf_near_choice(c, arg->text, choices));
		conf_expected(c, "auto, on or off");
		return false;
	}
	v->accel = (enum conf_accel)index;
	v->accel_pos = w->pos;
	return true;
}

static const char *common_expected(enum conf_common common)
{
	switch (common) {
	case CONF_COMMON_LOC:
		return "mem:ADDRESS, io:PORT or pci:BUS:DEV[.FUNC]";
	case CONF_COMMON_INTR:
		return "PIC:LINE or apic";
	case CONF_COMMON_NAME:
		return "a name";
	case CONF_COMMON_HOSTVECTOR:
		return "a number";
	case CONF_COMMON_SCHED:
		return "a priority from 1 to 255";
	case CONF_COMMON_ACCEL:
		return "auto, on or off";
	case CONF_COMMON_LOG:
	case CONF_COMMON_NONE:
		break;
	}
	return "an argument";
}

static bool vdev_log(struct conf *c, const struct conf_word *w, struct conf_option *option)
{
	struct conf_priv *p = c->priv;
	const struct conf_word *dest;
	struct strbuf text = { 0 };

	if (!conf_read_logger(c, w, &vdev_open(c)->log))
		return false;
	dest = &p->words[p->next - 1];
	strbuf_printf(&text, "%s %s", dest[-1].text, dest->text);
	option->text = text.failed ? NULL : conf_strndup(c, text.data, text.len);
	option->text_pos = dest[-1].pos;
	strbuf_free(&text);
	return option->text != NULL;
}

static bool vdev_common_argument(struct conf *c, const struct conf_word *w,
				 struct conf_option *option)
{
	struct conf_vdev *v = vdev_open(c);
	const struct conf_word *arg;

	if (option->common == CONF_COMMON_LOG)
		return vdev_log(c, w, option);
	arg = conf_take_argument(c, w, common_expected(option->common));
	if (!arg)
		return false;
	option->text = arg->text;
	option->text_pos = arg->pos;
	switch (option->common) {
	case CONF_COMMON_LOC:
		if (!conf_read_loc(c, arg, v->type ? v->type->loc_space : CONF_SPACE_MEM, &v->loc))
			return false;
		v->has_loc = true;
		return true;
	case CONF_COMMON_INTR:
		return vdev_intr(c, arg);
	case CONF_COMMON_NAME:
		return conf_read_name(c, arg, "vdev", &v->name);
	case CONF_COMMON_HOSTVECTOR:
		return vdev_hostvector(c, w, arg);
	case CONF_COMMON_SCHED:
		return conf_read_sched(c, arg, &v->sched);
	case CONF_COMMON_ACCEL:
		return vdev_accel(c, w, arg);
	case CONF_COMMON_LOG:
	case CONF_COMMON_NONE:
		break;
	}
	return false;
}

bool conf_vdev_option(struct conf *c, const struct conf_word *w)
{
	const struct conf_vdev_type *type = vdev_open(c)->type;

	for (unsigned i = 0; type && i < type->num_options; i++) {
		if (!strcmp(type->options[i].name, w->text)) {
			vdev_own(c, w, i);
			return true;
		}
	}
	for (unsigned i = CONF_COMMON_LOC; i < ARRAY_LEN(common_names); i++) {
		struct conf_option option = { .common = (enum conf_common)i, .pos = w->pos };

		if (strcmp(common_names[i], w->text))
			continue;
		if (vdev_common_argument(c, w, &option))
			vdev_keep(c, &option, i == CONF_COMMON_INTR && type && type->max_intrs > 1);
		else if (i == CONF_COMMON_LOC || i == CONF_COMMON_INTR)
			vdev_wrong(vdev_open(c), NULL);
		return true;
	}
	return false;
}

void conf_vdev_offer_all(struct conf *c, struct conf_near *near)
{
	const struct conf_vdev_type *type = vdev_open(c)->type;

	for (unsigned i = 0; type && i < type->num_options; i++)
		conf_near_offer(near, type->options[i].name);
	for (unsigned i = CONF_COMMON_LOC; i < ARRAY_LEN(common_names); i++)
		conf_near_offer(near, common_names[i]);
}

static void vdev_check_required(struct conf *c, struct conf_vdev *v)
{
	for (unsigned i = 0; v->type && i < v->type->num_options; i++) {
		const struct qvmx_option *opt = &v->type->options[i];
		struct strbuf expected = { 0 };
		bool given = false;

		if (!(opt->flags & QVMX_OPTF_REQUIRED))
			continue;
		for (unsigned k = 0; k < v->num_options; k++)
			given |= v->options[k].opt == opt;
		for (unsigned k = 0; k < v->num_bad; k++)
			given |= v->bad[k] == i;
		if (given)
			continue;
		v->wrong = v->lacks = true;
		conf_error(c, &v->type_name.pos, "vdev %s is without '%s'", v->type_name.text,
			   opt->name);
		conf_option_describe(opt, &expected);
		conf_expected(c, "'%s' with %s", opt->name, strbuf_text(&expected));
		strbuf_free(&expected);
	}
}

/* With `safety` each vdev must be a safety variant. */
static void vdev_check_safety(struct conf *c, const struct conf_vdev *v)
{
	/* What is part of qvm is not looked at. */
	if (!c->safety || !v->type || v->type->safety ||
	    (c->priv->env.implicit_vdev && v == &c->vdevs[0]))
		return;
	conf_error(c, &v->type_name.pos, "vdev %s is no safety variant", v->type_name.text);
	conf_note(c, &c->safety_pos, "the VM has only those because of 'safety'");
}

static const char *vdev_pic_name(const struct conf_vdev *v)
{
	return v->name.text || !v->type ? v->name.text : v->type->pic_name;
}

static void vdev_check_name(struct conf *c, unsigned index)
{
	const struct conf_vdev *v = &c->vdevs[index];

	for (unsigned i = 0; v->name.text && i < index; i++) {
		const struct conf_vdev *other = &c->vdevs[i];

		if (!other->name.text || strcmp(other->name.text, v->name.text))
			continue;
		conf_error(c, &v->name.pos, "a second vdev is called '%s'", v->name.text);
		conf_note(c, &other->name.pos, "the first one, vdev %s, got its name here",
			  other->type_name.text);
		return;
	}
}

static bool vdev_is_implicit(const struct conf *c, const char *pic)
{
	const char *const *list = c->priv->env.implicit_pics;

	for (; list && *list; list++) {
		if (!strcmp(*list, pic))
			return true;
	}
	return !strcmp(pic, "apic");
}

/* An unknown type was reported already; it may well be a PIC. */
static bool vdev_may_be_pic(const struct conf_vdev *v)
{
	return !v->type || v->type->pic;
}

/* No PIC before the vdev has the name: say which of the possible mistakes it is. */
static void vdev_report_pic(struct conf *c, unsigned index, const struct conf_intr *intr)
{
	struct conf_near near;

	for (unsigned i = 0; i < c->num_vdevs; i++) {
		const struct conf_vdev *v = &c->vdevs[i];
		const char *name = vdev_pic_name(v);

		if (!name || strcmp(name, intr->pic))
			continue;
		if (!vdev_may_be_pic(v))
			conf_error(c, &intr->pos, "'%s' is not an interrupt controller", intr->pic);
		else if (i == index)
			conf_error(c, &intr->pos, "vdev %s has itself as its interrupt controller",
				   v->type_name.text);
		else
			conf_error(c, &intr->pos,
				   "interrupt controller '%s' stands behind its user", intr->pic);
		if (vdev_may_be_pic(v) && i != index)
			conf_expected(c, "'vdev %s' before 'vdev %s'", v->type_name.text,
				      c->vdevs[index].type_name.text);
		conf_note(c, v->name.text ? &v->name.pos : &v->pos, "'%s' is vdev %s, here",
			  intr->pic, v->type_name.text);
		return;
	}
	conf_near_start(&near, intr->pic);
	for (unsigned i = 0; i < index; i++) {
		if (c->vdevs[i].type && c->vdevs[i].type->pic && vdev_pic_name(&c->vdevs[i]))
			conf_near_offer(&near, vdev_pic_name(&c->vdevs[i]));
	}
	conf_error(c, &intr->pos, "no interrupt controller is called '%s'", intr->pic);
	conf_suggest(c, near.best);
	conf_expected(c, "the 'name' of an interrupt controller that stands before this vdev");
}

void conf_vdev_check_intr(struct conf *c, unsigned index, struct conf_intr *intr)
{
	for (unsigned i = 0; i < index; i++) {
		const struct conf_vdev *v = &c->vdevs[i];
		const char *name = vdev_pic_name(v);

		if (name && !strcmp(name, intr->pic) && vdev_may_be_pic(v)) {
			intr->pic_vdev = (int)i;
			return;
		}
	}
	if (!vdev_is_implicit(c, intr->pic)) {
		vdev_report_pic(c, index, intr);
	} else if (intr->has_line && !strcmp(intr->pic, "apic")) {
		conf_error(c, &intr->pos, "'%s': the local APIC has no numbered lines", intr->text);
		conf_expected(c, "apic alone, or PIC:LINE with an ioapic's name");
	}
}

/* The word alone is about who reports to the local APICs. */
static void vdev_check_apic(struct conf *c, const struct conf_vdev *v, const struct conf_intr *intr)
{
	if (intr->has_line || !v->type || v->type->pic)
		return;
	conf_error(c, &intr->pos, "only an ioapic takes '%s', and vdev %s is none", intr->text,
		   v->type_name.text);
	conf_expected(c,
		      "PIC:LINE with the name of an interrupt controller, such as ioapic:4, or no "
		      "`intr`");
}

void conf_vdev_check_all(struct conf *c)
{
	for (unsigned i = 0; i < c->num_vdevs; i++) {
		struct conf_vdev *v = &c->vdevs[i];

		vdev_check_required(c, v);
		vdev_check_safety(c, v);
		vdev_check_name(c, i);
		for (unsigned k = 0; k < v->num_intrs; k++) {
			conf_vdev_check_intr(c, i, &v->intrs[k]);
			vdev_check_apic(c, v, &v->intrs[k]);
		}
	}
}
