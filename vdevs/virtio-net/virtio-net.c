/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev virtio-net: a VirtIO network interface whose other end is a tap interface of the host.
 *
 * A packet is one readv or writev between the tap and the driver's buffers. The tap speaks the same
 * header as the driver: checksum and segmentation offloads are the host kernel's, switched on by
 * what the driver negotiates. What the driver sends is checked here as far as the negotiated
 * features go, and by the kernel; what either refuses is dropped and counted. The tap is read only
 * while the driver has buffers.
 *
 * Everything but the configuration runs on the vdev's thread.
 */
#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>
#include <virtio.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/vio.h>
#include <qvm/x/conf.h>
#include <qvm/x/loop.h>
#include <qvm/x/queue.h>
#include "tap.h"

#define QUEUE_SIZE 256
#define MAX_IOV	   512u /* parts of one packet; a chain has at most QUEUE_SIZE */
#define RX_BATCH   64u	/* packets between two flushes */
#define MIN_MTU	   1280u
#define MAX_MTU	   65535u
#define MAX_PACKET (TAP_HEADER + 65550u)
#define ETH_HEADER 14u
#define ETH_TYPE   12u /* where it stands in it */
#define TAG	   4u

enum { QUEUE_RX, QUEUE_TX, NUM_QUEUES };

#define F_CSUM	       (1u << 0)
#define F_GUEST_CSUM   (1u << 1)
#define F_MTU	       (1u << 3)
#define F_MAC	       (1u << 5)
#define F_GUEST_TSO4   (1u << 7)
#define F_GUEST_TSO6   (1u << 8)
#define F_GUEST_ECN    (1u << 9)
#define F_GUEST_UFO    (1u << 10)
#define F_HOST_TSO4    (1u << 11)
#define F_HOST_TSO6    (1u << 12)
#define F_HOST_ECN     (1u << 13)
#define F_HOST_UFO     (1u << 14)
#define F_MRG_RXBUF    (1u << 15)
#define F_STATUS       (1u << 16)

#define STATUS_LINK_UP 1

#define HDR_NEEDS_CSUM 1
#define GSO_NONE       0
#define GSO_TCPV4      1
#define GSO_UDP	       3
#define GSO_TCPV6      4
#define GSO_ECN	       0x80

struct net_header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
_Static_assert(sizeof(struct net_header) == TAP_HEADER, "the tap's header is the driver's");

struct net_config {
	uint8_t mac[6];
	uint16_t status, max_virtqueue_pairs, mtu;
};
_Static_assert(sizeof(struct net_config) == 12, "layout of the device configuration");

/* Receive buffers that were taken and are not used yet; their parts stand one after the other in
 * `iov`. */
struct rx_buffer {
	uint32_t id;
	unsigned num_iov;
	size_t len;
};

struct net {
	struct vio_state vio;
	struct net_config config; /* status: with v_mtx */
	char *tap_name;
	bool have_mac, split_only;
	bool has_peer; /* in the file; refused */
	int tap;       /* -1: not open, or lost */
	struct qvmx_watch *watch;
	uint32_t watched;	    /* its events */
	uint32_t features;	    /* negotiated */
	struct qvmx_queue *rx, *tx; /* NULL: not live */

	struct rx_buffer held[MAX_IOV];
	struct iovec iov[MAX_IOV + 1]; /* and a place for what does not fit */
	unsigned num_held, num_iov;
	size_t held_len;

	bool tx_held; /* `out` waits for the tap */
	struct qvmx_request out;
	_Atomic uint64_t received, sent, rx_dropped, tx_dropped;
};

static void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void watch_tap(struct net *net)
{
	uint32_t events = 0;

	if (net->tap >= 0 && net->rx && net->num_held > 0)
		events |= EPOLLIN;
	if (net->tap >= 0 && net->tx && net->tx_held)
		events |= EPOLLOUT;
	if (events != net->watched)
		qvmx_watch_set(net->watch, events);
	net->watched = events;
}

/* The interface was deleted on the host. It does not come back: a new one of that name is another.
 */
static void lose_link(vdev_t *vdp)
{
	struct net *net = vdp->v_device;

	vdev_logf(QL_QVM_ERR, vdp, "the tap '%s' is gone: the link is down", net->tap_name);
	qvmx_watch_remove(net->watch);
	net->watched = 0;
	close(net->tap);
	net->tap = -1;
	pthread_mutex_lock(&vdp->v_mtx);
	net->config.status = 0;
	qvmx_config_changed(&net->vio);
	pthread_mutex_unlock(&vdp->v_mtx);
}

/* What the largest packet needs: with mergeable buffers a packet may span several. */
static size_t rx_wanted(const struct net *net)
{
	return net->features & F_MRG_RXBUF ? MAX_PACKET : 1;
}

/* Take buffers until the largest packet fits or the driver has no more. */
static void take_buffers(struct net *net)
{
	struct qvmx_request req;

	while (net->held_len < rx_wanted(net) && net->num_held < MAX_IOV) {
		if (qvmx_queue_next(net->rx, &req) != 1)
			return;
		if (req.write_len < TAP_HEADER || req.num_write > MAX_IOV) {
			qvmx_queue_done(net->rx, req.id, 0); /* no place for a packet */
			continue;
		}
		if (req.num_write > MAX_IOV - net->num_iov) {
			qvmx_queue_unget(net->rx);
			return;
		}
		memcpy(&net->iov[net->num_iov], req.iov + req.num_read,
		       req.num_write * sizeof(net->iov[0]));
		net->num_iov += req.num_write;
		net->held_len += req.write_len;
		net->held[net->num_held++] =
			(struct rx_buffer){ req.id, req.num_write, req.write_len };
	}
}

/* The first `used` buffers go back to the driver with `len` bytes in them, all but the last one
 * full. */
static void give_buffers(struct net *net, unsigned used, size_t len)
{
	unsigned parts = 0;

	for (unsigned i = 0; i < used; i++) {
		size_t part = len < net->held[i].len ? len : net->held[i].len;

		qvmx_queue_done(net->rx, net->held[i].id, (uint32_t)part);
		len -= part;
		parts += net->held[i].num_iov;
		net->held_len -= net->held[i].len;
	}
	net->num_held -= used;
	net->num_iov -= parts;
	memmove(net->held, net->held + used, net->num_held * sizeof(net->held[0]));
	memmove(net->iov, net->iov + parts, net->num_iov * sizeof(net->iov[0]));
}

/* What stands before the payload of the frame in the held buffers. */
static size_t link_header(const struct net *net)
{
	uint8_t type[2] = { 0 };

	qvmx_iov_read(net->iov, net->num_iov, TAP_HEADER + ETH_TYPE, type, sizeof(type));
	return (type[0] == 0x81 && type[1] == 0x00) || (type[0] == 0x88 && type[1] == 0xa8)
		       ? ETH_HEADER + TAG
		       : ETH_HEADER;
}

/* Does a packet of len bytes, header included, go to the driver? */
static bool accept_packet(const struct net *net, size_t len)
{
	struct net_header header;

	if (len > net->held_len)
		return false;
	if (!(net->features & F_MTU) ||
	    len <= TAP_HEADER + link_header(net) + le16toh(net->config.mtu))
		return true;
	qvmx_iov_read(net->iov, net->num_iov, 0, &header, sizeof(header));
	return (header.gso_type & ~GSO_ECN) != GSO_NONE;
}

/* A packet is in the held buffers. */
static void deliver(struct net *net, size_t len)
{
	uint16_t num_buffers;
	uint8_t no_flags = 0;
	unsigned used = 0;

	for (size_t filled = 0; filled < len; used++)
		filled += net->held[used].len;
	num_buffers = htole16((uint16_t)used);
	qvmx_iov_write(net->iov, net->num_iov, offsetof(struct net_header, num_buffers),
		       &num_buffers, sizeof(num_buffers));
	if (!(net->features & F_GUEST_CSUM)) /* not even "checksum seen to be good" */
		qvmx_iov_write(net->iov, net->num_iov, 0, &no_flags, sizeof(no_flags));
	give_buffers(net, used, len);
	count(&net->received);
}

static void serve_rx(vdev_t *vdp)
{
	struct net *net = vdp->v_device;
	ssize_t len = 0;
	char excess;

	if (!net->rx)
		return;
	/* The turn ends with the driver's buffers taken, or its next kick armed. */
	take_buffers(net);
	for (unsigned i = 0; i < RX_BATCH && net->num_held > 0 && net->tap >= 0; i++) {
		net->iov[net->num_iov] = (struct iovec){ &excess, 1 };
		len = readv(net->tap, net->iov, (int)net->num_iov + 1);
		if (len < 0)
			break;
		if (accept_packet(net, (size_t)len))
			deliver(net, (size_t)len);
		else
			count(&net->rx_dropped);
		take_buffers(net);
	}
	if (len < 0 && errno == EBADFD)
		lose_link(vdp);
	qvmx_queue_flush(net->rx);
	watch_tap(net);
}

/* Is the header one that the negotiated features allow? */
static bool header_ok(const struct net *net, const struct net_header *header)
{
	uint8_t gso = header->gso_type & (uint8_t)~GSO_ECN;

	if ((header->flags & HDR_NEEDS_CSUM) && !(net->features & F_CSUM))
		return false;
	if ((header->gso_type & GSO_ECN) && !(net->features & F_HOST_ECN))
		return false;
	switch (gso) {
	case GSO_NONE:
		return true;
	case GSO_TCPV4:
		return net->features & F_HOST_TSO4;
	case GSO_TCPV6:
		return net->features & F_HOST_TSO6;
	case GSO_UDP:
		return net->features & F_HOST_UFO;
	default:
		return false;
	}
}

/* Send one chain. Returns 0 or an errno; EAGAIN: the tap takes no more now. */
static int send_packet(const struct net *net, const struct qvmx_request *req)
{
	struct iovec iov[MAX_IOV + 1];
	struct net_header header;
	size_t skip = sizeof(header), payload = req->read_len - sizeof(header);
	int n = 0;

	if (req->num_read > MAX_IOV ||
	    qvmx_iov_read(req->iov, req->num_read, 0, &header, sizeof(header)) != sizeof(header) ||
	    !header_ok(net, &header))
		return EINVAL;
	/* Our copy is what counts: only known flags, and a header length that is at least possible.
	 */
	header.flags &= HDR_NEEDS_CSUM;
	if (le16toh(header.hdr_len) > payload)
		header.hdr_len = htole16((uint16_t)payload);
	iov[n++] = (struct iovec){ &header, sizeof(header) };
	for (unsigned i = 0; i < req->num_read; i++) {
		const struct iovec *part = &req->iov[i];

		if (skip >= part->iov_len) {
			skip -= part->iov_len;
			continue;
		}
		iov[n].iov_base = (uint8_t *)part->iov_base + skip;
		iov[n++].iov_len = part->iov_len - skip;
		skip = 0;
	}
	return writev(net->tap, iov, n) < 0 ? errno : 0;
}

static void serve_tx(vdev_t *vdp)
{
	struct net *net = vdp->v_device;
	unsigned done = 0;
	int err;

	if (!net->tx)
		return;
	for (;;) {
		if (!net->tx_held && qvmx_queue_next(net->tx, &net->out) != 1)
			break;
		err = net->tap < 0 ? EBADFD : send_packet(net, &net->out);
		net->tx_held = err == EAGAIN;
		if (net->tx_held)
			break;
		count(err == 0 ? &net->sent : &net->tx_dropped);
		if (err == EBADFD && net->tap >= 0)
			lose_link(vdp);
		qvmx_queue_done(net->tx, net->out.id, 0);
		done++;
	}
	if (done > 0)
		qvmx_queue_flush(net->tx);
	watch_tap(net);
}

static void tap_ready(vdev_t *vdp, void *data, uint32_t events)
{
	const struct net *net = vdp->v_device;

	(void)data;
	if (net->tx_held && (events & (EPOLLOUT | EPOLLERR)))
		serve_tx(vdp);
	if (events & (EPOLLIN | EPOLLERR))
		serve_rx(vdp);
}

static void queue_kick(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	const struct net *net = vdp->v_device;

	(void)q;
	if (queue == QUEUE_RX)
		serve_rx(vdp);
	else if (!net->tx_held)
		serve_tx(vdp);
}

static unsigned offloads(uint32_t features)
{
	return (features & F_GUEST_CSUM ? TUN_F_CSUM : 0) |
	       (features & F_GUEST_TSO4 ? TUN_F_TSO4 : 0) |
	       (features & F_GUEST_TSO6 ? TUN_F_TSO6 : 0) |
	       (features & F_GUEST_ECN ? TUN_F_TSO_ECN : 0) |
	       (features & F_GUEST_UFO ? TUN_F_UFO : 0);
}

static void queue_start(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct net *net = vdp->v_device;
	int err;

	net->features = net->vio.driver_features[0];
	if (queue == QUEUE_TX) {
		net->tx = q;
		return;
	}
	net->rx = q;
	if (net->tap < 0)
		return;
	err = tap_set_offloads(net->tap, offloads(net->features));
	if (err != 0)
		vdev_logf(QL_QVM_WARN, vdp, "the tap '%s' has no offloads: %s", net->tap_name,
			  strerror(err));
	/* What waits there came before the driver, and in the form that the last one took. */
	tap_drain(net->tap);
}

static bool queue_stop(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct net *net = vdp->v_device;

	(void)q;
	if (queue == QUEUE_RX) {
		net->rx = NULL;
		net->num_held = net->num_iov = 0;
		net->held_len = 0;
	} else {
		net->tx = NULL;
		net->tx_held = false;
	}
	watch_tap(net);
	return true;
}

static const struct qvmx_queue_ops queue_ops = {
	.size = sizeof(queue_ops),
	.kick = queue_kick,
	.stop = queue_stop,
	.start = queue_start,
};

static vdev_ref_status_t net_vread(vdev_t *vdp, unsigned cookie,
				   const struct qvm_state_block *vopnd,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct net *net = vdp->v_device;
	unsigned ref = vio_read(&net->vio, cookie, vopnd, oopnd, gcp);
	struct net_config config;

	if ((ref & VIOREF_CLASS_MASK) != VIOREF_DEVCFG)
		return qvmx_vio_status(ref);
	pthread_mutex_lock(&vdp->v_mtx);
	config = net->config;
	pthread_mutex_unlock(&vdp->v_mtx);
	return qvmx_config_read(ref, &config, sizeof(config), oopnd, gcp);
}

static vdev_ref_status_t net_vwrite(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct net *net = vdp->v_device;
	unsigned ref = vio_write(&net->vio, cookie, vopnd, oopnd, gcp);

	if ((ref & VIOREF_CLASS_MASK) == VIOREF_RESET)
		vio_reset(&net->vio);
	return qvmx_vio_status(ref);
}

enum { OPT_TAPDEV, OPT_MAC, OPT_PEER, OPT_PEERFEATS, OPT_PACKED, OPT_LEGACY, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_TAPDEV] = { "tapdev", QVMX_OPT_STRING, .help = "tap interface of the host" },
	[OPT_MAC] = { "mac", QVMX_OPT_MAC, .help = "address of the guest's interface" },
	[OPT_PEER] = { "peer", QVMX_OPT_STRING, .help = "the link's other end (not built)" },
	[OPT_PEERFEATS] = { "peerfeats", QVMX_OPT_NUMBER,
			    .help = "features of the other end (not built)" },
	[OPT_PACKED] = QVMX_QUEUE_OPTION_PACKED,
	[OPT_LEGACY] = QVMX_QUEUE_OPTION_LEGACY,
};

static int set_tap(vdev_t *vdp, const char *name)
{
	struct net *net = vdp->v_device;
	const char *why = tap_check(name);

	if (why)
		return qvmx_refuse(vdp, "the tap '%s' cannot be used: %s", name, why);
	free(net->tap_name);
	net->tap_name = strdup(name);
	return net->tap_name ? EOK : ENOMEM;
}

static int set_mac(vdev_t *vdp, const char *text)
{
	static const uint8_t zero[6];
	struct net *net = vdp->v_device;
	uint8_t *m = net->config.mac;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", m, m + 1, m + 2, m + 3, m + 4,
		   m + 5) != 6)
		return EINVAL;
	if ((m[0] & 1) || memcmp(m, zero, sizeof(zero)) == 0)
		return qvmx_refuse(vdp, "%s is no address of a single interface", text);
	net->have_mac = true;
	return EOK;
}

static int set_option(vdev_t *vdp, unsigned option, const char *text)
{
	switch (option) {
	case OPT_TAPDEV:
		return set_tap(vdp, text);
	case OPT_MAC:
		return set_mac(vdp, text);
	case OPT_PEER:
	case OPT_PEERFEATS:
		((struct net *)vdp->v_device)->has_peer = true;
		return qvmx_refuse(vdp, "links between VMs are not built yet: use 'tapdev NAME'");
	case OPT_PACKED:
		((struct net *)vdp->v_device)->split_only =
			!qvmx_option_value(&options[option], text);
		return EOK;
	default:
		return qvmx_queue_refuse_legacy(vdp);
	}
}

/* A made-up address: locally administered, another one at each start. */
static int make_mac(struct net *net)
{
	if (getrandom(net->config.mac, sizeof(net->config.mac), 0) != sizeof(net->config.mac))
		return errno;
	net->config.mac[0] = (uint8_t)((net->config.mac[0] & 0xfc) | 2);
	return EOK;
}

static int options_end(vdev_t *vdp)
{
	struct net *net = vdp->v_device;
	struct vio_description desc = {
		.device_type = VIRTIO_ID_NET,
		.pci_class = 0x028000,
		.num_queues = NUM_QUEUES,
		.device_config_size = sizeof(struct net_config),
		.device_features = { F_CSUM | F_GUEST_CSUM | F_MAC | F_GUEST_TSO4 | F_GUEST_TSO6 |
				     F_GUEST_ECN | F_GUEST_UFO | F_HOST_TSO4 | F_HOST_TSO6 |
				     F_HOST_ECN | F_HOST_UFO | F_MRG_RXBUF | F_STATUS },
	};
	unsigned mtu;

	if (!net->tap_name && !net->has_peer)
		return qvmx_refuse(vdp, "an interface needs its other end: 'tapdev NAME'");
	if (!net->have_mac && make_mac(net) != EOK)
		return EIO;
	mtu = net->tap_name ? tap_mtu(net->tap_name) : 0;
	if (mtu >= MIN_MTU && mtu <= MAX_MTU) {
		desc.device_features[0] |= F_MTU;
		net->config.mtu = htole16((uint16_t)mtu);
	}
	net->config.status = htole16(STATUS_LINK_UP);
	net->config.max_virtqueue_pairs = htole16(1);
	vio_init(vdp, VIOVER_100, &desc, &net->vio);
	if (net->split_only)
		qvmx_queue_split_only(&net->vio);
	for (unsigned i = 0; i < NUM_QUEUES; i++) {
		vio_init_queue(&net->vio, i, QUEUE_SIZE);
		qvmx_queue_serve(&net->vio, i, &queue_ops);
	}
	return EOK;
}

static int configured(vdev_t *vdp)
{
	struct net *net = vdp->v_device;
	const char *why;

	if (tap_open(net->tap_name, &net->tap, &why) != 0)
		return qvmx_refuse(vdp, "the tap '%s' cannot be used: %s", net->tap_name, why);
	return qvmx_watch_add(vdp, net->tap, 0, tap_ready, NULL, &net->watch);
}

static void log_status(const vdev_t *vdp)
{
	const struct net *net = vdp->v_device;
	const uint8_t *m = net->config.mac;

	vdev_logf(QL_QVM_INFO, vdp,
		  "tap=%s mac=%02x:%02x:%02x:%02x:%02x:%02x received=%llu dropped=%llu sent=%llu "
		  "dropped=%llu",
		  net->tap_name, m[0], m[1], m[2], m[3], m[4], m[5],
		  (unsigned long long)atomic_load(&net->received),
		  (unsigned long long)atomic_load(&net->rx_dropped),
		  (unsigned long long)atomic_load(&net->sent),
		  (unsigned long long)atomic_load(&net->tx_dropped));
}

static int net_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct net *net = vdp->v_device;

	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		net->tap = -1;
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_PCI_BARS:
		return vio_ctrl_pci_bars(&net->vio, arg);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return configured(vdp);
	case VDEV_CTRL_STATUS:
		log_status(vdp);
		return EOK;
	case VDEV_CTRL_TERMINATE:
		if (net->tap >= 0)
			close(net->tap);
		free(net->tap_name);
		return EOK;
	default:
		if (ctrl >= VDEV_CTRL_FIRST_OPTIDX)
			return set_option(vdp, (unsigned)ctrl - VDEV_CTRL_FIRST_OPTIDX, arg);
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = net_control,
	.vread = net_vread,
	.vwrite = net_vwrite,
	.factory_flags = VFF_VDEV_PCI | VFF_VDEV_MEM | VFF_INTR_NONPCI | VFF_MUTEX,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct net),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.summary = "VirtIO network interface",
	.num_options = NUM_OPTIONS,
	.options = options,
};

static void __attribute__((constructor)) net_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
