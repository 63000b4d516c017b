/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "base/cgroup2.h"
#include "base/macros.h"

#define TRY_AGAIN_MS 10

static int write_file(const char *path, const char *name, char digit)
{
	_cleanup_close_ int fd = -1;
	char file[600];

	if ((size_t)snprintf(file, sizeof(file), "%s/%s", path, name) >= sizeof(file))
		return -ENAMETOOLONG;
	fd = open(file, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, &digit, 1) != 1 ? -errno : 0;
}

int cgroup2_enter(const char *path)
{
	return write_file(path, "cgroup.procs", '0');
}

int cgroup2_kill(const char *path)
{
	return write_file(path, "cgroup.kill", '1');
}

/* programs may have made cgroups of their own */
static int remove_tree(const char *path)
{
	struct dirent *entry;
	char child[1024];
	DIR *dir = opendir(path);

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
			snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
			(void)remove_tree(child);
		}
	closedir(dir);
	return rmdir(path) < 0 ? -errno : 0;
}

int cgroup2_remove(const char *path, unsigned int timeout_ms)
{
	int r = remove_tree(path);

	for (unsigned int ms = 0; r == -EBUSY && ms < timeout_ms; ms += TRY_AGAIN_MS) {
		(void)poll(NULL, 0, TRY_AGAIN_MS);
		r = remove_tree(path);
	}
	return r;
}
