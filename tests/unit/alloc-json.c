/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What of json-c (0.16) without memory is not the tested code's to answer for
 *
 * Its parser takes the copy of a member's name for granted: sluiced dies of it, which is a
 * fault like any other (docs/fault-matrix.md), so that this copy does not fail here. It also
 * leaves out a member that it cannot add. And the copy of a name is not freed when the table
 * cannot grow. Linked with -Wl,--wrap=json_tokener_parse_ex.
 */

#include <json-c/json.h>

#include "alloc.h"

static bool is_first_failure;

struct json_object *__real_json_tokener_parse_ex(struct json_tokener *tokener, const char *text,
						 int n);
struct json_object *__wrap_json_tokener_parse_ex(struct json_tokener *tokener, const char *text,
						 int n);
struct json_object *__wrap_json_tokener_parse_ex(struct json_tokener *tokener, const char *text,
						 int n)
{
	bool had_failed = alloc_has_failed();
	struct json_object *object;

	alloc_spare_names(true);
	object = __real_json_tokener_parse_ex(tokener, text, n);
	alloc_spare_names(false);
	is_first_failure |= !had_failed && alloc_has_failed();
	return object;
}

bool alloc_has_parser_failed(void)
{
	return is_first_failure;
}

const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0"; /* a report is a failure */
}

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:json_object_object_add_ex\n";
}
