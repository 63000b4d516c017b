/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Three ways through the entries
 *
 * Entries are one array. Each used one is linked in the chain of its bucket
 * (application and address), in the list of all, and in the list of its user;
 * the two lists go from the entry used least recently to the most recent.
 * Users with entries are in a second array with buckets of their own. Links
 * are indexes; index 0 is nobody, so that zeroed memory is an empty cache.
 * Expired entries are dropped when a walk over their bucket meets them.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/names.h"

#define BUCKETS NAMES_ENTRIES_MAX /* a power of two; one entry each on average */
#define US_PER_S 1000000ULL

enum list_kind { LIST_ALL, LIST_USER, _LIST_N };

struct link {
	uint32_t older;
	uint32_t newer;
};

struct list {
	uint32_t oldest;
	uint32_t newest;
	uint32_t n;
};

struct entry {
	struct names_app app;
	uint8_t address[16];
	uint64_t expiry_us;
	uint64_t sequence; /* of the answer: the largest is the newest */
	uint32_t pid;
	uint32_t user; /* index into users */
	uint32_t next; /* in the bucket; or the next free one */
	struct link links[_LIST_N];
	char name[NAMES_TEXT_BYTES];
};

struct user {
	struct list entries;
	uint32_t uid;
	uint32_t next; /* in the bucket; or the next free one */
};

struct names_cache {
	uint64_t seed;
	uint64_t sequence;
	struct list all;
	uint32_t free_entry;
	uint32_t free_user;
	uint32_t buckets[BUCKETS];
	uint32_t user_buckets[BUCKETS];
	struct entry entries[NAMES_ENTRIES_MAX + 1];
	struct user users[NAMES_ENTRIES_MAX + 1]; /* each holds an entry at least */
};

int names_cache_new(uint64_t seed, struct names_cache **ret_cache)
{
	struct names_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->seed = seed;
	for (uint32_t i = 1; i < NAMES_ENTRIES_MAX; i++)
		cache->entries[i].next = cache->users[i].next = i + 1;
	cache->free_entry = cache->free_user = 1;
	*ret_cache = cache;
	return 0;
}

struct names_cache *names_cache_free(struct names_cache *cache)
{
	free(cache);
	return NULL;
}

size_t names_count(const struct names_cache *cache)
{
	return cache->all.n;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	/* the finisher of splitmix64 */
	hash ^= value;
	hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9ULL;
	hash = (hash ^ hash >> 27) * 0x94d049bb133111ebULL;
	return hash ^ hash >> 31;
}

static uint32_t *find_bucket(struct names_cache *cache, const struct names_app *app,
			     const uint8_t address[16])
{
	uint64_t halves[2], hash = cache->seed;

	memcpy(halves, address, sizeof(halves));
	hash = mix(hash, halves[0]);
	hash = mix(hash, halves[1]);
	hash = mix(hash, app->exe_ino);
	hash = mix(hash, app->cgroup_id);
	hash = mix(hash, (uint64_t)app->exe_dev << 32 | app->uid);
	return &cache->buckets[hash % BUCKETS];
}

static uint32_t *find_user_bucket(struct names_cache *cache, uint32_t uid)
{
	return &cache->user_buckets[mix(cache->seed, uid) % BUCKETS];
}

static void list_add(struct names_cache *cache, struct list *list, enum list_kind kind,
		     uint32_t index)
{
	cache->entries[index].links[kind] = (struct link){ .older = list->newest };
	if (list->newest)
		cache->entries[list->newest].links[kind].newer = index;
	else
		list->oldest = index;
	list->newest = index;
	list->n++;
}

static void list_remove(struct names_cache *cache, struct list *list, enum list_kind kind,
			uint32_t index)
{
	const struct link *link = &cache->entries[index].links[kind];

	if (link->older)
		cache->entries[link->older].links[kind].newer = link->newer;
	else
		list->oldest = link->newer;
	if (link->newer)
		cache->entries[link->newer].links[kind].older = link->older;
	else
		list->newest = link->older;
	list->n--;
}

static void touch(struct names_cache *cache, uint32_t index)
{
	struct list *mine = &cache->users[cache->entries[index].user].entries;

	list_remove(cache, &cache->all, LIST_ALL, index);
	list_add(cache, &cache->all, LIST_ALL, index);
	list_remove(cache, mine, LIST_USER, index);
	list_add(cache, mine, LIST_USER, index);
}

/* 0: this user has no entries */
static uint32_t find_user(struct names_cache *cache, uint32_t uid)
{
	uint32_t i = *find_user_bucket(cache, uid);

	while (i && cache->users[i].uid != uid)
		i = cache->users[i].next;
	return i;
}

/* there is a free one whenever an entry is free: each user in use has an entry */
static uint32_t take_user(struct names_cache *cache, uint32_t uid)
{
	uint32_t *bucket = find_user_bucket(cache, uid);
	uint32_t i = find_user(cache, uid);

	if (i)
		return i;
	i = cache->free_user;
	cache->free_user = cache->users[i].next;
	cache->users[i] = (struct user){ .uid = uid, .next = *bucket };
	*bucket = i;
	return i;
}

static void drop_user(struct names_cache *cache, uint32_t index)
{
	struct user *user = &cache->users[index];
	uint32_t *place = find_user_bucket(cache, user->uid);

	while (*place != index)
		place = &cache->users[*place].next;
	*place = user->next;
	user->next = cache->free_user;
	cache->free_user = index;
}

/* @place: the link of the bucket's chain that leads to the entry */
static void drop_entry(struct names_cache *cache, uint32_t *place)
{
	uint32_t index = *place;
	struct entry *entry = &cache->entries[index];
	struct user *user = &cache->users[entry->user];

	*place = entry->next;
	list_remove(cache, &cache->all, LIST_ALL, index);
	list_remove(cache, &user->entries, LIST_USER, index);
	if (user->entries.n == 0)
		drop_user(cache, entry->user);
	entry->next = cache->free_entry;
	cache->free_entry = index;
}

static void evict(struct names_cache *cache, uint32_t index)
{
	const struct entry *entry = &cache->entries[index];
	uint32_t *place = find_bucket(cache, &entry->app, entry->address);

	while (*place != index)
		place = &cache->entries[*place].next;
	drop_entry(cache, place);
}

/* an entry that is free, after the quota of its user and the cache's size were enforced */
static uint32_t take_entry(struct names_cache *cache, uint32_t uid)
{
	uint32_t user = find_user(cache, uid), index;

	if (user && cache->users[user].entries.n >= NAMES_PER_USER_MAX)
		evict(cache, cache->users[user].entries.oldest);
	else if (!cache->free_entry)
		evict(cache, cache->all.oldest);
	index = cache->free_entry;
	cache->free_entry = cache->entries[index].next;
	return index;
}

static bool is_of(const struct entry *entry, const struct names_app *app, const uint8_t address[16])
{
	return memcmp(entry->address, address, sizeof(entry->address)) == 0 &&
	       entry->app.exe_ino == app->exe_ino && entry->app.cgroup_id == app->cgroup_id &&
	       entry->app.exe_dev == app->exe_dev && entry->app.uid == app->uid;
}

/* drops what has expired in the bucket, and so bounds the walks that follow */
static uint32_t *sweep_bucket(struct names_cache *cache, const struct names_app *app,
			      const uint8_t address[16], uint64_t now_us)
{
	uint32_t *bucket = find_bucket(cache, app, address);
	uint32_t *place = bucket;

	while (*place) {
		if (cache->entries[*place].expiry_us <= now_us)
			drop_entry(cache, place);
		else
			place = &cache->entries[*place].next;
	}
	return bucket;
}

static uint32_t find_entry(const struct names_cache *cache, uint32_t first,
			   const struct names_app *app, uint32_t pid, const uint8_t address[16],
			   const char *name)
{
	uint32_t i = first;

	while (i && !(cache->entries[i].pid == pid && is_of(&cache->entries[i], app, address) &&
		      strcmp(cache->entries[i].name, name) == 0))
		i = cache->entries[i].next;
	return i;
}

/* at the limit of one address the oldest goes, if possible one of the same name */
static void make_room(struct names_cache *cache, uint32_t *place, const struct names_app *app,
		      const uint8_t address[16], const char *name)
{
	uint32_t *victim = NULL;
	bool is_same_name = false;
	size_t n = 0;

	for (; *place; place = &cache->entries[*place].next) {
		const struct entry *entry = &cache->entries[*place];
		bool is_same = strcmp(entry->name, name) == 0;

		if (!is_of(entry, app, address))
			continue;
		n++;
		if (victim && (is_same < is_same_name ||
			       (is_same == is_same_name &&
				entry->sequence > cache->entries[*victim].sequence)))
			continue;
		victim = place;
		is_same_name = is_same;
	}
	if (n >= NAMES_PER_ADDRESS_MAX)
		drop_entry(cache, victim);
}

static uint32_t new_entry(struct names_cache *cache, uint32_t *bucket, const struct names_app *app,
			  uint32_t pid, const uint8_t address[16], const char *name)
{
	uint32_t index = take_entry(cache, app->uid);
	struct entry *entry = &cache->entries[index];

	*entry = (struct entry){ .app = *app, .pid = pid, .next = *bucket };
	memcpy(entry->address, address, sizeof(entry->address));
	memcpy(entry->name, name, strlen(name));
	*bucket = index;
	entry->user = take_user(cache, app->uid);
	list_add(cache, &cache->all, LIST_ALL, index);
	list_add(cache, &cache->users[entry->user].entries, LIST_USER, index);
	return index;
}

void names_add(struct names_cache *cache, const struct names_app *app, uint32_t pid,
	       const uint8_t address[16], const char *name, uint32_t ttl_s, uint64_t now_us)
{
	uint64_t expiry_us = now_us + (MIN(ttl_s, NAMES_TTL_MAX_S) + NAMES_GRACE_S) * US_PER_S;
	size_t n = strnlen(name, NAMES_TEXT_BYTES);
	uint32_t *bucket, index;
	struct entry *entry;

	if (n == 0 || n == NAMES_TEXT_BYTES)
		return;
	bucket = sweep_bucket(cache, app, address, now_us);
	index = find_entry(cache, *bucket, app, pid, address, name);
	if (index) {
		touch(cache, index);
	} else {
		make_room(cache, bucket, app, address, name);
		index = new_entry(cache, bucket, app, pid, address, name);
	}
	entry = &cache->entries[index];
	entry->expiry_us = MAX(entry->expiry_us, expiry_us);
	entry->sequence = ++cache->sequence;
}

int names_find(struct names_cache *cache, const struct names_app *app, uint32_t pid,
	       const uint8_t address[16], uint64_t now_us, const char **ret_name)
{
	uint32_t i = *sweep_bucket(cache, app, address, now_us), best = 0;
	struct entry *entries = cache->entries;

	for (; i; i = entries[i].next) {
		bool is_own = entries[i].pid == pid;
		bool has_own = best && entries[best].pid == pid;

		if (!is_of(&entries[i], app, address) || (has_own && !is_own))
			continue;
		if (!best || is_own != has_own || entries[i].sequence > entries[best].sequence)
			best = i;
	}
	if (!best)
		return NAMES_E_NONE;
	touch(cache, best);
	*ret_name = entries[best].name;
	return 0;
}

static bool is_listed(const struct names_cache *cache, uint32_t first, uint32_t index)
{
	const struct entry *entry = &cache->entries[index];

	for (uint32_t i = first; i != index; i = cache->entries[i].next)
		if (is_of(&cache->entries[i], &entry->app, entry->address) &&
		    strcmp(cache->entries[i].name, entry->name) == 0)
			return true;
	return false;
}

size_t names_all(struct names_cache *cache, const struct names_app *app, const uint8_t address[16],
		 uint64_t now_us, const char **ret_names, size_t n_max)
{
	uint32_t first = *sweep_bucket(cache, app, address, now_us);
	size_t n = 0;

	for (uint32_t i = first; i; i = cache->entries[i].next) {
		if (!is_of(&cache->entries[i], app, address) || is_listed(cache, first, i))
			continue;
		if (n < n_max)
			ret_names[n] = cache->entries[i].name;
		n++;
	}
	return n;
}
