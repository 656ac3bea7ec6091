/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/standin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vdevtest/hostcalls_private.h"

#define TUN_DEVICE "/dev/net/tun"

enum {
	MAX_OPEN = 32,
	MAX_FDS = 4,
	MAX_FRAME = 1 << 17,
	MAX_RUNS = 64,
	TAP_MTU = 1500,
	BLOCK_IOCTLS = 0x12
};

enum kind { KIND_FILE, KIND_BLOCK, KIND_CHAR, KIND_TAP };

/* What paths stand for. */
static struct standin {
	enum kind kind;
	const char *path, *file; /* file NULL: none */
	size_t path_len;
} standins[STANDIN_MAX];
static unsigned num_standins;

/* Those that are open. */
static struct device {
	enum kind kind;
	int fds[MAX_FDS]; /* duplicates */
	unsigned num_fds;
	int peer; /* -1: a file, or it is gone */
} devices[MAX_OPEN];
static unsigned num_devices;

static bool parse(const char *text, struct standin *ret)
{
	struct standin s = { .kind = KIND_FILE, .path = text };
	const char *equals;

	if (strncmp(text, "block:", 6) == 0 || strncmp(text, "char:", 5) == 0) {
		s.kind = *text == 'b' ? KIND_BLOCK : KIND_CHAR;
		s.path = strchr(text, ':') + 1;
	}
	equals = strchr(s.path, '=');
	s.path_len = equals ? (size_t)(equals - s.path) : strlen(s.path);
	s.file = equals ? equals + 1 : NULL;
	*ret = s;
	return *s.path == '/' && (s.kind == KIND_CHAR ? !equals : equals && *s.file);
}

bool standin_is_proper(const char *text)
{
	struct standin s;

	return parse(text, &s);
}

int standin_add(const char *text)
{
	struct standin s;

	if (!parse(text, &s))
		return -EINVAL;
	if (num_standins == STANDIN_MAX)
		return -ENOSPC;
	standins[num_standins++] = s;
	return 0;
}

void standin_end(void)
{
	for (unsigned i = 0; i < num_devices; i++)
		if (devices[i].peer >= 0)
			close(devices[i].peer);
	num_devices = num_standins = 0;
}

static const struct standin *find(const char *path)
{
	static const struct standin tun = { .kind = KIND_TAP };

	for (unsigned i = 0; i < num_standins; i++)
		if (strncmp(path, standins[i].path, standins[i].path_len) == 0 &&
		    !path[standins[i].path_len])
			return &standins[i];
	return strcmp(path, TUN_DEVICE) == 0 ? &tun : NULL;
}

static struct device *device_of(int fd)
{
	for (unsigned i = 0; i < num_devices; i++)
		for (unsigned k = 0; k < devices[i].num_fds; k++)
			if (devices[i].fds[k] == fd)
				return &devices[i];
	return NULL;
}

static int device_open(const struct standin *s, int flags)
{
	int type = s->kind == KIND_TAP ? SOCK_SEQPACKET : SOCK_STREAM, fds[2] = { -1, -1 };

	if (num_devices == MAX_OPEN) {
		errno = EBUSY;
		return -1;
	}
	if (s->kind == KIND_BLOCK)
		fds[0] = open(s->file, flags & ~(O_EXCL | O_CREAT));
	else if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		return -1;
	if (fds[0] >= 0)
		devices[num_devices++] = (struct device){
			.kind = s->kind, .fds = { fds[0] }, .num_fds = 1, .peer = fds[1]
		};
	return fds[0];
}

bool standin_open(const char *path, int flags, int *ret_fd)
{
	const struct standin *s = find(path);

	if (!s)
		return false;
	*ret_fd = s->kind == KIND_FILE ? open(s->file, flags, 0600) : device_open(s, flags);
	return true;
}

const char *standin_file(const char *path)
{
	const struct standin *s = find(path);

	return s && s->file ? s->file : path;
}

bool standin_is(const char *path)
{
	return find(path);
}

static void become(enum kind kind, struct stat *st)
{
	mode_t type = kind == KIND_BLOCK ? S_IFBLK : S_IFCHR;

	if (kind != KIND_FILE)
		st->st_mode = (st->st_mode & ~(mode_t)S_IFMT) | type;
}

bool standin_stat(const char *path, struct stat *ret, int *ret_rc)
{
	const struct standin *s = find(path);

	if (!s)
		return false;
	*ret = (struct stat){ .st_mode = 0600 };
	*ret_rc = s->file ? stat(s->file, ret) : 0;
	become(s->kind, ret);
	return true;
}

void standin_fstat(int fd, struct stat *st)
{
	const struct device *d = device_of(fd);

	if (d)
		become(d->kind, st);
}

static unsigned some_size(unsigned smallest, unsigned doublings)
{
	return smallest << hostcalls_random() % doublings;
}

/* Sizes that devices have, and some that none has. */
static void block_answer(int fd, unsigned long request, void *arg)
{
	struct stat st;

	if (request == BLKGETSIZE64 && fstat(fd, &st) == 0)
		*(uint64_t *)arg = (uint64_t)st.st_size;
	else if (request == BLKSSZGET)
		*(int *)arg = (int)some_size(512, 4);
	else if (_IOC_TYPE(request) == BLOCK_IOCTLS)
		*(unsigned *)arg = some_size(hostcalls_random() % 4 ? 512 : 3, 8);
}

bool standin_ioctl(int fd, unsigned long request, void *arg)
{
	const struct device *d = device_of(fd);
	uint8_t *bytes = arg;

	/* Asked on any socket, by an interface's name. */
	if (!d && request == SIOCGIFMTU) {
		((struct ifreq *)arg)->ifr_mtu = TAP_MTU;
		return true;
	}
	if (!d)
		return false;
	if (d->kind == KIND_BLOCK)
		block_answer(fd, request, arg);
	else if (d->kind == KIND_CHAR && _IOC_DIR(request) & _IOC_READ)
		for (unsigned i = 0; i < _IOC_SIZE(request); i++)
			bytes[i] = (uint8_t)hostcalls_random();
	return true;
}

int standin_gone(int fd)
{
	const struct device *d = device_of(fd);

	if (!d || d->kind == KIND_BLOCK || d->peer >= 0)
		return 0;
	return d->kind == KIND_TAP ? EBADFD : ENODEV;
}

void standin_duplicated(int fd, int duplicate)
{
	struct device *d = device_of(fd);

	if (d && d->num_fds < MAX_FDS)
		d->fds[d->num_fds++] = duplicate;
}

static void peer_close(struct device *d)
{
	if (d->peer >= 0)
		close(d->peer);
	d->peer = -1;
}

void standin_closed(int fd)
{
	struct device *d = device_of(fd);

	if (!d)
		return;
	for (unsigned i = 0; i < d->num_fds; i++)
		if (d->fds[i] == fd)
			d->fds[i] = d->fds[--d->num_fds];
	if (d->num_fds)
		return;
	peer_close(d);
	num_devices--;
	memmove(d, d + 1, (size_t)(&devices[num_devices] - d) * sizeof(*d));
}

bool standin_run(void)
{
	static char frame[MAX_FRAME];
	bool any = false;

	for (unsigned i = 0; i < num_devices; i++) {
		const struct device *d = &devices[i];

		for (unsigned k = 0; k < MAX_RUNS && d->peer >= 0; k++) {
			ssize_t n = recv(d->peer, frame, sizeof(frame), 0);

			if (n <= 0)
				break;
			/* A full queue drops frames, as an interface does. */
			any |= d->kind == KIND_TAP &&
			       send(d->peer, frame, (size_t)n, MSG_NOSIGNAL) == n;
		}
	}
	return any;
}

/* Those with another side. */
static struct device *device_number(unsigned n)
{
	for (unsigned i = 0; i < num_devices; i++)
		if (devices[i].peer >= 0 && n-- == 0)
			return &devices[i];
	return NULL;
}

int standin_feed(unsigned n, const void *data, size_t len)
{
	const struct device *d = device_number(n);

	if (!d)
		return -ENODEV;
	return send(d->peer, data, len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int standin_remove(unsigned n)
{
	struct device *d = device_number(n);

	if (!d)
		return -ENODEV;
	peer_close(d);
	return 0;
}

unsigned standin_count(void)
{
	unsigned n = 0;

	while (device_number(n))
		n++;
	return n;
}
