/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/judge.h"
#include "flow/packet.h"

#define AHEAD (1ULL << 30) /* passed in advance: so much of it is told to the kernel */

static bool is_tcp(const struct flow *flow)
{
	return flow->key.proto == IPPROTO_TCP;
}

int peeking_prepare(struct daemon *daemon)
{
	int r;

	if (!daemon->peekings.shown)
		daemon->peekings.shown = malloc(PEEK_SHOWN_MAX);
	if (!daemon->peekings.shown)
		return -ENOMEM;
	r = plane_peek(daemon->plane);
	if (r < 0)
		log_error("what comes in cannot be held for filters: %s", strerror(-r));
	daemon->peekings.has_rule = r == 0;
	return r;
}

/* ---- begin and end ---- */

static int make(struct flow *flow)
{
	struct peeking *peeking;

	if (flow->peeking)
		return 0;
	peeking = calloc(1, sizeof(*peeking));
	if (!peeking)
		return -ENOMEM;
	peeking->core = peek_new(is_tcp(flow));
	if (!peeking->core) {
		free(peeking);
		return -ENOMEM;
	}
	peeking->flow = flow;
	peeking->due_us = UINT64_MAX;
	flow->peeking = peeking;
	return 0;
}

int peeking_add(struct daemon *daemon, struct flow *flow, unsigned int filter,
		const struct wire_flow_peek *wanted)
{
	int r = make(flow);

	if (r < 0)
		return r;
	if (wanted->inbound && is_tcp(flow) && !daemon->peekings.has_rule)
		return -EOPNOTSUPP;
	if (wanted->outbound)
		peek_look(flow->peeking->core, filter, SL_DIR_OUT, wanted->peek_out);
	if (wanted->inbound)
		peek_look(flow->peeking->core, filter, SL_DIR_IN, wanted->peek_in);
	return 0;
}

static bool is_looked_at(const struct peeking *peeking)
{
	return peek_is_shown(peeking->core, SL_DIR_OUT) || peek_is_shown(peeking->core, SL_DIR_IN);
}

static uint32_t flags_of(const struct peek *core)
{
	return (peek_is_shown(core, SL_DIR_OUT) ? SL_PEEK_OUT : 0U) |
	       (peek_is_shown(core, SL_DIR_IN) ? SL_PEEK_IN : 0U) |
	       (core->streams[SL_DIR_OUT].has_base ? SL_PEEK_BASE_OUT : 0U) |
	       (core->streams[SL_DIR_IN].has_base ? SL_PEEK_BASE_IN : 0U);
}

void peeking_count(const struct flow *flow, struct sl_flow *entry)
{
	if (!flow->peeking || is_tcp(flow))
		return;
	entry->bytes_out += flow->peeking->n_gone[SL_DIR_OUT];
	entry->bytes_in += flow->peeking->n_gone[SL_DIR_IN];
}

static int put(struct daemon *daemon, struct peeking *peeking, enum sl_verdict verdict)
{
	const struct flow *flow = peeking->flow;
	const struct peek *core = peeking->core;
	struct sl_flow entry = { .tuple = flow->tuple, .dir = flow->direction };
	int r;

	(void)plane_get_flow(daemon->plane, &flow->key, &entry); /* keep what it has counted */
	entry.id = flow->id;
	entry.verdict = verdict;
	entry.last_ns = daemon_now_us() * 1000;
	entry.peek = peeking->flags;
	for (int dir = 0; dir < PEEK_DIRS; dir++) {
		entry.base[dir] = core->streams[dir].base;
		entry.passed[dir] = peeking->passed[dir];
	}
	peeking_count(flow, &entry);
	r = plane_set_flow(daemon->plane, &flow->key, &entry);
	if (r == 0)
		memset(peeking->n_gone, 0, sizeof(peeking->n_gone));
	else
		log_error("cannot write what is looked at to the kernel: %s", strerror(-r));
	return r;
}

static uint64_t passed_of(const struct peeking *peeking, enum sl_dir dir)
{
	uint64_t passed = peek_passed(peeking->core, dir), before = peeking->passed[dir];
	uint64_t known = peeking->core->streams[dir].known;

	if (passed == PEEK_ALL) /* nobody looks there */
		return before;
	if (passed > known + AHEAD) /* sequence numbers go around */
		passed = before > known + AHEAD / 2 ? before : known + AHEAD;
	return MAX(passed, before);
}

/* before packets are let go */
static int tell_kernel(struct daemon *daemon, struct peeking *peeking)
{
	uint64_t out = passed_of(peeking, SL_DIR_OUT), in = passed_of(peeking, SL_DIR_IN);
	uint32_t flags = flags_of(peeking->core);

	if (out == peeking->passed[SL_DIR_OUT] && in == peeking->passed[SL_DIR_IN] &&
	    flags == peeking->flags)
		return 0;
	peeking->passed[SL_DIR_OUT] = out;
	peeking->passed[SL_DIR_IN] = in;
	peeking->flags = flags;
	if (put(daemon, peeking, SL_PEEK) == 0)
		return 0;
	peeking->flags = UINT32_MAX; /* once more */
	return -EAGAIN;
}

static void charge(struct peeking *peeking)
{
	const struct peek_stream *streams = peeking->core->streams;
	size_t bytes = 0;

	for (int dir = 0; dir < PEEK_DIRS; dir++)
		bytes += streams[dir].n_bytes + streams[dir].n * PEEKING_PACKET_BYTES;
	flow_charge(peeking->flow, (ssize_t)bytes - (ssize_t)peeking->charged);
	peeking->charged = bytes;
}

static void accept_packet(struct daemon *daemon, const struct flow_packet *packet)
{
	(void)plane_answer(daemon->plane, packet->id, QUEUE_ACCEPT,
			   verdict_mark(packet->mark, SL_MARK_NONE));
}

static void drop_packet(struct daemon *daemon, const struct flow_packet *packet)
{
	(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
}

static void link_in(struct daemon *daemon, struct peeking *peeking)
{
	peeking->next = daemon->peekings.first;
	if (peeking->next)
		peeking->next->previous = peeking;
	daemon->peekings.first = peeking;
	daemon->peekings.n++;
	peeking->is_begun = true;
}

static void take_out(struct daemon *daemon, struct peeking *peeking)
{
	if (!peeking->is_begun)
		return;
	if (peeking->next)
		peeking->next->previous = peeking->previous;
	if (peeking->previous)
		peeking->previous->next = peeking->next;
	else
		daemon->peekings.first = peeking->next;
	daemon->peekings.n--;
}

void peeking_end(struct daemon *daemon, struct flow *flow)
{
	struct peeking *peeking = flow->peeking;
	struct flow_packet packet;

	if (!peeking)
		return;
	for (int dir = 0; dir < PEEK_DIRS; dir++)
		while (peek_drop(peeking->core, (enum sl_dir)dir, &packet) == 0)
			drop_packet(daemon, &packet);
	charge(peeking);
	if (is_tcp(flow) && (peeking->is_begun || flow->is_restored))
		(void)plane_forget_peek(daemon->plane, &flow->tuple);
	take_out(daemon, peeking);
	peek_free(peeking->core);
	free(peeking);
	flow->peeking = NULL;
}

static int put_peek(struct daemon *daemon, struct flow *flow)
{
	bool is_incoming_held = is_tcp(flow) && peek_is_shown(flow->peeking->core, SL_DIR_IN);
	int r = tell_kernel(daemon, flow->peeking);

	if (r == 0 && is_incoming_held)
		r = plane_set_peek(daemon->plane, &flow->tuple, flow->key.cookie);
	return r;
}

int peeking_begin(struct daemon *daemon, struct flow *flow)
{
	struct peeking *peeking = flow->peeking;
	int r;

	if (!peeking || !is_looked_at(peeking))
		return -ENOENT;
	if (flow->has_first_seq)
		peek_begin_at(peeking->core, flow->direction, flow->first_seq, 0);
	r = put_peek(daemon, flow);
	if (r < 0)
		return r;
	link_in(daemon, peeking);
	verdict_carry_out(daemon, flow, SL_PEEK);
	return 0;
}

/* every filter has let the rest go */
static void finish(struct daemon *daemon, struct peeking *peeking)
{
	struct flow *flow = peeking->flow;
	struct flow_packet packet;

	if (put(daemon, peeking, SL_ALLOW) < 0) { /* it goes on packet by packet until then */
		peeking->due_us = daemon_now_us() + TICK_US;
		return;
	}
	flow->verdict = SL_ALLOW;
	for (int dir = 0; dir < PEEK_DIRS; dir++)
		while (peek_release(peeking->core, (enum sl_dir)dir, &packet) == 0)
			accept_packet(daemon, &packet);
	peeking_end(daemon, flow);
	records_changed(daemon, flow);
}

/* ---- packets ---- */

static void release(struct daemon *daemon, struct peeking *peeking)
{
	struct flow_packet packet;

	for (int dir = 0; dir < PEEK_DIRS; dir++)
		while (peek_release(peeking->core, (enum sl_dir)dir, &packet) == 0) {
			peeking->n_gone[dir] += packet.n_payload;
			accept_packet(daemon, &packet);
		}
	charge(peeking);
}

void peeking_go_on(struct daemon *daemon, struct peeking *peeking)
{
	uint64_t now_us = daemon_now_us();

	if (tell_kernel(daemon, peeking) == 0)
		release(daemon, peeking);
	peeking->due_us = UINT64_MAX;
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (!peeking_ask(daemon, peeking, i, now_us))
			return;
	if (!is_looked_at(peeking))
		finish(daemon, peeking);
	else if (tell_kernel(daemon, peeking) == 0) /* somebody may be out */
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
		accept_packet(daemon, &segment->packet);
		break;
	case PEEK_DROP:
		drop_packet(daemon, &segment->packet);
		break;
	case PEEK_HOLD_INSTEAD:
		drop_packet(daemon, &other);
		break;
	case PEEK_HOLD:
		break;
	}
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

	if (view->is_fragment) { /* the rest of it would go unseen */
		drop_packet(daemon, packet);
		return;
	}
	if (view->is_tcp_syn && !peeking->core->streams[dir].has_base)
		peek_begin_at(peeking->core, dir, view->tcp_seq, 0);
	carry(daemon, peeking, &segment, dir);
	judge_settled(daemon, &flow->tuple);
	peeking_go_on(daemon, peeking);
}

/* ---- what a filter has decided ---- */

/* nothing of it has gone: the program is told as if it had been refused at once */
static bool is_fresh(const struct peeking *peeking)
{
	return !is_tcp(peeking->flow) && peeking->core->streams[SL_DIR_OUT].gone == 0 &&
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
	flow->provider = (int)verdict->filter;
	text_copy(flow->reason, sizeof(flow->reason), verdict->reason);
	if (is_fresh(flow->peeking)) {
		live_deny(daemon, flow, verdict->verdict);
		refuse_held(daemon, flow);
	} else {
		live_deny(daemon, flow, verdict->verdict);
		flow->was_allowed = true;
		live_end_socket(daemon, flow);
	}
	peeking_end(daemon, flow);
	judge_settled(daemon, &flow->tuple);
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
		text_copy(flow->reason, sizeof(flow->reason), verdict->reason);
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

/* what is held is for a successor, or nobody */
void peeking_close(struct daemon *daemon)
{
	while (daemon->peekings.first) {
		struct peeking *peeking = daemon->peekings.first;

		daemon->peekings.first = peeking->next;
		peeking->flow->peeking = NULL;
		peek_free(peeking->core);
		free(peeking);
	}
	free(daemon->peekings.shown);
	daemon->peekings.shown = NULL;
}

/* ---- after a predecessor ---- */

int peeking_restore(struct daemon *daemon, struct flow *flow, const struct sl_flow *entry)
{
	int r = make(flow);

	if (r < 0)
		return r;
	for (int dir = 0; dir < PEEK_DIRS; dir++) {
		uint32_t has_base = dir == SL_DIR_OUT ? SL_PEEK_BASE_OUT : SL_PEEK_BASE_IN;

		if (entry->peek & has_base)
			peek_begin_at(flow->peeking->core, (enum sl_dir)dir, entry->base[dir],
				      entry->passed[dir]);
		flow->peeking->passed[dir] = entry->passed[dir];
	}
	flow->is_restored = true;
	return 0;
}
