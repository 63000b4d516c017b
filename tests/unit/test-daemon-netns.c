/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Several network namespaces
 *
 * The plane comes to one when a governed socket is seen there, goes when nobody
 * uses it, and nothing of one is taken for another's.
 */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon-lab.h"

#define SECOND_US 1000000U
#define ONE 5U /* cookies, and the threads that are there */
#define TWO 6U

static int set_up(void **state)
{
	struct lab_config config = { .n_filters = 1, .is_closed = { true } };
	struct lab *lab = lab_new(&config);

	lab_make_netns(lab, ONE);
	lab_make_netns(lab, TWO);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	*state = lab;
	return 0;
}

static int tear_down(void **state)
{
	*state = lab_free(*state);
	return 0;
}

static bool is_governed(struct lab *lab, uint64_t cookie)
{
	return plane_find_netns(lab->daemon->plane, cookie) >= 0 &&
	       fake_has_rules(lab->kernel, cookie);
}

static struct lab_packet packet_in(uint64_t cookie)
{
	return (struct lab_packet){
		.proto = IPPROTO_TCP, .lport = 40000, .rport = 80, .last = 9, .netns = cookie
	};
}

/* Return: what became of a packet there, when its filter says this */
static enum fate judged(struct lab *lab, uint64_t cookie, uint8_t verdict)
{
	struct lab_packet packet = packet_in(cookie);
	unsigned int index = lab_put(lab, &packet);
	uint64_t id = lab_take_flow(lab, 0);

	assert_int_not_equal(id, 0);
	assert_int_equal(lab_fate(lab, index), FATE_HELD);
	lab_judge(lab, 0, id, verdict);
	return lab_fate(lab, index);
}

static void comes_at_first_sight(void **state)
{
	struct lab *lab = *state;

	assert_false(is_governed(lab, ONE));
	lab_see(lab, ONE);
	assert_int_equal(lab->n_entered, 1);
	assert_true(is_governed(lab, ONE));
	assert_false(is_governed(lab, TWO));
	assert_int_equal(judged(lab, ONE, 0), FATE_ALLOWED);
	lab_see(lab, ONE); /* another thread saw it at the same time */
	assert_int_equal(lab->n_entered, 1);
}

static void comes_to_who_was_there_before(void **state)
{
	struct lab *lab = *state;

	lab_crash(lab);
	fake_set_inhabited(lab->kernel, TWO, true);
	assert_int_equal(lab_start(lab), 0);
	assert_true(is_governed(lab, TWO));
}

static void one_that_fails_hurts_no_other(void **state)
{
	struct lab *lab = *state;

	fake_fail(lab->kernel, FAKE_JOIN, 1, ENOMEM);
	lab_see(lab, ONE);
	assert_false(is_governed(lab, ONE));
	assert_true(fake_is_refused(lab->kernel, ONE));
	assert_int_equal(lab->daemon->namespaces.n_failed, 1);
	assert_int_equal(lab->daemon->namespaces.failed[0].error, -ENOMEM);
	assert_int_equal(judged(lab, FAKE_HOME, 0), FATE_ALLOWED);
	lab_see(lab, TWO);
	assert_int_equal(judged(lab, TWO, 0), FATE_ALLOWED);

	fake_set_inhabited(lab->kernel, ONE, true); /* tried again while somebody is there */
	lab_pass(lab, NETNS_CENSUS_US);
	assert_true(is_governed(lab, ONE));
	assert_false(fake_is_refused(lab->kernel, ONE));
	assert_int_equal(lab->daemon->namespaces.n_failed, 0);
}

static void a_failure_is_forgotten_with_its_users(void **state)
{
	struct lab *lab = *state;

	fake_fail(lab->kernel, FAKE_JOIN, 1, ENOMEM);
	lab_see(lab, ONE);
	lab_pass(lab, NETNS_CENSUS_US);
	assert_int_equal(lab->daemon->namespaces.n_failed, 1);
	lab_pass(lab, NETNS_CENSUS_US);
	assert_int_equal(lab->daemon->namespaces.n_failed, 0);
	assert_false(fake_is_refused(lab->kernel, ONE));
}

/* the thread was elsewhere when the keeper looked */
static void another_namespace_is_not_taken(void **state)
{
	struct lab *lab = *state;

	lab->lie = TWO;
	lab_see(lab, ONE);
	assert_false(is_governed(lab, ONE));
	assert_false(is_governed(lab, TWO));
	assert_true(fake_is_refused(lab->kernel, ONE));
	assert_int_equal(lab->daemon->namespaces.failed[0].error, -ESTALE);
}

static void who_is_gone_is_told_of_again(void **state)
{
	struct lab *lab = *state;

	lab->enter_error = ENOENT;
	lab_see(lab, ONE);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_FORGET), 1);
	assert_int_equal(lab->daemon->namespaces.n_failed, 0);
	lab->enter_error = 0;
	lab_see(lab, ONE);
	assert_true(is_governed(lab, ONE));
}

static void a_silent_keeper_is_not_waited_for(void **state)
{
	struct lab *lab = *state;

	lab->is_mute = true;
	lab_see(lab, ONE);
	lab_pass(lab, NETNS_ENTER_US / 2);
	assert_false(fake_is_refused(lab->kernel, ONE));
	lab_pass(lab, NETNS_ENTER_US);
	assert_true(fake_is_refused(lab->kernel, ONE));
	assert_int_equal(lab->daemon->namespaces.failed[0].error, -ETIMEDOUT);
}

/* both have the same ends, and different verdicts */
static void equal_ends_are_two_flows(void **state)
{
	struct lab *lab = *state;
	struct lab_packet in_one = packet_in(ONE), in_two = packet_in(TWO);
	unsigned int one, two;
	uint64_t first, second;

	lab_see(lab, ONE);
	lab_see(lab, TWO);
	one = lab_put(lab, &in_one);
	first = lab_take_flow(lab, 0);
	two = lab_put(lab, &in_two);
	second = lab_take_flow(lab, 0);
	assert_int_not_equal(first, 0);
	assert_int_not_equal(second, 0);
	assert_int_not_equal(first, second);
	lab_judge(lab, 0, second, 1);
	assert_int_equal(lab_fate(lab, one), FATE_HELD);
	assert_int_equal(lab_fate(lab, two), FATE_REJECTED);
	lab_judge(lab, 0, first, 0);
	assert_int_equal(lab_fate(lab, one), FATE_ALLOWED);
	assert_int_equal(fake_n_stale(lab->kernel), 0);
	lab_pass(lab, 0);
	assert_int_equal(fake_n(lab->kernel, FAKE_HELD), 0);
}

/* an address is another place in another network */
static void an_answer_is_remembered_where_it_was_given(void **state)
{
	struct lab *lab = *state;
	struct lab_packet in_one = packet_in(ONE), in_two = packet_in(TWO);
	struct sl_memory_key key;

	lab_see(lab, ONE);
	lab_see(lab, TWO);
	(void)lab_put(lab, &in_one);
	lab_judge_for(lab, 0, lab_take_flow(lab, 0), 0, MEMORY_ADDRESS);
	key = lab_memory_key(lab, &in_one);
	assert_non_null(fake_get(lab->kernel, FAKE_MEMORY, &key));
	key = lab_memory_key(lab, &in_two);
	assert_null(fake_get(lab->kernel, FAKE_MEMORY, &key));
	assert_int_equal(judged(lab, TWO, 1), FATE_REJECTED);
}

static void a_successor_judges_what_is_held_anywhere(void **state)
{
	struct lab *lab = *state;
	struct lab_packet in_one = packet_in(ONE), at_home = packet_in(FAKE_HOME);
	unsigned int one, home;
	uint64_t id;

	lab_see(lab, ONE);
	one = lab_put(lab, &in_one);
	home = lab_put(lab, &at_home);
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	assert_int_equal(lab->n_entered, 2); /* for the sockets that were not kept */
	assert_true(netns_is_whole(plane_netns(lab->daemon->plane, 1)));
	lab_run_all(lab);
	while ((id = lab_take_flow(lab, 0)))
		lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_fate(lab, one), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, home), FATE_ALLOWED);
}

/* its packets are judged all the same, by what was kept */
static void an_adopted_one_that_cannot_be_entered_is_judged(void **state)
{
	struct lab *lab = *state;
	struct lab_packet in_one = packet_in(ONE);
	unsigned int one;

	lab_see(lab, ONE);
	one = lab_put(lab, &in_one);
	lab_crash(lab);
	lab->enter_error = EMFILE;
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	lab_judge(lab, 0, lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, one), FATE_ALLOWED);
	assert_false(netns_is_whole(plane_netns(lab->daemon->plane, 1)));
	lab->enter_error = 0;
	lab_pass(lab, NETNS_CENSUS_US);
	assert_true(netns_is_whole(plane_netns(lab->daemon->plane, 1)));
}

static void goes_when_nobody_uses_it(void **state)
{
	struct lab *lab = *state;
	unsigned int n_kept = 0;

	fake_set_inhabited(lab->kernel, ONE, true);
	lab_see(lab, ONE);
	for (unsigned int i = 0; i < 10; i++)
		lab_pass(lab, NETNS_CENSUS_US);
	assert_true(is_governed(lab, ONE));
	fake_set_inhabited(lab->kernel, ONE, false);
	for (unsigned int i = 0; i < 6; i++)
		lab_pass(lab, NETNS_CENSUS_US);
	assert_true(is_governed(lab, ONE));
	lab_pass(lab, NETNS_CENSUS_US);
	assert_false(is_governed(lab, ONE));
	for (unsigned int i = 0; i < PLANE_KEPT_MAX; i++)
		n_kept += lab->kept[i] >= 0;
	assert_int_equal(n_kept, PLANE_KEPT_N); /* home's */
	lab_see(lab, ONE);				/* and comes again */
	assert_true(is_governed(lab, ONE));
}

static void stays_while_a_flow_is_open(void **state)
{
	struct lab *lab = *state;
	struct lab_packet packet = packet_in(ONE);

	lab_see(lab, ONE);
	assert_int_equal(judged(lab, ONE, 0), FATE_ALLOWED);
	for (unsigned int i = 0; i < 10; i++)
		lab_pass(lab, NETNS_CENSUS_US);
	assert_true(is_governed(lab, ONE));
	lab_end_socket(lab, &packet);
	for (unsigned int i = 0; i < 8; i++)
		lab_pass(lab, NETNS_CENSUS_US);
	assert_false(is_governed(lab, ONE));
}

static void a_census_that_fails_empties_none(void **state)
{
	struct lab *lab = *state;

	lab_see(lab, ONE);
	fake_fail_always(lab->kernel, FAKE_CENSUS, ENOMEM);
	for (unsigned int i = 0; i < 10; i++)
		lab_pass(lab, NETNS_CENSUS_US);
	assert_true(is_governed(lab, ONE));
}

/* what is said again and again in one network does not slow another down */
static void rules_are_watched_in_each(void **state)
{
	struct lab *lab = *state;

	lab_see(lab, ONE);
	fake_touch(lab->kernel, ONE, true);
	lab_settle(lab);
	assert_true(fake_has_rules(lab->kernel, ONE));
	for (unsigned int i = 0; i <= OWNERS_BURST; i++) {
		fake_touch(lab->kernel, ONE, true);
		lab_settle(lab);
	}
	assert_false(fake_has_rules(lab->kernel, ONE));
	fake_touch(lab->kernel, FAKE_HOME, true);
	lab_settle(lab);
	assert_true(fake_has_rules(lab->kernel, FAKE_HOME));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(comes_at_first_sight),
		TEST(comes_to_who_was_there_before),
		TEST(one_that_fails_hurts_no_other),
		TEST(a_failure_is_forgotten_with_its_users),
		TEST(another_namespace_is_not_taken),
		TEST(who_is_gone_is_told_of_again),
		TEST(a_silent_keeper_is_not_waited_for),
		TEST(equal_ends_are_two_flows),
		TEST(an_answer_is_remembered_where_it_was_given),
		TEST(a_successor_judges_what_is_held_anywhere),
		TEST(an_adopted_one_that_cannot_be_entered_is_judged),
		TEST(goes_when_nobody_uses_it),
		TEST(stays_while_a_flow_is_open),
		TEST(a_census_that_fails_empties_none),
		TEST(rules_are_watched_in_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
