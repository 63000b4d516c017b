/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Flows that go on
 *
 * A filter may change its mind about a flow (FLOW_UPDATE), or about all of them
 * (FLOW_FORGET with `again`): then it is asked again, at the pace of
 * flow/rejudge.h. A flow that is allowed no more is cut: the denial is in
 * sl_flows first, so that nothing of it leaves from there on, and then the
 * kernel destroys its socket, if that has no other conversation. Every filter
 * must allow: who denies is noted for each flow, and only when nobody does any
 * more a denial is forgotten. The flow's next packet is a new flow then, and
 * every filter is asked, because those behind the one that denied never were.
 *
 * When its static rules change (ruling.c), two walks begin: by one the rules judge
 * all open flows, whatever its process does meanwhile; by the other the process is
 * asked about those that no rule decides.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/judge/judge.h"

#define WALK_US 4000U /* of a round: long lists, and addresses with many names */

static void put_denial(struct daemon *daemon, const struct flow *flow, enum sl_verdict verdict)
{
	const struct sl_flow entry = verdict_entry(daemon, flow, verdict);
	int r = plane_set_flow(daemon->plane, &flow->key, &entry);

	if (r == 0)
		return;
	log_error("cannot write a denial to the kernel: %s", strerror(-r));
	(void)plane_forget_flow(daemon->plane, &flow->key); /* held and asked at its next packet */
}

struct plane_end live_end_of(const struct flow *flow)
{
	return (struct plane_end){ .cookie = flow->key.cookie,
				   .tuple = flow_tuple(flow),
				   .ifindex = flow->side->ifindex,
				   .is_inbound = flow->direction == SL_DIR_IN };
}

bool live_was_cut(const struct daemon *daemon, const struct sl_flow_key *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemon->cut); i++)
		if (memcmp(&daemon->cut[i], key, sizeof(*key)) == 0)
			return true;
	return false;
}

void live_end_socket(struct daemon *daemon, const struct flow *flow)
{
	const struct plane_end end = live_end_of(flow);
	int r;

	if (flow->key.proto != IPPROTO_TCP && flow->key.proto != IPPROTO_UDP)
		return; /* its next packet meets the denial */
	if (flow->key.proto == IPPROTO_TCP && flow->direction == SL_DIR_OUT)
		daemon->cut[daemon->n_cut++ % CUT_MAX] = flow->key;
	r = plane_destroy(daemon->plane, &end);
	if (r == 0 || flow->key.proto != IPPROTO_TCP)
		return;
	if (r != -ENOENT)
		log_line(LOG_NOTICE, "cannot end a connection at once: %s; its next packet does",
			 strerror(-r));
	(void)plane_hold_again(daemon->plane, flow->key.cookie);
}

void live_deny(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict)
{
	put_denial(daemon, flow, verdict);
	flow->verdict = (uint8_t)verdict;
	daemon->n_dropped++;
	lists_count(daemon, flow);
	records_changed(daemon, flow);
	reports_decided(daemon, flow, REPORT_DATA);
}

static void cut(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict)
{
	flow->was_allowed = true;
	live_deny(daemon, flow, verdict);
	live_end_socket(daemon, flow);
}

/** struct opinion - what a filter says of a flow now, and how that came */
struct opinion {
	unsigned int filter;
	enum flow_how how;
	enum sl_verdict verdict;
	const char *reason;
};

static void say_who(struct daemon *daemon, struct flow *flow, const struct opinion *opinion)
{
	flow->provider = (int8_t)opinion->filter;
	flow_set_step(flow, opinion->filter, opinion->how, 0);
	texts_say(daemon->texts, &flow->reason, opinion->reason);
}

/* what it promised for flows like this one is not what it says of this one */
static void keep_promise(struct daemon *daemon, const struct flow *flow, unsigned int filter,
			 enum sl_verdict verdict)
{
	struct memory_answer promised;

	if (remember_find(daemon, flow, filter, &promised) && promised.verdict != verdict)
		remember_forget(daemon, filter);
}

static void judge_open_flow(struct daemon *daemon, struct flow *flow, const struct opinion *opinion)
{
	switch (flow_judge_again(flow, opinion->filter, opinion->verdict)) {
	case FLOW_CUT:
		say_who(daemon, flow, opinion);
		cut(daemon, flow, opinion->verdict);
		break;
	case FLOW_RELEASED:
		say_who(daemon, flow, opinion);
		ends_close(daemon, flow);
		break;
	case FLOW_KEEPS:
		remember_decided(daemon, flow); /* the kernel may allow the next one again */
		break;
	}
}

static void change(struct daemon *daemon, struct flow *flow, const struct opinion *opinion)
{
	const struct peeking_verdict looked = { opinion->filter, opinion->how, opinion->verdict,
						opinion->reason };

	if (flow->state == FLOW_OPEN && flow->peeking) {
		peeking_judge(daemon, flow, &looked);
	} else if (flow->state == FLOW_OPEN) {
		judge_open_flow(daemon, flow, opinion);
	} else if (flow->asked == opinion->filter || opinion->verdict != SL_ALLOW) {
		/* held, and behind its turn: it has allowed it before */
		flow_set_step(flow, opinion->filter, opinion->how,
			      opinion->how == FLOW_ANSWERED ? flow_scope(flow, opinion->filter)
							    : 0);
		judge_flow(daemon, flow, opinion->verdict, (int)opinion->filter, opinion->reason);
	} else if (flow->peeking) { /* it wanted to look, or the name: this is its last word */
		peeking_leave(flow->peeking, opinion->filter);
	}
}

bool live_update(struct daemon *daemon, unsigned int filter, uint64_t id, enum sl_verdict verdict,
		 const char *reason)
{
	struct flow *flow = flow_table_find_id(daemon->flows, id);
	const struct opinion opinion = { filter, FLOW_ANSWERED, verdict, reason };

	if (!flow || !(flow->told & flow_filter_bit(filter)) ||
	    (flow->state == FLOW_HELD && flow->asked < filter))
		return false;
	keep_promise(daemon, flow, filter, verdict);
	change(daemon, flow, &opinion);
	return true;
}

void live_fail(struct daemon *daemon, unsigned int index, struct flow *flow)
{
	const struct filter *filter = &daemon->filters[index];
	char reason[FLOW_REASON_BYTES];

	fail_say(filter, FLOW_FAILED, filter->is_closed, reason);
	change(daemon, flow,
	       &(struct opinion){ index, FLOW_FAILED, filter->is_closed ? SL_REJECT : SL_ALLOW,
				  reason });
}

/* ---- judging again ---- */

/* Return: false when its channel is full */
static bool ask_again(struct daemon *daemon, unsigned int index, struct flow *flow)
{
	struct filter *filter = &daemon->filters[index];

	if (providers_send_flow(daemon, index, flow, true) < 0)
		return false;
	flow->told |= (uint16_t)(1U << index);
	rejudge_asked(&filter->rejudge, flow, daemon_now_us());
	return true;
}

void live_ask_more(struct daemon *daemon, unsigned int index)
{
	struct filter *filter = &daemon->filters[index];
	uint64_t until_us = daemon_now_us() + WALK_US;
	unsigned int looks = REJUDGE_LOOKS;
	struct flow *flow;

	if (filter->session.state != SESSION_RUNNING || filter->wants_write)
		return;
	while (daemon_now_us() < until_us &&
	       rejudge_next(&filter->rejudge, daemon->flows, index, &looks, &flow) == 0) {
		struct memory_answer ruled;

		/* by rules, when it has been read, or by another process: then it is asked anyway */
		if (naming_waits(flow, index) || peeking_tells_anew(flow, index) ||
		    ruling_find(daemon, flow, index, &ruled) != RULING_E_ASK)
			rejudge_passed(&filter->rejudge);
		else if (!ask_again(daemon, index, flow))
			return;
	}
}

static void have_it_read(struct daemon *daemon, unsigned int index, struct flow *flow)
{
	if (naming_waits(flow, index))
		return;
	if (naming_want(daemon, flow, index) < 0)
		live_fail(daemon, index, flow);
	else if (flow->state == FLOW_HELD && flow->asked == index)
		change(daemon, flow,
		       &(struct opinion){ index, FLOW_RULED, SL_ALLOW, NAMING_FOR_RULES });
}

static void rule(struct daemon *daemon, unsigned int index, struct flow *flow)
{
	struct memory_answer ruled;

	switch (ruling_find(daemon, flow, index, &ruled)) {
	case 0:
		change(daemon, flow,
		       &(struct opinion){ index, FLOW_RULED, ruled.verdict, ruled.reason });
		break;
	case RULING_E_HOST:
		have_it_read(daemon, index, flow);
		break;
	default:
		break;
	}
}

static void rule_more(struct daemon *daemon, unsigned int index)
{
	struct rejudge *rejudge = &daemon->filters[index].ruling.rejudge;
	uint64_t until_us = daemon_now_us() + WALK_US;
	unsigned int looks = REJUDGE_LOOKS;
	struct flow *flow;

	while (daemon_now_us() < until_us &&
	       rejudge_next(rejudge, daemon->flows, index, &looks, &flow) == 0) {
		rejudge_passed(rejudge);
		rule(daemon, index, flow);
	}
}

/* not at once: what the kernel has allowed by the promises of before is told by then */
void live_rejudge(struct daemon *daemon, unsigned int index)
{
	daemon->filters[index].rejudge_us = daemon_now_us() + TICK_US;
}

void live_rules_changed(struct daemon *daemon, unsigned int index)
{
	live_rejudge(daemon, index);
	daemon->filters[index].ruling.rejudge_us = daemon->filters[index].rejudge_us;
}

bool live_answer(struct daemon *daemon, unsigned int index, uint64_t id, enum sl_verdict verdict,
		 enum memory_scope scope, const char *reason)
{
	const struct opinion opinion = { index, FLOW_ANSWERED, verdict, reason };
	struct flow *flow;

	if (!rejudge_answered(&daemon->filters[index].rejudge, id))
		return false;
	flow = flow_table_find_id(daemon->flows, id);
	/* what it allowed before it waits for the name is no answer; what it denied is one */
	if (flow && (verdict != SL_ALLOW || !naming_waits(flow, index))) {
		remember_answer(daemon, flow, index, scope, verdict, reason);
		change(daemon, flow, &opinion);
	}
	live_ask_more(daemon, index);
	return true;
}

/* it is asked anew when it is back */
void live_lost(struct daemon *daemon, unsigned int index)
{
	if (rejudge_stop(&daemon->filters[index].rejudge))
		live_rejudge(daemon, index);
}

void live_tick(struct daemon *daemon, uint64_t now_us)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		struct filter *filter = &daemon->filters[i];
		struct ruling *ruling = &filter->ruling;

		filter->n_late += rejudge_expire(&filter->rejudge, now_us);
		if (filter->rejudge_us && daemon->wants_renew) /* they are still in force */
			live_rejudge(daemon, i);
		if (ruling->rejudge_us && daemon->wants_renew)
			live_rules_changed(daemon, i);
		if (ruling->rejudge_us && now_us >= ruling->rejudge_us) {
			ruling->rejudge_us = 0;
			ruling->rejudge.is_by_rules = true;
			rejudge_begin(&ruling->rejudge, daemon->flows);
		}
		rule_more(daemon, i);
		if (filter->rejudge_us && now_us >= filter->rejudge_us &&
		    filter->session.state == SESSION_RUNNING) {
			filter->rejudge_us = 0;
			rejudge_begin(&filter->rejudge, daemon->flows);
		}
		live_ask_more(daemon, i);
	}
}
