// SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later
/**
 * DOC: netfilter, what leaves - which packets are held
 *
 * Socket filters, called by the nft rules of src/kernel/nft.c (xt_bpf) on the
 * packets of the namespace; the context is an IP packet. A packet belongs to
 * us when its socket is in sl_socks, which no mark can forge. Returning 1 is
 * a match. Neither the packet nor its mark is changed here.
 *
 *	sl_out_held	no verdict, or a denial: to the queue, sluiced answers both
 *	sl_out_crowd	of these, one too many of a user: not to the queue, where others wait
 *	sl_out_ours	belongs to a governed socket, also one that is closed by now
 *	sl_out_allowed	the verdict on its own conversation lets it go, and its socket is there
 *	sl_out_denied, sl_out_silent
 *			a denial is remembered for this conversation; it is a silent one
 *	sl_out_query	never matches; notes who sends datagrams, and asks a name server, on loopback
 *	sl_out_loopback	on loopback: to an address of a network that some rule names
 *	sl_out_diverted	its flow is a proxy's
 *	sl_out_proxy	a proxy sends it
 */
#include "bpf/lib/binds.h"
#include "bpf/lib/cgroup.h"
#include "bpf/lib/held.h"
#include "bpf/lib/query.h"
#include "bpf/lib/route.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* replies to a socket that only ever sent must find it: see find_bound() */
static __always_inline void note_sender(struct __sk_buff *skb, const struct packet *p, __u64 cookie,
					struct sl_sock *sock)
{
	struct sl_bind fresh = { .cookie = cookie, .refs = 1 };
	struct bpf_sock *sk = skb->sk;
	struct sl_bind_key key = {};

	if (sock->bound_port == p->tuple.lport || p->tuple.proto == IPPROTO_TCP)
		return;
	if (sock->bound_port) /* disconnected, and bound anew by the kernel */
		bind_remove(sock);
	/* a socket of IPv6 is sent to over both */
	key.netns = sock->netns;
	any_of_family(key.addr, sk ? sk->family == AF_INET : sl_is_mapped4(p->tuple.laddr));
	key.port = p->tuple.lport;
	key.proto = p->tuple.proto;
	if (!key.port || bpf_map_update_elem(&sl_binds, &key, &fresh, BPF_NOEXIST))
		return;
	sock->bound_port = key.port;
	sock->bound_proto = key.proto;
	__builtin_memcpy(sock->bound_addr, key.addr, 16);
}

/* is it in the queue, and known there? */
static __always_inline bool is_held(struct __sk_buff *skb, struct packet *p, __u64 cookie)
{
	struct sl_held *held;

	p->tuple.netns = netns_of_sender(skb);
	p->tuple.lo = lo_of_sent(skb, p->tuple.raddr);
	held = bpf_map_lookup_elem(&sl_held, &p->tuple);
	return held && (held->cookie == cookie || held->sock.listener);
}

/*
 * A packet with our mark, and its socket has no record. It was closed while the packet was held.
 * sl_held alone does not tell: it forgets what is old, and what sluiced has judged while another
 * packet with these ends was on its way to the queue. The socket's cgroup does not change; one
 * that was passed in from another cgroup is known by sl_held only.
 */
static __always_inline bool was_ours(struct __sk_buff *skb, __u64 cookie)
{
	struct packet p;

	return is_of_governed(skb) || (!read_packet(skb, &p, true) && is_held(skb, &p, cookie));
}

/* its socket was closed while it was held, and it is seen again: a successor queues it anew, or
 * filters want to look at it */
static __always_inline int held_before(struct __sk_buff *skb, __u64 cookie)
{
	__u32 mark = (skb->mark & SL_MARK_MASK) >> SL_MARK_SHIFT;
	struct packet p;

	return (mark == SL_MARK_HELD || mark == SL_MARK_AGAIN) && !read_packet(skb, &p, true) &&
	       is_held(skb, &p, cookie);
}

/* its verdict holds for all that it sends, so the packets need not be looked at */
static __always_inline bool is_stream(const struct packet *p, const struct sl_sock *sock)
{
	return p->tuple.proto == IPPROTO_TCP && sock->flags & SL_SOCK_STREAM;
}

static __always_inline bool is_remembered(const struct packet *p, const struct sl_sock *sock)
{
	struct sl_memory_key key = { .app = sl_app_of(&sock->user, sock->netns) };
	struct sl_config *conf = get_config();
	struct sl_memory *memory;

	if (!conf || !sock->user.start_ns)
		return false;
	__builtin_memcpy(key.raddr, p->tuple.raddr, 16);
	key.rport = p->tuple.rport;
	key.proto = p->tuple.proto;
	memory = bpf_map_lookup_elem(&sl_memory, &key);
	return memory && memory->generation == conf->generation &&
	       bpf_ktime_get_boot_ns() < memory->expiry_ns;
}

/* as sluiced does after a verdict; false when it could not be told: it is asked then */
static __always_inline bool allow_remembered(struct __sk_buff *skb, const struct packet *p,
					     __u64 cookie, struct sl_sock *sock)
{
	struct sl_flow flow = { .verdict = SL_ALLOW, .dir = SL_DIR_OUT };
	struct sl_remembered *event;
	struct sl_flow_key key = {};

	event = bpf_ringbuf_reserve(&sl_events, sizeof(*event), 0);
	if (!event)
		return false;
	sock->flags |= SL_SOCK_JUDGED | (is_stream(p, sock) ? SL_SOCK_ALLOWED : 0);
	__builtin_memset(&event->event, 0, sizeof(event->event));
	event->event.kind = SL_EV_REMEMBERED;
	event->event.cookie = cookie;
	event->tuple = p->tuple;
	event->held.cookie = cookie;
	event->held.dir = SL_DIR_OUT;
	event->held.is_shared = 0;
	event->held.since_ns = 0;
	event->held.sock = *sock;
	event->ifindex = flow.ifindex = ifindex_of_route(skb);
	event->pad = 0;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	note_sender(skb, p, cookie, sock);
	note_ends(p, cookie);
	key.cookie = cookie;
	__builtin_memcpy(key.raddr, p->tuple.raddr, 16);
	key.rport = p->tuple.rport;
	key.proto = p->tuple.proto;
	flow.tuple = p->tuple;
	flow.bytes_out = p->n_payload;
	flow.last_ns = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&sl_flows, &key, &flow, BPF_ANY);
	return true;
}

/* what comes in and is looked at, once there is a connection: the socket has it for good, as it
 * says in all that it sends. A packet that is queued again says less than is known */
static __always_inline void note_acked(struct __sk_buff *skb, const struct packet *p, __u64 owner)
{
	struct sl_peek *peek = bpf_map_lookup_elem(&sl_peeks, &p->tuple);
	struct segment segment;

	if (!peek || peek->cookie != owner || read_segment(skb, p, &segment) ||
	    (segment.flags & (TCP_ACK | TCP_RST | TCP_SYN)) != TCP_ACK)
		return;
	if (peek->has_acked && (__s32)(segment.ack - peek->acked) <= 0)
		return;
	peek->acked = segment.ack;
	peek->has_acked = 1;
}

/* Loopback is judged where a conversation begins, and nowhere else: what was accepted, or came in
 * first (sl_in_loopback), is the other end's */
static __always_inline bool is_answer(const struct packet *p, __u64 cookie,
				      const struct sl_sock *sock)
{
	struct sl_tuple tuple = p->tuple;
	__u64 *came;

	if (is_stream(p, sock))
		return sock->listener; /* not one that has connected since */
	if (find_flow(p, cookie))
		return false;
	tuple.lo = SL_LO_CAME;
	came = bpf_map_lookup_elem(&sl_ends, &tuple);
	return came && *came == cookie;
}

/* SO_BINDTODEVICE: it takes nothing that comes in elsewhere. What is sent to all of a network is answered by others */
static __always_inline void note_bound(struct __sk_buff *skb, const struct packet *p,
				       struct sl_sock *sock)
{
	struct bpf_sock *sk = skb->sk;

	sock->flags &= ~(SL_SOCK_BOUND | SL_SOCK_TO_ALL);
	if (sk && sk->bound_dev_if && sk->bound_dev_if != LOOPBACK_IFINDEX)
		sock->flags |= SL_SOCK_BOUND;
	if (p->tuple.proto == IPPROTO_UDP && is_broadcast_route(skb, p->tuple.raddr))
		sock->flags |= SL_SOCK_TO_ALL;
}

/* a proxy has what this socket says to this peer from the ends that it had: from others, by another address of
 * its machine or bound anew, it begins again */
static __always_inline bool has_moved(const struct packet *p, const struct sl_flow *flow)
{
	const __u64 *here = (const __u64 *)p->tuple.laddr;
	const __u64 *before = (const __u64 *)flow->tuple.laddr;

	return flow->flags & SL_FLOW_DIVERTED && p->tuple.proto == IPPROTO_UDP &&
	       (p->tuple.lport != flow->tuple.lport || here[0] != before[0] ||
		here[1] != before[1]);
}

/* by its verdict, this packet: counted, or its socket is known as allowed and comes here no more */
static __always_inline bool goes_on(struct __sk_buff *skb, const struct packet *p,
				    struct sl_sock *sock, struct sl_flow *flow, __u64 owner)
{
	if (flow->flags & SL_FLOW_DIVERTED && is_stream(p, sock))
		sock->flags |= SL_SOCK_DIVERTED | (flow->flags & SL_FLOW_QUIET ? SL_SOCK_QUIET : 0);
	if (flow->verdict == SL_ALLOW && is_stream(p, sock)) {
		if (!p->tuple.lo) /* it may be bound to another interface any time */
			sock->flags |= SL_SOCK_ALLOWED;
		return true;
	}
	/* a listener answers handshakes, also such as come to nothing */
	if (flow->verdict == SL_PEEK && is_stream(p, sock) &&
	    (flow->dir == SL_DIR_OUT || sock->flags & SL_SOCK_PASSIVE))
		note_acked(skb, p, owner);
	if (flow->verdict == SL_ALLOW
		    ? has_moved(p, flow) || is_behind(p, flow)
		    : flow->verdict != SL_PEEK || is_looked_at(skb, p, flow, SL_DIR_OUT))
		return false;
	__sync_fetch_and_add(&flow->bytes_out, p->n_payload);
	flow->last_ns = bpf_ktime_get_boot_ns();
	return true;
}

SEC("socket")
int sl_out_held(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_sock *sock;
	struct sl_flow *flow;
	struct packet p;
	__u64 owner;

	sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	if (!sock)
		return held_before(skb, cookie);
	if (sock->flags & SL_SOCK_ALLOWED && is_plain(skb))
		return 0;
	if (sock->flags & SL_SOCK_UNSEEN)
		sock->flags &= ~SL_SOCK_UNSEEN;
	if (read_packet(skb, &p, true))
		return 1; /* unreadable and ours: nobody can allow it */
	p.tuple.netns = sock->netns;
	p.tuple.lo = lo_of_sent(skb, p.tuple.raddr);
	if (!p.tuple.lo) /* else sl_out_query has */
		note_query(skb, &p, cookie);
	else if (is_answer(&p, cookie, sock))
		return 0;
	/* an accepted socket's flow is its listener's; only one with options comes here, or one
	 * that filters look at */
	owner = sock->listener ? sock->listener : cookie;
	flow = find_flow(&p, owner);
	if (flow && goes_on(skb, &p, sock, flow, owner))
		return 0;
	if (!flow && !p.tuple.lo && is_remembered(&p, sock) &&
	    allow_remembered(skb, &p, cookie, sock))
		return 0;
	note_sender(skb, &p, cookie, sock);
	note_bound(skb, &p, sock);
	hold(&p, owner, sock, SL_DIR_OUT);
	return 1;
}

/* has nobody else sent lately? A race of processors costs a wrong guess */
static __always_inline bool is_alone(__u32 crowd, __u64 now)
{
	__u32 zero = 0;
	struct sl_senders *senders = bpf_map_lookup_elem(&sl_senders, &zero);

	if (!senders)
		return true;
	if (senders->last != crowd) {
		senders->other = senders->last;
		senders->other_ns = senders->last_ns;
		senders->last = crowd;
	}
	senders->last_ns = now;
	return now - senders->other_ns > SL_CROWD_NS;
}

static __always_inline bool is_canary(const struct sl_sock *sock)
{
	struct sl_config *conf = get_config();

	return conf && conf->canary_uid && sock->user.uid == conf->canary_uid;
}

/* what a successor queues again has been counted in vain: it is not lost for that */
static __always_inline bool is_again(const struct __sk_buff *skb)
{
	return (skb->mark & SL_MARK_MASK) == SL_MARK_HELD << SL_MARK_SHIFT;
}

/* an allowance that grows again with time: a burst may be large, a flood has few places */
static __always_inline __u32 places_of(const struct sl_crowd *crowd, __u64 now)
{
	return crowd->paid_ns > now ? SL_CROWD_FEW : SL_CROWD_MAX;
}

static __always_inline void pay(struct sl_crowd *crowd, __u64 now)
{
	__u64 rested = now - SL_CROWD_MAX * SL_CROWD_COST_NS;

	crowd->paid_ns = (crowd->paid_ns > rested ? crowd->paid_ns : rested) + SL_CROWD_COST_NS;
}

/* the last match before the queue, which is one for all users and in order */
SEC("socket")
int sl_out_crowd(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb), now = bpf_ktime_get_boot_ns();
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	__u32 index = sock ? sl_crowd_of(sock->user.uid) : 0;
	struct sl_crowd *crowd = bpf_map_lookup_elem(&sl_crowds, &index);
	bool is_only;

	if (!sock || !crowd || is_canary(sock))
		return 0;
	is_only = is_alone(index, now);
	if (now - crowd->since_ns > SL_CROWD_NS) {
		crowd->since_ns = now;
		crowd->n = 0;
	}
	if (crowd->n >= places_of(crowd, now) && !is_only && !is_again(skb))
		return 1;
	pay(crowd, now);
	__sync_fetch_and_add(&crowd->n, 1);
	return 0;
}

SEC("socket")
int sl_out_ours(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);

	return bpf_map_lookup_elem(&sl_socks, &cookie) || was_ours(skb, cookie);
}

/* its socket has no record. Nobody can say which flow it is of, and nobody would hear of an error */
static __always_inline bool is_nobodys(struct __sk_buff *skb, struct packet *p, __u64 cookie)
{
	return is_of_governed(skb) && !is_held(skb, p, cookie);
}

static __always_inline __u32 out_verdict(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	struct sl_flow *flow;
	struct packet p;

	if (read_packet(skb, &p, true))
		return SL_UNDECIDED;
	if (!sock && is_nobodys(skb, &p, cookie))
		return SL_SILENT;
	p.tuple.lo = lo_of_sent(skb, p.tuple.raddr);
	flow = find_flow(&p, sock && sock->listener ? sock->listener : cookie);
	return flow ? flow->verdict : SL_UNDECIDED;
}

SEC("socket")
int sl_out_denied(struct __sk_buff *skb)
{
	return sl_is_denial(out_verdict(skb));
}

SEC("socket")
int sl_out_silent(struct __sk_buff *skb)
{
	return out_verdict(skb) == SL_SILENT;
}

/* the flow that a packet is of, whose socket is there; NULL: there is none, or it cannot be read */
static __always_inline struct sl_flow *find_own(struct __sk_buff *skb, struct packet *p)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);

	if (!sock || read_packet(skb, p, true))
		return NULL;
	p->tuple.lo = lo_of_sent(skb, p->tuple.raddr);
	return find_flow(p, sock->listener ? sock->listener : cookie);
}

/* SL_SOCK_ALLOWED does not tell: the socket may have another peer by now than the packet */
SEC("socket")
int sl_out_allowed(struct __sk_buff *skb)
{
	struct packet p;
	struct sl_flow *flow = find_own(skb, &p);

	if (!flow || flow->verdict != SL_PEEK)
		return flow && flow->verdict == SL_ALLOW;
	return !is_looked_at(skb, &p, flow, SL_DIR_OUT);
}

SEC("socket")
int sl_out_query(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	struct packet p;

	if (!sock || read_packet(skb, &p, true))
		return 0;
	p.tuple.netns = sock->netns;
	p.tuple.lo = sl_is_loopback(p.tuple.raddr) ? SL_LO_IS
						   : SL_LO_NOT; /* the rule knows the interface */
	note_query(skb, &p, cookie);
	note_sender(skb, &p, cookie, sock);
	return 0;
}

SEC("socket")
int sl_out_loopback(struct __sk_buff *skb)
{
	struct sl_config *conf = get_config();
	__u8 first, addr[16];
	__be32 addr4 = 0;
	int r;

	if (!conf)
		return 0;
	r = bpf_skb_load_bytes(skb, 0, &first, sizeof(first));
	if (!r && first >> 4 == 6) {
		r = bpf_skb_load_bytes(skb, offsetof(struct ipv6hdr, daddr), addr, sizeof(addr));
	} else if (!r) {
		r = bpf_skb_load_bytes(skb, offsetof(struct iphdr, daddr), &addr4, sizeof(addr4));
		unmap4(addr, addr4);
	}
	if (r)
		return conf->is_closed; /* sl_out_held cannot read it either: held, if it is ours */
	return sl_is_loopback(addr) && sl_loopback_has(&conf->loopback, addr);
}

/* its first packet; and a later one, when conntrack has forgotten the connection. A datagram may be here
 * when its socket has no record any more */
SEC("socket")
int sl_out_diverted(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_flow *flow;
	struct packet p;

	if (read_packet(skb, &p, true))
		return 0;
	p.tuple.lo = lo_of_sent(skb, p.tuple.raddr);
	flow = find_flow(&p, cookie);
	return flow && flow->flags & SL_FLOW_DIVERTED;
}

/* a socket without a record sends nothing that is new */
SEC("socket")
int sl_out_proxy(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	struct sl_config *conf = get_config();

	return sock && conf && conf->proxies_id && sock->owner.cgroup_id == conf->proxies_id;
}
