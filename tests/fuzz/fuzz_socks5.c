/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A SOCKS5 server that answers anything
 *
 * The first byte says whether we have a user, and in how large pieces the answer comes.
 */

#include "handshake-target.h"
#include "providers/socks/socks5.h"

static void check_bound(const struct upstream *upstream, const uint8_t *bytes, size_t n)
{
	struct handshake handshake;
	struct destination bound;

	handshake_associate(&handshake, upstream);
	feed_exact(&handshake, bytes, n);
	check_outcome(&handshake);
	if (handshake.state == HANDSHAKE_DONE && socks5_bound(&handshake, &bound) == 0)
		require(strnlen(bound.host, sizeof(bound.host)) < sizeof(bound.host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct upstream upstream = { .scheme = UPSTREAM_SOCKS5H, .user = "u", .password = "p" };

	if (size == 0)
		return 0;
	upstream.has_user = data[0] & 1;
	check_handshake(&upstream, data + 1, size - 1, data[0] >> 1);
	check_bound(&upstream, data + 1, size - 1);
	return 0;
}
