/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/* Packets that come in, and the sockets that are bound to where they go. */

#include "bpf/lib/binds.h"
#include "bpf/lib/held.h"

static __always_inline int read_inbound(struct __sk_buff *skb, struct packet *p)
{
	int r = read_packet(skb, p, false);

	p->tuple.netns = netns_of_receiver(skb);
	if (skb->ifindex == LOOPBACK_IFINDEX && sl_is_loopback(p->tuple.raddr))
		p->tuple.lo = SL_LO_IS;
	return r || p->tuple.netns ? r : -1; /* of which network is it? */
}

/* the governed socket a packet is for: bound to the address, to any of its family, to any */
static __always_inline __u64 find_bound(const struct packet *p)
{
	bool is_ipv4 = sl_is_mapped4(p->tuple.laddr);
	struct sl_bind_key key = {};
	struct sl_bind *bind;

	key.netns = p->tuple.netns;
	__builtin_memcpy(key.addr, p->tuple.laddr, 16);
	key.port = p->tuple.lport;
	key.proto = p->tuple.proto;
	bind = bpf_map_lookup_elem(&sl_binds, &key);
	if (!bind) {
		any_of_family(key.addr, is_ipv4);
		bind = bpf_map_lookup_elem(&sl_binds, &key);
	}
	if (!bind && is_ipv4) { /* a dual-stack socket */
		any_of_family(key.addr, false);
		bind = bpf_map_lookup_elem(&sl_binds, &key);
	}
	return bind ? bind->cookie : 0;
}
