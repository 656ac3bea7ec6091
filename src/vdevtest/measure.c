/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/measure.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "vdevtest/script.h"

enum {
	ROUNDS = 5,
	REGISTER_OPS = 1000000,
	QUEUE_BATCHES = 2000,
	BATCH = 16,
	QUEUE_SIZE = 64,
	TRIPS = 20000,
	STARTS = 11,
	NUM_DEVS = 32,
	VIRTIO_VENDOR = 0x1af4,
	BAR0 = 0x10,
	STATUS_REGISTER = 20,
	HEADER = 16,
	DATA = 512,
	MAX_ARGUMENTS = 8192,
	START_FAILED = 65,
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void print(const char *what, double per_second)
{
	printf("%-40s %12.0f a second\n", what, per_second);
}

/* The PCI device number of the first VirtIO device; 0: none. */
static unsigned virtio_find(struct vdevtest *t)
{
	for (unsigned dev = 1; dev < NUM_DEVS; dev++)
		if (vdevtest_pci_read(t, dev, 0, 2) == VIRTIO_VENDOR)
			return dev;
	return 0;
}

static void registers(struct vdevtest *t, enum vdevtest_space space, uint64_t addr)
{
	double best = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		double start = now_s();

		for (unsigned i = 0; i < REGISTER_OPS; i += 2) {
			uint64_t value = vdevtest_read(t, space, addr, 1);

			vdevtest_write(t, space, addr, 1, value);
		}
		best = MAX(best, REGISTER_OPS / (now_s() - start));
	}
	print("register operations, in-process", best);
}

/* What a disk takes as the reading of its first sector; others fill what they may write. */
static void requests(struct vdevtest *t, struct vdevtest_virtio *v)
{
	uint64_t gpa = vdevtest_alloc(t, BATCH * (HEADER + DATA + 1), 16);
	double best = 0;
	unsigned head;

	for (unsigned round = 0; round < ROUNDS; round++) {
		double start = now_s();
		unsigned done = 0;

		for (unsigned i = 0; i < QUEUE_BATCHES; i++) {
			for (unsigned k = 0; k < BATCH; k++) {
				uint64_t at = gpa + k * (HEADER + DATA + 1);
				const struct vdevtest_buf bufs[] = { { at, HEADER, false },
								     { at + HEADER, DATA, true },
								     { at + HEADER + DATA, 1,
								       true } };

				(void)vdevtest_virtio_add(v, 0, bufs, 3);
			}
			vdevtest_virtio_kick(v, 0);
			vdevtest_run(t);
			for (unsigned k = 0; k < BATCH; k++)
				done += vdevtest_virtio_used(v, 0, 1000, &head, NULL);
			if (done != (i + 1) * BATCH) {
				puts("queue requests: queue 0 of this vdev does not return them");
				return;
			}
		}
		best = MAX(best, done / (now_s() - start));
	}
	print("queue requests, in-process", best);
}

static void serve(struct vdevtest *t, int fd)
{
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	const struct script_setup setup = { .out = out,
					    .limit_s = SCRIPT_LIMIT_S,
					    .lenient = true };
	struct script *s = script_create(t, &setup);

	(void)script_run(s, in, "socket");
	_exit(0);
}

static void trips(struct vdevtest *t, const char *request)
{
	char reply[256];
	double best = 0;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return;
	fflush(stdout);
	pid_t child = fork();

	if (child == 0) {
		close(fds[0]);
		serve(t, fds[1]);
	}
	close(fds[1]);
	for (unsigned round = 0; child > 0 && round < ROUNDS; round++) {
		double start = now_s();

		for (unsigned i = 0; i < TRIPS; i++)
			if (write(fds[0], request, strlen(request)) < 0 ||
			    read(fds[0], reply, sizeof(reply)) <= 0)
				return;
		best = MAX(best, TRIPS / (now_s() - start));
	}
	close(fds[0]);
	waitpid(child, NULL, 0);
	print("round trips on a socket", best);
}

/* Seconds from the start of a new process to its first answer; 0: it did not. */
static double start_once(const struct command *c)
{
	static char *argv[MAX_ARGUMENTS];
	static const char hello[] = "endianness\n";
	int in[2], out[2], n = 0;
	double start = now_s(), took = 0;
	char reply[64];

	argv[n++] = "vdev-test";
	for (unsigned i = 0; i < c->num_dirs; i++) {
		argv[n++] = "--vdev-dir";
		argv[n++] = (char *)c->dirs[i];
	}
	for (unsigned i = 0; i < c->num_words; i++)
		argv[n++] = c->words[i];
	argv[n] = NULL;
	if (pipe(in) || pipe(out))
		return 0;
	pid_t child = fork();

	if (child == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		close(out[0]);
		execv("/proc/self/exe", argv);
		_exit(1);
	}
	close(in[0]);
	close(out[1]);
	if (write(in[1], hello, sizeof(hello) - 1) > 0 && read(out[0], reply, sizeof(reply)) > 0)
		took = now_s() - start;
	close(in[1]);
	close(out[0]);
	waitpid(child, NULL, 0);
	return took;
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void starts(const struct command *c)
{
	double took[STARTS];

	for (unsigned i = 0; i < STARTS; i++)
		took[i] = start_once(c);
	qsort(took, STARTS, sizeof(took[0]), by_size);
	printf("%-40s %12.1f ms\n", "from exec to the first answer (median)",
	       took[STARTS / 2] * 1e3);
}

int measure(const struct command *command)
{
	struct vdevtest *t;
	enum vdevtest_space space = VDEVTEST_MEM;
	uint64_t addr = 0;
	char request[64];
	unsigned dev;

	starts(command);
	t = command_start(command);
	if (!t) {
		fputs(vdevtest_errors(), stderr);
		return START_FAILED;
	}
	dev = virtio_find(t);
	if (dev) {
		struct vdevtest_virtio *v = vdevtest_virtio_start(t, dev, UINT64_MAX, QUEUE_SIZE);

		requests(t, v);
		addr = (vdevtest_pci_read(t, dev, BAR0, 4) & ~15u) + STATUS_REGISTER;
		registers(t, space, addr);
		snprintf(request, sizeof(request), "readb 0x%llx\n", (unsigned long long)addr);
		trips(t, request);
		vdevtest_virtio_end(v);
	} else if (vdevtest_place(t, &space, &addr)) {
		registers(t, space, addr);
		snprintf(request, sizeof(request), "%s 0x%llx\n",
			 space == VDEVTEST_IO ? "inb" : "readb", (unsigned long long)addr);
		trips(t, request);
	} else {
		puts("the last vdev has no registers");
	}
	vdevtest_end(t);
	return 0;
}
