/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: sluice rules
 *
 * The static rules by which sluiced answers in a filter's place, in their order: the first one
 * that matches decides. They come in pages; a set that is exchanged meanwhile is read anew.
 */
#include <inttypes.h>
#include <string.h>

#include "cli/client.h"
#include "cli/json.h"

#define EXCHANGES_MAX 10 /* of a set, while it is read: then it is said */

enum { WIDTH_FILTER = 12, WIDTH_NUMBER = 6, WIDTH_ACTION = 11, WIDTH_FLOWS = 48 };

/* ---- reading ---- */

static int64_t number_of(struct json_object *object, const char *name)
{
	return json_object_get_int64(json_object_object_get(object, name));
}

static int get_page(struct client *client, int64_t filter, int64_t from,
		    struct json_object **ret_page, struct client_error *error)
{
	struct json_object *parameters = cli_json_new(), *reply = NULL;
	int r;

	cli_json_add(parameters, "filter", json_object_new_int64(filter));
	cli_json_add(parameters, "from", json_object_new_int64(from));
	r = client_send(client, "ListRules", parameters, false, error);
	if (r == 0)
		r = client_receive(client, CLIENT_TIMEOUT_MS, &reply, NULL, error);
	if (r)
		return r;
	*ret_page = json_object_get(json_object_object_get(reply, "page"));
	json_object_put(reply);
	if (json_object_is_type(json_object_object_get(*ret_page, "rules"), json_type_array))
		return 0;
	json_object_put(*ret_page);
	return client_fail(error, CLI_UNREACHABLE, "the daemon's answer has no rules");
}

/* the rules of @page join those of @whole */
static void join(struct json_object *whole, struct json_object *page)
{
	struct json_object *rules = json_object_object_get(whole, "rules");
	struct json_object *more = json_object_object_get(page, "rules");

	for (size_t i = 0; i < json_object_array_length(more); i++)
		cli_json_append(rules, json_object_get(json_object_array_get_idx(more, i)));
}

/* Return: 0, with one set as a whole; or the exit status */
static int get_rules(struct client *client, int64_t filter, struct json_object **ret_whole,
		     struct client_error *error)
{
	struct json_object *whole = NULL, *page = NULL;
	int n_exchanges = 0, r = get_page(client, filter, 1, &whole, error);
	size_t n;

	while (r == 0) {
		n = json_object_array_length(json_object_object_get(whole, "rules"));
		if ((int64_t)n >= number_of(whole, "count"))
			break;
		r = get_page(client, filter, (int64_t)n + 1, &page, error);
		if (r)
			break;
		if (number_of(page, "set") == number_of(whole, "set") &&
		    json_object_array_length(json_object_object_get(page, "rules")) > 0) {
			join(whole, page);
			json_object_put(page);
			continue;
		}
		json_object_put(page);
		json_object_put(whole);
		whole = NULL;
		r = ++n_exchanges < EXCHANGES_MAX
			    ? get_page(client, filter, 1, &whole, error)
			    : client_fail(error, CLI_UNREACHABLE,
					  "the rules are exchanged faster than they can be read: "
					  "try again");
	}
	if (r)
		json_object_put(whole);
	else
		*ret_whole = whole;
	return r;
}

static int get_all(struct client *client, struct json_object **ret_filters,
		   struct client_error *error)
{
	struct json_object *filters = cli_json_new_list(), *whole = NULL;
	int64_t n = 1;
	int r = 0;

	for (int64_t i = 0; r == 0 && i < n; i++) {
		r = get_rules(client, i, &whole, error);
		if (r)
			break;
		n = number_of(whole, "filters");
		json_object_object_del(whole, "filters");
		json_object_object_del(whole, "set");
		cli_json_append(filters, whole);
	}
	if (r == CLI_NOT_FOUND) { /* no filter is no failure */
		*error = (struct client_error){ 0 };
		r = 0;
	}
	if (r)
		json_object_put(filters);
	else
		*ret_filters = filters;
	return r;
}

/* ---- showing ---- */

static void say_protocol(struct json_object *rule, char *text, size_t n)
{
	static const struct {
		int64_t number;
		const char *name;
	} known[] = { { 1, "icmp" }, { 6, "tcp" }, { 17, "udp" }, { 58, "icmpv6" } };
	int64_t number = number_of(rule, "protocol");

	snprintf(text, n, "protocol %" PRId64, number);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].number == number)
			snprintf(text, n, "%s", known[i].name);
}

static void say_ports(struct json_object *rule, const char *side, char *text, size_t n)
{
	char first_key[24], last_key[32];
	int64_t first, last;

	snprintf(first_key, sizeof(first_key), "%s_port", side);
	snprintf(last_key, sizeof(last_key), "%s_port_last", side);
	first = number_of(rule, first_key);
	last = number_of(rule, last_key);
	if (first == last)
		snprintf(text, n, "%s port %" PRId64, side, first);
	else
		snprintf(text, n, "%s ports %" PRId64 "-%" PRId64, side, first, last);
}

static void say_remote_ports(struct json_object *rule, char *text, size_t n)
{
	say_ports(rule, "remote", text, n);
}

static void say_local_ports(struct json_object *rule, char *text, size_t n)
{
	say_ports(rule, "local", text, n);
}

/* conditions as people read them; @say: NULL: the word, and the value */
static const struct {
	const char *key, *word;
	void (*say)(struct json_object *rule, char *text, size_t n);
} conditions[] = {
	{ "protocol", NULL, say_protocol },
	{ "exe", "program", NULL },
	{ "uid", "user", NULL },
	{ "host", "host", NULL },
	{ "domain", "domain", NULL },
	{ "remote", "remote", NULL },
	{ "remote_port", NULL, say_remote_ports },
	{ "local", "local", NULL },
	{ "local_port", NULL, say_local_ports },
	{ "interface", "interface", NULL },
	{ "cgroup", "cgroup", NULL },
};

/* sets of a filter; of a choice its user says which flows may come to a proxy */
enum kind { FLOWS, PACKETS, CHOSEN_APPS, CHOSEN_FLOWS };

static const struct {
	const char *what, *prefix;
	bool is_choice;
} kinds[] = {
	[FLOWS] = { "flow", "", false },
	[PACKETS] = { "packet", "packets", false },
	[CHOSEN_APPS] = { "application", "", true },
	[CHOSEN_FLOWS] = { "flow", "", true },
};

static const char *action_word(const char *action, enum kind kind)
{
	if (!kinds[kind].is_choice)
		return action;
	return strcmp(action, "ask") ? "passes by" : "may come";
}

static void say_flows(struct json_object *rule, enum kind kind, char *text, size_t n)
{
	const char *direction = cli_json_text(rule, "direction"), *prefix = kinds[kind].prefix;
	bool has_direction = strcmp(direction, "any") != 0;
	size_t at = (size_t)snprintf(text, n, "%s%s%s", prefix,
				     prefix[0] && has_direction ? ", " : "",
				     has_direction ? direction : "");

	for (size_t i = 0; i < ARRAY_SIZE(conditions) && at < n; i++) {
		struct json_object *value = json_object_object_get(rule, conditions[i].key);
		char one[640];

		if (!value)
			continue;
		if (conditions[i].say)
			conditions[i].say(rule, one, sizeof(one));
		else
			snprintf(one, sizeof(one), "%s %s", conditions[i].word,
				 json_object_get_string(value));
		at += (size_t)snprintf(text + at, n - at, "%s%s", at ? ", " : "", one);
	}
	if (at == 0)
		snprintf(text, n, "every %s", kinds[kind].what);
}

static void print_line(const char *filter, const char *number, const char *action,
		       const char *flows, const char *reason)
{
	static const struct {
		const char *action;
		enum cli_colour colour;
	} colours[] = { { "allow", COLOUR_GOOD },
			{ "drop", COLOUR_BAD },
			{ "drop-silent", COLOUR_BAD } };
	enum cli_colour colour = COLOUR_NONE;

	for (size_t i = 0; i < ARRAY_SIZE(colours); i++)
		if (!strcmp(colours[i].action, action))
			colour = colours[i].colour;
	cli_cell(filter, WIDTH_FILTER, COLOUR_NONE);
	printf(" %*s ", WIDTH_NUMBER, number);
	cli_cell(action, WIDTH_ACTION, colour);
	putchar(' ');
	/* a rule is shown whole */
	cli_cell(flows, *reason && strlen(flows) < WIDTH_FLOWS ? WIDTH_FLOWS : 0, COLOUR_NONE);
	if (*reason) {
		putchar(' ');
		cli_cell(reason, 0, COLOUR_DIM);
	}
	putchar('\n');
}

static void print_set(const char *filter, struct json_object *set, enum kind kind)
{
	struct json_object *rules = json_object_object_get(set, "rules");
	size_t n =
		json_object_is_type(rules, json_type_array) ? json_object_array_length(rules) : 0;
	char flows[2048], number[24];

	for (size_t i = 0; i < n; i++) {
		struct json_object *rule = json_object_array_get_idx(rules, i);

		say_flows(rule, kind, flows, sizeof(flows));
		snprintf(number, sizeof(number), "%" PRId64, number_of(rule, "number"));
		print_line(filter, number, action_word(cli_json_text(rule, "action"), kind), flows,
			   cli_json_text(rule, "reason"));
	}
	snprintf(flows, sizeof(flows), "every %s%s", n ? "other " : "", kinds[kind].what);
	print_line(filter, "", action_word(cli_json_text(set, "otherwise"), kind), flows, "");
}

static void print_filter(struct json_object *whole)
{
	struct json_object *packets = json_object_object_get(whole, "packets");
	struct json_object *chosen = json_object_object_get(whole, "chosen");
	const char *filter = cli_json_text(whole, "filter");

	if (chosen) {
		print_set(filter, json_object_object_get(chosen, "apps"), CHOSEN_APPS);
		print_set(filter, json_object_object_get(chosen, "flows"), CHOSEN_FLOWS);
	}
	print_set(filter, whole, FLOWS);
	if (packets)
		print_set(filter, packets, PACKETS);
}

static void print_rules(struct json_object *filters)
{
	size_t n = json_object_array_length(filters);

	if (n == 0) {
		printf("this instance has no filter\n");
		return;
	}
	cli_cell("FILTER", WIDTH_FILTER, COLOUR_DIM);
	printf(" %*s ", WIDTH_NUMBER, "RULE");
	cli_cell("ACTION", WIDTH_ACTION, COLOUR_DIM);
	putchar(' ');
	cli_cell("FLOWS", WIDTH_FLOWS, COLOUR_DIM);
	printf(" REASON\n");
	for (size_t i = 0; i < n; i++)
		print_filter(json_object_array_get_idx(filters, i));
}

int cmd_rules(int argc, char **argv)
{
	const char *instance = NULL;
	bool is_json = false;
	const struct cli_option options[] = {
		{ "instance", NULL, &instance, "ID", "which one, if several run" },
		{ "json", &is_json, NULL, NULL, "one JSON object" },
	};
	_cleanup_client_ struct client client = CLIENT_CLOSED;
	_cleanup_json_ struct json_object *filters = NULL, *all = NULL;
	struct client_error error = { 0 };
	int r = cli_parse(argc, argv, options, ARRAY_SIZE(options));

	if (r >= 0)
		return r;
	r = client_open(SLUICE_RUN_FOLDER, instance, &client, &error);
	if (r == 0)
		r = get_all(&client, &filters, &error);
	if (r)
		return cli_error(r, "%s", error.text);
	if (!is_json) {
		print_rules(filters);
		return CLI_YES;
	}
	all = cli_json_new();
	cli_json_add(all, "filters", json_object_get(filters));
	cli_json_print(all);
	return CLI_YES;
}
