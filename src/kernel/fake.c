/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "kernel/fake-world.h"

/* ---- scripted failures ---- */

int fake_enter(struct fake *fake, enum fake_op op)
{
	struct script *script = &fake->script;

	fake->n_calls[op]++;
	fake->n_calls[FAKE_ANY]++;
	if ((script->op != op && script->op != FAKE_ANY) || script->n_left == 0)
		return 0;
	if (!script->is_always && --script->n_left)
		return 0;
	script->has_failed = true;
	return -script->error;
}

void fake_fail(struct fake *fake, enum fake_op op, unsigned int nth, int error)
{
	fake->script = (struct script){ .op = op, .n_left = nth, .error = error };
}

void fake_fail_always(struct fake *fake, enum fake_op op, int error)
{
	fake->script = (struct script){ .op = op, .n_left = 1, .error = error, .is_always = true };
}

bool fake_has_failed(const struct fake *fake)
{
	return fake->script.has_failed;
}

unsigned int fake_n_calls(const struct fake *fake, enum fake_op op)
{
	return fake->n_calls[op];
}

/* ---- maps ---- */

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

static int fake_find_held(struct plane *plane, const struct sl_tuple *tuple,
			  struct sl_held *ret_held)
{
	return find(plane, FAKE_FIND_HELD, FAKE_HELD, tuple, ret_held);
}

static int fake_forget_held(struct plane *plane, const struct sl_tuple *tuple)
{
	int r = fake_enter(fake_of(plane), FAKE_FORGET_HELD);

	if (r == 0)
		fake_delete(fake_of(plane), FAKE_HELD, tuple);
	return r;
}

static int fake_find_proc(struct plane *plane, const struct sl_proc_key *key,
			  struct sl_proc *ret_proc)
{
	return find(plane, FAKE_FIND_PROC, FAKE_PROCS, key, ret_proc);
}

static int fake_find_cgroup(struct plane *plane, uint64_t id, struct sl_path *ret_path)
{
	return find(plane, FAKE_FIND_CGROUP, FAKE_CGROUPS, &id, ret_path);
}

static int fake_find_query(struct plane *plane, const struct sl_tuple *tuple, uint64_t *ret_cookie)
{
	return find(plane, FAKE_FIND_QUERY, FAKE_QUERIES, tuple, ret_cookie);
}

static int fake_find_sock(struct plane *plane, uint64_t cookie, struct sl_sock *ret_sock)
{
	return find(plane, FAKE_FIND_SOCK, FAKE_SOCKS, &cookie, ret_sock);
}

static int fake_get_flow(struct plane *plane, const struct sl_flow_key *key,
			 struct sl_flow *ret_flow)
{
	return find(plane, FAKE_GET_FLOW, FAKE_FLOWS, key, ret_flow);
}

static int fake_read_link(struct plane *plane, struct netns *netns, uint32_t ifindex,
			  struct link *ret_link)
{
	return find(plane, FAKE_READ_LINK, FAKE_LINKS, &ifindex, ret_link);
}

static int fake_set_flow(struct plane *plane, const struct sl_flow_key *key,
			 const struct sl_flow *flow)
{
	int r = fake_enter(fake_of(plane), FAKE_SET_FLOW);

	if (r == 0)
		fake_put(fake_of(plane), FAKE_FLOWS, key, flow);
	return r;
}

static int fake_forget_flow(struct plane *plane, const struct sl_flow_key *key)
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

static int fake_next_flow(struct plane *plane, struct sl_flow_key *key, struct sl_flow *ret_flow)
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

/* ---- memory ---- */

static int fake_set_memory(struct plane *plane, const struct sl_memory_key *key,
			   const struct sl_memory *memory)
{
	int r = fake_enter(fake_of(plane), FAKE_SET_MEMORY);

	if (r == 0)
		fake_put(fake_of(plane), FAKE_MEMORY, key, memory);
	return r;
}

static int fake_get_memory(struct plane *plane, const struct sl_memory_key *key,
			   struct sl_memory *ret_memory)
{
	return find(plane, FAKE_GET_MEMORY, FAKE_MEMORY, key, ret_memory);
}

static int fake_forget_memory(struct plane *plane, const struct sl_memory_key *key)
{
	int r = fake_enter(fake_of(plane), FAKE_FORGET_MEMORY);

	if (r < 0)
		return r;
	if (!fake_get(fake_of(plane), FAKE_MEMORY, key))
		return -ENOENT;
	fake_delete(fake_of(plane), FAKE_MEMORY, key);
	return 0;
}

static int fake_renew(struct plane *plane, uint32_t generation)
{
	int r = fake_enter(fake_of(plane), FAKE_RENEW);

	if (r == 0)
		fake_of(plane)->generation = generation;
	return r;
}

static int fake_get_generation(struct plane *plane, uint32_t *ret_generation)
{
	int r = fake_enter(fake_of(plane), FAKE_GENERATION);

	if (r == 0)
		*ret_generation = fake_of(plane)->generation;
	return r;
}

static int fake_secret(struct plane *plane, uint64_t ret_secret[2])
{
	ret_secret[0] = ret_secret[1] = 1;
	return 0;
}

uint32_t fake_generation(const struct fake *fake)
{
	return fake->generation;
}

/* ---- events ---- */

void fake_put_event(struct fake *fake, const struct sl_event *event)
{
	if (fake->n_events == FAKE_EVENTS_MAX)
		abort();
	fake->events[fake->n_events++].event = *event;
}

void fake_put_remembered(struct fake *fake, const struct sl_remembered *event)
{
	if (fake->n_events == FAKE_EVENTS_MAX)
		abort();
	fake->events[fake->n_events++].remembered = *event;
}

void fake_put_seen(struct fake *fake, uint64_t cookie, uint32_t pid)
{
	if (fake->n_events == FAKE_EVENTS_MAX || eventfd_write(fake->events_fd, 1) < 0)
		abort();
	fake->events[fake->n_events++].seen =
		(struct sl_seen){ .event.kind = SL_EV_NETNS, .netns = cookie, .pid = pid };
}

static int fake_drain(struct plane *plane, plane_event_fn fn, void *data)
{
	struct fake *fake = fake_of(plane);
	unsigned int n = MIN(fake->n_events, PLANE_EVENTS_A_ROUND);
	int r = fake_enter(fake, FAKE_DRAIN);
	eventfd_t told;

	(void)eventfd_read(fake->events_fd, &told);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < n; i++)
		fn(&fake->events[i].event, data);
	fake->n_events -= n;
	memmove(fake->events, fake->events + n, fake->n_events * sizeof(fake->events[0]));
	return n == PLANE_EVENTS_A_ROUND;
}

/* ---- open, close ---- */

static int fake_open(const struct kernel *kernel, const struct plane_config *config, int *kept,
		     struct plane **ret_plane, const char **ret_error)
{
	struct fake *fake = CONTAINER_OF((struct kernel *)(uintptr_t)kernel, struct fake, kernel);
	struct fake_plane *opened;
	int r = fake_enter(fake, FAKE_OPEN);

	*ret_error = "opening the fake plane";
	if (r < 0)
		return r;
	opened = calloc(1, sizeof(*opened));
	if (!opened)
		return -ENOMEM;
	opened->fake = fake;
	opened->plane.events_fd = fake->events_fd;
	opened->plane.was_adopted = fake->is_installed;
	opened->plane.queue_kind = "fake";
	fake_adopt(fake, &opened->plane, kept);
	fake->netns[0].has_rules |= !fake->is_installed;
	fake->is_installed = true;
	fake->n_planes++;
	*ret_plane = &opened->plane;
	return 0;
}

static void fake_close(struct plane *plane)
{
	fake_of(plane)->n_planes--;
	for (unsigned int i = 0; i < plane->n_places; i++)
		netns_close(&plane->places[i]);
	free(CONTAINER_OF(plane, struct fake_plane, plane));
}

static void fake_remove(struct plane *plane)
{
	fake_of(plane)->is_installed = false;
}

bool fake_is_installed(const struct fake *fake)
{
	return fake->is_installed;
}

unsigned int fake_n_planes(const struct fake *fake)
{
	return fake->n_planes;
}

static const struct plane_ops fake_ops = {
	.open = fake_open,
	.close = fake_close,
	.remove = fake_remove,
	.join = fake_join,
	.leave = fake_leave,
	.refuse = fake_refuse,
	.forget = fake_forget,
	.census = fake_census,
	.was_touched = fake_was_touched,
	.relax = fake_relax,
	.repair = fake_repair,
	.read = fake_read,
	.answer = fake_answer,
	.replace = fake_replace,
	.requeue = fake_requeue,
	.find_held = fake_find_held,
	.forget_held = fake_forget_held,
	.find_proc = fake_find_proc,
	.find_cgroup = fake_find_cgroup,
	.find_query = fake_find_query,
	.find_sock = fake_find_sock,
	.set_flow = fake_set_flow,
	.get_flow = fake_get_flow,
	.forget_flow = fake_forget_flow,
	.next_flow = fake_next_flow,
	.destroy = fake_destroy,
	.hold_again = fake_hold_again,
	.set_memory = fake_set_memory,
	.get_memory = fake_get_memory,
	.forget_memory = fake_forget_memory,
	.renew = fake_renew,
	.generation = fake_get_generation,
	.secret = fake_secret,
	.drain = fake_drain,
	.read_link = fake_read_link,
};

static const struct store kinds[] = {
	[FAKE_HELD] = { sizeof(struct sl_tuple), sizeof(struct sl_held) },
	[FAKE_PROCS] = { sizeof(struct sl_proc_key), sizeof(struct sl_proc) },
	[FAKE_CGROUPS] = { sizeof(uint64_t), sizeof(struct sl_path) },
	[FAKE_QUERIES] = { sizeof(struct sl_tuple), sizeof(uint64_t) },
	[FAKE_SOCKS] = { sizeof(uint64_t), sizeof(struct sl_sock) },
	[FAKE_FLOWS] = { sizeof(struct sl_flow_key), sizeof(struct sl_flow) },
	[FAKE_MEMORY] = { sizeof(struct sl_memory_key), sizeof(struct sl_memory) },
	[FAKE_LINKS] = { sizeof(uint32_t), sizeof(struct link) },
	[FAKE_ENDED] = { sizeof(struct sl_tuple), sizeof(struct plane_end) },
};
_Static_assert(ARRAY_SIZE(kinds) == _FAKE_MAP_N, "kinds");

struct fake *fake_new(void)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	if (!fake)
		return NULL;
	fake->kernel.ops = &fake_ops;
	memcpy(fake->stores, kinds, sizeof(kinds));
	for (size_t i = 0; i < _FAKE_MAP_N; i++)
		make_room(&fake->stores[i]);
	fake_make_netns(fake, FAKE_HOME);
	fake->events_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fake->events_fd < 0 ? fake_free(fake) : fake;
}

struct fake *fake_free(struct fake *fake)
{
	if (!fake)
		return NULL;
	for (size_t i = 0; i < _FAKE_MAP_N; i++)
		free(fake->stores[i].entries);
	free(fake->packets);
	fake_close_netns(fake);
	close_fd(fake->events_fd);
	free(fake);
	return NULL;
}

const struct kernel *fake_kernel(struct fake *fake)
{
	return &fake->kernel;
}
