/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Whose conversation has these ends?
 *
 * A port may have several sockets, and an answer is for the one that asked, not
 * for the newest (binds.h). One that was allowed keeps its ends against another
 * with the same. TCP is not here: each of its connections is a socket.
 */

#include "bpf/lib/packet.h"

static __always_inline void note_ends(const struct packet *p, __u64 cookie)
{
	__u64 *other;
	struct sl_flow *flow;

	if (p->tuple.proto == IPPROTO_TCP)
		return;
	other = bpf_map_lookup_elem(&sl_ends, &p->tuple);
	flow = other && *other != cookie ? find_flow(p, *other) : NULL;
	if (!flow || (flow->verdict != SL_ALLOW && flow->verdict != SL_PEEK))
		bpf_map_update_elem(&sl_ends, &p->tuple, &cookie, BPF_ANY);
}

static __always_inline struct sl_flow *find_by_ends(const struct packet *p, __u64 *ret_cookie)
{
	__u64 *cookie = bpf_map_lookup_elem(&sl_ends, &p->tuple);
	struct sl_flow *flow = cookie ? find_flow(p, *cookie) : NULL;

	if (flow)
		*ret_cookie = *cookie;
	return flow;
}
