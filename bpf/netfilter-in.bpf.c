// SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later
/**
 * DOC: netfilter, what comes in - which packets are held
 *
 * As netfilter-out.bpf.c; the socket is found by the packet's ends.
 *
 *	sl_in_held	for a governed socket, and no verdict or a denial: to the queue
 *	sl_in_peeked	of TCP: a filter looks at what comes in, and this is to be shown
 *	sl_in_ours	for a governed socket, also one that is closed by now
 *	sl_in_denied, sl_in_silent
 *			a denial is remembered for this conversation; it is a silent one
 *	sl_in_loopback	on loopback: of a conversation that a filter looks at, TCP excepted; notes which
 *			ones the other end has begun
 *	sl_in_diverted	of a proxy, not TCP: what filters look at there, and else counts
 *	sl_in_answer	an answer to a governed socket's DNS query, by its ends and its id
 */
#include "bpf/lib/bound.h"
#include "bpf/lib/held.h"
#include "bpf/lib/query.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* one that is looked at stays what it is, whoever has come to listen since; but a handshake that
 * nobody is left for is over */
static __always_inline struct sl_flow *find_looked_at(const struct packet *p, __u64 *ret_cookie)
{
	struct sl_peek *peek = NULL;
	struct sl_flow *flow;

	if (p->tuple.proto == IPPROTO_TCP)
		peek = bpf_map_lookup_elem(&sl_peeks, &p->tuple);
	flow = peek ? find_flow(p, peek->cookie) : NULL;
	if (!flow || !(peek->begin || bpf_map_lookup_elem(&sl_socks, &peek->cookie)))
		return NULL;
	*ret_cookie = peek->cookie;
	return flow;
}

SEC("socket")
int sl_in_held(struct __sk_buff *skb)
{
	struct sl_config *conf = get_config();
	struct sl_sock *sock;
	struct sl_flow *flow, *other;
	struct packet p;
	__u64 cookie, peer;
	int r;

	r = read_inbound(skb, &p);
	if (r) /* unreadable may be ours: held, and then dropped by sluiced */
		return r != LATER_FRAGMENT && conf && conf->is_closed;
	cookie = find_bound(&p);
	if (!cookie)
		return 0;
	flow = find_looked_at(&p, &cookie) ?: find_flow(&p, cookie);
	sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	if ((!flow || flow->verdict != SL_ALLOW) && p.tuple.proto != IPPROTO_TCP) {
		other = find_by_ends(&p, &peer);
		flow = other ?: flow;
		if (other && other->verdict == SL_PEEK)
			cookie = peer;
	}
	if (flow && flow->verdict == SL_ALLOW) {
		__sync_fetch_and_add(&flow->bytes_in, p.n_payload);
		flow->last_ns = bpf_ktime_get_boot_ns();
		return 0;
	}
	if (flow && flow->verdict == SL_PEEK && !is_looked_at(skb, &p, flow, SL_DIR_IN) &&
	    !begins_anew(skb, &p, flow)) {
		__sync_fetch_and_add(&flow->bytes_in, p.n_payload);
		flow->last_ns = bpf_ktime_get_boot_ns();
		return 0;
	}
	if (!flow && (p.tuple.proto == IPPROTO_ICMP || p.tuple.proto == IPPROTO_ICMPV6))
		return 0; /* an answer nobody of ours asked for: the kernel drops it */
	/* SO_REUSEPORT: the newest of several closed; another of ours is left */
	hold(&p, cookie, sock, SL_DIR_IN);
	return 1;
}

/* of what was shown, and may be lost behind us until it is acknowledged, a copy has to be the same;
 * nothing may mark it as urgent, which the program would not read in its place */
static __always_inline bool is_guarded(const struct segment *segment, const struct sl_flow *flow,
				       const struct sl_peek *peek)
{
	__u32 end = segment->seq + segment->n + !!(segment->flags & TCP_FIN);
	__u32 acked = peek->has_acked ? peek->acked : flow->base[SL_DIR_IN];

	if (!(flow->peek & SL_PEEK_GUARD) || (__s32)(acked - flow->shown) >= 0)
		return false;
	return segment->flags & TCP_URG ||
	       ((__s32)(segment->seq - flow->shown) < 0 && (__s32)(end - acked) > 0);
}

/* does it go on unseen? Of one whose verdict was forgotten nobody knows */
static __always_inline bool is_let_go(const struct segment *segment, const struct packet *p,
				      const struct sl_peek *peek)
{
	struct sl_flow *flow;

	if (!segment->n && !(segment->flags & (TCP_FIN | TCP_RST | TCP_URG)))
		return true;
	flow = find_flow(p, peek->cookie);
	return flow && flow->verdict == SL_PEEK && !(flow->peek & SL_PEEK_IN) &&
	       !is_guarded(segment, flow, peek);
}

/* most packets are of one, which TCP has found by their ends before us: nobody looks at it. The
 * flow of an accepted socket may be forgotten while filters look at it */
static __always_inline bool is_of_allowed(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);

	return sock && (sock->flags & (SL_SOCK_ALLOWED | SL_SOCK_PASSIVE)) == SL_SOCK_ALLOWED;
}

SEC("socket")
int sl_in_peeked(struct __sk_buff *skb)
{
	struct sl_config *conf = get_config();
	struct segment segment;
	struct sl_peek *peek;
	struct sl_sock *sock;
	struct packet p;
	int r;

	if (is_of_allowed(skb))
		return 0;
	r = read_inbound(skb, &p);
	if (r) /* as sl_in_held has it; without their first one, later fragments are nothing */
		return r != LATER_FRAGMENT && conf && conf->is_closed;
	if (p.tuple.proto != IPPROTO_TCP)
		return 0;
	peek = bpf_map_lookup_elem(&sl_peeks, &p.tuple);
	if (!peek)
		return 0;
	if (!p.is_fragment && !read_segment(skb, &p, &segment) && is_let_go(&segment, &p, peek))
		return 0;
	sock = bpf_map_lookup_elem(&sl_socks, &peek->cookie);
	hold(&p, peek->cookie, sock, SL_DIR_IN);
	return 1;
}

SEC("socket")
int sl_in_ours(struct __sk_buff *skb)
{
	struct packet p;
	int r;

	r = read_inbound(skb, &p);
	if (r) /* asked for held packets only: as sl_in_held has it */
		return r != LATER_FRAGMENT;
	return find_bound(&p) || bpf_map_lookup_elem(&sl_held, &p.tuple) ||
	       (p.tuple.proto == IPPROTO_TCP && bpf_map_lookup_elem(&sl_peeks, &p.tuple));
}

static __always_inline __u32 in_verdict(struct __sk_buff *skb)
{
	struct sl_flow *flow;
	struct packet p;

	if (read_inbound(skb, &p))
		return SL_UNDECIDED;
	flow = find_flow(&p, find_bound(&p));
	return flow ? flow->verdict : SL_UNDECIDED;
}

SEC("socket")
int sl_in_denied(struct __sk_buff *skb)
{
	return sl_is_denial(in_verdict(skb));
}

SEC("socket")
int sl_in_silent(struct __sk_buff *skb)
{
	return in_verdict(skb) == SL_SILENT;
}

SEC("socket")
int sl_in_answer(struct __sk_buff *skb)
{
	struct sl_query *query;
	struct sl_flow *flow;
	struct packet p;

	if (read_inbound(skb, &p))
		return 0;
	query = bpf_map_lookup_elem(&sl_resolving, &p.tuple);
	if (!query || !is_asked(skb, &p, query))
		return 0;
	flow = find_flow(&p, query->cookie); /* sl_in_held does not see this packet */
	if (flow && sl_is_denial(flow->verdict))
		return 0;
	if (flow && flow->verdict == SL_PEEK &&
	    flow->peek & (SL_PEEK_IN | SL_PEEK_GUARD)) /* read first, then shown */
		return (skb->mark & SL_MARK_MASK) != SL_MARK_NAMES << SL_MARK_SHIFT;
	if (flow)
		__sync_fetch_and_add(&flow->bytes_in, p.n_payload);
	return 1;
}

/* the other end has begun it: what answers it is not judged. If a socket of ours has, it is in sl_ends */
static __always_inline void note_came(struct packet *p)
{
	__u64 cookie = find_bound(p);
	__u64 *own = bpf_map_lookup_elem(&sl_ends, &p->tuple);

	if (!cookie || (own && *own == cookie))
		return;
	p->tuple.lo = SL_LO_CAME;
	bpf_map_update_elem(&sl_ends, &p->tuple, &cookie, BPF_ANY);
}

SEC("socket")
int sl_in_loopback(struct __sk_buff *skb)
{
	struct sl_config *conf = get_config();
	struct sl_flow *flow;
	struct packet p;
	__u64 cookie;

	if (!conf || read_inbound(skb, &p) || !p.tuple.lo || p.tuple.proto == IPPROTO_TCP ||
	    !sl_loopback_has(&conf->loopback, p.tuple.raddr))
		return 0;
	flow = find_by_ends(&p, &cookie);
	if (!flow) {
		note_came(&p);
		return 0;
	}
	if (flow->verdict == SL_PEEK && is_looked_at(skb, &p, flow, SL_DIR_IN)) {
		hold(&p, cookie, bpf_map_lookup_elem(&sl_socks, &cookie), SL_DIR_IN);
		return 1;
	}
	if (sl_is_denial(flow->verdict)) /* it may grow idle: the other end may have begun it */
		return 0;
	__sync_fetch_and_add(&flow->bytes_in, p.n_payload);
	flow->last_ns = bpf_ktime_get_boot_ns();
	return 0;
}

SEC("socket")
int sl_in_diverted(struct __sk_buff *skb)
{
	struct sl_flow *flow;
	struct packet p;
	__u64 cookie;

	if (read_inbound(skb, &p) || p.tuple.proto == IPPROTO_TCP)
		return 0;
	flow = find_by_ends(&p, &cookie);
	if (!flow || !(flow->flags & SL_FLOW_DIVERTED))
		return 0;
	if (flow->verdict == SL_PEEK && is_looked_at(skb, &p, flow, SL_DIR_IN)) {
		hold(&p, cookie, bpf_map_lookup_elem(&sl_socks, &cookie), SL_DIR_IN);
		return 1;
	}
	__sync_fetch_and_add(&flow->bytes_in, p.n_payload);
	flow->last_ns = bpf_ktime_get_boot_ns();
	return 0;
}
