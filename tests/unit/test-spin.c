/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long it is looked again before a sleep */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/spin.h"

#define LONG_NS (SPIN_MOST_NS + 1)

static void test_who_waits_long_sleeps_at_once(void **state)
{
	struct spin spin = { 0 };

	for (int i = 0; i < 9; i++)
		spin_learn(&spin, LONG_NS);
	assert_int_equal(spin.limit_ns, 0);
}

static void test_short_waits_make_it_longer_until_it_reaches_them(void **state)
{
	struct spin spin = { 0 };

	spin_learn(&spin, SPIN_FIRST_NS + 1);
	assert_int_equal(spin.limit_ns, SPIN_FIRST_NS);
	spin_learn(&spin, SPIN_FIRST_NS + 1);
	assert_int_equal(spin.limit_ns, 2 * SPIN_FIRST_NS);
	spin_learn(&spin, SPIN_FIRST_NS + 1);
	assert_int_equal(spin.limit_ns, 2 * SPIN_FIRST_NS);
}

static void test_it_has_a_bound(void **state)
{
	struct spin spin = { 0 };

	for (int i = 0; i < 99; i++)
		spin_learn(&spin, SPIN_MOST_NS);
	assert_int_equal(spin.limit_ns, SPIN_MOST_NS);
}

static void test_few_long_waits_make_it_nothing(void **state)
{
	struct spin spin = { .limit_ns = SPIN_MOST_NS };
	int n = 0;

	for (; spin.limit_ns; n++)
		spin_learn(&spin, LONG_NS);
	assert_in_range(n, 2, 4); /* one alone does not */
}

/* ---- poll(2) ---- */

struct ends {
	int in, out;
};

static struct ends open_ends(void)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	return (struct ends){ .in = fds[0], .out = fds[1] };
}

static void close_ends(const struct ends *ends)
{
	close(ends->in);
	close(ends->out);
}

static void test_what_is_there_is_found_awake_and_asleep(void **state)
{
	struct ends ends = open_ends();
	struct pollfd pollfd = { .fd = ends.in, .events = POLLIN };

	assert_int_equal(write(ends.out, "x", 1), 1);
	for (int timeout_ms = -1; timeout_ms <= 0; timeout_ms++) {
		struct spin asleep = { 0 }, awake = { .limit_ns = SPIN_MOST_NS };

		assert_int_equal(spin_poll(&asleep, &pollfd, 1, timeout_ms), 1);
		assert_int_equal(spin_poll(&awake, &pollfd, 1, timeout_ms), 1);
		assert_int_equal(pollfd.revents, POLLIN);
	}
	close_ends(&ends);
}

static void test_nothing_is_a_long_wait(void **state)
{
	struct ends ends = open_ends();
	struct pollfd pollfd = { .fd = ends.in, .events = POLLIN };
	struct spin spin = { .limit_ns = SPIN_MOST_NS };

	assert_int_equal(spin_poll(&spin, &pollfd, 1, 1), 0);
	assert_int_equal(spin.limit_ns, SPIN_MOST_NS / 2);
	close_ends(&ends);
}

static void test_a_look_is_no_wait(void **state)
{
	struct ends ends = open_ends();
	struct pollfd pollfd = { .fd = ends.in, .events = POLLIN };
	struct spin spin = { .limit_ns = SPIN_FIRST_NS };

	for (int i = 0; i < 9; i++)
		assert_int_equal(spin_poll(&spin, &pollfd, 1, 0), 0);
	assert_int_equal(spin.limit_ns, SPIN_FIRST_NS);
	close_ends(&ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_waits_long_sleeps_at_once),
		cmocka_unit_test(test_short_waits_make_it_longer_until_it_reaches_them),
		cmocka_unit_test(test_it_has_a_bound),
		cmocka_unit_test(test_few_long_waits_make_it_nothing),
		cmocka_unit_test(test_what_is_there_is_found_awake_and_asleep),
		cmocka_unit_test(test_nothing_is_a_long_wait),
		cmocka_unit_test(test_a_look_is_no_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
