/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Other programs change our rules
 *
 * They are put back at once; a kernel that refuses is asked again; and who
 * does it again and again does not keep sluiced busy.
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

static int set_up(void **state)
{
	struct lab_config config = { .n_filters = 1, .is_closed = { true } };
	struct lab *lab = lab_new(&config);

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	lab_pass(lab, SECOND_US / 2);
	*state = lab;
	return 0;
}

static int tear_down(void **state)
{
	*state = lab_free(*state);
	return 0;
}

static void touch(struct lab *lab)
{
	fake_touch(lab->kernel, FAKE_HOME, true);
	lab_settle(lab);
}

static uint64_t n_restored(const struct lab *lab)
{
	return lab->daemon->n_restored;
}

static void comes_back_at_once(void **state)
{
	struct lab *lab = *state;

	for (unsigned int i = 1; i <= OWNERS_BURST; i++) {
		touch(lab);
		assert_true(fake_has_rules(lab->kernel, FAKE_HOME));
		assert_int_equal(n_restored(lab), i);
	}
}

static void is_looked_at_once_more(void **state)
{
	struct lab *lab = *state;
	unsigned int n = fake_n_calls(lab->kernel, FAKE_REPAIR);

	touch(lab);
	lab_pass(lab, TICK_US);
	lab_pass(lab, TICK_US);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_REPAIR) - n, 2);
	assert_int_equal(n_restored(lab), 1);
	assert_int_equal(lab->daemon->namespaces.spaces[0]->owners.n_left, OWNERS_BURST - 1);
}

static void rules_of_others_are_theirs(void **state)
{
	struct lab *lab = *state;
	unsigned int n = fake_n_calls(lab->kernel, FAKE_REPAIR);

	for (unsigned int i = 0; i < 100; i++) {
		fake_touch(lab->kernel, FAKE_HOME, false);
		lab_settle(lab);
	}
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_REPAIR), n);
	assert_int_equal(lab->daemon->namespaces.spaces[0]->owners.n_left, OWNERS_BURST);
}

static void kernel_refuses(void **state)
{
	struct lab *lab = *state;

	fake_fail_always(lab->kernel, FAKE_REPAIR, ENOMEM);
	touch(lab);
	lab_pass(lab, TICK_US);
	assert_false(fake_has_rules(lab->kernel, FAKE_HOME));
	assert_int_equal(lab->daemon->namespaces.spaces[0]->owners.error, -ENOMEM);
	fake_fail(lab->kernel, FAKE_REPAIR, 0, 0);
	lab_pass(lab, OWNERS_PAUSE_US + TICK_US);
	assert_true(fake_has_rules(lab->kernel, FAKE_HOME));
	assert_int_equal(lab->daemon->namespaces.spaces[0]->owners.error, 0);
	assert_int_equal(n_restored(lab), 1);
}

static void others_are_busy(void **state)
{
	struct lab *lab = *state;

	fake_fail(lab->kernel, FAKE_REPAIR, 1, EAGAIN);
	touch(lab);
	assert_false(fake_has_rules(lab->kernel, FAKE_HOME));
	assert_int_equal(lab->daemon->namespaces.spaces[0]->owners.error, 0);
	lab_pass(lab, TICK_US);
	assert_true(fake_has_rules(lab->kernel, FAKE_HOME));
}

/* ten seconds against one that does nothing else: bounded work, and never long without rules */
static void a_fight_is_slow(void **state)
{
	struct lab *lab = *state;
	unsigned int n_ticks = 10 * SECOND_US / TICK_US, n_away = 0;
	unsigned int most = 10 * SECOND_US / OWNERS_PAUSE_US + OWNERS_BURST;
	unsigned int before = fake_n_calls(lab->kernel, FAKE_REPAIR), n;

	for (unsigned int i = 0; i < n_ticks; i++) {
		touch(lab);
		lab_pass(lab, TICK_US);
		n_away = fake_has_rules(lab->kernel, FAKE_HOME) ? 0 : n_away + 1;
		assert_true(n_away * TICK_US <= 2 * OWNERS_PAUSE_US);
	}
	n = fake_n_calls(lab->kernel, FAKE_REPAIR) - before;
	assert_true(n_restored(lab) <= most);
	assert_true(n_restored(lab) > most / 2);
	assert_true(n <= 2 * most);
	assert_true(lab->daemon->namespaces.spaces[0]->owners.is_fought);
	/* it gives up: all is as before */
	lab_pass(lab, OWNERS_PAUSE_US + TICK_US);
	lab_pass(lab, SECOND_US);
	assert_true(fake_has_rules(lab->kernel, FAKE_HOME));
	assert_false(lab->daemon->namespaces.spaces[0]->owners.is_fought);
	n = (unsigned int)n_restored(lab);
	touch(lab);
	assert_true(fake_has_rules(lab->kernel, FAKE_HOME));
	assert_int_equal(n_restored(lab), n + 1);
}

static void successor_looks_first(void **state)
{
	struct lab *lab = *state;

	fake_touch(lab->kernel, FAKE_HOME, true);
	lab_crash(lab);
	assert_false(fake_has_rules(lab->kernel, FAKE_HOME));
	assert_int_equal(lab_start(lab), 0);
	assert_true(fake_has_rules(lab->kernel, FAKE_HOME));
	assert_int_equal(n_restored(lab), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(comes_back_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_looked_at_once_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rules_of_others_are_theirs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(kernel_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(others_are_busy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_fight_is_slow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(successor_looks_first, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
