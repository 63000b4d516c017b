/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nettle/gcm.h>

#include "names/quic-keys.h"
#include "quic-lab.h"

struct quic_lab lab;

static void put_varint(struct buffer *buffer, uint64_t value)
{
	if (value < 1 << 6)
		put_uint(buffer, 1, value);
	else if (value < 1 << 14)
		put_uint(buffer, 2, value | 1 << 14);
	else
		put_uint(buffer, 4, value | 2U << 30);
}

void put_crypto(struct buffer *frames, const struct buffer *hello, size_t from, size_t n)
{
	put_uint(frames, 1, 6);
	put_varint(frames, from);
	put_varint(frames, n);
	put_bytes(frames, hello->bytes + from, n);
}

void put_long_packet(struct buffer *datagram, uint32_t version, uint8_t type, size_t n_content)
{
	put_uint(datagram, 1, 0xc0U | type << 4);
	put_uint(datagram, 4, version);
	put_hex(datagram, "08 8394c8f03e515708 00");
	put_varint(datagram, n_content);
	put_fill(datagram, 0x77, n_content);
}

static void put_hex_vector(struct buffer *buffer, size_t n_length, const char *hex)
{
	size_t at = put_open(buffer, n_length);

	put_hex(buffer, hex ? hex : "");
	put_close(buffer, n_length, at);
}

/* Return: where the packet number stands */
static size_t put_header(struct buffer *datagram, const struct lab_packet *packet, size_t n_number,
			 size_t n_payload)
{
	uint32_t version = packet->version ? packet->version : QUIC_V1;
	const struct quic_version *known = quic_version_find(version);
	uint8_t first = (uint8_t)(0xc0U | (unsigned)known->type_initial << 4 | (n_number - 1));
	size_t at;

	put_uint(datagram, 1, first ^ packet->flip);
	put_uint(datagram, 4, version);
	put_hex_vector(datagram, 1, packet->dcid ? packet->dcid : "8394c8f03e515708");
	put_uint(datagram, 1, 0);
	put_hex_vector(datagram, 1, packet->token); /* short ones: the length is one byte */
	put_uint(datagram, 2, 0x4000U | (n_number + n_payload + QUIC_TAG_BYTES));
	at = datagram->n;
	put_uint(datagram, n_number, packet->number);
	return at;
}

static void get_keys(const struct lab_packet *packet, struct quic_keys *ret_keys)
{
	static struct buffer dcid;
	const char *hex = packet->key_dcid ? packet->key_dcid : packet->dcid;

	dcid.n = 0;
	put_hex(&dcid, hex ? hex : "8394c8f03e515708");
	quic_client_keys(quic_version_find(packet->version ? packet->version : QUIC_V1), dcid.bytes,
			 dcid.n, ret_keys);
}

static void seal(const struct quic_keys *keys, uint64_t number, const uint8_t *header,
		 size_t n_header, uint8_t *payload, size_t n_payload)
{
	struct gcm_aes128_ctx gcm;
	uint8_t nonce[12];

	memcpy(nonce, keys->iv, sizeof(nonce));
	for (size_t i = 0; i < 8; i++)
		nonce[11 - i] ^= (uint8_t)(number >> 8 * i);
	gcm_aes128_set_key(&gcm, keys->key);
	gcm_aes128_set_iv(&gcm, sizeof(nonce), nonce);
	gcm_aes128_update(&gcm, n_header, header);
	gcm_aes128_encrypt(&gcm, n_payload, payload, payload);
	gcm_aes128_digest(&gcm, QUIC_TAG_BYTES, payload + n_payload);
}

void put_packet(struct buffer *datagram, const struct lab_packet *packet,
		const struct buffer *frames)
{
	size_t n_number = packet->n_number ? packet->n_number : 4, start = datagram->n;
	size_t n_wanted = packet->n_datagram ? packet->n_datagram : 1200, number_at, n_payload;
	struct quic_keys keys;
	uint8_t mask[5];

	number_at = put_header(datagram, packet, n_number, 0);
	n_payload = n_wanted > datagram->n + frames->n + QUIC_TAG_BYTES
			    ? n_wanted - datagram->n - QUIC_TAG_BYTES
			    : frames->n;
	datagram->n = start;
	put_header(datagram, packet, n_number, n_payload);
	put_bytes(datagram, frames->bytes, frames->n);
	put_fill(datagram, 0, n_payload - frames->n + QUIC_TAG_BYTES);
	get_keys(packet, &keys);
	seal(&keys, packet->number, datagram->bytes + start, number_at + n_number - start,
	     datagram->bytes + number_at + n_number, n_payload);
	quic_header_mask(&keys, datagram->bytes + number_at + 4, mask);
	datagram->bytes[start] ^= mask[0] & 0x0f;
	for (size_t i = 0; i < n_number; i++)
		datagram->bytes[number_at + i] ^= mask[1 + i];
}

void lab_hello(const char *name, size_t n_padding)
{
	lab.hello.n = 0;
	put_hello(&lab.hello, &(struct lab_hello){ .name = name, .n_padding = n_padding });
}

struct sniff lab_push(void)
{
	uint8_t *exact = malloc(lab.datagram.n ? lab.datagram.n : 1);
	struct sniff sniff;

	assert_non_null(exact);
	memcpy(exact, lab.datagram.bytes, lab.datagram.n);
	memset(&sniff, 0xa5, sizeof(sniff));
	sniff_quic_push(&lab.quic, exact, lab.datagram.n, &sniff);
	free(exact);
	return sniff;
}

struct sniff lab_push_frames(const struct lab_packet *packet)
{
	lab.datagram.n = 0;
	put_packet(&lab.datagram, packet, &lab.frames);
	return lab_push();
}

struct sniff lab_push_piece(const struct lab_packet *packet, size_t from, size_t n)
{
	lab.frames.n = 0;
	put_crypto(&lab.frames, &lab.hello, from, n);
	return lab_push_frames(packet);
}

void lab_expect_quic(struct sniff sniff, enum sniff_reason reason, const char *name)
{
	lab_expect(&sniff, reason, name);
	if (sniff.answer != SNIFF_NONE)
		assert_int_equal(sniff.protocol, SNIFF_QUIC);
}
