/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "daemon/judge.h"
#include "flow/packet.h"

/* every filter has let the rest go */
static void finish(struct daemon *daemon, struct peeking *peeking)
{
	struct flow *flow = peeking->flow;
	struct flow_packet packet;

	if (peeking_put(daemon, peeking, SL_ALLOW) <
	    0) { /* it goes on packet by packet until then */
		peeking->due_us = daemon_now_us() + TICK_US;
		return;
	}
	flow->verdict = SL_ALLOW;
	for (int dir = 0; dir < PEEK_DIRS; dir++)
		while (peek_release(peeking->core, (enum sl_dir)dir, &packet) == 0)
			peeking_accept(daemon, &packet);
	peeking_end(daemon, flow);
	records_changed(daemon, flow);
}

static void release(struct daemon *daemon, struct peeking *peeking)
{
	struct flow_packet packet;

	for (int dir = 0; dir < PEEK_DIRS; dir++)
		while (peek_release(peeking->core, (enum sl_dir)dir, &packet) == 0) {
			peeking->n_gone[dir] += packet.n_payload;
			peeking_accept(daemon, &packet);
		}
	peeking_charge(peeking);
}

static void drop_stranded(struct daemon *daemon, struct peeking *peeking, uint64_t now_us)
{
	struct flow_packet packet;
	uint64_t due_us;
	int r = 0;

	for (int dir = 0; dir < PEEK_DIRS; dir++) {
		while ((r = peek_drop_stranded(peeking->core, (enum sl_dir)dir, now_us, &packet,
					       &due_us)) == 0)
			peeking_drop(daemon, &packet);
		if (r == PEEK_E_WAIT)
			peeking->due_us = MIN(peeking->due_us, due_us);
	}
	peeking_charge(peeking);
}

void peeking_go_on(struct daemon *daemon, struct peeking *peeking)
{
	uint64_t now_us = daemon_now_us();

	if (peeking_tell_kernel(daemon, peeking) == 0)
		release(daemon, peeking);
	peeking->due_us = UINT64_MAX;
	drop_stranded(daemon, peeking, now_us);
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (!peeking_ask(daemon, peeking, i, now_us))
			return;
	if (!peeking_is_looked_at(peeking))
		finish(daemon, peeking);
	else if (peeking_tell_kernel(daemon, peeking) == 0) /* somebody may be out */
		release(daemon, peeking);
	else
		peeking->due_us = now_us + TICK_US;
}

/* more is held of this user than others could want to wait for */
static bool is_too_much(const struct peeking *peeking, const struct peek_segment *segment)
{
	return peeking->charged > 0 &&
	       flow_charged(peeking->flow) + segment->n > PEEKING_USER_BYTES;
}

static void carry(struct daemon *daemon, struct peeking *peeking,
		  const struct peek_segment *segment, enum sl_dir dir)
{
	struct flow_packet other;
	enum peek_fate fate = is_too_much(peeking, segment) ? PEEK_DROP
							    : peek_take(peeking->core, dir, segment,
									daemon_now_us(), &other);

	switch (fate) {
	case PEEK_GO:
		peeking->n_gone[dir] += segment->n;
		peeking_accept(daemon, &segment->packet);
		break;
	case PEEK_DROP:
		peeking_drop(daemon, &segment->packet);
		break;
	case PEEK_HOLD_INSTEAD:
		peeking_drop(daemon, &other);
		break;
	case PEEK_HOLD:
		break;
	}
}

/*
 * What answers our SYN says where the other side begins, and only that does: another base,
 * and its bytes would be taken for some that went before. Return: PEEK_HOLD: it is, or was, said;
 * else what becomes of a packet that the program's TCP does not take either
 */
static enum peek_fate see_answer(struct flow *flow, const struct packet_view *view, enum sl_dir dir)
{
	struct peek *core = flow->peeking->core;
	const struct peek_stream *asked = &core->streams[SL_DIR_OUT];

	if (dir == SL_DIR_OUT || flow->direction == SL_DIR_IN || !flow->has_first_seq ||
	    core->streams[dir].has_base)
		return PEEK_HOLD;
	if (!view->is_tcp_syn || !view->is_tcp_ack ||
	    (uint32_t)(view->tcp_ack - asked->base) > asked->gone)
		return view->n_payload || view->is_tcp_fin ? PEEK_DROP : PEEK_GO;
	peek_begin_at(core, dir, view->tcp_seq, 0);
	return PEEK_HOLD;
}

/* Return: PEEK_HOLD: it is to be shown, if it carries anything */
static enum peek_fate look_at_headers(struct flow *flow, const struct packet_view *view,
				      enum sl_dir dir)
{
	if (view->is_fragment) /* the rest of it would go unseen */
		return PEEK_DROP;
	if (!peeking_is_tcp(flow))
		return PEEK_HOLD;
	if (!view->is_tcp_ack && view->n_payload) /* no TCP takes it */
		return PEEK_DROP;
	return see_answer(flow, view, dir);
}

void peeking_packet(struct daemon *daemon, struct flow *flow, const struct packet_view *view,
		    const struct flow_packet *packet, bool is_inbound)
{
	struct peeking *peeking = flow->peeking;
	struct peek_segment segment = { .packet = *packet,
					.seq = view->tcp_seq,
					.is_fin = view->is_tcp_fin,
					.is_reset = view->is_tcp_reset,
					.bytes = view->payload,
					.n = view->n_payload };
	enum sl_dir dir = is_inbound ? SL_DIR_IN : SL_DIR_OUT;

	switch (look_at_headers(flow, view, dir)) {
	case PEEK_GO:
		peeking_accept(daemon, packet);
		return;
	case PEEK_DROP:
		peeking_drop(daemon, packet);
		return;
	default:
		break;
	}
	if (view->is_tcp_syn && !peeking->core->streams[dir].has_base)
		peek_begin_at(peeking->core, dir, view->tcp_seq, 0);
	carry(daemon, peeking, &segment, dir);
	peeking_go_on(daemon, peeking);
}

/* ---- what a filter has decided ---- */

/* nothing of it has gone: the program is told as if it had been refused at once */
static bool is_fresh(const struct peeking *peeking)
{
	return !peeking_is_tcp(peeking->flow) && peeking->core->streams[SL_DIR_OUT].gone == 0 &&
	       peeking->core->streams[SL_DIR_IN].gone == 0;
}

static void refuse_held(struct daemon *daemon, struct flow *flow)
{
	struct flow_packet packet;

	while (peek_drop(flow->peeking->core, SL_DIR_OUT, &packet) == 0)
		verdict_let_go(daemon, flow, &packet, (enum sl_verdict)flow->verdict);
}

static void deny(struct daemon *daemon, struct flow *flow, const struct peeking_verdict *verdict)
{
	flow->denied_by |= (uint16_t)(1U << verdict->filter);
	flow->provider = (int8_t)verdict->filter;
	texts_say(daemon->texts, &flow->reason, verdict->reason);
	if (is_fresh(flow->peeking)) {
		live_deny(daemon, flow, verdict->verdict);
		refuse_held(daemon, flow);
	} else {
		live_deny(daemon, flow, verdict->verdict);
		flow->was_allowed = true;
		live_end_socket(daemon, flow);
	}
	peeking_end(daemon, flow);
}

void peeking_evict(struct daemon *daemon, struct flow *flow)
{
	struct peeking_verdict verdict = { .how = FLOW_FAILED,
					   .verdict = SL_REJECT,
					   .reason = "its user has too many flows" };

	if (!daemon->is_closed || !flow->peeking->is_begun || !peeking_is_looked_at(flow->peeking))
		return;
	while (!peek_looks(flow->peeking->core, verdict.filter))
		verdict.filter++;
	deny(daemon, flow, &verdict);
}

void peeking_judge(struct daemon *daemon, struct flow *flow, const struct peeking_verdict *verdict)
{
	flow->steps[verdict->filter] = (struct flow_step){ .how = (uint8_t)verdict->how };
	if (verdict->verdict != SL_ALLOW) {
		deny(daemon, flow, verdict);
		return;
	}
	peek_leave(flow->peeking->core, verdict->filter, daemon_now_us());
	flow->peeking->anew &= (uint16_t) ~(1U << verdict->filter);
	flow->peeking->told_anew &= (uint16_t) ~(1U << verdict->filter);
	if (verdict->how != FLOW_ANSWERED) /* it did not decide: people are told why it goes on */
		texts_say(daemon->texts, &flow->reason, verdict->reason);
	peeking_go_on(daemon, flow->peeking);
}

/* ---- time ---- */

void peeking_tick(struct daemon *daemon, uint64_t now_us)
{
	struct peeking *peeking = daemon->peekings.first, *next;

	for (; peeking; peeking = next) {
		next = peeking->next; /* only this one can end by it */
		if (now_us >= peeking->due_us)
			peeking_go_on(daemon, peeking);
	}
}

void peeking_postpone(struct daemon *daemon, uint64_t before_us, uint64_t us)
{
	struct peeking *peeking = daemon->peekings.first;

	for (; peeking; peeking = peeking->next) {
		peek_postpone(peeking->core, before_us, us);
		for (unsigned int i = 0; i < daemon->n_filters; i++)
			if (peeking->waits_us[i] && peeking->waits_us[i] <= before_us)
				peeking->waits_us[i] += us;
	}
}
