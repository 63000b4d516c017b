/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sniff-lab.h"

void put_bytes(struct buffer *buffer, const void *bytes, size_t n)
{
	assert_true(n <= sizeof(buffer->bytes) - buffer->n);
	memcpy(buffer->bytes + buffer->n, bytes, n);
	buffer->n += n;
}

void put_text(struct buffer *buffer, const char *text)
{
	put_bytes(buffer, text, strlen(text));
}

void put_uint(struct buffer *buffer, size_t n_bytes, uint64_t value)
{
	while (n_bytes--) {
		uint8_t byte = (uint8_t)(value >> 8 * n_bytes);

		put_bytes(buffer, &byte, 1);
	}
}

void put_fill(struct buffer *buffer, uint8_t byte, size_t n)
{
	while (n--)
		put_bytes(buffer, &byte, 1);
}

size_t put_open(struct buffer *buffer, size_t n_length)
{
	size_t at = buffer->n;

	put_uint(buffer, n_length, 0);
	return at;
}

void put_close(struct buffer *buffer, size_t n_length, size_t at)
{
	size_t n = buffer->n, n_content = n - at - n_length;

	buffer->n = at;
	put_uint(buffer, n_length, n_content);
	buffer->n = n;
}

void put_hex(struct buffer *buffer, const char *hex)
{
	for (; *hex; hex++) {
		char digits[3] = { hex[0], hex[1], '\0' };

		if (*hex == ' ')
			continue;
		put_uint(buffer, 1, strtoul(digits, NULL, 16));
		hex++;
	}
}

static void put_name_extension(struct buffer *buffer, const struct lab_hello *hello)
{
	size_t data, list, name;

	put_uint(buffer, 2, 0);
	data = put_open(buffer, 2);
	list = put_open(buffer, 2);
	put_uint(buffer, 1, hello->name_type);
	name = put_open(buffer, 2);
	put_text(buffer, hello->name);
	put_close(buffer, 2, name);
	if (hello->second_name) {
		put_uint(buffer, 1, hello->name_type);
		name = put_open(buffer, 2);
		put_text(buffer, hello->second_name);
		put_close(buffer, 2, name);
	}
	put_close(buffer, 2, list);
	put_close(buffer, 2, data);
}

static void put_extension(struct buffer *buffer, uint16_t type, const char *hex, size_t n_zeros)
{
	size_t data;

	put_uint(buffer, 2, type);
	data = put_open(buffer, 2);
	put_hex(buffer, hex);
	put_fill(buffer, 0, n_zeros);
	put_close(buffer, 2, data);
}

static void put_extensions(struct buffer *buffer, const struct lab_hello *hello)
{
	size_t list = put_open(buffer, 2);

	if (hello->is_greased)
		put_extension(buffer, 0x3a3a, "", 0);
	if (hello->n_padding)
		put_extension(buffer, 21, "", hello->n_padding);
	if (hello->name)
		put_name_extension(buffer, hello);
	if (hello->ech)
		put_extension(buffer, 0xfe0d, hello->ech, 0);
	if (hello->is_name_twice)
		put_name_extension(buffer, hello);
	put_extension(buffer, 43, "020304", 0);
	if (hello->is_greased)
		put_extension(buffer, 0xfafa, "00", 0);
	if (hello->extra)
		put_hex(buffer, hello->extra);
	put_close(buffer, 2, list);
}

void put_hello(struct buffer *buffer, const struct lab_hello *hello)
{
	size_t message, ciphers;

	put_uint(buffer, 1, 1);
	message = put_open(buffer, 3);
	put_uint(buffer, 2, 0x0303);
	put_fill(buffer, 0x5a, 32);
	put_uint(buffer, 1, 32);
	put_fill(buffer, 0xa5, 32);
	ciphers = put_open(buffer, 2);
	put_hex(buffer, hello->is_greased ? "0a0a1301c02f" : "1301c02f");
	put_close(buffer, 2, ciphers);
	put_hex(buffer, "0100");
	if (!hello->has_no_extensions)
		put_extensions(buffer, hello);
	put_close(buffer, 3, message);
}

void put_records(struct buffer *buffer, const struct buffer *message, size_t n_fragment)
{
	for (size_t at = 0; at < message->n; at += n_fragment) {
		size_t n = message->n - at < n_fragment ? message->n - at : n_fragment;

		put_uint(buffer, 3, 0x160301);
		put_uint(buffer, 2, n);
		put_bytes(buffer, message->bytes + at, n);
	}
}

struct sniff lab_read_whole(const uint8_t *bytes, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);
	struct sniff sniff;

	assert_non_null(exact);
	memcpy(exact, bytes, n);
	memset(&sniff, 0xa5, sizeof(sniff));
	sniff_tcp(exact, n, &sniff);
	free(exact);
	return sniff;
}

/* MORE up to some length; from there on always the same; `needs` never says too much */
struct sniff lab_read(const uint8_t *bytes, size_t n)
{
	struct sniff last = lab_read_whole(bytes, 0);
	size_t needs = 1;

	assert_int_equal(last.answer, SNIFF_MORE);
	for (size_t i = 1; i <= n; i++) {
		struct sniff sniff = lab_read_whole(bytes, i);

		if (last.answer != SNIFF_MORE) {
			assert_int_equal(sniff.reason, last.reason);
			assert_string_equal(sniff.name, last.name);
			assert_int_equal(sniff.is_outer, last.is_outer);
			assert_int_equal(sniff.protocol, last.protocol);
		}
		if (i < needs)
			assert_int_equal(sniff.answer, SNIFF_MORE);
		if (sniff.answer == SNIFF_MORE) {
			assert_true(sniff.needs > i && sniff.needs <= sniff.limit);
			needs = sniff.needs;
		}
		last = sniff;
	}
	return last;
}

void lab_expect(const struct sniff *sniff, enum sniff_reason reason, const char *name)
{
	if (sniff->reason != reason)
		print_message("got %s, not %s\n", sniff_reason_text(sniff->reason),
			      sniff_reason_text(reason));
	assert_int_equal(sniff->reason, reason);
	assert_string_equal(sniff->name, name ? name : "");
	assert_int_equal(sniff->answer == SNIFF_NAME, reason == SNIFF_NAMED);
}
