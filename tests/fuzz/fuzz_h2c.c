/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: HTTP/2 without TLS, given any frames or any block of fields
 *
 * The first byte: even, the rest are the frames behind the preface; odd, the
 * rest is the block of a request, in HEADERS and CONTINUATION cut at its value,
 * which must not matter.
 */

#include "sniff-target.h"

#define INPUT_MAX 8192U

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct stream {
	size_t n;
	uint8_t bytes[INPUT_MAX + 100];
};

static void put(struct stream *stream, const void *bytes, size_t n)
{
	if (n)
		memcpy(stream->bytes + stream->n, bytes, n);
	stream->n += n;
}

static void put_frame(struct stream *stream, uint8_t type, uint8_t flags, uint8_t id,
		      const uint8_t *bytes, size_t n)
{
	put(stream, (uint8_t[]){ 0, (uint8_t)(n >> 8), (uint8_t)n, type, flags, 0, 0, 0, id }, 9);
	put(stream, bytes, n);
}

/* HEADERS and one CONTINUATION */
static struct sniff read_block(const uint8_t *block, size_t n, size_t cut)
{
	static struct stream stream;

	stream.n = 0;
	put(&stream, preface, sizeof(preface) - 1);
	put_frame(&stream, 4, 0, 0, NULL, 0);
	put_frame(&stream, 1, 0, 1, block, cut);
	put_frame(&stream, 9, 4, 1, block + cut, n - cut);
	check_tcp(stream.bytes, stream.n, n + cut);
	return read_exact(stream.bytes, stream.n);
}

static void read_frames(const uint8_t *frames, size_t n, size_t cut)
{
	static struct stream stream;

	stream.n = 0;
	put(&stream, preface, sizeof(preface) - 1);
	put(&stream, frames, n);
	check_tcp(stream.bytes, stream.n, cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sniff one, other;
	size_t n = size - 1;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	if (data[0] % 2 == 0) {
		read_frames(data + 1, n, data[0] * 31U);
		return 0;
	}
	one = read_block(data + 1, n, data[0] < n ? data[0] : n);
	other = read_block(data + 1, n, n);
	require(one.reason == other.reason && strcmp(one.name, other.name) == 0);
	return 0;
}
