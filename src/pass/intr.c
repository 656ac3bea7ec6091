/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of the host that a UIO device has, as lines of the guest. A thread for each turns what
 * UIO has, a file to read and write, into what lines have, two eventfds.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "pass/internal.h"
#include "pass/uio.h"

int pass_intr_plan(struct pass_set *set, const struct conf_pass *pass,
		   const struct conf_pass_intr *conf_intr)
{
	struct pass_intr *intr = calloc(1, sizeof(*intr));
	uint32_t by_default = 0;

	if (!intr)
		return -ENOMEM;
	*intr = (struct pass_intr){ .set = set,
				    .pass = pass,
				    .conf = conf_intr,
				    .next = set->intrs,
				    .uio_fd = -1,
				    .fd = -1,
				    .unmask_fd = -1,
				    .stop_fd = -1 };
	set->intrs = intr;
	snprintf(intr->label, sizeof(intr->label), "pass intr %s", conf_intr->guest.text);
	int rc = set->lines->plan(set->lines->ctx, &conf_intr->guest, intr->label, &intr->line,
				  &by_default);

	if (rc)
		return rc == -ENOMEM ? rc : 0; /* that is recorded */
	intr->number = conf_intr->has_host ? conf_intr->host : by_default;
	unsigned found = uio_find_interrupt(intr->number, &intr->uio);

	if (found > 1)
		conf_error(
			set->conf, &conf_intr->pos,
			"%u UIO devices of the host have the name that interrupt %u has: which of "
			"them it is cannot be told",
			found, intr->number);
	if (!found) {
		conf_error(set->conf, &conf_intr->pos,
			   "no UIO device of the host has interrupt %u: it cannot be passed",
			   intr->number);
		conf_expected(set->conf, "one that a file /sys/kernel/irq/*/actions has together "
					 "with a UIO device's name");
	}
	return 0;
}

int pass_intr_open(struct pass_intr *intr)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/uio%u", intr->uio);
	intr->uio_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (intr->uio_fd >= 0)
		return 0;
	conf_error(intr->set->conf, &intr->conf->pos, "%s: %s: %s", intr->label, path,
		   strerror(errno));
	return -EINVAL;
}

/* UIO masks an interrupt when it comes, if its driver can; a driver that cannot says so. */
static void uio_unmask(const struct pass_intr *intr)
{
	(void)!write(intr->uio_fd, &(uint32_t){ 1 }, sizeof(uint32_t));
}

static void signal_fd(int fd)
{
	(void)!write(fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

/* False: the device is gone. */
static bool interrupt_came(struct pass_intr *intr)
{
	uint32_t count;

	if (read(intr->uio_fd, &count, sizeof(count)) != sizeof(count))
		return errno == EAGAIN || errno == EINTR;
	if (!intr->conf->at_once) {
		signal_fd(intr->fd);
		return true;
	}
	(void)irq_line_set(intr->irq_line, intr->source, true);
	(void)irq_line_set(intr->irq_line, intr->source, false);
	uio_unmask(intr);
	return true;
}

static void *intr_main(void *arg)
{
	struct pass_intr *intr = arg;
	struct pollfd fds[] = { { .fd = intr->uio_fd, .events = POLLIN },
				{ .fd = intr->unmask_fd, .events = POLLIN },
				{ .fd = intr->stop_fd, .events = POLLIN } };
	uint64_t count;

	pthread_setname_np(pthread_self(), "pass intr");
	uio_unmask(intr);
	for (;;) {
		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue;
		if (fds[2].revents)
			return NULL;
		if (fds[1].revents && read(intr->unmask_fd, &count, sizeof(count)) > 0)
			uio_unmask(intr);
		if (fds[0].revents && !interrupt_came(intr)) {
			log_write(LOG_SEV_ERROR, "pass intr %u: /dev/uio%u: %s: no more interrupts",
				  intr->number, intr->uio, strerror(errno));
			fds[0].fd = -1;
		}
	}
}

int pass_intr_attach(struct pass_intr *intr, struct irq *irq, const char **ret_why)
{
	int gsi, rc;

	*ret_why = intr->label;
	intr->irq_line = intr->set->lines->line(intr->set->lines->ctx, intr->line, &gsi);
	intr->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	intr->unmask_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	intr->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (intr->fd < 0 || intr->unmask_fd < 0 || intr->stop_fd < 0)
		return -errno;
	rc = intr->conf->at_once ? irq_line_source_add(intr->irq_line, &intr->source)
				 : irq_relay_create(irq, intr->irq_line, gsi, intr->fd,
						    intr->unmask_fd, &intr->relay);
	return rc;
}

int pass_intr_start(struct pass_intr *intr)
{
	int rc = -pthread_create(&intr->thread, NULL, intr_main, intr);

	intr->started = !rc;
	return rc;
}

void pass_intr_stop(struct pass_intr *intr)
{
	if (intr->started) {
		signal_fd(intr->stop_fd);
		pthread_join(intr->thread, NULL);
	}
	intr->started = false;
	irq_relay_destroy(intr->relay);
	intr->relay = NULL;
}

void pass_intr_free(struct pass_intr *intr)
{
	const int fds[] = { intr->uio_fd, intr->fd, intr->unmask_fd, intr->stop_fd };

	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(intr);
}
