/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What sluiced tells people of itself: GetStatus and Doctor of the control socket
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/flow-json.h"
#include "control/json-message.h"
#include "daemon/daemon.h"

static struct json_object *text_or_null(const char *text)
{
	return text && text[0] ? json_clean_string(text) : NULL;
}

static void add_count(struct json_object *object, const char *key, uint64_t value)
{
	json_add(object, key, json_object_new_uint64(value));
}

/* of what is not there, nothing is said */
static void add_unless_null(struct json_object *object, const char *key, struct json_object *value)
{
	if (value)
		json_add(object, key, value);
}

static struct json_object *provider_json(struct daemon *daemon, unsigned int index)
{
	const struct filter *filter = &daemon->filters[index];
	struct json_object *json = json_object_new_object();

	json_add(json, "name", json_clean_string(filter->name));
	json_add(json, "kind", json_object_new_string(filter_kind(filter)));
	json_add(json, "state", json_object_new_string(session_state_name(filter->session.state)));
	json_add(json, "pid", filter->pid > 0 ? json_object_new_int(filter->pid) : NULL);
	json_add(json, "fail", json_object_new_string(filter->is_closed ? "closed" : "open"));
	add_count(json, "flows", filter->n_flows);
	add_count(json, "dropped", filter->n_dropped);
	add_count(json, "late", filter->n_late);
	add_count(json, "reports_lost", filter->n_reports_lost);
	add_count(json, "needs_rules", needing_count(daemon, index));
	if (filter->answered_us)
		add_count(json, "answered_ago_ms", (daemon_now_us() - filter->answered_us) / 1000);
	add_count(json, "restarts", filter->session.restarts);
	add_count(json, "rules", rules_count(filter->ruling.in_force));
	add_unless_null(json, "packets", packets_filter_json(filter));
	json_add(json, "message", text_or_null(filter->message));
	return json;
}

void status_add_time(struct json_object *object, const char *key, uint64_t time_us)
{
	time_t seconds = (time_t)(time_us / 1000000);
	struct tm parts;
	char text[40];

	gmtime_r(&seconds, &parts);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
	json_add(object, key, json_object_new_string(text));
}

static struct json_object *canary_json(const struct canary *canary)
{
	struct json_object *json = json_object_new_object();

	json_add(json, "state", json_object_new_string(canary_state_name(canary->state)));
	if (canary->state == CANARY_NEVER)
		return json;
	status_add_time(json, "time", canary->ended_us);
	add_count(json, "took_us", canary_took_us(canary));
	add_count(json, "failures", canary->n_failed);
	if (canary->why[0])
		json_add(json, "message", json_clean_string(canary->why));
	return json;
}

int status_get(void *data, struct json_object **ret_status)
{
	struct daemon *daemon = data;
	struct json_object *json = json_object_new_object();
	struct json_object *providers = json_object_new_array();

	json_add(json, "instance", json_clean_string(daemon->instance.id));
	json_add(json, "version", json_object_new_string(SLUICE_VERSION));
	json_add(json, "state",
		 json_object_new_string(daemon->is_ready ? "enforcing" : "starting"));
	json_add(json, "pid", json_object_new_int(getpid()));
	add_count(json, "generation", daemon->generation);
	status_add_time(json, "started", daemon->started_us);
	json_add(json, "cgroup", json_clean_string(daemon->instance.cgroup));
	json_add(json, "fail", json_object_new_string(daemon->is_closed ? "closed" : "open"));
	add_count(json, "flows_open", records_count_open(daemon));
	add_count(json, "flows_held", flow_table_n_held(daemon->flows));
	add_count(json, "flows_peeking", daemon->peekings.n);
	add_count(json, "repeats_changed", daemon->peekings.n_lies);
	add_count(json, "flows_total", daemon->n_total);
	add_count(json, "flows_dropped", daemon->n_dropped);
	add_count(json, "packets_read", daemon->n_read);
	add_count(json, "deadlines_missed", daemon->n_deadlines);
	add_count(json, "rules_restored", daemon->n_restored);
	json_add(json, "queue", json_object_new_string(plane_queue_kind(daemon->plane)));
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		json_append(providers, provider_json(daemon, i));
	json_add(json, "providers", providers);
	add_unless_null(json, "packets", packets_json(daemon));
	json_add(json, "canary", canary_json(&daemon->canary));
	json_add(json, "namespaces", netns_json(daemon));
	*ret_status = json;
	return 0;
}

static void add_check(struct json_object *checks, const char *name, const char *state,
		      const char *detail, const char *lost)
{
	struct json_object *json = json_object_new_object();

	json_add(json, "name", json_object_new_string(name));
	json_add(json, "state", json_object_new_string(state));
	json_add(json, "detail", json_clean_string(detail));
	json_add(json, "lost", text_or_null(lost));
	json_append(checks, json);
}

static void add_canary(struct json_object *checks, const struct canary *canary)
{
	static const char *const names[] = { "canary IPv4", "canary IPv6" };
	static const char lost[] = "flows may pass unjudged, or fail without a reason";
	char text[200];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		enum canary_state state = canary_describe(canary, i == 1, text, sizeof(text));

		if (canary->why[0])
			add_check(checks, names[i], "warning", canary->why,
				  "nobody knows whether flows are held");
		else if (state == CANARY_FAILED)
			add_check(checks, names[i], "missing", text, lost);
		else /* without a route nothing can pass either */
			add_check(checks, names[i], "ok", text, NULL);
	}
}

int status_doctor(void *data, struct json_object **ret_checks)
{
	struct daemon *daemon = data;
	struct json_object *checks = json_object_new_array();
	int r = daemon->canary.restored ? daemon->canary.restored : owners_look(daemon);

	if (r < 0 && r != -EAGAIN)
		add_check(checks, "nft table", "missing", strerror(-r),
			  "packets are not held: flows pass unjudged");
	else
		add_check(checks, "nft table", r > 0 ? "warning" : "ok",
			  r > 0 ? "another program had removed or changed it; it is back"
				: "in place",
			  NULL);
	add_check(checks, "sluice-names", daemon->names_sock >= 0 ? "ok" : "missing",
		  daemon->names_sock >= 0 ? "running" : "does not run",
		  daemon->names_sock >= 0 ? NULL : "flows have no host names");
	add_canary(checks, &daemon->canary);
	*ret_checks = checks;
	return 0;
}
