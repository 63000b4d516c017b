/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A QUIC client's datagrams, and the frames that protection hides
 *
 * The first byte: 0, the rest are datagrams, each with its length in two bytes
 * before it; 1, they are the frames of Initial packets that were decrypted,
 * which no fuzzer could encrypt; other, the rest is the body of a ClientHello,
 * which comes in pieces of that many bytes, from the last to the first.
 */

#include "sniff-target.h"

#define BODY_MAX 4096U

static struct sniff_quic quic;

/* Return: whether more is of use */
static int read_datagram(const uint8_t *bytes, size_t n)
{
	struct sniff sniff;

	memset(&sniff, 0xa5, sizeof(sniff));
	sniff_quic_push(&quic, bytes, n, &sniff);
	check_answer(&sniff);
	return sniff.answer == SNIFF_MORE;
}

static int read_frames(const uint8_t *bytes, size_t n)
{
	struct sniff sniff = { 0 };
	int r = quic_read_frames(&quic, bytes, n, &sniff);

	require(quic.n_prefix <= SNIFF_HELLO_MAX);
	if (r == 0)
		check_host(sniff.name);
	return r == SNIFF_E_MORE;
}

/* CRYPTO: type, offset in two bytes, length in two */
static int read_piece(const uint8_t *message, size_t at, size_t n, struct sniff *sniff)
{
	uint8_t frame[5 + 256] = { 6, 0x40 | (uint8_t)(at >> 8), (uint8_t)at, 0x40, (uint8_t)n };

	memcpy(frame + 5, message + at, n);
	return quic_read_frames(&quic, frame, 5 + n, sniff);
}

/* the order of pieces must not matter */
static void read_backwards(const uint8_t *data, size_t size, size_t n_piece)
{
	uint8_t message[BODY_MAX + 4] = { 1, 0, (uint8_t)(size >> 8), (uint8_t)size };
	struct sniff sniff = { 0 }, expected = { 0 };
	size_t n = size + 4;
	int r = SNIFF_E_MORE;

	if (size > BODY_MAX)
		return;
	memcpy(message + 4, data, size);
	for (size_t at = (n - 1) / n_piece * n_piece;; at -= n_piece) {
		require(r == SNIFF_E_MORE);
		r = read_piece(message, at, n - at < n_piece ? n - at : n_piece, &sniff);
		if (at == 0)
			break;
	}
	require(r == client_hello_read(data, size, &expected));
	require(r || strcmp(sniff.name, expected.name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 1;
	int is_open = 1;

	if (size < 1)
		return 0;
	sniff_quic_start(&quic);
	if (data[0] > 1) {
		read_backwards(data + 1, size - 1, data[0]);
		return 0;
	}
	while (is_open && size - at >= 2) {
		size_t n = (size_t)data[at] << 8 | data[at + 1];
		uint8_t *exact;

		at += 2;
		n = n < size - at ? n : size - at;
		exact = malloc(n ? n : 1);
		require(exact != NULL);
		memcpy(exact, data + at, n);
		is_open = data[0] ? read_frames(exact, n) : read_datagram(exact, n);
		free(exact);
		at += n;
	}
	return 0;
}
