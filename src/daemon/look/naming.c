/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "daemon/judge/judge.h"
#include "daemon/look/naming.h"

/* ---- who needs it ---- */

static bool is_readable(const struct flow *flow)
{
	return flow->direction == SL_DIR_OUT && flow->host_reading == FLOW_UNREAD &&
	       (flow->key.proto == IPPROTO_TCP || flow->key.proto == IPPROTO_UDP);
}

/* bytes that were let go cannot be read any more; of a flow that goes on they are there while some
 * filter looks at them */
static bool has_first_bytes(const struct flow *flow)
{
	const struct peeking *peeking = flow->peeking;

	if (!peeking)
		return flow->state == FLOW_HELD;
	if (peeking->core->streams[SL_DIR_OUT].gone > 0)
		return false;
	return peeking->is_begun ? peek_is_shown(peeking->core, SL_DIR_OUT)
				 : (peeking->may & SL_PEEK_OUT) != 0;
}

/* what FLOW_NEW says follows from it, so that a FLOW_NAME which comes of that is taken */
static bool is_possible(const struct flow *flow)
{
	return is_readable(flow) && has_first_bytes(flow);
}

static bool is_sure(struct daemon *daemon, const struct flow *flow)
{
	struct names_name names[2];
	struct sl_app app;
	size_t n;

	if (!flow->host[0] || !flow->side->identity)
		return false;
	app = sl_app_of(&flow->side->identity->who, flow->side->netns);
	n = names_all(daemon->names, &app, flow->key.raddr, daemon_now_us(), names,
		      ARRAY_SIZE(names));
	/* one that is explained has the name that somebody says, which would come beside this one */
	return n == 0 ||
	       (n == 1 && !(flow->is_hypothetical && strcmp(names[0].name, flow->host) != 0));
}

bool naming_may_help(struct daemon *daemon, const struct flow *flow)
{
	if (!is_possible(flow))
		return false;
	if (flow->peeking && flow->peeking->naming.waiting)
		return true;
	return !daemon->is_ending && daemon->names_session.state != SESSION_FAILED &&
	       !is_sure(daemon, flow);
}

/* it has no question meanwhile: what it was told or shown it is told again, with the name */
static void void_questions(struct peeking *peeking, unsigned int filter)
{
	peek_ask_anew(peeking->core, filter);
	peeking->anew &= (uint16_t)~flow_filter_bit(filter);
	peeking->told_anew &= (uint16_t)~flow_filter_bit(filter);
	peeking->waits_us[filter] = 0;
}

int naming_want(struct daemon *daemon, struct flow *flow, unsigned int filter)
{
	static const struct wire_flow_peek all_that_leaves = { .outbound = 1 };
	int r = peeking_add(daemon, flow, filter, &all_that_leaves);

	if (r < 0)
		return r;
	void_questions(flow->peeking, filter);
	flow->peeking->naming.waiting |= flow_filter_bit(filter);
	flow->peeking->due_us = 0;
	return 0;
}

int naming_want_for_rules(struct daemon *daemon, struct flow *flow, unsigned int filter)
{
	struct memory_answer answer;
	int r = 0;

	for (; filter < daemon->n_filters && r == 0; filter++)
		if (ruling_find(daemon, flow, filter, &answer) == RULING_E_HOST)
			r = naming_want(daemon, flow, filter);
	return r;
}

bool naming_waits(const struct flow *flow, unsigned int filter)
{
	return flow && flow->peeking && flow->peeking->naming.waiting & flow_filter_bit(filter);
}

/* its bytes went while it was asked: its question stands, and it is told that they were not read */
static bool say_too_late(struct daemon *daemon, unsigned int index, struct flow *flow)
{
	if (!is_readable(flow))
		return false;
	flow->host_reading = FLOW_UNREADABLE;
	(void)providers_send_flow(daemon, index, flow, true); /* else its deadline decides */
	return true;
}

/* of a flow that it was asked about again. Return: false: it was not */
static bool take_wish_again(struct daemon *daemon, unsigned int index, struct flow *flow)
{
	struct rejudge *rejudge = &daemon->filters[index].rejudge;
	bool is_told = flow->peeking && flow->peeking->told_anew & flow_filter_bit(index);

	if (!is_told && !rejudge_is_asked(rejudge, flow->id))
		return false;
	if (!is_possible(flow))
		return say_too_late(daemon, index, flow);
	(void)rejudge_answered(rejudge, flow->id);
	if (naming_want(daemon, flow, index) < 0)
		live_fail(daemon, index, flow);
	live_ask_more(daemon, index);
	return true;
}

int naming_take_wish(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_flow_name *wish = WIRE_BODY(message, struct wire_flow_name);
	struct flow *flow = flow_table_find_id(daemon->flows, wish->id);

	if (!flow && explain_take_wish(daemon, index, wish->id))
		return 0;
	if (!flow_is_asked(flow, index) || !is_possible(flow)) {
		if (!flow || !take_wish_again(daemon, index, flow))
			daemon->filters[index].n_late++; /* no answer to what it was asked */
		return 0;
	}
	flow_set_step(flow, index, FLOW_ANSWERED, 0);
	if (naming_want(daemon, flow, index) < 0)
		judge_fail(daemon, flow);
	else
		judge_flow(daemon, flow, SL_ALLOW, (int)index, wish->reason);
	return 0;
}

/* ---- it was read ---- */

/* there is no memory for its name: without it it would be judged as another one */
static void fail(const struct filter *filter, struct peeking_verdict *verdict,
		 char reason[FLOW_REASON_BYTES])
{
	fail_say(filter, FLOW_FAILED, filter->is_closed, reason);
	verdict->how = FLOW_FAILED;
	verdict->verdict = filter->is_closed ? SL_REJECT : SL_ALLOW;
	verdict->reason = reason;
}

static bool is_answered_for(struct daemon *daemon, const struct flow *flow, unsigned int filter,
			    struct peeking_verdict *verdict)
{
	struct memory_answer known;

	verdict->how = FLOW_RULED;
	if (ruling_find(daemon, flow, filter, &known)) {
		verdict->how = FLOW_REMEMBERED;
		if (!remember_find(daemon, flow, filter, &known))
			return false;
	}
	verdict->verdict = known.verdict;
	verdict->reason = known.reason;
	return true;
}

bool naming_judge(struct daemon *daemon, struct peeking *peeking, unsigned int filter)
{
	struct peeking_verdict verdict = { .filter = filter };
	char reason[FLOW_REASON_BYTES];

	if (!(peeking->naming.to_judge & flow_filter_bit(filter)))
		return false;
	peeking->naming.to_judge &= (uint16_t)~flow_filter_bit(filter);
	if (peeking->naming.is_forgotten) {
		fail(&daemon->filters[filter], &verdict, reason);
	} else if (!is_answered_for(daemon, peeking->flow, filter, &verdict)) {
		peeking->anew |= flow_filter_bit(filter);
		peeking->naming.to_answer |= flow_filter_bit(filter);
		return false;
	}
	daemon->filters[filter].n_dropped += verdict.verdict != SL_ALLOW;
	peeking_judge(daemon, peeking->flow, &verdict);
	return true;
}

void naming_leave(struct peeking *peeking, unsigned int filter)
{
	peeking->naming.waiting &= (uint16_t)~flow_filter_bit(filter);
	peeking->naming.to_judge &= (uint16_t)~flow_filter_bit(filter);
	peeking->naming.to_answer &= (uint16_t)~flow_filter_bit(filter);
}
