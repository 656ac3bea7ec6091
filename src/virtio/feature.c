/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/feature.h"

#include <stddef.h>
#include <string.h>

#include <virtio.h>

#include "base/util.h"

enum {
	FIRST_RESERVED =
		24, /* up to here, and from FIRST_OWN_HIGH on, bits are the device type's */
	FIRST_OWN_HIGH = 50,

	BLK_FLUSH = 9,
	BLK_CONFIG_WCE = 11,

	CONSOLE_EMERG_WRITE = 2,
	CONSOLE_EMERG_OFFSET = 8,
	CONSOLE_EMERG_LEN = 4,

	NET_CSUM = 0,
	NET_GUEST_CSUM = 1,
	NET_GUEST_TSO4 = 7,
	NET_GUEST_TSO6 = 8,
	NET_GUEST_ECN = 9,
	NET_GUEST_UFO = 10,
	NET_HOST_TSO4 = 11,
	NET_HOST_TSO6 = 12,
	NET_HOST_ECN = 13,
	NET_HOST_UFO = 14,
	NET_CTRL_VQ = 17,
	NET_CTRL_RX = 18,
	NET_CTRL_VLAN = 19,
	NET_GUEST_ANNOUNCE = 21,
	NET_MQ = 22,
	NET_CTRL_MAC_ADDR = 23,
	NET_HASH_TUNNEL = 51,
	NET_VQ_NOTF_COAL = 52,
	NET_NOTF_COAL = 53,
	NET_GUEST_USO4 = 54,
	NET_GUEST_USO6 = 55,
	NET_HOST_USO = 56,
	NET_HASH_REPORT = 57,
	NET_RSS = 60,
	NET_RSC_EXT = 61,
};

/* bit needs one of the two (twice the same: that one). */
struct rule {
	uint16_t type;
	uint8_t bit, needs, or_needs;
	bool offer_only; /* the driver may accept it alone */
};

static const struct rule rules[] = {
	{ VIRTIO_ID_BLOCK, BLK_CONFIG_WCE, BLK_FLUSH, BLK_FLUSH, true },
	{ VIRTIO_ID_NET, NET_GUEST_TSO4, NET_GUEST_CSUM, NET_GUEST_CSUM, false },
	{ VIRTIO_ID_NET, NET_GUEST_TSO6, NET_GUEST_CSUM, NET_GUEST_CSUM, false },
	{ VIRTIO_ID_NET, NET_GUEST_ECN, NET_GUEST_TSO4, NET_GUEST_TSO6, false },
	{ VIRTIO_ID_NET, NET_GUEST_UFO, NET_GUEST_CSUM, NET_GUEST_CSUM, false },
	{ VIRTIO_ID_NET, NET_GUEST_USO4, NET_GUEST_CSUM, NET_GUEST_CSUM, false },
	{ VIRTIO_ID_NET, NET_GUEST_USO6, NET_GUEST_CSUM, NET_GUEST_CSUM, false },
	{ VIRTIO_ID_NET, NET_HOST_TSO4, NET_CSUM, NET_CSUM, false },
	{ VIRTIO_ID_NET, NET_HOST_TSO6, NET_CSUM, NET_CSUM, false },
	{ VIRTIO_ID_NET, NET_HOST_ECN, NET_HOST_TSO4, NET_HOST_TSO6, false },
	{ VIRTIO_ID_NET, NET_HOST_UFO, NET_CSUM, NET_CSUM, false },
	{ VIRTIO_ID_NET, NET_HOST_USO, NET_CSUM, NET_CSUM, false },
	{ VIRTIO_ID_NET, NET_RSC_EXT, NET_HOST_TSO4, NET_HOST_TSO6, false },
	{ VIRTIO_ID_NET, NET_CTRL_RX, NET_CTRL_VQ, NET_CTRL_VQ, false },
	{ VIRTIO_ID_NET, NET_CTRL_VLAN, NET_CTRL_VQ, NET_CTRL_VQ, false },
	{ VIRTIO_ID_NET, NET_GUEST_ANNOUNCE, NET_CTRL_VQ, NET_CTRL_VQ, false },
	{ VIRTIO_ID_NET, NET_MQ, NET_CTRL_VQ, NET_CTRL_VQ, false },
	{ VIRTIO_ID_NET, NET_CTRL_MAC_ADDR, NET_CTRL_VQ, NET_CTRL_VQ, false },
	{ VIRTIO_ID_NET, NET_VQ_NOTF_COAL, NET_CTRL_VQ, NET_CTRL_VQ, false },
	{ VIRTIO_ID_NET, NET_NOTF_COAL, NET_CTRL_VQ, NET_CTRL_VQ, false },
	{ VIRTIO_ID_NET, NET_RSS, NET_CTRL_VQ, NET_CTRL_VQ, false },
	{ VIRTIO_ID_NET, NET_HASH_TUNNEL, NET_CTRL_VQ, NET_CTRL_VQ, false },
	{ VIRTIO_ID_NET, NET_HASH_TUNNEL, NET_RSS, NET_HASH_REPORT, false },
};

static bool rule_broken(const struct rule *rule, uint16_t type, const uint32_t *words)
{
	return rule->type == type && virtio_features_has(words, rule->bit) &&
	       !virtio_features_has(words, rule->needs) &&
	       !virtio_features_has(words, rule->or_needs);
}

void virtio_features_offer(uint16_t type, const uint32_t *own, uint32_t *ret_offered)
{
	static const uint8_t core[] = { VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX,
					VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED };
	bool changed = true;

	memcpy(ret_offered, own, VIO_MAX_FEATURE_WORDS * sizeof(*own));
	for (unsigned bit = FIRST_RESERVED; bit < FIRST_OWN_HIGH; bit++)
		ret_offered[bit / 32] &= ~(1u << bit % 32);
	for (unsigned i = 0; i < ARRAY_LEN(core); i++)
		ret_offered[core[i] / 32] |= 1u << core[i] % 32;
	while (changed) {
		changed = false;
		for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
			if (!rule_broken(&rules[i], type, ret_offered))
				continue;
			ret_offered[rules[i].bit / 32] &= ~(1u << rules[i].bit % 32);
			changed = true;
		}
	}
}

bool virtio_features_acceptable(uint16_t type, const uint32_t *offered, const uint32_t *wanted)
{
	for (unsigned word = 0; word < VIO_MAX_FEATURE_WORDS; word++) {
		if (wanted[word] & ~offered[word])
			return false;
	}
	for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
		if (!rules[i].offer_only && rule_broken(&rules[i], type, wanted))
			return false;
	}
	return virtio_features_has(wanted, VIRTIO_F_VERSION_1);
}

/* The console's emergency write exists for drivers that have not got far. */
bool virtio_features_early_write(uint16_t type, const uint32_t *offered, uint64_t offset,
				 unsigned len)
{
	return type == VIRTIO_ID_CONSOLE && virtio_features_has(offered, CONSOLE_EMERG_WRITE) &&
	       range_inside(offset, len, CONSOLE_EMERG_OFFSET, CONSOLE_EMERG_LEN);
}
