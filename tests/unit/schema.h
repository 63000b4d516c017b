/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The part of JSON Schema that docs/schema uses
 *
 * type, enum, required, properties, items, anyOf and $ref to a file beside.
 * A keyword that is not known fails the check, so that no schema promises
 * what nobody tests.
 */

#include <stdbool.h>

#include <json-c/json.h>

/** schema_check() - does @value match docs/schema/@name? Says on stderr what does not. */
bool schema_check(const char *name, struct json_object *value);

/** schema_load() - docs/schema/@name; owned by the caller; NULL after saying why */
struct json_object *schema_load(const char *name);
