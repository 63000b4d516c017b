/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/if.h>
#include <stdint.h>

/** enum link_kind - values of FLOW_NEW's interface_kind */
enum link_kind {
	LINK_OTHER,
	LINK_LOOPBACK,
	LINK_ETHERNET,
	LINK_WIFI,
	LINK_CELLULAR,
	LINK_TUNNEL,
	LINK_BRIDGE,
	LINK_VIRTUAL,
	_LINK_KIND_N,
};

struct link {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	enum link_kind kind;
};

/** link_read() - an interface of the namespace of @sock, its NETNS_ROUTE. Return: 0 or -errno. */
int link_read(int sock, uint32_t ifindex, struct link *ret_link);

const char *link_kind_name(enum link_kind kind);
