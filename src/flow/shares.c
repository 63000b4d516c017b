/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Three ways through the places
 *
 * Each place in use is linked in the chain of its hash's bucket, in the list
 * of all, and in the list of its user; the lists go from the place used least
 * recently to the most recent. Users with places are in a second array with
 * buckets of their own. Links are indexes; index 0 is nobody, so that zeroed
 * memory is empty.
 */

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/macros.h"
#include "flow/shares.h"

enum list_kind { LIST_ALL, LIST_USER, _LIST_N };

struct link {
	uint32_t older, newer;
};

struct list {
	uint32_t oldest, newest, n;
};

struct place {
	uint64_t hash;
	uint32_t user; /* index into users */
	uint32_t next; /* in the bucket; or the next free one */
	struct link links[_LIST_N];
};

struct user {
	struct list places;
	uint32_t uid;
	uint32_t next; /* in the bucket; or the next free one */
};

struct shares {
	uint64_t seed;
	uint32_t n_max;
	struct list all;
	uint32_t free_place, free_user;
	uint32_t n_places, n_users; /* used so far: the memory behind them was never touched */
	uint32_t *buckets, *user_buckets;
	struct place *places;
	struct user *users; /* as many as places: each holds one at least */
};

static void shares_freep(struct shares **shares)
{
	(void)shares_free(*shares);
}

int shares_new(uint32_t n_max, uint64_t seed, struct shares **ret_shares)
{
	_cleanup_(shares_freep) struct shares *shares = calloc(1, sizeof(*shares));

	if (!shares)
		return -ENOMEM;
	shares->seed = seed;
	shares->n_max = n_max;
	shares->buckets = calloc(n_max, sizeof(*shares->buckets));
	shares->user_buckets = calloc(n_max, sizeof(*shares->user_buckets));
	shares->places = calloc(n_max + 1, sizeof(*shares->places));
	shares->users = calloc(n_max + 1, sizeof(*shares->users));
	if (!shares->buckets || !shares->user_buckets || !shares->places || !shares->users)
		return -ENOMEM;
	*ret_shares = TAKE_PTR(shares);
	return 0;
}

struct shares *shares_free(struct shares *shares)
{
	if (!shares)
		return NULL;
	free(shares->buckets);
	free(shares->user_buckets);
	free(shares->places);
	free(shares->users);
	free(shares);
	return NULL;
}

uint64_t shares_hash(const struct shares *shares, const void *bytes, size_t n_bytes)
{
	return hash_bytes(shares->seed, bytes, n_bytes);
}

static uint32_t *bucket_of(const struct shares *shares, uint64_t hash)
{
	return &shares->buckets[hash & (shares->n_max - 1)];
}

static uint32_t *user_bucket_of(const struct shares *shares, uint32_t uid)
{
	return &shares->user_buckets[hash_mix(shares->seed, uid) & (shares->n_max - 1)];
}

uint32_t shares_first(const struct shares *shares, uint64_t hash)
{
	return *bucket_of(shares, hash);
}

uint32_t shares_next(const struct shares *shares, uint32_t place)
{
	return shares->places[place].next;
}

static void list_add(struct shares *shares, struct list *list, enum list_kind kind, uint32_t place)
{
	shares->places[place].links[kind] = (struct link){ .older = list->newest };
	if (list->newest)
		shares->places[list->newest].links[kind].newer = place;
	else
		list->oldest = place;
	list->newest = place;
	list->n++;
}

static void list_remove(struct shares *shares, struct list *list, enum list_kind kind,
			uint32_t place)
{
	const struct link *link = &shares->places[place].links[kind];

	if (link->older)
		shares->places[link->older].links[kind].newer = link->newer;
	else
		list->oldest = link->newer;
	if (link->newer)
		shares->places[link->newer].links[kind].older = link->older;
	else
		list->newest = link->older;
	list->n--;
}

static struct list *list_of_user(struct shares *shares, uint32_t place)
{
	return &shares->users[shares->places[place].user].places;
}

void shares_touch(struct shares *shares, uint32_t place)
{
	struct list *mine = list_of_user(shares, place);

	list_remove(shares, &shares->all, LIST_ALL, place);
	list_add(shares, &shares->all, LIST_ALL, place);
	list_remove(shares, mine, LIST_USER, place);
	list_add(shares, mine, LIST_USER, place);
}

/* 0: this user has no places */
static uint32_t find_user(const struct shares *shares, uint32_t uid)
{
	uint32_t i = *user_bucket_of(shares, uid);

	while (i && shares->users[i].uid != uid)
		i = shares->users[i].next;
	return i;
}

/* there is a free one whenever a place is free: each user in use has a place */
static uint32_t take_user(struct shares *shares, uint32_t uid)
{
	uint32_t *bucket = user_bucket_of(shares, uid);
	uint32_t i = find_user(shares, uid);

	if (i)
		return i;
	i = shares->free_user;
	if (i)
		shares->free_user = shares->users[i].next;
	else
		i = ++shares->n_users;
	shares->users[i] = (struct user){ .uid = uid, .next = *bucket };
	*bucket = i;
	return i;
}

static void give_back_user(struct shares *shares, uint32_t index)
{
	struct user *user = &shares->users[index];
	uint32_t *link = user_bucket_of(shares, user->uid);

	while (*link != index)
		link = &shares->users[*link].next;
	*link = user->next;
	user->next = shares->free_user;
	shares->free_user = index;
}

uint32_t shares_victim(const struct shares *shares, uint32_t uid)
{
	uint32_t user = find_user(shares, uid);

	if (user && shares->users[user].places.n >= shares->n_max / 2)
		return shares->users[user].places.oldest;
	return shares->all.n < shares->n_max ? 0 : shares->all.oldest;
}

uint32_t shares_take(struct shares *shares, uint32_t uid, uint64_t hash)
{
	uint32_t *bucket = bucket_of(shares, hash);
	uint32_t i = shares->free_place;

	if (i)
		shares->free_place = shares->places[i].next;
	else
		i = ++shares->n_places;
	shares->places[i] =
		(struct place){ .hash = hash, .next = *bucket, .user = take_user(shares, uid) };
	*bucket = i;
	list_add(shares, &shares->all, LIST_ALL, i);
	list_add(shares, list_of_user(shares, i), LIST_USER, i);
	return i;
}

void shares_give_back(struct shares *shares, uint32_t index)
{
	struct place *place = &shares->places[index];
	struct list *mine = list_of_user(shares, index);
	uint32_t *link = bucket_of(shares, place->hash);

	while (*link != index)
		link = &shares->places[*link].next;
	*link = place->next;
	list_remove(shares, &shares->all, LIST_ALL, index);
	list_remove(shares, mine, LIST_USER, index);
	if (mine->n == 0)
		give_back_user(shares, place->user);
	place->next = shares->free_place;
	shares->free_place = index;
}

uint32_t shares_count(const struct shares *shares)
{
	return shares->all.n;
}

uint32_t shares_count_of(const struct shares *shares, uint32_t uid)
{
	uint32_t user = find_user(shares, uid);

	return user ? shares->users[user].places.n : 0;
}
