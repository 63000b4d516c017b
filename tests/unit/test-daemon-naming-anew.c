/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Filters that are started again while a name is read, or that look at what comes in as well */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "naming-lab.h"
#include "rules-lab.h"

static void restart(struct lab *lab, unsigned int filter)
{
	lab_end_filter(lab, filter);
	while (lab->filters[filter].sock < 0)
		lab_pass(lab, TICK_US);
	lab_run_filter(lab, filter);
	lab_pass(lab, TICK_US);
}

static void look_at_what_comes_in(struct lab *lab, unsigned int filter, uint64_t id)
{
	struct wire_flow_peek wish = { .id = id, .inbound = 1, .peek_in = 3, .reason = "looks" };

	lab_say(lab, filter, WIRE_FLOW_PEEK, &wish);
}

/* filter 0 looks at what comes in, filter 1 waits for the name. Return: the flow's id */
static uint64_t begin_with_one_that_looks(struct lab *lab)
{
	uint64_t id;

	id = naming_come(lab);
	look_at_what_comes_in(lab, 0, id);
	naming_wish(lab, 1, naming_told(lab, 1));
	return id;
}

static void test_who_is_told_anew_may_wait_as_well(void **state)
{
	struct lab *lab = *state;
	uint64_t id = begin_with_one_that_looks(lab);
	const struct wire_flow_new *flow;
	unsigned int packet;

	restart(lab, 0);
	flow = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(flow);
	assert_int_equal(flow->host_reading, FLOW_READABLE);
	naming_wish(lab, 0, id);
	packet = peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
	naming_ask(lab, 1, FLOW_READ, FLOW_HOST_TLS, "a.example");
	lab_judge(lab, 1, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* its process knows nothing of a flow that the one of before wanted to look at */
static void test_it_is_told_of_a_flow_held_elsewhere(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	id = naming_come(lab);
	peek_at(lab, 0, id, false, 5);
	naming_told(lab, 1);
	restart(lab, 0);
	lab_judge(lab, 1, id, ALLOW);
	peek_put_text(lab, 0, "hello");
	peek_expect_nothing(lab, 0);
}

static void test_it_looks_once_it_has_been_told(void **state)
{
	struct lab *lab = *state;
	const struct wire_flow_new *flow;
	uint64_t id;

	id = naming_come(lab);
	peek_at(lab, 0, id, false, 5);
	naming_told(lab, 1);
	restart(lab, 0);
	lab_judge(lab, 1, id, ALLOW);
	lab_pass(lab, TICK_US);
	flow = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(flow);
	assert_int_equal(flow->again, 1);
	peek_at(lab, 0, id, false, 5);
	peek_put_text(lab, 0, "hello");
	peek_expect(lab, 0, 0, "hello");
}

/* which it is told of once, though all flows are judged again by its rules */
static void test_it_is_told_once_with_rules(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	id = naming_come(lab);
	peek_at(lab, 0, id, false, 5);
	restart(lab, 0);
	assert_int_equal(lab_take_flow(lab, 0), id);
	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_DROP, .rport = 7));
	rules_lab_walk(lab);
	assert_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	peek_at(lab, 0, id, false, 5);
	peek_put_text(lab, 0, "hello");
	peek_expect(lab, 0, 0, "hello");
}

/* its rules want the name between what it was told and its answer, which is void */
static void test_an_answer_of_before_does_not_look(void **state)
{
	struct lab *lab = *state;
	uint64_t id = begin_with_one_that_looks(lab);
	unsigned int packet;

	restart(lab, 0);
	assert_non_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	rules_lab_walk(lab);
	look_at_what_comes_in(lab, 0, id);
	packet = peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* the server speaks first, and is held for a filter that now waits: the client waits for it */
static void test_a_greeting_is_not_held_for_a_name(void **state)
{
	const struct lab_packet greeting = peek_in(ACK, 5001, "220 hello");
	struct lab *lab = *state;
	const struct wire_flow_new *flow;
	uint64_t id = begin_with_one_that_looks(lab);
	unsigned int packet;

	peek_connect(lab, &peek_syn, 5001);
	restart(lab, 0);
	assert_non_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	naming_wish(lab, 0, id);
	packet = lab_put(lab, &greeting);
	lab_pass(lab, NAMING_MORE_US);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	flow = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(flow);
	assert_int_equal(flow->host_reading, FLOW_UNREADABLE);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

/* ---- what comes in, after the name ---- */

static void test_what_came_in_was_not_shown_which_is_not_passed_over(void **state)
{
	struct lab *lab = *state;
	uint64_t id = naming_begin(lab);
	unsigned int packet = peek_put_text(lab, 0, "hello");

	naming_tell(lab, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
	look_at_what_comes_in(lab, 0, id);
	assert_int_equal(lab_fate(lab, packet),
			 lab->config.is_closed[0] ? FATE_SILENT : FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict,
			 lab->config.is_closed[0] ? SL_REJECT : SL_ALLOW);
	rules_lab_reason(lab, &peek_syn,
			 lab->config.is_closed[0]
				 ? "filter0 wants to see what has come in: fails closed"
				 : "filter0 wants to see what has come in: fails open");
}

/* another one has looked at it all the while */
static void test_what_is_held_for_another_is_shown_after_the_name(void **state)
{
	const struct lab_packet answer = peek_in(ACK, 5001, "200");
	struct lab *lab = *state;
	uint64_t id = begin_with_one_that_looks(lab);
	unsigned int packet;

	peek_connect(lab, &peek_syn, 5001);
	peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	naming_ask(lab, 1, FLOW_READ, FLOW_HOST_TLS, "a.example");
	look_at_what_comes_in(lab, 1, id);
	packet = lab_put(lab, &answer);
	peek_expect(lab, 0, 0, "200");
	lab_judge(lab, 0, id, ALLOW);
	peek_expect(lab, 1, 0, "200");
	lab_judge(lab, 1, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

#define TEST(fn, setup) cmocka_unit_test_setup_teardown(fn, setup, peek_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_who_is_told_anew_may_wait_as_well, naming_two_closed),
		TEST(test_it_is_told_of_a_flow_held_elsewhere, naming_two_closed),
		TEST(test_it_looks_once_it_has_been_told, naming_two_closed),
		TEST(test_it_is_told_once_with_rules, naming_one_closed),
		TEST(test_an_answer_of_before_does_not_look, naming_two_closed),
		TEST(test_a_greeting_is_not_held_for_a_name, naming_two_closed),
		TEST(test_what_came_in_was_not_shown_which_is_not_passed_over, naming_one_closed),
		TEST(test_what_came_in_was_not_shown_which_is_not_passed_over, naming_one_open),
		TEST(test_what_is_held_for_another_is_shown_after_the_name, naming_two_closed),
	};

	return cmocka_run_group_tests_name("daemon-naming-anew", tests, NULL, NULL);
}
