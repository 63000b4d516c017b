/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Sockets by their ends (NETLINK_SOCK_DIAG)
 *
 * TCP and UDP of a network namespace: @sock is its NETNS_DIAG. The kernel destroys a socket
 * only if it is asked by the right cookie, so that one which has got the same
 * ends meanwhile is not hit. It needs CONFIG_INET_DIAG_DESTROY and CAP_NET_ADMIN.
 */

#include <stdbool.h>
#include <stdint.h>

#include "abi/sluice-abi.h"

struct diag_socket {
	uint64_t cookie;
	uint32_t ifindex;  /* it is found under this one */
	bool is_connected; /* it has this peer and no other */
	bool is_opening;   /* TCP: a SYN that a listener answered, not a socket yet */
};

/**
 * diag_find() - the socket that has this conversation
 * @ifindex: of the interface it uses, for a socket bound to one; 0: unknown
 *
 * Return: 0; -ENOENT: none has; -EPROTONOSUPPORT for other than TCP and UDP; or
 * another negative errno.
 */
int diag_find(int sock, const struct sl_tuple *tuple, uint32_t ifindex,
	      struct diag_socket *ret_socket);

/**
 * diag_count() - the same for @n TCP connections, 64 at most: by @ends, in their order
 * @ret_found: @ret_counts says whether it was found
 */
struct plane_end;
struct plane_count;
void diag_count(int sock, const struct plane_end *ends, unsigned int n,
		struct diag_socket *ret_found, struct plane_count *ret_counts);

/** diag_end_rests() - @n TCP connections, 64 at most, by their ends and cookies; those that are gone are gone */
void diag_end_rests(int sock, const struct plane_end *ends, unsigned int n);

/** diag_request() - for what is known by these ends; any @cookie: UINT64_MAX */
struct inet_diag_req_v2;
void diag_request(const struct sl_tuple *tuple, uint32_t ifindex, uint64_t cookie,
		  struct inet_diag_req_v2 *ret_req);

/** diag_destroy() - Return: 0; -EOPNOTSUPP where the kernel cannot; -ENOENT: it is gone already */
int diag_destroy(int sock, const struct sl_tuple *tuple, const struct diag_socket *found);
