// SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later
/**
 * DOC: socket - the life of a governed socket
 *
 * cgroup/sock_create writes its creator into sl_socks, cgroup/post_bind* what
 * it is bound to into sl_binds, cgroup/sock_release takes both out. A
 * socket is refused only under a closed fail class, when nobody could govern it.
 */
#include "bpf/lib/binds.h"
#include "bpf/lib/identity.h"
#include "bpf/lib/netns.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { REFUSE = 0, GO_ON = 1 };

static __always_inline bool is_unseen(struct bpf_sock *ctx)
{
	return ctx->type == SOCK_RAW || ctx->protocol == IPPROTO_ICMP ||
	       ctx->protocol == IPPROTO_ICMPV6;
}

SEC("cgroup/sock_create")
int sl_create(struct bpf_sock *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct sl_sock sock = {};
	struct sl_config *conf;
	bool is_closed, is_governed;

	/* first of all: the verifier would walk it anew for each way that leads here */
	who_is_current(&sock.owner);
	sock.user = sock.owner;
	sock.netns = bpf_get_netns_cookie(ctx);
	if (ctx->type == SOCK_STREAM)
		sock.flags = SL_SOCK_STREAM;
	conf = get_config();
	is_closed = conf && conf->is_closed;
	is_governed =
		has_plane(sock.netns); /* which asks for it: this is before the first packet */
	/* no hook sees what such a socket sends */
	if (is_closed && is_unseen(ctx) && !is_governed)
		return REFUSE;
	if (bpf_map_update_elem(&sl_socks, &cookie, &sock, BPF_ANY) && is_closed)
		return REFUSE; /* the map is full: nobody could govern it */
	return GO_ON;
}

static __always_inline void bound(struct bpf_sock *ctx, const __u8 addr[16])
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	struct sl_bind_key key = {};

	if (!sock || (ctx->protocol != IPPROTO_UDP && ctx->protocol != IPPROTO_UDPLITE))
		return;
	key.netns = sock->netns;
	__builtin_memcpy(key.addr, addr, 16);
	key.port = ctx->src_port;
	key.proto = ctx->protocol;
	bind_add(sock, &key, cookie);
}

SEC("cgroup/post_bind4")
int sl_bind4(struct bpf_sock *ctx)
{
	__u8 addr[16];

	unmap4(addr, ctx->src_ip4);
	bound(ctx, addr);
	return GO_ON;
}

SEC("cgroup/post_bind6")
int sl_bind6(struct bpf_sock *ctx)
{
	__u32 word[4];

	word[0] = ctx->src_ip6[0];
	word[1] = ctx->src_ip6[1];
	word[2] = ctx->src_ip6[2];
	word[3] = ctx->src_ip6[3];
	bound(ctx, (const __u8 *)word);
	return GO_ON;
}

/* A proxy waits for it: to its end of the connection this looks like a half close. One that asks does so
 * when it gets the end, which leaves now, unless that has been a half close before */
static __always_inline void tell_abandoned(__u64 cookie, __u32 flags, __u32 state)
{
	struct sl_event *event = event_new(SL_EV_ABANDONED, cookie);
	bool is_end_new = state == BPF_TCP_ESTABLISHED || state == BPF_TCP_CLOSE_WAIT;

	if (event)
		bpf_ringbuf_submit(event, flags & SL_SOCK_QUIET && is_end_new
						  ? BPF_RB_NO_WAKEUP
						  : BPF_RB_FORCE_WAKEUP);
}

SEC("cgroup/sock_release")
int sl_release(struct bpf_sock *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	struct sl_event *event;

	if (!sock)
		return GO_ON;
	if (sock->bound_port)
		bind_remove(sock);
	/* TCP goes on without its descriptor until its last state: see sl_sockops */
	if (ctx->protocol == IPPROTO_TCP && ctx->state != BPF_TCP_CLOSE &&
	    ctx->state != BPF_TCP_LISTEN) {
		sock->flags |= SL_SOCK_GONE;
		if (sock->flags & SL_SOCK_DIVERTED)
			tell_abandoned(cookie, sock->flags, ctx->state);
		return GO_ON;
	}
	if (sock->flags & SL_SOCK_JUDGED && ctx->protocol != IPPROTO_TCP) {
		event = event_new(SL_EV_RELEASED, cookie);
		if (event)
			bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	}
	bpf_map_delete_elem(&sl_socks, &cookie);
	return GO_ON;
}
