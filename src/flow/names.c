/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Entries
 *
 * An entry lies at its place (flow/shares.h); the hash is that of application
 * and address, so one walk meets every name of an address. Expired entries are
 * dropped when a walk meets them.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/names.h"
#include "flow/shares.h"

#define US_PER_S 1000000ULL

struct entry {
	struct sl_app app;
	uint8_t address[16];
	uint64_t expiry_us;
	uint64_t sequence; /* of the answer: the largest is the newest */
	uint32_t pid;
	char name[NAMES_TEXT_BYTES];
};

struct names_cache {
	names_changed_fn changed_fn;
	void *data;
	uint64_t sequence;
	struct shares *shares;
	struct entry entries[NAMES_ENTRIES_MAX + 1]; /* by place */
};

int names_cache_new(uint64_t seed, names_changed_fn changed_fn, void *data,
		    struct names_cache **ret_cache)
{
	_cleanup_free_ struct names_cache *cache = calloc(1, sizeof(*cache));
	int r;

	if (!cache)
		return -ENOMEM;
	cache->changed_fn = changed_fn;
	cache->data = data;
	r = shares_new(NAMES_ENTRIES_MAX, seed, &cache->shares);
	if (r < 0)
		return r;
	*ret_cache = TAKE_PTR(cache);
	return 0;
}

struct names_cache *names_cache_free(struct names_cache *cache)
{
	if (cache)
		shares_free(cache->shares);
	free(cache);
	return NULL;
}

size_t names_count(const struct names_cache *cache)
{
	return shares_count(cache->shares);
}

static uint64_t hash_of(const struct names_cache *cache, const struct sl_app *app,
			const uint8_t address[16])
{
	struct {
		struct sl_app app;
		uint8_t address[16];
	} key = { .app = *app };

	memcpy(key.address, address, sizeof(key.address));
	return shares_hash(cache->shares, &key, sizeof(key));
}

static bool is_of(const struct entry *entry, const struct sl_app *app, const uint8_t address[16])
{
	return memcmp(entry->address, address, sizeof(entry->address)) == 0 &&
	       memcmp(&entry->app, app, sizeof(*app)) == 0;
}

static bool is_named(const struct names_cache *cache, uint64_t hash, const struct entry *wanted)
{
	for (uint32_t i = shares_first(cache->shares, hash); i; i = shares_next(cache->shares, i))
		if (is_of(&cache->entries[i], &wanted->app, wanted->address) &&
		    strcmp(cache->entries[i].name, wanted->name) == 0)
			return true;
	return false;
}

static void tell_changed(struct names_cache *cache, const struct entry *entry)
{
	if (cache->changed_fn)
		cache->changed_fn(&entry->app, entry->address, cache->data);
}

/* names_addresses() looks at free places too */
static void give_back(struct names_cache *cache, uint32_t place)
{
	shares_give_back(cache->shares, place);
	cache->entries[place].expiry_us = 0;
}

/* before its time: whoever remembers something by this name must know */
static void evict(struct names_cache *cache, uint32_t place)
{
	struct entry entry = cache->entries[place];

	give_back(cache, place);
	if (!is_named(cache, hash_of(cache, &entry.app, entry.address), &entry))
		tell_changed(cache, &entry);
}

/* drops what has expired in the bucket, and so bounds the walks that follow */
static uint32_t sweep(struct names_cache *cache, uint64_t hash, uint64_t now_us)
{
	uint32_t i = shares_first(cache->shares, hash), next;

	for (; i; i = next) {
		next = shares_next(cache->shares, i);
		if (cache->entries[i].expiry_us <= now_us)
			give_back(cache, i);
	}
	return shares_first(cache->shares, hash);
}

/* at the limit of one address the oldest goes, if possible one of the same name */
static void make_room(struct names_cache *cache, uint64_t hash, const struct entry *fresh)
{
	uint32_t victim = 0;
	bool is_same_name = false;
	size_t n = 0;

	for (uint32_t i = shares_first(cache->shares, hash); i; i = shares_next(cache->shares, i)) {
		const struct entry *entry = &cache->entries[i];
		bool is_same = strcmp(entry->name, fresh->name) == 0;

		if (!is_of(entry, &fresh->app, fresh->address))
			continue;
		n++;
		if (victim &&
		    (is_same < is_same_name || (is_same == is_same_name &&
						entry->sequence > cache->entries[victim].sequence)))
			continue;
		victim = i;
		is_same_name = is_same;
	}
	if (n >= NAMES_PER_ADDRESS_MAX)
		evict(cache, victim);
}

static uint32_t add_entry(struct names_cache *cache, uint64_t hash, const struct entry *fresh)
{
	bool is_known = is_named(cache, hash, fresh);
	uint32_t place;

	make_room(cache, hash, fresh);
	while ((place = shares_victim(cache->shares, fresh->app.uid)))
		evict(cache, place);
	place = shares_take(cache->shares, fresh->app.uid, hash);
	cache->entries[place] = *fresh;
	if (!is_known)
		tell_changed(cache, fresh);
	return place;
}

static uint32_t find_entry(const struct names_cache *cache, uint64_t hash,
			   const struct entry *wanted)
{
	uint32_t i = shares_first(cache->shares, hash);

	while (i && !(cache->entries[i].pid == wanted->pid &&
		      is_of(&cache->entries[i], &wanted->app, wanted->address) &&
		      strcmp(cache->entries[i].name, wanted->name) == 0))
		i = shares_next(cache->shares, i);
	return i;
}

void names_add(struct names_cache *cache, const struct sl_app *app, uint32_t pid,
	       const uint8_t address[16], const char *name, uint32_t ttl_s, uint64_t now_us)
{
	uint64_t expiry_us = now_us + (MIN(ttl_s, NAMES_TTL_MAX_S) + NAMES_GRACE_S) * US_PER_S;
	struct entry fresh = { .app = *app, .pid = pid };
	size_t n = strnlen(name, NAMES_TEXT_BYTES);
	struct entry *entry;
	uint64_t hash;
	uint32_t place;

	if (n == 0 || n == NAMES_TEXT_BYTES)
		return;
	memcpy(fresh.address, address, sizeof(fresh.address));
	memcpy(fresh.name, name, n);
	hash = hash_of(cache, app, address);
	(void)sweep(cache, hash, now_us);
	place = find_entry(cache, hash, &fresh);
	if (place)
		shares_touch(cache->shares, place);
	else
		place = add_entry(cache, hash, &fresh);
	entry = &cache->entries[place];
	entry->expiry_us = MAX(entry->expiry_us, expiry_us);
	entry->sequence = ++cache->sequence;
}

void names_forget(struct names_cache *cache, const struct sl_app *app)
{
	for (uint32_t i = 1; names_count(cache) && i <= NAMES_ENTRIES_MAX; i++)
		if (cache->entries[i].expiry_us &&
		    memcmp(&cache->entries[i].app, app, sizeof(*app)) == 0)
			evict(cache, i);
}

int names_find(struct names_cache *cache, const struct sl_app *app, uint32_t pid,
	       const uint8_t address[16], uint64_t now_us, const char **ret_name)
{
	uint32_t i = sweep(cache, hash_of(cache, app, address), now_us), best = 0;
	struct entry *entries = cache->entries;

	for (; i; i = shares_next(cache->shares, i)) {
		bool is_own = entries[i].pid == pid;
		bool has_own = best && entries[best].pid == pid;

		if (!is_of(&entries[i], app, address) || (has_own && !is_own))
			continue;
		if (!best || is_own != has_own || entries[i].sequence > entries[best].sequence)
			best = i;
	}
	if (!best)
		return NAMES_E_NONE;
	shares_touch(cache->shares, best);
	*ret_name = entries[best].name;
	return 0;
}

/* the same name, asked for by several processes, is one */
static void add_name(const struct entry *entry, struct names_name *names, size_t n_max, size_t *n)
{
	for (size_t i = 0; i < MIN(*n, n_max); i++)
		if (strcmp(names[i].name, entry->name) == 0) {
			names[i].expiry_us = MAX(names[i].expiry_us, entry->expiry_us);
			return;
		}
	if (*n < n_max)
		names[*n] = (struct names_name){ entry->name, entry->expiry_us };
	(*n)++;
}

size_t names_all(struct names_cache *cache, const struct sl_app *app, const uint8_t address[16],
		 uint64_t now_us, struct names_name *ret_names, size_t n_max)
{
	uint32_t i = sweep(cache, hash_of(cache, app, address), now_us);
	size_t n = 0;

	for (; i; i = shares_next(cache->shares, i))
		if (is_of(&cache->entries[i], app, address))
			add_name(&cache->entries[i], ret_names, n_max, &n);
	return n;
}

static bool has_address(const uint8_t (*addresses)[16], size_t n, const uint8_t address[16])
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(addresses[i], address, sizeof(addresses[i])) == 0)
			return true;
	return false;
}

/* of the entries older than @before the newest */
static uint32_t next_newest(const struct names_cache *cache, const struct entry *wanted,
			    uint64_t before, uint64_t now_us)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i <= NAMES_ENTRIES_MAX; i++) {
		const struct entry *entry = &cache->entries[i];

		if (entry->expiry_us > now_us && entry->sequence < before &&
		    memcmp(&entry->app, &wanted->app, sizeof(entry->app)) == 0 &&
		    strcmp(entry->name, wanted->name) == 0 &&
		    (!best || entry->sequence > cache->entries[best].sequence))
			best = i;
	}
	return best;
}

size_t names_addresses(const struct names_cache *cache, const struct sl_app *app, const char *name,
		       uint64_t now_us, uint8_t (*ret_addresses)[16], size_t n_max)
{
	struct entry wanted = { .app = *app };
	uint64_t before = UINT64_MAX;
	uint32_t place;
	size_t n = 0;

	if (strlen(name) >= sizeof(wanted.name))
		return 0;
	memcpy(wanted.name, name, strlen(name));
	while (n < n_max && (place = next_newest(cache, &wanted, before, now_us))) {
		const struct entry *entry = &cache->entries[place];

		before = entry->sequence;
		if (!has_address((const uint8_t(*)[16])ret_addresses, n, entry->address))
			memcpy(ret_addresses[n++], entry->address, sizeof(entry->address));
	}
	return n;
}
