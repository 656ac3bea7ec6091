/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev pl011: Arm's PrimeCell UART.
 *
 * Output leaves at once as the guest sees it: a character goes to a buffer (outring.h) and the
 * transmitter has room again, unless the host end is so slow that the buffer is full; then FR.TXFF
 * is 1 until there is room. Input is read from the host only while the receive FIFO has room, so it
 * never overruns. Received characters below the trigger level interrupt at once as a timeout,
 * without the 32 bit times that a real line would wait. A guest may send before it has enabled
 * anything, as early consoles do.
 */
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include <qvm/x/fdt.h>
#include <qvm/x/loop.h>
#include "../common/hostend.h"
#include "../common/outring.h"

#define DEFAULT_ADDRESS 0x1c090000
#define LENGTH		0x1000
#define CLOCK_HZ	24000000

enum {
	REG_DR = 0x00,
	REG_RSR = 0x04, /* ECR when written */
	REG_FR = 0x18,
	REG_ILPR = 0x20,
	REG_IBRD = 0x24,
	REG_FBRD = 0x28,
	REG_LCR_H = 0x2c,
	REG_CR = 0x30,
	REG_IFLS = 0x34,
	REG_IMSC = 0x38,
	REG_RIS = 0x3c,
	REG_MIS = 0x40,
	REG_ICR = 0x44,
	REG_DMACR = 0x48,
	REG_ID = 0xfe0,
};

#define FR_CTS	  0x001u
#define FR_DSR	  0x002u
#define FR_DCD	  0x004u
#define FR_BUSY	  0x008u
#define FR_RXFE	  0x010u
#define FR_TXFF	  0x020u
#define FR_RXFF	  0x040u
#define FR_TXFE	  0x080u
#define LCR_H_FEN 0x010u
#define CR_LBE	  0x080u
#define CR_RESET  0x300u /* both directions enabled */
#define INT_RX	  0x010u
#define INT_TX	  0x020u
#define INT_RT	  0x040u
#define INT_OE	  0x400u
#define INT_MASK  0x7ffu
#define DR_OE	  0x800u
#define RSR_OE	  0x008u

#define FIFO_SIZE 16u

struct uart {
	struct hostend end;
	struct outring ring;
	uint64_t batch_us;
	uint16_t ilpr, ibrd, fbrd, lcr_h, cr, ifls, imsc, ris, dmacr;
	uint8_t rx[FIFO_SIZE];
	unsigned rx_first, rx_count;
	bool overrun;	/* in DR, until there is room for a new character */
	bool rsr;	/* the same in RSR, until ECR is written */
	bool tx_full;	/* the host end is behind */
	bool rx_paused; /* input waits for room in the FIFO */
	bool used;	/* the guest has touched the device */
};

static unsigned rx_limit(const struct uart *u)
{
	return u->lcr_h & LCR_H_FEN ? FIFO_SIZE : 1;
}

static unsigned rx_trigger(const struct uart *u)
{
	static const uint8_t level[8] = { 2, 4, 8, 12, 14, 14, 14, 14 }; /* eighths, of 16 */

	return u->lcr_h & LCR_H_FEN ? level[u->ifls >> 3 & 7] : 1;
}

static void update_line(vdev_t *vdp)
{
	const struct uart *u = vdp->v_device;

	guest_intr_signal(&vdp->v_intr, u->ris & u->imsc ? GIS_ON : GIS_OFF);
}

static void rx_put(struct uart *u, uint8_t byte)
{
	if (u->rx_count >= rx_limit(u)) {
		u->overrun = u->rsr = true;
		u->ris |= INT_OE;
		return;
	}
	u->overrun = false;
	u->rx[(u->rx_first + u->rx_count++) % FIFO_SIZE] = byte;
	u->ris |= u->rx_count >= rx_trigger(u) ? INT_RX | INT_RT : INT_RT;
}

/* On the loop thread: fill the FIFO from the host, and pause there while it is full or cut off by
 * the loopback. */
static void input_ready(vdev_t *vdp, void *data, uint32_t events)
{
	struct uart *u = vdp->v_device;
	uint8_t buf[FIFO_SIZE];
	size_t n, room;

	(void)data;
	(void)events;
	do {
		pthread_mutex_lock(&vdp->v_mtx);
		room = u->cr & CR_LBE || u->rx_count >= rx_limit(u) ? 0 : rx_limit(u) - u->rx_count;
		u->rx_paused = room == 0;
		pthread_mutex_unlock(&vdp->v_mtx);
		n = hostend_read(&u->end, buf, room);
		pthread_mutex_lock(&vdp->v_mtx);
		for (size_t i = 0; i < n; i++)
			rx_put(u, buf[i]);
		update_line(vdp);
		pthread_mutex_unlock(&vdp->v_mtx);
	} while (n > 0);
	hostend_want_input(&u->end, room > 0);
}

/* With the lock held: input goes on if it had paused and there is room again. */
static void resume_input(vdev_t *vdp)
{
	struct uart *u = vdp->v_device;

	if (u->rx_paused && !(u->cr & CR_LBE) && u->rx_count == 0)
		u->rx_paused = qvmx_loop_call(vdp, input_ready, NULL) != EOK;
}

static void output_ready(vdev_t *vdp, void *data, uint32_t events)
{
	struct uart *u = vdp->v_device;

	(void)data;
	(void)events;
	outring_drain(&u->ring);
}

/* The host end caught up. */
static void output_room(vdev_t *vdp)
{
	struct uart *u = vdp->v_device;

	pthread_mutex_lock(&vdp->v_mtx);
	if (u->tx_full) {
		u->tx_full = false;
		u->ris |= INT_TX;
		update_line(vdp);
	}
	pthread_mutex_unlock(&vdp->v_mtx);
}

static void write_data(struct uart *u, uint8_t value)
{
	u->ris &= (uint16_t)~INT_TX;
	if (u->cr & CR_LBE)
		rx_put(u, value);
	else
		outring_put(&u->ring, value);
	u->tx_full = outring_free(&u->ring) == 0;
	if (!u->tx_full)
		u->ris |= INT_TX;
}

static uint32_t read_data(struct uart *u)
{
	uint32_t value = u->rx[u->rx_first] | (u->overrun ? DR_OE : 0);

	if (u->rx_count == 0)
		return value; /* as the chip: the last character again */
	if (--u->rx_count > 0)
		u->rx_first = (u->rx_first + 1) % FIFO_SIZE;
	if (u->rx_count < rx_trigger(u))
		u->ris &= (uint16_t)~INT_RX;
	if (!u->rx_count)
		u->ris &= (uint16_t)~INT_RT;
	return value;
}

static uint32_t read_flags(const struct uart *u)
{
	uint32_t fr = FR_CTS | FR_DSR | FR_DCD;

	fr |= u->rx_count ? 0 : FR_RXFE;
	fr |= u->rx_count >= rx_limit(u) ? FR_RXFF : 0;
	return fr | (u->tx_full ? FR_TXFF | FR_BUSY : FR_TXFE);
}

static void write_reg(struct uart *u, unsigned reg, uint32_t value)
{
	switch (reg) {
	case REG_DR:
		write_data(u, (uint8_t)value);
		break;
	case REG_RSR:
		u->rsr = false;
		break;
	case REG_ILPR:
		u->ilpr = (uint8_t)value;
		break;
	case REG_IBRD:
		u->ibrd = (uint16_t)value;
		break;
	case REG_FBRD:
		u->fbrd = value & 0x3f;
		break;
	case REG_LCR_H:
		/* The other size of FIFO starts empty. */
		if ((value ^ u->lcr_h) & LCR_H_FEN) {
			u->rx_first = u->rx_count = 0;
			u->ris &= (uint16_t) ~(INT_RX | INT_RT);
		}
		u->lcr_h = (uint8_t)value;
		break;
	case REG_CR:
		u->cr = (uint16_t)value;
		break;
	case REG_IFLS:
		u->ifls = value & 0x3f;
		break;
	case REG_IMSC:
		u->imsc = value & INT_MASK;
		break;
	case REG_ICR:
		u->ris &= (uint16_t)~value;
		break;
	case REG_DMACR:
		u->dmacr = value & 7;
		break;
	default: /* read only, or nothing */
		break;
	}
}

static uint32_t read_reg(struct uart *u, unsigned reg)
{
	static const uint8_t id[] = { 0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

	if (reg >= REG_ID)
		return id[(reg - REG_ID) / 4];
	switch (reg) {
	case REG_DR:
		return read_data(u);
	case REG_RSR:
		return u->rsr ? RSR_OE : 0;
	case REG_FR:
		return read_flags(u);
	case REG_ILPR:
		return u->ilpr;
	case REG_IBRD:
		return u->ibrd;
	case REG_FBRD:
		return u->fbrd;
	case REG_LCR_H:
		return u->lcr_h;
	case REG_CR:
		return u->cr;
	case REG_IFLS:
		return u->ifls;
	case REG_IMSC:
		return u->imsc;
	case REG_RIS:
		return u->ris;
	case REG_MIS:
		return u->ris & u->imsc;
	case REG_DMACR:
		return u->dmacr;
	default:
		return 0;
	}
}

static void first_use(vdev_t *vdp, void *data, uint32_t events)
{
	struct uart *u = vdp->v_device;

	(void)data;
	(void)events;
	hostend_use(&u->end);
}

/* With the lock held. */
static void touched(vdev_t *vdp)
{
	struct uart *u = vdp->v_device;

	if (u->end.delayed && !u->used)
		u->used = qvmx_loop_call(vdp, first_use, NULL) == EOK;
}

static vdev_ref_status_t uart_vread(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct uart *u = vdp->v_device;
	uint64_t value = 0;

	(void)cookie;
	pthread_mutex_lock(&vdp->v_mtx);
	touched(vdp);
	if (vopnd->location % 4 == 0)
		value = read_reg(u, (unsigned)vopnd->location);
	update_line(vdp);
	resume_input(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, oopnd->length));
}

static vdev_ref_status_t uart_vwrite(vdev_t *vdp, unsigned cookie,
				     const struct qvm_state_block *vopnd,
				     const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct uart *u = vdp->v_device;
	uint64_t value = 0;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, oopnd->length);

	(void)cookie;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	touched(vdp);
	if (vopnd->location % 4 == 0)
		write_reg(u, (unsigned)vopnd->location, (uint32_t)value);
	update_line(vdp);
	resume_input(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

enum { OPT_HOSTDEV, OPT_BATCH, OPT_DELAYED, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_HOSTDEV] = { "hostdev", QVMX_OPT_PATH, QVMX_OPTF_REPEAT,
			  .help = "host end, '<' input or '>' output only; - is qvm's terminal" },
	[OPT_BATCH] = { "batch", QVMX_OPT_NUMBER, .min = 1, .max = 1000000,
			.help = "microseconds without a character after which output is written" },
	[OPT_DELAYED] = { "delayed", QVMX_OPT_FLAG, .help = "open the host end at the first use" },
};

static void options_start(vdev_t *vdp)
{
	struct uart *u = vdp->v_device;

	vdp->v_block = (struct qvm_state_block){
		.qst_type = QST_MEMORY,
		.location = DEFAULT_ADDRESS,
		.length = LENGTH,
	};
	hostend_init(&u->end, vdp, input_ready, output_ready);
	outring_init(&u->ring, vdp, &u->end, output_room);
	u->cr = CR_RESET;
	u->ifls = 0x12;
	u->rx_paused = true;
}

static int configured(vdev_t *vdp)
{
	struct uart *u = vdp->v_device;
	int err = hostend_start(&u->end);

	if (err == EOK)
		err = outring_start(&u->ring, u->batch_us);
	if (err == EOK) {
		u->rx_paused = false;
		hostend_want_input(&u->end, true);
	}
	return err;
}

static int gen_fdt(vdev_t *vdp, int parent)
{
	static const char compatible[] = "arm,pl011\0arm,primecell";
	static const char clock_names[] = "uartclk\0apb_pclk";
	uint32_t clock;
	int node, err = qvmx_fdt_clock(vdp, CLOCK_HZ, &clock);

	if (err == EOK)
		err = qvmx_fdt_device(vdp, parent, "serial", compatible, sizeof(compatible), 0,
				      &node);
	if (err == EOK) {
		const uint32_t both[] = { clock, clock };

		err = qvmx_fdt_prop_cells(vdp, node, "clocks", both, 2);
	}
	return err != EOK
		       ? err
		       : qvmx_fdt_prop(vdp, node, "clock-names", clock_names, sizeof(clock_names));
}

static int uart_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct uart *u = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		options_start(vdp);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_HOSTDEV:
		return hostend_option(&u->end, arg);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_BATCH:
		u->batch_us = qvmx_option_value(&options[OPT_BATCH], arg);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_DELAYED:
		u->end.delayed = true;
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		vdp->v_block.length = LENGTH;
		return hostend_default(&u->end);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return configured(vdp);
	case VDEV_CTRL_GEN_FDT:
		return gen_fdt(vdp, (int)(intptr_t)arg);
	case VDEV_CTRL_STATUS:
		vdev_logf(QL_QVM_INFO, vdp, "cr=%#x lcr_h=%#x imsc=%#x ris=%#x", u->cr, u->lcr_h,
			  u->imsc, u->ris);
		return EOK;
	case VDEV_CTRL_TERMINATE:
		outring_end(&u->ring);
		hostend_end(&u->end);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = uart_control,
	.vread = uart_vread,
	.vwrite = uart_vwrite,
	.factory_flags = VFF_VDEV_MEM | VFF_INTR_REQ | VFF_MUTEX,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4,
	.extra_space = sizeof(struct uart),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.summary = "Arm PL011 serial port",
	.num_options = NUM_OPTIONS,
	.options = options,
};

static void __attribute__((constructor)) uart_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
