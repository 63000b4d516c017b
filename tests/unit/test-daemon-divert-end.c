/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced and proxies: how connections end, and what a proxy is told of it */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon/judge/judge.h"
#include "divert-lab.h"
#include "running-lab.h"

#define PROXY 0U

/* ---- its end ---- */

static void test_a_program_that_leaves_is_told_of_once(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = divert_begin(lab, PROXY, &tcp, &program, &own);

	divert_leave(lab, &tcp);
	divert_expect_end(lab, PROXY, id, 1);
	divert_leave(lab, &tcp);
	divert_ask_end(lab, PROXY, id); /* it has been answered */
	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(own);
	close(program);
}

static void test_which_end_it_was(void **state)
{
	struct lab *lab = *state;
	struct sl_event event = { .cookie = lab_key(&tcp).cookie, .kind = SL_EV_ABANDONED };
	int program, own;
	uint64_t id = divert_begin(lab, PROXY, &tcp, &program, &own);

	divert_ask_end(lab, PROXY, id);
	divert_expect_end(lab, PROXY, id, 0);
	divert_ask_end(lab, PROXY, id); /* every question has its answer */
	divert_expect_end(lab, PROXY, id, 0);
	fake_put_event(lab->kernel, &event); /* not read yet when it is asked about */
	divert_ask_end(lab, PROXY, id);
	divert_expect_end(lab, PROXY, id, 1);
	lab_pass(lab, TICK_US);
	assert_int_equal(divert_next(lab, PROXY), 0);
	close(own);
	close(program);
}

static uint64_t begin_quietly(struct lab *lab, int *ret_program, int *ret_own)
{
	struct wire_flow_opened opened = { .quiet = 1 };

	lab_put(lab, &tcp);
	opened.id = lab_take_flow(lab, PROXY);
	lab_say(lab, PROXY, WIRE_FLOW_OPENED, &opened);
	assert_int_equal(lab_flow(lab, &tcp)->flags, SL_FLOW_DIVERTED | SL_FLOW_QUIET);
	*ret_program = divert_connect(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), opened.id);
	*ret_own = TAKE_FD(lab->passed);
	return opened.id;
}

/* which is when it has asked */
static void test_an_end_that_is_told_when_it_is_wanted(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = begin_quietly(lab, &program, &own);

	divert_leave(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
	divert_ask_end(lab, PROXY, id);
	divert_expect_end(lab, PROXY, id, 1);
	divert_ask_end(lab, PROXY, id);
	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(own);
	close(program);
}

static void test_a_half_end_is_followed_by_a_full_one(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = begin_quietly(lab, &program, &own);

	divert_ask_end(lab, PROXY, id);
	divert_expect_end(lab, PROXY, id, 0);
	divert_leave(lab, &tcp);
	divert_expect_end(lab, PROXY, id, 1);
	close(own);
	close(program);
}

static void test_the_end_of_what_is_over(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = divert_begin(lab, PROXY, &tcp, &program, &own);

	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_null(lab_flow(lab, &tcp));
	divert_ask_end(lab, PROXY, id);
	divert_expect_end(lab, PROXY, id, 1);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(own);
	close(program);
}

/* Return: the cookie of the proxy's end, if what was left of it was ended; 0: it was not */
static uint64_t ended_rest(struct lab *lab, uint16_t port)
{
	struct sl_tuple tuple = lab_tuple(&tcp);
	struct sl_tuple rest = plane_accepted(lab->daemon->plane, &tuple, port);
	const struct plane_end *end = fake_get(lab->kernel, FAKE_ENDED, &rest);

	return end ? end->cookie : 0;
}

/* by the port that its connection has come from */
static void test_what_is_left_of_a_proxys_end(void **state)
{
	struct lab *lab = *state;
	struct lab_packet moved = tcp;
	uint64_t id = divert_open_flow(lab, PROXY, &tcp), client;
	_cleanup_close_ int program = -1;

	moved.lport++;
	program = divert_connect(lab, &moved);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	client = diverts_find_flow(lab->daemon->diverts, id)->client;
	lab_end_socket_last(lab, &tcp);
	assert_int_equal(ended_rest(lab, moved.lport), client);
	assert_int_equal(fake_n(lab->kernel, FAKE_ENDED), 1);
	assert_int_equal(lab->daemon->n_resting, 0);
}

static void test_the_end_of_a_program_that_closes_first(void **state)
{
	struct lab *lab = *state;
	int program, own;

	divert_begin(lab, PROXY, &tcp, &program, &own);
	lab_end_socket(lab, &tcp);
	assert_int_equal(ended_rest(lab, tcp.lport), 0);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_END_RESTS), 0);
	close(own);
	close(program);
}

/* it has written, and closed: the kernel tells of that before we look at the listener */
static void test_a_program_that_is_gone_before_its_connection_is_looked_at(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &tcp);
	struct sl_tuple tuple = lab_tuple(&tcp);
	_cleanup_close_ int program = fake_put_client(lab->kernel, &tuple);
	char byte = 0;

	assert_int_equal(send(program, "x", 1, 0), 1);
	program = close_fd(program);
	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	assert_int_equal(recv(lab->passed, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* the last packet of its handshake comes later than the end of its program */
static uint64_t leave_early(struct lab *lab)
{
	uint64_t id;

	lab_pass(lab, TICK_US - 5000); /* it is heard of soon */
	id = divert_open_flow(lab, PROXY, &tcp);
	lab_end_socket_within(lab, &tcp, 5000);
	return id;
}

static void test_a_program_that_is_gone_before_its_connection_comes(void **state)
{
	struct lab *lab = *state;
	uint64_t id = leave_early(lab);
	int program;

	assert_int_equal(divert_next(lab, PROXY), 0);
	program = divert_connect(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
	divert_ask_end(lab, PROXY, id);
	divert_expect_end(lab, PROXY, id, 1);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(program);
}

static void test_a_connection_that_comes_late_is_over_unasked(void **state)
{
	struct lab *lab = *state;
	uint64_t id = leave_early(lab);
	int program = divert_connect(lab, &tcp);

	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	lab_pass(lab, TICK_US);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(program);
}

/* opened, and no connection comes of it */
static void test_a_program_that_is_gone_before_it_is_connected(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &tcp);

	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	divert_expect_stranger(lab, PROXY, &tcp);
}

/* ---- flows that nobody counts any more ---- */

/* the table forgets the oldest of a user with very many, and it goes on: its end is its proxy's to know */
static void test_a_flow_that_the_table_has_forgotten(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = divert_begin(lab, PROXY, &tcp, &program, &own);

	flow_table_close(lab->daemon->flows, flow_table_find_id(lab->daemon->flows, id));
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
	divert_leave(lab, &tcp);
	divert_expect_end(lab, PROXY, id, 1);
	lab_end_socket(lab, &tcp);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(own);
	close(program);
}

/* the same socket connects once more: the end of the first is not that of the second */
static void test_a_socket_that_connects_again(void **state)
{
	struct lab *lab = *state;
	struct lab_packet other = tcp;
	int program, own;
	uint64_t second;

	divert_begin(lab, PROXY, &tcp, &program, &own);
	close(own);
	close(program);
	other.rport++;
	second = divert_begin(lab, PROXY, &other, &program, &own);
	lab_end_socket(lab, &tcp); /* we hear of it late */
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
	divert_leave(lab, &other);
	divert_expect_end(lab, PROXY, second, 1);
	close(own);
	close(program);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, divert_set_up, running_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_program_that_leaves_is_told_of_once),
		TEST(test_which_end_it_was),
		TEST(test_an_end_that_is_told_when_it_is_wanted),
		TEST(test_a_half_end_is_followed_by_a_full_one),
		TEST(test_the_end_of_what_is_over),
		TEST(test_what_is_left_of_a_proxys_end),
		TEST(test_the_end_of_a_program_that_closes_first),
		TEST(test_a_program_that_is_gone_before_its_connection_is_looked_at),
		TEST(test_a_program_that_is_gone_before_its_connection_comes),
		TEST(test_a_connection_that_comes_late_is_over_unasked),
		TEST(test_a_program_that_is_gone_before_it_is_connected),
		TEST(test_a_flow_that_the_table_has_forgotten),
		TEST(test_a_socket_that_connects_again),
	};

	return cmocka_run_group_tests_name("daemon-divert-end", tests, NULL, NULL);
}
