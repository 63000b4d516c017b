/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: HTTP CONNECT (RFC 9110 9.3.6, RFC 9112), the client's side
 *
 * Of the answer the status counts, and where its head ends: any 2xx is a tunnel, and what a
 * field says of a length is not looked at, as the RFC has it. 1xx are passed over. All heads
 * together have 16 KB.
 *
 *	2xx			the flow begins
 *	401, 407		EACCES: the user or the password; another proxy is tried
 *	403			EACCES: the destination is not allowed
 *	404, 502		EHOSTUNREACH
 *	408, 504		ETIMEDOUT
 *	400, 405, 429, 501	ECONNREFUSED: it does not proxy for us; another one is tried
 *	any other		ECONNREFUSED
 *
 * No status says that a destination refused, and proxies answer 500, 502 or 503 for that as for much
 * else. 502 and 504 are those that RFC 9110 has for a gateway that got nothing of use, or nothing at
 * all; whatever says no more than that it did not work is a refusal, which no program waits for.
 */

#include "handshake.h"

/** http_connect_begin() - in the place of handshake_begin() it needs @handshake->upstream and
 *  ->destination */
void http_connect_begin(struct handshake *handshake);

void http_connect_take(struct handshake *handshake, uint8_t byte);

/** http_connect_waits_for() - all is said; as handshake_waits_for() */
enum handshake_wait http_connect_waits_for(const struct handshake *handshake);
