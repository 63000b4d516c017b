// SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later
/**
 * DOC: census - which network namespaces governed processes use
 *
 * iter/task. sluiced reads it: whoever uses a socket is told by the other
 * programs, but who was there before them, and who is there no more, nobody
 * tells. Reading the pinned iterator needs CAP_BPF alone.
 */
#include "bpf/lib/cgroup.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("iter/task")
int sl_census(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct sl_census line = {};
	struct net *net;

	if (!task || !is_governed(BPF_CORE_READ(task, cgroups, dfl_cgrp)))
		return 0;
	net = BPF_CORE_READ(task, nsproxy, net_ns);
	if (!net) /* it ends */
		return 0;
	/* threads are most of the tasks, and are where their process is but for a few */
	if (task->pid != task->tgid && net == BPF_CORE_READ(task, group_leader, nsproxy, net_ns))
		return 0;
	line.netns = BPF_CORE_READ(net, net_cookie);
	line.inode = BPF_CORE_READ(net, ns.inum);
	line.pid = task->pid;
	bpf_seq_write(ctx->meta->seq, &line, sizeof(line));
	return 0;
}
