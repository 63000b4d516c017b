/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: What a filter is shown, when, and what it says to that */
#include "base/macros.h"
#include "flow/peek.h"

static bool is_paused(const struct peek *peek, unsigned int filter)
{
	return peek->paused & 1U << filter;
}

static bool is_all_there(const struct peek_stream *stream)
{
	return stream->has_end && stream->known >= stream->end;
}

static size_t n_there(const struct peek_stream *stream, const struct peek_view *view)
{
	return stream->known > view->passed ? (size_t)(stream->known - view->passed) : 0;
}

/* of what was not passed yet: up to the end of a datagram, or of all that came */
static size_t n_whole(const struct peek *peek, const struct peek_stream *stream,
		      const struct peek_view *view)
{
	if (peek->is_stream || view->seen > view->passed)
		return n_there(stream, view);
	for (unsigned int i = 0; i < stream->n; i++)
		if (stream->packets[i]->to > view->passed)
			return (size_t)(stream->packets[i]->to - view->passed);
	return 0;
}

static size_t n_shown(const struct peek *peek, const struct peek_stream *stream,
		      const struct peek_view *view)
{
	uint64_t wanted = view->wanted - view->passed;
	size_t n = n_whole(peek, stream, view);

	if (wanted > 0 && !view->is_clamped)
		n = (size_t)MIN(n, wanted);
	return MIN(n, PEEK_SHOWN_MAX);
}

/* the sender may wait for its acknowledgement, which waits for these bytes: packets go whole */
static bool is_rest(const struct peek_stream *stream, const struct peek_view *view)
{
	for (unsigned int i = 0; i < stream->n; i++)
		if (stream->packets[i]->to > view->passed)
			return stream->packets[i]->from < view->passed &&
			       stream->packets[i]->to >= stream->known;
	return false;
}

static bool is_enough(const struct peek *peek, const struct peek_stream *stream,
		      const struct peek_view *view)
{
	uint64_t wanted = MIN(view->wanted - view->passed, PEEK_BYTES_MAX);

	return !peek->is_stream || n_there(stream, view) >= wanted || is_all_there(stream) ||
	       peek_stream_is_full(stream) || is_rest(stream, view);
}

static int wait_until(uint64_t due_us, uint64_t now_us, int expired,
		      struct peek_question *ret_question)
{
	ret_question->due_us = due_us;
	return now_us >= due_us ? expired : PEEK_E_WAIT;
}

/* it has been asked, or wants to see more than there is */
static int next_answer(const struct peek *peek, unsigned int filter, const struct peek_view *view,
		       uint64_t now_us, struct peek_question *ret_question)
{
	if (!is_paused(peek, filter))
		return wait_until(view->since_us + FLOW_DEADLINE_US, now_us, PEEK_E_LATE,
				  ret_question);
	if (peek->is_stream)
		return PEEK_E_NOTHING;
	return wait_until(peek->paused_us[filter] + PEEK_PAUSE_US, now_us, PEEK_E_EXPIRED,
			  ret_question);
}

int peek_next(const struct peek *peek, unsigned int filter, enum sl_dir dir, uint64_t now_us,
	      struct peek_question *ret_question)
{
	const struct peek_stream *stream = &peek->streams[dir];
	const struct peek_view *view = &stream->views[filter];
	bool is_end = is_all_there(stream);

	if (!view->is_looking || (is_end && view->has_ended))
		return PEEK_E_NOTHING;
	if (view->is_asked)
		return next_answer(peek, filter, view, now_us, ret_question);
	if (n_there(stream, view) == 0 && !is_end)
		return PEEK_E_NOTHING;
	if (is_paused(peek, filter)) /* because of the other direction */
		return PEEK_E_NOTHING;
	if (stream->known <= view->seen && !(is_end && !view->shows_end))
		return view->since_us ? next_answer(peek, filter, view, now_us, ret_question)
				      : PEEK_E_NOTHING;
	if (!is_enough(peek, stream, view) && now_us < stream->news_us + PEEK_IDLE_US)
		return wait_until(stream->news_us + PEEK_IDLE_US, now_us, 0, ret_question);
	*ret_question = (struct peek_question){ .offset = view->passed,
						.n = n_shown(peek, stream, view),
						.is_clamped = view->is_clamped };
	if (is_end) { /* more was passed in advance than there is */
		ret_question->offset = MIN(view->passed, stream->end);
		ret_question->is_end = ret_question->offset + ret_question->n >= stream->end;
	}
	return 0;
}

void peek_asked(struct peek *peek, unsigned int filter, enum sl_dir dir,
		const struct peek_question *question, uint64_t now_us)
{
	struct peek_stream *stream = &peek->streams[dir];
	struct peek_view *view = &stream->views[filter];

	stream->shown = MAX(stream->shown, question->offset + question->n);
	view->is_asked = true;
	view->since_us = now_us;
	view->seen = MAX(view->seen, question->offset + question->n);
	view->shows_end = question->is_end;
}

int peek_pass(struct peek *peek, unsigned int filter, enum sl_dir dir, uint64_t pass,
	      uint64_t wanted, uint64_t now_us)
{
	struct peek_stream *stream = &peek->streams[dir];
	struct peek_view *view = &stream->views[filter];
	bool has_bytes = view->seen > view->passed;

	if (!view->is_looking || !view->is_asked || is_paused(peek, filter))
		return PEEK_E_INVALID;
	if (view->shows_end && has_bytes && pass == 0) /* more of what? */
		return PEEK_E_INVALID;
	view->is_asked = false;
	view->since_us = pass || !has_bytes ? 0 : now_us;
	if (pass == PEEK_ALL) {
		view->is_looking = false;
		peek_grow(peek, dir, now_us);
		return 0;
	}
	view->passed = pass > PEEK_ALL - 1 - view->passed ? PEEK_ALL - 1 : view->passed + pass;
	view->seen = pass ? view->passed : view->seen;
	view->wanted = wanted > PEEK_ALL - view->passed ? PEEK_ALL : view->passed + wanted;
	view->is_clamped = wanted > PEEK_BYTES_MAX;
	view->has_ended = view->shows_end && view->passed >= stream->end;
	view->shows_end = view->has_ended;
	peek_grow(peek, dir, now_us);
	return 0;
}

bool peek_has_question(const struct peek *peek, unsigned int filter)
{
	return peek->streams[SL_DIR_OUT].views[filter].is_asked ||
	       peek->streams[SL_DIR_IN].views[filter].is_asked;
}

void peek_ask_anew(struct peek *peek, unsigned int filter)
{
	for (int dir = 0; dir < PEEK_DIRS; dir++) {
		struct peek_view *view = &peek->streams[dir].views[filter];

		view->is_asked = view->shows_end = false;
		view->seen = view->passed;
		view->since_us = 0;
	}
	peek->paused &= (uint16_t) ~(1U << filter);
}

int peek_pause(struct peek *peek, unsigned int filter, uint64_t now_us)
{
	if (is_paused(peek, filter) || !peek_has_question(peek, filter))
		return PEEK_E_INVALID;
	peek->paused |= (uint16_t)(1U << filter);
	peek->paused_us[filter] = now_us;
	return 0;
}

int peek_resume(struct peek *peek, unsigned int filter, uint64_t now_us)
{
	if (!is_paused(peek, filter))
		return PEEK_E_INVALID;
	peek->paused &= (uint16_t) ~(1U << filter);
	for (int dir = 0; dir < PEEK_DIRS; dir++)
		if (peek->streams[dir].views[filter].is_asked)
			peek->streams[dir].views[filter].since_us = now_us;
	peek_grow(peek, SL_DIR_OUT, now_us);
	peek_grow(peek, SL_DIR_IN, now_us);
	return 0;
}

void peek_postpone(struct peek *peek, uint64_t before_us, uint64_t us)
{
	for (int dir = 0; dir < PEEK_DIRS; dir++)
		for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++) {
			struct peek_view *view = &peek->streams[dir].views[i];

			if (view->since_us && view->since_us <= before_us)
				view->since_us += us;
		}
	for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++)
		if (peek->paused & 1U << i && peek->paused_us[i] <= before_us)
			peek->paused_us[i] += us;
}
