/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/macros.h"

int files_sibling(const char *name, char *path, size_t n)
{
	ssize_t len = readlink("/proc/self/exe", path, n - 1);
	char *slash;

	if (len < 0)
		return -errno;
	path[len] = '\0';
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash - path) + strlen(name) + 2 > n)
		return -ENAMETOOLONG;
	memcpy(slash + 1, name, strlen(name) + 1);
	return 0;
}

int files_make_folder(const char *path, mode_t mode, uid_t owner)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	return chown(path, owner, owner) < 0 ? -errno : 0;
}

int files_empty_fd(int fd, unsigned int *ret_n)
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int r = 0;

	*ret_n = 0;
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			r = -errno;
		else
			++*ret_n;
	}
	closedir(dir);
	return r;
}

int files_empty_folder(const char *path, unsigned int *ret_n)
{
	return files_empty_fd(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret_n);
}

int files_remove_lists(const char *path, unsigned int *ret_n)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int r = 0;

	*ret_n = 0;
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		unsigned int n;

		if (strncmp(entry->d_name, FILES_LIST, strlen(FILES_LIST)) != 0)
			continue;
		(void)files_empty_fd(openat(dirfd(dir), entry->d_name,
					    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
				     &n);
		*ret_n += n;
		if (unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) < 0)
			r = -errno;
	}
	closedir(dir);
	return r;
}

bool files_is_script(int fd)
{
	char head[2];

	return pread(fd, head, sizeof(head), 0) == sizeof(head) && memcmp(head, "#!", 2) == 0;
}

bool files_is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

int files_open_regular(const char *path)
{
	_cleanup_close_ int place = open(path, O_PATH | O_CLOEXEC);
	char link[32];
	struct stat st;
	int fd;

	if (place < 0 || fstat(place, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
	fd = open(link, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int files_remove_folder(const char *path)
{
	unsigned int n;
	int r = files_empty_folder(path, &n);

	if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL) /* nothing is mounted there */
		return -errno;
	if (rmdir(path) == 0)
		return 0;
	return r < 0 ? r : -errno; /* why it is not empty */
}
