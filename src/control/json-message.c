/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "control/json-message.h"

#define INBOX_STEP_BYTES 4096U

void json_inbox_init(struct json_inbox *inbox, size_t n_limit)
{
	*inbox = (struct json_inbox){ .n_limit = n_limit };
}

void json_inbox_deinit(struct json_inbox *inbox)
{
	free(inbox->bytes);
	json_inbox_init(inbox, inbox->n_limit);
}

int json_inbox_space(struct json_inbox *inbox, char **ret_space, size_t *ret_bytes)
{
	if (inbox->n_bytes == inbox->n_allocated) {
		size_t n = MAX(2 * inbox->n_allocated, INBOX_STEP_BYTES);
		char *bytes;

		n = MIN(n, inbox->n_limit);
		if (n == inbox->n_allocated)
			return JSON_E_LONG;
		bytes = realloc(inbox->bytes, n);
		if (!bytes)
			return -ENOMEM;
		inbox->bytes = bytes;
		inbox->n_allocated = n;
	}
	*ret_space = inbox->bytes + inbox->n_bytes;
	*ret_bytes = inbox->n_allocated - inbox->n_bytes;
	return 0;
}

void json_inbox_added(struct json_inbox *inbox, size_t n_bytes)
{
	inbox->n_bytes += n_bytes;
}

/* @text is @n_bytes long, its NUL not counted, and is nothing but one object */
static int parse_object(const char *text, size_t n_bytes, struct json_object **ret_object)
{
	struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	struct json_object *object;
	bool is_object = text[strspn(text, " \t\r\n")] == '{', is_refused;

	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	/* with its NUL: the tokener then knows that no more comes */
	object = json_tokener_parse_ex(tokener, text, (int)n_bytes + 1);
	is_refused = json_tokener_get_error(tokener) != json_tokener_success;
	json_tokener_free(tokener);
	if (!object && is_object && !is_refused)
		return -ENOMEM; /* it found nothing wrong */
	if (!json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return JSON_E_SYNTAX;
	}
	*ret_object = object;
	return 0;
}

int json_inbox_next(struct json_inbox *inbox, struct json_object **ret_message)
{
	const char *end = inbox->n_bytes ? memchr(inbox->bytes, 0, inbox->n_bytes) : NULL;
	size_t n;
	int r;

	if (!end)
		return JSON_E_MORE;
	n = (size_t)(end - inbox->bytes);
	r = parse_object(inbox->bytes, n, ret_message);
	if (r)
		return r;
	inbox->n_bytes -= n + 1;
	memmove(inbox->bytes, inbox->bytes + n + 1, inbox->n_bytes);
	return 0;
}

/* an absent or null member is false */
static int read_flag(struct json_object *message, const char *name, bool *ret_flag)
{
	struct json_object *flag = json_object_object_get(message, name);

	if (flag && !json_object_is_type(flag, json_type_boolean))
		return JSON_E_CALL;
	*ret_flag = flag && json_object_get_boolean(flag);
	return 0;
}

int json_call_read(struct json_object *message, struct json_call *ret_call)
{
	struct json_object *method = json_object_object_get(message, "method");
	struct json_call call = { .parameters = json_object_object_get(message, "parameters") };

	if (!json_object_is_type(method, json_type_string))
		return JSON_E_CALL;
	if (call.parameters && !json_object_is_type(call.parameters, json_type_object))
		return JSON_E_CALL;
	if (read_flag(message, "more", &call.is_more) ||
	    read_flag(message, "oneway", &call.is_oneway))
		return JSON_E_CALL;
	call.method = json_object_get_string(method);
	/* "a\u0000b" is a string to JSON, and another one to C */
	if (strlen(call.method) != (size_t)json_object_get_string_len(method))
		return JSON_E_CALL;
	*ret_call = call;
	return 0;
}

void json_add(struct json_object *object, const char *name, struct json_object *value)
{
	if (!object || json_object_object_add(object, name, value) < 0)
		json_object_put(value);
}

void json_append(struct json_object *array, struct json_object *value)
{
	if (!array || json_object_array_add(array, value) < 0)
		json_object_put(value);
}
