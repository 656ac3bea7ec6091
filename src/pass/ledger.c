/* SPDX-License-Identifier: Apache-2.0 */
#include "pass/ledger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const space_names[] = { "mem", "io", "pci", "intr" };

struct ledger {
	char path[sizeof(LEDGER_FOLDER) + 32];
	int fd;
};

/* One at a time looks at the files and adds one. -errno. */
static int folder_lock(void)
{
	if (mkdir(LEDGER_FOLDER, 0755) && errno != EEXIST)
		return -errno;
	int fd = open(LEDGER_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX)) {
		if (errno != EINTR) {
			int rc = -errno;

			close(fd);
			return rc;
		}
	}
	return fd;
}

static bool item_parse(const char *line, struct ledger_item *ret)
{
	char space[8], shared[8];
	int at = 0;

	*ret = (struct ledger_item){ 0 };
	if (sscanf(line, "%7s %" SCNx64 " %" SCNx64 " %7s %n", space, &ret->start, &ret->len,
		   shared, &at) != 4 ||
	    !at)
		return false;
	while (ret->space < LEDGER_NUM_SPACES && strcmp(space, space_names[ret->space]) != 0)
		ret->space++;
	ret->shared = !strcmp(shared, "shared");
	snprintf(ret->owner, sizeof(ret->owner), "%.*s", (int)strcspn(line + at, "\n"), line + at);
	return ret->space < LEDGER_NUM_SPACES && ret->len;
}

static bool clash(const struct ledger_item *a, const struct ledger_item *b)
{
	return a->space == b->space && range_overlaps(a->start, a->len, b->start, b->len) &&
	       !(a->shared && b->shared);
}

/* Which of the items another one in this file of a living owner overlaps; num: none. */
static unsigned file_search(FILE *file, const struct ledger_item *items, unsigned num,
			    struct ledger_item *ret_other)
{
	char line[LEDGER_OWNER_LEN + 64];

	while (fgets(line, sizeof(line), file)) {
		if (!item_parse(line, ret_other))
			continue;
		for (unsigned i = 0; i < num; i++)
			if (clash(&items[i], ret_other))
				return i;
	}
	return num;
}

/* In all files, with the folder locked; files of the dead are removed. */
static int folder_search(const struct ledger_item *items, unsigned num, unsigned *ret_found,
			 struct ledger_item *ret_other)
{
	DIR *dir = opendir(LEDGER_FOLDER);
	struct dirent *entry;
	int rc = dir ? 0 : -errno;

	*ret_found = num;
	while (!rc && *ret_found == num && (entry = readdir(dir))) {
		int fd = entry->d_name[0] == '.' ? -1
						 : openat(dirfd(dir), entry->d_name,
							  O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (fd < 0 && entry->d_name[0] != '.' && errno != ENOENT)
			rc = -errno; /* what is in it may be wanted */
		if (fd < 0)
			continue;
		if (!flock(fd, LOCK_EX | LOCK_NB)) {
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
			close(fd);
			continue;
		}
		FILE *file = fdopen(fd, "r");

		if (!file) {
			rc = -errno;
			close(fd);
			continue;
		}
		*ret_found = file_search(file, items, num, ret_other);
		fclose(file);
	}
	if (dir)
		closedir(dir);
	return rc;
}

static int file_make(const struct ledger_item *items, unsigned num, struct ledger *ledger)
{
	/* A name that nobody has: process numbers are not the host's where there are several
	 * namespaces of them. */
	strcpy(ledger->path, LEDGER_FOLDER "/XXXXXX");
	ledger->fd = mkostemp(ledger->path, O_CLOEXEC);
	if (ledger->fd < 0)
		return -errno;
	int rc = fchmod(ledger->fd, 0644) || flock(ledger->fd, LOCK_EX | LOCK_NB) ? -errno : 0;

	for (unsigned i = 0; i < num && !rc; i++)
		if (dprintf(ledger->fd, "%s %" PRIx64 " %" PRIx64 " %s %s\n",
			    space_names[items[i].space], items[i].start, items[i].len,
			    items[i].shared ? "shared" : "alone", items[i].owner) < 0)
			rc = -errno;
	if (rc) {
		(void)unlink(ledger->path);
		close(ledger->fd);
	}
	return rc;
}

int ledger_take(const struct ledger_item *items, unsigned num, struct ledger **ret_ledger,
		unsigned *ret_item, struct ledger_item *ret_other)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));
	int folder = folder_lock(), rc;

	if (!ledger || folder < 0) {
		rc = ledger ? folder : -ENOMEM;
		if (folder >= 0)
			close(folder);
		free(ledger);
		return rc;
	}
	rc = folder_search(items, num, ret_item, ret_other);
	if (!rc)
		rc = *ret_item < num ? -EBUSY : file_make(items, num, ledger);
	close(folder);
	if (rc) {
		free(ledger);
		return rc;
	}
	*ret_ledger = ledger;
	return 0;
}

void ledger_release(struct ledger *ledger)
{
	if (!ledger)
		return;
	(void)unlink(ledger->path);
	close(ledger->fd);
	free(ledger);
}

bool ledger_find(const struct ledger_item *wanted, struct ledger_item *ret_other)
{
	int folder = folder_lock();

	if (folder < 0)
		return false;
	unsigned found;
	int rc = folder_search(wanted, 1, &found, ret_other);

	close(folder);
	return !rc && found == 0;
}

bool ledger_pci(const char *bdf, uint64_t *ret_start)
{
	unsigned domain, bus, dev, func;

	if (sscanf(bdf, "%x:%x:%x.%x", &domain, &bus, &dev, &func) != 4 || bus > 0xff ||
	    dev > 0x1f || func > 7)
		return false;
	*ret_start = (uint64_t)domain << 16 | bus << 8 | dev << 3 | func;
	return true;
}
