/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings of input events. The input is the file. What is taken has a name, events in the order
 * of their times, and ends with a whole update. */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <qvm/x/conf.h>
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The core's, in its place: the sentence is made. */
int qvmx_refuse(const vdev_t *vdp, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	(void)vdp;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return EINVAL;
}

static void require(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input_recording r = { 0 };
	struct input_identity id = { 0 };
	char path[32];
	int fd = memfd_create("recording", MFD_CLOEXEC);

	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (input_recording_read(&r, path, NULL, &id) == EOK) {
		require(id.name[0] && strlen(id.name) <= INPUT_MAX_TEXT);
		for (unsigned i = 1; i < r.num; i++)
			require(r.events[i].us >= r.events[i - 1].us);
		require(!r.num ||
			(!r.events[r.num - 1].event.type && !r.events[r.num - 1].event.code));
	}
	free(r.events);
	close(fd);
	return 0;
}
