/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bench/bench.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BENCH_MAX_FDS = 256, BENCH_NUM_LINES = 512 };

struct bench_irqfd {
	unsigned gsi;
	int fd;
};

enum { BENCH_MAX_REGISTERS = 32, BENCH_MAX_ANSWERS = 32 };

struct bench_answer {
	uint32_t leaf, regs[4];
};

struct bench {
	struct engine engine;
	struct guest_cpu cpu;
	struct engine_regs regs;
	pthread_mutex_t lock;
	_Atomic bool extint;
	unsigned num_doorbells, num_irqfds, num_routes, sent;
	uint64_t sent_addr;
	uint32_t sent_data;
	void (*watch)(void *ctx, uint64_t addr, uint32_t data);
	void *watch_ctx;
	struct engine_notify doorbells[BENCH_MAX_FDS];
	struct bench_irqfd irqfds[BENCH_MAX_FDS];
	struct engine_msi_route routes[BENCH_MAX_FDS];
	/* The vCPU's system registers, as far as somebody has set them; what the engine traps. */
	unsigned num_registers, num_traps, num_answers;
	struct {
		uint32_t index;
		uint64_t value;
	} registers[BENCH_MAX_REGISTERS];
	struct engine_trap traps[ENGINE_MAX_TRAPS];
	bool traps_unknown;
	struct bench_answer answers[BENCH_MAX_ANSWERS];
	bool lines[BENCH_NUM_LINES];
	unsigned edges[BENCH_NUM_LINES];
};

static struct bench *bench_of(struct engine *e)
{
	return container_of(e, struct bench, engine);
}

static int bench_memory_set(struct engine *e, unsigned slot, uint64_t gpa, uint64_t len, void *hva,
			    bool readonly)
{
	(void)e, (void)slot, (void)gpa, (void)len, (void)readonly;
	/* As KVM does: the upper half of the addresses is the kernel's. */
	return (intptr_t)hva < 0 ? -EINVAL : 0;
}

static int bench_irqchip_set(struct engine *e, const struct engine_machine *machine,
			     const char **ret_why)
{
	(void)ret_why;
	e->first_msi_gsi = engine_machine_pins(machine);
	return 0;
}

/* There is one, which has registers and runs nothing. */
static int bench_vcpu_create(struct engine *e, unsigned index, unsigned num_cpus,
			     struct guest_cpu **ret_cpu)
{
	struct bench *b = bench_of(e);

	(void)num_cpus;
	if (index)
		return -ENOTSUP;
	b->cpu = (struct guest_cpu){ .engine = e };
	*ret_cpu = &b->cpu;
	return 0;
}

static int bench_vcpu_regs_get(struct guest_cpu *gcp, struct engine_regs *ret_regs)
{
	*ret_regs = bench_of(gcp->engine)->regs;
	return 0;
}

static int bench_vcpu_regs_set(struct guest_cpu *gcp, const struct engine_regs *regs)
{
	bench_of(gcp->engine)->regs = *regs;
	return 0;
}

static unsigned register_find(const struct bench *b, uint32_t index)
{
	unsigned i = 0;

	while (i < b->num_registers && b->registers[i].index != index)
		i++;
	return i;
}

static int bench_vcpu_register_get(struct guest_cpu *gcp, uint32_t index, uint64_t *ret_value)
{
	const struct bench *b = bench_of(gcp->engine);
	unsigned i = register_find(b, index);

	if (i == b->num_registers)
		return -ENOENT;
	*ret_value = b->registers[i].value;
	return 0;
}

static int bench_vcpu_register_set(struct guest_cpu *gcp, uint32_t index, uint64_t value)
{
	struct bench *b = bench_of(gcp->engine);
	unsigned i = register_find(b, index);

	if (i == BENCH_MAX_REGISTERS)
		return -ENOENT;
	b->num_registers = MAX(b->num_registers, i + 1);
	b->registers[i].index = index;
	b->registers[i].value = value;
	return 0;
}

static int bench_traps_set(struct engine *e, const struct engine_trap *traps, unsigned num,
			   bool unknown, const char **ret_why)
{
	struct bench *b = bench_of(e);

	(void)ret_why;
	memcpy(b->traps, traps, num * sizeof(*traps));
	b->num_traps = num;
	b->traps_unknown = unknown;
	return 0;
}

bool bench_traps(struct engine *e, uint32_t index, bool write)
{
	const struct bench *b = bench_of(e);

	for (unsigned i = 0; i < b->num_traps; i++)
		if (b->traps[i].index == index && b->traps[i].write == write)
			return true;
	return b->traps_unknown && register_find(b, index) == b->num_registers;
}

static int bench_vcpu_answer_set(struct guest_cpu *gcp, uint32_t leaf, const uint32_t answer[4])
{
	struct bench *b = bench_of(gcp->engine);

	if (b->num_answers == BENCH_MAX_ANSWERS)
		return -ENOSPC;
	struct bench_answer *a = &b->answers[b->num_answers++];

	a->leaf = leaf;
	memcpy(a->regs, answer, sizeof(a->regs));
	return 0;
}

bool bench_answer(struct engine *e, uint32_t leaf, uint32_t ret_answer[4])
{
	const struct bench *b = bench_of(e);

	for (unsigned i = 0; i < b->num_answers; i++) {
		if (b->answers[i].leaf != leaf)
			continue;
		memcpy(ret_answer, b->answers[i].regs, sizeof(b->answers[i].regs));
		return true;
	}
	return false;
}

static int bench_notify_set(struct engine *e, const struct engine_notify *n, bool on)
{
	struct bench *b = bench_of(e);
	int rc = on ? -ENOSPC : -ENOENT;

	pthread_mutex_lock(&b->lock);
	if (on && b->num_doorbells < BENCH_MAX_FDS) {
		b->doorbells[b->num_doorbells++] = *n;
		rc = 0;
	}
	for (unsigned i = 0; !on && i < b->num_doorbells; i++) {
		const struct engine_notify *d = &b->doorbells[i];

		if (d->space == n->space && d->addr == n->addr && d->fd == n->fd) {
			b->doorbells[i] = b->doorbells[--b->num_doorbells];
			rc = 0;
			break;
		}
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}

static int bench_line_set(struct engine *e, unsigned gsi, bool level)
{
	struct bench *b = bench_of(e);

	if (gsi >= BENCH_NUM_LINES)
		return -EINVAL;
	pthread_mutex_lock(&b->lock);
	b->edges[gsi] += level && !b->lines[gsi];
	b->lines[gsi] = level;
	pthread_mutex_unlock(&b->lock);
	return 0;
}

static int bench_routes_set(struct engine *e, const struct engine_msi_route *routes, unsigned num)
{
	struct bench *b = bench_of(e);

	if (num > BENCH_MAX_FDS)
		return -ENOSPC;
	pthread_mutex_lock(&b->lock);
	if (num)
		memcpy(b->routes, routes, num * sizeof(*routes));
	b->num_routes = num;
	pthread_mutex_unlock(&b->lock);
	return 0;
}

static int bench_irqfd_set(struct engine *e, unsigned gsi, int fd, bool on)
{
	struct bench *b = bench_of(e);
	int rc = on ? -ENOSPC : -ENOENT;

	pthread_mutex_lock(&b->lock);
	if (on && b->num_irqfds < BENCH_MAX_FDS) {
		b->irqfds[b->num_irqfds++] = (struct bench_irqfd){ gsi, fd };
		rc = 0;
	}
	for (unsigned i = 0; !on && i < b->num_irqfds; i++) {
		if (b->irqfds[i].gsi == gsi && b->irqfds[i].fd == fd) {
			b->irqfds[i] = b->irqfds[--b->num_irqfds];
			rc = 0;
			break;
		}
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}

/* Locked. */
static void message_sent(struct bench *b, uint64_t addr, uint32_t data)
{
	b->sent++;
	b->sent_addr = addr;
	b->sent_data = data;
	if (b->watch)
		b->watch(b->watch_ctx, addr, data);
}

static int bench_msi_send(struct engine *e, const struct engine_msi_route *message)
{
	struct bench *b = bench_of(e);

	pthread_mutex_lock(&b->lock);
	message_sent(b, message->addr, message->data);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

static void bench_extint_set(struct engine *e, bool level)
{
	atomic_store(&bench_of(e)->extint, level);
}

static void bench_destroy(struct engine *e)
{
	struct bench *b = bench_of(e);

	pthread_mutex_destroy(&b->lock);
	free(b);
}

static const struct engine_ops bench_ops = {
	.name = "bench",
	.memory_set = bench_memory_set,
	.irqchip_set = bench_irqchip_set,
	.vcpu_create = bench_vcpu_create,
	.vcpu_regs_get = bench_vcpu_regs_get,
	.vcpu_regs_set = bench_vcpu_regs_set,
	.vcpu_register_get = bench_vcpu_register_get,
	.vcpu_register_set = bench_vcpu_register_set,
	.vcpu_answer_set = bench_vcpu_answer_set,
	.traps_set = bench_traps_set,
	.notify_set = bench_notify_set,
	.line_set = bench_line_set,
	.routes_set = bench_routes_set,
	.irqfd_set = bench_irqfd_set,
	.msi_send = bench_msi_send,
	.extint_set = bench_extint_set,
	.destroy = bench_destroy,
};

struct engine *bench_create(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->engine.ops = &bench_ops;
	b->engine.first_msi_gsi = ENGINE_KERNEL_PINS;
	pthread_mutex_init(&b->lock, NULL);
	return &b->engine;
}

bool bench_doorbell(struct engine *e, enum engine_space space, uint64_t addr, unsigned len,
		    uint64_t value)
{
	struct bench *b = bench_of(e);
	bool hit = false;

	value &= UINT64_MAX >> (64 - 8 * len);
	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < b->num_doorbells; i++) {
		const struct engine_notify *d = &b->doorbells[i];

		if (d->space == space && d->addr == addr && (!d->len || d->len == len) &&
		    (!d->match || d->value == value)) {
			(void)!write(d->fd, &(uint64_t){ 1 }, sizeof(uint64_t));
			hit = true;
		}
	}
	pthread_mutex_unlock(&b->lock);
	return hit;
}

/* Collect what the attached eventfds have counted, as an interrupt controller would. */
static void bench_collect(struct bench *b, unsigned gsi)
{
	for (unsigned i = 0; i < b->num_routes; i++) {
		if (b->routes[i].gsi == gsi)
			message_sent(b, b->routes[i].addr, b->routes[i].data);
	}
}

unsigned bench_messages(struct engine *e, int timeout_ms, uint64_t *ret_addr, uint32_t *ret_data)
{
	struct bench *b = bench_of(e);
	struct pollfd fds[BENCH_MAX_FDS];
	unsigned num;

	pthread_mutex_lock(&b->lock);
	num = b->num_irqfds;
	for (unsigned i = 0; i < num; i++)
		fds[i] = (struct pollfd){ .fd = b->irqfds[i].fd, .events = POLLIN };
	if (b->sent)
		timeout_ms = 0;
	pthread_mutex_unlock(&b->lock);
	(void)poll(fds, num, timeout_ms);

	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < b->num_irqfds; i++) {
		uint64_t count;

		if (read(b->irqfds[i].fd, &count, sizeof(count)) == sizeof(count))
			bench_collect(b, b->irqfds[i].gsi);
	}
	unsigned sent = b->sent;

	if (ret_addr)
		*ret_addr = b->sent_addr;
	if (ret_data)
		*ret_data = b->sent_data;
	b->sent = 0;
	pthread_mutex_unlock(&b->lock);
	return sent;
}

void bench_watch(struct engine *e, void (*func)(void *ctx, uint64_t addr, uint32_t data), void *ctx)
{
	struct bench *b = bench_of(e);

	pthread_mutex_lock(&b->lock);
	b->watch = func;
	b->watch_ctx = ctx;
	pthread_mutex_unlock(&b->lock);
}

bool bench_line(struct engine *e, unsigned gsi, unsigned *ret_edges)
{
	struct bench *b = bench_of(e);

	pthread_mutex_lock(&b->lock);
	bool level = gsi < BENCH_NUM_LINES && b->lines[gsi];

	if (ret_edges)
		*ret_edges = gsi < BENCH_NUM_LINES ? b->edges[gsi] : 0;
	pthread_mutex_unlock(&b->lock);
	return level;
}

bool bench_extint(struct engine *e)
{
	return atomic_load(&bench_of(e)->extint);
}
