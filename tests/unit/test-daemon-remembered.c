/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Flows that the kernel allowed out of memory, and a kernel that does not take a change
 *
 * Whatever it does not take: no allow that is out of date stays in force.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon-lab-memory.h"

/* ---- flows that the kernel allowed ---- */

/* the records of flows; they end with the lab, the reader is the test's to close */
static int watch_records(struct lab *lab)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	lab->daemon->flows_fd = ends[1];
	return ends[0];
}

static void read_records(int fd, char *text, size_t n_text)
{
	ssize_t n = read(fd, text, n_text - 1);

	text[n > 0 ? n : 0] = '\0';
}

static void check_records(struct lab *lab, const struct lab_packet *packet, const char *bytes)
{
	_cleanup_close_ int records = watch_records(lab);
	uint64_t n_total = lab->daemon->n_total;
	unsigned int n_forgets = fake_n_calls(lab->kernel, FAKE_FORGET_HELD);
	char text[4096];

	lab_remember(lab, packet);
	assert_int_equal(lab->daemon->n_total, n_total + 1);
	/* nothing of it was queued */
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_FORGET_HELD), n_forgets);
	read_records(records, text, sizeof(text));
	assert_non_null(strstr(text, "\"new\""));
	assert_non_null(strstr(text, "\"allow\""));
	assert_non_null(strstr(text, "unit")); /* the reason of the answer that it follows from */
	lab_end_socket(lab, packet);
	read_records(records, text, sizeof(text));
	assert_non_null(strstr(text, "\"closed\""));
	assert_non_null(strstr(text, bytes));
	assert_null(lab_take(lab, 0, WIRE_FLOW_CLOSED)); /* it was not asked */
	assert_null(lab_flow(lab, packet));
	lab->daemon->flows_fd = close_fd(lab->daemon->flows_fd);
}

static void test_it_is_recorded_with_its_bytes(void **state)
{
	struct lab *lab = *state;
	uint64_t n_flows;

	memory_judged(lab, &tcp, 0, MEMORY_ADDRESS);
	lab_end_socket(lab, &tcp);
	assert_non_null(lab_take(lab, 0, WIRE_FLOW_CLOSED));
	memory_judged(lab, &udp, 0, MEMORY_ADDRESS);
	lab_end_socket(lab, &udp);
	assert_non_null(lab_take(lab, 0, WIRE_FLOW_CLOSED));
	n_flows = lab->daemon->filters[0].n_flows;
	check_records(lab, &tcp, "\"bytes_out\":200");
	check_records(lab, &udp, "\"bytes_out\":4");
	assert_int_equal(lab->daemon->filters[0].n_flows, n_flows);
}

static void test_what_is_held_of_it_is_let_go(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &udp);
	uint64_t id = lab_take_flow(lab, 0), n_total = lab->daemon->n_total;
	const struct wire_flow_closed *closed;

	assert_int_not_equal(id, 0);
	lab_remember(lab, &udp);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(flow_table_n_held(lab->daemon->flows), 0);
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 1);
	assert_int_equal(lab->daemon->n_total, n_total + 1);
	lab_judge(lab, 0, id, 1);
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
	assert_int_equal(lab_flow(lab, &udp)->verdict, SL_ALLOW);
	lab_end_socket(lab, &udp);
	closed = lab_take(lab, 0, WIRE_FLOW_CLOSED);
	assert_non_null(closed);
	assert_int_equal(closed->bytes_out, 8); /* the one that passed, and the held one */
}

/* the kernel allows it already: a verdict that it does not take changes nothing */
static void test_what_is_held_of_it_is_let_go_by_a_kernel_without_memory(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &udp);

	fake_fail(lab->kernel, FAKE_SET_FLOW, 1, ENOMEM);
	lab_remember(lab, &udp);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab->daemon->n_dropped, 0);
}

/* ---- a kernel that does not take a change ---- */

static void test_a_conclusion_that_is_not_taken_is_answered_here(void **state)
{
	struct lab *lab = *state;

	fake_fail(lab->kernel, FAKE_SET_MEMORY, 1, ENOMEM);
	assert_int_equal(lab_fate(lab, memory_judged(lab, &tcp, 0, MEMORY_ADDRESS)), FATE_ALLOWED);
	assert_true(fake_has_failed(lab->kernel));
	assert_null(memory_entry(lab, &tcp));
	memory_check_known(lab, &tcp_again, FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &tcp)); /* put again */
}

static void test_what_cannot_be_withdrawn_is_out_of_date(void **state)
{
	struct lab *lab = *state;
	unsigned int answer;
	uint64_t token;

	memory_resolved(lab, "a.example");
	memory_judged(lab, &tcp, 0, MEMORY_NAME);
	fake_fail(lab->kernel, FAKE_FORGET_MEMORY, 1, ENOMEM);
	answer = memory_resolve(lab, "b.example", &token);
	assert_int_equal(lab_fate(lab, answer), FATE_HELD);
	assert_true(fake_has_failed(lab->kernel));
	assert_non_null(memory_entry(lab, &tcp));
	assert_false(memory_is_in_force(lab, &tcp));
	lab_done(lab, token);
	memory_check_asked(lab, &tcp_again);
}

static void test_a_renewal_is_tried_until_it_is_taken(void **state)
{
	struct lab *lab = *state;
	unsigned int n_calls;

	memory_put(lab);
	fake_fail_always(lab->kernel, FAKE_RENEW, ENOMEM);
	lab_forget(lab, 0);
	assert_true(lab->daemon->wants_renew);
	n_calls = fake_n_calls(lab->kernel, FAKE_RENEW);
	for (unsigned int i = 1; i <= 3; i++) {
		lab_pass(lab, TICK_US);
		assert_int_equal(fake_n_calls(lab->kernel, FAKE_RENEW), n_calls + i);
	}
	memory_judged(lab, &tcp_again, 0, MEMORY_ADDRESS); /* what is put meanwhile waits for it */
	assert_false(memory_is_in_force(lab, &tcp_again));
	fake_fail(lab->kernel, FAKE_RENEW, 0, 0);
	lab_pass(lab, TICK_US);
	assert_false(lab->daemon->wants_renew);
	assert_true(memory_is_in_force(lab, &tcp_again));
	n_calls = fake_n_calls(lab->kernel, FAKE_RENEW);
	lab_pass(lab, TICK_US);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_RENEW), n_calls);
}

static void test_each_renewal_fails_once(void **state)
{
	struct lab *lab = *state;

	memory_put(lab);
	fake_fail(lab->kernel, FAKE_RENEW, 1, ENOMEM);
	lab_end_filter(lab, 0);
	assert_true(fake_has_failed(lab->kernel));
	lab_pass(lab, TICK_US);
	assert_false(memory_is_in_force(lab, &tcp));
}

/* what is out of date may be in force then: an address under a new name must not meet it */
static void check_answer_meanwhile(struct lab *lab, enum fate fate)
{
	unsigned int answer;
	uint64_t token;

	memory_put(lab);
	fake_fail_always(lab->kernel, FAKE_RENEW, ENOMEM);
	lab_forget(lab, 0);
	answer = memory_resolve(lab, "b.example", &token);
	lab_done(lab, token);
	assert_int_equal(lab_fate(lab, answer), fate);
	fake_fail(lab->kernel, FAKE_RENEW, 0, 0);
	lab_pass(lab, TICK_US);
	memory_resolved(lab, "b.example"); /* it is asked for once more */
}

static void test_an_answer_before_the_renewal_fails_closed(void **state)
{
	check_answer_meanwhile(*state, FATE_SILENT);
}

static void test_an_answer_before_the_renewal_fails_open(void **state)
{
	check_answer_meanwhile(*state, FATE_ALLOWED);
}

static void test_a_start_without_a_generation_fails(void **state)
{
	struct lab *lab = *state;
	uint32_t generation;

	memory_put(lab);
	generation = fake_generation(lab->kernel);
	lab_crash(lab);
	fake_fail(lab->kernel, FAKE_GENERATION, 1, ENOMEM);
	assert_true(lab_start(lab) < 0);
	assert_true(fake_is_installed(lab->kernel));
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	assert_int_equal(fake_generation(lab->kernel), generation + 1);
	assert_false(memory_is_in_force(lab, &tcp));
}

static void test_a_successor_renews_until_it_is_taken(void **state)
{
	struct lab *lab = *state;

	memory_put(lab);
	lab_crash(lab);
	fake_fail(lab->kernel, FAKE_RENEW, 1, ENOMEM);
	assert_int_equal(lab_start(lab), 0);
	assert_true(fake_has_failed(lab->kernel));
	assert_false(memory_is_in_force(lab, &tcp)); /* the first tick has put it right */
}

#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_it_is_recorded_with_its_bytes, running_one),
		TEST(test_what_is_held_of_it_is_let_go, running_one),
		TEST(test_what_is_held_of_it_is_let_go_by_a_kernel_without_memory, running_one),
		TEST(test_a_conclusion_that_is_not_taken_is_answered_here, running_one),
		TEST(test_what_cannot_be_withdrawn_is_out_of_date, running_one),
		TEST(test_a_renewal_is_tried_until_it_is_taken, running_one),
		TEST(test_each_renewal_fails_once, running_one),
		TEST(test_an_answer_before_the_renewal_fails_closed, running_one),
		TEST(test_an_answer_before_the_renewal_fails_open, running_one_open),
		TEST(test_a_start_without_a_generation_fails, running_one),
		TEST(test_a_successor_renews_until_it_is_taken, running_one),
	};

	return cmocka_run_group_tests_name("daemon-remembered", tests, NULL, NULL);
}
