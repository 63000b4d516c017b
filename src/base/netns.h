/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/** enum netns_socket - what sluiced has of a network namespace: sluice-keeper opens it where sluiced
 *  cannot go, in this order */
enum netns_socket {
	NETNS_QUEUE,   /* held packets; the keeper has a copy */
	NETNS_RULES,   /* transactions of the table; the keeper has a copy */
	NETNS_WATCH,   /* what others do to rules */
	NETNS_DIAG,    /* sockets by their ends */
	NETNS_ROUTE,   /* interfaces */
	NETNS_PACKETS, /* what packet filters are asked about */
	NETNS_LISTEN4, /* flows that are proxies', on loopback; unbound while there is no proxy */
	NETNS_LISTEN6,
	NETNS_DATAGRAMS4, /* the same, of UDP */
	NETNS_DATAGRAMS6,
	_NETNS_SOCKET_N,
};

/** netns_open_socket() - in the namespace that we are in, without an address. Return: a descriptor, the
 *  caller's, or a negative errno */
int netns_open_socket(enum netns_socket kind);
/** netns_open_sockets() - all of them, or @only the one of that number, from 1. Return: 0, or a negative
 *  errno: then some may be open */
int netns_open_sockets(uint32_t only, int *ret_sockets);
