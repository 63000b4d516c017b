/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A call on the control socket, and its reply
 *
 * Framing, methods and their parameters; what is no call disconnects.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "control-lab.h"

static void test_methods_answer(void **state)
{
	struct control_lab *lab = *state;

	assert_string_equal(CLIENT_ASK(lab, "{\"method\":\"io.sluice.Control.GetStatus\"}"),
			    "{\"parameters\":{\"status\":{\"instance\":\"unit\"}}}");
	assert_string_equal(CLIENT_ASK(lab, "{\"method\":\"io.sluice.Control.Doctor\"}"),
			    "{\"error\":\"io.sluice.Control.Failed\",\"parameters\":"
			    "{\"reason\":\"No data available\"}}");
	assert_string_equal(CLIENT_ASK(lab, "{\"method\":\"io.sluice.Control.No\"}"),
			    "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":"
			    "{\"method\":\"io.sluice.Control.No\"}}");
}

/* the first two wait, the third is gone before the answer; what was said meanwhile is heard after it */
static void test_doctor_may_answer_later(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.Doctor\"}";
	static const char next[] = "{\"method\":\"io.sluice.Control.GetStatus\"}";
	struct control_lab *lab = *state;
	struct json_inbox inboxes[2];
	int fds[3];

	lab->is_slow = true;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = client_dial(lab);
		client_say(fds[i], call, sizeof(call));
		control_lab_turn(lab);
	}
	client_say(fds[0], next, sizeof(next));
	close(fds[2]);
	for (size_t i = 0; i < ARRAY_SIZE(inboxes); i++) {
		json_inbox_init(&inboxes[i], JSON_REPLY_BYTES_MAX);
		assert_null(client_hear(lab, fds[i], &inboxes[i]));
	}
	control_checked(lab->control);
	for (size_t i = 0; i < ARRAY_SIZE(inboxes); i++) {
		_cleanup_json_ struct json_object *reply = client_hear(lab, fds[i], &inboxes[i]);

		assert_non_null(reply);
		assert_non_null(strstr(flow_json_line(reply, NULL), "No data available"));
	}
	{
		_cleanup_json_ struct json_object *reply = client_hear(lab, fds[0], &inboxes[0]);

		assert_non_null(reply);
		assert_non_null(strstr(flow_json_line(reply, NULL), "\"unit\""));
	}
	for (size_t i = 0; i < ARRAY_SIZE(inboxes); i++) {
		json_inbox_deinit(&inboxes[i]);
		close(fds[i]);
	}
	control_lab_turn(lab);
}

static void test_service_describes_itself(void **state)
{
	struct control_lab *lab = *state;

	assert_non_null(strstr(CLIENT_ASK(lab, "{\"method\":\"org.varlink.service.GetInfo\"}"),
			       "\"interfaces\":[\"org.varlink.service\",\"io.sluice.Control\"]"));
	assert_non_null(strstr(
		CLIENT_ASK(lab, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
				"\"parameters\":{\"interface\":\"io.sluice.Control\"}}"),
		"method ListFlows("));
	assert_non_null(strstr(
		CLIENT_ASK(lab, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
				"\"parameters\":{\"interface\":\"a.b\"}}"),
		"InterfaceNotFound"));
}

static void test_wrong_parameters_are_named(void **state)
{
	struct control_lab *lab = *state;

	assert_non_null(
		strstr(CLIENT_ASK(lab, "{\"method\":\"io.sluice.Control.ListFlows\",\"more\":true,"
				       "\"parameters\":{\"follow\":1}}"),
		       "\"parameter\":\"follow\""));
	assert_non_null(strstr(CLIENT_ASK(lab, "{\"method\":\"io.sluice.Control.GetStatus\","
					       "\"parameters\":{\"x\":null}}"),
			       "\"parameter\":\"x\""));
	assert_non_null(strstr(CLIENT_ASK(lab, "{\"method\":\"io.sluice.Control.ListFlows\"}"),
			       "ExpectedMore"));
}

static void test_broken_messages_disconnect(void **state)
{
	static char deep[512], wide[JSON_CALL_BYTES_MAX + 1];
	struct control_lab *lab = *state;
	size_t n = 0;

	assert_string_equal(CLIENT_ASK(lab, "nonsense"), "");
	assert_string_equal(CLIENT_ASK(lab, "[]"), "");
	assert_string_equal(CLIENT_ASK(lab, "{}"), "");
	assert_string_equal(CLIENT_ASK(lab, ""), "");
	assert_string_equal(CLIENT_ASK(lab, "{\"method\":7}"), "");
	assert_string_equal(CLIENT_ASK(lab, "{\"method\":\"a\",\"more\":1}"), "");
	assert_string_equal(CLIENT_ASK(lab, "{\"method\":\"a\\u0000b\"}"), "");
	assert_string_equal(CLIENT_ASK(lab, "{\"method\":\"\xff\"}"), "");
	assert_string_equal(CLIENT_ASK(lab, "{\"method\":\"a\"} {}"), "");

	n = (size_t)snprintf(deep, sizeof(deep), "{\"method\":\"a\",\"parameters\":{\"x\":");
	memset(deep + n, '[', 100);
	memset(deep + n + 100, ']', 100);
	memcpy(deep + n + 200, "}}", 3);
	assert_string_equal(client_ask(lab, deep, n + 203), "");

	memset(wide, ' ', sizeof(wide));
	assert_string_equal(client_ask(lab, wide, sizeof(wide)), "");
}

static void test_calls_arrive_in_pieces_and_in_heaps(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.GetStatus\"}";
	struct control_lab *lab = *state;
	struct json_inbox inbox;
	int fd = client_dial(lab);

	json_inbox_init(&inbox, JSON_REPLY_BYTES_MAX);
	for (size_t i = 0; i < sizeof(call); i++) {
		client_say(fd, call + i, 1);
		control_lab_turn(lab);
	}
	for (unsigned int i = 0; i < 3000; i++) {
		client_say(fd, call, sizeof(call));
		control_lab_turn(lab);
	}
	/* a half-closed client still gets what it asked for */
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	for (unsigned int i = 0; i < 3001; i++) {
		_cleanup_json_ struct json_object *reply = client_hear(lab, fd, &inbox);

		assert_non_null(reply);
		assert_non_null(json_object_object_get(reply, "parameters"));
	}
	assert_null(client_hear(lab, fd, &inbox));
	json_inbox_deinit(&inbox);
	close(fd);
}

static void test_oneway_is_silent(void **state)
{
	static const char calls[] = "{\"method\":\"io.sluice.Control.GetStatus\",\"oneway\":true}\0"
				    "{\"method\":\"io.sluice.Control.No\",\"oneway\":true}\0"
				    "{\"method\":\"io.sluice.Control.ListFlows\",\"oneway\":true,"
				    "\"more\":true}\0"
				    "{\"method\":\"org.varlink.service.GetInfo\"}";
	struct control_lab *lab = *state;

	assert_non_null(strstr(client_ask(lab, calls, sizeof(calls)), "\"product\":\"sluiced\""));
}

/* it has no answer, which must not keep the next call waiting */
static void test_a_oneway_explain_blocks_nothing(void **state)
{
	static const char calls[] = "{\"method\":\"io.sluice.Control.Explain\",\"oneway\":true,"
				    "\"parameters\":{\"program\":{},\"target\":{}}}\0"
				    "{\"method\":\"org.varlink.service.GetInfo\"}";
	struct control_lab *lab = *state;

	assert_non_null(strstr(client_ask(lab, calls, sizeof(calls)), "\"product\":\"sluiced\""));
}

static void test_inbox_refuses_what_is_too_long(void **state)
{
	struct json_inbox inbox;
	struct json_object *message;
	size_t n;
	char *space;

	json_inbox_init(&inbox, 8);
	assert_int_equal(json_inbox_next(&inbox, &message), JSON_E_MORE);
	assert_int_equal(json_inbox_space(&inbox, &space, &n), 0);
	assert_int_equal(n, 8);
	memset(space, ' ', 8);
	json_inbox_added(&inbox, 8);
	assert_int_equal(json_inbox_next(&inbox, &message), JSON_E_MORE);
	assert_int_equal(json_inbox_space(&inbox, &space, &n), JSON_E_LONG);
	json_inbox_deinit(&inbox);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, control_lab_set_up, control_lab_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_methods_answer),
		TEST(test_doctor_may_answer_later),
		TEST(test_service_describes_itself),
		TEST(test_wrong_parameters_are_named),
		TEST(test_broken_messages_disconnect),
		TEST(test_calls_arrive_in_pieces_and_in_heaps),
		TEST(test_oneway_is_silent),
		TEST(test_a_oneway_explain_blocks_nothing),
		cmocka_unit_test(test_inbox_refuses_what_is_too_long),
	};

	return cmocka_run_group_tests_name("varlink", tests, NULL, NULL);
}
