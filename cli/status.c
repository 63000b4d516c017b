/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "cli/client.h"
#include "cli/json.h"

static int64_t number_of(struct json_object *object, const char *name)
{
	return json_object_get_int64(json_object_object_get(object, name));
}

/* seconds since an RFC 3339 time in UTC; -1: not one */
static int64_t age_of(const char *text)
{
	struct tm tm = { 0 };
	time_t then;

	if (!strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
		return -1;
	then = timegm(&tm);
	return time(NULL) - then;
}

static void print_age(int64_t s)
{
	if (s < 0)
		return;
	if (s < 120)
		printf("  up %" PRId64 " s", s);
	else if (s < 7200)
		printf("  up %" PRId64 " min", s / 60);
	else if (s < 172800)
		printf("  up %" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
	else
		printf("  up %" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
}

static enum cli_colour colour_of(const char *state)
{
	static const struct {
		const char *state;
		enum cli_colour colour;
	} colours[] = {
		{ "enforcing", COLOUR_GOOD },  { "running", COLOUR_GOOD },
		{ "failed", COLOUR_BAD },      { "stopped", COLOUR_DIM },
		{ "restarting", COLOUR_WARN }, { "starting", COLOUR_WARN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(colours); i++)
		if (strcmp(colours[i].state, state) == 0)
			return colours[i].colour;
	return COLOUR_NONE;
}

/* of a filter that filters packets */
static void print_packets_of(struct json_object *packets)
{
	static const char *const keys[] = { "dropped", "delayed", "late", "failed", "rules" };

	if (!packets)
		return;
	printf("; %" PRId64 " packets", number_of(packets, "asked"));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (number_of(packets, keys[i]))
			printf(", %" PRId64 " %s", number_of(packets, keys[i]), keys[i]);
}

static void print_provider(struct json_object *provider)
{
	const char *message = cli_json_text(provider, "message");

	printf("  ");
	cli_cell(cli_json_text(provider, "kind"), 8, COLOUR_NONE);
	putchar(' ');
	cli_cell(cli_json_text(provider, "name"), 18, COLOUR_NONE);
	putchar(' ');
	cli_cell(cli_json_text(provider, "state"), 11, colour_of(cli_json_text(provider, "state")));
	printf(" %" PRId64 " flows, %" PRId64 " dropped", number_of(provider, "flows"),
	       number_of(provider, "dropped"));
	if (number_of(provider, "late"))
		printf(", %" PRId64 " late", number_of(provider, "late"));
	if (number_of(provider, "reports_lost"))
		printf(", %" PRId64 " reports lost", number_of(provider, "reports_lost"));
	if (number_of(provider, "needs_rules"))
		printf(", %" PRId64 " wait for its rules", number_of(provider, "needs_rules"));
	if (json_object_object_get_ex(provider, "answered_ago_ms", NULL))
		printf(", last verdict %" PRId64 " s ago",
		       number_of(provider, "answered_ago_ms") / 1000);
	if (number_of(provider, "restarts"))
		printf(", %" PRId64 " restarts", number_of(provider, "restarts"));
	if (number_of(provider, "rules"))
		printf(", %" PRId64 " rules", number_of(provider, "rules"));
	print_packets_of(json_object_object_get(provider, "packets"));
	printf("   fails %s\n", cli_json_text(provider, "fail"));
	if (*message) {
		printf("  ! ");
		cli_cell(message, 0, COLOUR_WARN);
		putchar('\n');
	}
}

/* an instance without a packet filter has none */
static void print_packets(struct json_object *packets)
{
	if (!packets)
		return;
	printf("  packets  %" PRId64 " asked about, %" PRId64 " dropped by rules, %" PRId64
	       " delayed   fails %s\n",
	       number_of(packets, "read"), number_of(packets, "dropped_by_rules"),
	       number_of(packets, "delayed"), cli_json_text(packets, "fail"));
	if (number_of(packets, "unread") + number_of(packets, "dropped_unknown"))
		printf("  ! %" PRId64 " packets found no place in the queue, or nobody to ask\n",
		       number_of(packets, "unread") + number_of(packets, "dropped_unknown"));
}

/* a daemon of another version may not say it */
static void print_canary(struct json_object *canary)
{
	static const struct {
		const char *state, *text;
		enum cli_colour colour;
	} texts[] = {
		{ "ok", "held and refused, as it should be", COLOUR_GOOD },
		{ "failed", "not held and refused: `sluice doctor` says more", COLOUR_BAD },
		{ "untried", "not tried: no route off this machine, or it changed meanwhile",
		  COLOUR_WARN },
	};
	const char *state = cli_json_text(canary, "state"),
		   *message = cli_json_text(canary, "message");
	size_t i = 0;

	while (i < ARRAY_SIZE(texts) && strcmp(texts[i].state, state) != 0)
		i++;
	if (i == ARRAY_SIZE(texts))
		return;
	printf("  canary   ");
	cli_cell(*message ? message : texts[i].text, 0, texts[i].colour);
	printf(", %" PRId64 " s ago", MAX(age_of(cli_json_text(canary, "time")), 0));
	if (strcmp(state, "ok") == 0)
		printf(", within %.2f ms", (double)number_of(canary, "took_us") / 1000);
	putchar('\n');
}

/* one namespace, in force, is the usual case and not worth a line */
static void print_namespaces(struct json_object *list)
{
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	size_t n_enforcing = 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *one = json_object_array_get_idx(list, i);

		if (strcmp(cli_json_text(one, "state"), "failed") != 0) {
			n_enforcing++;
			continue;
		}
		printf("  ! network namespace %" PRId64 " is left to the fail class: ",
		       number_of(one, "netns"));
		cli_cell(cli_json_text(one, "message"), 0, COLOUR_BAD);
		putchar('\n');
	}
	if (n_enforcing > 1)
		printf("  networks %zu namespaces\n", n_enforcing);
}

static void print_status(struct json_object *status)
{
	struct json_object *providers = json_object_object_get(status, "providers");
	size_t n = json_object_is_type(providers, json_type_array)
			   ? json_object_array_length(providers)
			   : 0;

	printf("Sluice %s  instance ", cli_json_text(status, "version"));
	cli_cell(cli_json_text(status, "instance"), 0, COLOUR_NONE);
	printf("  ");
	cli_cell(cli_json_text(status, "state"), 0, colour_of(cli_json_text(status, "state")));
	print_age(age_of(cli_json_text(status, "started")));
	printf("  fails %s\n", cli_json_text(status, "fail"));
	for (size_t i = 0; i < n; i++)
		print_provider(json_object_array_get_idx(providers, i));
	if (n == 0)
		printf("  no provider: every flow is allowed and shown\n");
	printf("  flows    %" PRId64 " open, %" PRId64 " held, %" PRId64 " in all, %" PRId64
	       " dropped; %" PRId64 " packets were held\n",
	       number_of(status, "flows_open"), number_of(status, "flows_held"),
	       number_of(status, "flows_total"), number_of(status, "flows_dropped"),
	       number_of(status, "packets_read"));
	printf("  governs  ");
	cli_cell(cli_json_text(status, "cgroup"), 0, COLOUR_NONE);
	printf("   queue %s   generation %" PRId64 "\n", cli_json_text(status, "queue"),
	       number_of(status, "generation"));
	print_packets(json_object_object_get(status, "packets"));
	print_canary(json_object_object_get(status, "canary"));
	print_namespaces(json_object_object_get(status, "namespaces"));
	if (number_of(status, "deadlines_missed")) {
		printf("  ! %" PRId64 " flows were decided by the fail class: no answer in time\n",
		       number_of(status, "deadlines_missed"));
	}
	if (number_of(status, "rules_restored"))
		printf("  ! %" PRId64 " times another program had removed or changed our rules\n",
		       number_of(status, "rules_restored"));
}

static void print_unreachable(const char *instance, const struct client_error *error)
{
	_cleanup_json_ struct json_object *status = cli_json_new();
	const char *state = error->status == CLI_NOT_PERMITTED ? "not-permitted"
			    : error->status == CLI_NOT_FOUND   ? "not-found"
							       : "unreachable";

	if (instance)
		cli_json_add(status, "instance", json_object_new_string(instance));
	else
		(void)json_object_object_add(status, "instance", NULL);
	cli_json_add(status, "state", json_object_new_string(state));
	cli_json_add(status, "message", json_object_new_string(error->text));
	cli_json_print(status);
}

int cmd_status(int argc, char **argv)
{
	struct client_asked asked = { 0 };
	int r = client_ask(argc, argv, "GetStatus", &asked);
	_cleanup_json_ struct json_object *reply = asked.reply;

	if (r >= 0)
		return r;
	if (asked.error.status) {
		if (asked.is_json)
			print_unreachable(asked.instance, &asked.error);
		return cli_error(asked.error.status, "%s", asked.error.text);
	}
	if (asked.is_json)
		cli_json_print(json_object_object_get(reply, "status"));
	else
		print_status(json_object_object_get(reply, "status"));
	return CLI_YES;
}
