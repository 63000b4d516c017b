/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced and proxies: who is asked, in which order, and what becomes of the first packet */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon/judge/judge.h"
#include "divert-lab.h"
#include "running-lab.h"

#define FILTER 0U
#define PROXY 1U
#define SECOND 2U

static int set_up(void **state)
{
	*state = divert_lab(1, 2, true);
	return 0;
}

static int set_up_open(void **state)
{
	*state = divert_lab(1, 2, false);
	return 0;
}

static int set_up_alone(void **state)
{
	*state = divert_lab(0, 2, true);
	return 0;
}

/* a flow that the filter has allowed. Return: its packet; @ret_id: as the first proxy is asked */
static unsigned int put(struct lab *lab, const struct lab_packet *packet, uint64_t *ret_id)
{
	unsigned int no = lab_put(lab, packet);
	uint64_t id = lab_take_flow(lab, FILTER);

	assert_int_not_equal(id, 0);
	lab_judge(lab, FILTER, id, 0);
	*ret_id = lab_take_flow(lab, PROXY);
	return no;
}

/* ---- in order ---- */

static void test_filters_first_then_proxies_in_order(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, FILTER);

	assert_int_not_equal(id, 0);
	assert_int_equal(lab_take_flow(lab, PROXY), 0);
	lab_judge(lab, FILTER, id, 0);
	assert_int_equal(lab_take_flow(lab, PROXY), id);
	assert_int_equal(lab_take_flow(lab, SECOND), 0);
	lab_judge(lab, PROXY, id, 0);
	assert_int_equal(lab_take_flow(lab, SECOND), id);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	lab_judge(lab, SECOND, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_ALLOW);
	assert_int_equal(lab_flow(lab, &tcp)->flags & SL_FLOW_DIVERTED, 0);
	assert_string_equal(divert_member(lab, id, "via"), "none");
	assert_string_equal(divert_member(lab, id, "provider"),
			    "filter0"); /* what it said stands */
	assert_string_equal(divert_member(lab, id, "reason"), "unit");
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

static void test_what_a_filter_denies_no_proxy_hears_of(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);

	lab_judge(lab, FILTER, lab_take_flow(lab, FILTER), 1);
	assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
	assert_null(lab_take(lab, PROXY, WIRE_FLOW_NEW));
	assert_null(lab_take(lab, SECOND, WIRE_FLOW_NEW));
}

static void test_a_proxy_denies_a_flow_as_a_filter_does(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int no = put(lab, &tcp, &id);

	lab_judge(lab, PROXY, id, 1);
	assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
	assert_null(lab_take(lab, SECOND, WIRE_FLOW_NEW));
	assert_string_equal(divert_member(lab, id, "provider"), "filter1");
	assert_string_equal(divert_member(lab, id, "via"), "none");
}

static void test_no_proxy_takes_it(void **state)
{
	struct lab *lab = *state; /* without a filter */
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	lab_judge(lab, 0, id, 0);
	lab_judge(lab, 1, lab_take_flow(lab, 1), 0);
	assert_int_equal(lab_fate(lab, no), FATE_ALLOWED);
	assert_string_equal(divert_member(lab, id, "reason"), "no proxy takes it");
	assert_string_equal(divert_member(lab, id, "provider"), "none");
}

/* ---- taken ---- */

static void test_what_is_taken_has_no_deadline(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int no = put(lab, &tcp, &id);

	divert_take_flow(lab, PROXY, id);
	lab_live(lab, 5000000);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	lab_live(lab, 60000000);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	assert_null(lab_take(lab, SECOND, WIRE_FLOW_NEW));
	assert_null(lab_take(lab, PROXY, WIRE_FLOW_CANCEL));
	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	assert_int_equal(lab->daemon->filters[PROXY].n_late, 0);
	assert_int_equal(lab->daemon->n_deadlines, 0);
}

static void test_what_is_not_taken_has_one(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int no = put(lab, &tcp, &id);

	lab_live(lab, FLOW_DEADLINE_US + TICK_US);
	assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
	assert_int_equal(lab->daemon->n_deadlines, 1);
	divert_take_flow(lab, PROXY, id);
	assert_non_null(lab_take(lab, PROXY, WIRE_FLOW_CANCEL));
	assert_int_equal(lab->daemon->filters[PROXY].n_late, 2);
}

static void test_late_and_open(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int no = put(lab, &tcp, &id);

	lab_live(lab, FLOW_DEADLINE_US + TICK_US);
	assert_int_equal(lab_fate(lab, no), FATE_ALLOWED); /* directly */
	assert_int_equal(lab_flow(lab, &tcp)->flags & SL_FLOW_DIVERTED, 0);
}

/* ---- opened ---- */

static void test_opened(void **state)
{
	struct lab *lab = *state;
	const struct wire_flow_opened record = { .reason = "by way of somewhere" };
	struct wire_flow_opened opened = record;
	uint64_t id;
	unsigned int no = put(lab, &tcp, &id);

	divert_take_flow(lab, PROXY, id);
	opened.id = id;
	lab_say(lab, PROXY, WIRE_FLOW_OPENED, &opened);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_ALLOW);
	assert_true(lab_flow(lab, &tcp)->flags & SL_FLOW_DIVERTED);
	assert_null(lab_take(lab, SECOND, WIRE_FLOW_NEW));
	assert_string_equal(divert_member(lab, id, "via"), "filter1");
	assert_string_equal(divert_member(lab, id, "provider"), "filter1");
	assert_string_equal(divert_member(lab, id, "verdict"), "allow");
	assert_string_equal(divert_member(lab, id, "reason"), record.reason);
}

/* the second proxy has what the first declines */
static void test_the_second_proxy_takes_it(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int no = put(lab, &tcp, &id);

	lab_judge(lab, PROXY, id, 0);
	divert_take_flow(lab, SECOND, lab_take_flow(lab, SECOND));
	divert_say_opened(lab, PROXY, id, 0); /* it has declined */
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	assert_int_equal(lab->daemon->filters[PROXY].n_late, 1);
	divert_say_opened(lab, SECOND, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	assert_string_equal(divert_member(lab, id, "via"), "filter2");
	assert_string_equal(divert_member(lab, id, "reason"), "opened");
}

static void test_ipv6_is_for_proxies(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int no = put(lab, &tcp6, &id);

	divert_take_flow(lab, PROXY, id);
	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
}

/* bytes that the SYN came with are not lost, and a second SYN goes the way of the first */
static void test_a_syn_that_is_sent_again(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int no = put(lab, &tcp, &id), again = lab_put(lab, &tcp), later;

	divert_take_flow(lab, PROXY, id);
	later = lab_put(lab, &tcp);
	assert_int_equal(lab_fate(lab, later), FATE_HELD);
	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	assert_int_equal(lab_fate(lab, again), FATE_DIVERTED);
	assert_int_equal(lab_fate(lab, later), FATE_DIVERTED);
	assert_null(lab_take(lab, PROXY, WIRE_FLOW_NEW));
	assert_int_equal(lab_fate(lab, lab_put(lab, &tcp)), FATE_DIVERTED);
}

/* ---- refused ---- */

static enum sl_mark mark_of(struct lab *lab, unsigned int no)
{
	return (enum sl_mark)(fake_packet(lab->kernel, no)->mark >> SL_MARK_SHIFT);
}

static void test_each_errno_has_its_mark(void **state)
{
	static const struct {
		int error;
		enum sl_mark mark;
	} errors[] = {
		{ ECONNREFUSED, SL_MARK_REJECT },  { ENETUNREACH, SL_MARK_NO_NET },
		{ EHOSTUNREACH, SL_MARK_NO_HOST }, { EACCES, SL_MARK_NO_RIGHT },
		{ EPERM, SL_MARK_NO_RIGHT },	   { EIO, SL_MARK_REJECT },
		{ EPIPE, SL_MARK_REJECT },	   { 4095, SL_MARK_REJECT },
	};
	struct lab *lab = *state;
	struct lab_packet packet = tcp;
	uint64_t id;

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		unsigned int no;

		packet.rport = (uint16_t)(1000 + i);
		no = put(lab, &packet, &id);
		divert_take_flow(lab, PROXY, id);
		divert_say_opened(lab, PROXY, id, errors[i].error);
		assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
		assert_int_equal(mark_of(lab, no), errors[i].mark);
		assert_int_equal(lab_flow(lab, &packet)->verdict, SL_REJECT);
		assert_string_equal(divert_member(lab, id, "via"), "none");
		assert_string_equal(divert_member(lab, id, "verdict"), "drop");
		assert_string_equal(divert_member(lab, id, "reason"), strerror(errors[i].error));
		assert_null(lab_take(lab, PROXY, WIRE_FLOW_CANCEL));
		assert_null(lab_take(lab, SECOND, WIRE_FLOW_NEW));
	}
	assert_int_equal(lab->daemon->filters[PROXY].n_dropped, ARRAY_SIZE(errors));
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

static void test_a_time_out_is_no_answer(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int no = put(lab, &tcp, &id);

	divert_take_flow(lab, PROXY, id);
	divert_say_opened(lab, PROXY, id, ETIMEDOUT);
	assert_int_equal(lab_fate(lab, no), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_SILENT);
	assert_int_equal(lab_fate(lab, lab_put(lab, &tcp)), FATE_SILENT); /* it tries again */
	assert_null(lab_take(lab, PROXY, WIRE_FLOW_NEW));
}

/* after a refusal the same socket may try again: it is asked anew */
static void test_the_socket_of_a_refusal_is_asked_anew(void **state)
{
	struct lab *lab = *state;
	uint64_t id, second;
	unsigned int no;

	put(lab, &tcp, &id);
	divert_take_flow(lab, PROXY, id);
	divert_say_opened(lab, PROXY, id, EHOSTUNREACH);
	lab_end_socket(lab, &tcp);
	no = put(lab, &tcp, &second);
	assert_int_not_equal(second, id);
	divert_take_flow(lab, PROXY, second);
	divert_say_opened(lab, PROXY, second, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
}

/* ---- what is not for proxies ---- */

static void pass_by(struct lab *lab, const struct lab_packet *packet)
{
	unsigned int no = lab_put(lab, packet);

	lab_judge(lab, FILTER, lab_take_flow(lab, FILTER), 0);
	assert_int_equal(lab_fate(lab, no), FATE_ALLOWED);
	assert_null(lab_take(lab, PROXY, WIRE_FLOW_NEW));
	assert_null(lab_take(lab, SECOND, WIRE_FLOW_NEW));
}

static void test_what_is_not_for_proxies(void **state)
{
	struct lab_packet of_link = tcp6;

	of_link.link = 0xfe80;
	pass_by(*state, &udp);
	pass_by(*state, &tcp_in);
	pass_by(*state, &of_link);
	of_link.link = 0xfebf;
	of_link.rport++;
	pass_by(*state, &of_link);
}

/* what is open was judged with a predecessor: it goes where it went */
static void test_a_flow_of_a_predecessors(void **state)
{
	struct lab *lab = *state;
	struct lab_packet direct = tcp;
	uint64_t id;

	direct.rport = 80;
	put(lab, &direct, &id);
	lab_judge(lab, PROXY, id, 0);
	lab_judge(lab, SECOND, lab_take_flow(lab, SECOND), 0);
	put(lab, &tcp, &id);
	divert_take_flow(lab, PROXY, id);
	divert_say_opened(lab, PROXY, id, 0);
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	lab_pass(lab, TICK_US);
	for (unsigned int i = 0; i < 2; i++) /* the filter is asked again */
		lab_judge(lab, FILTER, lab_take_flow(lab, FILTER), 0);
	assert_null(lab_take(lab, PROXY, WIRE_FLOW_NEW));
	assert_true(lab_flow(lab, &tcp)->flags & SL_FLOW_DIVERTED);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_ALLOW);
	assert_int_equal(lab_flow(lab, &direct)->verdict, SL_ALLOW);
	assert_int_equal(lab_flow(lab, &direct)->flags & SL_FLOW_DIVERTED, 0);
	lab_end_socket(lab, &tcp);
	assert_null(lab_flow(lab, &tcp));
}

/* ---- rules ---- */

static void give(struct lab *lab, unsigned int index, const struct wire_rule *rules, unsigned int n)
{
	const struct wire_rules_done *done;

	lab_say(lab, index, WIRE_RULES_BEGIN, &(struct wire_rules_begin){ .set = 1 });
	for (unsigned int i = 0; i < n; i++)
		lab_say(lab, index, WIRE_RULE, &rules[i]);
	lab_say(lab, index, WIRE_RULES_COMMIT,
		&(struct wire_rules_commit){ .otherwise = RULES_ALLOW });
	done = lab_take(lab, index, WIRE_RULES_DONE);
	assert_non_null(done);
	assert_int_equal(done->error, 0);
}

static void test_rules_say_which_flows_come(void **state)
{
	const struct wire_rule rules[] = { { .action = RULES_ALLOW, .rport = 80 },
					   { .action = RULES_ASK,
					     .protocol = IPPROTO_TCP,
					     .bits = 120,
					     .family = 4,
					     .remote = { [10] = 0xff, 0xff, 198, 51, 100, 0 } } };
	struct lab *lab = *state;
	struct lab_packet excluded = tcp, neither = tcp6;
	uint64_t id;
	unsigned int no;

	give(lab, PROXY, rules, 2);
	excluded.rport = 80;
	for (unsigned int i = 0; i < 2; i++) {
		no = put(lab, i ? &neither : &excluded, &id);
		assert_int_equal(id, 0);
		lab_judge(lab, SECOND, lab_take_flow(lab, SECOND), 0); /* as if it was not there */
		assert_int_equal(lab_fate(lab, no), FATE_ALLOWED);
	}
	no = put(lab, &tcp, &id);
	assert_int_not_equal(id, 0);
	divert_take_flow(lab, PROXY, id);
	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	assert_int_equal(lab->daemon->filters[PROXY].n_dropped, 0);
}

/* nothing is read for a name, which a proxy could not wait for: it is asked */
static void test_a_rule_of_a_host_that_is_not_known(void **state)
{
	const struct wire_rule rules[] = {
		{ .action = RULES_ASK, .host_kind = 2, .host = "example" }
	};
	struct lab *lab = *state;
	uint64_t id;
	unsigned int no;

	give(lab, PROXY, rules, 1);
	no = put(lab, &tcp, &id);
	assert_int_not_equal(id, 0);
	assert_null(lab_take(lab, SECOND, WIRE_FLOW_NEW));
	lab_judge(lab, PROXY, id, 0);
	assert_int_equal(lab_take_flow(lab, SECOND), id);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
}

/* rules are of flows to come: what goes on cannot be taken, and what is taken not given back */
static void test_other_rules_leave_what_goes_on(void **state)
{
	const struct wire_rule none[] = { { .action = RULES_ALLOW } };
	struct lab *lab = *state;
	struct lab_packet other = tcp;
	uint64_t id, taken;
	unsigned int no;

	put(lab, &tcp, &id);
	divert_take_flow(lab, PROXY, id);
	divert_say_opened(lab, PROXY, id, 0);
	other.rport = 80;
	no = put(lab, &other, &taken);
	divert_take_flow(lab, PROXY, taken);
	give(lab, PROXY, none, 1);
	lab_pass(lab, TICK_US);
	assert_true(lab_flow(lab, &tcp)->flags & SL_FLOW_DIVERTED);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	divert_say_opened(lab, PROXY, taken, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	other.rport = 81;
	put(lab, &other, &id);
	assert_int_equal(id, 0);
}

/* ---- fail classes ---- */

static void give_up(struct lab *lab, unsigned int index)
{
	lab_end_filter(lab, index);
	while (lab->daemon->filters[index].session.state != SESSION_FAILED) {
		lab_pass(lab, SESSION_PING_US);
		for (unsigned int i = 0; i < lab->config.n_filters; i++)
			if (lab->filters[i].sock >= 0 && i != index)
				lab_say(lab, i, WIRE_PONG,
					&(struct wire_pong){
						.token = lab->daemon->filters[i].session.token });
		if (lab->filters[index].sock >= 0)
			lab_end_filter(lab, index);
	}
}

static void test_a_proxy_that_was_given_up_fails_closed(void **state)
{
	struct lab *lab = *state;
	unsigned int no;

	give_up(lab, PROXY);
	no = lab_put(lab, &tcp);
	lab_judge(lab, FILTER, lab_take_flow(lab, FILTER), 0);
	assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
	assert_int_equal(lab_fate(lab, lab_put(lab, &tcp)), FATE_REJECTED);
	assert_null(lab_take(lab, SECOND, WIRE_FLOW_NEW));
	no = lab_put(lab, &udp); /* is not for it */
	lab_judge(lab, FILTER, lab_take_flow(lab, FILTER), 0);
	assert_int_equal(lab_fate(lab, no), FATE_ALLOWED);
}

static void test_a_proxy_that_was_given_up_fails_open(void **state)
{
	struct lab *lab = *state;
	unsigned int no;
	uint64_t id;

	give_up(lab, PROXY);
	no = lab_put(lab, &tcp);
	lab_judge(lab, FILTER, lab_take_flow(lab, FILTER), 0);
	id = lab_take_flow(lab, SECOND);
	assert_int_not_equal(id, 0); /* the next one is asked */
	lab_judge(lab, SECOND, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_ALLOWED);
}

/* ---- who says what it is, and is another ---- */

static void check_kind(bool is_proxy, uint8_t kind, const char *sentence)
{
	struct lab_config config = { .n_filters = 1,
				     .is_proxy = { is_proxy },
				     .is_closed = { true } };
	struct lab *lab = lab_new(&config);
	struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION, .kind = kind };

	assert_int_equal(lab_start(lab), 0);
	lab_say(lab, 0, WIRE_HELLO, &hello);
	assert_null(lab_take(lab, 0, WIRE_WELCOME));
	assert_int_equal(lab->daemon->filters[0].session.state, SESSION_FAILED);
	assert_true(lab->is_told);
	assert_int_equal(lab->state.error, EINVAL);
	assert_non_null(strstr(lab->state.text, sentence));
	assert_int_equal(lab_fate(lab, lab_put(lab, &tcp)), FATE_REJECTED);
	lab_free(lab);
}

static void test_a_filter_is_no_proxy(void **state)
{
	check_kind(true, HELLO_FILTER, "is no proxy: start it with --filter");
}

static void test_a_proxy_is_no_filter(void **state)
{
	check_kind(false, HELLO_PROXY, "is no filter: start it with --proxy");
	check_kind(false, HELLO_APP_PROXY, "is no filter: start it with --proxy");
}

/* ---- without proxies nothing is there for them ---- */

static void test_listeners_are_there_for_proxies_only(void **state)
{
	struct lab *lab = running_lab(2, true);

	assert_false(fake_is_diverting(lab->kernel));
	assert_null(lab->daemon->diverts);
	lab_free(lab);
	lab = *state;
	assert_true(fake_is_diverting(lab->kernel));
}

/* ---- what the kernel remembers ---- */

/* UDP is no proxy's, so the filter's answer may stand for more than this flow; TCP is asked */
static void test_what_is_remembered(void **state)
{
	struct lab *lab = *state;
	struct sl_memory_key key = lab_memory_key(lab, &udp);
	uint64_t id;

	lab_put(lab, &udp);
	lab_judge_for(lab, FILTER, lab_take_flow(lab, FILTER), 0, MEMORY_ADDRESS);
	lab_pass(lab, TICK_US);
	assert_non_null(fake_get(lab->kernel, FAKE_MEMORY, &key));
	lab_put(lab, &tcp);
	lab_judge_for(lab, FILTER, lab_take_flow(lab, FILTER), 0, MEMORY_ADDRESS);
	id = lab_take_flow(lab, PROXY);
	assert_int_not_equal(id, 0);
	lab_judge(lab, PROXY, id, 0);
	lab_judge(lab, SECOND, lab_take_flow(lab, SECOND), 0);
	lab_pass(lab, TICK_US);
	key = lab_memory_key(lab, &tcp);
	assert_null(fake_get(lab->kernel, FAKE_MEMORY, &key));
	lab_end_socket(lab, &tcp);
	lab_put(lab, &tcp_again); /* the filter is not asked, the proxy is */
	assert_null(lab_take(lab, FILTER, WIRE_FLOW_NEW));
	assert_int_not_equal(lab_take_flow(lab, PROXY), 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)
#define OPEN(fn) cmocka_unit_test_setup_teardown(fn, set_up_open, running_tear_down)
#define ALONE(fn) cmocka_unit_test_setup_teardown(fn, set_up_alone, running_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_filters_first_then_proxies_in_order),
		TEST(test_what_a_filter_denies_no_proxy_hears_of),
		TEST(test_a_proxy_denies_a_flow_as_a_filter_does),
		ALONE(test_no_proxy_takes_it),
		TEST(test_what_is_taken_has_no_deadline),
		TEST(test_what_is_not_taken_has_one),
		OPEN(test_late_and_open),
		TEST(test_opened),
		TEST(test_the_second_proxy_takes_it),
		TEST(test_ipv6_is_for_proxies),
		TEST(test_a_syn_that_is_sent_again),
		TEST(test_each_errno_has_its_mark),
		TEST(test_a_time_out_is_no_answer),
		TEST(test_the_socket_of_a_refusal_is_asked_anew),
		TEST(test_what_is_not_for_proxies),
		TEST(test_a_flow_of_a_predecessors),
		TEST(test_rules_say_which_flows_come),
		TEST(test_a_rule_of_a_host_that_is_not_known),
		TEST(test_other_rules_leave_what_goes_on),
		TEST(test_a_proxy_that_was_given_up_fails_closed),
		OPEN(test_a_proxy_that_was_given_up_fails_open),
		cmocka_unit_test(test_a_filter_is_no_proxy),
		cmocka_unit_test(test_a_proxy_is_no_filter),
		TEST(test_listeners_are_there_for_proxies_only),
		TEST(test_what_is_remembered),
	};

	return cmocka_run_group_tests_name("daemon-divert", tests, NULL, NULL);
}
