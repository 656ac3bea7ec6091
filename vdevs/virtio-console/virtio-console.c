/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev virtio-console: a VirtIO console with one port (no MULTIPORT).
 *
 * Nothing is lost: output goes from guest memory straight to the host end, and a chain that the
 * host end does not take yet stays with the device, so that a slow reader throttles the guest.
 * Input is read from the host only into buffers that the driver has given. Size changes of qvm's
 * own terminal reach the guest (SIGWINCH, by a signalfd, since all signals are blocked). Emergency
 * output (emerg_wr) works before the driver does, through a bounded buffer of its own.
 *
 * Everything but emerg_wr and the configuration runs on the vdev's thread.
 */
#include <errno.h>
#include <endian.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <virtio.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/vio.h>
#include <qvm/x/conf.h>
#include <qvm/x/loop.h>
#include <qvm/x/queue.h>
#include "../common/hostend.h"
#include "../common/outring.h"

#define QUEUE_SIZE 64
#define MAX_IOV	   64u	      /* parts of one write */
#define MAX_TURN   (1u << 20) /* bytes, until others have a turn: a reset, the end */

enum { QUEUE_RX, QUEUE_TX, NUM_QUEUES };
enum { F_SIZE = 0, F_EMERG_WRITE = 2 };

struct console_config {
	uint16_t cols, rows;
	uint32_t max_nr_ports;
	uint32_t emerg_wr;
};

struct console {
	struct vio_state vio;
	struct hostend end;
	struct outring emergency;
	struct console_config config; /* with v_mtx: also read on vCPU threads */
	int winch;		      /* signalfd, -1: none */
	bool has_size, split_only;
	struct qvmx_queue *rx, *tx; /* NULL: not live */
	bool tx_held;		    /* `out` is not wholly written */
	struct qvmx_request out;
	size_t out_done; /* bytes of it that are */
	bool tx_called;	 /* the next turn is on its way */
};

/* The rest of the held chain, as far as `room` bytes, into at most MAX_IOV parts. Returns their
 * number. */
static unsigned rest_of_chain(const struct console *con, size_t room, struct iovec *iov)
{
	size_t skip = con->out_done;
	unsigned n = 0;

	for (unsigned i = 0; i < con->out.num_read && n < MAX_IOV && room > 0; i++) {
		const struct iovec *part = &con->out.iov[i];

		if (skip >= part->iov_len) {
			skip -= part->iov_len;
			continue;
		}
		iov[n].iov_base = (uint8_t *)part->iov_base + skip;
		iov[n].iov_len = part->iov_len - skip;
		if (iov[n].iov_len > room)
			iov[n].iov_len = room;
		room -= iov[n++].iov_len;
		skip = 0;
	}
	return n;
}

/* Write of the held chain, and take it from *room. Returns false if the host end takes no more now,
 * or there is no more room. */
static bool write_chain(struct console *con, size_t *room)
{
	struct iovec iov[MAX_IOV];

	while (con->out_done < con->out.read_len) {
		unsigned parts = rest_of_chain(con, *room, iov);
		ssize_t n = parts > 0 ? hostend_writev(&con->end, iov, parts) : -EAGAIN;

		if (n < 0)
			return false;
		con->out_done += (size_t)n;
		*room -= (size_t)n;
	}
	return true;
}

/* Returns whether there may be more to write. */
static bool tx_turn(struct console *con)
{
	size_t room = MAX_TURN;
	unsigned done = 0;

	while (room > 0) {
		if (!con->tx_held) {
			if (qvmx_queue_next(con->tx, &con->out) != 1)
				break;
			con->tx_held = true;
			con->out_done = 0;
		}
		if (!write_chain(con, &room))
			break;
		con->tx_held = false;
		qvmx_queue_done(con->tx, con->out.id, 0);
		done++;
	}
	if (done > 0)
		qvmx_queue_flush(con->tx);
	return room == 0;
}

static void serve_tx(vdev_t *vdp);

static void tx_call(vdev_t *vdp, void *data, uint32_t events)
{
	struct console *con = vdp->v_device;

	(void)data;
	(void)events;
	con->tx_called = false;
	serve_tx(vdp);
}

static void serve_tx(vdev_t *vdp)
{
	struct console *con = vdp->v_device;

	/* Without memory for a call the next turn is at once. */
	while (con->tx && tx_turn(con) && !con->tx_called) {
		con->tx_called = qvmx_loop_call(vdp, tx_call, NULL) == EOK;
		if (con->tx_called)
			break;
	}
}

/* The host end takes output again. */
static void output_ready(vdev_t *vdp, void *data, uint32_t events)
{
	struct console *con = vdp->v_device;

	(void)data;
	(void)events;
	outring_drain(&con->emergency);
	serve_tx(vdp);
}

/* The first part that holds anything; NULL: nothing can be written. */
static const struct iovec *first_writable(const struct qvmx_request *req)
{
	for (unsigned i = req->num_read; i < req->num_read + req->num_write; i++)
		if (req->iov[i].iov_len > 0)
			return &req->iov[i];
	return NULL;
}

/* Read from the host into the driver's buffers while there are both. */
static void serve_rx(struct console *con)
{
	struct qvmx_request req;
	const struct iovec *part;
	unsigned done = 0;
	size_t n;
	int got;

	if (!con->rx)
		return;
	while ((got = qvmx_queue_next(con->rx, &req)) == 1) {
		part = first_writable(&req);
		n = part ? hostend_read(&con->end, part->iov_base, part->iov_len) : 0;
		if (part && n == 0) {
			qvmx_queue_unget(con->rx);
			break;
		}
		qvmx_queue_done(con->rx, req.id, (uint32_t)n);
		done++;
	}
	if (done > 0)
		qvmx_queue_flush(con->rx);
	hostend_want_input(&con->end, got == 1);
}

/* Tell the driver if the terminal's size is another. */
static void check_size(vdev_t *vdp)
{
	struct console *con = vdp->v_device;
	uint16_t cols, rows;
	bool changed;

	if (!con->has_size || !hostend_size(&con->end, &cols, &rows))
		return;
	pthread_mutex_lock(&vdp->v_mtx);
	changed = con->config.cols != htole16(cols) || con->config.rows != htole16(rows);
	con->config.cols = htole16(cols);
	con->config.rows = htole16(rows);
	if (changed)
		qvmx_config_changed(&con->vio);
	pthread_mutex_unlock(&vdp->v_mtx);
}

static void window_changed(vdev_t *vdp, void *data, uint32_t events)
{
	struct console *con = vdp->v_device;
	struct signalfd_siginfo info;

	(void)data;
	(void)events;
	if (read(con->winch, &info, sizeof(info)) == (ssize_t)sizeof(info))
		check_size(vdp);
}

static void input_ready(vdev_t *vdp, void *data, uint32_t events)
{
	(void)data;
	(void)events;
	serve_rx(vdp->v_device);
}

static void emergency_room(vdev_t *vdp)
{
	(void)vdp; /* nobody waits for it: what does not fit is dropped */
}

static void queue_kick(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct console *con = vdp->v_device;

	(void)q;
	if (queue == QUEUE_RX)
		serve_rx(con);
	else if (!con->tx_held)
		serve_tx(vdp);
}

static void queue_start(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct console *con = vdp->v_device;

	if (queue == QUEUE_RX) {
		con->rx = q;
		hostend_use(&con->end);
		check_size(vdp);
	} else {
		con->tx = q;
	}
}

static bool queue_stop(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct console *con = vdp->v_device;

	(void)q;
	if (queue == QUEUE_RX) {
		con->rx = NULL;
		hostend_want_input(&con->end, false);
	} else {
		con->tx = NULL;
		con->tx_held = false;
	}
	return true;
}

static const struct qvmx_queue_ops queue_ops = {
	.size = sizeof(queue_ops),
	.kick = queue_kick,
	.stop = queue_stop,
	.start = queue_start,
};

static vdev_ref_status_t console_vread(vdev_t *vdp, unsigned cookie,
				       const struct qvm_state_block *vopnd,
				       const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct console *con = vdp->v_device;
	unsigned ref = vio_read(&con->vio, cookie, vopnd, oopnd, gcp);
	struct console_config config;

	if ((ref & VIOREF_CLASS_MASK) != VIOREF_DEVCFG)
		return qvmx_vio_status(ref);
	pthread_mutex_lock(&vdp->v_mtx);
	config = con->config;
	pthread_mutex_unlock(&vdp->v_mtx);
	return qvmx_config_read(ref, &config, sizeof(config), oopnd, gcp);
}

static vdev_ref_status_t console_vwrite(vdev_t *vdp, unsigned cookie,
					const struct qvm_state_block *vopnd,
					const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct console *con = vdp->v_device;
	unsigned ref = vio_write(&con->vio, cookie, vopnd, oopnd, gcp);
	uint8_t byte;

	if ((ref & VIOREF_CLASS_MASK) == VIOREF_RESET)
		vio_reset(&con->vio);
	if (ref != (VIOREF_DEVCFG | offsetof(struct console_config, emerg_wr)))
		return qvmx_vio_status(ref);
	if (guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &byte, sizeof(byte)) == EOK) {
		pthread_mutex_lock(&vdp->v_mtx);
		outring_put(&con->emergency, byte);
		pthread_mutex_unlock(&vdp->v_mtx);
	}
	return VRS_NORMAL;
}

enum { OPT_HOSTDEV, OPT_DELAYED, OPT_PACKED, OPT_LEGACY, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_HOSTDEV] = { "hostdev", QVMX_OPT_PATH, QVMX_OPTF_REPEAT,
			  .help = "host end, '<' input or '>' output only; - is qvm's terminal" },
	[OPT_DELAYED] = { "delayed", QVMX_OPT_FLAG,
			  .help = "open the host end when the driver starts" },
	[OPT_PACKED] = QVMX_QUEUE_OPTION_PACKED,
	[OPT_LEGACY] = QVMX_QUEUE_OPTION_LEGACY,
};

static int options_end(vdev_t *vdp)
{
	struct console *con = vdp->v_device;
	struct vio_description desc = {
		.device_type = VIRTIO_ID_CONSOLE,
		.pci_class = 0x078000,
		.num_queues = NUM_QUEUES,
		.device_config_size = sizeof(struct console_config),
		.device_features = { 1u << F_EMERG_WRITE },
	};
	int err = hostend_default(&con->end);

	if (err != EOK)
		return err;
	con->has_size = hostend_is_own_terminal(&con->end);
	if (con->has_size)
		desc.device_features[0] |= 1u << F_SIZE;
	vio_init(vdp, VIOVER_100, &desc, &con->vio);
	if (con->split_only)
		qvmx_queue_split_only(&con->vio);
	for (unsigned i = 0; i < NUM_QUEUES; i++) {
		vio_init_queue(&con->vio, i, QUEUE_SIZE);
		qvmx_queue_serve(&con->vio, i, &queue_ops);
	}
	return EOK;
}

static int configured(vdev_t *vdp)
{
	struct console *con = vdp->v_device;
	sigset_t winch;
	int err = hostend_start(&con->end);

	if (err == EOK)
		err = outring_start(&con->emergency, 0);
	if (err != EOK || !con->has_size)
		return err;
	check_size(vdp);
	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	con->winch = signalfd(-1, &winch, SFD_NONBLOCK | SFD_CLOEXEC);
	if (con->winch < 0)
		return errno;
	return qvmx_watch_add(vdp, con->winch, EPOLLIN, window_changed, NULL, NULL);
}

static void terminate(struct console *con)
{
	outring_end(&con->emergency);
	hostend_end(&con->end);
	if (con->winch >= 0)
		close(con->winch);
	con->winch = -1;
}

static int console_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct console *con = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		con->winch = -1;
		hostend_init(&con->end, vdp, input_ready, output_ready);
		outring_init(&con->emergency, vdp, &con->end, emergency_room);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_HOSTDEV:
		return hostend_option(&con->end, arg);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_DELAYED:
		con->end.delayed = true;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_PACKED:
		con->split_only = !qvmx_option_value(&options[OPT_PACKED], arg);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_LEGACY:
		return qvmx_queue_refuse_legacy(vdp);
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_PCI_BARS:
		return vio_ctrl_pci_bars(&con->vio, arg);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return configured(vdp);
	case VDEV_CTRL_TERMINATE:
		terminate(con);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = console_control,
	.vread = console_vread,
	.vwrite = console_vwrite,
	.factory_flags = VFF_VDEV_PCI | VFF_VDEV_MEM | VFF_INTR_NONPCI | VFF_MUTEX,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct console),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.summary = "VirtIO console",
	.num_options = NUM_OPTIONS,
	.options = options,
};

static void __attribute__((constructor)) console_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
