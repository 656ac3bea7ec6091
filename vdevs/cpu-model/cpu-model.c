/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev cpu-model: an instruction-trap vdev. It answers what the guest asks its processors about
 * themselves: the brand string by CPUID, the microcode's revision and other model specific
 * registers by RDMSR. So a guest whose software looks at these finds the machine that it expects.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/utils.h>
#include <qvm/x/conf.h>
#include <qvm/x/cpu.h>

enum {
	LEAF_BRAND = 0x80000002, /* and the next two: 16 characters each */
	NUM_LEAVES = 3,
	LEAF_BYTES = 16,
	BRAND_BYTES = NUM_LEAVES * LEAF_BYTES,
	MSR_MICROCODE = 0x8b,
	MAX_REGISTERS = 64
};

struct msr {
	uint32_t index;
	uint64_t value;
};

struct model {
	char brand[BRAND_BYTES];
	struct msr msrs[MAX_REGISTERS];
	unsigned num_msrs;
};

enum { OPT_BRAND, OPT_MICROCODE, OPT_MSR };

static const struct qvmx_option options[] = {
	[OPT_BRAND] = { .name = "brand",
			.type = QVMX_OPT_STRING,
			.help = "the processors' brand string, up to 47 characters" },
	[OPT_MICROCODE] = { .name = "microcode",
			    .type = QVMX_OPT_NUMBER,
			    .max = UINT32_MAX,
			    .help = "the microcode's revision" },
	[OPT_MSR] = { .name = "msr",
		      .type = QVMX_OPT_STRING,
		      .flags = QVMX_OPTF_REPEAT,
		      .help = "INDEX,VALUE: what a model specific register reads as" },
};

static vdev_ref_status_t brand_answer(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
				      unsigned leaf)
{
	static const size_t order[] = { offsetof(struct qvmx_cpu_registers, rax),
					offsetof(struct qvmx_cpu_registers, rbx),
					offsetof(struct qvmx_cpu_registers, rcx),
					offsetof(struct qvmx_cpu_registers, rdx) };
	const struct model *m = vdp->v_device;
	const char *text = m->brand + (size_t)(leaf - LEAF_BRAND) * LEAF_BYTES;
	int err = EOK;

	(void)git;
	for (unsigned i = 0; i < 4 && err == EOK; i++) {
		const struct qvm_state_block reg = { .location = order[i],
						     .length = 8,
						     .qst_type = QST_CPUREGS };
		uint64_t value = 0;

		memcpy(&value, text + (size_t)4 * i, 4);
		err = guest_cpu_write(gcp, GXF_NONE, &reg, 1, &value, sizeof(value));
	}
	return guest_cpu_to_vrs(err);
}

/* What the guest writes is dropped: Linux writes the microcode's register before it reads it. */
static vdev_ref_status_t msr_access(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
				    unsigned index)
{
	const struct model *m = vdp->v_device;
	const struct qvm_state_block value = { .location = index,
					       .length = 8,
					       .qst_type = QST_X86_MSR };
	unsigned i = 0;

	if (git == GIT_X86_WRMSR)
		return VRS_NORMAL;
	while (i < m->num_msrs && m->msrs[i].index != index)
		i++;
	if (i == m->num_msrs)
		return VRS_CONTINUE;
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, &value, 1, &m->msrs[i].value,
						sizeof(m->msrs[i].value)));
}

static int msr_add(vdev_t *vdp, uint64_t index, uint64_t value)
{
	struct model *m = vdp->v_device;

	if (index > UINT32_MAX)
		return qvmx_refuse(vdp, "a register's number has 32 bits");
	for (unsigned i = 0; i < m->num_msrs; i++)
		if (m->msrs[i].index == index)
			return qvmx_refuse(vdp, "register 0x%llx is given twice",
					   (unsigned long long)index);
	if (m->num_msrs == MAX_REGISTERS)
		return qvmx_refuse(vdp, "more than %u registers", MAX_REGISTERS);
	int err = guest_instr_register(vdp, GIT_X86_RDMSR, (unsigned)index, msr_access);

	if (err == EOK)
		err = guest_instr_register(vdp, GIT_X86_WRMSR, (unsigned)index, msr_access);
	if (err == EOK)
		m->msrs[m->num_msrs++] = (struct msr){ (uint32_t)index, value };
	return err;
}

static int option_msr(vdev_t *vdp, const char *arg)
{
	uint64_t index, value;
	const char *rest = qvm_parse_num(arg, &index);

	if (rest && *rest == ',')
		rest = qvm_parse_num(rest + 1, &value);
	else
		rest = NULL;
	if (!rest || *rest)
		return qvmx_refuse(vdp, "msr '%s' is not INDEX,VALUE, two numbers", arg);
	return msr_add(vdp, index, value);
}

static int option_brand(vdev_t *vdp, const char *arg)
{
	struct model *m = vdp->v_device;
	size_t len = strlen(arg);
	int err = EOK;

	if (len >= BRAND_BYTES)
		return qvmx_refuse(vdp, "the brand has %zu characters, and room is for %u", len,
				   BRAND_BYTES - 1);
	memcpy(m->brand, arg, len);
	for (unsigned i = 0; i < NUM_LEAVES && err == EOK; i++)
		err = guest_instr_register(vdp, GIT_X86_CPUID, LEAF_BRAND + i, brand_answer);
	return err;
}

/* In the half of the register where each maker's processors have it. */
static int option_microcode(vdev_t *vdp, const char *arg)
{
	uint64_t revision = qvmx_option_value(&options[OPT_MICROCODE], arg);

	return msr_add(vdp, MSR_MICROCODE, revision << 32 | revision);
}

static int model_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	const struct model *m = vdp->v_device;

	switch (ctrl) {
	case VDEV_CTRL_FIRST_OPTIDX + OPT_BRAND:
		return option_brand(vdp, arg);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_MICROCODE:
		return option_microcode(vdp, arg);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_MSR:
		return option_msr(vdp, arg);
	case VDEV_CTRL_STATUS:
		qvm_report("brand '%s', %u registers", m->brand, m->num_msrs);
		break;
	default:
		break;
	}
	return EOK;
}

static struct vdev_factory factory = {
	.control = model_control,
	.factory_flags = VFF_LOC_NO | VFF_INTR_NO,
	.extra_space = sizeof(struct model),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.num_options = sizeof(options) / sizeof(options[0]),
	.summary = "what the guest's processors say of themselves",
	.options = options,
};

static void __attribute__((constructor)) model_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
