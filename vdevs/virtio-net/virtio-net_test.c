/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net against a real tap, in a network namespace of the test's own. The other side of the
 * tap is a packet socket: what it sends, the guest receives, and the other way round.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <qvm/x/test.h>
#include "../common/test_config.h"
#include "../common/test_util.h"

#define DEV	     1
#define RX	     0
#define TX	     1
#define QUEUE_SIZE   256
#define ALL	     UINT64_MAX
#define TAP	     "bulktap0"
#define MAC	     "52:54:00:12:34:56"
#define TYPE	     0x88b5 /* local experimental */
#define HEADER	     12u
#define SKIPPED	     77

#define F_CSUM	     (UINT64_C(1) << 0)
#define F_GUEST_CSUM (UINT64_C(1) << 1)
#define F_MTU	     (UINT64_C(1) << 3)
#define F_MAC	     (UINT64_C(1) << 5)
#define F_GUEST_TSO4 (UINT64_C(1) << 7)
#define F_HOST_TSO4  (UINT64_C(1) << 11)
#define F_MRG_RXBUF  (UINT64_C(1) << 15)
#define F_STATUS     (UINT64_C(1) << 16)

struct header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

struct bench {
	struct vdevtest *t;
	struct vdevtest_virtio *v;
	int peer;
};

static int interface_index(const char *name)
{
	return (int)if_nametoindex(name);
}

/* The host would send its own packets into the tap. */
static void silence_ipv6(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);

	if (fd >= 0) {
		assert_int_equal(write(fd, "1", 1), 1);
		close(fd);
	}
}

static void bring_up(const char *name)
{
	struct ifreq ifr = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(ifr.ifr_name, name);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static void delete_interface(const char *name)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} msg = {
		.head = { sizeof(msg), RTM_DELLINK, NLM_F_REQUEST, 1, 0 },
		.info = { .ifi_index = interface_index(name) },
	};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	assert_int_equal(send(fd, &msg, sizeof(msg), 0), sizeof(msg));
	close(fd);
	wait_until(if_nametoindex(name) == 0);
}

/* A packet socket on the host's side of the tap. */
static int open_peer(bool offloads)
{
	uint16_t type = htons(offloads ? ETH_P_IP : TYPE);
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = type,
		.sll_ifindex = interface_index(TAP),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, type), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	if (offloads)
		assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	return fd;
}

static void end(struct bench *b)
{
	vdevtest_virtio_end(b->v);
	vdevtest_end(b->t);
	close(b->peer);
	assert_int_equal(if_nametoindex(TAP), 0); /* the tap went with the VM */
}

static size_t make_frame(uint8_t *frame, size_t len, uint8_t seed)
{
	struct ethhdr eth = { .h_proto = htons(TYPE) };

	memcpy(eth.h_dest, "\x52\x54\x00\x12\x34\x56", 6);
	memcpy(eth.h_source, "\x02\x00\x00\x00\x00\x01", 6);
	memcpy(frame, &eth, sizeof(eth));
	for (size_t i = sizeof(eth); i < len; i++)
		frame[i] = (uint8_t)(i * 3 + seed);
	return len;
}

static void to_guest(struct bench *b, size_t len, uint8_t seed)
{
	uint8_t frame[2000];

	make_frame(frame, len, seed);
	assert_int_equal(send(b->peer, frame, len, 0), len);
}

static void add(struct bench *b, unsigned queue, const struct vdevtest_buf *bufs, unsigned n)
{
	vdevtest_virtio_add(b->v, queue, bufs, n);
	vdevtest_virtio_kick(b->v, queue);
}

static uint64_t add_rx(struct bench *b, uint32_t len)
{
	uint64_t gpa = vdevtest_alloc(b->t, len, 16);

	add(b, RX, &(struct vdevtest_buf){ gpa, len, true }, 1);
	return gpa;
}

static uint32_t used(struct bench *b, unsigned queue)
{
	unsigned head;
	uint32_t len;

	if (!vdevtest_virtio_used(b->v, queue, WAIT_MS, &head, &len))
		fail_msg("no buffer came back");
	return len;
}

/* The device has started when it answers: it gives back a buffer that holds no packet. */
static void start_driver(struct bench *b, uint64_t features)
{
	b->v = vdevtest_virtio_start(b->t, DEV, features, QUEUE_SIZE);
	add_rx(b, 1);
	assert_int_equal(used(b, RX), 0);
}

static struct bench begin(uint64_t features)
{
	struct bench b;

	b.t = test_start("ram 8m vdev virtio-net tapdev " TAP " mac " MAC);
	bring_up(TAP);
	b.peer = open_peer(false);
	start_driver(&b, features);
	return b;
}

static bool nothing_used(struct bench *b, unsigned queue)
{
	unsigned head;
	uint32_t len;

	return !vdevtest_virtio_used(b->v, queue, 50, &head, &len);
}

/* Send a frame with this header, in one buffer. */
static void from_guest(struct bench *b, const struct header *header, const uint8_t *frame,
		       size_t len)
{
	uint64_t gpa = vdevtest_alloc(b->t, sizeof(*header) + len, 16);

	memcpy(vdevtest_ram(b->t, gpa, sizeof(*header)), header, sizeof(*header));
	if (len > 0)
		memcpy(vdevtest_ram(b->t, gpa + sizeof(*header), len), frame, len);
	add(b, TX, &(struct vdevtest_buf){ gpa, (uint32_t)(sizeof(*header) + len), false }, 1);
	assert_int_equal(used(b, TX), 0);
}

static void expect_at_peer(struct bench *b, const uint8_t *frame, size_t len)
{
	uint8_t buf[4096];
	ssize_t n = 0;

	wait_until((n = recv(b->peer, buf, sizeof(buf), 0)) > 0);
	assert_int_equal(n, len);
	assert_memory_equal(buf, frame, len);
}

static void identity(void **state)
{
	struct bench b = begin(ALL);

	(void)state;
	assert_int_equal(vdevtest_virtio_id(b.v), 1);
	if (vdevtest_virtio_on_pci(b.v))
		assert_int_equal(vdevtest_pci_read(b.t, DEV, 8, 4) >> 8, 0x028000);
	assert_true(vdevtest_virtio_features(b.v) & F_MAC);
	assert_true(vdevtest_virtio_features(b.v) & F_STATUS);
	assert_false(vdevtest_virtio_features(b.v) & F_MTU);
	assert_int_equal(vdevtest_virtio_config(b.v, 0, 4), 0x12005452);
	assert_int_equal(vdevtest_virtio_config(b.v, 4, 2), 0x5634);
	assert_int_equal(vdevtest_virtio_config(b.v, 6, 2), 1);
	vdevtest_virtio_config_write(b.v, 0, 1, 0xff); /* read only */
	assert_int_equal(vdevtest_virtio_config(b.v, 0, 1), 0x52);
	end(&b);
}

static void made_up_addresses(void **state)
{
	uint64_t mac[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct vdevtest *t = test_start("ram 8m vdev virtio-net tapdev " TAP);
		struct vdevtest_virtio *v = vdevtest_virtio_start(t, DEV, ALL, QUEUE_SIZE);

		mac[i] = vdevtest_virtio_config(v, 0, 4) | vdevtest_virtio_config(v, 4, 2) << 32;
		assert_int_equal(mac[i] & 3, 2);
		vdevtest_virtio_end(v);
		vdevtest_end(t);
	}
	assert_true(mac[0] != mac[1]);
}

/* NET-6, 15: small and full frames go out as they are. */
static void sends(void **state)
{
	const struct header none = { 0 };
	struct vdevtest_buf parts[3];
	struct bench b = begin(0);
	uint8_t frame[1514];
	uint64_t gpa;

	(void)state;
	from_guest(&b, &none, frame, make_frame(frame, 60, 1));
	expect_at_peer(&b, frame, 60);
	from_guest(&b, &none, frame, make_frame(frame, 1514, 2));
	expect_at_peer(&b, frame, 1514);
	make_frame(frame, 100, 3); /* parts that know nothing of header or frame */
	gpa = vdevtest_alloc(b.t, HEADER + 100, 1);
	memcpy(vdevtest_ram(b.t, gpa + HEADER, 100), frame, 100);
	parts[0] = (struct vdevtest_buf){ gpa, 5, false };
	parts[1] = (struct vdevtest_buf){ gpa + 5, 20, false };
	parts[2] = (struct vdevtest_buf){ gpa + 25, HEADER + 75, false };
	add(&b, TX, parts, 3);
	assert_int_equal(used(&b, TX), 0);
	expect_at_peer(&b, frame, 100);
	end(&b);
}

/* NET-16 to 19 */
static void ignores_what_it_must(void **state)
{
	const struct header junk = { .flags = 0x82,
				     .hdr_len = 0xffff,
				     .gso_size = 7,
				     .csum_start = 0xffff,
				     .csum_offset = 0xffff,
				     .num_buffers = 9 };
	struct bench b = begin(ALL);
	uint8_t frame[60];

	(void)state;
	from_guest(&b, &junk, frame, make_frame(frame, 60, 1));
	expect_at_peer(&b, frame, 60);
	end(&b);
}

/* DRV-31 */
static void drops_hostile_headers(void **state)
{
	static const struct header bad[] = {
		{ .flags = 1, .csum_start = 0xff00, .csum_offset = 0xff },
		{ .flags = 1, .gso_type = 1 },			 /* segments of nothing */
		{ .flags = 1, .gso_type = 2, .gso_size = 100 },	 /* no such type */
		{ .flags = 1, .gso_type = 0x21, .gso_size = 1 }, /* tunnel, not offered */
		{ .flags = 1, .gso_type = 0x7f, .gso_size = 1 },
	};
	const struct header none = { 0 },
			    csum = { .flags = 1, .csum_start = 34, .csum_offset = 16 },
			    tso = { .flags = 1, .gso_type = 1, .gso_size = 100 };
	struct bench b = begin(ALL);
	uint8_t frame[60];

	(void)state;
	make_frame(frame, 60, 1);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		from_guest(&b, &bad[i], frame, 60);
	for (size_t len = 0; len < 14; len++) /* no Ethernet header */
		from_guest(&b, &none, frame, len);
	add(&b, TX, &(struct vdevtest_buf){ vdevtest_alloc(b.t, 4, 4), 4, false }, 1);
	assert_int_equal(used(&b, TX), 0);
	add(&b, TX, &(struct vdevtest_buf){ vdevtest_alloc(b.t, 64, 4), 64, true }, 1);
	assert_int_equal(used(&b, TX), 0);
	assert_int_equal(recv(b.peer, frame, sizeof(frame), 0), -1);
	vdevtest_virtio_end(b.v);
	start_driver(&b, 0); /* nothing negotiated */
	from_guest(&b, &csum, frame, 60);
	from_guest(&b, &tso, frame, 60);
	assert_int_equal(recv(b.peer, frame, sizeof(frame), 0), -1);
	from_guest(&b, &none, frame, make_frame(frame, 60, 7)); /* it still works */
	expect_at_peer(&b, frame, 60);
	end(&b);
}

/* NET-15, 20, 21, 24, 33 */
static void receives(void **state)
{
	struct bench b = begin(0);
	uint8_t frame[2000];
	struct header *header;
	uint64_t gpa;

	(void)state;
	gpa = add_rx(&b, 2000);
	to_guest(&b, 60, 1);
	assert_int_equal(used(&b, RX), HEADER + 60);
	header = vdevtest_ram(b.t, gpa, sizeof(*header));
	assert_int_equal(header->flags, 0);
	assert_int_equal(header->gso_type, 0);
	assert_int_equal(header->num_buffers, 1);
	assert_memory_equal(header + 1, frame, make_frame(frame, 60, 1));
	to_guest(&b, 1000, 2); /* waits for a buffer */
	gpa = add_rx(&b, HEADER + 1000);
	assert_int_equal(used(&b, RX), HEADER + 1000);
	make_frame(frame, 1000, 2);
	assert_memory_equal(vdevtest_ram(b.t, gpa + HEADER, 1000), frame, 1000);
	end(&b);
}

/* NET-21, DRV-32 */
static void buffers_too_small(void **state)
{
	struct bench b = begin(0);

	(void)state;
	add_rx(&b, 1); /* not even a header */
	assert_int_equal(used(&b, RX), 0);
	add(&b, RX, &(struct vdevtest_buf){ vdevtest_alloc(b.t, 100, 4), 100, false }, 1);
	assert_int_equal(used(&b, RX), 0);
	add_rx(&b, HEADER + 100);
	to_guest(&b, 101, 1); /* dropped, the buffer stays */
	assert_true(nothing_used(&b, RX));
	to_guest(&b, 100, 2);
	assert_int_equal(used(&b, RX), HEADER + 100);
	end(&b);
}

/* NET-20, 22, 23 */
static void merges_buffers(void **state)
{
	struct bench b = begin(F_MRG_RXBUF);
	uint8_t frame[1000], got[1100];
	uint64_t gpa[20];
	size_t total = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		gpa[i] = add_rx(&b, 100);
	to_guest(&b, 1000, 5);
	for (unsigned i = 0; i < 11; i++) {
		uint32_t len = used(&b, RX);

		assert_int_equal(len, i < 10 ? 100 : 12);
		memcpy(got + total, vdevtest_ram(b.t, gpa[i], len), len);
		total += len;
	}
	assert_int_equal(total, HEADER + 1000);
	assert_int_equal(((struct header *)got)->num_buffers, 11);
	make_frame(frame, 1000, 5);
	assert_memory_equal(got + HEADER, frame, 1000);
	to_guest(&b, 60, 6);
	assert_int_equal(used(&b, RX), HEADER + 60);
	assert_int_equal(((struct header *)vdevtest_ram(b.t, gpa[11], HEADER))->num_buffers, 1);
	to_guest(&b, 1000, 7); /* 800 bytes are left */
	assert_true(nothing_used(&b, RX));
	to_guest(&b, 60, 8);
	assert_int_equal(used(&b, RX), HEADER + 60);
	end(&b);
}

/* NET-45, 52: a tagged frame comes in; while the queue is reset frames are dropped. */
static void tags_and_a_queue_in_reset(void **state)
{
	struct bench b = begin(ALL);
	uint8_t frame[64];
	uint64_t gpa;

	(void)state;
	make_frame(frame, 60, 1);
	memmove(frame + 16, frame + 12, 44);
	memcpy(frame + 12, "\x81\x00\x00\x05", 4);
	memset(frame + 60, 0, 4);
	gpa = add_rx(&b, 2000);
	assert_int_equal(send(b.peer, frame, sizeof(frame), 0), sizeof(frame));
	assert_int_equal(used(&b, RX), HEADER + sizeof(frame));
	assert_memory_equal(vdevtest_ram(b.t, gpa + HEADER, sizeof(frame)), frame, sizeof(frame));
	add_rx(&b, 2000);
	vdevtest_virtio_queue_reset(b.v, RX);
	to_guest(&b, 60, 2);
	vdevtest_virtio_queue_enable(b.v, RX, QUEUE_SIZE);
	add_rx(&b, 1);
	assert_int_equal(used(&b, RX), 0); /* the queue works again */
	gpa = add_rx(&b, 2000);
	to_guest(&b, 100, 3);
	assert_int_equal(used(&b, RX), HEADER + 100);
	end(&b);
}

static void nothing_from_before(void **state)
{
	struct bench b = begin(0);
	uint64_t gpa;

	(void)state;
	to_guest(&b, 60, 1);
	to_guest(&b, 60, 2);
	vdevtest_virtio_end(b.v);
	to_guest(&b, 60, 3);
	start_driver(&b, 0);
	gpa = add_rx(&b, 2000);
	assert_true(nothing_used(&b, RX));
	to_guest(&b, 60, 4);
	assert_int_equal(used(&b, RX), HEADER + 60);
	assert_int_equal(((uint8_t *)vdevtest_ram(b.t, gpa, 100))[HEADER + 20], 64);
	end(&b);
}

static void many_packets(void **state)
{
	struct bench b = begin(F_MRG_RXBUF | UINT64_C(1) << 29);
	const struct header none = { 0 };
	uint64_t gpa[64];
	uint8_t frame[60], *data;

	(void)state;
	for (unsigned i = 0; i < 64; i++)
		gpa[i] = add_rx(&b, 256);
	for (unsigned i = 0; i < 2000; i++) {
		if (i % 32 == 0)
			for (unsigned j = i; j < i + 32; j++)
				to_guest(&b, 60, (uint8_t)j);
		assert_int_equal(used(&b, RX), HEADER + 60);
		data = vdevtest_ram(b.t, gpa[i % 64], 100);
		assert_int_equal(data[HEADER + 20], (uint8_t)(60 + i));
		add(&b, RX, &(struct vdevtest_buf){ gpa[i % 64], 256, true }, 1);
	}
	for (unsigned i = 0; i < 2000; i++) {
		make_frame(frame, 60, (uint8_t)i);
		from_guest(&b, &none, frame, 60);
		expect_at_peer(&b, frame, 60);
	}
	end(&b);
}

/* As many packets at once as do not go into one batch, each of which uses up what the device holds:
 * the last buffers are waited for, too. */
static void burst(void **state)
{
	static const uint64_t features[] = { 0, ALL & ~F_MRG_RXBUF, ALL };
	static const uint32_t len[] = { 2000, 2000, 70000 };
	enum { FRAMES = 100 };

	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		struct bench b;

		b.t = test_start("ram 16m vdev virtio-net tapdev " TAP " mac " MAC);
		bring_up(TAP);
		b.peer = open_peer(false);
		start_driver(&b, features[kind]);
		for (unsigned i = 0; i < FRAMES + 1; i++)
			vdevtest_virtio_add(
				b.v, RX,
				&(struct vdevtest_buf){ vdevtest_alloc(b.t, len[kind], 16),
							len[kind], true },
				1);
		for (unsigned i = 0; i < FRAMES; i++)
			to_guest(&b, 60, (uint8_t)i);
		vdevtest_virtio_kick(b.v, RX);
		for (unsigned i = 0; i < FRAMES; i++)
			assert_int_equal(used(&b, RX), HEADER + 60);
		to_guest(&b, 100, 1);
		assert_int_equal(used(&b, RX), HEADER + 100);
		end(&b);
	}
}

/* A TCP segment that the sender leaves to be cut. */
static size_t make_big_tcp(uint8_t *packet, size_t payload)
{
	static const uint8_t head[54] = { 0x52, 0x54, 0,    0x12, 0x34, 0x56, 2,    0, 0,  0, 0,
					  1,	8,    0, /* Ethernet, IPv4 */
					  0x45, 0,    0,    0,	  0,	1,    0x40, 0, 64, 6, 0,
					  0,	10,   0,    0,	  1,	10,   0,    0, 2, /* TCP */
					  0x10, 0,    0x20, 0,	  0,	0,    0,    1, 0,  0, 0,
					  1,	0x50, 0x10, 1,	  0,	0,    0,    0, 0 };
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = sizeof(head),
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16,
	};
	size_t ip_len = sizeof(head) - 14 + payload;
	uint8_t *p = packet + sizeof(header);

	memcpy(packet, &header, sizeof(header));
	memcpy(p, head, sizeof(head));
	p[16] = (uint8_t)(ip_len >> 8);
	p[17] = (uint8_t)ip_len;
	for (size_t i = 0; i < payload; i++)
		p[sizeof(head) + i] = (uint8_t)(i * 13);
	return sizeof(header) + sizeof(head) + payload;
}

/* NET-20, 25 to 27, 30, 31, 34 */
static void big_segments(void **state)
{
	struct bench b = begin(F_MRG_RXBUF | F_GUEST_CSUM | F_GUEST_TSO4);
	int peer = open_peer(true);
	uint8_t packet[5000], *data;
	size_t len = make_big_tcp(packet, 4000), total = 0;
	struct header header;
	uint64_t gpa[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		gpa[i] = add_rx(&b, 2048);
	assert_int_equal(send(peer, packet, len, 0), len);
	for (unsigned i = 0; i < 2; i++)
		total += used(&b, RX);
	assert_int_equal(total, HEADER + 4054);
	memcpy(&header, vdevtest_ram(b.t, gpa[0], sizeof(header)), sizeof(header));
	assert_int_equal(header.flags & 1, 1);
	assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(header.gso_size, 1448);
	assert_int_equal(header.csum_start, 34);
	assert_int_equal(header.csum_offset, 16);
	assert_int_equal(header.num_buffers, 2);
	assert_true(header.hdr_len >= 54);
	vdevtest_virtio_end(b.v);

	/* The same for a driver without offloads arrives cut and checksummed. */
	start_driver(&b, F_MRG_RXBUF);
	for (unsigned i = 0; i < 4; i++)
		gpa[i] = add_rx(&b, 2048);
	assert_int_equal(send(peer, packet, len, 0), len);
	assert_int_equal(used(&b, RX), HEADER + 54 + 1448);
	assert_int_equal(used(&b, RX), HEADER + 54 + 1448);
	assert_int_equal(used(&b, RX), HEADER + 54 + 4000 - 2 * 1448);
	for (unsigned i = 0; i < 3; i++) {
		data = vdevtest_ram(b.t, gpa[i], 100);
		assert_int_equal(data[0] | data[1], 0);
		assert_true(data[HEADER + 50] || data[HEADER + 51]);
	}
	close(peer);
	end(&b);
}

/* NET-24, 25: a checksum that the sender left to the card: whole for a driver that has not
 * negotiated it. */
static void checksums(void **state)
{
	struct bench b = begin(F_GUEST_CSUM);
	int peer = open_peer(true);
	uint8_t packet[200], *data;
	size_t len = make_big_tcp(packet, 100);
	uint64_t gpa = add_rx(&b, 2048);
	uint16_t sums[2];

	(void)state;
	packet[1] = VIRTIO_NET_HDR_GSO_NONE;
	packet[4] = packet[5] = 0; /* gso_size */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(send(peer, packet, len, 0), len);
		assert_int_equal(used(&b, RX), HEADER + 154);
		data = vdevtest_ram(b.t, gpa, HEADER + 154);
		assert_int_equal(data[0] & 1, i == 0);
		memcpy(&sums[i], data + HEADER + 50, sizeof(sums[i]));
		if (i == 0) {
			vdevtest_virtio_end(b.v);
			start_driver(&b, 0);
			gpa = add_rx(&b, 2048);
		}
	}
	assert_int_equal(sums[0], 0);
	assert_int_not_equal(sums[1], 0);
	close(peer);
	end(&b);
}

static void big_segments_from_the_guest(void **state)
{
	struct bench b = begin(F_CSUM | F_HOST_TSO4);
	int peer = open_peer(true);
	uint8_t packet[5000], got[5000];
	size_t len = make_big_tcp(packet, 4000) - sizeof(struct virtio_net_hdr);
	const uint8_t *frame = packet + sizeof(struct virtio_net_hdr);
	struct header header = { 0 };
	ssize_t n = 0;

	(void)state;
	memcpy(&header, packet, sizeof(struct virtio_net_hdr));
	from_guest(&b, &header, frame, len);
	wait_until((n = recv(peer, got, sizeof(got), 0)) > 0);
	assert_int_equal(n, sizeof(struct virtio_net_hdr) + len);
	assert_int_equal(got[1], VIRTIO_NET_HDR_GSO_TCPV4);
	assert_memory_equal(got + sizeof(struct virtio_net_hdr), frame, len);
	vdevtest_virtio_end(b.v);

	start_driver(&b, F_CSUM); /* who has not negotiated it may not */
	from_guest(&b, &header, frame, len);
	assert_int_equal(recv(peer, got, sizeof(got), 0), -1);
	close(peer);
	end(&b);
}

static void lost_tap(void **state)
{
	struct bench b = begin(ALL);
	const struct header none = { 0 };
	uint64_t early, status;
	uint8_t frame[60];

	(void)state;
	add_rx(&b, 2000);
	to_guest(&b, 60, 1);
	used(&b, RX);
	add_rx(&b, 2000);
	vdevtest_virtio_interrupts(b.v, 0);
	look_begin(b.v, 6, 2);
	delete_interface(TAP);
	assert_true(look_end(&early, &status));
	assert_true(vdevtest_virtio_interrupts(b.v, WAIT_MS) >= 1);
	assert_int_not_equal(early, 0); /* not before its change was told */
	assert_int_equal(status, 0);
	from_guest(&b, &none, frame, make_frame(frame, 60, 1)); /* comes back unsent */
	assert_true(nothing_used(&b, RX));
	end(&b);
}

static int make_persistent(int persist)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR);

	strcpy(ifr.ifr_name, TAP);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, (unsigned long)persist), 0);
	return fd;
}

static void set_mtu(int mtu)
{
	struct ifreq ifr = { .ifr_mtu = mtu };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(ifr.ifr_name, TAP);
	assert_int_equal(ioctl(fd, SIOCSIFMTU, &ifr), 0);
	close(fd);
}

/* NET-2 to 5: the interface's MTU is what the guest is told, and stays. */
static void existing_tap(void **state)
{
	static const uint8_t tags[2][4] = { { 0x81, 0, 0, 5 }, { 0x88, 0xa8, 0, 5 } };
	int fd = make_persistent(1);
	uint8_t tagged[1419];
	struct bench b;

	(void)state;
	set_mtu(1400);
	test_refused("ram 8m vdev virtio-net tapdev " TAP, "another program");
	close(fd);
	b = begin(ALL);
	assert_true(vdevtest_virtio_features(b.v) & F_MTU);
	assert_int_equal(vdevtest_virtio_config(b.v, 10, 2), 1400);
	set_mtu(1500);
	add_rx(&b, 2000);
	to_guest(&b, 1415, 1); /* larger than the guest was told */
	make_frame(tagged, sizeof(tagged), 2);
	for (unsigned i = 0; i < 2; i++) { /* a tag is no part of it */
		memcpy(tagged + 12, tags[i], sizeof(tags[i]));
		assert_int_equal(send(b.peer, tagged, 1419, 0), 1419);
		assert_true(nothing_used(&b, RX));
		assert_int_equal(send(b.peer, tagged, 1418, 0), 1418);
		assert_int_equal(used(&b, RX), HEADER + 1418);
		add_rx(&b, 2000);
	}
	to_guest(&b, 1414, 2);
	assert_int_equal(used(&b, RX), HEADER + 1414);
	vdevtest_virtio_end(b.v);
	vdevtest_end(b.t);
	close(b.peer);
	assert_int_not_equal(if_nametoindex(TAP), 0); /* it was there before */
	close(make_persistent(0));
}

static void what_is_refused(void **state)
{
	(void)state;
	test_refused("ram 8m vdev virtio-net", "tapdev NAME");
	test_refused("ram 8m vdev virtio-net tapdev this-name-is-too-long", "1 to 15 characters");
	test_refused("ram 8m vdev virtio-net tapdev a/b", "no '/'");
	test_refused("ram 8m vdev virtio-net tapdev lo", "no tap interface");
	test_refused("ram 8m vdev virtio-net tapdev " TAP " legacy", "0.9.5");
	test_refused("ram 8m vdev virtio-net tapdev " TAP " peer /dev/vdevpeers/vp0", "not built");
	test_refused("ram 8m vdev virtio-net peer /dev/vdevpeers/vp0", "not built");
	assert_null(strstr(vdevtest_errors(), "needs its other end")); /* it has been given one */
	test_refused("ram 8m vdev virtio-net tapdev " TAP " mac 01:00:00:00:00:01", "single");
	test_refused("ram 8m vdev virtio-net tapdev " TAP " mac 00:00:00:00:00:00", "single");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity),
		cmocka_unit_test(made_up_addresses),
		cmocka_unit_test(sends),
		cmocka_unit_test(ignores_what_it_must),
		cmocka_unit_test(drops_hostile_headers),
		cmocka_unit_test(receives),
		cmocka_unit_test(buffers_too_small),
		cmocka_unit_test(merges_buffers),
		cmocka_unit_test(tags_and_a_queue_in_reset),
		cmocka_unit_test(nothing_from_before),
		cmocka_unit_test(many_packets),
		cmocka_unit_test(burst),
		cmocka_unit_test(big_segments),
		cmocka_unit_test(checksums),
		cmocka_unit_test(big_segments_from_the_guest),
		cmocka_unit_test(lost_tap),
		cmocka_unit_test(existing_tap),
		cmocka_unit_test(what_is_refused),
	};

	if (unshare(CLONE_NEWNET) != 0 || access("/dev/net/tun", R_OK | W_OK) != 0) {
		printf("skipped: it takes a network namespace and /dev/net/tun: %s\n",
		       strerror(errno));
		return SKIPPED;
	}
	silence_ipv6();
	return cmocka_run_group_tests_name("virtio-net", tests, NULL, NULL);
}
