/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/macros.h"
#include "cli/cli.h"
#include "cli/stamp.h"

#define STAMP_BYTES 256U
#define STAMP_BEGIN "of-"

static void add(char *name, const struct stat *st)
{
	size_t n = strlen(name);

	snprintf(name + n, STAMP_BYTES - n, "%lx.%lx.%lx.%lx.%lx.%lx.%lx-",
		 (unsigned long)st->st_dev, (unsigned long)st->st_ino, (unsigned long)st->st_size,
		 (unsigned long)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec,
		 (unsigned long)st->st_ctim.tv_sec, (unsigned long)st->st_ctim.tv_nsec);
}

static bool name_of(const struct stat *source, const char *compiler, char name[STAMP_BYTES])
{
	struct stat st;

	snprintf(name, STAMP_BYTES, STAMP_BEGIN);
	add(name, source);
	if (stat(compiler, &st) < 0)
		return false;
	add(name, &st);
	return true;
}

/* the folder above belongs to sluiced's user, who may not give us a list: root's are ours */
static bool link_from(int instance, const char *folder, const char *name, int target)
{
	_cleanup_close_ int fd =
		openat(instance, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != 0 || st.st_mode & S_IWGRP ||
	    st.st_mode & S_IWOTH)
		return false;
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_uid != 0)
		return false;
	return linkat(fd, name, target, "current", 0) == 0;
}

static bool link_from_instance(int fd, const char *name, int target)
{
	DIR *dir = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	struct dirent *entry;
	bool is_linked = false;

	while (dir && !is_linked && (entry = readdir(dir)))
		if (strncmp(entry->d_name, FILES_LIST, strlen(FILES_LIST)) == 0)
			is_linked = link_from(fd, entry->d_name, name, target);
	if (dir)
		closedir(dir);
	return is_linked;
}

bool stamp_link(const struct stat *source, const char *compiler, int folder)
{
	char name[STAMP_BYTES];
	DIR *dir = opendir(SLUICE_RUN_FOLDER);
	struct dirent *entry;
	bool is_linked = false;

	while (dir && !is_linked && name_of(source, compiler, name) && (entry = readdir(dir))) {
		_cleanup_close_ int fd = -1;

		if (!cli_is_instance(entry->d_name))
			continue;
		fd = openat(dirfd(dir), entry->d_name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		is_linked = fd >= 0 && link_from_instance(fd, name, folder);
	}
	if (dir)
		closedir(dir);
	return is_linked;
}

void stamp_write(const struct stat *source, const char *compiler, int folder)
{
	DIR *dir = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	char name[STAMP_BYTES];
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strncmp(entry->d_name, STAMP_BEGIN, strlen(STAMP_BEGIN)) == 0)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir && name_of(source, compiler, name)) /* else it is made twice */
		(void)linkat(dirfd(dir), "current", dirfd(dir), name, 0);
	if (dir)
		closedir(dir);
}
