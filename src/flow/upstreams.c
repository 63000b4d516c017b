/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "flow/flow.h"
#include "flow/upstreams.h"

#define BUCKETS 4096U /* a power of two */

struct upstream {
	struct upstream *next;	/* in the bucket */
	struct upstream *newer; /* of the same proxy */
	uint64_t cookie, flow;
	unsigned int proxy;
};

struct upstreams {
	uint64_t seed;
	struct upstream *buckets[BUCKETS];
	struct {
		struct upstream *oldest, *newest;
		size_t n;
	} of[FLOW_FILTERS_MAX];
};

int upstreams_new(uint64_t seed, struct upstreams **ret_upstreams)
{
	struct upstreams *upstreams = calloc(1, sizeof(*upstreams));

	if (!upstreams)
		return -ENOMEM;
	upstreams->seed = seed;
	*ret_upstreams = upstreams;
	return 0;
}

struct upstreams *upstreams_free(struct upstreams *upstreams)
{
	for (unsigned int i = 0; upstreams && i < FLOW_FILTERS_MAX; i++)
		upstreams_forget(upstreams, i);
	free(upstreams);
	return NULL;
}

static size_t bucket_of(const struct upstreams *upstreams, uint64_t cookie)
{
	return hash_mix(upstreams->seed, cookie) % BUCKETS;
}

static struct upstream *find(const struct upstreams *upstreams, unsigned int proxy, uint64_t cookie)
{
	struct upstream *at = upstreams->buckets[bucket_of(upstreams, cookie)];

	while (at && (at->cookie != cookie || at->proxy != proxy))
		at = at->next;
	return at;
}

static void forget_oldest(struct upstreams *upstreams, unsigned int proxy)
{
	struct upstream *oldest = upstreams->of[proxy].oldest;
	struct upstream **at = &upstreams->buckets[bucket_of(upstreams, oldest->cookie)];

	while (*at != oldest)
		at = &(*at)->next;
	*at = oldest->next;
	upstreams->of[proxy].oldest = oldest->newer;
	if (!oldest->newer)
		upstreams->of[proxy].newest = NULL;
	upstreams->of[proxy].n--;
	free(oldest);
}

static int add(struct upstreams *upstreams, unsigned int proxy, uint64_t cookie, uint64_t flow)
{
	struct upstream *upstream = malloc(sizeof(*upstream)), **bucket;

	if (!upstream)
		return -ENOMEM;
	if (upstreams->of[proxy].n == UPSTREAMS_MAX)
		forget_oldest(upstreams, proxy);
	bucket = &upstreams->buckets[bucket_of(upstreams, cookie)];
	*upstream = (struct upstream){
		.next = *bucket, .cookie = cookie, .flow = flow, .proxy = proxy
	};
	*bucket = upstream;
	if (upstreams->of[proxy].newest)
		upstreams->of[proxy].newest->newer = upstream;
	else
		upstreams->of[proxy].oldest = upstream;
	upstreams->of[proxy].newest = upstream;
	upstreams->of[proxy].n++;
	return 0;
}

int upstreams_put(struct upstreams *upstreams, unsigned int proxy, uint64_t cookie, uint64_t flow)
{
	struct upstream *known = find(upstreams, proxy, cookie);

	if (!known)
		return add(upstreams, proxy, cookie, flow);
	known->flow = flow;
	return 0;
}

uint64_t upstreams_find(const struct upstreams *upstreams, unsigned int proxy, uint64_t cookie)
{
	const struct upstream *known = find(upstreams, proxy, cookie);

	return known ? known->flow : 0;
}

void upstreams_forget(struct upstreams *upstreams, unsigned int proxy)
{
	while (upstreams->of[proxy].oldest)
		forget_oldest(upstreams, proxy);
}
