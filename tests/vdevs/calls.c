/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev calls: what AArch64 has of instruction traps and of a vCPU's state, for
 * tests/guests/aarch64/small.S. `any`: takes by HVC all functions that are nobody's, too. `own`:
 * asks for a function of PSCI, which is refused.
 */
#include <stdbool.h>
#include <qvm/guest.h>
#include <qvm/x/conf.h>
#include <qvm/x/cpu.h>

enum { ADD = 0xc3000001u, STATE = 0xc3000002u, PASS = 0xc3000003u, PSCI_OFF = 0x84000008u };
enum { PATTERN = 0x11223344, ANSWER = 0x55667788 };

#define TPIDR_EL0 QVMX_ARM_SR(3, 3, 13, 0, 2)
#define VBAR_EL1  QVMX_ARM_SR(3, 0, 12, 0, 0)
#define ELR_EL1	  QVMX_ARM_SR(3, 0, 4, 0, 1)
#define NO_REG	  QVMX_ARM_SR(3, 7, 15, 7, 7)

static int get(struct guest_cpu *gcp, qvm_state_types_t type, uint64_t at, void *data, size_t len)
{
	const struct qvm_state_block b = { .location = at, .length = len, .qst_type = type };

	return guest_cpu_read(gcp, GXF_NONE, &b, 1, data, len);
}

static int set(struct guest_cpu *gcp, qvm_state_types_t type, uint64_t at, const void *data,
	       size_t len)
{
	const struct qvm_state_block b = { .location = at, .length = len, .qst_type = type };

	return guest_cpu_write(gcp, GXF_NONE, &b, 1, data, len);
}

static uint64_t x(struct guest_cpu *gcp, unsigned n)
{
	uint64_t value = 0;

	(void)get(gcp, QST_CPUREGS, n * sizeof(value), &value, sizeof(value));
	return value;
}

static vdev_ref_status_t answer(struct guest_cpu *gcp, uint64_t value)
{
	return guest_cpu_to_vrs(set(gcp, QST_CPUREGS, 0, &value, sizeof(value)));
}

static vdev_ref_status_t add(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
			     unsigned qualifier)
{
	(void)vdp;
	return answer(gcp, x(gcp, 1) + x(gcp, 2) + (git == GIT_ARM_SMC) + (qualifier != ADD));
}

static vdev_ref_status_t pass(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
			      unsigned qualifier)
{
	(void)vdp, (void)gcp, (void)git, (void)qualifier;
	return VRS_CONTINUE;
}

/* x1: a virtual address with PATTERN there, x2: VBAR_EL1; v5 begins with PATTERN. Gives 0, or the
 * number of what was wrong. */
static uint64_t state_check(struct guest_cpu *gcp)
{
	const uint64_t at = x(gcp, 1), vbar = x(gcp, 2), answer_long = ANSWER;
	const size_t v = sizeof(((struct qvmx_cpu_fpu *)0)->v[0]);
	const uint32_t answer_word = ANSWER;
	uint64_t value;
	uint32_t word;

	if (get(gcp, QST_FPUREGS, 5 * v, &word, 4) || word != PATTERN)
		return 1;
	if (set(gcp, QST_FPUREGS, 6 * v, &answer_word, 4))
		return 2;
	if (get(gcp, QST_ARM_SR, VBAR_EL1, &value, 8) || value != vbar)
		return 3;
	if (set(gcp, QST_ARM_SR, TPIDR_EL0, &answer_long, 8))
		return 4;
	if (get(gcp, QST_ARM_SR, ELR_EL1, &value, 8) || value != PATTERN)
		return 5;
	if (get(gcp, QST_ARM_SR, NO_REG, &value, 8) != -1)
		return 6;
	if (get(gcp, QST_VIRTUAL, at, &word, 4) || word != PATTERN)
		return 7;
	if (set(gcp, QST_VIRTUAL, at, &answer_word, 4))
		return 8;
	if (get(gcp, QST_VIRTUAL, at + (UINT64_C(1) << 30), &word, 4) != -1)
		return 9;
	return 0;
}

static vdev_ref_status_t state(vdev_t *vdp, struct guest_cpu *gcp, guest_instr_type_t git,
			       unsigned qualifier)
{
	(void)vdp, (void)git, (void)qualifier;
	return answer(gcp, state_check(gcp));
}

static int control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	bool *any = vdp->v_device;
	int err;

	(void)arg;
	switch ((unsigned)ctrl) {
	case VDEV_CTRL_FIRST_OPTIDX:
		*any = true;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + 1:
		return guest_instr_register(vdp, GIT_ARM_SMC, PSCI_OFF, pass);
	case VDEV_CTRL_OPTIONS_END:
		err = guest_instr_register(vdp, GIT_ARM_HVC, PASS, pass);
		if (err == EOK)
			err = guest_instr_register(vdp, GIT_ARM_HVC, ADD, add);
		if (err == EOK)
			err = guest_instr_register(vdp, GIT_ARM_SMC, ADD, add);
		if (err == EOK)
			err = guest_instr_register(vdp, GIT_ARM_HVC, STATE, state);
		return err != EOK || !*any
			       ? err
			       : guest_instr_register(vdp, GIT_ARM_HVC | GIT_FLAG_NO_QUALIFIER, 0,
						      add);
	default:
		return EOK;
	}
}

static const char *const options[] = { "0any", "0own", NULL };

static struct vdev_factory factory = {
	.control = control,
	.option_list = options,
	.factory_flags = VFF_LOC_NO | VFF_INTR_NO,
	.extra_space = sizeof(bool),
};

static void __attribute__((constructor)) calls_register(void)
{
	vdev_register_factory(&factory, QVM_VDEV_ABI);
}
