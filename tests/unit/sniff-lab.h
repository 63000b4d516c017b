/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: First bytes of flows, made by hand and read at every cut
 *
 * A buffer grows by put_…(); vectors (a length before content) are opened and
 * closed. Whatever is read is read as every prefix of it, each in a copy of
 * its exact size, and the answers must agree with what sniff.h promises.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names/sniff.h"

struct buffer {
	size_t n;
	uint8_t bytes[1 << 17];
};

void put_bytes(struct buffer *buffer, const void *bytes, size_t n);
void put_text(struct buffer *buffer, const char *text);
void put_uint(struct buffer *buffer, size_t n_bytes, uint64_t value);
void put_fill(struct buffer *buffer, uint8_t byte, size_t n);
/** Return: where the length stands, for put_close() */
size_t put_open(struct buffer *buffer, size_t n_length);
void put_close(struct buffer *buffer, size_t n_length, size_t at);
/** put_hex() - white space is skipped */
void put_hex(struct buffer *buffer, const char *hex);

/** the TLS extensions of a lab hello, in this order */
struct lab_hello {
	const char *name; /* NULL: no server_name */
	const char *second_name;
	uint8_t name_type;
	const char *ech;  /* hex of encrypted_client_hello, NULL: none */
	size_t n_padding; /* an extension of so many zeros, before the name */
	bool is_name_twice;
	bool is_greased;
	bool has_no_extensions;
	const char *extra; /* hex, behind the last extension, inside of the list */
};

/** put_hello() - the handshake message, header included */
void put_hello(struct buffer *buffer, const struct lab_hello *hello);
/** put_records() - @message in records of @n_fragment bytes */
void put_records(struct buffer *buffer, const struct buffer *message, size_t n_fragment);

/** lab_read() - at every cut; Return: the last answer */
struct sniff lab_read(const uint8_t *bytes, size_t n);
/** lab_read_whole() - only as a whole, in a copy of its exact size */
struct sniff lab_read_whole(const uint8_t *bytes, size_t n);

void lab_expect(const struct sniff *sniff, enum sniff_reason reason, const char *name);
