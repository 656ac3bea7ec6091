/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueue helpers for vdevs that work their queues themselves. vq_get_from_driver copies a whole
 * chain, bounded by the queue's size and checked; vq_desc_get answers from that copy only, so a
 * guest that changes descriptors afterwards changes nothing. One queue is worked by one thread at a
 * time. Follows the documented QNX Hypervisor 8.0 vdev API.
 */
#ifndef VQ_H
#define VQ_H

#include <stdbool.h>
#include <qvm/vio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct virtqueue vq_t;

#define VQ_INVALID_ID 0xffffffffu

/*
 * The next buffer of the queue: its id, and in *first the index of its first descriptor for
 * vq_desc_get. VQ_INVALID_ID: none, or the queue is broken (the device then needs a reset).
 */
unsigned vq_get_from_driver(vq_t *vq, unsigned *first);

/*
 * Descriptor idx of the buffer that vq_get_from_driver returned last: guest-physical address,
 * length in bytes, VIRTQ_DESC_F_WRITE and _NEXT in *flags. Returns the next index, or VQ_INVALID_ID
 * behind the last.
 */
unsigned vq_desc_get(vq_t *vq, unsigned idx, uint64_t *addr, uint32_t *len, unsigned *flags);

/* Give buffer bufid back with `written` bytes in its writable part; notify: interrupt the driver if
 * it asks for it. */
void vq_put_to_driver(vq_t *vq, uint32_t bufid, uint32_t written, int notify);

#ifdef __cplusplus
}
#endif

#endif
