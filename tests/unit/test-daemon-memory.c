/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Verdict memory in the daemon
 *
 * What filters said is remembered, what follows from it is in the kernel's
 * sl_memory, and nothing stays in force there that asking again would not
 * give: not after a second name, FLOW_FORGET, the end of a filter or of the
 * daemon. test-daemon-remembered.c: the flows that the kernel allowed, and a
 * kernel that does not take a change.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon-lab-memory.h"

#define TTL_AND_GRACE_US ((60U + NAMES_GRACE_S) * UINT64_C(1000000)) /* of lab_name() */

/* ---- what is remembered ---- */

static void test_a_filter_is_asked_once(void **state)
{
	struct lab *lab = *state;
	const struct sl_memory *entry;

	memory_put(lab);
	memory_check_known(lab, &tcp_again, FATE_ALLOWED);
	entry = memory_entry(lab, &tcp);
	assert_int_equal(entry->generation, fake_generation(lab->kernel));
	assert_true(entry->expiry_ns >
		    daemon_now_us() * 1000 * 1000); /* no name: as good as never */
	assert_int_equal(fake_n(lab->kernel, FAKE_MEMORY), 1);
}

static void test_other_ends_are_asked_about(void **state)
{
	struct lab_packet port = tcp, address = tcp, protocol = tcp;
	struct lab *lab = *state;

	port.rport++;
	address.last++;
	protocol.proto = IPPROTO_UDP;
	memory_put(lab);
	memory_check_asked(lab, &port);
	memory_check_asked(lab, &address);
	memory_check_asked(lab, &protocol);
}

static void test_an_answer_for_the_flow_is_not_remembered(void **state)
{
	struct lab *lab = *state;

	memory_judged(lab, &tcp, 0, MEMORY_FLOW);
	memory_judged(lab, &tcp, 0, MEMORY_NAME); /* there is none */
	assert_int_equal(fake_n(lab->kernel, FAKE_MEMORY), 0);
	memory_check_asked(lab, &tcp_again);
}

/* the same address on another link is another machine */
static void test_an_address_of_one_link_is_asked_about(void **state)
{
	struct lab_packet packet = tcp;
	struct lab *lab = *state;

	packet.is_v6 = true;
	for (unsigned int i = 0; i < 3; i++) {
		packet.link = (uint16_t[]){ 0xfe80, 0xfebf, 0xff02 }[i];
		memory_judged(lab, &packet, 0, MEMORY_ADDRESS);
		assert_int_equal(fake_n(lab->kernel, FAKE_MEMORY), 0);
		memory_check_asked(lab, &packet);
	}
	packet.link = 0xff0e; /* everywhere */
	memory_judged(lab, &packet, 0, MEMORY_ADDRESS);
	assert_true(memory_is_in_force(lab, &packet));
}

static void test_a_name_is_remembered_as_long_as_it_lives(void **state)
{
	struct lab *lab = *state;
	struct lab_packet port = tcp;

	memory_resolved(lab, "a.example");
	memory_judged(lab, &tcp, 0, MEMORY_NAME);
	assert_true(memory_is_in_force(lab, &tcp));
	assert_int_equal(memory_entry(lab, &tcp)->expiry_ns,
			 (daemon_now_us() + TTL_AND_GRACE_US) * 1000);
	port.rport++;
	memory_check_known(lab, &port, FATE_ALLOWED); /* under the name every port */
	assert_true(memory_is_in_force(lab, &port));
	lab_pass(lab, TTL_AND_GRACE_US);
	assert_false(memory_is_in_force(lab, &tcp));
	memory_check_asked(lab, &tcp_again);
}

static void deny_as(struct lab *lab, const char *name)
{
	struct wire_flow_verdict denial = { .verdict = 1, .scope = MEMORY_NAME };

	memory_resolved(lab, name);
	memory_connect(lab, &tcp);
	denial.id = lab_take_flow(lab, 0);
	assert_int_not_equal(denial.id, 0);
	snprintf(denial.reason, sizeof(denial.reason), "%s", name);
	lab_say(lab, 0, WIRE_FLOW_VERDICT, &denial);
}

/* of several names that are denied the one that the program asked for last, and that is told */
static void test_the_reason_is_that_of_the_name(void **state)
{
	static const char *const names[] = { "a.example", "b.example" };
	struct sl_flow_key key = lab_key(&tcp);
	struct lab *lab = *state;
	const struct flow *flow;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		deny_as(lab, names[i]);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		memory_resolved(lab, names[i]);
		memory_check_known(lab, &tcp, FATE_REJECTED);
		flow = flow_table_find(lab->daemon->flows, &key);
		assert_string_equal(flow->host, names[i]);
		assert_string_equal(flow->reason, names[i]);
	}
}

static void test_denied_is_answered_without_asking(void **state)
{
	static const enum fate fates[] = { [1] = FATE_REJECTED, [2] = FATE_SILENT };
	struct lab *lab = *state;
	struct sl_flow_key key = lab_key(&tcp);

	for (uint8_t verdict = 1; verdict <= 2; verdict++) {
		lab_forget(lab, 0);
		assert_int_equal(lab_fate(lab, memory_judged(lab, &tcp, verdict, MEMORY_ADDRESS)),
				 fates[verdict]);
		fake_delete(lab->kernel, FAKE_FLOWS, &key); /* another socket knows nothing of it */
		memory_check_known(lab, &tcp_again, fates[verdict]);
		fake_delete(lab->kernel, FAKE_FLOWS, &key);
	}
	assert_int_equal(fake_n(lab->kernel, FAKE_MEMORY), 0);
}

static void test_inbound_is_never_remembered(void **state)
{
	struct lab *lab = *state;

	memory_judged(lab, &tcp_in, 0, MEMORY_ADDRESS);
	assert_int_equal(fake_n(lab->kernel, FAKE_MEMORY), 0);
	memory_check_asked(lab, &tcp_in);
}

static void test_a_flow_of_nobody_known_is_never_remembered(void **state)
{
	uint64_t cookie = LAB_COOKIE;
	struct sl_sock sock = { .user = { .uid = 1000 } };
	struct lab *lab = *state;

	fake_put(lab->kernel, FAKE_SOCKS, &cookie, &sock);
	memory_judged(lab, &tcp, 0, MEMORY_ADDRESS);
	assert_int_equal(fake_n(lab->kernel, FAKE_MEMORY), 0);
	memory_check_asked(lab, &tcp_again);
}

/* ---- two filters ---- */

static void judge_second(struct lab *lab, uint8_t verdict, enum memory_scope scope)
{
	uint64_t id = lab_take_flow(lab, 1);

	assert_int_not_equal(id, 0);
	lab_judge_for(lab, 1, id, verdict, scope);
}

static void test_only_what_all_filters_said_is_in_the_kernel(void **state)
{
	struct lab *lab = *state;

	memory_judged(lab, &tcp, 0, MEMORY_ADDRESS);
	judge_second(lab, 0, MEMORY_FLOW);
	assert_int_equal(fake_n(lab->kernel, FAKE_MEMORY), 0);
	memory_connect(lab, &tcp_again);
	assert_int_equal(lab_take_flow(lab, 0), 0); /* it has said so before */
	judge_second(lab, 0, MEMORY_ADDRESS);
	assert_true(memory_is_in_force(lab, &tcp));
}

static void test_each_filter_is_remembered_for_itself(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	memory_judged(lab, &tcp, 0, MEMORY_ADDRESS);
	judge_second(lab, 0, MEMORY_ADDRESS);
	lab_forget(lab, 1);
	assert_false(memory_is_in_force(lab, &tcp));
	packet = memory_connect(lab, &tcp_again);
	assert_int_equal(lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	judge_second(lab, 1, MEMORY_ADDRESS);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	assert_false(memory_is_in_force(lab, &tcp));
}

/* ---- what ends it ---- */

static void test_a_second_name_withdraws_it_before_anybody_knows_the_name(void **state)
{
	struct lab *lab = *state;
	unsigned int answer;
	uint64_t token;

	memory_resolved(lab, "a.example");
	memory_judged(lab, &tcp, 0, MEMORY_NAME);
	assert_true(memory_is_in_force(lab, &tcp));
	answer = memory_resolve(lab, "b.example", &token);
	assert_int_equal(lab_fate(lab, answer), FATE_HELD);
	assert_null(memory_entry(lab, &tcp));
	lab_done(lab, token);
	assert_int_equal(lab_fate(lab, answer), FATE_ALLOWED);
	memory_check_asked(lab, &tcp_again);
}

static void test_a_filter_whose_rules_change_is_asked_anew(void **state)
{
	struct lab *lab = *state;
	uint32_t generation;

	memory_put(lab);
	generation = fake_generation(lab->kernel);
	lab_forget(lab, 0);
	assert_int_equal(fake_generation(lab->kernel), generation + 1);
	assert_false(memory_is_in_force(lab, &tcp));
	memory_check_asked(lab, &tcp_again);
}

static void test_what_a_filter_said_dies_with_it(void **state)
{
	struct lab *lab = *state;
	uint32_t generation;

	memory_put(lab);
	generation = fake_generation(lab->kernel);
	lab_end_filter(lab, 0);
	assert_int_equal(fake_generation(lab->kernel), generation + 1);
	assert_false(memory_is_in_force(lab, &tcp));
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	memory_check_asked(lab, &tcp_again);
}

static void test_a_successor_relies_on_nothing_of_before(void **state)
{
	struct lab *lab = *state;
	uint32_t generation;

	memory_put(lab);
	generation = fake_generation(lab->kernel);
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	assert_int_equal(fake_generation(lab->kernel), generation + 1);
	assert_false(memory_is_in_force(lab, &tcp));
	lab_run_filter(lab, 0);
	memory_check_asked(lab, &tcp_again);
}

#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_filter_is_asked_once, running_one),
		TEST(test_other_ends_are_asked_about, running_one),
		TEST(test_an_answer_for_the_flow_is_not_remembered, running_one),
		TEST(test_an_address_of_one_link_is_asked_about, running_one),
		TEST(test_a_name_is_remembered_as_long_as_it_lives, running_one),
		TEST(test_the_reason_is_that_of_the_name, running_one),
		TEST(test_denied_is_answered_without_asking, running_one),
		TEST(test_inbound_is_never_remembered, running_one),
		TEST(test_a_flow_of_nobody_known_is_never_remembered, running_one),
		TEST(test_only_what_all_filters_said_is_in_the_kernel, running_two),
		TEST(test_each_filter_is_remembered_for_itself, running_two),
		TEST(test_a_second_name_withdraws_it_before_anybody_knows_the_name, running_one),
		TEST(test_a_filter_whose_rules_change_is_asked_anew, running_one),
		TEST(test_what_a_filter_said_dies_with_it, running_one),
		TEST(test_a_successor_relies_on_nothing_of_before, running_one),
	};

	return cmocka_run_group_tests_name("daemon-memory", tests, NULL, NULL);
}
