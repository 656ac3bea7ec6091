/* SPDX-License-Identifier: Apache-2.0 */
/* Planning and printing a VM. */
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "vdev/implicit/platform.h"

bool vm_end(struct vm *vm, int status)
{
	int running = -1;

	if (!atomic_compare_exchange_strong(&vm->end, &running, status))
		return false;
	(void)!write(vm->end_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
	return true;
}

/* The main thread clears core_wanted before it looks at end_after_core, so one of the two ends the
 * VM, whichever way they meet. */
static void vm_terminate(void *ctx, int cause)
{
	struct vm *vm = ctx;
	int none = -1;

	atomic_compare_exchange_strong(&vm->end_after_core, &none, cause);
	if (!atomic_load(&vm->core_wanted))
		vm_end(vm, cause);
}

/* A dump is made on the main thread, which holds all vCPUs meanwhile. */
static void vm_core_file(void *ctx)
{
	struct vm *vm = ctx;

	atomic_store(&vm->core_wanted, true);
	(void)kill(getpid(), SIGUSR2);
}

static int vm_memory_create(struct vm *vm)
{
	struct memory_region regions[MEMORY_MAX_REGIONS];
	unsigned num = 0;

	for (unsigned i = 0; i < vm->plan->num_regions; i++) {
		const struct plan_region *r = &vm->plan->regions[i];

		if (r->kind != PLAN_RAM && r->kind != PLAN_ROM)
			continue;
		if (num == MEMORY_MAX_REGIONS) {
			conf_error(vm->conf, &r->pos, "more than %d pieces of ram and rom",
				   MEMORY_MAX_REGIONS);
			break;
		}
		regions[num++] = (struct memory_region){ .gpa = r->start,
							 .len = r->len,
							 .rom = r->kind == PLAN_ROM };
	}
	if (!vm->conf->memory_seen)
		conf_error(vm->conf, NULL,
			   "the VM has no memory: a line such as `ram 256m` is missing");
	int rc = memory_create(regions, num, &vm->mem);

	if (rc)
		conf_error(vm->conf, NULL, "the host does not give the guest's memory: %s",
			   strerror(-rc));
	return rc;
}

/* `reserve loc`: what the PCI bus chooses by itself stays out of it. */
static int vm_pci_reserve(struct vm *vm, const struct conf_reserve *reserve)
{
	int rc = 0;

	for (unsigned i = 0; i < reserve->num_locs && !rc; i++) {
		const struct conf_loc *loc = &reserve->locs[i];

		if (loc->space == CONF_SPACE_PCI && loc->bus)
			conf_error(vm->conf, &loc->pos, "there is PCI bus 0 only");
		else if (loc->space == CONF_SPACE_PCI)
			rc = pci_slot_reserve(vm->pci, loc->dev);
		else
			rc = pci_window_reserve(vm->pci, loc->space == CONF_SPACE_IO, loc->addr,
						loc->len);
	}
	return rc;
}

static int vm_pci_create(struct vm *vm)
{
	static const struct pci_bus_info info = {
		.ecam_base = ADDRESS_ECAM,
		.ecam_buses = ADDRESS_ECAM_BUSES,
		.config_ports = PCI_HAS_CONFIG_PORTS,
		.mem32 = { ADDRESS_PCI_MEM32, ADDRESS_PCI_MEM32_LEN },
		.io = { ADDRESS_PCI_IO, ADDRESS_PCI_IO_LEN },
		.ports = ADDRESS_PCI_PORTS,
	};
	int rc = pci_bus_create(&info, &vm->pci);

	for (unsigned i = 0; i < vm->conf->num_reserves && !rc; i++)
		rc = vm_pci_reserve(vm, &vm->conf->reserves[i]);
	return rc ? rc : platform_host_bridge_add(vm->pci);
}

static int vm_pci_place(struct vm *vm)
{
	const struct pci_device *dev;
	unsigned bar;
	int rc = pci_bus_place(vm->pci, &dev, &bar);

	if (rc == -ENOSPC) {
		const char *name = pci_device_name(dev);

		conf_error(vm->conf, vdev_host_function_pos(vm->vdevs, name),
			   "the PCI memory window is full: no place for BAR %u of %s", bar, name);
		rc = 0;
	}
	return rc;
}

/* A folder for dumps that is not there would be noticed when it is needed. */
static void vm_dump_check(struct vm *vm)
{
	const struct conf_text *dump = &vm->conf->dump;
	struct stat st;

	if (!dump->text || dump->text[0] == '|')
		return;
	if (stat(dump->text, &st))
		conf_error(vm->conf, &dump->pos, "dumps cannot go to '%s': %s", dump->text,
			   strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		conf_error(vm->conf, &dump->pos, "dumps cannot go to '%s': it is no directory",
			   dump->text);
}

static int vm_pass_line_plan(void *ctx, const struct conf_intr *intr, const char *owner,
			     unsigned *ret_line, uint32_t *ret_number)
{
	const struct vm *vm = ctx;

	return vdev_host_intr_plan(vm->vdevs, intr, owner, ret_line, ret_number);
}

static struct irq_line *vm_pass_line(void *ctx, unsigned line, int *ret_gsi)
{
	const struct vm *vm = ctx;

	return vdev_host_intr_line(vm->vdevs, line, ret_gsi);
}

static int vm_pass_access(void *ctx, enum engine_space space, uint64_t addr, bool write,
			  unsigned len, uint64_t *value)
{
	const struct vm *vm = ctx;

	return pass_access(vm->passes, space, addr, write, len, value);
}

/* A device tree behind a plain `load` is one, whatever the order of the loads. */
static void vm_trees_find(struct conf *conf)
{
	static const uint8_t magic[] = { 0xd0, 0x0d, 0xfe, 0xed };

	for (unsigned i = 0; i < conf->num_loads; i++) {
		struct conf_load *l = &conf->loads[i];
		uint8_t head[sizeof(magic)];
		int fd = l->blob == CONF_BLOB_AUTO && !l->has_addr
				 ? open(l->path.text, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
				 : -1;

		if (fd < 0)
			continue;
		if (read(fd, head, sizeof(head)) == sizeof(head) &&
		    !memcmp(head, magic, sizeof(magic)))
			l->blob = CONF_BLOB_FDT;
		close(fd);
	}
}

/* Tables have been read, and device trees have their own words for what is no file. */
static void vm_load_check(struct conf *conf, const struct conf_load *l)
{
	struct stat st;

	if (access(l->path.text, R_OK) || stat(l->path.text, &st))
		conf_error(conf, &l->path.pos, "cannot read '%s': %s", l->path.text,
			   strerror(errno));
	else if (l->blob != CONF_BLOB_FDT && !S_ISREG(st.st_mode))
		conf_error(conf, &l->path.pos, "cannot load '%s': it is not a regular file",
			   l->path.text);
}

int vm_plan(struct conf *conf, struct vm **ret_vm)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int rc;

	if (!vm)
		return -ENOMEM;
	vm->conf = conf;
	atomic_init(&vm->end, -1);
	atomic_init(&vm->hold, true);
	pthread_mutex_init(&vm->hold_mtx, NULL);
	pthread_cond_init(&vm->hold_changed, NULL);
	*ret_vm = vm;
	vm->pass_lines =
		(struct pass_lines){ .plan = vm_pass_line_plan, .line = vm_pass_line, .ctx = vm };
	atomic_init(&vm->end_after_core, -1);
	vm->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = vm->end_fd < 0 ? -errno : plan_create(conf, &vm->plan);
	if (!rc)
		rc = plan_fixed_add(vm->plan);
	if (!rc)
		rc = plan_memory_add(vm->plan);
	if (!rc)
		rc = vm_memory_create(vm);
	if (!rc)
		rc = vm_pci_create(vm);
	if (!rc)
		rc = pass_plan(conf, vm->plan, vm->pci, &vm->passes);
	if (!rc)
		rc = vdev_host_create(conf, vm->plan, vm->mem, vm->pci, &vm->vdevs);
	if (!rc) {
		vm->vdevs->terminate = vm_terminate;
		vm->vdevs->core_file = vm_core_file;
		vm->vdevs->terminate_ctx = vm;
		vm->vdevs->pass_access = vm_pass_access;
		vm->vdevs->pass_ctx = vm;
		rc = vdev_host_configure(vm->vdevs);
	}
	if (!rc)
		rc = pass_plan_rest(vm->passes, &vm->pass_lines);
	if (!rc)
		plan_guards_check(vm->plan);
	if (rc)
		return rc;
	vm_button_plan(vm);
	vdev_host_intx_plan(vm->vdevs);
	rc = vm_pci_place(vm);
	if (rc)
		return rc;
	vm->num_cpus = MAX(conf->num_cpus, 1u);
	if (vm->num_cpus > MAX_CPUS)
		conf_error(conf, &conf->cpus[MAX_CPUS].pos, "a VM has at most %u vCPUs", MAX_CPUS);
	if (conf->num_loads > VM_MAX_LOADS)
		conf_error(conf, &conf->loads[VM_MAX_LOADS].pos, "more than %u loads",
			   VM_MAX_LOADS);
	rc = user_find(conf, &vm->user);
	if (rc)
		return rc;
	vm_dump_check(vm);
	vm_trees_find(conf);
	rc = vm_tables_read(vm);
	if (rc)
		return rc;
	for (unsigned i = 0; i < conf->num_loads; i++)
		if (conf->loads[i].blob != CONF_BLOB_ACPI)
			vm_load_check(conf, &conf->loads[i]);
	return conf->num_errors ? -EINVAL : 0;
}

static void print_pci(struct vm *vm, struct strbuf *out)
{
	struct pci_listing list[256];
	unsigned n = pci_bus_list(vm->pci, list, ARRAY_LEN(list));

	strbuf_add_text(out, "\nPCI bus 0\n");
	for (unsigned i = 0; i < n && i < ARRAY_LEN(list); i++) {
		const struct pci_listing *l = &list[i];

		strbuf_printf(out, "  00:%02x.%x  %04x:%04x  class %04x  %s\n", l->devfn >> 3,
			      l->devfn & 7, l->vendor, l->device, l->class_code >> 8, l->name);
		for (unsigned b = 0; b < PCI_NUM_BARS; b++)
			if (l->bars[b].type != PCI_BAR_NONE && l->bars[b].size)
				strbuf_printf(out,
					      "           bar %u at 0x%" PRIx64 ", %" PRIu64
					      " bytes%s\n",
					      b, l->bars[b].addr, l->bars[b].size,
					      b == PCI_ROM ? " (expansion ROM)" : "");
	}
}

const char *vm_irqchip_name(const struct vm *vm)
{
	static const char *const names[] = { [ENGINE_IRQCHIP_NONE] = "local",
					     [ENGINE_IRQCHIP_KERNEL] = "kernel",
					     [ENGINE_IRQCHIP_SPLIT] = "split" };

	return names[vm->vdevs->machine.engine.irqchip];
}

static void print_acpi_device(void *ctx, const struct acpi_device *d)
{
	struct strbuf *list = ctx;

	if (!list->len)
		strbuf_add_text(list, "\nACPI devices\n");
	strbuf_printf(list, "  %s, unit %u, %zu resources\n", d->hid, d->uid, d->num_resources);
}

void vm_print(struct vm *vm, struct strbuf *out)
{
	const struct conf *conf = vm->conf;
	static const char *const blobs[] = {
		[CONF_BLOB_AUTO] = "load",	    [CONF_BLOB_GUEST] = "guest load",
		[CONF_BLOB_INITRD] = "initrd load", [CONF_BLOB_DATA] = "data load",
		[CONF_BLOB_FDT] = "fdt load",	    [CONF_BLOB_ACPI] = "acpi load",
	};

	strbuf_printf(out, "VM %s, %u vCPU%s\n",
		      conf->system.text ? conf->system.text : "(no name)", vm->num_cpus,
		      vm->num_cpus == 1 ? "" : "s");
	strbuf_printf(out, "Interrupt machine: %s: %s\n\n",
		      pic_machine_texts[vm->vdevs->machine.engine.irqchip], vm->vdevs->machine.why);
	plan_print(vm->plan, out);
	print_pci(vm, out);
	if (conf->num_loads)
		strbuf_add_text(out, "\nLoads\n");
	for (unsigned i = 0; i < conf->num_loads; i++) {
		strbuf_printf(out, "  %s ", blobs[conf->loads[i].blob]);
		if (conf->loads[i].has_addr)
			strbuf_printf(out, "0x%" PRIx64 ",", conf->loads[i].addr);
		strbuf_printf(out, "%s\n", conf->loads[i].path.text);
	}
	if (conf->cmdline.text)
		strbuf_printf(out, "  cmdline \"%s\"\n", conf->cmdline.text);
	struct strbuf acpi = { 0 };

	(void)!vm_acpi_devices(vm, print_acpi_device, &acpi);
	strbuf_add(out, acpi.data, acpi.len);
	strbuf_free(&acpi);
	if (vm->tree.len)
		strbuf_printf(out, "\nDevice tree\n%s", strbuf_text(&vm->tree));
}
