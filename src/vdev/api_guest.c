/* SPDX-License-Identifier: Apache-2.0 */
/* The public API over bus, memory, interrupts: guest.h, gasp.h, log.h, x/conf.h, x/model.h,
 * x/acpi.h, x/region.h. */
#include "vdev/api.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "base/thread.h"
#include "vdev/host.h"

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
	vdev_ref_status_t status = ref(&vi->vdev, cookie, &vopnd, &oopnd, acc->gcp);

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
		log_write(LOG_SEV_FATAL, "%s fails on %s at offset 0x%llx: %s", vi->label,
			  acc->write ? "a write" : "a read", (unsigned long long)acc->offset,
			  status > VRS_ERRNO ? strerror((int)status - (int)VRS_ERRNO)
					     : "unknown status");
		return BUS_ERROR;
	}
}

_Static_assert(sizeof(struct qvmx_cpu_registers) == sizeof(struct engine_regs), "registers");

/* Only a vCPU that has not run yet is known to be stopped. */
static int regs_copy(struct guest_cpu *gcp, uint64_t offset, uint8_t *data, size_t len,
		     bool to_regs)
{
	struct engine_regs regs;

	if (!gcp || !range_inside(offset, len, 0, sizeof(regs)))
		return EINVAL;
	if (vdev_host_current()->running)
		return EPERM;
	int rc = gcp->engine->ops->vcpu_regs_get(gcp, &regs);

	if (rc)
		return -rc;
	if (!to_regs) {
		memcpy(data, (uint8_t *)&regs + offset, len);
		return EOK;
	}
	memcpy((uint8_t *)&regs + offset, data, len);
	return -gcp->engine->ops->vcpu_regs_set(gcp, &regs);
}

/* Copy between the blocks, taken as one string of bytes, and data. */
static int blocks_copy(struct guest_cpu *gcp, const struct qvm_state_block *blk, unsigned nblks,
		       uint8_t *data, size_t len, bool to_blocks)
{
	struct vdev_host *host = vdev_host_current();

	for (unsigned i = 0; i < nblks && len; i++) {
		size_t n = MIN(len, blk[i].length);

		if (!n)
			continue;
		uint64_t immediate = blk[i].location;
		void *p = NULL;
		int rc = EOK;

		switch (blk[i].qst_type) {
		case QST_HOST:
			p = (void *)(uintptr_t)blk[i].location;
			break;
		case QST_MEMORY:
			p = memory_translate(host->mem, blk[i].location, n, to_blocks);
			if (!p)
				return EFAULT;
			break;
		case QST_IMMEDIATE:
			if (to_blocks || n > sizeof(immediate))
				return EINVAL;
			p = &immediate;
			break;
		case QST_CPUREGS:
			rc = regs_copy(gcp, blk[i].location, data, n, to_blocks);
			break;
		default:
			return ENOTSUP;
		}
		if (rc != EOK)
			return rc;
		if (p)
			memcpy(to_blocks ? p : (void *)data, to_blocks ? (void *)data : p, n);
		data += n;
		len -= n;
	}
	return len ? ERANGE : EOK;
}

int guest_cpu_read(struct guest_cpu *gcp, guest_cpu_access_flags_t flags,
		   const struct qvm_state_block *blk, unsigned nblks, void *data, size_t data_len)
{
	(void)flags;
	return blocks_copy(gcp, blk, nblks, data, data_len, false);
}

int guest_cpu_write(struct guest_cpu *gcp, guest_cpu_access_flags_t flags,
		    const struct qvm_state_block *blk, unsigned nblks, const void *data,
		    size_t data_len)
{
	(void)flags;
	return blocks_copy(gcp, blk, nblks, (uint8_t *)(uintptr_t)data, data_len, true);
}

int guest_write_all_ones(struct guest_cpu *gcp, const struct qvm_state_block *blk)
{
	const uint64_t ones = UINT64_MAX;

	struct qvm_state_block part = *blk;
	int rc = EOK;

	while (rc == EOK && part.length) {
		size_t n = MIN(part.length, sizeof(ones));

		rc = guest_cpu_write(gcp, GXF_NONE, &part, 1, &ones, n);
		part.location += n;
		part.length -= n;
	}
	return rc;
}

void guest_msi_signal(vdev_t *src, uint64_t addr, unsigned data)
{
	struct vdev_host *host = vdev_instance_of(src)->host;

	(void)host->engine->ops->msi_send(host->engine, addr, data);
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

void *gasp_map_vdma(vdev_t *vdp, uint64_t gpa, size_t len, unsigned flags)
{
	void *p = memory_translate(vdev_instance_of(vdp)->host->mem, gpa, len, flags & GMF_WRITE);

	if (!p)
		errno = EFAULT;
	return p;
}

int gasp_unmap(void *va, size_t len, int flush)
{
	(void)va, (void)len, (void)flush;
	return EOK;
}

static enum log_severity severity_of(unsigned severity)
{
	static const enum log_severity table[] = { LOG_SEV_FATAL,  LOG_SEV_INTERNAL, LOG_SEV_ERROR,
						   LOG_SEV_WARN,   LOG_SEV_INFO,     LOG_SEV_DEBUG,
						   LOG_SEV_VERBOSE };

	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		if (severity & (1u << i))
			return table[i];
	return LOG_SEV_INFO;
}

static void log_to(const struct log_sink *sink, enum log_severity severity, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

static void log_to(const struct log_sink *sink, enum log_severity severity, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_vwrite(sink, severity, fmt, args);
	va_end(args);
}

void vdev_logf(unsigned severity, const vdev_t *vdp, const char *fmt, ...)
{
	struct vdev_instance *vi = vdp ? vdev_instance_of(vdp) : NULL;
	char text[512];
	uint32_t held_back = 0;
	va_list args;

	if (vi && !log_limit_pass(&vi->log_limit, &held_back))
		return;
	if (held_back)
		log_write_suppressed(severity_of(severity), held_back);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	const struct log_sink sink = { .mask = vi ? vi->conf->log.mask : 0,
				       .dest = vi ? (enum log_dest)vi->conf->log.dest
						  : LOG_TO_NONE };

	log_to(vi && vi->conf->log.given ? &sink : NULL, severity_of(severity), "%s: %s",
	       vi ? vi->label : "vdev", text);
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

	if (vdev_space(where->qst_type, &space))
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
