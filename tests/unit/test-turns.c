/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Turns are fair
 *
 * Random users open flows, a filter answers, dies, and flows are decided without
 * it. Whatever happens: the flow that is next is the oldest that waits of its
 * user, its user has fewer questions open than TURNS_SHARE if any waiting one
 * has, and a user that has is asked about within as many questions as there are
 * users.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "flow/flow.h"
#include "flow/turns.h"

#define N_MAX 512U
#define N_USERS 7U
#define STEPS 40000
#define FILTER 3U

struct world {
	struct flow_table *table;
	uint64_t next_key, now_us;
	unsigned int passed_over[N_USERS]; /* questions since it waits with fewer than its share */
};

static void forget(struct flow *flow, void *data)
{
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	*state = world;
	return world ? flow_table_new(N_MAX, 7, 1, forget, NULL, &world->table) : -1;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	flow_table_free(world->table);
	free(world);
	return 0;
}

static struct flow *put(struct world *world, uint32_t uid)
{
	struct sl_flow_key key = { .cookie = ++world->next_key, .proto = 6 };
	struct flow *flow = NULL;

	assert_int_equal(flow_table_open(world->table, &key, 0, ++world->now_us, &flow), 0);
	flow_table_own(world->table, flow, uid);
	flow_table_pass(world->table, flow, FILTER);
	flow_table_wait(world->table, flow);
	return flow;
}

static struct flow *next(struct world *world)
{
	return flow_table_next_waiting(world->table, FILTER);
}

static void ask_next(struct world *world)
{
	flow_table_ask(world->table, next(world));
}

static void one_of_another_user_is_next(void **state)
{
	struct world *world = *state;
	struct flow *other;

	for (int i = 0; i < 300; i++)
		put(world, 1000);
	other = put(world, 1001);
	ask_next(world);
	assert_ptr_equal(next(world), other);
	flow_table_decide(world->table, other, SL_ALLOW, 9);
	assert_int_equal(next(world)->id, 2);
}

static void who_has_its_share_comes_after_the_others(void **state)
{
	struct world *world = *state;
	struct flow *first = put(world, 1000), *others[3];

	for (unsigned int i = 0; i < 2 * TURNS_SHARE; i++)
		put(world, 1000);
	for (unsigned int i = 0; i < TURNS_SHARE; i++)
		ask_next(world);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		others[i] = put(world, 1001);
	assert_ptr_equal(next(world), others[0]);
	ask_next(world);
	assert_ptr_equal(next(world), others[1]);
	flow_table_decide(world->table, first, SL_ALLOW, 9); /* an answer: fewer than its share */
	ask_next(world);
	assert_ptr_not_equal(next(world), others[2]);
	ask_next(world);
	assert_ptr_equal(next(world), others[2]);
}

/* the share orders, it does not limit */
static void alone_it_is_asked_about_all(void **state)
{
	struct world *world = *state;
	unsigned int n = 0;

	for (unsigned int i = 0; i < 10 * TURNS_SHARE; i++)
		put(world, 1000);
	for (; next(world); n++)
		ask_next(world);
	assert_int_equal(n, 10 * TURNS_SHARE);
}

static void a_filter_that_is_back_is_asked_in_the_old_order(void **state)
{
	struct world *world = *state;

	for (int i = 0; i < 100; i++)
		put(world, 1000);
	for (int i = 0; i < 70; i++)
		ask_next(world);
	flow_table_decide(world->table, flow_table_find_id(world->table, 1), SL_ALLOW, 9);
	flow_table_ask_anew(world->table, FILTER);
	for (uint64_t id = 2; id <= 100; id++) {
		assert_int_equal(next(world)->id, id);
		ask_next(world);
	}
	assert_null(next(world));
}

static void the_next_filter_has_turns_of_its_own(void **state)
{
	struct world *world = *state;
	struct flow *flow = put(world, 1000);

	ask_next(world);
	flow_table_pass(world->table, flow, FILTER + 1);
	assert_null(next(world));
	assert_null(flow_table_next_waiting(world->table, FILTER + 1));
	assert_false(flow->is_sent);
	flow_table_wait(world->table, flow);
	assert_ptr_equal(flow_table_next_waiting(world->table, FILTER + 1), flow);
}

/* ---- whatever happens ---- */

struct census {
	struct flow *oldest; /* that waits */
	unsigned int n_asked;
};

/* by looking at every held flow, which the table may not; users are 1000 + i */
static void count(struct world *world, struct census census[N_USERS])
{
	struct flow *flow = flow_table_oldest_held(world->table);

	memset(census, 0, N_USERS * sizeof(*census));
	for (; flow; flow = flow_next(flow)) {
		struct census *user = &census[flow->lport];

		assert_true(flow->is_sent != flow->is_waiting);
		user->n_asked += flow->is_sent;
		if (flow->is_waiting && !user->oldest)
			user->oldest = flow;
	}
}

static bool is_below(const struct census *user)
{
	return user->oldest && user->n_asked < TURNS_SHARE;
}

static void check(struct world *world)
{
	struct flow *flow = next(world);
	struct census census[N_USERS];
	bool is_any_below = false, is_any = false;

	count(world, census);
	for (size_t i = 0; i < N_USERS; i++) {
		is_any |= census[i].oldest != NULL;
		is_any_below |= is_below(&census[i]);
		if (!is_below(&census[i]))
			world->passed_over[i] = 0;
		assert_true(world->passed_over[i] < N_USERS);
	}
	assert_int_equal(flow != NULL, is_any);
	if (!flow)
		return;
	assert_ptr_equal(flow, census[flow->lport].oldest);
	assert_int_equal(is_below(&census[flow->lport]), is_any_below);
}

static struct flow *any_held(struct world *world)
{
	struct flow *flow = flow_table_oldest_held(world->table);

	for (long n = random() % 200; flow && n > 0 && flow_next(flow); n--)
		flow = flow_next(flow);
	if (flow && flow == next(world)) /* that was its turn, should it leave */
		world->passed_over[flow->lport] = 0;
	return flow;
}

static void ask_fairly(struct world *world)
{
	struct flow *flow = next(world);

	if (!flow)
		return;
	for (size_t i = 0; i < N_USERS; i++)
		world->passed_over[i] += i != flow->lport;
	world->passed_over[flow->lport] = 0;
	flow_table_ask(world->table, flow);
}

static void step(struct world *world)
{
	struct flow *flow = any_held(world);
	uint32_t user = (uint32_t)(random() % 3 ? 0 : random() % N_USERS); /* most are of one */

	switch (random() % 8) {
	case 0:
	case 1:
	case 2:
		if (flow_table_n_held(world->table) < N_MAX)
			put(world, 1000 + user)->lport = (uint16_t)user;
		break;
	case 3:
	case 4:
	case 5:
		ask_fairly(world);
		break;
	case 6: /* an answer, or its deadline */
		if (flow)
			flow_table_decide(world->table, flow, SL_ALLOW, world->now_us);
		break;
	case 7:
		if (flow && random() % 2)
			flow_table_close(world->table, flow);
		else if (random() % 50 == 0)
			flow_table_ask_anew(world->table, FILTER);
		break;
	}
}

static void whatever_happens_turns_are_fair(void **state)
{
	struct world *world = *state;

	srandom(1);
	for (int i = 0; i < STEPS; i++) {
		step(world);
		check(world);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_of_another_user_is_next),
		TEST(who_has_its_share_comes_after_the_others),
		TEST(alone_it_is_asked_about_all),
		TEST(a_filter_that_is_back_is_asked_in_the_old_order),
		TEST(the_next_filter_has_turns_of_its_own),
		TEST(whatever_happens_turns_are_fair),
	};

	return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
