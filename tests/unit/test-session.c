/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: The life of a provider: when it is started, asked for a sign of life, and given up. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "session/session.h"

#define NOW_US 3600000000ULL
#define TICK_US 10000U

static struct session session;

static int set_up(void **state)
{
	session_init(&session, NOW_US);
	return 0;
}

static void start(uint64_t now_us)
{
	assert_int_equal(session_tick(&session, now_us), SESSION_DO_SPAWN);
	session_spawned(&session, now_us);
	session_said_hello(&session, now_us);
	session_ready(&session, true, now_us);
	assert_int_equal(session.state, SESSION_RUNNING);
}

/* Return: when the next spawn is due after a death at @now_us, or 0: never */
static uint64_t next_spawn(uint64_t now_us)
{
	for (uint64_t at = now_us; at <= now_us + 2 * SESSION_WAIT_MAX_US; at += TICK_US)
		if (session_tick(&session, at) == SESSION_DO_SPAWN)
			return at;
	return 0;
}

static void a_new_session_is_spawned_at_once(void **state)
{
	assert_int_equal(session_tick(&session, NOW_US), SESSION_DO_SPAWN);
	session_spawned(&session, NOW_US);
	assert_int_equal(session.state, SESSION_CALLED);
	session_said_hello(&session, NOW_US + 1);
	assert_int_equal(session.state, SESSION_STARTING);
	session_ready(&session, true, NOW_US + 2);
	assert_int_equal(session.state, SESSION_RUNNING);
	assert_int_equal(session_tick(&session, NOW_US + 2), SESSION_DO_NOTHING);
}

static void words_out_of_turn_change_nothing(void **state)
{
	session_ready(&session, true, NOW_US);
	session_said_hello(&session, NOW_US);
	assert_int_equal(session.state, SESSION_DOWN);
	session_spawned(&session, NOW_US);
	session_ready(&session, true, NOW_US); /* before its HELLO */
	assert_int_equal(session.state, SESSION_CALLED);
	session_said_hello(&session, NOW_US);
	session_ready(&session, true, NOW_US);
	session_ready(&session, false, NOW_US); /* twice */
	session_said_hello(&session, NOW_US);
	assert_int_equal(session.state, SESSION_RUNNING);
}

static void the_first_restart_is_immediate(void **state)
{
	start(NOW_US);
	session_exited(&session, NOW_US + 5000);
	assert_int_equal(session.state, SESSION_DOWN);
	assert_int_equal(session.restarts, 1);
	assert_int_equal(session_tick(&session, NOW_US + 5000), SESSION_DO_SPAWN);
}

static void later_restarts_wait_longer_each_time_and_then_it_has_failed(void **state)
{
	uint64_t now_us = NOW_US, before = 0;

	for (unsigned int deaths = 1; deaths <= SESSION_DEATHS_MAX; deaths++) {
		uint64_t wait;

		start(now_us);
		session_exited(&session, now_us);
		wait = next_spawn(now_us) - now_us;
		assert_true(deaths == 1 ? wait == 0 : wait > before);
		assert_true(wait <= SESSION_WAIT_MAX_US);
		before = wait;
		now_us += wait;
	}
	start(now_us);
	session_exited(&session, now_us);
	assert_int_equal(session.state, SESSION_FAILED);
	assert_int_equal(next_spawn(now_us), 0);
	session_exited(&session, now_us);
	assert_int_equal(session.state, SESSION_FAILED);
}

static void deaths_before_the_start_count_as_well(void **state)
{
	uint64_t now_us = NOW_US;

	for (unsigned int i = 0; i <= SESSION_DEATHS_MAX; i++) {
		now_us = next_spawn(now_us);
		assert_true(now_us > 0);
		session_spawned(&session, now_us);
		session_exited(&session, now_us + 1);
		now_us++;
	}
	assert_int_equal(session.state, SESSION_FAILED);
}

static void the_last_one_is_not_started_again(void **state)
{
	session_spawned(&session, NOW_US);
	session.is_last = true;
	session_exited(&session, NOW_US);
	assert_int_equal(session.state, SESSION_FAILED);
	assert_int_equal(session.deaths, 1);
}

static void one_that_nobody_could_hear_is_not_given_up(void **state)
{
	uint64_t now_us = NOW_US;

	for (unsigned int i = 0; i < 5 * SESSION_DEATHS_MAX; i++) {
		now_us = next_spawn(now_us);
		assert_true(now_us > 0);
		session_spawned(&session, now_us);
		session_unheard(&session);
		session_exited(&session, now_us);
	}
	start(next_spawn(now_us));
	assert_int_equal(session.state, SESSION_RUNNING);
	assert_false(session.is_unheard);
}

static void a_calm_life_is_restarted_at_once_and_for_ever(void **state)
{
	uint64_t now_us = NOW_US;

	for (unsigned int i = 0; i < 5 * SESSION_DEATHS_MAX; i++) {
		start(now_us);
		now_us += SESSION_CALM_US;
		session_exited(&session, now_us);
		assert_int_equal(session.deaths, 1);
	}
	start(now_us);
	session_exited(&session, now_us + SESSION_CALM_US - 1);
	assert_int_equal(session.deaths, 2);
}

static void a_configuration_that_cannot_start_is_not_tried_twice(void **state)
{
	session_spawned(&session, NOW_US);
	session_said_hello(&session, NOW_US);
	session_ready(&session, false, NOW_US);
	assert_int_equal(session.state, SESSION_FAILED);
	session_exited(&session, NOW_US + 1);
	assert_int_equal(session.state, SESSION_FAILED);
	assert_int_equal(next_spawn(NOW_US + 1), 0);
}

static void a_start_has_a_deadline_that_hello_does_not_extend(void **state)
{
	session_spawned(&session, NOW_US);
	session_said_hello(&session, NOW_US + SESSION_START_US - 1);
	assert_int_equal(session_tick(&session, NOW_US + SESSION_START_US - 1), SESSION_DO_NOTHING);
	assert_int_equal(session_tick(&session, NOW_US + SESSION_START_US), SESSION_DO_KILL);
	assert_true(session.is_hung);
	/* once: its exit is on the way */
	assert_int_equal(session_tick(&session, NOW_US + 2 * SESSION_START_US), SESSION_DO_NOTHING);
	session_exited(&session, NOW_US + 2 * SESSION_START_US);
	session_spawned(&session, NOW_US + 2 * SESSION_START_US);
	assert_false(session.is_hung);
}

static void a_provider_that_answers_is_pinged_and_never_killed(void **state)
{
	unsigned int n_pings = 0;

	start(NOW_US);
	for (uint64_t at = 0; at < 20 * SESSION_PING_US; at += TICK_US) {
		enum session_action action = session_tick(&session, NOW_US + at);

		assert_int_not_equal(action, SESSION_DO_KILL);
		if (action != SESSION_DO_PING)
			continue;
		n_pings++;
		/* at once, or as late as it may */
		session_heard(&session, NOW_US + at + n_pings % 2 * (TICK_US / 2));
	}
	assert_int_equal(n_pings, 19);
}

static void a_silent_provider_is_killed_once_its_time_is_up(void **state)
{
	uint64_t pinged_us = NOW_US + SESSION_PING_US;
	unsigned int n_kills = 0;

	start(NOW_US);
	assert_int_equal(session_tick(&session, pinged_us - 1), SESSION_DO_NOTHING);
	assert_int_equal(session_tick(&session, pinged_us), SESSION_DO_PING);
	assert_int_equal(session_tick(&session, pinged_us + SESSION_SILENCE_US - 1),
			 SESSION_DO_NOTHING);
	for (uint64_t at = SESSION_SILENCE_US; at < 10 * SESSION_SILENCE_US; at += TICK_US)
		n_kills += session_tick(&session, pinged_us + at) == SESSION_DO_KILL;
	assert_int_equal(n_kills, 1);
	assert_true(session.is_hung);
}

static void a_pong_in_the_last_moment_saves_it(void **state)
{
	uint64_t pinged_us = NOW_US + SESSION_PING_US;

	start(NOW_US);
	assert_int_equal(session_tick(&session, pinged_us), SESSION_DO_PING);
	session_heard(&session, pinged_us + SESSION_SILENCE_US - 1);
	assert_int_not_equal(session_tick(&session, pinged_us + SESSION_SILENCE_US),
			     SESSION_DO_KILL);
	assert_false(session.is_hung);
}

static void a_hung_provider_comes_back(void **state)
{
	uint64_t now_us = NOW_US + SESSION_PING_US;

	start(NOW_US);
	session_tick(&session, now_us);
	now_us += SESSION_SILENCE_US;
	assert_int_equal(session_tick(&session, now_us), SESSION_DO_KILL);
	session_exited(&session, now_us + 1);
	start(now_us + 1);
	assert_false(session.is_hung);
	assert_int_equal(session_tick(&session, now_us + 1), SESSION_DO_NOTHING);
}

static void one_that_says_more_than_it_is_asked_floods(void **state)
{
	uint64_t n = 0, now_us = NOW_US;

	start(now_us);
	while (session_may_say(&session, now_us))
		n++;
	assert_int_equal(n, SESSION_RECORDS_FREE);
	assert_true(session_may_say(&session, now_us + 1000)); /* it may say a little for ever */
	for (unsigned int i = 0; i < 100000; i++, now_us += 10) {
		session_asked(&session);
		for (unsigned int k = 0; k < SESSION_RECORDS_A_FLOW; k++)
			assert_true(session_may_say(&session, now_us));
	}
}

static void every_state_has_a_name(void **state)
{
	for (enum session_state s = SESSION_DOWN; s < _SESSION_STATE_N; s++)
		assert_true(strlen(session_state_name(s)) > 0);
}

#define TEST(fn) cmocka_unit_test_setup(fn, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_session_is_spawned_at_once),
		TEST(words_out_of_turn_change_nothing),
		TEST(the_first_restart_is_immediate),
		TEST(later_restarts_wait_longer_each_time_and_then_it_has_failed),
		TEST(deaths_before_the_start_count_as_well),
		TEST(the_last_one_is_not_started_again),
		TEST(one_that_nobody_could_hear_is_not_given_up),
		TEST(a_calm_life_is_restarted_at_once_and_for_ever),
		TEST(a_configuration_that_cannot_start_is_not_tried_twice),
		TEST(a_start_has_a_deadline_that_hello_does_not_extend),
		TEST(a_provider_that_answers_is_pinged_and_never_killed),
		TEST(a_silent_provider_is_killed_once_its_time_is_up),
		TEST(a_pong_in_the_last_moment_saves_it),
		TEST(a_hung_provider_comes_back),
		TEST(one_that_says_more_than_it_is_asked_floods),
		TEST(every_state_has_a_name),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
