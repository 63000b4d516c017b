/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "name.h"

#define SYMBOLS 40U /* 0 fills the last unit */

/* FNV-1a, 64 bit */
#define HASH_START 0xcbf29ce484222325ULL
#define HASH_PRIME 0x100000001b3ULL

static const char alphabet[SYMBOLS + 1] = "\0.-_0123456789abcdefghijklmnopqrstuvwxyz";

/* 0: no host name has it. Upper case is as lower case */
static const uint8_t symbols[256] = {
	['.'] = 1,  ['-'] = 2,	['_'] = 3,  ['0'] = 4,	['1'] = 5,  ['2'] = 6,	['3'] = 7,
	['4'] = 8,  ['5'] = 9,	['6'] = 10, ['7'] = 11, ['8'] = 12, ['9'] = 13, ['a'] = 14,
	['b'] = 15, ['c'] = 16, ['d'] = 17, ['e'] = 18, ['f'] = 19, ['g'] = 20, ['h'] = 21,
	['i'] = 22, ['j'] = 23, ['k'] = 24, ['l'] = 25, ['m'] = 26, ['n'] = 27, ['o'] = 28,
	['p'] = 29, ['q'] = 30, ['r'] = 31, ['s'] = 32, ['t'] = 33, ['u'] = 34, ['v'] = 35,
	['w'] = 36, ['x'] = 37, ['y'] = 38, ['z'] = 39, ['A'] = 14, ['B'] = 15, ['C'] = 16,
	['D'] = 17, ['E'] = 18, ['F'] = 19, ['G'] = 20, ['H'] = 21, ['I'] = 22, ['J'] = 23,
	['K'] = 24, ['L'] = 25, ['M'] = 26, ['N'] = 27, ['O'] = 28, ['P'] = 29, ['Q'] = 30,
	['R'] = 31, ['S'] = 32, ['T'] = 33, ['U'] = 34, ['V'] = 35, ['W'] = 36, ['X'] = 37,
	['Y'] = 38, ['Z'] = 39,
};

static unsigned int symbol_of(char c)
{
	return symbols[(unsigned char)c];
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
	const char *end = text + length;
	uint64_t hash = HASH_START;

	for (; end - text >= 3; end -= 3, packed += 2) {
		unsigned int a = symbol_of(end[-1]), b = symbol_of(end[-2]), c = symbol_of(end[-3]);
		unsigned int unit = (a * SYMBOLS + b) * SYMBOLS + c;

		if (!a || !b || !c)
			return 0;
		packed[0] = (uint8_t)unit;
		packed[1] = (uint8_t)(unit >> 8);
		hash = hash_step(hash_step(hash_step(hash, a), b), c);
	}
	for (size_t i = 0; end > text; i++, end--) {
		unsigned int symbol = symbol_of(end[-1]);

		if (!symbol)
			return 0;
		put_symbol(packed, i, symbol);
		hash = hash_step(hash, symbol);
	}
	*ret_hash = hash_finish(hash);
	return 1;
}

/* @i: a multiple of 3 */
static void read_unit(const uint8_t *packed, size_t i, unsigned int ret_symbols[3])
{
	unsigned int value = packed[i / 3 * 2] | (unsigned int)packed[i / 3 * 2 + 1] << 8;

	ret_symbols[0] = value / (SYMBOLS * SYMBOLS); /* 40 for what is no unit */
	ret_symbols[1] = value / SYMBOLS % SYMBOLS;
	ret_symbols[2] = value % SYMBOLS;
}

int name_check(const uint8_t *packed, size_t length, uint64_t *ret_hash)
{
	uint64_t hash = HASH_START;
	unsigned int unit[3];
	size_t i = 0;

	for (; i + 3 <= length; i += 3) {
		read_unit(packed, i, unit);
		if (unit[0] >= SYMBOLS || !unit[0] || !unit[1] || !unit[2])
			return 0;
		hash = hash_step(hash_step(hash_step(hash, unit[0]), unit[1]), unit[2]);
	}
	if (i < length) {
		read_unit(packed, i, unit);
		for (size_t j = 0; j < 3; j++) {
			if (unit[j] >= SYMBOLS || (unit[j] != 0) != (i + j < length))
				return 0;
			hash = unit[j] ? hash_step(hash, unit[j]) : hash;
		}
	}
	*ret_hash = hash_finish(hash);
	return 1;
}

void name_unpack(const uint8_t *packed, size_t length, char *text)
{
	for (size_t i = 0; i < length; i += 3) {
		unsigned int unit[3];

		read_unit(packed, i, unit);
		for (size_t j = 0; j < 3 && i + j < length; j++)
			text[length - 1 - (i + j)] = alphabet[unit[j]];
	}
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
