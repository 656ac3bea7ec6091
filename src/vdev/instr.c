/* SPDX-License-Identifier: Apache-2.0 */
#include "vdev/instr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdev/state.h"

static bool instr_is_known(guest_instr_type_t git)
{
	return (git >= GIT_X86_RDMSR && git <= GIT_X86_CPUID) || git == GIT_ARM_SMC ||
	       git == GIT_ARM_HVC;
}

int guest_instr_register(vdev_t *vdp, guest_instr_type_t git, unsigned qualifier,
			 guest_instr_callback_func_t *func)
{
	struct vdev_host *host = vdev_instance_of(vdp)->host;
	bool any = git & GIT_FLAG_NO_QUALIFIER;
	struct vdev_instr *i;

	git &= ~(unsigned)GIT_FLAG_NO_QUALIFIER;
	if (vdev_too_late(vdp, "guest_instr_register", host->traps_applied) || !func)
		return EINVAL;
	const char *refusal = instr_refusal(git, qualifier, any);

	if (refusal) {
		(void)qvmx_refuse(vdp, "%s", refusal);
		return instr_is_known(git) ? ENOTSUP : EINVAL;
	}
	i = calloc(1, sizeof(*i));
	if (!i)
		return ENOMEM;
	*i = (struct vdev_instr){
		.vdp = vdp, .git = git, .qualifier = qualifier, .any = any, .func = func
	};
	struct vdev_instr **last = &host->instrs;

	while (*last)
		last = &(*last)->next;
	*last = i;
	return EOK;
}

void instr_free(struct vdev_host *host)
{
	while (host->instrs) {
		struct vdev_instr *i = host->instrs;

		host->instrs = i->next;
		free(i);
	}
}

enum bus_result instr_run(struct vdev_host *host, struct guest_cpu *gcp, struct instr_trap *trap)
{
	enum bus_result result = BUS_NOT_FOUND;
	struct guest_cpu *own = state_own_set(gcp);

	gcp->trap = trap;
	for (const struct vdev_instr *i = host->instrs; i && result == BUS_NOT_FOUND; i = i->next) {
		if (i->git != trap->git || (!i->any && i->qualifier != trap->qualifier))
			continue;
		vdev_ref_status_t status = i->func(i->vdp, gcp, trap->git, trap->qualifier);

		if (status != VRS_CONTINUE)
			result = vdev_status(vdev_instance_of(i->vdp), status,
					     "an instruction with the qualifier", trap->qualifier);
	}
	gcp->trap = NULL;
	(void)state_own_set(own);
	return result;
}

enum bus_result instr_register_access(struct vdev_host *host, struct guest_cpu *gcp, bool write,
				      uint32_t index, uint64_t *value)
{
	struct instr_trap trap = {
		.git = write ? GIT_X86_WRMSR : GIT_X86_RDMSR,
		.qualifier = index,
		.value = write ? *value : 0,
	};
	enum bus_result result = instr_run(host, gcp, &trap);

	if (result == BUS_OK || result == BUS_NO_ADVANCE)
		*value = trap.value;
	return result == BUS_NO_ADVANCE ? BUS_OK : result;
}

enum bus_result instr_call(struct vdev_host *host, struct guest_cpu *gcp, bool smc,
			   uint32_t function)
{
	struct instr_trap trap = {
		.git = smc ? GIT_ARM_SMC : GIT_ARM_HVC,
		.qualifier = function,
	};

	return instr_run(host, gcp, &trap);
}

bool instr_register_copy(struct guest_cpu *gcp, uint32_t index, uint8_t *data, bool to_register)
{
	struct instr_trap *trap = gcp->trap;

	if (!trap || trap->qualifier != index ||
	    (trap->git != GIT_X86_RDMSR && trap->git != GIT_X86_WRMSR))
		return false;
	memcpy(to_register ? (void *)&trap->value : data, to_register ? data : (void *)&trap->value,
	       sizeof(trap->value));
	return true;
}

static int traps_apply(struct vdev_host *host, const char **ret_why)
{
	struct engine_trap traps[ENGINE_MAX_TRAPS];
	bool unknown = false;
	unsigned n = 0;

	for (const struct vdev_instr *i = host->instrs; i; i = i->next) {
		if (!instr_is_trapped(i->git))
			continue;
		unknown |= i->any;
		if (i->any)
			continue;
		if (n == ENGINE_MAX_TRAPS) {
			*ret_why = "vdevs take over more instructions than there is room for";
			return -ENOSPC;
		}
		traps[n++] = (struct engine_trap){ .index = i->qualifier,
						   .write = i->git == GIT_X86_WRMSR };
	}
	if (!n && !unknown)
		return 0;
	if (!host->engine->ops->traps_set) {
		*ret_why = "this engine traps no instructions";
		return -ENOTSUP;
	}
	return host->engine->ops->traps_set(host->engine, traps, n, unknown, ret_why);
}

int instr_apply(struct vdev_host *host, struct guest_cpu *const *cpus, unsigned num_cpus,
		const char **ret_why)
{
	int rc = traps_apply(host, ret_why);

	host->traps_applied = true;
	for (unsigned i = 0; i < num_cpus && !rc; i++) {
		*ret_why = "what a vdev answers in the processor's place";
		rc = instr_answers(host, cpus[i]);
	}
	return rc;
}
