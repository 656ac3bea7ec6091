/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include "hostend.h"

#define ESCAPE	  0x1d /* Ctrl-] */
#define MAX_TYPED 256  /* bytes of qvm's own terminal at once */

void hostend_init(struct hostend *he, vdev_t *vdp, qvmx_watch_func_t *input,
		  qvmx_watch_func_t *output)
{
	he->vdp = vdp;
	he->in.fd = he->out.fd = -1;
	he->input = input;
	he->output = output;
}

static bool is_own(const char *path)
{
	return strcmp(path, "-") == 0;
}

/* Can path be opened later? Opens nothing: a dry run must leave no trace. */
static int check_path(const struct hostend *he, const char *path, bool in, bool out)
{
	struct stat st;

	if (is_own(path))
		return EOK;
	if (stat(path, &st) != 0) {
		if (errno != ENOENT || in)
			return qvmx_refuse(he->vdp, "'%s' cannot be used: %s", path,
					   strerror(errno));
		return EOK; /* the file is made when it is opened */
	}
	if (S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) || S_ISSOCK(st.st_mode))
		return qvmx_refuse(he->vdp, "'%s' is no character device, terminal, pipe or file",
				   path);
	if (in && out && !S_ISCHR(st.st_mode))
		return qvmx_refuse(
			he->vdp, "'%s' has one direction: write '<%s' for input, '>%s' for output",
			path, path, path);
	if (access(path, (in ? R_OK : 0) | (out ? W_OK : 0)) != 0)
		return qvmx_refuse(he->vdp, "'%s' cannot be opened: %s", path, strerror(errno));
	return EOK;
}

static int set_path(const struct hostend *he, struct hostend_side *side, const char *path,
		    const char *what)
{
	if (side->path)
		return qvmx_refuse(he->vdp, "there is %s already, '%s'", what, side->path);
	side->path = strdup(path);
	return side->path ? EOK : ENOMEM;
}

int hostend_option(struct hostend *he, const char *text)
{
	bool in = text[0] != '>', out = text[0] != '<';
	const char *path = in && out ? text : text + 1;
	int err;

	if (*path == '|')
		return qvmx_refuse(he->vdp, "output to a command is not built yet");
	if (*path == '\0')
		return qvmx_refuse(he->vdp, "a device or file name must follow '%s'", text);
	err = check_path(he, path, in, out);
	if (err == EOK && in)
		err = set_path(he, &he->in, path, "an input");
	if (err == EOK && out)
		err = set_path(he, &he->out, path, "an output");
	return err;
}

int hostend_default(struct hostend *he)
{
	if (he->in.path || he->out.path)
		return EOK;
	he->in.path = strdup("-");
	he->out.path = strdup("-");
	return he->in.path && he->out.path ? EOK : ENOMEM;
}

/*
 * qvm's standard input or output. Its open file is shared with whoever started qvm, so a terminal
 * or a pipe is opened anew: O_NONBLOCK must not stay behind when qvm is killed.
 */
static int open_own(struct hostend_side *side, bool in)
{
	int from = in ? STDIN_FILENO : STDOUT_FILENO;
	char path[32];
	struct stat st;
	int flags;

	if (fstat(from, &st) != 0)
		return errno;
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", from);
		side->fd =
			open(path, (in ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (side->fd >= 0)
			return EOK;
	}
	side->fd = fcntl(from, F_DUPFD_CLOEXEC, 3);
	if (side->fd < 0)
		return errno;
	flags = fcntl(side->fd, F_GETFL);
	if (!S_ISREG(st.st_mode) && flags >= 0 && !(flags & O_NONBLOCK))
		side->restore_block = fcntl(side->fd, F_SETFL, flags | O_NONBLOCK) == 0;
	return EOK;
}

static int open_path(struct hostend_side *side, bool in, bool both)
{
	int flags = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat st;

	if (stat(side->path, &st) == 0 && S_ISFIFO(st.st_mode))
		flags |= O_RDWR; /* neither waits for the other end nor ends when it goes */
	else if (both)
		flags |= O_RDWR;
	else
		flags |= in ? O_RDONLY : O_WRONLY | O_CREAT | O_APPEND;
	side->fd = open(side->path, flags, 0666);
	return side->fd < 0 ? errno : EOK;
}

/*
 * Nothing is to be translated or echoed on the way. qvm's own terminal keeps its output processing,
 * for the sake of qvm's messages on it, and is left alone when another job is in its foreground.
 */
static bool make_raw(struct hostend_side *side)
{
	struct termios mode;
	bool own = is_own(side->path);

	if (tcgetattr(side->fd, &side->saved) != 0)
		return false;
	if (own && tcgetpgrp(side->fd) != getpgrp())
		return false;
	mode = side->saved;
	cfmakeraw(&mode);
	if (own)
		mode.c_oflag = side->saved.c_oflag;
	side->restore_mode = tcsetattr(side->fd, TCSANOW, &mode) == 0;
	return side->restore_mode;
}

static void close_side(struct hostend_side *side)
{
	int flags;

	if (side->fd < 0)
		return;
	if (side->restore_mode)
		tcsetattr(side->fd, TCSANOW, &side->saved);
	flags = side->restore_block ? fcntl(side->fd, F_GETFL) : -1;
	if (flags >= 0)
		fcntl(side->fd, F_SETFL, flags & ~O_NONBLOCK);
	close(side->fd);
	side->fd = -1;
	side->restore_mode = side->restore_block = false;
}

/* Open both directions. On failure *ret_path is the one that failed and neither is open. */
static int open_both(struct hostend *he, const char **ret_path)
{
	struct hostend_side *in = &he->in, *out = &he->out;
	bool both = in->path && out->path && strcmp(in->path, out->path) == 0;
	int err = EOK;

	if (in->path) {
		*ret_path = in->path;
		err = is_own(in->path) ? open_own(in, true) : open_path(in, true, both);
	}
	if (err == EOK && out->path) {
		*ret_path = out->path;
		if (is_own(out->path))
			err = open_own(out, false);
		else if (!both)
			err = open_path(out, false, false);
		else if ((out->fd = fcntl(in->fd, F_DUPFD_CLOEXEC, 3)) < 0)
			err = errno;
	}
	if (err != EOK) {
		close_side(in);
		close_side(out);
		return err;
	}
	if (in->path)
		he->escapes = make_raw(in) && is_own(in->path);
	if (out->path && !both && !is_own(out->path))
		make_raw(out);
	if (he->escapes)
		vdev_logf(QL_QVM_INFO, he->vdp,
			  "the terminal is the guest's; Ctrl-] q ends the VM");
	he->opened = true;
	return EOK;
}

int hostend_start(struct hostend *he)
{
	const char *path;
	int err;

	if (he->delayed)
		return EOK;
	err = open_both(he, &path);
	if (err != EOK) {
		qvmx_refuse(he->vdp, "'%s' cannot be opened: %s", path, strerror(err));
		return err;
	}
	return EOK;
}

void hostend_use(struct hostend *he)
{
	const char *path;
	int err;

	if (he->opened)
		return;
	err = open_both(he, &path);
	if (err != EOK)
		vdev_logf(QL_QVM_ERR, he->vdp, "'%s' cannot be opened: %s", path, strerror(err));
	else if (he->in_wanted)
		hostend_want_input(he, true);
}

static void end_input(struct hostend *he)
{
	he->in_ended = true;
	if (he->in.watch)
		qvmx_watch_remove(he->in.watch);
	he->in.watch = NULL;
}

void hostend_want_input(struct hostend *he, bool wanted)
{
	int err;

	he->in_wanted = wanted;
	if (he->in.fd < 0 || he->in_ended)
		return;
	if (he->in.watch) {
		qvmx_watch_set(he->in.watch, wanted ? EPOLLIN : 0);
		return;
	}
	if (!wanted)
		return;
	err = qvmx_watch_add(he->vdp, he->in.fd, EPOLLIN, he->input, NULL, &he->in.watch);
	if (err == EPERM) /* a file: always ready */
		err = qvmx_loop_call(he->vdp, he->input, NULL);
	if (err != EOK)
		vdev_logf(QL_QVM_ERR, he->vdp, "no input: %s", strerror(err));
}

/* Take the escapes out of buf. Returns what is left for the guest. */
static size_t take_escapes(struct hostend *he, uint8_t *buf, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len; i++) {
		if (he->escaped) {
			he->escaped = false;
			if (buf[i] == 'q')
				guest_terminate(GTC_POWER_CUT);
			else if (buf[i] == ESCAPE)
				buf[kept++] = ESCAPE;
		} else if (buf[i] == ESCAPE) {
			he->escaped = true;
		} else {
			buf[kept++] = buf[i];
		}
	}
	return kept;
}

size_t hostend_read(struct hostend *he, void *buf, size_t len)
{
	uint8_t typed[MAX_TYPED];
	void *to = buf;
	size_t kept;
	ssize_t n;

	if (he->in.fd < 0 || he->in_ended || len == 0)
		return 0;
	if (he->escapes) { /* not where a guest could write them itself */
		to = typed;
		len = len < sizeof(typed) ? len : sizeof(typed);
	}
	do
		n = read(he->in.fd, to, len);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0) { /* the end, or the other side of a terminal is gone */
		if (n < 0)
			vdev_logf(QL_QVM_WARN, he->vdp, "input from '%s' ends: %s", he->in.path,
				  strerror(errno));
		end_input(he);
		return 0;
	}
	if (!he->escapes)
		return (size_t)n;
	kept = take_escapes(he, typed, (size_t)n);
	memcpy(buf, typed, kept);
	return kept;
}

static void output_ready(vdev_t *vdp, void *data, uint32_t events)
{
	struct hostend *he = data;

	qvmx_watch_remove(he->out.watch);
	he->out.watch = NULL;
	he->output(vdp, NULL, events);
}

static ssize_t total(const struct iovec *iov, unsigned n)
{
	ssize_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += (ssize_t)iov[i].iov_len;
	return len;
}

ssize_t hostend_writev(struct hostend *he, const struct iovec *iov, unsigned n)
{
	ssize_t done;

	if (he->delayed && !he->ending)
		hostend_use(he);
	if (he->out.fd < 0)
		return total(iov, n);
	do
		done = writev(he->out.fd, iov, n > IOV_MAX ? IOV_MAX : (int)n);
	while (done < 0 && errno == EINTR);
	if (done >= 0) {
		he->out.failing = false;
		return done;
	}
	if (errno == EAGAIN) {
		if (he->ending || he->out.watch ||
		    qvmx_watch_add(he->vdp, he->out.fd, EPOLLOUT, output_ready, he,
				   &he->out.watch) == EOK)
			return -EAGAIN;
		errno = ENOMEM;
	}
	if (!he->out.failing)
		vdev_logf(QL_QVM_ERR, he->vdp, "output to '%s' is lost: %s", he->out.path,
			  strerror(errno));
	he->out.failing = true;
	return total(iov, n);
}

bool hostend_poll_output(struct hostend *he, int timeout_ms)
{
	struct pollfd pfd = { .fd = he->out.fd, .events = POLLOUT };

	he->ending = true;
	return he->out.fd < 0 || poll(&pfd, 1, timeout_ms) == 1;
}

bool hostend_is_own_terminal(const struct hostend *he)
{
	return he->out.path && is_own(he->out.path) && isatty(STDOUT_FILENO);
}

bool hostend_size(const struct hostend *he, uint16_t *ret_cols, uint16_t *ret_rows)
{
	struct winsize size;

	if (he->out.fd < 0 || ioctl(he->out.fd, TIOCGWINSZ, &size) != 0)
		return false;
	*ret_cols = size.ws_col;
	*ret_rows = size.ws_row;
	return true;
}

void hostend_end(struct hostend *he)
{
	close_side(&he->out);
	close_side(&he->in);
	free(he->in.path);
	free(he->out.path);
	he->in.path = he->out.path = NULL;
}
