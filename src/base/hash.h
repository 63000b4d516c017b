/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Hashes for tables whose keys others choose
 *
 * Begun from a random seed, so that nobody can choose what falls into one bucket.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"

/** hash_mix() - one more word: the finisher of splitmix64 */
static inline uint64_t hash_mix(uint64_t hash, uint64_t value)
{
	hash ^= value;
	hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9ULL;
	hash = (hash ^ hash >> 27) * 0x94d049bb133111ebULL;
	return hash ^ hash >> 31;
}

/** hash_bytes() - as many more, and how many they are */
static inline uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n_bytes)
{
	const uint8_t *at = bytes;

	hash = hash_mix(hash, n_bytes);
	while (n_bytes > 0) {
		uint64_t word = 0;
		size_t n = MIN(n_bytes, sizeof(word));

		memcpy(&word, at, n);
		hash = hash_mix(hash, word);
		at += n;
		n_bytes -= n;
	}
	return hash;
}
