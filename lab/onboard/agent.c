// SPDX-License-Identifier: Apache-2.0
/*
 * The board's agent: runs commands for the machine around the board, one connection a command.
 *
 * Both directions carry frames: a type byte, a length (32 bits, big endian), that many bytes.
 *   to the agent:   W "ROWS COLS"   window size, before P or at any time after it
 *                   S script        run by bash, output on pipes
 *                   P script        run by bash, on a terminal of its own
 *                   I bytes         standard input; no bytes = end of input
 *                   T sec nsec seed set the clock (32 + 32 bits), feed the random pool (the rest)
 *   from the agent: O bytes, E bytes (standard output, error), X "STATUS" (the last frame)
 * A connection that closes early kills what it ran. Each connection has a process of its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 10, FRAME_MAX = 1 << 20, CHUNK = 1 << 16, SEED_MAX = 256 };

static struct command {
	int sock;
	pid_t pid;
	int exited; /* pidfd */
	int in, out, err;
	size_t pending, written; /* bytes of frame[] on their way to `in` */
	struct winsize size;
	char frame[FRAME_MAX + 1];
} cmd = { .in = -1, .out = -1, .err = -1 };

static _Noreturn void end(int status)
{
	if (cmd.pid > 0)
		kill(-cmd.pid, SIGKILL);
	_exit(status);
}

/* A client that has gone takes its command with it. */
static void transfer(ssize_t (*op)(int, void *, size_t), void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = op(cmd.sock, (char *)buf + done, len - done);

		if (n == 0 || (n < 0 && errno != EINTR))
			end(1);
		if (n > 0)
			done += (size_t)n;
	}
}

static ssize_t write_op(int fd, void *buf, size_t len)
{
	return write(fd, buf, len);
}

static void send_frame(char type, void *data, size_t len)
{
	unsigned char head[5] = { (unsigned char)type, (unsigned char)(len >> 24),
				  (unsigned char)(len >> 16), (unsigned char)(len >> 8),
				  (unsigned char)len };

	transfer(write_op, head, sizeof(head));
	transfer(write_op, data, len);
}

static char receive_frame(size_t *ret_len)
{
	unsigned char head[5];
	size_t len;

	transfer(read, head, sizeof(head));
	len = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
	if (len > FRAME_MAX)
		end(1);
	transfer(read, cmd.frame, len);
	cmd.frame[len] = '\0';
	*ret_len = len;
	return (char)head[0];
}

static void send_status(int status)
{
	char text[16];

	send_frame('X', text, (size_t)snprintf(text, sizeof(text), "%d", status));
}

/* A resumed board believes it is the moment of its saving, and so would its random numbers. */
static int wake(size_t len)
{
	struct {
		struct rand_pool_info info;
		char seed[SEED_MAX];
	} pool;
	uint32_t when[2];
	struct timespec now;
	size_t seed;
	int fd, rc;

	if (len < sizeof(when) || len > sizeof(when) + SEED_MAX)
		return 1;
	memcpy(when, cmd.frame, sizeof(when));
	seed = len - sizeof(when);
	now.tv_sec = ntohl(when[0]);
	now.tv_nsec = ntohl(when[1]);
	pool.info.entropy_count = (int)seed * 8;
	pool.info.buf_size = (int)seed;
	memcpy(pool.info.buf, cmd.frame + sizeof(when), seed);
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 1;
	rc = clock_settime(CLOCK_REALTIME, &now) || ioctl(fd, RNDADDENTROPY, &pool) ||
	     ioctl(fd, RNDRESEEDCRNG);
	close(fd);
	return rc;
}

static void resize(void)
{
	unsigned short rows, cols;

	if (sscanf(cmd.frame, "%hu %hu", &rows, &cols) != 2)
		return;
	cmd.size.ws_row = rows;
	cmd.size.ws_col = cols;
	if (cmd.in >= 0)
		ioctl(cmd.in, TIOCSWINSZ, &cmd.size);
}

static _Noreturn void exec_script(void)
{
	signal(SIGPIPE, SIG_DFL);
	execl("/bin/bash", "bash", "-c", cmd.frame, (char *)NULL);
	_exit(127);
}

static void start_on_terminal(void)
{
	cmd.pid = forkpty(&cmd.in, NULL, NULL, &cmd.size);
	if (cmd.pid < 0)
		end(1);
	if (cmd.pid == 0)
		exec_script();
	cmd.out = fcntl(cmd.in, F_DUPFD_CLOEXEC, 0);
}

static void start_on_pipes(void)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		end(1);
	cmd.pid = fork();
	if (cmd.pid < 0)
		end(1);
	if (cmd.pid == 0) {
		setsid();
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		exec_script();
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	cmd.in = in[1];
	cmd.out = out[0];
	cmd.err = err[0];
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Returns whether there may be more to read. */
static int forward(char type, int *fd)
{
	char buf[CHUNK];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n > 0) {
		send_frame(type, buf, (size_t)n);
		return 1;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(fd);
	return 0;
}

static void feed_input(void)
{
	ssize_t n = write(cmd.in, cmd.frame + cmd.written, cmd.pending - cmd.written);

	if (n > 0)
		cmd.written += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		cmd.written = cmd.pending; /* nobody reads it any more */
	if (cmd.written == cmd.pending)
		cmd.pending = 0;
}

static void take_frame(void)
{
	size_t len;
	char type = receive_frame(&len);

	if (type == 'W')
		resize();
	if (type != 'I' || cmd.in < 0)
		return;
	cmd.written = 0;
	cmd.pending = len;
	if (len == 0)
		close_fd(&cmd.in);
}

static void serve_command(void)
{
	int status;

	cmd.exited = (int)syscall(SYS_pidfd_open, cmd.pid, 0);
	fcntl(cmd.in, F_SETFL, O_NONBLOCK);
	fcntl(cmd.out, F_SETFL, O_NONBLOCK);
	fcntl(cmd.err, F_SETFL, O_NONBLOCK);
	for (;;) {
		/* Input that is still on its way holds back the next frame, never the output. */
		struct pollfd fds[] = {
			{ .fd = cmd.pending ? -1 : cmd.sock, .events = POLLIN },
			{ .fd = cmd.pending ? cmd.in : -1, .events = POLLOUT },
			{ .fd = cmd.out, .events = POLLIN },
			{ .fd = cmd.err, .events = POLLIN },
			{ .fd = cmd.exited, .events = POLLIN },
		};

		if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0)
			continue;
		if (fds[0].revents)
			take_frame();
		else if (fds[1].revents)
			feed_input();
		if (fds[2].revents)
			forward('O', &cmd.out);
		if (fds[3].revents)
			forward('E', &cmd.err);
		if (fds[4].revents)
			break;
	}
	while (cmd.out >= 0 && forward('O', &cmd.out))
		;
	while (cmd.err >= 0 && forward('E', &cmd.err))
		;
	waitpid(cmd.pid, &status, 0);
	cmd.pid = 0;
	send_status(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void serve(void)
{
	for (;;) {
		size_t len;

		switch (receive_frame(&len)) {
		case 'W':
			resize();
			break;
		case 'T':
			send_status(wake(len));
			return;
		case 'S':
			start_on_pipes();
			serve_command();
			return;
		case 'P':
			start_on_terminal();
			serve_command();
			return;
		default:
			return;
		}
	}
}

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	signal(SIGPIPE, SIG_IGN);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 64)) {
		perror("agent: listen");
		return 1;
	}
	puts("BULKHEAD-BOARD-READY");
	fflush(stdout);
	for (;;) {
		cmd.sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (cmd.sock < 0)
			continue;
		setsockopt(cmd.sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (fork() == 0) {
			serve();
			end(0);
		}
		close(cmd.sock);
	}
}
