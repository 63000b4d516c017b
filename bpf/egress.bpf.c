// SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later
/**
 * DOC: egress - what nobody has judged does not leave, rules or no rules
 *
 * cgroup_skb/egress, attached when the fail class is closed, or there are proxies. It sees each
 * packet of a governed socket behind all of netfilter, so while our nft table
 * is there everything that comes here has its verdict. When another program
 * has taken the table away, or its rules, the rest is dropped here: the sender
 * gets EPERM, and TCP sends its SYN again a second later.
 *
 * What is a proxy's leaves on loopback alone, where the rules have sent it: without them it
 * would go on to the destination, in the middle of a connection that is not known there. That
 * holds under both fail classes; all else is the closed one's.
 *
 * Another owner's DNAT may have changed the destination behind our chains. A
 * verdict is then found by what the socket is connected to. A datagram of an
 * unconnected socket passes if sl_out_held has seen the last one that
 * sl_sendmsg did (SL_SOCK_UNSEEN): there are rules, and they have let it pass.
 */
#include "bpf/lib/binds.h"
#include "bpf/lib/packet.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { REFUSE = 0, GO_ON = 1 };

static __always_inline bool is_connected(struct bpf_sock *sk)
{
	return sk->state == BPF_TCP_ESTABLISHED;
}

/* the verdict on the socket's own peer, whatever the packet says */
static __always_inline struct sl_flow *find_peer(const struct packet *p, __u64 cookie,
						 struct bpf_sock *sk)
{
	struct sl_flow_key key = {};
	__u32 word[4];

	if (sk->family == AF_INET) {
		unmap4(key.raddr, sk->dst_ip4);
	} else {
		word[0] = sk->dst_ip6[0];
		word[1] = sk->dst_ip6[1];
		word[2] = sk->dst_ip6[2];
		word[3] = sk->dst_ip6[3];
		__builtin_memcpy(key.raddr, word, 16);
	}
	key.cookie = cookie;
	key.proto = p->tuple.proto;
	if (has_ports(key.proto))
		key.rport = bpf_ntohs(sk->dst_port);
	return bpf_map_lookup_elem(&sl_flows, &key);
}

/* several sockets may listen on a port: sl_in_held judges in the name of the newest, which
 * may be another one since */
static __always_inline struct sl_flow *find_inbound(const struct packet *p,
						    const struct sl_sock *listener)
{
	struct sl_peek *peek = bpf_map_lookup_elem(&sl_peeks, &p->tuple);
	struct sl_bind_key key;
	struct sl_bind *bind;

	if (peek)
		return find_flow(p, peek->cookie);
	bind = bind_find(listener, &key);
	return bind ? find_flow(p, bind->cookie) : NULL;
}

/* closed by now: its last packet was judged, or is the kernel's reset. What is still marked as held
 * or denied was not let go: the gate has not known it. And no hook tells of the sockets that SCTP
 * and DCCP make when they accept */
static __always_inline int of_nobody(struct __sk_buff *skb)
{
	struct packet p;

	if (skb->mark & SL_MARK_MASK || read_packet(skb, &p, true))
		return REFUSE;
	return p.tuple.proto == IPPROTO_SCTP || p.tuple.proto == IPPROTO_DCCP ? REFUSE : GO_ON;
}

/* of a flow that filters look at, what sluiced has let go, and what carries nothing */
static __always_inline int may_leave(struct __sk_buff *skb, const struct packet *p,
				     struct sl_flow *flow)
{
	struct segment segment;
	__u32 limit;

	if (flow->flags & SL_FLOW_DIVERTED)
		return REFUSE;
	if (flow->verdict != SL_PEEK)
		return flow->verdict == SL_ALLOW ? GO_ON : REFUSE;
	if (!(flow->peek & SL_PEEK_OUT))
		return GO_ON;
	if (p->tuple.proto != IPPROTO_TCP) {
		if (flow->left + p->n_payload > flow->passed[SL_DIR_OUT])
			return REFUSE;
		__sync_fetch_and_add(&flow->left, p->n_payload);
		return GO_ON;
	}
	if (read_segment(skb, p, &segment))
		return REFUSE;
	if (!segment.n)
		return GO_ON;
	limit = flow->base[SL_DIR_OUT] + (__u32)flow->passed[SL_DIR_OUT];
	return flow->peek & SL_PEEK_BASE_OUT && (__s32)(segment.seq + segment.n - limit) <= 0
		       ? GO_ON
		       : REFUSE;
}

/* no flow is known with these ends. It is a proxy's all the same, and no instance's rules have sent it to a
 * listener: a first packet whose socket is gone by now, or another owner has sent it elsewhere */
static __always_inline bool is_untranslated(const struct __sk_buff *skb, const struct sl_sock *sock)
{
	return (sock && sock->flags & SL_SOCK_LED) ||
	       (skb->mark & SL_MARK_MASK) == SL_MARK_DIVERT << SL_MARK_SHIFT;
}

/* the fail class is open, and there are proxies */
static __always_inline int may_leave_open(struct __sk_buff *skb, const struct packet *p,
					  const struct sl_sock *sock, __u64 cookie,
					  struct bpf_sock *sk)
{
	struct sl_flow *flow = sock->listener ? NULL : find_flow(p, cookie);

	/* another owner may have sent it elsewhere */
	if (!flow && sk && (p->tuple.proto == IPPROTO_TCP || is_connected(sk)))
		flow = find_peer(p, cookie, sk);
	if (flow)
		return flow->flags & SL_FLOW_DIVERTED ? REFUSE : GO_ON;
	return is_untranslated(skb, sock) ? REFUSE : GO_ON;
}

SEC("cgroup_skb/egress")
int sl_egress(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb); /* of an answer to a SYN: the listener's */
	struct sl_config *conf = get_config();
	struct bpf_sock *sk = skb->sk;
	struct sl_sock *sock;
	struct sl_flow *flow;
	struct packet p;
	bool is_open;

	if (skb->ifindex == LOOPBACK_IFINDEX)
		return GO_ON;
	sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	if (sock && sock->flags & SL_SOCK_DIVERTED)
		return REFUSE;
	if (sock && sock->flags & SL_SOCK_ALLOWED && is_plain(skb))
		return GO_ON;
	is_open = conf && !conf->is_closed;
	if (!sock)
		return is_open && !is_untranslated(skb, NULL) ? GO_ON : of_nobody(skb);
	if (read_packet(skb, &p, true))
		return is_open ? GO_ON : REFUSE;
	p.tuple.netns = sock->netns;
	if (is_open)
		return may_leave_open(skb, &p, sock, cookie, sk ? bpf_sk_fullsock(sk) : NULL);
	flow = find_flow(&p, sock->listener ? sock->listener : cookie);
	if (flow)
		return may_leave(skb, &p, flow);
	if (sock->flags & SL_SOCK_UNSEEN || !sk)
		return REFUSE;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return REFUSE;
	if ((p.tuple.proto == IPPROTO_UDP || p.tuple.proto == IPPROTO_UDPLITE) && !is_connected(sk))
		return is_untranslated(skb, sock) ? REFUSE : GO_ON;
	flow = sk->state == BPF_TCP_LISTEN ? find_inbound(&p, sock) : find_peer(&p, cookie, sk);
	return flow ? may_leave(skb, &p, flow) : REFUSE;
}
