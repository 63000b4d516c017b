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

struct visit {
	network_fn fn;
	void *data;
	uint32_t *known;
	size_t n_known, n_room;
	int error;
};

static bool is_known(struct visit *visit, uint32_t inode)
{
	for (size_t i = 0; i < visit->n_known; i++)
		if (visit->known[i] == inode)
			return true;
	if (visit->n_known == visit->n_room) {
		size_t n = visit->n_room ? 2 * visit->n_room : 64;
		uint32_t *grown = realloc(visit->known, n * sizeof(*grown));

		if (!grown) {
			visit->error = -ENOMEM;
			return true;
		}
		visit->known = grown;
		visit->n_room = n;
	}
	visit->known[visit->n_known++] = inode;
	return false;
}

/* what is gone by now is no failure */
static void visit_path(struct visit *visit, const char *path)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (stat(path, &st) < 0 || is_known(visit, (uint32_t)st.st_ino))
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		visit->error = errno == ENOENT ? visit->error : -errno;
	else if (setns(fd, CLONE_NEWNET) == 0)
		visit->fn((uint32_t)st.st_ino, visit->data);
	else if (errno != EINVAL) /* a file that is no namespace, or not any more */
		visit->error = -errno;
}

/* @suffix: of each name in the folder; @numbers: names that are none are passed by */
static void visit_folder(struct visit *visit, const char *folder, const char *suffix, bool numbers)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[512];

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    (numbers && !isdigit((unsigned char)entry->d_name[0])))
			continue;
		snprintf(path, sizeof(path), "%s/%s%s", folder, entry->d_name, suffix);
		visit_path(visit, path);
	}
	if (dir)
		closedir(dir);
}

static void visit_processes(struct visit *visit)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	char path[300];

	while (dir && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task", entry->d_name);
		visit_folder(visit, path, "/ns/net", true);
	}
	if (dir)
		closedir(dir);
}

int networks_visit(network_fn fn, void *data)
{
	_cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct visit visit = { .fn = fn, .data = data };

	if (own < 0)
		return -errno;
	/* first of all: our thread shows another one as soon as it enters one */
	visit_path(&visit, "/proc/thread-self/ns/net");
	visit_processes(&visit);
	visit_folder(&visit, "/run/netns", "", false);
	visit_folder(&visit, "/run/docker/netns", "", false);
	if (setns(own, CLONE_NEWNET) < 0)
		visit.error = -errno;
	free(visit.known);
	return visit.error;
}

uint32_t networks_own(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) < 0 ? 0 : (uint32_t)st.st_ino;
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
