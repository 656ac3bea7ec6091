/* SPDX-License-Identifier: Apache-2.0 */
#include "irq/relay.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/engine.h"
#include "qvm/guest.h"

struct irq_relay {
	struct engine *engine;
	struct irq_line *line;
	int gsi, fd, unmask_fd;
	/* Of the thread; stop_fd -1: the engine does it. */
	int stop_fd;
	pthread_t thread;
	unsigned source;
	pthread_mutex_t mtx; /* the line's level and `raised` change as one */
	bool raised;
};

static void *relay_main(void *arg)
{
	struct irq_relay *relay = arg;
	struct pollfd fds[] = { { .fd = relay->fd, .events = POLLIN },
				{ .fd = relay->stop_fd, .events = POLLIN } };
	uint64_t count;

	pthread_setname_np(pthread_self(), "irq relay");
	for (;;) {
		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue;
		if (fds[1].revents)
			return NULL;
		if (read(relay->fd, &count, sizeof(count)) != sizeof(count))
			continue;
		pthread_mutex_lock(&relay->mtx);
		relay->raised = true;
		(void)irq_line_set(relay->line, relay->source, true);
		pthread_mutex_unlock(&relay->mtx);
	}
}

static void relay_notified(void *opaque, int what)
{
	struct irq_relay *relay = opaque;

	if (what != GIN_ACK)
		return;
	pthread_mutex_lock(&relay->mtx);
	const bool ended = relay->raised;

	relay->raised = false;
	if (ended)
		(void)irq_line_set(relay->line, relay->source, false);
	pthread_mutex_unlock(&relay->mtx);
	if (ended)
		(void)!write(relay->unmask_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static int relay_start(struct irq_relay *relay)
{
	int rc = irq_line_source_add(relay->line, &relay->source);

	if (!rc)
		rc = irq_line_watch(relay->line, relay_notified, relay);
	if (rc)
		return rc;
	relay->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (relay->stop_fd < 0)
		return -errno;
	rc = -pthread_create(&relay->thread, NULL, relay_main, relay);
	if (rc) {
		close(relay->stop_fd);
		relay->stop_fd = -1;
	}
	return rc;
}

int irq_relay_create(struct irq *irq, struct irq_line *line, int gsi, int fd, int unmask_fd,
		     struct irq_relay **ret_relay)
{
	struct irq_relay *relay = calloc(1, sizeof(*relay));
	struct engine *e = irq_engine(irq);
	int rc = -ENOTSUP;

	if (!relay)
		return -ENOMEM;
	*relay = (struct irq_relay){ .engine = e,
				     .line = line,
				     .gsi = gsi,
				     .fd = fd,
				     .unmask_fd = unmask_fd,
				     .stop_fd = -1 };
	pthread_mutex_init(&relay->mtx, NULL);
	if (gsi >= 0 && e->ops->irqfd_resample_set)
		rc = e->ops->irqfd_resample_set(e, (unsigned)gsi, fd, unmask_fd, true);
	if (rc)
		rc = relay_start(relay);
	if (rc) {
		pthread_mutex_destroy(&relay->mtx);
		free(relay);
		return rc;
	}
	*ret_relay = relay;
	return 0;
}

void irq_relay_destroy(struct irq_relay *relay)
{
	if (!relay)
		return;
	if (relay->stop_fd >= 0) {
		(void)!write(relay->stop_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
		pthread_join(relay->thread, NULL);
		close(relay->stop_fd);
	} else {
		(void)relay->engine->ops->irqfd_resample_set(relay->engine, (unsigned)relay->gsi,
							     relay->fd, relay->unmask_fd, false);
	}
	pthread_mutex_destroy(&relay->mtx);
	free(relay);
}
