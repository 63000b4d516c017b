/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Whose turn is it at a filter?
 *
 * A filter whose channel is full, or which is away, has held flows waiting for
 * it. When it can take more, users get their turn one after the other, each with
 * its oldest flow, so that one user's thousands are not before another's one. A
 * user that has TURNS_SHARE questions open there comes after all who have fewer.
 *
 *	wait ─▶ users with fewer than TURNS_SHARE open, round robin ─┐
 *	    └─▶ users with TURNS_SHARE or more, round robin ─────────┴─▶ next
 *
 * Nothing that a filter can take is ever kept from it: the share orders, it does
 * not limit. What bounds the wait of a newcomer is the depth of the channel.
 *
 * Of the flow table (flow.c), which alone uses it. Each operation takes constant
 * time and no memory; a flow without a user is nobody's and cannot wait.
 */

#include "flow/flow.h"

#define TURNS_SHARE 32U

/** struct flow_turn - one user at one filter; zeroed: nothing waits, nothing is asked */
struct flow_turn {
	struct flow_turn *ahead, *behind; /* in the ring */
	struct flow_ring *ring;		  /* NULL: nothing waits */
	struct flow *oldest, *newest;	  /* that wait */
	unsigned int n_asked;		  /* held flows that the filter has been told of */
};

struct flow_ring {
	struct flow_turn *first, *last;
};

/** struct flow_turns - of one filter; zeroed: nobody waits */
struct flow_turns {
	struct flow_ring below, above; /* the share */
};

/** flow_turns_wait() - the flow, which does not, waits behind those of its user */
void flow_turns_wait(struct flow_turns *turns, struct flow_turn *turn, struct flow *flow);
/** flow_turns_wait_first() - it was asked about, in vain, and waits before those of its user */
void flow_turns_wait_first(struct flow_turns *turns, struct flow_turn *turn, struct flow *flow);
/** flow_turns_ask() - the filter has been told of the flow; its user's turn is over */
void flow_turns_ask(struct flow_turns *turns, struct flow_turn *turn, struct flow *flow);
/** flow_turns_leave() - neither waits nor is asked about any more, if it did or was */
void flow_turns_leave(struct flow_turns *turns, struct flow_turn *turn, struct flow *flow);
/** flow_turns_next() - the flow to ask about; NULL: none waits */
struct flow *flow_turns_next(const struct flow_turns *turns);
