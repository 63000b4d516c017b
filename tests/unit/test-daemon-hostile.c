/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced and a provider that means harm
 *
 * Beside scenario 142, what a real one cannot show exactly. See daemon-lab.h.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "running-lab.h"

/* it does not read: who knows no token has not heard the question */
static void test_a_pong_for_no_ping_is_no_sign_of_life(void **state)
{
	struct lab *lab = *state;

	for (unsigned int i = 0; i < 60 && !lab->n_killed; i++) {
		lab_say(lab, 0, WIRE_PONG, &(struct wire_pong){ .token = i });
		lab_pass(lab, SESSION_PING_US / 10);
	}
	assert_int_equal(lab->n_killed, 1);
}

static void test_a_filter_that_floods_is_replaced(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	for (unsigned int i = 0; i < 2 * SESSION_RECORDS_FREE && !lab->n_killed; i++)
		lab_judge(lab, 0, id + 1, 0);
	assert_int_equal(lab->n_killed, 1);
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	lab_judge(lab, 0, lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_what_a_filter_says_is_shown_as_one_line(void **state)
{
	static const struct wire_log line = { .level = 3,
					      .text = "a\033[2J\nsluiced: b\x7f\xc2\x9b" };
	struct lab *lab = *state;

	lab_say(lab, 0, WIRE_LOG, &line);
	assert_string_equal(lab->daemon->filters[0].message, "a?[2J?sluiced: b?\xc2?");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, running_one, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_pong_for_no_ping_is_no_sign_of_life),
		TEST(test_a_filter_that_floods_is_replaced),
		TEST(test_what_a_filter_says_is_shown_as_one_line),
	};

	return cmocka_run_group_tests_name("daemon-hostile", tests, NULL, NULL);
}
