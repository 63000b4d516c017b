/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/fake-world.h"

static uint8_t *entry_at(const struct store *store, size_t i)
{
	return store->entries + i * (store->n_key + store->n_value);
}

static uint8_t *find_entry(const struct store *store, const void *key)
{
	for (size_t i = 0; i < store->n; i++)
		if (!memcmp(entry_at(store, i), key, store->n_key))
			return entry_at(store, i);
	return NULL;
}

/* ahead of need: a test of memory that runs out is about the daemon's, not about this */
static void make_room(struct store *store)
{
	if (store->entries && store->n < store->n_room)
		return;
	store->n_room = store->n_room ? 2 * store->n_room : FAKE_ENTRIES;
	store->entries = realloc(store->entries, store->n_room * (store->n_key + store->n_value));
	if (!store->entries)
		abort();
}

void fake_put(struct fake *fake, enum fake_map map, const void *key, const void *value)
{
	struct store *store = &fake->stores[map];
	uint8_t *entry = find_entry(store, key);

	if (!entry) {
		make_room(store);
		entry = entry_at(store, store->n++);
		memcpy(entry, key, store->n_key);
	}
	memcpy(entry + store->n_key, value, store->n_value);
}

const void *fake_get(const struct fake *fake, enum fake_map map, const void *key)
{
	const struct store *store = &fake->stores[map];
	const uint8_t *entry = find_entry(store, key);

	return entry ? entry + store->n_key : NULL;
}

void fake_delete(struct fake *fake, enum fake_map map, const void *key)
{
	struct store *store = &fake->stores[map];
	uint8_t *entry = find_entry(store, key);

	if (entry)
		memmove(entry, entry_at(store, --store->n), store->n_key + store->n_value);
}

size_t fake_n(const struct fake *fake, enum fake_map map)
{
	return fake->stores[map].n;
}

static int find(struct plane *plane, enum fake_op op, enum fake_map map, const void *key,
		void *ret_value)
{
	struct fake *fake = fake_of(plane);
	const void *value = fake_get(fake, map, key);
	int r = fake_enter(fake, op);

	if (r < 0)
		return r;
	if (!value)
		return -ENOENT;
	memcpy(ret_value, value, fake->stores[map].n_value);
	return 0;
}

int fake_find_held(struct plane *plane, const struct sl_tuple *tuple, struct sl_held *ret_held)
{
	return find(plane, FAKE_FIND_HELD, FAKE_HELD, tuple, ret_held);
}

int fake_forget_held(struct plane *plane, struct sl_tuple *tuples, uint32_t n, uint64_t before_ns,
		     uint32_t *ret_n)
{
	int r = fake_enter(fake_of(plane), FAKE_FORGET_HELD);

	for (uint32_t i = 0; r == 0 && i < n; i++) {
		const struct sl_held *held = fake_get(fake_of(plane), FAKE_HELD, &tuples[i]);

		if (held && held->since_ns >= before_ns)
			tuples[(*ret_n)++] = tuples[i];
		else
			fake_delete(fake_of(plane), FAKE_HELD, &tuples[i]);
	}
	return r;
}

int fake_find_proc(struct plane *plane, const struct sl_proc_key *key, struct sl_proc *ret_proc)
{
	return find(plane, FAKE_FIND_PROC, FAKE_PROCS, key, ret_proc);
}

int fake_find_cgroup(struct plane *plane, uint64_t id, struct sl_path *ret_path)
{
	return find(plane, FAKE_FIND_CGROUP, FAKE_CGROUPS, &id, ret_path);
}

int fake_find_query(struct plane *plane, const struct sl_tuple *tuple, uint64_t *ret_cookie)
{
	return find(plane, FAKE_FIND_QUERY, FAKE_QUERIES, tuple, ret_cookie);
}

int fake_find_sock(struct plane *plane, uint64_t cookie, struct sl_sock *ret_sock)
{
	return find(plane, FAKE_FIND_SOCK, FAKE_SOCKS, &cookie, ret_sock);
}

int fake_get_flow(struct plane *plane, const struct sl_flow_key *key, struct sl_flow *ret_flow)
{
	return find(plane, FAKE_GET_FLOW, FAKE_FLOWS, key, ret_flow);
}

int fake_read_link(struct plane *plane, struct netns *netns, uint32_t ifindex,
		   struct link *ret_link)
{
	return find(plane, FAKE_READ_LINK, FAKE_LINKS, &ifindex, ret_link);
}

int fake_set_flow(struct plane *plane, const struct sl_flow_key *key, const struct sl_flow *flow)
{
	int r = fake_enter(fake_of(plane), FAKE_SET_FLOW);

	if (r == 0)
		fake_put(fake_of(plane), FAKE_FLOWS, key, flow);
	return r;
}

int fake_forget_flow(struct plane *plane, const struct sl_flow_key *key)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_FORGET_FLOW);

	if (r < 0)
		return r;
	if (!fake_get(fake, FAKE_FLOWS, key))
		return -ENOENT;
	fake_delete(fake, FAKE_FLOWS, key);
	return 0;
}

int fake_next_flow(struct plane *plane, struct sl_flow_key *key, struct sl_flow *ret_flow)
{
	struct fake *fake = fake_of(plane);
	const struct store *store = &fake->stores[FAKE_FLOWS];
	const uint8_t *entry = find_entry(store, key);
	int r = fake_enter(fake, FAKE_NEXT_FLOW);

	if (r < 0)
		return r;
	entry = entry ? entry + store->n_key + store->n_value : store->entries;
	if (store->n == 0 || entry == entry_at(store, store->n))
		return -ENOENT;
	memcpy(key, entry, sizeof(*key));
	memcpy(ret_flow, entry + store->n_key, sizeof(*ret_flow));
	return 0;
}

int fake_set_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie)
{
	const struct sl_peek *known = fake_get(fake_of(plane), FAKE_PEEKS, tuple);
	const struct sl_peek fresh = { .cookie = cookie };
	int r = fake_enter(fake_of(plane), FAKE_SET_PEEK);

	if (r == 0 && (!known || known->cookie != cookie))
		fake_put(fake_of(plane), FAKE_PEEKS, tuple, &fresh);
	return r;
}

int fake_find_peek(struct plane *plane, const struct sl_tuple *tuple, struct sl_peek *ret_peek)
{
	return find(plane, FAKE_FIND_PEEK, FAKE_PEEKS, tuple, ret_peek);
}

int fake_forget_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie)
{
	const struct sl_peek *known = fake_get(fake_of(plane), FAKE_PEEKS, tuple);
	int r = fake_enter(fake_of(plane), FAKE_FORGET_PEEK);

	if (r == 0 && known && known->cookie == cookie)
		fake_delete(fake_of(plane), FAKE_PEEKS, tuple);
	return r;
}

int fake_set_memory(struct plane *plane, const struct sl_memory_key *key,
		    const struct sl_memory *memory)
{
	int r = fake_enter(fake_of(plane), FAKE_SET_MEMORY);

	if (r == 0)
		fake_put(fake_of(plane), FAKE_MEMORY, key, memory);
	return r;
}

int fake_get_memory(struct plane *plane, const struct sl_memory_key *key,
		    struct sl_memory *ret_memory)
{
	return find(plane, FAKE_GET_MEMORY, FAKE_MEMORY, key, ret_memory);
}

int fake_forget_memory(struct plane *plane, const struct sl_memory_key *key)
{
	int r = fake_enter(fake_of(plane), FAKE_FORGET_MEMORY);

	if (r < 0)
		return r;
	if (!fake_get(fake_of(plane), FAKE_MEMORY, key))
		return -ENOENT;
	fake_delete(fake_of(plane), FAKE_MEMORY, key);
	return 0;
}

int fake_renew(struct plane *plane, uint32_t generation)
{
	int r = fake_enter(fake_of(plane), FAKE_RENEW);

	if (r == 0)
		fake_of(plane)->generation = generation;
	return r;
}

int fake_get_generation(struct plane *plane, uint32_t *ret_generation)
{
	int r = fake_enter(fake_of(plane), FAKE_GENERATION);

	if (r == 0)
		*ret_generation = fake_of(plane)->generation;
	return r;
}

int fake_secret(struct plane *plane, uint64_t ret_secret[2])
{
	ret_secret[0] = ret_secret[1] = 1;
	return 0;
}

uint32_t fake_generation(const struct fake *fake)
{
	return fake->generation;
}

static const struct store kinds[] = {
	[FAKE_HELD] = { sizeof(struct sl_tuple), sizeof(struct sl_held) },
	[FAKE_PROCS] = { sizeof(struct sl_proc_key), sizeof(struct sl_proc) },
	[FAKE_CGROUPS] = { sizeof(uint64_t), sizeof(struct sl_path) },
	[FAKE_QUERIES] = { sizeof(struct sl_tuple), sizeof(uint64_t) },
	[FAKE_SOCKS] = { sizeof(uint64_t), sizeof(struct sl_sock) },
	[FAKE_FLOWS] = { sizeof(struct sl_flow_key), sizeof(struct sl_flow) },
	[FAKE_PEEKS] = { sizeof(struct sl_tuple), sizeof(struct sl_peek) },
	[FAKE_MEMORY] = { sizeof(struct sl_memory_key), sizeof(struct sl_memory) },
	[FAKE_LINKS] = { sizeof(uint32_t), sizeof(struct link) },
	[FAKE_SHOWN] = { sizeof(struct sl_tuple), sizeof(struct sl_packet) },
	[FAKE_ENDED] = { sizeof(struct sl_tuple), sizeof(struct plane_end) },
	[FAKE_COUNTS] = { sizeof(struct sl_tuple), sizeof(struct plane_count) },
};
_Static_assert(ARRAY_SIZE(kinds) == _FAKE_MAP_N, "kinds");

void fake_make_maps(struct fake *fake)
{
	memcpy(fake->stores, kinds, sizeof(kinds));
	for (size_t i = 0; i < _FAKE_MAP_N; i++)
		make_room(&fake->stores[i]);
}

void fake_free_maps(struct fake *fake)
{
	for (size_t i = 0; i < _FAKE_MAP_N; i++)
		free(fake->stores[i].entries);
}
