/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What stands before the payload of a datagram (RFC 1928 7)
 *
 *	reserved, 2 bytes of 0; fragment, 0; type, address, port
 *
 * A fragment is nothing for us: who cannot join them has to drop them.
 */

#include "socks5-address.h"

#define SOCKS5_UDP_HEAD_MAX (3U + SOCKS5_ADDRESS_MAX)

/** socks5_udp_head() - @destination: to whom the proxy sends it. Return: its bytes */
size_t socks5_udp_head(const struct destination *destination, uint8_t head[SOCKS5_UDP_HEAD_MAX]);

/**
 * socks5_udp_read() - a datagram from the proxy
 * @ret_source: out, on success only: from whom it is
 *
 * Return: where its payload begins; -EBADMSG: drop it.
 */
int socks5_udp_read(const uint8_t *datagram, size_t n, struct destination *ret_source);
