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
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
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

/* Return: memory that has what goes to standard error; @ret_old: what was there */
static int begin_capture(int *ret_old)
{
	int capture = memfd_create("stderr", MFD_CLOEXEC);

	assert_true(capture >= 0);
	*ret_old = dup(STDERR_FILENO);
	dup2(capture, STDERR_FILENO);
	log_open("sluiced", LOG_NOTICE); /* the lab's is silent */
	return capture;
}

static void end_capture(int capture, int old, char *text, size_t n_text)
{
	ssize_t n = pread(capture, text, n_text - 1, 0);

	log_open("sluiced", LOG_ALERT);
	dup2(old, STDERR_FILENO);
	close(old);
	close(capture);
	text[n > 0 ? n : 0] = '\0';
}

static void say_lines(struct lab *lab, unsigned int n)
{
	static const struct wire_log line = { .level = LOG_ERR, .text = "more" };

	while (n-- > 0)
		lab_say(lab, 0, WIRE_LOG, &line);
}

/* it says no more, which would bring it to light */
static void check_dropped(struct lab *lab, bool is_ending)
{
	char text[8192];
	int old, capture = begin_capture(&old);

	say_lines(lab, 103);
	if (is_ending)
		lab_end_filter(lab, 0);
	else
		lab_pass(lab, 1000000);
	end_capture(capture, old, text, sizeof(text));
	assert_non_null(strstr(text, ": more\n"));
	assert_non_null(strstr(text, ": 3 lines were dropped\n"));
}

static void test_what_was_dropped_is_said_in_the_next_second(void **state)
{
	check_dropped(*state, false);
}

static void test_what_was_dropped_is_said_at_the_end(void **state)
{
	check_dropped(*state, true);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, running_one, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_pong_for_no_ping_is_no_sign_of_life),
		TEST(test_a_filter_that_floods_is_replaced),
		TEST(test_what_a_filter_says_is_shown_as_one_line),
		TEST(test_what_was_dropped_is_said_in_the_next_second),
		TEST(test_what_was_dropped_is_said_at_the_end),
	};

	return cmocka_run_group_tests_name("daemon-hostile", tests, NULL, NULL);
}
