/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev probe, for tests: calls of the documented API on command. Registers of 64 bits:
 *
 *     0x00  write: run that command; read: its result     0x20  what was returned (errno)
 *     0x08, 0x10, 0x18  arguments                          0x28  callbacks: see enum counter
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <qvm/gasp.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/outpipe.h>
#include <qvm/utils.h>
#include <qvm/x/cpu.h>
#include <qvm/x/loop.h>
#include <qvm/x/region.h>
#include "probe.h"

enum { HOST_BYTES = 0x10000, TRAP_COOKIE = 7 };

struct probe {
	uint64_t args[3], result, error;
	_Atomic uint64_t counters[PROBE_NUM_COUNTERS]; /* pulses and timers come on threads */
	uint8_t *host;				       /* memory for the guest */
	uint64_t msr;				       /* value of the register */
	uint64_t keep;				       /* gram_find_free */
	uint64_t place;				       /* from where on it looks for one */
	bool pick, late, empty;
	guest_intr_t line;
	struct guest_timer *timer;
	struct guest_timer_data fired;
	struct sigevent event;
	struct guest_power_state_notify *power;
};

static vdev_ref_status_t msr_access(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
				    unsigned qualifier)
{
	struct probe *p = vdp->v_device;
	const struct qvm_state_block value = { .location = qualifier,
					       .length = 8,
					       .qst_type = QST_X86_MSR };
	int err;

	p->counters[PROBE_TRAPS]++;
	if (qualifier == PROBE_MSR_FAULT)
		return VRS_BUS_ERROR;
	if (qualifier == PROBE_MSR_PASS)
		return VRS_CONTINUE;
	if (git == GIT_X86_WRMSR)
		err = guest_cpu_read(gcp, GXF_NONE, &value, 1, &p->msr, sizeof(p->msr));
	else
		err = guest_cpu_write(gcp, GXF_NONE, &value, 1, &p->msr, sizeof(p->msr));
	return guest_cpu_to_vrs(err);
}

/* By the registers of the instruction instead. */
static vdev_ref_status_t msr_by_registers(vdev_t *vdp, struct guest_cpu *gcp,
					  guest_instr_type_t git, unsigned qualifier)
{
	const uint64_t low = 0x11223344, high = 0x55667788;
	const struct qvm_state_block regs[] = {
		{ offsetof(struct qvmx_cpu_registers, rax), 8, QST_CPUREGS, 0, 0 },
		{ offsetof(struct qvmx_cpu_registers, rdx), 8, QST_CPUREGS, 0, 0 },
	};

	(void)vdp, (void)git, (void)qualifier;
	if (guest_cpu_write(gcp, GXF_NONE, &regs[0], 1, &low, 8) != EOK)
		return VRS_BUS_ERROR;
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, &regs[1], 1, &high, 8));
}

static vdev_ref_status_t cpuid_passes(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
				      unsigned qualifier)
{
	struct probe *p = vdp->v_device;

	(void)gcp, (void)git, (void)qualifier;
	p->counters[PROBE_LEAVES]++;
	return VRS_CONTINUE;
}

static vdev_ref_status_t cpuid_answers(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
				       unsigned qualifier)
{
	struct probe *p = vdp->v_device;
	uint64_t regs[4];
	const struct qvm_state_block all = { .length = sizeof(regs), .qst_type = QST_CPUREGS };

	(void)git;
	p->counters[PROBE_LEAVES]++;
	if (guest_cpu_read(gcp, GXF_NONE, &all, 1, regs, sizeof(regs)) != EOK ||
	    regs[0] != qualifier)
		return VRS_BUS_ERROR;
	regs[1] = 0x1111;
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, &all, 1, regs, sizeof(regs)));
}

static void message(vdev_t *pic, const vdev_t *src, uint64_t paddr, unsigned data, unsigned cookie)
{
	struct probe *p = pic->v_device;

	(void)src, (void)paddr;
	p->counters[PROBE_MESSAGES] = (uint64_t)cookie << 32 | data;
}

static int set_region(vdev_t *vdp, qvm_state_types_t type, bool locked)
{
	struct probe *p = vdp->v_device;
	const struct gasp_region r = {
		.grf_flags = (gasp_region_flags_t)p->args[2],
		.cookie = TRAP_COOKIE,
		.vdev = vdp,
		.host_location = (uintptr_t)p->host,
		.guest = { .location = p->args[0], .length = p->args[1], .qst_type = type },
	};

	if (locked && gasp_lock((uint16_t)type) != EOK)
		return -1;
	int err = gasp_region_set_soft(1, &r) == 1 ? EOK : errno;

	if (locked && gasp_unlock((uint16_t)type) != EOK)
		return -1;
	return err;
}

/* What the lock of one type gives for the other: a bit for each answer that is right. */
static uint64_t locks(vdev_t *vdp)
{
	uint64_t right = 0;

	right |= gasp_unlock(QST_MEMORY) == EPERM ? 1 : 0;
	right |= gasp_lock(QST_X86_IO) == EOK && gasp_lock(QST_X86_IO) == EOK ? 2 : 0;
	right |= gasp_unlock(QST_MEMORY) == EPERM ? 4 : 0;
	right |= set_region(vdp, QST_MEMORY, false) == EPERM ? 8 : 0;
	right |= gasp_lock(QST_MEMORY) == EOK && gasp_unlock(QST_X86_IO) == EOK ? 16 : 0;
	right |= gasp_unlock(QST_X86_IO) == EOK && gasp_unlock(QST_X86_IO) == EPERM ? 32 : 0;
	right |= set_region(vdp, QST_MEMORY, false) == EOK ? 64 : 0;
	right |= gasp_unlock(QST_MEMORY) == EOK && gasp_unlock(QST_MEMORY) == EPERM ? 128 : 0;
	return right;
}

/* Each of these belongs to the start-up stage: a bit for each that is refused. */
static uint64_t too_late(vdev_t *vdp)
{
	struct probe *p = vdp->v_device;
	guest_intr_t intr = { 0 };
	struct gasp_region r = { .grf_flags = GRF_NONE };
	const struct qvm_state_block place = { 0x10000000, 0x1000, QST_MEMORY, 0, 0 };
	uint64_t hz, refused = 0;

	refused |= guest_instr_register(vdp, GIT_X86_RDMSR, 1, msr_access) == EINVAL ? 1 : 0;
	refused |= guest_intr_assign(vdp, &intr) == EINVAL ? 2 : 0;
	refused |= guest_intr_level(&p->line, 1) == EINVAL ? 4 : 0;
	refused |= !guest_timer_create(NULL, vdp, NULL, &hz) && hz == EINVAL ? 8 : 0;
	refused |= gasp_region_set(1, &r) == 0 && errno == EPERM ? 16 : 0;
	refused |= gram_reserve(0x200000, 0x1000) == EINVAL ? 32 : 0;
	refused |= guest_button_register(vdp) == EINVAL ? 64 : 0;
	refused |= !guest_power_state_notify_create() ? 128 : 0;
	refused |= qvmx_region_add(vdp, &place, 0) == EINVAL ? 256 : 0;
	return refused;
}

static void run(vdev_t *vdp, unsigned command, struct guest_cpu *gcp)
{
	struct probe *p = vdp->v_device;
	const uint64_t *a = p->args;
	struct qvm_state_block b = { .location = a[1], .length = 8, .qst_type = (unsigned)a[0] };
	struct gasp_region region = { 0 };
	gasp_walk_state_t walk;
	gasp_map_handle_t handle;
	struct itimerspec at = { .it_value.tv_nsec = 1000000 };
	timer_t timer;
	char path[64];
	uint8_t *host;
	size_t len;

	p->result = p->error = 0;
	switch (command) {
	case PROBE_SET:
		p->error = (uint64_t)set_region(vdp, QST_MEMORY, true);
		break;
	case PROBE_SET_UNLOCKED:
		p->error = (uint64_t)set_region(vdp, QST_MEMORY, false);
		break;
	case PROBE_SET_PORTS:
		p->error = (uint64_t)set_region(vdp, QST_X86_IO, true);
		break;
	case PROBE_SET_NOWHERE:
		host = p->host;
		p->host = (uint8_t *)(uintptr_t)0xffff800000000000;
		p->error = (uint64_t)set_region(vdp, QST_MEMORY, true);
		p->host = host;
		break;
	case PROBE_LOCKS:
		p->result = locks(vdp);
		break;
	case PROBE_INFO:
		b = (struct qvm_state_block){ a[0], a[1], QST_MEMORY, 0, 0 };
		p->error = (uint64_t)gasp_region_info(&b, &region);
		p->result = region.grf_flags;
		p->args[0] = region.guest.location;
		p->args[1] = region.guest.length;
		break;
	case PROBE_FIND:
		p->result = gasp_find_free((unsigned)a[0], a[1], a[2]);
		break;
	case PROBE_FIND_FROM:
		p->result = gasp_find_free_range(QST_MEMORY, a[1], a[2], a[0], UINT64_MAX);
		break;
	case PROBE_READ:
		p->error = (uint64_t)guest_cpu_read(gcp, GXF_NONE, &b, 1, &p->result, 8);
		break;
	case PROBE_WRITE:
		p->error = (uint64_t)guest_cpu_write(gcp, GXF_NONE, &b, 1, &a[2], 8);
		break;
	case PROBE_WALK:
		p->error = (uint64_t)gasp_walk_init(&walk, a[0], a[1], GWF_HOST);
		p->result = gasp_walk_count(&walk);
		while (gasp_walk_next(&walk) == EOK)
			p->args[2] = walk.gw_guest_loc + walk.gw_length;
		p->args[1] = walk.gw_max_length;
		break;
	case PROBE_TOO_LATE:
		p->result = too_late(vdp);
		break;
	case PROBE_MSI:
		guest_msi_signal(vdp, a[0], (unsigned)a[1]);
		break;
	case PROBE_PULSE:
		p->error = (uint64_t)qvmx_pulse_send(vdp, (int8_t)a[0]);
		break;
	case PROBE_EVENT: /* the event is what a system call delivers */
		p->error = (uint64_t)timer_create(CLOCK_MONOTONIC, &p->event, &timer) ||
			   timer_settime(timer, 0, &at, NULL);
		break;
	case PROBE_HANDLE:
		p->error = (uint64_t)qvmx_map(vdp, a[0], 8, GMF_READ, &handle);
		if (!p->error)
			memcpy(&p->result, gasp_get_vaddr(&handle), 8);
		if (!p->error)
			p->error = (uint64_t)gasp_unmap_handle(&handle, 0);
		break;
	case PROBE_CONTIG:
		len = (size_t)a[1];
		p->error = gasp_map_contig(vdp, &p->args[0], &len, (unsigned)a[2])
				   ? 0
				   : (uint64_t)errno;
		p->result = len;
		break;
	case PROBE_LINE:
		p->result = p->line.param & GIPF_PIN_MASK;
		p->error = (uint64_t)guest_intr_signal(&p->line, GIS_ON);
		break;
	case PROBE_POWER:
		p->error = (uint64_t)guest_power_state_current(GPSC_WAIT, 0, 1, &p->result);
		break;
	case PROBE_HOST: /* what is in the memory that the guest has */
		memcpy(&p->result, p->host + a[0], 8);
		if (a[1])
			memcpy(p->host + a[0], &a[2], 8);
		break;
	case PROBE_PATH:
		memset(path, 0, sizeof(path));
		p->error = (uint64_t)vdev_path(path, sizeof(path), vdp);
		memcpy(&p->result, path + a[0], 8);
		break;
	case PROBE_TIMER:
		p->error = (uint64_t)guest_timer_notify(p->timer, a[1] ? &p->fired : NULL, a[0]);
		break;
	default:
		p->error = ENOSYS;
	}
}

static vdev_ref_status_t probe_vread(vdev_t *vdp, unsigned cookie,
				     const struct qvm_state_block *vopnd,
				     const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct probe *p = vdp->v_device;
	uint64_t value = 0;

	if (cookie == TRAP_COOKIE)
		value = 0x7000 + vopnd->location;
	else if (vopnd->location == 0)
		value = p->result;
	else if (vopnd->location <= 0x18)
		value = p->args[vopnd->location / 8 - 1];
	else if (vopnd->location == 0x20)
		value = p->error;
	else if (vopnd->location < 0x28 + 8 * PROBE_NUM_COUNTERS)
		value = p->counters[(vopnd->location - 0x28) / 8];
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, oopnd->length));
}

static vdev_ref_status_t probe_vwrite(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct probe *p = vdp->v_device;
	uint64_t value = 0;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, oopnd->length);

	if (err != EOK)
		return guest_cpu_to_vrs(err);
	if (cookie == TRAP_COOKIE)
		p->counters[PROBE_TRAPPED] = value;
	else if (vopnd->location == 0)
		run(vdp, (unsigned)value, gcp);
	else if (vopnd->location <= 0x18)
		p->args[vopnd->location / 8 - 1] = value;
	return VRS_NORMAL;
}

static int probe_pulse(vdev_t *vdp, int8_t code)
{
	struct probe *p = vdp->v_device;

	p->counters[PROBE_PULSES] = (uint8_t)code;
	return EOK;
}

static void probe_timer(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
			struct guest_cpu *gcp)
{
	struct probe *p = vdp->v_device;

	(void)data;
	p->fired = *tdp;
	p->counters[PROBE_TIMERS] += gcp ? 0x100 : 1;
}

static void power_changed(void *data, uint64_t current, unsigned base)
{
	struct probe *p = data;

	(void)current, (void)base;
	p->counters[PROBE_WAITS]++;
}

enum option {
	OPT_MSR,
	OPT_CPUID,
	OPT_FATAL,
	OPT_OUTF,
	OPT_KEEP,
	OPT_LINE,
	OPT_REGION,
	OPT_CATCH,
	OPT_PARSE,
	OPT_BUTTON,
	OPT_X2APIC,
	OPT_PLACE, /* ADDRESS: at the lowest place from there on */
	OPT_EXTRA, /* ADDRESS: a second region there */
	OPT_PICK,  /* an interrupt, whichever is free */
	OPT_DROP,  /* ADDRESS: the region there goes */
	OPT_LATE,  /* adds a region when the guest is configured */
	OPT_EMPTY  /* has a place of no length */
};
static const char *const options[] = { "msr",	 "cpuid", "fatal", "outf",    "keep",	 "line",
				       "region", "catch", "parse", "0button", "0x2apic", "place",
				       "extra",	 "0pick", "drop",  "0late",   "0empty",	 NULL };

static int take_line(vdev_t *vdp, const char *arg)
{
	struct probe *p = vdp->v_device;
	const char *rest = qvm_parse_intr(arg, &p->line);

	if (!rest || *rest)
		return EINVAL;
	int err = guest_intr_assign(vdp, &p->line);

	return err ? err : guest_intr_level(&p->line, 1);
}

static int take_region(vdev_t *vdp, const char *arg, unsigned flags)
{
	struct gasp_region r = { .grf_flags = flags,
				 .cookie = TRAP_COOKIE,
				 .vdev = vdp,
				 .guest = { .length = 0x1000, .qst_type = QST_MEMORY } };
	const char *rest = qvm_parse_loc(arg, &r.guest);

	if (!rest || *rest)
		return EINVAL;
	return gasp_region_set(1, &r) == 1 ? EOK : errno;
}

/* What is left of arg behind a number, a size, an address: in the sentence that ends the start. */
static int parse(const char *arg)
{
	char *(*const parsers[])(const char *, uint64_t *) = { qvm_parse_num, qvm_parse_size,
							       qvm_parse_addr };
	uint64_t n[3] = { 0 };
	const char *rest[3];

	for (unsigned i = 0; i < 3; i++)
		rest[i] = parsers[i](arg, &n[i]);
	qvm_outf(QVM_OUTF_QVM, "found %llu'%s' %llu'%s' %llu'%s'", (unsigned long long)n[0],
		 rest[0] ? rest[0] : "-", (unsigned long long)n[1], rest[1] ? rest[1] : "-",
		 (unsigned long long)n[2], rest[2] ? rest[2] : "-");
	return EOK;
}

static int take_option(vdev_t *vdp, unsigned option, const char *arg)
{
	struct qvm_state_block extra = { .length = 0x1000, .qst_type = QST_MEMORY };
	struct probe *p = vdp->v_device;
	uint64_t n = 0;

	switch (option) {
	case OPT_MSR:
		if (!qvm_parse_num(arg, &n))
			return EINVAL;
		if (n == PROBE_MSR_REGISTERS)
			return guest_instr_register(vdp, GIT_X86_RDMSR, (unsigned)n,
						    msr_by_registers);
		(void)guest_instr_register(vdp, GIT_X86_RDMSR, (unsigned)n, msr_access);
		return guest_instr_register(vdp, GIT_X86_WRMSR, (unsigned)n, msr_access);
	case OPT_CPUID:
		if (!qvm_parse_num(arg, &n))
			return EINVAL;
		(void)guest_instr_register(vdp, GIT_X86_CPUID, (unsigned)n, cpuid_passes);
		return guest_instr_register(vdp, GIT_X86_CPUID, (unsigned)n, cpuid_answers);
	case OPT_FATAL:
		qvm_fatal(QLS_CNF, "cannot go on with '%s'", arg);
	case OPT_OUTF:
		qvm_outf(QVM_OUTF_QVM, "does not like '%s'", arg);
		return EOK;
	case OPT_KEEP:
		if (!qvm_parse_size(arg, &n))
			return EINVAL;
		p->keep = gram_find_free(n, 0x1000, GRAM_HINT_HIGH);
		return p->keep == QSL_NO_LOCATION ? ENOMEM : EOK;
	case OPT_LINE:
		return take_line(vdp, arg);
	case OPT_REGION:
		return take_region(vdp, arg, GRF_VIRT_RD | GRF_VIRT_WR);
	case OPT_DROP:
		return take_region(vdp, arg, GRF_NONE);
	case OPT_CATCH:
		if (!qvm_parse_addr(arg, &n))
			return EINVAL;
		guest_msi_register(vdp, n, ~UINT64_C(0xfff), message, 42);
		return EOK;
	case OPT_BUTTON:
		return guest_button_register(vdp);
	case OPT_PARSE:
		return parse(arg);
	case OPT_PLACE:
		return qvm_parse_addr(arg, &p->place) ? EOK : EINVAL;
	case OPT_EXTRA:
		extra.location = qvm_parse_addr(arg, &n) ? n : QSL_NO_LOCATION;
		return qvmx_region_add(vdp, &extra, TRAP_COOKIE);
	case OPT_PICK:
		p->pick = true;
		return EOK;
	case OPT_LATE:
		p->late = true;
		return EOK;
	case OPT_EMPTY:
		p->empty = true;
		return EOK;
	case OPT_X2APIC:
		return guest_instr_register(vdp, GIT_X86_RDMSR, 0x802, msr_access);
	default:
		return EINVAL;
	}
}

static int assign(vdev_t *vdp)
{
	struct probe *p = vdp->v_device;

	if (p->empty)
		vdp->v_block.length = 0;
	if (p->place)
		vdp->v_block.location = gasp_find_free_range(QST_MEMORY, vdp->v_block.length,
							     0x1000, p->place, UINT64_MAX);
	return p->pick ? guest_intr_assign(vdp, &p->line) : EOK;
}

static int probe_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	static const struct qvm_state_block late = { 0x10000000, 0x1000, QST_MEMORY, 0, 0 };
	struct probe *p = vdp->v_device;
	uint64_t hz;

	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block.qst_type = QST_MEMORY;
		p->host = aligned_alloc(0x1000, HOST_BYTES);
		memset(p->host, 0xa5, HOST_BYTES);
		break;
	case VDEV_CTRL_OPTIONS_END:
		vdp->v_block.length = 0x1000;
		vdev_pulse(vdp, 33, 10, &p->event, -1);
		p->power = guest_power_state_notify_create();
		break;
	case VDEV_CTRL_ASSIGN:
		return assign(vdp);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return p->late ? qvmx_region_add(vdp, &late, 0) : EOK;
	case VDEV_CTRL_GUEST_STARTING:
		p->timer = guest_timer_create((const struct guest_cpu *)(const void *)arg, vdp,
					      NULL, &hz);
		guest_power_state_notify_register(p->power, GPSC_WAIT | GPSC_TO, 0, 1, 1,
						  power_changed, p);
		break;
	case VDEV_CTRL_STATUS:
		qvm_report("traps=%llu\n", (unsigned long long)p->counters[PROBE_TRAPS]);
		break;
	case VDEV_CTRL_BUTTON:
		p->counters[PROBE_BUTTONS]++;
		break;
	case VDEV_CTRL_TERMINATE:
		if (p->power)
			guest_power_state_notify_delete(p->power);
		free(p->host);
		break;
	default:
		if (ctrl >= VDEV_CTRL_FIRST_OPTIDX)
			return take_option(vdp, ctrl - VDEV_CTRL_FIRST_OPTIDX, arg);
	}
	return EOK;
}

static struct vdev_factory factory = {
	.control = probe_control,
	.vread = probe_vread,
	.vwrite = probe_vwrite,
	.pulse = probe_pulse,
	.timer = probe_timer,
	.option_list = options,
	.factory_flags = VFF_VDEV_MEM,
	.acc_sizes = 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct probe),
};

static void __attribute__((constructor)) probe_register(void)
{
	vdev_register_factory(&factory, QVM_VDEV_ABI);
}
