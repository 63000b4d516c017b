// SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later
/**
 * DOC: sockops - listeners, accepted sockets, the end of TCP
 *
 * An accepted socket is made in softirq, where "current" is nobody: it gets
 * the identity of its listener through socket storage that the kernel clones. Its flow was
 * judged in the name of the newest listener on the port, which may be another one.
 * Of a connection that filters look at, sl_peeks has that name, and is told where TCP begins.
 * At the last TCP state the byte counts of the socket itself are reported.
 */
#include "bpf/lib/binds.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define AF_INET 2
#define SOCK_DONE_BIT 1 /* enum sock_flags: the peer's FIN was taken */

static __always_inline void local_address(struct bpf_sock_ops *ctx, __u8 to[16])
{
	__u32 word[4];

	if (ctx->family == AF_INET) {
		unmap4(to, ctx->local_ip4);
		return;
	}
	word[0] = ctx->local_ip6[0];
	word[1] = ctx->local_ip6[1];
	word[2] = ctx->local_ip6[2];
	word[3] = ctx->local_ip6[3];
	__builtin_memcpy(to, word, 16);
}

static __always_inline void remote_address(struct bpf_sock_ops *ctx, __u8 to[16])
{
	__u32 word[4];

	if (ctx->family == AF_INET) {
		unmap4(to, ctx->remote_ip4);
		return;
	}
	word[0] = ctx->remote_ip6[0];
	word[1] = ctx->remote_ip6[1];
	word[2] = ctx->remote_ip6[2];
	word[3] = ctx->remote_ip6[3];
	__builtin_memcpy(to, word, 16);
}

static __always_inline void listening(struct bpf_sock_ops *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	struct bpf_sock *sk = ctx->sk;
	struct sl_bind_key key = {};

	if (!sk)
		return;
	if (!sock) { /* MPTCP's own subflow: nobody called socket(2) for it */
		struct sl_sock unknown = { .flags = SL_SOCK_NO_OWNER | SL_SOCK_STREAM,
					   .netns = bpf_get_netns_cookie(ctx) };

		bpf_map_update_elem(&sl_socks, &cookie, &unknown, BPF_NOEXIST);
		sock = bpf_map_lookup_elem(&sl_socks, &cookie);
		if (!sock)
			return;
	}
	sock->flags |= SL_SOCK_USED; /* it may connect afterwards, to whom it has heard */
	bpf_sk_storage_get(&sl_listener, sk, &cookie, BPF_SK_STORAGE_GET_F_CREATE);
	key.netns = sock->netns;
	local_address(ctx, key.addr);
	key.port = ctx->local_port;
	key.proto = IPPROTO_TCP;
	bind_add(sock, &key, cookie);
}

/* each new connection has another bucket of the map, which no cache holds */
static __always_inline struct sl_peek *find_peek(struct bpf_sock_ops *ctx)
{
	struct sl_tuple tuple = { .proto = IPPROTO_TCP };
	struct sl_config *conf = get_config();
	struct sl_peek *peek;

	if (conf && !conf->has_peeks)
		return NULL;
	tuple.netns = bpf_get_netns_cookie(ctx);
	local_address(ctx, tuple.laddr);
	remote_address(ctx, tuple.raddr);
	tuple.lport = ctx->local_port;
	tuple.rport = bpf_ntohl(ctx->remote_port);
	peek = bpf_map_lookup_elem(&sl_peeks, &tuple);
	if (peek || !sl_is_loopback(tuple.raddr))
		return peek;
	tuple.lo = SL_LO_IS;
	return bpf_map_lookup_elem(&sl_peeks, &tuple);
}

/* no handshake but this one was taken: what sluiced lets in must be of it */
static __always_inline void connected(struct bpf_sock_ops *ctx)
{
	struct sl_peek *peek = find_peek(ctx);

	if (!peek)
		return;
	peek->begin = SL_PEEK_BEGUN | ctx->rcv_nxt;
	peek->acked = ctx->rcv_nxt;
	peek->has_acked = 1;
}

/* its key in sl_flows. Of one that nobody looks at: its listener's, or the newest's on the port */
static __always_inline struct sl_flow *
find_judged(struct bpf_sock_ops *ctx, const struct sl_sock *listener, struct sl_flow_key *key)
{
	struct sl_peek *peek = find_peek(ctx);
	struct sl_bind_key bind_key;
	struct sl_bind *bind;
	struct sl_flow *flow;

	if (peek)
		key->cookie = peek->cookie;
	flow = bpf_map_lookup_elem(&sl_flows, key);
	if (flow || peek)
		return flow;
	bind = bind_find(listener, &bind_key);
	if (bind)
		key->cookie = bind->cookie;
	return bpf_map_lookup_elem(&sl_flows, key);
}

static __always_inline void accepted(struct bpf_sock_ops *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct bpf_sock *sk = ctx->sk;
	struct sl_flow_key key = { .proto = IPPROTO_TCP };
	struct sl_sock *listener, child;
	struct sl_flow *flow;
	__u64 *parent;

	if (!sk)
		return;
	parent = bpf_sk_storage_get(&sl_listener, sk, 0, 0);
	listener = parent ? bpf_map_lookup_elem(&sl_socks, parent) : NULL;
	if (!listener) /* both sides have begun it, or it is not governed */
		return;
	child = *listener;
	child.bound_port = 0; /* the entry in sl_binds stays the listener's */
	key.cookie = *parent;
	key.rport = bpf_ntohl(ctx->remote_port);
	remote_address(ctx, key.raddr);
	flow = find_judged(ctx, listener, &key);
	child.listener = flow ? key.cookie : *parent;
	/* its SYN was let in, or it would not be here */
	child.flags |= SL_SOCK_PASSIVE;
	if (flow)
		child.flags |= SL_SOCK_JUDGED;
	if (!flow || flow->verdict == SL_ALLOW)
		child.flags |= SL_SOCK_ALLOWED;
	bpf_map_update_elem(&sl_socks, &cookie, &child, BPF_ANY);
	bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void count(struct bpf_sock_ops *ctx, struct sl_event *event)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tcp;
	unsigned long flags;
	__u64 fin;

	tcp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	if (!tcp)
		return;
	flags = BPF_CORE_READ(tcp, inet_conn.icsk_inet.sk.__sk_common.skc_flags);
	/* bytes_received counts the peer's FIN as one byte */
	fin = flags >> SOCK_DONE_BIT & 1;
	event->bytes_in = BPF_CORE_READ(tcp, bytes_received);
	if (event->bytes_in)
		event->bytes_in -= fin;
	event->bytes_out = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
}

static __always_inline void tell_closed(struct bpf_sock_ops *ctx, const struct sl_flow_key *key,
					bool is_forgotten)
{
	__u32 before = ctx->args[0];
	struct sl_event *event = event_new(SL_EV_TCP_CLOSED, key->cookie);

	if (!event)
		return;
	__builtin_memcpy(event->raddr, key->raddr, 16);
	event->rport = key->rport;
	event->is_forgotten = is_forgotten;
	event->peer_rests = before == BPF_TCP_LAST_ACK;
	count(ctx, event);
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline void closed(struct bpf_sock_ops *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	struct sl_flow_key key = { .proto = IPPROTO_TCP };
	bool is_gone;

	if (!sock)
		return;
	is_gone = sock->flags & (SL_SOCK_GONE | SL_SOCK_PASSIVE);
	if (sock->flags & SL_SOCK_JUDGED) {
		key.cookie = sock->listener ? sock->listener : cookie;
		key.rport = bpf_ntohl(ctx->remote_port);
		remote_address(ctx, key.raddr);
		if (is_gone) /* else the reset of a disconnect is to come, and is of this flow */
			forget_flow(&key);
		tell_closed(ctx, &key, is_gone);
	}
	if (is_gone)
		bpf_map_delete_elem(&sl_socks, &cookie);
	else /* the descriptor lives and may connect or listen again */
		sock->flags &=
			~(SL_SOCK_ALLOWED | SL_SOCK_JUDGED | SL_SOCK_DIVERTED | SL_SOCK_QUIET);
}

/* connect(2) to no address means loopback: sl_connect4 and sl_connect6 have not seen where it goes */
static __always_inline void begun(struct bpf_sock_ops *ctx)
{
	struct sl_flow_key key = { .proto = IPPROTO_TCP };

	remote_address(ctx, key.raddr);
	if (!sl_is_loopback(key.raddr))
		return;
	key.cookie = bpf_get_socket_cookie(ctx);
	key.rport = bpf_ntohl(ctx->remote_port);
	forget_flow(&key);
}

SEC("sockops")
int sl_sockops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
		begun(ctx);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		listening(ctx);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		accepted(ctx);
		connected(ctx);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		connected(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_CLOSE)
			closed(ctx);
		break;
	}
	return 1;
}
