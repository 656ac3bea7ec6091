/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request of a driver may consist of, whatever the ring's format: buffers become host
 * addresses here, together with their lengths, and the device gets nothing else.
 */
#include "virtio/ring.h"

#include <stdlib.h>

#include "engine/memory.h"

enum { FIRST_SCRATCH = 16 }; /* entries of the shadow table and of the iovecs at first */

/* Make room for one entry more; at most limit entries. */
static bool grow(void **array, unsigned *max, unsigned num, unsigned limit, size_t entry_size)
{
	unsigned more = MIN(*max ? *max * 2 : FIRST_SCRATCH, limit);
	void *p;

	if (num < *max)
		return true;
	p = realloc(*array, more * entry_size);
	if (!p)
		return false;
	*array = p;
	*max = more;
	return true;
}

const char *chain_add(struct virtqueue *vq, struct walk *walk, uint64_t addr, uint32_t len,
		      bool write)
{
	struct qvmx_request *req = &walk->req;
	unsigned num_iov = req->num_read + req->num_write;
	unsigned num_same = write ? req->num_write : req->num_read;
	struct iovec *last;
	void *host;

	if (walk->visited++ == vq->size)
		return "a chain is longer than the queue, or loops";
	if (!write && walk->seen_write)
		return "a readable descriptor follows a writable one";
	walk->seen_write = write;
	if (!len)
		return NULL;
	walk->total += len;
	if (walk->total > UINT32_MAX)
		return "a chain holds more than 4 GiB";
	host = memory_translate(vq->mem, addr, len, write);
	if (!host)
		return write ? "a writable buffer is not wholly in RAM"
			     : "a buffer is not wholly in RAM";
	if (!grow((void **)&vq->shadow, &vq->max_shadow, vq->num_shadow, vq->size,
		  sizeof(*vq->shadow)) ||
	    !grow((void **)&vq->iov, &vq->max_iov, num_iov, vq->size, sizeof(*vq->iov)))
		return "out of memory";
	vq->shadow[vq->num_shadow++] = (struct shadow_desc){ addr, len, write };
	*(write ? &req->write_len : &req->read_len) += len;
	last = num_same ? &vq->iov[num_iov - 1] : NULL;
	if (last && (char *)last->iov_base + last->iov_len == host) {
		last->iov_len += len;
		return NULL;
	}
	vq->iov[num_iov] = (struct iovec){ host, len };
	*(write ? &req->num_write : &req->num_read) += 1;
	return NULL;
}

const char *chain_table(const struct virtqueue *vq, uint64_t addr, uint32_t len, uint16_t flags,
			const uint8_t **ret_table, unsigned *ret_entries)
{
	const uint8_t *table;

	if (!vq->indirect)
		return "an indirect descriptor, which was not negotiated";
	if (flags & VIRTQ_DESC_F_NEXT)
		return "an indirect descriptor with a next one";
	if (!len || len % RING_DESC_SIZE)
		return "the length of an indirect table is not a multiple of 16, or 0";
	table = memory_translate(vq->mem, addr, len, false);
	if (!table)
		return "an indirect table is not wholly in RAM";
	*ret_table = table;
	*ret_entries = len / RING_DESC_SIZE;
	return NULL;
}
