/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueue helpers for vdevs that work their queues themselves. vq_get_from_driver copies a whole
 * chain, bounded by the queue's size and checked; vq_desc_get answers from that copy only, so a
 * guest that changes descriptors afterwards changes nothing. One queue is worked by one thread at a
 * time. Follows the documented QNX Hypervisor 8.0 vdev API.
 */
#ifndef VQ_H
#define VQ_H

#include <qvm/vio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VQ_INVALID_ID 0xffffffffu

/*
 * The next buffer of the queue: its id, and in *first the index of its first descriptor for
 * vq_desc_get. VQ_INVALID_ID: none, or the queue is broken (the device then needs a reset).
 */
uint32_t vq_get_from_driver(struct virtqueue *vq, unsigned *first);

/*
 * Descriptor idx of the buffer that vq_get_from_driver returned last: guest-physical address,
 * length in bytes, VIRTQ_DESC_F_WRITE in *flags. Returns the next index; the last descriptor's
 * flags lack VIRTQ_DESC_F_NEXT.
 */
unsigned vq_desc_get(struct virtqueue *vq, unsigned idx, uint64_t *addr, uint32_t *len,
		     uint16_t *flags);

/* Give buffer bufid back with `written` bytes in its writable part; notify: interrupt the driver if
 * it asks for it. */
void vq_put_to_driver(struct virtqueue *vq, uint32_t bufid, uint32_t written, int notify);

#ifdef __cplusplus
}
#endif

#endif
