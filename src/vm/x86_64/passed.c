/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/x86_64/passed.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* What the host's kernel knows from its firmware: DEVICE/id and DEVICE/resources. */
#define PNP_DEVICES "/sys/bus/pnp/devices"

enum { MAX_PORTS = 255 }; /* of one range in the guest's tables */

static bool has_place(const struct conf_pass *pass, bool io, uint64_t start, uint64_t len)
{
	for (unsigned i = 0; i < pass->num_locs; i++) {
		const struct conf_loc *host = &pass->locs[i].host;

		if (host->space == (io ? CONF_SPACE_IO : CONF_SPACE_MEM) &&
		    range_inside(start, len, host->addr, host->len))
			return true;
	}
	return false;
}

/* Every "io 0x2f8-0x2ff" and "mem ..." is the entry's, and there is one; no "dma N". */
static bool is_all_passed(const char *device, const struct conf_pass *pass)
{
	char path[PATH_MAX], line[128];
	unsigned places = 0;
	bool all = true;

	snprintf(path, sizeof(path), PNP_DEVICES "/%s/resources", device);
	FILE *file = fopen(path, "re");

	while (file && all && fgets(line, sizeof(line), file)) {
		const bool io = !strncmp(line, "io ", 3);
		uint64_t first, last;

		all = strncmp(line, "dma ", 4) != 0;
		if ((!io && strncmp(line, "mem ", 4) != 0) ||
		    sscanf(line, "%*s %" SCNx64 "-%" SCNx64, &first, &last) != 2 || last < first)
			continue;
		all = has_place(pass, io, first, last - first + 1);
		places++;
	}
	if (file)
		fclose(file);
	return all && places;
}

/* The kernel has ids of seven characters, with small letters among the digits. */
static bool id_take(char id[16])
{
	unsigned n = 0;

	while (id[n] && n < 7) {
		id[n] = (char)toupper((unsigned char)id[n]);
		if (!(n < 3 ? isupper((unsigned char)id[n]) : isxdigit((unsigned char)id[n])))
			return false;
		n++;
	}
	return n == 7 && !id[n];
}

static bool ids_read(const char *device, struct passed_ids *ret)
{
	char path[PATH_MAX];
	int num = 0;

	*ret = (struct passed_ids){ 0 };
	snprintf(path, sizeof(path), PNP_DEVICES "/%s/id", device);
	FILE *file = fopen(path, "re");

	if (file) {
		num = fscanf(file, "%15s %15s", ret->hid, ret->cid);
		fclose(file);
	}
	if (!id_take(ret->cid))
		ret->cid[0] = 0;
	return num > 0 && id_take(ret->hid);
}

bool passed_find(const struct vm *vm, const struct conf_pass *pass, struct passed_ids *ret)
{
	const struct dirent *entry;
	bool found = false;

	for (unsigned i = 0; i < pass->num_locs; i++)
		if (pass->locs[i].guest.space == CONF_SPACE_IO &&
		    pass->locs[i].guest.len > MAX_PORTS)
			return false;
	DIR *dir = vm->num_acpi_extra ? NULL : opendir(PNP_DEVICES);

	while (dir && !found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.' && is_all_passed(entry->d_name, pass) &&
			ids_read(entry->d_name, ret);
	if (dir)
		closedir(dir);
	return found;
}

size_t passed_resources(const struct vm *vm, const struct conf_pass *pass,
			struct acpi_resource *ret)
{
	size_t n = 0;
	unsigned line;

	for (unsigned i = 0; i < pass->num_locs; i++) {
		const struct conf_loc *guest = &pass->locs[i].guest;

		ret[n++] = (struct acpi_resource){ guest->space == CONF_SPACE_IO
							   ? ACPI_RESOURCE_IO
							   : ACPI_RESOURCE_MEMORY,
						   .base = guest->addr, .len = guest->len };
	}
	for (unsigned i = 0; i < pass->num_intrs; i++) {
		if (!pass_intr_line(vm->passes, &pass->intrs[i], &line))
			continue;
		const int gsi = qvmx_intr_gsi(&vm->vdevs->lines[line]);

		/* Of what the firmware lists, what is no ISA interrupt is level triggered. */
		if (gsi >= 0)
			ret[n++] = (struct acpi_resource){ ACPI_RESOURCE_IRQ,
							   .irq = { .gsi = (uint32_t)gsi,
								    .level = gsi >= 16 } };
	}
	return n;
}
