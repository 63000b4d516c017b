/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/macros.h"
#include "flow/flow.h"
#include "flow/sides.h"
#include "flow/slots.h"
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
	struct slots *slots, *held_slots;     /* as many, of which few are in use at a time */
	uint32_t *by_key, *by_id, *by_cookie; /* numbers of slots */
	size_t n_slots, n_buckets;
	struct flow_users *users;
	struct flow_list lists[FLOW_OPEN + 1];
	struct flow_turns turns[FLOW_FILTERS_MAX];
	uint64_t next_id;
	flow_forget_fn forget_fn;
	void *data;
};

static struct flow *at(const struct flow_table *table, uint32_t number)
{
	return slots_at(table->slots, number);
}

static uint32_t *key_bucket(struct flow_table *table, const struct sl_flow_key *key)
{
	return &table->by_key[hash_bytes(table->seed, key, sizeof(*key)) & (table->n_buckets - 1)];
}

static uint32_t *id_bucket(struct flow_table *table, uint64_t id)
{
	return &table->by_id[hash_mix(table->seed, id) & (table->n_buckets - 1)];
}

/* a TCP socket has one flow, and those of a busy listener would make one long chain */
static bool is_in_cookie_index(const struct sl_flow_key *key)
{
	return key->proto != IPPROTO_TCP;
}

static uint32_t *cookie_bucket(struct flow_table *table, uint64_t cookie)
{
	return &table->by_cookie[hash_mix(table->seed, cookie) & (table->n_buckets - 1)];
}

static void list_add(struct flow_list *list, struct flow *flow)
{
	struct flow *older = list->newest;

	flow->older = flow_far(flow, older);
	flow->newer = 0;
	if (older)
		older->newer = flow_far(older, flow);
	else
		list->oldest = flow;
	list->newest = flow;
	list->n++;
}

static void list_remove(struct flow_list *list, struct flow *flow)
{
	struct flow *older = flow_previous(flow), *newer = flow_next(flow);

	if (older)
		older->newer = flow_far(older, newer);
	else
		list->oldest = newer;
	if (newer)
		newer->older = flow_far(newer, older);
	else
		list->newest = older;
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
	table->by_key = calloc(table->n_buckets, sizeof(*table->by_key));
	table->by_id = calloc(table->n_buckets, sizeof(*table->by_id));
	table->by_cookie = calloc(table->n_buckets, sizeof(*table->by_cookie));
	table->users = flow_users_new(n_max, seed);
	if (!table->by_key || !table->by_id || !table->by_cookie || !table->users ||
	    slots_new(n_max, sizeof(struct flow), &table->slots) < 0 ||
	    slots_new(n_max, sizeof(struct flow_held), &table->held_slots) < 0) {
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
	slots_free(table->slots);
	slots_free(table->held_slots);
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
	struct flow *flow = at(table, *key_bucket(table, key));

	while (flow && memcmp(&flow->key, key, sizeof(*key)))
		flow = at(table, flow->next_key);
	return flow;
}

struct flow *flow_table_find_id(struct flow_table *table, uint64_t id)
{
	struct flow *flow = at(table, *id_bucket(table, id));

	while (flow && flow->id != id)
		flow = at(table, flow->next_id);
	return flow;
}

struct flow *flow_table_find_cookie(struct flow_table *table, uint64_t cookie,
				    const struct flow *after)
{
	struct flow *flow = at(table, after ? after->next_cookie : *cookie_bucket(table, cookie));

	while (flow && flow->key.cookie != cookie)
		flow = at(table, flow->next_cookie);
	return flow;
}

static struct flow *take_slot(struct flow_table *table)
{
	struct flow *flow = slots_take(table->slots);

	if (flow || !table->lists[FLOW_OPEN].oldest)
		return flow;
	flow_table_close(table, table->lists[FLOW_OPEN].oldest);
	return take_slot(table);
}

/* there is one for every slot */
static struct flow_held *take_held(struct flow_table *table, uint64_t now_us)
{
	struct flow_held *held = slots_take(table->held_slots);

	held->wait_older = held->wait_newer = NULL;
	held->deadline_us = now_us + FLOW_DEADLINE_US;
	held->n_packets = 0;
	return held;
}

static void drop_kept(struct flow *flow, unsigned int i)
{
	struct flow_held *held = flow->held;

	if (!held->bytes[i])
		return;
	flow_charge(flow, -(ssize_t)held->packets[i].n_payload, 0);
	free(held->bytes[i]);
}

static void give_back_held(struct flow_table *table, struct flow *flow)
{
	if (flow->state != FLOW_HELD)
		return;
	for (unsigned int i = 0; i < flow->held->n_packets; i++)
		drop_kept(flow, i);
	slots_give_back(table->held_slots, flow->held);
	flow->held = NULL;
}

static void chain(struct flow_table *table, struct flow *flow)
{
	uint32_t number = slots_number(table->slots, flow);
	uint32_t *bucket = key_bucket(table, &flow->key);

	flow->next_key = *bucket;
	*bucket = number;
	bucket = id_bucket(table, flow->id);
	flow->next_id = *bucket;
	*bucket = number;
	if (!is_in_cookie_index(&flow->key))
		return;
	bucket = cookie_bucket(table, flow->key.cookie);
	flow->next_cookie = *bucket;
	if (*bucket)
		at(table, *bucket)->previous_cookie = number;
	*bucket = number;
}

static void unchain(struct flow_table *table, struct flow *flow)
{
	uint32_t number = slots_number(table->slots, flow), *link;

	for (link = key_bucket(table, &flow->key); *link != number;)
		link = &at(table, *link)->next_key;
	*link = flow->next_key;
	for (link = id_bucket(table, flow->id); *link != number;)
		link = &at(table, *link)->next_id;
	*link = flow->next_id;
	if (!is_in_cookie_index(&flow->key))
		return;
	if (flow->next_cookie)
		at(table, flow->next_cookie)->previous_cookie = flow->previous_cookie;
	link = flow->previous_cookie ? &at(table, flow->previous_cookie)->next_cookie
				     : cookie_bucket(table, flow->key.cookie);
	*link = flow->next_cookie;
}

int flow_table_open(struct flow_table *table, const struct sl_flow_key *key, uint64_t id,
		    uint64_t now_us, struct flow **ret_flow)
{
	struct flow *flow = take_slot(table);

	if (!flow)
		return FLOW_E_FULL;
	memset(flow, 0, sizeof(*flow));
	flow->state = FLOW_HELD;
	flow->id = id ? id : table->next_id++;
	flow->key = *key;
	flow->opened_us = now_us;
	flow->held = take_held(table, now_us);
	flow->side = sides_none();
	flow->host = flow->reason = texts_none();
	flow->provider = -1;
	chain(table, flow);
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

	for (; flow; flow = flow_previous(flow))
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
	flow->held->bytes[flow->held->n_packets] = NULL;
	flow->held->packets[flow->held->n_packets++] = *packet;
	flow_count_held(flow, n_payload);
	return 0;
}

void flow_keep(struct flow *flow, const uint8_t *bytes)
{
	unsigned int last = flow->held->n_packets - 1;
	size_t n = flow->held->packets[last].n_payload;
	uint8_t *copy = malloc(n + 1); /* an empty one is kept as well */

	if (!copy)
		return;
	memcpy(copy, bytes, n);
	flow->held->bytes[last] = copy;
	flow_charge(flow, (ssize_t)n, 0);
}

unsigned int flow_take_kept(struct flow *flow, struct flow_kept ret_kept[FLOW_PACKETS_MAX])
{
	struct flow_held *held = flow->held;
	unsigned int n = held->n_packets;

	for (unsigned int i = 0; i < n; i++)
		if (!held->bytes[i])
			return 0;
	for (unsigned int i = 0; i < n; i++) {
		ret_kept[i] = (struct flow_kept){ held->packets[i], held->bytes[i] };
		flow_charge(flow, -(ssize_t)held->packets[i].n_payload, 0);
	}
	held->n_packets = 0;
	return n;
}

/* 4 GB are more than a queue holds; who is refused may send on for ever */
void flow_count_held(struct flow *flow, size_t n_payload)
{
	flow->n_held_bytes = (uint32_t)MIN(flow->n_held_bytes + n_payload, UINT32_MAX);
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

/* @bytes: NULL: nobody knows */
static void leave(struct flow_table *table, struct flow *flow, const struct flow_bytes *bytes)
{
	unchain(table, flow);
	leave_turn(table, flow);
	give_back_held(table, flow);
	list_remove(&table->lists[flow->state], flow);
	if (bytes)
		flow->bytes = *bytes;
	flow->is_counted = bytes != NULL;
	table->forget_fn(flow, table->data); /* which gives back what its user was charged */
	flow_users_disown(table->users, flow);
	flow->state = FLOW_FREE;
	slots_give_back(table->slots, flow);
}

void flow_table_close(struct flow_table *table, struct flow *flow)
{
	leave(table, flow, NULL);
}

void flow_table_end(struct flow_table *table, struct flow *flow, const struct flow_bytes *bytes)
{
	leave(table, flow, bytes);
}

size_t flow_table_trim(struct flow_table *table)
{
	return slots_trim(table->slots) + slots_trim(table->held_slots);
}

struct sl_tuple flow_tuple(const struct flow *flow)
{
	struct sl_tuple tuple = { .netns = flow->side->netns,
				  .lport = flow->lport,
				  .rport = flow->key.rport,
				  .proto = flow->key.proto,
				  .lo = flow->key.lo };

	memcpy(tuple.laddr, flow->side->laddr, sizeof(tuple.laddr));
	memcpy(tuple.raddr, flow->key.raddr, sizeof(tuple.raddr));
	return tuple;
}

struct flow *flow_table_oldest_held(struct flow_table *table)
{
	return table->lists[FLOW_HELD].oldest;
}

void flow_table_postpone(struct flow_table *table, uint64_t before_us, uint64_t us)
{
	struct flow *flow = table->lists[FLOW_HELD].oldest;

	for (; flow && flow->opened_us <= before_us; flow = flow_next(flow))
		flow->held->deadline_us += us;
}

struct flow *flow_table_oldest_open(struct flow_table *table)
{
	return table->lists[FLOW_OPEN].oldest;
}

struct flow *flow_table_at(struct flow_table *table, size_t i)
{
	return i < slots_n_touched(table->slots) ? at(table, (uint32_t)i + 1) : NULL;
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
