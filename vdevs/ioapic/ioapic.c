/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev ioapic: an I/O APIC. With KVM's model the engine answers accesses to its registers and what
 * is left here is names of lines and their levels. Else this file is the chip: a pin's entry in the
 * redirection table says which message a rising or high input sends to the local APICs.
 *
 * A level-triggered pin sends once and then waits (remote IRR) until the guest has ended the
 * interrupt, which the core reports by its vector; if the input is still high it sends again. Edges
 * that come while a pin is masked are lost, as on the chip.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <qvm/guest.h>
#include <qvm/x/conf.h>
#include <qvm/x/model.h>
#include <qvm/x/pic.h>

#define DEFAULT_ADDRESS 0xfec00000u
#define WINDOW		0x1000u
#define DEFAULT_PINS	24u
#define MAX_PINS	240u /* the most that the version register can tell */

/* Offsets in its window. */
#define REG_SELECT 0x00u
#define REG_WINDOW 0x10u
#define REG_EOI	   0x40u

/* What can be selected. Above 120 pins the number of a register needs 9 bits. */
#define SEL_ID		0x00u
#define SEL_VERSION	0x01u
#define SEL_ARBITRATION 0x02u
#define SEL_TABLE	0x10u
#define SEL_MASK	0x1ffu

#define ID_MASK		0x0f000000u
#define VERSION		0x20u /* has the EOI register */

/* An entry of the table. */
#define RTE_VECTOR     0xffu
#define RTE_DELIVERY   0x700u
#define RTE_LOGICAL    0x800u
#define RTE_REMOTE_IRR 0x4000u
#define RTE_LEVEL      0x8000u
#define RTE_MASKED     0x10000u
#define RTE_READ_ONLY  0x5000u /* delivery status and remote IRR */
#define RTE_WRITABLE   0xff0000000001ffffull
#define RTE_DEST_SHIFT 56

#define MSI_ADDRESS    0xfee00000u
#define MSI_DEST_SHIFT 12
#define MSI_LOGICAL    4u
#define MSI_ASSERT     0x4000u

struct ioapic {
	unsigned num_pins;
	uint32_t select, id;
	uint64_t rte[MAX_PINS];
	bool high[MAX_PINS]; /* the input */
};

/* Pins, as a set. */
struct pins {
	uint32_t bits[(MAX_PINS + 31) / 32];
};

static void pins_add(struct pins *pins, unsigned pin)
{
	pins->bits[pin / 32] |= UINT32_C(1) << pin % 32;
}

static bool pins_has(const struct pins *pins, unsigned pin)
{
	return pins->bits[pin / 32] & UINT32_C(1) << pin % 32;
}

static uint64_t message_address(uint64_t rte)
{
	return MSI_ADDRESS | (uint32_t)(rte >> RTE_DEST_SHIFT) << MSI_DEST_SHIFT |
	       (rte & RTE_LOGICAL ? MSI_LOGICAL : 0);
}

static unsigned message_data(uint64_t rte)
{
	return (unsigned)(rte & (RTE_VECTOR | RTE_DELIVERY | RTE_LEVEL)) | MSI_ASSERT;
}

static void send(vdev_t *vdp, unsigned pin)
{
	struct ioapic *io = vdp->v_device;
	uint64_t rte = io->rte[pin];

	if (rte & RTE_LEVEL)
		io->rte[pin] |= RTE_REMOTE_IRR;
	guest_msi_signal(vdp, message_address(rte), message_data(rte));
}

/* With the lock held: a level-triggered pin sends if it has to. */
static void send_level(vdev_t *vdp, unsigned pin)
{
	const struct ioapic *io = vdp->v_device;

	if (io->high[pin] &&
	    (io->rte[pin] & (RTE_LEVEL | RTE_MASKED | RTE_REMOTE_IRR)) == RTE_LEVEL)
		send(vdp, pin);
}

static int ioapic_signal(const guest_intr_t *intr, guest_intr_state_t state)
{
	unsigned pin = intr->param & GIPF_PIN_MASK;
	vdev_t *vdp = intr->pic;
	struct ioapic *io = vdp->v_device;
	bool high = state == GIS_ON;

	if (qvmx_model_is_used(vdp))
		return qvmx_model_line(vdp, pin, high);
	pthread_mutex_lock(&vdp->v_mtx);
	bool rises = high && !io->high[pin];

	io->high[pin] = high;
	if (rises && !(io->rte[pin] & (RTE_LEVEL | RTE_MASKED)))
		send(vdp, pin);
	send_level(vdp, pin);
	pthread_mutex_unlock(&vdp->v_mtx);
	return EOK;
}

static const char *ioapic_parse(guest_intr_t *intr, const char *text)
{
	const struct ioapic *io = intr->pic->v_device;
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	unsigned long pin;
	char *rest;

	if (!isdigit((unsigned char)text[0]))
		return NULL;
	errno = 0;
	pin = strtoul(text, &rest, hex ? 16 : 10);
	if (errno != 0 || pin >= io->num_pins)
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

/*
 * The guest has ended the interrupt of that vector. Whoever drives the pin hears of it first, and
 * may take its level away.
 */
static void ioapic_eoi(vdev_t *vdp, unsigned vector)
{
	struct ioapic *io = vdp->v_device;
	struct pins ended = { 0 };
	bool any = false;

	pthread_mutex_lock(&vdp->v_mtx);
	for (unsigned pin = 0; pin < io->num_pins; pin++) {
		if (!(io->rte[pin] & RTE_REMOTE_IRR) || (io->rte[pin] & RTE_VECTOR) != vector)
			continue;
		io->rte[pin] &= ~(uint64_t)RTE_REMOTE_IRR;
		pins_add(&ended, pin);
		any = true;
	}
	pthread_mutex_unlock(&vdp->v_mtx);
	for (unsigned pin = 0; any && pin < io->num_pins; pin++) {
		if (!pins_has(&ended, pin))
			continue;
		guest_pic_notify(vdp, pin, GIN_ACK);
		pthread_mutex_lock(&vdp->v_mtx);
		send_level(vdp, pin);
		pthread_mutex_unlock(&vdp->v_mtx);
	}
}

/* With the lock held. True: the pin was masked and is no more. */
static bool write_entry(vdev_t *vdp, unsigned pin, uint64_t value)
{
	struct ioapic *io = vdp->v_device;
	uint64_t old = io->rte[pin];
	uint64_t rte = (value & RTE_WRITABLE & ~(uint64_t)RTE_READ_ONLY) | (old & RTE_READ_ONLY);

	if (!(rte & RTE_LEVEL)) /* which is how guests clear a remote IRR that stays */
		rte &= ~(uint64_t)RTE_REMOTE_IRR;
	io->rte[pin] = rte;
	if ((rte & (RTE_LEVEL | RTE_MASKED)) == RTE_LEVEL)
		qvmx_pic_route(vdp, pin, message_address(rte), message_data(rte));
	send_level(vdp, pin);
	return (old & RTE_MASKED) && !(rte & RTE_MASKED);
}

static uint32_t read_selected(const struct ioapic *io)
{
	unsigned half = io->select - SEL_TABLE;

	switch (io->select) {
	case SEL_ID:
	case SEL_ARBITRATION:
		return io->id;
	case SEL_VERSION:
		return VERSION | (io->num_pins - 1) << 16;
	default:
		if (io->select < SEL_TABLE || half / 2 >= io->num_pins)
			return 0;
		return (uint32_t)(io->rte[half / 2] >> (half % 2 ? 32 : 0));
	}
}

/* With the lock held. Returns the pin that was unmasked, or -1. */
static int write_selected(vdev_t *vdp, uint32_t value)
{
	struct ioapic *io = vdp->v_device;
	unsigned half = io->select - SEL_TABLE, pin = half / 2;

	if (io->select == SEL_ID)
		io->id = value & ID_MASK;
	if (io->select < SEL_TABLE || pin >= io->num_pins)
		return -1;
	uint64_t rte = half % 2 ? (io->rte[pin] & UINT32_MAX) | (uint64_t)value << 32
				: (io->rte[pin] & ~(uint64_t)UINT32_MAX) | value;

	return write_entry(vdp, pin, rte) ? (int)pin : -1;
}

static vdev_ref_status_t ioapic_vread(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	const struct ioapic *io = vdp->v_device;
	uint32_t value = 0;

	(void)cookie;
	pthread_mutex_lock(&vdp->v_mtx);
	if (vopnd->location == REG_SELECT)
		value = io->select;
	else if (vopnd->location == REG_WINDOW)
		value = read_selected(io);
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, oopnd->length));
}

static vdev_ref_status_t ioapic_vwrite(vdev_t *vdp, unsigned cookie,
				       const struct qvm_state_block *vopnd,
				       const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct ioapic *io = vdp->v_device;
	uint32_t value = 0;
	int unmasked = -1;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, oopnd->length);

	(void)cookie;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	if (vopnd->location == REG_EOI) {
		ioapic_eoi(vdp, value & RTE_VECTOR);
		return VRS_NORMAL;
	}
	pthread_mutex_lock(&vdp->v_mtx);
	if (vopnd->location == REG_SELECT)
		io->select = value & SEL_MASK;
	else if (vopnd->location == REG_WINDOW)
		unmasked = write_selected(vdp, value);
	pthread_mutex_unlock(&vdp->v_mtx);
	if (unmasked >= 0)
		guest_pic_notify(vdp, (unsigned)unmasked, GIN_UNMASK);
	return VRS_NORMAL;
}

enum { OPT_PINS, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_PINS] = { "pins", QVMX_OPT_NUMBER, .min = 1, .max = MAX_PINS,
		       .help = "number of its pins, 24 if not given (KVM's model has 24)" },
};

static int options_end(vdev_t *vdp)
{
	struct ioapic *io = vdp->v_device;

	vdp->v_block.length = WINDOW;
	if (vdp->v_intr.pic)
		return qvmx_refuse(vdp, "it reports to the local APICs: `intr apic`");
	if (vdp->v_block.location % WINDOW || vdp->v_block.location > UINT32_MAX)
		return qvmx_refuse(vdp, "it lies at a multiple of 4 KiB below 4 GiB");
	for (unsigned pin = 0; pin < io->num_pins; pin++)
		io->rte[pin] = RTE_MASKED;
	return qvmx_pic_pins(vdp, io->num_pins, ioapic_eoi);
}

static int ioapic_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct ioapic *io = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_MEMORY,
			.location = DEFAULT_ADDRESS,
			.length = WINDOW,
		};
		io->num_pins = DEFAULT_PINS;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_PINS:
		io->num_pins = (unsigned)qvmx_option_value(&options[OPT_PINS], arg);
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_ASSIGN:
		return qvmx_model_use(vdp, QVMX_CHIP_IOAPIC);
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = ioapic_control,
	.vread = ioapic_vread,
	.vwrite = ioapic_vwrite,
	.pic = &pic,
	.factory_flags = VFF_VDEV_MEM | VFF_MUTEX,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4,
	.extra_space = sizeof(struct ioapic),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.flags = QVMX_VDEV_ACCEL,
	.summary = "I/O APIC, KVM's or one with up to 240 pins at any address",
	.num_options = NUM_OPTIONS,
	.options = options,
};

static void __attribute__((constructor)) ioapic_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
