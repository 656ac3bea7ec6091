/* SPDX-License-Identifier: 0BSD */
/*
 * vdev @NAME@: answers instructions of the guest in the processor's place: a model specific
 * register that keeps what the guest writes to it, and a leaf of CPUID. Put your device in its
 * place.
 */
#include <qvm/guest.h>
#include <qvm/x/conf.h>
#include <qvm/x/cpu.h>

struct device {
	uint64_t value; /* of the register */
};

enum { OPT_MSR, OPT_CPUID, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_MSR] = { .name = "msr",
		      .type = QVMX_OPT_NUMBER,
		      .max = UINT32_MAX,
		      .help = "number of the register" },
	[OPT_CPUID] = { .name = "cpuid",
			.type = QVMX_OPT_NUMBER,
			.max = UINT32_MAX,
			.help = "the leaf" },
};

/* On the vCPU's thread, at each access; two vCPUs may be here at once. */
static vdev_ref_status_t register_access(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
					 unsigned number)
{
	struct device *d = vdp->v_device;
	const struct qvm_state_block where = { .qst_type = QST_X86_MSR,
					       .location = number,
					       .length = sizeof(d->value) };
	int err;

	pthread_mutex_lock(&vdp->v_mtx);
	if (git == GIT_X86_WRMSR)
		err = guest_cpu_read(gcp, GXF_NONE, &where, 1, &d->value, sizeof(d->value));
	else
		err = guest_cpu_write(gcp, GXF_NONE, &where, 1, &d->value, sizeof(d->value));
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(err);
}

/* Once for each vCPU, before the guest starts: rax, rbx, rcx and rdx become the answer. */
static vdev_ref_status_t leaf_answer(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
				     unsigned leaf)
{
	const uint64_t answer[4] = { leaf, 0x6c6c6568, 0x6f, 0 }; /* rax rbx rcx rdx */
	const struct qvm_state_block where = { .qst_type = QST_CPUREGS, .length = sizeof(answer) };

	(void)vdp, (void)git;
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, &where, 1, answer, sizeof(answer)));
}

static int device_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	unsigned number;
	int err;

	switch (ctrl) {
	case VDEV_CTRL_FIRST_OPTIDX + OPT_MSR:
		number = (unsigned)qvmx_option_value(&options[OPT_MSR], arg);
		err = guest_instr_register(vdp, GIT_X86_RDMSR, number, register_access);
		return err == EOK
			       ? guest_instr_register(vdp, GIT_X86_WRMSR, number, register_access)
			       : err;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_CPUID:
		number = (unsigned)qvmx_option_value(&options[OPT_CPUID], arg);
		return guest_instr_register(vdp, GIT_X86_CPUID, number, leaf_answer);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = device_control,
	.factory_flags = VFF_LOC_NO | VFF_INTR_NO | VFF_MUTEX,
	.extra_space = sizeof(struct device),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.num_options = NUM_OPTIONS,
	.summary = "@SUMMARY@",
	.options = options,
};

static void __attribute__((constructor)) device_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
