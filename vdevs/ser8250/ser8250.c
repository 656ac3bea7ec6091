/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev ser8250: a 16550A serial port.
 *
 * Output leaves at once as the guest sees it: a character goes to a buffer (outring.h) and the
 * transmitter is empty again, unless the host end is so slow that the buffer is full; then LSR.THRE
 * stays 0 until there is room, so a guest that heeds it loses nothing (and one that polls it
 * waits). Input is read from the host only while the receive FIFO has room, so it never overruns.
 * Any received character interrupts at once: above the trigger level as "data available", below as
 * "timeout", without the four character times that a real line would wait.
 */
#include <string.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/x/acpi.h>
#include <qvm/x/conf.h>
#include <qvm/x/loop.h>
#include "../common/hostend.h"
#include "../common/outring.h"

#define DEFAULT_PORT 0x3f8
#define NUM_PORTS    8

/* Registers; 0 and 1 are the divisor while LCR.DLAB is set. */
enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX	   0x01u
#define IER_THRE   0x02u
#define IER_LINE   0x04u
#define IER_MODEM  0x08u
#define IER_MASK   0x0fu
#define IIR_MODEM  0x00u
#define IIR_NONE   0x01u
#define IIR_THRE   0x02u
#define IIR_RX	   0x04u
#define IIR_LINE   0x06u
#define IIR_RX_OLD 0x0cu /* character timeout */
#define IIR_FIFO   0xc0u
#define FCR_ENABLE 0x01u
#define FCR_CLR_RX 0x02u
#define LCR_DLAB   0x80u
#define MCR_DTR	   0x01u
#define MCR_RTS	   0x02u
#define MCR_OUT1   0x04u
#define MCR_OUT2   0x08u
#define MCR_LOOP   0x10u
#define MCR_MASK   0x1fu
#define LSR_DR	   0x01u
#define LSR_OE	   0x02u
#define LSR_THRE   0x20u
#define LSR_TEMT   0x40u
#define MSR_CTS	   0x10u
#define MSR_DSR	   0x20u
#define MSR_RI	   0x40u
#define MSR_DCD	   0x80u

#define FIFO_SIZE  16u

struct uart {
	struct hostend end;
	struct outring ring;
	uint64_t batch_us;
	uint8_t ier, fcr, lcr, mcr, msr, scr, dll, dlm;
	uint8_t rx[FIFO_SIZE];
	unsigned rx_first, rx_count;
	bool overrun;
	bool thre_pending; /* the transmitter became empty; not yet told */
	bool tx_full;	   /* the host end is behind: LSR.THRE is 0 */
	bool rx_paused;	   /* input waits for room in the FIFO */
	bool used;	   /* the guest has touched the device */
};

static unsigned rx_limit(const struct uart *u)
{
	return u->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned rx_trigger(const struct uart *u)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/* The enabled cause of the highest rank, as IIR shows it. */
static uint8_t cause(const struct uart *u)
{
	if ((u->ier & IER_LINE) && u->overrun)
		return IIR_LINE;
	if ((u->ier & IER_RX) && u->rx_count > 0)
		return u->rx_count >= rx_trigger(u) ? IIR_RX : IIR_RX_OLD;
	if ((u->ier & IER_THRE) && u->thre_pending)
		return IIR_THRE;
	if ((u->ier & IER_MODEM) && (u->msr & 0x0f))
		return IIR_MODEM;
	return IIR_NONE;
}

static void update_line(vdev_t *vdp)
{
	const struct uart *u = vdp->v_device;

	guest_intr_signal(&vdp->v_intr, cause(u) == IIR_NONE ? GIS_OFF : GIS_ON);
}

static void rx_put(struct uart *u, uint8_t byte)
{
	if (u->rx_count >= rx_limit(u)) {
		u->overrun = true;
		return;
	}
	u->rx[(u->rx_first + u->rx_count++) % FIFO_SIZE] = byte;
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
		room = u->mcr & MCR_LOOP || u->rx_count >= rx_limit(u) ? 0
								       : rx_limit(u) - u->rx_count;
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

	if (u->rx_paused && !(u->mcr & MCR_LOOP) && u->rx_count == 0)
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
		u->thre_pending = true;
		update_line(vdp);
	}
	pthread_mutex_unlock(&vdp->v_mtx);
}

static void write_data(struct uart *u, uint8_t value)
{
	u->thre_pending = false;
	if (u->mcr & MCR_LOOP)
		rx_put(u, value);
	else
		outring_put(&u->ring, value);
	/* THRE promises room for a whole FIFO. */
	u->tx_full = outring_free(&u->ring) < FIFO_SIZE;
	u->thre_pending = !u->tx_full;
}

static void write_fcr(struct uart *u, uint8_t value)
{
	bool toggled = (value ^ u->fcr) & FCR_ENABLE;

	if (toggled || (value & FCR_CLR_RX))
		u->rx_count = 0;
	u->fcr = value & FCR_ENABLE ? value : 0;
}

/* In loopback the modem outputs are the inputs; else the other side is there and ready. */
static void update_modem(struct uart *u)
{
	uint8_t now = MSR_CTS | MSR_DSR | MSR_DCD, changed;

	if (u->mcr & MCR_LOOP)
		now = (uint8_t)((u->mcr & MCR_RTS ? MSR_CTS : 0) |
				(u->mcr & MCR_DTR ? MSR_DSR : 0) |
				(u->mcr & MCR_OUT1 ? MSR_RI : 0) |
				(u->mcr & MCR_OUT2 ? MSR_DCD : 0));
	changed = (uint8_t)((u->msr ^ now) >> 4);
	if (now & MSR_RI)
		changed &= (uint8_t) ~(MSR_RI >> 4); /* only the end of a ring counts */
	u->msr = (uint8_t)(now | (u->msr & 0x0f) | changed);
}

static void write_reg(struct uart *u, unsigned reg, uint8_t value)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			u->dll = value;
		else
			write_data(u, value);
		break;
	case REG_IER:
		if (dlab) {
			u->dlm = value;
			break;
		}
		/* Enabling it tells of an empty transmitter anew: drivers start their output so. */
		if ((value & ~u->ier & IER_THRE) && !u->tx_full)
			u->thre_pending = true;
		u->ier = value & IER_MASK;
		break;
	case REG_IIR_FCR:
		write_fcr(u, value);
		break;
	case REG_LCR:
		u->lcr = value;
		break;
	case REG_MCR:
		u->mcr = value & MCR_MASK;
		update_modem(u);
		break;
	case REG_SCR:
		u->scr = value;
		break;
	default: /* LSR and MSR are read only */
		break;
	}
}

static uint8_t read_data(struct uart *u)
{
	uint8_t byte = u->rx[u->rx_first];

	if (u->rx_count == 0)
		return byte; /* as the chip: the last character again */
	if (--u->rx_count > 0)
		u->rx_first = (u->rx_first + 1) % FIFO_SIZE;
	return byte;
}

static uint8_t read_iir(struct uart *u)
{
	uint8_t what = cause(u);

	if (what == IIR_THRE)
		u->thre_pending = false;
	return (uint8_t)(what | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0));
}

static uint8_t read_lsr(struct uart *u)
{
	uint8_t lsr = 0;

	if (u->rx_count > 0)
		lsr |= LSR_DR;
	if (u->overrun)
		lsr |= LSR_OE;
	if (!u->tx_full)
		lsr |= LSR_THRE | LSR_TEMT;
	u->overrun = false;
	return lsr;
}

static uint8_t read_reg(struct uart *u, unsigned reg)
{
	bool dlab = u->lcr & LCR_DLAB;
	uint8_t value;

	switch (reg) {
	case REG_DATA:
		return dlab ? u->dll : read_data(u);
	case REG_IER:
		return dlab ? u->dlm : u->ier;
	case REG_IIR_FCR:
		return read_iir(u);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return read_lsr(u);
	case REG_MSR:
		value = u->msr;
		u->msr &= 0xf0;
		return value;
	default:
		return u->scr;
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
	uint8_t value;

	(void)cookie;
	pthread_mutex_lock(&vdp->v_mtx);
	touched(vdp);
	value = read_reg(u, (unsigned)vopnd->location % NUM_PORTS);
	update_line(vdp);
	resume_input(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

static vdev_ref_status_t uart_vwrite(vdev_t *vdp, unsigned cookie,
				     const struct qvm_state_block *vopnd,
				     const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct uart *u = vdp->v_device;
	uint8_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	(void)cookie;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	touched(vdp);
	write_reg(u, (unsigned)vopnd->location % NUM_PORTS, value);
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
		.qst_type = QST_X86_IO,
		.location = DEFAULT_PORT,
		.length = NUM_PORTS,
	};
	hostend_init(&u->end, vdp, input_ready, output_ready);
	outring_init(&u->ring, vdp, &u->end, output_room);
	u->msr = MSR_CTS | MSR_DSR | MSR_DCD;
	u->dll = 12; /* 9600 baud */
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
		vdp->v_block.length = NUM_PORTS;
		return hostend_default(&u->end);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return configured(vdp);
	case VDEV_CTRL_GEN_ACPI:
		return qvmx_acpi_device(vdp, "PNP0501", NULL, 0);
	case VDEV_CTRL_STATUS:
		vdev_logf(QL_QVM_INFO, vdp, "dlr=%#x lcr=%#x ier=%#x mcr=%#x",
			  (unsigned)(u->dlm << 8 | u->dll), u->lcr, u->ier, u->mcr);
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
	.factory_flags = VFF_VDEV_X86_IO | VFF_VDEV_MEM | VFF_MUTEX,
	.acc_sizes = 1u << 1,
	.extra_space = sizeof(struct uart),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.summary = "16550A serial port",
	.num_options = NUM_OPTIONS,
	.options = options,
};

static void __attribute__((constructor)) uart_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
