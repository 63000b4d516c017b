/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "flow/rejudge.h"

void rejudge_begin(struct rejudge *rejudge, const struct flow_table *table)
{
	/* what was asked before is still answered, by the old rules or the new ones: asked again */
	rejudge->is_walking = true;
	rejudge->at = 0;
	rejudge->end_id = flow_table_next_id(table);
}

bool rejudge_stop(struct rejudge *rejudge)
{
	bool was_busy = rejudge_is_busy(rejudge);

	rejudge->is_walking = false;
	rejudge->n_asked = 0;
	return was_busy;
}

/* one that another filter denies was not allowed by this one's word */
static bool is_to_be_asked(const struct rejudge *rejudge, const struct flow *flow,
			   unsigned int filter)
{
	switch (flow->state) {
	case FLOW_HELD:
		return flow->asked > filter || (rejudge->is_by_rules && flow->asked == filter);
	case FLOW_OPEN:
		return flow->verdict == SL_ALLOW || !flow->denied_by ||
		       flow->denied_by & 1U << filter;
	case FLOW_FREE:
		break;
	}
	return false;
}

int rejudge_next(struct rejudge *rejudge, struct flow_table *table, unsigned int filter,
		 unsigned int *looks, struct flow **ret_flow)
{
	struct flow *flow;

	if (!rejudge->is_walking)
		return REJUDGE_E_DONE;
	if (rejudge->n_asked == REJUDGE_WINDOW)
		return REJUDGE_E_WAIT;
	for (; *looks > 0; --*looks, rejudge->at++) {
		flow = flow_table_at(table, rejudge->at);
		if (!flow) {
			rejudge->is_walking = false;
			return REJUDGE_E_DONE;
		}
		if (flow->id < rejudge->end_id && is_to_be_asked(rejudge, flow, filter)) {
			--*looks;
			*ret_flow = flow;
			return 0;
		}
	}
	return REJUDGE_E_WAIT;
}

void rejudge_asked(struct rejudge *rejudge, const struct flow *flow, uint64_t now_us)
{
	rejudge->asked[rejudge->n_asked++] =
		(struct rejudge_question){ flow->id, now_us + FLOW_DEADLINE_US };
	rejudge->at++;
}

/* Return: its place, or n_asked */
static unsigned int find(const struct rejudge *rejudge, uint64_t id)
{
	unsigned int i = 0;

	while (i < rejudge->n_asked && rejudge->asked[i].id != id)
		i++;
	return i;
}

bool rejudge_is_asked(const struct rejudge *rejudge, uint64_t id)
{
	return find(rejudge, id) < rejudge->n_asked;
}

bool rejudge_answered(struct rejudge *rejudge, uint64_t id)
{
	unsigned int i = find(rejudge, id);

	if (i == rejudge->n_asked)
		return false;
	rejudge->n_asked--;
	memmove(&rejudge->asked[i], &rejudge->asked[i + 1],
		(rejudge->n_asked - i) * sizeof(rejudge->asked[0]));
	return true;
}

unsigned int rejudge_expire(struct rejudge *rejudge, uint64_t now_us)
{
	unsigned int n = 0;

	while (n < rejudge->n_asked && now_us >= rejudge->asked[n].deadline_us)
		n++;
	rejudge->n_asked -= n;
	memmove(&rejudge->asked[0], &rejudge->asked[n],
		rejudge->n_asked * sizeof(rejudge->asked[0]));
	return n;
}

void rejudge_postpone(struct rejudge *rejudge, uint64_t before_us, uint64_t us)
{
	for (unsigned int i = 0; i < rejudge->n_asked; i++)
		if (rejudge->asked[i].deadline_us <= before_us + FLOW_DEADLINE_US)
			rejudge->asked[i].deadline_us += us;
}

enum flow_change flow_judge_again(struct flow *flow, unsigned int filter, enum sl_verdict verdict)
{
	uint16_t bit = (uint16_t)(1U << filter);

	if (verdict != SL_ALLOW) {
		flow->denied_by |= bit;
		return sl_is_denial(flow->verdict) ? FLOW_KEEPS : FLOW_CUT;
	}
	flow->denied_by &= (uint16_t)~bit;
	return !sl_is_denial(flow->verdict) || flow->denied_by ? FLOW_KEEPS : FLOW_RELEASED;
}
