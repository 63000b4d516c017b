/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

#include "bpf/lib/maps.h"

#define CGROUP_DEPTH 32 /* levels below the governed cgroup */

struct climb {
	struct cgroup *cgroup;
	__u64 governed;
	bool is_there;
};

static long climb_on(__u32 i, struct climb *climb)
{
	struct cgroup *cgroup = climb->cgroup;
	struct cgroup_subsys_state *parent = BPF_CORE_READ(cgroup, self.parent);

	climb->is_there = BPF_CORE_READ(cgroup, kn, id) == climb->governed;
	if (climb->is_there || !parent)
		return 1;
	climb->cgroup = (void *)parent - bpf_core_field_offset(struct cgroup, self);
	return 0;
}

/* is it the governed one, or below, or that of proxies that are governed? Deeper, nobody knows, and it is
 * taken for one of others */
static __always_inline bool is_governed(struct cgroup *cgroup)
{
	struct sl_config *conf = get_config();
	struct climb climb = { .cgroup = cgroup };

	if (!conf || !cgroup)
		return false;
	climb.governed = conf->cgroup_id;
	bpf_loop(CGROUP_DEPTH, climb_on, &climb, 0);
	return climb.is_there || BPF_CORE_READ(cgroup, kn, id) == conf->proxies_id; /* none is 0 */
}

/* of its socket; NULL: not known. Requests and sockets in TIME_WAIT are less than a socket, and have
 * none */
static __always_inline struct cgroup *cgroup_of(struct __sk_buff *skb)
{
	struct sock *sk = BPF_CORE_READ((struct sk_buff *)skb, sk);
	__u8 state = sk ? BPF_CORE_READ(sk, __sk_common.skc_state) : BPF_TCP_TIME_WAIT;

	if (state == BPF_TCP_TIME_WAIT || state == BPF_TCP_NEW_SYN_RECV)
		return NULL;
	return BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
}

/* is its socket known, and none of the governed cgroup's? */
static __always_inline bool is_of_others(struct __sk_buff *skb)
{
	struct cgroup *cgroup = cgroup_of(skb);

	return cgroup && !is_governed(cgroup);
}

/* does a socket of the governed cgroup send it, with a record or without? */
static __always_inline bool is_of_governed(struct __sk_buff *skb)
{
	return is_governed(cgroup_of(skb));
}
