/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Flows for which a filter needs other rules first
 *
 * A filter's process is confined: what it judges by is brought by others, such as its lists
 * by `sluice run` or `serve`, or found out by a part of it that is busy with it. So it may
 * answer FLOW_NEED_RULES: the flow, or what was shown of it, is held as in a pause, and the
 * filter's owner is told. When the filter says that its rules have changed (FLOW_FORGET), or
 * a set of static rules is in force that is another one, or its process has been started
 * again, the flow is judged by the rules, or asked about once more. That is all of them
 * at the next tick, however often they change until then.
 *
 * After NEEDING_US the fail class decides: a pause of TCP may last, as it is the filter's
 * own wish; here it depends on others, who may never come. A second FLOW_NEED_RULES before
 * any change would never get another answer: it is refused, and the filter is told.
 */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/judge/judge.h"

#define NEEDING_US 10000000U /* the time that a paused flow of UDP has as well */

static const char late[] = "the rules that it needs did not come in time";

static void refuse(struct daemon *daemon, unsigned int index, uint64_t id, int error,
		   const char *text)
{
	struct filter *filter = &daemon->filters[index];
	struct wire_flow_refused record = { .id = id, .error = (uint32_t)error };

	filter->n_late++;
	text_copy(record.text, sizeof(record.text), text);
	(void)providers_say(filter, WIRE_FLOW_REFUSED, &record, -1); /* or its question expires */
}

static void tell_owner(struct filter *filter, const char *reason)
{
	char text[sizeof(filter->message)];

	snprintf(text, sizeof(text), "flows wait for its rules%s%s", reason[0] ? ": " : "", reason);
	log_clean(filter->message, sizeof(filter->message), text);
	if (!filter->needs_rules)
		output_say(filter, LOG_NOTICE, text);
	filter->needs_rules = true;
}

/* ---- flows that are held ---- */

static void hold(struct daemon *daemon, struct flow *flow)
{
	uint64_t now_us = daemon_now_us();

	if (!flow->needed_rules) /* the time is that of all attempts */
		flow->held->paused_us = now_us;
	flow->is_paused = flow->needs_rules = flow->needed_rules = true;
	flow_table_renew(daemon->flows, flow, now_us);
}

bool needing_expire(struct daemon *daemon, struct flow *flow, uint64_t now_us)
{
	struct filter *filter = &daemon->filters[flow->asked];
	char reason[FLOW_REASON_BYTES];

	if (!flow->needs_rules || now_us < flow->held->paused_us + NEEDING_US)
		return false;
	daemon->n_deadlines++;
	filter->n_late++;
	flow_set_step(flow, flow->asked, FLOW_LATE, 0);
	snprintf(reason, sizeof(reason), "%s: fails %s", late,
		 filter->is_closed ? "closed" : "open");
	judge_flow(daemon, flow, filter->is_closed ? SL_REJECT : SL_ALLOW, flow->asked, reason);
	return true;
}

static void ask_held(struct daemon *daemon, unsigned int index)
{
	struct flow *flow = flow_table_oldest_held(daemon->flows), *next;

	for (; flow; flow = next) {
		next = flow_next(flow);
		if (flow->asked != index || !flow->needs_rules)
			continue;
		flow->is_paused = flow->needs_rules = false;
		flow_table_pass(daemon->flows, flow, index); /* its turn is a new one */
		flow_table_renew(daemon->flows, flow, daemon_now_us());
		judge_ask(daemon, flow);
	}
}

/* ---- flows that are looked at ---- */

bool needing_waits(const struct flow *flow, unsigned int filter)
{
	return flow && flow->peeking && flow->peeking->needs_rules & flow_filter_bit(filter);
}

bool needing_is_late(const struct flow *flow, unsigned int filter, uint64_t now_us,
		     uint64_t *ret_due_us)
{
	*ret_due_us = flow->peeking->core->paused_us[filter] + NEEDING_US;
	return now_us >= *ret_due_us;
}

static bool hold_bytes(struct daemon *daemon, unsigned int index, struct flow *flow)
{
	struct peeking *peeking = flow ? flow->peeking : NULL;

	if (!peeking || !peeking->is_begun || naming_waits(flow, index) ||
	    peek_pause(peeking->core, index, daemon_now_us()))
		return false;
	peeking->needs_rules |= flow_filter_bit(index);
	peeking_go_on(daemon, peeking);
	return true;
}

/* what it was shown is shown once more, with what has come since */
static void show_again(struct daemon *daemon, unsigned int index)
{
	struct peeking *peeking = daemon->peekings.first, *next;

	for (; peeking; peeking = next) {
		next = peeking->next; /* only this one can end by it */
		if (!(peeking->needs_rules & flow_filter_bit(index)))
			continue;
		peeking->needs_rules &= (uint16_t)~flow_filter_bit(index);
		peek_ask_anew(peeking->core, index);
		peeking_go_on(daemon, peeking);
	}
}

/* ---- what the filter says ---- */

/* supposed alone: nobody knows what rules will come, so that it is as if none did */
static bool take_explanation(struct daemon *daemon, unsigned int index,
			     const struct wire_flow_need_rules *need)
{
	bool is_closed = daemon->filters[index].is_closed;
	struct wire_flow_verdict answer = { .id = need->id, .verdict = is_closed };

	snprintf(answer.reason, sizeof(answer.reason), "needs rules first; without: fails %s",
		 is_closed ? "closed" : "open");
	return explain_take(daemon, index, &answer);
}

int needing_take(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_flow_need_rules *need = WIRE_BODY(message, struct wire_flow_need_rules);
	struct flow *flow = flow_table_find_id(daemon->flows, need->id);
	struct filter *filter = &daemon->filters[index];

	if (!flow) {
		filter->n_late += !take_explanation(daemon, index, need);
		return 0;
	}
	if (flow_is_asked(flow, index)) {
		hold(daemon, flow);
	} else if (!hold_bytes(daemon, index, flow)) {
		/* it goes on with its verdict, and the rules that come ask again if they like */
		if (rejudge_answered(&filter->rejudge, need->id))
			live_ask_more(daemon, index);
		else if ((flow->needs_rules && flow->asked == index) || needing_waits(flow, index))
			refuse(daemon, index, need->id, EALREADY,
			       "it waits for rules, and they have not changed since");
		else
			refuse(daemon, index, need->id, EINVAL, "nobody has asked about it");
		return 0;
	}
	tell_owner(filter, need->reason);
	return 0;
}

void needing_rules_changed(struct daemon *daemon, unsigned int index)
{
	daemon->filters[index].has_rules = daemon->filters[index].needs_rules;
}

void needing_tick(struct daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		struct filter *filter = &daemon->filters[i];

		if (!filter->has_rules)
			continue;
		filter->has_rules = filter->needs_rules = false;
		ask_held(daemon, i);
		show_again(daemon, i);
	}
}

size_t needing_count(struct daemon *daemon, unsigned int index)
{
	struct flow *flow = flow_table_oldest_held(daemon->flows);
	struct peeking *peeking = daemon->peekings.first;
	size_t n = 0;

	for (; flow; flow = flow_next(flow))
		n += flow->needs_rules && flow->asked == index;
	for (; peeking; peeking = peeking->next)
		n += needing_waits(peeking->flow, index);
	return n;
}
