/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A filter that floods sluiced with static rules
 *
 * Whatever it begins, repeats, or leaves half done: what is kept of it is
 * bounded, the rules of before hold, and the other filter is served in between.
 */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon-lab-memory.h"
#include "wire/rule.h"

#define SETS_MAX 4096U /* a flood that is not noticed until then never is */

static void begin(struct lab *lab)
{
	lab_say(lab, 0, WIRE_RULES_BEGIN, &(struct wire_rules_begin){ .set = 1 });
}

static void say_rule(struct lab *lab, const struct wire_rule *rule)
{
	lab_say(lab, 0, WIRE_RULE, rule);
}

static void commit(struct lab *lab, uint8_t otherwise)
{
	lab_say(lab, 0, WIRE_RULES_COMMIT, &(struct wire_rules_commit){ .otherwise = otherwise });
}

static uint32_t take_error(struct lab *lab)
{
	const struct wire_rules_done *done = lab_take(lab, 0, WIRE_RULES_DONE);

	assert_non_null(done);
	return done->error;
}

/* filter 0 drops what goes to port 443, by a set that is the first */
static void give_first(struct lab *lab)
{
	const struct wire_rule web = { .action = RULES_DROP, .rport = 443 };

	begin(lab);
	say_rule(lab, &web);
	commit(lab, RULES_ALLOW);
	assert_int_equal(take_error(lab), 0);
}

static void check_first_holds(struct lab *lab)
{
	assert_int_equal(lab_fate(lab, memory_connect(lab, &tcp)), FATE_REJECTED);
	lab_end_socket(lab, &tcp);
}

static struct wire_rule rule_no(uint32_t i)
{
	struct wire_rule rule = { .action = RULES_DROP, .family = 4, .bits = 128 };

	memcpy(rule.remote, (uint8_t[16]){ [10] = 0xff, 0xff, 10 }, sizeof(rule.remote));
	rule.remote[13] = (uint8_t)(i >> 16);
	rule.remote[14] = (uint8_t)(i >> 8);
	rule.remote[15] = (uint8_t)i;
	return rule;
}

static const struct ruling *ruling_of(const struct lab *lab)
{
	return &lab->daemon->filters[0].ruling;
}

/* @n rules, as fast as they are read */
static void pour(struct lab *lab, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n && !lab->n_killed; i++) {
		struct wire_rule rule = rule_no(i);

		say_rule(lab, &rule);
	}
}

static void test_a_set_without_an_end(void **state)
{
	struct lab *lab = *state;

	give_first(lab);
	begin(lab);
	pour(lab, 0, WIRE_RULES_MAX);
	assert_int_equal(rules_count(ruling_of(lab)->coming), WIRE_RULES_MAX);
	check_first_holds(lab);
	pour(lab, 0, WIRE_RULES_MAX); /* they do not pay for themselves any more */
	assert_int_equal(lab->n_killed, 1);
	assert_null(ruling_of(lab)->coming);
	check_first_holds(lab);
}

static void test_sets_begun_and_left(void **state)
{
	struct lab *lab = *state;

	give_first(lab);
	for (unsigned int i = 0; i < SETS_MAX && !lab->n_killed; i++) {
		begin(lab);
		pour(lab, i, 10);
		if (!lab->n_killed)
			assert_int_equal(rules_count(ruling_of(lab)->coming), 10);
	}
	assert_int_equal(lab->n_killed, 1);
	check_first_holds(lab);
}

/* each takes back all promises and begins two walks; @pause_us: between two of them */
static void flood_sets(struct lab *lab, uint64_t pause_us)
{
	unsigned int n = 0;

	for (; n < SETS_MAX && !lab->n_killed; n++) {
		begin(lab);
		if (!lab->n_killed)
			commit(lab, n % 2 ? RULES_ALLOW : RULES_DROP);
		while (!lab->n_killed && lab_take(lab, 0, WIRE_RULES_DONE))
			;
		lab_pass(lab, pause_us);
	}
	assert_int_equal(lab->n_killed, 1);
}

static void test_sets_at_full_speed(void **state)
{
	flood_sets(*state, 0);
	assert_non_null(ruling_of(*state)->in_force);
}

static void test_sets_nearly_at_full_speed(void **state)
{
	flood_sets(*state, 2000);
}

static void test_as_large_as_can_be_again_and_again(void **state)
{
	struct lab *lab = *state;

	for (uint32_t set = 0; set < 3; set++) {
		begin(lab);
		pour(lab, set, WIRE_RULES_MAX);
		commit(lab, RULES_ALLOW);
		assert_int_equal(take_error(lab), 0);
		assert_int_equal(rules_count(ruling_of(lab)->in_force), WIRE_RULES_MAX);
		assert_null(ruling_of(lab)->coming);
		assert_null(ruling_of(lab)->next);
		lab_pass(lab, TICK_US);
	}
	assert_int_equal(lab->n_killed, 0); /* which is its right */
}

static void test_rules_that_would_all_be_looked_at(void **state)
{
	struct lab *lab = *state;
	struct wire_rule rule = { .action = RULES_DROP, .lport = 1 };

	give_first(lab);
	begin(lab);
	for (uint32_t i = 0; i < 2 * RULES_WORK_MAX; i++) {
		rule.lport_last = (uint16_t)(2 + i);
		say_rule(lab, &rule);
	}
	commit(lab, RULES_ALLOW);
	assert_int_equal(take_error(lab), EOVERFLOW);
	check_first_holds(lab);
}

/* a mistake is no flood */
static void test_a_bad_rule_in_front_of_a_long_set_is_told(void **state)
{
	struct lab *lab = *state;

	give_first(lab);
	begin(lab);
	say_rule(lab, &(struct wire_rule){ .host_kind = 1 });
	pour(lab, 1, WIRE_RULES_MAX - 1);
	commit(lab, RULES_ALLOW);
	assert_int_equal(take_error(lab), EINVAL);
	assert_int_equal(lab->n_killed, 0);
	check_first_holds(lab);
}

static void test_verdicts_between_rules(void **state)
{
	struct lab *lab = *state;
	unsigned int held = memory_connect(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	begin(lab);
	pour(lab, 0, 100);
	lab_judge(lab, 0, id, 0);
	id = lab_take_flow(lab, 1); /* its turn comes at once */
	assert_int_not_equal(id, 0);
	pour(lab, 100, 100);
	lab_judge(lab, 1, id, 0);
	assert_int_equal(lab_fate(lab, held), FATE_ALLOWED);
	commit(lab, RULES_ALLOW);
	assert_int_equal(take_error(lab), 0);
	assert_int_equal(rules_count(ruling_of(lab)->in_force), 200);
}

/* the channel is full of rules, and the other filter speaks behind them */
static void test_the_other_filter_is_served_in_between(void **state)
{
	struct lab *lab = *state;
	unsigned int held = memory_connect(lab, &tcp);
	struct wire_flow_verdict verdict = { .reason = "" };
	struct wire_rule rule = rule_no(0);
	uint32_t n = 0;

	lab_judge(lab, 0, lab_take_flow(lab, 0), 0);
	verdict.id = lab_take_flow(lab, 1);
	begin(lab);
	while (channel_send(lab->filters[0].sock, &wire_provider_channel, WIRE_RULE, &rule, NULL, 0,
			    -1) == 0)
		n++;
	assert_true(n > 3 * RECORDS_A_ROUND);
	assert_int_equal(channel_send(lab->filters[1].sock, &wire_provider_channel,
				      WIRE_FLOW_VERDICT, &verdict, NULL, 0, -1),
			 0);
	for (unsigned int i = 0; i < 4 && lab_fate(lab, held) == FATE_HELD; i++)
		assert_true(sd_event_run(lab->daemon->event, 0) >= 0);
	assert_int_equal(lab_fate(lab, held), FATE_ALLOWED);
	assert_true(rules_count(ruling_of(lab)->coming) <= 3 * RECORDS_A_ROUND);
	lab_settle(lab);
	assert_int_equal(rules_count(ruling_of(lab)->coming), n);
}

#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_set_without_an_end, running_one),
		TEST(test_sets_begun_and_left, running_one),
		TEST(test_sets_at_full_speed, running_one),
		TEST(test_sets_nearly_at_full_speed, running_one),
		TEST(test_as_large_as_can_be_again_and_again, running_one),
		TEST(test_rules_that_would_all_be_looked_at, running_one),
		TEST(test_a_bad_rule_in_front_of_a_long_set_is_told, running_one),
		TEST(test_verdicts_between_rules, running_two),
		TEST(test_the_other_filter_is_served_in_between, running_two),
	};

	return cmocka_run_group_tests_name("daemon-rules-hostile", tests, NULL, NULL);
}
