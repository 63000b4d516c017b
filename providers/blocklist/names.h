/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A set of domain names
 *
 * Made once when the provider starts, then only asked. Every name lies once in
 * one blob, behind the place it was read from:
 *
 *	| line: 4 | list: 2 | length: 1 | text, lower case, no final dot |
 *
 * and a table of slots (open addressing, linear, at most 5/8 full) points into
 * the blob. A slot keeps the upper half of the name's 64-bit hash, so that the
 * blob is read for real hits only; then the text is compared, so that no hash
 * collision ever blocks a name.
 *
 * The hash runs over a name from its last character to its first. The hashes
 * of all its suffixes thus come out of one pass: a lookup costs one probe per
 * label, and no allocation.
 */

#include <stddef.h>
#include <stdint.h>

#define NAMES_LENGTH_MAX 253U /* longest host name */
#define NAMES_LABEL_MAX 63U

struct names_slot {
	uint32_t tag;	 /* upper half of the hash */
	uint32_t offset; /* of the entry in the blob, plus 1; 0: empty */
};

struct names {
	uint8_t *blob;
	size_t n_blob, blob_size;
	struct names_slot *slots;
	size_t n_slots; /* a power of two, or 0 */
	size_t n;	/* names in the set */
};

/** struct names_hit - what a lookup found; @text is not NUL-ended and lives as long as the set */
struct names_hit {
	const char *text;
	size_t length;
	uint32_t line;
	uint16_t list;
};

/**
 * names_add() - put a name into the set; the first one of equal names stays
 * @text: checked, lower case, 1 to NAMES_LENGTH_MAX bytes, no final dot
 *
 * Return: 0, -ENOMEM, or -EFBIG when the blob has reached 4 GiB.
 */
int names_add(struct names *names, const char *text, size_t length, uint16_t list, uint32_t line);

/**
 * names_find() - is a host, or a domain it lies in, in the set
 * @host:    any case, a final dot is ignored; anything may be asked
 * @ret_hit: out: the longest match; set when 1 is returned
 *
 * Return: 1 when it is, 0 when not.
 */
int names_find(const struct names *names, const char *host, struct names_hit *ret_hit);

/** names_deinit() - free everything; the set is empty and usable again */
void names_deinit(struct names *names);
