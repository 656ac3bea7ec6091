/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/tasks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool tasks_others(void)
{
	struct stat task;

	/* A folder for each thread, and the two that every folder has. */
	if (stat("/proc/self/task", &task) == 0 && task.st_nlink <= 3)
		return false;

	DIR *dir = opendir("/proc/self/task");
	const struct dirent *e;
	unsigned num = 0;

	while (dir && (e = readdir(dir))) {
		char path[64], name[16] = "";

		snprintf(path, sizeof(path), "%.20s/comm", e->d_name);
		int fd = e->d_name[0] == '.' ? -1 : openat(dirfd(dir), path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (read(fd, name, sizeof(name) - 1) > 0 && strncmp(name, "iou-", 4) != 0)
			num++;
		close(fd);
	}
	if (dir)
		closedir(dir);
	return num != 1;
}
