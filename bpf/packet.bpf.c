// SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later
/**
 * DOC: packet - what packet filters are asked about
 *
 * As netfilter-*.bpf.c, of the chains behind theirs, which are there only while an
 * instance has a packet filter. A flow has its verdict when its packets come here.
 *
 *	sl_packet_out, sl_packet_in
 *			of a governed socket, and no rules let it go: to the next match
 *	sl_packet_out_place, sl_packet_in_place
 *			of these, it is asked about, and its user has a place left in the queue
 *	sl_packet_out_denied, sl_packet_in_denied
 *			of the rest, rules drop it, or there is no place and a filter fails closed
 *
 * What a rule looks at is the same for all packets with the same ends, direction
 * and interface, so rules are looked at once for all of them (sl_packets), and a
 * thousand rules cost a packet what one does.
 */
#include "bpf/lib/bound.h"
#include "bpf/lib/cgroup.h"
#include "bpf/lib/route.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ICMP_DEST_UNREACH 3

static __always_inline void count(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&sl_packet_counts, &which);

	if (n)
		++*n;
}

static __always_inline struct sl_packet_set *set_in_force(void)
{
	__u32 one = 0, other = 1;
	struct sl_packet_set *a = bpf_map_lookup_elem(&sl_packet_sets, &one);
	struct sl_packet_set *b = bpf_map_lookup_elem(&sl_packet_sets, &other);

	if (!a || !b)
		return NULL;
	return a->generation >= b->generation ? a : b;
}

struct look {
	struct sl_tuple tuple;
	char interface[16];
	__u32 dir;
	struct sl_packet_set *set;
	struct sl_packet_fold fold;
};

static long look_at(__u32 i, struct look *look)
{
	struct sl_packet_rule *rule;

	if (i >= SL_PACKET_RULES_MAX)
		return 1;
	rule = &look->set->rules[i];
	if (sl_packet_matches(rule, &look->tuple, look->interface, look->dir))
		sl_packet_apply(rule, &look->fold);
	return look->fold.is_dropped || look->fold.decided == look->set->filters;
}

static __always_inline __u8 ask_rules(struct sl_packet_set *set, struct look *look)
{
	bpf_loop(set->n_rules, look_at, look, 0);
	return (__u8)sl_packet_conclude(set, &look->fold);
}

/* a packet whose socket is known by its ends alone: a handshake's, or one that comes in */
static __always_inline struct sl_sock *find_by_tuple(const struct packet *p, __u64 *ret_cookie)
{
	struct sl_packet *known = bpf_map_lookup_elem(&sl_packets, &p->tuple);
	struct sl_sock *sock = known ? bpf_map_lookup_elem(&sl_socks, &known->cookie) : NULL;

	if (sock)
		*ret_cookie = known->cookie;
	return sock;
}

/* it was closed while its flow was judged: what is left of its record */
static __always_inline struct sl_sock *find_closed(const struct packet *p, __u64 cookie)
{
	struct sl_held *held = bpf_map_lookup_elem(&sl_held, &p->tuple);

	return held && held->cookie == cookie ? &held->sock : NULL;
}

/* the kernel's own sockets, which answer for nobody, are none of datagrams */
static __always_inline bool is_datagram_of_governed(struct __sk_buff *skb)
{
	struct sock *sk = BPF_CORE_READ((struct sk_buff *)(void *)skb, sk);

	return is_of_governed(skb) && BPF_CORE_READ(sk, sk_type) == SOCK_DGRAM;
}

/* whose packet it is; numbers, so that the verifier takes all ways to them for one */
struct holder {
	__u64 cookie, owner;
	__u32 pid, uid;
};

static __always_inline struct holder holder_of(__u64 cookie, const struct sl_sock *sock)
{
	struct holder holder = { .cookie = cookie,
				 .owner = sock->listener ? sock->listener : cookie,
				 .pid = sock->user.pid,
				 .uid = sock->user.uid };

	return holder;
}

/* by which it comes or leaves, empty if no rule asks. The name, not the number: it may get another.
 * Of no device nothing is read, in any case by the same call: one way on for the verifier */
static __always_inline void read_interface(struct sl_packet_set *set, void *skb, __u32 dir,
					   char name[16])
{
	struct net_device *device = NULL;

	if (set->bits & SL_PACKET_SET_INTERFACES)
		device = dir == SL_DIR_OUT ? device_of_route(skb)
					   : BPF_CORE_READ((struct sk_buff *)skb, dev);
	bpf_core_read_str(name, 16, &device->name);
}

static __always_inline bool is_same_name(const char a[16], const char b[16])
{
	__u64 is[2], want[2];

	__builtin_memcpy(is, a, 16);
	__builtin_memcpy(want, b, 16);
	return is[0] == want[0] && is[1] == want[1];
}

/* for packets with the same ends; what was known of the other direction stays */
static __always_inline void remember(const struct look *look, __u32 dir,
				     const struct holder *holder, __u32 generation, __u8 action)
{
	struct sl_packet *known = bpf_map_lookup_elem(&sl_packets, &look->tuple);
	struct sl_packet fresh = { .cookie = holder->cookie };

	if (known && known->cookie == holder->cookie)
		fresh = *known;
	fresh.owner = holder->owner;
	fresh.pid = holder->pid;
	fresh.uid = holder->uid;
	fresh.generation[dir] = generation;
	fresh.action[dir] = action;
	__builtin_memcpy(fresh.interface[dir], look->interface, 16);
	bpf_map_update_elem(&sl_packets, &look->tuple, &fresh, BPF_ANY);
}

static __always_inline __u8 judge(const struct packet *p, const struct holder *holder, void *skb,
				  __u32 dir)
{
	struct sl_packet *known = bpf_map_lookup_elem(&sl_packets, &p->tuple);
	struct sl_packet_set *set = set_in_force();
	struct look look = { .dir = dir, .set = set };
	__u32 generation;
	__u8 action;

	if (!set || !set->generation)
		return SL_PACKET_ASK;
	generation = set->generation;
	read_interface(set, skb, dir, look.interface);
	dir &= 1;
	if (known && known->cookie == holder->cookie && known->generation[dir] == generation &&
	    is_same_name(known->interface[dir], look.interface) && known->pid == holder->pid &&
	    known->uid == holder->uid)
		return known->action[dir];
	/* by calls, behind which the verifier knows neither IPv4 from IPv6 nor zeroes from what rules
	 * make of them: it looks at the rules once */
	bpf_probe_read_kernel(&look.tuple, sizeof(look.tuple), &p->tuple);
	bpf_probe_read_kernel(&look.fold, sizeof(look.fold), NULL); /* zeroes */
	action = ask_rules(set, &look);
	if (set->generation != generation) /* another set was written over it meanwhile */
		return SL_PACKET_ASK;
	remember(&look, dir, holder, generation, action);
	return action;
}

/* what sluiced made of a denied datagram: its error, on the way to the program itself. By its own hand
 * a program sends such a packet with a raw socket only */
static __always_inline bool is_refusal(void *skb, const struct packet *p)
{
	struct sock *sk;
	__u16 proto;

	if (p->tuple.proto != IPPROTO_ICMP || p->icmp_type != ICMP_DEST_UNREACH)
		return false;
	sk = BPF_CORE_READ((struct sk_buff *)skb, sk);
	if (BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM)
		return false;
	proto = BPF_CORE_READ(sk, sk_protocol);
	return proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE;
}

/* @ret_crowd: whose place it would take */
static __always_inline __u8 judge_out(struct __sk_buff *skb, __u32 *ret_crowd)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	struct holder holder;
	struct packet p;
	int r;

	*ret_crowd = SL_CROWD_NOBODY;
	r = read_packet(skb, &p, true);
	if (r) /* of a raw socket */
		return sock ? SL_PACKET_ASK : SL_PACKET_ALLOW;
	p.tuple.netns = sock ? sock->netns : netns_of_sender(skb);
	if (is_refusal(skb, &p))
		return SL_PACKET_ALLOW;
	if (!sock)
		sock = find_closed(&p, cookie);
	if (!sock)
		sock = find_by_tuple(&p, &cookie);
	if (!sock)
		return is_datagram_of_governed(skb) ? SL_PACKET_ASK : SL_PACKET_ALLOW;
	holder = holder_of(cookie, sock);
	*ret_crowd = sl_crowd_of(holder.uid);
	return judge(&p, &holder, skb, SL_DIR_OUT);
}

/* the kernel has looked its socket up when it routed the packet, for what is connected */
static __always_inline __u8 judge_in(struct __sk_buff *skb, __u32 *ret_crowd)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	struct holder holder;
	struct packet p;

	*ret_crowd = SL_CROWD_NOBODY;
	if (read_inbound(skb, &p)) /* a later fragment, or of no use to anybody: see sl_in_held */
		return SL_PACKET_ALLOW;
	if (!sock && is_of_others(skb)) /* which share a port with a socket of ours */
		return SL_PACKET_ALLOW;
	if (!sock)
		sock = find_by_tuple(&p, &cookie);
	if (!sock) {
		cookie = find_bound(&p);
		sock = bpf_map_lookup_elem(&sl_socks, &cookie);
	}
	if (!sock)
		return SL_PACKET_ALLOW;
	holder = holder_of(cookie, sock);
	*ret_crowd = sl_crowd_of(holder.uid);
	return judge(&p, &holder, skb, SL_DIR_IN);
}

/* sluiced gives it back with the verdict */
static __always_inline bool take_place(__u32 crowd)
{
	__u32 zero = 0;
	struct sl_packet_places *places = bpf_map_lookup_elem(&sl_packet_places, &zero);

	count(SL_PACKET_ASKED);
	crowd &= SL_CROWDS - 1;
	if (!places || !sl_has_place(places->of[crowd], places->n, SL_PACKET_PLACES))
		return false;
	__sync_fetch_and_add(&places->of[crowd], 1);
	__sync_fetch_and_add(&places->n, 1);
	return true;
}

/* as judge_out() and judge_in() find it at first, without a look at the packet */
static __always_inline bool find_crowd(struct __sk_buff *skb, __u32 *ret_crowd)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_sock *sock = bpf_map_lookup_elem(&sl_socks, &cookie);

	if (sock)
		*ret_crowd = sl_crowd_of(sock->user.uid);
	return sock;
}

/* does no rule drop? Then all that rules do not let go is asked about */
static __always_inline bool asks_the_rest(void)
{
	struct sl_packet_set *set = set_in_force();

	return set && set->generation && !(set->bits & SL_PACKET_SET_DROPS);
}

static __always_inline int is_denied(__u8 action)
{
	struct sl_config *conf = get_config();

	if (action == SL_PACKET_DROP)
		count(SL_PACKET_DENIED);
	return action == SL_PACKET_DROP || !conf || conf->packets == SL_PACKETS_CLOSED;
}

SEC("socket")
int sl_packet_out(struct __sk_buff *skb)
{
	__u32 crowd;

	return judge_out(skb, &crowd) != SL_PACKET_ALLOW;
}

SEC("socket")
int sl_packet_out_place(struct __sk_buff *skb)
{
	__u32 crowd;

	if (asks_the_rest() && find_crowd(skb, &crowd))
		return take_place(crowd);
	return judge_out(skb, &crowd) == SL_PACKET_ASK && take_place(crowd);
}

SEC("socket")
int sl_packet_out_denied(struct __sk_buff *skb)
{
	__u32 crowd;

	return is_denied(judge_out(skb, &crowd));
}

SEC("socket")
int sl_packet_in(struct __sk_buff *skb)
{
	__u32 crowd;

	return judge_in(skb, &crowd) != SL_PACKET_ALLOW;
}

SEC("socket")
int sl_packet_in_place(struct __sk_buff *skb)
{
	__u32 crowd;

	if (asks_the_rest() && find_crowd(skb, &crowd))
		return take_place(crowd);
	return judge_in(skb, &crowd) == SL_PACKET_ASK && take_place(crowd);
}

SEC("socket")
int sl_packet_in_denied(struct __sk_buff *skb)
{
	__u32 crowd;

	return is_denied(judge_in(skb, &crowd));
}
