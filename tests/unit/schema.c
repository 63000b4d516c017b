/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "tests/unit/schema.h"

static bool check(struct json_object *schema, struct json_object *value, const char *where);

static const char *const silent_keywords[] = { "$schema", "$id",	 "title",
					       "format",  "description", NULL };

struct json_object *schema_load(const char *name)
{
	char path[512];
	struct json_object *schema;

	snprintf(path, sizeof(path), SCHEMA_FOLDER "/%s", name);
	schema = json_object_from_file(path);
	if (!schema)
		fprintf(stderr, "schema: %s cannot be read\n", path);
	return schema;
}

static bool is_type(struct json_object *value, const char *name)
{
	static const struct {
		const char *name;
		enum json_type type;
	} types[] = { { "object", json_type_object },	{ "array", json_type_array },
		      { "string", json_type_string },	{ "integer", json_type_int },
		      { "boolean", json_type_boolean }, { "null", json_type_null } };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i].name, name) == 0)
			return json_object_get_type(value) == types[i].type;
	return false;
}

static bool check_type(struct json_object *rule, struct json_object *value, const char *where)
{
	if (json_object_is_type(rule, json_type_string))
		return is_type(value, json_object_get_string(rule));
	for (size_t i = 0; i < json_object_array_length(rule); i++)
		if (is_type(value, json_object_get_string(json_object_array_get_idx(rule, i))))
			return true;
	return false;
}

static bool check_enum(struct json_object *rule, struct json_object *value, const char *where)
{
	for (size_t i = 0; i < json_object_array_length(rule); i++)
		if (json_object_equal(json_object_array_get_idx(rule, i), value))
			return true;
	return false;
}

static bool check_required(struct json_object *rule, struct json_object *value, const char *where)
{
	for (size_t i = 0; i < json_object_array_length(rule); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(rule, i));

		if (!json_object_object_get_ex(value, name, NULL)) {
			fprintf(stderr, "schema: %s lacks %s\n", where, name);
			return false;
		}
	}
	return true;
}

/* stricter than the standard: what is not described is an error, so nothing is forgotten */
static bool check_properties(struct json_object *rule, struct json_object *value, const char *where)
{
	if (!json_object_is_type(value, json_type_object))
		return false;
	json_object_object_foreach(value, name, member)
	{
		struct json_object *schema;

		if (!json_object_object_get_ex(rule, name, &schema)) {
			fprintf(stderr, "schema: %s has %s, which is not described\n", where, name);
			return false;
		}
		if (!check(schema, member, name))
			return false;
	}
	return true;
}

static bool check_items(struct json_object *rule, struct json_object *value, const char *where)
{
	for (size_t i = 0; i < json_object_array_length(value); i++)
		if (!check(rule, json_object_array_get_idx(value, i), where))
			return false;
	return true;
}

static bool check_any(struct json_object *rule, struct json_object *value, const char *where)
{
	for (size_t i = 0; i < json_object_array_length(rule); i++)
		if (check(json_object_array_get_idx(rule, i), value, where))
			return true;
	return false;
}

static bool check_ref(struct json_object *rule, struct json_object *value, const char *where)
{
	return schema_check(json_object_get_string(rule), value);
}

static const struct {
	const char *name;
	bool (*check)(struct json_object *rule, struct json_object *value, const char *where);
} keywords[] = {
	{ "type", check_type },		{ "enum", check_enum },
	{ "required", check_required }, { "properties", check_properties },
	{ "items", check_items },	{ "anyOf", check_any },
	{ "$ref", check_ref },
};

static bool is_silent(const char *keyword)
{
	for (size_t i = 0; silent_keywords[i]; i++)
		if (strcmp(silent_keywords[i], keyword) == 0)
			return true;
	return false;
}

static bool check(struct json_object *schema, struct json_object *value, const char *where)
{
	json_object_object_foreach(schema, keyword, rule)
	{
		bool is_good = is_silent(keyword);

		for (size_t i = 0; i < ARRAY_SIZE(keywords) && !is_good; i++)
			if (strcmp(keywords[i].name, keyword) == 0)
				is_good = keywords[i].check(rule, value, where);
		if (!is_good) {
			fprintf(stderr, "schema: %s fails %s: %.200s\n", where, keyword,
				json_object_to_json_string(value));
			return false;
		}
	}
	return true;
}

bool schema_check(const char *name, struct json_object *value)
{
	struct json_object *schema = schema_load(name);
	bool is_good = schema && check(schema, value, name);

	json_object_put(schema);
	return is_good;
}
