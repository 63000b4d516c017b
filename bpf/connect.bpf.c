// SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later
/**
 * DOC: connect - notes who uses a socket, at the moment of use
 *
 * cgroup/connect4,6 and cgroup/sendmsg4,6. The user may not be the creator:
 * forked, passed over SCM_RIGHTS, changed by exec or setuid.
 *
 * Refuses a datagram to a destination that was rejected for this socket before
 * (the same errno that the first rejection gives); and, when the fail class is
 * closed, what nobody can govern: traffic in a network namespace that the plane is
 * not in, or not yet, and a socket for which the map has no room.
 */
#include "bpf/lib/identity.h"
#include "bpf/lib/netns.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { REFUSE = 0, GO_ON = 1 };
enum { SL_EPERM = 1, SL_ECONNREFUSED = 111 };

#define PF_KTHREAD 0x00200000

/* what the program has called socket(2) for, if @ctx is of one of its TCP connections */
static __always_inline struct sl_sock *find_mptcp(struct bpf_sock_addr *ctx)
{
	struct mptcp_sock *mptcp;
	struct bpf_sock *sk = ctx->sk;
	__u64 cookie;

	if (!bpf_core_type_exists(struct mptcp_sock) || !sk || ctx->protocol != IPPROTO_TCP)
		return NULL;
	mptcp = bpf_skc_to_mptcp_sock(sk);
	if (!mptcp)
		return NULL;
	cookie = BPF_CORE_READ(mptcp, sk.icsk_inet.sk.__sk_common.skc_cookie.counter);
	return bpf_map_lookup_elem(&sl_socks, &cookie);
}

/* the first connection of MPTCP is made by the program, further ones by the kernel for it */
static __always_inline void note_mptcp(struct bpf_sock_addr *ctx, struct sl_sock *sock,
				       bool is_kernel)
{
	struct sl_sock *mptcp = find_mptcp(ctx);

	if (!mptcp)
		return;
	sock->owner = mptcp->owner;
	sock->flags &= ~SL_SOCK_NO_OWNER;
	if (is_kernel)
		sock->user = mptcp->user;
	else
		mptcp->user = sock->user;
}

static __always_inline struct sl_sock *note_user(struct bpf_sock_addr *ctx, __u64 cookie,
						 __u64 netns)
{
	bool is_kernel = bpf_get_current_task_btf()->flags & PF_KTHREAD;
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);

	if (!sock) { /* older than the instance, or made by the kernel for MPTCP */
		struct sl_sock fresh = { .flags = SL_SOCK_NO_OWNER, .netns = netns };

		if (ctx->type == SOCK_STREAM)
			fresh.flags |= SL_SOCK_STREAM;

		bpf_map_update_elem(&sl_socks, &cookie, &fresh, BPF_NOEXIST);
		sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	}
	if (!sock)
		return NULL;
	if (!is_kernel)
		who_is_current(&sock->user);
	note_mptcp(ctx, sock, is_kernel);
	return sock;
}

/* a new conversation, even with the same peer. Most sockets connect once, and nobody knows theirs */
static __always_inline void begin_anew(struct sl_sock *sock, struct sl_flow_key *key)
{
	if (sock->flags & (SL_SOCK_USED | SL_SOCK_NO_OWNER))
		forget_flow(key);
	sock->flags |= SL_SOCK_USED;
}

/* the fail class decides where no plane is installed */
static __always_inline int elsewhere(struct bpf_sock_addr *ctx, struct sl_config *conf,
				     const __u8 addr[16])
{
	if (sl_is_loopback(addr))
		return GO_ON;
	__sync_fetch_and_add(&conf->n_elsewhere, 1);
	if (!conf->is_closed)
		return GO_ON;
	bpf_set_retval(-SL_EPERM);
	return REFUSE;
}

/* a connected socket of IPv6 sends to its IPv4 peer as if it had named it; the refusal
 * must reach it as it reaches every connected socket, after the call */
static __always_inline bool is_peer(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk && sk->state == BPF_TCP_ESTABLISHED && sk->dst_ip4 == ctx->user_ip4 &&
	       sk->dst_port == ctx->user_port;
}

/* where another owner sends it elsewhere, sl_egress cannot tell by the packet */
static __always_inline void note_led(struct sl_sock *sock, const struct sl_flow *flow)
{
	bool is_led = flow && flow->flags & SL_FLOW_DIVERTED;

	if (is_led && !(sock->flags & SL_SOCK_LED))
		sock->flags |= SL_SOCK_LED;
	if (!is_led && sock->flags & SL_SOCK_LED)
		sock->flags &= ~SL_SOCK_LED;
}

static __always_inline int used(struct bpf_sock_addr *ctx, const __u8 addr[16], bool is_connect,
				bool is_to_peer)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	__u64 netns = bpf_get_netns_cookie(ctx);
	struct sl_sock *sock = note_user(ctx, cookie, netns);
	struct sl_config *conf = get_config();
	struct sl_flow_key key = {};
	struct sl_flow *flow;

	if (!conf)
		return GO_ON;
	if (!sock) /* the map is full: nobody can govern it */
		return conf->is_closed ? REFUSE : GO_ON;
	if (is_connect) {
		sock->flags &= ~(SL_SOCK_ALLOWED | SL_SOCK_DIVERTED | SL_SOCK_QUIET | SL_SOCK_LED);
		sock->listener = 0; /* if it was accepted, this is no conversation of that one's */
	}
	if (!has_plane(netns))
		return elsewhere(ctx, conf, addr);
	key.cookie = cookie;
	__builtin_memcpy(key.raddr, addr, 16);
	key.rport = bpf_ntohs(ctx->user_port);
	key.proto = ctx->protocol;
	if (is_connect && ctx->protocol == IPPROTO_TCP)
		begin_anew(sock, &key);
	if (is_connect)
		return GO_ON;
	if (is_to_peer)
		return GO_ON;
	key.lo = sl_is_loopback(addr) ? SL_LO_IS
				      : SL_LO_NOT; /* by another interface the rules look */
	flow = bpf_map_lookup_elem(&sl_flows, &key);
	note_led(sock, flow);
	if (conf->is_closed && !sl_is_loopback(addr) && (!flow || flow->verdict != SL_ALLOW))
		sock->flags |= SL_SOCK_UNSEEN; /* until sl_out_held has it: see egress.bpf.c */
	if (!flow || flow->verdict != SL_REJECT)
		return GO_ON;
	bpf_set_retval(-SL_ECONNREFUSED);
	return REFUSE;
}

static __always_inline int used4(struct bpf_sock_addr *ctx, bool is_connect)
{
	__u8 addr[16];

	unmap4(addr, ctx->user_ip4);
	return used(ctx, addr, is_connect, is_peer(ctx));
}

static __always_inline int used6(struct bpf_sock_addr *ctx, bool is_connect)
{
	__u32 word[4];

	word[0] = ctx->user_ip6[0];
	word[1] = ctx->user_ip6[1];
	word[2] = ctx->user_ip6[2];
	word[3] = ctx->user_ip6[3];
	return used(ctx, (const __u8 *)word, is_connect, false); /* it is not run for a peer */
}

SEC("cgroup/connect4")
int sl_connect4(struct bpf_sock_addr *ctx)
{
	return used4(ctx, true);
}

SEC("cgroup/connect6")
int sl_connect6(struct bpf_sock_addr *ctx)
{
	return used6(ctx, true);
}

SEC("cgroup/sendmsg4")
int sl_sendmsg4(struct bpf_sock_addr *ctx)
{
	return used4(ctx, false);
}

SEC("cgroup/sendmsg6")
int sl_sendmsg6(struct bpf_sock_addr *ctx)
{
	return used6(ctx, false);
}
