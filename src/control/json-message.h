/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: JSON messages ended by NUL
 *
 * The framing of the Varlink wire format: bytes go in as they come, whole
 * messages come out. A message longer than the limit, nested deeper than
 * JSON_DEPTH_MAX or not strict JSON is refused, and the connection with it:
 * after a broken frame nobody knows where the next one begins.
 *
 * Pure: no descriptor, no clock.
 */

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

#define JSON_CALL_BYTES_MAX (64U << 10) /* what a client may send in one message */
#define JSON_REPLY_BYTES_MAX (4U << 20) /* what our client accepts in one reply */
#define JSON_DEPTH_MAX 16

enum json_error {
	_JSON_E_SUCCESS,
	JSON_E_MORE,   /* no whole message yet: feed bytes */
	JSON_E_LONG,   /* longer than the limit */
	JSON_E_SYNTAX, /* not JSON, not an object, or too deep */
	JSON_E_CALL,   /* an object, but not a call */
};

/** struct json_inbox - bytes received and not yet taken; zero it, then json_inbox_init() */
struct json_inbox {
	char *bytes;
	size_t n_bytes;
	size_t n_allocated;
	size_t n_limit; /* longest message, its NUL included */
};

/** struct json_call - a call; the strings and objects are those of the message it was read from */
struct json_call {
	const char *method;
	struct json_object *parameters; /* NULL: none were given */
	bool is_more;
	bool is_oneway;
};

void json_inbox_init(struct json_inbox *inbox, size_t n_limit);
void json_inbox_deinit(struct json_inbox *inbox);

/**
 * json_inbox_space() - where the next bytes can be put
 * @ret_space: out: at least one byte when the result is 0
 *
 * Return: 0, JSON_E_LONG when the message does not fit, -ENOMEM.
 */
int json_inbox_space(struct json_inbox *inbox, char **ret_space, size_t *ret_bytes);

/** json_inbox_added() - @n_bytes were put into the space */
void json_inbox_added(struct json_inbox *inbox, size_t n_bytes);

/**
 * json_inbox_next() - take the next whole message
 * @ret_message: out: owned by the caller; always an object; on 0 only
 *
 * Return: 0, JSON_E_MORE, JSON_E_SYNTAX, -ENOMEM.
 */
int json_inbox_next(struct json_inbox *inbox, struct json_object **ret_message);

/** json_call_read() - read @message as a call. Return: 0 or JSON_E_CALL */
int json_call_read(struct json_object *message, struct json_call *ret_call);

/**
 * json_add(), json_append() - a member, an element; @value is consumed
 *
 * For what is made part by part when memory may run out: json-c ends the process when
 * @object is NULL. What there was no memory for is missing then, or null.
 */
void json_add(struct json_object *object, const char *name, struct json_object *value);
void json_append(struct json_object *array, struct json_object *value);

static inline void cleanup_json(struct json_object **json)
{
	json_object_put(*json);
}

#define _cleanup_json_ __attribute__((cleanup(cleanup_json)))
