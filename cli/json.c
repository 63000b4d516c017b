/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/json.h"

_Noreturn static void end(void)
{
	exit(cli_error(CLI_NO, "out of memory: end some programs, then try again"));
}

struct json_object *cli_json_new(void)
{
	struct json_object *object = json_object_new_object();

	if (!object)
		end();
	return object;
}

struct json_object *cli_json_new_list(void)
{
	struct json_object *list = json_object_new_array();

	if (!list)
		end();
	return list;
}

void cli_json_append(struct json_object *list, struct json_object *value)
{
	if (json_object_array_add(list, value) == 0)
		return;
	json_object_put(value);
	end();
}

void cli_json_add(struct json_object *object, const char *name, struct json_object *value)
{
	if (value && json_object_object_add(object, name, value) == 0)
		return;
	json_object_put(value);
	end();
}

const char *cli_json_text(struct json_object *object, const char *name)
{
	struct json_object *value = json_object_object_get(object, name);
	const char *text = value ? json_object_get_string(value) : "";

	if (!text)
		end();
	return text;
}

static bool is_whole(const char *text, size_t n, struct json_object *object)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *again = NULL;
	bool r;

	if (tokener)
		again = json_tokener_parse_ex(tokener, text, (int)n + 1);
	r = again && json_object_equal(object, again);
	json_object_put(again);
	if (tokener)
		json_tokener_free(tokener);
	return r;
}

const char *cli_json_line(struct json_object *object, size_t *ret_bytes)
{
	const char *text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_bytes);

	return text && is_whole(text, *ret_bytes, object) ? text : NULL;
}

void cli_json_print(struct json_object *object)
{
	size_t n;
	const char *text = cli_json_line(object, &n);

	if (!text)
		end();
	puts(text);
}
