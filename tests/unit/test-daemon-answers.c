/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Who may answer, and until when
 *
 * Filters that are late, not asked, full, that die or break the protocol.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "peek-lab.h"
#include "running-lab.h"

static void test_answers_that_nobody_asked_for_are_counted(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	lab_judge(lab, 0, id + 1000, 1);
	lab_judge(lab, 1, id, 1); /* not its turn */
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 0, id, 0);
	lab_judge(lab, 0, id, 1); /* a second one */
	lab_judge(lab, 1, id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab->daemon->filters[0].n_late, 2);
	assert_int_equal(lab->daemon->filters[1].n_late, 1);
	assert_int_equal(lab->daemon->filters[0].session.restarts, 0);
}

static void test_status_tells_when_a_filter_last_gave_a_verdict(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	lab_put(lab, &udp);
	id = lab_take_flow(lab, 0);
	lab_judge(lab, 0, id + 1000, 0); /* that is nobody's */
	assert_int_equal(lab_answered_ago_ms(lab), -1);
	lab_judge(lab, 0, id, 0);
	lab_pass(lab, 3000000);
	lab_judge(lab, 0, id, 0); /* too late */
	assert_int_equal(lab_answered_ago_ms(lab), 3000);
}

/* as much as may go is its verdict, and so is its last word */
static void test_status_tells_when_a_filter_last_judged_bytes(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 5);

	peek_put_text(lab, 0, "hello");
	peek_expect(lab, 0, 0, "hello");
	peek_answer(lab, 0, id + 1000, 0, 5, 3); /* nobody's */
	peek_answer(lab, 0, id, 0, 0, 8);	 /* it wants to see more */
	assert_int_equal(lab_answered_ago_ms(lab), -1);
	peek_put_text(lab, 5, "wor");
	peek_expect(lab, 0, 0, "hellowor");
	peek_answer(lab, 0, id, 0, 8, 2);
	lab_pass(lab, 2000000);
	assert_int_equal(lab_answered_ago_ms(lab), 2000);
	peek_put_text(lab, 8, "ld");
	peek_expect(lab, 0, 8, "ld");
	lab_judge(lab, 0, id, ALLOW);
	lab_pass(lab, 3000000);
	assert_int_equal(lab_answered_ago_ms(lab), 3000);
}

static void test_status_tells_when_a_filter_last_judged_again(void **state)
{
	struct wire_flow_forget again = { .again = 1 };
	struct lab *lab = *state;
	uint64_t id;

	lab_put(lab, &tcp);
	id = lab_take_flow(lab, 0);
	lab_judge(lab, 0, id, ALLOW);
	lab_pass(lab, 3000000);
	lab_say(lab, 0, WIRE_FLOW_FORGET, &again);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_take_flow(lab, 0), id);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_answered_ago_ms(lab), 0);
}

static void test_the_deadline_wins(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	lab_pass(lab, FLOW_DEADLINE_US - 1);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, 1);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
	assert_int_equal(lab->daemon->n_deadlines, 1);
}

static void test_the_deadline_fails_open(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	lab_pass(lab, FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_a_filter_that_is_back_is_asked_anew(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	lab_end_filter(lab, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	assert_int_equal(lab_take_flow(lab, 0), id);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_what_a_filter_said_last_counts(void **state)
{
	struct wire_flow_verdict record = { .verdict = 1 };
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	record.id = lab_take_flow(lab, 0);
	assert_int_equal(channel_send(lab->filters[0].sock, &wire_provider_channel,
				      WIRE_FLOW_VERDICT, &record, NULL, 0, -1),
			 0);
	lab_end_filter(lab, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

static void test_a_filter_that_breaks_the_protocol_is_replaced(void **state)
{
	struct wire_hello hello = { .version = 1, .kind = 1 };
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp), n_spawned = lab->n_spawned;

	lab_say(lab, 0, WIRE_HELLO, &hello);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab->n_killed, 1);
	assert_int_equal(lab->n_spawned, n_spawned + 1);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_run_filter(lab, 0);
	lab_judge(lab, 0, lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_a_filter_that_dies_too_often_fails(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	for (unsigned int i = 0; i <= SESSION_DEATHS_MAX; i++) {
		assert_true(lab->filters[0].sock >= 0);
		lab_end_filter(lab, 0);
		if (i < SESSION_DEATHS_MAX && lab->filters[0].sock < 0) {
			lab->daemon->filters[0].session.spawn_us = daemon_now_us();
			lab_pass(lab, TICK_US);
		}
	}
	assert_int_equal(lab->daemon->filters[0].session.state, SESSION_FAILED);
	assert_string_equal(lab->daemon->filters[0].message,
			    "exited with status 0, 9 times in a row: given up, every flow fails "
			    "closed: put the filter right, then start the instance again");
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	assert_int_equal(lab_fate(lab, lab_put(lab, &tcp6)), FATE_REJECTED);
}

static void test_a_full_channel_holds_flows_until_it_is_read(void **state)
{
	static unsigned int packets[LAB_FLOWS_MAX];
	struct lab_packet packet = udp;
	struct lab *lab = *state;
	size_t n = 0;
	uint64_t id;

	while (n < ARRAY_SIZE(packets) && !lab->daemon->filters[0].wants_write) {
		packet.rport = (uint16_t)(1000 + n);
		packets[n++] = lab_put(lab, &packet);
	}
	assert_true(lab->daemon->filters[0].wants_write);
	id = lab_take_flow(lab, 0);
	lab_judge(lab, 0, id + n - 1, 0); /* the last one: it was not asked about that yet */
	assert_int_equal(lab_fate(lab, packets[n - 1]), FATE_HELD);
	lab_judge(lab, 0, id, 0);
	for (size_t i = 1; i < n; i++) {
		id = lab_take_flow(lab, 0);
		assert_int_not_equal(id, 0);
		lab_judge(lab, 0, id, 0);
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(lab_fate(lab, packets[i]), FATE_ALLOWED);
}

#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answers_that_nobody_asked_for_are_counted, running_two),
		TEST(test_status_tells_when_a_filter_last_gave_a_verdict, running_one),
		cmocka_unit_test_setup_teardown(test_status_tells_when_a_filter_last_judged_bytes,
						peek_one_closed, peek_tear_down),
		TEST(test_status_tells_when_a_filter_last_judged_again, running_one),
		TEST(test_the_deadline_wins, running_one),
		TEST(test_the_deadline_fails_open, running_one_open),
		TEST(test_a_filter_that_is_back_is_asked_anew, running_one),
		TEST(test_what_a_filter_said_last_counts, running_one),
		TEST(test_a_filter_that_breaks_the_protocol_is_replaced, running_one),
		TEST(test_a_filter_that_dies_too_often_fails, running_one),
		TEST(test_a_full_channel_holds_flows_until_it_is_read, running_one),
	};

	return cmocka_run_group_tests_name("daemon-answers", tests, NULL, NULL);
}
