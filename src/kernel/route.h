/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: How packets to an address leave (NETLINK_ROUTE) */

#include <stdbool.h>
#include <stdint.h>

struct route {
	uint32_t ifindex; /* 0: there is no route */
	bool is_own;	  /* it is delivered on this machine: an address of ours */
	char src[46];
};

#define ROUTE_E_NONE 1

/**
 * route_ask() - in the network namespace of @sock
 * @address: 4 bytes of AF_INET, or 16 of AF_INET6
 * @ifindex: that its socket is bound to; 0: none
 *
 * Return: 0, ROUTE_E_NONE, or a negative errno: it cannot be told
 */
int route_ask(int sock, int family, const void *address, uint32_t ifindex, struct route *ret_route);
