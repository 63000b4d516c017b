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

static const void *address_of(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return &((const struct sockaddr_in *)address)->sin_addr;
	return &((const struct sockaddr_in6 *)address)->sin6_addr;
}

/* is what @fd is connected with this machine? To an address of its own the kernel goes from that one */
static bool is_own(int fd)
{
	struct sockaddr_storage here = { 0 }, there = { 0 };
	socklen_t n_here = sizeof(here), n_there = sizeof(there);

	return getsockname(fd, (struct sockaddr *)&here, &n_here) == 0 &&
	       getpeername(fd, (struct sockaddr *)&there, &n_there) == 0 &&
	       memcmp(address_of(&here), address_of(&there), here.ss_family == AF_INET ? 4 : 16) ==
		       0;
}

/* Return: 0; -EBADMSG: it is this machine, and the proxy is not; or another negative errno */
static int connect_relay(int fd, const struct sockaddr_storage *relay, socklen_t n,
			 const struct flow *control)
{
	if (connect(fd, (const struct sockaddr *)relay, n) < 0)
		return -errno;
	return is_own(fd) && !is_own(control->link.fd) ? -EBADMSG : 0;
}

int relay_open(struct flows *flows, const struct flow *control)
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
	association_upstream(flows, control->association, fd);
	r = connect_relay(fd, &relay, n, control);
	if (r < 0) {
		close(fd);
		return r;
	}
	carry_drop(fd); /* before it was connected anybody could send there, and we have not */
	return fd;
}
