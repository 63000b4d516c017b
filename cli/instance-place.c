/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/cgroup2.h"
#include "base/files.h"
#include "base/macros.h"
#include "cli/cli.h"
#include "cli/instance.h"
#include "cli/notes.h"

#define BPFFS "/sys/fs/bpf"
#define EMPTY_MS 5000U	 /* for processes that were killed to be gone */
#define FIRST_FREE_FD 10 /* 3 is the keeper's channel; the lock goes along above it */

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

/* systemd mounts it for root alone: there sluiced, which is not root, could not pin */
static bool is_bpffs_open(void)
{
	struct stat st;

	return is_bpffs(BPFFS) && stat(BPFFS, &st) == 0 && (st.st_mode & S_IXOTH);
}

/* locks the folder that is there, unless another has it. Return: 0, or -EWOULDBLOCK */
static int lock(const char *folder, int *ret_fd)
{
	_cleanup_close_ int first = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = first < 0 ? -1 : fcntl(first, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	struct stat ours, theirs;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	/* removed by its last owner while we opened it */
	if (fstat(fd, &ours) < 0 || stat(folder, &theirs) < 0)
		return -errno;
	if (ours.st_ino != theirs.st_ino)
		return -EWOULDBLOCK;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* a folder without notes is of one that died before anything was in force */
static int take_over(struct instance *instance)
{
	struct instance_notes notes = { .is_kept = true };
	int r = notes_read(instance->record.state, &notes);

	if (r == -ENOENT && instance->record.is_kept)
		return 0;
	if (r < 0 || !notes.is_kept || !instance->record.is_kept)
		return cli_error(-1,
				 "instance %s died and left things behind: "
				 "`sluice panic --instance %s` removes them",
				 instance->record.id, instance->record.id);
	instance->was_there = true;
	/* its programs hang on that cgroup, and govern it until they are removed there */
	if (strcmp(notes.cgroup, instance->record.cgroup) != 0)
		return cli_error(-1,
				 "instance %s died while it governed %s: serve %s again, or "
				 "`sluice panic --instance %s` first",
				 instance->record.id, notes.cgroup, notes.cgroup,
				 instance->record.id);
	notes_forget_panic(instance->record.state);
	/* its pins are there, wherever new ones would go today */
	snprintf(instance->record.bpffs, sizeof(instance->record.bpffs), "%s", notes.bpffs);
	if (access(notes.providers_cgroup, F_OK) == 0)
		snprintf(instance->record.providers_cgroup,
			 sizeof(instance->record.providers_cgroup), "%s", notes.providers_cgroup);
	return 0;
}

/* @inner is @outer or below it */
static bool is_within(const char *inner, const char *outer)
{
	size_t n = strlen(outer);

	return strncmp(inner, outer, n) == 0 && (inner[n] == '/' || !inner[n]);
}

/* a flow would be governed by both, and neither knows of the other: not in this version */
static int check_overlap(const struct wire_k_instance *record, const char *other)
{
	struct instance_notes notes = { 0 };
	char folder[300];
	int r;

	snprintf(folder, sizeof(folder), SLUICE_RUN_FOLDER "/%s", other);
	r = notes_read(folder, &notes);
	if (r < 0 && r != -ENOENT)
		return cli_error(-1, "cannot read what instance %s governs: %s", other,
				 strerror(-r));
	if (r < 0 || access(notes.cgroup, F_OK) < 0)
		return 0; /* what hung on a cgroup went with it */
	if (!is_within(record->cgroup, notes.cgroup) && !is_within(notes.cgroup, record->cgroup))
		return 0;
	return cli_error(-1,
			 "instance %s cannot govern %s: instance %s governs %s, and instances do "
			 "not nest; `sluice panic --instance %s` removes that one",
			 record->id, record->cgroup, other, notes.cgroup, other);
}

/* dead ones count: what they left in the kernel is in force */
static int check_others(const struct wire_k_instance *record)
{
	DIR *dir = opendir(SLUICE_RUN_FOLDER);
	struct dirent *entry;
	int r = 0;

	if (!dir && errno != ENOENT)
		return cli_error(-1, "cannot look for other instances in %s: %s", SLUICE_RUN_FOLDER,
				 strerror(errno));
	while (dir && !r && (entry = readdir(dir)))
		if (cli_is_instance(entry->d_name) && strcmp(entry->d_name, record->id) != 0)
			r = check_overlap(record, entry->d_name);
	if (dir)
		closedir(dir);
	return r;
}

/* the end of the last instance removes the folder above, and may do so at any moment */
static int make_state(const char *state, bool *ret_is_new)
{
	int r;

	do {
		r = files_make_folder(SLUICE_RUN_FOLDER, 0755, 0);
		if (!r)
			r = mkdir(state, 0755) < 0 ? -errno : 0;
	} while (r == -ENOENT);
	if (r < 0 && r != -EEXIST)
		return r;
	*ret_is_new = !r;
	return 0;
}

int instance_claim(struct instance *instance)
{
	struct wire_k_instance *record = &instance->record;
	bool is_new = false;
	int r;

	if (check_others(record))
		return -1;
	snprintf(record->state, sizeof(record->state), SLUICE_RUN_FOLDER "/%s", record->id);
	if (is_bpffs_open())
		snprintf(record->bpffs, sizeof(record->bpffs), BPFFS "/sluice-%s", record->id);
	else
		snprintf(record->bpffs, sizeof(record->bpffs), "%s/bpf", record->state);
	r = make_state(record->state, &is_new);
	if (!r)
		r = lock(record->state, &instance->lock_fd);
	if (r == -EWOULDBLOCK)
		return cli_error(-1,
				 "instance %s is there already: `sluice status --instance %s` "
				 "shows it",
				 record->id, record->id);
	if (r < 0) {
		if (is_new)
			(void)rmdir(record->state); /* it was never locked: ours alone */
		return cli_error(-1, "cannot make %s: %s", record->state, strerror(-r));
	}
	return is_new ? 0 : take_over(instance);
}

void instance_unclaim(struct instance *instance)
{
	if (instance->lock_fd >= 0 && !instance->was_there)
		(void)rmdir(instance->record.state);
	(void)rmdir(SLUICE_RUN_FOLDER); /* stays while another instance lives */
}

/* the folder is on bpffs already (/sys/fs/bpf), or a bpffs of our own goes there */
static int make_bpffs(const struct wire_k_instance *record)
{
	int r = files_make_folder(record->bpffs, 0700, record->daemon_uid);

	if (r < 0 || is_bpffs(record->bpffs))
		return r;
	if (mount("bpf", record->bpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return -errno;
	return files_make_folder(record->bpffs, 0700, record->daemon_uid);
}

static int write_notes(const struct instance *instance)
{
	const struct wire_k_instance *record = &instance->record;
	struct instance_notes notes = { .is_kept = record->is_kept,
					.keeper_pid = instance->keeper_pid };
	size_t n_state = strlen(record->state);

	snprintf(notes.cgroup, sizeof(notes.cgroup), "%s", record->cgroup);
	snprintf(notes.providers_cgroup, sizeof(notes.providers_cgroup), "%s",
		 record->providers_cgroup);
	snprintf(notes.bpffs, sizeof(notes.bpffs), "%s", record->bpffs);
	snprintf(notes.table, sizeof(notes.table), "sluice_%s", record->id);
	notes.is_bpffs_mounted = strncmp(record->bpffs, record->state, n_state) == 0;
	return notes_write(record->state, record->id, &notes);
}

int instance_make_place(struct instance *instance)
{
	const struct wire_k_instance *record = &instance->record;
	const char *what = record->state;
	int r = files_make_folder(record->state, 0755, record->daemon_uid);

	if (!r)
		r = write_notes(instance); /* before what they tell of */
	/* one that begins at this moment has not met our notes: then we meet its */
	if (!r && check_others(record))
		return -1;
	if (!r) {
		what = record->providers_cgroup;
		r = files_make_folder(record->providers_cgroup, 0755, 0);
	}
	if (!r) {
		what = record->bpffs;
		r = make_bpffs(record);
	}
	return r < 0 ? cli_error(-1, "cannot make %s: %s", what, strerror(-r)) : 0;
}

void instance_unmake_place(const struct instance *instance)
{
	const struct wire_k_instance *record = &instance->record;
	const char *what = record->providers_cgroup;
	int r = cgroup2_remove(what, EMPTY_MS);
	unsigned int n_lists;

	if (!r || r == -ENOENT) {
		what = record->bpffs;
		r = files_remove_folder(what);
	}
	if (!r || r == -ENOENT) {
		(void)files_remove_lists(record->state, &n_lists);
		what = record->state; /* the notes last: they tell `sluice panic` of the others */
		r = files_remove_folder(what);
	}
	if (r < 0 && r != -ENOENT)
		(void)cli_error(0, "cannot remove %s: %s; `sluice panic --instance %s` does", what,
				strerror(-r), record->id);
	(void)rmdir(SLUICE_RUN_FOLDER); /* stays while another instance lives */
}
