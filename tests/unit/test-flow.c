/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The flow table, against a list
 *
 * The model is an array of flows in the order in which the table must hand
 * them out. Random operations are done to both; after each, everything that
 * can be asked of the table is asked.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/macros.h"
#include "flow/flow.h"

#define N_MAX 8U
#define FIRST_ID 100U
#define STEPS 20000
#define KEYS 24U /* few, so that keys come back soon after they were closed */

struct world {
	struct flow_table *table;
	uint64_t forgotten[64]; /* ids, in the order in which they left */
	size_t n_forgotten;
	struct flow last; /* of those */
};

static void forget(struct flow *flow, void *data)
{
	struct world *world = data;

	world->last = *flow;
	world->forgotten[world->n_forgotten++ % ARRAY_SIZE(world->forgotten)] = flow->id;
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	*state = world;
	return world ? flow_table_new(N_MAX, 7, FIRST_ID, forget, world, &world->table) : -1;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	flow_table_free(world->table);
	free(world);
	return 0;
}

static struct sl_flow_key make_key(uint64_t n)
{
	struct sl_flow_key key = { .cookie = n / 3, .rport = (uint16_t)(n % 3), .proto = 17 };

	key.raddr[15] = (uint8_t)n;
	return key;
}

static struct flow *open_flow(struct flow_table *table, uint64_t n, uint64_t now_us)
{
	struct sl_flow_key key = make_key(n);
	struct flow *flow = NULL;

	assert_int_equal(flow_table_open(table, &key, 0, now_us, &flow), 0);
	assert_non_null(flow);
	return flow;
}

static void a_new_flow_is_held_and_has_a_deadline(void **state)
{
	struct world *world = *state;
	struct flow *flow = open_flow(world->table, 1, 7);

	assert_int_equal(flow->state, FLOW_HELD);
	assert_int_equal(flow->verdict, SL_UNDECIDED);
	assert_int_equal(flow->provider, -1);
	assert_int_equal(flow->id, FIRST_ID);
	assert_int_equal(flow->opened_us, 7);
	assert_int_equal(flow->held->deadline_us, 7 + FLOW_DEADLINE_US);
	assert_int_equal(flow_table_n_held(world->table), 1);
	assert_int_equal(flow_table_n_open(world->table), 0);
}

static void held_flows_are_handed_out_in_order_of_their_deadlines(void **state)
{
	struct world *world = *state;
	struct flow *flow;
	uint64_t before = 0;
	size_t n = 0;

	for (uint64_t i = 0; i < N_MAX; i++)
		open_flow(world->table, i, i * 10);
	flow_table_decide(world->table, flow_table_oldest_held(world->table), SL_ALLOW, 100);
	for (flow = flow_table_oldest_held(world->table); flow; flow = flow_next(flow), n++) {
		assert_true(flow->held->deadline_us > before);
		before = flow->held->deadline_us;
	}
	assert_int_equal(n, N_MAX - 1);
}

static void a_flow_is_decided_once(void **state)
{
	struct world *world = *state;
	struct flow *flow = open_flow(world->table, 1, 0);

	assert_int_equal(flow_table_decide(world->table, flow, SL_REJECT, 5), 0);
	assert_int_equal(flow_table_decide(world->table, flow, SL_ALLOW, 6), FLOW_E_DONE);
	assert_int_equal(flow->verdict, SL_REJECT);
	assert_int_equal(flow->decided_us, 5);
	assert_ptr_equal(flow_table_oldest_open(world->table), flow);
	assert_null(flow_table_oldest_held(world->table));
}

/* the share of N_MAX is a half */
static void a_user_with_its_share_is_told_its_own_oldest_flow(void **state)
{
	struct world *world = *state;
	struct flow *first = NULL;

	for (uint64_t i = 0; i < FLOW_USER_OPEN(N_MAX) + 1; i++) {
		struct flow *flow = open_flow(world->table, i, i);

		assert_true(flow_table_may_hold(world->table, i ? 1000 : 1001));
		flow_table_own(world->table, flow, i ? 1000 : 1001); /* the oldest is another's */
		first = i == 1 ? flow : first;
		assert_null(flow_table_oldest_of(world->table, 1000));
		flow_table_decide(world->table, flow, SL_ALLOW, 20);
	}
	assert_ptr_equal(flow_table_oldest_of(world->table, 1000), first);
	assert_null(flow_table_oldest_of(world->table, 1001));
	flow_table_close(world->table, first);
	assert_null(flow_table_oldest_of(world->table, 1000));
	assert_null(flow_table_oldest_of(world->table, 1002));
}

static void a_full_table_evicts_its_oldest_open_flow(void **state)
{
	struct world *world = *state;
	struct flow *second = NULL, *first = NULL;
	struct sl_flow_key key = make_key(3);

	for (uint64_t i = 0; i < N_MAX; i++) {
		struct flow *flow = open_flow(world->table, i, i);

		second = i == 5 ? flow : second;
		first = i == 3 ? flow : first;
	}
	flow_table_decide(world->table, first, SL_ALLOW, 20);
	flow_table_decide(world->table, second, SL_ALLOW, 21);
	open_flow(world->table, 50, 22);
	assert_int_equal(world->n_forgotten, 1);
	assert_int_equal(world->forgotten[0], FIRST_ID + 3);
	assert_null(flow_table_find(world->table, &key));
	assert_null(flow_table_find_id(world->table, FIRST_ID + 3));
	assert_ptr_equal(flow_table_oldest_open(world->table), second);
}

static void a_flow_is_refused_only_when_all_are_held(void **state)
{
	struct world *world = *state;
	struct sl_flow_key key = make_key(50);
	struct flow *flow = NULL;

	for (uint64_t i = 0; i < N_MAX; i++)
		open_flow(world->table, i, i);
	assert_int_equal(flow_table_open(world->table, &key, 0, 9, &flow), FLOW_E_FULL);
	assert_null(flow);
	assert_null(flow_table_find(world->table, &key));
	assert_int_equal(world->n_forgotten, 0);
	flow_table_decide(world->table, flow_table_oldest_held(world->table), SL_ALLOW, 10);
	assert_int_equal(flow_table_open(world->table, &key, 0, 11, &flow), 0);
	assert_int_equal(flow->id, FIRST_ID + N_MAX); /* a refused flow takes no id */
}

static void a_restored_flow_keeps_its_id_and_takes_none(void **state)
{
	struct world *world = *state;
	struct sl_flow_key key = make_key(1);
	struct flow *flow = NULL;

	assert_int_equal(flow_table_open(world->table, &key, 17, 0, &flow), 0);
	assert_int_equal(flow->id, 17);
	assert_ptr_equal(flow_table_find_id(world->table, 17), flow);
	assert_ptr_equal(flow_table_find(world->table, &key), flow);
	assert_int_equal(open_flow(world->table, 2, 0)->id, FIRST_ID);
}

static void a_slot_used_again_remembers_nothing(void **state)
{
	struct world *world = *state;
	struct flow *flow = open_flow(world->table, 1, 0), *again;

	assert_int_equal(flow_hold(flow, &(struct flow_packet){ .id = 9, .mark = 8 }, 700), 0);
	flow->host = "x";
	flow_table_own(world->table, flow, 1000);
	flow_table_ask(world->table, flow);
	flow_table_decide(world->table, flow, SL_SILENT, 1);
	flow_table_close(world->table, flow);
	again = open_flow(world->table, 1, 2);
	assert_int_equal(again->id, FIRST_ID + 1);
	assert_int_equal(again->held->n_packets, 0);
	assert_int_equal(again->n_held_bytes, 0);
	assert_int_equal(again->verdict, SL_UNDECIDED);
	assert_string_equal(again->host, "");
	assert_false(again->is_sent);
}

static void held_packets_are_kept_in_order_up_to_a_limit(void **state)
{
	struct world *world = *state;
	struct flow *flow = open_flow(world->table, 1, 0);

	for (uint32_t i = 0; i < FLOW_PACKETS_MAX; i++) {
		struct flow_packet packet = { .id = 1000 + i, .mark = i };

		assert_int_equal(flow_hold(flow, &packet, 10), 0);
	}
	assert_int_equal(flow_hold(flow, &flow->held->packets[0], 10), FLOW_E_FULL);
	assert_int_equal(flow->held->n_packets, FLOW_PACKETS_MAX);
	assert_int_equal(flow->n_held_bytes, FLOW_PACKETS_MAX * 10);
	for (uint32_t i = 0; i < FLOW_PACKETS_MAX; i++) {
		assert_int_equal(flow->held->packets[i].id, 1000 + i);
		assert_int_equal(flow->held->packets[i].mark, i);
	}
}

/* its links and its bytes have one place */
static void one_that_ended_says_what_it_carried(void **state)
{
	struct world *world = *state;
	struct flow *others[2], *flow;

	others[0] = open_flow(world->table, 3, 0);
	flow = open_flow(world->table, 4, 0); /* of the same socket */
	others[1] = open_flow(world->table, 5, 0);
	flow_table_decide(world->table, flow, SL_ALLOW, 1);
	flow_table_end(world->table, flow, &(struct flow_bytes){ UINT64_MAX, 7 });
	assert_true(world->last.is_counted);
	assert_true(world->last.bytes.in == UINT64_MAX && world->last.bytes.out == 7);
	flow_table_close(world->table, others[0]);
	assert_false(world->last.is_counted);
	assert_ptr_equal(flow_table_find_cookie(world->table, 1, NULL), others[1]);
	assert_null(flow_table_find_cookie(world->table, 1, others[1]));
}

static void every_flow_is_forgotten_with_its_table(void **state)
{
	struct world *world = *state;

	for (uint64_t i = 0; i < N_MAX; i++)
		open_flow(world->table, i, i);
	flow_table_decide(world->table, flow_table_oldest_held(world->table), SL_ALLOW, 10);
	world->table = flow_table_free(world->table);
	assert_null(world->table);
	assert_int_equal(world->n_forgotten, N_MAX);
	assert_null(flow_table_free(NULL));
}

/* in order of time: held ones by opening, open ones by verdict */
struct model {
	struct entry {
		uint64_t key, id;
	} held[N_MAX], open[N_MAX];
	size_t n_held, n_open;
	uint64_t next_id, next_restored;
};

static struct entry take(struct entry *entries, size_t *n, size_t i)
{
	struct entry entry = entries[i];

	memmove(entries + i, entries + i + 1, (--*n - i) * sizeof(*entries));
	return entry;
}

static void model_open(struct model *model, struct world *world, uint64_t n, uint64_t id)
{
	struct sl_flow_key key = make_key(n);
	struct flow *flow = NULL;
	int r = flow_table_open(world->table, &key, id, 0, &flow);

	assert_int_equal(r, model->n_held == N_MAX ? FLOW_E_FULL : 0);
	if (r)
		return;
	if (model->n_held + model->n_open == N_MAX)
		take(model->open, &model->n_open, 0);
	model->held[model->n_held++] = (struct entry){ n, id ? id : model->next_id++ };
}

static bool model_has(const struct entry *entries, size_t n_entries, uint64_t key)
{
	for (size_t i = 0; i < n_entries; i++)
		if (entries[i].key == key)
			return true;
	return false;
}

static void same_list(struct world *world, const struct flow *flow, const struct entry *entries,
		      size_t n, enum flow_state wanted)
{
	for (size_t i = 0; i < n; i++, flow = flow_next(flow)) {
		struct sl_flow_key key = make_key(entries[i].key);

		assert_non_null(flow);
		assert_int_equal(flow->id, entries[i].id);
		assert_int_equal(flow->state, wanted);
		assert_ptr_equal(flow_table_find(world->table, &key), flow);
		assert_ptr_equal(flow_table_find_id(world->table, entries[i].id), flow);
	}
	assert_null(flow);
}

static void same(struct world *world, const struct model *model)
{
	struct flow_table *table = world->table;

	same_list(world, flow_table_oldest_held(table), model->held, model->n_held, FLOW_HELD);
	same_list(world, flow_table_oldest_open(table), model->open, model->n_open, FLOW_OPEN);
	assert_int_equal(flow_table_n_held(table), model->n_held);
	assert_int_equal(flow_table_n_open(table), model->n_open);
	for (uint64_t n = 0; n < KEYS; n++) {
		struct sl_flow_key key = make_key(n);
		bool is_there = model_has(model->held, model->n_held, n) ||
				model_has(model->open, model->n_open, n);

		assert_int_equal(flow_table_find(table, &key) != NULL, is_there);
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 8;
}

static void step(struct model *model, struct world *world, uint32_t *seed)
{
	uint32_t what = next_random(seed) % 8, n = next_random(seed) % KEYS;
	struct entry entry;

	if (what < 4) {
		if (!model_has(model->held, model->n_held, n) &&
		    !model_has(model->open, model->n_open, n))
			/* restored ones have the ids of a predecessor, never twice */
			model_open(model, world, n, what == 3 ? model->next_restored++ : 0);
	} else if (what < 6 && model->n_held) {
		entry = take(model->held, &model->n_held, n % model->n_held);
		model->open[model->n_open++] = entry;
		assert_int_equal(flow_table_decide(world->table,
						   flow_table_find_id(world->table, entry.id),
						   SL_ALLOW, 1),
				 0);
	} else if (what == 6 && model->n_open) {
		entry = take(model->open, &model->n_open, n % model->n_open);
		flow_table_close(world->table, flow_table_find_id(world->table, entry.id));
	} else if (what == 7 && model->n_held) {
		entry = take(model->held, &model->n_held, n % model->n_held);
		flow_table_close(world->table, flow_table_find_id(world->table, entry.id));
		(void)flow_table_trim(world->table);
	}
}

static void any_sequence_of_operations_leaves_what_a_list_would(void **state)
{
	struct world *world = *state;
	struct model model = { .next_id = FIRST_ID, .next_restored = 1ULL << 40 };
	uint32_t seed = 1;

	for (int i = 0; i < STEPS; i++) {
		step(&model, world, &seed);
		same(world, &model);
	}
}

#define BUCKETS 256U
#define CHOSEN 64U

static unsigned int bucket_of(uint64_t seed, const struct sl_flow_key *key)
{
	return (unsigned int)(hash_bytes(seed, key, sizeof(*key)) % BUCKETS);
}

/* a program chooses where its flows go, and may know the cookie of its socket */
static void keys_that_fall_into_one_bucket_do_not_under_another_seed(void **state)
{
	bool is_used[BUCKETS] = { false };
	unsigned int n = 0, n_used = 0;

	for (uint64_t i = 0; n < CHOSEN; i++) {
		struct sl_flow_key key = { .cookie = 1 };

		memcpy(key.raddr, &i, sizeof(i));
		if (bucket_of(1, &key) != 0)
			continue;
		n++;
		n_used += !is_used[bucket_of(2, &key)];
		is_used[bucket_of(2, &key)] = true;
	}
	assert_true(n_used > CHOSEN / 2);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_flow_is_held_and_has_a_deadline),
		TEST(held_flows_are_handed_out_in_order_of_their_deadlines),
		TEST(a_flow_is_decided_once),
		TEST(a_user_with_its_share_is_told_its_own_oldest_flow),
		TEST(a_full_table_evicts_its_oldest_open_flow),
		TEST(a_flow_is_refused_only_when_all_are_held),
		TEST(a_restored_flow_keeps_its_id_and_takes_none),
		TEST(a_slot_used_again_remembers_nothing),
		TEST(held_packets_are_kept_in_order_up_to_a_limit),
		TEST(one_that_ended_says_what_it_carried),
		TEST(every_flow_is_forgotten_with_its_table),
		cmocka_unit_test(keys_that_fall_into_one_bucket_do_not_under_another_seed),
		TEST(any_sequence_of_operations_leaves_what_a_list_would),
	};

	return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
