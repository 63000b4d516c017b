/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Who is calling
 *
 * Read from the current task, so exact. Paths are walked here and not in
 * /proc afterwards: a process may be gone before its flow is judged. A walk
 * is done once for each process image and once for each cgroup.
 *
 * A packed path holds its components leaf first, each ended by NUL; user
 * space turns it round.
 */

#include "bpf/lib/maps.h"

#define NANOSECONDS 1000000000ULL
#define CTIME_QUERIED (1U << 31) /* 6.13: somebody has asked for it */

struct mount___walk {
	struct mount___walk *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
} __attribute__((preserve_access_index));

/* kernfs_node.parent became __parent in 6.15 */
struct kernfs_node___old {
	struct kernfs_node___old *parent;
	const char *name;
} __attribute__((preserve_access_index));

struct kernfs_node___new {
	struct kernfs_node___new *__parent;
	const char *name;
} __attribute__((preserve_access_index));

/* inode.i_ctime became __i_ctime in 6.6, and two numbers in 6.13 */
struct inode___old {
	struct timespec64 i_ctime;
} __attribute__((preserve_access_index));

struct inode___hidden {
	struct timespec64 __i_ctime;
} __attribute__((preserve_access_index));

struct inode___split {
	time64_t i_ctime_sec;
	__u32 i_ctime_nsec;
} __attribute__((preserve_access_index));

SCRATCH(struct sl_proc) sl_scratch_proc SEC(".maps") __weak;
SCRATCH(struct sl_path) sl_scratch_path SEC(".maps") __weak;

static __always_inline __u64 ctime_ns(void *inode)
{
	struct inode___split *split = inode;
	struct inode___old *old = inode;
	struct inode___hidden *hidden = inode;

	if (bpf_core_field_exists(split->i_ctime_sec))
		return BPF_CORE_READ(split, i_ctime_sec) * NANOSECONDS +
		       (BPF_CORE_READ(split, i_ctime_nsec) & ~CTIME_QUERIED);
	if (bpf_core_field_exists(hidden->__i_ctime))
		return BPF_CORE_READ(hidden, __i_ctime.tv_sec) * NANOSECONDS +
		       BPF_CORE_READ(hidden, __i_ctime.tv_nsec);
	return BPF_CORE_READ(old, i_ctime.tv_sec) * NANOSECONDS +
	       BPF_CORE_READ(old, i_ctime.tv_nsec);
}

/* false when the path is full */
static __always_inline bool path_push(struct sl_path *path, const void *name)
{
	__u32 at = path->len;
	long n;

	if (at >= SL_PATH_BYTES) {
		path->is_cut = 1;
		return false;
	}
	n = bpf_probe_read_kernel_str(&path->buf[at & (SL_PATH_BYTES - 1)], SL_NAME_BYTES, name);
	if (n > 0)
		path->len = at + n;
	return true;
}

static __always_inline void walk_exe(struct sl_path *path, struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct vfsmount *vfs = BPF_CORE_READ(file, f_path.mnt);
	struct mount___walk *mnt = (void *)vfs - bpf_core_field_offset(struct mount___walk, mnt);

	path->len = 0;
	path->is_cut = 0;
	for (int i = 0; i < SL_PATH_DEPTH; i++) {
		struct dentry *root = BPF_CORE_READ(mnt, mnt.mnt_root);
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

		if (dentry == root || dentry == parent) {
			struct mount___walk *up = BPF_CORE_READ(mnt, mnt_parent);

			if (up == mnt || !up) {
				if (!path->len) /* in no folder, as a memfd: its name is all */
					path_push(path, BPF_CORE_READ(dentry, d_name.name));
				return;
			}
			dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
			mnt = up;
			continue;
		}
		if (!path_push(path, BPF_CORE_READ(dentry, d_name.name)))
			return;
		dentry = parent;
	}
	path->is_cut = 1;
}

static __always_inline void walk_cgroup(struct sl_path *path, struct task_struct *task)
{
	void *node = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);
	bool is_new = bpf_core_field_exists(struct kernfs_node___new, __parent);

	path->len = 0;
	path->is_cut = 0;
	for (int i = 0; i < SL_PATH_DEPTH; i++) {
		void *up =
			is_new ? (void *)BPF_CORE_READ((struct kernfs_node___new *)node, __parent)
			       : (void *)BPF_CORE_READ((struct kernfs_node___old *)node, parent);

		if (!up) /* the root has no name */
			return;
		if (!path_push(path, BPF_CORE_READ((struct kernfs_node *)node, name)))
			return;
		node = up;
	}
	path->is_cut = 1;
}

static __u64 digest_of(const struct sl_path *path)
{
	struct sl_config *conf = get_config();
	struct sl_digest digest;

	if (!conf)
		return 0;
	digest = sl_digest_begin(path, conf->secret);
	bpf_loop(SL_DIGEST_WORDS, sl_digest_word, &digest, 0);
	return sl_digest_end(&digest);
}

/* Return: the digest of its path */
static __noinline __u64 remember_proc(struct sl_proc_key *key)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct sl_proc *proc;
	unsigned long start, end;
	__u32 zero = 0, n;

	if (!key)
		return 0;
	proc = bpf_map_lookup_elem(&sl_scratch_proc, &zero);
	if (!proc)
		return 0;
	walk_exe(&proc->exe, BPF_CORE_READ(task, mm, exe_file));
	proc->exe_ctime_ns = ctime_ns(BPF_CORE_READ(task, mm, exe_file, f_inode));
	proc->exe_path = digest_of(&proc->exe);
	bpf_get_current_comm(proc->comm, sizeof(proc->comm));
	start = BPF_CORE_READ(task, mm, arg_start);
	end = BPF_CORE_READ(task, mm, arg_end);
	n = end - start;
	if (n > SL_ARGS_BYTES)
		n = SL_ARGS_BYTES;
	proc->args_len = n;
	/* may fault: the page is there, exec wrote it, unless it was swapped out since */
	if (bpf_probe_read_user(proc->args, n, (void *)start))
		proc->args_len = 0;
	bpf_map_update_elem(&sl_procs, key, proc, BPF_ANY);
	return proc->exe_path;
}

static __noinline int remember_cgroup(__u64 id)
{
	struct sl_path *path;
	__u32 zero = 0;

	path = bpf_map_lookup_elem(&sl_scratch_path, &zero);
	if (!path)
		return 0;
	walk_cgroup(path, (void *)bpf_get_current_task());
	bpf_map_update_elem(&sl_cgroups, &id, path, BPF_ANY);
	return 0;
}

static __always_inline void who_is_current(struct sl_who *who)
{
	struct task_struct *task = bpf_get_current_task_btf(); /* fields are plain loads */
	struct sl_proc_key key = {};
	struct sl_proc *proc;
	__u64 ids = bpf_get_current_uid_gid();

	who->pid = task->tgid;
	who->uid = (__u32)ids;
	who->gid = ids >> 32;
	who->start_ns = task->group_leader->start_boottime;
	who->cgroup_id = bpf_get_current_cgroup_id();
	who->exec_id = task->self_exec_id;
	who->exe_ino = task->mm->exe_file->f_inode->i_ino;
	who->exe_dev = task->mm->exe_file->f_inode->i_sb->s_dev;
	key.start_ns = who->start_ns;
	key.exe_ino = who->exe_ino;
	key.pid = who->pid;
	key.exe_dev = who->exe_dev;
	key.exec_id = who->exec_id;
	proc = bpf_map_lookup_elem(&sl_procs, &key);
	who->exe_ctime_ns = proc ? proc->exe_ctime_ns : ctime_ns(task->mm->exe_file->f_inode);
	who->exe_path = proc ? proc->exe_path : remember_proc(&key);
	if (!bpf_map_lookup_elem(&sl_cgroups, &who->cgroup_id))
		remember_cgroup(who->cgroup_id);
}
