/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <nettle/aes.h>
#include <nettle/gcm.h>
#include <nettle/hkdf.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <string.h>

#include "base/macros.h"
#include "names/quic-keys.h"

static const struct quic_version versions[] = {
	/* RFC 9001 5.2 */
	{ .number = 0x00000001,
	  .type_initial = 0,
	  .salt = { 0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
		    0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a },
	  .label_key = "tls13 quic key",
	  .label_iv = "tls13 quic iv",
	  .label_hp = "tls13 quic hp" },
	/* what version 2 was while a draft (draft-ietf-quic-v2-04), and is in ngtcp2 up to 0.12 */
	{ .number = 0x709a50c4,
	  .type_initial = 1,
	  .salt = { 0xa7, 0x07, 0xc2, 0x03, 0xa5, 0x9b, 0x47, 0x18, 0x4a, 0x1d,
		    0x62, 0xca, 0x57, 0x04, 0x06, 0xea, 0x7a, 0xe3, 0xe5, 0xd3 },
	  .label_key = "tls13 quicv2 key",
	  .label_iv = "tls13 quicv2 iv",
	  .label_hp = "tls13 quicv2 hp" },
	/* RFC 9369 3.2, 3.3 */
	{ .number = 0x6b3343cf,
	  .type_initial = 1,
	  .salt = { 0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
		    0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9 },
	  .label_key = "tls13 quicv2 key",
	  .label_iv = "tls13 quicv2 iv",
	  .label_hp = "tls13 quicv2 hp" },
};

const struct quic_version *quic_version_find(uint32_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i].number == number)
			return &versions[i];
	return NULL;
}

/* HKDF-Expand-Label without a context: RFC 8446 7.1. @label is at most 32 bytes, "tls13 " included */
static void expand_label(const uint8_t secret[SHA256_DIGEST_SIZE], const char *label, size_t n,
			 uint8_t *ret_bytes)
{
	struct hmac_sha256_ctx hmac;
	size_t n_label = strlen(label);
	uint8_t info[2 + 1 + 32 + 1] = { 0, (uint8_t)n, (uint8_t)n_label };

	memcpy(info + 3, label, n_label);
	hmac_sha256_set_key(&hmac, SHA256_DIGEST_SIZE, secret);
	hkdf_expand(&hmac, (nettle_hash_update_func *)hmac_sha256_update,
		    (nettle_hash_digest_func *)hmac_sha256_digest, SHA256_DIGEST_SIZE, n_label + 4,
		    info, n, ret_bytes);
}

void quic_client_keys(const struct quic_version *version, const uint8_t *dcid, size_t n_dcid,
		      struct quic_keys *ret_keys)
{
	uint8_t initial[SHA256_DIGEST_SIZE], client[SHA256_DIGEST_SIZE];
	struct hmac_sha256_ctx hmac;

	hmac_sha256_set_key(&hmac, sizeof(version->salt), version->salt);
	hkdf_extract(&hmac, (nettle_hash_update_func *)hmac_sha256_update,
		     (nettle_hash_digest_func *)hmac_sha256_digest, SHA256_DIGEST_SIZE, n_dcid,
		     dcid, initial);
	expand_label(initial, "tls13 client in", sizeof(client), client);
	expand_label(client, version->label_key, sizeof(ret_keys->key), ret_keys->key);
	expand_label(client, version->label_iv, sizeof(ret_keys->iv), ret_keys->iv);
	expand_label(client, version->label_hp, sizeof(ret_keys->hp), ret_keys->hp);
}

void quic_header_mask(const struct quic_keys *keys, const uint8_t sample[QUIC_SAMPLE_BYTES],
		      uint8_t ret_mask[5])
{
	struct aes128_ctx aes;
	uint8_t block[AES_BLOCK_SIZE];

	aes128_set_encrypt_key(&aes, keys->hp);
	aes128_encrypt(&aes, sizeof(block), block, sample);
	memcpy(ret_mask, block, 5);
}

bool quic_open(const struct quic_keys *keys, uint64_t number, const uint8_t *header,
	       size_t n_header, const uint8_t *sealed, size_t n_sealed, uint8_t *ret_plain)
{
	struct gcm_aes128_ctx gcm;
	uint8_t nonce[sizeof(keys->iv)], tag[QUIC_TAG_BYTES];
	size_t n_plain = n_sealed - QUIC_TAG_BYTES;

	memcpy(nonce, keys->iv, sizeof(nonce));
	for (size_t i = 0; i < 8; i++)
		nonce[sizeof(nonce) - 1 - i] ^= (uint8_t)(number >> 8 * i);
	gcm_aes128_set_key(&gcm, keys->key);
	gcm_aes128_set_iv(&gcm, sizeof(nonce), nonce);
	gcm_aes128_update(&gcm, n_header, header);
	gcm_aes128_decrypt(&gcm, n_plain, ret_plain, sealed);
	gcm_aes128_digest(&gcm, sizeof(tag), tag);
	return memeql_sec(tag, sealed + n_plain, sizeof(tag));
}
