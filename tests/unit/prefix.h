/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/**
 * DOC: prefixes, as the oracles of rules understand them
 *
 * Written without a look at src/policy. Byte by byte: bit by bit it was half of
 * the time that the property tests took.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/** has_prefix() - are the first @n_bits of @address, in network byte order, those of @prefix? */
static inline bool has_prefix(const uint8_t address[16], const uint8_t prefix[16],
			      unsigned int n_bits)
{
	const unsigned int n = n_bits / 8, n_rest = n_bits % 8;

	return memcmp(address, prefix, n) == 0 &&
	       (!n_rest || (address[n] ^ prefix[n]) >> (8 - n_rest) == 0);
}
