/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "name.h"

#define SYMBOLS 40U /* 0 fills the last unit */

/* FNV-1a, 64 bit */
#define HASH_START 0xcbf29ce484222325ULL
#define HASH_PRIME 0x100000001b3ULL

static const char alphabet[SYMBOLS + 1] = "\0.-_0123456789abcdefghijklmnopqrstuvwxyz";

/* Return: 0 for a character that no host name has */
static unsigned int symbol_of(char c)
{
	if (c >= 'a' && c <= 'z')
		return 14U + (unsigned int)(c - 'a');
	if (c >= '0' && c <= '9')
		return 4U + (unsigned int)(c - '0');
	return c == '.' ? 1 : c == '-' ? 2 : c == '_' ? 3 : 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static uint64_t hash_step(uint64_t hash, unsigned int symbol)
{
	return (hash ^ symbol) * HASH_PRIME;
}

/* FNV leaves the upper bits poor for short names, and buckets are made of them */
static uint64_t hash_finish(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

/* symbol @at of a packed name; those of a unit that are not set yet are 0 */
static void put_symbol(uint8_t *packed, size_t at, unsigned int symbol)
{
	static const unsigned int weights[] = { SYMBOLS * SYMBOLS, SYMBOLS, 1 };
	uint8_t *unit = packed + at / 3 * 2;
	unsigned int value = at % 3 ? unit[0] | (unsigned int)unit[1] << 8 : 0;

	value += symbol * weights[at % 3];
	unit[0] = (uint8_t)value;
	unit[1] = (uint8_t)(value >> 8);
}

size_t name_packed_bytes(size_t length)
{
	return (length + 2) / 3 * 2;
}

int name_pack(const char *text, size_t length, uint8_t packed[NAME_PACKED_MAX], uint64_t *ret_hash)
{
	uint64_t hash = HASH_START;

	for (size_t i = 0; i < length; i++) {
		unsigned int symbol = symbol_of(text[length - 1 - i]);

		if (!symbol)
			return 0;
		put_symbol(packed, i, symbol);
		hash = hash_step(hash, symbol);
	}
	*ret_hash = hash_finish(hash);
	return 1;
}

int name_unpack(const uint8_t *packed, size_t length, char *text)
{
	for (size_t i = 0; i < (length + 2) / 3 * 3; i += 3) {
		unsigned int value = packed[i / 3 * 2] | (unsigned int)packed[i / 3 * 2 + 1] << 8;
		unsigned int symbols[3] = { value / SYMBOLS / SYMBOLS, value / SYMBOLS % SYMBOLS,
					    value % SYMBOLS };

		for (size_t j = 0; j < 3; j++) {
			if (symbols[j] >= SYMBOLS || (symbols[j] != 0) != (i + j < length))
				return 0;
			if (symbols[j])
				text[length - 1 - (i + j)] = alphabet[symbols[j]];
		}
	}
	return 1;
}

void name_query(struct name_query *query, const char *host)
{
	size_t length = strnlen(host, NAME_LENGTH_MAX + 2);
	uint64_t hash = HASH_START;

	query->n_ends = 0;
	if (length > 0 && host[length - 1] == '.')
		length--;
	query->length = length > NAME_LENGTH_MAX ? 0 : length;
	for (size_t i = 0; i < query->length; i++)
		query->text[i] = lower(host[i]);
	query->text[query->length] = '\0';
	for (size_t i = 0; i < query->length; i++) {
		size_t start = query->length - 1 - i;
		unsigned int symbol = symbol_of(query->text[start]);

		if (!symbol)
			return;
		put_symbol(query->packed, i, symbol);
		hash = hash_step(hash, symbol);
		/* a match ends where a label begins: bads.example is not in ads.example */
		if ((start == 0 || query->text[start - 1] == '.') && symbol != 1 &&
		    query->n_ends < NAME_LABELS_MAX)
			query->ends[query->n_ends++] =
				(struct name_end){ hash_finish(hash), (uint16_t)(i + 1) };
	}
}

int name_has_end(const struct name_query *query, const uint8_t *packed, size_t length)
{
	static const unsigned int keep[] = { 1, SYMBOLS * SYMBOLS, SYMBOLS };
	size_t whole = length / 3 * 2;
	unsigned int ours;

	if (memcmp(query->packed, packed, whole) != 0)
		return 0;
	if (length % 3 == 0)
		return 1;
	/* what the host has behind this end shares a unit with it */
	ours = query->packed[whole] | (unsigned int)query->packed[whole + 1] << 8;
	ours -= ours % keep[length % 3];
	return ours == (packed[whole] | (unsigned int)packed[whole + 1] << 8);
}
