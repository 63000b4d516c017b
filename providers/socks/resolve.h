/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Where upstreams are
 *
 *	resolve_begin() each ──▶ resolve_wait() for all of them ──▶ resolve_end() each
 *
 * Names are looked up at once, beside each other, and no longer than a provider may take to start:
 * one that gets no answer fails, and whoever waits is told why.
 */

#include <netdb.h>

#include "endpoints.h"

#define RESOLVE_ERROR_BYTES 256U

/** struct resolving - of one upstream; it must stay, since a lookup that was too slow goes on */
struct resolving {
	const struct upstream *upstream;
	struct addrinfo hints, *found;
	char port[8];
	struct gaicb request;
	int error; /* EAI_INPROGRESS: @request is on its way */
};

/** resolve_begin() - @upstream: stays the caller's, and must outlive it and the endpoints */
void resolve_begin(struct resolving *resolving, const struct upstream *upstream);

/** resolve_wait() - until all @n have ended, or have had their time */
void resolve_wait(struct resolving *all, unsigned int n);

/** resolve_end() - add where it is; several addresses are as many endpoints. Return: 0;
 *  -EINVAL: it has no address, and @error says why */
int resolve_end(struct resolving *resolving, struct endpoints *endpoints,
		char error[RESOLVE_ERROR_BYTES]);
