/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/macros.h"
#include "session/session.h"

static const char *const state_names[] = {
	[SESSION_DOWN] = "restarting",	 [SESSION_CALLED] = "starting",
	[SESSION_STARTING] = "starting", [SESSION_RUNNING] = "running",
	[SESSION_FAILED] = "failed",
};
_Static_assert(ARRAY_SIZE(state_names) == _SESSION_STATE_N, "state_names");

const char *session_state_name(enum session_state state)
{
	return state_names[state];
}

static void enter(struct session *session, enum session_state state, uint64_t now_us)
{
	session->state = state;
	session->since_us = now_us;
}

void session_init(struct session *session, uint64_t now_us)
{
	*session =
		(struct session){ .state = SESSION_DOWN, .since_us = now_us, .spawn_us = now_us };
}

void session_spawned(struct session *session, uint64_t now_us)
{
	session->is_hung = session->is_unheard = false;
	session->credit = SESSION_RECORDS_FREE;
	session->credited_us = now_us;
	enter(session, SESSION_CALLED, now_us);
}

void session_said_hello(struct session *session, uint64_t now_us)
{
	if (session->state == SESSION_CALLED)
		session->state = SESSION_STARTING; /* the start deadline runs on */
}

void session_ready(struct session *session, bool is_ok, uint64_t now_us)
{
	if (session->state != SESSION_STARTING)
		return;
	session->heard_us = session->pinged_us = now_us;
	enter(session, is_ok ? SESSION_RUNNING : SESSION_FAILED, now_us);
}

void session_asked(struct session *session)
{
	session->credit += SESSION_RECORDS_A_FLOW;
}

bool session_may_say(struct session *session, uint64_t now_us)
{
	uint64_t earned = (now_us - session->credited_us) / 1000 * SESSION_RECORDS_A_MS;

	if (earned) {
		if (session->credit < SESSION_RECORDS_FREE)
			session->credit = MIN(session->credit + earned, SESSION_RECORDS_FREE);
		session->credited_us = now_us;
	}
	if (session->credit == 0)
		return false;
	session->credit--;
	return true;
}

void session_heard(struct session *session, uint64_t now_us)
{
	session->heard_us = now_us;
}

static uint64_t wait_us(unsigned int deaths)
{
	uint64_t wait = 50000;

	if (deaths <= 1)
		return SESSION_WAIT_MIN_US;
	for (unsigned int i = 2; i < deaths && wait < SESSION_WAIT_MAX_US; i++)
		wait *= 2;
	return MIN(wait, SESSION_WAIT_MAX_US);
}

void session_exited(struct session *session, uint64_t now_us)
{
	bool was_calm =
		session->state == SESSION_RUNNING && now_us - session->since_us >= SESSION_CALM_US;

	if (session->state == SESSION_FAILED)
		return;
	session->deaths = was_calm ? 1 : session->deaths + 1;
	session->restarts++;
	if (session->is_unheard) /* less often, and not given up */
		session->deaths = MIN(session->deaths, SESSION_DEATHS_MAX - 1);
	if (session->deaths > SESSION_DEATHS_MAX || session->is_last) {
		enter(session, SESSION_FAILED, now_us);
		return;
	}
	session->spawn_us = now_us + wait_us(session->deaths);
	enter(session, SESSION_DOWN, now_us);
}

void session_unheard(struct session *session)
{
	session->is_unheard = true;
}

void session_postpone(struct session *session, uint64_t before_us, uint64_t us)
{
	if (session->since_us <= before_us)
		session->since_us += us;
	if (session->heard_us < session->pinged_us && session->pinged_us <= before_us)
		session->pinged_us += us;
}

static enum session_action tick_running(struct session *session, uint64_t now_us)
{
	if (session->is_hung)
		return SESSION_DO_NOTHING; /* killed once: its exit will be told */
	if (session->heard_us < session->pinged_us &&
	    now_us - session->pinged_us >= SESSION_SILENCE_US) {
		session->is_hung = true;
		return SESSION_DO_KILL;
	}
	if (session->heard_us >= session->pinged_us &&
	    now_us - session->pinged_us >= SESSION_PING_US) {
		session->pinged_us = session->token = now_us;
		return SESSION_DO_PING;
	}
	return SESSION_DO_NOTHING;
}

enum session_action session_tick(struct session *session, uint64_t now_us)
{
	switch (session->state) {
	case SESSION_DOWN:
		return now_us >= session->spawn_us ? SESSION_DO_SPAWN : SESSION_DO_NOTHING;
	case SESSION_CALLED:
	case SESSION_STARTING:
		if (session->is_hung || now_us - session->since_us < SESSION_START_US)
			return SESSION_DO_NOTHING;
		session->is_hung = true;
		return SESSION_DO_KILL;
	case SESSION_RUNNING:
		return tick_running(session, now_us);
	case SESSION_FAILED:
	case _SESSION_STATE_N:
		break;
	}
	return SESSION_DO_NOTHING;
}
