/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "base/text.h"
#include "cli/client.h"

int client_ask(int argc, char **argv, const char *method, struct client_asked *ret_asked)
{
	struct client_asked asked = { 0 };
	const struct cli_option options[] = {
		{ "instance", NULL, &asked.instance, "ID", "which one, if several run" },
		{ "json", &asked.is_json, NULL, NULL, "one JSON object" },
	};
	_cleanup_client_ struct client client = CLIENT_CLOSED;
	int r = cli_parse(argc, argv, options, ARRAY_SIZE(options));

	if (r >= 0)
		return r;
	r = client_open(SLUICE_RUN_FOLDER, asked.instance, &client, &asked.error);
	if (!r)
		r = client_call(&client, method, &asked.reply, &asked.error);
	asked.error.status = r;
	*ret_asked = asked;
	if (client.instance[0]) {
		text_copy(ret_asked->found, sizeof(ret_asked->found), client.instance);
		ret_asked->instance = ret_asked->found;
	}
	return -1;
}
