/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Flows of before
 *
 * What people ask about is mostly over: a flow that left the flow table is kept
 * here for a while, so that `sluice why` can tell of it. Flows that were allowed
 * and flows that were not have a ring each: a busy program that is allowed
 * everything does not push out the one denial somebody asks about.
 *
 * Memory is taken once. Pure: no descriptor, no clock.
 */

#include "flow/flow.h"

#define HISTORY_FLOWS_MAX 1024U /* of each of the two */

struct history;

/**
 * history_new() - room for @n_max allowed flows and as many denied ones
 * @forget_fn: called for each flow that is pushed out, to release its identity
 *
 * Return: 0 or -ENOMEM.
 */
int history_new(size_t n_max, flow_forget_fn forget_fn, void *data, struct history **ret_history);

/** history_free() - forgets every flow; NULL is fine. Return: NULL */
struct history *history_free(struct history *history);

/** history_add() - keep a copy of @flow, its identity included; the oldest of its kind goes */
void history_add(struct history *history, const struct flow *flow);

/** history_find() - the newest with this id; NULL: never there, or pushed out */
const struct flow *history_find(const struct history *history, uint64_t id);

/** history_find_key() - the newest of this conversation, whose last packets may still be on their way; NULL:
 * as history_find() */
const struct flow *history_find_key(const struct history *history, const struct sl_flow_key *key);

/** history_newest() - the flow that was decided last, of all or of those denied; NULL: none */
const struct flow *history_newest(const struct history *history, bool is_denied);

size_t history_count(const struct history *history);
