/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/peek.h"

#define ROOM_MIN 8U

bool peek_stream_is_full(const struct peek_stream *stream)
{
	return stream->n == PEEK_PACKETS_MAX || stream->n_bytes >= PEEK_HELD_MAX;
}

/* is every byte from @at to @to held, in packets that can go? What is before @at was passed */
static bool is_covered(const struct peek_stream *stream, uint64_t at, uint64_t to)
{
	for (unsigned int i = 0; i < stream->n && at < to; i++) {
		const struct peek_packet *held = stream->packets[i];

		if (!held->is_copy && held->from <= at && held->to > at)
			at = held->to;
	}
	return at >= to;
}

bool peek_stream_holds_any(const struct peek_stream *stream, uint64_t from, uint64_t to)
{
	for (unsigned int i = 0; i < stream->n; i++)
		if (!stream->packets[i]->is_copy && stream->packets[i]->from < to &&
		    stream->packets[i]->to > from)
			return true;
	return false;
}

static bool contradicts(const struct peek_packet *held, const struct peek_segment *segment,
			uint64_t from)
{
	uint64_t begin = MAX(held->from, from), end = MIN(held->to, from + segment->n);

	return begin < end && memcmp(held->bytes + (begin - held->from),
				     segment->bytes + (begin - from), end - begin) != 0;
}

bool peek_stream_lies(const struct peek_stream *stream, const struct peek_segment *segment,
		      uint64_t from)
{
	for (unsigned int i = 0; i < stream->n; i++)
		if (contradicts(stream->packets[i], segment, from))
			return true;
	for (const struct peek_packet *kept = stream->kept; kept; kept = kept->next)
		if (contradicts(kept, segment, from))
			return true;
	return false;
}

static bool is_repeated(const struct peek_stream *stream, const struct peek_segment *segment,
			uint64_t from, uint64_t passed)
{
	bool has_news = (segment->is_fin || segment->is_reset) && !stream->has_end;

	return !has_news && is_covered(stream, MAX(from, passed), from + segment->n);
}

/* what comes next is let in, or the gap in front of the others would stay */
static bool is_too_much(const struct peek_stream *stream, const struct peek_segment *segment,
			uint64_t from)
{
	size_t limit = PEEK_HELD_MAX + (from <= stream->known ? PEEK_GAP_MAX : 0);

	return stream->n_bytes + segment->n > limit;
}

/* and needed more than the last one behind the gap */
static bool make_room(struct peek_stream *stream, uint64_t from, struct flow_packet *ret_other)
{
	const struct peek_packet *last = stream->packets[stream->n - 1];

	if (from > stream->known || last->from <= stream->known)
		return false;
	if (last->is_end)
		stream->has_end = false;
	peek_stream_out(stream, stream->n - 1, ret_other);
	return true;
}

static struct peek_packet *copy_of(const struct peek_segment *segment, uint64_t from,
				   uint64_t now_us)
{
	struct peek_packet *packet = malloc(sizeof(*packet) + segment->n);

	if (!packet)
		return NULL;
	*packet = (struct peek_packet){ .packet = segment->packet,
					.from = from,
					.to = from + segment->n,
					.since_us = now_us,
					.is_end = segment->is_fin || segment->is_reset };
	if (segment->n)
		memcpy(packet->bytes, segment->bytes, segment->n);
	return packet;
}

/* an end says where the stream ends: one that is elsewhere than another is none */
static bool is_end_elsewhere(const struct peek_stream *stream, const struct peek_segment *segment,
			     uint64_t from)
{
	uint64_t to = from + segment->n;

	return stream->has_end && (segment->is_fin ? to != stream->end : to > stream->end);
}

/* Return: is there a place for one more? */
static bool grow(struct peek_stream *stream)
{
	unsigned int n_room = MIN(MAX(2 * stream->n_room, ROOM_MIN), PEEK_PACKETS_MAX);
	struct peek_packet **packets;

	if (stream->n < stream->n_room)
		return true;
	packets = reallocarray(stream->packets, n_room, sizeof(*packets));
	if (!packets)
		return false;
	stream->packets = packets;
	stream->n_room = n_room;
	return true;
}

static void insert(struct peek_stream *stream, struct peek_packet *packet)
{
	unsigned int i = stream->n++;

	for (; i > 0 && stream->packets[i - 1]->from > packet->from; i--)
		stream->packets[i] = stream->packets[i - 1];
	stream->packets[i] = packet;
	stream->n_bytes += packet->to - packet->from;
	if (packet->is_end && !stream->has_end) {
		stream->has_end = true;
		stream->end = packet->to;
	}
}

enum peek_fate peek_stream_put(struct peek_stream *stream, const struct peek_segment *segment,
			       uint64_t from, uint64_t passed, uint64_t now_us,
			       struct flow_packet *ret_other)
{
	struct peek_packet *packet;
	bool is_full, has_place;

	if (is_end_elsewhere(stream, segment, from))
		return PEEK_LIE;
	if (is_repeated(stream, segment, from, passed) || is_too_much(stream, segment, from))
		return PEEK_DROP;
	packet = copy_of(segment, from, now_us);
	if (!packet)
		return PEEK_DROP;
	has_place = peek_copy_gives_way(stream, packet->from, packet->to);
	is_full = !has_place && stream->n == PEEK_PACKETS_MAX;
	if (!has_place && (is_full ? !make_room(stream, from, ret_other) : !grow(stream))) {
		free(packet);
		return PEEK_DROP;
	}
	peek_copy_replace(stream, packet->from,
			  packet->to); /* it can go. From here on nothing fails */
	insert(stream, packet);
	return is_full ? PEEK_HOLD_INSTEAD : PEEK_HOLD;
}

struct peek_packet *peek_stream_take(struct peek_stream *stream, unsigned int i)
{
	struct peek_packet *packet = stream->packets[i];

	stream->n_bytes -= packet->to - packet->from;
	stream->n_copies -= packet->is_copy;
	stream->n--;
	memmove(&stream->packets[i], &stream->packets[i + 1],
		(stream->n - i) * sizeof(stream->packets[0]));
	return packet;
}

void peek_stream_out(struct peek_stream *stream, unsigned int i, struct flow_packet *ret_packet)
{
	_cleanup_free_ struct peek_packet *packet = peek_stream_take(stream, i);

	*ret_packet = packet->packet;
}

bool peek_stream_grow(struct peek_stream *stream, uint64_t passed)
{
	uint64_t before = stream->known;

	for (unsigned int i = 0; i < stream->n; i++) {
		const struct peek_packet *held = stream->packets[i];

		if (held->from <= MAX(stream->known, passed) && held->to > stream->known)
			stream->known = held->to;
	}
	return stream->known > before;
}

void peek_stream_copy(const struct peek_stream *stream, uint64_t from, size_t n, uint8_t *to)
{
	uint64_t end = from + n, at = from;

	for (unsigned int i = 0; i < stream->n && at < end; i++) {
		const struct peek_packet *held = stream->packets[i];
		size_t some;

		if (held->from > at || held->to <= at)
			continue;
		some = (size_t)(MIN(held->to, end) - at);
		memcpy(to + (at - from), held->bytes + (at - held->from), some);
		at += some;
	}
}
