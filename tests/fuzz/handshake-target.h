/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What must hold for any answer of a proxy
 *
 * Neither the outcome nor what is said depends on how it comes in pieces. No byte behind its
 * end is consumed, nor more than the largest answer has. What failed has an error, and words
 * that may be shown.
 * Bytes are read in copies of their exact size.
 */

#include <stdlib.h>
#include <string.h>

#include "providers/socks/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(int condition)
{
	if (!condition)
		abort();
}

/* Return: bytes consumed */
static inline size_t feed_exact(struct handshake *handshake, const uint8_t *bytes, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);
	size_t used;

	require(exact != NULL);
	memcpy(exact, bytes, n);
	used = handshake_feed(handshake, exact, n);
	free(exact);
	require(used <= n && (used == n || handshake->state != HANDSHAKE_GOES_ON));
	return used;
}

/* Return: bytes consumed */
static inline size_t feed_pieces(struct handshake *handshake, const uint8_t *bytes, size_t n,
				 size_t n_piece)
{
	size_t used = 0;

	while (used < n && handshake->state == HANDSHAKE_GOES_ON)
		used += feed_exact(handshake, bytes + used,
				   n - used < n_piece ? n - used : n_piece);
	require(feed_exact(handshake, bytes + used, n - used) == 0);
	return used;
}

static inline void check_outcome(const struct handshake *handshake)
{
	int has_failed =
		handshake->state == HANDSHAKE_REFUSED || handshake->state == HANDSHAKE_FAILED;

	require((handshake->error < 0) == has_failed);
	require((handshake->reason[0] != '\0') == has_failed);
	for (const char *c = handshake->reason; *c; c++)
		require(*c >= ' ' && *c < 0x7f);
	require(handshake->n_output <= sizeof(handshake->output));
}

/* @piece: any number */
static inline void check_handshake(const struct upstream *upstream, const uint8_t *bytes, size_t n,
				   size_t piece)
{
	const struct destination destination = { .host = "a.example", .port = 443 };
	struct handshake whole, pieces;
	size_t n_whole, n_pieces;

	handshake_begin(&whole, upstream, &destination);
	handshake_begin(&pieces, upstream, &destination);
	n_whole = feed_pieces(&whole, bytes, n, n);
	n_pieces = feed_pieces(&pieces, bytes, n, 1 + piece % (n + 1));
	require(n_whole == n_pieces && n_whole <= HANDSHAKE_ANSWER_MAX + 1);
	require(whole.state == pieces.state && whole.error == pieces.error);
	require(strcmp(whole.reason, pieces.reason) == 0);
	require(whole.n_output == pieces.n_output);
	require(memcmp(whole.output, pieces.output, whole.n_output) == 0);
	check_outcome(&whole);
	handshake_cut(&whole);
	require(whole.state != HANDSHAKE_GOES_ON);
	check_outcome(&whole);
}
