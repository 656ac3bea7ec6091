/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_TRIES = 100 };

struct rundir {
	char path[PATH_MAX];
	char lock[PATH_MAX];
	int fd;
};

/* A VM that ends removes the file that it had locked: what was locked must still be what the path
 * names. */
static int lock_take(const char *path)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat named, locked;

	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return -errno;
		if (fcntl(fd, F_OFD_SETLK, &whole)) {
			int rc = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;

			close(fd);
			return rc;
		}
		if (fstat(fd, &locked) == 0 && stat(path, &named) == 0 &&
		    locked.st_ino == named.st_ino)
			return fd;
		close(fd);
	}
}

int rundir_claim(const char *system, struct rundir **ret_dir, const char **ret_path)
{
	static char path[PATH_MAX];
	const char *root = getenv("QVM_RUN_DIR");
	struct rundir *dir = calloc(1, sizeof(*dir));
	int rc;

	if (!dir)
		return -ENOMEM;
	*ret_path = path;
	snprintf(path, sizeof(path), "%s/qvm", root && *root ? root : "/run");
	if (mkdir(path, 0755) && errno != EEXIST) {
		rc = -errno;
		goto fail;
	}
	int n = snprintf(dir->path, sizeof(dir->path), "%s/%s", path, system);

	if (strchr(system, '/') || system[0] == '.' || n < 0 ||
	    (size_t)n >= sizeof(dir->path) - sizeof("/lock")) {
		rc = -EINVAL;
		goto fail;
	}
	memcpy(path, dir->path, (size_t)n + 1);
	memcpy(dir->lock, dir->path, (size_t)n);
	strcpy(dir->lock + n, "/lock");
	/* A VM of that name that just ends may remove the folder between the two steps; no folder
	 * at all is a link to nowhere. */
	for (unsigned i = 0; i < MAX_TRIES; i++) {
		rc = mkdir(dir->path, 0755) && errno != EEXIST ? -errno : 0;
		if (!rc)
			rc = lock_take(dir->lock);
		if (rc != -ENOENT)
			break;
	}
	if (rc < 0)
		goto fail;
	dir->fd = rc;
	*ret_dir = dir;
	return 0;
fail:
	free(dir);
	return rc;
}

int rundir_give(const struct rundir *dir, uid_t uid, gid_t gid)
{
	if (fchown(dir->fd, uid, gid) || chown(dir->path, uid, gid))
		return -errno;
	return 0;
}

void rundir_release(struct rundir *dir)
{
	if (!dir)
		return;
	unlink(dir->lock);
	rmdir(dir->path);
	close(dir->fd);
	free(dir);
}
