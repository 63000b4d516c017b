/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "cli/cli.h"
#include "cli/run.h"

static void cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

/* mountinfo: … mount-point … - fstype …; cgroup v2 may be anywhere (hybrid: unified/) */
int run_cgroup_root(char *path, size_t n)
{
	_cleanup_(cleanup_fclose) FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], mount_point[512];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (!strstr(line, " - cgroup2 "))
			continue;
		if (sscanf(line, "%*s %*s %*s %*s %511s", mount_point) == 1) {
			snprintf(path, n, "%s", mount_point);
			return 0;
		}
	}
	return -ENOENT;
}

static int own_cgroup(char *path, size_t n)
{
	_cleanup_(cleanup_fclose) FILE *file = fopen("/proc/self/cgroup", "re");
	char line[4096];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "0::/", 4))
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, n, "%s", strcmp(line + 3, "/") ? line + 3 : "");
		return 0;
	}
	return -ENOENT;
}

int run_cgroup_own(char *path, size_t n)
{
	char root[512], own[512];
	int r = run_cgroup_root(root, sizeof(root));

	if (!r)
		r = own_cgroup(own, sizeof(own));
	if (!r)
		snprintf(path, n, "%s%s", root, own);
	return r;
}

int run_cgroup_name(const char *id, char *path, size_t n)
{
	char mount_point[512], own[512];
	int r = run_cgroup_root(mount_point, sizeof(mount_point));

	if (!r)
		r = own_cgroup(own, sizeof(own));
	if (r != 0 && r != -ENOENT)
		return cli_error(-1, "cannot look for cgroups: %s", strerror(-r));
	if (r == -ENOENT) {
		fprintf(stderr, "sluice: no cgroup v2 hierarchy is mounted: "
				"mount one with `mount -t cgroup2 none /sys/fs/cgroup`\n");
		return -1;
	}
	if (strstr(own, "/sluice-")) {
		fprintf(stderr,
			"sluice: this program is governed by another instance already (cgroup %s): "
			"nested instances are not supported; run it outside\n",
			own);
		return -1;
	}
	if ((size_t)snprintf(path, n, "%s%s/sluice-%s", mount_point, own, id) >= n) {
		fprintf(stderr, "sluice: the path of cgroup %s is too long\n", own);
		return -1;
	}
	return 0;
}

static int find_below(const char *folder, const char *name, char *path, size_t n)
{
	struct dirent *entry;
	char child[1024];
	DIR *dir = opendir(folder);
	int r = dir ? -ENOENT : -errno;

	while (dir && r == -ENOENT && (entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    (size_t)snprintf(child, sizeof(child), "%s/%s", folder, entry->d_name) >=
			    sizeof(child))
			continue;
		if (strcmp(entry->d_name, name) != 0)
			r = find_below(child, name, path, n);
		else
			r = (size_t)snprintf(path, n, "%s", child) < n ? 0 : -ENAMETOOLONG;
	}
	if (dir)
		closedir(dir);
	return r;
}

int run_cgroup_find(const char *name, char *path, size_t n)
{
	char root[512], found[1024];
	int r = run_cgroup_root(root, sizeof(root));

	if (!r)
		r = find_below(root, name, found, MIN(n, sizeof(found)));
	if (!r)
		snprintf(path, n, "%s", found);
	return r;
}

int run_cgroup_make(const char *path)
{
	if (mkdir(path, 0755) < 0) {
		fprintf(stderr, "sluice: cannot make cgroup %s: %s%s\n", path, strerror(errno),
			errno == EACCES || errno == EPERM ? "; `sluice run` needs root" : "");
		return -1;
	}
	return 0;
}

int run_cgroup_open_events(const char *path)
{
	char events[600];
	int fd;

	snprintf(events, sizeof(events), "%s/cgroup.events", path);
	fd = open(events, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int run_cgroup_is_empty(int events_fd)
{
	char text[256];
	ssize_t n = pread(events_fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return strstr(text, "populated 0") != NULL;
}
