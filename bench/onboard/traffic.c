/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loads of the comparison: in the guest against its devices, outside as the other end.
 *
 *	traffic disk PATH read|write BYTES DEPTH LIMIT
 *		at random places, O_DIRECT; LIMIT requests, or 3s: seconds
 *	traffic disk PATH read|write BYTES DEPTH LIMIT SEED
 *		each block once; `read` fails where it finds something else than `write` wrote
 *	traffic stream PATH BYTES SECONDS
 *		sequential reads, O_DIRECT, four under way
 *	traffic ping ADDRESS COUNT
 *		one byte there and back by TCP
 *	traffic send|receive ADDRESS SECONDS
 *		by TCP, to the last byte acknowledged
 *	traffic console PATH SECONDS
 *		to a terminal, to the last byte drained
 *	traffic serve ADDRESS
 *		the other end of ping, send and receive
 *
 * ADDRESS is an IPv4 address, with :PORT or without. A load prints `count=N bytes=N us=N`.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DEPTH = 64, PORT = 5001, CHUNK = 128 * 1024, SECOND = 1000000, PRIME = 7919 };

static void die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * SECOND + ts.tv_nsec / 1000;
}

static void report(int64_t count, int64_t bytes, int64_t start)
{
	printf("count=%lld bytes=%lld us=%lld\n", (long long)count, (long long)bytes,
	       (long long)(now_us() - start));
}

struct disk {
	aio_context_t context;
	int fd;
	bool write, random;
	size_t bytes;
	uint64_t blocks, next, seed; /* 0: no block's content matters */
	struct iocb iocbs[MAX_DEPTH];
};

static uint64_t random_block(void)
{
	static uint64_t x = 88172645463325252;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

/* What a word of the disk holds: no other word the same, and another one with each seed. */
static uint64_t content(const struct disk *d, int64_t offset, size_t at)
{
	return (d->seed << 40 ^ ((uint64_t)offset + at)) * 0x9e3779b97f4a7c15;
}

static void fill(const struct disk *d, const struct iocb *io)
{
	for (size_t at = 0; at < d->bytes; at += sizeof(uint64_t))
		*(uint64_t *)(io->aio_buf + at) = content(d, io->aio_offset, at);
}

static void check(const struct disk *d, const struct iocb *io)
{
	for (size_t at = 0; at < d->bytes; at += sizeof(uint64_t))
		if (*(uint64_t *)(io->aio_buf + at) != content(d, io->aio_offset, at)) {
			fprintf(stderr, "traffic: not what was written at %lld\n",
				(long long)io->aio_offset + (long long)at);
			exit(1);
		}
}

static void disk_submit(struct disk *d, struct iocb *io)
{
	uint64_t next = d->random ? random_block() : d->next++;

	/* With a seed not one after the other, and yet each once. */
	io->aio_offset = (int64_t)(next * (d->seed ? PRIME : 1) % d->blocks * d->bytes);
	if (d->seed && d->write)
		fill(d, io);
	if (syscall(SYS_io_submit, d->context, 1L, &io) != 1)
		die("io_submit");
}

/* LIMIT requests, or until `end`. */
static int64_t disk_run(struct disk *d, unsigned depth, int64_t limit, int64_t end)
{
	struct io_event events[MAX_DEPTH];
	int64_t submitted = 0, done = 0;

	for (unsigned i = 0; i < depth; i++) {
		void *buffer = aligned_alloc(4096, d->bytes);

		memset(buffer, 0x5a, d->bytes);
		d->iocbs[i] = (struct iocb){
			.aio_fildes = (uint32_t)d->fd,
			.aio_lio_opcode = d->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
			.aio_buf = (uintptr_t)buffer,
			.aio_nbytes = d->bytes,
			.aio_data = i,
		};
		disk_submit(d, &d->iocbs[i]);
		submitted++;
	}
	while (done < submitted) {
		long n = syscall(SYS_io_getevents, d->context, 1L, (long)depth, events, NULL);
		bool more = now_us() < end;

		for (long i = 0; i < n; i++) {
			if (events[i].res != (int64_t)d->bytes)
				die("a request");
			if (d->seed && !d->write)
				check(d, &d->iocbs[events[i].data]);
			done++;
			if (!more || submitted >= limit)
				continue;
			disk_submit(d, &d->iocbs[events[i].data]);
			submitted++;
		}
	}
	return done;
}

static void disk(const char *path, bool write, bool random, size_t bytes, unsigned depth,
		 const char *limit, const char *seed)
{
	bool seconds = strchr(limit, 's');
	int64_t start, done, number = atoll(limit);
	struct disk d = { .write = write, .random = random, .bytes = bytes };

	d.seed = seed ? (uint64_t)atoll(seed) : 0;
	d.fd = open(path, (write ? O_RDWR : O_RDONLY) | O_DIRECT);
	if (d.fd < 0 || !depth || depth > MAX_DEPTH ||
	    syscall(SYS_io_setup, (long)depth, &d.context))
		die(path);
	d.blocks = (uint64_t)lseek(d.fd, 0, SEEK_END) / bytes;
	start = now_us();
	done = disk_run(&d, depth, seconds ? INT64_MAX : number,
			seconds ? start + number * SECOND : INT64_MAX);
	report(done, done * (int64_t)bytes, start);
}

/* What goes over a new connection first: which of the loads, and for how long. */
struct request {
	uint32_t seconds;
	char what, pad[3];
};

static struct sockaddr_in parse(const char *address)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	char number[INET_ADDRSTRLEN] = "";
	uint16_t port = PORT;

	sscanf(address, "%15[0-9.]:%hu", number, &port);
	if (inet_pton(AF_INET, number, &at.sin_addr) != 1) {
		fprintf(stderr, "traffic: '%s' is not ADDRESS or ADDRESS:PORT\n", address);
		exit(2);
	}
	at.sin_port = htons(port);
	return at;
}

static int reach(const char *address, char what, uint32_t seconds)
{
	struct sockaddr_in to = parse(address);
	struct request ask = { htonl(seconds), what, { 0 } };
	int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(s, (struct sockaddr *)&to, sizeof(to)))
		die(address);
	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (write(s, &ask, sizeof(ask)) != sizeof(ask))
		die("the other end");
	return s;
}

static void ping(const char *address, int64_t count)
{
	int s = reach(address, 'p', 0);
	int64_t start = 0;
	char c = 'x';

	/* The first is not counted: it may ask for the neighbour's address. */
	for (int64_t i = -1; i < count; i++) {
		if (i == 0)
			start = now_us();
		if (write(s, &c, 1) != 1 || read(s, &c, 1) != 1)
			die("ping");
	}
	report(count, count, start);
}

/* Send for so long, then wait until the other end has had it all. Returns the bytes. */
static int64_t pour(int s, uint32_t seconds)
{
	static char chunk[CHUNK];
	int64_t end = now_us() + (int64_t)seconds * SECOND, sent = 0;

	while (now_us() < end) {
		ssize_t n = write(s, chunk, sizeof(chunk));

		if (n <= 0)
			die("send");
		sent += n;
	}
	shutdown(s, SHUT_WR);
	(void)!read(s, chunk, 1);
	return sent;
}

/* Receive to the end. Returns the bytes. */
static int64_t drink(int s)
{
	static char chunk[CHUNK];
	int64_t received = 0;
	ssize_t n;

	while ((n = read(s, chunk, sizeof(chunk))) > 0)
		received += n;
	(void)!write(s, "x", 1);
	return received;
}

static void transfer(const char *address, char what, uint32_t seconds)
{
	int s = reach(address, what, seconds);
	int64_t start = now_us();
	int64_t bytes = what == 's' ? pour(s, seconds) : drink(s);

	report(bytes, bytes, start);
}

static void serve_one(int s)
{
	struct request ask;
	int one = 1;
	char c;

	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (recv(s, &ask, sizeof(ask), MSG_WAITALL) != sizeof(ask))
		exit(1);
	if (ask.what == 's')
		drink(s);
	else if (ask.what == 'r')
		pour(s, ntohl(ask.seconds));
	else
		while (read(s, &c, 1) == 1)
			(void)!write(s, &c, 1);
	exit(0);
}

static void serve(const char *address)
{
	struct sockaddr_in at = parse(address);
	int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);

	signal(SIGCHLD, SIG_IGN);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s, (struct sockaddr *)&at, sizeof(at)) || listen(s, 8))
		die("listen");
	for (;;) {
		int c = accept(s, NULL, NULL);

		if (c >= 0 && fork() == 0)
			serve_one(c);
		close(c);
	}
}

static void console(const char *path, uint32_t seconds)
{
	static char chunk[4096];
	int fd = open(path, O_WRONLY | O_NOCTTY);
	int64_t start = now_us(), end = start + (int64_t)seconds * SECOND, sent = 0;
	struct termios raw;

	if (fd < 0 || tcgetattr(fd, &raw))
		die(path);
	cfmakeraw(&raw);
	tcsetattr(fd, TCSANOW, &raw);
	memset(chunk, 'x', sizeof(chunk));
	while (now_us() < end) {
		ssize_t n = write(fd, chunk, sizeof(chunk));

		if (n <= 0)
			die(path);
		sent += n;
	}
	tcdrain(fd);
	report(sent, sent, start);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "disk") == 0 && (argc == 7 || argc == 8))
		disk(argv[2], argv[3][0] == 'w', argc == 7, (size_t)atol(argv[4]),
		     (unsigned)atoi(argv[5]), argv[6], argv[7]);
	else if (strcmp(what, "stream") == 0 && argc == 5)
		disk(argv[2], false, false, (size_t)atol(argv[3]), 4, argv[4], NULL);
	else if (strcmp(what, "ping") == 0 && argc == 4)
		ping(argv[2], atoll(argv[3]));
	else if ((strcmp(what, "send") == 0 || strcmp(what, "receive") == 0) && argc == 4)
		transfer(argv[2], what[0], (uint32_t)atoi(argv[3]));
	else if (strcmp(what, "console") == 0 && argc == 4)
		console(argv[2], (uint32_t)atoi(argv[3]));
	else if (strcmp(what, "serve") == 0 && argc == 3)
		serve(argv[2]);
	else
		return 2;
	return 0;
}
