/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/* Questions to name servers: sl_resolving. */

#include "bpf/lib/packet.h"

#define PORT_DNS 53
#define UDP_HEADER 8

/* an answer must carry the id of a question, or anybody on the way could give names to addresses;
 * over TCP the connection proves as much */
static __always_inline bool read_query_id(struct __sk_buff *skb, const struct packet *p, __u16 *id)
{
	return p->tuple.proto == IPPROTO_UDP &&
	       !bpf_skb_load_bytes(skb, p->transport + UDP_HEADER, id, sizeof(*id));
}

static __always_inline void note_query(struct __sk_buff *skb, const struct packet *p, __u64 cookie)
{
	struct sl_query fresh = { .cookie = cookie }, *query;
	__u16 id;

	if (p->tuple.rport != PORT_DNS)
		return;
	query = bpf_map_lookup_elem(&sl_resolving, &p->tuple);
	if (!query || query->cookie != cookie) {
		bpf_map_update_elem(&sl_resolving, &p->tuple, &fresh, BPF_ANY);
		query = bpf_map_lookup_elem(&sl_resolving, &p->tuple);
	}
	if (!query || !read_query_id(skb, p, &id))
		return;
	query->ids[query->n_ids & (SL_QUERY_IDS - 1)] = id;
	query->n_ids++;
}

static __always_inline bool is_asked(struct __sk_buff *skb, const struct packet *p,
				     const struct sl_query *query)
{
	__u16 id;

	if (p->tuple.proto != IPPROTO_UDP)
		return true;
	if (!read_query_id(skb, p, &id))
		return false;
	for (__u32 i = 0; i < SL_QUERY_IDS; i++)
		if (i < query->n_ids && query->ids[i] == id)
			return true;
	return false;
}
