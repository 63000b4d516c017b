/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Listeners for flows that are proxies'
 *
 * One of each protocol and family in each namespace, on loopback, where the table sends the flow behind
 * the verdict. Who connects to one of them without that is nobody's: there is no flow with its ends.
 *
 * A flow of UDP gets a socket with the listener's address that is connected with its peer, which the
 * kernel prefers to the listener. What comes before that, and what comes to the new socket between bind(2)
 * and connect(2), is taken from where it is.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/real.h"

#define WAITING_BYTES (4 << 20) /* the default is full with some 250 first datagrams of a burst */
#define BACKLOG 4096 /* somaxconn's default: more SYNs than this would be answered by cookies */

/* SO_ORIGINAL_DST of linux/netfilter_ipv4.h, IP6T_SO_ORIGINAL_DST of netfilter_ipv6/ip6_tables.h: these
 * headers do not go with libc's */
#define ORIGINAL_DST 80

union address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

static const struct {
	enum netns_socket sockets[2]; /* TCP, UDP */
	union address loopback;
	socklen_t n;
} families[] = {
	{ { NETNS_LISTEN4, NETNS_DATAGRAMS4 },
	  { .ipv4 = { .sin_family = AF_INET,
		      .sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK) } },
	  sizeof(struct sockaddr_in) },
	{ { NETNS_LISTEN6, NETNS_DATAGRAMS6 },
	  { .ipv6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT } },
	  sizeof(struct sockaddr_in6) },
};

static uint16_t port_of(const union address *address)
{
	return ntohs(address->any.sa_family == AF_INET ? address->ipv4.sin_port
						       : address->ipv6.sin6_port);
}

/* what is accepted has these of its listener: each write goes at once, and close(2) resets */
static int set_inherited(int sock)
{
	const struct linger reset = { .l_onoff = 1 };
	const int yes = 1;

	return setsockopt(sock, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0 ||
			       setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) < 0
		       ? -errno
		       : 0;
}

/* Return: 1: it listens; 0: it does already, or, @ret_port 0: there is no such loopback here */
static int listen_on(int sock, bool is_udp, const union address *loopback, socklen_t n,
		     uint16_t *ret_port)
{
	union address bound = { 0 };
	const int waiting = WAITING_BYTES;
	int yes = 1;
	socklen_t n_family = sizeof(int), n_bound = sizeof(bound);
	int family;

	*ret_port = 0;
	if (getsockopt(sock, SOL_SOCKET, SO_DOMAIN, &family, &n_family) < 0)
		return -errno;
	if (family != loopback->any.sa_family)
		return 0;
	if (getsockname(sock, &bound.any, &n_bound) < 0)
		return -errno;
	*ret_port = port_of(&bound);
	if (*ret_port) /* a predecessor's: programs are still connected with it, as conntrack knows them */
		return 0;
	n_bound = sizeof(bound);
	/* those of flows have the same address */
	if (is_udp && setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
		return -errno;
	if (bind(sock, &loopback->any, n) < 0)
		return errno == EADDRNOTAVAIL ? 0 : -errno;
	if (is_udp) /* without the right it is as large as it is */
		(void)setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &waiting, sizeof(waiting));
	if (!is_udp && set_inherited(sock) < 0)
		return -errno;
	if ((!is_udp && listen(sock, BACKLOG) < 0) || getsockname(sock, &bound.any, &n_bound) < 0)
		return -errno;
	*ret_port = port_of(&bound);
	return 1;
}

int real_listen(struct real *real, struct netns *netns)
{
	unsigned int n_new = 0;
	int r = 0;

	if (!real->nft.has_diverts || !netns_is_whole(netns))
		return 0;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(families) && r >= 0; i++) {
		size_t family = i / 2, is_udp = i % 2;
		uint16_t *port = &netns->divert_port[is_udp][family];

		if (*port)
			continue;
		r = listen_on(netns->sockets[families[family].sockets[is_udp]], is_udp,
			      &families[family].loopback, families[family].n, port);
		n_new += r > 0;
	}
	return r < 0 ? r : n_new > 0;
}

int real_divert(struct plane *plane)
{
	struct real *real = real_of(plane);
	bool is_new = !real->nft.has_diverts;
	int r = 0;

	real->nft.has_diverts = true;
	for (unsigned int i = 0; i < plane->n_places && r >= 0; i++) {
		r = plane->places[i].is_used ? real_listen(real, &plane->places[i]) : 0;
		is_new |= r > 0;
	}
	return r < 0 || !is_new ? r : install_renew(real);
}

static void take_address(const union address *address, uint8_t ret_addr[16], uint16_t *ret_port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	*ret_port = port_of(address);
	if (address->any.sa_family == AF_INET6) {
		memcpy(ret_addr, &address->ipv6.sin6_addr, 16);
		return;
	}
	memcpy(ret_addr, mapped, sizeof(mapped));
	memcpy(ret_addr + sizeof(mapped), &address->ipv4.sin_addr, 4);
}

/* where it wanted to go: conntrack knows */
static int original(int sock, int family, union address *ret_to)
{
	socklen_t n = sizeof(*ret_to);
	bool is_ipv6 = family == AF_INET6;

	return getsockopt(sock, is_ipv6 ? SOL_IPV6 : SOL_IP, ORIGINAL_DST, ret_to, &n) < 0 ? -errno
											   : 0;
}

static int accept_from(int sock, struct plane_client *client)
{
	union address from = { 0 }, to = { 0 };
	socklen_t n = sizeof(from), n_cookie = sizeof(client->cookie);
	int fd = accept4(sock, &from.any, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	client->fd = fd;
	client->tuple.proto = IPPROTO_TCP;
	take_address(&from, client->tuple.laddr, &client->tuple.lport);
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &client->cookie, &n_cookie) < 0)
		client->cookie = 0;
	if (original(fd, from.any.sa_family, &to) == 0) /* else its ends are nobody's */
		take_address(&to, client->tuple.raddr, &client->tuple.rport);
	return 0;
}

int real_accept(struct plane *plane, struct netns *netns, bool is_ipv6,
		struct plane_client *ret_client)
{
	int r = -EAGAIN;

	*ret_client = (struct plane_client){ .fd = -1, .tuple.netns = netns->cookie };
	if (netns->divert_port[0][is_ipv6])
		r = accept_from(netns->sockets[families[is_ipv6].sockets[0]], ret_client);
	ret_client->tuple.lo = sl_is_loopback(ret_client->tuple.raddr) ? SL_LO_IS : SL_LO_NOT;
	return r == -ECONNABORTED ? -EAGAIN : r;
}

/* ---- UDP ---- */

static int receive_from(int sock, uint8_t *bytes, struct plane_datagram *datagram)
{
	union address from = { 0 }, ours = { 0 };
	socklen_t n_from = sizeof(from), n_ours = sizeof(ours);
	ssize_t n = recvfrom(sock, bytes, PLANE_DATAGRAM_MAX, 0, &from.any, &n_from);

	if (n < 0)
		return -errno;
	if (getsockname(sock, &ours.any, &n_ours) < 0)
		return -errno;
	datagram->n = (size_t)n;
	datagram->tuple.proto = IPPROTO_UDP;
	take_address(&ours, datagram->tuple.laddr, &datagram->tuple.lport);
	take_address(&from, datagram->tuple.raddr, &datagram->tuple.rport);
	datagram->ours = datagram->tuple;
	return 0;
}

int real_receive(struct plane *plane, struct netns *netns, int sock, uint8_t *bytes,
		 struct plane_datagram *ret_datagram)
{
	int r = -EAGAIN;

	*ret_datagram = (struct plane_datagram){ .tuple.netns = netns->cookie };
	if (sock >= 0)
		r = receive_from(sock, bytes, ret_datagram);
	for (size_t i = 0; i < ARRAY_SIZE(families) && sock < 0 && r == -EAGAIN; i++)
		if (netns->divert_port[1][i])
			r = receive_from(netns->sockets[families[i].sockets[1]], bytes,
					 ret_datagram);
	if (r == 0)
		r = conntrack_original(netns->sockets[NETNS_RULES], &ret_datagram->tuple);
	ret_datagram->tuple.lo = sl_is_loopback(ret_datagram->tuple.raddr) ? SL_LO_IS : SL_LO_NOT;
	return r;
}

static void put_address(const uint8_t addr[16], uint16_t port, union address *ret_address)
{
	if (sl_is_mapped4(addr)) {
		*ret_address = (union address){ .ipv4 = { .sin_family = AF_INET,
							  .sin_port = htons(port) } };
		memcpy(&ret_address->ipv4.sin_addr, addr + 12, 4);
	} else {
		*ret_address = (union address){ .ipv6 = { .sin6_family = AF_INET6,
							  .sin6_port = htons(port) } };
		memcpy(&ret_address->ipv6.sin6_addr, addr, 16);
	}
}

/* Return: 0 or a negative errno */
static int connect_datagrams(int sock, const struct sl_tuple *ours)
{
	socklen_t n = families[!sl_is_mapped4(ours->laddr)].n;
	union address here, there;
	int yes = 1;

	put_address(ours->laddr, ours->lport, &here);
	put_address(ours->raddr, ours->rport, &there);
	return setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
			       bind(sock, &here.any, n) < 0 || connect(sock, &there.any, n) < 0
		       ? -errno
		       : 0;
}

int real_connect_datagrams(struct plane *plane, const struct netns *netns, int sock,
			   const struct sl_tuple *ours)
{
	enum netns_socket kind = families[!sl_is_mapped4(ours->laddr)].sockets[1];
	_cleanup_close_ int own = -1;
	int r = 0;

	if (sock < 0 && netns != &plane->places[plane->home])
		return -ESTALE; /* ours would be elsewhere */
	if (sock < 0)
		sock = own = r = netns_open_socket(kind);
	else
		r = netns_check(netns, sock, kind);
	if (r >= 0)
		r = connect_datagrams(sock, ours);
	if (r < 0)
		return r;
	return own < 0 ? sock : TAKE_FD(own);
}

void real_untranslate(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple,
		      uint16_t zone)
{
	(void)conntrack_forget(netns->sockets[NETNS_RULES], tuple,
			       zone); /* it may be gone by itself */
}

void real_keep_translated(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple,
			  uint16_t zone, uint32_t seconds)
{
	(void)conntrack_keep(netns->sockets[NETNS_RULES], tuple, zone, seconds); /* the same */
}

void real_begin_anew(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple)
{
	(void)conntrack_begin_anew(netns->sockets[NETNS_RULES], tuple);
}
