/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/history.h"

enum kind { ALLOWED, DENIED, _KIND_N };

struct ring {
	struct flow *flows;
	size_t first, n;
};

struct history {
	size_t n_max;
	flow_forget_fn forget_fn;
	void *data;
	struct ring rings[_KIND_N];
};

int history_new(size_t n_max, flow_forget_fn forget_fn, void *data, struct history **ret_history)
{
	struct history *history = calloc(1, sizeof(*history));

	if (!history)
		return -ENOMEM;
	history->n_max = n_max;
	history->forget_fn = forget_fn;
	history->data = data;
	for (size_t i = 0; i < _KIND_N; i++) {
		history->rings[i].flows = calloc(n_max, sizeof(struct flow));
		if (!history->rings[i].flows) {
			history_free(history);
			return -ENOMEM;
		}
	}
	*ret_history = history;
	return 0;
}

/* the @i-th oldest */
static struct flow *at(const struct history *history, const struct ring *ring, size_t i)
{
	return &ring->flows[(ring->first + i) % history->n_max];
}

static void forget_oldest(struct history *history, struct ring *ring)
{
	history->forget_fn(at(history, ring, 0), history->data);
	ring->first = (ring->first + 1) % history->n_max;
	ring->n--;
}

struct history *history_free(struct history *history)
{
	if (!history)
		return NULL;
	for (size_t i = 0; i < _KIND_N; i++) {
		while (history->rings[i].n)
			forget_oldest(history, &history->rings[i]);
		free(history->rings[i].flows);
	}
	free(history);
	return NULL;
}

void history_add(struct history *history, const struct flow *flow)
{
	struct ring *ring = &history->rings[sl_is_denial(flow->verdict) ? DENIED : ALLOWED];

	if (ring->n == history->n_max)
		forget_oldest(history, ring);
	*at(history, ring, ring->n++) = *flow;
}

const struct flow *history_find(const struct history *history, uint64_t id)
{
	for (size_t i = 0; i < _KIND_N; i++) {
		const struct ring *ring = &history->rings[i];

		for (size_t k = ring->n; k-- > 0;)
			if (at(history, ring, k)->id == id)
				return at(history, ring, k);
	}
	return NULL;
}

const struct flow *history_find_key(const struct history *history, const struct sl_flow_key *key)
{
	const struct flow *newest = NULL;

	for (size_t i = 0; i < _KIND_N; i++) {
		const struct ring *ring = &history->rings[i];
		size_t k = ring->n;

		while (k > 0 && memcmp(&at(history, ring, k - 1)->key, key, sizeof(*key)) != 0)
			k--;
		if (k > 0 && (!newest || at(history, ring, k - 1)->id > newest->id))
			newest = at(history, ring, k - 1);
	}
	return newest;
}

/* flows leave the table in another order than they were decided in */
const struct flow *history_newest(const struct history *history, bool is_denied)
{
	const struct flow *newest = NULL;

	for (size_t i = is_denied ? DENIED : ALLOWED; i < _KIND_N; i++) {
		const struct ring *ring = &history->rings[i];

		for (size_t k = 0; k < ring->n; k++) {
			const struct flow *flow = at(history, ring, k);

			if (!newest || flow->decided_us >= newest->decided_us)
				newest = flow;
		}
	}
	return newest;
}

size_t history_count(const struct history *history)
{
	return history->rings[ALLOWED].n + history->rings[DENIED].n;
}
