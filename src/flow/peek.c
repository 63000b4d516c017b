/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/peek.h"

#define PLAUSIBLE (1LL << 30) /* a sequence number further ahead is nobody's */

struct peek *peek_new(bool is_stream)
{
	struct peek *peek = calloc(1, sizeof(*peek));

	if (!peek)
		return NULL;
	peek->is_stream = is_stream;
	peek->streams[SL_DIR_IN].keeps = is_stream;
	return peek;
}

struct peek *peek_free(struct peek *peek)
{
	struct flow_packet packet;

	for (int dir = 0; peek && dir < PEEK_DIRS; dir++) {
		while (peek_drop(peek, (enum sl_dir)dir, &packet) == 0)
			;
		peek_keep_free(&peek->streams[dir]);
		free(peek->streams[dir].packets);
	}
	free(peek);
	return NULL;
}

size_t peek_size(const struct peek *peek)
{
	return sizeof(*peek) +
	       (peek->streams[SL_DIR_OUT].n_room + peek->streams[SL_DIR_IN].n_room) *
		       sizeof(peek->streams[0].packets[0]);
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > PEEK_ALL - b ? PEEK_ALL : a + b;
}

static void want(struct peek_view *view, uint64_t wanted)
{
	view->wanted = add(view->passed, wanted);
	view->is_clamped = wanted > PEEK_BYTES_MAX;
}

void peek_look(struct peek *peek, unsigned int filter, enum sl_dir dir, uint64_t wanted)
{
	struct peek_stream *stream = &peek->streams[dir];
	uint64_t at = MIN(stream->gone, stream->known);
	struct peek_view *view = &stream->views[filter];

	*view = (struct peek_view){ .is_looking = true, .passed = at, .seen = at };
	want(view, wanted);
}

void peek_grow(struct peek *peek, enum sl_dir dir, uint64_t now_us)
{
	peek_keep_grow(&peek->streams[dir]);
	if (peek_stream_grow(&peek->streams[dir], peek_passed(peek, dir)))
		peek->streams[dir].news_us = now_us;
}

void peek_look_anew(struct peek *peek, unsigned int filter)
{
	for (int dir = 0; dir < PEEK_DIRS; dir++) {
		struct peek_view *view = &peek->streams[dir].views[filter];

		view->is_looking = view->is_asked = false;
	}
	peek->paused &= (uint16_t) ~(1U << filter);
}

void peek_leave(struct peek *peek, unsigned int filter, uint64_t now_us)
{
	peek_look_anew(peek, filter);
	for (int dir = 0; dir < PEEK_DIRS; dir++)
		peek_grow(peek, (enum sl_dir)dir, now_us);
}

bool peek_looks(const struct peek *peek, unsigned int filter)
{
	return peek->streams[SL_DIR_OUT].views[filter].is_looking ||
	       peek->streams[SL_DIR_IN].views[filter].is_looking;
}

bool peek_is_shown(const struct peek *peek, enum sl_dir dir)
{
	for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++)
		if (peek->streams[dir].views[i].is_looking)
			return true;
	return false;
}

bool peek_is_untouched(const struct peek *peek, enum sl_dir dir)
{
	const struct peek_stream *stream = &peek->streams[dir];

	for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++)
		if (stream->views[i].seen > 0 || stream->views[i].shows_end)
			return false;
	return stream->gone == 0;
}

void peek_begin_at(struct peek *peek, enum sl_dir dir, uint32_t seq, uint64_t passed)
{
	struct peek_stream *stream = &peek->streams[dir];

	stream->has_base = true;
	stream->has_end = false;
	stream->base = seq;
	stream->known = stream->gone = passed;
	for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++) {
		struct peek_view *view = &stream->views[i];

		view->wanted = add(view->wanted - view->passed, passed);
		view->passed = view->seen = passed;
	}
}

uint64_t peek_passed(const struct peek *peek, enum sl_dir dir)
{
	const struct peek_stream *stream = &peek->streams[dir];
	uint64_t passed = PEEK_ALL;

	if (peek->paused && peek_is_shown(peek, dir))
		return MIN(stream->gone, stream->known);
	for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++)
		if (stream->views[i].is_looking)
			passed = MIN(passed, stream->views[i].passed);
	return passed;
}

/* ---- packets ---- */

/* sequence numbers count on from the last byte that is known, forwards and backwards */
static int64_t offset_of(struct peek_stream *stream, const struct peek_segment *segment)
{
	if (!stream->has_base) {
		stream->has_base = true;
		stream->base = segment->seq;
	}
	return (int64_t)stream->known +
	       (int32_t)(segment->seq - (stream->base + (uint32_t)stream->known));
}

static bool may_end_go(const struct peek *peek, enum sl_dir dir)
{
	const struct peek_stream *stream = &peek->streams[dir];

	if (!peek_is_shown(peek, dir))
		return true;
	for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++)
		if (stream->views[i].is_looking && !stream->views[i].has_ended)
			return false;
	return !peek->paused;
}

static enum peek_fate let_go(struct peek *peek, enum sl_dir dir, uint64_t from, uint64_t to,
			     uint64_t now_us)
{
	struct peek_stream *stream = &peek->streams[dir];

	stream->gone = MAX(stream->gone, to);
	stream->known = MAX(stream->known, to);
	peek_copy_replace(stream, from, to);
	peek_grow(peek, dir, now_us); /* it may have filled a gap */
	return PEEK_GO;
}

static enum peek_fate hold(struct peek *peek, enum sl_dir dir, const struct peek_segment *segment,
			   uint64_t from, uint64_t now_us, struct flow_packet *ret_other)
{
	struct peek_stream *stream = &peek->streams[dir];
	enum peek_fate fate;

	if (segment->must_not_stay || (segment->must_not_grow && from + segment->n > stream->known))
		return PEEK_DROP;
	fate = peek_stream_put(stream, segment, from, peek_passed(peek, dir), now_us, ret_other);
	if (fate == PEEK_HOLD || fate == PEEK_HOLD_INSTEAD)
		peek_grow(peek, dir, now_us);
	return fate;
}

static enum peek_fate take_datagram(struct peek *peek, enum sl_dir dir,
				    const struct peek_segment *segment, uint64_t now_us,
				    struct flow_packet *ret_other)
{
	struct peek_stream *stream = &peek->streams[dir];
	uint64_t to = stream->known + segment->n;

	if (stream->n == 0 && to <= peek_passed(peek, dir) && !peek->paused)
		return let_go(peek, dir, stream->known, to, now_us);
	if (segment->n == 0) /* nothing to show; not before what was sent before it */
		return PEEK_GO;
	return hold(peek, dir, segment, stream->known, now_us, ret_other);
}

static enum peek_fate take_segment(struct peek *peek, enum sl_dir dir,
				   const struct peek_segment *segment, uint64_t now_us,
				   struct flow_packet *ret_other)
{
	struct peek_stream *stream = &peek->streams[dir];
	int64_t from = offset_of(stream, segment), to = from + (int64_t)segment->n;

	/* a reset that is not the next thing is for TCP to judge, and carries nothing */
	if (segment->is_reset && (from != (int64_t)stream->known || stream->has_end))
		return segment->n ? PEEK_DROP : PEEK_GO;
	if (to - (int64_t)stream->known > PLAUSIBLE)
		return PEEK_DROP;
	if (from <
	    0) /* before the first byte there is nothing, unless somebody has said a wrong one */
		return PEEK_DROP;
	if ((segment->is_fin && (uint64_t)to < stream->known) ||
	    peek_stream_lies(stream, segment, (uint64_t)from))
		return PEEK_LIE;
	if (peek_copy_is_cut(stream, (uint64_t)from)) /* its beginning comes again as well */
		return PEEK_DROP;
	/* before what is held has gone, another copy of it would be the receiver's first one; where
	 * it was compared it is as good, and may be what the held one waits for */
	if ((uint64_t)to <= peek_passed(peek, dir) &&
	    (stream->keeps || !peek_stream_holds_any(stream, (uint64_t)from, (uint64_t)to)) &&
	    (!(segment->is_fin || segment->is_reset) || may_end_go(peek, dir)))
		return let_go(peek, dir, (uint64_t)from, (uint64_t)to, now_us);
	return hold(peek, dir, segment, (uint64_t)from, now_us, ret_other);
}

/* nobody looks any more, but what was shown is not to be changed */
static enum peek_fate take_unshown(struct peek *peek, enum sl_dir dir,
				   const struct peek_segment *segment)
{
	struct peek_stream *stream = &peek->streams[dir];
	int64_t from, to;

	if (!peek_is_guarded(peek, dir))
		return PEEK_GO;
	from = offset_of(stream, segment);
	to = from + (int64_t)segment->n;
	if (to + segment->is_fin <= (int64_t)stream->acked) /* it is there */
		return PEEK_GO;
	if (from < 0)
		return PEEK_DROP;
	if (segment->is_fin && to < (int64_t)stream->shown)
		return PEEK_LIE;
	return peek_stream_lies(stream, segment, (uint64_t)from) ? PEEK_LIE : PEEK_GO;
}

enum peek_fate peek_take(struct peek *peek, enum sl_dir dir, const struct peek_segment *segment,
			 uint64_t now_us, struct flow_packet *ret_other)
{
	if (!peek_is_shown(peek, dir) && !peek->streams[dir].n_copies)
		return take_unshown(peek, dir, segment);
	if (!peek->is_stream)
		return take_datagram(peek, dir, segment, now_us, ret_other);
	if (segment->n == 0 && !segment->is_fin && !segment->is_reset)
		return PEEK_GO;
	return take_segment(peek, dir, segment, now_us, ret_other);
}

int peek_release(struct peek *peek, enum sl_dir dir, struct flow_packet *ret_packet)
{
	struct peek_stream *stream = &peek->streams[dir];
	uint64_t passed = peek_passed(peek, dir);
	unsigned int i = peek_copy_end(stream);
	const struct peek_packet *first = i < stream->n ? stream->packets[i] : NULL;

	if (!first || first->to > passed || (first->is_end && !may_end_go(peek, dir)) ||
	    !peek_may_keep(stream, first))
		return PEEK_E_NOTHING;
	stream->gone = MAX(stream->gone, first->to);
	*ret_packet = first->packet;
	peek_keep(stream, peek_stream_take(stream, i));
	return 0;
}

int peek_drop_stranded(struct peek *peek, enum sl_dir dir, uint64_t now_us,
		       struct flow_packet *ret_packet, uint64_t *ret_due_us)
{
	struct peek_stream *stream = &peek->streams[dir];
	const struct peek_packet *last = stream->n ? stream->packets[stream->n - 1] : NULL;

	if (!peek->is_stream || !last || last->from <= stream->known)
		return PEEK_E_NOTHING;
	*ret_due_us = last->since_us + FLOW_DEADLINE_US;
	if (now_us < *ret_due_us)
		return PEEK_E_WAIT;
	if (last->is_end)
		stream->has_end = false;
	peek_stream_out(stream, stream->n - 1, ret_packet);
	return 0;
}

int peek_drop(struct peek *peek, enum sl_dir dir, struct flow_packet *ret_packet)
{
	struct peek_stream *stream = &peek->streams[dir];

	while (stream->n && stream->packets[stream->n - 1]->is_copy)
		free(peek_stream_take(stream, stream->n - 1));
	if (stream->n == 0)
		return PEEK_E_NOTHING;
	peek_stream_out(stream, stream->n - 1, ret_packet);
	return 0;
}

void peek_copy(const struct peek *peek, enum sl_dir dir, const struct peek_question *question,
	       uint8_t *to)
{
	memset(to, 0, question->n); /* never what was there of another flow */
	peek_stream_copy(&peek->streams[dir], question->offset, question->n, to);
}
