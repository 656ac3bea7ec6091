/* SPDX-License-Identifier: Apache-2.0 */
/* The device tree: what it says of this VM, what the user brings, and where it lies in its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "base/log.h"
#include "vm/aarch64/passed.h"
#include "vm/aarch64/tree.h"

void vm_button_plan(struct vm *vm)
{
	vm->button_gsi = -1;
}

int vm_acpi_devices(struct vm *vm, void (*each)(void *ctx, const struct acpi_device *device),
		    void *ctx)
{
	(void)vm, (void)each, (void)ctx;
	return 0;
}

/* ACPI tables are a PC's; trees are read when the guest's is made. */
int vm_tables_read(struct vm *vm)
{
	for (unsigned i = 0; i < vm->conf->num_loads; i++)
		if (vm->conf->loads[i].blob == CONF_BLOB_ACPI)
			conf_error(vm->conf, &vm->conf->loads[i].pos,
				   "a guest of AArch64 has a device tree and no ACPI tables");
	return 0;
}

void vm_tables_free(struct vm *vm)
{
	(void)vm;
}

/* The whole of a file of at most DEVTREE_MAX_LEN bytes; the caller frees. */
static int file_read(const char *path, void **ret_data, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint8_t *data = NULL;
	uint64_t size;
	int rc;

	if (fd < 0)
		return -errno;
	rc = boot_file_size(fd, &size);
	if (!rc && size > DEVTREE_MAX_LEN)
		rc = -EFBIG;
	if (!rc && !(data = malloc(size + 1)))
		rc = -ENOMEM;
	if (!rc)
		rc = boot_file_read(fd, 0, data, size);
	close(fd);
	if (rc) {
		free(data);
		return rc;
	}
	*ret_data = data;
	*ret_len = size;
	return 0;
}

/* `fdt load` lines; *ret_files gets num_loads allocated pieces, or NULL. */
static int user_trees(struct vm *vm, struct devtree *tree, void **files)
{
	for (unsigned i = 0; i < vm->conf->num_loads; i++) {
		const struct conf_load *l = &vm->conf->loads[i];
		const char *why = NULL;
		size_t len = 0;

		if (l->blob != CONF_BLOB_FDT)
			continue;
		int rc = file_read(l->path.text, &files[i], &len);

		if (rc) {
			why = rc == -EFBIG ? "it is larger than 2 MiB" : strerror(-rc);
		} else {
			rc = devtree_user(tree, files[i], len, &why);
		}
		if (rc)
			return loader_failed(vm, l, why, rc);
	}
	return 0;
}

static struct devtree_config config_of(struct vm *vm, const struct ranges *ranges,
				       const struct devtree_range *initrd)
{
	const struct vdev_host *host = vm->vdevs;
	const struct engine_gic *gic = &host->machine.engine.gic;
	const bool v3 = gic->version == 3;
	struct devtree_config c = {
		.num_cpus = vm->num_cpus,
		.ranges = ranges->list,
		.num_ranges = ranges->num,
		.cmdline = vm->conf->cmdline.text,
		.initrd = *initrd,
		.gic = { .name = host->first ? host->first->conf->name.text : NULL,
			 .version = gic->version,
			 .dist = { gic->dist, v3 ? GIC_DIST_LEN : GIC2_DIST_LEN },
			 .cpu = { gic->cpu, v3 ? vm->num_cpus * GIC_REDIST_CPU_LEN : GIC2_CPU_LEN },
			 .its = { gic->its, gic->its ? GIC_ITS_LEN : 0 },
			 .frame = { gic->frame, gic->frame ? GIC_FRAME_LEN : 0 } },
		.timers = { TIMER_SECURE, TIMER_PHYSICAL, TIMER_VIRTUAL, TIMER_HYPERVISOR },
		.pci = { .ecam = { ADDRESS_ECAM, ADDRESS_ECAM_BUSES * ADDRESS_ECAM_BUS_LEN },
			 .mem32 = { ADDRESS_PCI_MEM32, ADDRESS_PCI_MEM32_LEN },
			 .io = { ADDRESS_PCI_IO, ADDRESS_PCI_IO_LEN },
			 .ports = ADDRESS_PCI_PORTS },
	};

	if (!c.gic.name)
		c.gic.name = "gic";
	c.pci.has_intx = vdev_host_intx_gsis(host, c.pci.intx);
	return c;
}

/* `set fdt-dump-file` */
static int tree_dump(struct vm *vm, const void *blob, size_t len)
{
	const struct conf_set *set = conf_set_find(vm->conf, "fdt-dump-file", -1);

	if (!set)
		return 0;
	int fd = open(set->value.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool good = fd >= 0 && write(fd, blob, len) == (ssize_t)len;

	if (good)
		log_write(LOG_SEV_INFO, "FDT saved to '%s'", set->value.text);
	else
		conf_error(vm->conf, &set->value.pos, "cannot write '%s': %s", set->value.text,
			   strerror(errno));
	if (fd >= 0)
		close(fd);
	return good ? 0 : -EIO;
}

static int tree_build(struct vm *vm, struct devtree *tree, const struct ranges *ranges,
		      const struct devtree_range *initrd, void **files, const void **ret_blob,
		      size_t *ret_len)
{
	const struct devtree_config config = config_of(vm, ranges, initrd);
	const char *why = NULL;
	int rc = user_trees(vm, tree, files);

	if (rc)
		return rc;
	rc = devtree_machine(tree, &config);
	if (!rc)
		rc = vdev_host_gen_fdt(vm->vdevs, tree);
	if (!rc)
		rc = passed_nodes(vm, tree);
	if (!rc)
		rc = devtree_finish(tree, ret_blob, ret_len, &why);
	if (rc && !vm->conf->num_errors)
		conf_error(vm->conf, NULL, "the device tree cannot be made: %s",
			   why ? why : strerror(-rc));
	if (rc)
		return rc;
	return tree_dump(vm, *ret_blob, *ret_len);
}

/* Build it and hand it to `take`. */
static int tree_make(struct vm *vm, const struct ranges *ranges, const struct devtree_range *initrd,
		     int (*take)(void *ctx, const void *blob, size_t len), void *ctx)
{
	void **files = calloc(vm->conf->num_loads + 1, sizeof(*files));
	struct devtree *tree = NULL;
	const void *blob;
	size_t len;
	int rc = files ? devtree_create(&tree) : -ENOMEM;

	if (!rc)
		rc = tree_build(vm, tree, ranges, initrd, files, &blob, &len);
	if (!rc)
		rc = take(ctx, blob, len);
	devtree_free(tree);
	for (unsigned i = 0; files && i < vm->conf->num_loads; i++)
		free(files[i]);
	free(files);
	return rc;
}

struct tree_place {
	struct loader *ld;
	const struct devtree_range *kernel, *initrd;
	uint64_t gpa;
};

static int tree_put(void *ctx, const void *blob, size_t len)
{
	struct tree_place *p = ctx;
	struct loader *ld = p->ld;
	struct ranges *r = &ld->ranges;

	/* Of the guest's view nothing is lost: this is about the place alone. */
	ranges_carve(r, p->kernel->start, p->kernel->start + p->kernel->len, BOOT_RANGE_RESERVED);
	ranges_carve(r, p->initrd->start, p->initrd->start + p->initrd->len, BOOT_RANGE_RESERVED);
	struct boot_memory mem = loader_memory(ld->vm, r);
	/* Firmware that is made for QEMU looks at the start of RAM, whatever is in x0. */
	int rc = (p->kernel->len ? boot_memory_find_high : boot_memory_find_low)(
		&mem, align_up(len, CONF_PAGE), CONF_PAGE, CONF_PAGE, UINT64_MAX, &p->gpa);

	if (rc) {
		conf_error(ld->vm->conf, NULL,
			   "the guest's memory is too small for its device tree");
		return rc;
	}
	memcpy(memory_translate(ld->vm->mem, p->gpa, len, true), blob, len);
	return loader_place(ld, p->gpa, p->gpa + len, "the device tree", NULL);
}

int tree_load(struct loader *ld, const struct devtree_range *kernel,
	      const struct devtree_range *initrd, uint64_t *ret_gpa)
{
	struct tree_place place = { .ld = ld, .kernel = kernel, .initrd = initrd };
	const struct ranges told = ld->ranges;
	int rc = tree_make(ld->vm, &told, initrd, tree_put, &place);

	if (!rc)
		*ret_gpa = place.gpa;
	return rc;
}

static int tree_print(void *ctx, const void *blob, size_t len)
{
	struct strbuf *out = ctx;

	(void)len;
	devtree_print(blob, out);
	return out->failed ? -ENOMEM : 0;
}

int vm_tables_dump(struct vm *vm)
{
	const struct devtree_range none = { 0 };
	struct ranges ranges;

	loader_arch_ranges(vm, &ranges);
	return tree_make(vm, &ranges, &none, tree_print, &vm->tree);
}
