/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced answers in a filter's place, by its static rules
 *
 * What rules decide is not asked; what is remembered of it never outlives what it hangs on;
 * and what is open is judged by new rules.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "rules-lab.h"

/* ---- what rules say ---- */

static void test_the_first_rule_decides(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_DROP, ALL(.action = RULES_ASK, .rport = 443, .lport = 40010),
	     ALL(.action = RULES_ALLOW, .rport = 443, .reason = "web"),
	     ALL(.action = RULES_DROP_SILENT, .protocol = IPPROTO_UDP, .has_uid = 1),
	     ALL(.action = RULES_ALLOW, .exe = "/bin/wget"));
	assert_int_equal(lab_fate(lab, memory_connect(lab, &tcp)), FATE_ALLOWED);
	rules_lab_reason(lab, &tcp, "rule 2: web");
	rules_lab_check(lab, &tcp_again, FATE_HELD);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &udp)), FATE_REJECTED);
	rules_lab_reason(lab, &udp, "no rule matches");
	assert_int_equal(lab->daemon->filters[0].n_flows, 1);
	assert_int_equal(lab->daemon->filters[0].n_dropped, 2);
}

static void test_every_filter_has_its_say(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, ALL(.action = RULES_DROP, .protocol = IPPROTO_UDP));
	rules_lab_check(lab, &udp, FATE_REJECTED);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &tcp)), FATE_HELD);
	lab_judge(lab, 1, lab_take_flow(lab, 1), 0);
	GIVE(lab, 1, RULES_DROP_SILENT, ALL(.action = RULES_ALLOW, .rport = 444));
	rules_lab_check(lab, &tcp_again, FATE_SILENT);
}

static void check_read(struct lab *lab, const struct lab_packet *packet)
{
	assert_int_equal(lab_fate(lab, memory_connect(lab, packet)), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, packet)->verdict, SL_PEEK);
	lab_end_socket(lab, packet);
}

static void test_names_that_differ_are_read(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	memory_resolved(lab, "a.example");
	rules_lab_check(lab, &tcp, FATE_REJECTED);
	memory_resolved(lab, "b.example");
	check_read(lab, &tcp_again);
	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a, rules_lab_drop_b);
	rules_lab_check(lab, &tcp, FATE_REJECTED);
}

/* ---- what is remembered ---- */

static void test_what_cannot_vary_is_remembered(void **state)
{
	struct sl_flow_key key = lab_key(&tcp_again);
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW, .rport = 443),
	     ALL(.action = RULES_DROP, .exe = "/bin/curl"),
	     ALL(.action = RULES_ALLOW, .lport = 40001));
	rules_lab_check(lab, &tcp, FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &tcp));
	lab_remember(lab, &tcp_again);
	rules_lab_reason(lab, &tcp_again, "rule 1");
	assert_int_equal(flow_step(flow_table_find(lab->daemon->flows, &key), 0), FLOW_RULED);
	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_DROP, .rport = 443));
	assert_false(memory_is_in_force(lab, &tcp));
	rules_lab_check(lab, &tcp, FATE_REJECTED);
	assert_false(memory_is_in_force(lab, &tcp));
}

static void check_not_remembered(struct lab *lab, struct wire_rule before)
{
	GIVE(lab, 0, RULES_ASK, before, ALL(.action = RULES_ALLOW));
	rules_lab_check(lab, &tcp, FATE_ALLOWED);
	assert_false(memory_is_in_force(lab, &tcp));
}

/* two paths of one file, and two conversations: the kernel's memory is of both */
static void test_what_hangs_on_a_path_or_a_local_port_is_not_remembered(void **state)
{
	check_not_remembered(*state, ALL(.action = RULES_DROP, .exe = "/bin/other"));
	check_not_remembered(*state, ALL(.action = RULES_ALLOW, .exe = "/bin/curl"));
	check_not_remembered(*state, ALL(.action = RULES_DROP, .lport = 1));
	check_not_remembered(*state, ALL(.action = RULES_DROP, .interface = "wlan"));
	check_not_remembered(*state, ALL(.action = RULES_DROP, .lfamily = 6));
}

static void test_the_interface_is_a_condition(void **state)
{
	struct lab *lab = *state;
	uint32_t ifindex = LAB_IFINDEX;

	GIVE(lab, 0, RULES_DROP, ALL(.action = RULES_DROP, .interface = "wa"),
	     ALL(.action = RULES_ALLOW, .interface = "wan"));
	assert_int_equal(lab_fate(lab, memory_connect(lab, &tcp)), FATE_ALLOWED);
	rules_lab_reason(lab, &tcp, "rule 2");
	fake_delete(lab->kernel, FAKE_LINKS, &ifindex);
	lab_pass(lab, 3000000); /* names of interfaces are read anew */
	rules_lab_check(lab, &udp, FATE_HELD); /* who knows whether rule 1 is about it? */
}

/* who makes many interfaces makes no other's unknown */
static void test_the_interface_is_known_however_many_there_are(void **state)
{
	struct lab *lab = *state;
	struct sl_flow_key key = lab_key(&tcp);
	uint32_t ifindex = LAB_IFINDEX;
	struct link link = *(const struct link *)fake_get(lab->kernel, FAKE_LINKS, &ifindex);
	uint64_t netns;

	GIVE(lab, 0, RULES_DROP, ALL(.action = RULES_ALLOW, .interface = "wan"));
	assert_int_equal(lab_fate(lab, memory_connect(lab, &tcp)), FATE_ALLOWED);
	netns = flow_table_find(lab->daemon->flows, &key)->side->netns;
	lab_pass(lab, 3000000); /* names of interfaces are read anew */
	for (link.ifindex = 1000; link.ifindex < 1000 + LINKS_MAX; link.ifindex++) {
		fake_put(lab->kernel, FAKE_LINKS, &link.ifindex, &link);
		assert_string_equal(identity_link(lab->daemon, netns, link.ifindex)->name, "wan");
	}
	rules_lab_check(lab, &udp, FATE_ALLOWED);
}

static void test_a_promise_behind_such_a_rule_is_not_the_kernels(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_DROP, .exe = "/bin/other"));
	assert_int_equal(lab_fate(lab, memory_judged(lab, &tcp, 0, MEMORY_ADDRESS)), FATE_ALLOWED);
	assert_false(memory_is_in_force(lab, &tcp));
	memory_check_known(lab, &tcp_again, FATE_ALLOWED); /* and yet it holds here */
}

static void test_a_new_name_ends_what_was_remembered(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_b);
	memory_resolved(lab, "c.example");
	rules_lab_check(lab, &tcp, FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &tcp));
	memory_resolved(lab, "a.example");
	assert_false(memory_is_in_force(lab, &tcp));
	rules_lab_check(lab, &tcp_again, FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &tcp));
	memory_resolved(lab, "x.b.example");
	assert_false(memory_is_in_force(lab, &tcp));
	check_read(lab, &tcp); /* two names, two answers */
}

/* names go one after the other, and nobody tells: only what all of them agree on may stay */
static void test_names_that_differ_leave_nothing_behind(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ASK, rules_lab_drop_a);
	memory_resolved(lab, "a.example");
	memory_resolved(lab, "c.example");
	lab->daemon->names_session.state = SESSION_FAILED; /* or its first bytes were read */
	assert_int_equal(lab_fate(lab, memory_judged(lab, &tcp, 0, MEMORY_ADDRESS)), FATE_ALLOWED);
	assert_false(memory_is_in_force(lab, &tcp));
}

/* ---- rules that change ---- */

static void test_open_flows_are_judged_by_the_new_rules(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, ALL(.action = RULES_DROP, .protocol = IPPROTO_UDP));
	(void)memory_connect(lab, &tcp);
	(void)memory_connect(lab, &udp);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_ALLOW);
	assert_int_equal(lab_flow(lab, &udp)->verdict, SL_REJECT);
	GIVE(lab, 0, RULES_ALLOW,
	     ALL(.action = RULES_DROP, .protocol = IPPROTO_TCP, .reason = "later"));
	rules_lab_walk(lab);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
	rules_lab_reason(lab, &tcp, "rule 1: later");
	assert_null(lab_flow(lab, &udp)); /* its next packet is a new flow */
	assert_int_equal(lab_take_flow(lab, 0), 0);
}

static void test_what_no_rule_decides_any_more_is_asked(void **state)
{
	struct lab *lab = *state;
	const struct wire_flow_new *asked;

	GIVE(lab, 0, RULES_ALLOW, ALL(.action = RULES_DROP, .protocol = IPPROTO_UDP));
	(void)memory_connect(lab, &tcp);
	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ASK));
	rules_lab_walk(lab);
	asked = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(asked);
	assert_true(asked->again);
	lab_judge(lab, 0, asked->id, 1);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
}

static void test_the_same_rules_change_nothing(void **state)
{
	struct lab *lab = *state;
	unsigned int n_renewals;

	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW, .rport = 443));
	rules_lab_check(lab, &tcp, FATE_ALLOWED);
	n_renewals = fake_n_calls(lab->kernel, FAKE_RENEW);
	GIVE(lab, 0, RULES_ASK, ALL(.action = RULES_ALLOW, .rport = 443));
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_RENEW), n_renewals);
	assert_true(memory_is_in_force(lab, &tcp));
}

static void test_flows_that_wait_meet_the_new_rules(void **state)
{
	struct lab *lab = *state;
	unsigned int held;

	lab_end_filter(lab, 0);
	held = memory_connect(lab, &tcp);
	assert_int_equal(lab_fate(lab, held), FATE_HELD);
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	assert_int_not_equal(lab_take_flow(lab, 0), 0);
	GIVE(lab, 0, RULES_DROP, rules_lab_drop_a); /* asked already, and not answered */
	assert_int_equal(lab_fate(lab, held), FATE_HELD);
	rules_lab_walk(lab);
	assert_int_equal(lab_fate(lab, held), FATE_REJECTED);
}

/* what it was asked before its rules changed, and answers after that */
static void test_a_verdict_of_before_does_not_outlive_new_rules(void **state)
{
	struct lab *lab = *state;
	unsigned int held = memory_connect(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	GIVE(lab, 0, RULES_DROP, rules_lab_drop_a);
	rules_lab_walk(lab);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_fate(lab, held), FATE_REJECTED);
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
}

#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_first_rule_decides, running_one),
		TEST(test_every_filter_has_its_say, running_two),
		TEST(test_names_that_differ_are_read, running_one),
		TEST(test_what_cannot_vary_is_remembered, running_one),
		TEST(test_what_hangs_on_a_path_or_a_local_port_is_not_remembered, running_one),
		TEST(test_the_interface_is_a_condition, running_one),
		TEST(test_the_interface_is_known_however_many_there_are, running_one),
		TEST(test_a_promise_behind_such_a_rule_is_not_the_kernels, running_one),
		TEST(test_a_new_name_ends_what_was_remembered, running_one),
		TEST(test_names_that_differ_leave_nothing_behind, running_one),
		TEST(test_open_flows_are_judged_by_the_new_rules, running_one),
		TEST(test_what_no_rule_decides_any_more_is_asked, running_one),
		TEST(test_the_same_rules_change_nothing, running_one),
		TEST(test_flows_that_wait_meet_the_new_rules, running_one),
		TEST(test_a_verdict_of_before_does_not_outlive_new_rules, running_one),
	};

	return cmocka_run_group_tests_name("daemon-rules", tests, NULL, NULL);
}
