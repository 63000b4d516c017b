/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Carrying out
 *
 * A verdict is written to sl_flows first and the packets are let go afterwards,
 * so that whatever follows them meets the verdict in the kernel.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/judge/judge.h"
#include "flow/refusal.h"

/* of a raw packet it may not know what is wrong, and then says nothing */
static bool may_ask_kernel(struct daemon *daemon, const struct sl_tuple *tuple)
{
	return tuple->proto == IPPROTO_UDP && refusal_spend(&daemon->refusals, daemon_now_us());
}

static const enum sl_mark refusal_marks[] = { [FLOW_NO_PORT] = SL_MARK_REJECT,
					      [FLOW_NO_NET] = SL_MARK_NO_NET,
					      [FLOW_NO_HOST] = SL_MARK_NO_HOST,
					      [FLOW_NO_RIGHT] = SL_MARK_NO_RIGHT };

/* the gate chain rejects what cannot be refused here, and asks the program again */
void verdict_reject(struct daemon *daemon, const struct sl_tuple *tuple,
		    const struct flow_packet *packet, enum flow_refusal refusal)
{
	uint8_t error[REFUSAL_BYTES];

	if (packet->has_refusal && refusal == FLOW_NO_PORT && !may_ask_kernel(daemon, tuple)) {
		refusal_write(tuple, packet->head, error);
		if (plane_replace(daemon->plane, packet->id,
				  verdict_mark(packet->mark, SL_MARK_NONE), error,
				  sizeof(error)) == 0)
			return;
	}
	(void)plane_answer(daemon->plane, packet->id, QUEUE_ACCEPT,
			   verdict_mark(packet->mark, refusal_marks[refusal]));
}

enum sl_mark verdict_mark_of(const struct flow *flow)
{
	return flow->is_diverted ? SL_MARK_DIVERT : SL_MARK_NONE;
}

/* with its bytes, which nobody has kept, it is held once more. That takes a mark: the kernel has
 * forgotten its socket, if that is closed */
static void look_again(struct daemon *daemon, const struct flow *flow,
		       const struct flow_packet *packet)
{
	bool is_tcp = flow->key.proto == IPPROTO_TCP, is_out = flow->direction == SL_DIR_OUT;

	if (packet->is_empty)
		(void)plane_answer(daemon->plane, packet->id, QUEUE_ACCEPT,
				   verdict_mark(packet->mark, verdict_mark_of(flow)));
	else if (is_tcp && flow->is_gone) /* a SYN with data: there will be no connection */
		(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
	else
		(void)plane_answer(
			daemon->plane, packet->id, QUEUE_AGAIN,
			verdict_mark(packet->mark, is_out ? SL_MARK_AGAIN : SL_MARK_NONE));
}

void verdict_let_go(struct daemon *daemon, const struct flow *flow,
		    const struct flow_packet *packet, enum sl_verdict verdict)
{
	struct sl_tuple tuple;

	switch (verdict) {
	case SL_ALLOW:
		(void)plane_answer(daemon->plane, packet->id, QUEUE_ACCEPT,
				   verdict_mark(packet->mark, verdict_mark_of(flow)));
		break;
	case SL_REJECT:
		tuple = flow_tuple(flow);
		verdict_reject(daemon, &tuple, packet, (enum flow_refusal)flow->refusal);
		break;
	case SL_PEEK:
		look_again(daemon, flow, packet);
		break;
	case SL_SILENT:
	case SL_UNDECIDED:
		(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
		break;
	}
}

static uint16_t flags_of(const struct flow *flow)
{
	return (uint16_t)((flow->is_diverted ? SL_FLOW_DIVERTED : 0) |
			  (flow->is_diverted && flow->is_quiet ? SL_FLOW_QUIET : 0));
}

struct sl_flow verdict_entry(struct daemon *daemon, const struct flow *flow,
			     enum sl_verdict verdict)
{
	struct sl_flow entry = { .tuple = flow_tuple(flow),
				 .dir = flow->direction,
				 .ifindex = flow->side->ifindex };

	(void)plane_get_flow(daemon->plane, &flow->key, &entry);
	entry.id = flow->id;
	entry.verdict = (uint8_t)verdict;
	entry.flags |= flags_of(flow);
	entry.last_ns = daemon_now_us() * 1000;
	order_begin(daemon, &entry);
	return entry;
}

static int put_in_force(struct daemon *daemon, const struct flow *flow, enum sl_verdict verdict)
{
	struct sl_flow entry = { .id = flow->id,
				 .last_ns = daemon_now_us() * 1000,
				 .tuple = flow_tuple(flow),
				 .verdict = (uint8_t)verdict,
				 .flags = flags_of(flow),
				 .dir = flow->direction,
				 .ifindex = flow->side->ifindex };
	int r;

	if (flow->direction == SL_DIR_OUT)
		entry.bytes_out = flow->n_held_bytes;
	else
		entry.bytes_in = flow->n_held_bytes;
	order_begin(daemon, &entry);
	r = plane_set_flow(daemon->plane, &flow->key, &entry);
	if (r < 0)
		log_error("cannot write a verdict to the kernel: %s", strerror(-r));
	return r;
}

static void tell_judged(struct daemon *daemon, struct flow *flow)
{
	daemon->n_total++;
	if (sl_is_denial(flow->verdict))
		daemon->n_dropped++;
	lists_count(daemon, flow);
	records_judged(daemon, flow);
	reports_decided(daemon, flow, REPORT_NEW);
}

/* the kernel knows the verdict: now its packets */
void verdict_carry_out(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict)
{
	struct sl_tuple tuple = flow_tuple(flow);
	bool was_queued;

	if (flow->state != FLOW_HELD)
		return;
	was_queued = !flow->is_remembered || flow->held->n_packets;
	for (unsigned int i = 0; i < flow->held->n_packets; i++)
		verdict_let_go(daemon, flow, &flow->held->packets[i], verdict);
	(void)flow_table_decide(daemon->flows, flow, verdict, daemon_now_us());
	if (verdict == SL_PEEK)
		flow->n_held_bytes = 0;	      /* they are counted when they go */
	if (verdict != SL_PEEK && was_queued) /* its packets go on coming: peeking_end() */
		judge_settled(daemon, &tuple);
	if (sl_is_denial(verdict) && flow->provider >= 0)
		flow->denied_by = (uint16_t)(1U << (unsigned int)flow->provider);
	if (!flow->is_remembered)
		remember_decided(daemon, flow);
	tell_judged(daemon, flow);
	if (flow->is_gone && !peeking_outlives(flow))
		ends_close(daemon, flow);
}

/* Return: 0: it goes on, and is looked at; -ENOENT: nobody wants to; a negative errno */
static int begin_to_look(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict)
{
	return verdict == SL_ALLOW && !daemon->is_ending ? peeking_begin(daemon, flow) : -ENOENT;
}

void verdict_decide(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict)
{
	bool has_socket = flow->is_restored && !flow->is_gone;
	int r = begin_to_look(daemon, flow, verdict);

	if (r == 0)
		return;
	peeking_end(daemon, flow);
	/* what the kernel does not know it would hold, and ask, packet by packet; a denial is
	 * given to each packet all the same */
	if ((put_in_force(daemon, flow, verdict) < 0 || r != -ENOENT) && verdict == SL_ALLOW &&
	    daemon->is_closed) {
		verdict = SL_REJECT;
		flow->is_diverted = false;
		flow->provider = -1;
		texts_say(daemon->texts, &flow->reason,
			  "the kernel did not take the verdict: fails closed");
	}
	flow->n_held_bytes = 0; /* they are in the kernel's entry now */
	verdict_carry_out(daemon, flow, verdict);
	if (has_socket && sl_is_denial(verdict))
		live_end_socket(daemon, flow); /* its connection was made long ago */
}

void judge_take_over(struct daemon *daemon, struct flow *flow)
{
	verdict_carry_out(daemon, flow, SL_ALLOW);
}

void judge_close_all(struct daemon *daemon)
{
	struct flow *flow;

	while ((flow = flow_table_oldest_held(daemon->flows))) {
		texts_say(daemon->texts, &flow->reason,
			  daemon->is_closed ? "Sluice ends: fails closed"
					    : "Sluice ends: fails open");
		flow->provider = -1;
		verdict_decide(daemon, flow, daemon->is_closed ? SL_REJECT : SL_ALLOW);
	}
	ends_close_all(daemon);
}
