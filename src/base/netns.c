/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "base/netns.h"

#define LISTENER SOCK_STREAM | SOCK_NONBLOCK

static const struct {
	int family, type, protocol;
} sockets[] = {
	[NETNS_QUEUE] = { AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER },
	[NETNS_RULES] = { AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER },
	[NETNS_WATCH] = { AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER },
	[NETNS_DIAG] = { AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG },
	[NETNS_ROUTE] = { AF_NETLINK, SOCK_RAW, NETLINK_ROUTE },
	[NETNS_PACKETS] = { AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER },
	[NETNS_LISTEN4] = { AF_INET, LISTENER, 0 },
	[NETNS_LISTEN6] = { AF_INET6, LISTENER, 0 },
	[NETNS_DATAGRAMS4] = { AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0 },
	[NETNS_DATAGRAMS6] = { AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0 },
};
_Static_assert(ARRAY_SIZE(sockets) == _NETNS_SOCKET_N, "sockets");

int netns_open_socket(enum netns_socket kind)
{
	int type = sockets[kind].type | SOCK_CLOEXEC;
	int fd = socket(sockets[kind].family, type, sockets[kind].protocol);

	/* a kernel without IPv6: one of IPv4, which never listens, holds its place */
	if (fd < 0 && errno == EAFNOSUPPORT)
		fd = socket(AF_INET, type, 0);
	return fd < 0 ? -errno : fd;
}

int netns_open_sockets(uint32_t only, int *ret_sockets)
{
	int r = 0;

	for (unsigned int i = 0; i < _NETNS_SOCKET_N && r >= 0; i++)
		if (!only || only == i + 1)
			r = ret_sockets[i] = netns_open_socket((enum netns_socket)i);
	return r < 0 ? r : 0;
}
