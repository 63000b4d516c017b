/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Type, address, port: as SOCKS5 writes them, in what is said and before each datagram
 */

#include "handshake.h"

#define SOCKS5_ADDRESS_MAX (1U + 1U + 255U + 2U)

/** socks5_address_write() - the name, if it has one. Return: bytes of it */
size_t socks5_address_write(const struct destination *destination, uint8_t out[SOCKS5_ADDRESS_MAX]);

/** socks5_address_size() - Return: bytes of the whole; 0: more than @n are needed to say; -EBADMSG */
int socks5_address_size(const uint8_t *bytes, size_t n);

/** socks5_address_read() - Return: as socks5_address_size(), and 0 also when not all of it is there */
int socks5_address_read(const uint8_t *bytes, size_t n, struct destination *ret_address);
