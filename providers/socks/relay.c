/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "association.h"
#include "socks5.h"

static bool is_zero(const uint8_t *bytes, size_t n)
{
	while (n > 0 && !bytes[n - 1])
		n--;
	return n == 0;
}

/* what the proxy has named; zeros: where it is. Return: 0; -EBADMSG: nowhere */
static int find_relay(const struct flows *flows, const struct flow *control,
		      struct sockaddr_storage *ret_relay, socklen_t *ret_n)
{
	const struct endpoint *endpoint = &flows->endpoints.all[control->endpoint];
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)ret_relay;
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)ret_relay;
	struct destination bound;
	uint16_t port;
	bool is_ipv4;

	if (socks5_bound(&control->handshake, &bound) < 0 || bound.host[0] || !bound.port)
		return -EBADMSG;
	port = htons(bound.port);
	is_ipv4 = IN6_IS_ADDR_V4MAPPED((struct in6_addr *)bound.address);
	memset(ret_relay, 0, sizeof(*ret_relay));
	*ret_n = is_ipv4 ? sizeof(*ipv4) : sizeof(*ipv6);
	if (is_zero(is_ipv4 ? bound.address + 12 : bound.address, is_ipv4 ? 4 : 16)) {
		memcpy(ret_relay, &endpoint->address, endpoint->n_address);
		*ret_n = endpoint->n_address;
	} else if (is_ipv4) {
		ipv4->sin_family = AF_INET;
		memcpy(&ipv4->sin_addr, bound.address + 12, 4);
	} else {
		ipv6->sin6_family = AF_INET6;
		memcpy(&ipv6->sin6_addr, bound.address, 16);
	}
	*(ret_relay->ss_family == AF_INET ? &ipv4->sin_port : &ipv6->sin6_port) = port;
	return 0;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;
	const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;

	if (address->ss_family == AF_INET)
		return ntohl(ipv4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&ipv6->sin6_addr);
}

int relay_open(const struct flows *flows, const struct flow *control)
{
	struct sockaddr_storage relay, proxy = { 0 };
	const struct endpoint *endpoint = &flows->endpoints.all[control->endpoint];
	socklen_t n = 0;
	int r = find_relay(flows, control, &relay, &n), fd;

	if (r < 0)
		return r;
	memcpy(&proxy, &endpoint->address, endpoint->n_address);
	if (is_loopback(&relay) && !is_loopback(&proxy))
		return -EBADMSG;
	fd = socket(relay.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&relay, n) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	carry_drop(fd); /* before it was connected anybody could send there, and we have not */
	return fd;
}
