/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/** DOC: Reading a packet, from its IP header on, and finding its verdict */

#include "bpf/lib/maps.h"

#define EXTENSIONS_MAX 16 /* IPv6 extension headers looked through; more are unreadable */

/* of read_packet(): no ports; useless to the receiver without the first one, which is judged */
#define LATER_FRAGMENT 1

struct packet {
	struct sl_tuple tuple;
	__u32 n_payload;
	__u32 transport; /* offset of its header */
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

static __always_inline int read_packet4(struct __sk_buff *skb, struct packet *p, bool out)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return -1;
	unmap4(p->tuple.laddr, out ? ip.saddr : ip.daddr);
	unmap4(p->tuple.raddr, out ? ip.daddr : ip.saddr);
	p->tuple.proto = ip.protocol;
	if (ip.frag_off & bpf_htons(0x1fff))
		return LATER_FRAGMENT;
	return read_transport(skb, ip.ihl * 4, p, out);
}

static __always_inline bool is_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

static __always_inline int read_packet6(struct __sk_buff *skb, struct packet *p, bool out)
{
	struct ipv6hdr ip;
	__u32 at = sizeof(ip);
	__u8 head[4], next;
	int i;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return -1;
	__builtin_memcpy(p->tuple.laddr, out ? &ip.saddr : &ip.daddr, 16);
	__builtin_memcpy(p->tuple.raddr, out ? &ip.daddr : &ip.saddr, 16);
	next = ip.nexthdr;
	for (i = 0; i < EXTENSIONS_MAX; i++) {
		if (!is_extension(next))
			break;
		if (bpf_skb_load_bytes(skb, at, head, sizeof(head)))
			return -1;
		/* netfilter sees fragments that come in: the first has the ports */
		if (next == IPPROTO_FRAGMENT && (head[2] || head[3] & 0xf8))
			return LATER_FRAGMENT;
		if (next == IPPROTO_FRAGMENT)
			at += 8;
		else
			at += next == IPPROTO_AH ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
		next = head[0];
	}
	if (i == EXTENSIONS_MAX)
		return -1;
	p->tuple.proto = next;
	return read_transport(skb, at, p, out);
}

static __always_inline int read_packet(struct __sk_buff *skb, struct packet *p, bool out)
{
	__u8 first;

	__builtin_memset(p, 0, sizeof(*p));
	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return -1;
	return first >> 4 == 6 ? read_packet6(skb, p, out) : read_packet4(skb, p, out);
}

static __always_inline struct sl_flow *find_flow(const struct packet *p, __u64 cookie)
{
	struct sl_flow_key key = {};

	key.cookie = cookie;
	__builtin_memcpy(key.raddr, p->tuple.raddr, 16);
	key.rport = p->tuple.rport;
	key.proto = p->tuple.proto;
	return bpf_map_lookup_elem(&sl_flows, &key);
}
