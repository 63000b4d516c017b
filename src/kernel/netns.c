/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/macros.h"
#include "kernel/netns.h"

void netns_clear(struct netns *netns)
{
	*netns = (struct netns){ .is_used = false };
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		netns->sockets[i] = -1;
}

void netns_close(struct netns *netns)
{
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		close_fd(netns->sockets[i]);
	netns_clear(netns);
}

bool netns_is_whole(const struct netns *netns)
{
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		if (netns->sockets[i] < 0)
			return false;
	return true;
}
