/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "flow/turns.h"
#include "flow/users.h"

struct flow_user_list {
	struct flow *oldest, *newest;
	size_t n;
};

struct flow_user {
	struct flow_user *next; /* in the bucket; or the next free one */
	uint32_t uid;
	struct flow_user_list lists[FLOW_OPEN + 1];
	struct flow_turn turns[FLOW_FILTERS_MAX];
	size_t n_charged, n_queued;
};

struct flow_users {
	uint64_t seed;
	struct flow_user *slots, **by_uid, *free;
	size_t n_buckets, n_fresh; /* slots from n_fresh on were never used */
};

struct flow_users *flow_users_new(size_t n_max, uint64_t seed)
{
	struct flow_users *users = calloc(1, sizeof(*users));

	if (!users)
		return NULL;
	users->seed = seed;
	users->n_buckets = 1;
	while (users->n_buckets < n_max)
		users->n_buckets *= 2;
	users->slots = calloc(n_max, sizeof(*users->slots));
	users->by_uid = calloc(users->n_buckets, sizeof(*users->by_uid));
	if (!users->slots || !users->by_uid)
		return flow_users_free(users);
	return users;
}

struct flow_users *flow_users_free(struct flow_users *users)
{
	if (!users)
		return NULL;
	free(users->slots);
	free(users->by_uid);
	free(users);
	return NULL;
}

static struct flow_user **uid_bucket(struct flow_users *users, uint32_t uid)
{
	return &users->by_uid[hash_mix(users->seed, uid) & (users->n_buckets - 1)];
}

static struct flow_user *find_user(struct flow_users *users, uint32_t uid)
{
	struct flow_user *user = *uid_bucket(users, uid);

	while (user && user->uid != uid)
		user = user->next;
	return user;
}

static struct flow_user *add_user(struct flow_users *users, uint32_t uid)
{
	struct flow_user *user = users->free, **bucket = uid_bucket(users, uid);

	if (user)
		users->free = user->next;
	else
		user = &users->slots[users->n_fresh++];
	*user = (struct flow_user){ .uid = uid, .next = *bucket };
	*bucket = user;
	return user;
}

static void remove_user(struct flow_users *users, struct flow_user *user)
{
	struct flow_user **at = uid_bucket(users, user->uid);

	while (*at != user)
		at = &(*at)->next;
	*at = user->next;
	user->next = users->free;
	users->free = user;
}

static void list_add(struct flow *flow)
{
	struct flow_user_list *list = &flow->user->lists[flow->state];
	struct flow *older = list->newest;

	flow->user_older = flow_far(flow, older);
	flow->user_newer = 0;
	if (older)
		older->user_newer = flow_far(older, flow);
	else
		list->oldest = flow;
	list->newest = flow;
	list->n++;
}

static void list_remove(struct flow *flow)
{
	struct flow_user_list *list = &flow->user->lists[flow->state];
	struct flow *older = flow_near(flow, flow->user_older);
	struct flow *newer = flow_near(flow, flow->user_newer);

	if (older)
		older->user_newer = flow_far(older, newer);
	else
		list->oldest = newer;
	if (newer)
		newer->user_older = flow_far(newer, older);
	else
		list->newest = older;
	list->n--;
}

void flow_users_own(struct flow_users *users, struct flow *flow, uint32_t uid)
{
	struct flow_user *user = find_user(users, uid);

	flow->user = user ? user : add_user(users, uid);
	list_add(flow);
}

void flow_users_disown(struct flow_users *users, struct flow *flow)
{
	struct flow_user *user = flow->user;

	if (!user)
		return;
	list_remove(flow);
	flow->user = NULL;
	if (user->lists[FLOW_HELD].n + user->lists[FLOW_OPEN].n == 0)
		remove_user(users, user);
}

void flow_users_change(struct flow *flow, enum flow_state state)
{
	if (flow->user)
		list_remove(flow);
	flow->state = (uint8_t)state;
	if (flow->user)
		list_add(flow);
}

struct flow_turn *flow_users_turn(const struct flow *flow)
{
	assert(flow->user);

	return &flow->user->turns[flow->asked];
}

size_t flow_users_n_held(struct flow_users *users, uint32_t uid)
{
	const struct flow_user *user = find_user(users, uid);

	return user ? user->lists[FLOW_HELD].n : 0;
}

void flow_charge(struct flow *flow, ssize_t n_bytes, ssize_t n_packets)
{
	if (!flow->user)
		return;
	flow->user->n_charged += (size_t)n_bytes;
	flow->user->n_queued += (size_t)n_packets;
}

size_t flow_charged(const struct flow *flow)
{
	return flow->user ? flow->user->n_charged : 0;
}

size_t flow_queued(const struct flow *flow)
{
	return flow->user ? flow->user->n_queued : 0;
}

struct flow *flow_users_oldest_open(struct flow_users *users, uint32_t uid, size_t *ret_n)
{
	const struct flow_user *user = find_user(users, uid);

	*ret_n = user ? user->lists[FLOW_OPEN].n : 0;
	return user ? user->lists[FLOW_OPEN].oldest : NULL;
}
