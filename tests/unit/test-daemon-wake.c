/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced after a suspend
 *
 * The clock jumps by eight hours while nobody runs. What waits for a process
 * waits on, what grows old by itself has grown old.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "running-lab.h"

#define NIGHT_US (8 * 3600 * 1000000ULL)

static const struct lab_packet other = {
	.proto = IPPROTO_TCP, .lport = 40003, .rport = 444, .last = 9
};
static const struct lab_packet third = {
	.proto = IPPROTO_TCP, .lport = 40004, .rport = 445, .last = 9
};

static void test_a_held_flow_keeps_its_time(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	lab_sleep(lab, NIGHT_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_equal(lab->daemon->n_deadlines, 0);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

/* the machine stands still at any moment between two ticks */
static void test_a_flow_of_the_last_moment_keeps_its_time(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id;

	lab_oversleep(TICK_US / 2);
	packet = lab_put(lab, &tcp);
	id = lab_take_flow(lab, 0);
	lab_sleep(lab, NIGHT_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_its_time_ends_all_the_same(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	lab_sleep(lab, NIGHT_US);
	lab_pass(lab, FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

/* the packet is read before the tick that notices: its time begins with it */
static void test_a_flow_of_the_morning_is_not_given_a_night(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	lab_oversleep(NIGHT_US);
	packet = lab_put(lab, &tcp);
	lab_sleep(lab, TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, FLOW_DEADLINE_US - TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

static void test_a_filter_that_was_pinged_before_does_not_hang(void **state)
{
	struct lab *lab = *state;

	lab_pass(lab, SESSION_PING_US);
	assert_non_null(lab_take(lab, 0, WIRE_PING));
	lab_sleep(lab, NIGHT_US);
	lab_pass(lab, SESSION_SILENCE_US / 2);
	assert_int_equal(lab->n_killed, 0);
	lab_pass(lab, SESSION_SILENCE_US);
	assert_int_equal(lab->n_killed, 1);
}

static void test_an_answer_to_a_ping_of_before_the_night_is_one(void **state)
{
	struct lab *lab = *state;
	const struct wire_ping *ping;
	struct wire_pong pong;

	lab_pass(lab, SESSION_PING_US);
	ping = lab_take(lab, 0, WIRE_PING);
	assert_non_null(ping);
	pong.token = ping->token;
	lab_sleep(lab, NIGHT_US);
	lab_say(lab, 0, WIRE_PONG, &pong);
	lab_pass(lab, SESSION_SILENCE_US + SESSION_PING_US / 2);
	assert_int_equal(lab->n_killed, 0);
}

static void test_a_filter_that_starts_has_its_time(void **state)
{
	struct lab *lab = *state;

	lab_end_filter(lab, 0);
	lab_pass(lab, TICK_US); /* called again, and says nothing yet */
	lab_sleep(lab, NIGHT_US);
	assert_int_equal(lab->n_killed, 0);
	lab_run_filter(lab, 0);
	assert_int_equal(lab->daemon->filters[0].session.state, SESSION_RUNNING);
}

static void test_an_answer_that_is_being_read_is_read(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &dns_answer);
	uint64_t token = lab_take_look(lab)->token;

	lab_sleep(lab, NIGHT_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_equal(lab->n_killed, 0);
	lab_name(lab, token, "host.example", 9);
	lab_done(lab, token);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(names_count(lab->daemon->names), 1);
}

static void learn_a_name(struct lab *lab)
{
	uint64_t token;

	lab_put(lab, &dns_answer);
	token = lab_take_look(lab)->token;
	lab_name(lab, token, "host.example", 9);
	lab_done(lab, token);
}

static void test_a_name_and_its_verdicts_have_grown_old(void **state)
{
	struct lab *lab = *state;
	const struct wire_flow_new *flow;

	learn_a_name(lab);
	lab_put(lab, &tcp);
	lab_judge_for(lab, 0, lab_take_flow(lab, 0), 0, MEMORY_NAME);
	lab_put(lab, &other);
	assert_int_equal(lab_take_flow(lab, 0), 0); /* known by its name */
	lab_sleep(lab, NIGHT_US);
	lab_put(lab, &third);
	flow = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(flow);
	assert_int_equal(flow->host_source, 0);
}

static void test_an_idle_conversation_is_over(void **state)
{
	struct lab *lab = *state;

	lab_put(lab, &udp);
	lab_judge(lab, 0, lab_take_flow(lab, 0), 0);
	lab_sleep(lab, NIGHT_US);
	assert_non_null(lab_take(lab, 0, WIRE_FLOW_CLOSED));
	lab_put(lab, &udp);
	assert_int_not_equal(lab_take_flow(lab, 0), 0);
}

static void test_the_rules_are_looked_at_and_the_heart_beats(void **state)
{
	struct lab *lab = *state;
	unsigned int n_looks = fake_n_calls(lab->kernel, FAKE_REPAIR), n_beats = lab->n_beats;

	lab_sleep(lab, NIGHT_US);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_REPAIR), n_looks + 1);
	assert_int_equal(lab->n_beats, n_beats + 1);
}

static void beat(struct lab *lab)
{
	unsigned int n_beats = lab->n_beats;

	while (lab->n_beats == n_beats)
		lab_sleep(lab, TICK_US);
}

/* who waits longer than URGENT_WAIT_NS each time is to run before others, until that is long ago */
static void test_who_waits_for_a_processor_is_urgent(void **state)
{
	struct lab *lab = *state;

	beat(lab);
	assert_false(lab->is_late);
	lab_wait_for_processor(10 * URGENT_TIMES_MIN, URGENT_WAIT_NS);
	beat(lab);
	assert_false(lab->is_late);
	lab_wait_for_processor(URGENT_TIMES_MIN - 1, 100 * URGENT_WAIT_NS); /* may be chance */
	beat(lab);
	assert_false(lab->is_late);
	lab_wait_for_processor(URGENT_TIMES_MIN, URGENT_WAIT_NS + 1);
	beat(lab);
	assert_true(lab->is_late);
	for (uint64_t us = 0; us < URGENT_LASTS_US / 2; us += KEEPER_BEAT_MS * 1000)
		beat(lab);
	assert_true(lab->is_late);
	lab_sleep(lab, URGENT_LASTS_US);
	beat(lab);
	assert_false(lab->is_late);
}

/* that would let a busy machine never come to a deadline */
static void test_late_ticks_are_no_sleep(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	for (uint64_t at = 0; at < FLOW_DEADLINE_US; at += 4 * TICK_US)
		lab_sleep(lab, 4 * TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

/* a morning begins with everything at once */
static void test_a_ping_that_meets_a_full_channel_is_sent_later(void **state)
{
	struct lab *lab = *state;
	struct lab_packet packet = udp;

	for (; !lab->daemon->filters[0].wants_write; packet.rport++)
		lab_put(lab, &packet);
	lab_pass(lab, SESSION_PING_US);
	assert_null(lab_take(lab, 0, WIRE_PING)); /* it reads all that there is */
	lab_settle(lab);
	assert_non_null(lab_take(lab, 0, WIRE_PING));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, running_one, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_held_flow_keeps_its_time),
		TEST(test_a_flow_of_the_last_moment_keeps_its_time),
		TEST(test_its_time_ends_all_the_same),
		TEST(test_a_flow_of_the_morning_is_not_given_a_night),
		TEST(test_a_filter_that_was_pinged_before_does_not_hang),
		TEST(test_an_answer_to_a_ping_of_before_the_night_is_one),
		TEST(test_a_filter_that_starts_has_its_time),
		TEST(test_an_answer_that_is_being_read_is_read),
		TEST(test_a_name_and_its_verdicts_have_grown_old),
		TEST(test_an_idle_conversation_is_over),
		TEST(test_the_rules_are_looked_at_and_the_heart_beats),
		TEST(test_who_waits_for_a_processor_is_urgent),
		TEST(test_late_ticks_are_no_sleep),
		TEST(test_a_ping_that_meets_a_full_channel_is_sent_later),
	};

	return cmocka_run_group_tests_name("daemon-wake", tests, NULL, NULL);
}
