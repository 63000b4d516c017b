/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Explaining
 *
 * What would become of a flow? Filters are asked, with a FLOW_NEW like any
 * other: they cannot tell that no packet waits for their answer, so what they
 * say is what they would say. The flow is in no table. It has an id of its own,
 * a deadline and the fail classes of every flow, but it is neither counted nor
 * recorded, and what is said of it is not remembered.
 *
 * Beside a real flow, where one filter is asked after the other, all are asked
 * at once, so that each one's own answer can be shown; which one decides is
 * then found in their order, with the time they would have taken one after the
 * other (conclude()).
 *
 * Where first bytes would be read for their host (naming.h) there are none: what the caller says that
 * they name is taken for it, else that they name nobody. Each filter that would wait for it is asked
 * as it would be then, the others as at the first packet (set_reading()).
 *
 * Who the program is, is said by the caller, who is root or the owner of the
 * instance: sluiced itself cannot look into /proc of others.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "control/flow-json.h"
#include "control/json-message.h"
#include "daemon/tell/explain.h"

#define ADDRESSES_MAX 32U

static void cleanup_explanation(struct explanation **explanation)
{
	*explanation = explanation_free(*explanation);
}

/* ---- the conclusion ---- */

static void fall_to_fail_class(struct daemon *daemon, struct why_answer *answer, unsigned int index,
			       enum flow_how how, bool is_closed)
{
	answer->how = (uint8_t)how;
	answer->verdict = is_closed ? SL_REJECT : SL_ALLOW;
	fail_say(&daemon->filters[index], how, is_closed, answer->reason);
}

/* Return: the filter that decides */
static unsigned int be_late(struct daemon *daemon, struct explanation *explanation, unsigned int i)
{
	char reason[FLOW_REASON_BYTES];
	enum sl_verdict verdict;
	unsigned int by = fail_late(daemon, &explanation->flow, i, &verdict, reason);

	fall_to_fail_class(daemon, &explanation->why.answers[i], i, FLOW_LATE,
			   by == i && verdict != SL_ALLOW);
	return by;
}

/* as naming.c leaves it, before and after */
static void set_reading(struct explanation *explanation, bool is_read)
{
	struct flow *flow = &explanation->flow;
	bool is_named = is_read && explanation->said[0];
	enum flow_host source = flow->key.proto == IPPROTO_TCP ? FLOW_HOST_TLS : FLOW_HOST_QUIC;

	flow->host_reading = is_read ? FLOW_READ : FLOW_UNREAD;
	flow->host = is_named ? explanation->said : explanation->host;
	flow->host_source = (uint8_t)(is_named ? source : explanation->host_source);
}

static bool reads_any(const struct daemon *daemon, const struct explanation *explanation)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (explanation->why.answers[i].reads)
			return true;
	return false;
}

/* as asking.c would: in their order, each must allow, all within one deadline. Return: who decides */
static struct why_answer *ask_in_turn(struct daemon *daemon, struct explanation *explanation,
				      bool reads, uint64_t *elapsed_us)
{
	struct why_answer *answers = explanation->why.answers, *answer = NULL;
	bool is_late = false;

	for (unsigned int i = 0; i < daemon->n_filters && !is_late; i++) {
		if (answers[i].reads != reads)
			continue;
		if (answer && daemon->filters[i].is_proxy && answers[i].verdict == SL_ALLOW)
			continue; /* what was said before stands */
		answer = &answers[i];
		*elapsed_us += answer->took_us;
		is_late = answer->verdict == SL_UNDECIDED || *elapsed_us >= FLOW_DEADLINE_US;
		if (is_late)
			answer = &answers[be_late(daemon, explanation, i)];
		if (answer->verdict != SL_ALLOW)
			break;
	}
	return answer;
}

/* nothing is read of a flow that somebody denies at its first packet */
static struct why_answer *find_decider(struct daemon *daemon, struct explanation *explanation,
				       uint64_t *elapsed_us)
{
	struct why_answer *first = ask_in_turn(daemon, explanation, false, elapsed_us), *last;

	if (!first || first->verdict == SL_ALLOW) {
		last = ask_in_turn(daemon, explanation, true, elapsed_us);
		return last ? last : first;
	}
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		explanation->why.answers[i].reads = false;
	set_reading(explanation, false);
	return first;
}

static void conclude(struct daemon *daemon, struct explanation *explanation)
{
	struct why_answer *answers = explanation->why.answers, *answer;
	struct flow *flow = &explanation->flow;
	uint64_t elapsed_us = 0;

	answer = find_decider(daemon, explanation, &elapsed_us);
	if (answer)
		flow->provider = (int8_t)(answer - answers);
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (answers[i].verdict == SL_UNDECIDED)
			fall_to_fail_class(daemon, &answers[i], i, FLOW_LATE,
					   daemon->filters[i].is_closed);
	flow->verdict = answer ? answer->verdict : SL_ALLOW;
	text_copy(explanation->reason, sizeof(explanation->reason),
		  answer ? answer->reason : "no filter");
	flow->decided_us = flow->opened_us + elapsed_us;
	flow->state = FLOW_OPEN;
}

static struct explanation **place_of(struct daemon *daemon, const struct explanation *explanation)
{
	struct explanation **at = &daemon->explanations;

	while (*at != explanation)
		at = &(*at)->next;
	return at;
}

static void finish(struct daemon *daemon, struct explanation *explanation)
{
	*place_of(daemon, explanation) = explanation->next;
	set_reading(explanation, reads_any(daemon, explanation));
	if (explanation->why.by == WHY_FILTER)
		conclude(daemon, explanation);
	reports_ended(daemon, &explanation->flow, (struct flow_bytes){ 0 });
	control_explained(daemon->control, explanation->token, why_json(daemon, &explanation->why));
	explanation_free(explanation);
}

static bool is_waiting(const struct daemon *daemon, const struct explanation *explanation)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (explanation->why.answers[i].verdict == SL_UNDECIDED)
			return explanation->why.by == WHY_FILTER;
	return false;
}

/* ---- asking ---- */

/* asked, it would begin to reach the other side */
static void ask_proxy(struct daemon *daemon, struct explanation *explanation, unsigned int index)
{
	struct why_answer *answer = &explanation->why.answers[index];
	const struct flow *flow = &explanation->flow;
	struct memory_answer known = { .verdict = SL_ALLOW };
	bool may = divert_may(daemon, index, flow);
	int ruled = may ? ruling_find(daemon, flow, index, &known) : 0;

	answer->how = FLOW_RULED;
	answer->verdict = ruled ? SL_ALLOW : known.verdict;
	snprintf(answer->reason, sizeof(answer->reason), "%s",
		 ruled				? "it is asked, and takes the flow or not"
		 : known.verdict == SL_ALLOW ? "not for this proxy"
					     : known.reason);
}

static void ask(struct daemon *daemon, struct explanation *explanation, unsigned int index)
{
	struct why_answer *answer = &explanation->why.answers[index];
	const struct filter *filter = &daemon->filters[index];
	struct flow *flow = &explanation->flow;
	struct memory_answer known;
	int ruled;

	if (filter->is_proxy) {
		ask_proxy(daemon, explanation, index);
		return;
	}
	set_reading(explanation, answer->reads);
	ruled = ruling_find(daemon, flow, index, &known);
	if (ruled == RULING_E_HOST) {
		answer->reads = true;
		set_reading(explanation, true);
		ruled = ruling_find(daemon, flow, index, &known);
	}
	if (ruled == 0) {
		answer->how = FLOW_RULED;
		answer->verdict = known.verdict;
		snprintf(answer->reason, sizeof(answer->reason), "%s", known.reason);
	} else if (filter->session.state == SESSION_FAILED) {
		fall_to_fail_class(daemon, answer, index, FLOW_FAILED, filter->is_closed);
	} else if (remember_find(daemon, flow, index, &known)) {
		answer->how = FLOW_REMEMBERED;
		answer->verdict = known.verdict;
		text_copy(answer->reason, sizeof(answer->reason), known.reason);
	} else if (filter->session.state == SESSION_RUNNING && !filter->wants_write &&
		   providers_send_flow(daemon, index, flow, answer->reads) == 0) {
		answer->how = FLOW_ASKED;
		flow->told |= (uint16_t)(1U << index);
	}
}

void explain_ask_waiting(struct daemon *daemon, unsigned int filter, bool anew)
{
	struct explanation *explanation = daemon->explanations, *next;

	for (; explanation; explanation = next) {
		struct why_answer *answer = &explanation->why.answers[filter];

		next = explanation->next;
		if (answer->verdict != SL_UNDECIDED || (answer->how == FLOW_ASKED && !anew))
			continue;
		answer->how = FLOW_NOT_ASKED;
		ask(daemon, explanation, filter);
		if (!is_waiting(daemon, explanation))
			finish(daemon, explanation);
	}
}

/* Return: the one that this filter is asked about */
static struct explanation *find_asked(struct daemon *daemon, unsigned int index, uint64_t id)
{
	struct explanation *explanation = daemon->explanations;
	const struct why_answer *answer;

	while (explanation && explanation->flow.id != id)
		explanation = explanation->next;
	if (!explanation)
		return NULL;
	answer = &explanation->why.answers[index];
	return answer->verdict == SL_UNDECIDED && answer->how == FLOW_ASKED ? explanation : NULL;
}

bool explain_take_wish(struct daemon *daemon, unsigned int index, uint64_t id)
{
	struct explanation *explanation = find_asked(daemon, index, id);
	struct why_answer *answer;

	if (!explanation)
		return false;
	answer = &explanation->why.answers[index];
	set_reading(explanation, answer->reads);
	if (!naming_may_help(daemon, &explanation->flow)) /* it has been read for it */
		return false;
	answer->reads = true;
	answer->how = FLOW_NOT_ASKED;
	ask(daemon, explanation, index);
	if (!is_waiting(daemon, explanation))
		finish(daemon, explanation);
	return true;
}

bool explain_take(struct daemon *daemon, unsigned int index, const struct wire_flow_verdict *record)
{
	struct explanation *explanation = find_asked(daemon, index, record->id);
	struct why_answer *answer;

	if (!explanation)
		return false;
	answer = &explanation->why.answers[index];
	answer->how = FLOW_ANSWERED;
	answer->scope = record->scope;
	answer->verdict = providers_verdict(record->verdict);
	answer->took_us = daemon_now_us() - explanation->flow.opened_us;
	text_copy(answer->reason, sizeof(answer->reason), record->reason);
	if (answer->verdict != SL_ALLOW) /* it does not wait for an end */
		explanation->flow.told &= (uint16_t) ~(1U << index);
	if (!is_waiting(daemon, explanation))
		finish(daemon, explanation);
	return true;
}

/* what no filter would be asked about */
static void settle(struct daemon *daemon, struct explanation *explanation)
{
	static const char *const reasons[] = { [WHY_NO_FILTER] = "no filter",
					       [WHY_NOT_GOVERNED] = "not governed",
					       [WHY_LOOPBACK] = "stays on this machine" };
	struct flow *flow = &explanation->flow;
	enum why_by by = WHY_FILTER;

	if (!explanation->is_governed)
		by = WHY_NOT_GOVERNED;
	else if (flow->side->ifindex == LOOPBACK_IFINDEX &&
		 !(flow->key.lo &&
		   sl_loopback_has(plane_loopback_now(daemon->plane), flow->key.raddr)))
		by = WHY_LOOPBACK;
	else if (daemon->n_filters == 0)
		by = WHY_NO_FILTER;
	explanation->why.by = by;
	if (by == WHY_FILTER)
		return;
	flow->state = FLOW_OPEN;
	flow->verdict = SL_ALLOW;
	flow->decided_us = flow->opened_us;
	text_copy(explanation->reason, sizeof(explanation->reason), reasons[by]);
}

/* a caller that has gone may have left one under the token of a new one */
static void forget_token(struct daemon *daemon, unsigned int token)
{
	struct explanation **at = &daemon->explanations, *old;

	while ((old = *at)) {
		if (old->token != token) {
			at = &old->next;
			continue;
		}
		*at = old->next;
		explanation_free(old);
	}
}

int explain_begin(void *data, unsigned int token, struct json_object *program,
		  struct json_object *target)
{
	_cleanup_(cleanup_explanation) struct explanation *fresh = calloc(1, sizeof(*fresh));
	struct daemon *daemon = data;
	struct explanation *explanation = fresh;
	int r;

	if (!fresh)
		return -ENOMEM;
	r = explain_read(daemon, program, target, fresh);
	if (r < 0)
		return r;
	forget_token(daemon, token);
	fresh->token = token;
	fresh->next = daemon->explanations;
	daemon->explanations = fresh;
	fresh = NULL;
	settle(daemon, explanation);
	for (unsigned int i = 0; i < daemon->n_filters && explanation->why.by == WHY_FILTER; i++)
		ask(daemon, explanation, i);
	if (!is_waiting(daemon, explanation))
		finish(daemon, explanation);
	return 0;
}

void explain_tick(struct daemon *daemon, uint64_t now_us)
{
	struct explanation *explanation = daemon->explanations, *next;

	for (; explanation; explanation = next) {
		next = explanation->next;
		if (now_us >= explanation->deadline_us)
			finish(daemon, explanation);
	}
}

void explain_postpone(struct daemon *daemon, uint64_t before_us, uint64_t us)
{
	struct explanation *explanation = daemon->explanations;

	for (; explanation; explanation = explanation->next)
		if (explanation->flow.opened_us <= before_us)
			explanation->deadline_us += us;
}

void explain_close(struct daemon *daemon)
{
	struct explanation *explanation;

	while ((explanation = daemon->explanations)) {
		daemon->explanations = explanation->next;
		explanation_free(explanation);
	}
}

int explain_list_addresses(void *data, struct json_object *program, const char *host,
			   struct json_object **ret_addresses)
{
	struct daemon *daemon = data;
	uint8_t addresses[ADDRESSES_MAX][16];
	struct json_object *list;
	struct sl_app app;
	struct sl_who who;
	size_t n;

	if (explain_read_who(daemon, program, &who) < 0)
		return -EINVAL;
	app = sl_app_of(&who, explain_read_netns(daemon, program));
	n = names_addresses(daemon->names, &app, host, daemon_now_us(), addresses, ADDRESSES_MAX);
	list = json_object_new_array();
	for (size_t i = 0; i < n; i++) {
		bool is_v4 = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)addresses[i]);
		char text[INET6_ADDRSTRLEN] = "";

		(void)inet_ntop(is_v4 ? AF_INET : AF_INET6, addresses[i] + (is_v4 ? 12 : 0), text,
				sizeof(text));
		json_append(list, json_object_new_string(text));
	}
	*ret_addresses = list;
	return 0;
}
