/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev ioapic: an I/O APIC with 24 pins, modelled by KVM, so that its interrupts cost no exit. The
 * engine answers accesses to its registers; what is left here is the interrupt controller's side:
 * names of lines, and their levels.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <qvm/x/conf.h>
#include <qvm/x/model.h>

#define DEFAULT_ADDRESS 0xfec00000u
#define WINDOW		0x1000u
#define NUM_PINS	24u

static int ioapic_signal(const guest_intr_t *intr, guest_intr_state_t state)
{
	return qvmx_model_line(intr->pic, intr->param & GIPF_PIN_MASK, state == GIS_ON);
}

static const char *ioapic_parse(guest_intr_t *intr, const char *text)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	unsigned long pin;
	char *rest;

	if (!isdigit((unsigned char)text[0]))
		return NULL;
	errno = 0;
	pin = strtoul(text, &rest, hex ? 16 : 10);
	if (errno != 0 || pin >= NUM_PINS)
		return NULL;
	intr->param = (unsigned)pin;
	return rest;
}

static size_t ioapic_string(const guest_intr_t *intr, char *buf, size_t len)
{
	return (size_t)snprintf(buf, len, "%u", intr->param & GIPF_PIN_MASK);
}

static const struct vdev_pic_functions pic = {
	.pnum_mask = GIPF_PIN_MASK,
	.signal = ioapic_signal,
	.parse = ioapic_parse,
	.string = ioapic_string,
};

static int ioapic_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	(void)arg;
	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_MEMORY,
			.location = DEFAULT_ADDRESS,
			.length = WINDOW,
		};
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		vdp->v_block.length = WINDOW;
		return EOK;
	case VDEV_CTRL_ASSIGN:
		return qvmx_model_use(vdp, QVMX_CHIP_IOAPIC);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = ioapic_control,
	.pic = &pic,
	.factory_flags = VFF_VDEV_MEM,
	.acc_sizes = 1u << 4,
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.flags = QVMX_VDEV_ACCEL,
	.summary = "I/O APIC with 24 pins",
};

static void __attribute__((constructor)) ioapic_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
