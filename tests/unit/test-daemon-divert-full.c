/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced and proxies: a proxy does not read, and its channel is full */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon/judge/judge.h"
#include "divert-lab.h"
#include "running-lab.h"

#define PROXY 0U

static unsigned int drain(struct lab *lab, uint64_t id, uint16_t order[3])
{
	unsigned int n = 0, n_questions = 0;
	uint16_t type;

	for (;;) {
		type = divert_next(lab, PROXY);
		if (!type) {
			lab_settle(lab); /* there is room again */
			type = divert_next(lab, PROXY);
		}
		if (!type)
			break;
		n_questions += type == WIRE_FLOW_NEW;
		if (type != WIRE_FLOW_SOCKET && type != WIRE_FLOW_END && type != WIRE_FLOW_CANCEL)
			continue;
		assert_true(n < 3);
		assert_int_equal(*(const uint64_t *)(const void *)lab->message.body.bytes, id);
		assert_true((type == WIRE_FLOW_SOCKET) == (lab->passed >= 0));
		order[n++] = type;
	}
	assert_true(n_questions > 20);
	return n;
}

/* who asks about another proxy's flow, and reads nothing, takes no word of it away from that one */
static void test_words_of_anothers_flow_that_wait(void **state)
{
	struct lab *lab = divert_lab(0, 2, true);
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);
	_cleanup_close_ int program = -1;

	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_take_flow(lab, 1), id);
	divert_say_opened(lab, 1, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	program = divert_connect(lab, &tcp);
	assert_non_null(lab_take(lab, 1, WIRE_FLOW_SOCKET));
	divert_fill(lab, 0);
	divert_ask_end(lab, 0, id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 2);
	divert_ask_end(lab, 1, id);
	assert_false(((const struct wire_flow_end *)lab_take(lab, 1, WIRE_FLOW_END))->full);
	lab_end_socket(lab, &tcp);
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
	program = close_fd(program);
	lab_free(lab);
}

/* @is_over: by the time that it reads */
static void check_connection_and_end(struct lab *lab, bool is_over)
{
	uint64_t id = divert_open_flow(lab, PROXY, &tcp);
	_cleanup_close_ int program = -1;
	uint16_t order[3];

	divert_fill(lab, PROXY);
	program = divert_connect(lab, &tcp);
	assert_false(divert_is_closed(program));
	divert_leave(lab, &tcp);
	if (is_over)
		lab_end_socket(lab, &tcp);
	assert_int_equal(drain(lab, id, order), 2);
	assert_int_equal(order[0], WIRE_FLOW_SOCKET);
	assert_int_equal(order[1], WIRE_FLOW_END);
	if (!is_over)
		lab_end_socket(lab, &tcp);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

static void test_a_connection_and_its_end_wait_in_order(void **state)
{
	check_connection_and_end(*state, false);
}

/* what is over by then is told of all the same */
static void test_what_is_over_waits_as_well(void **state)
{
	check_connection_and_end(*state, true);
}

static void test_a_cancel_waits(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	uint16_t order[3];

	lab_put(lab, &tcp);
	id = lab_take_flow(lab, PROXY);
	divert_take_flow(lab, PROXY, id);
	divert_fill(lab, PROXY);
	lab_end_socket(lab, &tcp);
	assert_int_equal(drain(lab, id, order), 1);
	assert_int_equal(order[0], WIRE_FLOW_CANCEL);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* it asks while there is much that it has not read: that is no offence */
static void check_question(struct lab *lab, uint64_t id)
{
	uint16_t order[3];

	divert_fill(lab, PROXY);
	divert_ask_end(lab, PROXY, id);
	assert_int_equal(lab->n_killed, 0);
	assert_int_equal(drain(lab, id, order), 1);
	assert_int_equal(order[0], WIRE_FLOW_END);
}

static void test_an_answer_waits(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = divert_begin(lab, PROXY, &tcp, &program, &own);

	check_question(lab, id);
	divert_leave(lab, &tcp);
	divert_expect_end(lab, PROXY, id, 1);
	close(own);
	close(program);
}

static void test_an_answer_about_what_is_over_waits(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = divert_begin(lab, PROXY, &tcp, &program, &own);

	lab_end_socket(lab, &tcp);
	check_question(lab, id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(own);
	close(program);
}

static void test_it_dies_while_a_connection_waits(void **state)
{
	struct lab *lab = *state;
	_cleanup_close_ int program = -1;

	divert_open_flow(lab, PROXY, &tcp);
	divert_fill(lab, PROXY);
	program = divert_connect(lab, &tcp);
	lab_end_filter(lab, PROXY);
	assert_true(divert_is_closed(program));
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, divert_set_up, running_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_of_anothers_flow_that_wait),
		TEST(test_a_connection_and_its_end_wait_in_order),
		TEST(test_what_is_over_waits_as_well),
		TEST(test_a_cancel_waits),
		TEST(test_an_answer_waits),
		TEST(test_an_answer_about_what_is_over_waits),
		TEST(test_it_dies_while_a_connection_waits),
	};

	return cmocka_run_group_tests_name("daemon-divert-full", tests, NULL, NULL);
}
