/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cli/client.h"
#include "cli/json.h"
#include "control/flow-json.h"

/**
 * DOC: The table of flows
 *
 * Columns, their order and their least widths come from flow_fields[]. What a
 * terminal has beyond 80 columns is shared by the two that need it, the
 * destination and the reason (the last column, which takes what is left).
 * Nothing is cut when stdout is not a terminal.
 */

#define SCREEN_COLUMNS 80U
#define COLUMNS_MAX 16U

struct table {
	const struct flow_field *columns[COLUMNS_MAX];
	unsigned int widths[COLUMNS_MAX]; /* 0: as long as it is */
	unsigned int n_columns;
	bool is_cut; /* to the width of a terminal */
};

static const struct flow_field *find_column(unsigned int place)
{
	for (size_t i = 0; i < n_flow_fields; i++)
		if (flow_fields[i].column == place)
			return &flow_fields[i];
	return NULL;
}

static void lay_out(struct table *table)
{
	unsigned int screen = cli_width(), used = 0;
	const struct flow_field *field;

	table->n_columns = 0;
	table->is_cut = screen > 0;
	for (unsigned int i = 1; i <= COLUMNS_MAX && (field = find_column(i)); i++) {
		unsigned int width = field->width;

		if (field->kind == FLOW_KIND_ADDRESS && screen > SCREEN_COLUMNS)
			width += (screen - SCREEN_COLUMNS) / 2;
		if (width == 0 && table->is_cut)
			width = screen > used + 8 ? screen - used : 8;
		table->columns[i - 1] = field;
		table->widths[i - 1] = width;
		table->n_columns = i;
		used += width + 1;
	}
}

/* "2026-11-20T19:40:01.123456Z" → local "19:40:01" */
static void show_time(const char *text, char *cell, size_t n)
{
	struct tm tm = { 0 };
	time_t then;

	if (!strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)) {
		snprintf(cell, n, "%s", text);
		return;
	}
	then = timegm(&tm);
	if (!localtime_r(&then, &tm) || !strftime(cell, n, "%H:%M:%S", &tm))
		snprintf(cell, n, "%s", text);
}

/* the name if there is one, with the port: "example.org:443", "[2001:db8::7]:443" */
static void show_destination(struct json_object *flow, char *cell, size_t n)
{
	const char *host = cli_json_text(flow, "host"), *address = cli_json_text(flow, "dst");
	int64_t port = json_object_get_int64(json_object_object_get(flow, "dport"));
	bool is_v6 = !*host && strchr(address, ':');
	bool is_inbound = strcmp(cli_json_text(flow, "direction"), "inbound") == 0;
	char port_text[16] = "";

	if (port)
		snprintf(port_text, sizeof(port_text), ":%u", (unsigned int)port);
	snprintf(cell, n, "%s%s%s%s%s", is_inbound ? "← " : "", is_v6 && port ? "[" : "",
		 *host ? host : address, is_v6 && port ? "]" : "", port_text);
}

static void show_reason(struct json_object *flow, char *cell, size_t n)
{
	if (strcmp(cli_json_text(flow, "event"), "closed") == 0)
		snprintf(cell, n, "closed: %s in, %s out", cli_json_text(flow, "bytes_in"),
			 cli_json_text(flow, "bytes_out"));
	else
		snprintf(cell, n, "%s", cli_json_text(flow, "reason"));
}

static void show(struct json_object *flow, const struct flow_field *field, char *cell, size_t n)
{
	const char *text = cli_json_text(flow, field->name);
	const char *slash;

	switch (field->kind) {
	case FLOW_KIND_TIME:
		show_time(text, cell, n);
		break;
	case FLOW_KIND_ADDRESS:
		show_destination(flow, cell, n);
		break;
	case FLOW_KIND_PATH:
		slash = strrchr(text, '/');
		snprintf(cell, n, "%s", slash && slash[1] ? slash + 1 : text);
		break;
	case FLOW_KIND_STRING:
		show_reason(flow, cell, n);
		break;
	default:
		snprintf(cell, n, "%s", text);
		break;
	}
}

static enum cli_colour colour_of(struct json_object *flow, const struct flow_field *field)
{
	if (strcmp(field->name, "verdict") == 0)
		return strcmp(cli_json_text(flow, "verdict"), "drop") == 0 ? COLOUR_BAD
									   : COLOUR_GOOD;
	return field->kind == FLOW_KIND_TIME ? COLOUR_DIM : COLOUR_NONE;
}

static void print_row(struct json_object *flow, const struct table *table)
{
	for (unsigned int i = 0; i < table->n_columns; i++) {
		bool is_last = i + 1 == table->n_columns;
		char cell[512];

		if (flow)
			show(flow, table->columns[i], cell, sizeof(cell));
		else
			snprintf(cell, sizeof(cell), "%s", table->columns[i]->title);
		/* off a terminal a long cell only pushes the rest of its line */
		if (!table->is_cut && strlen(cell) > table->widths[i])
			cli_cell(cell, 0, COLOUR_NONE);
		else
			cli_cell(cell, table->widths[i],
				 flow ? colour_of(flow, table->columns[i]) : COLOUR_DIM);
		putchar(is_last ? '\n' : ' ');
	}
}

static bool is_wanted(struct json_object *flow, const char *verdict)
{
	return !verdict || strcmp(cli_json_text(flow, "verdict"), verdict) == 0;
}

static int print_flows(struct client *client, bool is_follow, bool is_json, const char *verdict,
		       struct client_error *error)
{
	struct table table = { 0 };
	bool continues = true;

	if (!is_json) {
		lay_out(&table);
		print_row(NULL, &table);
		fflush(stdout);
	}
	while (continues) {
		_cleanup_json_ struct json_object *reply = NULL;
		int timeout = is_follow ? CLIENT_FOR_EVER : CLIENT_TIMEOUT_MS;
		struct json_object *flow;
		int r;

		r = client_receive(client, timeout, &reply, &continues, error);
		if (r)
			return r;
		flow = json_object_object_get(reply, "flow");
		if (!flow || !is_wanted(flow, verdict))
			continue;
		if (is_json)
			cli_json_print(flow);
		else
			print_row(flow, &table);
		if (fflush(stdout) == EOF)
			return CLI_NO;
	}
	return CLI_YES;
}

int cmd_flows(int argc, char **argv)
{
	bool is_follow = false, is_json = false;
	const char *instance = NULL, *verdict = NULL;
	const struct cli_option options[] = {
		{ "follow", &is_follow, NULL, NULL, "go on with every new record" },
		{ "verdict", NULL, &verdict, "VERDICT", "only these: allow or drop" },
		{ "instance", NULL, &instance, "ID", "which instance, if several run" },
		{ "json", &is_json, NULL, NULL, "one JSON object a line" },
	};
	_cleanup_client_ struct client client = CLIENT_CLOSED;
	struct json_object *parameters;
	struct client_error error = { 0 };
	int r;

	r = cli_parse(argc, argv, options, ARRAY_SIZE(options));
	if (r >= 0)
		return r;
	if (verdict && strcmp(verdict, "allow") != 0 && strcmp(verdict, "drop") != 0)
		return cli_error(CLI_USAGE, "flows: --verdict is allow or drop, not \"%s\"",
				 verdict);
	r = client_open(SLUICE_RUN_FOLDER, instance, &client, &error);
	if (r)
		return cli_error(r, "%s", error.text);
	parameters = cli_json_new();
	cli_json_add(parameters, "follow", json_object_new_boolean(is_follow));
	r = client_send(&client, "ListFlows", parameters, true, &error);
	if (!r)
		r = print_flows(&client, is_follow, is_json, verdict, &error);
	return error.status ? cli_error(r, "%s", error.text) : r;
}
