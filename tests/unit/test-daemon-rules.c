/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced answers in a filter's place, by its static rules
 *
 * What rules decide is not asked, whatever becomes of the filter's process; what
 * is remembered of it never outlives what it hangs on.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon-lab-memory.h"

#define ALL(...)                                                                                   \
	(struct wire_rule)                                                                         \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static uint64_t last_set;

static void begin(struct lab *lab, unsigned int filter)
{
	struct wire_rules_begin record = { .set = ++last_set };

	lab_say(lab, filter, WIRE_RULES_BEGIN, &record);
}

static void commit(struct lab *lab, unsigned int filter, uint8_t otherwise)
{
	struct wire_rules_commit record = { .otherwise = otherwise };

	lab_say(lab, filter, WIRE_RULES_COMMIT, &record);
}

static void say_rules(struct lab *lab, unsigned int filter, const struct wire_rule *rules, size_t n,
		      uint8_t otherwise)
{
	begin(lab, filter);
	for (size_t i = 0; i < n; i++)
		lab_say(lab, filter, WIRE_RULE, &rules[i]);
	commit(lab, filter, otherwise);
}

/* a set that is taken */
#define GIVE(lab, filter, otherwise, ...)                                                          \
	do {                                                                                       \
		const struct wire_rule rules_[] = { __VA_ARGS__ };                                 \
                                                                                                   \
		say_rules(lab, filter, rules_, ARRAY_SIZE(rules_), otherwise);                     \
		check_outcome(lab, filter, 0, 0, "");                                              \
	} while (0)

static void check_outcome(struct lab *lab, unsigned int filter, uint32_t error, uint32_t rule,
			  const char *text)
{
	const struct wire_rules_done *done = lab_take(lab, filter, WIRE_RULES_DONE);

	assert_non_null(done);
	assert_int_equal(done->set, last_set);
	assert_int_equal(done->error, error);
	assert_int_equal(done->rule, rule);
	assert_string_equal(done->text, text);
}

/* a flow that comes and what becomes of it; one that is asked about is denied */
static void check(struct lab *lab, const struct lab_packet *packet, enum fate fate)
{
	unsigned int index = memory_connect(lab, packet);
	uint64_t id = lab_take_flow(lab, 0);

	assert_int_equal(id != 0, fate == FATE_HELD);
	assert_int_equal(lab_fate(lab, index), fate);
	if (id)
		lab_judge(lab, 0, id, 1);
	lab_end_socket(lab, packet);
}

static const struct flow *open_flow(struct lab *lab, const struct lab_packet *packet)
{
	struct sl_flow_key key = lab_key(packet);
	const struct flow *flow = flow_table_find(lab->daemon->flows, &key);

	assert_non_null(flow);
	return flow;
}

static void check_reason(struct lab *lab, const struct lab_packet *packet, const char *reason)
{
	assert_string_equal(open_flow(lab, packet)->reason, reason);
}

/* ---- what rules say ---- */

static void test_the_first_rule_decides(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_DROP, ALL(.action = RULES_ASK, .rport = 443, .lport = 40010),
	     ALL(.action = RULES_ALLOW, .rport = 443, .reason = "web"),
	     ALL(.action = RULES_DROP_SILENT, .protocol = IPPROTO_UDP, .has_uid = 1),
	     ALL(.action = RULES_ALLOW, .exe = "/bin/wget"));
	assert_int_equal(lab_fate(lab, memory_connect(lab, &memory_tcp)), FATE_ALLOWED);
	check_reason(lab, &memory_tcp, "rule 2: web");
	check(lab, &memory_again, FATE_HELD);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &memory_udp)), FATE_REJECTED);
	check_reason(lab, &memory_udp, "no rule matches");
	assert_int_equal(lab->daemon->filters[0].n_flows, 1);
	assert_int_equal(lab->daemon->filters[0].n_dropped, 2);
}

static void test_every_filter_has_its_say(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, ALL(.action = RULES_DROP, .protocol = IPPROTO_UDP));
	check(lab, &memory_udp, FATE_REJECTED);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &memory_tcp)), FATE_HELD);
	lab_judge(lab, 1, lab_take_flow(lab, 1), 0);
	GIVE(lab, 1, RULES_DROP_SILENT, ALL(.action = RULES_ALLOW, .rport = 444));
	check(lab, &memory_again, FATE_SILENT);
}

static const struct wire_rule drop_a = { .action = RULES_DROP,
					 .host_kind = 1,
					 .host = "a.example" };
static const struct wire_rule drop_b = { .action = RULES_DROP,
					 .host_kind = 2,
					 .host = "B.example" };

static void test_names_that_differ_are_asked_about(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, drop_a);
	memory_resolved(lab, "a.example");
	check(lab, &memory_tcp, FATE_REJECTED);
	memory_resolved(lab, "b.example");
	check(lab, &memory_again, FATE_HELD);
	GIVE(lab, 0, RULES_ALLOW, drop_a, drop_b);
	check(lab, &memory_tcp, FATE_REJECTED);
}

/* ---- what is remembered ---- */

static void test_what_cannot_vary_is_remembered(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW, .rport = 443),
	     ALL(.action = RULES_DROP, .exe = "/bin/curl"),
	     ALL(.action = RULES_ALLOW, .lport = 40001));
	check(lab, &memory_tcp, FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &memory_tcp));
	lab_remember(lab, &memory_again);
	check_reason(lab, &memory_again, "rule 1");
	assert_int_equal(open_flow(lab, &memory_again)->steps[0].how, FLOW_RULED);
	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_DROP, .rport = 443));
	assert_false(memory_is_in_force(lab, &memory_tcp));
	check(lab, &memory_tcp, FATE_REJECTED);
	assert_false(memory_is_in_force(lab, &memory_tcp));
}

static void check_not_remembered(struct lab *lab, struct wire_rule before)
{
	GIVE(lab, 0, RULES_ASK, before, ALL(.action = RULES_ALLOW));
	check(lab, &memory_tcp, FATE_ALLOWED);
	assert_false(memory_is_in_force(lab, &memory_tcp));
}

/* two paths of one file, and two conversations: the kernel's memory is of both */
static void test_what_hangs_on_a_path_or_a_local_port_is_not_remembered(void **state)
{
	check_not_remembered(*state, ALL(.action = RULES_DROP, .exe = "/bin/other"));
	check_not_remembered(*state, ALL(.action = RULES_ALLOW, .exe = "/bin/curl"));
	check_not_remembered(*state, ALL(.action = RULES_DROP, .lport = 1));
}

static void test_a_promise_behind_such_a_rule_is_not_the_kernels(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_DROP, .exe = "/bin/other"));
	assert_int_equal(lab_fate(lab, memory_judged(lab, &memory_tcp, 0, MEMORY_ADDRESS)),
			 FATE_ALLOWED);
	assert_false(memory_is_in_force(lab, &memory_tcp));
	memory_check_known(lab, &memory_again, FATE_ALLOWED); /* and yet it holds here */
}

static void test_a_new_name_ends_what_was_remembered(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, drop_b);
	check(lab, &memory_tcp, FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &memory_tcp));
	memory_resolved(lab, "a.example");
	assert_false(memory_is_in_force(lab, &memory_tcp));
	check(lab, &memory_again, FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &memory_tcp));
	memory_resolved(lab, "x.b.example");
	assert_false(memory_is_in_force(lab, &memory_tcp));
	check(lab, &memory_tcp, FATE_HELD); /* two names, two answers */
}

/* names go one after the other, and nobody tells: only what all of them agree on may stay */
static void test_names_that_differ_leave_nothing_behind(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ASK, drop_a);
	memory_resolved(lab, "a.example");
	memory_resolved(lab, "c.example");
	assert_int_equal(lab_fate(lab, memory_judged(lab, &memory_tcp, 0, MEMORY_ADDRESS)),
			 FATE_ALLOWED);
	assert_false(memory_is_in_force(lab, &memory_tcp));
}

/* ---- rules that change ---- */

static void pass_walk(struct lab *lab)
{
	lab_pass(lab, TICK_US);
	lab_pass(lab, TICK_US);
}

static void test_open_flows_are_judged_by_the_new_rules(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, ALL(.action = RULES_DROP, .protocol = IPPROTO_UDP));
	(void)memory_connect(lab, &memory_tcp);
	(void)memory_connect(lab, &memory_udp);
	assert_int_equal(lab_flow(lab, &memory_tcp)->verdict, SL_ALLOW);
	assert_int_equal(lab_flow(lab, &memory_udp)->verdict, SL_REJECT);
	GIVE(lab, 0, RULES_ALLOW,
	     ALL(.action = RULES_DROP, .protocol = IPPROTO_TCP, .reason = "later"));
	pass_walk(lab);
	assert_int_equal(lab_flow(lab, &memory_tcp)->verdict, SL_REJECT);
	check_reason(lab, &memory_tcp, "rule 1: later");
	assert_null(lab_flow(lab, &memory_udp)); /* its next packet is a new flow */
	assert_int_equal(lab_take_flow(lab, 0), 0);
}

static void test_what_no_rule_decides_any_more_is_asked(void **state)
{
	struct lab *lab = *state;
	const struct wire_flow_new *asked;

	GIVE(lab, 0, RULES_ALLOW, drop_a);
	(void)memory_connect(lab, &memory_tcp);
	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ASK));
	pass_walk(lab);
	asked = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(asked);
	assert_true(asked->again);
	lab_judge(lab, 0, asked->id, 1);
	assert_int_equal(lab_flow(lab, &memory_tcp)->verdict, SL_REJECT);
}

static void test_the_same_rules_change_nothing(void **state)
{
	struct lab *lab = *state;
	unsigned int n_renewals;

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW, .rport = 443));
	check(lab, &memory_tcp, FATE_ALLOWED);
	n_renewals = fake_n_calls(lab->kernel, FAKE_RENEW);
	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW, .rport = 443));
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_RENEW), n_renewals);
	assert_true(memory_is_in_force(lab, &memory_tcp));
}

static void test_flows_that_wait_meet_the_new_rules(void **state)
{
	struct lab *lab = *state;
	unsigned int held;

	lab_end_filter(lab, 0);
	held = memory_connect(lab, &memory_tcp);
	assert_int_equal(lab_fate(lab, held), FATE_HELD);
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	assert_int_not_equal(lab_take_flow(lab, 0), 0);
	GIVE(lab, 0, RULES_DROP, drop_a); /* asked already, and not answered */
	assert_int_equal(lab_fate(lab, held), FATE_HELD);
	pass_walk(lab);
	assert_int_equal(lab_fate(lab, held), FATE_REJECTED);
}

/* what it was asked before its rules changed, and answers after that */
static void test_a_verdict_of_before_does_not_outlive_new_rules(void **state)
{
	struct lab *lab = *state;
	unsigned int held = memory_connect(lab, &memory_tcp);
	uint64_t id = lab_take_flow(lab, 0);

	GIVE(lab, 0, RULES_DROP, drop_a);
	pass_walk(lab);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_fate(lab, held), FATE_REJECTED);
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
}

/* ---- sets that are not taken ---- */

static void test_a_bad_rule_leaves_the_rules_of_before(void **state)
{
	struct lab *lab = *state;
	const struct wire_rule bad[] = { { .action = RULES_DROP },
					 { .action = RULES_DROP, .exe = "curl" },
					 { .action = RULES_DROP, .host_kind = 1 } };

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW));
	say_rules(lab, 0, bad, ARRAY_SIZE(bad), RULES_DROP);
	check_outcome(lab, 0, EINVAL, 2, "the path of the program does not begin with /");
	check(lab, &memory_tcp, FATE_ALLOWED);
	assert_string_equal(lab->daemon->filters[0].message,
			    "rule 2: the path of the program does not begin with /: the rules of "
			    "before stay");
}

static void test_half_a_set_is_nothing(void **state)
{
	struct lab *lab = *state;
	const struct wire_rule drop = { .action = RULES_DROP };

	begin(lab, 0);
	lab_say(lab, 0, WIRE_RULE, &drop);
	check(lab, &memory_tcp, FATE_HELD);
	GIVE(lab, 0, RULES_ALLOW, drop_a); /* the half one is thrown away */
	check(lab, &memory_again, FATE_ALLOWED);
}

static void check_broken(struct lab *lab, uint16_t type, const void *body)
{
	lab_say(lab, 0, type, body);
	assert_int_equal(lab->n_killed, 1);
}

static void test_a_rule_of_no_set_breaks_the_protocol(void **state)
{
	check_broken(*state, WIRE_RULE, &drop_a);
}

static void test_a_commit_of_no_set_breaks_the_protocol(void **state)
{
	check_broken(*state, WIRE_RULES_COMMIT, &(struct wire_rules_commit){ 0 });
}

static void test_a_full_channel_gets_the_outcome_later(void **state)
{
	struct lab *lab = *state;
	struct lab_packet packet = memory_tcp;

	while (!lab->daemon->filters[0].wants_write) {
		packet.rport++;
		(void)lab_put(lab, &packet);
	}
	say_rules(lab, 0, NULL, 0, RULES_DROP);
	assert_true(lab->daemon->filters[0].ruling.is_outcome_owed);
	while (lab_take_flow(lab, 0))
		;
	lab_settle(lab);
	check_outcome(lab, 0, 0, 0, "");
}

/* ---- without its process ---- */

static void test_rules_hold_while_the_process_is_dead(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW, .rport = 443));
	lab_end_filter(lab, 0);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &memory_tcp)), FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &memory_tcp));
	assert_int_equal(lab_fate(lab, memory_connect(lab, &memory_udp)), FATE_HELD);
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
	assert_int_equal(lab_fate(lab, memory_connect(lab, &memory_tcp)), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &memory_udp)), FATE_REJECTED);
}

/* its rules changed just before it died: what is open must not wait for its successor */
static void test_open_flows_are_judged_by_rules_of_a_dead_process(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, drop_a);
	(void)memory_connect(lab, &memory_tcp);
	GIVE(lab, 0, RULES_DROP, drop_a);
	lab_end_filter(lab, 0);
	pass_walk(lab);
	assert_int_equal(lab_flow(lab, &memory_tcp)->verdict, SL_REJECT);
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
		say_rules(lab, 0, rules, n, RULES_ASK);
		check_outcome(lab, 0, 0, 0, "");
	}
	lab_say(lab, 0, WIRE_READY, &ready);
}

static void test_its_successor_without_rules_has_none(void **state)
{
	struct lab *lab = *state;
	const struct wire_rule allow = { .action = RULES_ALLOW };

	GIVE(lab, 0, RULES_ASK, allow);
	(void)memory_connect(lab, &memory_udp);
	restart(lab, &allow, 1, 0);
	pass_walk(lab);
	check(lab, &memory_tcp, FATE_ALLOWED);
	restart(lab, NULL, 0, 0);
	assert_null(lab->daemon->filters[0].ruling.in_force);
	pass_walk(lab);
	assert_int_not_equal(lab_take_flow(lab, 0), 0); /* the open one, again */
}

static void test_its_successor_with_rules_judges_what_is_open(void **state)
{
	struct lab *lab = *state;
	const struct wire_rule drop = { .action = RULES_DROP };

	assert_int_equal(lab_fate(lab, memory_judged(lab, &memory_tcp, 0, MEMORY_FLOW)),
			 FATE_ALLOWED);
	restart(lab, &drop, 1, 0);
	pass_walk(lab);
	assert_int_equal(lab_flow(lab, &memory_tcp)->verdict, SL_REJECT);
}

static void test_a_start_that_fails_changes_no_rules(void **state)
{
	struct lab *lab = *state;
	const struct wire_rule drop = { .action = RULES_DROP };

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW));
	restart(lab, &drop, 1, EINVAL);
	assert_int_equal(lab->daemon->filters[0].session.state, SESSION_FAILED);
	check(lab, &memory_tcp, FATE_ALLOWED);
}

/* the first filter is late and fails open; the second one's rule holds all the same */
static void check_late(struct lab *lab, uint8_t action, enum fate fate)
{
	unsigned int held;

	GIVE(lab, 1, RULES_ASK, ALL(.action = action));
	held = memory_connect(lab, &memory_tcp);
	lab_pass(lab, FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, held), fate);
}

static void test_a_rule_behind_a_late_filter_drops(void **state)
{
	check_late(*state, RULES_DROP, FATE_REJECTED);
	check_reason(*state, &memory_tcp, "rule 1");
}

static void test_a_rule_behind_a_late_filter_allows(void **state)
{
	struct lab *lab = *state;

	lab->daemon->filters[1].is_closed = true; /* which does not matter: it has answered */
	check_late(lab, RULES_ALLOW, FATE_ALLOWED);
}

static int set_up_two_open(void **state)
{
	*state = memory_lab(2, false);
	return 0;
}

#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, memory_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_first_rule_decides, memory_set_up_one),
		TEST(test_every_filter_has_its_say, memory_set_up_two),
		TEST(test_names_that_differ_are_asked_about, memory_set_up_one),
		TEST(test_what_cannot_vary_is_remembered, memory_set_up_one),
		TEST(test_what_hangs_on_a_path_or_a_local_port_is_not_remembered,
		     memory_set_up_one),
		TEST(test_a_promise_behind_such_a_rule_is_not_the_kernels, memory_set_up_one),
		TEST(test_a_new_name_ends_what_was_remembered, memory_set_up_one),
		TEST(test_names_that_differ_leave_nothing_behind, memory_set_up_one),
		TEST(test_open_flows_are_judged_by_the_new_rules, memory_set_up_one),
		TEST(test_what_no_rule_decides_any_more_is_asked, memory_set_up_one),
		TEST(test_the_same_rules_change_nothing, memory_set_up_one),
		TEST(test_flows_that_wait_meet_the_new_rules, memory_set_up_one),
		TEST(test_a_verdict_of_before_does_not_outlive_new_rules, memory_set_up_one),
		TEST(test_a_bad_rule_leaves_the_rules_of_before, memory_set_up_one),
		TEST(test_half_a_set_is_nothing, memory_set_up_one),
		TEST(test_a_rule_of_no_set_breaks_the_protocol, memory_set_up_one),
		TEST(test_a_commit_of_no_set_breaks_the_protocol, memory_set_up_one),
		TEST(test_a_full_channel_gets_the_outcome_later, memory_set_up_one),
		TEST(test_rules_hold_while_the_process_is_dead, memory_set_up_one),
		TEST(test_rules_hold_when_it_is_given_up, memory_set_up_one),
		TEST(test_open_flows_are_judged_by_rules_of_a_dead_process, memory_set_up_one),
		TEST(test_its_successor_without_rules_has_none, memory_set_up_one),
		TEST(test_its_successor_with_rules_judges_what_is_open, memory_set_up_one),
		TEST(test_a_start_that_fails_changes_no_rules, memory_set_up_one),
		TEST(test_a_rule_behind_a_late_filter_drops, set_up_two_open),
		TEST(test_a_rule_behind_a_late_filter_allows, set_up_two_open),
	};

	return cmocka_run_group_tests_name("daemon-rules", tests, NULL, NULL);
}
