/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced explains
 *
 * Over its control socket: flows that have not happened, asked of filters that
 * answer, die or say nothing, and flows that have. See daemon-lab.h.
 */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "control/json-message.h"
#include "daemon-lab.h"
#include "schema.h"

#define PROGRAM                                                                                    \
	"\"program\":{\"exe\":\"/bin/curl\",\"exe_device\":1,\"exe_inode\":2,\"uid\":1000,"        \
	"\"cgroup_id\":3,\"pid\":4242,\"cgroup\":\"/app.service\"}"
#define TARGET "\"target\":{\"address\":\"198.51.100.9\",\"port\":443,\"proto\":\"tcp\"}"
#define EXPLAIN call("Explain", PROGRAM "," TARGET)

static const struct lab_packet tcp = {
	.proto = IPPROTO_TCP, .lport = 40000, .rport = 443, .last = 9
};

static struct lab *lab;
static int client = -1;

static int set_up(bool is_closed, bool is_proxy)
{
	struct lab_config config = { .n_filters = 2,
				     .is_closed = { is_closed, is_closed },
				     .looks = { true, !is_proxy },
				     .is_proxy = { false, is_proxy } };
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	lab = lab_new(&config);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", lab->folder);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	return 0;
}

static int set_up_closed(void **state)
{
	return set_up(true, false);
}

static int set_up_open(void **state)
{
	return set_up(false, false);
}

/* the second one is a proxy */
static int set_up_proxy(void **state)
{
	return set_up(true, true);
}

static int tear_down(void **state)
{
	client = close_fd(client);
	lab = lab_free(lab);
	return 0;
}

/* its error's last word, or the member @name of its reply; NULL: no answer yet */
static struct json_object *answer(const char *name)
{
	static char text[65536];
	_cleanup_json_ struct json_object *reply = NULL;
	struct json_object *error;
	ssize_t n;

	lab_settle(lab);
	n = recv(client, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return NULL;
	text[n] = '\0';
	reply = json_tokener_parse(text);
	assert_non_null(reply);
	error = json_object_object_get(reply, "error");
	if (error)
		return json_object_new_string(strrchr(json_object_get_string(error), '.') + 1);
	return json_object_get(
		json_object_object_get(json_object_object_get(reply, "parameters"), name));
}

static void call(const char *method, const char *parameters)
{
	char text[1024];
	int n = snprintf(text, sizeof(text),
			 "{\"method\":\"io.sluice.Control.%s\",\"parameters\":{%s}}", method,
			 parameters);

	assert_int_equal(send(client, text, (size_t)n + 1, 0), n + 1);
	lab_settle(lab);
}

static const char *text_of(struct json_object *object, const char *name)
{
	return json_object_get_string(json_object_object_get(object, name));
}

static struct json_object *filter_of(struct json_object *why, size_t index)
{
	return json_object_array_get_idx(json_object_object_get(why, "filters"), index);
}

static void assert_why(struct json_object *why, const char *verdict, const char *by,
		       const char *first, const char *second)
{
	assert_non_null(why);
	assert_true(schema_check("why.json", why));
	assert_true(schema_check("explain.json", why));
	assert_string_equal(text_of(why, "verdict"), verdict);
	assert_string_equal(text_of(why, "by"), by);
	assert_string_equal(text_of(filter_of(why, 0), "how"), first);
	assert_string_equal(text_of(filter_of(why, 1), "how"), second);
}

static void test_each_filter_is_asked_and_the_first_denial_decides(void **state)
{
	_cleanup_json_ struct json_object *why = NULL;
	uint64_t total = lab->daemon->n_total;
	const struct wire_flow_new *flow;
	uint64_t id;

	EXPLAIN;
	flow = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(flow);
	assert_int_equal(flow->pid, 4242);
	assert_int_equal(flow->dport, 443);
	assert_string_equal(flow->unit, "app.service");
	id = flow->id;
	assert_int_equal(lab_take_flow(lab, 1), id);
	lab_judge(lab, 1, id, 1);
	assert_null(answer("why"));
	lab_judge(lab, 0, id, 2);
	why = answer("why");
	assert_why(why, "drop", "filter", "answered", "answered");
	assert_true(json_object_get_boolean(json_object_object_get(why, "silent")));
	assert_true(json_object_get_boolean(json_object_object_get(filter_of(why, 0), "decides")));
	/* nothing of it is left anywhere */
	assert_int_equal(lab->daemon->n_total, total);
	assert_int_equal(lab->daemon->filters[0].n_flows, 0);
	assert_int_equal(lab->daemon->filters[0].n_dropped, 0);
	assert_null(lab_flow(lab, &tcp));
	assert_null(lab->daemon->explanations);
	assert_int_equal(memory_count_answers(lab->daemon->memory), 0);
	assert_int_equal(flow_table_n_held(lab->daemon->flows), 0);
}

static uint64_t wish(unsigned int filter, const char *host, enum flow_reading reading)
{
	const struct wire_flow_new *flow = lab_take(lab, filter, WIRE_FLOW_NEW);
	struct wire_flow_name record = { .reason = "its host first" };

	assert_non_null(flow);
	assert_string_equal(flow->host, host);
	assert_int_equal(flow->host_reading, reading);
	assert_int_equal(flow->again, reading == FLOW_READ);
	record.id = flow->id;
	if (reading == FLOW_READABLE)
		lab_say(lab, filter, WIRE_FLOW_NAME, &record);
	return record.id;
}

/* what the caller says that they name is what they name; without it they name nobody */
static void check_reading(const char *target, const char *host, const char *source)
{
	_cleanup_json_ struct json_object *why = NULL;
	struct json_object *flow;
	uint64_t id;

	call("Explain", target);
	id = wish(0, "", FLOW_READABLE);
	assert_null(answer("why"));
	assert_int_equal(wish(0, host, FLOW_READ), id);
	lab_judge(lab, 1, lab_take_flow(lab, 1), 0); /* as at the first packet */
	lab_judge(lab, 0, id, 1);
	why = answer("why");
	assert_why(why, "drop", "filter", "answered", "answered");
	assert_string_equal(text_of(why, "host_reading"), "would");
	assert_true(
		json_object_get_boolean(json_object_object_get(filter_of(why, 0), "reads_host")));
	assert_false(
		json_object_get_boolean(json_object_object_get(filter_of(why, 1), "reads_host")));
	flow = json_object_object_get(why, "flow");
	assert_string_equal(text_of(flow, "host_source"), source);
	assert_int_equal(lab->daemon->filters[0].n_late, 0);
	assert_null(lab->daemon->explanations);
}

static void test_first_bytes_would_be_read(void **state)
{
	check_reading(PROGRAM "," TARGET, "", "none");
	check_reading(PROGRAM ",\"target\":{\"address\":\"198.51.100.9\",\"port\":443,"
			      "\"proto\":\"tcp\",\"names\":\"ads.example\"}",
		      "ads.example", "tls");
}

/* it never comes to that: the other one denies its first packet */
static void test_a_denial_comes_before_the_reading(void **state)
{
	_cleanup_json_ struct json_object *why = NULL;
	uint64_t id;

	EXPLAIN;
	id = wish(0, "", FLOW_READABLE);
	wish(0, "", FLOW_READ);
	lab_judge(lab, 0, id, 2);
	lab_judge(lab, 1, lab_take_flow(lab, 1), 1);
	why = answer("why");
	assert_why(why, "drop", "filter", "answered", "answered");
	assert_null(json_object_object_get(why, "host_reading"));
	assert_false(json_object_get_boolean(json_object_object_get(why, "silent")));
	assert_true(json_object_get_boolean(json_object_object_get(filter_of(why, 1), "decides")));
}

/* a filter asks once */
static void test_what_was_read_is_not_read_again(void **state)
{
	struct wire_flow_name record = { .reason = "once more" };

	EXPLAIN;
	record.id = wish(0, "", FLOW_READABLE);
	wish(0, "", FLOW_READ);
	lab_say(lab, 0, WIRE_FLOW_NAME, &record);
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
	assert_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	lab_judge(lab, 0, record.id, 0);
	lab_judge(lab, 1, lab_take_flow(lab, 1), 0);
	json_object_put(answer("why"));
	assert_null(lab->daemon->explanations);
}

static void test_a_filter_that_allowed_hears_of_the_end(void **state)
{
	_cleanup_json_ struct json_object *why = NULL;
	const struct wire_flow_closed *closed;
	uint64_t id;

	EXPLAIN;
	id = lab_take_flow(lab, 0);
	lab_judge(lab, 0, id, 0);
	lab_judge(lab, 1, lab_take_flow(lab, 1), 1);
	why = answer("why");
	assert_why(why, "drop", "filter", "answered", "answered");
	lab_pass(lab, 0);
	closed = lab_take(lab, 0, WIRE_FLOW_CLOSED);
	assert_non_null(closed);
	assert_int_equal(closed->id, id);
	assert_null(lab_take(lab, 1, WIRE_FLOW_CLOSED));
}

static void check_late(const char *verdict)
{
	_cleanup_json_ struct json_object *why = NULL;

	EXPLAIN;
	lab_judge(lab, 1, lab_take_flow(lab, 1), 0);
	lab_pass(lab, FLOW_DEADLINE_US);
	why = answer("why");
	assert_why(why, verdict, "fail-class", "late", "answered");
}

static void test_no_answer_is_the_fail_class_closed(void **state)
{
	check_late("drop");
}

static void test_no_answer_is_the_fail_class_open(void **state)
{
	check_late("allow");
}

/* it would not have been asked before the first, which took nearly all the time there is */
static void test_time_is_counted_in_order(void **state)
{
	_cleanup_json_ struct json_object *why = NULL;
	uint64_t id;

	EXPLAIN;
	id = lab_take_flow(lab, 0);
	lab_pass(lab, 1500000);
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t token = lab->daemon->filters[i].session.pinged_us;

		lab_say(lab, i, WIRE_PONG, &(struct wire_pong){ .token = token });
	}
	lab_pass(lab, 1500000);
	lab_judge(lab, 0, id, 0);
	lab_judge(lab, 1, lab_take_flow(lab, 1), 0);
	why = answer("why");
	assert_why(why, "drop", "fail-class", "answered", "late");
}

static void test_a_new_process_is_asked_again(void **state)
{
	_cleanup_json_ struct json_object *why = NULL;

	EXPLAIN;
	lab_judge(lab, 1, lab_take_flow(lab, 1), 0);
	assert_int_not_equal(lab_take_flow(lab, 0), 0);
	lab_end_filter(lab, 0);
	lab_pass(lab, 20000);
	lab_run_filter(lab, 0);
	lab_judge(lab, 0, lab_take_flow(lab, 0), 0);
	why = answer("why");
	assert_why(why, "allow", "filter", "answered", "answered");
}

static void test_a_caller_that_has_gone(void **state)
{
	uint64_t id;

	EXPLAIN;
	id = lab_take_flow(lab, 0);
	client = close_fd(client);
	lab_settle(lab);
	lab_judge(lab, 0, id, 0);
	lab_pass(lab, FLOW_DEADLINE_US);
	assert_null(lab->daemon->explanations);
	lab_judge(lab, 1, id, 0); /* late: ignored */
	assert_int_equal(lab->daemon->filters[1].n_late, 1);
}

static void assert_error(const char *name)
{
	_cleanup_json_ struct json_object *error = answer("why");

	assert_non_null(error);
	assert_string_equal(json_object_get_string(error), name);
}

static void test_bad_questions_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		PROGRAM,
		TARGET,
		"\"program\":{}," TARGET,
		PROGRAM ",\"target\":{}",
		PROGRAM ",\"target\":{\"address\":\"host\",\"port\":1,\"proto\":\"tcp\"}",
		PROGRAM ",\"target\":{\"address\":\"::1\",\"port\":65536,\"proto\":\"tcp\"}",
		PROGRAM ",\"target\":{\"address\":\"::1\",\"port\":-1,\"proto\":\"tcp\"}",
		PROGRAM ",\"target\":{\"address\":\"::1\",\"port\":1,\"proto\":\"icmp\"}",
		PROGRAM ",\"target\":7",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		call("Explain", bad[i]);
		assert_error("InvalidParameter");
	}
	call("ListAddresses", PROGRAM);
	assert_error("InvalidParameter");
	call("Why", "\"id\":-1");
	assert_error("NotFound");
	call("Why", "");
	assert_error("NotFound");
	assert_null(lab->daemon->explanations);
}

static void ask_why(uint64_t id, const char *verdict, const char *by, const char *first,
		    const char *second)
{
	_cleanup_json_ struct json_object *why = NULL;
	char parameters[64] = "";

	if (id)
		snprintf(parameters, sizeof(parameters), "\"id\":%llu", (unsigned long long)id);
	call("Why", parameters);
	why = answer("why");
	assert_why(why, verdict, by, first, second);
}

static void test_why_through_the_life_of_a_flow(void **state)
{
	uint64_t id;

	(void)lab_put(lab, &tcp);
	id = lab_take_flow(lab, 0);
	ask_why(id, "held", "nobody", "waiting", "not-asked");
	lab_judge(lab, 0, id, 0);
	ask_why(id, "held", "nobody", "answered", "waiting");
	lab_judge(lab, 1, lab_take_flow(lab, 1), 1);
	ask_why(id, "drop", "filter", "answered", "answered");
	ends_close_all(lab->daemon);
	assert_null(flow_table_find_id(lab->daemon->flows, id));
	ask_why(id, "drop", "filter", "answered", "answered");
	ask_why(0, "drop", "filter", "answered", "answered");
}

/* it would begin to reach the other side, were it asked */
static void check_proxy(const char *target, uint8_t verdict, const char *reason)
{
	_cleanup_json_ struct json_object *why = NULL;

	call("Explain", target);
	assert_null(lab_take(lab, 1, WIRE_FLOW_NEW));
	lab_judge(lab, 0, lab_take_flow(lab, 0), verdict);
	assert_null(lab_take(lab, 1, WIRE_FLOW_NEW));
	why = answer("why");
	assert_why(why, verdict ? "drop" : "allow", "filter", "answered", "ruled");
	assert_string_equal(text_of(filter_of(why, 1), "reason"), reason);
	assert_null(lab->daemon->explanations);
	assert_int_equal(lab->daemon->filters[1].n_flows, 0);
}

static void test_a_proxy_is_not_asked(void **state)
{
	check_proxy(PROGRAM "," TARGET, 0, "it is asked, and takes the flow or not");
	check_proxy(PROGRAM "," TARGET, 1, "it is asked, and takes the flow or not");
	check_proxy(PROGRAM ",\"target\":{\"address\":\"198.51.100.9\",\"port\":443,"
			    "\"proto\":\"udp\"}",
		    0, "not for this proxy");
}

static void test_a_flow_that_is_not_for_a_proxy(void **state)
{
	lab_say(lab, 1, WIRE_RULES_BEGIN, &(struct wire_rules_begin){ .set = 1 });
	lab_say(lab, 1, WIRE_RULE, &(struct wire_rule){ .action = RULES_ASK, .rport = 80 });
	lab_say(lab, 1, WIRE_RULES_COMMIT, &(struct wire_rules_commit){ .otherwise = RULES_ALLOW });
	check_proxy(PROGRAM "," TARGET, 0, "not for this proxy");
}

int main(void)
{
#define TEST(name, how) cmocka_unit_test_setup_teardown(name, set_up_##how, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_each_filter_is_asked_and_the_first_denial_decides, closed),
		TEST(test_first_bytes_would_be_read, closed),
		TEST(test_a_denial_comes_before_the_reading, closed),
		TEST(test_what_was_read_is_not_read_again, closed),
		TEST(test_a_filter_that_allowed_hears_of_the_end, closed),
		TEST(test_no_answer_is_the_fail_class_closed, closed),
		TEST(test_no_answer_is_the_fail_class_open, open),
		TEST(test_time_is_counted_in_order, closed),
		TEST(test_a_new_process_is_asked_again, closed),
		TEST(test_a_caller_that_has_gone, closed),
		TEST(test_bad_questions_are_refused, closed),
		TEST(test_why_through_the_life_of_a_flow, closed),
		cmocka_unit_test_setup_teardown(test_a_proxy_is_not_asked, set_up_proxy, tear_down),
		cmocka_unit_test_setup_teardown(test_a_flow_that_is_not_for_a_proxy, set_up_proxy,
						tear_down),
	};

	return cmocka_run_group_tests_name("daemon-explain", tests, NULL, NULL);
}
