/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A datagram from a SOCKS5 server, of any bytes
 *
 * What is read, and written again, is what was read.
 */

#include "handshake-target.h"
#include "providers/socks/socks5-udp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct destination source = { 0 };
	uint8_t head[SOCKS5_UDP_HEAD_MAX], *exact = malloc(size ? size : 1);
	int n;

	require(exact != NULL);
	memcpy(exact, data, size);
	n = socks5_udp_read(exact, size, &source);
	free(exact);
	if (n < 0)
		return 0;
	require((size_t)n <= size && memcmp(data, "\0\0\0", 3) == 0);
	/* an IPv4 address may also come as one of IPv6: it is written as what it is */
	if (source.host[0] || data[3] != 4 ||
	    memcmp(source.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12)) {
		require(socks5_udp_head(&source, head) == (size_t)n);
		require(memcmp(head + 3, data + 3, (size_t)n - 3) == 0);
	}
	return 0;
}
