/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: JSON that a command asks with, reads and prints
 *
 * For verbs that ask, print and end. When memory runs out these say so and end the program:
 * half an answer would be a wrong one, and there is nothing to put away. `sluice run`, `serve` and
 * `panic`, which have something, do not come here.
 */

#include <json-c/json.h>

/** cli_json_new(), cli_json_new_list() - an object, an array. Return: never NULL */
struct json_object *cli_json_new(void);
struct json_object *cli_json_new_list(void);

/** cli_json_add() - a member; @value is consumed, NULL means that there was no memory for it */
void cli_json_add(struct json_object *object, const char *name, struct json_object *value);

/** cli_json_append() - an element; @value is consumed */
void cli_json_append(struct json_object *list, struct json_object *value);

/** cli_json_text() - a member as text, numbers too; "" if there is none. Return: never NULL */
const char *cli_json_text(struct json_object *object, const char *name);

/**
 * cli_json_line() - as one line of text
 *
 * json-c leaves out what it has no memory for, and does not say so: the text is read
 * back. Return: NULL when it is not all there.
 */
const char *cli_json_line(struct json_object *object, size_t *ret_bytes);

/** cli_json_print() - one line on stdout */
void cli_json_print(struct json_object *object);
