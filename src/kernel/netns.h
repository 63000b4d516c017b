/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: One network namespace, and the ways into it
 *
 * sluiced never leaves its own namespace. Of another one it has sockets that
 * sluice-keeper made there. They keep the namespace alive, also when nobody is in
 * it any more, so they are closed when nobody has used it for a while.
 *
 * The kernel's cookie is its name: an inode number is given out again, a cookie
 * is not.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/netns.h"

struct netns {
	bool is_used; /* else this place is free */
	uint64_t cookie;
	uint32_t inode;		      /* as people know it: /proc/PID/ns/net */
	int sockets[_NETNS_SOCKET_N]; /* owned; -1: none, or not yet */
	uint16_t queue_num;
	uint16_t packet_num; /* of the queue of packets; 0: none */
	/* of NETNS_LISTEN4 and 6, then DATAGRAMS; 0: it does not listen */
	uint16_t divert_port[2][2];
	bool wants_requeue; /* a predecessor's packets are in its queue */
	uint64_t digest;    /* of the table after our last transaction; 0: unknown */
};

/** netns_clear() - a free place; what it had is the caller's */
void netns_clear(struct netns *netns);
/** netns_close() - let go of it; what is in it stays */
void netns_close(struct netns *netns);

/** netns_is_whole() - there are all sockets; else it is a predecessor's, and they are to come */
bool netns_is_whole(const struct netns *netns);

/** netns_cookie_of() - of the namespace that a socket was made in. Return: 0 or a negative errno. */
int netns_cookie_of(int sock, uint64_t *ret_cookie);

/** netns_open_own() - sockets of the namespace that we are in. Return: 0 or a negative errno. */
int netns_open_own(struct netns *netns);

/** netns_check() - is @sock, which was made for us, of @netns and of this kind? Return: 0; -ESTALE: no;
 *  or another negative errno */
int netns_check(const struct netns *netns, int sock, enum netns_socket kind);

/**
 * netns_take() - sockets that were made for us
 * @sockets: consumed on success; those that @netns has already are closed instead
 *
 * Return: 0; -ESTALE: one is of another namespace than @netns, or of another
 *         kind; or another negative errno.
 */
int netns_take(struct netns *netns, int sockets[_NETNS_SOCKET_N]);
