/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The :authority of HTTP/2 without TLS
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "sniff-lab.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION };
enum { END_HEADERS = 4, PADDED = 8, WITH_PRIORITY = 0x20 };

static struct buffer stream;

static void put_frame(uint8_t type, uint8_t flags, uint32_t id, const struct buffer *payload)
{
	put_uint(&stream, 3, payload ? payload->n : 0);
	put_uint(&stream, 1, type);
	put_uint(&stream, 1, flags);
	put_uint(&stream, 4, id);
	if (payload)
		put_bytes(&stream, payload->bytes, payload->n);
}

static void begin(void)
{
	stream.n = 0;
	put_text(&stream, PREFACE);
	put_frame(SETTINGS, 0, 0, NULL);
}

static void expect(enum sniff_reason reason, const char *name)
{
	struct sniff sniff = lab_read(stream.bytes, stream.n);

	lab_expect(&sniff, reason, name);
	assert_int_equal(sniff.protocol, SNIFF_H2C);
}

/* a literal without indexing, both parts without Huffman */
static void put_field(struct buffer *block, const char *name, const char *value)
{
	put_uint(block, 1, 0);
	put_uint(block, 1, strlen(name));
	put_text(block, name);
	put_uint(block, 1, strlen(value));
	put_text(block, value);
}

/* the static entries GET, http and / */
static void put_pseudo(struct buffer *block)
{
	put_hex(block, "828684");
}

static struct buffer *new_block(void)
{
	static struct buffer block;

	block.n = 0;
	put_pseudo(&block);
	return &block;
}

static void expect_block(const struct buffer *block, enum sniff_reason reason, const char *name)
{
	begin();
	put_frame(HEADERS, END_HEADERS, 1, block);
	expect(reason, name);
}

static void test_literal(void **state)
{
	struct buffer *block = new_block();

	put_field(block, ":authority", "Www.Example.org:8080");
	put_field(block, "accept", "*/*");
	expect_block(block, SNIFF_NAMED, "www.example.org");
}

/* RFC 7541 C.4.1, the same request in the encoding with Huffman and the static table */
static void test_huffman(void **state)
{
	struct buffer *block = new_block();

	put_hex(block, "418cf1e3c2e5f23a6ba0ab90f4ff");
	expect_block(block, SNIFF_NAMED, "www.example.com");
}

/* host is put into the dynamic table, and comes from there in a second block of the first */
static void test_dynamic_table(void **state)
{
	struct buffer *block = new_block();

	put_hex(block, "400161"); /* a: … with indexing */
	put_hex(block, "0178");
	put_hex(block, "be"); /* the newest entry again */
	put_field(block, "host", "table.example");
	expect_block(block, SNIFF_NAMED, "table.example");
	block = new_block();
	put_hex(block, "3fe1ff03"); /* a larger table, which a server may have allowed */
	expect_block(block, SNIFF_E_COMPRESSED, NULL); /* not at the beginning of the block */
	block->n = 0;
	put_hex(block, "3fe1ff03 828684");
	put_field(block, ":authority", "a.example");
	expect_block(block, SNIFF_NAMED, "a.example");
}

static void test_host_instead(void **state)
{
	struct buffer *block = new_block();

	put_field(block, "host", "a.example");
	expect_block(block, SNIFF_NAMED, "a.example");
	block = new_block();
	put_field(block, ":authority", "a.example:80");
	put_field(block, "host", "A.example");
	expect_block(block, SNIFF_NAMED, "a.example");
	block = new_block();
	put_field(block, ":authority", "a.example");
	put_field(block, "host", "b.example");
	expect_block(block, SNIFF_E_TWO_NAMES, NULL);
	block = new_block();
	put_field(block, ":authority", "a.example");
	put_field(block, "host", "192.0.2.1");
	expect_block(block, SNIFF_E_TWO_NAMES, NULL);
}

static void test_no_name(void **state)
{
	struct buffer *block = new_block();

	expect_block(block, SNIFF_E_NO_NAME, NULL);
	put_field(block, ":authority", "[::1]:80");
	expect_block(block, SNIFF_E_ADDRESS, NULL);
	block = new_block();
	put_field(block, ":authority", "");
	expect_block(block, SNIFF_E_NO_NAME, NULL);
}

static void test_malformed_fields(void **state)
{
	struct buffer *block = new_block();

	put_field(block, ":authority", "a.example");
	put_field(block, ":authority", "a.example");
	expect_block(block, SNIFF_E_TWO_NAMES, NULL);
	block = new_block();
	put_field(block, "accept", "*/*");
	put_field(block, ":authority", "a.example");
	expect_block(block, SNIFF_E_MESSAGE, NULL);
	block = new_block();
	put_field(block, "Host", "a.example");
	expect_block(block, SNIFF_E_MESSAGE, NULL);
	block = new_block();
	put_field(block, ":authority", "a b");
	expect_block(block, SNIFF_E_BAD_NAME, NULL);
	block = new_block();
	put_hex(block, "80"); /* index 0 */
	expect_block(block, SNIFF_E_COMPRESSED, NULL);
	block = new_block();
	put_hex(block, "ff8001"); /* an index far beyond the tables */
	expect_block(block, SNIFF_E_COMPRESSED, NULL);
	block = new_block();
	put_hex(block, "0005"); /* cut in its middle */
	expect_block(block, SNIFF_E_COMPRESSED, NULL);
}

static void test_padding_and_priority(void **state)
{
	static struct buffer payload;
	struct buffer *block = new_block();

	put_field(block, ":authority", "padded.example");
	payload.n = 0;
	put_hex(&payload, "07 8000000310");
	put_bytes(&payload, block->bytes, block->n);
	put_fill(&payload, 0, 7);
	begin();
	put_frame(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, 3, &payload);
	expect(SNIFF_NAMED, "padded.example");
	payload.n = 0;
	put_hex(&payload, "0301");
	begin();
	put_frame(HEADERS, END_HEADERS | PADDED, 3, &payload);
	expect(SNIFF_E_FRAMING, NULL);
	begin();
	put_frame(HEADERS, END_HEADERS | WITH_PRIORITY, 3, &payload);
	expect(SNIFF_E_FRAMING, NULL);
}

/* the block cut at each place into HEADERS and CONTINUATIONs, an empty one among them */
static void test_continuation(void **state)
{
	struct buffer *block = new_block();
	static struct buffer part;

	put_hex(block, "418cf1e3c2e5f23a6ba0ab90f4ff");
	put_field(block, "cookie", "a=b");
	for (size_t cut = 0; cut <= block->n; cut++) {
		begin();
		part.n = 0;
		put_bytes(&part, block->bytes, cut);
		put_frame(HEADERS, 0, 1, &part);
		put_frame(CONTINUATION, 0, 1, NULL);
		part.n = 0;
		put_bytes(&part, block->bytes + cut, block->n - cut);
		put_frame(CONTINUATION, END_HEADERS, 1, &part);
		expect(SNIFF_NAMED, "www.example.com");
	}
	begin();
	put_frame(HEADERS, 0, 1, block);
	put_frame(CONTINUATION, END_HEADERS, 3, NULL);
	expect(SNIFF_E_FRAMING, NULL);
	begin();
	put_frame(HEADERS, 0, 1, block);
	put_frame(PING, 0, 0, NULL);
	expect(SNIFF_E_FRAMING, NULL);
}

static void test_frames_before(void **state)
{
	static struct buffer eight = { .n = 8 };
	struct buffer *block = new_block();

	put_field(block, ":authority", "a.example");
	begin();
	put_frame(WINDOW, 0, 0, &eight);
	put_frame(PRIORITY, 0, 3, &eight);
	put_frame(PING, 0, 0, &eight);
	put_frame(SETTINGS, 1, 0, NULL);
	put_frame(0x2a, 0xff, 7, &eight);
	expect(SNIFF_E_MORE, NULL);
	put_frame(HEADERS, END_HEADERS, 13, block);
	put_frame(HEADERS, END_HEADERS, 15, new_block());
	expect(SNIFF_NAMED, "a.example");
}

static void test_wrong_frames(void **state)
{
	static const uint8_t types[] = { DATA, RST_STREAM, PUSH, CONTINUATION };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		begin();
		put_frame(types[i], 0, 1, NULL);
		expect(SNIFF_E_FRAMING, NULL);
	}
	begin();
	put_frame(HEADERS, END_HEADERS, 2, new_block());
	expect(SNIFF_E_FRAMING, NULL);
	begin();
	put_frame(HEADERS, END_HEADERS, 0, new_block());
	expect(SNIFF_E_FRAMING, NULL);
	begin();
	put_hex(&stream, "004001");
	put_fill(&stream, 0, 6);
	expect(SNIFF_E_FRAMING, NULL);
	stream.n = 0;
	put_text(&stream, PREFACE);
	put_frame(PING, 0, 0, NULL);
	expect(SNIFF_E_FRAMING, NULL);
	stream.n = 0;
	put_text(&stream, PREFACE);
	put_frame(SETTINGS, 1, 0, NULL);
	expect(SNIFF_E_FRAMING, NULL);
}

/* what looks like the preface for a while is a request of HTTP/1 */
static void test_not_the_preface(void **state)
{
	static const char request[] = "PRI / HTTP/1.1\r\nHost: a.example\r\n\r\n";
	struct sniff sniff = lab_read((const uint8_t *)request, sizeof(request) - 1);

	lab_expect(&sniff, SNIFF_NAMED, "a.example");
	assert_int_equal(sniff.protocol, SNIFF_HTTP1);
}

/* a block that would fill more memory than any real one: an answer, not an exhausted machine */
static void test_large_block(void **state)
{
	struct buffer *block = new_block();
	struct sniff sniff;

	put_field(block, ":authority", "a.example");
	while (block->n < 16000)
		put_hex(block, "40016100");
	begin();
	put_frame(HEADERS, END_HEADERS, 1, block);
	sniff = lab_read_whole(stream.bytes, stream.n);
	lab_expect(&sniff, SNIFF_E_TOO_LARGE, NULL);
	block = new_block();
	put_field(block, ":authority", "a.example");
	put_hex(block, "00017d7fa13e"); /* a value of 8096 bytes: RFC 7541 5.1 */
	put_fill(block, 'c', 127 + 0x21 + (0x3e << 7));
	begin();
	put_frame(HEADERS, END_HEADERS, 1, block);
	sniff = lab_read_whole(stream.bytes, stream.n);
	lab_expect(&sniff, SNIFF_NAMED, "a.example");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literal),
		cmocka_unit_test(test_huffman),
		cmocka_unit_test(test_dynamic_table),
		cmocka_unit_test(test_host_instead),
		cmocka_unit_test(test_no_name),
		cmocka_unit_test(test_malformed_fields),
		cmocka_unit_test(test_padding_and_priority),
		cmocka_unit_test(test_continuation),
		cmocka_unit_test(test_frames_before),
		cmocka_unit_test(test_wrong_frames),
		cmocka_unit_test(test_not_the_preface),
		cmocka_unit_test(test_large_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
