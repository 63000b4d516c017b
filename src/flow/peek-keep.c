/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What was shown cannot be changed afterwards
 *
 * What comes in by TCP and is let go may still be lost: the program's TCP discards what is
 * outside its window, has an old timestamp, acknowledges what was never sent, or finds no memory.
 * The other side sends it again then, and may send other bytes. So a packet of which a
 * filter has seen any is kept when it goes, until our own TCP has acknowledged all of it: its
 * receive queue is not changed after that. Meanwhile a copy has to be the same, or is dropped.
 *
 *	0 ........ acked ........ shown .............. known ....
 *	 is there  │ kept, or held │ held, or passed unseen
 *
 * That holds when nobody looks any more: the direction is guarded until everything shown is
 * acknowledged, and sluiced is asked about what overlaps it, but not about the rest.
 *
 * When more is kept than PEEK_HELD_MAX the next packet waits: the acknowledgement comes, or the
 * other side sends what was lost again.
 *
 * What leaves is sent by our own TCP, from one copy of each byte: nothing of it is kept.
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/peek.h"

static bool is_to_be_kept(const struct peek_stream *stream, const struct peek_packet *packet)
{
	return stream->keeps && packet->to > packet->from && packet->from < stream->shown &&
	       stream->acked < MIN(packet->to, stream->shown);
}

bool peek_may_keep(const struct peek_stream *stream, const struct peek_packet *packet)
{
	return stream->n_kept == 0 || !is_to_be_kept(stream, packet) ||
	       (stream->n_kept < PEEK_PACKETS_MAX &&
		stream->n_kept_bytes + (packet->to - packet->from) <= PEEK_HELD_MAX);
}

void peek_keep(struct peek_stream *stream, struct peek_packet *packet)
{
	if (!is_to_be_kept(stream, packet)) {
		free(packet);
		return;
	}
	packet->next = stream->kept;
	stream->kept = packet;
	stream->n_kept++;
	stream->n_kept_bytes += packet->to - packet->from;
}

static void forget_acked(struct peek_stream *stream)
{
	struct peek_packet **at = &stream->kept, *packet;

	while ((packet = *at)) {
		if (is_to_be_kept(stream, packet)) {
			at = &packet->next;
			continue;
		}
		*at = packet->next;
		stream->n_kept--;
		stream->n_kept_bytes -= packet->to - packet->from;
		free(packet);
	}
}

void peek_keep_free(struct peek_stream *stream)
{
	stream->acked = PEEK_ALL;
	forget_acked(stream);
}

/* counted from what is known, as the numbers of packets are */
void peek_ack(struct peek *peek, enum sl_dir dir, uint32_t seq, uint64_t now_us)
{
	struct peek_stream *stream = &peek->streams[dir];
	int64_t at =
		(int64_t)stream->known + (int32_t)(seq - (stream->base + (uint32_t)stream->known));

	if (!stream->keeps || !stream->has_base || at <= (int64_t)stream->acked)
		return;
	stream->acked = (uint64_t)at;
	forget_acked(stream);
	peek_grow(peek, dir, now_us);
}

bool peek_is_guarded(const struct peek *peek, enum sl_dir dir)
{
	const struct peek_stream *stream = &peek->streams[dir];

	return stream->n_copies || (stream->keeps && stream->acked < stream->shown);
}

bool peek_is_acked(const struct peek *peek, enum sl_dir dir)
{
	const struct peek_stream *stream = &peek->streams[dir];

	return !stream->keeps || (stream->acked >= stream->shown && stream->known >= stream->gone);
}

/* ---- after a predecessor ---- */

void peek_go_back(struct peek *peek, enum sl_dir dir, uint32_t seq, bool has_more)
{
	struct peek_stream *stream = &peek->streams[dir];
	int64_t at =
		(int64_t)stream->gone + (int32_t)(seq - (stream->base + (uint32_t)stream->gone));

	if (!stream->keeps || at < 0)
		return;
	if (has_more || at < (int64_t)stream->gone)
		stream->known = stream->acked = (uint64_t)at;
	if (has_more)
		stream->gone = PEEK_ALL;
}

void peek_keep_grow(struct peek_stream *stream)
{
	uint64_t there = MIN(stream->acked, stream->gone);

	if (!stream->keeps)
		return;
	stream->known = MAX(stream->known, there);
	for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++) {
		struct peek_view *view = &stream->views[i];

		if (!view->is_looking || view->is_asked || view->passed >= there)
			continue;
		view->wanted = view->wanted - view->passed > PEEK_ALL - there
				       ? PEEK_ALL
				       : view->wanted - view->passed + there;
		view->passed = there;
		view->seen = MAX(view->seen, there);
	}
}
