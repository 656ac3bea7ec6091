/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the specification says about feature bits: which are a device type's to offer, which need
 * others, and which part of a device's configuration may be written before features are accepted.
 * Tables only, no state; any thread.
 */
#ifndef VIRTIO_FEATURE_H
#define VIRTIO_FEATURE_H

#include <stdbool.h>
#include <stdint.h>
#include <qvm/vio.h>

static inline bool virtio_features_has(const uint32_t *words, unsigned bit)
{
	return words[bit / 32] & 1u << bit % 32;
}

/*
 * From what the device asks for to what is offered: bits that are not its own are taken away, the
 * core's are added, and a bit whose prerequisites are not offered is taken away.
 */
void virtio_features_offer(uint16_t type, const uint32_t *own, uint32_t *ret_offered);

/* May the driver go on with this set? VIO_MAX_FEATURE_WORDS words each. */
bool virtio_features_acceptable(uint16_t type, const uint32_t *offered, const uint32_t *wanted);

/* May these bytes of the configuration be written on a device that is not configured yet? */
bool virtio_features_early_write(uint16_t type, const uint32_t *offered, uint64_t offset,
				 unsigned len);

#endif
