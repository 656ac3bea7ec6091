/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C: what the VirtIO specification asks of any device and no unit test below shows: what is not
 * offered, that buffers to write are not read, that what was accepted once is accepted again.
 */
#include "hostile.h"

#define W VIRTQ_DESC_F_WRITE

struct feature {
	uint8_t bit;
	const char *name;
};

/* Not for any of our devices: reserved, of another transport, or not built. */
static const struct feature core_features[] = {
	{ 24, "NOTIFY_ON_EMPTY" },
	{ 25, "25" },
	{ 26, "26" },
	{ 27, "ANY_LAYOUT" },
	{ 30, "UNUSED" },
	{ 31, "31" },
	{ 33, "ACCESS_PLATFORM" },
	{ 35, "IN_ORDER" },
	{ 36, "ORDER_PLATFORM" },
	{ 37, "SR_IOV" },
	{ 38, "NOTIFICATION_DATA" },
	{ 39, "NOTIF_CONFIG_DATA" },
	{ 41, "ADMIN_VQ" },
	{ 42, "42" },
	{ 43, "SUSPEND" },
	{ 44, "44" },
	{ 45, "45" },
	{ 46, "46" },
	{ 47, "47" },
	{ 48, "48" },
	{ 49, "49" },
};
/* Of a type, not built. */
static const struct feature block_features[] = {
	{ 11, "CONFIG_WCE" }, { 15, "LIFETIME" }, { 16, "SECURE_ERASE" }, { 17, "ZONED" }
};
static const struct feature net_features[] = {
	{ 2, "CTRL_GUEST_OFFLOADS" },
	{ 17, "CTRL_VQ" },
	{ 18, "CTRL_RX" },
	{ 19, "CTRL_VLAN" },
	{ 20, "CTRL_RX_EXTRA" },
	{ 21, "GUEST_ANNOUNCE" },
	{ 22, "MQ" },
	{ 23, "CTRL_MAC_ADDR" },
	{ 50, "DEVICE_STATS" },
	{ 51, "HASH_TUNNEL" },
	{ 52, "VQ_NOTF_COAL" },
	{ 53, "NOTF_COAL" },
	{ 57, "HASH_REPORT" },
	{ 59, "GUEST_HDRLEN" },
	{ 60, "RSS" },
	{ 61, "RSC_EXT" },
	{ 62, "STANDBY" },
	{ 63, "SPEED_DUPLEX" },
};
static const struct feature console_features[] = { { 1, "MULTIPORT" } };

static void not_offered(struct guest *g, const char *type, unsigned id,
			const struct feature *features, unsigned num)
{
	for (unsigned i = 0; i < num; i++) {
		if (!case_begin(g, "%s %s is not offered", type, features[i].name))
			continue;
		if (!id || g->device_id == id)
			expect(g, !(g->offered >> features[i].bit & 1));
		case_end(g);
	}
}

/* What comes of a request with that content where the device may write. */
static void fill_and_run(struct guest *g, uint8_t content, unsigned number, uint32_t *ret_len,
			 uint8_t *ret_last)
{
	const struct buf bufs[] = { { BUFFERS, 32, 0 }, { BUFFERS + 0x1000, 513, W } };
	unsigned q = g->subject->queue, id;

	start(g);
	memset(vdevtest_ram(g->t, BUFFERS, BUFFERS_LEN), content, BUFFERS_LEN);
	memset(vdevtest_ram(g->t, BUFFERS, 32), 0, 32);
	*(uint8_t *)vdevtest_ram(g->t, BUFFERS, 1) = (uint8_t)number;
	(void)offer(g, q, bufs, 2);
	kick(g, q);
	run(g);
	*ret_len = UINT32_MAX;
	expect(g, used(g, q, &id, ret_len));
	expect(g, status(g) == STATUS_RUNNING);
	*ret_last = *(uint8_t *)vdevtest_ram(g->t, BUFFERS + 0x1000 + 512, 1);
	if (*ret_last == content)
		*ret_last = 0xff; /* nothing was written there */
}

/*
 * GEN-6, 8, 9, 10, 23, SPLIT-3, PACKED-4, BLK-17, 22, NET-33, CON-6: over all devices and both
 * kinds of rings.
 */
void row_c(struct guest *g)
{
	not_offered(g, "any", 0, core_features, sizeof(core_features) / sizeof(core_features[0]));
	not_offered(g, "disk", 2, block_features,
		    sizeof(block_features) / sizeof(block_features[0]));
	not_offered(g, "network", 1, net_features, sizeof(net_features) / sizeof(net_features[0]));
	not_offered(g, "console", 3, console_features, 1);
	for (unsigned word = 2; word < 6; word++) {
		if (!case_begin(g, "no feature in word %u", word))
			continue;
		reg_write(g, REG_DEVICE_FEATURES_SELECT, word);
		expect(g, reg_read(g, REG_DEVICE_FEATURES) == 0);
		case_end(g);
	}
	if (case_begin(g, "no more queues than there are")) {
		for (unsigned q = g->num_queues; q < g->num_queues + 4; q++) {
			reg_write(g, REG_QUEUE_SELECT, q);
			expect(g, reg_read(g, REG_QUEUE_SIZE) == 0);
		}
		case_end(g);
	}
	for (unsigned number = 0; number < 12; number++) {
		uint32_t len[2];
		uint8_t last[2];

		if (!case_begin(g, "what a buffer held makes no difference, number %u", number))
			continue;
		fill_and_run(g, 0x5b, number, &len[0], &last[0]);
		fill_and_run(g, 0xc6, number, &len[1], &last[1]);
		expect(g, len[0] == len[1]);
		/* The last byte is random, or a status. */
		expect(g, len[0] == 513 || last[0] == last[1]);
		case_end(g);
	}
	for (unsigned times = 1; times <= 3; times++) {
		if (!case_begin(g, "what was accepted is accepted after %u resets", times))
			continue;
		for (unsigned i = 0; i < times; i++) {
			expect(g, reset(g));
			expect(g, negotiate(g, UINT64_MAX));
		}
		case_end(g);
	}
}
