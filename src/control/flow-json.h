/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Flow records as JSON
 *
 * One table names the fields of a flow record. It makes the JSON object (in
 * the table's order), the columns of `sluice flows`, and is what
 * docs/schema/flow.json and control/io.sluice.Control.varlink are tested
 * against. `src` is always the local end and `dst` the remote one, whoever
 * began.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "control/flow-record.h"

enum flow_kind {
	FLOW_KIND_TIME, /* uint64_t microseconds → RFC 3339, UTC */
	FLOW_KIND_ENUM, /* uint32_t → a name */
	FLOW_KIND_U16,
	FLOW_KIND_U32,
	FLOW_KIND_PID, /* uint32_t, 0 → null if the field may be null */
	FLOW_KIND_U64,
	FLOW_KIND_ID,	   /* uint64_t, 0 → null */
	FLOW_KIND_COUNT,   /* uint64_t, RECORD_UNKNOWN → null */
	FLOW_KIND_STRING,  /* const char *, empty → null */
	FLOW_KIND_PATH,	   /* the same; people see its last component */
	FLOW_KIND_ADDRESS, /* 16 bytes → numeric text */
	FLOW_KIND_PROTO,   /* uint8_t → tcp, udp, icmp, icmpv6 or the number */
	_FLOW_KIND_N,
};

struct flow_field {
	const char *name;
	const char *doc;
	enum flow_kind kind;
	uint16_t offset; /* in struct flow_record */
	bool may_be_null;
	const char *const *values; /* FLOW_KIND_ENUM: the names */
	uint8_t n_values;
	uint8_t column; /* place in the table for people, from 1; 0: not shown there */
	uint8_t width;	/* of that column: cells of an 80-column screen */
	const char *title;
};

extern const struct flow_field flow_fields[];
extern const size_t n_flow_fields;

/**
 * flow_json() - a record as a JSON object with every field of the table
 * @ret_json: out: owned by the caller (json_object_put()); on 0 only
 *
 * Return: 0, -EINVAL for an enum out of range, -ENOMEM.
 */
int flow_json(const struct flow_record *record, struct json_object **ret_json);

/**
 * flow_json_line() - an object as one line of NDJSON, without the newline
 *
 * Return: the text, which lives as long as @json and until the next call for
 *         it; NULL without memory.
 */
const char *flow_json_line(struct json_object *json, size_t *ret_bytes);

/** json_clean_string() - @text as a JSON string; bytes that are not UTF-8 become U+FFFD */
struct json_object *json_clean_string(const char *text);
