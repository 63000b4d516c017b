/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/macros.h"
#include "flow/flow.h"
#include "flow/texts.h"
#include "flow/turns.h"
#include "flow/users.h"

#define FLOWS_A_BUCKET 4U /* when the table is full; a thousand flows touch every page of them */

struct flow_list {
	struct flow *oldest, *newest;
	size_t n;
};

struct flow_table {
	uint64_t seed;
	struct flow *slots;
	struct flow **by_key, **by_id, **by_cookie;
	size_t n_slots, n_buckets, n_fresh; /* slots from n_fresh on were never used */
	struct flow *free;
	struct flow_held *held_slots, *held_free; /* as many, of which few are ever touched */
	size_t n_held_fresh;
	struct flow_users *users;
	struct flow_list lists[FLOW_OPEN + 1];
	struct flow_turns turns[FLOW_FILTERS_MAX];
	uint64_t next_id;
	flow_forget_fn forget_fn;
	void *data;
};

static struct flow **key_bucket(struct flow_table *table, const struct sl_flow_key *key)
{
	return &table->by_key[hash_bytes(table->seed, key, sizeof(*key)) & (table->n_buckets - 1)];
}

static struct flow **id_bucket(struct flow_table *table, uint64_t id)
{
	return &table->by_id[hash_mix(table->seed, id) & (table->n_buckets - 1)];
}

/* a TCP socket has one flow, and those of a busy listener would make one long chain */
static bool is_in_cookie_index(const struct sl_flow_key *key)
{
	return key->proto != IPPROTO_TCP;
}

static struct flow **cookie_bucket(struct flow_table *table, uint64_t cookie)
{
	return &table->by_cookie[hash_mix(table->seed, cookie) & (table->n_buckets - 1)];
}

static void list_add(struct flow_list *list, struct flow *flow)
{
	flow->older = list->newest;
	flow->newer = NULL;
	if (list->newest)
		list->newest->newer = flow;
	else
		list->oldest = flow;
	list->newest = flow;
	list->n++;
}

static void list_remove(struct flow_list *list, struct flow *flow)
{
	if (flow->older)
		flow->older->newer = flow->newer;
	else
		list->oldest = flow->newer;
	if (flow->newer)
		flow->newer->older = flow->older;
	else
		list->newest = flow->older;
	list->n--;
}

int flow_table_new(size_t n_max, uint64_t seed, uint64_t first_id, flow_forget_fn forget_fn,
		   void *data, struct flow_table **ret_table)
{
	struct flow_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->seed = seed;
	table->n_slots = n_max;
	table->n_buckets = 1;
	while (table->n_buckets < n_max / FLOWS_A_BUCKET)
		table->n_buckets *= 2;
	table->next_id = first_id;
	table->forget_fn = forget_fn;
	table->data = data;
	table->slots = calloc(n_max, sizeof(*table->slots));
	table->held_slots = calloc(n_max, sizeof(*table->held_slots));
	table->by_key = calloc(table->n_buckets, sizeof(*table->by_key));
	table->by_id = calloc(table->n_buckets, sizeof(*table->by_id));
	table->by_cookie = calloc(table->n_buckets, sizeof(*table->by_cookie));
	table->users = flow_users_new(n_max, seed);
	if (!table->slots || !table->held_slots || !table->by_key || !table->by_id ||
	    !table->by_cookie || !table->users) {
		flow_table_free(table);
		return -ENOMEM;
	}
	*ret_table = table;
	return 0;
}

struct flow_table *flow_table_free(struct flow_table *table)
{
	if (!table)
		return NULL;
	for (enum flow_state s = FLOW_HELD; s <= FLOW_OPEN; s++)
		while (table->lists[s].oldest)
			flow_table_close(table, table->lists[s].oldest);
	free(table->slots);
	free(table->held_slots);
	free(table->by_key);
	free(table->by_id);
	free(table->by_cookie);
	flow_users_free(table->users);
	free(table);
	return NULL;
}

uint64_t flow_table_take_id(struct flow_table *table)
{
	return table->next_id++;
}

struct flow *flow_table_find(struct flow_table *table, const struct sl_flow_key *key)
{
	struct flow *flow = *key_bucket(table, key);

	while (flow && memcmp(&flow->key, key, sizeof(*key)))
		flow = flow->next_key;
	return flow;
}

struct flow *flow_table_find_id(struct flow_table *table, uint64_t id)
{
	struct flow *flow = *id_bucket(table, id);

	while (flow && flow->id != id)
		flow = flow->next_id;
	return flow;
}

struct flow *flow_table_find_cookie(struct flow_table *table, uint64_t cookie,
				    const struct flow *after)
{
	struct flow *flow = after ? after->next_cookie : *cookie_bucket(table, cookie);

	while (flow && flow->key.cookie != cookie)
		flow = flow->next_cookie;
	return flow;
}

static struct flow *take_slot(struct flow_table *table)
{
	struct flow *flow = table->free;

	if (flow) {
		table->free = flow->next_key;
		return flow;
	}
	if (table->n_fresh < table->n_slots)
		return &table->slots[table->n_fresh++];
	if (!table->lists[FLOW_OPEN].oldest)
		return NULL;
	flow_table_close(table, table->lists[FLOW_OPEN].oldest);
	return take_slot(table);
}

/* there is one for every slot */
static struct flow_held *take_held(struct flow_table *table, uint64_t now_us)
{
	struct flow_held *held = table->held_free;

	if (held)
		table->held_free = held->next_free;
	else
		held = &table->held_slots[table->n_held_fresh++];
	held->wait_older = held->wait_newer = NULL;
	held->deadline_us = now_us + FLOW_DEADLINE_US;
	held->n_packets = 0;
	return held;
}

static void give_back_held(struct flow_table *table, struct flow *flow)
{
	if (!flow->held)
		return;
	flow->held->next_free = table->held_free;
	table->held_free = flow->held;
	flow->held = NULL;
}

int flow_table_open(struct flow_table *table, const struct sl_flow_key *key, uint64_t id,
		    uint64_t now_us, struct flow **ret_flow)
{
	struct flow *flow = take_slot(table), **bucket;

	if (!flow)
		return FLOW_E_FULL;
	memset(flow, 0, sizeof(*flow));
	flow->state = FLOW_HELD;
	flow->id = id ? id : table->next_id++;
	flow->key = *key;
	flow->opened_us = now_us;
	flow->held = take_held(table, now_us);
	flow->host = flow->reason = texts_none();
	flow->provider = -1;
	bucket = key_bucket(table, key);
	flow->next_key = *bucket;
	*bucket = flow;
	bucket = id_bucket(table, flow->id);
	flow->next_id = *bucket;
	*bucket = flow;
	if (is_in_cookie_index(key)) {
		bucket = cookie_bucket(table, key->cookie);
		flow->next_cookie = *bucket;
		if (*bucket)
			(*bucket)->previous_cookie = flow;
		*bucket = flow;
	}
	list_add(&table->lists[FLOW_HELD], flow);
	*ret_flow = flow;
	return 0;
}

bool flow_table_may_hold(struct flow_table *table, uint32_t uid)
{
	return flow_users_n_held(table->users, uid) < FLOW_USER_HELD(table->n_slots);
}

void flow_table_own(struct flow_table *table, struct flow *flow, uint32_t uid)
{
	flow_users_own(table->users, flow, uid);
}

struct flow *flow_table_oldest_of(struct flow_table *table, uint32_t uid)
{
	size_t n;
	struct flow *oldest = flow_users_oldest_open(table->users, uid, &n);

	return n < FLOW_USER_OPEN(table->n_slots) ? NULL : oldest;
}

void flow_table_wait(struct flow_table *table, struct flow *flow)
{
	if (!flow->is_waiting)
		flow_turns_wait(&table->turns[flow->asked], flow_users_turn(flow), flow);
}

void flow_table_ask(struct flow_table *table, struct flow *flow)
{
	flow_turns_ask(&table->turns[flow->asked], flow_users_turn(flow), flow);
}

void flow_table_ask_anew(struct flow_table *table, unsigned int filter)
{
	struct flow *flow = table->lists[FLOW_HELD].newest;

	for (; flow; flow = flow->older)
		if (flow->asked == filter && flow->is_sent)
			flow_turns_wait_first(&table->turns[filter], flow_users_turn(flow), flow);
}

static void leave_turn(struct flow_table *table, struct flow *flow)
{
	if (flow->is_sent || flow->is_waiting)
		flow_turns_leave(&table->turns[flow->asked], flow_users_turn(flow), flow);
}

void flow_table_pass(struct flow_table *table, struct flow *flow, unsigned int filter)
{
	leave_turn(table, flow);
	flow->asked = (uint8_t)filter;
}

struct flow *flow_table_next_waiting(const struct flow_table *table, unsigned int filter)
{
	return flow_turns_next(&table->turns[filter]);
}

int flow_hold(struct flow *flow, const struct flow_packet *packet, size_t n_payload)
{
	if (flow->held->n_packets == FLOW_PACKETS_MAX)
		return FLOW_E_FULL;
	flow->held->packets[flow->held->n_packets++] = *packet;
	flow->n_held_bytes += n_payload;
	return 0;
}

int flow_table_decide(struct flow_table *table, struct flow *flow, enum sl_verdict verdict,
		      uint64_t now_us)
{
	assert(verdict != SL_UNDECIDED);

	if (flow->state != FLOW_HELD)
		return FLOW_E_DONE;
	leave_turn(table, flow);
	give_back_held(table, flow);
	list_remove(&table->lists[FLOW_HELD], flow);
	flow_users_change(flow, FLOW_OPEN);
	flow->verdict = (uint8_t)verdict;
	flow->decided_us = now_us;
	list_add(&table->lists[FLOW_OPEN], flow);
	return 0;
}

void flow_table_renew(struct flow_table *table, struct flow *flow, uint64_t now_us)
{
	list_remove(&table->lists[FLOW_HELD], flow);
	flow->held->deadline_us = now_us + FLOW_DEADLINE_US;
	list_add(&table->lists[FLOW_HELD], flow);
}

void flow_table_close(struct flow_table *table, struct flow *flow)
{
	struct flow **at = key_bucket(table, &flow->key);

	while (*at != flow)
		at = &(*at)->next_key;
	*at = flow->next_key;
	at = id_bucket(table, flow->id);
	while (*at != flow)
		at = &(*at)->next_id;
	*at = flow->next_id;
	if (is_in_cookie_index(&flow->key)) {
		if (flow->next_cookie)
			flow->next_cookie->previous_cookie = flow->previous_cookie;
		if (flow->previous_cookie)
			flow->previous_cookie->next_cookie = flow->next_cookie;
		else
			*cookie_bucket(table, flow->key.cookie) = flow->next_cookie;
	}
	leave_turn(table, flow);
	give_back_held(table, flow);
	list_remove(&table->lists[flow->state], flow);
	table->forget_fn(flow, table->data); /* which gives back what its user was charged */
	flow_users_disown(table->users, flow);
	flow->state = FLOW_FREE;
	flow->next_key = table->free;
	table->free = flow;
}

struct flow *flow_table_oldest_held(struct flow_table *table)
{
	return table->lists[FLOW_HELD].oldest;
}

void flow_table_postpone(struct flow_table *table, uint64_t before_us, uint64_t us)
{
	struct flow *flow = table->lists[FLOW_HELD].oldest;

	for (; flow && flow->opened_us <= before_us; flow = flow->newer)
		flow->held->deadline_us += us;
}

struct flow *flow_table_oldest_open(struct flow_table *table)
{
	return table->lists[FLOW_OPEN].oldest;
}

struct flow *flow_table_at(struct flow_table *table, size_t i)
{
	return i < table->n_fresh ? &table->slots[i] : NULL;
}

uint64_t flow_table_next_id(const struct flow_table *table)
{
	return table->next_id;
}

size_t flow_table_n_held(const struct flow_table *table)
{
	return table->lists[FLOW_HELD].n;
}

size_t flow_table_n_open(const struct flow_table *table)
{
	return table->lists[FLOW_OPEN].n;
}
