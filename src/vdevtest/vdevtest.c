/* SPDX-License-Identifier: Apache-2.0 */
/* libvdevtest: the vdev host on the bench engine. */
#include "vdevtest/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "address.h"
#include "base/strbuf.h"
#include "engine/bench/bench.h"
#include "vdev/host.h"
#include "vdev/implicit/platform.h"

struct vdevtest_cpu {
	struct vdevtest *t;
	struct bus_reader reader;
};

struct vdevtest {
	struct vdev_types *types;
	struct conf *conf;
	struct plan *plan;
	struct memory *mem;
	struct pci_bus *pci;
	struct vdev_host *host;
	struct engine *engine;
	struct guest_cpu *boot;
	struct bus *bus;
	struct irq *irq;
	struct platform *platform;
	struct vdevtest_cpu *cpu;
	struct vdevtest_alloc alloc;
};

static struct strbuf errors;

void vdevtest_die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("vdevtest: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	exit(99);
}

const char *vdevtest_errors(void)
{
	return strbuf_text(&errors);
}

struct vdevtest_alloc *vdevtest_alloc_state(struct vdevtest *t)
{
	return &t->alloc;
}

struct vdevtest_cpu *vdevtest_cpu_create(struct vdevtest *t)
{
	struct vdevtest_cpu *cpu = calloc(1, sizeof(*cpu));

	if (!cpu)
		vdevtest_die("out of memory");
	cpu->t = t;
	bus_reader_add(t->bus, &cpu->reader);
	return cpu;
}

void vdevtest_cpu_free(struct vdevtest_cpu *cpu)
{
	bus_reader_remove(cpu->t->bus, &cpu->reader);
	free(cpu);
}

static int memory_from_plan(struct vdevtest *t)
{
	struct memory_region regions[MEMORY_MAX_REGIONS];
	unsigned n = 0;

	for (unsigned i = 0; i < t->plan->num_regions && n < MEMORY_MAX_REGIONS; i++) {
		const struct plan_region *r = &t->plan->regions[i];

		if (r->kind == PLAN_RAM || r->kind == PLAN_ROM)
			regions[n++] =
				(struct memory_region){ r->start, r->len, r->kind == PLAN_ROM };
	}
	t->alloc.next = 1u << 20;
	t->alloc.end = n ? regions[n - 1].gpa + regions[n - 1].len : 0;
	return memory_create(regions, n, &t->mem);
}

static int plan_all(struct vdevtest *t, const char *configuration)
{
	static const struct pci_bus_info pci = {
		.ecam_base = ADDRESS_ECAM,
		.ecam_buses = ADDRESS_ECAM_BUSES,
		.config_ports = true,
		.mem32 = { ADDRESS_PCI_MEM32, ADDRESS_PCI_MEM32_LEN },
	};
	int rc = conf_read_text(t->conf, "bench", configuration, strlen(configuration));

	if (!rc)
		rc = conf_parse(t->conf);
	if (!rc)
		rc = plan_create(t->conf, &t->plan);
	if (!rc)
		rc = plan_fixed_add(t->plan);
	if (!rc)
		rc = plan_memory_add(t->plan);
	if (!rc)
		rc = memory_from_plan(t);
	if (!rc)
		rc = pci_bus_create(&pci, &t->pci);
	if (!rc)
		rc = platform_host_bridge_add(t->pci);
	if (!rc)
		rc = vdev_host_create(t->conf, t->plan, t->mem, t->pci, &t->host);
	if (!rc)
		rc = vdev_host_configure(t->host);
	if (!rc)
		vdev_host_intx_plan(t->host);
	if (!rc)
		rc = pci_bus_place(t->pci, NULL, NULL);
	return rc || t->conf->num_errors ? -1 : 0;
}

static void ignore_line(void *ctx, bool level)
{
	(void)ctx, (void)level;
}

/* `load ADDR,FILE`: the bytes of the file, at that address. What a file is makes no difference. */
static int load_all(struct vdevtest *t)
{
	for (unsigned i = 0; i < t->conf->num_loads; i++) {
		const struct conf_load *l = &t->conf->loads[i];
		FILE *file = fopen(l->path.text, "rb");
		struct stat st;

		if (!l->has_addr || !file || fstat(fileno(file), &st))
			vdevtest_die("load '%s': the bench loads files to a given address only",
				     l->path.text);
		void *to = memory_translate(t->mem, l->addr, (size_t)st.st_size, false);

		if (!to || fread(to, 1, (size_t)st.st_size, file) != (size_t)st.st_size)
			vdevtest_die("'%s' cannot be loaded to 0x%llx", l->path.text,
				     (unsigned long long)l->addr);
		fclose(file);
		const struct vdev_load piece = {
			.path = l->path.text, .line = i, .gpa = l->addr, .len = (uint64_t)st.st_size
		};
		int rc = vdev_host_load_add(t->host, &piece);

		if (rc)
			return rc;
	}
	return 0;
}

static int assemble(struct vdevtest *t)
{
	const char *why = NULL;
	int rc = bus_create(&t->bus);

	t->engine = bench_create();
	if (!rc && t->engine)
		rc = t->engine->ops->irqchip_set(t->engine, &t->host->machine.engine);
	if (!rc && t->engine)
		rc = irq_create(t->engine, &t->irq);
	if (!rc)
		rc = platform_create(t->bus, false, ignore_line, NULL, &t->platform);
	if (!rc)
		rc = vdev_host_attach(t->host, t->engine, t->bus, t->irq, &why);
	if (rc)
		return rc;
	t->cpu = vdevtest_cpu_create(t);
	rc = vdev_host_configured(t->host);
	if (!rc)
		vdev_host_gen_acpi(t->host);
	if (!rc)
		rc = load_all(t);
	if (!rc)
		rc = t->engine->ops->vcpu_create(t->engine, 0, 1, &t->boot);
	return rc ? rc : vdev_host_starting(t->host, t->boot);
}

struct vdevtest *vdevtest_start(const char *configuration)
{
	const char *dir = getenv("VDEVTEST_DIR");
	struct vdevtest *t = calloc(1, sizeof(*t));

	strbuf_reset(&errors);
	if (!t || vdev_types_create(&dir, dir != NULL, &t->types))
		vdevtest_die("out of memory");
	const struct conf_env env = { .ctx = t->types,
				      .find_vdev = vdev_types_find,
				      .vdev_name = vdev_types_name };

	t->conf = conf_new(&env);
	if (!t->conf)
		vdevtest_die("out of memory");
	if (plan_all(t, configuration) == 0 && assemble(t) == 0)
		return t;
	conf_render(t->conf, &errors);
	vdevtest_end(t);
	return NULL;
}

void vdevtest_end(struct vdevtest *t)
{
	if (t->host)
		vdev_host_terminate(t->host);
	pci_bus_destroy(t->pci);
	vdev_host_free(t->host);
	if (t->cpu)
		vdevtest_cpu_free(t->cpu);
	platform_free(t->platform);
	irq_destroy(t->irq);
	bus_destroy(t->bus);
	if (t->engine)
		t->engine->ops->destroy(t->engine);
	memory_destroy(t->mem);
	plan_free(t->plan);
	conf_free(t->conf);
	vdev_types_free(t->types);
	free(t);
}

static void access_bus(struct vdevtest_cpu *cpu, enum vdevtest_space space, uint64_t addr,
		       unsigned len, bool write, uint64_t *value)
{
	struct vdevtest *t = cpu->t;
	enum engine_space es = space == VDEVTEST_IO ? ENGINE_IO : ENGINE_MEM;
	struct bus_access acc = {
		.space = es, .write = write, .len = len, .addr = addr, .data = value
	};

	if (write && bench_doorbell(t->engine, es, addr, len))
		return;
	enum bus_result result = bus_dispatch(t->bus, &cpu->reader, &acc);

	if (result == BUS_NOT_FOUND && !write)
		*value = UINT64_MAX;
	else if (result == BUS_ERROR)
		vdevtest_die("a vdev failed at 0x%llx", (unsigned long long)addr);
	if (len < 8)
		*value &= (UINT64_C(1) << (8 * len)) - 1;
}

uint64_t vdevtest_cpu_read(struct vdevtest_cpu *cpu, enum vdevtest_space space, uint64_t addr,
			   unsigned len)
{
	uint64_t value = 0;

	access_bus(cpu, space, addr, len, false, &value);
	return value;
}

void vdevtest_cpu_write(struct vdevtest_cpu *cpu, enum vdevtest_space space, uint64_t addr,
			unsigned len, uint64_t value)
{
	access_bus(cpu, space, addr, len, true, &value);
}

uint64_t vdevtest_read(struct vdevtest *t, enum vdevtest_space space, uint64_t addr, unsigned len)
{
	return vdevtest_cpu_read(t->cpu, space, addr, len);
}

void vdevtest_write(struct vdevtest *t, enum vdevtest_space space, uint64_t addr, unsigned len,
		    uint64_t value)
{
	vdevtest_cpu_write(t->cpu, space, addr, len, value);
}

void *vdevtest_ram(struct vdevtest *t, uint64_t gpa, size_t len)
{
	void *p = memory_translate(t->mem, gpa, len, false);

	if (!p)
		vdevtest_die("no guest memory at 0x%llx, %zu bytes", (unsigned long long)gpa, len);
	return p;
}

bool vdevtest_line(struct vdevtest *t, unsigned pin, unsigned *ret_edges)
{
	return bench_line(t->engine, pin, ret_edges);
}

unsigned vdevtest_messages(struct vdevtest *t, int timeout_ms, uint64_t *ret_addr,
			   uint32_t *ret_data)
{
	return bench_messages(t->engine, timeout_ms, ret_addr, ret_data);
}

bool vdevtest_extint(struct vdevtest *t)
{
	return bench_extint(t->engine);
}

int vdevtest_acknowledge(struct vdevtest *t)
{
	return vdev_host_extint(t->host);
}

void vdevtest_eoi(struct vdevtest *t, unsigned vector)
{
	vdev_host_eoi(t->host, vector);
}

int vdevtest_ended(const struct vdevtest *t)
{
	return atomic_load(&t->host->cause);
}

uint64_t vdevtest_register(const struct vdevtest *t, size_t offset)
{
	struct engine_regs regs;

	(void)t->engine->ops->vcpu_regs_get(t->boot, &regs);
	return regs.r[offset / sizeof(regs.r[0])];
}

unsigned vdevtest_cores(const struct vdevtest *t)
{
	return atomic_load(&t->host->num_cores);
}
