/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "cli/networks.h"
#include "kernel/nft-batch.h"

static bool is_known(const struct networks *networks, uint32_t inode)
{
	for (size_t i = 0; i < networks->n; i++)
		if (networks->all[i].inode == inode)
			return true;
	return false;
}

static int make_room(struct networks *networks)
{
	size_t n = networks->n_room ? 2 * networks->n_room : 64;
	struct network *grown;

	if (networks->n < networks->n_room)
		return 0;
	grown = realloc(networks->all, n * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	networks->all = grown;
	networks->n_room = n;
	return 0;
}

/* what is gone by now is no failure */
static void open_path(struct networks *networks, const char *path)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (stat(path, &st) < 0 || is_known(networks, (uint32_t)st.st_ino))
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || make_room(networks) < 0)
		networks->error = fd < 0 ? -errno : -ENOMEM;
	else
		networks->all[networks->n++] = (struct network){ TAKE_FD(fd), (uint32_t)st.st_ino };
}

/* @suffix: of each name in the folder; @numbers: names that are none are passed by */
static void open_folder(struct networks *networks, const char *folder, const char *suffix,
			bool numbers)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[512];

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    (numbers && !isdigit((unsigned char)entry->d_name[0])))
			continue;
		snprintf(path, sizeof(path), "%s/%s%s", folder, entry->d_name, suffix);
		open_path(networks, path);
	}
	if (dir)
		closedir(dir);
}

static void open_processes(struct networks *networks)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	char path[300];

	while (dir && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task", entry->d_name);
		open_folder(networks, path, "/ns/net", true);
	}
	if (dir)
		closedir(dir);
}

int networks_open(struct networks *networks)
{
	*networks = (struct networks){ .error = 0 };
	open_path(networks, "/proc/thread-self/ns/net");
	if (networks->n == 0)
		return networks->error ? networks->error : -ENOENT;
	open_processes(networks);
	open_folder(networks, "/run/netns", "", false);
	open_folder(networks, "/run/docker/netns", "", false);
	return 0;
}

void networks_close(struct networks *networks)
{
	for (size_t i = 0; i < networks->n; i++)
		close_fd(networks->all[i].fd);
	free(networks->all);
	*networks = (struct networks){ .error = 0 };
}

void networks_visit(struct networks *networks, network_fn fn, void *data)
{
	for (size_t i = 0; i < networks->n; i++) {
		if (setns(networks->all[i].fd, CLONE_NEWNET) == 0)
			fn(&networks->all[i], data);
		else if (errno != EINVAL) /* a file that is no namespace, or not any more */
			networks->error = -errno;
	}
	if (networks->n && setns(networks->all[0].fd, CLONE_NEWNET) < 0)
		networks->error = -errno;
}

int networks_delete_table(const char *table)
{
	_cleanup_nft_batch_ struct nft_batch batch;
	int r;

	nft_batch_init(&batch);
	nft_batch_delete_table(&batch, NFPROTO_INET, table);
	r = nft_batch_commit_here(&batch);
	/* nf_tables itself is missing: so is the table */
	if (r == -ENOENT || r == -EOPNOTSUPP || r == -EPROTONOSUPPORT)
		return 0;
	return r < 0 ? r : 1;
}
