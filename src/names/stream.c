/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <string.h>

#include "base/macros.h"
#include "names/stream.h"

#define LENGTH_BYTES 2U

static struct stream *find_stream(struct stream_table *table, uint64_t id)
{
	for (size_t i = 0; i < STREAM_SLOTS; i++)
		if (table->streams[i].id == id)
			return &table->streams[i];
	return NULL;
}

/* everything but the window, which would be touched for nothing */
static void reset_stream(struct stream *stream, uint64_t id, uint32_t seq)
{
	stream->id = id;
	stream->used = 0;
	stream->seq = seq;
	stream->n_taken = 0;
	stream->n_ranges = 0;
	stream->is_broken = false;
	stream->has_given = false;
}

/* a free slot has used == 0 and so is the oldest */
static struct stream *new_stream(struct stream_table *table, uint64_t id, uint32_t seq)
{
	struct stream *oldest = &table->streams[0];

	for (size_t i = 1; i < STREAM_SLOTS; i++)
		if (table->streams[i].used < oldest->used)
			oldest = &table->streams[i];
	reset_stream(oldest, id, seq);
	return oldest;
}

static int break_stream(struct stream *stream)
{
	stream->is_broken = true;
	stream->n_ranges = 0;
	return STREAM_E_BROKEN;
}

static uint32_t bytes_used(const struct stream *stream)
{
	return stream->n_ranges ? stream->ranges[stream->n_ranges - 1].to : 0;
}

/* messages that were handed out leave the window; they lie in the first range */
static void drop_taken(struct stream *stream)
{
	uint32_t n = stream->n_taken;

	if (n == 0)
		return;
	memmove(stream->window, stream->window + n, bytes_used(stream) - n);
	for (uint32_t i = 0; i < stream->n_ranges; i++) {
		stream->ranges[i].from -= i ? n : 0;
		stream->ranges[i].to -= n;
	}
	if (stream->ranges[0].to == 0) {
		stream->n_ranges--;
		memmove(stream->ranges, stream->ranges + 1,
			stream->n_ranges * sizeof(stream->ranges[0]));
	}
	stream->seq += n;
	stream->n_taken = 0;
}

/* the window begins @n bytes earlier: the first segment seen was not the first sent */
static int move_beginning(struct stream *stream, uint32_t n)
{
	uint32_t used = bytes_used(stream);

	if (n > STREAM_BYTES - used)
		return break_stream(stream);
	memmove(stream->window + n, stream->window, used);
	for (uint32_t i = 0; i < stream->n_ranges; i++) {
		stream->ranges[i].from += n;
		stream->ranges[i].to += n;
	}
	stream->seq -= n;
	return 0;
}

/* copies those of [from, to) that are in no range yet */
static void copy_missing(struct stream *stream, uint32_t from, uint32_t to, const uint8_t *bytes)
{
	uint32_t at = from;

	for (uint32_t i = 0; i < stream->n_ranges && at < to; i++) {
		const struct stream_range *range = &stream->ranges[i];

		if (range->from > at)
			memcpy(stream->window + at, bytes + (at - from), MIN(range->from, to) - at);
		at = MAX(at, range->to);
	}
	if (at < to)
		memcpy(stream->window + at, bytes + (at - from), to - at);
}

/* Return: 0, or STREAM_E_BROKEN when there would be too many holes */
static int add_range(struct stream *stream, uint32_t from, uint32_t to)
{
	struct stream_range *ranges = stream->ranges;
	uint32_t first = 0, end;

	/* [first, end): ranges that touch the new one and become one with it */
	while (first < stream->n_ranges && ranges[first].to < from)
		first++;
	for (end = first; end < stream->n_ranges && ranges[end].from <= to; end++) {
		from = MIN(from, ranges[end].from);
		to = MAX(to, ranges[end].to);
	}
	if (end == first && stream->n_ranges == ARRAY_SIZE(stream->ranges))
		return break_stream(stream);
	memmove(ranges + first + 1, ranges + end, (stream->n_ranges - end) * sizeof(*ranges));
	stream->n_ranges = stream->n_ranges - (end - first) + 1;
	ranges[first] = (struct stream_range){ .from = from, .to = to };
	return 0;
}

static int add_segment(struct stream *stream, uint32_t seq, const uint8_t *bytes, uint32_t n)
{
	/* sequence numbers wrap: half of their space lies before a number, half behind it */
	int32_t offset = (int32_t)(seq - stream->seq);
	uint32_t from, n_old;

	if (offset < 0 && !stream->has_given) {
		if (move_beginning(stream, 0U - (uint32_t)offset))
			return STREAM_E_BROKEN;
		offset = 0;
	}
	n_old = offset < 0 ? 0U - (uint32_t)offset : 0;
	if (n_old >= n)
		return 0; /* sent again, taken long ago */
	from = offset < 0 ? 0 : (uint32_t)offset;
	n -= n_old;
	if (from > STREAM_BYTES || n > STREAM_BYTES - from)
		return break_stream(stream);
	copy_missing(stream, from, from + n, bytes + n_old);
	return add_range(stream, from, from + n);
}

int stream_push(struct stream_table *table, uint64_t id, uint32_t seq, const uint8_t *bytes,
		size_t n_bytes)
{
	struct stream *stream;

	assert(id != 0);

	stream = find_stream(table, id);
	if (!stream)
		stream = new_stream(table, id, seq);
	stream->used = ++table->clock;
	if (stream->is_broken)
		return STREAM_E_BROKEN;
	if (n_bytes > STREAM_SEGMENT_MAX)
		return break_stream(stream);
	drop_taken(stream);
	return n_bytes ? add_segment(stream, seq, bytes, (uint32_t)n_bytes) : 0;
}

int stream_take(struct stream_table *table, uint64_t id, const uint8_t **ret_bytes,
		size_t *ret_n_bytes)
{
	struct stream *stream = find_stream(table, id);
	const uint8_t *at;
	uint32_t n_ready, n_message;

	if (!stream)
		return STREAM_E_MORE;
	if (stream->is_broken)
		return STREAM_E_BROKEN;
	if (stream->n_ranges == 0 || stream->ranges[0].from != 0)
		return STREAM_E_MORE;
	n_ready = stream->ranges[0].to - stream->n_taken;
	if (n_ready < LENGTH_BYTES)
		return STREAM_E_MORE;
	at = stream->window + stream->n_taken;
	n_message = (uint32_t)at[0] << 8 | at[1];
	if (n_ready - LENGTH_BYTES < n_message)
		return STREAM_E_MORE;
	stream->n_taken += LENGTH_BYTES + n_message;
	stream->has_given = true;
	*ret_bytes = at + LENGTH_BYTES;
	*ret_n_bytes = n_message;
	return 0;
}

void stream_forget(struct stream_table *table, uint64_t id)
{
	struct stream *stream = find_stream(table, id);

	if (stream && id != 0)
		reset_stream(stream, 0, 0);
}
