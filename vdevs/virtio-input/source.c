/* SPDX-License-Identifier: Apache-2.0 */
/* evdev nodes: what the host's kernel says of a device. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <qvm/x/conf.h>

/* The kernel's bitmaps are of longs; on little endian that is the order of bytes, too. */
static void node_bits(int fd, unsigned type, uint8_t *bits)
{
	if (ioctl(fd, EVIOCGBIT(type, INPUT_BITMAP), bits) < 0)
		memset(bits, 0, INPUT_BITMAP);
}

static int node_identify(int fd, struct input_identity *id)
{
	uint8_t types[INPUT_BITMAP] = { 0 };
	struct input_id ids;

	if (ioctl(fd, EVIOCGID, &ids) < 0)
		return errno;
	id->bus = ids.bustype;
	id->vendor = ids.vendor;
	id->product = ids.product;
	id->version = ids.version;
	if (ioctl(fd, EVIOCGNAME(INPUT_MAX_TEXT), id->name) < 0)
		id->name[0] = '\0';
	if (ioctl(fd, EVIOCGUNIQ(INPUT_MAX_TEXT), id->serial) < 0)
		id->serial[0] = '\0';
	if (ioctl(fd, EVIOCGPROP(INPUT_BITMAP), id->props) < 0)
		memset(id->props, 0, INPUT_BITMAP);
	node_bits(fd, 0, types);
	for (unsigned type = 1; type < INPUT_NUM_TYPES; type++)
		if (input_bit(types, type))
			node_bits(fd, type, id->bits[type]);
	for (unsigned axis = 0; axis < ABS_CNT; axis++)
		if (input_bit(id->bits[EV_ABS], axis) &&
		    ioctl(fd, EVIOCGABS(axis), &id->abs[axis]) < 0)
			id->abs[axis] = (struct input_absinfo){ 0 };
	/* The host repeats keys that are held down; a guest would do it once more. */
	memset(id->bits[EV_REP], 0, INPUT_BITMAP);
	memset(id->bits[EV_FF], 0, INPUT_BITMAP);
	return EOK;
}

int input_source_open(struct input_source *s, vdev_t *vdp, struct input_identity *ret_identity)
{
	struct stat st;
	int clock = CLOCK_MONOTONIC, err;

	if (stat(s->path, &st) < 0)
		return qvmx_refuse(vdp, "hostdev '%s': %s", s->path, strerror(errno));
	if (S_ISREG(st.st_mode))
		return input_recording_read(&s->recording, s->path, vdp, ret_identity);
	if (!S_ISCHR(st.st_mode))
		return qvmx_refuse(vdp, "hostdev '%s' is neither an evdev node nor a recording",
				   s->path);
	/* Without the right to write, lights and sounds of the device stay off. */
	s->fd = open(s->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (s->fd < 0)
		s->fd = open(s->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (s->fd < 0)
		return qvmx_refuse(vdp, "hostdev '%s' cannot be opened: %s", s->path,
				   strerror(errno));
	err = node_identify(s->fd, ret_identity);
	if (err != EOK)
		return qvmx_refuse(vdp, "hostdev '%s' is no evdev node: %s", s->path,
				   strerror(err));
	(void)ioctl(s->fd, EVIOCSCLOCKID, &clock);
	return EOK;
}

void input_source_close(struct input_source *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	free(s->path);
	s->path = NULL;
	free(s->recording.events);
	s->recording.events = NULL;
}
