/* SPDX-License-Identifier: Apache-2.0 */
#include "pass/vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int vfio_ioctl(int fd, unsigned long request, void *arg)
{
	int rc = ioctl(fd, request, arg);

	return rc < 0 ? -errno : rc;
}

static int container_open(struct vfio *v, const char **ret_why)
{
	v->fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (v->fd < 0) {
		*ret_why = errno == ENOENT ? "there is no /dev/vfio/vfio: load vfio-pci"
					   : "/dev/vfio/vfio cannot be opened";
		return -errno;
	}
	if (ioctl(v->fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(v->fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0) {
		*ret_why = "this VFIO has no type 1 IOMMU";
		close(v->fd);
		v->fd = -1;
		return -ENOTSUP;
	}
	return 0;
}

/* The kind of IOMMU is set when the container has its first group. */
static int group_enter(struct vfio *v, int fd, const char **ret_why)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int rc = vfio_ioctl(fd, VFIO_GROUP_GET_STATUS, &status);

	if (!rc && !(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		*ret_why = "a host driver has another device of its group";
		return -EPERM;
	}
	if (!rc)
		rc = vfio_ioctl(fd, VFIO_GROUP_SET_CONTAINER, &v->fd);
	if (!rc && !v->num_groups) {
		rc = ioctl(v->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) ? -errno : 0;
		if (rc)
			*ret_why = rc == -EPERM ? "the IOMMU cannot confine interrupts of the "
						  "device (no interrupt remapping)"
						: "the IOMMU cannot be used";
	}
	return rc;
}

int vfio_group_add(struct vfio *v, int number, const char **ret_why)
{
	char path[32];
	int rc = 0;

	for (unsigned i = 0; i < v->num_groups; i++)
		if (v->groups[i].number == number)
			return 0;
	if (v->num_groups == VFIO_MAX_GROUPS)
		return -ENOSPC;
	if (v->fd < 0)
		rc = container_open(v, ret_why);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "/dev/vfio/%d", number);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	rc = group_enter(v, fd, ret_why);
	if (rc) {
		close(fd);
		return rc;
	}
	v->groups[v->num_groups].number = number;
	v->groups[v->num_groups++].fd = fd;
	return 0;
}

int vfio_map(struct vfio *v, uint64_t gpa, uint64_t len, void *hva, bool readonly)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ |
							 (readonly ? 0u : VFIO_DMA_MAP_FLAG_WRITE),
						.vaddr = (uint64_t)(uintptr_t)hva,
						.iova = gpa,
						.size = len };

	return vfio_ioctl(v->fd, VFIO_IOMMU_MAP_DMA, &map);
}

void vfio_close(struct vfio *v)
{
	while (v->num_groups)
		close(v->groups[--v->num_groups].fd);
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
}

/* What of a region can be mapped: what its sparse areas say, else all of it. */
static int region_areas(const struct vfio_region_info *info, struct vfio_region *r)
{
	const uint8_t *base = (const uint8_t *)info;
	uint32_t at = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;

	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return 0;
	while (at) {
		const struct vfio_info_cap_header *header = (const void *)(base + at);

		if (header->id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
			const struct vfio_region_info_cap_sparse_mmap *sparse =
				(const void *)header;

			if (sparse->nr_areas > VFIO_MAX_AREAS)
				return 0; /* an exit for each access does as well */
			for (uint32_t i = 0; i < sparse->nr_areas; i++)
				r->areas[r->num_areas++] =
					(struct vfio_area){ sparse->areas[i].offset,
							    sparse->areas[i].size };
			return 0;
		}
		at = header->next;
	}
	r->areas[r->num_areas++] = (struct vfio_area){ 0, r->size };
	return 0;
}

static int region_read(int fd, unsigned index, struct vfio_region *r)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };
	int rc = vfio_ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &info);

	if (rc)
		return index == VFIO_PCI_CONFIG_REGION_INDEX ? rc : 0;
	/* The kernel says how much room it needs for all. */
	const uint32_t room = MAX(info.argsz, (uint32_t)sizeof(info));
	struct vfio_region_info *whole = calloc(1, room);

	if (!whole)
		return -ENOMEM;
	whole->argsz = room;
	whole->index = index;
	rc = vfio_ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, whole);
	if (!rc) {
		r->size = whole->size;
		r->offset = whole->offset;
		rc = region_areas(whole, r);
	}
	free(whole);
	return rc;
}

int vfio_dev_open(const struct vfio *v, int group, const char *bdf, struct vfio_dev *ret)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	unsigned i = 0;

	*ret = (struct vfio_dev){ .fd = -1 };
	while (i < v->num_groups && v->groups[i].number != group)
		i++;
	if (i == v->num_groups)
		return -ENOENT;
	int fd = vfio_ioctl(v->groups[i].fd, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)bdf);

	if (fd < 0)
		return fd;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	int rc = vfio_ioctl(fd, VFIO_DEVICE_GET_INFO, &info);

	if (!rc && !(info.flags & VFIO_DEVICE_FLAGS_PCI))
		rc = -ENODEV;
	ret->num_regions = MIN(info.num_regions, (uint32_t)VFIO_MAX_REGIONS);
	for (unsigned r = 0; r < ret->num_regions && !rc; r++)
		rc = region_read(fd, r, &ret->regions[r]);
	if (!rc && ret->num_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
		rc = -ENODEV;
	if (rc) {
		close(fd);
		return rc;
	}
	ret->fd = fd;
	ret->resets = info.flags & VFIO_DEVICE_FLAGS_RESET;
	return 0;
}

void vfio_dev_close(struct vfio_dev *dev)
{
	if (dev->fd >= 0)
		close(dev->fd);
	dev->fd = -1;
}

int vfio_dev_reset(const struct vfio_dev *dev)
{
	return dev->resets ? vfio_ioctl(dev->fd, VFIO_DEVICE_RESET, NULL) : -ENOTSUP;
}

int vfio_read(const struct vfio_dev *dev, unsigned region, uint64_t offset, void *data, size_t len)
{
	const struct vfio_region *r = &dev->regions[region];

	if (!range_inside(offset, len, 0, r->size))
		return -EINVAL;
	ssize_t n = pread(dev->fd, data, len, (off_t)(r->offset + offset));

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

int vfio_write(const struct vfio_dev *dev, unsigned region, uint64_t offset, const void *data,
	       size_t len)
{
	const struct vfio_region *r = &dev->regions[region];

	if (!range_inside(offset, len, 0, r->size))
		return -EINVAL;
	ssize_t n = pwrite(dev->fd, data, len, (off_t)(r->offset + offset));

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

static int irqs_set(const struct vfio_dev *dev, unsigned index, uint32_t flags, const int *fds,
		    unsigned num)
{
	const size_t len = sizeof(struct vfio_irq_set) + num * sizeof(int32_t);
	struct vfio_irq_set *set = calloc(1, len);

	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)len;
	set->flags = flags;
	set->index = index;
	set->count = num;
	memcpy(set->data, fds, num * sizeof(int32_t));
	int rc = vfio_ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set);

	free(set);
	return rc > 0 ? -ENOSPC : rc; /* the host has that many only */
}

int vfio_irqs_set(const struct vfio_dev *dev, unsigned index, const int *fds, unsigned num)
{
	static const int none;

	return irqs_set(dev, index,
			VFIO_IRQ_SET_ACTION_TRIGGER |
				(num ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE),
			num ? fds : &none, num);
}

int vfio_unmask_set(const struct vfio_dev *dev, unsigned index, int fd)
{
	return irqs_set(dev, index, VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_DATA_EVENTFD, &fd, 1);
}
