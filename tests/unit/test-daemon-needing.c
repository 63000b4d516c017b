/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: A filter that needs other rules before it can judge a flow */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "peek-lab.h"
#include "running-lab.h"

#define NEEDING_US 10000000U /* promised in sluice_filter(3) */

static void need(struct lab *lab, unsigned int filter, uint64_t id)
{
	const struct wire_flow_need_rules record = { .id = id, .reason = "today's list" };

	lab_say(lab, filter, WIRE_FLOW_NEED_RULES, &record);
}

/* Return: the flow, which waits for rules */
static uint64_t needing(struct lab *lab, const struct lab_packet *packet, unsigned int *ret_packet)
{
	uint64_t id;

	*ret_packet = lab_put(lab, packet);
	id = lab_take_flow(lab, 0);
	assert_true(id > 0);
	need(lab, 0, id);
	return id;
}

static void expect_asked_again(struct lab *lab, uint64_t id)
{
	const struct wire_flow_new *flow;

	lab_pass(lab, TICK_US);
	flow = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(flow);
	assert_int_equal(flow->id, id);
	assert_true(flow->again);
}

static void expect_refused(struct lab *lab, int error)
{
	const struct wire_flow_refused *refused = lab_take(lab, 0, WIRE_FLOW_REFUSED);

	assert_non_null(refused);
	assert_int_equal(refused->error, error);
}

static void test_it_is_asked_again_when_the_rules_have_changed(void **state)
{
	const struct lab_packet *const packets[] = { &tcp, &udp };
	struct lab *lab = *state;

	for (int i = 0; i < 2; i++) {
		unsigned int packet;
		uint64_t id = needing(lab, packets[i], &packet);

		assert_int_equal(needing_count(lab->daemon, 0), 1);
		lab_live(lab, FLOW_DEADLINE_US + TICK_US); /* longer than an answer may take */
		assert_int_equal(lab_fate(lab, packet), FATE_HELD);
		assert_int_equal(lab_take_flow(lab, 0), 0);
		lab_forget(lab, 0);
		expect_asked_again(lab, id);
		assert_int_equal(lab_fate(lab, packet), FATE_HELD);
		lab_judge(lab, 0, id, i ? DROP : ALLOW);
		assert_int_equal(lab_fate(lab, packet), i ? FATE_REJECTED : FATE_ALLOWED);
		assert_int_equal(needing_count(lab->daemon, 0), 0);
	}
}

static void test_the_fail_class_decides_when_none_come(void **state)
{
	const struct lab_packet *const packets[] = { &tcp, &udp };
	struct lab *lab = *state;
	bool is_closed = lab->config.is_closed[0];

	for (int i = 0; i < 2; i++) {
		unsigned int packet;

		(void)needing(lab, packets[i], &packet);
		lab_live(lab, NEEDING_US - TICK_US);
		assert_int_equal(lab_fate(lab, packet), FATE_HELD);
		lab_live(lab, 2 * TICK_US);
		assert_int_equal(lab_fate(lab, packet), is_closed ? FATE_REJECTED : FATE_ALLOWED);
	}
	assert_int_equal(lab->daemon->filters[0].n_late, 2);
}

/* or one that says it after each change would hold it for ever */
static void test_the_time_is_that_of_all_attempts(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id = needing(lab, &tcp, &packet);
	uint64_t us = 0;

	for (; us < NEEDING_US + FLOW_DEADLINE_US; us += NEEDING_US / 10) {
		lab_live(lab, NEEDING_US / 10 - TICK_US);
		lab_forget(lab, 0);
		lab_pass(lab, TICK_US);
		if (lab_take_flow(lab, 0) != id)
			break;
		need(lab, 0, id);
	}
	lab_live(lab, FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

static void test_twice_without_a_change_is_told(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id = needing(lab, &tcp, &packet);

	need(lab, 0, id);
	expect_refused(lab, EALREADY);
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
	lab_judge(lab, 0, id, ALLOW); /* what it asks for comes first */
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_forget(lab, 0);
	expect_asked_again(lab, id);
	need(lab, 0, id); /* they have changed since */
	assert_null(lab_take(lab, 0, WIRE_FLOW_REFUSED));
	lab_forget(lab, 0);
	expect_asked_again(lab, id);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_of_a_flow_that_nobody_asked_about(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	need(lab, 0, id);
	expect_refused(lab, EINVAL);
	need(lab, 0, id + 1); /* of none: it may have ended */
	assert_null(lab_take(lab, 0, WIRE_FLOW_REFUSED));
	assert_int_equal(lab->daemon->filters[0].n_late, 2);
}

/* it is no pause of the filter's own, and no verdict but by an update */
static void test_an_update_decides_it_and_a_resume_does_not(void **state)
{
	const struct wire_flow_pause resume = { 0 };
	struct wire_flow_pause record = resume;
	struct wire_flow_update update = { .verdict = 1 };
	struct lab *lab = *state;
	unsigned int packet;

	update.id = record.id = needing(lab, &tcp, &packet);
	lab_say(lab, 0, WIRE_FLOW_PAUSE, &record);
	assert_int_equal(needing_count(lab->daemon, 0), 1);
	lab_say(lab, 0, WIRE_FLOW_UPDATE, &update);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

static void test_rules_that_decide_it_do_so(void **state)
{
	const struct wire_rules_begin begin = { .set = 1 };
	const struct wire_rule rule = { .action = 2, .rport = 443 };
	const struct wire_rules_commit commit = { 0 };
	struct lab *lab = *state;
	unsigned int ruled, asked;
	uint64_t id;

	(void)needing(lab, &tcp, &ruled);
	id = needing(lab, &udp, &asked);
	lab_say(lab, 0, WIRE_RULES_BEGIN, &begin);
	lab_say(lab, 0, WIRE_RULE, &rule);
	lab_say(lab, 0, WIRE_RULES_COMMIT, &commit);
	lab_pass(lab, TICK_US);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_fate(lab, ruled), FATE_REJECTED);
	assert_int_equal(lab_fate(lab, asked), FATE_HELD);
	assert_int_equal(lab_take_flow(lab, 0), id); /* no rule is about it */
	lab_say(lab, 0, WIRE_RULES_BEGIN, &begin);
	lab_say(lab, 0, WIRE_RULE, &rule);
	need(lab, 0, id);
	lab_say(lab, 0, WIRE_RULES_COMMIT, &commit); /* the same ones: nothing has changed */
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_take_flow(lab, 0), 0);
}

static void test_another_process_is_asked(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id = needing(lab, &tcp, &packet);

	lab_end_filter(lab, 0);
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	assert_int_equal(lab_take_flow(lab, 0), id);
	need(lab, 0, id); /* it loads them, too */
	assert_null(lab_take(lab, 0, WIRE_FLOW_REFUSED));
	lab_forget(lab, 0);
	expect_asked_again(lab, id);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_each_filter_has_its_own(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id = needing(lab, &tcp, &packet);

	lab_forget(lab, 1); /* not whose turn it is */
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_take_flow(lab, 0), 0);
	lab_forget(lab, 0);
	expect_asked_again(lab, id);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_take_flow(lab, 1), id);
	need(lab, 1, id);
	lab_forget(lab, 1);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_take_flow(lab, 1), id);
	lab_judge(lab, 1, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

static void test_bytes_are_shown_again(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 5);
	unsigned int packet = peek_put_text(lab, 0, "hello"), more;

	peek_expect(lab, 0, 0, "hello");
	need(lab, 0, id);
	more = peek_put_text(lab, 5, " world");
	lab_live(lab, FLOW_DEADLINE_US + TICK_US);
	peek_expect_nothing(lab, 0);
	need(lab, 0, id);
	expect_refused(lab, EALREADY);
	lab_forget(lab, 0);
	lab_pass(lab, TICK_US);
	peek_expect(lab, 0, 0, "hello");
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, more), FATE_ALLOWED);
}

static void test_bytes_that_no_rules_come_for(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 5);
	unsigned int packet = peek_put_text(lab, 0, "hello");
	bool is_closed = lab->config.is_closed[0];

	peek_expect(lab, 0, 0, "hello");
	need(lab, 0, id);
	lab_live(lab, NEEDING_US - TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_live(lab, 2 * TICK_US);
	assert_int_equal(lab_fate(lab, packet), is_closed ? FATE_SILENT : FATE_ALLOWED);
	assert_int_equal(peek_is_destroyed(lab), is_closed);
}

#define TEST(name, set_up) cmocka_unit_test_setup_teardown(name, set_up, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_it_is_asked_again_when_the_rules_have_changed, running_one),
		TEST(test_the_fail_class_decides_when_none_come, running_one),
		TEST(test_the_fail_class_decides_when_none_come, running_one_open),
		TEST(test_the_time_is_that_of_all_attempts, running_one),
		TEST(test_twice_without_a_change_is_told, running_one),
		TEST(test_of_a_flow_that_nobody_asked_about, running_one),
		TEST(test_an_update_decides_it_and_a_resume_does_not, running_one),
		TEST(test_rules_that_decide_it_do_so, running_one),
		TEST(test_another_process_is_asked, running_one),
		TEST(test_each_filter_has_its_own, running_two),
		TEST(test_bytes_are_shown_again, peek_one_closed),
		TEST(test_bytes_that_no_rules_come_for, peek_one_closed),
		TEST(test_bytes_that_no_rules_come_for, peek_one_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
