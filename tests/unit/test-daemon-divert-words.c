/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced and proxies: what a proxy says too late, twice, or must not say */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon/judge/judge.h"
#include "divert-lab.h"
#include "running-lab.h"

#define PROXY 0U

static int set_up_with_filter(void **state)
{
	*state = divert_lab(1, 1, true);
	return 0;
}

static void test_words_of_no_flow(void **state)
{
	struct lab *lab = *state;
	unsigned int n_late = lab->daemon->filters[PROXY].n_late;

	divert_take_flow(lab, PROXY, 4711);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), 4711);
	divert_say_opened(lab, PROXY, 4711, ECONNREFUSED);
	assert_int_equal(divert_next(lab, PROXY), 0);
	divert_say_opened(lab, PROXY, 4711, 0); /* it would wait for a connection */
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), 4711);
	divert_ask_end(lab, PROXY, 4711);
	divert_expect_end(lab, PROXY, 4711, 1);
	assert_int_equal(lab->daemon->filters[PROXY].n_late, n_late + 3);
	assert_int_equal(lab->n_killed, 0);
}

/* who knows at once says no TAKE */
static void test_opened_without_a_take(void **state)
{
	static const struct {
		int error;
		enum fate fate;
	} cases[] = { { 0, FATE_DIVERTED }, { ECONNREFUSED, FATE_REJECTED } };
	struct lab *lab = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct lab_packet packet = tcp;
		unsigned int no;

		packet.uid += (uint32_t)i; /* another socket */
		no = lab_put(lab, &packet);
		divert_say_opened(lab, PROXY, lab_take_flow(lab, PROXY), cases[i].error);
		assert_int_equal(lab_fate(lab, no), cases[i].fate);
	}
	assert_int_equal(lab->daemon->filters[PROXY].n_late, 0);
}

/* its program has given up meanwhile */
static void test_opened_without_a_take_too_late(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	lab_put(lab, &tcp);
	id = lab_take_flow(lab, PROXY);
	lab_end_socket(lab, &tcp);
	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(divert_next(lab, PROXY), 0);
}

static void test_a_second_word(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, PROXY);
	_cleanup_close_ int program = -1;

	divert_take_flow(lab, PROXY, id);
	divert_take_flow(lab, PROXY, id);
	lab_judge(lab, PROXY, id, 0);		      /* it is taken */
	assert_int_equal(divert_next(lab, PROXY), 0); /* it has it, and it is not cancelled */
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	divert_say_opened(lab, PROXY, id, 0);
	divert_say_opened(lab, PROXY, id, ECONNREFUSED);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_ALLOW);
	assert_int_equal(lab->daemon->filters[PROXY].n_late, 3);
	program = divert_connect(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
}

/* one that has it is opened by it alone */
static void test_words_of_anothers_flow(void **state)
{
	struct lab *lab = divert_lab(1, 2, true);
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);
	_cleanup_close_ int program = -1;

	divert_take_flow(lab, 1, id); /* it is the filter's turn */
	assert_int_equal(lab->daemon->filters[1].n_late, 1);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	lab_judge(lab, 0, id, 0);
	divert_take_flow(lab, 2, id);
	divert_say_opened(lab, 2, id, 0);
	assert_int_equal(lab->daemon->filters[2].n_late, 2);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	divert_take_flow(lab, 1, id);
	divert_say_opened(lab, 2, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	divert_say_opened(lab, 1, id, 0);
	program = divert_connect(lab, &tcp);
	assert_non_null(lab_take(lab, 1, WIRE_FLOW_SOCKET));
	assert_null(lab_take(lab, 2, WIRE_FLOW_SOCKET));
	divert_ask_end(lab, 2, id); /* it hears nothing of it but that it has none */
	assert_true(((const struct wire_flow_end *)lab_take(lab, 2, WIRE_FLOW_END))->full);
	divert_leave(lab, &tcp);
	assert_non_null(lab_take(lab, 1, WIRE_FLOW_END));
	assert_null(lab_take(lab, 2, WIRE_FLOW_END));
	program = close_fd(program);
	lab_free(lab);
}

static void check_broken(struct lab *lab, unsigned int index, uint16_t type, const void *body)
{
	unsigned int n_killed = lab->n_killed;

	lab_say(lab, index, type, body);
	assert_int_equal(lab->n_killed, n_killed + 1);
	while (lab->daemon->filters[index].session.state != SESSION_CALLED)
		lab_live(lab, TICK_US);
	lab_run_filter(lab, index);
}

static void test_a_filter_takes_no_flow(void **state)
{
	struct lab *lab = *state;

	check_broken(lab, 0, WIRE_FLOW_TAKE, &(struct wire_flow_take){ .id = 1 });
	check_broken(lab, 0, WIRE_FLOW_OPENED, &(struct wire_flow_opened){ .id = 1 });
	check_broken(lab, 0, WIRE_FLOW_ASK_END, &(struct wire_flow_ask_end){ .id = 1 });
	assert_int_equal(lab->n_killed, 3);
}

static void test_a_proxy_does_not_filter(void **state)
{
	struct lab *lab = *state;

	check_broken(lab, 1, WIRE_FLOW_FORGET, &(struct wire_flow_forget){ 0 });
	check_broken(lab, 1, WIRE_FLOW_UPDATE, &(struct wire_flow_update){ .id = 1 });
	check_broken(lab, 1, WIRE_FLOW_PEEK, &(struct wire_flow_peek){ .id = 1 });
	check_broken(lab, 1, WIRE_FLOW_PASS, &(struct wire_flow_pass){ .id = 1 });
	check_broken(lab, 1, WIRE_FLOW_PAUSE, &(struct wire_flow_pause){ .id = 1 });
	check_broken(lab, 1, WIRE_FLOW_NAME, &(struct wire_flow_name){ .id = 1 });
	lab_live(lab, SESSION_CALM_US); /* its deaths are forgotten */
	check_broken(lab, 1, WIRE_FLOW_NEED_RULES, &(struct wire_flow_need_rules){ .id = 1 });
	check_broken(lab, 1, WIRE_FLOW_WATCH, &(struct wire_flow_watch){ .id = 1 });
	check_broken(lab, 1, WIRE_PACKET_VERDICT, &(struct wire_packet_verdict){ .n = 1 });
	check_broken(lab, 1, WIRE_LIST, &(struct wire_list){ .number = 1 });
	assert_int_equal(lab->n_killed, 10);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, divert_set_up, running_tear_down)
#define FILTERED(fn) cmocka_unit_test_setup_teardown(fn, set_up_with_filter, running_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_words_of_no_flow),
		TEST(test_opened_without_a_take),
		TEST(test_opened_without_a_take_too_late),
		TEST(test_a_second_word),
		cmocka_unit_test(test_words_of_anothers_flow),
		FILTERED(test_a_filter_takes_no_flow),
		FILTERED(test_a_proxy_does_not_filter),
	};

	return cmocka_run_group_tests_name("daemon-divert-words", tests, NULL, NULL);
}
