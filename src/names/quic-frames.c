/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: From the frames of Initial packets to the ClientHello
 *
 * CRYPTO frames give pieces of the handshake in any order, twice or more, over
 * several packets. A byte that comes again must be the same one: a receiver
 * keeps one of the two, and nobody knows which.
 */

#include <string.h>

#include "names/sniff-read.h"

#define HELLO_HEADER 4U
#define CLIENT_HELLO 1U

/* those that an Initial packet may carry: RFC 9000 12.4 */
enum frame_type {
	FRAME_PADDING = 0x00,
	FRAME_PING = 0x01,
	FRAME_ACK = 0x02,
	FRAME_ACK_ECN = 0x03,
	FRAME_CRYPTO = 0x06,
	FRAME_CONNECTION_CLOSE = 0x1c,
};

static int add_handshake(struct sniff_quic *quic, uint64_t offset, const struct cursor *data)
{
	size_t n = cursor_left(data);

	if (n > SNIFF_HELLO_MAX || offset > SNIFF_HELLO_MAX - n)
		return SNIFF_E_TOO_LARGE;
	for (size_t i = 0; i < n; i++) {
		size_t at = (size_t)offset + i;
		uint8_t bit = (uint8_t)(1U << at % 8);

		if ((quic->is_known[at / 8] & bit) && quic->handshake[at] != data->at[i])
			return SNIFF_E_CONFLICT;
		quic->is_known[at / 8] |= bit;
		quic->handshake[at] = data->at[i];
	}
	while (quic->n_prefix < SNIFF_HELLO_MAX &&
	       (quic->is_known[quic->n_prefix / 8] & 1U << quic->n_prefix % 8))
		quic->n_prefix++;
	return 0;
}

static bool skip_varints(struct cursor *cursor, uint64_t n)
{
	uint64_t value;

	while (n--)
		if (!cursor_varint(cursor, &value))
			return false;
	return true;
}

/* largest, delay, number of ranges, first range, then two for each range */
static bool skip_ack(struct cursor *cursor, bool has_ecn)
{
	uint64_t n_ranges;

	return skip_varints(cursor, 2) && cursor_varint(cursor, &n_ranges) &&
	       skip_varints(cursor, 1 + 2 * n_ranges + (has_ecn ? 3 : 0));
}

/* error code, frame type, reason */
static bool skip_close(struct cursor *cursor)
{
	struct cursor reason;
	uint64_t n;

	return skip_varints(cursor, 2) && cursor_varint(cursor, &n) &&
	       cursor_take(cursor, n, &reason);
}

static int read_crypto(struct sniff_quic *quic, struct cursor *cursor)
{
	struct cursor data;
	uint64_t offset, n;

	if (!cursor_varint(cursor, &offset) || !cursor_varint(cursor, &n) ||
	    !cursor_take(cursor, n, &data))
		return SNIFF_E_FRAMING;
	return add_handshake(quic, offset, &data);
}

static int read_frame(struct sniff_quic *quic, struct cursor *cursor)
{
	uint64_t type;

	if (!cursor_varint(cursor, &type))
		return SNIFF_E_FRAMING;
	switch (type) {
	case FRAME_PADDING:
	case FRAME_PING:
		return 0;
	case FRAME_ACK:
	case FRAME_ACK_ECN:
		return skip_ack(cursor, type == FRAME_ACK_ECN) ? 0 : SNIFF_E_FRAMING;
	case FRAME_CRYPTO:
		return read_crypto(quic, cursor);
	case FRAME_CONNECTION_CLOSE:
		return skip_close(cursor) ? 0 : SNIFF_E_FRAMING;
	default:
		return SNIFF_E_FRAMING;
	}
}

static int read_hello(const struct sniff_quic *quic, struct sniff *sniff)
{
	const uint8_t *hello = quic->handshake;
	size_t n_hello;

	if (quic->n_prefix > 0 && hello[0] != CLIENT_HELLO)
		return SNIFF_E_MESSAGE;
	if (quic->n_prefix < HELLO_HEADER)
		return SNIFF_E_MORE;
	n_hello = HELLO_HEADER + ((size_t)hello[1] << 16 | (size_t)hello[2] << 8 | hello[3]);
	if (n_hello > SNIFF_HELLO_MAX)
		return SNIFF_E_TOO_LARGE;
	if (quic->n_prefix < n_hello)
		return SNIFF_E_MORE;
	return client_hello_read(hello + HELLO_HEADER, n_hello - HELLO_HEADER, sniff);
}

int quic_read_frames(struct sniff_quic *quic, const uint8_t *bytes, size_t n_bytes,
		     struct sniff *sniff)
{
	struct cursor cursor = { bytes, bytes + n_bytes };

	if (n_bytes == 0)
		return SNIFF_E_FRAMING; /* RFC 9000 12.4 */
	while (cursor_left(&cursor)) {
		int r = read_frame(quic, &cursor);

		if (r)
			return r;
	}
	return read_hello(quic, sniff);
}
