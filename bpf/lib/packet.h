/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/** DOC: Reading a packet, from its IP header on, and finding its verdict */

#include "bpf/lib/maps.h"

#define EXTENSIONS_MAX 16 /* IPv6 extension headers looked through; more are unreadable */

/* of read_packet(): no ports; useless to the receiver without the first one, which is judged */
#define LATER_FRAGMENT 1

#define OPTIONS_MAX 40 /* options of IPv4 looked through: bytes, and each has one */
#define IPOPT_END 0
#define IPOPT_NOOP 1
#define IPOPT_LSRR 131
#define IPOPT_SSRR 137

struct packet {
	struct sl_tuple tuple;
	__u32 n_payload;
	__u32 transport;  /* offset of its header */
	bool is_fragment; /* the first one of IPv6: it may have further ones */
	__u8 icmp_type;
};

/* at the same place in all of them */
static __always_inline bool has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_DCCP;
}

static __always_inline int read_transport(struct __sk_buff *skb, __u32 at, struct packet *p,
					  bool out)
{
	__be16 ports[4] = {};

	p->transport = at;
	p->n_payload = skb->len - at;
	if (!has_ports(p->tuple.proto) && p->tuple.proto != IPPROTO_ICMP &&
	    p->tuple.proto != IPPROTO_ICMPV6)
		return 0; /* known by its addresses alone */
	if (bpf_skb_load_bytes(skb, at, ports, sizeof(ports)))
		return -1;
	switch (p->tuple.proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		p->tuple.lport = bpf_ntohs(out ? ports[0] : ports[1]);
		p->tuple.rport = bpf_ntohs(out ? ports[1] : ports[0]);
		p->n_payload -= p->n_payload < 8 ? p->n_payload : 8;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		p->icmp_type = bpf_ntohs(ports[0]) >> 8;
		p->tuple.lport = bpf_ntohs(ports[2]); /* identifier of an echo */
		p->n_payload -= p->n_payload < 8 ? p->n_payload : 8;
		break;
	}
	return 0;
}

static __always_inline bool is_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

/* nothing but what the ends say decides where it goes: most packets, told by eight bytes */
static __always_inline bool is_plain(struct __sk_buff *skb)
{
	__u8 head[8];

	if (bpf_skb_load_bytes(skb, 0, head, sizeof(head)))
		return false;
	return head[0] == 0x45 || (head[0] >> 4 == 6 && !is_extension(head[6]));
}

/* a source route names more places than the one that would be judged; what cannot be read
 * may name them too */
static __always_inline bool is_routed4(struct __sk_buff *skb, __u32 end)
{
	__u32 at = sizeof(struct iphdr);
	__u8 option[2];

	for (int i = 0; i < OPTIONS_MAX && at < end; i++) {
		if (bpf_skb_load_bytes(skb, at, option, sizeof(option)))
			return true;
		if (option[0] == IPOPT_END)
			return false;
		if (option[0] == IPOPT_LSRR || option[0] == IPOPT_SSRR)
			return true;
		if (option[0] != IPOPT_NOOP && option[1] < sizeof(option))
			return true;
		at += option[0] == IPOPT_NOOP ? 1 : option[1];
	}
	return false;
}

static __always_inline int read_packet4(struct __sk_buff *skb, struct packet *p, bool out)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return -1;
	unmap4(p->tuple.laddr, out ? ip.saddr : ip.daddr);
	unmap4(p->tuple.raddr, out ? ip.daddr : ip.saddr);
	p->tuple.proto = ip.protocol;
	if (ip.ihl < 5 || (out && ip.ihl > 5 && is_routed4(skb, ip.ihl * 4)))
		return -1;
	if (ip.frag_off & bpf_htons(0x1fff))
		return LATER_FRAGMENT;
	return read_transport(skb, ip.ihl * 4, p, out);
}

/* IPv6: where the transport begins */
struct walk {
	struct __sk_buff *skb;
	__u32 at;
	int r; /* 0: there */
	__u8 next;
	bool out, is_fragment;
};

/* past one extension header. The verifier looks at a callback once, and at each turn of a loop for
 * each way to it: 6.1 took 80,000 steps */
static long walk_on(__u32 i, struct walk *walk)
{
	__u8 head[4];

	if (!is_extension(walk->next)) {
		walk->r = 0;
		return 1;
	}
	if (bpf_skb_load_bytes(walk->skb, walk->at, head, sizeof(head)))
		return 1;
	if (walk->out && walk->next == IPPROTO_ROUTING)
		return 1;
	/* netfilter sees fragments that come in: the first has the ports */
	if (walk->next == IPPROTO_FRAGMENT && (head[2] || head[3] & 0xf8)) {
		walk->r = LATER_FRAGMENT;
		return 1;
	}
	walk->is_fragment |= walk->next == IPPROTO_FRAGMENT;
	if (walk->next == IPPROTO_FRAGMENT)
		walk->at += 8;
	else
		walk->at += walk->next == IPPROTO_AH ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
	walk->next = head[0];
	return 0;
}

static __always_inline int read_packet6(struct __sk_buff *skb, struct packet *p, bool out)
{
	struct walk walk = { .skb = skb, .at = sizeof(struct ipv6hdr), .out = out };
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return -1;
	__builtin_memcpy(p->tuple.laddr, out ? &ip.saddr : &ip.daddr, 16);
	__builtin_memcpy(p->tuple.raddr, out ? &ip.daddr : &ip.saddr, 16);
	walk.next = ip.nexthdr;
	if (is_extension(walk.next)) {
		walk.r = -1;
		bpf_loop(EXTENSIONS_MAX, walk_on, &walk, 0);
	}
	if (walk.r)
		return walk.r;
	p->is_fragment = walk.is_fragment;
	p->tuple.proto = walk.next;
	return read_transport(skb, walk.at, p, out);
}

static __always_inline int read_packet(struct __sk_buff *skb, struct packet *p, bool out)
{
	__u8 first;

	__builtin_memset(p, 0, sizeof(*p));
	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return -1;
	/* a raw socket writes its first byte itself: it may not say other than the kernel */
	if (skb->protocol == bpf_htons(first >> 4 == 6 ? ETH_P_IP : ETH_P_IPV6))
		return -1;
	return first >> 4 == 6 ? read_packet6(skb, p, out) : read_packet4(skb, p, out);
}

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define TCP_URG 0x20

/** struct segment - what TCP says of a packet */
struct segment {
	__u32 seq, n; /* of the first byte of payload; bytes of it */
	__u32 ack;
	__u8 flags;
};

static __always_inline int read_segment(struct __sk_buff *skb, const struct packet *p,
					struct segment *segment)
{
	__u32 header;
	__u8 head[14];

	if (bpf_skb_load_bytes(skb, p->transport, head, sizeof(head)))
		return -1;
	header = p->transport + (head[12] >> 4) * 4;
	if (header > skb->len)
		return -1;
	segment->n = skb->len - header;
	segment->flags = head[13];
	segment->seq = (__u32)head[4] << 24 | (__u32)head[5] << 16 | (__u32)head[6] << 8 | head[7];
	segment->ack =
		(__u32)head[8] << 24 | (__u32)head[9] << 16 | (__u32)head[10] << 8 | head[11];
	segment->seq += !!(segment->flags & TCP_SYN);
	return 0;
}

/* does it carry, or end, what filters look at? Acknowledgements do not */
static __always_inline bool carries(struct __sk_buff *skb, const struct packet *p)
{
	struct segment segment;

	if (p->tuple.proto != IPPROTO_TCP || read_segment(skb, p, &segment))
		return true;
	return segment.n || segment.flags & (TCP_FIN | TCP_RST);
}

static __always_inline bool is_looked_at(struct __sk_buff *skb, const struct packet *p,
					 const struct sl_flow *flow, __u32 dir)
{
	return flow->peek & 1U << dir && carries(skb, p);
}

/* it asks for another connection than the one that filters look at */
static __always_inline bool begins_anew(struct __sk_buff *skb, const struct packet *p,
					const struct sl_flow *flow)
{
	struct segment segment;

	if (p->tuple.proto != IPPROTO_TCP || !(flow->peek & SL_PEEK_IN))
		return false;
	return read_segment(skb, p, &segment) ||
	       (segment.flags & TCP_SYN && segment.seq != flow->base[SL_DIR_IN]);
}

static __always_inline struct sl_flow *find_flow(const struct packet *p, __u64 cookie)
{
	struct sl_flow_key key = {};

	key.cookie = cookie;
	__builtin_memcpy(key.raddr, p->tuple.raddr, 16);
	key.rport = p->tuple.rport;
	key.proto = p->tuple.proto;
	key.lo = p->tuple.lo;
	return bpf_map_lookup_elem(&sl_flows, &key);
}
