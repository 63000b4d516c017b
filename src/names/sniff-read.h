/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Between the readers of src/names
 *
 * A reader returns an enum sniff_reason and writes, of the answer, only what
 * it says here. SNIFF_E_UNKNOWN means that the bytes are not of its protocol.
 * An answer other than MORE must hold for every longer prefix.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names/sniff.h"

/** struct cursor - bytes still to be read; the functions below return false at the end */
struct cursor {
	const uint8_t *at;
	const uint8_t *end;
};

static inline size_t cursor_left(const struct cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

/* @n up to 8, most significant byte first */
static inline bool cursor_uint(struct cursor *cursor, size_t n, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (cursor_left(cursor) < n)
		return false;
	while (n--)
		value = value << 8 | *cursor->at++;
	*ret_value = value;
	return true;
}

/* the next @n bytes become a cursor of their own */
static inline bool cursor_take(struct cursor *cursor, uint64_t n, struct cursor *ret_piece)
{
	if (cursor_left(cursor) < n)
		return false;
	*ret_piece = (struct cursor){ cursor->at, cursor->at + n };
	cursor->at += n;
	return true;
}

/* the same with the length before them, in @n_length bytes: a TLS vector */
static inline bool cursor_vector(struct cursor *cursor, size_t n_length, struct cursor *ret_piece)
{
	struct cursor after = *cursor;
	uint64_t n;

	if (!cursor_uint(&after, n_length, &n) || !cursor_take(&after, n, ret_piece))
		return false;
	*cursor = after;
	return true;
}

/* a QUIC integer of 1, 2, 4 or 8 bytes: RFC 9000 16 */
static inline bool cursor_varint(struct cursor *cursor, uint64_t *ret_value)
{
	uint64_t value;
	size_t n;

	if (!cursor_left(cursor))
		return false;
	n = (size_t)1 << (*cursor->at >> 6);
	if (!cursor_uint(cursor, n, &value))
		return false;
	*ret_value = value & (((uint64_t)1 << (8 * n - 2)) - 1);
	return true;
}

/**
 * host_read() - is this a host name?
 * @text:     without a port; not empty
 * @ret_name: lower case, without the final dot; on 0 only
 *
 * Letters, digits, hyphen and underscore in labels of 1 to 63. A last label
 * that is a number makes it an address, as browsers and inet_aton(3) see it.
 *
 * Return: 0, SNIFF_E_ADDRESS or SNIFF_E_BAD_NAME.
 */
int host_read(const uint8_t *text, size_t n_text, char ret_name[SNIFF_NAME_BYTES]);

/**
 * authority_read() - the host of host[:port]
 * @ret_has_port: may be NULL; set always
 *
 * Return: as host_read(), or SNIFF_E_NO_NAME when the host is empty.
 */
int authority_read(const uint8_t *text, size_t n_text, bool *ret_has_port,
		   char ret_name[SNIFF_NAME_BYTES]);

/**
 * client_hello_read() - a whole handshake message
 * @body:     behind type and length
 * @sniff:    name on 0; is_outer
 *
 * Return: 0, SNIFF_E_NO_NAME, _ADDRESS or one that is BROKEN.
 */
int client_hello_read(const uint8_t *body, size_t n_body, struct sniff *sniff);

/*
 * Readers of a TCP prefix of 1 to SNIFF_TCP_MAX bytes. With SNIFF_E_MORE
 * sniff->needs may be set; it is more than @n_bytes already.
 */
int tls_read(const uint8_t *bytes, size_t n_bytes, struct sniff *sniff);
int http1_read(const uint8_t *bytes, size_t n_bytes, struct sniff *sniff);
int h2c_read(const uint8_t *bytes, size_t n_bytes, struct sniff *sniff);

/**
 * quic_read() - the next datagram
 *
 * Return: 0 with the name, SNIFF_E_MORE or any other reason.
 */
int quic_read(struct sniff_quic *quic, const uint8_t *datagram, size_t n_bytes,
	      struct sniff *sniff);

/** quic_read_frames() - the same, from the frames of an Initial packet that was decrypted */
int quic_read_frames(struct sniff_quic *quic, const uint8_t *bytes, size_t n_bytes,
		     struct sniff *sniff);
