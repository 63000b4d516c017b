/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/* Packets on their way to the queue, and of which network they are. */

#include "bpf/lib/ends.h"
#include "bpf/lib/packet.h"

/*
 * No helper tells a socket filter its namespace before 6.15. What it is given is the packet
 * itself, so its fields can be read. One that comes in is on an interface of the namespace; one
 * that leaves has no interface yet at this hook, and a socket.
 */
static __always_inline __u64 netns_of_receiver(void *skb)
{
	return BPF_CORE_READ((struct sk_buff *)skb, dev, nd_net.net, net_cookie);
}

static __always_inline __u64 netns_of_sender(void *skb)
{
	return BPF_CORE_READ((struct sk_buff *)skb, sk, __sk_common.skc_net.net, net_cookie);
}

/* the packet of another socket may be in the queue; its socket need not be there any more. A TCP that
 * is closed has sent a SYN at most, and its successor sends another one */
static __always_inline bool is_anothers(const struct sl_held *other, const struct packet *p,
					__u64 cookie, __u64 now)
{
	if (other->cookie == cookie)
		return false;
	return bpf_map_lookup_elem(&sl_socks, &other->cookie) ||
	       (p->tuple.proto != IPPROTO_TCP && now - other->since_ns < SL_HELD_NS);
}

static __always_inline struct sl_order *get_order(const struct packet *p)
{
	__u32 index = sl_order_of(p->tuple.netns);

	return bpf_map_lookup_elem(&sl_order, &index);
}

/* allowed, and others of its datagrams may be in the queue: it goes there, too, or it would overtake them */
static __always_inline bool is_behind(const struct packet *p, struct sl_flow *flow)
{
	struct sl_order *order = flow->flags & SL_FLOW_BEHIND ? get_order(p) : NULL;

	if (!order)
		return false;
	if (!flow->behind)
		flow->behind = order->n_held;
	if (order->n_read >= flow->behind) {
		flow->flags &= ~SL_FLOW_BEHIND;
		return false;
	}
	flow->behind = __sync_fetch_and_add(&order->n_held, 1) + 1;
	return true;
}

/* @sock: NULL: it has no record any more */
static __always_inline void hold(const struct packet *p, __u64 cookie, struct sl_sock *sock,
				 __u32 dir)
{
	struct sl_held held = { .cookie = cookie, .dir = dir }, *other;
	struct sl_order *order = p->tuple.proto != IPPROTO_TCP ? get_order(p) : NULL;
	__u64 now = bpf_ktime_get_boot_ns();

	if (order)
		__sync_fetch_and_add(&order->n_held, 1);
	other = bpf_map_lookup_elem(&sl_held, &p->tuple);
	/* SO_REUSEADDR, or a raw socket: sluiced drops what it holds */
	if (other && is_anothers(other, p, cookie, now)) {
		other->is_shared = 1;
		return;
	}
	held.is_shared = other && other->cookie == cookie && other->is_shared;
	held.since_ns = now;
	if (sock) {
		sock->flags |= SL_SOCK_JUDGED;
		held.sock = *sock;
	} else {
		held.sock.flags = SL_SOCK_NO_OWNER | SL_SOCK_JUDGED;
	}
	note_ends(p, cookie);
	bpf_map_update_elem(&sl_held, &p->tuple, &held, BPF_ANY);
}
