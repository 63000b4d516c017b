/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>

#include <libmnl/libmnl.h>

#include "kernel/nft-compat.h"

#define ANSWER_BYTES 8192 /* libmnl recommends a page, at most 8 KiB */
#define KIND_MATCH 0	  /* 1 would be a target */

void nft_load_match(const char *name, unsigned int revision)
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	char buffer[ANSWER_BYTES];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *family;

	if (!sock)
		return;
	header->nlmsg_type = NFNL_SUBSYS_NFT_COMPAT << 8 | NFNL_MSG_COMPAT_GET;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	family = mnl_nlmsg_put_extra_header(header, sizeof(*family));
	family->nfgen_family = NFPROTO_IPV4;
	mnl_attr_put_strz(header, NFTA_COMPAT_NAME, name);
	mnl_attr_put_u32(header, NFTA_COMPAT_REV, htonl(revision));
	mnl_attr_put_u32(header, NFTA_COMPAT_TYPE, htonl(KIND_MATCH));
	/* the module is loaded before any of the answers, so one is waited for */
	if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) == 0 &&
	    mnl_socket_sendto(sock, header, header->nlmsg_len) >= 0)
		(void)mnl_socket_recvfrom(sock, buffer, sizeof(buffer));
	mnl_socket_close(sock);
}
