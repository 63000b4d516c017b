/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "cli/json.h"
#include "cli/why.h"

static int read_id(const char *text, int64_t *ret_id)
{
	char *end;
	long long id;

	errno = 0;
	id = strtoll(text, &end, 10);
	if (errno || *end || end == text || id <= 0)
		return -EINVAL;
	*ret_id = id;
	return 0;
}

static int ask(const char *instance, struct json_object *parameters, struct json_object **ret_reply,
	       struct client_error *error)
{
	_cleanup_client_ struct client client = CLIENT_CLOSED;
	int r = client_open(SLUICE_RUN_FOLDER, instance, &client, error);

	if (r) {
		json_object_put(parameters);
		return r;
	}
	r = client_send(&client, "Why", parameters, false, error);
	if (!r)
		r = client_receive(&client, CLIENT_TIMEOUT_MS, ret_reply, NULL, error);
	if (r == CLI_NOT_FOUND) {
		size_t n = strlen(error->text);

		snprintf(error->text + n, sizeof(error->text) - n,
			 ": `sluice flows --follow` shows what happens from now on");
	}
	return r;
}

int cmd_why(int argc, char **argv)
{
	bool is_last = false, is_denied = false, is_json = false;
	const char *instance = NULL, *flow = NULL;
	const struct cli_option options[] = {
		{ "", NULL, &flow, "FLOW", "id of a flow, from a record or `sluice flows --json`" },
		{ "last", &is_last, NULL, NULL, "the flow that was decided last" },
		{ "denied", &is_denied, NULL, NULL, "with --last: of those denied" },
		{ "instance", NULL, &instance, "ID", "which instance, if several run" },
		{ "json", &is_json, NULL, NULL, "one JSON object" },
	};
	_cleanup_json_ struct json_object *reply = NULL;
	struct json_object *parameters;
	struct client_error error = { 0 };
	int64_t id = 0;
	int r;

	r = cli_parse(argc, argv, options, ARRAY_SIZE(options));
	if (r >= 0)
		return r;
	if (!flow == !is_last || (is_denied && !is_last))
		return cli_error(CLI_USAGE,
				 "why: of which flow? Give its id, or --last, or --last --denied");
	if (flow && read_id(flow, &id) < 0)
		return cli_error(CLI_USAGE, "why: \"%s\" is not the id of a flow", flow);
	parameters = cli_json_new();
	if (flow)
		cli_json_add(parameters, "id", json_object_new_int64(id));
	else
		cli_json_add(parameters, "denied", json_object_new_boolean(is_denied));
	r = ask(instance, parameters, &reply, &error);
	if (r)
		return cli_error(r, "%s", error.text);
	return why_print(json_object_object_get(reply, "why"), is_json, true);
}
