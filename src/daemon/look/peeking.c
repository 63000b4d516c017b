/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "daemon/judge/judge.h"
#include "flow/packet.h"

static void release(struct daemon *daemon, struct peeking *peeking)
{
	struct flow_packet packet;

	for (int dir = 0; dir < PEEK_DIRS; dir++)
		while (peek_release(peeking->core, (enum sl_dir)dir, &packet) == 0) {
			peeking->n_gone[dir] += packet.n_payload;
			peeking_accept(daemon, peeking->flow, (enum sl_dir)dir, &packet);
		}
	peeking_charge(peeking);
}

/* every filter has let the rest go. What they were shown is guarded until it is acknowledged; all
 * else goes by itself meanwhile */
static void guard(struct daemon *daemon, struct peeking *peeking)
{
	struct flow *flow = peeking->flow;

	if (peeking_tell_kernel(daemon, peeking) < 0) {
		peeking->due_us = daemon_now_us() + TICK_US;
		return;
	}
	release(daemon, peeking);
	if (flow->verdict == SL_ALLOW)
		return;
	flow->verdict = SL_ALLOW;
	records_changed(daemon, flow);
	reports_decided(daemon, flow, REPORT_DATA);
}

static void finish(struct daemon *daemon, struct peeking *peeking)
{
	struct flow *flow = peeking->flow;
	struct flow_packet packet;
	bool is_told = flow->verdict == SL_ALLOW;

	if (peek_is_guarded(peeking->core, SL_DIR_IN) ||
	    peek_is_guarded(peeking->core, SL_DIR_OUT)) {
		guard(daemon, peeking);
		return;
	}
	if (peeking_put(daemon, peeking, SL_ALLOW) <
	    0) { /* it goes on packet by packet until then */
		peeking->due_us = daemon_now_us() + TICK_US;
		return;
	}
	flow->verdict = SL_ALLOW;
	for (int dir = 0; dir < PEEK_DIRS; dir++)
		while (peek_release(peeking->core, (enum sl_dir)dir, &packet) == 0)
			peeking_accept(daemon, flow, (enum sl_dir)dir, &packet);
	peeking_end(daemon, flow);
	if (is_told)
		return;
	records_changed(daemon, flow);
	reports_decided(daemon, flow, REPORT_DATA);
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

static bool has_unsent(struct daemon *daemon, const struct flow *flow)
{
	const struct plane_end end = live_end_of(flow);
	struct plane_count count;

	plane_count(daemon->plane, &end, 1, &count);
	return count.error == 0 && count.n_unsent > 0;
}

/* a filter waits for bytes, and their sender until what is here leaves the machine. A packet of a
 * handshake stays: it would come again late */
static void drop_waiting(struct daemon *daemon, struct peeking *peeking, uint64_t now_us)
{
	struct flow_packet packet;
	uint64_t due_us;
	int r;

	if (!peeking->has_begun)
		return;
	r = peek_is_awaited(peeking->core, SL_DIR_OUT, now_us, &due_us);
	if (r == PEEK_E_NOTHING)
		return;
	if (r == 0 && has_unsent(daemon, peeking->flow)) {
		while (peek_drop_waiting(peeking->core, SL_DIR_OUT, &packet) == 0)
			peeking_drop(daemon, &packet);
		peeking_charge(peeking);
		return;
	}
	peeking->due_us = MIN(peeking->due_us, MAX(due_us, now_us + TICK_US));
}

void peeking_go_on(struct daemon *daemon, struct peeking *peeking)
{
	uint64_t now_us = daemon_now_us();

	peeking_take_acks(daemon, peeking);
	if (peeking_tell_kernel(daemon, peeking) == 0)
		release(daemon, peeking);
	peeking->due_us = UINT64_MAX;
	if (!peek_is_acked(peeking->core, SL_DIR_IN))
		peeking->due_us = now_us + MAX(peeking->ack_wait_us, TICK_US);
	drop_stranded(daemon, peeking, now_us);
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (!peeking_ask(daemon, peeking, i, now_us))
			return;
	drop_waiting(daemon, peeking, now_us);
	if (!peeking_is_looked_at(peeking))
		finish(daemon, peeking);
	else if (peeking_tell_kernel(daemon, peeking) == 0) /* somebody may be out */
		release(daemon, peeking);
	else
		peeking->due_us = now_us + TICK_US;
}

static bool holds_any(const struct peeking *peeking)
{
	const struct peek_stream *streams = peeking->core->streams;

	return peeking->n_queued || streams[SL_DIR_IN].n_kept || streams[SL_DIR_OUT].n_copies;
}

/* this user has too many packets in the queue; or too much memory, with which each flow still goes on
 * packet by packet, and a copy may come again */
static void limit(const struct peeking *peeking, struct peek_segment *segment)
{
	segment->must_not_stay = flow_queued(peeking->flow) >= PEEKING_USER_PACKETS;
	segment->must_not_grow =
		holds_any(peeking) && flow_charged(peeking->flow) + segment->n > PEEKING_USER_BYTES;
}

static void carry(struct daemon *daemon, struct peeking *peeking,
		  const struct peek_segment *segment, enum sl_dir dir)
{
	struct flow_packet other;

	switch (peek_take(peeking->core, dir, segment, daemon_now_us(), &other)) {
	case PEEK_GO:
		peeking->n_gone[dir] += segment->n;
		peeking_accept(daemon, peeking->flow, dir, &segment->packet);
		break;
	case PEEK_LIE:
		daemon->peekings.n_lies++;
		peeking_drop(daemon, &segment->packet);
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

/* Return: PEEK_HOLD: it is to be shown, if it carries anything */
static enum peek_fate look_at_headers(struct daemon *daemon, struct flow *flow,
				      const struct packet_view *view, enum sl_dir dir)
{
	if (view->is_fragment) /* the rest of it would go unseen */
		return PEEK_DROP;
	if (!peeking_is_tcp(flow))
		return PEEK_HOLD;
	if (view->is_tcp_urgent && dir == SL_DIR_IN) /* the program would read other bytes */
		return PEEK_DROP;
	if (!view->is_tcp_ack && view->n_payload) /* no TCP takes it */
		return PEEK_DROP;
	return peeking_see_begin(daemon, flow, view, dir);
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

	switch (look_at_headers(daemon, flow, view, dir)) {
	case PEEK_GO:
		peeking_accept(daemon, flow, dir, packet);
		return;
	case PEEK_DROP:
		peeking_drop(daemon, packet);
		return;
	default:
		break;
	}
	limit(peeking, &segment);
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
	flow->denied_by |= flow_filter_bit(verdict->filter);
	flow->provider = (int8_t)verdict->filter;
	texts_say(daemon->texts, &flow->reason, verdict->reason);
	if (is_fresh(flow->peeking)) {
		live_deny(daemon, flow, verdict->verdict);
		refuse_held(daemon, flow);
	} else {
		flow->was_allowed = true;
		live_deny(daemon, flow, verdict->verdict);
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

void peeking_leave(struct peeking *peeking, unsigned int filter)
{
	peek_leave(peeking->core, filter, daemon_now_us());
	naming_leave(peeking, filter);
	peeking->needs_rules &= (uint16_t)~flow_filter_bit(filter);
	peeking->anew &= (uint16_t)~flow_filter_bit(filter);
	peeking->told_anew &= (uint16_t)~flow_filter_bit(filter);
}

void peeking_judge(struct daemon *daemon, struct flow *flow, const struct peeking_verdict *verdict)
{
	flow_set_step(flow, verdict->filter, verdict->how, 0);
	if (verdict->verdict != SL_ALLOW) {
		deny(daemon, flow, verdict);
		return;
	}
	peeking_leave(flow->peeking, verdict->filter);
	/* it did not decide, or by more than before: people are told why it goes on */
	if (verdict->how != FLOW_ANSWERED || flow->host_reading) {
		flow->provider = (int8_t)verdict->filter;
		texts_say(daemon->texts, &flow->reason, verdict->reason);
	}
	peeking_go_on(daemon, flow->peeking);
}

/* ---- time ---- */

bool peeking_outlives(const struct flow *flow)
{
	return flow->peeking && !peeking_is_tcp(flow);
}

/* Its socket is closed. What that has sent is in the queue by now, also what meets the rules again: it
 * has been read when the queue was empty since. Not later, as another socket may have these ends, and
 * is not known while this one is */
static bool is_over(struct daemon *daemon, struct peeking *peeking)
{
	const struct flow *flow = peeking->flow;
	struct space *space;

	if (!flow->is_gone || peeking->core->streams[SL_DIR_OUT].n > 0)
		return false;
	space = netns_space(daemon, flow->side->netns);
	if (!space || peeking->n_emptied)
		return !space || peeking->n_emptied != space->n_emptied + 1;
	peeking->n_emptied = space->n_emptied + 1;
	space->has_settled = true; /* so that it is read */
	return false;
}

void peeking_tick(struct daemon *daemon, uint64_t now_us)
{
	struct peeking *peeking = daemon->peekings.first, *next;

	for (; peeking; peeking = next) {
		next = peeking->next; /* only this one can end by it */
		if (is_over(daemon, peeking))
			ends_close(daemon, peeking->flow);
		else if (now_us >= peeking->due_us)
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
		if (peeking->naming.deadline_us) /* longer than it would have had, if it is newer */
			peeking->naming.deadline_us += us;
	}
}
