/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced and the answers of name servers
 *
 * An answer is held until sluice-names has read it, and never longer than
 * NAMES_DEADLINE_US, whatever becomes of sluice-names.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "running-lab.h"

static void test_an_answer_is_read_before_it_goes_on(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &dns_answer);
	const struct wire_look *look = lab_take_look(lab);
	const struct wire_flow_new *flow;
	uint64_t token;

	assert_non_null(look);
	token = look->token;
	assert_int_equal(look->stream, 0);
	assert_int_equal(lab->message.n_tail, 4);
	assert_memory_equal(lab->message.tail, "data", 4);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_name(lab, token, "host.example", 9);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_done(lab, token);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);

	lab_put(lab, &tcp);
	flow = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(flow);
	assert_int_equal(flow->host_source, 1);
	assert_string_equal(flow->host, "host.example");
}

static void test_tokens_that_are_not_pending_do_nothing(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &dns_answer);
	uint64_t token = lab_take_look(lab)->token;

	lab_done(lab, 0);
	lab_done(lab, token + 1);
	lab_name(lab, 0, "host.example", 9);
	lab_name(lab, token + 1, "host.example", 9);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_done(lab, token);
	lab_done(lab, token);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab->daemon->n_answers, 0);
	assert_int_equal(names_count(lab->daemon->names), 0);
	assert_int_equal(fake_n_stale(lab->kernel), 0);
}

static void test_a_slow_reader_is_replaced_and_the_answer_goes_on(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &dns_answer), n_spawned = lab->n_spawned;

	lab_pass(lab, NAMES_DEADLINE_US - 1);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, 1);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab->n_killed, 1);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab->n_spawned, n_spawned + 1);
	packet = lab_put(lab, &dns_answer);
	lab_done(lab, lab_take_look(lab)->token);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_a_dead_reader_holds_nothing(void **state)
{
	struct lab *lab = *state;
	unsigned int packets[3];

	for (size_t i = 0; i < ARRAY_SIZE(packets); i++)
		packets[i] = lab_put(lab, &dns_answer);
	lab_end_names(lab);
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++)
		assert_int_equal(lab_fate(lab, packets[i]), FATE_ALLOWED);
	assert_int_equal(lab->daemon->n_answers, 0);
	/* it is not back yet */
	assert_int_equal(lab_fate(lab, lab_put(lab, &dns_answer)), FATE_ALLOWED);
}

static void test_a_reader_that_breaks_the_protocol_is_replaced(void **state)
{
	static const uint8_t bad[] = { 1, 2, 3 };
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &dns_answer);

	assert_int_equal(channel_send_raw(lab->names.sock, bad, sizeof(bad), -1), 0);
	lab_settle(lab);
	assert_int_equal(lab->n_killed, 1);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_more_answers_than_can_wait_go_on_unread(void **state)
{
	struct lab *lab = *state;
	unsigned int packets[NAMES_PENDING_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(packets); i++)
		packets[i] = lab_put(lab, &dns_answer);
	assert_int_equal(lab_fate(lab, packets[0]), FATE_HELD);
	assert_int_equal(lab_fate(lab, packets[NAMES_PENDING_MAX]), FATE_ALLOWED);
	for (size_t i = 0; i < NAMES_PENDING_MAX; i++)
		lab_done(lab, lab_take_look(lab)->token);
	for (size_t i = 0; i < NAMES_PENDING_MAX; i++)
		assert_int_equal(lab_fate(lab, packets[i]), FATE_ALLOWED);
}

/* the address of tcp is host.example's */
static void give_name(struct lab *lab)
{
	uint64_t token;

	(void)lab_put(lab, &dns_answer);
	token = lab_take_look(lab)->token;
	lab_name(lab, token, "host.example", 9);
	lab_done(lab, token);
	assert_int_equal(names_count(lab->daemon->names), 1);
}

static void check_nameless(struct lab *lab)
{
	const struct wire_flow_new *flow;

	assert_int_equal(names_count(lab->daemon->names), 0);
	lab_put(lab, &tcp);
	flow = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(flow);
	assert_string_equal(flow->host, "");
}

/* what a program was told and nobody has read may be another name of the same address: the one that
 * is known is not sure any more */
static void test_after_a_reader_died_the_names_of_before_are_not_sure(void **state)
{
	struct lab *lab = *state;

	give_name(lab);
	(void)lab_put(lab, &dns_answer);
	lab_end_names(lab);
	check_nameless(lab);
}

static void test_without_a_reader_no_name_is_sure(void **state)
{
	struct lab *lab = *state;

	give_name(lab);
	lab_end_names(lab);
	assert_int_equal(names_count(lab->daemon->names), 1); /* all that was told was read */
	(void)lab_put(lab, &dns_answer);
	check_nameless(lab);
}

static void test_an_answer_that_is_read_too_late_makes_no_name_sure(void **state)
{
	struct lab *lab = *state;

	give_name(lab);
	(void)lab_put(lab, &dns_answer);
	lab_pass(lab, NAMES_DEADLINE_US);
	check_nameless(lab);
}

static void test_an_answer_nobody_asked_for_is_not_read(void **state)
{
	struct lab_packet other = dns_answer;
	struct lab *lab = *state;

	other.is_foreign = true;
	assert_int_equal(lab_fate(lab, lab_put(lab, &other)), FATE_ALLOWED);
	assert_null(lab_take_look(lab));
}

static void test_an_unreadable_answer_goes_on(void **state)
{
	static const uint8_t bytes[] = { 0x45, 0, 0 };
	uint32_t mark = (uint32_t)SL_MARK_NAMES << SL_MARK_SHIFT | 5;
	struct lab *lab = *state;
	unsigned int packet =
		fake_put_packet(lab->kernel, FAKE_HOME, bytes, sizeof(bytes), true, mark);

	lab_settle(lab);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_null(lab_take_look(lab));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, running_one, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_answer_is_read_before_it_goes_on),
		TEST(test_tokens_that_are_not_pending_do_nothing),
		TEST(test_a_slow_reader_is_replaced_and_the_answer_goes_on),
		TEST(test_a_dead_reader_holds_nothing),
		TEST(test_a_reader_that_breaks_the_protocol_is_replaced),
		TEST(test_more_answers_than_can_wait_go_on_unread),
		TEST(test_after_a_reader_died_the_names_of_before_are_not_sure),
		TEST(test_without_a_reader_no_name_is_sure),
		TEST(test_an_answer_that_is_read_too_late_makes_no_name_sure),
		TEST(test_an_answer_nobody_asked_for_is_not_read),
		TEST(test_an_unreadable_answer_goes_on),
	};

	return cmocka_run_group_tests_name("daemon-names", tests, NULL, NULL);
}
