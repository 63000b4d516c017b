/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What protects an Initial packet
 *
 * Keys that anybody can derive from the connection ID the client has chosen:
 * RFC 9001 5, RFC 9369 3.3. Pure; the ciphers are nettle's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUIC_TAG_BYTES 16U
#define QUIC_SAMPLE_BYTES 16U

/** struct quic_version - what differs between the versions that are read */
struct quic_version {
	uint32_t number;
	uint8_t type_initial; /* in a long header; the other types follow it, modulo four */
	uint8_t salt[20];
	const char *label_key;
	const char *label_iv;
	const char *label_hp;
};

/** quic_version_find() - NULL: not one that is read */
const struct quic_version *quic_version_find(uint32_t number);

struct quic_keys {
	uint8_t key[16];
	uint8_t iv[12];
	uint8_t hp[16];
};

/** quic_client_keys() - those of the client's Initial packets */
void quic_client_keys(const struct quic_version *version, const uint8_t *dcid, size_t n_dcid,
		      struct quic_keys *ret_keys);

/** quic_header_mask() - for the first byte and up to four of the packet number */
void quic_header_mask(const struct quic_keys *keys, const uint8_t sample[QUIC_SAMPLE_BYTES],
		      uint8_t ret_mask[5]);

/**
 * quic_open() - check and decrypt
 * @header:    without header protection, packet number included
 * @sealed:    the rest of the packet; its tag is the last QUIC_TAG_BYTES
 * @ret_plain: n_sealed - QUIC_TAG_BYTES bytes; worth nothing on false
 */
bool quic_open(const struct quic_keys *keys, uint64_t number, const uint8_t *header,
	       size_t n_header, const uint8_t *sealed, size_t n_sealed, uint8_t *ret_plain);
