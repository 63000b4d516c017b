/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What filters are shown, and what they say of it
 *
 * A question that cannot be put, because the filter's channel is full or its process is
 * away, waits as a flow does that is to be asked about: for its deadline. A process
 * that was started again is told of the flow first (FLOW_NEW, again).
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/judge/judge.h"
#include "wire/channel.h"

static bool can_take(const struct filter *filter)
{
	return filter->session.state == SESSION_RUNNING && !filter->wants_write &&
	       filter->sock >= 0;
}

static void be_due(struct peeking *peeking, uint64_t due_us)
{
	peeking->due_us = MIN(peeking->due_us, due_us);
}

/* Return: does the flow go on being looked at? */
static bool fail(struct daemon *daemon, struct peeking *peeking, unsigned int index,
		 enum flow_how how)
{
	struct filter *filter = &daemon->filters[index];
	struct flow *flow = peeking->flow;
	char reason[FLOW_REASON_BYTES];
	struct peeking_verdict verdict = { index, how, filter->is_closed ? SL_REJECT : SL_ALLOW,
					   reason };

	filter->n_late += how == FLOW_LATE;
	daemon->n_deadlines += how == FLOW_LATE;
	fail_say(filter, how, filter->is_closed, reason);
	peeking_judge(daemon, flow, &verdict);
	return false; /* peeking_judge() has gone on with it, if it could */
}

static bool expire(struct daemon *daemon, struct peeking *peeking, unsigned int index)
{
	const struct peeking_verdict verdict = { index, FLOW_LATE, SL_SILENT,
						 "paused for longer than UDP waits" };

	peeking_judge(daemon, peeking->flow, &verdict);
	return false;
}

/* it has until then to be able to take it */
static bool wait_for(struct daemon *daemon, struct peeking *peeking, unsigned int index,
		     uint64_t now_us)
{
	if (!peeking->waits_us[index])
		peeking->waits_us[index] = now_us;
	if (now_us >= peeking->waits_us[index] + FLOW_DEADLINE_US)
		return fail(daemon, peeking, index, FLOW_LATE);
	be_due(peeking, peeking->waits_us[index] + FLOW_DEADLINE_US);
	return true;
}

static int show(struct daemon *daemon, const struct peeking *peeking, unsigned int index,
		enum sl_dir dir, const struct peek_question *question)
{
	struct filter *filter = &daemon->filters[index];
	struct wire_flow_data record = { .id = peeking->flow->id,
					 .direction = dir == SL_DIR_IN,
					 .end = question->is_end,
					 .most = question->is_clamped ? PEEK_BYTES_MAX : 0,
					 .offset = question->offset };
	int r;

	peek_copy(peeking->core, dir, question, daemon->peekings.shown);
	r = channel_send(filter->sock, &wire_provider_channel, WIRE_FLOW_DATA, &record,
			 daemon->peekings.shown, question->n, -1);
	if (r == -EAGAIN)
		providers_set_events(filter, true);
	if (r == 0)
		session_asked(&filter->session);
	return r;
}

static bool ask_direction(struct daemon *daemon, struct peeking *peeking, unsigned int index,
			  enum sl_dir dir, uint64_t now_us)
{
	struct peek_question question;

	switch (peek_next(peeking->core, index, dir, now_us, &question)) {
	case PEEK_E_WAIT:
		be_due(peeking, question.due_us);
		return true;
	case PEEK_E_LATE:
		return fail(daemon, peeking, index, FLOW_LATE);
	case PEEK_E_EXPIRED:
		return expire(daemon, peeking, index);
	case 0:
		break;
	default:
		return true;
	}
	if (!can_take(&daemon->filters[index]) || show(daemon, peeking, index, dir, &question) < 0)
		return wait_for(daemon, peeking, index, now_us);
	peek_asked(peeking->core, index, dir, &question, now_us);
	peeking->waits_us[index] = 0;
	be_due(peeking, now_us + FLOW_DEADLINE_US);
	return true;
}

static bool wait_for_rules(struct daemon *daemon, struct peeking *peeking, unsigned int index,
			   uint64_t now_us)
{
	uint64_t due_us;

	if (needing_is_late(peeking->flow, index, now_us, &due_us))
		return fail(daemon, peeking, index, FLOW_LATE);
	be_due(peeking, due_us);
	return true;
}

bool peeking_tells_anew(const struct flow *flow, unsigned int filter)
{
	const struct peeking *peeking = flow->peeking;

	return peeking && (peeking->anew | peeking->told_anew) & flow_filter_bit(filter);
}

static bool tell_anew(struct daemon *daemon, struct peeking *peeking, unsigned int index,
		      uint64_t now_us)
{
	if (peeking->anew & flow_filter_bit(index) && can_take(&daemon->filters[index]) &&
	    providers_send_flow(daemon, index, peeking->flow, true) == 0) {
		peeking->anew &= (uint16_t)~flow_filter_bit(index);
		peeking->told_anew |= flow_filter_bit(index);
		peeking->flow->told |= flow_filter_bit(index);
		peeking->waits_us[index] = now_us;
	}
	return wait_for(daemon, peeking, index, now_us);
}

bool peeking_ask(struct daemon *daemon, struct peeking *peeking, unsigned int index,
		 uint64_t now_us)
{
	if (!peek_looks(peeking->core, index))
		return true;
	if (naming_waits(peeking->flow, index) && !naming_read(daemon, peeking, index, now_us))
		return true;
	if (naming_judge(daemon, peeking, index))
		return false;
	if (daemon->filters[index].session.state == SESSION_FAILED)
		return fail(daemon, peeking, index, FLOW_FAILED);
	if (needing_waits(peeking->flow, index))
		return wait_for_rules(daemon, peeking, index, now_us);
	if (peeking_tells_anew(peeking->flow, index))
		return tell_anew(daemon, peeking, index, now_us);
	return ask_direction(daemon, peeking, index, SL_DIR_OUT, now_us) &&
	       ask_direction(daemon, peeking, index, SL_DIR_IN, now_us);
}

static void tell_successor(struct peeking *peeking, unsigned int filter)
{
	if (!peek_looks(peeking->core, filter) || naming_waits(peeking->flow, filter))
		return;
	peek_ask_anew(peeking->core, filter);
	peeking->anew |= flow_filter_bit(filter);
	peeking->needs_rules &= (uint16_t)~flow_filter_bit(filter);
	peeking->told_anew &= (uint16_t)~flow_filter_bit(filter);
	peeking->waits_us[filter] = 0;
	peeking->due_us = 0;
}

void peeking_lost(struct daemon *daemon, unsigned int filter)
{
	struct peeking *peeking = daemon->peekings.first;
	struct flow *flow = flow_table_oldest_held(daemon->flows);

	for (; peeking; peeking = peeking->next)
		tell_successor(peeking, filter);
	for (; flow; flow = flow_next(flow)) /* at another filter: it begins later */
		if (flow->peeking)
			tell_successor(flow->peeking, filter);
}

void peeking_ask_waiting(struct daemon *daemon, unsigned int filter)
{
	struct peeking *peeking = daemon->peekings.first, *next;

	for (; peeking; peeking = next) {
		next = peeking->next;
		if (peeking->waits_us[filter] || peeking->anew & flow_filter_bit(filter))
			peeking_go_on(daemon, peeking);
	}
}

/* ---- what they say ---- */

static void say_clamped(struct filter *filter, const struct wire_flow_peek *peek)
{
	uint64_t most = MAX(peek->outbound ? peek->peek_out : 0, peek->inbound ? peek->peek_in : 0);

	if (most <= PEEK_BYTES_MAX || filter->is_clamp_told)
		return;
	filter->is_clamp_told = true;
	log_warning("filter %s wants to see %llu bytes at once: it is shown %u at most",
		    filter->name, (unsigned long long)most, PEEK_BYTES_MAX);
}

/* it waited for the name, and what comes in was not held for it meanwhile */
static bool has_missed(const struct peeking *peeking, unsigned int index,
		       const struct wire_flow_peek *peek)
{
	return peek->inbound && peeking->naming.to_answer & flow_filter_bit(index) &&
	       (!(peeking->may & SL_PEEK_IN) || peeking->core->streams[SL_DIR_IN].gone > 0);
}

static void fail_missed(struct daemon *daemon, struct peeking *peeking, unsigned int index)
{
	const struct filter *filter = &daemon->filters[index];
	char reason[FLOW_REASON_BYTES];
	struct peeking_verdict verdict = { index, FLOW_FAILED,
					   filter->is_closed ? SL_REJECT : SL_ALLOW, reason };

	snprintf(reason, sizeof(reason), "%s wants to see what has come in: fails %s", filter->name,
		 filter->is_closed ? "closed" : "open");
	peeking_judge(daemon, peeking->flow, &verdict);
}

/* asked about again while another filter has it: nothing has gone, so it may look */
static bool look_while_held(struct daemon *daemon, unsigned int index, struct flow *flow,
			    const struct wire_flow_peek *peek)
{
	if (!rejudge_answered(&daemon->filters[index].rejudge, flow->id))
		return false;
	if (naming_waits(flow, index)) /* an answer of before */
		return true;
	if (flow->peeking)
		peek_look_anew(flow->peeking->core, index);
	if (peeking_add(daemon, flow, index, peek) < 0)
		live_fail(daemon, index, flow);
	live_ask_more(daemon, index);
	return true;
}

/* of a flow that has begun: asked about again, or the process is another one and looks again */
static bool look_again(struct daemon *daemon, unsigned int index, struct flow *flow,
		       const struct wire_flow_peek *peek)
{
	struct peeking *peeking = flow->peeking;

	if (flow->state == FLOW_HELD)
		return look_while_held(daemon, index, flow, peek);
	if (!peeking)
		return false;
	if (!(peeking->told_anew & flow_filter_bit(index)))
		return peek_looks(peeking->core, index) &&
		       rejudge_answered(&daemon->filters[index].rejudge, peek->id);
	peeking->told_anew &= (uint16_t)~flow_filter_bit(index);
	peeking->waits_us[index] = 0;
	peeking_keep_let_go(peeking);
	peek_look_anew(peeking->core, index);
	if (has_missed(peeking, index, peek)) {
		fail_missed(daemon, peeking, index);
		return true;
	}
	naming_leave(peeking, index);
	if (peeking_add(daemon, flow, index, peek) < 0 || peeking_hold(daemon, flow) < 0)
		(void)fail(daemon, peeking, index, FLOW_FAILED);
	else
		peeking_go_on(daemon, peeking);
	return true;
}

/* asked about a flow that goes on, or only supposed: it is not denied so far */
static bool take_as_allowed(struct daemon *daemon, unsigned int index,
			    const struct wire_flow_peek *peek, const struct flow *flow)
{
	struct wire_flow_verdict answer = { .id = peek->id };

	text_copy(answer.reason, sizeof(answer.reason), peek->reason);
	if (!flow)
		return explain_take(daemon, index, &answer);
	return live_answer(daemon, index, peek->id, SL_ALLOW, MEMORY_FLOW, answer.reason);
}

int peeking_take_peek(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_flow_peek *peek = WIRE_BODY(message, struct wire_flow_peek);
	struct filter *filter = &daemon->filters[index];
	struct flow *flow = flow_table_find_id(daemon->flows, peek->id);

	if (!filter->looks || (!peek->outbound && !peek->inbound))
		return -EPROTO;
	say_clamped(filter, peek);
	if (flow && look_again(daemon, index, flow, peek))
		return 0;
	if (!flow_is_asked(flow, index)) {
		filter->n_late += !take_as_allowed(daemon, index, peek, flow);
		return 0;
	}
	flow_set_step(flow, index, FLOW_ANSWERED, 0);
	if (peeking_add(daemon, flow, index, peek) < 0)
		judge_fail(daemon, flow);
	else
		judge_flow(daemon, flow, SL_ALLOW, (int)index, peek->reason);
	return 0;
}

static struct peeking *find(struct daemon *daemon, uint64_t id)
{
	const struct flow *flow = flow_table_find_id(daemon->flows, id);

	return flow && flow->peeking && flow->peeking->is_begun ? flow->peeking : NULL;
}

int peeking_take_pass(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_flow_pass *pass = WIRE_BODY(message, struct wire_flow_pass);
	struct peeking *peeking = find(daemon, pass->id);
	enum sl_dir dir = pass->direction ? SL_DIR_IN : SL_DIR_OUT;
	struct filter *filter = &daemon->filters[index];

	if (!peeking || naming_waits(peeking->flow, index) ||
	    peek_pass(peeking->core, index, dir, pass->pass, pass->peek, daemon_now_us())) {
		filter->n_late++;
		return 0;
	}
	if (pass->pass)
		providers_answered(filter);
	peeking_go_on(daemon, peeking);
	return 0;
}

static bool pause_held(struct flow *flow, unsigned int index, bool is_pause)
{
	if (!flow || flow->state != FLOW_HELD || flow->asked != index || !flow->is_sent ||
	    flow->is_paused == is_pause || flow->needs_rules)
		return false;
	flow->is_paused = is_pause;
	flow->held->paused_us = daemon_now_us();
	return true;
}

int peeking_take_pause(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message)
{
	const struct wire_flow_pause *pause = WIRE_BODY(message, struct wire_flow_pause);
	struct peeking *peeking = find(daemon, pause->id);
	struct flow *flow = flow_table_find_id(daemon->flows, pause->id);
	bool is_good;

	if (naming_waits(flow, index) || needing_waits(flow, index))
		is_good = false;
	else if (peeking)
		is_good = (pause->pause ? peek_pause(peeking->core, index, daemon_now_us())
					: peek_resume(peeking->core, index, daemon_now_us())) == 0;
	else
		is_good = pause_held(flow, index, pause->pause);
	if (!is_good) {
		daemon->filters[index].n_late++;
		log_warning("filter %s %s a flow that %s", daemon->filters[index].name,
			    pause->pause ? "pauses" : "resumes",
			    pause->pause ? "it is not asked about, or has paused"
					 : "is not paused");
	}
	if (peeking && is_good)
		peeking_go_on(daemon, peeking);
	else if (is_good && !pause->pause)
		flow_table_renew(daemon->flows, flow, daemon_now_us());
	return 0;
}

bool peeking_take_verdict(struct daemon *daemon, unsigned int index,
			  const struct wire_flow_verdict *answer)
{
	struct peeking *peeking = find(daemon, answer->id);
	const struct peeking_verdict verdict = { index, FLOW_ANSWERED,
						 providers_verdict(answer->verdict),
						 answer->reason };

	if (!peeking || !peek_looks(peeking->core, index) || naming_waits(peeking->flow, index) ||
	    peeking->core->paused & flow_filter_bit(index) ||
	    !(peeking->told_anew & flow_filter_bit(index) ||
	      peek_has_question(peeking->core, index)))
		return false;
	if (peeking->told_anew & flow_filter_bit(index))
		remember_answer(daemon, peeking->flow, index, (enum memory_scope)answer->scope,
				verdict.verdict, answer->reason);
	daemon->filters[index].n_dropped += verdict.verdict != SL_ALLOW;
	peeking_judge(daemon, peeking->flow, &verdict);
	return true;
}
