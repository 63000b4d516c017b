/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <string.h>

#include "base/macros.h"
#include "cli/why.h"
#include "kernel/netlink.h"

int route_find(const char *address, uint32_t ifindex, struct route *ret_route)
{
	int family = strchr(address, ':') ? AF_INET6 : AF_INET;
	_cleanup_close_ int sock = -1;
	uint8_t bytes[16];

	if (inet_pton(family, address, bytes) != 1)
		return -EINVAL;
	sock = netlink_open(NETLINK_ROUTE);
	return sock < 0 ? sock : route_ask(sock, family, bytes, ifindex, ret_route);
}
