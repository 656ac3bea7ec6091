/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kvm/aarch64/walk.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define SCTLR_M	      (UINT64_C(1) << 0)
#define SCTLR_EE      (UINT64_C(1) << 25)
#define ADDRESS_BITS  48
#define ADDRESS_MASK  ((UINT64_C(1) << ADDRESS_BITS) - 1)
#define TABLE_MASK    (ADDRESS_MASK & ~UINT64_C(63)) /* of a TTBR: the smallest table has 64 bytes */
#define UPPER_BIT     55
#define LAST_LEVEL    3
#define DESC_VALID    1u
#define DESC_TABLE    2u /* level 3: a page */
#define MIN_SIZE_BITS 25

/* What the translation control register says of one half of the address space. */
struct half {
	bool off, ignores_top_byte;
	unsigned size_bits;    /* of its addresses */
	unsigned granule_bits; /* of a page; 0: not such a size */
};

static struct half half_of(uint64_t tcr, bool upper)
{
	static const uint8_t lower_granules[] = { 12, 16, 14, 0 };
	static const uint8_t upper_granules[] = { 0, 14, 12, 16 };

	if (upper)
		return (struct half){ .off = tcr >> 23 & 1,
				      .ignores_top_byte = tcr >> 38 & 1,
				      .size_bits = 64 - (tcr >> 16 & 63),
				      .granule_bits = upper_granules[tcr >> 30 & 3] };
	return (struct half){ .off = tcr >> 7 & 1,
			      .ignores_top_byte = tcr >> 37 & 1,
			      .size_bits = 64 - (tcr & 63),
			      .granule_bits = lower_granules[tcr >> 14 & 3] };
}

/* All bits above those of the half are as its first bit. */
static bool is_inside(const struct half *h, uint64_t gva, bool upper)
{
	uint64_t above = gva >> h->size_bits, all = UINT64_MAX >> h->size_bits;

	if (h->ignores_top_byte) {
		above &= all >> 8;
		all >>= 8;
	}
	return above == (upper ? all : 0);
}

int walk_translate(const struct memory *mem, const struct walk_regime *regime, uint64_t gva,
		   uint64_t *ret_gpa)
{
	const bool upper = gva >> UPPER_BIT & 1;
	const struct half h = half_of(regime->tcr, upper);

	if (!(regime->sctlr & SCTLR_M)) {
		*ret_gpa = gva;
		return 0;
	}
	if (regime->sctlr & SCTLR_EE)
		return -ENOTSUP;
	if (h.off || !h.granule_bits || h.size_bits < MIN_SIZE_BITS || h.size_bits > ADDRESS_BITS ||
	    !is_inside(&h, gva, upper))
		return -ENOENT;

	const unsigned stride = h.granule_bits - 3; /* bits of an address that a level takes */
	const unsigned levels = (h.size_bits - h.granule_bits + stride - 1) / stride;
	uint64_t left = gva & (UINT64_MAX >> (64 - h.size_bits));
	uint64_t table = regime->ttbr[upper] & TABLE_MASK;

	for (unsigned level = LAST_LEVEL + 1 - levels;; level++) {
		const unsigned shift = h.granule_bits + stride * (LAST_LEVEL - level);
		const uint64_t *at =
			memory_translate(mem, table + (left >> shift) * 8, sizeof(*at), false);
		uint64_t desc;

		if (!at)
			return -ENOENT;
		memcpy(&desc, at, sizeof(desc));
		if (!(desc & DESC_VALID))
			return -ENOENT;
		left &= (UINT64_C(1) << shift) - 1;
		if (level == LAST_LEVEL || !(desc & DESC_TABLE)) {
			/* Blocks are of level 2, with pages of 4 KiB of level 1 too. */
			if (level == LAST_LEVEL ? !(desc & DESC_TABLE)
						: level < (h.granule_bits == 12 ? 1u : 2u))
				return -ENOENT;
			*ret_gpa = (desc & ADDRESS_MASK & (UINT64_MAX << shift)) | left;
			return 0;
		}
		table = desc & ADDRESS_MASK & (UINT64_MAX << h.granule_bits);
	}
}
