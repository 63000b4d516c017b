/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Who wants reports of which flow, and when the next one is due
 *
 * One entry for each flow and filter that asked. The interval of a rate is the same for all
 * flows, so that a list in the order of asking is one in the order of time: what is due
 * stands first, stays there until it is reported on, and goes behind the last one then. So
 * thousands of flows that begin together are drawn apart by the first round that cannot report
 * on all of them, and stay apart; and who does not read costs nothing. Nobody asks: nothing is
 * here.
 *
 * Pure: no descriptor, no clock.
 */

#include "flow/flow.h"

/* as Apple's rates, so that what was written for them finds the same here. Half a second is 25
 * ticks of the daemon; people who watch counts do not read faster */
#define WATCH_LOW_US 5000000U
#define WATCH_MEDIUM_US 1000000U
#define WATCH_HIGH_US 500000U

/** enum watch_rate - values of FLOW_WATCH */
enum watch_rate {
	WATCH_NONE,
	WATCH_EVENTS, /* what is decided, and the end; the others: also statistics */
	WATCH_LOW,
	WATCH_MEDIUM,
	WATCH_HIGH,
	_WATCH_RATE_N,
};

struct watch {
	struct flow *flow;
	struct watch *next;	     /* another filter's, of this flow */
	struct watch *older, *newer; /* of this filter and rate */
	uint64_t due_us;
	struct flow_bytes bytes; /* the flow's, when they were last looked up: every watch of it */
	uint8_t filter, rate;
};

struct watch_list {
	struct watch *oldest, *newest;
};

/** struct watches - of all filters; zero: none */
struct watches {
	struct watch_list lists[FLOW_FILTERS_MAX][_WATCH_RATE_N];
	size_t n;
};

/** watch_set() - @filter wants reports of @flow at this rate from now on. Return: 0 or -ENOMEM */
int watch_set(struct watches *watches, struct flow *flow, unsigned int filter, enum watch_rate rate,
	      uint64_t now_us);
/** watch_filters() - who wants any of this flow, a bit each */
uint16_t watch_filters(const struct flow *flow);
/** watch_count() - a flow has carried so much at least. Return: the most that anybody said */
struct flow_bytes watch_count(struct flow *flow, struct flow_bytes bytes);
/** watch_bytes() - what was said last of a flow that somebody watches; zeroes of another one */
static inline struct flow_bytes watch_bytes(const struct flow *flow)
{
	return flow->watches ? flow->watches->bytes : (struct flow_bytes){ 0 };
}
/** watch_end() - nobody gets any more of this flow */
void watch_end(struct watches *watches, struct flow *flow);
/** watch_lost() - this filter is gone */
void watch_lost(struct watches *watches, unsigned int filter);
/** watch_due() - whose statistics are due to @filter first; NULL: nobody's now */
struct watch *watch_due(const struct watches *watches, unsigned int filter, uint64_t now_us);
/** watch_missed() - how often they were due since, and nobody took them */
uint64_t watch_missed(const struct watch *watch, uint64_t now_us);
/** watch_again() - they were told: after a whole interval again */
void watch_again(struct watches *watches, struct watch *watch, uint64_t now_us);
/** watch_postpone() - nobody ran for so long */
void watch_postpone(struct watches *watches, uint64_t us);
