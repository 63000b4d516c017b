/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Judging again
 *
 * A filter whose rules have changed is asked again about the flows of before,
 * a few at a time: new flows wait behind REJUDGE_WINDOW questions at most, and a
 * round looks at REJUDGE_LOOKS flows at most, however many are open. Places of
 * the flow table are walked once, in their order; a flow that took a place
 * meanwhile has been judged by the new rules, which its id says.
 *
 *	rejudge_begin() ─▶ rejudge_next() ─▶ the caller asks ─▶ rejudge_asked()
 *	                        ▲                                    │
 *	                        └── rejudge_answered(), rejudge_expire() ◀┘
 *
 * A flow without an answer keeps its verdict. Pure: no descriptor, no clock.
 */

#include "flow/flow.h"

#define REJUDGE_WINDOW 32U
#define REJUDGE_LOOKS 1024U

enum rejudge_error {
	_REJUDGE_E_SUCCESS,
	REJUDGE_E_WAIT, /* for answers, or for the next round */
	REJUDGE_E_DONE, /* every flow was asked about */
};

struct rejudge_question {
	uint64_t id, deadline_us;
};

/** struct rejudge - of one filter; zero: nothing is to be asked */
struct rejudge {
	bool is_walking;
	bool is_by_rules; /* the filter's own: they also judge what waits for its answer */
	size_t at;	  /* place in the flow table */
	uint64_t end_id;  /* flows from it on are younger than the rules */
	unsigned int n_asked;
	struct rejudge_question asked[REJUDGE_WINDOW]; /* oldest first */
};

/** rejudge_begin() - the rules have changed; once more: all are asked about from the start */
void rejudge_begin(struct rejudge *rejudge, const struct flow_table *table);
/** rejudge_stop() - nobody is there to answer. Return: was anything left to ask or to answer? */
bool rejudge_stop(struct rejudge *rejudge);
static inline bool rejudge_is_busy(const struct rejudge *rejudge)
{
	return rejudge->is_walking || rejudge->n_asked > 0;
}

/**
 * rejudge_next() - the flow to ask @filter about next
 * @looks: in/out: flows that may still be looked at in this round
 *
 * It stays the next one until rejudge_asked(). Return: 0 or a REJUDGE_E_.
 */
int rejudge_next(struct rejudge *rejudge, struct flow_table *table, unsigned int filter,
		 unsigned int *looks, struct flow **ret_flow);
/** rejudge_passed() - there is nothing to ask about that flow */
static inline void rejudge_passed(struct rejudge *rejudge)
{
	rejudge->at++;
}
void rejudge_asked(struct rejudge *rejudge, const struct flow *flow, uint64_t now_us);
/** rejudge_is_asked() - has it been asked about, and not answered yet? */
bool rejudge_is_asked(const struct rejudge *rejudge, uint64_t id);
/** rejudge_answered() - Return: was it asked about, and not answered yet? */
bool rejudge_answered(struct rejudge *rejudge, uint64_t id);
/** rejudge_expire() - Return: how many questions have waited for too long */
unsigned int rejudge_expire(struct rejudge *rejudge, uint64_t now_us);
/** rejudge_postpone() - as flow_table_postpone() */
void rejudge_postpone(struct rejudge *rejudge, uint64_t before_us, uint64_t us);

enum flow_change {
	FLOW_KEEPS,    /* its verdict stands */
	FLOW_CUT,      /* it was allowed and is not any more */
	FLOW_RELEASED, /* it was denied and nobody denies it any more */
};

/** flow_judge_again() - @filter says @verdict about an open flow; notes who denies it */
enum flow_change flow_judge_again(struct flow *flow, unsigned int filter, enum sl_verdict verdict);
