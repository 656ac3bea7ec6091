/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast programs answer qtest lines on a unix socket: `bench-qtest REQUEST NAME COMMAND [NAME
 * COMMAND]...`. In COMMAND, words split by blanks, SOCKET is the path that the program connects to.
 * The programs take turns; of each, the medians of the rounds: from the start of its process to its
 * first answer, and round trips a second of REQUEST.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 9, TRIPS = 20000, MAX_PROGRAMS = 8, MAX_WORDS = 64, MAX_TEXT = 1024, LIMIT_S = 60 };

struct program {
	const char *name, *command;
	double start_ms[ROUNDS], trips[ROUNDS];
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

_Noreturn static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* The command with the socket's path in it, in place of this process. */
_Noreturn static void become(const char *command, const char *path)
{
	char text[MAX_TEXT] = "", *words[MAX_WORDS];
	const char *at = strstr(command, "SOCKET");
	unsigned n = 0;

	if (at)
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - command), command, path,
			 at + strlen("SOCKET"));
	for (char *word = strtok(text, " "); word && n < MAX_WORDS - 1; word = strtok(NULL, " "))
		words[n++] = word;
	words[n] = NULL;
	if (n)
		execvp(words[0], words);
	die(command);
}

/* One request and its answer, up to the end of the line. */
static void trip(int fd, const char *request, size_t len)
{
	char reply[256];
	ssize_t n;

	if (write(fd, request, len) != (ssize_t)len)
		die("write");
	do {
		n = read(fd, reply, sizeof(reply));
		if (n <= 0)
			die("read");
	} while (reply[n - 1] != '\n');
}

static void round_of(struct program *p, unsigned round, const char *folder, const char *request)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", folder);
	unlink(addr.sun_path);
	if (bind(listening, (struct sockaddr *)&addr, sizeof(addr)) || listen(listening, 1))
		die(addr.sun_path);
	double start = now_s();
	pid_t child = fork();

	if (child == 0)
		become(p->command, addr.sun_path);
	alarm(LIMIT_S);
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

	if (child < 0 || fd < 0)
		die(p->name);
	trip(fd, "endianness\n", strlen("endianness\n"));
	p->start_ms[round] = (now_s() - start) * 1e3;
	start = now_s();
	for (unsigned i = 0; i < TRIPS; i++)
		trip(fd, request, strlen(request));
	p->trips[round] = TRIPS / (now_s() - start);
	close(fd);
	close(listening);
	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
	unlink(addr.sun_path);
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	static struct program programs[MAX_PROGRAMS];
	char folder[] = "/tmp/bench-qtest-XXXXXX", request[MAX_TEXT];
	unsigned num = 0;

	for (int i = 2; i + 1 < argc && num < MAX_PROGRAMS; i += 2)
		programs[num++] = (struct program){ .name = argv[i], .command = argv[i + 1] };
	if (!num) {
		fprintf(stderr, "usage: bench-qtest REQUEST NAME COMMAND [NAME COMMAND]...\n");
		return 2;
	}
	if (!mkdtemp(folder))
		die(folder);
	snprintf(request, sizeof(request), "%s\n", argv[1]);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < num; i++)
			round_of(&programs[i], round, folder, request);
	rmdir(folder);
	printf("%-20s %24s %28s\n", "", "first answer, ms", "round trips a second");
	for (unsigned i = 0; i < num; i++) {
		struct program *p = &programs[i];

		qsort(p->start_ms, ROUNDS, sizeof(double), by_size);
		qsort(p->trips, ROUNDS, sizeof(double), by_size);
		printf("%-20s %8.1f (%.1f to %.1f) %12.0f (%.0f to %.0f)\n", p->name,
		       p->start_ms[ROUNDS / 2], p->start_ms[0], p->start_ms[ROUNDS - 1],
		       p->trips[ROUNDS / 2], p->trips[0], p->trips[ROUNDS - 1]);
	}
	return 0;
}
