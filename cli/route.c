/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "cli/why.h"

#define ANSWER_BYTES 8192

struct answer {
	int family;
	struct route route;
};

static int on_attribute(const struct nlattr *attribute, void *data)
{
	struct answer *answer = data;
	size_t n = answer->family == AF_INET ? 4 : 16;

	if (mnl_attr_get_type(attribute) == RTA_OIF)
		answer->route.ifindex = mnl_attr_get_u32(attribute);
	if (mnl_attr_get_type(attribute) == RTA_PREFSRC && mnl_attr_get_payload_len(attribute) >= n)
		(void)inet_ntop(answer->family, mnl_attr_get_payload(attribute), answer->route.src,
				sizeof(answer->route.src));
	return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *message, void *data)
{
	if (message->nlmsg_type == RTM_NEWROUTE)
		(void)mnl_attr_parse(message, sizeof(struct rtmsg), on_attribute, data);
	return MNL_CB_STOP;
}

static int ask(struct mnl_socket *sock, const uint8_t *address, uint32_t ifindex,
	       struct answer *answer)
{
	char buffer[ANSWER_BYTES] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct rtmsg *header;
	size_t n = answer->family == AF_INET ? 4 : 16;
	ssize_t got;

	message->nlmsg_type = RTM_GETROUTE;
	message->nlmsg_flags = NLM_F_REQUEST;
	header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->rtm_family = (uint8_t)answer->family;
	header->rtm_dst_len = (uint8_t)(8 * n);
	mnl_attr_put(message, RTA_DST, n, address);
	if (ifindex)
		mnl_attr_put_u32(message, RTA_OIF, ifindex);
	if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(sock, message, message->nlmsg_len) < 0)
		return -errno;
	got = mnl_socket_recvfrom(sock, buffer, sizeof(buffer));
	if (got < 0)
		return -errno;
	if (mnl_cb_run(buffer, (size_t)got, 0, 0, on_route, answer) < 0)
		return ROUTE_E_NONE; /* that is what the kernel says */
	return answer->route.ifindex ? 0 : ROUTE_E_NONE;
}

int route_find(const char *address, uint32_t ifindex, struct route *ret_route)
{
	struct answer answer = { .family = strchr(address, ':') ? AF_INET6 : AF_INET };
	struct mnl_socket *sock;
	uint8_t bytes[16];
	int r;

	if (inet_pton(answer.family, address, bytes) != 1)
		return -EINVAL;
	sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!sock)
		return -errno;
	r = ask(sock, bytes, ifindex, &answer);
	mnl_socket_close(sock);
	if (r == 0)
		*ret_route = answer.route;
	return r;
}
