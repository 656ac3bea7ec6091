/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev clk-guard: stands before registers of a passed device that are not the guest's alone, such
 * as those of its clocks, and decides for each register what the device sees of an access. It
 * counts, so that a driver that leaves the clocks alone can be told from one that does not.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/utils.h>
#include <qvm/x/conf.h>
#include <qvm/x/pass.h>

enum { MAX_RULES = 64, DEFAULT_LENGTH = 4, REGISTER = 4, MAX_ACCESS = 8 };

#define MAX_LENGTH (UINT64_C(1) << 32)

enum action { ALLOW, DENY, READ_ONLY, MASK, SHADOW, NUM_ACTIONS };

static const char *const action_names[NUM_ACTIONS] = { "allow", "deny", "read-only", "mask",
						       "shadow" };

struct rule {
	uint64_t offset, len;
	enum action action;
	uint64_t bits;	 /* MASK: those that the guest may change, from offset on */
	uint8_t *shadow; /* len bytes; NULL: nothing has been written yet */
	uint64_t reads, writes, refused;
};

struct guard {
	struct rule rules[MAX_RULES + 1]; /* v_mtx; the last one: all that no other names */
	unsigned num_rules;
	bool started; /* the guest ran */
};

enum { OPT_LENGTH, OPT_RULE, OPT_DEFAULT, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_LENGTH] = { .name = "length",
			 .type = QVMX_OPT_SIZE,
			 .min = 1,
			 .max = MAX_LENGTH,
			 .help = "bytes from its place on; default 4" },
	[OPT_RULE] = { .name = "rule",
		       .type = QVMX_OPT_STRING,
		       .flags = QVMX_OPTF_REPEAT,
		       .help = "OFFSET[,LENGTH]=allow|deny|read-only|shadow|mask,BITS: what the "
			       "device sees of accesses there; LENGTH 4 if it is not given" },
	[OPT_DEFAULT] = { .name = "default",
			  .type = QVMX_OPT_CHOICE,
			  .choices = "allow|deny|read-only",
			  .help = "the same of what no rule names; default deny" },
};

/* The rule of all of an access; one that reaches over a border has none. */
static struct rule *rule_find(struct guard *g, uint64_t offset, unsigned len)
{
	for (unsigned i = 0; i < g->num_rules; i++) {
		struct rule *r = &g->rules[i];

		if (offset >= r->offset && offset - r->offset + len <= r->len)
			return r;
		if (offset < r->offset + r->len && r->offset < offset + len)
			return NULL;
	}
	return &g->rules[MAX_RULES];
}

/* With the lock held. What is not allowed reads 0. */
static void guarded_read(vdev_t *vdp, struct rule *r, uint64_t offset, unsigned len,
			 uint64_t *value)
{
	*value = 0;
	r->reads++;
	if (r->action == SHADOW && r->shadow)
		memcpy(value, r->shadow + (offset - r->offset), len);
	else if (r->action == DENY || qvmx_pass_read(vdp, offset, len, value) != EOK)
		r->refused++;
}

/* The shadow begins as what the device has, read as wide as place and length allow. */
static bool shadow_make(vdev_t *vdp, struct rule *r)
{
	unsigned step = REGISTER;

	if (r->shadow)
		return true;
	while ((r->offset | r->len) % step)
		step /= 2;
	r->shadow = calloc(1, r->len);
	for (uint64_t at = 0; r->shadow && at < r->len; at += step) {
		uint64_t value = 0;

		(void)qvmx_pass_read(vdp, r->offset + at, step, &value);
		memcpy(r->shadow + at, &value, step);
	}
	return r->shadow != NULL;
}

/* With the lock held. False: the device has not seen it as the guest meant it. */
static bool guarded_write(vdev_t *vdp, struct rule *r, uint64_t offset, unsigned len,
			  uint64_t value)
{
	const uint64_t bits = r->action == MASK ? r->bits >> 8 * (offset - r->offset) : 0;
	uint64_t old = 0;

	switch (r->action) {
	case ALLOW:
		return qvmx_pass_write(vdp, offset, len, value) == EOK;
	case MASK:
		if (qvmx_pass_read(vdp, offset, len, &old) != EOK)
			return false;
		return qvmx_pass_write(vdp, offset, len, (old & ~bits) | (value & bits)) == EOK &&
		       ((old ^ value) & ~bits) == 0;
	case SHADOW:
		if (shadow_make(vdp, r))
			memcpy(r->shadow + (offset - r->offset), &value, len);
		return false;
	case DENY:
	case READ_ONLY:
	case NUM_ACTIONS:
		break;
	}
	return false;
}

static vdev_ref_status_t guard_vread(vdev_t *vdp, unsigned cookie,
				     const struct qvm_state_block *vopnd,
				     const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct guard *g = vdp->v_device;
	const uint64_t offset = vopnd->location;
	const unsigned len = (unsigned)oopnd->length;
	uint64_t value = 0;

	(void)cookie;
	pthread_mutex_lock(&vdp->v_mtx);
	struct rule *r = len <= MAX_ACCESS ? rule_find(g, offset, len) : NULL;

	if (r)
		guarded_read(vdp, r, offset, len, &value);
	else
		g->rules[MAX_RULES].refused++;
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value,
						len <= MAX_ACCESS ? len : MAX_ACCESS));
}

static vdev_ref_status_t guard_vwrite(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct guard *g = vdp->v_device;
	const uint64_t offset = vopnd->location;
	const unsigned len = (unsigned)oopnd->length;
	uint64_t value = 0;
	bool seen = false;

	(void)cookie;
	if (len > MAX_ACCESS)
		return VRS_NORMAL;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, len);

	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	struct rule *r = rule_find(g, offset, len);
	struct rule *counts = r ? r : &g->rules[MAX_RULES];

	counts->writes++;
	if (r)
		seen = guarded_write(vdp, r, offset, len, value);
	counts->refused += !seen;
	pthread_mutex_unlock(&vdp->v_mtx);
	if (!seen)
		vdev_logf(QL_QVM_INFO, vdp, "write of 0x%llx to offset 0x%llx: %s",
			  (unsigned long long)value, (unsigned long long)offset,
			  r ? action_names[r->action] : "it is no one register");
	return VRS_NORMAL;
}

/* "ACTION[,BITS]" */
static int action_read(vdev_t *vdp, char *text, struct rule *r)
{
	static const struct qvmx_option bits = { .name = "bits", .type = QVMX_OPT_ADDRESS };
	char *comma = strchr(text, ',');
	unsigned i = 0;

	if (comma)
		*comma++ = '\0';
	while (i < NUM_ACTIONS && strcmp(text, action_names[i]) != 0)
		i++;
	if (i == NUM_ACTIONS)
		return qvmx_refuse(vdp, "'%s' is none of allow, deny, read-only, mask, shadow",
				   text);
	r->action = (enum action)i;
	if ((r->action == MASK) != (comma != NULL))
		return qvmx_refuse(vdp, "%s",
				   comma ? "only mask has bits"
					 : "mask is to say which bits may be changed: mask,BITS");
	if (comma && qvmx_option_parse(&bits, comma, &r->bits) != EOK)
		return qvmx_refuse(vdp, "'%s' are no bits: a hexadecimal number", comma);
	if (r->action == MASK && r->len > MAX_ACCESS)
		return qvmx_refuse(vdp, "mask is of one register: at most %d bytes", MAX_ACCESS);
	return EOK;
}

static int rule_read(vdev_t *vdp, char *text, struct rule *r)
{
	static const struct qvmx_option offset = { .name = "offset",
						   .type = QVMX_OPT_ADDRESS,
						   .max = MAX_LENGTH };
	static const struct qvmx_option length = {
		.name = "length", .type = QVMX_OPT_SIZE, .min = 1, .max = MAX_LENGTH
	};
	char *equals = strchr(text, '='), *comma;

	if (!equals)
		return qvmx_refuse(vdp, "rule '%s' without '='", text);
	*equals++ = '\0';
	comma = strchr(text, ',');
	if (comma)
		*comma++ = '\0';
	r->len = REGISTER;
	if (qvmx_option_parse(&offset, text, &r->offset) != EOK)
		return qvmx_refuse(vdp, "'%s' is no offset: a hexadecimal number", text);
	if (comma && qvmx_option_parse(&length, comma, &r->len) != EOK)
		return qvmx_refuse(vdp, "'%s' is no length in bytes", comma);
	return action_read(vdp, equals, r);
}

static int option_rule(vdev_t *vdp, const char *arg)
{
	struct guard *g = vdp->v_device;
	struct rule r = { 0 };
	char *text = strdup(arg);

	if (!text)
		return ENOMEM;
	int err = rule_read(vdp, text, &r);

	free(text);
	if (err != EOK)
		return err;
	if (g->num_rules == MAX_RULES)
		return qvmx_refuse(vdp, "more than %d rules", MAX_RULES);
	for (unsigned i = 0; i < g->num_rules; i++)
		if (g->rules[i].offset < r.offset + r.len &&
		    r.offset < g->rules[i].offset + g->rules[i].len)
			return qvmx_refuse(vdp, "rule '%s' and one before it are of the same bytes",
					   arg);
	g->rules[g->num_rules++] = r;
	return EOK;
}

static int options_end(vdev_t *vdp)
{
	const struct guard *g = vdp->v_device;

	if (vdp->v_block.location == QSL_NO_LOCATION)
		return qvmx_refuse(vdp, "needs a place inside of what a `pass` gives: loc ADDRESS");
	for (unsigned i = 0; i < g->num_rules; i++)
		if (g->rules[i].offset + g->rules[i].len > vdp->v_block.length)
			return qvmx_refuse(
				vdp,
				"a rule reaches to offset 0x%llx, and its length is "
				"0x%llx",
				(unsigned long long)(g->rules[i].offset + g->rules[i].len),
				(unsigned long long)vdp->v_block.length);
	return EOK;
}

static void report_rule(const struct rule *r, const char *what)
{
	qvm_report("%s %s: %llu reads, %llu writes, %llu not as the guest meant them", what,
		   action_names[r->action], (unsigned long long)r->reads,
		   (unsigned long long)r->writes, (unsigned long long)r->refused);
}

static void status(vdev_t *vdp)
{
	const struct guard *g = vdp->v_device;
	char what[48];

	pthread_mutex_lock(&vdp->v_mtx);
	for (unsigned i = 0; i < g->num_rules; i++) {
		snprintf(what, sizeof(what), "0x%llx,%llu", (unsigned long long)g->rules[i].offset,
			 (unsigned long long)g->rules[i].len);
		report_rule(&g->rules[i], what);
	}
	report_rule(&g->rules[MAX_RULES], "all else");
	pthread_mutex_unlock(&vdp->v_mtx);
}

/* What the guest has done is worth knowing when it is over, too. */
static void end(vdev_t *vdp)
{
	struct guard *g = vdp->v_device;
	uint64_t refused = g->rules[MAX_RULES].refused;

	for (unsigned i = 0; i < g->num_rules; i++) {
		refused += g->rules[i].refused;
		free(g->rules[i].shadow);
	}
	if (g->started)
		vdev_logf(QL_QVM_INFO, vdp, "%llu accesses were not as the guest meant them",
			  (unsigned long long)refused);
}

static int guard_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct guard *g = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block.length = DEFAULT_LENGTH;
		g->rules[MAX_RULES].action = DENY;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_LENGTH:
		vdp->v_block.length = qvmx_option_value(&options[OPT_LENGTH], arg);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_RULE:
		return option_rule(vdp, arg);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_DEFAULT:
		/* The choices are the first actions. */
		g->rules[MAX_RULES].action =
			(enum action)qvmx_option_value(&options[OPT_DEFAULT], arg);
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_GUEST_STARTING:
		g->started = true;
		return EOK;
	case VDEV_CTRL_STATUS:
		status(vdp);
		return EOK;
	case VDEV_CTRL_TERMINATE:
		end(vdp);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = guard_control,
	.vread = guard_vread,
	.vwrite = guard_vwrite,
	.factory_flags = VFF_VDEV_MEM | VFF_VDEV_X86_IO | VFF_MUTEX | VFF_INTR_NO,
	.extra_space = sizeof(struct guard),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.flags = QVMX_VDEV_GUARD,
	.num_options = NUM_OPTIONS,
	.summary = "rules for registers of a passed device",
	.options = options,
};

static void __attribute__((constructor)) guard_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
