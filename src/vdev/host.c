/* SPDX-License-Identifier: Apache-2.0 */
/* The lifecycle of the vdevs of a VM. */
#include "vdev/host.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vdev/gasp.h"
#include "vdev/instr.h"

static struct vdev_host *the_host;

struct vdev_host *vdev_host_current(void)
{
	return the_host;
}

int vdev_host_create(struct conf *conf, struct plan *plan, struct memory *mem, struct pci_bus *pci,
		     struct vdev_host **ret_host)
{
	struct vdev_host *host = calloc(1, sizeof(*host));

	if (!host)
		return -ENOMEM;
	host->conf = conf;
	host->plan = plan;
	host->mem = mem;
	host->pci = pci;
	host->last = &host->first;
	atomic_init(&host->cause, -1);
	if (gasp_create(host, &host->gasp)) {
		free(host);
		return -ENOMEM;
	}
	the_host = host;
	*ret_host = host;
	return 0;
}

static void instance_free(struct vdev_instance *vi)
{
	while (vi->regions) {
		struct vdev_region *r = vi->regions;

		vi->regions = r->next;
		free(r);
	}
	while (vi->lines) {
		struct vdev_line *l = vi->lines;

		vi->lines = l->next;
		free(l);
	}
	free(vi->intrs);
	if (vi->vio)
		vio_free(vi->vio);
	if (vi->loop)
		loop_free(vi->loop);
	if (vi->vdev.v_factory->factory_flags & VFF_MUTEX)
		pthread_mutex_destroy(&vi->vdev.v_mtx);
	free(vi->vdev.v_device);
	free(vi);
}

void vdev_host_free(struct vdev_host *host)
{
	if (!host)
		return;
	while (host->first) {
		struct vdev_instance *vi = host->first;

		host->first = vi->next;
		instance_free(vi);
	}
	if (host->clock)
		clock_free(host->clock);
	gasp_free(host->gasp);
	instr_free(host);
	power_free(host);
	free(host->acpi);
	free(host->lines);
	free(host->loads);
	free(host);
	the_host = NULL;
}

static void mutex_make(pthread_mutex_t *mutex, bool recursive)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr,
				  recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_DEFAULT);
	pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
}

static struct vdev_instance *instance_make(struct vdev_host *host, const struct conf_vdev *conf)
{
	struct vdev_instance *vi = calloc(1, sizeof(*vi));
	const struct vdev_type *type = vdev_type_of(conf->type);
	const struct vdev_factory *f = type->factory;

	if (!vi)
		return NULL;
	vi->host = host;
	vi->type = type;
	vi->conf = conf;
	vi->blame = conf->pos;
	vi->chip = -1;
	vi->gsi_base = -1;
	vi->vdev.v_factory = f;
	vi->gsp = (struct guest_system *)host;
	vi->vdev.v_block.location = QSL_NO_LOCATION;
	vi->vdev.v_block.qst_type = QST_NO_TYPE;
	if (f->extra_space) {
		vi->vdev.v_device = calloc(1, f->extra_space);
		if (!vi->vdev.v_device) {
			free(vi);
			return NULL;
		}
	}
	if (f->factory_flags & VFF_MUTEX)
		mutex_make(&vi->vdev.v_mtx, f->factory_flags & VFF_MUTEX_RECURSIVE);
	if (conf->name.text)
		snprintf(vi->label, sizeof(vi->label), "vdev %s '%s'", type->name, conf->name.text);
	else
		snprintf(vi->label, sizeof(vi->label), "vdev %s", type->name);
	*host->last = vi;
	host->last = &vi->next;
	return vi;
}

void vdev_refuse(struct vdev_instance *vi, const char *fmt, va_list args)
{
	char text[512];

	vi->refused = true;
	if (vi->muted)
		return;
	vsnprintf(text, sizeof(text), fmt, args);
	conf_error(vi->host->conf, &vi->blame, "%s: %s", vi->label, text);
}

int instance_control(struct vdev_instance *vi, vdev_ctrl_options_t ctrl, const char *arg,
		     const struct conf_pos *blame)
{
	vi->blame = *blame;
	int rc = fatal_control(vi, ctrl, arg);

	if (rc != EOK && !vi->refused && !vi->conf->wrong)
		conf_error(vi->host->conf, blame, "%s does not start: %s", vi->label,
			   strerror(rc == -1 ? EINVAL : rc));
	return rc;
}

static void apply_loc(struct vdev_instance *vi)
{
	const struct conf_loc *loc = &vi->conf->loc;
	struct qvm_state_block *b = &vi->vdev.v_block;
	static const qvm_state_types_t types[] = {
		[CONF_SPACE_MEM] = QST_MEMORY,
		[CONF_SPACE_IO] = QST_X86_IO,
		[CONF_SPACE_PCI] = QST_PCI,
	};

	if (!vi->conf->has_loc)
		return;
	if (loc->space == CONF_SPACE_PCI_ID) {
		conf_error(vi->host->conf, &loc->pos, "%s cannot be placed by vendor and device id",
			   vi->label);
		conf_expected(vi->host->conf, "pci:BUS:DEV[.FUNC]");
		return;
	}
	b->qst_type = types[loc->space];
	b->location = loc->space == CONF_SPACE_PCI
			      ? QSL_PCI_MAKE_LOC(loc->bus, loc->dev, loc->func, 0)
			      : loc->addr;
}

static int instance_options(struct vdev_instance *vi)
{
	vi->started = true;
	if (instance_control(vi, VDEV_CTRL_OPTIONS_START, NULL, &vi->conf->pos) != EOK) {
		vi->broken = true;
		return 0;
	}
	apply_loc(vi);
	if (vi->conf->sched.given) {
		char policy = vi->conf->sched.policy;

		vi->vdev.v_sched = (struct qvm_sched_info){
			.priority = (int)vi->conf->sched.prio,
			.policy = policy == 'r'	  ? SCHED_RR
				  : policy == 'f' ? SCHED_FIFO
						  : SCHED_OTHER,
		};
	}
	int rc = pic_intrs(vi);

	if (rc)
		return rc;
	for (unsigned i = 0; i < vi->conf->num_options; i++) {
		const struct conf_option *o = &vi->conf->options[i];

		if (o->common == CONF_COMMON_NONE && !vi->broken)
			(void)instance_control(vi, VDEV_CTRL_FIRST_OPTIDX + o->index, o->text,
					       o->text_pos.source ? &o->text_pos : &o->pos);
	}
	/* Until it has its place: without an option that was wrong it finds others missing. */
	vi->muted = vi->refused || vi->conf->lacks;
	if (!vi->broken)
		(void)instance_control(vi, VDEV_CTRL_OPTIONS_END, NULL, &vi->conf->pos);
	return 0;
}

static bool instance_is_pci(const struct vdev_instance *vi)
{
	const struct qvm_state_block *b = &vi->vdev.v_block;

	return (vi->vdev.v_factory->factory_flags & VFF_VDEV_PCI) &&
	       (b->qst_type == QST_PCI || b->location == QSL_NO_LOCATION);
}

static int region_plan(const struct vdev_instance *vi, const struct qvm_state_block *where)
{
	enum engine_space space;

	if (vdev_space(where->qst_type, &space))
		return 0;
	if (!where->length && (vi->refused || vi->conf->wrong))
		return 0; /* it did not come to that */
	if (!where->length) {
		conf_error(
			vi->host->conf, vi->conf->has_loc ? &vi->conf->loc.pos : &vi->conf->pos,
			"%s has a place at 0x%llx with a length of 0: a vdev sets v_block.length "
			"in VDEV_CTRL_ASSIGN or before",
			vi->label, (unsigned long long)where->location);
		return 0;
	}
	const struct plan_region r = {
		.space = space == ENGINE_IO ? PLAN_IO : PLAN_MEM,
		.kind = vi->type->info && vi->type->info->flags & QVMX_VDEV_GUARD ? PLAN_GUARD
										  : PLAN_VDEV,
		.start = where->location,
		.len = where->length,
		.owner = vi->label,
		.pos = vi->conf->has_loc ? vi->conf->loc.pos : vi->conf->pos,
	};
	int rc = plan_region_add(vi->host->plan, &r);

	return rc == -ENOMEM ? rc : 0;
}

static bool location_is_wrong(const struct vdev_instance *vi)
{
	unsigned flags = vi->vdev.v_factory->factory_flags;

	switch (vi->vdev.v_block.qst_type) {
	case QST_MEMORY:
		return !(flags & VFF_VDEV_MEM);
	case QST_X86_IO:
		return !(flags & VFF_VDEV_X86_IO);
	case QST_PCI:
		return !(flags & VFF_VDEV_PCI);
	default:
		return false;
	}
}

static void places_expected(struct conf *conf, unsigned flags)
{
	struct strbuf words = { 0 };

	if (flags & VFF_VDEV_MEM)
		strbuf_add_text(&words, " or `loc ADDRESS`");
	if (flags & VFF_VDEV_X86_IO)
		strbuf_add_text(&words, " or `loc io:PORT`");
	if (flags & VFF_VDEV_PCI)
		strbuf_add_text(&words, " or `loc pci:0:DEV[.FUNC]`");
	conf_expected(conf, "%s", words.len ? strbuf_text(&words) + strlen(" or ") : "no `loc`");
	strbuf_free(&words);
}

/* The vdev's function on the bus. False: it has none. */
static bool function_find(const struct vdev_instance *vi, unsigned *ret_devfn)
{
	struct pci_listing list[256];
	unsigned n = pci_bus_list(vi->host->pci, list, ARRAY_LEN(list));

	for (unsigned i = 0; i < n && i < ARRAY_LEN(list); i++) {
		if (list[i].name != vi->label)
			continue;
		*ret_devfn = list[i].devfn;
		return true;
	}
	return false;
}

static void pci_plan(struct vdev_instance *vi)
{
	unsigned devfn;

	vi->vdev.v_block.qst_type = QST_PCI;
	if (instance_control(vi, VDEV_CTRL_PCI_BARS, NULL,
			     vi->conf->has_loc ? &vi->conf->loc.pos : &vi->conf->pos) == EOK &&
	    !vi->refused && !function_find(vi, &devfn))
		conf_error(vi->host->conf, &vi->conf->pos,
			   "%s is no PCI function: in VDEV_CTRL_PCI_BARS it called neither "
			   "qvmx_pci_function nor vio_ctrl_pci_bars",
			   vi->label);
}

/* After ASSIGN: the vdev's place and interrupt become part of the plan. */
static int instance_plan(struct vdev_instance *vi)
{
	unsigned flags = vi->vdev.v_factory->factory_flags;
	struct qvm_state_block *b = &vi->vdev.v_block;
	struct conf *conf = vi->host->conf;
	bool is_pci = instance_is_pci(vi);
	int rc = 0;

	if (location_is_wrong(vi)) {
		conf_error(conf, vi->conf->has_loc ? &vi->conf->loc.pos : &vi->conf->pos,
			   "%s cannot lie in that kind of place", vi->label);
		places_expected(conf, flags);
		return 0;
	}
	if (vi->conf->accel == CONF_ACCEL_ON && !vi->modelled)
		conf_error(conf, &vi->conf->accel_pos,
			   vi->chip < 0 ? "KVM has no model of %s" : "%s cannot be KVM's here: %s",
			   vi->label, vi->host->machine.why);
	if (vi->chip >= 0 && !vi->modelled && !vi->vdev.v_factory->vread)
		conf_error(conf, &vi->conf->pos, "%s is KVM's model only, which is not used: %s",
			   vi->label, vi->host->machine.why);
	if ((flags & VFF_INTR_NO) && vi->conf->num_intrs) {
		conf_error(conf, &vi->conf->intrs[0].pos, "%s has no interrupt", vi->label);
		conf_expected(conf, is_pci ? "no `intr`: a PCI function's interrupts are messages "
					     "and a pin, which need no line here"
					   : "no `intr`");
	}
	if ((flags & VFF_INTR_REQ || (!is_pci && (flags & VFF_INTR_NONPCI || vi->vio))) &&
	    !vi->vdev.v_intr.pic && !vi->conf->num_intrs && !vi->conf->wrong) {
		conf_error(conf, &vi->conf->pos, "%s needs an interrupt", vi->label);
		conf_expected(conf, "intr PIC:LINE");
	}
	if (is_pci)
		pci_plan(vi);
	for (const struct vdev_region *r = vi->regions; r && !rc; r = r->next)
		rc = region_plan(vi, &r->where);
	if (rc || is_pci)
		return rc;
	if ((flags & (VFF_LOC_NO | VFF_MANUAL_REGION)))
		return 0;
	if (b->location == QSL_NO_LOCATION) {
		if (vi->conf->wrong)
			return 0;
		if (flags & VFF_VDEV_LOC_TYPES) {
			conf_error(conf, &vi->conf->pos, "%s needs a place", vi->label);
			conf_expected(conf, "loc ADDRESS");
		} else if (vi->vdev.v_factory->vread && !vi->regions) {
			conf_warning(conf, &vi->conf->pos,
				     "%s answers reads and lies nowhere: its factory_flags have "
				     "none of VFF_VDEV_MEM, VFF_VDEV_X86_IO and VFF_VDEV_PCI",
				     vi->label);
		}
		return 0;
	}
	if (vi->vio && b->qst_type == QST_MEMORY)
		rc = vio_mmio_plan(vi);
	return rc ? rc : region_plan(vi, b);
}

/* Guests look for functions 1 to 7 of a device only where there is a function 0. */
static void function_check(const struct vdev_instance *vi)
{
	const struct qvm_state_block *b = &vi->vdev.v_block;
	unsigned dev = QSL_PCI_DEV(b->location);

	if (b->qst_type != QST_PCI || b->location == QSL_NO_LOCATION ||
	    !QSL_PCI_FUNC(b->location) ||
	    pci_config_read(vi->host->pci, (unsigned)PCI_DEVFN(dev, 0), 0, 2) != PCI_NO_VENDOR)
		return;
	conf_error(vi->host->conf, &vi->conf->loc.pos,
		   "%s is function %u of PCI device 0:%u, which has no function 0: the guest would "
		   "not look for it",
		   vi->label, (unsigned)QSL_PCI_FUNC(b->location), dev);
	conf_expected(vi->host->conf, "another vdev at that device's function 0; "
				      "`vdev pci-dummy` can hold it");
}

int vdev_host_configure(struct vdev_host *host)
{
	for (unsigned i = 0; i < host->conf->num_vdevs; i++) {
		if (!host->conf->vdevs[i].type)
			continue;
		struct vdev_instance *vi = instance_make(host, &host->conf->vdevs[i]);

		if (!vi)
			return -ENOMEM;
		int options_rc = instance_options(vi);

		if (options_rc)
			return options_rc;
	}
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next) {
		if (!vi->broken)
			(void)instance_control(vi, VDEV_CTRL_ASSIGN, NULL, &vi->conf->pos);
		vi->muted = false;
	}
	int rc = pic_machine_pick(host);

	if (rc)
		return rc;
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next) {
		rc = vi->broken ? 0 : instance_plan(vi);
		if (rc)
			return rc;
	}
	/* VDEV_CTRL_PCI_BARS was the last chance to set some. */
	rc = gasp_plan(host->gasp, region_plan);
	if (rc)
		return rc;
	for (const struct vdev_instance *vi = host->first; vi; vi = vi->next)
		function_check(vi);
	return 0;
}

static int instance_region_attach(struct vdev_instance *vi, const struct qvm_state_block *where,
				  unsigned cookie, const char **ret_why)
{
	enum engine_space space;

	if (vdev_space(where->qst_type, &space))
		return 0;
	const struct bus_region r = {
		.space = space,
		.start = where->location,
		.len = where->length,
		.acc_sizes = vi->vdev.v_factory->acc_sizes,
		.cookie = cookie,
		.handler = vdev_access,
		.opaque = vi,
		.owner = vi->label,
	};
	*ret_why = vi->label;
	return bus_region_replace(vi->host->bus, NULL, &r, NULL);
}

static int instance_attach(struct vdev_instance *vi, const char **ret_why)
{
	unsigned flags = vi->vdev.v_factory->factory_flags;
	int rc = pic_attach(vi);

	if (rc || vi->modelled || (!vi->vdev.v_factory->vread && !vi->vdev.v_factory->vwrite))
		return rc;
	for (const struct vdev_region *r = vi->regions; r && !rc; r = r->next)
		rc = instance_region_attach(vi, &r->where, r->cookie, ret_why);
	if (!rc && !(flags & (VFF_LOC_NO | VFF_MANUAL_REGION)) &&
	    vi->vdev.v_block.location != QSL_NO_LOCATION)
		rc = instance_region_attach(vi, &vi->vdev.v_block, 0, ret_why);
	if (!rc && vi->vio)
		vio_mmio_attach(vi);
	return rc;
}

int vdev_host_attach(struct vdev_host *host, struct engine *engine, struct bus *bus,
		     struct irq *irq, const char **ret_why)
{
	host->engine = engine;
	host->bus = bus;
	host->irq = irq;
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next) {
		int rc = instance_attach(vi, ret_why);

		if (rc)
			return rc;
	}
	*ret_why = "regions that vdevs have set";
	int regions_rc = gasp_attach(host->gasp);

	if (regions_rc)
		return regions_rc;
	vdev_host_intx_attach(host);
	return pci_bus_attach(host->pci, bus, irq, engine, ret_why);
}

int vdev_host_configured(struct vdev_host *host)
{
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
		if (!vi->broken)
			(void)instance_control(vi, VDEV_CTRL_GUEST_CONFIGURED, NULL,
					       &vi->conf->pos);
	return host->conf->num_errors ? -EINVAL : 0;
}

int vdev_host_gen_acpi(struct vdev_host *host)
{
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
		(void)instance_control(vi, VDEV_CTRL_GEN_ACPI, NULL, &vi->conf->pos);
	/* The id of a VirtIO-MMIO device is that of its transport; no vdev has to know it. */
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
		if (vio_is_mmio(vi))
			(void)qvmx_acpi_device(&vi->vdev, "LNRO0005", NULL, 0);
	return host->conf->num_errors ? -EINVAL : 0;
}

int vdev_host_load_add(struct vdev_host *host, const struct vdev_load *piece)
{
	struct vdev_load *more = realloc(host->loads, (host->num_loads + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	host->loads = more;
	more[host->num_loads++] = *piece;
	return 0;
}

int vdev_host_starting(struct vdev_host *host, struct guest_cpu *boot)
{
	int rc = 0;

	for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
		(void)instance_control(vi, VDEV_CTRL_GUEST_STARTING, (const char *)boot,
				       &vi->conf->pos);
	if (host->conf->num_errors)
		return -EINVAL;
	host->running = true;
	if (host->stepped)
		return 0;
	for (struct vdev_instance *vi = host->first; vi && !rc; vi = vi->next)
		if (vi->loop)
			rc = loop_start(vi->loop);
	if (!rc && host->clock)
		rc = clock_start(host->clock);
	return rc;
}

unsigned vdev_host_step(struct vdev_host *host)
{
	unsigned total = 0, before;

	/* What one vdev does may give another something to do. */
	do {
		before = total;
		for (struct vdev_instance *vi = host->first; vi; vi = vi->next) {
			unsigned batches = 0, n = 1;

			while (vi->loop && n && batches++ < STEP_MAX_BATCHES)
				total += n = loop_batch(vi->loop, 0);
		}
	} while (total != before && total < STEP_MAX_BATCHES);
	return total;
}

bool vdev_host_deadline(struct vdev_host *host, uint64_t *ret_ns)
{
	return host->clock && clock_deadline(host->clock, ret_ns);
}

bool vdev_host_fire(struct vdev_host *host)
{
	return host->clock && clock_fire_due(host->clock);
}

bool vdev_host_button(struct vdev_host *host)
{
	bool any = false;

	for (struct vdev_instance *vi = host->first; vi; vi = vi->next) {
		if (!vi->button)
			continue;
		any = true;
		(void)vi->vdev.v_factory->control(&vi->vdev, VDEV_CTRL_BUTTON, NULL);
	}
	return any;
}

int vdev_host_instructions(struct vdev_host *host, struct guest_cpu *const *cpus, unsigned num_cpus,
			   const char **ret_why)
{
	int rc = instr_apply(host, cpus, num_cpus, ret_why);

	host->cpus = cpus;
	host->num_cpus = num_cpus;
	host->loading = true;
	return rc;
}

/* One line about it, then what it says itself, by `line`. */
static void status_of(struct vdev_instance *vi, void (*line)(struct vdev_host *host, const char *))
{
	const struct qvm_state_block *b = &vi->vdev.v_block;
	const struct conf_intr *intr = vi->conf->num_intrs ? &vi->conf->intrs[0] : NULL;
	char where[64] = "";
	unsigned devfn;

	if (function_find(vi, &devfn))
		snprintf(where, sizeof(where), " on the PCI bus at 00:%02x.%u", devfn >> 3,
			 devfn & 7);
	else if (b->location != QSL_NO_LOCATION)
		snprintf(where, sizeof(where), " at %s 0x%llx",
			 b->qst_type == QST_X86_IO ? "port" : "address",
			 (unsigned long long)b->location);
	char text[256];

	snprintf(text, sizeof(text), "%s%s%s%s", vi->label, where, intr ? ", interrupt " : "",
		 intr ? intr->text : "");
	line(vi->host, text);
	(void)vi->vdev.v_factory->control(&vi->vdev, VDEV_CTRL_STATUS, NULL);
}

static void line_to_log(struct vdev_host *host, const char *text)
{
	(void)host;
	log_write(LOG_SEV_INFO, "status: %s", text);
}

static void line_to_report(struct vdev_host *host, const char *text)
{
	strbuf_printf(host->report, "%s\n", text);
}

static void status_of_all(struct vdev_host *host,
			  void (*line)(struct vdev_host *host, const char *))
{
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
		if (conf_set_bool(host->conf, "debug", (int)(vi->conf - host->conf->vdevs)))
			status_of(vi, line);
}

void vdev_host_status(struct vdev_host *host)
{
	host->report_to_log = true;
	status_of_all(host, line_to_log);
	host->report_to_log = false;
}

void vdev_host_report(struct vdev_host *host, struct strbuf *out)
{
	host->report = out;
	status_of_all(host, line_to_report);
	host->report = NULL;
}

static void terminate_from(struct vdev_instance *vi)
{
	/* Reverse order; the list is as long as the configuration. */
	if (vi->next)
		terminate_from(vi->next);
	if (vi->started)
		(void)vi->vdev.v_factory->control(&vi->vdev, VDEV_CTRL_TERMINATE, NULL);
	vi->started = false;
}

/* The drivers' requests come to an end as in a reset that the driver asked for: the host has stuck
 * if that takes long. */
static void quiesce(struct vdev_host *host)
{
	enum { LIMIT_MS = 10000 };
	bool pending = true;

	for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
		if (vi->vio)
			vio_end(vi->vio);
	for (unsigned ms = 0; pending && ms < LIMIT_MS; ms++) {
		pending = false;
		for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
			pending |= vi->vio && vio_ending(vi->vio);
		if (pending && host->stepped && vdev_host_step(host))
			continue;
		if (pending)
			usleep(1000);
	}
	if (pending)
		log_write(LOG_SEV_WARN,
			  "requests of the guest are stuck in the host; the VM ends all the same");
}

void vdev_host_terminate(struct vdev_host *host)
{
	if (host->running)
		quiesce(host);
	if (host->clock)
		clock_stop(host->clock);
	for (struct vdev_instance *vi = host->first; vi; vi = vi->next)
		if (vi->loop)
			loop_stop(vi->loop);
	if (host->first)
		terminate_from(host->first);
}
