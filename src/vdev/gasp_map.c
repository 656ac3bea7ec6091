/* SPDX-License-Identifier: Apache-2.0 */
/* gasp.h: walks through the guest's memory, mappings. All of it is mapped, always. */
#include "vdev/api.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "vdev/host.h"

enum { PAGE = 4096 };

int gasp_walk_init(gasp_walk_state_t *walk, uint64_t guest_loc, uint64_t length,
		   gasp_walk_flags_t flags)
{
	if (length && guest_loc + (length - 1) < guest_loc)
		return EINVAL;
	*walk = (gasp_walk_state_t){ .gw_guest_loc = guest_loc,
				     .gw_max_length = length,
				     .gwf_flags = flags };
	return EOK;
}

/* gw_guest_loc + gw_length is where the walk goes on, gw_max_length what remains of it. */
int gasp_walk_next(gasp_walk_state_t *walk)
{
	const struct vdev_host *host = vdev_host_current();
	uint64_t at = walk->gw_guest_loc + walk->gw_length, left = walk->gw_max_length;

	for (unsigned i = 0; host && left && i < host->mem->num_regions; i++) {
		const struct memory_region *m = &host->mem->regions[i];

		if (!range_overlaps(m->gpa, m->len, at, left))
			continue;
		uint64_t start = MAX(m->gpa, at);

		left -= start - at;
		/* What is left may end at 2^64. */
		walk->gw_length = MIN(m->len - (start - m->gpa), left);
		walk->gw_max_length = left - walk->gw_length;
		walk->gw_guest_loc = start;
		walk->gw_host_loc =
			walk->gwf_flags & GWF_HOST ? (uintptr_t)host->mem->base + start : 0;
		return EOK;
	}
	return ENOENT;
}

unsigned gasp_walk_count(const gasp_walk_state_t *walk)
{
	gasp_walk_state_t rest = *walk;
	unsigned n = 0;

	while (gasp_walk_next(&rest) == EOK)
		n++;
	return n;
}

static void *map_ram(uint64_t gpa, size_t len, unsigned flags)
{
	const struct vdev_host *host = vdev_host_current();
	bool write = (flags & GMF_WRITE) && !(flags & GMF_MAP_ANY);
	void *p = host ? memory_translate(host->mem, gpa, len, write) : NULL;

	if (!p)
		errno = EFAULT;
	return p;
}

void *gasp_map_vdma(vdev_t *vdp, uint64_t gpa, size_t len, unsigned flags)
{
	(void)vdp;
	return map_ram(gpa, len, flags);
}

void *gasp_map_sys(uint64_t gpa, size_t len, unsigned flags)
{
	return map_ram(gpa, len, flags);
}

/* proc(5): bit 63 of an entry: the page is there; bits 0 to 54: its number. */
static int page_number(int fd, const uint8_t *p, uint64_t *ret_number)
{
	uint64_t entry;
	off_t at = (off_t)((uintptr_t)p / PAGE * sizeof(entry));

	if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
		return EPERM;
	*ret_number = entry & ((UINT64_C(1) << 55) - 1);
	return (entry >> 63) && *ret_number ? EOK : EPERM;
}

/* A page that nobody has used is not there yet; one that was only read is a page of zeros, which
 * goes when it is written. The guest may write meanwhile. */
static void page_use(uint8_t *p, unsigned flags)
{
	uint8_t value = *(volatile uint8_t *)p;

	while ((flags & GMF_WRITE) &&
	       !__atomic_compare_exchange_n(p, &value, value, true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

void *gasp_map_contig(vdev_t *vdp, uint64_t *ppaddr, size_t *plength, unsigned flags)
{
	uint8_t *p = *plength ? gasp_map_vdma(vdp, *ppaddr, 1, flags) : NULL;
	uint64_t first, number;
	size_t len = PAGE - *ppaddr % PAGE;

	if (!p)
		return NULL;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	page_use(p, flags);
	int err = fd < 0 ? EPERM : page_number(fd, p, &first);

	while (!err && len < *plength && gasp_map_vdma(vdp, *ppaddr, len + 1, flags)) {
		page_use(p + len, flags);
		if (page_number(fd, p + len, &number) ||
		    number != first + (*ppaddr % PAGE + len) / PAGE)
			break;
		len += PAGE;
	}
	if (fd >= 0)
		close(fd);
	if (err) {
		errno = err;
		return NULL;
	}
	*plength = MIN(*plength, len);
	*ppaddr = first * PAGE + *ppaddr % PAGE;
	return p;
}

int gasp_unmap(void *va, size_t len, int flush)
{
	(void)va, (void)len, (void)flush;
	return EOK;
}

int qvmx_map(vdev_t *vdp, uint64_t gpa, size_t len, unsigned flags, gasp_map_handle_t *ret_handle)
{
	void *p = gasp_map_vdma(vdp, gpa, len, flags);

	if (!p)
		return EFAULT;
	*ret_handle = (gasp_map_handle_t){ { (uintptr_t)p, len, flags } };
	return EOK;
}

void *gasp_get_vaddr(const gasp_map_handle_t *handle)
{
	return (void *)(uintptr_t)handle->reserved[0];
}

int gasp_unmap_handle(gasp_map_handle_t *handle, int flush)
{
	int err = gasp_unmap(gasp_get_vaddr(handle), (size_t)handle->reserved[1], flush);

	*handle = (gasp_map_handle_t){ { 0 } };
	return err;
}
