/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/log.h"
#include "keeper/keeper.h"

#define BASE_FOLDER "/run/sluice"
#define EMPTY_TRIES 1000 /* times 10 ms for killed processes to be gone */

static int make_folder(const char *path, mode_t mode, uid_t owner)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	return chown(path, owner, owner) < 0 ? -errno : 0;
}

/* the folder is on bpffs already (/sys/fs/bpf), or a bpffs of our own goes there */
static int make_bpffs(struct keeper *keeper)
{
	const struct wire_k_instance *instance = &keeper->instance;
	struct statfs fs;
	int r = make_folder(instance->bpffs, 0700, instance->daemon_uid);

	if (r < 0)
		return r;
	if (statfs(instance->bpffs, &fs) < 0)
		return -errno;
	if (fs.f_type == BPF_FS_MAGIC)
		return 0;
	if (mount("bpf", instance->bpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return -errno;
	keeper->has_bpffs_mount = true;
	return chown(instance->bpffs, instance->daemon_uid, instance->daemon_uid) < 0 ? -errno : 0;
}

/* what `sluice panic` needs when nobody is left to ask */
static int write_notes(const struct keeper *keeper)
{
	const struct wire_k_instance *instance = &keeper->instance;
	char path[320];
	FILE *file;

	snprintf(path, sizeof(path), "%s/instance", instance->state);
	file = fopen(path, "we");
	if (!file)
		return -errno;
	fprintf(file,
		"[Instance]\nid=%s\ncgroup=%s\nproviders_cgroup=%s\nbpffs=%s\nbpffs_mounted=%d\n"
		"table=sluice_%s\nkeeper_pid=%d\nnetns_pid=%d\n",
		instance->id, instance->cgroup, keeper->providers_cgroup, instance->bpffs,
		keeper->has_bpffs_mount, instance->id, getpid(), getpid());
	return fclose(file) ? -errno : 0;
}

/* it must not be there: two instances of one name would take each other's pins away */
static int make_state(const struct wire_k_instance *instance)
{
	if (mkdir(instance->state, 0755) < 0) {
		if (errno == EEXIST)
			log_error("instance %s is there already, or died: `sluice status` shows it, "
				  "`sluice panic --instance %s` removes it",
				  instance->id, instance->id);
		return -errno;
	}
	return chown(instance->state, instance->daemon_uid, instance->daemon_uid) < 0 ? -errno : 0;
}

/* one for all: whoever is in it can open no socket anyway */
static int make_empty_network(struct keeper *keeper)
{
	_cleanup_close_ int ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (ours < 0 || unshare(CLONE_NEWNET) < 0)
		return -errno;
	keeper->no_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (keeper->no_net < 0 || setns(ours, CLONE_NEWNET) < 0)
		return -errno;
	return 0;
}

int place_make(struct keeper *keeper)
{
	const struct wire_k_instance *instance = &keeper->instance;
	int r;

	snprintf(keeper->providers_cgroup, sizeof(keeper->providers_cgroup), "%s.providers",
		 instance->cgroup);
	r = make_folder(BASE_FOLDER, 0755, 0);
	if (!r)
		r = make_state(instance);
	if (!r)
		keeper->is_placed = true;
	if (!r)
		r = make_folder(keeper->providers_cgroup, 0755, 0);
	if (!r)
		r = make_bpffs(keeper);
	if (!r)
		r = make_empty_network(keeper);
	return r < 0 ? r : write_notes(keeper);
}

static void kill_cgroup(const char *cgroup)
{
	_cleanup_close_ int fd = -1;
	char path[600];

	snprintf(path, sizeof(path), "%s/cgroup.kill", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) < 0)
		log_warning("cannot kill the processes of %s: %m", cgroup);
}

void place_kill_governed(const struct keeper *keeper)
{
	kill_cgroup(keeper->instance.cgroup);
}

/* depth first: COMMAND may have made cgroups of its own */
static int remove_cgroup(const char *path)
{
	struct dirent *entry;
	char child[1024];
	DIR *dir = opendir(path);

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
			snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
			(void)remove_cgroup(child);
		}
	closedir(dir);
	return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

static void remove_cgroup_soon(const char *path)
{
	int r = 0;

	for (int i = 0; i < EMPTY_TRIES; i++) {
		r = remove_cgroup(path);
		if (r != -EBUSY)
			break;
		(void)poll(NULL, 0, 10);
	}
	if (r < 0)
		log_warning("cannot remove %s: %s", path, strerror(-r));
}

static void empty_folder(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

void place_remove(struct keeper *keeper)
{
	const struct wire_k_instance *instance = &keeper->instance;

	kill_cgroup(keeper->providers_cgroup);
	kill_cgroup(instance->cgroup);
	remove_cgroup_soon(keeper->providers_cgroup);
	remove_cgroup_soon(instance->cgroup);
	empty_folder(instance->bpffs);
	if (keeper->has_bpffs_mount && umount2(instance->bpffs, MNT_DETACH) < 0)
		log_warning("cannot unmount %s: %m", instance->bpffs);
	if (rmdir(instance->bpffs) < 0 && errno != ENOENT)
		log_warning("cannot remove %s: %m", instance->bpffs);
	empty_folder(instance->state);
	if (rmdir(instance->state) < 0 && errno != ENOENT)
		log_warning("cannot remove %s: %m", instance->state);
	(void)rmdir(BASE_FOLDER); /* stays while another instance lives */
}
