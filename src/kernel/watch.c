/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>

#include "base/macros.h"
#include "kernel/watch.h"

#define ROUND_BYTES 32768
#define ROUNDS_MAX 1024	     /* then others get their turn: the rest stays readable */
#define KEPT_BYTES (4 << 20) /* a large rule set is announced in one piece; more is "lost" */

int watch_prepare(int fd)
{
	int group = NFNLGRP_NFTABLES, bytes = KEPT_BYTES;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	return 0;
}

/* the name of the table is the first attribute of all that is announced, but of generations */
static bool is_about(const struct nlmsghdr *header, const char *table)
{
	const struct nfgenmsg *family = mnl_nlmsg_get_payload(header);
	const struct nlattr *first = mnl_nlmsg_get_payload_offset(header, sizeof(*family));
	uint16_t type = header->nlmsg_type & 0xff;

	if (header->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || type == NFT_MSG_NEWGEN ||
	    type == NFT_MSG_TRACE)
		return false;
	if (mnl_nlmsg_get_payload_len(header) < sizeof(*family) + MNL_ATTR_HDRLEN ||
	    family->nfgen_family != NFPROTO_INET)
		return false;
	return mnl_attr_get_type(first) == NFTA_TABLE_NAME &&
	       mnl_attr_ok(first, (int)(mnl_nlmsg_get_payload_len(header) - sizeof(*family))) &&
	       mnl_attr_validate(first, MNL_TYPE_NUL_STRING) >= 0 &&
	       !strcmp(mnl_attr_get_str(first), table);
}

static bool is_touched(const char *bytes, size_t n, const char *table, uint32_t portid)
{
	const struct nlmsghdr *header = (const void *)bytes;
	int left = (int)n;

	for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left))
		if (is_about(header, table) && header->nlmsg_pid != portid)
			return true;
	return false;
}

bool watch_read(int fd, const char *table, uint32_t portid)
{
	_Alignas(struct nlmsghdr) char bytes[ROUND_BYTES];
	bool was_touched = false;

	for (unsigned int i = 0; i < ROUNDS_MAX; i++) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_TRUNC | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 || (size_t)n > sizeof(bytes)) /* ENOBUFS, or cut */
			was_touched = true;
		else
			was_touched |= is_touched(bytes, (size_t)n, table, portid);
	}
	return was_touched;
}
