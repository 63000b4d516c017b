/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Asking
 *
 * A new flow is asked of one filter after the other, and every one must allow.
 * What a filter has said in advance, by rules or by a promise, is not asked; who
 * does not answer in time is not waited for.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/judge/judge.h"

void judge_flow(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict, int provider,
		const char *reason)
{
	flow->is_paused = flow->is_taken = flow->needs_rules = flow->needed_rules = false;
	flow->provider = (int8_t)provider;
	texts_say(daemon->texts, &flow->reason, reason);
	if (verdict == SL_ALLOW && provider >= 0 &&
	    (unsigned int)provider + 1 < daemon->n_filters) {
		flow_table_pass(daemon->flows, flow, (unsigned int)provider + 1);
		judge_ask(daemon, flow);
		return;
	}
	verdict_decide(daemon, flow, verdict);
}

void judge_fail(struct daemon *daemon, struct flow *flow)
{
	const struct filter *filter = &daemon->filters[flow->asked];
	char reason[FLOW_REASON_BYTES];

	flow_set_step(flow, flow->asked, FLOW_FAILED, 0);
	fail_say(filter, FLOW_FAILED, filter->is_closed, reason);
	judge_flow(daemon, flow, filter->is_closed ? SL_REJECT : SL_ALLOW, flow->asked, reason);
}

static void fail_undiverted(struct daemon *daemon, struct flow *flow, const char *why)
{
	const struct filter *filter = &daemon->filters[flow->asked];
	char reason[FLOW_REASON_BYTES];

	flow_set_step(flow, flow->asked, FLOW_FAILED, 0);
	snprintf(reason, sizeof(reason), "%s cannot have it, as %s: fails %s", filter->name, why,
		 filter->is_closed ? "closed" : "open");
	judge_flow(daemon, flow, filter->is_closed ? SL_REJECT : SL_ALLOW, flow->asked, reason);
}

static bool can_take(const struct filter *filter)
{
	return filter->session.state == SESSION_RUNNING && !filter->wants_write;
}

/* its rules are asked again when the host is known */
static void read_for_rules(struct daemon *daemon, struct flow *flow)
{
	flow_set_step(flow, flow->asked, FLOW_RULED, 0);
	if (naming_want(daemon, flow, flow->asked) < 0)
		judge_fail(daemon, flow);
	else
		judge_flow(daemon, flow, SL_ALLOW, flow->asked, NAMING_FOR_RULES);
}

/* a flow that is not for this proxy: what was said of it before stands */
static void pass_by(struct daemon *daemon, struct flow *flow, enum flow_how how)
{
	unsigned int next = flow->asked + 1U;

	flow->is_paused = flow->is_taken = false;
	flow_set_step(flow, flow->asked, how, 0);
	if (next < daemon->n_filters) {
		flow_table_pass(daemon->flows, flow, next);
		judge_ask(daemon, flow);
		return;
	}
	if (daemon->filters[0].is_proxy && flow->provider < 0) /* there is no filter */
		texts_say(daemon->texts, &flow->reason, "no proxy takes it");
	verdict_decide(daemon, flow, SL_ALLOW);
}

void judge_decline(struct daemon *daemon, struct flow *flow)
{
	pass_by(daemon, flow, FLOW_ANSWERED);
}

/* what the rules say; a proxy cannot wait for first bytes */
static int find_rule(struct daemon *daemon, const struct flow *flow,
		     struct memory_answer *ret_answer)
{
	int ruled = ruling_find(daemon, flow, flow->asked, ret_answer);

	return ruled == RULING_E_HOST && daemon->filters[flow->asked].is_proxy ? RULING_E_ASK
									       : ruled;
}

/* Return: have the rules said what is to be done with it? */
static bool is_ruled(struct daemon *daemon, struct flow *flow)
{
	struct filter *filter = &daemon->filters[flow->asked];
	struct memory_answer known;
	int ruled = find_rule(daemon, flow, &known);

	if (ruled == RULING_E_HOST) {
		read_for_rules(daemon, flow);
	} else if (ruled == 0 && filter->is_proxy && known.verdict == SL_ALLOW) {
		pass_by(daemon, flow, FLOW_RULED);
	} else if (ruled == 0) {
		filter->n_dropped += known.verdict != SL_ALLOW;
		flow_set_step(flow, flow->asked, FLOW_RULED, 0);
		judge_flow(daemon, flow, known.verdict, flow->asked, known.reason);
	}
	return ruled == 0 || ruled == RULING_E_HOST;
}

/* Return: it cannot be answered on loopback, where a proxy would have it, or not yet */
static bool is_out_of_reach(struct daemon *daemon, struct flow *flow)
{
	const char *why_not;

	if (divert_is_early(daemon, flow)) {
		flow_table_wait(daemon->flows, flow);
		return true;
	}
	why_not = divert_why_not(daemon, flow);
	if (why_not)
		fail_undiverted(daemon, flow, why_not);
	return why_not != NULL;
}

static bool is_remembered(struct daemon *daemon, struct flow *flow)
{
	struct memory_answer known;

	if (!remember_find(daemon, flow, flow->asked, &known))
		return false;
	flow_set_step(flow, flow->asked, FLOW_REMEMBERED, 0);
	judge_flow(daemon, flow, known.verdict, flow->asked, known.reason);
	return true;
}

void judge_ask(struct daemon *daemon, struct flow *flow)
{
	struct filter *filter = &daemon->filters[flow->asked];

	if (daemon->n_filters == 0) {
		judge_flow(daemon, flow, SL_ALLOW, -1, "no filter");
		return;
	}
	if (filter->is_proxy && !choosing_may(daemon, flow->asked, flow)) {
		pass_by(daemon, flow, FLOW_RULED);
		return;
	}
	if (is_ruled(daemon, flow))
		return;
	if (filter->session.state == SESSION_FAILED) {
		judge_fail(daemon, flow);
		return;
	}
	if ((filter->is_proxy && is_out_of_reach(daemon, flow)) || is_remembered(daemon, flow))
		return;
	/* held; asked when the filter can take it, or its deadline passes */
	if (!can_take(filter) || providers_send_flow(daemon, flow->asked, flow,
						     flow->is_restored || flow->needed_rules) < 0) {
		flow_table_wait(daemon->flows, flow);
		return;
	}
	flow->is_paused = flow->is_taken = flow->needs_rules = false;
	flow_table_ask(daemon->flows, flow);
	flow_set_step(flow, flow->asked, FLOW_ASKED, 0);
	flow->told |= (uint16_t)(1U << flow->asked);
}

/* what waits is asked about, or fails, until the filter can take no more */
void judge_ask_waiting(struct daemon *daemon, unsigned int index, bool anew)
{
	const struct filter *filter = &daemon->filters[index];
	struct flow *flow;

	if (anew)
		flow_table_ask_anew(daemon->flows, index);
	while ((can_take(filter) || filter->session.state == SESSION_FAILED) &&
	       (flow = flow_table_next_waiting(daemon->flows, index))) {
		judge_ask(daemon, flow);
		if (flow_table_next_waiting(daemon->flows, index) == flow)
			break; /* it could not be sent: no memory, or nobody is there */
	}
	explain_ask_waiting(daemon, index, anew);
}

/* Return: true: it waits on, because its filter has said that it answers later */
static bool is_paused(struct daemon *daemon, struct flow *flow, uint64_t now_us)
{
	if (!flow->is_paused)
		return false;
	if (needing_expire(daemon, flow, now_us))
		return true;
	if (flow->is_taken && flow->key.proto != IPPROTO_TCP &&
	    now_us >= flow->held->paused_us + PEEK_PAUSE_US) {
		divert_gone(daemon, flow);
		return true;
	}
	if (flow->key.proto == IPPROTO_TCP || flow->needs_rules ||
	    now_us < flow->held->paused_us + PEEK_PAUSE_US) {
		flow_table_renew(daemon->flows, flow, now_us);
		return true;
	}
	judge_flow(daemon, flow, SL_SILENT, flow->asked, "paused for longer than UDP waits");
	return true;
}

void judge_tick(struct daemon *daemon, uint64_t now_us)
{
	struct flow *flow;

	while ((flow = flow_table_oldest_held(daemon->flows)) &&
	       now_us >= flow->held->deadline_us) {
		char reason[FLOW_REASON_BYTES];
		enum sl_verdict verdict;

		if (is_paused(daemon, flow, now_us))
			continue;
		daemon->n_deadlines++;
		daemon->filters[flow->asked].n_late++;
		flow->provider = (int8_t)fail_late(daemon, flow, flow->asked, &verdict, reason);
		texts_say(daemon->texts, &flow->reason, reason);
		flow_set_step(flow, (unsigned int)flow->provider, FLOW_RULED, 0);
		flow_set_step(flow, flow->asked, FLOW_LATE, 0);
		if (verdict == SL_ALLOW &&
		    naming_want_for_rules(daemon, flow, flow->asked + 1U) < 0 && daemon->is_closed)
			verdict = SL_REJECT;
		verdict_decide(daemon, flow, verdict);
	}
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		judge_ask_waiting(daemon, i, false); /* what could not be sent for want of memory */
	judge_settle(daemon, true);
}
