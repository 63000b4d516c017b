/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A TLS ClientHello, given any bytes
 *
 * The first byte says what the rest is: 0 the first bytes of a connection, 1
 * the body of a handshake message as QUIC has it. Otherwise it is such a body
 * as well, and is put into records of that many bytes, which must not matter.
 */

#include "sniff-target.h"

#define BODY_MAX 4096U

static int read_body(const uint8_t *data, size_t size)
{
	struct sniff sniff = { 0 };
	uint8_t *exact = malloc(size ? size : 1);
	int r;

	require(exact != NULL);
	memcpy(exact, data, size);
	r = client_hello_read(exact, size, &sniff);
	if (r == 0)
		check_host(sniff.name);
	free(exact);
	return r;
}

static void read_records(const uint8_t *data, size_t size, size_t n_fragment)
{
	static uint8_t stream[(BODY_MAX + 4) * 6];
	uint8_t message[BODY_MAX + 4] = { 1, 0, (uint8_t)(size >> 8), (uint8_t)size };
	size_t n = 0;

	if (size > BODY_MAX)
		return;
	memcpy(message + 4, data, size);
	for (size_t at = 0; at < size + 4; at += n_fragment) {
		size_t n_piece = size + 4 - at < n_fragment ? size + 4 - at : n_fragment;

		memcpy(stream + n, (uint8_t[]){ 22, 3, 1, 0, (uint8_t)n_piece }, 5);
		memcpy(stream + n + 5, message + at, n_piece);
		n += 5 + n_piece;
	}
	check_tcp(stream, n, size * n_fragment);
	require((int)read_exact(stream, n).reason == read_body(data, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (data[0] == 0)
		check_tcp(data + 2, size - 2, data[1] * 257U);
	else if (data[0] == 1)
		read_body(data + 1, size - 1);
	else
		read_records(data + 1, size - 1, data[0]);
	return 0;
}
