/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "acts.h"
#include "base/macros.h"
#include "scene.h"

#define PORT 7007

int acts_open_world(void)
{
	static const char *const commands[] = {
		"ip link set lo up",
		"ip link add wire type veth peer name away",
		"ip address add 192.0.2.1/24 dev wire",
		"ip address add 2001:db8::1/64 dev wire nodad",
		"ip link set wire up",
		"ip link set away up",
		"ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev wire nud permanent",
		"ip neighbour add 2001:db8::9 lladdr 02:00:00:00:00:09 dev wire nud permanent",
	};

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (system(commands[i]))
			return -EIO;
	return 0;
}

int acts_open_wire(void)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));

	address.sll_ifindex = (int)if_nametoindex("wire");
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return fd;
}

/* not what the kernel says by itself: neighbours, multicast */
static bool is_of_a_program(const uint8_t *bytes, ssize_t n)
{
	if (n < 40 || bytes[0] >> 4 != 6)
		return n > 0 && bytes[0] >> 4 == 4;
	return bytes[6] == IPPROTO_TCP || bytes[6] == IPPROTO_UDP || bytes[6] == IPPROTO_DSTOPTS ||
	       (bytes[6] == IPPROTO_ICMPV6 && bytes[40] == ICMP6_ECHO_REQUEST);
}

unsigned int acts_n_left(int wire)
{
	uint8_t bytes[256];
	unsigned int n = 0;
	ssize_t n_bytes;

	while ((n_bytes = recv(wire, bytes, sizeof(bytes), 0)) >= 0)
		n += is_of_a_program(bytes, n_bytes);
	return n;
}

/* ---- acts ---- */

union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

static socklen_t address_of(const char *text, uint16_t port, union address *to)
{
	*to = (union address){ 0 };
	if (inet_pton(AF_INET, text, &to->four.sin_addr) == 1) {
		to->four.sin_family = AF_INET;
		to->four.sin_port = htons(port);
		return sizeof(to->four);
	}
	(void)inet_pton(AF_INET6, text, &to->six.sin6_addr);
	to->six.sin6_family = AF_INET6;
	to->six.sin6_port = htons(port);
	return sizeof(to->six);
}

/* as after a verdict: its end is told then */
static void be_judged(struct lab *lab, int fd, uint32_t flags)
{
	struct sl_sock sock;
	uint64_t cookie = 0;
	socklen_t n = sizeof(cookie);

	(void)getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n);
	if (!lab_get(lab, "sl_socks", &cookie, &sock))
		return;
	sock.flags |= SL_SOCK_JUDGED | flags;
	lab_set(lab, "sl_socks", &cookie, &sock);
}

/* older than the instance: nobody saw it, or us, before */
static void be_unknown(struct lab *lab, int fd)
{
	uint64_t cookie = 0;
	socklen_t n = sizeof(cookie);

	lab_empty(lab, "sl_procs");
	lab_empty(lab, "sl_cgroups");
	(void)getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n);
	(void)bpf_map_delete_elem(lab_map(lab, "sl_socks"), &cookie);
}

/* a conversation with itself */
static bool talk(struct lab *lab, const char *host, bool is_unknown)
{
	union address address;
	socklen_t n = address_of(host, PORT, &address);
	_cleanup_close_ int server = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int client = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int accepted = -1;
	int one = 1;

	(void)setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (is_unknown)
		be_unknown(lab, server);
	if (server < 0 || client < 0 || bind(server, &address.any, n) < 0 || listen(server, 4) < 0)
		return false;
	if (is_unknown)
		be_unknown(lab, client);
	if (connect(client, &address.any, n) < 0)
		return false;
	accepted = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	be_judged(lab, client, 0);
	be_judged(lab, accepted, 0);
	/* it listens anew: what it was bound to before is forgotten */
	if (shutdown(server, SHUT_RDWR) < 0 || listen(server, 4) < 0)
		return false;
	return accepted >= 0 && send(client, "x", 1, MSG_NOSIGNAL) == 1;
}

static bool connect_out(struct lab *lab, const char *host, int protocol, bool is_unknown)
{
	union address address;
	socklen_t n = address_of(host, PORT, &address);
	_cleanup_close_ int fd =
		socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	if (is_unknown)
		be_unknown(lab, fd);
	return fd >= 0 && (connect(fd, &address.any, n) == 0 || errno == EINPROGRESS);
}

static bool send_out(struct lab *lab, const char *host, bool is_connected, bool is_unknown)
{
	static const uint8_t options[8] = { 0, 0, 1, 4 }; /* of the destination: padding */
	static const uint8_t options4[8] = { IPOPT_RR, 7, 4 };
	union address address, any;
	socklen_t n = address_of(host, PORT, &address);
	_cleanup_close_ int fd = socket(address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)address_of(n == sizeof(address.six) ? "::" : "0.0.0.0", PORT + 1, &any);
	if (fd < 0 || bind(fd, &any.any, n) < 0)
		return false;
	if (is_unknown)
		be_unknown(lab, fd);
	else
		be_judged(lab, fd, 0);
	if (is_connected && n == sizeof(address.six))
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, options, sizeof(options));
	if (is_connected && n == sizeof(address.four))
		(void)setsockopt(fd, IPPROTO_IP, IP_OPTIONS, options4, sizeof(options4));
	if (is_connected && connect(fd, &address.any, n) < 0)
		return false;
	if (is_connected) /* its packets with options are looked at all the same */
		be_judged(lab, fd, SL_SOCK_ALLOWED);
	return sendto(fd, "x", 1, 0, is_connected ? NULL : &address.any, is_connected ? 0 : n) == 1;
}

static bool ping_out(const char *host)
{
	struct icmphdr echo = { .type = ICMP_ECHO };
	union address address;
	socklen_t n = address_of(host, 0, &address);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

	return fd >= 0 && sendto(fd, &echo, sizeof(echo), 0, &address.any, n) == sizeof(echo);
}

#define OUT4 "192.0.2.9"
#define OUT6 "2001:db8::9"

/* of calls that are all made, whatever the first one says */
static bool both(bool one, bool other)
{
	return one && other;
}

const char *acts_do(struct lab *lab)
{
	static const char *const failed[] = { "TCP",
					      "TCP of an unknown socket",
					      "connect()",
					      "connect() of an unknown socket",
					      "datagram",
					      "connected datagram",
					      "datagram of an unknown socket" };
	bool is_well[ARRAY_SIZE(failed)];

	is_well[0] = both(talk(lab, "127.0.0.1", false), talk(lab, "::1", false));
	is_well[1] = both(talk(lab, "127.0.0.1", true), talk(lab, "::1", true));
	is_well[2] = both(connect_out(lab, OUT4, 0, false), connect_out(lab, OUT6, 0, false));
	is_well[2] &= connect_out(lab, OUT4, IPPROTO_MPTCP, false);
	is_well[3] = both(connect_out(lab, OUT4, 0, true), connect_out(lab, OUT6, 0, true));
	is_well[4] = both(send_out(lab, OUT4, false, false), send_out(lab, OUT6, false, false));
	is_well[4] &= ping_out(OUT4);
	is_well[5] = both(send_out(lab, OUT4, true, false), send_out(lab, OUT6, true, false));
	is_well[6] = both(send_out(lab, OUT4, false, true), send_out(lab, OUT6, false, true));
	for (size_t i = 0; i < ARRAY_SIZE(failed); i++)
		if (!is_well[i])
			return failed[i];
	return NULL;
}
