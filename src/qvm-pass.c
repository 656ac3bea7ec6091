/* SPDX-License-Identifier: Apache-2.0 */
/* qvm-pass: what of the host can be a guest's, who has it; take it from its driver and back. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pass/host.h"
#include "pass/ledger.h"
#include "pass/uio.h"

#define PCI "/sys/bus/pci"

static const char usage[] =
	"usage: qvm-pass list\n"
	"       qvm-pass bind DEVICE...\n"
	"       qvm-pass unbind DEVICE...\n"
	"\n"
	"Devices of the host that `pass` in a VM's file can name.\n"
	"  list      PCI devices: place, ids, IOMMU group, driver, whether it does DMA, owner;\n"
	"            then what UIO devices have of others\n"
	"  bind      take devices from their host drivers, so that a VM can have them\n"
	"  unbind    give them back to the host's drivers\n"
	"  --help    this text\n"
	"  --version the version\n"
	"\n"
	"DEVICE is a place such as 0000:00:03.0. A VM gets an IOMMU group as a whole: bind all\n"
	"devices of it. A device that a running VM has is left alone. After a kill of a VM its\n"
	"PCI devices are reset by the kernel; other windows are left as they were.\n"
	"Exit status: 0 done; 1 failed; 2 wrong options. See qvm-pass(1).\n";

static int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int device_write(const char *bdf, const char *name, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), PCI "/devices/%s/%s", bdf, name);
	return file_write(path, text);
}

static bool owner_find(enum ledger_space space, uint64_t start, uint64_t len,
		       char owner[LEDGER_OWNER_LEN])
{
	const struct ledger_item wanted = { .space = space, .start = start, .len = len };
	struct ledger_item other;

	if (!ledger_find(&wanted, &other))
		return false;
	strcpy(owner, other.owner);
	return true;
}

static bool owner_of(const char *bdf, char owner[LEDGER_OWNER_LEN])
{
	uint64_t start;

	return ledger_pci(bdf, &start) && owner_find(LEDGER_PCI, start, 1, owner);
}

static int list_each(void *ctx, const struct host_pci *pci)
{
	char group[16] = "-", owner[LEDGER_OWNER_LEN] = "-";

	(void)ctx;
	if (pci->group != HOST_NO_GROUP)
		snprintf(group, sizeof(group), "%d", pci->group);
	if (!owner_of(pci->bdf, owner) && pci->driver[0] && !host_driver_is_vfio(pci->driver))
		snprintf(owner, sizeof(owner), "the host");
	printf("%s  %04x:%04x  %04x   %5s  %-16s  yes  %s\n", pci->bdf, pci->vendor, pci->device,
	       pci->class_code >> 8, group, pci->driver[0] ? pci->driver : "-", owner);
	return 0;
}

/* Whether such a device does DMA nobody knows but the file that passes it. */
static void list_uio(void *ctx, unsigned uio, const char *name)
{
	struct uio_map map;

	(void)ctx;
	for (unsigned i = 0; uio_map_read(uio, i, &map); i++) {
		char owner[LEDGER_OWNER_LEN] = "-";
		const uint64_t start = map.addr + map.offset;

		(void)owner_find(LEDGER_MEM, start, map.size, owner);
		printf("uio%-9u  %s, mem:0x%" PRIx64 ",0x%" PRIx64 "  ?    %s\n", uio, name, start,
		       map.size, owner);
	}
}

static int list(void)
{
	printf("device        ids        class  group  driver            DMA  owner\n");
	(void)host_pci_each(list_each, NULL);
	uio_each(list_uio, NULL);
	return 0;
}

static int complain(const char *bdf, const char *what, int rc)
{
	fprintf(stderr, "qvm-pass: %s: %s%s%s\n", bdf, what, rc ? ": " : "",
		rc ? strerror(-rc) : "");
	return 1;
}

/* The kernel's module that hands PCI devices to user space. */
static void module_load(void)
{
	if (!access(PCI "/drivers/vfio-pci", F_OK))
		return;
	pid_t pid = fork();

	if (!pid) {
		execlp("modprobe", "modprobe", "vfio-pci", (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}

/* From its driver to the one that the kernel now chooses; driver "": any. */
static int rebind(const struct host_pci *pci, const char *driver)
{
	struct host_pci after;
	char text[HOST_NAME_LEN + 2];
	int rc;

	snprintf(text, sizeof(text), "%s\n", driver);
	rc = device_write(pci->bdf, "driver_override", text);
	if (rc)
		return complain(pci->bdf, "its driver cannot be chosen", rc);
	rc = pci->driver[0] ? device_write(pci->bdf, "driver/unbind", pci->bdf) : 0;
	if (rc)
		return complain(pci->bdf, "its driver does not give it up", rc);
	rc = file_write(PCI "/drivers_probe", pci->bdf);
	if (rc)
		return complain(pci->bdf, "no driver takes it", rc);
	rc = host_pci_read(pci->bdf, &after);
	if (rc || (driver[0] && strcmp(after.driver, driver) != 0))
		return complain(pci->bdf, "the driver vfio-pci does not take it", rc);
	return 0;
}

static int neighbour_each(void *ctx, const struct host_pci *other)
{
	const struct host_pci *pci = ctx;

	if (strcmp(other->bdf, pci->bdf) != 0 && !host_pci_is_harmless(other))
		printf("%s is in the same IOMMU group (%d) and has the host's driver '%s': bind it "
		       "too before a VM is given %s\n",
		       other->bdf, pci->group, other->driver, pci->bdf);
	return 0;
}

static int move(const char *bdf, bool bind)
{
	char owner[LEDGER_OWNER_LEN];
	struct host_pci pci;
	int rc = host_pci_read(bdf, &pci);

	if (rc)
		return complain(bdf, rc == -ENODEV ? "there is no such PCI device" : "sysfs",
				rc == -ENODEV ? 0 : rc);
	if (owner_of(bdf, owner)) {
		fprintf(stderr, "qvm-pass: %s: %s has it; that VM must end first\n", bdf, owner);
		return 1;
	}
	if (bind == host_driver_is_vfio(pci.driver)) {
		printf("%s %s already\n", bdf, bind ? "can be passed" : "is the host's");
		return 0;
	}
	if (bind)
		module_load();
	if (rebind(&pci, bind ? "vfio-pci" : ""))
		return 1;
	if (bind)
		(void)host_group_each(pci.group, neighbour_each, &pci);
	return 0;
}

int main(int argc, char **argv)
{
	int status = 0;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("qvm-pass " QVM_VERSION);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "list"))
		return list();
	const bool bind = argc > 2 && !strcmp(argv[1], "bind");

	if (!bind && !(argc > 2 && !strcmp(argv[1], "unbind"))) {
		fprintf(stderr, "qvm-pass: %s\nTry 'qvm-pass --help'.\n",
			argc > 1 ? "unknown command, or no device" : "no command");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		status |= move(argv[i], bind);
	return status;
}
