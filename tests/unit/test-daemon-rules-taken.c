/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Whose rules are in force
 *
 * A set is taken whole or not at all; the one in force stays whatever becomes of the filter's
 * process, until its successor says otherwise.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "rules-lab.h"

/* ---- sets that are not taken ---- */

static void test_a_bad_rule_leaves_the_rules_of_before(void **state)
{
	struct lab *lab = *state;
	const struct wire_rule bad[] = { { .action = RULES_DROP },
					 { .action = RULES_DROP, .exe = "curl" },
					 { .action = RULES_DROP, .host_kind = 1 } };

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW));
	rules_lab_say(lab, 0, bad, ARRAY_SIZE(bad), RULES_DROP);
	rules_lab_outcome(lab, 0, EINVAL, 2, "the path of the program does not begin with /");
	rules_lab_check(lab, &tcp, FATE_ALLOWED);
	assert_string_equal(lab->daemon->filters[0].message,
			    "rule 2: the path of the program does not begin with /: the rules of "
			    "before stay");
}

static void test_half_a_set_is_nothing(void **state)
{
	struct lab *lab = *state;
	const struct wire_rule drop = { .action = RULES_DROP };

	rules_lab_begin(lab, 0);
	lab_say(lab, 0, WIRE_RULE, &drop);
	rules_lab_check(lab, &tcp, FATE_HELD);
	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a); /* the half one is thrown away */
	rules_lab_check(lab, &tcp_again, FATE_ALLOWED);
}

static void check_broken(struct lab *lab, uint16_t type, const void *body)
{
	lab_say(lab, 0, type, body);
	assert_int_equal(lab->n_killed, 1);
}

static void test_a_rule_of_no_set_breaks_the_protocol(void **state)
{
	check_broken(*state, WIRE_RULE, &rules_lab_drop_a);
}

static void test_a_commit_of_no_set_breaks_the_protocol(void **state)
{
	check_broken(*state, WIRE_RULES_COMMIT, &(struct wire_rules_commit){ 0 });
}

static void test_a_full_channel_gets_the_outcome_later(void **state)
{
	struct lab *lab = *state;
	struct lab_packet packet = tcp;

	while (!lab->daemon->filters[0].wants_write) {
		packet.rport++;
		(void)lab_put(lab, &packet);
	}
	rules_lab_say(lab, 0, NULL, 0, RULES_DROP);
	assert_true(lab->daemon->filters[0].ruling.is_outcome_owed);
	while (lab_take_flow(lab, 0))
		;
	lab_settle(lab);
	rules_lab_outcome(lab, 0, 0, 0, "");
}

/* ---- without its process ---- */

static void test_rules_hold_while_the_process_is_dead(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW, .rport = 443));
	lab_end_filter(lab, 0);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &tcp)), FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &tcp));
	assert_int_equal(lab_fate(lab, memory_connect(lab, &udp)), FATE_HELD);
}

static void test_rules_hold_when_it_is_given_up(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW, .rport = 443));
	for (unsigned int i = 0; i <= SESSION_DEATHS_MAX; i++) {
		lab_end_filter(lab, 0);
		lab_pass(lab, SESSION_WAIT_MAX_US);
	}
	assert_int_equal(lab->daemon->filters[0].session.state, SESSION_FAILED);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &tcp)), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &udp)), FATE_REJECTED);
}

/* its rules changed just before it died: what is open must not wait for its successor */
static void test_open_flows_are_judged_by_rules_of_a_dead_process(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	(void)memory_connect(lab, &tcp);
	GIVE(lab, 0, RULES_DROP, rules_lab_drop_a);
	lab_end_filter(lab, 0);
	rules_lab_walk(lab);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
}

static void restart(struct lab *lab, const struct wire_rule *rules, size_t n, uint32_t error)
{
	struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION, .kind = 1 };
	struct wire_ready ready = { .error = error };

	lab_end_filter(lab, 0);
	if (lab->daemon->filters[0].session.state == SESSION_DOWN)
		lab_pass(lab, SESSION_START_US / 2);
	lab_say(lab, 0, WIRE_HELLO, &hello);
	if (rules) {
		rules_lab_say(lab, 0, rules, n, RULES_ASK);
		rules_lab_outcome(lab, 0, 0, 0, "");
	}
	lab_say(lab, 0, WIRE_READY, &ready);
}

static void test_its_successor_without_rules_has_none(void **state)
{
	struct lab *lab = *state;
	const struct wire_rule allow = { .action = RULES_ALLOW };

	GIVE(lab, 0, RULES_ASK, allow);
	(void)memory_connect(lab, &udp);
	restart(lab, &allow, 1, 0);
	rules_lab_walk(lab);
	rules_lab_check(lab, &tcp, FATE_ALLOWED);
	restart(lab, NULL, 0, 0);
	assert_null(lab->daemon->filters[0].ruling.in_force);
	rules_lab_walk(lab);
	assert_int_not_equal(lab_take_flow(lab, 0), 0); /* the open one, again */
}

static void test_its_successor_with_rules_judges_what_is_open(void **state)
{
	struct lab *lab = *state;
	const struct wire_rule drop = { .action = RULES_DROP };

	assert_int_equal(lab_fate(lab, memory_judged(lab, &tcp, 0, MEMORY_FLOW)), FATE_ALLOWED);
	restart(lab, &drop, 1, 0);
	rules_lab_walk(lab);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
}

/* what the kernel had allowed by itself, and what the filter had: sluiced is another one, and knows
 * from where a rule can tell that they are its business */
static void test_sluiceds_successor_knows_the_interface_of_what_is_open(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW, .rport = 443));
	(void)memory_connect(lab, &tcp); /* this one is told */
	(void)memory_connect(lab, &tcp_again);
	assert_int_equal(lab_fate(lab, memory_judged(lab, &udp, 0, MEMORY_FLOW)), FATE_ALLOWED);
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	GIVE(lab, 0, RULES_ALLOW, ALL(.action = RULES_DROP, .interface = "wan"));
	rules_lab_walk(lab);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
	assert_int_equal(lab_flow(lab, &tcp_again)->verdict, SL_REJECT);
	assert_int_equal(lab_flow(lab, &udp)->verdict, SL_REJECT);
	rules_lab_reason(lab, &udp, "rule 1");
}

static void test_a_start_that_fails_changes_no_rules(void **state)
{
	struct lab *lab = *state;
	const struct wire_rule drop = { .action = RULES_DROP };

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW));
	restart(lab, &drop, 1, EINVAL);
	assert_int_equal(lab->daemon->filters[0].session.state, SESSION_FAILED);
	rules_lab_check(lab, &tcp, FATE_ALLOWED);
}

/* the first filter is late and fails open; the second one's rule holds all the same */
static void check_late(struct lab *lab, uint8_t action, enum fate fate)
{
	unsigned int held;

	GIVE(lab, 1, RULES_ASK, ALL(.action = action));
	held = memory_connect(lab, &tcp);
	lab_pass(lab, FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, held), fate);
}

static void test_a_rule_behind_a_late_filter_drops(void **state)
{
	check_late(*state, RULES_DROP, FATE_REJECTED);
	rules_lab_reason(*state, &tcp, "rule 1");
}

static void test_a_rule_behind_a_late_filter_allows(void **state)
{
	struct lab *lab = *state;

	lab->daemon->filters[1].is_closed = true; /* which does not matter: it has answered */
	check_late(lab, RULES_ALLOW, FATE_ALLOWED);
}

static int set_up_two_open(void **state)
{
	*state = running_lab(2, false);
	return 0;
}

#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_bad_rule_leaves_the_rules_of_before, running_one),
		TEST(test_half_a_set_is_nothing, running_one),
		TEST(test_a_rule_of_no_set_breaks_the_protocol, running_one),
		TEST(test_a_commit_of_no_set_breaks_the_protocol, running_one),
		TEST(test_a_full_channel_gets_the_outcome_later, running_one),
		TEST(test_rules_hold_while_the_process_is_dead, running_one),
		TEST(test_rules_hold_when_it_is_given_up, running_one),
		TEST(test_open_flows_are_judged_by_rules_of_a_dead_process, running_one),
		TEST(test_its_successor_without_rules_has_none, running_one),
		TEST(test_its_successor_with_rules_judges_what_is_open, running_one),
		TEST(test_sluiceds_successor_knows_the_interface_of_what_is_open, running_one),
		TEST(test_a_start_that_fails_changes_no_rules, running_one),
		TEST(test_a_rule_behind_a_late_filter_drops, set_up_two_open),
		TEST(test_a_rule_behind_a_late_filter_allows, set_up_two_open),
	};

	return cmocka_run_group_tests_name("daemon-rules-taken", tests, NULL, NULL);
}
