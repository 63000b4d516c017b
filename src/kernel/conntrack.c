/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What conntrack is asked and told
 *
 * UDP has no SO_ORIGINAL_DST. The answer to a translated flow has ends that we know, and conntrack finds
 * its entry by them.
 *
 * Of TCP it remembers for 10 s what its peer has reset, and takes a SYN with these ends for one of that connection: it
 * would be translated as that was. One that has been closed a SYN begins anew, as the kernel notes in its entry which
 * side has closed first (IP_CT_TCP_FLAG_CLOSE_INIT). So that is noted as long as the connection is open: it says
 * nothing before the end.
 */
#include <errno.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "kernel/netlink.h"
#include "kernel/real.h"

#define REQUEST_BYTES 512

static void put_tuple(struct nlmsghdr *request, uint16_t type, const struct sl_tuple *tuple)
{
	bool is_ipv4 = sl_is_mapped4(tuple->laddr);
	struct nlattr *outer = mnl_attr_nest_start(request, type), *inner;

	inner = mnl_attr_nest_start(request, CTA_TUPLE_IP);
	if (is_ipv4) {
		mnl_attr_put(request, CTA_IP_V4_SRC, 4, tuple->laddr + 12);
		mnl_attr_put(request, CTA_IP_V4_DST, 4, tuple->raddr + 12);
	} else {
		mnl_attr_put(request, CTA_IP_V6_SRC, 16, tuple->laddr);
		mnl_attr_put(request, CTA_IP_V6_DST, 16, tuple->raddr);
	}
	mnl_attr_nest_end(request, inner);
	inner = mnl_attr_nest_start(request, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(request, CTA_PROTO_NUM, tuple->proto);
	mnl_attr_put_u16(request, CTA_PROTO_SRC_PORT, htons(tuple->lport));
	mnl_attr_put_u16(request, CTA_PROTO_DST_PORT, htons(tuple->rport));
	mnl_attr_nest_end(request, inner);
	mnl_attr_nest_end(request, outer);
}

static void take_address(const struct nlattr *attr, uint8_t addr[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (mnl_attr_get_payload_len(attr) == 16) {
		memcpy(addr, mnl_attr_get_payload(attr), 16);
	} else if (mnl_attr_get_payload_len(attr) == 4) {
		memcpy(addr, mapped, sizeof(mapped));
		memcpy(addr + sizeof(mapped), mnl_attr_get_payload(attr), 4);
	}
}

static void take_part(const struct nlattr *part, struct sl_tuple *tuple)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, part) {
		uint16_t type = mnl_attr_get_type(attr);

		if (mnl_attr_get_type(part) == CTA_TUPLE_IP) {
			if (type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC)
				take_address(attr, tuple->laddr);
			if (type == CTA_IP_V4_DST || type == CTA_IP_V6_DST)
				take_address(attr, tuple->raddr);
		} else if (mnl_attr_get_payload_len(attr) == sizeof(uint16_t)) {
			if (type == CTA_PROTO_SRC_PORT)
				tuple->lport = ntohs(mnl_attr_get_u16(attr));
			if (type == CTA_PROTO_DST_PORT)
				tuple->rport = ntohs(mnl_attr_get_u16(attr));
		}
	}
}

static int on_entry(const struct nlmsghdr *answer, void *data)
{
	const struct nlattr *attr, *part;

	mnl_attr_for_each(attr, answer, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == CTA_TUPLE_ORIG)
			mnl_attr_for_each_nested(part, attr)
				take_part(part, data);
	return MNL_CB_STOP;
}

static struct nlmsghdr *begin(char buffer[REQUEST_BYTES], uint16_t type, uint16_t which,
			      const struct sl_tuple *tuple)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *head;

	request->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | type;
	request->nlmsg_flags = NLM_F_REQUEST;
	head = mnl_nlmsg_put_extra_header(request, sizeof(*head));
	head->nfgen_family = sl_is_mapped4(tuple->laddr) ? AF_INET : AF_INET6;
	put_tuple(request, which, tuple);
	return request;
}

int conntrack_original(int sock, struct sl_tuple *tuple)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_BYTES] = { 0 };

	return netlink_ask(sock, begin(buffer, IPCTNL_MSG_CT_GET, CTA_TUPLE_REPLY, tuple), on_entry,
			   tuple);
}

int conntrack_forget(int sock, const struct sl_tuple *tuple, uint16_t zone)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_BYTES] = { 0 };
	struct nlmsghdr *request = begin(buffer, IPCTNL_MSG_CT_DELETE, CTA_TUPLE_ORIG, tuple);

	mnl_attr_put_u16(request, CTA_ZONE, htons(zone));
	request->nlmsg_flags |= NLM_F_ACK;
	return netlink_ask(sock, request, NULL, NULL);
}

/* without NLM_F_CREATE it changes what is there */
int conntrack_keep(int sock, const struct sl_tuple *tuple, uint16_t zone, uint32_t seconds)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_BYTES] = { 0 };
	struct nlmsghdr *request = begin(buffer, IPCTNL_MSG_CT_NEW, CTA_TUPLE_ORIG, tuple);

	mnl_attr_put_u16(request, CTA_ZONE, htons(zone));
	mnl_attr_put_u32(request, CTA_TIMEOUT, htonl(seconds));
	request->nlmsg_flags |= NLM_F_ACK;
	return netlink_ask(sock, request, NULL, NULL);
}

int conntrack_begin_anew(int sock, const struct sl_tuple *tuple)
{
	static const struct nf_ct_tcp_flags closed = { .flags = IP_CT_TCP_FLAG_CLOSE_INIT,
						       .mask = IP_CT_TCP_FLAG_CLOSE_INIT };
	_Alignas(struct nlmsghdr) char buffer[REQUEST_BYTES] = { 0 };
	struct nlmsghdr *request = begin(buffer, IPCTNL_MSG_CT_NEW, CTA_TUPLE_ORIG, tuple);
	struct nlattr *outer = mnl_attr_nest_start(request, CTA_PROTOINFO);
	struct nlattr *inner = mnl_attr_nest_start(request, CTA_PROTOINFO_TCP);

	mnl_attr_put(request, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, sizeof(closed), &closed);
	mnl_attr_nest_end(request, inner);
	mnl_attr_nest_end(request, outer);
	return netlink_tell(sock, request);
}
