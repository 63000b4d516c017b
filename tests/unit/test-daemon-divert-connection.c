/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced and proxies: connections that come, and those before which somebody leaves */

#include <netinet/in.h>
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

/* ---- its connection ---- */

static void test_the_connection_is_the_proxys(void **state)
{
	struct lab *lab = *state;
	int program, own;

	divert_begin(lab, PROXY, &tcp, &program, &own);
	assert_true(divert_is_connected(program, own));
	assert_true(divert_is_connected(own, program));
	assert_int_equal(divert_next(lab, PROXY), 0);
	close(own);
	assert_true(divert_is_closed(program)); /* nobody else has it */
	close(program);
}

/* conntrack knows its ends, and takes its SYN for an older connection's */
static void test_a_connection_that_does_not_come(void **state)
{
	struct lab *lab = *state;
	unsigned int n_calls = fake_n_calls(lab->kernel, FAKE_UNTRANSLATE);
	int program;

	divert_open_flow(lab, PROXY, &tcp);
	lab_pass(lab, TICK_US);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls);
	lab_live(lab, 500000);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls + 1);
	program = divert_connect(lab, &tcp); /* the next SYN */
	assert_non_null(lab_take(lab, PROXY, WIRE_FLOW_SOCKET));
	close(program);
}

static void test_a_connection_that_comes_is_left_alone(void **state)
{
	struct lab *lab = *state;
	unsigned int n_calls = fake_n_calls(lab->kernel, FAKE_UNTRANSLATE);
	int program, own;

	divert_begin(lab, PROXY, &tcp, &program, &own);
	lab_live(lab, 500000);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls);
	close(own);
	close(program);
}

/* before it is there: who dies as it comes has told the kernel what its next SYN is */
static void test_the_next_one_from_its_port_begins_anew(void **state)
{
	struct lab *lab = *state;
	unsigned int n_calls = fake_n_calls(lab->kernel, FAKE_BEGIN_ANEW);
	struct lab_packet other = tcp;
	int program;

	divert_open_flow(lab, PROXY, &tcp);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_BEGIN_ANEW), n_calls + 1);
	program = divert_connect(lab, &tcp);
	assert_non_null(lab_take(lab, PROXY, WIRE_FLOW_SOCKET));
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_BEGIN_ANEW), n_calls + 1);
	other.rport++;
	divert_expect_stranger(lab, PROXY, &other); /* a predecessor may have let it come */
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_BEGIN_ANEW), n_calls + 2);
	close(program);
}

/* conntrack gave it another port */
static void test_a_connection_from_another_port(void **state)
{
	struct lab *lab = *state;
	struct lab_packet moved = tcp;
	uint64_t id = divert_open_flow(lab, PROXY, &tcp);
	_cleanup_close_ int program = -1;

	moved.lport++;
	program = divert_connect(lab, &moved);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	assert_true(divert_is_connected(program, lab->passed));
}

static void test_a_stranger_is_closed(void **state)
{
	struct lab *lab = *state;
	struct lab_packet other = tcp;
	int program, own;

	divert_expect_stranger(lab, PROXY, &tcp);
	other.rport++;
	divert_begin(lab, PROXY, &tcp, &program, &own);
	divert_expect_stranger(lab, PROXY, &other);
	divert_expect_stranger(lab, PROXY, &tcp); /* its connection is there already */
	assert_true(divert_is_connected(program, own));
	close(own);
	close(program);
}

/* many come at once, in another order than they were opened in, to two proxies */
static void test_many_connections(void **state)
{
	struct lab *lab = divert_lab(0, 2, true);
	struct lab_packet packet = { .proto = IPPROTO_TCP, .rport = 443, .last = 9 };
	uint64_t ids[200];
	int programs[200];

	for (unsigned int i = 0; i < 200; i++) {
		packet.uid = 2000 + i;
		packet.lport = (uint16_t)(30000 + i);
		lab_put(lab, &packet);
		ids[i] = lab_take_flow(lab, 0);
		if (i % 2) {
			lab_judge(lab, 0, ids[i], 0);
			assert_int_equal(lab_take_flow(lab, 1), ids[i]);
		}
		divert_take_flow(lab, i % 2, ids[i]);
		divert_say_opened(lab, i % 2, ids[i], 0);
	}
	for (unsigned int i = 200; i > 0; i--) {
		packet.lport = (uint16_t)(30000 + i - 1);
		programs[i - 1] = divert_connect(lab, &packet);
		assert_int_equal(divert_expect(lab, (i - 1) % 2, WIRE_FLOW_SOCKET), ids[i - 1]);
		assert_true(divert_is_connected(programs[i - 1], lab->passed));
	}
	for (unsigned int i = 0; i < 200; i++)
		close(programs[i]);
	lab_free(lab);
}

/* ---- the program gives up while it is taken ---- */

static void test_a_program_that_gives_up(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, PROXY);

	divert_take_flow(lab, PROXY, id);
	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(lab_fate(lab, no), FATE_SILENT);
	divert_say_opened(lab, PROXY, id, 0); /* on their way they have met */
	assert_null(lab_flow(lab, &tcp));
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	assert_int_equal(flow_table_n_held(lab->daemon->flows), 0);
}

static void test_a_program_that_gives_up_before_it_is_taken(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, PROXY);

	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
	divert_take_flow(lab, PROXY, id);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(lab_fate(lab, no), FATE_SILENT);
}

/* we hear of that before we read its SYN */
static void test_a_program_that_gives_up_before_it_is_known(void **state)
{
	struct lab *lab = *state;
	unsigned int no;
	uint64_t id;

	lab_close_socket(lab, &tcp);
	no = lab_put(lab, &tcp);
	id = lab_take_flow(lab, PROXY);
	divert_take_flow(lab, PROXY, id);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(lab_fate(lab, no), FATE_SILENT);
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 0);
}

/* ---- its process dies ---- */

static void begin_anew(struct lab *lab)
{
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, PROXY);
}

static void test_it_dies_with_a_flow_that_it_has_taken(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, PROXY);

	divert_take_flow(lab, PROXY, id);
	lab_end_filter(lab, PROXY);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	begin_anew(lab);
	divert_say_opened(lab, PROXY, 1 + id, 0);
	assert_int_equal(lab_take_flow(lab, PROXY), id);
	assert_int_equal(lab_fate(lab, no), FATE_HELD); /* its predecessor had taken it */
	divert_take_flow(lab, PROXY, id);
	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
}

/* nobody has it any more, and so it waits no longer than any other */
static void test_it_dies_and_no_other_comes(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);

	divert_take_flow(lab, PROXY, lab_take_flow(lab, PROXY));
	lab_live(lab, 60000000);
	lab_end_filter(lab, PROXY);
	lab_pass(lab, FLOW_DEADLINE_US / 2); /* its successor does not begin to speak */
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	lab_pass(lab, FLOW_DEADLINE_US / 2 + TICK_US);
	assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
}

static void test_it_dies_before_the_connection_comes(void **state)
{
	struct lab *lab = *state;

	divert_open_flow(lab, PROXY, &tcp);
	lab_end_filter(lab, PROXY);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	begin_anew(lab);
	divert_expect_stranger(lab, PROXY, &tcp); /* it is reset */
	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
}

/* ---- the end of all ---- */

static void test_sluiced_ends(void **state)
{
	struct lab *lab = *state;
	struct lab_packet other = tcp;
	_cleanup_close_ int program = -1;
	unsigned int no;

	divert_open_flow(lab, PROXY, &tcp);
	divert_fill(lab, PROXY);
	program = divert_connect(lab, &tcp);
	other.rport++;
	no = lab_put(lab, &other);
	lab_stop(lab);
	assert_true(divert_is_closed(program));
	assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
	assert_false(fake_is_installed(lab->kernel));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, divert_set_up, running_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_the_connection_is_the_proxys),
		TEST(test_a_connection_that_does_not_come),
		TEST(test_a_connection_that_comes_is_left_alone),
		TEST(test_the_next_one_from_its_port_begins_anew),
		TEST(test_a_connection_from_another_port),
		TEST(test_a_stranger_is_closed),
		cmocka_unit_test(test_many_connections),
		TEST(test_a_program_that_gives_up),
		TEST(test_a_program_that_gives_up_before_it_is_taken),
		TEST(test_a_program_that_gives_up_before_it_is_known),
		TEST(test_it_dies_with_a_flow_that_it_has_taken),
		TEST(test_it_dies_and_no_other_comes),
		TEST(test_it_dies_before_the_connection_comes),
		TEST(test_sluiced_ends),
	};

	return cmocka_run_group_tests_name("daemon-divert-connection", tests, NULL, NULL);
}
