/* SPDX-License-Identifier: Apache-2.0 */
/* Traces of vdev-test: their first lines as a command, all of them as a replay. The input is the
 * file. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fuzz.h"
#include "base/log.h"
#include "vdevtest/command.h"
#include "vdevtest/script.h"

static void head(const char *path)
{
	struct command c = { .seed = 1 };
	const char *why = command_from_trace(&c, path, true);

	fuzz_require(why || c.num_words);
	fuzz_require(c.num_fails <= COMMAND_MAX_FAILS && c.num_dirs < COMMAND_MAX_DIRS);
	command_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct log_sink nowhere = { .dest = LOG_TO_NONE };
	const struct script_setup setup = { .limit_s = 0 };
	static FILE *quiet;
	int fd = memfd_create("trace", MFD_CLOEXEC);
	char path[32];

	/* Differences are told there; sanitizers write to the descriptor. */
	if (!quiet)
		stderr = quiet = fopen("/dev/null", "we");
	(void)!log_set_sinks(&nowhere, 1);
	/* A wait is in real time. */
	if (memmem(data, size, "x-wait", 6))
		size = 0;
	fuzz_require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	head(path);
	struct vdevtest *t = vdevtest_start_stepped("ram 4m vdev virtio-entropy vdev wdt-ib700", 1);
	FILE *in = fopen(path, "re");

	fuzz_require(t && in);
	struct script *s = script_create(t, &setup);

	(void)script_replay(s, in, "trace");
	script_free(s);
	vdevtest_end(t);
	fclose(in);
	close(fd);
	return 0;
}
