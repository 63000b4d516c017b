/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A QUIC client's datagrams, and the frames that protection hides
 *
 * The first byte: even, the rest are datagrams, each with its length in two
 * bytes before it; odd, they are the frames of Initial packets that were
 * decrypted, which no fuzzer could encrypt.
 */

#include "sniff-target.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 1;
	int is_open = 1;

	if (size < 1)
		return 0;
	sniff_quic_start(&quic);
	while (is_open && size - at >= 2) {
		size_t n = (size_t)data[at] << 8 | data[at + 1];
		uint8_t *exact;

		at += 2;
		n = n < size - at ? n : size - at;
		exact = malloc(n ? n : 1);
		require(exact != NULL);
		memcpy(exact, data + at, n);
		is_open = data[0] % 2 ? read_frames(exact, n) : read_datagram(exact, n);
		free(exact);
		at += n;
	}
	return 0;
}
