/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VFIO: groups of the IOMMU in one container for a VM, the guest's memory for their DMA, and
 * devices of them. Interface: the kernel's linux/vfio.h and Documentation/driver-api/vfio.rst.
 * Start-up stage on one thread, but where a function says otherwise. 0 or a negative errno.
 */
#ifndef PASS_VFIO_H
#define PASS_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

enum { VFIO_MAX_GROUPS = 32, VFIO_MAX_REGIONS = 9, VFIO_MAX_AREAS = 8 };

struct vfio {
	int fd; /* -1: not open */
	unsigned num_groups;
	struct {
		int number, fd;
	} groups[VFIO_MAX_GROUPS];
};

/* Part of a region that can be mapped, from its start. */
struct vfio_area {
	uint64_t offset, len;
};

struct vfio_region {
	uint64_t size;	 /* bytes, 0: there is none */
	uint64_t offset; /* of its start, in the device's file */
	unsigned num_areas;
	struct vfio_area areas[VFIO_MAX_AREAS];
};

struct vfio_dev {
	int fd; /* -1: not open */
	bool resets;
	unsigned num_regions;
	struct vfio_region regions[VFIO_MAX_REGIONS]; /* BARs 0 to 5, ROM, configuration space */
};

/* *ret_why (may be set): what is wrong, for people; lasts. -EBUSY: another process has the group.
 */
int vfio_group_add(struct vfio *v, int number, const char **ret_why) MUST_CHECK;
/* Devices of the groups may reach [hva, hva + len) at these addresses, which pins the memory. */
int vfio_map(struct vfio *v, uint64_t gpa, uint64_t len, void *hva, bool readonly) MUST_CHECK;
void vfio_close(struct vfio *v);

int vfio_dev_open(const struct vfio *v, int group, const char *bdf,
		  struct vfio_dev *ret) MUST_CHECK;
void vfio_dev_close(struct vfio_dev *dev);
/* Any thread. */
int vfio_dev_reset(const struct vfio_dev *dev);

/* Bytes of a region, as the bus width allows. Any thread. */
int vfio_read(const struct vfio_dev *dev, unsigned region, uint64_t offset, void *data, size_t len);
int vfio_write(const struct vfio_dev *dev, unsigned region, uint64_t offset, const void *data,
	       size_t len);

/*
 * Have the num interrupts of that index (VFIO_PCI_*_IRQ_INDEX) signal these eventfds; num 0: none
 * any more. One thread at a time for one device.
 */
int vfio_irqs_set(const struct vfio_dev *dev, unsigned index, const int *fds, unsigned num);
/* Writing to fd unmasks interrupt 0 of that index. */
int vfio_unmask_set(const struct vfio_dev *dev, unsigned index, int fd);

#endif
