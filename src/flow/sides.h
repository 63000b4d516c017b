/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Sides that many flows share
 *
 * Who has a flow, through which interface and from which address: of the thousands
 * of flows of one program all are alike in that. Each side is here once, for as long
 * as somebody uses it: a flow has a pointer instead of 72 bytes.
 *
 * Pure: no descriptor, no clock; sides_new() takes room for one of each flow's own.
 */

#include "flow/flow.h"

struct sides;

/**
 * sides_new() - for @n_max users at a time
 * @seed:   random: who chooses addresses does not choose their bucket
 * @put_fn: an identity is not used any more
 *
 * Return: 0 or -ENOMEM
 */
typedef void (*sides_put_fn)(struct identity *identity, void *data);
int sides_new(size_t n_max, uint64_t seed, sides_put_fn put_fn, void *data,
	      struct sides **ret_sides);

/** sides_free() - each side has been put; NULL is fine. Return: NULL */
struct sides *sides_free(struct sides *sides);

/** sides_get() - the one that is like @side, whose identities are consumed; to be put */
const struct flow_side *sides_get(struct sides *sides, const struct flow_side *side);

/** sides_put() - @side is not used any more; sides_none() is fine */
void sides_put(struct sides *sides, const struct flow_side *side);

/** sides_none() - nobody's, all zeroes; it need not be put */
const struct flow_side *sides_none(void);

/** sides_trim() - memory of those that nobody uses now is given back. Return: bytes. */
size_t sides_trim(struct sides *sides);
