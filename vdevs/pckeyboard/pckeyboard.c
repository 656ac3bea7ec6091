/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev pckeyboard: a PC keyboard controller (i8042) with nothing plugged in, for guests that expect
 * one: self test, command byte, A20 bit, and the reset line, which ends the VM. Whatever is sent to
 * the keyboard or a mouse is answered at once with "no device" (resend, with the timeout bit in the
 * status), so that probing ends fast. The A20 bit is remembered and has no effect: address line 20
 * is always there.
 *
 * It does not show up in ACPI on purpose. With neither a PNP0303 device nor the 8042 flag in the
 * FADT, Linux does not touch the ports at all; with either it would probe, find no keyboard and say
 * so.
 */
#include <stdbool.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include <qvm/x/region.h>

#define DATA_PORT	0x60
#define COMMAND_OFFSET	4 /* 0x61 between them belongs to the timer */
#define COOKIE_COMMAND	1

#define STATUS_FULL	0x01u /* a byte waits at the data port */
#define STATUS_SYSTEM	0x04u /* the self test was passed */
#define STATUS_COMMAND	0x08u /* the last byte written was a command */
#define STATUS_UNLOCKED 0x10u
#define STATUS_TIMEOUT	0x40u

#define MODE_INTERRUPT	0x01u
#define MODE_SYSTEM	0x04u
#define MODE_DISABLED	0x10u

#define CMD_READ_RAM	0x20 /* to 0x3f */
#define CMD_WRITE_RAM	0x60 /* to 0x7f */
#define CMD_TEST_MOUSE	0xa9
#define CMD_SELF_TEST	0xaa
#define CMD_TEST_KBD	0xab
#define CMD_DISABLE	0xad
#define CMD_ENABLE	0xae
#define CMD_READ_IN	0xc0
#define CMD_READ_OUT	0xd0
#define CMD_WRITE_OUT	0xd1
#define CMD_ECHO_KBD	0xd2
#define CMD_ECHO_MOUSE	0xd3
#define CMD_TO_MOUSE	0xd4
#define CMD_PULSE	0xf0 /* to 0xff: the output port's low bits that are 0 go low for a moment */

#define OUT_RESET	0x01u /* active low */
#define OUT_A20		0x02u

#define REPLY_TEST_OK	0x55
#define REPLY_NO_MOUSE	0x01 /* its clock line is stuck */
#define REPLY_RESEND	0xfe
#define INPUT_PORT	0x80

#define RAM_SIZE	32u

struct keyboard {
	uint8_t ram[RAM_SIZE]; /* [0]: the mode */
	uint8_t status, data, out;
	uint8_t command; /* waits for its argument at the data port; 0: none */
};

static void update_line(vdev_t *vdp)
{
	const struct keyboard *kb = vdp->v_device;
	bool on = (kb->status & STATUS_FULL) && (kb->ram[0] & MODE_INTERRUPT);

	guest_intr_signal(&vdp->v_intr, on ? GIS_ON : GIS_OFF);
}

static void reply(struct keyboard *kb, uint8_t value)
{
	kb->data = value;
	kb->status = (uint8_t)((kb->status & ~STATUS_TIMEOUT) | STATUS_FULL);
}

static void reply_no_device(struct keyboard *kb)
{
	reply(kb, REPLY_RESEND);
	kb->status |= STATUS_TIMEOUT;
}

static void reset_guest(vdev_t *vdp)
{
	vdev_logf(QL_QVM_INFO, vdp, "the guest resets itself");
	guest_terminate(GTC_NORMAL_EXIT);
}

static void write_ram(struct keyboard *kb, unsigned at, uint8_t value)
{
	kb->ram[at] = value;
	if (at != 0)
		return;
	kb->status = (uint8_t)((kb->status & ~STATUS_SYSTEM) |
			       (value & MODE_SYSTEM ? STATUS_SYSTEM : 0));
}

static void write_data(vdev_t *vdp, uint8_t value)
{
	struct keyboard *kb = vdp->v_device;
	uint8_t command = kb->command;

	kb->command = 0;
	kb->status &= (uint8_t)~STATUS_COMMAND;
	if (command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + RAM_SIZE) {
		write_ram(kb, command - CMD_WRITE_RAM, value);
		return;
	}
	switch (command) {
	case CMD_WRITE_OUT:
		kb->out = value;
		if (!(value & OUT_RESET))
			reset_guest(vdp);
		break;
	case CMD_ECHO_KBD:
	case CMD_ECHO_MOUSE: /* without the mouse's mark in the status: there is no mouse port */
		reply(kb, value);
		break;
	default: /* for the mouse or the keyboard */
		reply_no_device(kb);
		break;
	}
}

static void write_command(vdev_t *vdp, uint8_t value)
{
	struct keyboard *kb = vdp->v_device;

	kb->command = 0;
	kb->status |= STATUS_COMMAND;
	if (value >= CMD_PULSE) {
		if (!(value & OUT_RESET))
			reset_guest(vdp);
		return;
	}
	if (value >= CMD_READ_RAM && value < CMD_READ_RAM + RAM_SIZE) {
		reply(kb, kb->ram[value - CMD_READ_RAM]);
		return;
	}
	switch (value) {
	case CMD_SELF_TEST:
		kb->status |= STATUS_SYSTEM;
		kb->ram[0] = MODE_SYSTEM | MODE_DISABLED;
		reply(kb, REPLY_TEST_OK);
		break;
	case CMD_TEST_KBD:
		reply(kb, 0);
		break;
	case CMD_TEST_MOUSE:
		reply(kb, REPLY_NO_MOUSE);
		break;
	case CMD_DISABLE:
		kb->ram[0] |= MODE_DISABLED;
		break;
	case CMD_ENABLE:
		kb->ram[0] &= (uint8_t)~MODE_DISABLED;
		break;
	case CMD_READ_IN:
		reply(kb, INPUT_PORT);
		break;
	case CMD_READ_OUT:
		reply(kb, kb->out);
		break;
	default: /* with an argument, or unknown: nothing happens now */
		kb->command = value;
		break;
	}
}

static vdev_ref_status_t keyboard_vread(vdev_t *vdp, unsigned cookie,
					const struct qvm_state_block *vopnd,
					const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct keyboard *kb = vdp->v_device;
	uint8_t value;

	(void)vopnd;
	pthread_mutex_lock(&vdp->v_mtx);
	if (cookie == COOKIE_COMMAND) {
		value = kb->status;
	} else {
		value = kb->data;
		kb->status &= (uint8_t) ~(STATUS_FULL | STATUS_TIMEOUT);
		update_line(vdp);
	}
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

static vdev_ref_status_t keyboard_vwrite(vdev_t *vdp, unsigned cookie,
					 const struct qvm_state_block *vopnd,
					 const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint8_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	(void)vopnd;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (cookie == COOKIE_COMMAND)
		write_command(vdp, value);
	else
		write_data(vdp, value);
	update_line(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

static void options_start(vdev_t *vdp)
{
	struct keyboard *kb = vdp->v_device;

	vdp->v_block = (struct qvm_state_block){
		.qst_type = QST_X86_IO,
		.location = DATA_PORT,
		.length = 1,
	};
	kb->status = STATUS_UNLOCKED;
	kb->ram[0] = MODE_DISABLED;
	kb->out = OUT_RESET | OUT_A20;
}

static int options_end(vdev_t *vdp)
{
	struct qvm_state_block command;

	vdp->v_block.length = 1;
	command = vdp->v_block;
	command.location += COMMAND_OFFSET;
	return qvmx_region_add(vdp, &command, COOKIE_COMMAND);
}

static int keyboard_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	(void)arg;
	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		options_start(vdp);
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = keyboard_control,
	.vread = keyboard_vread,
	.vwrite = keyboard_vwrite,
	.factory_flags = VFF_VDEV_X86_IO | VFF_MUTEX,
	.acc_sizes = 1u << 1,
	.extra_space = sizeof(struct keyboard),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.flags = QVMX_VDEV_ACCEL,
	.summary = "PC keyboard controller with nothing plugged in",
};

static void __attribute__((constructor)) keyboard_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
