/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: One provider's life
 *
 *	              spawned        HELLO          READY 0
 *	 SESSION_DOWN ──────▶ CALLED ─────▶ STARTING ─────▶ RUNNING
 *	   ▲  │                  │             │  READY errno  │
 *	   │  └── too often ─┐   └── exited ───┴───────────────┤
 *	   └── wait ─────────┼─────────────────────────────────┘
 *	                     ▼
 *	               SESSION_FAILED     a person must act; the fail class holds
 *
 * SESSION_FAILED is also reached by a READY with an errno: a configuration
 * that cannot start does not start better the second time.
 *
 * Pure: time comes in, what to do comes out. Microseconds of CLOCK_BOOTTIME.
 */

#include <stdbool.h>
#include <stdint.h>

#define SESSION_START_US 5000000U   /* from spawn to READY: a filter may load a large list */
#define SESSION_PING_US 500000U	    /* a running provider is asked for a sign of life */
#define SESSION_SILENCE_US 2000000U /* no PONG for so long: hung, kill and restart */
#define SESSION_WAIT_MIN_US 0U	    /* the first restart is immediate: nobody waits */
#define SESSION_WAIT_MAX_US 5000000U
#define SESSION_CALM_US 10000000U  /* ran so long: earlier deaths are forgotten */
#define SESSION_RECORDS_A_FLOW 16U /* it may say as many for each question, */
#define SESSION_RECORDS_A_MS 2U	   /* without one, */
#define SESSION_RECORDS_FREE 8192U /* and at once */
#define SESSION_DEATHS_MAX 8U	   /* in a row, each within SESSION_CALM_US: failed */

enum session_state {
	SESSION_DOWN,
	SESSION_CALLED,
	SESSION_STARTING,
	SESSION_RUNNING,
	SESSION_FAILED,
	_SESSION_STATE_N,
};

enum session_action { SESSION_DO_NOTHING, SESSION_DO_SPAWN, SESSION_DO_PING, SESSION_DO_KILL };

struct session {
	enum session_state state;
	uint64_t since_us;  /* when the state began */
	uint64_t spawn_us;  /* when DOWN ends */
	uint64_t pinged_us; /* a wake moves it, and the answer has the ping's token */
	uint64_t token;	    /* of the last ping */
	uint64_t heard_us;
	unsigned int deaths; /* in a row */
	unsigned int restarts;
	bool is_hung;	 /* we killed it for its silence */
	bool is_last;	 /* when it ends, it is not started again */
	bool is_unheard; /* we end it because we cannot listen to it */
	uint64_t credit; /* records it may still say: session_may_say() */
	uint64_t credited_us;
};

const char *session_state_name(enum session_state state);

void session_init(struct session *session, uint64_t now_us);
void session_spawned(struct session *session, uint64_t now_us);
void session_said_hello(struct session *session, uint64_t now_us);
void session_ready(struct session *session, bool is_ok, uint64_t now_us);
void session_heard(struct session *session, uint64_t now_us);
void session_exited(struct session *session, uint64_t now_us);
/** session_unheard() - it ends by no fault of its own: it will be started again, however often */
void session_unheard(struct session *session);

/** session_postpone() - nobody ran from @before_us on for @us: what waits for an answer waits on */
void session_postpone(struct session *session, uint64_t before_us, uint64_t us);

/** session_asked() - it was asked about a flow, and may say something about it */
void session_asked(struct session *session);

/**
 * session_may_say() - one more record came from it. Return: false: it floods
 *
 * A filter says a few things about each flow that it is asked about, and a
 * little besides. One that says much more keeps us from serving others.
 */
bool session_may_say(struct session *session, uint64_t now_us);

/** session_tick() - what is due now; to be called several times a second */
enum session_action session_tick(struct session *session, uint64_t now_us);
