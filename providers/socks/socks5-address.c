/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "socks5-address.h"

enum address_type { TYPE_IPV4 = 1, TYPE_NAME = 3, TYPE_IPV6 = 4 };

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

size_t socks5_address_write(const struct destination *destination, uint8_t out[SOCKS5_ADDRESS_MAX])
{
	bool is_ipv4 = !memcmp(destination->address, mapped, sizeof(mapped));
	size_t n = strlen(destination->host), at = 1;

	if (n) {
		out[0] = TYPE_NAME;
		out[at++] = (uint8_t)n;
		memcpy(out + at, destination->host, n);
	} else {
		out[0] = is_ipv4 ? TYPE_IPV4 : TYPE_IPV6;
		n = is_ipv4 ? 4 : 16;
		memcpy(out + at, destination->address + 16 - n, n);
	}
	at += n;
	out[at++] = (uint8_t)(destination->port >> 8);
	out[at++] = (uint8_t)destination->port;
	return at;
}

int socks5_address_size(const uint8_t *bytes, size_t n)
{
	if (n == 0)
		return 0;
	switch (bytes[0]) {
	case TYPE_IPV4:
		return 1 + 4 + 2;
	case TYPE_IPV6:
		return 1 + 16 + 2;
	case TYPE_NAME:
		return n < 2 ? 0 : 1 + 1 + bytes[1] + 2;
	default:
		return -EBADMSG;
	}
}

int socks5_address_read(const uint8_t *bytes, size_t n, struct destination *ret_address)
{
	struct destination address = { 0 };
	int n_whole = socks5_address_size(bytes, n);

	if (n_whole <= 0 || n < (size_t)n_whole)
		return n_whole < 0 ? n_whole : 0;
	if (bytes[0] == TYPE_NAME) {
		if (bytes[1] == 0 || memchr(bytes + 2, '\0', bytes[1]))
			return -EBADMSG;
		memcpy(address.host, bytes + 2, bytes[1]);
	} else {
		size_t n_address = (size_t)n_whole - 3;

		memcpy(address.address, mapped, sizeof(mapped));
		memcpy(address.address + 16 - n_address, bytes + 1, n_address);
	}
	address.port = (uint16_t)(bytes[n_whole - 2] << 8 | bytes[n_whole - 1]);
	*ret_address = address;
	return n_whole;
}
