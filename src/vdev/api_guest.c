/* SPDX-License-Identifier: Apache-2.0 */
/* The public API over bus, memory, interrupts: accesses, guest.h, x/conf.h, x/acpi.h, x/region.h.
 */
#include "vdev/api.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "vdev/host.h"
#include "vdev/state.h"

int vdev_space(qvm_state_types_t type, enum engine_space *ret_space)
{
	if (type == QST_MEMORY)
		*ret_space = ENGINE_MEM;
	else if (type == QST_X86_IO)
		*ret_space = ENGINE_IO;
	else
		return -EINVAL;
	return 0;
}

enum bus_result vdev_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	struct vdev_instance *vi = opaque;
	const struct vdev_factory *f = vi->vdev.v_factory;
	const struct qvm_state_block vopnd = {
		.location = acc->offset,
		.length = acc->len,
		.qst_type = vi->vdev.v_block.qst_type,
	};
	const struct qvm_state_block oopnd = {
		.location = (uintptr_t)acc->data,
		.length = acc->len,
		.qst_type = QST_HOST,
	};
	vdev_ref_status_t (*ref)(vdev_t *, unsigned, const struct qvm_state_block *,
				 const struct qvm_state_block *, struct guest_cpu *) =
		acc->write ? f->vwrite : f->vread;

	if (!ref)
		return BUS_NOT_FOUND;
	struct guest_cpu *own = state_own_set(acc->gcp);
	vdev_ref_status_t status = ref(&vi->vdev, cookie, &vopnd, &oopnd, acc->gcp);

	(void)state_own_set(own);
	return vdev_status(vi, status, acc->write ? "a write at offset" : "a read at offset",
			   acc->offset);
}

enum bus_result vdev_status(struct vdev_instance *vi, vdev_ref_status_t status, const char *what,
			    uint64_t number)
{
	switch (status) {
	case VRS_NORMAL:
		return BUS_OK;
	case VRS_NO_ADVANCE:
	case VRS_ABORT:
		return BUS_NO_ADVANCE;
	case VRS_BUS_ERROR:
		return BUS_FAULT;
	case VRS_TERMINATE:
		if (atomic_load(&vi->host->cause) < 0)
			log_write(LOG_SEV_FATAL, "%s ends the VM", vi->label);
		return BUS_TERMINATE;
	default:
		log_write(LOG_SEV_FATAL, "%s fails on %s 0x%llx: %s", vi->label, what,
			  (unsigned long long)number,
			  status > VRS_ERRNO ? strerror((int)status - (int)VRS_ERRNO)
					     : "unknown status");
		return BUS_ERROR;
	}
}

void guest_msi_signal(vdev_t *src, uint64_t addr, unsigned data)
{
	(void)vdev_msi_send(src, addr, data);
}

int vdev_msi_send(const vdev_t *src, uint64_t addr, unsigned data)
{
	struct vdev_host *host = vdev_instance_of(src)->host;
	const struct engine_msi_route message = { .addr = addr, .data = data };

	if (!host->engine) {
		vdev_logf(QL_QVM_ERR, src, "guest_msi_signal is a call of the running stage");
		return EINVAL;
	}
	for (unsigned i = 0; i < host->num_msi_ranges; i++) {
		const struct vdev_msi_range *r = &host->msi_ranges[i];

		if ((addr & r->mask) != (r->addr & r->mask))
			continue;
		r->deliver(r->pic, src, addr, data, r->cookie);
		return EOK;
	}
	return -host->engine->ops->msi_send(host->engine, &message);
}

void guest_msi_register(vdev_t *pic, uint64_t paddr, uint64_t mask,
			guest_msi_deliver_func_t *deliver, unsigned cookie)
{
	struct vdev_host *host = vdev_instance_of(pic)->host;

	if (vdev_too_late(pic, "guest_msi_register", false))
		return;
	if (host->num_msi_ranges == MSI_MAX_RANGES) {
		(void)qvmx_refuse(pic, "controllers take messages to more than %d ranges",
				  MSI_MAX_RANGES);
		return;
	}
	host->msi_ranges[host->num_msi_ranges++] = (struct vdev_msi_range){
		.pic = pic, .addr = paddr, .mask = mask, .deliver = deliver, .cookie = cookie
	};
}

int guest_write_core_file(void)
{
	struct vdev_host *host = vdev_host_current();

	if (!host || !host->conf->dump.text)
		return ENOENT;
	atomic_fetch_add(&host->num_cores, 1);
	if (host->core_file)
		host->core_file(host->terminate_ctx);
	return EOK;
}

void guest_terminate(guest_termination_cause_t cause)
{
	struct vdev_host *host = vdev_host_current();
	int none = -1, status = (int)cause;

	if (!host)
		return;
	if (status < GTC_NORMAL_EXIT || status > GTC_CUSTOM_MAX)
		status = GTC_VDEV_ERROR;
	atomic_compare_exchange_strong(&host->cause, &none, status);
	if (host->terminate)
		host->terminate(host->terminate_ctx, status);
}

int vdev_string(char *buf, size_t count, const vdev_t *vdp)
{
	const struct qvm_state_block *b = &vdp->v_block;
	static const char *const spaces[] = { "mem:", "io:", "pci:" };
	const char *space = b->qst_type == QST_PCI	? spaces[2]
			    : b->qst_type == QST_X86_IO ? spaces[1]
							: spaces[0];

	if (b->location == QSL_NO_LOCATION)
		return snprintf(buf, count, "%s", vdev_instance_of(vdp)->label);
	return snprintf(buf, count, "%s at %s0x%llx", vdev_instance_of(vdp)->label, space,
			(unsigned long long)b->location);
}

bool vdev_too_late(const vdev_t *vdp, const char *call, bool late)
{
	const struct vdev_host *host = vdev_host_current();

	if (!late && host && !host->running)
		return false;
	vdev_logf(QL_QVM_ERR, vdp, "%s is a call of the start-up stage: it is refused", call);
	return true;
}

int vdev_path(char *buf, size_t count, const vdev_t *vdp)
{
	const struct vdev_instance *vi = vdev_instance_of(vdp);
	const char *root = getenv("QVM_RUN_DIR"), *system = vi->host->conf->system.text;

	if (!system || !vi->conf->name.text)
		return snprintf(buf, count, "%s", "");
	return snprintf(buf, count, "%s/qvm/%s/%s", root && *root ? root : "/run", system,
			vi->conf->name.text);
}

int guest_button_register(vdev_t *vdp)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);

	if (vdev_too_late(vdp, "guest_button_register", false))
		return EINVAL;
	vi->button = true;
	return EOK;
}

struct thread_start {
	vdev_thread_create_func_t *run;
	void *arg;
	struct qvm_sched_info sched;
	char name[16];
};

static void *thread_named(void *arg)
{
	struct thread_start start = *(struct thread_start *)arg;
	sigset_t all;

	free(arg);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pthread_setname_np(pthread_self(), start.name);
	if (start.sched.priority) {
		char policy = start.sched.policy == SCHED_RR	 ? 'r'
			      : start.sched.policy == SCHED_FIFO ? 'f'
								 : 'o';
		int rc = thread_schedule((unsigned)start.sched.priority, policy);

		if (rc)
			log_write(LOG_SEV_WARN, "thread %s: no right to priority %d: %s",
				  start.name, start.sched.priority, strerror(-rc));
	}
	return start.run(start.arg);
}

int vdev_thread_create(const vdev_t *vdp, const char *name, pthread_t *thread, pthread_attr_t *attr,
		       vdev_thread_create_func_t *start_routine, void *arg)
{
	struct thread_start *start = calloc(1, sizeof(*start));

	if (!start)
		return ENOMEM;
	start->run = start_routine;
	start->arg = arg;
	start->sched = vdp->v_sched;
	snprintf(start->name, sizeof(start->name), "%s",
		 name ? name : vdev_instance_of(vdp)->type->name);
	int rc = pthread_create(thread, attr, thread_named, start);

	if (rc)
		free(start);
	return rc;
}

int qvmx_refuse(const vdev_t *vdp, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vdev_refuse(vdev_instance_of(vdp), fmt, args);
	va_end(args);
	return EINVAL;
}

uint64_t qvmx_option_value(const struct qvmx_option *opt, const char *text)
{
	uint64_t value = 0;

	return conf_option_value(opt, text, &value) ? 0 : value;
}

int qvmx_option_parse(const struct qvmx_option *opt, const char *text, uint64_t *ret_value)
{
	return -conf_option_value(opt, text, ret_value);
}

int qvmx_load_piece(const vdev_t *vdp, unsigned index, struct qvmx_load *ret_piece)
{
	const struct vdev_host *host = vdev_instance_of(vdp)->host;

	if (index >= host->num_loads)
		return ENOENT;
	const struct vdev_load *l = &host->loads[index];

	*ret_piece = (struct qvmx_load){
		.path = l->path, .line = l->line, .gpa = l->gpa, .offset = l->offset, .len = l->len
	};
	return EOK;
}

int qvmx_region_add(vdev_t *vdp, const struct qvm_state_block *where, unsigned cookie)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	enum engine_space space;

	if (vdev_space(where->qst_type, &space) ||
	    vdev_too_late(vdp, "qvmx_region_add", vi->host->engine))
		return EINVAL;
	struct vdev_region *r = calloc(1, sizeof(*r));

	if (!r)
		return ENOMEM;
	*r = (struct vdev_region){ .next = vi->regions, .where = *where, .cookie = cookie };
	vi->regions = r;
	return EOK;
}

int qvmx_acpi_device(vdev_t *vdp, const char *hid, const struct qvmx_acpi_ports *more,
		     unsigned num_more)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);
	struct vdev_host *host = vi->host;
	struct vdev_acpi *grown = realloc(host->acpi, (host->num_acpi + 1) * sizeof(*grown));
	unsigned uid = 0;

	if (!grown)
		return ENOMEM;
	host->acpi = grown;
	for (unsigned i = 0; i < host->num_acpi; i++)
		uid += strcmp(grown[i].hid, hid) == 0;
	grown[host->num_acpi++] = (struct vdev_acpi){
		.vdev = vi, .hid = hid, .more = more, .num_more = num_more, .uid = uid
	};
	return EOK;
}

int qvmx_acpi_hpet(vdev_t *vdp, uint32_t id, uint16_t min_ticks)
{
	struct vdev_instance *vi = vdev_instance_of(vdp);

	if (!vi->host->hpet.vdev)
		vi->host->hpet = (struct vdev_hpet){ .vdev = vi, .id = id, .min_ticks = min_ticks };
	return EOK;
}
