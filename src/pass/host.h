/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI devices of the host as sysfs shows them: nothing is opened, nothing changes. Any thread.
 */
#ifndef PASS_HOST_H
#define PASS_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"

enum {
	HOST_BDF_LEN = 16, /* "0000:00:03.0" */
	HOST_NAME_LEN = 64,
	HOST_ROM = 6, /* among the BARs, as in the kernel's `resource` and VFIO's regions */
	HOST_NUM_BARS = 7,
	HOST_CONFIG_LEN = 256,
	HOST_NO_GROUP = -1
};

struct host_bar {
	uint64_t size; /* bytes, 0: none */
	bool io, wide;
};

struct host_pci {
	char bdf[HOST_BDF_LEN];
	uint16_t vendor, device, subsystem_vendor, subsystem_device;
	uint32_t class_code;
	uint8_t revision;
	struct host_bar bars[HOST_NUM_BARS];
	bool has_pin;
	char driver[HOST_NAME_LEN]; /* "": none */
	int group;		    /* of the IOMMU, HOST_NO_GROUP: none */
	uint8_t config[HOST_CONFIG_LEN];
	unsigned config_len; /* bytes that could be read: 64 without rights */
};

/* -ENODEV: there is no such device. -errno of what cannot be read. */
int host_pci_read(const char *bdf, struct host_pci *ret) MUST_CHECK;

/* Call `each` for every device, in the order of their places, until it returns non-zero, which is
 * returned. */
int host_pci_each(int (*each)(void *ctx, const struct host_pci *pci), void *ctx);
/* The same for the devices of an IOMMU group. */
int host_group_each(int group, int (*each)(void *ctx, const struct host_pci *pci), void *ctx);

bool host_has_iommu(void);

/* A driver that hands its devices to user space. */
bool host_driver_is_vfio(const char *driver);
/* The device keeps nobody from having the others of its group: a bridge, or nobody drives it. */
bool host_pci_is_harmless(const struct host_pci *pci);

/* The number that a file of one number holds; -errno. */
int host_number(const char *path, uint64_t *ret) MUST_CHECK;

#endif
