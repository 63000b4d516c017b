/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "base/macros.h"
#include "kernel/diag.h"
#include "kernel/netlink.h"

#define REQUEST_BYTES 256
#define MAPPED_BYTES 12 /* of the prefix ::ffff:0:0/96 */

static bool is_ipv4(const struct sl_tuple *tuple)
{
	static const uint8_t mapped[MAPPED_BYTES] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(tuple->laddr, mapped, sizeof(mapped));
}

static void put_address(__be32 to[4], const uint8_t address[16], bool is_v4)
{
	if (is_v4)
		memcpy(to, address + MAPPED_BYTES, 4);
	else
		memcpy(to, address, 16);
}

void diag_request(const struct sl_tuple *tuple, uint32_t ifindex, uint64_t cookie,
		  struct inet_diag_req_v2 *ret_req)
{
	bool is_v4 = is_ipv4(tuple); /* finds v4-mapped sockets as well */
	struct inet_diag_req_v2 req = { .sdiag_family = is_v4 ? AF_INET : AF_INET6,
					.sdiag_protocol = tuple->proto,
					.idiag_states = ~0U };

	put_address(req.id.idiag_src, tuple->laddr, is_v4);
	put_address(req.id.idiag_dst, tuple->raddr, is_v4);
	req.id.idiag_sport = htons(tuple->lport);
	req.id.idiag_dport = htons(tuple->rport);
	req.id.idiag_if = ifindex;
	req.id.idiag_cookie[0] = (uint32_t)cookie;
	req.id.idiag_cookie[1] = (uint32_t)(cookie >> 32);
	*ret_req = req;
}

/* the kernel looks for UDP sockets with the ends the wrong way round, since ever; but only when
 * it is asked about them, not when it destroys them */
static void swap_ends(struct inet_diag_req_v2 *req)
{
	struct inet_diag_sockid id = req->id;

	memcpy(req->id.idiag_src, id.idiag_dst, sizeof(id.idiag_src));
	memcpy(req->id.idiag_dst, id.idiag_src, sizeof(id.idiag_dst));
	req->id.idiag_sport = id.idiag_dport;
	req->id.idiag_dport = id.idiag_sport;
}

static int on_answer(const struct nlmsghdr *header, void *data)
{
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(header);
	struct diag_socket *found = data;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return MNL_CB_OK;
	found->cookie = msg->id.idiag_cookie[0] | (uint64_t)msg->id.idiag_cookie[1] << 32;
	found->is_connected = msg->id.idiag_dport != 0;
	found->is_opening = msg->idiag_state == TCP_SYN_RECV;
	return MNL_CB_STOP;
}

static int ask(int sock, uint16_t type, const struct inet_diag_req_v2 *req,
	       struct diag_socket *found)
{
	char buffer[REQUEST_BYTES];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);

	header->nlmsg_type = type;
	header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | (found ? 0 : NLM_F_ACK));
	memcpy(mnl_nlmsg_put_extra_header(header, sizeof(*req)), req, sizeof(*req));
	return netlink_ask(sock, header, on_answer, found);
}

int diag_find(int sock, const struct sl_tuple *tuple, uint32_t ifindex,
	      struct diag_socket *ret_socket)
{
	struct diag_socket found = { .ifindex = ifindex };
	struct inet_diag_req_v2 req;
	int r;

	diag_request(tuple, ifindex, UINT64_MAX, &req); /* whatever its cookie */
	if (tuple->proto != IPPROTO_TCP && tuple->proto != IPPROTO_UDP)
		return -EPROTONOSUPPORT;
	if (tuple->proto == IPPROTO_UDP)
		swap_ends(&req);
	r = ask(sock, SOCK_DIAG_BY_FAMILY, &req, &found);
	if (r == 0)
		*ret_socket = found;
	return r;
}

int diag_destroy(int sock, const struct sl_tuple *tuple, const struct diag_socket *found)
{
	struct inet_diag_req_v2 req;
	int r;

	diag_request(tuple, found->ifindex, found->cookie, &req);
	r = ask(sock, SOCK_DESTROY, &req, NULL);
	return r == -ESTALE ? -ENOENT : r;
}
