/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What sluiced makes of its canary
 *
 * The test plays sluice-canary: one probe goes out, over TCP and IPv4, and what
 * became of it is the test's word. No packet of it is ever seen in the queue,
 * so each of these canaries fails, for one reason or another.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "running-lab.h"

static void canary_say(struct lab *lab, uint16_t type, const void *body)
{
	assert_int_equal(
		channel_send(lab->canary.sock, &wire_canary_channel, type, body, NULL, 0, -1), 0);
	lab_settle(lab);
}

static void await_canary(struct lab *lab)
{
	for (int i = 0; lab->canary.sock < 0 && i < 100; i++)
		lab_pass(lab, TICK_US);
	assert_true(lab->canary.sock >= 0);
}

static void say_probes(struct lab *lab)
{
	for (uint8_t i = 0; i < _CANARY_PROBE_N; i++) {
		struct wire_probe probe = { .probe = i, .is_tried = i == 0, .cookie = 1000 };

		canary_say(lab, WIRE_PROBE, &probe);
	}
}

/* the next canary, from its start to its end */
static void play(struct lab *lab, bool is_disturbed)
{
	struct wire_probed probed = { .error = ETIMEDOUT, .is_disturbed = is_disturbed };

	await_canary(lab);
	say_probes(lab);
	canary_say(lab, WIRE_PROBED, &probed);
	lab->canary.sock = close_fd(lab->canary.sock);
	assert_false(lab->daemon->canary.is_running);
}

static void test_one_failure_is_confirmed_by_another(void **state)
{
	struct lab *lab = *state;

	play(lab, false);
	assert_int_equal(lab->daemon->canary.state, CANARY_NEVER);
	assert_int_equal(lab->daemon->canary.next_us, 0); /* at once */
	play(lab, false);
	assert_int_equal(lab->daemon->canary.state, CANARY_FAILED);
}

static void test_a_failure_while_links_change_proves_nothing(void **state)
{
	struct lab *lab = *state;

	play(lab, true);
	assert_int_equal(lab->daemon->canary.state, CANARY_UNTRIED);
	assert_true(lab->daemon->canary.next_us <= daemon_now_us() + CANARY_FIRST_US);
	play(lab, false);
	assert_int_equal(lab->daemon->canary.state, CANARY_UNTRIED);
	play(lab, false);
	assert_int_equal(lab->daemon->canary.state, CANARY_FAILED);
}

static void test_links_that_never_rest_are_no_excuse(void **state)
{
	struct lab *lab = *state;

	for (unsigned int i = 0; i < CANARY_DISTURBED_MAX; i++)
		play(lab, true);
	assert_int_equal(lab->daemon->canary.state, CANARY_UNTRIED);
	play(lab, true);
	play(lab, true);
	assert_int_equal(lab->daemon->canary.state, CANARY_FAILED);
}

/* it begins between two ticks, and then the machine sleeps: it has not been silent */
static void test_one_of_the_last_moment_is_not_late(void **state)
{
	struct lab *lab = *state;

	lab_oversleep(TICK_US / 2);
	canary_check(lab->daemon);
	lab_settle(lab);
	assert_true(lab->canary.sock >= 0);
	lab_sleep(lab, 8 * CANARY_DEADLINE_US);
	assert_string_equal(lab->daemon->canary.why, "");
	assert_int_equal(lab->daemon->canary.state, CANARY_NEVER);
}

/* it is noticed by the next tick only that the machine slept */
static void test_one_that_is_told_to_send_after_a_sleep_goes_on(void **state)
{
	struct lab *lab = *state;

	await_canary(lab);
	lab_oversleep(CANARY_DEADLINE_US);
	say_probes(lab);
	lab_sleep(lab, TICK_US);
	assert_true(lab->daemon->canary.is_running);
	assert_int_equal(lab->n_killed, 0);
}

static void test_one_that_has_sent_before_a_sleep_does_not(void **state)
{
	struct lab *lab = *state;

	await_canary(lab);
	say_probes(lab);
	lab_sleep(lab, CANARY_DEADLINE_US);
	assert_false(lab->daemon->canary.is_running);
	assert_string_equal(lab->daemon->canary.why, "");
}

static int running_canary(void **state)
{
	struct lab *lab;

	running_none(state);
	lab = *state;
	lab->has_canary = true;
	return 0;
}

#define WITH_CANARY(name) cmocka_unit_test_setup_teardown(name, running_canary, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CANARY(test_one_failure_is_confirmed_by_another),
		WITH_CANARY(test_a_failure_while_links_change_proves_nothing),
		WITH_CANARY(test_links_that_never_rest_are_no_excuse),
		WITH_CANARY(test_one_of_the_last_moment_is_not_late),
		WITH_CANARY(test_one_that_is_told_to_send_after_a_sleep_goes_on),
		WITH_CANARY(test_one_that_has_sent_before_a_sleep_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
