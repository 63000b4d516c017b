/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of flow fields against its JSON, its schema and the interface text. */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "control-interface.h"
#include "control/flow-json.h"
#include "control/json-message.h"
#include "tests/unit/schema.h"

static struct flow_record sample(void)
{
	return (struct flow_record){
		.time_us = 1795203601000042,
		.event = RECORD_CLOSED,
		.id = 48213,
		.pid = 4711,
		.owner_pid = 4710,
		.uid = 1000,
		.exe = "/usr/bin/curl",
		.command = "curl https://telemetry.example",
		.unit = "app.scope",
		.container = "c1",
		.cgroup = "/user.slice",
		.netns = 4026531840U,
		.protocol = IPPROTO_TCP,
		.direction = RECORD_OUTBOUND,
		.local_address = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 1 },
		.remote_address = { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 },
		.local_port = 40000,
		.remote_port = 443,
		.host = "telemetry.example",
		.host_source = RECORD_HOST_DNS,
		.interface = "eth0",
		.interface_kind = "ethernet",
		.provider = "blocklist",
		.via = "relay",
		.through = "socks, shape",
		.on_behalf_of = 48211,
		.origin_pid = 4700,
		.origin_uid = 1001,
		.origin_exe = "/usr/bin/git",
		.verdict = RECORD_ALLOW,
		.reason = "no rule",
		.bytes_in = 1234,
		.bytes_out = 77,
		.decision_us = 180,
	};
}

static void test_a_record_in_full(void **state)
{
	struct flow_record record = sample();
	_cleanup_json_ struct json_object *json = NULL;

	assert_int_equal(flow_json(&record, &json), 0);
	assert_string_equal(
		flow_json_line(json, NULL),
		"{\"time\":\"2026-11-20T19:40:01.000042Z\",\"event\":\"closed\",\"id\":48213,"
		"\"pid\":4711,\"owner_pid\":4710,\"uid\":1000,\"exe\":\"/usr/bin/curl\","
		"\"command\":\"curl https://telemetry.example\",\"unit\":\"app.scope\","
		"\"container\":\"c1\",\"cgroup\":\"/user.slice\",\"netns\":4026531840,\"proto\":\"tcp\","
		"\"direction\":\"outbound\",\"src\":\"10.0.0.1\",\"sport\":40000,"
		"\"dst\":\"2001:db8::7\",\"dport\":443,\"host\":\"telemetry.example\","
		"\"host_source\":\"dns\",\"interface\":\"eth0\",\"interface_kind\":\"ethernet\","
		"\"provider\":\"blocklist\",\"via\":\"relay\",\"through\":\"socks, shape\",\"on_behalf_of\":48211,"
		"\"origin_pid\":4700,\"origin_uid\":1001,\"origin_exe\":\"/usr/bin/git\",\"verdict\":\"allow\",\"state\":\"judged\",\"reason\":\"no rule\","
		"\"bytes_in\":1234,\"bytes_out\":77,\"decision_us\":180}");
	assert_true(schema_check("flow.json", json));
}

static void test_the_unknown_is_null(void **state)
{
	struct flow_record record = { .bytes_in = RECORD_UNKNOWN,
				      .bytes_out = RECORD_UNKNOWN,
				      .origin_uid = RECORD_UNKNOWN };
	_cleanup_json_ struct json_object *json = NULL;

	assert_int_equal(flow_json(&record, &json), 0);
	for (size_t i = 0; i < n_flow_fields; i++)
		assert_int_equal(json_object_object_get(json, flow_fields[i].name) == NULL,
				 flow_fields[i].may_be_null);
	assert_true(schema_check("flow.json", json));
}

static const char *proto_of(uint8_t protocol, struct json_object **json)
{
	struct flow_record record = { .protocol = protocol };

	json_object_put(*json);
	assert_int_equal(flow_json(&record, json), 0);
	return json_object_get_string(json_object_object_get(*json, "proto"));
}

static void test_protocols_have_names(void **state)
{
	_cleanup_json_ struct json_object *json = NULL;

	assert_string_equal(proto_of(IPPROTO_UDP, &json), "udp");
	assert_string_equal(proto_of(IPPROTO_ICMP, &json), "icmp");
	assert_string_equal(proto_of(IPPROTO_ICMPV6, &json), "icmpv6");
	assert_string_equal(proto_of(132, &json), "132");
}

static void test_foreign_bytes_become_valid_text(void **state)
{
	static const struct {
		const char *text, *clean;
	} cases[] = {
		{ "plain", "plain" },
		{ "h\xc3\xa9", "h\xc3\xa9" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "a\xff", "a\xef\xbf\xbd" },
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },		    /* overlong */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
		{ "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd" },		    /* cut */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ struct json_object *json = json_clean_string(cases[i].text);

		assert_string_equal(json_object_get_string(json), cases[i].clean);
	}
}

static void test_values_out_of_range_are_refused(void **state)
{
	struct flow_record record = { .verdict = _RECORD_VERDICT_N };
	struct json_object *json = NULL;

	assert_int_equal(flow_json(&record, &json), -EINVAL);
	assert_null(json);
}

/* the schema has the table's fields, no more, no less, in its order */
static void test_the_schema_is_the_table(void **state)
{
	_cleanup_json_ struct json_object *schema = schema_load("flow.json");
	struct json_object *properties = json_object_object_get(schema, "properties");
	size_t i = 0;

	assert_int_equal(json_object_array_length(json_object_object_get(schema, "required")),
			 n_flow_fields);
	json_object_object_foreach(properties, name, property)
	{
		struct json_object *values = json_object_object_get(property, "enum");
		struct json_object *doc = json_object_object_get(property, "description");

		assert_true(i < n_flow_fields);
		assert_string_equal(name, flow_fields[i].name);
		assert_string_equal(json_object_get_string(doc), flow_fields[i].doc);
		assert_int_equal(values ? json_object_array_length(values) : 0,
				 flow_fields[i].n_values);
		for (size_t k = 0; k < flow_fields[i].n_values; k++)
			assert_string_equal(
				json_object_get_string(json_object_array_get_idx(values, k)),
				flow_fields[i].values[k]);
		i++;
	}
	assert_int_equal(i, n_flow_fields);
}

/* "type Flow (time: string, …" names the same fields, "?" where null may be */
static void test_the_interface_is_the_table(void **state)
{
	const char *at = strstr(control_interface, "type Flow (");

	assert_non_null(at);
	at += strlen("type Flow (");
	for (size_t i = 0; i < n_flow_fields; i++) {
		size_t n = strlen(flow_fields[i].name);

		at += strspn(at, " ,\n");
		assert_memory_equal(at, flow_fields[i].name, n);
		at += n;
		assert_memory_equal(at, ": ", 2);
		assert_int_equal(at[2] == '?', flow_fields[i].may_be_null);
		at += strcspn(at, ",)");
	}
	assert_int_equal(*at, ')');
}

static void test_columns_are_numbered_without_gaps(void **state)
{
	unsigned int seen = 0, highest = 0;

	for (size_t i = 0; i < n_flow_fields; i++) {
		unsigned int column = flow_fields[i].column;

		if (!column)
			continue;
		assert_false(seen & 1U << column);
		assert_non_null(flow_fields[i].title);
		seen |= 1U << column;
		highest = MAX(highest, column);
	}
	assert_int_equal(seen, (1U << (highest + 1)) - 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_in_full),
		cmocka_unit_test(test_the_unknown_is_null),
		cmocka_unit_test(test_protocols_have_names),
		cmocka_unit_test(test_foreign_bytes_become_valid_text),
		cmocka_unit_test(test_values_out_of_range_are_refused),
		cmocka_unit_test(test_the_schema_is_the_table),
		cmocka_unit_test(test_the_interface_is_the_table),
		cmocka_unit_test(test_columns_are_numbered_without_gaps),
	};

	return cmocka_run_group_tests_name("cli-flow", tests, NULL, NULL);
}
