/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Waking up
 *
 * The machine was suspended, or we were frozen with everybody else. What waits
 * for another process gets the time back that nobody could have used: a flow
 * that was held keeps what was left for its filter, and a filter that has not
 * answered a ping since yesterday does not hang. What grows old by itself goes
 * on doing so: names, verdicts that rest on them, idle conversations.
 *
 * Something may have happened between the wake and the tick that notices it.
 * That began in time, and is left as it is. What began within WAKE_US of the last
 * tick was there when everything stopped.
 */
#include "daemon/daemon.h"

/* ticks are so late on a busy machine; of a longer pause so much has passed */
#define WAKE_US 100000U

static void postpone_answers(struct daemon *daemon, uint64_t before_us, uint64_t us)
{
	for (size_t i = 0; daemon->n_answers && i < NAMES_PENDING_MAX; i++)
		if (daemon->answers[i].deadline_us <= before_us + NAMES_DEADLINE_US)
			daemon->answers[i].deadline_us += us;
}

void wake_tick(struct daemon *daemon, uint64_t now_us)
{
	uint64_t before_us = daemon->ticked_us + WAKE_US, us;
	bool is_first = daemon->ticked_us == 0;

	daemon->ticked_us = now_us;
	if (is_first || now_us <= before_us)
		return;
	us = now_us - before_us;
	flow_table_postpone(daemon->flows, before_us, us);
	postpone_answers(daemon, before_us, us);
	explain_postpone(daemon, before_us, us);
	peeking_postpone(daemon, before_us, us);
	watch_postpone(&daemon->watches, us);
	packets_postpone(daemon, us);
	session_postpone(&daemon->names_session, before_us, us);
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		session_postpone(&daemon->filters[i].session, before_us, us);
		rejudge_postpone(&daemon->filters[i].rejudge, before_us, us);
	}
	canary_postpone(daemon, before_us, us);
	if (us >= WAKE_LOOK_US)
		(void)owners_look(daemon); /* whatever the others did when they woke */
}
