/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>

#include "flow/turns.h"

static void ring_add(struct flow_ring *ring, struct flow_turn *turn)
{
	turn->ring = ring;
	turn->ahead = ring->last;
	turn->behind = NULL;
	if (ring->last)
		ring->last->behind = turn;
	else
		ring->first = turn;
	ring->last = turn;
}

static void ring_remove(struct flow_turn *turn)
{
	struct flow_ring *ring = turn->ring;

	if (turn->ahead)
		turn->ahead->behind = turn->behind;
	else
		ring->first = turn->behind;
	if (turn->behind)
		turn->behind->ahead = turn->ahead;
	else
		ring->last = turn->ahead;
	turn->ring = NULL;
}

/* it is where it belongs; @is_over: behind all others there */
static void place(struct flow_turns *turns, struct flow_turn *turn, bool is_over)
{
	struct flow_ring *ring = turn->n_asked < TURNS_SHARE ? &turns->below : &turns->above;

	if (!turn->oldest)
		ring = NULL;
	if (turn->ring == ring && !is_over)
		return;
	if (turn->ring)
		ring_remove(turn);
	if (ring)
		ring_add(ring, turn);
}

static void stop_waiting(struct flow_turn *turn, struct flow *flow)
{
	if (flow->held->wait_older)
		flow->held->wait_older->held->wait_newer = flow->held->wait_newer;
	else
		turn->oldest = flow->held->wait_newer;
	if (flow->held->wait_newer)
		flow->held->wait_newer->held->wait_older = flow->held->wait_older;
	else
		turn->newest = flow->held->wait_older;
	flow->held->wait_older = flow->held->wait_newer = NULL;
	flow->is_waiting = false;
}

static void stop_asking(struct flow_turn *turn, struct flow *flow)
{
	flow->is_sent = false;
	turn->n_asked--;
}

void flow_turns_wait(struct flow_turns *turns, struct flow_turn *turn, struct flow *flow)
{
	assert(!flow->is_sent && !flow->is_waiting);

	flow->is_waiting = true;
	flow->held->wait_older = turn->newest;
	if (turn->newest)
		turn->newest->held->wait_newer = flow;
	else
		turn->oldest = flow;
	turn->newest = flow;
	place(turns, turn, false);
}

void flow_turns_wait_first(struct flow_turns *turns, struct flow_turn *turn, struct flow *flow)
{
	assert(flow->is_sent && !flow->is_waiting);

	stop_asking(turn, flow);
	flow->is_waiting = true;
	flow->held->wait_newer = turn->oldest;
	if (turn->oldest)
		turn->oldest->held->wait_older = flow;
	else
		turn->newest = flow;
	turn->oldest = flow;
	place(turns, turn, false);
}

void flow_turns_ask(struct flow_turns *turns, struct flow_turn *turn, struct flow *flow)
{
	assert(!flow->is_sent);

	if (flow->is_waiting)
		stop_waiting(turn, flow);
	flow->is_sent = true;
	turn->n_asked++;
	place(turns, turn, true);
}

void flow_turns_leave(struct flow_turns *turns, struct flow_turn *turn, struct flow *flow)
{
	/* one that was decided without being asked about has had its turn as well */
	bool is_over = flow->is_waiting && flow_turns_next(turns) == flow;

	if (flow->is_waiting)
		stop_waiting(turn, flow);
	if (flow->is_sent)
		stop_asking(turn, flow);
	place(turns, turn, is_over);
}

struct flow *flow_turns_next(const struct flow_turns *turns)
{
	const struct flow_turn *turn = turns->below.first ? turns->below.first : turns->above.first;

	return turn ? turn->oldest : NULL;
}
