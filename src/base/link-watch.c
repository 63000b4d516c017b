/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/link-watch.h"
#include "base/macros.h"

int link_watch_open(void)
{
	struct sockaddr_nl groups = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&groups, sizeof(groups)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

bool link_watch_has_changed(int fd)
{
	struct pollfd news = { .fd = fd, .events = POLLIN };

	return poll(&news, 1, 0) > 0; /* of a negative one it knows nothing */
}
