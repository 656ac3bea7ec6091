/* SPDX-License-Identifier: Apache-2.0 */
#include "irq/irq.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/engine.h"

struct irq_watch {
	struct irq_watch *next;
	void (*func)(void *opaque, int what);
	void *opaque;
};

struct irq_line {
	struct irq_line *next;
	struct irq_watch *watches; /* of the start-up stage */
	pthread_mutex_t lock;	   /* orders the calls of set */
	uint32_t levels;	   /* bit n: level of source n */
	uint32_t owners;	   /* 0: all sources count; else those of these bits */
	unsigned num_sources;
	int (*set)(void *opaque, unsigned pin, bool level);
	void *opaque;
	unsigned pin;
};

struct irq {
	struct engine *engine;
	pthread_mutex_t lock; /* the routing table, the lists */
	struct irq_line *lines;
	unsigned num_routes;
	struct engine_msi_route *routes; /* num_routes entries: what the engine has */
	uint8_t used[IRQ_MAX_VECTORS / 8];
};

int irq_create(struct engine *engine, struct irq **ret_irq)
{
	struct irq *irq = calloc(1, sizeof(*irq));

	if (!irq)
		return -ENOMEM;
	irq->engine = engine;
	pthread_mutex_init(&irq->lock, NULL);
	/* Pins that an eventfd raises need their routes before the first message has one: a GIC
	 * begins with others. */
	int rc = engine->ops->routes_set(engine, NULL, 0);

	if (rc) {
		irq_destroy(irq);
		return rc;
	}
	*ret_irq = irq;
	return 0;
}

void irq_destroy(struct irq *irq)
{
	if (!irq)
		return;
	while (irq->lines) {
		struct irq_line *line = irq->lines;

		irq->lines = line->next;
		while (line->watches) {
			struct irq_watch *watch = line->watches;

			line->watches = watch->next;
			free(watch);
		}
		pthread_mutex_destroy(&line->lock);
		free(line);
	}
	pthread_mutex_destroy(&irq->lock);
	free(irq->routes);
	free(irq);
}

struct engine *irq_engine(const struct irq *irq)
{
	return irq->engine;
}

int irq_vector_create(struct irq *irq, uint32_t device, struct irq_vector *ret_vector)
{
	unsigned i = 0;
	int rc = -ENOSPC, fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	pthread_mutex_lock(&irq->lock);
	while (i < IRQ_MAX_VECTORS && (irq->used[i / 8] & (1u << (i % 8))))
		i++;
	if (i < IRQ_MAX_VECTORS) {
		irq->used[i / 8] |= (uint8_t)(1u << (i % 8));
		*ret_vector = (struct irq_vector){ .fd = fd,
						   .gsi = irq->engine->first_msi_gsi + i,
						   .device = device };
		rc = 0;
	}
	pthread_mutex_unlock(&irq->lock);
	if (rc)
		close(fd);
	return rc;
}

void irq_vector_destroy(struct irq *irq, struct irq_vector *vector)
{
	if (vector->fd < 0)
		return;
	irq_vector_attach(irq, vector, false);
	pthread_mutex_lock(&irq->lock);
	unsigned i = vector->gsi - irq->engine->first_msi_gsi;

	irq->used[i / 8] &= (uint8_t) ~(1u << (i % 8));
	pthread_mutex_unlock(&irq->lock);
	close(vector->fd);
	vector->fd = -1;
}

/* The route of a GSI, made if there is none. With the lock held. */
static int route_set(struct irq *irq, const struct engine_msi_route *wanted)
{
	unsigned i = 0;

	while (i < irq->num_routes && irq->routes[i].gsi != wanted->gsi)
		i++;
	bool found = i < irq->num_routes;

	if (found && irq->routes[i].addr == wanted->addr && irq->routes[i].data == wanted->data &&
	    irq->routes[i].device == wanted->device)
		return 0;
	if (!found) {
		struct engine_msi_route *more = realloc(irq->routes, (i + 1) * sizeof(*more));

		if (!more)
			return -ENOMEM;
		irq->routes = more;
		more[i] = *wanted;
	}
	const struct engine_msi_route old = irq->routes[i];

	irq->routes[i] = *wanted;
	int rc = irq->engine->ops->routes_set(irq->engine, irq->routes, irq->num_routes + !found);

	if (rc)
		irq->routes[i] = old;
	else
		irq->num_routes += !found;
	return rc;
}

int irq_vector_route(struct irq *irq, struct irq_vector *vector, uint64_t addr, uint32_t data)
{
	const struct engine_msi_route wanted = {
		.gsi = vector->gsi, .addr = addr, .data = data, .device = vector->device
	};

	if (vector->routed && vector->addr == addr && vector->data == data)
		return 0;
	pthread_mutex_lock(&irq->lock);
	int rc = route_set(irq, &wanted);

	pthread_mutex_unlock(&irq->lock);
	if (rc)
		return rc;
	vector->routed = true;
	vector->addr = addr;
	vector->data = data;
	return 0;
}

int irq_pin_route(struct irq *irq, uint32_t gsi, uint64_t addr, uint32_t data)
{
	const struct engine_msi_route wanted = { .gsi = gsi, .addr = addr, .data = data };

	if (gsi >= irq->engine->first_msi_gsi)
		return -EINVAL;
	pthread_mutex_lock(&irq->lock);
	int rc = route_set(irq, &wanted);

	pthread_mutex_unlock(&irq->lock);
	return rc;
}

int irq_vector_attach(struct irq *irq, struct irq_vector *vector, bool on)
{
	if (vector->attached == on)
		return 0;
	if (on && !vector->routed)
		return -EINVAL;
	int rc = irq->engine->ops->irqfd_set(irq->engine, vector->gsi, vector->fd, on);

	if (!rc)
		vector->attached = on;
	return rc;
}

void irq_vector_signal(const struct irq_vector *vector)
{
	/* A counter at its maximum is pending anyway, so that a refused write loses nothing. */
	(void)!write(vector->fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

bool irq_vector_pending(const struct irq_vector *vector)
{
	struct pollfd p = { .fd = vector->fd, .events = POLLIN };

	return !vector->attached && poll(&p, 1, 0) == 1;
}

void irq_vector_clear(struct irq_vector *vector)
{
	uint64_t count;

	if (!vector->attached)
		(void)!read(vector->fd, &count, sizeof(count));
}

int irq_line_create(struct irq *irq, int (*set)(void *opaque, unsigned pin, bool level),
		    void *opaque, unsigned pin, struct irq_line **ret_line)
{
	struct irq_line *line = calloc(1, sizeof(*line));

	if (!line)
		return -ENOMEM;
	pthread_mutex_init(&line->lock, NULL);
	line->set = set;
	line->opaque = opaque;
	line->pin = pin;
	pthread_mutex_lock(&irq->lock);
	line->next = irq->lines;
	irq->lines = line;
	pthread_mutex_unlock(&irq->lock);
	*ret_line = line;
	return 0;
}

int irq_line_source_add(struct irq_line *line, unsigned *ret_source)
{
	if (line->num_sources == IRQ_MAX_LINE_SOURCES)
		return -ENOSPC;
	*ret_source = line->num_sources++;
	return 0;
}

static uint32_t with_bit(uint32_t bits, unsigned bit, bool on)
{
	return on ? bits | UINT32_C(1) << bit : bits & ~(UINT32_C(1) << bit);
}

static bool line_level(const struct irq_line *line)
{
	return line->levels & (line->owners ? line->owners : UINT32_MAX);
}

/* With the lock held: new levels and owners; the controller hears of a change of the OR. */
static int line_change(struct irq_line *line, uint32_t levels, uint32_t owners)
{
	bool before = line_level(line);

	line->levels = levels;
	line->owners = owners;
	bool after = line_level(line);

	return before == after ? 0 : line->set(line->opaque, line->pin, after);
}

int irq_line_set(struct irq_line *line, unsigned source, bool level)
{
	pthread_mutex_lock(&line->lock);
	int rc = line_change(line, with_bit(line->levels, source, level), line->owners);

	pthread_mutex_unlock(&line->lock);
	return rc;
}

int irq_line_own(struct irq_line *line, unsigned source, bool on)
{
	pthread_mutex_lock(&line->lock);
	int rc = line_change(line, line->levels, with_bit(line->owners, source, on));

	pthread_mutex_unlock(&line->lock);
	return rc;
}

int irq_line_watch(struct irq_line *line, void (*func)(void *opaque, int what), void *opaque)
{
	struct irq_watch *watch = malloc(sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	*watch = (struct irq_watch){ .next = line->watches, .func = func, .opaque = opaque };
	line->watches = watch;
	return 0;
}

void irq_line_notify(const struct irq_line *line, int what)
{
	for (const struct irq_watch *w = line->watches; w; w = w->next)
		w->func(w->opaque, what);
}
