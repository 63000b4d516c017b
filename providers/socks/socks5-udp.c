/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "socks5-udp.h"

static const uint8_t before[] = { 0, 0, 0 }; /* reserved, fragment */

size_t socks5_udp_head(const struct destination *destination, uint8_t head[SOCKS5_UDP_HEAD_MAX])
{
	memcpy(head, before, sizeof(before));
	return sizeof(before) + socks5_address_write(destination, head + sizeof(before));
}

int socks5_udp_read(const uint8_t *datagram, size_t n, struct destination *ret_source)
{
	int n_address;

	if (n < sizeof(before) || memcmp(datagram, before, sizeof(before)) != 0)
		return -EBADMSG;
	n_address = socks5_address_read(datagram + sizeof(before), n - sizeof(before), ret_source);
	return n_address > 0 ? (int)sizeof(before) + n_address : -EBADMSG;
}
