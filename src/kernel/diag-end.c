/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "kernel/diag-end.h"
#include "kernel/netlink.h"
#include "kernel/route.h"

#define REQUEST_BYTES 256
#define MAPPED_BYTES 12 /* of the prefix ::ffff:0:0/96 */
#define BIT(state) (1U << (state))
/* they have another side, or ask for one; of what is over, or only listens, nothing is to be ended */
#define TCP_STATES                                                                                 \
	(BIT(TCP_ESTABLISHED) | BIT(TCP_SYN_SENT) | BIT(TCP_FIN_WAIT1) | BIT(TCP_FIN_WAIT2) |      \
	 BIT(TCP_CLOSE_WAIT) | BIT(TCP_LAST_ACK) | BIT(TCP_CLOSING))
#define UDP_STATES BIT(TCP_ESTABLISHED) /* connected */

struct search {
	diag_wanted_fn is_wanted;
	const void *data;
	uint8_t protocol;
	struct inet_diag_req_v2 *found; /* owned */
	size_t n, n_room;
};

/* where it goes to; of IPv4 in a socket of IPv6 as well. Return: its family */
static int address_of(int family, const struct inet_diag_sockid *id, const uint8_t **ret_address)
{
	static const uint8_t mapped[MAPPED_BYTES] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *to = (const uint8_t *)id->idiag_dst;
	bool is_mapped = family == AF_INET6 && !memcmp(to, mapped, sizeof(mapped));

	*ret_address = is_mapped ? to + MAPPED_BYTES : to;
	return is_mapped ? AF_INET : family;
}

/* what stays on this machine is nobody's to judge. Another address of ours is told by the route:
 * who cannot be asked about it is better ended than missed */
static bool stays_here(int routes, const struct inet_diag_req_v2 *socket)
{
	const struct inet_diag_sockid *id = &socket->id;
	const uint8_t *to;
	int family = address_of(socket->sdiag_family, id, &to);
	struct route route = { .is_own = false };

	if (!memcmp(id->idiag_src, id->idiag_dst, socket->sdiag_family == AF_INET ? 4 : 16))
		return true;
	if (family == AF_INET ? to[0] == 127 : !memcmp(to, &in6addr_loopback, 16))
		return true;
	return route_ask(routes, family, to, id->idiag_if, &route) == 0 && route.is_own;
}

static int on_attribute(const struct nlattr *attribute, void *data)
{
	if (mnl_attr_get_type(attribute) == INET_DIAG_CGROUP_ID &&
	    mnl_attr_get_payload_len(attribute) == sizeof(uint64_t))
		*(uint64_t *)data = mnl_attr_get_u64(attribute);
	return MNL_CB_OK;
}

static int on_socket(const struct nlmsghdr *header, void *data)
{
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(header);
	struct search *search = data;
	uint64_t cgroup = 0;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return MNL_CB_OK;
	(void)mnl_attr_parse(header, sizeof(*msg), on_attribute, &cgroup);
	if (!cgroup || !search->is_wanted(cgroup, search->data))
		return MNL_CB_OK;
	if (search->n == search->n_room) {
		size_t n = search->n_room ? 2 * search->n_room : 64;
		void *larger = realloc(search->found, n * sizeof(*search->found));

		if (!larger) {
			errno = ENOMEM;
			return MNL_CB_ERROR;
		}
		search->found = larger;
		search->n_room = n;
	}
	search->found[search->n++] = (struct inet_diag_req_v2){ .sdiag_family = msg->idiag_family,
								.sdiag_protocol = search->protocol,
								.idiag_states = ~0U,
								.id = msg->id };
	return MNL_CB_OK;
}

static int ask(int sock, uint16_t type, uint16_t flags, const struct inet_diag_req_v2 *req,
	       struct search *search)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_BYTES];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);

	header->nlmsg_type = type;
	header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	memcpy(mnl_nlmsg_put_extra_header(header, sizeof(*req)), req, sizeof(*req));
	return netlink_ask(sock, header, on_socket, search);
}

static int find(int sock, uint8_t family, uint8_t protocol, struct search *search)
{
	struct inet_diag_req_v2 req = { .sdiag_family = family,
					.sdiag_protocol = protocol,
					.idiag_states =
						protocol == IPPROTO_TCP ? TCP_STATES : UDP_STATES };

	search->protocol = protocol;
	return ask(sock, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &req, search);
}

int diag_end_all(int sock, int routes, diag_wanted_fn is_wanted, const void *data,
		 unsigned int *n_ended)
{
	struct search search = { .is_wanted = is_wanted, .data = data };
	int r = 0, error;

	for (unsigned int i = 0; i < 4 && r == 0; i++)
		r = find(sock, i & 1 ? AF_INET6 : AF_INET, i & 2 ? IPPROTO_UDP : IPPROTO_TCP,
			 &search);
	for (size_t i = 0; i < search.n; i++) {
		if (stays_here(routes, &search.found[i]))
			continue;
		error = ask(sock, SOCK_DESTROY, NLM_F_ACK, &search.found[i], &search);
		*n_ended += error == 0;
		if (error < 0 && error != -ENOENT && error != -ESTALE && r == 0)
			r = error;
	}
	free(search.found);
	return r;
}
