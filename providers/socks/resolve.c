/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>

#include "resolve.h"

#define ADDRESSES_MAX 4U /* of one name */

/* at once, without asking anybody, if the host is an address. Return: as getaddrinfo(3) */
static int look_up(const struct upstream *upstream, struct addrinfo **ret_found)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	char port[8];
	int r;

	(void)snprintf(port, sizeof(port), "%u", upstream->port);
	r = getaddrinfo(upstream->host, port, &hints, ret_found);
	if (r == 0)
		return r;
	hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
	return getaddrinfo(upstream->host, port, &hints, ret_found);
}

int resolve(struct endpoints *endpoints, const struct upstream *upstream,
	    char error[RESOLVE_ERROR_BYTES])
{
	struct addrinfo *found = NULL, *one;
	unsigned int n = 0;
	int r = look_up(upstream, &found);

	if (r) {
		(void)snprintf(error, RESOLVE_ERROR_BYTES,
			       "cannot look up \"%.100s\": %s; give its address, or see that it "
			       "has one",
			       upstream->host, gai_strerror(r));
		return -EINVAL;
	}
	for (one = found; one && n < ADDRESSES_MAX && r == 0; one = one->ai_next, n++)
		r = endpoints_add(endpoints, upstream, one->ai_addr, one->ai_addrlen);
	freeaddrinfo(found);
	if (r < 0)
		(void)snprintf(error, RESOLVE_ERROR_BYTES,
			       "more than %u addresses of proxies: give fewer", ENDPOINTS_MAX);
	return r;
}
