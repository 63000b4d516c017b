/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Static rules
 *
 * A filter may leave a list of rules with us (policy/rules.h). Whenever it is its
 * turn the list is looked at first, and where it decides, that is the filter's
 * answer. So it is also while its process hangs, is dead, or is given up: the
 * list is what it said, not what it is.
 *
 * A set arrives record by record, beside the one in force, and takes its place
 * in one step. One that comes before READY waits for it, since a start may still
 * fail. What a rule says is not put into verdict memory, where it might outlive
 * a change of names: conclusions look at the rules themselves (ruling_conclude()),
 * and hold only where what they do not know, the local end, the interface or the host of
 * an address without a name, changes nothing.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon.h"

#define SET_COST 64U /* records that a set counts as; its rules then cost nothing */

/* ---- asking the rules ---- */

static const enum sl_verdict verdicts[] = {
	[RULES_ALLOW] = SL_ALLOW,
	[RULES_DROP] = SL_REJECT,
	[RULES_DROP_SILENT] = SL_SILENT,
};

static bool is_icmp(uint8_t protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* the name that the filter would be told comes first: its rule is the one to show */
static size_t list_hosts(struct daemon *daemon, const struct flow *flow,
			 const char *hosts[NAMES_PER_ADDRESS_MAX + 1])
{
	struct names_name names[NAMES_PER_ADDRESS_MAX];
	size_t n = 0, n_names = 0;

	if (flow->host_source < FLOW_HOST_TLS && flow->side->identity &&
	    flow->side->identity->who.start_ns) {
		struct sl_app app = sl_app_of(&flow->side->identity->who, flow->side->netns);

		n_names = names_all(daemon->names, &app, flow->key.raddr, daemon_now_us(), names,
				    NAMES_PER_ADDRESS_MAX);
	}
	if (flow->host[0])
		hosts[n++] = flow->host;
	for (size_t i = 0; i < MIN(n_names, NAMES_PER_ADDRESS_MAX); i++)
		if (strcmp(names[i].name, flow->host) != 0)
			hosts[n++] = names[i].name;
	return n;
}

/* that of a question whose route is not known */
static bool is_zero(const uint8_t address[16])
{
	static const uint8_t zero[16];

	return !memcmp(address, zero, sizeof(zero));
}

static struct rules_question describe(struct daemon *daemon, const struct flow *flow)
{
	const struct link *link = identity_link(daemon, flow->side->netns, flow->side->ifindex);
	const struct identity *identity = flow->side->identity;
	struct rules_question question = { .is_inbound = flow->direction == SL_DIR_IN,
					   .is_loopback = flow->key.lo,
					   .knows_local_port = !flow->is_hypothetical,
					   .protocol = flow->key.proto,
					   .remote_port = flow->key.rport };

	memcpy(question.remote, flow->key.raddr, sizeof(question.remote));
	question.local_port = is_icmp(flow->key.proto) ? 0 : flow->lport;
	question.interface = link->name[0] ? link->name : NULL;
	question.local = is_zero(flow->side->laddr) ? NULL : flow->side->laddr;
	if (!identity || !identity->who.start_ns)
		return question;
	question.knows_uid = true;
	question.uid = identity->who.uid;
	question.exe = identity_exe(identity);
	question.cgroup = identity->cgroup;
	return question;
}

static void say(const struct rules_answer *answer, bool is_loopback, char reason[FLOW_REASON_BYTES])
{
	if (!answer->number)
		snprintf(reason, FLOW_REASON_BYTES,
			 is_loopback ? "on loopback, where no rule forbids it" : "no rule matches");
	else
		snprintf(reason, FLOW_REASON_BYTES, answer->reason[0] ? "rule %u: %s" : "rule %u",
			 answer->number, answer->reason);
}

static void take_answer(struct ruling *ruling, const struct rules_answer *answer,
			unsigned int filter, bool is_loopback, struct memory_answer *ret_answer)
{
	say(answer, is_loopback, ruling->reason);
	*ret_answer = (struct memory_answer){ .verdict = verdicts[answer->action],
					      .filter = filter,
					      .reason = ruling->reason };
}

/* who names nothing on loopback has allowed it; but of one that has not started yet, after a
 * predecessor of ours, nobody knows what it names */
static int ask_without(struct ruling *ruling, const struct flow *flow, unsigned int filter,
		       struct memory_answer *ret_answer)
{
	static const struct rules_answer allowed = { .action = RULES_ALLOW, .reason = "" };

	if (!flow->key.lo || !ruling->was_ready)
		return RULING_E_ASK;
	take_answer(ruling, &allowed, filter, true, ret_answer);
	return 0;
}

int ruling_find(struct daemon *daemon, const struct flow *flow, unsigned int filter,
		struct memory_answer *ret_answer)
{
	const char *hosts[NAMES_PER_ADDRESS_MAX + 1];
	struct ruling *ruling = &daemon->filters[filter].ruling;
	struct rules_question question;
	struct rules_answer answer;
	int r;

	if (!ruling->in_force)
		return ask_without(ruling, flow, filter, ret_answer);
	question = describe(daemon, flow);
	question.hosts = hosts;
	question.n_hosts = list_hosts(daemon, flow, hosts);
	question.may_have_host = rules_have_host(ruling->in_force, question.is_loopback) &&
				 naming_may_help(daemon, flow);
	r = rules_find(ruling->in_force, &question, &answer);
	if (r == 0)
		take_answer(ruling, &answer, filter, question.is_loopback, ret_answer);
	else if (r == RULES_E_VARIES && question.may_have_host)
		return RULING_E_HOST;
	return r ? RULING_E_ASK : 0;
}

/* Return: false: @list lets it pass by */
static bool is_meant(const struct rules *list, const struct rules_question *question)
{
	struct rules_answer answer;

	return !list || rules_find(list, question, &answer) != 0;
}

bool ruling_is_chosen(struct daemon *daemon, const struct flow *flow, unsigned int filter)
{
	const struct chosen *chosen = &daemon->filters[filter].chosen;
	const char *hosts[NAMES_PER_ADDRESS_MAX + 1];
	struct rules_question question;

	if (!chosen->apps && !chosen->flows)
		return true;
	question = describe(daemon, flow);
	question.hosts = hosts;
	question.n_hosts = list_hosts(daemon, flow, hosts);
	if (!is_meant(chosen->flows, &question))
		return false;
	question.is_loopback = false; /* an application has no address */
	return is_meant(chosen->apps, &question);
}

/* by protocol, and by what its user has said: flows of this kind are none of that proxy's */
static bool is_passing_by(const struct filter *filter, const struct rules_question *question)
{
	bool is_of_proxies = question->protocol == IPPROTO_TCP ||
			     (question->protocol == IPPROTO_UDP && filter_may_take_udp(filter));

	return filter->is_proxy && (!is_of_proxies || !is_meant(filter->chosen.flows, question) ||
				    !is_meant(filter->chosen.apps, question));
}

int ruling_conclude(unsigned int filter, const struct memory_question *flows,
		    struct memory_answer *ret_answer, void *data)
{
	struct daemon *daemon = data;
	struct ruling *ruling = &daemon->filters[filter].ruling;
	const char *hosts[NAMES_PER_ADDRESS_MAX];
	struct rules_question question = { .exe = flows->exe,
					   .knows_uid = true,
					   .uid = flows->to.app.uid,
					   .protocol = flows->to.proto,
					   .remote_port = flows->to.rport,
					   .hosts = hosts,
					   .n_hosts = MIN(flows->n_names, NAMES_PER_ADDRESS_MAX),
					   .may_have_host = !is_icmp(flows->to.proto) };
	struct rules_answer answer;
	int r;

	memcpy(question.remote, flows->to.raddr, sizeof(question.remote));
	for (size_t i = 0; i < question.n_hosts; i++)
		hosts[i] = flows->names[i].name;
	if (is_passing_by(&daemon->filters[filter], &question)) {
		*ret_answer = (struct memory_answer){ .verdict = SL_ALLOW,
						      .filter = filter,
						      .reason = "no proxy takes it" };
		return 0;
	}
	if (!ruling->in_force)
		return MEMORY_E_ASK;
	r = rules_find(ruling->in_force, &question, &answer);
	if (r)
		return r == RULES_E_ASK ? MEMORY_E_ASK : MEMORY_E_VARIES;
	take_answer(ruling, &answer, filter, false, ret_answer);
	return 0;
}

bool ruling_is_any(const struct daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (daemon->filters[i].ruling.in_force || daemon->filters[i].chosen.apps ||
		    daemon->filters[i].chosen.flows)
			return true;
	return false;
}

/* ---- a set arrives ---- */

static bool is_alive(const struct filter *filter)
{
	return filter->session.state == SESSION_STARTING ||
	       filter->session.state == SESSION_RUNNING;
}

static void note_problem(struct ruling *ruling, int error, const char *problem)
{
	struct wire_rules_done *outcome = &ruling->outcome;

	outcome->error = (uint32_t)-error;
	if (error == -EINVAL || error == -E2BIG || error == -EOVERFLOW)
		outcome->rule = rules_count(ruling->coming) + 1;
	snprintf(outcome->text, sizeof(outcome->text), "%s", problem);
}

int ruling_take_begin(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	struct filter *filter = &daemon->filters[index];
	struct ruling *ruling = &filter->ruling;

	if (!is_alive(filter))
		return -EPROTO;
	ruling->coming = rules_free(ruling->coming);
	ruling->is_outcome_owed = false; /* nobody waits for that of a set of before */
	ruling->outcome =
		(struct wire_rules_done){ .set = WIRE_BODY(message, struct wire_rules_begin)->set };
	session_heard(&filter->session, daemon_now_us());
	if (filter->session.credit < SET_COST)
		return -ENOBUFS;
	filter->session.credit -= SET_COST;
	ruling->is_begun = true;
	ruling->n_said = 0;
	if (rules_new(daemon->seed, &ruling->coming) < 0)
		note_problem(ruling, -ENOMEM, "no memory for it");
	return 0;
}

/* a long set is a sign of life: the PONG is behind it */
int ruling_take_rule(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	struct filter *filter = &daemon->filters[index];
	struct ruling *ruling = &filter->ruling;
	const char *problem;
	int r;

	if (!is_alive(filter) || !ruling->is_begun)
		return -EPROTO;
	session_heard(&filter->session, daemon_now_us());
	if (ruling->n_said++ < WIRE_RULES_MAX)
		filter->session.credit++; /* SET_COST is of all */
	if (ruling->outcome.error)
		return 0; /* the first thing that is wrong is told */
	r = rules_add(ruling->coming, WIRE_BODY(message, struct wire_rule), &problem);
	if (r < 0)
		note_problem(ruling, r, problem);
	return 0;
}

static void refuse(struct filter *filter)
{
	const struct wire_rules_done *outcome = &filter->ruling.outcome;
	char text[sizeof(outcome->text) + 64];

	if (outcome->rule)
		snprintf(text, sizeof(text), "rule %u: %s: the rules of before stay", outcome->rule,
			 outcome->text);
	else
		snprintf(text, sizeof(text), "%s: the rules of before stay", outcome->text);
	text_copy(filter->message, sizeof(filter->message), text);
	output_say(filter, LOG_ERR, text);
	filter->ruling.coming = rules_free(filter->ruling.coming);
}

/* Return: were there other ones before? */
static bool replace(struct daemon *daemon, unsigned int index, struct rules *fresh)
{
	struct ruling *ruling = &daemon->filters[index].ruling;

	if (fresh && rules_are_idle(fresh))
		fresh = rules_free(fresh);
	if (rules_are_equal(ruling->in_force, fresh)) {
		rules_free(fresh);
		return false;
	}
	rules_free(ruling->in_force);
	ruling->in_force = fresh;
	ruling->n_sets++;
	remember_forget(daemon, index);
	return true;
}

/* ---- loopback ---- */

/* @now: what a predecessor has left counts until every filter has started */
static struct sl_loopback find_named(const struct daemon *daemon, const struct sl_loopback *now)
{
	const struct rules_loopback left = { now->network, now->mask, now->has_ipv6 };
	struct rules_loopback all = { 0 };

	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		const struct ruling *ruling = &daemon->filters[i].ruling;
		struct rules_loopback named = rules_loopback(ruling->in_force);

		all = rules_join_loopback(&all, ruling->was_ready ? &named : &left);
	}
	return (struct sl_loopback){ all.network, all.mask, all.has_ipv6, 0 };
}

/* what of it meets the queue: what rules of any filter name, and do not allow */
static void judge_loopback(struct daemon *daemon)
{
	const struct sl_loopback *now = plane_loopback_now(daemon->plane);
	struct sl_loopback wanted = find_named(daemon, now);
	int r;

	if (!daemon->wants_loopback && memcmp(&wanted, now, sizeof(wanted)) == 0)
		return;
	r = plane_loopback(daemon->plane, &wanted);
	if (r < 0) /* some table has not taken it */
		owners_want(daemon);
	if (r < 0 && !daemon->wants_loopback)
		log_error("rules of loopback are not in force everywhere: %s; trying again",
			  strerror(-r));
	daemon->wants_loopback = r < 0;
}

void ruling_tick(struct daemon *daemon)
{
	if (daemon->wants_loopback)
		judge_loopback(daemon);
}

static void put_in_force(struct daemon *daemon, unsigned int index, struct rules *fresh)
{
	if (!replace(daemon, index, fresh))
		return;
	judge_loopback(daemon);
	/* what goes on cannot be taken any more, or given back */
	if (daemon->filters[index].is_proxy)
		return;
	live_rules_changed(daemon, index); /* what waits for an answer is met by the walk */
	needing_rules_changed(daemon, index);
	explain_ask_waiting(daemon, index, false);
}

int ruling_take_commit(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message)
{
	struct filter *filter = &daemon->filters[index];
	struct ruling *ruling = &filter->ruling;
	struct rules *fresh;

	if (!is_alive(filter) || !ruling->is_begun)
		return -EPROTO;
	ruling->is_begun = false;
	if (ruling->outcome.error) {
		refuse(filter);
	} else {
		fresh = TAKE_PTR(ruling->coming);
		rules_set_otherwise(fresh, WIRE_BODY(message, struct wire_rules_commit)->otherwise);
		if (filter->session.state == SESSION_RUNNING) {
			put_in_force(daemon, index, fresh);
		} else {
			rules_free(ruling->next);
			ruling->next = fresh;
		}
	}
	providers_send_outcome(filter);
	return 0;
}

/* The first set that we know of judges what comes from now on: open flows were judged by a
 * predecessor of ours, which knew their names. */
void ruling_ready(struct daemon *daemon, unsigned int index)
{
	struct ruling *ruling = &daemon->filters[index].ruling;
	bool was_ready = ruling->was_ready, is_other;

	ruling->was_ready = true;
	is_other = replace(daemon, index, TAKE_PTR(ruling->next));
	if (is_other || !was_ready)
		judge_loopback(daemon);
	if (is_other && was_ready && !daemon->filters[index].is_proxy)
		live_rules_changed(daemon, index);
}

void ruling_lost(struct filter *filter)
{
	filter->ruling.coming = rules_free(filter->ruling.coming);
	filter->ruling.next = rules_free(filter->ruling.next);
	filter->ruling.is_begun = filter->ruling.is_outcome_owed = false;
}

void ruling_close(struct daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		ruling_lost(&daemon->filters[i]);
		rules_free(daemon->filters[i].ruling.in_force);
	}
}
