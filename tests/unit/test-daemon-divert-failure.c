/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Every call of the kernel fails once while a proxy has flows
 *
 * As test-daemon-failure.c. Whatever fails: nothing leaks, nothing goes out that must not, and of each
 * flow that it takes the proxy hears in the end.
 */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "divert-story.h"
#include "running-lab.h"

#define CALLS_MAX 1000U /* a story that makes more does not end */

static bool say(struct lab *lab, uint16_t type, const void *body, const void *tail, size_t n)
{
	lab_say(lab, 0, type, body);
	return true;
}

static struct divert_story story_of(struct lab *lab)
{
	return (struct divert_story){ .lab = lab, .say = say };
}

static void tell(struct lab *lab)
{
	struct divert_story story = story_of(lab);

	if (lab_start(lab) < 0) {
		assert_false(fake_is_installed(lab->kernel));
		return;
	}
	lab_run_all(lab);
	divert_story_tell(&story);
	divert_story_check(&story);
	lab_stop(lab);
	assert_false(fake_is_installed(lab->kernel));
}

static void test_nothing_fails(void **state)
{
	struct lab *lab = divert_story_lab();
	struct divert_story story = story_of(lab);

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	divert_story_tell(&story);
	assert_int_equal(story.n_opened, 1);
	assert_int_equal(story.n_sockets, 1);
	assert_int_equal(story.n_ends, 1);
	assert_int_equal(story.n_cancels, 0);
	divert_story_check(&story);
	assert_int_equal(story.n_cancels, 1); /* of the one that waited */
	assert_int_equal(story.n_ends, 1);
	lab_free(lab);
}

static void test_each_call_fails_once(void **state)
{
	unsigned int nth = 0;
	bool has_failed = true;

	while (has_failed) {
		struct lab *lab = divert_story_lab();

		assert_true(nth++ < CALLS_MAX);
		fake_fail(lab->kernel, FAKE_ANY, nth, ENOMEM);
		tell(lab);
		has_failed = fake_has_failed(lab->kernel);
		lab_free(lab);
	}
	assert_true(nth > 30);
}

/* without reading there is no packet, without answering no answer, and no end without events */
static bool is_indispensable(enum fake_op op)
{
	return op == FAKE_READ || op == FAKE_ANSWER || op == FAKE_DRAIN;
}

static void test_an_operation_that_always_fails(void **state)
{
	for (unsigned int op = 0; op < FAKE_ANY; op++) {
		struct lab *lab = divert_story_lab();

		if (!is_indispensable(op)) {
			fake_fail_always(lab->kernel, op, ENOMEM);
			tell(lab);
		}
		lab_free(lab);
	}
}

/* ---- one at a time ---- */

static void test_there_are_no_listeners(void **state)
{
	struct lab *lab = divert_story_lab();

	fake_fail(lab->kernel, FAKE_DIVERT, 1, EMFILE);
	assert_int_equal(lab_start(lab), -EMFILE);
	assert_false(fake_is_installed(lab->kernel));
	lab_free(lab);
}

/* the proxy has connected elsewhere for nothing */
static void test_a_verdict_that_the_kernel_does_not_take(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	divert_take_flow(lab, 0, id);
	fake_fail(lab->kernel, FAKE_SET_FLOW, 1, ENOMEM);
	divert_say_opened(lab, 0, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
	assert_int_equal(divert_expect(lab, 0, WIRE_FLOW_CANCEL), id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	assert_string_equal(flow_table_find_id(lab->daemon->flows, id)->reason,
			    "the kernel did not take the verdict: fails closed");
}

/* a listener whose connections cannot be taken is not asked again and again */
static void test_connections_that_cannot_be_taken(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, 0, &tcp);
	_cleanup_close_ int program = -1;
	unsigned int n_calls;

	fake_fail_always(lab->kernel, FAKE_ACCEPT, EMFILE);
	n_calls = fake_n_calls(lab->kernel, FAKE_ACCEPT);
	program = divert_connect(lab, &tcp);
	for (unsigned int i = 0; i < 100; i++)
		lab_pass(lab, TICK_US / 100);
	assert_in_range(fake_n_calls(lab->kernel, FAKE_ACCEPT) - n_calls, 2, 102);
	assert_int_equal(divert_next(lab, 0), 0);
	fake_fail(lab->kernel, FAKE_ANY, 0, 0);
	lab_pass(lab, TICK_US);
	assert_int_equal(divert_expect(lab, 0, WIRE_FLOW_SOCKET), id);
	assert_true(divert_is_connected(program, lab->passed));
}

/* conntrack goes on to know whose it is */
static void test_a_connection_that_waits_for_a_descriptor(void **state)
{
	struct lab *lab = *state;
	unsigned int n_calls = fake_n_calls(lab->kernel, FAKE_UNTRANSLATE);
	_cleanup_close_ int program = -1;
	uint64_t id;

	fake_fail_always(lab->kernel, FAKE_ACCEPT, EMFILE);
	id = divert_open_flow(lab, 0, &tcp);
	program = divert_connect(lab, &tcp);
	for (unsigned int i = 0; i < 10; i++)
		lab_pass(lab, TICK_US);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls);
	fake_fail(lab->kernel, FAKE_ANY, 0, 0);
	lab_pass(lab, TICK_US);
	assert_int_equal(divert_expect(lab, 0, WIRE_FLOW_SOCKET), id);
}

/* that one is taken meanwhile, for another reason, does not hide that nobody listens */
static void test_one_is_taken_while_nobody_listens(void **state)
{
	struct lab *lab = *state;
	struct lab_packet other = tcp6, third = tcp_again;
	_cleanup_close_ int program = -1, late = -1;
	uint64_t id;

	other.uid = 1;
	third.uid = 2;
	divert_open_flow(lab, 0, &tcp);
	divert_open_flow(lab, 0, &other);
	fake_fail(lab->kernel, FAKE_ACCEPT, 1, EMFILE);
	program = divert_connect(lab, &tcp);
	assert_int_equal(divert_next(lab, 0), 0);
	lab_end_socket(lab, &other); /* its connection is looked for */
	id = divert_open_flow(lab, 0, &third);
	late = divert_connect(lab, &third);
	assert_int_equal(divert_expect(lab, 0, WIRE_FLOW_SOCKET), id);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, divert_set_up, running_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_fails),
		cmocka_unit_test(test_each_call_fails_once),
		cmocka_unit_test(test_an_operation_that_always_fails),
		cmocka_unit_test(test_there_are_no_listeners),
		TEST(test_a_verdict_that_the_kernel_does_not_take),
		TEST(test_connections_that_cannot_be_taken),
		TEST(test_a_connection_that_waits_for_a_descriptor),
		TEST(test_one_is_taken_while_nobody_listens),
	};

	return cmocka_run_group_tests_name("daemon-divert-failure", tests, NULL, NULL);
}
