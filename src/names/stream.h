/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: DNS over TCP
 *
 * Puts the segments of one direction of a connection in order and cuts the
 * bytes into messages (a length of two bytes before each: RFC 1035 4.2.2).
 * Segments come from a tap: they may be early, repeated or overlap, and one
 * that is dropped here never comes again. A stream that cannot be followed is
 * broken from then on. One that was evicted and goes on begins in its middle:
 * what is then cut off is not at the border of a message and hardly ever reads
 * as an answer.
 *
 *	(new) ──push──▶ OPEN ──push beyond the window, too many holes──▶ BROKEN
 *	                  └──────────── forget, evicted ──▶ (gone) ◀───────┘
 *
 * The first segment seen gives the beginning. One that starts before it is
 * still taken as long as no message was cut off. A byte that is there stays:
 * a repetition with another content changes nothing.
 *
 * This module is pure: no descriptor, no clock, no allocation; a table is
 * large (25 MB, of which only what streams use is ever touched).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_SLOTS 256U	  /* one more evicts the one not used for longest */
#define STREAM_MESSAGE_MAX 65537U /* a DNS message and its length */
#define STREAM_SEGMENT_MAX 32768U /* a push: WIRE_TAIL_MAX */
#define STREAM_HOLES_MAX 16U	  /* gaps at one time; real reordering makes one or two */
/* a message that lacks its last byte, and the segment that brings more than that byte */
#define STREAM_BYTES (STREAM_MESSAGE_MAX + STREAM_SEGMENT_MAX)

enum stream_error {
	_STREAM_E_SUCCESS,
	STREAM_E_MORE,	 /* no whole message yet */
	STREAM_E_BROKEN, /* bytes were lost: nothing more comes of this stream */
};

/** struct stream_range - bytes that are there, [from, to), relative to the window */
struct stream_range {
	uint32_t from;
	uint32_t to;
};

struct stream {
	uint64_t id;	  /* 0: the slot is free */
	uint64_t used;	  /* stream_table.clock at the last push */
	uint32_t seq;	  /* of the window's first byte */
	uint32_t n_taken; /* bytes of messages handed out, still in the window */
	uint32_t n_ranges;
	bool is_broken;
	bool has_given; /* a message: the beginning cannot move any more */
	struct stream_range ranges[STREAM_HOLES_MAX + 1]; /* rising, with gaps between */
	uint8_t window[STREAM_BYTES];
};

struct stream_table {
	uint64_t clock;
	struct stream streams[STREAM_SLOTS];
};

/**
 * stream_push() - add a segment
 * @id:  the stream, not 0; made when unknown
 * @seq: TCP sequence number of the first byte
 *
 * The caller then takes all messages before it pushes again.
 *
 * Return: 0 or STREAM_E_BROKEN.
 */
int stream_push(struct stream_table *table, uint64_t id, uint32_t seq, const uint8_t *bytes,
		size_t n_bytes);

/**
 * stream_take() - the next whole message
 * @ret_bytes: out: without its length, valid until the next push; on 0 only
 *
 * Return: 0, STREAM_E_MORE or STREAM_E_BROKEN.
 */
int stream_take(struct stream_table *table, uint64_t id, const uint8_t **ret_bytes,
		size_t *ret_n_bytes);

/** stream_forget() - drop a stream; an unknown one is fine */
void stream_forget(struct stream_table *table, uint64_t id);
