/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Where the other side's bytes begin
 *
 * Offsets count from the first byte that the program's TCP reads. Of several handshakes, or
 * answers to one, TCP takes one, and nobody else knows which: it is told when the connection is
 * there (sl_peeks, written by bpf/sockops.bpf.c). Before that a SYN that came in is a guess,
 * because the end of a handshake may carry bytes: the last SYN, until something was shown.
 * What was shown and is not what TCP reads ends the connection.
 */
#include "daemon/judge/judge.h"
#include "flow/packet.h"

/* what is held is of a handshake that was given up; if it was not, its sender repeats it */
static void begin_at(struct daemon *daemon, struct peeking *peeking, uint32_t seq)
{
	struct flow_packet packet;

	while (peek_drop(peeking->core, SL_DIR_IN, &packet) == 0)
		peeking_drop(daemon, &packet);
	peek_begin_at(peeking->core, SL_DIR_IN, seq, 0);
	peeking->flags = UINT32_MAX; /* the kernel has another one */
}

static bool find_begin(struct daemon *daemon, const struct flow *flow, uint32_t *ret_seq)
{
	const struct sl_tuple tuple = flow_tuple(flow);
	struct sl_peek known;

	if (plane_find_peek(daemon->plane, &tuple, &known) < 0 || !known.begin)
		return false;
	*ret_seq = (uint32_t)known.begin;
	return true;
}

static enum peek_fate has_begun(struct daemon *daemon, struct flow *flow, uint32_t seq)
{
	struct peeking_verdict verdict = { .how = FLOW_FAILED,
					   .verdict = SL_REJECT,
					   .reason = "what was shown is not what is read" };
	struct peeking *peeking = flow->peeking;
	const struct peek_stream *in = &peeking->core->streams[SL_DIR_IN];

	peeking->has_begun = true;
	if (in->has_base && in->base == seq)
		return PEEK_HOLD;
	if (!in->has_base || peek_is_untouched(peeking->core, SL_DIR_IN)) {
		begin_at(daemon, peeking, seq);
		return PEEK_HOLD;
	}
	while (verdict.filter + 1 < daemon->n_filters && !peek_looks(peeking->core, verdict.filter))
		verdict.filter++;
	peeking_judge(daemon, flow, &verdict);
	return PEEK_DROP;
}

/* there is no connection: a reset ends an attempt, and what was asked for was not answered */
static enum peek_fate before_begin(const struct flow *flow, const struct packet_view *view,
				   enum sl_dir dir)
{
	if (!view->is_tcp_reset && (dir == SL_DIR_OUT || flow->direction == SL_DIR_IN))
		return PEEK_HOLD;
	return view->n_payload || view->is_tcp_fin ? PEEK_DROP : PEEK_GO;
}

enum peek_fate peeking_see_begin(struct daemon *daemon, struct flow *flow,
				 const struct packet_view *view, enum sl_dir dir)
{
	uint32_t seq;

	if (flow->peeking->has_begun)
		return PEEK_HOLD;
	if (find_begin(daemon, flow, &seq))
		return has_begun(daemon, flow, seq);
	return flow->has_first_seq ? before_begin(flow, view, dir) : PEEK_HOLD;
}

void peeking_begin_anew(struct daemon *daemon, struct flow *flow, const struct packet_view *view)
{
	struct peeking *peeking = flow->peeking;
	uint32_t seq;

	if (flow->direction != SL_DIR_IN || !peek_is_shown(peeking->core, SL_DIR_IN) ||
	    !peek_is_untouched(peeking->core, SL_DIR_IN) || peeking->has_begun ||
	    find_begin(daemon, flow, &seq))
		return;
	begin_at(daemon, peeking, view->tcp_seq);
	peeking_go_on(daemon, peeking);
}
