/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Anything as the URL of a proxy
 *
 * What is taken can be said to a proxy, and its text, which has neither user nor password, is
 * taken as well and says the same.
 */

#include "handshake-target.h"

static void check_taken(const struct upstream *upstream)
{
	char text[UPSTREAM_TEXT_BYTES], error[UPSTREAM_ERROR_BYTES];
	struct upstream again;

	require(upstream->port != 0 && upstream->host[0] != '\0');
	require(strlen(upstream->user) < UPSTREAM_SECRET_BYTES);
	require(upstream->has_user == (upstream->user[0] != '\0'));
	for (const char *c = upstream->password; *c; c++)
		require((unsigned char)*c >= ' ' && *c != 0x7f);
	require(upstream_parse(upstream_text(upstream, text), &again, error) == 0);
	require(again.scheme == upstream->scheme && again.port == upstream->port);
	require(strcmp(again.host, upstream->host) == 0 && !again.has_user);
	check_handshake(upstream, (const uint8_t *)"\x05\x02\x01\x00", 4, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[UPSTREAM_ERROR_BYTES] = "", *url = strndup((const char *)data, size);
	struct upstream upstream = { 0 };

	require(url != NULL);
	if (upstream_parse(url, &upstream, error) == 0)
		check_taken(&upstream);
	else
		require(error[0] != '\0' && upstream.port == 0);
	free(url);
	return 0;
}
