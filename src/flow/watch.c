/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "flow/watch.h"

static const uint64_t intervals_us[_WATCH_RATE_N] = {
	[WATCH_LOW] = WATCH_LOW_US,
	[WATCH_MEDIUM] = WATCH_MEDIUM_US,
	[WATCH_HIGH] = WATCH_HIGH_US,
};

static void append(struct watches *watches, struct watch *watch)
{
	struct watch_list *list = &watches->lists[watch->filter][watch->rate];

	watch->older = list->newest;
	watch->newer = NULL;
	if (list->newest)
		list->newest->newer = watch;
	else
		list->oldest = watch;
	list->newest = watch;
}

static void take_out(struct watches *watches, struct watch *watch)
{
	struct watch_list *list = &watches->lists[watch->filter][watch->rate];

	if (watch->older)
		watch->older->newer = watch->newer;
	else
		list->oldest = watch->newer;
	if (watch->newer)
		watch->newer->older = watch->older;
	else
		list->newest = watch->older;
}

static struct watch **place_of(struct flow *flow, unsigned int filter)
{
	struct watch **at = &flow->watches;

	while (*at && (*at)->filter != filter)
		at = &(*at)->next;
	return at;
}

static void give_back(struct watches *watches, struct watch **at)
{
	struct watch *watch = *at;

	*at = watch->next;
	take_out(watches, watch);
	watches->n--;
	free(watch);
}

static struct watch *make(struct watches *watches, struct flow *flow, unsigned int filter)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->flow = flow;
	watch->filter = (uint8_t)filter;
	watch->next = flow->watches;
	if (watch->next)
		watch->bytes = watch->next->bytes;
	flow->watches = watch;
	watches->n++;
	return watch;
}

int watch_set(struct watches *watches, struct flow *flow, unsigned int filter, enum watch_rate rate,
	      uint64_t now_us)
{
	struct watch **at = place_of(flow, filter), *watch = *at;

	if (watch && rate == watch->rate) /* who repeats it would never get any */
		return 0;
	if (rate == WATCH_NONE) {
		if (watch)
			give_back(watches, at);
		return 0;
	}
	if (watch)
		take_out(watches, watch);
	else
		watch = make(watches, flow, filter);
	if (!watch)
		return -ENOMEM;
	watch->rate = (uint8_t)rate;
	watch->due_us = now_us + intervals_us[rate];
	append(watches, watch);
	return 0;
}

uint16_t watch_filters(const struct flow *flow)
{
	const struct watch *watch = flow->watches;
	uint16_t filters = 0;

	for (; watch; watch = watch->next)
		filters |= (uint16_t)(1U << watch->filter);
	return filters;
}

struct flow_bytes watch_count(struct flow *flow, struct flow_bytes bytes)
{
	if (flow->watches) {
		bytes.in = MAX(bytes.in, flow->watches->bytes.in);
		bytes.out = MAX(bytes.out, flow->watches->bytes.out);
	}
	for (struct watch *watch = flow->watches; watch; watch = watch->next)
		watch->bytes = bytes;
	return bytes;
}

void watch_end(struct watches *watches, struct flow *flow)
{
	while (flow->watches)
		give_back(watches, &flow->watches);
}

void watch_lost(struct watches *watches, unsigned int filter)
{
	for (int rate = WATCH_EVENTS; rate < _WATCH_RATE_N; rate++) {
		const struct watch_list *list = &watches->lists[filter][rate];

		while (list->oldest)
			give_back(watches, place_of(list->oldest->flow, filter));
	}
}

struct watch *watch_due(const struct watches *watches, unsigned int filter, uint64_t now_us)
{
	struct watch *first = NULL;

	for (int rate = WATCH_LOW; rate < _WATCH_RATE_N; rate++) {
		struct watch *watch = watches->lists[filter][rate].oldest;

		if (watch && watch->due_us <= now_us && (!first || watch->due_us < first->due_us))
			first = watch;
	}
	return first;
}

void watch_again(struct watches *watches, struct watch *watch, uint64_t now_us)
{
	take_out(watches, watch);
	watch->due_us = now_us + intervals_us[watch->rate];
	append(watches, watch);
}

uint64_t watch_missed(const struct watch *watch, uint64_t now_us)
{
	uint64_t interval_us = intervals_us[watch->rate];

	return interval_us && now_us > watch->due_us ? (now_us - watch->due_us) / interval_us : 0;
}

void watch_postpone(struct watches *watches, uint64_t us)
{
	for (unsigned int filter = 0; watches->n && filter < FLOW_FILTERS_MAX; filter++)
		for (int rate = WATCH_LOW; rate < _WATCH_RATE_N; rate++) {
			struct watch *watch = watches->lists[filter][rate].oldest;

			for (; watch; watch = watch->newer)
				watch->due_us += us;
		}
}
