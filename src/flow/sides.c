/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "flow/sides.h"
#include "flow/slots.h"

#define N_BUCKETS 8192U

struct shared_side {
	struct flow_side side; /* first: a flow points to it */
	uint32_t next;	       /* in the bucket: numbers of slots */
	uint32_t n_users;
};
_Static_assert(sizeof(struct flow_side) == 72, "compared as bytes: no holes");

struct sides {
	uint64_t seed;
	sides_put_fn put_fn;
	void *data;
	struct slots *slots;
	uint32_t buckets[N_BUCKETS];
};

static const struct flow_side none;

const struct flow_side *sides_none(void)
{
	return &none;
}

int sides_new(size_t n_max, uint64_t seed, sides_put_fn put_fn, void *data,
	      struct sides **ret_sides)
{
	struct sides *sides = calloc(1, sizeof(*sides));

	if (!sides)
		return -ENOMEM;
	sides->seed = seed;
	sides->put_fn = put_fn;
	sides->data = data;
	if (slots_new(n_max, sizeof(struct shared_side), &sides->slots) < 0) {
		sides_free(sides);
		return -ENOMEM;
	}
	*ret_sides = sides;
	return 0;
}

struct sides *sides_free(struct sides *sides)
{
	if (!sides)
		return NULL;
	slots_free(sides->slots);
	free(sides);
	return NULL;
}

static uint32_t *bucket_of(struct sides *sides, const struct flow_side *side)
{
	return &sides->buckets[hash_bytes(sides->seed, side, sizeof(*side)) % N_BUCKETS];
}

static struct shared_side *find(const struct sides *sides, uint32_t number,
				const struct flow_side *side)
{
	struct shared_side *shared = slots_at(sides->slots, number);

	while (shared && memcmp(&shared->side, side, sizeof(*side)) != 0)
		shared = slots_at(sides->slots, shared->next);
	return shared;
}

static void put_identities(struct sides *sides, const struct flow_side *side)
{
	sides->put_fn(side->identity, sides->data);
	if (side->origin)
		sides->put_fn(side->origin, sides->data);
}

const struct flow_side *sides_get(struct sides *sides, const struct flow_side *side)
{
	uint32_t *bucket = bucket_of(sides, side);
	struct shared_side *shared = find(sides, *bucket, side);

	if (shared) { /* which has its identities already */
		put_identities(sides, side);
	} else {
		shared = slots_take(sides->slots);
		assert(shared); /* there is one for every user */
		*shared = (struct shared_side){ .side = *side, .next = *bucket };
		*bucket = slots_number(sides->slots, shared);
	}
	shared->n_users++;
	return &shared->side;
}

void sides_put(struct sides *sides, const struct flow_side *side)
{
	struct shared_side *shared = (struct shared_side *)side;
	uint32_t number, *link;

	if (side == &none || --shared->n_users > 0)
		return;
	number = slots_number(sides->slots, shared);
	for (link = bucket_of(sides, side); *link != number;)
		link = &((struct shared_side *)slots_at(sides->slots, *link))->next;
	*link = shared->next;
	put_identities(sides, side);
	slots_give_back(sides->slots, shared);
}

size_t sides_trim(struct sides *sides)
{
	return slots_trim(sides->slots);
}
