/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "base/macros.h"
#include "kernel/link.h"
#include "kernel/netlink.h"

#define REQUEST_BYTES 256

/* IFLA_INFO_KIND as the drivers name themselves */
static const struct {
	const char *driver;
	enum link_kind kind;
} drivers[] = {
	{ "veth", LINK_VIRTUAL },     { "dummy", LINK_VIRTUAL },  { "macvlan", LINK_VIRTUAL },
	{ "ipvlan", LINK_VIRTUAL },   { "bridge", LINK_BRIDGE },  { "tun", LINK_TUNNEL },
	{ "wireguard", LINK_TUNNEL }, { "gre", LINK_TUNNEL },	  { "gretap", LINK_TUNNEL },
	{ "ip6gre", LINK_TUNNEL },    { "ipip", LINK_TUNNEL },	  { "ip6tnl", LINK_TUNNEL },
	{ "sit", LINK_TUNNEL },	      { "vxlan", LINK_TUNNEL },	  { "geneve", LINK_TUNNEL },
	{ "xfrm", LINK_TUNNEL },      { "vti", LINK_TUNNEL },	  { "ovpn", LINK_TUNNEL },
	{ "bond", LINK_ETHERNET },    { "vlan", LINK_ETHERNET },  { "team", LINK_ETHERNET },
	{ "wwan", LINK_CELLULAR },    { "rmnet", LINK_CELLULAR },
};

static enum link_kind kind_of_driver(const char *driver, enum link_kind otherwise)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (!strcmp(drivers[i].driver, driver))
			return drivers[i].kind;
	return otherwise;
}

static int read_info(const struct nlattr *attr, void *data)
{
	enum link_kind *kind = data;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		*kind = kind_of_driver(mnl_attr_get_str(attr), *kind);
	return MNL_CB_OK;
}

static int read_attribute(const struct nlattr *attr, void *data)
{
	struct link *link = data;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		snprintf(link->name, sizeof(link->name), "%s", mnl_attr_get_str(attr));
		break;
	case IFLA_WIRELESS:
		link->kind = LINK_WIFI;
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(attr, read_info, &link->kind);
		break;
	}
	return MNL_CB_OK;
}

static enum link_kind kind_of_type(unsigned int type)
{
	switch (type) {
	case ARPHRD_LOOPBACK:
		return LINK_LOOPBACK;
	case ARPHRD_ETHER:
		return LINK_ETHERNET;
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case ARPHRD_NONE:
		return LINK_TUNNEL;
	case ARPHRD_RAWIP:
		return LINK_CELLULAR;
	default:
		return LINK_OTHER;
	}
}

static int read_link(const struct nlmsghdr *header, void *data)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(header);
	struct link *link = data;

	if (header->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	link->kind = kind_of_type(info->ifi_type);
	mnl_attr_parse(header, sizeof(*info), read_attribute, link);
	return MNL_CB_STOP;
}

int link_read(int sock, uint32_t ifindex, struct link *ret_link)
{
	char buffer[REQUEST_BYTES];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct link link = { .ifindex = ifindex };
	struct ifinfomsg *info;
	int r;

	header->nlmsg_type = RTM_GETLINK;
	header->nlmsg_flags = NLM_F_REQUEST;
	info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	info->ifi_index = (int)ifindex;
	r = netlink_ask(sock, header, read_link, &link);
	if (!r)
		*ret_link = link;
	return r;
}
