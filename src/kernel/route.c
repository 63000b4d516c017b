/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>

#include <libmnl/libmnl.h>

#include "kernel/netlink.h"
#include "kernel/route.h"

#define REQUEST_BYTES 256

struct answer {
	int family;
	struct route route;
};

static size_t n_bytes_of(int family)
{
	return family == AF_INET ? 4 : 16;
}

static int on_attribute(const struct nlattr *attribute, void *data)
{
	struct answer *answer = data;

	if (mnl_attr_get_type(attribute) == RTA_OIF)
		answer->route.ifindex = mnl_attr_get_u32(attribute);
	if (mnl_attr_get_type(attribute) == RTA_PREFSRC &&
	    mnl_attr_get_payload_len(attribute) >= n_bytes_of(answer->family))
		(void)inet_ntop(answer->family, mnl_attr_get_payload(attribute), answer->route.src,
				sizeof(answer->route.src));
	return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct answer *answer = data;

	if (message->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_STOP;
	answer->route.is_own = header->rtm_type == RTN_LOCAL;
	(void)mnl_attr_parse(message, sizeof(*header), on_attribute, answer);
	return MNL_CB_STOP;
}

/* everything else is what the kernel says of the route */
static bool cannot_be_told(int error)
{
	return error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM;
}

int route_ask(int sock, int family, const void *address, uint32_t ifindex, struct route *ret_route)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_BYTES];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct answer answer = { .family = family };
	struct rtmsg *header;
	int r;

	message->nlmsg_type = RTM_GETROUTE;
	message->nlmsg_flags = NLM_F_REQUEST;
	header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->rtm_family = (uint8_t)family;
	header->rtm_dst_len = (uint8_t)(8 * n_bytes_of(family));
	mnl_attr_put(message, RTA_DST, n_bytes_of(family), address);
	if (ifindex)
		mnl_attr_put_u32(message, RTA_OIF, ifindex);
	r = netlink_ask(sock, message, on_route, &answer);
	if (r < 0)
		return cannot_be_told(r) ? r : ROUTE_E_NONE;
	if (!answer.route.ifindex)
		return ROUTE_E_NONE;
	*ret_route = answer.route;
	return 0;
}
