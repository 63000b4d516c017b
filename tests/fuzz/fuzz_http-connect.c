/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: An HTTP proxy that answers anything
 *
 * The first byte says whether we have a user, and in how large pieces the answer comes.
 */

#include "handshake-target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct upstream upstream = { .scheme = UPSTREAM_HTTP, .user = "u", .password = "p" };

	if (size == 0)
		return 0;
	upstream.has_user = data[0] & 1;
	check_handshake(&upstream, data + 1, size - 1, data[0] >> 1);
	return 0;
}
