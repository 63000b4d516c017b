/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Which proxy is tried next
 *
 * The order of the configuration, but what failed in the last 30 seconds comes last. A
 * name with several addresses is several endpoints. No descriptor, no clock.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "upstream.h"

#define UPSTREAMS_MAX 16U
#define ADDRESSES_MAX                                                                              \
	4U /* of one upstream, further ones are not used: there is room for each of the others */
#define ENDPOINTS_MAX (UPSTREAMS_MAX * ADDRESSES_MAX)
_Static_assert(ENDPOINTS_MAX <= 64, "bits of a mask");
#define ENDPOINTS_FAILED_MS 30000U

struct endpoint {
	const struct upstream *upstream;
	union {
		struct sockaddr generic;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} address;
	socklen_t n_address;
	bool has_failed; /* the last time */
	uint64_t failed_ms;
	bool is_told;	  /* that it has failed, and not that it works again */
	uint64_t told_ms; /* 0: never */
};

struct endpoints {
	unsigned int n;
	struct endpoint all[ENDPOINTS_MAX];
};

/** endpoints_add() - one more, of ENDPOINTS_MAX at most */
void endpoints_add(struct endpoints *endpoints, const struct upstream *upstream,
		   const struct sockaddr *address, socklen_t n_address);

/** endpoints_next() - @tried: bits of those that are out. Return: its number; -1: none is left */
int endpoints_next(const struct endpoints *endpoints, uint64_t tried, uint64_t now_ms);

/** endpoints_failed() - Return: is that to be told? Of one that now works and now does not: every half
 *  minute */
bool endpoints_failed(struct endpoints *endpoints, int number, uint64_t now_ms);

/** endpoints_worked() - Return: is that to be told? */
bool endpoints_worked(struct endpoints *endpoints, int number);
