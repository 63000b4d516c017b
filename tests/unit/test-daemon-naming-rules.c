/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: First bytes are read for static rules; and what becomes of a reading when something fails */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "naming-lab.h"
#include "rules-lab.h"
#include "story.h"

/* ---- rules ---- */

static void test_a_rule_with_a_host_has_it_read(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	assert_int_equal(lab_fate(lab, lab_put(lab, &peek_syn)), FATE_ALLOWED);
	assert_false(memory_is_in_force(lab, &peek_syn));
	packet = peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	rules_lab_reason(lab, &peek_syn, "rule 1");
	lab_end_socket(lab, &peek_syn);

	packet = naming_hello(lab);
	naming_tell(lab, "c.example");
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	rules_lab_reason(lab, &peek_syn, "no rule matches");
	assert_false(memory_is_in_force(lab, &peek_syn)); /* the next one is read as well */
	lab_end_socket(lab, &peek_syn);

	packet = naming_hello(lab);
	naming_say(lab, naming_look(lab, 2, 0, "hello"), HOST_NONE, 0, "");
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab->daemon->filters[0].n_flows, 0);
}

static void test_rules_of_two_names_have_it_read(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	memory_resolved(lab, "c.example");
	lab_put(lab, &peek_syn);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
	lab_end_socket(lab, &peek_syn);
	memory_resolved(lab, "d.example"); /* the same for both */
	memory_connect(lab, &peek_syn);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
	lab_end_socket(lab, &peek_syn);
	memory_resolved(lab, "a.example");
	memory_connect(lab, &peek_syn);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_PEEK);
	packet = peek_put_text(lab, 0, "hello");
	naming_say(lab, naming_look(lab, 2, 0, "hello"), HOST_NAMED, FLOW_HOST_HTTP, "d.example");
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_rules_that_no_host_changes_decide_at_once(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, ALL(.action = RULES_DROP, .rport = 80), rules_lab_drop_a);
	assert_int_equal(lab_fate(lab, lab_put(lab, &peek_syn)), FATE_REJECTED);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &tcp)), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_PEEK); /* another port */
}

static void test_what_rules_ask_is_asked_with_the_name(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	GIVE(lab, 0, RULES_ASK, rules_lab_drop_a);
	lab_put(lab, &peek_syn);
	assert_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	peek_put_text(lab, 0, "hello");
	naming_tell(lab, "c.example");
	id = naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "c.example");
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
}

static void test_rules_of_a_dead_filter_have_it_read(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	lab_end_filter(lab, 0);
	packet = naming_hello(lab);
	naming_tell(lab, "a.example");
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

static void test_rules_behind_a_late_filter_have_it_read(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	GIVE(lab, 1, RULES_ALLOW, rules_lab_drop_a);
	packet = lab_put(lab, &peek_syn);
	lab->daemon->filters[0].is_closed = false;
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	packet = peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* new rules come while it is read: it is judged by them, and never by what they say of no name */
static void test_rules_change_while_it_is_read(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t token;

	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	packet = naming_hello(lab);
	token = naming_look(lab, 2, 0, "hello");
	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_b);
	rules_lab_walk(lab);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	naming_say(lab, token, HOST_NAMED, FLOW_HOST_TLS, "x.b.example");
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

static void test_new_rules_have_what_is_asked_read(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &peek_syn);

	naming_told(lab, 0);
	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	rules_lab_walk(lab);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_PEEK);
	packet = peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* ---- faults ---- */

static void test_a_reader_that_dies_is_asked_once_more(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	naming_begin(lab);
	packet = peek_put_text(lab, 0, "hello");
	naming_look(lab, 2, 0, "hello");
	lab_end_names(lab);
	lab_pass(lab, TICK_US);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	naming_tell(lab, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
}

static void test_a_reader_that_dies_of_it_is_not_asked_again(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id = naming_begin(lab);

	packet = peek_put_text(lab, 0, "hello");
	for (unsigned int i = 0; i < NAMING_TRIES_MAX; i++) {
		naming_look(lab, 2, 0, "hello");
		lab_end_names(lab);
		lab_pass(lab, TICK_US);
		lab_pass(lab, TICK_US);
	}
	assert_null(lab_take_look(lab));
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	naming_ask(lab, 0, FLOW_UNREADABLE, FLOW_HOST_NONE, "");
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_a_reader_that_hangs_is_replaced(void **state)
{
	unsigned int n_killed;
	struct lab *lab = *state;

	naming_begin(lab);
	peek_put_text(lab, 0, "hello");
	n_killed = lab->n_killed;
	lab_pass(lab, NAMES_DEADLINE_US);
	assert_int_equal(lab->n_killed, n_killed + 1);
	lab_pass(lab, TICK_US);
	lab_pass(lab, TICK_US);
	naming_tell(lab, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
}

static void test_a_reader_that_is_given_up_holds_nothing(void **state)
{
	struct lab *lab = *state;

	naming_begin(lab);
	lab_end_names(lab);
	lab->daemon->names_session.state = SESSION_FAILED;
	peek_put_text(lab, 0, "hello");
	lab_judge(lab, 0, naming_ask(lab, 0, FLOW_UNREADABLE, FLOW_HOST_NONE, ""), ALLOW);
	lab_end_socket(lab, &peek_syn);
	lab_put(lab, &peek_syn);
	naming_ask(lab, 0, FLOW_UNREAD, FLOW_HOST_NONE, "");
}

static void test_the_filter_dies_while_it_waits(void **state)
{
	struct lab *lab = *state;
	uint64_t id = naming_begin(lab), token;
	unsigned int packet = peek_put_text(lab, 0, "hello");

	token = naming_look(lab, 2, 0, "hello");
	lab_end_filter(lab, 0);
	naming_say(lab, token, HOST_NAMED, FLOW_HOST_TLS, "a.example");
	while (lab->filters[0].sock < 0)
		lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	assert_int_equal(naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example"), id);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

static void test_a_filter_that_hangs_fails_as_it_is_told(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	naming_begin(lab);
	packet = peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	for (unsigned int i = 0; i < 20 && lab_fate(lab, packet) == FATE_HELD; i++)
		lab_pass(lab, FLOW_DEADLINE_US / 10);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_REJECT);
}

static void test_a_successor_reads_it_anew(void **state)
{
	struct lab *lab = *state;
	uint64_t id = naming_begin(lab);

	peek_put_text(lab, 0, "hello");
	naming_look(lab, 2, 0, "hello");
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	naming_wish(lab, 0, lab_take_flow(lab, 0));
	lab_settle(lab);
	naming_tell(lab, "a.example");
	assert_int_equal(naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example"), id);
}

static void test_a_reader_that_says_what_nobody_asked(void **state)
{
	struct wire_host host = { .token = 12345, .name = "a.example" };
	struct lab *lab = *state;
	uint64_t token;

	lab_host(lab, &host);
	naming_begin(lab);
	peek_put_text(lab, 0, "hello");
	token = naming_look(lab, 2, 0, "hello");
	naming_say(lab, token, HOST_NAMED, FLOW_HOST_DNS, "a.example"); /* not its to say */
	naming_say(lab, token, HOST_NAMED, FLOW_HOST_TLS, "b.example"); /* twice */
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_NONE, "");
	assert_null(lab_take(lab, 0, WIRE_FLOW_NEW));
}

/* ---- whatever call of the kernel fails ---- */

static void tell(struct lab *lab, unsigned int nth)
{
	const struct wire_look *look;
	unsigned int packet;
	uint64_t id;

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	fake_fail(lab->kernel, FAKE_ANY, nth, ENOMEM);
	lab_put(lab, &peek_syn);
	id = lab_take_flow(lab, 0);
	if (id)
		naming_wish(lab, 0, id);
	packet = peek_put_text(lab, 0, "hello");
	for (unsigned int i = 0; i < 4; i++)
		lab_pass(lab, TICK_US);
	look = lab_take_look(lab);
	if (look)
		naming_say(lab, look->token, HOST_NAMED, FLOW_HOST_TLS, "a.example");
	while ((id = lab_take_flow(lab, 0)))
		lab_judge(lab, 0, id, DROP);
	lab_pass(lab, FLOW_DEADLINE_US);
	while ((id = lab_take_flow(lab, 0)))
		lab_judge(lab, 0, id, DROP);
	lab_pass(lab, TICK_US);
	assert_int_not_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_no_failure_lets_it_go_unread(void **state)
{
	story_tell_each(tell, true, 8);
}

#define TEST(fn, setup) cmocka_unit_test_setup_teardown(fn, setup, peek_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_rule_with_a_host_has_it_read, naming_one_closed),
		TEST(test_rules_of_two_names_have_it_read, naming_one_closed),
		TEST(test_rules_that_no_host_changes_decide_at_once, naming_one_closed),
		TEST(test_what_rules_ask_is_asked_with_the_name, naming_one_closed),
		TEST(test_rules_of_a_dead_filter_have_it_read, naming_one_closed),
		TEST(test_rules_behind_a_late_filter_have_it_read, naming_two_closed),
		TEST(test_rules_change_while_it_is_read, naming_one_closed),
		TEST(test_new_rules_have_what_is_asked_read, naming_one_closed),
		TEST(test_a_reader_that_dies_is_asked_once_more, naming_one_closed),
		TEST(test_a_reader_that_dies_of_it_is_not_asked_again, naming_one_closed),
		TEST(test_a_reader_that_hangs_is_replaced, naming_one_closed),
		TEST(test_a_reader_that_is_given_up_holds_nothing, naming_one_closed),
		TEST(test_the_filter_dies_while_it_waits, naming_one_closed),
		TEST(test_a_filter_that_hangs_fails_as_it_is_told, naming_one_closed),
		TEST(test_a_successor_reads_it_anew, naming_one_closed),
		TEST(test_a_reader_that_says_what_nobody_asked, naming_one_closed),
		cmocka_unit_test(test_no_failure_lets_it_go_unread),
	};

	return cmocka_run_group_tests_name("daemon-naming-rules", tests, NULL, NULL);
}
