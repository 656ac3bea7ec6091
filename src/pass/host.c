/* SPDX-License-Identifier: Apache-2.0 */
#include "pass/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"

enum {
	/* Of a line of the file `resource`, as the kernel's ioport.h has them. */
	RESOURCE_IO = 0x100,
	RESOURCE_WIDE = 0x100000,

	CONFIG_INTERRUPT_PIN = 0x3d,
	CLASS_BRIDGE = 0x06
};

static ssize_t file_read(const char *path, void *data, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, data, len);

	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

int host_number(const char *path, uint64_t *ret)
{
	char text[32];
	ssize_t n = file_read(path, text, sizeof(text) - 1);

	if (n <= 0)
		return n ? (int)n : -EINVAL;
	text[n] = 0;
	*ret = strtoull(text, NULL, 0);
	return 0;
}

/* The last part of what a link points to; "": there is no link. */
static void link_name(const char *path, char *name, size_t len)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	const char *last;

	name[0] = 0;
	if (n <= 0)
		return;
	target[n] = 0;
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) < len)
		strcpy(name, last);
}

static int read_bars(const char *path, struct host_pci *ret)
{
	FILE *file = fopen(path, "re");
	uint64_t start, end, flags;

	if (!file)
		return -errno;
	for (unsigned i = 0; i < HOST_NUM_BARS; i++) {
		if (fscanf(file, "%" SCNx64 " %" SCNx64 " %" SCNx64, &start, &end, &flags) != 3)
			break;
		/* The kernel gives a BAR of size 0 an end before its start. */
		if (!flags || end < start)
			continue;
		ret->bars[i] = (struct host_bar){
			.size = end - start + 1,
			.io = flags & RESOURCE_IO,
			.wide = flags & RESOURCE_WIDE,
		};
	}
	fclose(file);
	return 0;
}

int host_pci_read(const char *bdf, struct host_pci *ret)
{
	char path[PATH_MAX], name[HOST_NAME_LEN];
	uint64_t vendor = 0, device = 0, subvendor = 0, subdevice = 0, class_code = 0, revision = 0;
	const struct {
		const char *name;
		uint64_t *value;
	} numbers[] = { { "vendor", &vendor },
			{ "device", &device },
			{ "subsystem_vendor", &subvendor },
			{ "subsystem_device", &subdevice },
			{ "class", &class_code },
			{ "revision", &revision } };
	int rc;

	*ret = (struct host_pci){ .group = HOST_NO_GROUP };
	if (strlen(bdf) >= sizeof(ret->bdf) || strchr(bdf, '/'))
		return -ENODEV;
	strcpy(ret->bdf, bdf);
	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
		snprintf(path, sizeof(path), DEVICES "/%s/%s", bdf, numbers[i].name);
		rc = host_number(path, numbers[i].value);
		if (rc)
			return rc == -ENOENT ? -ENODEV : rc;
	}
	ret->vendor = (uint16_t)vendor;
	ret->device = (uint16_t)device;
	ret->subsystem_vendor = (uint16_t)subvendor;
	ret->subsystem_device = (uint16_t)subdevice;
	ret->class_code = (uint32_t)class_code;
	ret->revision = (uint8_t)revision;
	snprintf(path, sizeof(path), DEVICES "/%s/resource", bdf);
	rc = read_bars(path, ret);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), DEVICES "/%s/config", bdf);
	ssize_t n = file_read(path, ret->config, sizeof(ret->config));

	if (n < 0)
		return (int)n;
	ret->config_len = (unsigned)n;
	ret->has_pin = ret->config[CONFIG_INTERRUPT_PIN];
	snprintf(path, sizeof(path), DEVICES "/%s/driver", bdf);
	link_name(path, ret->driver, sizeof(ret->driver));
	snprintf(path, sizeof(path), DEVICES "/%s/iommu_group", bdf);
	link_name(path, name, sizeof(name));
	if (name[0])
		ret->group = atoi(name);
	return 0;
}

static int each_of(const char *folder, int (*each)(void *ctx, const struct host_pci *pci),
		   void *ctx)
{
	struct dirent **names;
	struct host_pci pci;
	int n = scandir(folder, &names, NULL, alphasort), rc = 0;

	if (n < 0)
		return 0; /* a host without PCI, or without such a group */
	for (int i = 0; i < n; i++) {
		/* A device may have gone meanwhile. */
		if (!rc && names[i]->d_name[0] != '.' && !host_pci_read(names[i]->d_name, &pci))
			rc = each(ctx, &pci);
		free(names[i]);
	}
	free(names);
	return rc;
}

int host_pci_each(int (*each)(void *ctx, const struct host_pci *pci), void *ctx)
{
	return each_of(DEVICES, each, ctx);
}

int host_group_each(int group, int (*each)(void *ctx, const struct host_pci *pci), void *ctx)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices", group);
	return each_of(path, each, ctx);
}

static int not_dots(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

bool host_has_iommu(void)
{
	struct dirent **names;
	const int n = scandir("/sys/class/iommu", &names, not_dots, NULL);

	for (int i = 0; i < n; i++)
		free(names[i]);
	if (n >= 0)
		free(names);
	return n > 0;
}

bool host_driver_is_vfio(const char *driver)
{
	return strstr(driver, "vfio") != NULL;
}

bool host_pci_is_harmless(const struct host_pci *pci)
{
	return !pci->driver[0] || pci->class_code >> 16 == CLASS_BRIDGE ||
	       !strcmp(pci->driver, "pci-stub") || host_driver_is_vfio(pci->driver);
}
