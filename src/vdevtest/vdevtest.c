/* SPDX-License-Identifier: Apache-2.0 */
/* libvdevtest: the vdev host on the bench engine. */
#include "vdevtest/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "base/strbuf.h"
#include "boot/devtree.h"
#include "engine/bench/bench.h"
#include "vdev/host.h"
#include "vdev/implicit/builtin.h"
#include "vdev/implicit/platform.h"
#include "vdev/instr.h"
#include "vdevtest/adversary.h"
#include "vdevtest/hostcalls.h"
#include "vdevtest/standin.h"
#include "vdevtest/tasks.h"

enum {
	MAX_SETTLE = 10000,   /* rounds in which something happened, before it counts as endless */
	MAX_EVENTS = 1000000, /* of one run */
	MAX_TIMERS = 1000000, /* that go off in one move of the clock */
	POLL_US = 20,
	STEPPED_PATIENCE_MS = 200,
	MAX_REGIONS = 1024,
};

struct vdevtest_cpu {
	struct vdevtest *t;
	struct bus_reader reader;
};

struct vdevtest {
	uint8_t passed[VDEVTEST_PASSED];
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
	struct vdevtest_watch watch;
	bool quiet; /* the bench's own accesses to RAM are no DMA */
	bool stepped;
	bool in_memory; /* VDEVTEST_TRANSPORT=mmio */
};

static struct strbuf errors;
static void (*on_die)(const char *why);

void vdevtest_die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	char why[256];

	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	if (on_die)
		on_die(why);
	fprintf(stderr, "vdevtest: %s\n", why);
	exit(99);
}

void vdevtest_on_die(void (*func)(const char *why))
{
	on_die = func;
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
	t->alloc.next = MAX(n ? regions[0].gpa : 0, UINT64_C(1) << 20);
	t->alloc.end = n ? regions[n - 1].gpa + regions[n - 1].len : 0;
	return memory_create(regions, n, &t->mem);
}

/* Each `vdev virtio-NAME` gets a place and a line, which the text may overrule: the last one
 * counts.
 */
static void put_in_memory(const char *text, struct strbuf *out)
{
	static const char word[] = "vdev virtio-";
	unsigned n = 0;

	strbuf_add_text(out, "vdev ioapic name vdevtest ");
	for (const char *at; (at = strstr(text, word)); n++) {
		size_t len = sizeof(word) - 1 + strcspn(at + sizeof(word) - 1, " \t\n");

		strbuf_printf(out, "%.*s loc 0x%x intr vdevtest:%u", (int)(at - text + (long)len),
			      text, 0x1c0d0000 + 0x1000 * n, 16 + n % 8);
		text = at + len;
	}
	strbuf_add_text(out, text);
}

static int read_configuration(struct vdevtest *t, const struct vdevtest_setup *setup)
{
	const char *transport = getenv("VDEVTEST_TRANSPORT");

	t->in_memory = transport && strcmp(transport, "mmio") == 0;
	if (setup->text && t->in_memory) {
		struct strbuf text = { 0 };

		put_in_memory(setup->text, &text);
		int rc = conf_read_text(t->conf, "bench", strbuf_text(&text),
					strlen(strbuf_text(&text)));

		strbuf_free(&text);
		return rc;
	}
	if (setup->text)
		return conf_read_text(t->conf, "bench", setup->text, strlen(setup->text));
	const unsigned at = setup->implied_at, rest = at + setup->num_implied;
	int rc = at ? conf_read_words(t->conf, 1, setup->words, at) : 0;

	if (!rc && rest > at)
		rc = conf_read_words(t->conf, at + 1, setup->words + at, rest - at);
	if (!rc)
		rc = conf_read_words(t->conf, at + 1, setup->words + rest, setup->num_words - rest);
	return rc;
}

void *vdevtest_passed(struct vdevtest *t)
{
	return t->passed;
}

static int passed_access(void *ctx, enum engine_space space, uint64_t addr, bool write,
			 unsigned len, uint64_t *value)
{
	struct vdevtest *t = ctx;
	uint8_t *at = t->passed + addr % VDEVTEST_PASSED;

	(void)space;
	if (addr % VDEVTEST_PASSED + len > VDEVTEST_PASSED)
		return -EINVAL;
	if (!write)
		*value = 0;
	memcpy(write ? (void *)at : (void *)value, write ? (void *)value : (void *)at, len);
	return 0;
}

/* The host is there; no code of a vdev but its constructor has run. */
static int make_stepped(struct vdevtest *t, const struct vdevtest_setup *setup)
{
	int rc = 0;

	if (!setup->stepped)
		return 0;
	t->stepped = t->host->stepped = true;
	hostcalls_begin(setup->seed, &t->host->now_ns);
	for (unsigned i = 0; i < t->conf->num_vdevs; i++)
		if (t->conf->vdevs[i].type)
			hostcalls_patch(vdev_type_of(t->conf->vdevs[i].type)->path);
	for (unsigned i = 0; i < setup->num_standins && !rc; i++)
		rc = standin_add(setup->standins[i]);
	for (unsigned i = 0; i < setup->num_fails && !rc; i++) {
		const struct vdevtest_fail *f = &setup->fails[i];

		rc = hostcalls_fail(f->call, f->nth, f->err, f->times);
	}
	return rc;
}

static int plan_all(struct vdevtest *t, const struct vdevtest_setup *setup)
{
	static const struct pci_bus_info pci = {
		.ecam_base = ADDRESS_ECAM,
		.ecam_buses = ADDRESS_ECAM_BUSES,
		.config_ports = PCI_HAS_CONFIG_PORTS,
		.mem32 = { ADDRESS_PCI_MEM32, ADDRESS_PCI_MEM32_LEN },
	};
	int rc = read_configuration(t, setup);

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
	if (!rc) {
		t->host->pass_access = passed_access;
		t->host->pass_ctx = t;
		rc = make_stepped(t, setup);
	}
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

static int assemble(struct vdevtest *t, const char **ret_why)
{
	int rc = bus_create(&t->bus);

	t->engine = bench_create();
	if (!rc && t->engine)
		rc = t->engine->ops->irqchip_set(t->engine, &t->host->machine.engine, ret_why);
	if (!rc && t->engine)
		rc = irq_create(t->engine, &t->irq);
	if (!rc)
		rc = platform_create(t->bus, false, ignore_line, NULL, &t->platform);
	if (!rc)
		rc = vdev_host_attach(t->host, t->engine, t->bus, t->irq, ret_why);
	if (rc)
		return rc;
	t->cpu = vdevtest_cpu_create(t);
	rc = t->engine->ops->vcpu_create(t->engine, 0, 1, &t->boot);
	if (!rc)
		rc = vdev_host_configured(t->host);
	if (!rc)
		rc = vdev_host_instructions(t->host, &t->boot, 1, ret_why);
	if (!rc)
		rc = vdev_host_gen_acpi(t->host);
	if (!rc)
		rc = load_all(t);
	return rc ? rc : vdev_host_starting(t->host, t->boot);
}

struct vdevtest *vdevtest_start_with(const struct vdevtest_setup *setup)
{
	struct vdevtest *t = calloc(1, sizeof(*t));

	strbuf_reset(&errors);
	if (!t || vdev_types_create(setup->dirs, setup->num_dirs, &t->types))
		vdevtest_die("out of memory");
	const struct conf_env env = { .ctx = t->types,
				      .find_vdev = vdev_types_find,
				      .vdev_name = vdev_types_name,
				      .implicit_vdev = vdev_builtin.name };

	t->conf = conf_new(&env);
	if (!t->conf)
		vdevtest_die("out of memory");
	const char *why = "the bench";
	int rc = plan_all(t, setup);

	if (!rc)
		rc = assemble(t, &why);
	if (!rc) {
		if (t->stepped)
			vdevtest_run(t);
		return t;
	}
	if (!t->conf->num_errors)
		conf_error(t->conf, NULL, "%s: %s", why, strerror(-rc));
	conf_render(t->conf, &errors);
	vdevtest_end(t);
	return NULL;
}

static struct vdevtest *start_text(const char *configuration, bool stepped, uint64_t seed)
{
	const char *dir = getenv("VDEVTEST_DIR");
	const struct vdevtest_setup setup = { .text = configuration,
					      .dirs = &dir,
					      .num_dirs = dir != NULL,
					      .stepped = stepped,
					      .seed = seed };

	return vdevtest_start_with(&setup);
}

struct vdevtest *vdevtest_start(const char *configuration)
{
	return start_text(configuration, false, 0);
}

struct vdevtest *vdevtest_start_stepped(const char *configuration, uint64_t seed)
{
	return start_text(configuration, true, seed);
}

void vdevtest_end(struct vdevtest *t)
{
	adversary_disarm();
	if (t->host)
		vdev_host_terminate(t->host);
	if (t->stepped)
		hostcalls_end();
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
	vdevtest_virtio_forget(t->alloc.unfinished);
	free(t);
}

static void access_bus(struct vdevtest_cpu *cpu, enum vdevtest_space space, uint64_t addr,
		       unsigned len, bool write, uint64_t *value)
{
	struct vdevtest *t = cpu->t;
	enum engine_space es = space == VDEVTEST_IO ? ENGINE_IO : ENGINE_MEM;
	struct bus_access acc = {
		.space = es, .write = write, .len = len, .addr = addr, .data = value, .gcp = t->boot
	};

	if (write && bench_doorbell(t->engine, es, addr, len, *value))
		return;
	bool before = adversary_set(true);
	enum bus_result result = bus_dispatch(t->bus, &cpu->reader, &acc);

	adversary_set(before);

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

bool vdevtest_msr(struct vdevtest *t, bool write, uint32_t index, uint64_t *value)
{
	enum bus_result result = BUS_NOT_FOUND;
	const struct engine_ops *ops = t->engine->ops;
	bool before = adversary_set(true);

	if (!write)
		*value = 0;
	if (bench_traps(t->engine, index, write))
		result = instr_register_access(t->host, t->boot, write, index, value);
	if (result == BUS_NOT_FOUND)
		result = (write ? ops->vcpu_register_set(t->boot, index, *value)
				: ops->vcpu_register_get(t->boot, index, value))
				 ? BUS_FAULT
				 : BUS_OK;
	adversary_set(before);
	if (result == BUS_ERROR)
		vdevtest_die("a vdev failed at register 0x%x", index);
	return result == BUS_OK;
}

bool vdevtest_cpuid(struct vdevtest *t, uint32_t leaf, uint32_t ret_regs[4])
{
	return bench_answer(t->engine, leaf, ret_regs);
}

bool vdevtest_button(struct vdevtest *t)
{
	return vdev_host_button(t->host);
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

void *vdevtest_ram_at(struct vdevtest *t, uint64_t gpa, uint64_t len)
{
	t->quiet = true;
	void *p = memory_translate(t->mem, gpa, len, false);

	t->quiet = false;
	return p;
}

void *vdevtest_ram(struct vdevtest *t, uint64_t gpa, size_t len)
{
	void *p = vdevtest_ram_at(t, gpa, len);

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

unsigned vdevtest_run(struct vdevtest *t)
{
	unsigned total = 0, n, rounds = 0;
	bool before = adversary_set(true);

	do {
		n = vdev_host_step(t->host);
		while (rounds++ < MAX_SETTLE && (vdev_host_fire(t->host) || hostcalls_fire()))
			n++;
		n += standin_run();
		total += n;
	} while (n && rounds < MAX_SETTLE && total < MAX_EVENTS);
	adversary_set(before);
	return total;
}

uint64_t vdevtest_clock(const struct vdevtest *t)
{
	return t->host->now_ns;
}

bool vdevtest_clock_next(struct vdevtest *t, uint64_t *ret_ns)
{
	uint64_t a = 0, b = 0;
	bool guest = vdev_host_deadline(t->host, &a), file = hostcalls_deadline(&b);

	if (!guest && !file)
		return false;
	*ret_ns = !file ? a : !guest ? b : MIN(a, b);
	return true;
}

bool vdevtest_clock_set(struct vdevtest *t, uint64_t ns)
{
	uint64_t next;

	if (ns < t->host->now_ns)
		return false;
	for (unsigned i = 0; vdevtest_clock_next(t, &next) && next <= ns; i++) {
		if (i == MAX_TIMERS)
			return false;
		t->host->now_ns = MAX(next, t->host->now_ns);
		vdevtest_run(t);
	}
	t->host->now_ns = MAX(ns, t->host->now_ns);
	return true;
}

bool vdevtest_wait(struct vdevtest *t)
{
	bool any = t->stepped && vdevtest_run(t);

	/* A vdev's own thread, or the kernel, may still have something to say. */
	if (!any)
		usleep(POLL_US);
	return any;
}

unsigned vdevtest_patience_ms(const struct vdevtest *t, unsigned ms)
{
	if (!t->stepped)
		return ms;
	return tasks_others() ? MIN(ms, STEPPED_PATIENCE_MS) : 0;
}

static const char *name_of(const struct vdev_instance *vi)
{
	if (vi->conf->name.text)
		return vi->conf->name.text;
	return vi->vdev.v_factory->pic && vi->type->conf.pic_name ? vi->type->conf.pic_name
								  : vi->type->name;
}

static void on_message(void *ctx, uint64_t addr, uint32_t data)
{
	const struct vdevtest *t = ctx;

	t->watch.message(t->watch.ctx, addr, data);
}

static void on_line(void *ctx, const vdev_t *pic, unsigned pin, bool level)
{
	const struct vdevtest *t = ctx;

	t->watch.line(t->watch.ctx, name_of(vdev_instance_of(pic)), pin, level);
}

static void on_dma(void *ctx, uint64_t gpa, uint64_t len, bool write)
{
	const struct vdevtest *t = ctx;

	if (!t->quiet)
		t->watch.dma(t->watch.ctx, gpa, len, write);
}

void vdevtest_set_watch(struct vdevtest *t, const struct vdevtest_watch *watch)
{
	t->watch = *watch;
	bench_watch(t->engine, watch->message ? on_message : NULL, t);
	t->host->line_watch = watch->line ? on_line : NULL;
	t->host->line_watch_ctx = t;
	t->mem->watch = watch->dma ? on_dma : NULL;
	t->mem->watch_ctx = t;
}

static struct vdev_instance *instance_find(struct vdevtest *t, const char *name, bool pic)
{
	for (struct vdev_instance *vi = t->host->first; vi; vi = vi->next)
		if (strcmp(name_of(vi), name) == 0 && (!pic || vi->vdev.v_factory->pic))
			return vi;
	return NULL;
}

unsigned vdevtest_pics(struct vdevtest *t, const char **ret, unsigned max)
{
	unsigned n = 0;

	for (const struct vdev_instance *vi = t->host->first; vi; vi = vi->next)
		if (vi->vdev.v_factory->pic && n++ < max)
			ret[n - 1] = name_of(vi);
	return n;
}

void vdevtest_status(struct vdevtest *t)
{
	vdev_host_status(t->host);
}

void *vdevtest_fdt(struct vdevtest *t, size_t *ret_len)
{
	struct devtree *tree;
	const void *blob;
	const char *why;
	void *copy = NULL;

	if (devtree_create(&tree))
		return NULL;
	if (!vdev_host_gen_fdt(t->host, tree) && !devtree_finish(tree, &blob, ret_len, &why)) {
		copy = malloc(*ret_len);
		if (copy)
			memcpy(copy, blob, *ret_len);
	}
	devtree_free(tree);
	return copy;
}

unsigned vdevtest_instructions(const struct vdevtest *t, struct vdevtest_instruction *ret,
			       unsigned max)
{
	unsigned n = 0;

	for (const struct vdev_instr *i = t->host->instrs; i; i = i->next)
		if (!i->any && n++ < max)
			ret[n - 1] = (struct vdevtest_instruction){
				.cpuid = i->git == GIT_X86_CPUID,
				.number = i->qualifier,
			};
	return n;
}

bool vdevtest_has_pic(struct vdevtest *t, const char *name)
{
	return instance_find(t, name, true);
}

bool vdevtest_has_vdev(struct vdevtest *t, const char *name, const char **ret_pic,
		       unsigned *ret_pin)
{
	const struct vdev_instance *vi = instance_find(t, name, false);

	if (!vi)
		return false;
	const guest_intr_t *intr = &vi->vdev.v_intr;

	*ret_pic = intr->pic ? name_of(vdev_instance_of(intr->pic)) : NULL;
	*ret_pin = intr->pic ? pic_pin(intr) : 0;
	return true;
}

bool vdevtest_line_set(struct vdevtest *t, const char *pic, unsigned pin, bool level)
{
	struct vdev_instance *vi = instance_find(t, pic, true);

	if (!vi || pin >= guest_intr_num_pins(&(guest_intr_t){ .pic = &vi->vdev }))
		return false;
	return vdev_host_input(vi, pin, level) == 0;
}

unsigned vdevtest_regions(struct vdevtest *t, struct vdevtest_region *ret, unsigned max)
{
	static struct bus_region regions[MAX_REGIONS];
	unsigned n = MIN(bus_region_list(t->bus, regions, MAX_REGIONS), (unsigned)MAX_REGIONS);

	for (unsigned i = 0; i < n && i < max; i++)
		ret[i] = (struct vdevtest_region){
			.space = regions[i].space == ENGINE_IO ? VDEVTEST_IO : VDEVTEST_MEM,
			.start = regions[i].start,
			.len = regions[i].len,
		};
	return MIN(n, max);
}

unsigned vdevtest_ram_regions(const struct vdevtest *t, struct vdevtest_region *ret, unsigned max)
{
	for (unsigned i = 0; i < t->mem->num_regions && i < max; i++)
		ret[i] = (struct vdevtest_region){ .space = VDEVTEST_MEM,
						   .start = t->mem->regions[i].gpa,
						   .len = t->mem->regions[i].len };
	return MIN(t->mem->num_regions, max);
}

bool vdevtest_mmio_place(const struct vdevtest *t, unsigned dev, uint64_t *ret_addr)
{
	unsigned n = dev - VDEVTEST_MMIO;

	if (dev < VDEVTEST_MMIO) {
		if (!t->in_memory || !dev)
			return false;
		n = dev - 1;
	}
	for (const struct vdev_instance *vi = t->host->first; vi; vi = vi->next) {
		if (!vio_is_mmio(vi) || n--)
			continue;
		*ret_addr = vi->vdev.v_block.location;
		return true;
	}
	return false;
}

bool vdevtest_place(struct vdevtest *t, enum vdevtest_space *ret_space, uint64_t *ret_addr)
{
	const struct vdev_instance *vi = t->host->first;
	enum engine_space space;

	while (vi && vi->next)
		vi = vi->next;
	if (!vi)
		return false;
	const struct qvm_state_block *b = &vi->vdev.v_block;

	if (b->location == QSL_NO_LOCATION || vdev_space(b->qst_type, &space))
		return false;
	*ret_space = space == ENGINE_IO ? VDEVTEST_IO : VDEVTEST_MEM;
	*ret_addr = b->location;
	return true;
}
