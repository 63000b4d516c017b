/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What leaves is dropped when its sender waits until it has left
 *
 * Our own TCP has a few packets at most under way to the network (TSQ), ten before the first
 * acknowledgement, and what is held counts. A program that says its first bytes in many small pieces
 * is not heard to the end then, by filters that wait for just that. So when they do, nothing
 * comes, and there is more in the socket, what is held is dropped. Its bytes stay, as a copy; TCP
 * goes on at once, and repeats what got lost.
 *
 *	held ─▶ peek_drop_waiting() ─▶ copy ─▶ comes again, compared ─▶ held, or goes on
 *
 * A copy is there until all of it has come again, also when nobody looks any more: what was shown
 * is what leaves. Nothing of it has gone: copies are made only before the first byte goes. So it
 * comes again from its first byte on, and a packet that begins within it is dropped.
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/peek.h"

unsigned int peek_copy_end(const struct peek_stream *stream)
{
	unsigned int i = 0;

	while (i < stream->n && stream->packets[i]->is_copy)
		i++;
	return i;
}

/* does a filter that has been shown all that came want to see more? */
static bool wants_more(const struct peek_stream *stream)
{
	for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++) {
		const struct peek_view *view = &stream->views[i];

		if (view->is_looking && !view->is_asked && view->since_us &&
		    stream->known <= view->seen)
			return true;
	}
	return false;
}

/* Return: a packet that was there when the last news came, or before; what is newer is a repetition */
static const struct peek_packet *find_waiting(const struct peek_stream *stream)
{
	for (unsigned int i = peek_copy_end(stream); i < stream->n; i++)
		if (!stream->packets[i]->is_copy && stream->packets[i]->since_us <= stream->news_us)
			return stream->packets[i];
	return NULL;
}

int peek_is_awaited(const struct peek *peek, enum sl_dir dir, uint64_t now_us, uint64_t *ret_due_us)
{
	const struct peek_stream *stream = &peek->streams[dir];

	if (!peek->is_stream || stream->has_end || stream->gone > 0 || !wants_more(stream) ||
	    !find_waiting(stream))
		return PEEK_E_NOTHING;
	*ret_due_us = stream->news_us + PEEK_IDLE_US;
	return now_us < *ret_due_us ? PEEK_E_WAIT : 0;
}

int peek_drop_waiting(struct peek *peek, enum sl_dir dir, struct flow_packet *ret_packet)
{
	struct peek_stream *stream = &peek->streams[dir];
	unsigned int i = peek_copy_end(stream);

	if (i == stream->n || stream->packets[i]->from >= stream->known)
		return PEEK_E_NOTHING;
	stream->packets[i]->is_copy = true;
	stream->n_copies++;
	*ret_packet = stream->packets[i]->packet;
	return 0;
}

bool peek_copy_is_cut(const struct peek_stream *stream, uint64_t from)
{
	for (unsigned int i = 0; i < stream->n; i++)
		if (stream->packets[i]->is_copy && stream->packets[i]->from < from &&
		    stream->packets[i]->to > from)
			return true;
	return false;
}

bool peek_copy_gives_way(const struct peek_stream *stream, uint64_t from, uint64_t to)
{
	for (unsigned int i = 0; i < stream->n; i++)
		if (stream->packets[i]->is_copy && stream->packets[i]->from >= from &&
		    stream->packets[i]->from < to && stream->packets[i]->to <= to)
			return true;
	return false;
}

static void cut(struct peek_stream *stream, struct peek_packet *copy, uint64_t at)
{
	memmove(copy->bytes, copy->bytes + (at - copy->from), copy->to - at);
	stream->n_bytes -= at - copy->from;
	copy->from = at;
}

void peek_copy_replace(struct peek_stream *stream, uint64_t from, uint64_t to)
{
	for (unsigned int i = stream->n; i-- > 0 && stream->n_copies;) {
		struct peek_packet *held = stream->packets[i];

		if (!held->is_copy || held->from < from || held->from >= to)
			continue;
		if (held->to <= to)
			free(peek_stream_take(stream, i));
		else
			cut(stream, held, to);
	}
}
