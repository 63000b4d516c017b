/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Every call of the kernel fails once
 *
 * A story is told again and again; in its nth telling the nth call that the
 * daemon makes of the kernel fails, until a telling has fewer calls than that.
 * Whatever fails: nothing crashes or leaks, every packet has an answer once
 * the deadline is over, and what was denied, or what the fail class refuses,
 * does not go out.
 */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/macros.h"
#include "story.h"

static const struct lab_packet other = {
	.proto = IPPROTO_UDP, .lport = 40001, .rport = 125, .last = 12
};

/* what the filter of every story says of a flow that it is asked about */
static void judge_by_port(struct lab *lab)
{
	const struct wire_flow_new *flow;

	while ((flow = lab_take(lab, 0, WIRE_FLOW_NEW)))
		if (flow->dport != unanswered.rport)
			lab_judge(lab, 0, flow->id, flow->dport == denied.rport);
}

static void read_answers(struct lab *lab)
{
	const struct wire_look *look;

	while ((look = lab_take_look(lab)))
		lab_done(lab, look->token);
}

/* what goes out under a filter that fails closed has its verdict in the kernel */
static unsigned int put_judged(struct lab *lab, const struct lab_packet *packet)
{
	unsigned int index = lab_put(lab, packet);

	judge_by_port(lab);
	if (lab_fate(lab, index) == FATE_ALLOWED && lab->config.is_closed[0])
		assert_true(lab_flow(lab, packet) && lab_flow(lab, packet)->verdict == SL_ALLOW);
	return index;
}

static void wait_for_deadlines(struct lab *lab)
{
	lab_pass(lab, TICK_US);
	judge_by_port(lab);
	lab_pass(lab, FLOW_DEADLINE_US);
	lab_pass(lab, TICK_US);
}

static void check_all_answered(struct lab *lab)
{
	for (unsigned int i = 0; i < fake_n_packets(lab->kernel); i++)
		assert_int_not_equal(lab_fate(lab, i), FATE_HELD);
	if (lab->daemon) {
		assert_int_equal(flow_table_n_held(lab->daemon->flows), 0);
		assert_int_equal(lab->daemon->n_answers, 0);
	}
}

static void check_not_out(struct lab *lab, unsigned int packet)
{
	assert_int_not_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

/* ---- stories; `nth` is the call that fails ---- */

/* a start, and the first flows of each kind; an idle sweep and a stop */
static void tell_what_was_scripted(struct lab *lab)
{
	unsigned int no[3];

	if (lab_start(lab) < 0) {
		assert_false(fake_is_installed(lab->kernel));
		return;
	}
	lab_run_all(lab);
	lab_put(lab, &dns_answer);
	read_answers(lab);
	put_judged(lab, &allowed);
	no[0] = put_judged(lab, &denied);
	no[1] = put_judged(lab, &denied); /* remembered */
	no[2] = put_judged(lab, &unanswered);
	wait_for_deadlines(lab);
	check_all_answered(lab);
	check_not_out(lab, no[0]);
	check_not_out(lab, no[1]);
	if (lab->config.is_closed[0])
		check_not_out(lab, no[2]);
	lab_pass(lab, 2 * IDLE_UDP_US);
	lab_stop(lab);
	assert_false(fake_is_installed(lab->kernel));
}

static void tell_first_flows(struct lab *lab, unsigned int nth)
{
	fake_fail(lab->kernel, FAKE_ANY, nth, ENOMEM);
	tell_what_was_scripted(lab);
}

static void tell_succession(struct lab *lab, unsigned int nth)
{
	unsigned int held, remembered;

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	put_judged(lab, &allowed);
	put_judged(lab, &denied);
	held = put_judged(lab, &unanswered);
	lab_crash(lab);

	fake_fail(lab->kernel, FAKE_ANY, nth, ENOMEM);
	if (lab_start(lab) < 0) {
		assert_true(fake_is_installed(lab->kernel)); /* for the next one */
		lab_crash(lab);
		assert_int_equal(lab_start(lab), 0);
	}
	lab_pass(lab, TICK_US);
	lab_run_all(lab);
	remembered = put_judged(lab, &denied);
	wait_for_deadlines(lab);
	check_all_answered(lab);
	check_not_out(lab, remembered);
	if (lab->config.is_closed[0])
		check_not_out(lab, held);
}

static void tell_stop(struct lab *lab, unsigned int nth)
{
	unsigned int held;

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	put_judged(lab, &allowed);
	held = put_judged(lab, &unanswered);
	lab_put(lab, &dns_answer);
	fake_fail(lab->kernel, FAKE_ANY, nth, ENOMEM);
	lab_stop(lab);
	check_all_answered(lab);
	if (lab->config.is_closed[0])
		check_not_out(lab, held);
	assert_false(fake_is_installed(lab->kernel));
}

/* what was allowed is allowed no more, by an update and by changed rules */
static void tell_changes(struct lab *lab, unsigned int nth)
{
	const struct lab_packet *cut[] = { &allowed, &other };
	struct wire_flow_update update = { .verdict = 1 };
	struct wire_flow_forget rejudge = { .again = 1 };
	const struct wire_flow_new *flow;
	unsigned int after;

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	put_judged(lab, &other);
	lab_put(lab, &allowed);
	update.id = lab_take_flow(lab, 0);
	lab_judge(lab, 0, update.id, 0);

	fake_fail(lab->kernel, FAKE_ANY, nth, ENOMEM);
	lab_say(lab, 0, WIRE_FLOW_UPDATE, &update);
	lab_say(lab, 0, WIRE_FLOW_FORGET, &rejudge);
	lab_pass(lab, TICK_US);
	while ((flow = lab_take(lab, 0, WIRE_FLOW_NEW)))
		lab_judge(lab, 0, flow->id, 1);
	for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
		if (lab_flow(lab, cut[i])) /* what is not there is asked anew */
			assert_int_equal(lab_flow(lab, cut[i])->verdict, SL_REJECT);
		after = lab_put(lab, cut[i]);
		while ((flow = lab_take(lab, 0, WIRE_FLOW_NEW)))
			lab_judge(lab, 0, flow->id, 1);
		lab_pass(lab, TICK_US);
		check_not_out(lab, after);
	}
	wait_for_deadlines(lab);
	check_all_answered(lab);
}

static void test_first_flows_fail_closed(void **state)
{
	story_tell_each(tell_first_flows, true, 5);
}

static void test_first_flows_fail_open(void **state)
{
	story_tell_each(tell_first_flows, false, 5);
}

/* without reading there is no packet, without answering no answer */
static bool is_indispensable(enum fake_op op)
{
	return op == FAKE_READ || op == FAKE_ANSWER;
}

static void test_an_operation_that_always_fails(void **state)
{
	struct lab_config config = { .n_filters = 1 };

	for (unsigned int i = 0; i < 2U * FAKE_ANY; i++) {
		enum fake_op op = i / 2;
		struct lab *lab;

		if (is_indispensable(op))
			continue;
		config.is_closed[0] = i % 2;
		lab = lab_new(&config);
		fake_fail_always(lab->kernel, op, ENOMEM);
		tell_what_was_scripted(lab);
		lab_free(lab);
	}
}

static void test_succession(void **state)
{
	story_tell_each(tell_succession, true, 5);
}

static void test_stop(void **state)
{
	story_tell_each(tell_stop, true, 5);
}

static void test_changes(void **state)
{
	story_tell_each(tell_changes, true, 5);
}

/* ---- one at a time ---- */

static struct lab *running(bool is_closed)
{
	struct lab_config config = { .n_filters = 1, .is_closed = { is_closed } };
	struct lab *lab = lab_new(&config);

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	return lab;
}

static void test_a_verdict_the_kernel_does_not_take_fails_closed(void **state)
{
	struct lab *lab = running(true);
	unsigned int packet;

	fake_fail(lab->kernel, FAKE_SET_FLOW, 1, ENOMEM);
	packet = put_judged(lab, &allowed);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	assert_null(lab_flow(lab, &allowed));
	packet = put_judged(lab, &allowed); /* is asked anew */
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	lab_free(lab);
}

static void test_a_verdict_the_kernel_does_not_take_fails_open(void **state)
{
	struct lab *lab = running(false);
	unsigned int packet;

	fake_fail(lab->kernel, FAKE_SET_FLOW, 1, ENOMEM);
	packet = put_judged(lab, &allowed);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	fake_fail(lab->kernel, FAKE_SET_FLOW, 1, ENOMEM);
	packet = put_judged(lab, &denied);
	check_not_out(lab, packet);
	lab_free(lab);
}

static void test_an_answer_the_kernel_does_not_take_is_given_again(void **state)
{
	struct lab *lab = running(true);
	unsigned int packet;

	fake_fail(lab->kernel, FAKE_ANSWER, 1, ENOBUFS);
	packet = put_judged(lab, &allowed);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	fake_fail(lab->kernel, FAKE_ANSWER, 1, ENOBUFS);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	lab_pass(lab, TICK_US);
	assert_int_equal(fake_n_stale(lab->kernel), 0);
	lab_free(lab);
}

static void test_an_error_the_kernel_does_not_take_is_left_to_the_gate_chain(void **state)
{
	struct lab *lab = running(true);
	unsigned int packet;

	lab->daemon->refusals.earned_us = daemon_now_us(); /* the kernel may not be asked now */
	packet = put_judged(lab, &denied);
	assert_int_equal(fake_packet(lab->kernel, packet)->state, FAKE_REPLACED);
	lab->daemon->refusals.earned_us = daemon_now_us();
	fake_fail(lab->kernel, FAKE_REPLACE, 1, ENOBUFS);
	packet = put_judged(lab, &denied);
	assert_int_equal(fake_packet(lab->kernel, packet)->state, FAKE_ACCEPTED);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	lab_free(lab);
}

/* the step behind the plane: a folder stands where the control socket should */
static void test_a_start_that_fails_leaves_nothing_but_a_predecessors_plane(void **state)
{
	struct lab_config config = { .n_filters = 1 };
	struct lab *lab = lab_new(&config);
	char path[64];

	snprintf(path, sizeof(path), "%s/control", lab->folder);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(lab_start(lab) < 0);
	assert_false(fake_is_installed(lab->kernel));
	lab_crash(lab);

	assert_int_equal(rmdir(path), 0);
	assert_int_equal(lab_start(lab), 0);
	lab_crash(lab);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(lab_start(lab) < 0);
	assert_true(fake_is_installed(lab->kernel));
	assert_int_equal(rmdir(path), 0);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_flows_fail_closed),
		cmocka_unit_test(test_first_flows_fail_open),
		cmocka_unit_test(test_an_operation_that_always_fails),
		cmocka_unit_test(test_succession),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_a_verdict_the_kernel_does_not_take_fails_closed),
		cmocka_unit_test(test_a_verdict_the_kernel_does_not_take_fails_open),
		cmocka_unit_test(test_an_answer_the_kernel_does_not_take_is_given_again),
		cmocka_unit_test(test_an_error_the_kernel_does_not_take_is_left_to_the_gate_chain),
		cmocka_unit_test(test_a_start_that_fails_leaves_nothing_but_a_predecessors_plane),
	};

	return cmocka_run_group_tests_name("daemon-failure", tests, NULL, NULL);
}
