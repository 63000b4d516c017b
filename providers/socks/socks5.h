/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: SOCKS5 (RFC 1928, RFC 1929), the client's side
 *
 * Offered are no authentication and, when there is a user, user and password.
 *
 * What the proxy says of the destination becomes what a direct connection would have given:
 *
 *	1 general failure		ECONNREFUSED
 *	2 not allowed			EACCES
 *	3 network unreachable		ENETUNREACH
 *	4 host unreachable		EHOSTUNREACH
 *	5 refused			ECONNREFUSED
 *	6 TTL expired			ETIMEDOUT, since proxies say so when they got no answer
 *	8 address type			ENETUNREACH, as of a machine without IPv6
 *
 * Of SOCKS5_ASSOCIATE 2 and 7 are EACCES, others ECONNREFUSED: there is no destination.
 *
 * An answer that has failed is believed as soon as its number is there.
 */

#include "handshake.h"

enum socks5_command { SOCKS5_CONNECT = 1, SOCKS5_ASSOCIATE = 3 };

/** socks5_begin() - in the place of handshake_begin() it needs @handshake->upstream and
 *  ->destination; of SOCKS5_ASSOCIATE the destination is what our datagrams come from, zeros: any */
void socks5_begin(struct handshake *handshake, enum socks5_command command);

void socks5_take(struct handshake *handshake, uint8_t byte);

/** socks5_waits_for() - all is said; as handshake_waits_for() */
enum handshake_wait socks5_waits_for(const struct handshake *handshake);

/** socks5_bound() - DONE: the address that the proxy has named; for SOCKS5_ASSOCIATE where
 *  datagrams go, and zeros mean: where the proxy is. Return: 0, -EBADMSG for no name */
int socks5_bound(const struct handshake *handshake, struct destination *ret_bound);
