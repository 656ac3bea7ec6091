/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "machine/plan.h"
#include "pci/pci.h"
#include "vdev/host.h"

/* Text of the user, who may have written anything, as a string; NULL gives null. */
static json_t *js_text(const char *text)
{
	struct strbuf clean = { 0 };
	json_t *value;

	if (!text)
		return json_null();
	conf_add_clean(&clean, text);
	value = json_stringn(strbuf_text(&clean), clean.len);
	strbuf_free(&clean);
	return value;
}

static json_t *js_number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* Failure sticks: jansson's functions take NULL for a value and fail, and the document is checked
 * in the end by what it has. */
static void js_set(json_t *object, const char *key, json_t *value, bool *ok)
{
	if (json_object_set_new(object, key, value))
		*ok = false;
}

static void js_add(json_t *array, json_t *value, bool *ok)
{
	if (json_array_append_new(array, value))
		*ok = false;
}

static void js_place(json_t *object, const struct conf *conf, const struct conf_pos *pos, bool *ok)
{
	json_t *place;

	if (!pos->source)
		return;
	place = json_object();
	js_set(place, "file", js_text(conf_source_name(conf, pos)), ok);
	js_set(place, "line", js_number(pos->line), ok);
	js_set(place, "column", js_number(pos->col), ok);
	js_set(place, "length", js_number(pos->length), ok);
	js_set(object, "place", place, ok);
}

static json_t *js_message(const struct conf *conf, const struct conf_diag *d, bool *ok)
{
	json_t *message = json_object();

	if (d->severity != CONF_NOTE)
		js_set(message, "severity",
		       json_string(d->severity == CONF_ERROR ? "error" : "warning"), ok);
	js_set(message, "message", js_text(d->text), ok);
	js_place(message, conf, &d->pos, ok);
	if (d->expected)
		js_set(message, "expected", js_text(d->expected), ok);
	if (d->suggest)
		js_set(message, "suggestion", js_text(d->suggest), ok);
	return message;
}

static json_t *js_messages(const struct conf *conf, bool *ok)
{
	const struct conf_diag **list = calloc(MAX(conf->num_diags, 1u), sizeof(*list));
	json_t *messages = json_array(), *notes = NULL;

	if (!list) {
		*ok = false;
		return messages;
	}
	conf_diags_sort(conf, list);
	for (unsigned i = 0; i < conf->num_diags; i++) {
		json_t *message = js_message(conf, list[i], ok);

		if (list[i]->severity == CONF_NOTE && notes) {
			js_add(notes, message, ok);
			continue;
		}
		js_set(message, "notes", json_array(), ok);
		notes = json_object_get(message, "notes");
		js_add(messages, message, ok);
	}
	free(list);
	return messages;
}

static json_t *js_sched(const struct conf_sched *sched, bool *ok)
{
	json_t *value = json_object();
	const char *policy = sched->policy == 'r'   ? "round-robin"
			     : sched->policy == 'f' ? "first-in-first-out"
						    : "ordinary";

	js_set(value, "priority", js_number(sched->prio), ok);
	js_set(value, "policy", json_string(policy), ok);
	return value;
}

static json_t *js_vcpus(const struct vm *vm, bool *ok)
{
	json_t *vcpus = json_array();

	for (unsigned i = 0; i < vm->num_cpus; i++) {
		const struct conf_cpu *cpu = i < vm->conf->num_cpus ? &vm->conf->cpus[i] : NULL;
		json_t *vcpu = json_object();

		if (cpu && cpu->sched.given)
			js_set(vcpu, "sched", js_sched(&cpu->sched, ok), ok);
		if (cpu && cpu->num_host_cpus) {
			json_t *list = json_array();

			for (unsigned k = 0; k < cpu->num_host_cpus; k++)
				js_add(list, js_number(cpu->host_cpus[k]), ok);
			js_set(vcpu, "host_cpus", list, ok);
		}
		js_add(vcpus, vcpu, ok);
	}
	return vcpus;
}

static json_t *js_options(const struct conf_vdev *v, bool *ok)
{
	json_t *options = json_array();

	for (unsigned i = 0; i < v->num_options; i++) {
		json_t *option = json_object();

		js_set(option, "word", js_text(conf_option_word(&v->options[i])), ok);
		js_set(option, "argument", js_text(v->options[i].text), ok);
		js_add(options, option, ok);
	}
	return options;
}

static json_t *js_vdevs(const struct conf *conf, bool *ok)
{
	json_t *vdevs = json_array();

	for (unsigned i = 0; i < conf->num_vdevs; i++) {
		const struct conf_vdev *v = &conf->vdevs[i];
		json_t *vdev = json_object();

		js_set(vdev, "type", js_text(v->type_name.text), ok);
		js_set(vdev, "name", js_text(v->name.text), ok);
		js_set(vdev, "options", js_options(v, ok), ok);
		js_place(vdev, conf, &v->pos, ok);
		js_add(vdevs, vdev, ok);
	}
	return vdevs;
}

static json_t *js_regions(const struct vm *vm, enum plan_space space, bool *ok)
{
	json_t *regions = json_array();

	for (unsigned i = 0; i < vm->plan->num_regions; i++) {
		const struct plan_region *r = &vm->plan->regions[i];
		json_t *region;

		if (r->space != space)
			continue;
		region = json_object();
		js_set(region, "kind", json_string(plan_kind_name(r->kind)), ok);
		js_set(region, "first", js_number(r->start), ok);
		js_set(region, "last", js_number(r->start + (r->len - 1)), ok);
		js_set(region, "owner", js_text(r->owner), ok);
		js_place(region, vm->conf, &r->pos, ok);
		js_add(regions, region, ok);
	}
	return regions;
}

static json_t *js_interrupts(const struct vm *vm, bool *ok)
{
	json_t *interrupts = json_array();

	for (unsigned i = 0; i < vm->plan->num_intrs; i++) {
		const struct plan_intr *in = &vm->plan->intrs[i];
		json_t *interrupt = json_object();

		js_set(interrupt, "pic", js_text(in->pic), ok);
		js_set(interrupt, "line", js_number(in->line), ok);
		js_set(interrupt, "owner", js_text(in->owner), ok);
		js_place(interrupt, vm->conf, &in->pos, ok);
		js_add(interrupts, interrupt, ok);
	}
	return interrupts;
}

static json_t *js_bars(const struct pci_listing *l, bool *ok)
{
	json_t *bars = json_array();

	for (unsigned b = 0; b < PCI_NUM_BARS; b++) {
		json_t *bar;

		if (l->bars[b].type == PCI_BAR_NONE || !l->bars[b].size)
			continue;
		bar = json_object();
		js_set(bar, "index", js_number(b), ok);
		js_set(bar, "address", js_number(l->bars[b].addr), ok);
		js_set(bar, "size", js_number(l->bars[b].size), ok);
		js_add(bars, bar, ok);
	}
	return bars;
}

static json_t *js_pci(const struct vm *vm, bool *ok)
{
	struct pci_listing list[256];
	unsigned n = pci_bus_list(vm->pci, list, ARRAY_LEN(list));
	json_t *functions = json_array();

	for (unsigned i = 0; i < n && i < ARRAY_LEN(list); i++) {
		const struct pci_listing *l = &list[i];
		json_t *function = json_object();

		js_set(function, "device", js_number(l->devfn >> 3), ok);
		js_set(function, "function", js_number(l->devfn & 7), ok);
		js_set(function, "vendor_id", js_number(l->vendor), ok);
		js_set(function, "device_id", js_number(l->device), ok);
		js_set(function, "class", js_number(l->class_code >> 8), ok);
		js_set(function, "owner", js_text(l->name), ok);
		js_set(function, "bars", js_bars(l, ok), ok);
		js_add(functions, function, ok);
	}
	return functions;
}

static json_t *js_loads(const struct conf *conf, bool *ok)
{
	static const char *const types[] = {
		[CONF_BLOB_AUTO] = "auto",     [CONF_BLOB_GUEST] = "guest",
		[CONF_BLOB_INITRD] = "initrd", [CONF_BLOB_DATA] = "data",
		[CONF_BLOB_FDT] = "fdt",       [CONF_BLOB_ACPI] = "acpi",
	};
	json_t *loads = json_array();

	for (unsigned i = 0; i < conf->num_loads; i++) {
		const struct conf_load *l = &conf->loads[i];
		json_t *load = json_object();

		js_set(load, "type", json_string(types[l->blob]), ok);
		js_set(load, "file", js_text(l->path.text), ok);
		if (l->has_addr)
			js_set(load, "address", js_number(l->addr), ok);
		js_place(load, conf, &l->path.pos, ok);
		js_add(loads, load, ok);
	}
	return loads;
}

struct js_list {
	json_t *array;
	bool *ok;
};

static void js_acpi_device(void *ctx, const struct acpi_device *d)
{
	struct js_list *list = ctx;
	json_t *device = json_object();

	js_set(device, "hid", js_text(d->hid), list->ok);
	js_set(device, "uid", js_number(d->uid), list->ok);
	js_set(device, "resources", js_number(d->num_resources), list->ok);
	js_add(list->array, device, list->ok);
}

static json_t *js_acpi_devices(struct vm *vm, bool *ok)
{
	struct js_list list = { json_array(), ok };

	if (vm_acpi_devices(vm, js_acpi_device, &list))
		*ok = false;
	return list.array;
}

static json_t *js_machine(struct vm *vm, bool *ok)
{
	json_t *machine = json_object();

	js_set(machine, "name", js_text(vm->conf->system.text), ok);
	js_set(machine, "vcpus", js_vcpus(vm, ok), ok);
	js_set(machine, "interrupt_machine", json_string(vm_irqchip_name(vm)), ok);
	js_set(machine, "interrupt_machine_why", json_string(vm->vdevs->machine.why), ok);
	js_set(machine, "vdevs", js_vdevs(vm->conf, ok), ok);
	js_set(machine, "memory", js_regions(vm, PLAN_MEM, ok), ok);
	js_set(machine, "ports", js_regions(vm, PLAN_IO, ok), ok);
	js_set(machine, "interrupts", js_interrupts(vm, ok), ok);
	js_set(machine, "pci", js_pci(vm, ok), ok);
	js_set(machine, "loads", js_loads(vm->conf, ok), ok);
	js_set(machine, "cmdline", js_text(vm->conf->cmdline.text), ok);
	js_set(machine, "acpi_devices", js_acpi_devices(vm, ok), ok);
	js_set(machine, "device_tree",
	       vm->tree.len ? json_stringn(vm->tree.data, vm->tree.len) : json_null(), ok);
	return machine;
}

int vm_json_print(FILE *to, const struct conf *conf, struct vm *vm)
{
	json_t *document = json_object();
	bool ok = document != NULL;
	unsigned errors = 0;
	int rc = -ENOMEM;

	js_set(document, "format", js_number(VM_JSON_FORMAT), &ok);
	js_set(document, "diagnostics", js_messages(conf, &ok), &ok);
	for (unsigned i = 0; i < conf->num_diags; i++)
		errors += conf->diags[i].severity == CONF_ERROR;
	js_set(document, "errors_not_shown", js_number(conf->num_errors - errors), &ok);
	if (vm)
		js_set(document, "machine", js_machine(vm, &ok), &ok);
	if (ok)
		rc = json_dumpf(document, to, JSON_COMPACT) || fputc('\n', to) == EOF || fflush(to)
			     ? -EIO
			     : 0;
	json_decref(document);
	return rc;
}
