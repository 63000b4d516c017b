/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "kernel/nft-batch.h"
#include "cli/panic.h"

#include "base/macros.h"

#define KILL_TIMEOUT_MS 2000
#define EMPTY_TRIES 200 /* times 10 ms for killed processes to leave their cgroup */

static int on_note(void *data, const char *section, const char *name, const char *value)
{
	struct panic_notes *notes = data;
	const struct {
		const char *name;
		char *text;
		size_t n;
	} texts[] = {
		{ "cgroup", notes->cgroup, sizeof(notes->cgroup) },
		{ "providers_cgroup", notes->providers_cgroup, sizeof(notes->providers_cgroup) },
		{ "bpffs", notes->bpffs, sizeof(notes->bpffs) },
		{ "table", notes->table, sizeof(notes->table) },
	};
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strcmp(texts[i].name, name) == 0)
			snprintf(texts[i].text, texts[i].n, "%s", value);
	if (strcmp(name, "bpffs_mounted") == 0)
		notes->is_bpffs_mounted = strcmp(value, "1") == 0;
	if (strcmp(name, "keeper_pid") == 0)
		notes->keeper_pid = (pid_t)strtol(value, NULL, 10);
	if (strcmp(name, "netns_pid") == 0 && notes->netns_fd < 0) {
		snprintf(path, sizeof(path), "/proc/%ld/ns/net", strtol(value, NULL, 10));
		notes->netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	return 1;
}

static bool has_comm(pid_t pid, const char *prefix)
{
	_cleanup_close_ int fd = -1;
	char path[64], comm[17] = "";

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, comm, sizeof(comm) - 1) > 0 &&
	       strncmp(comm, prefix, strlen(prefix)) == 0;
}

/* "pid (comm) state ppid …": comm may hold anything. Return: 0 if it is gone, or dead and unreaped */
static pid_t parent_of(pid_t pid)
{
	_cleanup_close_ int fd = -1;
	char path[64], text[512], *end;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = 0;
	end = strrchr(text, ')');
	if (!end || strlen(end) < 5 || end[2] == 'Z')
		return 0;
	return (pid_t)strtol(end + 4, NULL, 10);
}

void panic_notes_read(const char *base, const char *instance, struct panic_notes *ret_notes)
{
	char path[320];

	*ret_notes = (struct panic_notes){ .netns_fd = -1 };
	snprintf(ret_notes->id, sizeof(ret_notes->id), "%s", instance);
	snprintf(ret_notes->folder, sizeof(ret_notes->folder), "%s/%s", base, instance);
	snprintf(ret_notes->table, sizeof(ret_notes->table), "sluice_%s", instance);
	snprintf(ret_notes->bpffs, sizeof(ret_notes->bpffs), "/sys/fs/bpf/sluice-%s", instance);
	snprintf(path, sizeof(path), "%s/instance", ret_notes->folder);
	(void)ini_parse(path, on_note, ret_notes);
	/* a pid outlives its process: what it names now may be somebody else */
	if (ret_notes->keeper_pid > 1 && has_comm(ret_notes->keeper_pid, "sluice-keeper") &&
	    parent_of(ret_notes->keeper_pid) > 0)
		return;
	ret_notes->keeper_pid = 0;
	ret_notes->netns_fd = close_fd(ret_notes->netns_fd);
}

void panic_notes_close(struct panic_notes *notes)
{
	notes->netns_fd = close_fd(notes->netns_fd);
}

static void kill_process(pid_t pid, const char *what, struct panic_report *report)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char name[64];
	int r = 0;

	snprintf(name, sizeof(name), "%s %d", what, pid);
	if (fd < 0 || syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0)
		r = -errno;
	else if (poll(&poll_fd, 1, KILL_TIMEOUT_MS) != 1)
		r = -ETIMEDOUT;
	if (r != -ESRCH)
		panic_note(report, "process", name, r);
}

/* the keeper goes first: it would start a new sluiced */
void panic_processes(const struct panic_notes *notes, struct panic_report *report)
{
	pid_t children[32];
	unsigned int n = 0;
	struct dirent *entry;
	DIR *dir;

	if (notes->keeper_pid <= 0)
		return;
	dir = opendir("/proc");
	while (dir && n < ARRAY_SIZE(children) && (entry = readdir(dir))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 1 && parent_of(pid) == notes->keeper_pid)
			children[n++] = pid;
	}
	if (dir)
		closedir(dir);
	kill_process(notes->keeper_pid, "sluice-keeper", report);
	for (unsigned int i = 0; i < n; i++)
		if (has_comm(children[i], "sluice"))
			kill_process(children[i],
				     has_comm(children[i], "sluiced")	 ? "sluiced"
				     : has_comm(children[i], "sluice-c") ? "sluice-canary"
									 : "sluice-names",
				     report);
}

static int delete_table(const char *table)
{
	_cleanup_nft_batch_ struct nft_batch batch;

	nft_batch_init(&batch);
	nft_batch_delete_table(&batch, NFPROTO_INET, table);
	return nft_batch_commit(&batch);
}

void panic_table(const struct panic_notes *notes, struct panic_report *report)
{
	_cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	char name[80];
	int r = 0;

	snprintf(name, sizeof(name), "inet %s", notes->table);
	if (notes->netns_fd >= 0 && setns(notes->netns_fd, CLONE_NEWNET) < 0)
		r = -errno;
	if (!r)
		r = delete_table(notes->table);
	if (notes->netns_fd >= 0 && own >= 0 && setns(own, CLONE_NEWNET) < 0 && !r)
		r = -errno;
	/* nf_tables itself is missing: so is the table */
	if (r != -ENOENT && r != -EOPNOTSUPP && r != -EPROTONOSUPPORT)
		panic_note(report, "table", name, r);
}

/* @ret_n: out: how many files were removed, also on failure. Return: 0 or the last error */
static int empty_folder(const char *path, unsigned int *ret_n)
{
	DIR *dir = opendir(path);
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

/* links without a pin and a process detach by themselves */
void panic_pins(const struct panic_notes *notes, struct panic_report *report)
{
	unsigned int n;
	char name[320];
	int r = empty_folder(notes->bpffs, &n);

	if (r == -ENOENT)
		return;
	/* a bpffs of our own has files that the kernel put there and keeps: it goes as a whole */
	if (notes->is_bpffs_mounted)
		r = umount2(notes->bpffs, MNT_DETACH) < 0 && errno != EINVAL ? -errno : 0;
	if (r == 0 && rmdir(notes->bpffs) < 0)
		r = -errno;
	snprintf(name, sizeof(name), "%s (%u)", notes->bpffs, n);
	panic_note(report, "pins", name, r);
}

static int remove_cgroup(const char *path)
{
	struct dirent *entry;
	char child[1024];
	DIR *dir = opendir(path);

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
			snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
			(void)remove_cgroup(child);
		}
	closedir(dir);
	return rmdir(path) < 0 ? -errno : 0;
}

static int remove_cgroup_soon(const char *path)
{
	int r = -EBUSY;

	for (int i = 0; i < EMPTY_TRIES && r == -EBUSY; i++) {
		if (i)
			(void)poll(NULL, 0, 10);
		r = remove_cgroup(path);
	}
	return r;
}

static void kill_cgroup(const char *path)
{
	_cleanup_close_ int fd = -1;
	char file[600];

	snprintf(file, sizeof(file), "%s/cgroup.kill", path);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, "1", 1);
}

/* only below a cgroup2 mount, and only what we have named ourselves */
static bool is_ours(const char *path, const char *id)
{
	const char *leaf = strrchr(path, '/');

	return leaf && path[0] == '/' && strstr(leaf, "sluice") && strstr(leaf, id) &&
	       !strstr(path, "/../");
}

void panic_cgroups(const struct panic_notes *notes, struct panic_report *report)
{
	int r = 0;

	if (is_ours(notes->providers_cgroup, notes->id)) {
		kill_cgroup(notes->providers_cgroup);
		r = remove_cgroup_soon(notes->providers_cgroup);
		if (r != -ENOENT)
			panic_note(report, "cgroup", notes->providers_cgroup, r);
	}
	/* the user's own programs: they go on, with an open network, unless `sluice run` is
	 * there: it ends them when it sees that its keeper is gone */
	if (is_ours(notes->cgroup, notes->id)) {
		r = remove_cgroup_soon(notes->cgroup);
		if (r != -ENOENT)
			panic_note(report, "cgroup", notes->cgroup, r);
	}
}

void panic_folder(const struct panic_notes *notes, struct panic_report *report)
{
	unsigned int n;
	int r = empty_folder(notes->folder, &n);

	if (r == -ENOENT)
		return;
	if (r == 0 && rmdir(notes->folder) < 0)
		r = -errno;
	panic_note(report, "folder", notes->folder, r);
	(void)rmdir("/run/sluice"); /* stays while another instance is there */
}
