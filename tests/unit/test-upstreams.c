/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: On whose behalf sockets of proxies are */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "flow/upstreams.h"

#define FIRST 0U
#define LAST 15U

static int set_up(void **state)
{
	struct upstreams *upstreams;

	assert_int_equal(upstreams_new(4711, &upstreams), 0);
	*state = upstreams;
	return 0;
}

static int tear_down(void **state)
{
	*state = upstreams_free(*state);
	assert_null(upstreams_free(NULL));
	return 0;
}

static void test_a_proxy_speaks_for_its_own_sockets(void **state)
{
	assert_int_equal(upstreams_find(*state, FIRST, 7), 0);
	assert_int_equal(upstreams_put(*state, FIRST, 7, 100), 0);
	assert_int_equal(upstreams_put(*state, LAST, 8, 101), 0);
	assert_int_equal(upstreams_find(*state, FIRST, 7), 100);
	assert_int_equal(upstreams_find(*state, LAST, 8), 101);
	assert_int_equal(upstreams_find(*state, LAST, 7), 0);
	assert_int_equal(upstreams_find(*state, FIRST, 8), 0);
}

static void test_what_was_said_last_holds(void **state)
{
	assert_int_equal(upstreams_put(*state, FIRST, 7, 100), 0);
	assert_int_equal(upstreams_put(*state, FIRST, 7, 102), 0);
	assert_int_equal(upstreams_put(*state, LAST, 7, 103), 0);
	assert_int_equal(upstreams_find(*state, FIRST, 7), 102);
	assert_int_equal(upstreams_find(*state, LAST, 7), 103);
}

static void test_one_that_is_gone_leaves_nothing(void **state)
{
	for (uint64_t cookie = 1; cookie <= 50; cookie++) {
		assert_int_equal(upstreams_put(*state, FIRST, cookie, 100 + cookie), 0);
		assert_int_equal(upstreams_put(*state, LAST, cookie, 200 + cookie), 0);
	}
	upstreams_forget(*state, FIRST);
	for (uint64_t cookie = 1; cookie <= 50; cookie++) {
		assert_int_equal(upstreams_find(*state, FIRST, cookie), 0);
		assert_int_equal(upstreams_find(*state, LAST, cookie), 200 + cookie);
	}
	upstreams_forget(*state, FIRST);
	assert_int_equal(upstreams_put(*state, FIRST, 3, 9), 0);
	assert_int_equal(upstreams_find(*state, FIRST, 3), 9);
}

static void test_the_newest_are_kept_of_each(void **state)
{
	const uint64_t n = UPSTREAMS_MAX + 100;

	assert_int_equal(upstreams_put(*state, LAST, 1, 5), 0);
	for (uint64_t cookie = 1; cookie <= n; cookie++)
		assert_int_equal(upstreams_put(*state, FIRST, cookie, cookie), 0);
	for (uint64_t cookie = 1; cookie <= n; cookie++)
		assert_int_equal(upstreams_find(*state, FIRST, cookie), cookie > 100 ? cookie : 0);
	assert_int_equal(upstreams_find(*state, LAST, 1), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_proxy_speaks_for_its_own_sockets, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_what_was_said_last_holds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_that_is_gone_leaves_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_the_newest_are_kept_of_each, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
