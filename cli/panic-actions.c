/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/cgroup2.h"
#include "base/files.h"
#include "base/macros.h"
#include "cli/networks.h"
#include "cli/panic.h"
#include "cli/run.h"

#define KILL_TIMEOUT_MS 2000
#define EMPTY_MS 2000U /* for killed processes to leave their cgroup */

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

/* it died before its notes were written, or they are lost: what they would have told of */
static void guess(struct panic_notes *notes)
{
	struct instance_notes *file = &notes->file;
	char bpffs[sizeof(file->bpffs)], cgroup[64];

	snprintf(bpffs, sizeof(bpffs), "%s/bpf", notes->folder);
	notes->error = 0;
	snprintf(cgroup, sizeof(cgroup), "sluice-%s", notes->id);
	(void)run_cgroup_find(cgroup, file->cgroup, sizeof(file->cgroup));
	snprintf(cgroup, sizeof(cgroup), "sluice-%s.providers", notes->id);
	(void)run_cgroup_find(cgroup, file->providers_cgroup, sizeof(file->providers_cgroup));
	if (access(bpffs, F_OK) < 0)
		return;
	memcpy(file->bpffs, bpffs, sizeof(bpffs));
	file->is_bpffs_mounted = true; /* or not yet */
}

void panic_notes_read(const char *base, const char *instance, struct panic_notes *ret_notes)
{
	struct instance_notes *file = &ret_notes->file;
	int r;

	*ret_notes = (struct panic_notes){ .error = 0 };
	snprintf(ret_notes->id, sizeof(ret_notes->id), "%s", instance);
	snprintf(ret_notes->folder, sizeof(ret_notes->folder), "%s/%s", base, instance);
	snprintf(file->table, sizeof(file->table), "sluice_%s", instance);
	snprintf(file->bpffs, sizeof(file->bpffs), "/sys/fs/bpf/sluice-%s", instance);
	ret_notes->error = notes_read(ret_notes->folder, file);
	if (ret_notes->error == -ENOENT)
		guess(ret_notes);
	/* before anybody is killed, whose end may be that of what leads to its network */
	r = networks_open(&ret_notes->networks);
	if (r < 0)
		ret_notes->networks.error = r;
	/* a pid outlives its process: what it names now may be somebody else */
	if (file->keeper_pid <= 1 || !has_comm(file->keeper_pid, "sluice-keeper") ||
	    parent_of(file->keeper_pid) <= 0)
		file->keeper_pid = 0;
}

void panic_notes_close(struct panic_notes *notes)
{
	networks_close(&notes->networks);
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
void panic_processes(struct panic_notes *notes, struct panic_report *report)
{
	pid_t children[32];
	unsigned int n = 0;
	struct dirent *entry;
	DIR *dir;

	if (notes->file.keeper_pid <= 0)
		return;
	notes_mark_panic(notes->folder);
	dir = opendir("/proc");
	while (dir && n < ARRAY_SIZE(children) && (entry = readdir(dir))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 1 && parent_of(pid) == notes->file.keeper_pid)
			children[n++] = pid;
	}
	if (dir)
		closedir(dir);
	kill_process(notes->file.keeper_pid, "sluice-keeper", report);
	for (unsigned int i = 0; i < n; i++)
		if (has_comm(children[i], "sluice"))
			kill_process(children[i],
				     has_comm(children[i], "sluiced")	 ? "sluiced"
				     : has_comm(children[i], "sluice-c") ? "sluice-canary"
									 : "sluice-names",
				     report);
}

struct tables {
	struct panic_notes *notes;
	struct panic_report *report;
};

static void delete_table(const struct network *network, void *data)
{
	const struct tables *tables = data;
	const struct panic_notes *notes = tables->notes;
	int r = networks_delete_table(notes->file.table);
	char name[128];

	if (network == notes->networks.all)
		snprintf(name, sizeof(name), "inet %s", notes->file.table);
	else
		snprintf(name, sizeof(name), "inet %s (network namespace %u)", notes->file.table,
			 network->inode);
	if (r)
		panic_note(tables->report, "table", name, r < 0 ? r : 0);
}

/* the plane is in every namespace that governed programs used */
void panic_table(struct panic_notes *notes, struct panic_report *report)
{
	struct tables tables = { notes, report };

	networks_visit(&notes->networks, delete_table, &tables);
	if (notes->networks.error)
		panic_note(report, "table", "in some network namespace", notes->networks.error);
}

/* links without a pin and a process detach by themselves */
void panic_pins(struct panic_notes *notes, struct panic_report *report)
{
	unsigned int n;
	char name[320];
	int r = files_empty_folder(notes->file.bpffs, &n);

	if (r == -ENOENT)
		return;
	/* a bpffs of our own has files that the kernel put there and keeps: it goes as a whole */
	if (notes->file.is_bpffs_mounted)
		r = umount2(notes->file.bpffs, MNT_DETACH) < 0 && errno != EINVAL ? -errno : 0;
	if (r == 0 && rmdir(notes->file.bpffs) < 0)
		r = -errno;
	snprintf(name, sizeof(name), "%s (%u)", notes->file.bpffs, n);
	panic_note(report, "pins", name, r);
}

/* only below a cgroup2 mount, and only what we have named ourselves */
static bool is_ours(const char *path, const char *id)
{
	const char *leaf = strrchr(path, '/');

	return leaf && path[0] == '/' && strstr(leaf, "sluice") && strstr(leaf, id) &&
	       !strstr(path, "/../");
}

void panic_cgroups(struct panic_notes *notes, struct panic_report *report)
{
	char canary[600];
	int r = 0;

	snprintf(canary, sizeof(canary), "%s/sluice-canary", notes->file.cgroup);
	if (notes->file.cgroup[0]) /* ours, whosever the cgroup above it is */
		(void)cgroup2_remove(canary, EMPTY_MS);
	if (is_ours(notes->file.providers_cgroup, notes->id)) {
		(void)cgroup2_kill(notes->file.providers_cgroup);
		r = cgroup2_remove(notes->file.providers_cgroup, EMPTY_MS);
		if (r != -ENOENT)
			panic_note(report, "cgroup", notes->file.providers_cgroup, r);
	}
	/* the user's own programs: they go on, with an open network, unless `sluice run` is
	 * there: it ends them when it sees that its keeper is gone */
	if (!notes->file.is_kept && is_ours(notes->file.cgroup, notes->id)) {
		r = cgroup2_remove(notes->file.cgroup, EMPTY_MS);
		if (r != -ENOENT)
			panic_note(report, "cgroup", notes->file.cgroup, r);
	}
}

void panic_folder(struct panic_notes *notes, struct panic_report *report)
{
	unsigned int n;
	int r;

	notes_remove(notes->folder);
	(void)files_remove_lists(notes->folder, &n);
	r = files_empty_folder(notes->folder, &n);
	if (r == -ENOENT)
		return;
	if (r == 0 && rmdir(notes->folder) < 0)
		r = -errno;
	panic_note(report, "folder", notes->folder, r);
	(void)rmdir("/run/sluice"); /* stays while another instance is there */
}
