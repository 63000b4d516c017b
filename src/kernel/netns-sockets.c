/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "kernel/netlink.h"
#include "kernel/netns.h"
#include "kernel/queue.h"
#include "kernel/watch.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* linux 5.14 */
#endif

static const struct {
	int protocol;
	int (*prepare)(int fd); /* beyond an address */
	int family;		/* 0: netlink */
} kinds[] = {
	[NETNS_QUEUE] = { NETLINK_NETFILTER, queue_prepare },
	[NETNS_RULES] = { NETLINK_NETFILTER, NULL },
	[NETNS_WATCH] = { NETLINK_NETFILTER, watch_prepare },
	[NETNS_DIAG] = { NETLINK_SOCK_DIAG, NULL },
	[NETNS_ROUTE] = { NETLINK_ROUTE, NULL },
	[NETNS_PACKETS] = { NETLINK_NETFILTER, queue_prepare },
	[NETNS_LISTEN4] = { IPPROTO_TCP, NULL, AF_INET },
	[NETNS_LISTEN6] = { IPPROTO_TCP, NULL, AF_INET6 },
	[NETNS_DATAGRAMS4] = { IPPROTO_UDP, NULL, AF_INET },
	[NETNS_DATAGRAMS6] = { IPPROTO_UDP, NULL, AF_INET6 },
};
_Static_assert(ARRAY_SIZE(kinds) == _NETNS_SOCKET_N, "kinds");

int netns_cookie_of(int sock, uint64_t *ret_cookie)
{
	socklen_t n = sizeof(*ret_cookie);

	return getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &n) < 0 ? -errno : 0;
}

int netns_check(const struct netns *netns, int sock, enum netns_socket kind)
{
	socklen_t n = sizeof(int);
	uint64_t cookie;
	int protocol;
	int r = netns_cookie_of(sock, &cookie);

	if (r < 0)
		return r;
	if (getsockopt(sock, SOL_SOCKET, SO_PROTOCOL, &protocol, &n) < 0)
		return -errno;
	return cookie == netns->cookie && protocol == kinds[kind].protocol ? 0 : -ESTALE;
}

static int prepare(int sock, enum netns_socket kind)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };

	if (kinds[kind].family)
		return 0;
	if (netlink_portid(sock) == 0 && bind(sock, (struct sockaddr *)&any, sizeof(any)) < 0)
		return -errno;
	return kinds[kind].prepare ? kinds[kind].prepare(sock) : 0;
}

int netns_take(struct netns *netns, int sockets[_NETNS_SOCKET_N])
{
	int r = 0;

	for (enum netns_socket i = 0; i < _NETNS_SOCKET_N && !r; i++)
		r = netns_check(netns, sockets[i], i);
	for (enum netns_socket i = 0; i < _NETNS_SOCKET_N && !r; i++)
		if (netns->sockets[i] < 0)
			r = prepare(sockets[i], i);
	for (enum netns_socket i = 0; i < _NETNS_SOCKET_N && !r; i++) {
		if (netns->sockets[i] < 0)
			netns->sockets[i] = TAKE_FD(sockets[i]);
		sockets[i] = close_fd(sockets[i]);
	}
	return r;
}

int netns_open_own(struct netns *netns)
{
	int sockets[_NETNS_SOCKET_N], r = 0;
	struct stat st;

	for (int i = 0; i < _NETNS_SOCKET_N; i++) {
		sockets[i] = r < 0 ? -1 : netns_open_socket((enum netns_socket)i);
		if (sockets[i] < 0 && !r)
			r = sockets[i];
	}
	if (!r)
		r = netns_cookie_of(sockets[0], &netns->cookie);
	if (!r)
		r = netns_take(netns, sockets);
	if (!r && stat("/proc/thread-self/ns/net", &st) == 0)
		netns->inode = (uint32_t)st.st_ino;
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		close_fd(sockets[i]);
	return r;
}
