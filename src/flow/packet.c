/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <string.h>

#include "base/macros.h"
#include "flow/packet.h"

#define IPV4_HEADER 20U
#define IPV6_HEADER 40U
#define EXTENSIONS_MAX 16
#define IPOPT_END 0
#define IPOPT_NOOP 1
#define IPOPT_LSRR 131
#define IPOPT_SSRR 137
#define TCP_HEADER 20U
#define UDP_HEADER 8U
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define IPV4_MORE 0x2000
#define IPV6_MORE 1
#define TCP_ACK 0x10
#define TCP_URG 0x20

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void set_mapped(uint8_t to[16], const uint8_t from[4])
{
	memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	memcpy(to + 12, from, 4);
}

static int parse_tcp(const uint8_t *p, size_t n, struct packet_view *view)
{
	size_t header;

	if (n < TCP_HEADER)
		return PACKET_E_SHORT;
	header = (size_t)(p[12] >> 4) * 4;
	if (header < TCP_HEADER || header > n)
		return PACKET_E_SHAPE;
	view->is_tcp_start = (p[13] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	view->is_tcp_syn = p[13] & TCP_SYN;
	view->is_tcp_ack = p[13] & TCP_ACK;
	view->tcp_ack = get32(p + 8);
	view->is_tcp_fin = p[13] & TCP_FIN;
	view->is_tcp_reset = p[13] & TCP_RST;
	view->is_tcp_urgent = p[13] & TCP_URG;
	view->tcp_seq = get32(p + 4) + (p[13] & TCP_SYN ? 1 : 0);
	view->payload = p + header;
	view->n_payload = n - header;
	return 0;
}

/* at the same place in all of them */
static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_DCCP;
}

static int parse_transport(const uint8_t *p, size_t n, bool is_inbound, struct packet_view *view)
{
	struct sl_tuple *tuple = &view->tuple;

	view->transport = view->payload = p;
	view->n_transport = view->n_payload = n;
	if (!has_ports(tuple->proto) && tuple->proto != IPPROTO_ICMP &&
	    tuple->proto != IPPROTO_ICMPV6)
		return 0; /* known by its addresses alone */
	if (n < UDP_HEADER)
		return PACKET_E_SHORT;
	switch (tuple->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		tuple->lport = get16(is_inbound ? p + 2 : p);
		tuple->rport = get16(is_inbound ? p : p + 2);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		tuple->lport = get16(p + 4);
		break;
	}
	if (tuple->proto == IPPROTO_TCP)
		return parse_tcp(p, n, view);
	view->payload = p + UDP_HEADER;
	view->n_payload = n - UDP_HEADER;
	if (is_inbound && tuple->proto == IPPROTO_UDP && get16(p + 4) >= UDP_HEADER)
		view->n_payload = MIN(n, get16(p + 4)) - UDP_HEADER; /* no program gets more */
	return 0;
}

static int parse_ipv4(const uint8_t *p, size_t n, bool is_inbound, struct packet_view *view)
{
	size_t header, total;

	if (n < IPV4_HEADER)
		return PACKET_E_SHORT;
	header = (size_t)(p[0] & 15) * 4;
	total = get16(p + 2);
	if (total == 0 || total > n) /* 0: larger than 64 KiB (BIG TCP) */
		total = n;
	if (header < IPV4_HEADER || header > total || get16(p + 6) & 0x1fff)
		return PACKET_E_SHAPE;
	view->is_ipv4 = true;
	view->is_fragment = get16(p + 6) & IPV4_MORE;
	set_mapped(view->tuple.laddr, is_inbound ? p + 16 : p + 12);
	set_mapped(view->tuple.raddr, is_inbound ? p + 12 : p + 16);
	view->tuple.proto = p[9];
	return parse_transport(p + header, total - header, is_inbound, view);
}

static bool is_extension(uint8_t next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

static size_t extension_bytes(uint8_t type, const uint8_t *p, uint8_t *ret_next)
{
	*ret_next = p[0];
	if (type == IPPROTO_FRAGMENT)
		return 8;
	return type == IPPROTO_AH ? ((size_t)p[1] + 2) * 4 : ((size_t)p[1] + 1) * 8;
}

static int parse_ipv6(const uint8_t *p, size_t n, bool is_inbound, struct packet_view *view)
{
	size_t at = IPV6_HEADER;
	uint8_t next;
	int i;

	if (n < IPV6_HEADER)
		return PACKET_E_SHORT;
	memcpy(view->tuple.laddr, is_inbound ? p + 24 : p + 8, 16);
	memcpy(view->tuple.raddr, is_inbound ? p + 8 : p + 24, 16);
	next = p[6];
	for (i = 0; i < (int)EXTENSIONS_MAX && is_extension(next); i++) {
		if (at + 4 > n)
			return PACKET_E_SHORT;
		if (next == IPPROTO_FRAGMENT && get16(p + at + 2) & 0xfff8)
			return PACKET_E_SHAPE;
		view->is_fragment |= next == IPPROTO_FRAGMENT && p[at + 3] & IPV6_MORE;
		at += extension_bytes(next, &p[at], &next);
	}
	if (i == (int)EXTENSIONS_MAX)
		return PACKET_E_SHAPE;
	if (at > n)
		return PACKET_E_SHORT;
	view->tuple.proto = next;
	return parse_transport(p + at, n - at, is_inbound, view);
}

int packet_parse(const uint8_t *bytes, size_t n_bytes, bool is_inbound,
		 struct packet_view *ret_view)
{
	struct packet_view view = { 0 };
	int r;

	if (n_bytes == 0)
		return PACKET_E_SHORT;
	switch (bytes[0] >> 4) {
	case 4:
		r = parse_ipv4(bytes, n_bytes, is_inbound, &view);
		break;
	case 6:
		r = parse_ipv6(bytes, n_bytes, is_inbound, &view);
		break;
	default:
		return PACKET_E_VERSION;
	}
	if (r == 0)
		*ret_view = view;
	return r;
}

static uint64_t sum16(const uint8_t *p, size_t n)
{
	uint64_t sum = n & 1 ? (uint64_t)p[n - 1] << 8 : 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += get16(p + i);
	return sum;
}

/* ones' complement (RFC 1071): what maps an IPv4 address, ::ffff, adds nothing to it */
bool packet_has_sum(const struct packet_view *view)
{
	const struct sl_tuple *tuple = &view->tuple;
	size_t n = view->n_transport;
	uint64_t sum;

	if (tuple->proto == IPPROTO_UDP) {
		n = MIN(n, get16(view->transport + 4));
		if (get16(view->transport + 6) == 0)
			return true;
	} else if (tuple->proto != IPPROTO_TCP) {
		return true;
	}
	sum = sum16(tuple->laddr, 16) + sum16(tuple->raddr, 16) + tuple->proto + n +
	      sum16(view->transport, n);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static bool has_route4(const uint8_t *p)
{
	size_t end = (size_t)(p[0] & 15) * 4, at = IPV4_HEADER;

	while (at < end && p[at] != IPOPT_END) {
		if (p[at] == IPOPT_NOOP) {
			at++;
			continue;
		}
		if (p[at] == IPOPT_LSRR || p[at] == IPOPT_SSRR || at + 1 == end || p[at + 1] < 2)
			return true;
		at += p[at + 1];
	}
	return false;
}

static bool has_route6(const uint8_t *p)
{
	size_t at = IPV6_HEADER;
	uint8_t next = p[6];

	while (is_extension(next) && next != IPPROTO_ROUTING)
		at += extension_bytes(next, &p[at], &next);
	return next == IPPROTO_ROUTING;
}

bool packet_has_route(const uint8_t *bytes)
{
	return bytes[0] >> 4 == 4 ? has_route4(bytes) : has_route6(bytes);
}
