/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: libsluice: static rules on their way to the daemon */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "filter-lab.h"

#define RULE(...) (&(struct sluice_rule){ .size = sizeof(struct sluice_rule), __VA_ARGS__ })
#define N_MANY 5000U /* more than the channel holds */

static unsigned int n_at_start;
static int done_error = 1;
static uint32_t done_number;

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	(void)sluice_filter_answer(filter, flow->id, SLUICE_ALLOW, NULL);
}

static int give(struct sluice_filter *filter, unsigned int n)
{
	assert_int_equal(sluice_filter_rules_begin(filter), 0);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(sluice_filter_rule(filter, RULE(.domain = "example.",
								 .remote_address = "192.0.2.0/24",
								 .has_uid = true, .uid = i)),
				 0);
	return sluice_filter_rules_commit(filter, SLUICE_RULE_DROP);
}

static int on_start(struct sluice_filter *filter, void *data)
{
	return n_at_start ? give(filter, n_at_start) : 0;
}

static void on_done(struct sluice_filter *filter, int error, uint32_t number, void *data)
{
	done_error = error;
	done_number = number;
}

static const struct sluice_filter_ops ops = { .size = sizeof(ops),
					      .name = "rules",
					      .start = on_start,
					      .new_flow = on_flow,
					      .rules_done = on_done };

/* the next record; the library sends more when there is none */
static uint16_t next(struct seen *seen)
{
	while (filter_receive(seen) == -EAGAIN)
		assert_int_equal(filter_process(seen), 0);
	return seen->message.record->type;
}

static uint64_t expect_set(struct seen *seen, unsigned int n)
{
	uint64_t set;

	assert_int_equal(next(seen), WIRE_RULES_BEGIN);
	set = WIRE_BODY(&seen->message, struct wire_rules_begin)->set;
	for (unsigned int i = 0; i < n; i++) {
		const struct wire_rule *rule = WIRE_BODY(&seen->message, struct wire_rule);

		assert_int_equal(next(seen), WIRE_RULE);
		assert_int_equal(rule->uid, i);
		assert_string_equal(rule->host, "example");
		assert_int_equal(rule->family, 4);
		assert_int_equal(rule->bits, 120);
	}
	assert_int_equal(next(seen), WIRE_RULES_COMMIT);
	assert_int_equal(WIRE_BODY(&seen->message, struct wire_rules_commit)->otherwise, 2);
	return set;
}

static void begin(struct seen *seen, unsigned int n)
{
	n_at_start = n;
	filter_begin(seen, &ops);
	filter_send_welcome(seen);
	filter_send_start(seen);
	assert_int_equal(filter_process(seen), 0);
}

static void test_ready_waits_for_the_rules(void **state)
{
	struct seen *seen = *state;

	begin(seen, N_MANY);
	expect_set(seen, N_MANY);
	assert_int_equal(next(seen), WIRE_READY);
}

static void test_the_outcome_of_the_last_set_is_told(void **state)
{
	struct seen *seen = *state;
	struct wire_rules_done done = { .error = EINVAL, .rule = 2, .text = "why" };

	begin(seen, 0);
	assert_int_equal(next(seen), WIRE_READY);
	assert_int_equal(give(seen->filter, N_MANY), 0);
	assert_int_equal(next(seen), WIRE_RULES_BEGIN); /* this one is on its way: */
	assert_int_equal(give(seen->filter, 1), 0);	/* another one instead */
	while (next(seen) != WIRE_RULES_BEGIN)
		;
	done.set = WIRE_BODY(&seen->message, struct wire_rules_begin)->set - 1;
	filter_send_record(seen, WIRE_RULES_DONE, &done);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(done_error, 1); /* of a set of before: not told */
	done.set++;
	filter_send_record(seen, WIRE_RULES_DONE, &done);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(done_error, -EINVAL);
	assert_int_equal(done_number, 2);
	assert_string_equal(sluice_filter_error(seen->filter), "rule 2: why");
}

static void check_refused(struct sluice_filter *filter, const struct sluice_rule *rule, int error,
			  const char *why)
{
	assert_int_equal(sluice_filter_rules_begin(filter), 0);
	assert_int_equal(sluice_filter_rule(filter, RULE(.remote_port = 1)), 0);
	assert_int_equal(sluice_filter_rule(filter, rule), error);
	assert_string_equal(sluice_filter_error(filter), why);
	assert_int_equal(sluice_filter_rule(filter, RULE(.remote_port = 1)), error);
	assert_int_equal(sluice_filter_rules_commit(filter, SLUICE_RULE_ASK), error);
	assert_int_equal(sluice_filter_rules_commit(filter, SLUICE_RULE_ASK), -EINVAL);
}

static void test_a_bad_rule_is_refused_at_once(void **state)
{
	struct {
		struct sluice_rule rule;
		uint64_t newer;
	} newer = { .rule = { .size = sizeof(newer) } };
	struct seen *seen = *state;

	begin(seen, 0);
	check_refused(seen->filter, RULE(.remote_address = "192.0.2"), -EINVAL,
		      "rule 2: not an address");
	check_refused(seen->filter, RULE(.remote_address = "::/129"), -EINVAL,
		      "rule 2: the prefix is longer than the address");
	check_refused(seen->filter, RULE(.remote_address = "10.0.0.0/"), -EINVAL,
		      "rule 2: the address has no proper prefix length");
	check_refused(seen->filter, RULE(.action = (enum sluice_rule_action)4), -EINVAL,
		      "rule 2: the action is out of range");
	check_refused(seen->filter, RULE(.host = "a", .domain = "a"), -EINVAL,
		      "rule 2: a host and a domain: one of the two");
	check_refused(seen->filter, &(struct sluice_rule){ .size = 8 }, -EINVAL,
		      "rule 2: its struct is not of a version that this library knows");
	newer.newer = 1;
	check_refused(seen->filter, &newer.rule, -E2BIG,
		      "rule 2: its struct is not of a version that this library knows");
	newer.newer = 0;
	assert_int_equal(sluice_filter_rules_begin(seen->filter), 0);
	assert_int_equal(sluice_filter_rule(seen->filter, &newer.rule), 0);
	assert_int_equal(sluice_filter_rules_commit(seen->filter, (enum sluice_rule_action)4),
			 -EINVAL);
	assert_int_equal(sluice_filter_rule(seen->filter, RULE(.uid = 1)), 0);
	assert_int_equal(sluice_filter_rules_commit(seen->filter, SLUICE_RULE_ASK), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, filter_set_up, filter_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ready_waits_for_the_rules),
		TEST(test_the_outcome_of_the_last_set_is_told),
		TEST(test_a_bad_rule_is_refused_at_once),
	};

	return cmocka_run_group_tests_name("filter-rules", tests, NULL, NULL);
}
