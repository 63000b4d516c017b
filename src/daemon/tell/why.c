/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Why
 *
 * Tells people of one flow: who, where to, which filter decided and how it came
 * to, what the kernel has of it, and the next step. `sluice why` asks of a flow
 * that happened; explain.c answers with the same object for one that has not.
 */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "control/flow-json.h"
#include "control/json-message.h"
#include "daemon/daemon.h"

static void add_text(struct json_object *object, const char *key, const char *text)
{
	json_add(object, key, text && text[0] ? json_clean_string(text) : NULL);
}

static const char *verdict_name(enum sl_verdict verdict)
{
	static const char *const names[] = { NULL, "allow", "drop", "drop", "peek" };

	return names[verdict];
}

static const char *scope_name(const struct why_answer *answer)
{
	static const char *const names[] = { "flow", "address", "name" };

	return answer->how == FLOW_ANSWERED && answer->scope < ARRAY_SIZE(names)
		       ? names[answer->scope]
		       : NULL;
}

/* ---- the parts ---- */

static struct json_object *answer_json(struct daemon *daemon, const struct why *why, unsigned int i)
{
	static const char *const hows[] = { [FLOW_NOT_ASKED] = "not-asked",
					    [FLOW_ASKED] = "waiting",
					    [FLOW_REMEMBERED] = "remembered",
					    [FLOW_FAILED] = "does-not-run",
					    [FLOW_LATE] = "late",
					    [FLOW_RULED] = "ruled",
					    [FLOW_ANSWERED] = "answered" };
	const struct why_answer *answer = &why->answers[i];
	const struct filter *filter = &daemon->filters[i];
	struct json_object *json = json_object_new_object();
	struct memory_answer known;
	bool is_known = remember_find(daemon, why->flow, i, &known);

	add_text(json, "filter", filter->name);
	add_text(json, "state", session_state_name(filter->session.state));
	add_text(json, "fail", filter->is_closed ? "closed" : "open");
	add_text(json, "how", hows[answer->how]);
	add_text(json, "verdict", verdict_name(answer->verdict));
	add_text(json, "scope", scope_name(answer));
	add_text(json, "reason", answer->reason);
	json_add(json, "took_us", answer->took_us ? json_object_new_uint64(answer->took_us) : NULL);
	json_add(json, "decides",
		 json_object_new_boolean(why->by == WHY_FILTER && why->flow->state != FLOW_HELD &&
					 why->flow->provider == (int)i));
	add_text(json, "memory", is_known ? verdict_name(known.verdict) : NULL);
	json_add(json, "reads_host", json_object_new_boolean(answer->reads));
	json_add(json, "lists", answer->reads ? lists_names(filter) : json_object_new_array());
	return json;
}

/* as `bpftool map lookup name MAP key hex …` takes it */
static void add_key(struct json_object *json, const void *key, size_t n)
{
	const uint8_t *bytes = key;
	char text[3 * sizeof(struct sl_memory_key) + 1] = "";

	for (size_t i = 0; i < n; i++)
		snprintf(text + 3 * i, sizeof(text) - 3 * i, i + 1 < n ? "%02x " : "%02x",
			 bytes[i]);
	add_text(json, "key", text);
}

/* NULL: the kernel would not allow the next one of its kind by itself */
static struct json_object *memory_json(struct daemon *daemon, const struct flow *flow)
{
	struct json_object *json;
	struct sl_memory_key key;
	struct sl_memory entry;
	uint64_t expiry_us;

	if (!remember_entry(daemon, flow, &key, &entry))
		return NULL;
	json = json_object_new_object();
	expiry_us = entry.expiry_ns / 1000;
	add_text(json, "map", "sl_memory");
	add_key(json, &key, sizeof(key));
	json_add(json, "expires_s",
		 expiry_us >= UINT64_MAX / 1000
			 ? NULL
			 : json_object_new_uint64((expiry_us - daemon_now_us()) / 1000000));
	return json;
}

static struct json_object *kernel_json(struct daemon *daemon, const struct flow *flow)
{
	struct json_object *json = json_object_new_object();
	struct sl_flow entry;
	bool is_there = !flow->is_hypothetical &&
			plane_get_flow(daemon->plane, &flow->key, &entry) == 0 &&
			entry.id == flow->id;
	char table[64];

	snprintf(table, sizeof(table), "inet sluice_%s", daemon->instance.id);
	add_text(json, "table", table);
	add_text(json, "chain",
		 flow->key.lo			 ? "out_loopback"
		 : flow->direction == SL_DIR_OUT ? "out"
						 : "in");
	add_text(json, "map", "sl_flows");
	if (flow->is_hypothetical) /* it has no socket */
		json_add(json, "key", NULL);
	else
		add_key(json, &flow->key, sizeof(flow->key));
	add_text(json, "verdict", is_there ? verdict_name(entry.verdict) : NULL);
	return json;
}

/* ---- what decided, and what a person can do ---- */

static const char *by_name(const struct why *why)
{
	static const char *const names[] = { [WHY_NO_FILTER] = "no-filter",
					     [WHY_NOT_GOVERNED] = "not-governed",
					     [WHY_LOOPBACK] = "loopback",
					     [WHY_SLUICED] = "sluiced" };

	if (why->flow->state == FLOW_HELD)
		return "nobody";
	if (why->by != WHY_FILTER)
		return names[why->by];
	switch ((enum flow_how)why->answers[why->flow->provider].how) {
	case FLOW_FAILED:
	case FLOW_LATE:
		return "fail-class";
	case FLOW_REMEMBERED:
		return "memory";
	case FLOW_RULED:
		return "rule";
	default:
		return "filter";
	}
}

/* NULL: nobody has asked for it */
static const char *reading_name(const struct flow *flow)
{
	static const char *const names[] = {
		[FLOW_READ] = "read", [FLOW_REFUSED] = "refused", [FLOW_UNREADABLE] = "unreadable"
	};

	if (flow->is_hypothetical)
		return flow->host_reading ? "would" : NULL;
	if (flow->peeking && flow->peeking->naming.waiting)
		return "reading";
	return names[flow->host_reading];
}

static void step_for_filter(const struct why *why, const char *filter, char *text, size_t n)
{
	bool is_allowed = !sl_is_denial(why->flow->verdict);

	switch ((enum flow_how)why->answers[why->flow->provider].how) {
	case FLOW_FAILED:
		snprintf(text, n,
			 "`sluice status` says why %s does not run; it fails %s, as `sluice run "
			 "--fail` was told",
			 filter, is_allowed ? "open" : "closed");
		return;
	case FLOW_LATE:
		snprintf(text, n,
			 "%s is too slow or hangs: `sluice status` counts its late answers and "
			 "restarts",
			 filter);
		return;
	case FLOW_RULED:
		snprintf(text, n, "to %s it, change the static rules that filter %s gives",
			 is_allowed ? "refuse" : "allow", filter);
		return;
	default:
		snprintf(text, n, "to %s it, change the rules that filter %s was given",
			 is_allowed ? "refuse" : "allow", filter);
	}
}

static void next_step(struct daemon *daemon, const struct why *why, char *text, size_t n)
{
	static const char *const steps[] = {
		[WHY_NO_FILTER] = "every flow is allowed until there is a filter: `sluice run "
				  "--filter NAME -- COMMAND`",
		[WHY_NOT_GOVERNED] = "no filter sees what this program does: start it with `sluice "
				     "run -- COMMAND`",
		[WHY_LOOPBACK] = "flows that stay on this machine are judged only where a "
				 "static rule names their address",
		[WHY_SLUICED] = "the log of sluiced says more; `sluice doctor` looks at the rules",
	};
	const struct flow *flow = why->flow;

	if (flow->state == FLOW_OPEN && flow->verdict == SL_PEEK)
		text_copy(text, n,
			  "filters look at what it carries and may still refuse it: ask again");
	else if (flow->state == FLOW_HELD)
		snprintf(text, n, "%s has until its deadline to answer: ask again",
			 daemon->filters[flow->asked].name);
	else if (why->by != WHY_FILTER)
		text_copy(text, n, steps[why->by]);
	else if (flow->is_hypothetical && flow->host_reading && flow->host_source < FLOW_HOST_TLS)
		text_copy(text, n,
			  "its first bytes would be read for their host, and are taken to name "
			  "nobody: `--names HOST` says what becomes of a host");
	else
		step_for_filter(why, daemon->filters[flow->provider].name, text, n);
}

struct json_object *why_json(struct daemon *daemon, const struct why *why)
{
	const struct flow *flow = why->flow;
	struct json_object *json = json_object_new_object(), *filters = json_object_new_array();
	bool is_held = flow->state == FLOW_HELD;
	char step[256];

	next_step(daemon, why, step, sizeof(step));
	add_text(json, "instance", daemon->instance.id);
	add_text(json, "verdict",
		 is_held		    ? "held"
		 : flow->verdict == SL_PEEK ? "allow" /* so far */
					    : verdict_name(flow->verdict));
	json_add(json, "silent", json_object_new_boolean(flow->verdict == SL_SILENT));
	json_add(json, "cut", json_object_new_boolean(flow->was_allowed));
	add_text(json, "by", by_name(why));
	add_text(json, "provider",
		 why->by == WHY_FILTER && !is_held ? daemon->filters[flow->provider].name : NULL);
	add_text(json, "reason", flow->reason);
	json_add(json, "host_assumed", json_object_new_boolean(why->is_host_assumed));
	add_text(json, "host_reading", reading_name(flow));
	json_add(json, "flow", records_json(daemon, flow));
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		json_append(filters, answer_json(daemon, why, i));
	json_add(json, "filters", filters);
	json_add(json, "memory", memory_json(daemon, flow));
	json_add(json, "kernel", kernel_json(daemon, flow));
	add_text(json, "next", step);
	return json;
}

/* ---- a flow that happened ---- */

void why_forget(struct flow *flow, void *data)
{
	struct daemon *daemon = data;

	sides_put(daemon->sides, flow->side);
	texts_put(daemon->texts, &flow->host);
	texts_put(daemon->texts, &flow->reason);
}

static const struct flow *newest(struct daemon *daemon, bool is_denied)
{
	const struct flow *best = history_newest(daemon->history, is_denied);
	const struct flow *flow = flow_table_oldest_open(daemon->flows);

	for (; flow; flow = flow_next(flow))
		if ((!is_denied || sl_is_denial(flow->verdict)) &&
		    (!best || flow->decided_us >= best->decided_us))
			best = flow;
	return best;
}

static const struct flow *find(struct daemon *daemon, uint64_t id, bool is_denied)
{
	const struct flow *flow;

	if (!id)
		return newest(daemon, is_denied);
	flow = flow_table_find_id(daemon->flows, id);
	return flow ? flow : history_find(daemon->history, id);
}

/* only the reason of who decided is kept: those before it allowed */
static void recall(struct daemon *daemon, struct why *why)
{
	const struct flow *flow = why->flow;

	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		struct why_answer *answer = &why->answers[i];

		answer->reads = naming_waits(flow, i);
		answer->how = flow_step(flow, i);
		if (answer->how == FLOW_NOT_ASKED && flow->is_remembered)
			answer->how = FLOW_REMEMBERED;
		answer->scope = flow_scope(flow, i);
		if (answer->how == FLOW_NOT_ASKED || answer->how == FLOW_ASKED)
			continue;
		answer->verdict = flow->denied_by & 1U << i ? flow->verdict : SL_ALLOW;
		if ((int)i != flow->provider || flow->state == FLOW_HELD)
			continue;
		answer->verdict = flow->verdict;
		text_copy(answer->reason, sizeof(answer->reason), flow->reason);
	}
	if (flow->provider < 0)
		why->by = daemon->n_filters ? WHY_SLUICED : WHY_NO_FILTER;
}

int why_find(void *data, uint64_t id, bool is_denied, struct json_object **ret_why)
{
	struct daemon *daemon = data;
	struct why why = { .flow = find(daemon, id, is_denied) };

	if (!why.flow)
		return -ENOENT;
	recall(daemon, &why);
	*ret_why = why_json(daemon, &why);
	return 0;
}
