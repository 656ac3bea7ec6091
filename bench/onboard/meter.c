/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter [-t SECONDS] [-u NAME] [-e FILE] COMMAND...
 *
 * Starts a VMM on a board and writes down when its guest says what. A line of its output that has
 * `@@NAME WORDS` (or `BULKHEAD-GUEST-INIT`, whose NAME is `init`) is a mark. For each one a line
 * goes to standard output:
 *
 *	NAME us=MICROSECONDS exits=N user=N npf=N ... WORDS
 *
 * with the time since exec and KVM's trace points for the command counted so far. What a mark's
 * name ends with says more:
 *
 *	+	counting goes on (after any other mark but init it rests)
 *	=	private=KILOBYTES, without mappings as large as the guest's memory
 *	?	the guest waits: once all is quiet, the mark is taken and the guest gets a line feed
 *
 * `first=MICROSECONDS` at init is the first entry of a guest. -u: the command is killed at that
 * mark. At its end: `end us= status=`. The command's standard error goes to FILE, its lines
 * without a mark to meter's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_CPUS = 8,
	MAX_LINE = 4096,
	SETTLE_US = 300000,
	BIG_KB = 200 * 1024,
};

#define EVENTS "/sys/kernel/tracing/events/kvm"
#define INIT   "BULKHEAD-GUEST-INIT"

struct counter {
	const char *name, *event, *filter;
	int fd;
};

static struct counter counters[] = {
	{ "exits", "kvm_exit", NULL, -1 },
	{ "user", "kvm_userspace_exit", NULL, -1 },
	{ "mmio", "kvm_mmio", "type != 0", -1 }, /* not the first half of a read */
#ifdef __x86_64__
	/* SVM's exit codes. */
	{ "npf", "kvm_exit", "exit_reason == 0x400", -1 },
	{ "hlt", "kvm_exit", "exit_reason == 0x78", -1 },
	{ "msr", "kvm_exit", "exit_reason == 0x7c", -1 },
	{ "io", "kvm_exit", "exit_reason == 0x7b", -1 },
	{ "intr", "kvm_exit", "exit_reason == 0x60", -1 },
	{ "eoi", "kvm_userspace_exit", "reason == 26", -1 },
#else
	/* Exception classes of ESR_EL2; without one it was an interrupt of the board. */
	{ "npf", "kvm_exit", "esr_ec == 0x20 || esr_ec == 0x24", -1 }, /* an abort */
	{ "hlt", "kvm_exit", "esr_ec == 0x01", -1 },		       /* WFI or WFE */
	{ "msr", "kvm_exit", "esr_ec == 0x18", -1 },
	{ "intr", "kvm_exit", "ret == 0", -1 },
#endif
};
enum { NUM_COUNTERS = sizeof(counters) / sizeof(counters[0]) };

static struct perf_event_mmap_page *entries[MAX_CPUS];
static int entry_fd[MAX_CPUS];
static long page;
static int64_t start_ns;

static void die(const char *what)
{
	fprintf(stderr, "meter: %s: %s\n", what, strerror(errno));
	exit(125);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static uint64_t event_id(const char *event)
{
	char path[128];
	unsigned long long id;

	snprintf(path, sizeof(path), EVENTS "/%s/id", event);
	FILE *f = fopen(path, "re");

	if (!f || fscanf(f, "%llu", &id) != 1)
		die(path);
	fclose(f);
	return id;
}

static int perf_open(struct perf_event_attr *attr, pid_t pid, int cpu)
{
	attr->type = PERF_TYPE_TRACEPOINT;
	attr->size = sizeof(*attr);
	attr->inherit = 1;
	attr->disabled = 1;
	attr->enable_on_exec = 1;
	return (int)syscall(SYS_perf_event_open, attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static void counters_open(pid_t pid)
{
	for (int i = 0; i < NUM_COUNTERS; i++) {
		struct counter *c = &counters[i];
		struct perf_event_attr attr = { .config = event_id(c->event) };

		c->fd = perf_open(&attr, pid, -1);
		if (c->fd < 0)
			die(c->event);
		if (c->filter && ioctl(c->fd, PERF_EVENT_IOC_SET_FILTER, c->filter))
			die(c->filter);
	}
	/* The first record of each CPU's buffer is wanted; what comes when it is full is lost. */
	for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
		struct perf_event_attr attr = {
			.config = event_id("kvm_entry"),
			.sample_period = 1,
			.sample_type = PERF_SAMPLE_TIME,
			.use_clockid = 1,
			.clockid = CLOCK_MONOTONIC,
		};

		entry_fd[cpu] = perf_open(&attr, pid, cpu);
		if (entry_fd[cpu] < 0)
			break;
		entries[cpu] = mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_SHARED,
				    entry_fd[cpu], 0);
		if (entries[cpu] == MAP_FAILED)
			die("the buffer of kvm_entry");
	}
}

static void counters_switch(bool on)
{
	for (int i = 0; i < NUM_COUNTERS; i++)
		ioctl(counters[i].fd, on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, 0);
	for (int cpu = 0; cpu < MAX_CPUS && entries[cpu]; cpu++)
		ioctl(entry_fd[cpu], PERF_EVENT_IOC_DISABLE, 0);
}

static long long first_entry_us(void)
{
	int64_t first = INT64_MAX;

	for (int cpu = 0; cpu < MAX_CPUS && entries[cpu]; cpu++) {
		const char *data = (const char *)entries[cpu] + page;
		struct perf_event_header head;
		int64_t when;

		if (!__atomic_load_n(&entries[cpu]->data_head, __ATOMIC_ACQUIRE))
			continue;
		memcpy(&head, data, sizeof(head));
		memcpy(&when, data + sizeof(head), sizeof(when));
		if (head.type == PERF_RECORD_SAMPLE && when < first)
			first = when;
	}
	return first == INT64_MAX ? -1 : (first - start_ns) / 1000;
}

static long private_kb(pid_t pid)
{
	char line[512], path[64];
	long size = 0, kb, sum = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Size: %ld", &kb) == 1)
			size = kb;
		else if (sscanf(line, "Private_%*[CD]%*[a-z]: %ld", &kb) == 1 && size < BIG_KB)
			sum += kb;
	}
	fclose(f);
	return sum;
}

static void mark(pid_t pid, int to, char *name, int64_t when)
{
	char *words = strchr(name, ' '), kind;

	if (words)
		*words++ = '\0';
	if (!*name)
		return;
	kind = name[strlen(name) - 1];
	if (strchr("+=?", kind))
		name[strlen(name) - 1] = '\0';
	if (kind == '?')
		usleep(SETTLE_US);
	printf("%s us=%lld", name, (long long)(when - start_ns) / 1000);
	for (int i = 0; i < NUM_COUNTERS; i++) {
		uint64_t value = 0;

		if (read(counters[i].fd, &value, sizeof(value)) != sizeof(value))
			die("a counter");
		printf(" %s=%llu", counters[i].name, (unsigned long long)value);
	}
	if (kind == '=')
		printf(" private=%ld", private_kb(pid));
	if (strcmp(name, "init") == 0)
		printf(" first=%lld", first_entry_us());
	else
		counters_switch(kind == '+' || kind == '?');
	printf(" %s\n", words ? words : "");
	fflush(stdout);
	if (kind == '?' && write(to, "\n", 1) != 1)
		die("the guest's input");
}

/* A line of the VMM's output. True: it was the last mark that is wanted. */
static bool line_seen(pid_t pid, int to, char *line, const char *until, int64_t when)
{
	char *at = strstr(line, "@@"), init[] = "init";

	line[strcspn(line, "\r\n")] = '\0';
	if (at)
		mark(pid, to, at += 2, when);
	else if (strstr(line, INIT))
		mark(pid, to, at = init, when);
	else
		fprintf(stderr, "%s\n", line);
	return at && until && strcmp(at, until) == 0;
}

/* Read the VMM's output to its end, the mark `until`, or the deadline. */
static void follow(pid_t pid, int from, int to, const char *until, int64_t deadline)
{
	struct pollfd pfd = { .fd = from, .events = POLLIN };
	static char line[MAX_LINE];
	size_t len = 0;

	for (;;) {
		int64_t left = deadline - now_ns();
		ssize_t n;

		if (left <= 0 || poll(&pfd, 1, (int)(left / 1000000) + 1) == 0) {
			printf("timeout us=%lld\n", (long long)(now_ns() - start_ns) / 1000);
			return;
		}
		n = read(from, line + len, sizeof(line) - 1 - len);
		if (n <= 0)
			return;
		int64_t when = now_ns();

		len += (size_t)n;
		for (char *end; (end = memchr(line, '\n', len));) {
			size_t part = (size_t)(end - line) + 1;

			*end = '\0';
			if (line_seen(pid, to, line, until, when))
				return;
			len -= part;
			memmove(line, end + 1, len);
		}
		if (len == sizeof(line) - 1)
			len = 0;
	}
}

static pid_t spawn(char **command, const char *error_path, int *ret_from, int *ret_to, int *ret_go)
{
	int out[2], in[2], go[2];

	if (pipe2(out, O_CLOEXEC) || pipe2(in, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		die("pipe");
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		char c;
		int err = open(error_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err, 2);
		if (read(go[0], &c, 1) == 1)
			execvp(command[0], command);
		_exit(127);
	}
	close(out[1]);
	close(in[0]);
	close(go[0]);
	*ret_from = out[0];
	*ret_to = in[1];
	*ret_go = go[1];
	return pid;
}

int main(int argc, char **argv)
{
	const char *until = NULL, *error_path = "/dev/null";
	int seconds = 60, option, from, to, go, status;

	while ((option = getopt(argc, argv, "+t:u:e:")) >= 0) {
		if (option == 't')
			seconds = atoi(optarg);
		else if (option == 'u')
			until = optarg;
		else if (option == 'e')
			error_path = optarg;
		else
			return 125;
	}
	if (optind == argc)
		return 125;
	page = sysconf(_SC_PAGESIZE);
	signal(SIGPIPE, SIG_IGN);
	pid_t pid = spawn(argv + optind, error_path, &from, &to, &go);

	counters_open(pid);
	start_ns = now_ns();
	if (write(go, "x", 1) != 1)
		die("the command");
	follow(pid, from, to, until, start_ns + (int64_t)seconds * 1000000000);
	/* After its last mark a VM that ends by itself closes its output first. */
	if (until || now_ns() - start_ns >= (int64_t)seconds * 1000000000)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	printf("end us=%lld status=%d first=%lld\n", (long long)(now_ns() - start_ns) / 1000,
	       WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), first_entry_us());
	return 0;
}
