/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: How often sluiced looks
 *
 * Seldom where nothing can become due, as ever where something can; and what comes in between
 * brings the next look as near as it was.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "running-lab.h"

/* Return: what the last of so many ticks says of the next one */
static uint64_t tick(struct lab *lab, unsigned int n)
{
	uint64_t us = 0;

	while (n--) {
		lab_pass(lab, TICK_US);
		us = pace_next(lab->daemon);
		(void)pace_hasten(lab->daemon); /* it sleeps until the next one */
	}
	return us;
}

static void check_slow(struct lab *lab)
{
	assert_int_equal(tick(lab, PACE_QUIET_TICKS + 2), PACE_SLOW_US);
}

static void check_fast(struct lab *lab)
{
	assert_int_equal(tick(lab, 2 * PACE_QUIET_TICKS), TICK_US);
}

static void test_an_idle_one_looks_seldom(void **state)
{
	struct lab *lab = *state;

	assert_int_equal(tick(lab, 1), TICK_US);
	check_slow(lab);
}

static void test_while_a_flow_is_held_it_looks(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	check_slow(lab);
	packet = lab_put(lab, &tcp);
	check_fast(lab);
	lab_judge(lab, 0, lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	check_slow(lab); /* it goes on without us */
}

static void test_what_the_kernel_tells_is_followed_by_more(void **state)
{
	struct lab *lab = *state;

	(void)lab_put(lab, &tcp);
	lab_judge(lab, 0, lab_take_flow(lab, 0), 0);
	check_slow(lab);
	lab_end_socket(lab, &tcp);
	assert_int_equal(tick(lab, 1), TICK_US);
	check_slow(lab);
}

static void test_while_a_filter_is_started_it_looks(void **state)
{
	struct lab *lab = *state;

	check_slow(lab);
	lab_end_filter(lab, 0);
	check_fast(lab);
	lab_run_filter(lab, 0);
	check_slow(lab);
}

static void test_while_the_kernel_refuses_it_looks(void **state)
{
	struct lab *lab = *state;
	bool *const failed[] = { &lab->daemon->wants_requeue, &lab->daemon->wants_renew,
				 &lab->daemon->wants_loopback };

	for (size_t i = 0; i < sizeof(failed) / sizeof(failed[0]); i++) {
		check_slow(lab);
		*failed[i] = true;
		assert_int_equal(pace_next(lab->daemon), TICK_US);
		*failed[i] = false;
	}
}

static void test_while_others_change_the_rules_it_looks(void **state)
{
	struct lab *lab = *state;
	struct owners *owners = &lab->daemon->namespaces.spaces[0]->owners;

	check_slow(lab);
	owners->is_fought = true;
	assert_int_equal(pace_next(lab->daemon), TICK_US);
	owners->is_fought = false;
	check_slow(lab);
}

static void test_whoever_wakes_it_brings_the_next_look_near(void **state)
{
	struct lab *lab = *state;

	assert_false(pace_hasten(lab->daemon)); /* it is near */
	check_slow(lab);
	assert_int_equal(pace_next(lab->daemon), PACE_SLOW_US);
	assert_false(pace_hasten(lab->daemon)); /* the tick itself has woken us */
	assert_true(pace_hasten(lab->daemon));
	assert_false(pace_hasten(lab->daemon)); /* not ever later */
	assert_int_equal(pace_next(lab->daemon), PACE_SLOW_US);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, running_one, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_idle_one_looks_seldom),
		TEST(test_while_a_flow_is_held_it_looks),
		TEST(test_what_the_kernel_tells_is_followed_by_more),
		TEST(test_while_a_filter_is_started_it_looks),
		TEST(test_while_the_kernel_refuses_it_looks),
		TEST(test_while_others_change_the_rules_it_looks),
		TEST(test_whoever_wakes_it_brings_the_next_look_near),
	};

	return cmocka_run_group_tests_name("daemon-pace", tests, NULL, NULL);
}
