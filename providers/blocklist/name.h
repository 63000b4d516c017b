/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Packed host names
 *
 * A name is kept from its last character to its first, three characters in two
 * bytes: 40 symbols are enough for a host name, and 40³ < 2¹⁶. A name that ends in
 * another one thus begins with its bytes, so that all the domains a host lies in
 * come out of one packing and one pass of the hash, and are compared with
 * memcmp(3). Whatever has another character cannot be packed, and is in no list.
 */

#include <stddef.h>
#include <stdint.h>

#define NAME_LENGTH_MAX 253U /* longest host name */
#define NAME_LABEL_MAX 63U
#define NAME_LABELS_MAX 127U
#define NAME_PACKED_MAX (2U * ((NAME_LENGTH_MAX + 2U) / 3U))

/** struct name_end - one of the names that a host ends in, itself included */
struct name_end {
	uint64_t hash;
	uint16_t length;
};

/** struct name_query - a host, ready to be looked for; @text: lower case, no final dot */
struct name_query {
	char text[NAME_LENGTH_MAX + 1];
	size_t length;
	uint8_t packed[NAME_PACKED_MAX];
	size_t n_ends; /* the shortest first */
	struct name_end ends[NAME_LABELS_MAX];
};

/**
 * name_query() - prepare a host
 * @host: any case, a final dot is ignored; anything may be asked
 */
void name_query(struct name_query *query, const char *host);

/** name_has_end() - is @packed the name of @length characters that the host ends in? */
int name_has_end(const struct name_query *query, const uint8_t *packed, size_t length);

/** name_packed_bytes() - of a name of @length characters */
size_t name_packed_bytes(size_t length);

/**
 * name_pack() - @text of @length characters, lower case, no final dot
 *
 * Return: 1, or 0 when it has a character that no host name has.
 */
int name_pack(const char *text, size_t length, uint8_t packed[NAME_PACKED_MAX], uint64_t *ret_hash);

/**
 * name_check() - is @packed what name_pack() makes of a name of @length characters?
 *
 * Return: 1 and its hash, or 0.
 */
int name_check(const uint8_t *packed, size_t length, uint64_t *ret_hash);

/** name_unpack() - the other way; @text: @length bytes, not ended */
void name_unpack(const uint8_t *packed, size_t length, char *text);
