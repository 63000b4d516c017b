/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The flows of each user
 *
 * Beside the flow table (flow.c), which alone uses it: how many flows a user
 * has, held and open, and which of them is the oldest. A user is known while
 * it has flows; so there are as many as flows at most.
 */

#include "flow/flow.h"

struct flow_turn;
struct flow_users;

/** flow_users_new() - for @n_max flows; @seed: of its hash. Return: NULL: no memory */
struct flow_users *flow_users_new(size_t n_max, uint64_t seed);
/** flow_users_free() - NULL is fine. Return: NULL */
struct flow_users *flow_users_free(struct flow_users *users);

/** flow_users_own() - the flow, which is nobody's, is this user's */
void flow_users_own(struct flow_users *users, struct flow *flow, uint32_t uid);
/** flow_users_disown() - the flow is nobody's */
void flow_users_disown(struct flow_users *users, struct flow *flow);
/** flow_users_change() - the flow's state becomes @state, and it the newest in it of its user */
void flow_users_change(struct flow *flow, enum flow_state state);

/** flow_users_turn() - of the flow's user at the filter whose turn it is */
struct flow_turn *flow_users_turn(const struct flow *flow);

size_t flow_users_n_held(struct flow_users *users, uint32_t uid);
/** flow_users_oldest_open() - @ret_n: how many are open; always set. Return: NULL: none is */
struct flow *flow_users_oldest_open(struct flow_users *users, uint32_t uid, size_t *ret_n);
