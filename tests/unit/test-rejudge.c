/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Judging again, against a list
 *
 * While flows open, are decided and close at random, a filter that judges again
 * must be asked exactly once about each flow that it allowed before and that is
 * still open, in rounds that do not look at more than they may.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "flow/rejudge.h"

#define N_MAX 512U
#define FIRST_ID 1000U
#define ROUNDS 3000
#define FILTER 1U
#define IDS 65536U

struct world {
	struct flow_table *table;
	struct rejudge rejudge;
	uint64_t last_key, now_us;
	uint8_t asked[IDS]; /* by id, from FIRST_ID on */
};

static void forget(struct flow *flow, void *data)
{
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	*state = world;
	srandom(7);
	return world ? flow_table_new(N_MAX, 7, FIRST_ID, forget, world, &world->table) : -1;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	flow_table_free(world->table);
	free(world);
	return 0;
}

static struct flow *open_flow(struct world *world)
{
	struct sl_flow_key key = { .cookie = ++world->last_key, .proto = 17 };
	struct flow *flow;

	assert_int_equal(flow_table_open(world->table, &key, 0, ++world->now_us, &flow), 0);
	return flow;
}

static struct flow *decided(struct world *world, enum sl_verdict verdict)
{
	struct flow *flow = open_flow(world);

	assert_int_equal(flow_table_decide(world->table, flow, verdict, ++world->now_us), 0);
	return flow;
}

static struct flow *any_open(struct world *world)
{
	struct flow *flow = flow_table_oldest_open(world->table);

	for (long n = random() % 40; flow && n > 0 && flow_next(flow); n--)
		flow = flow_next(flow);
	return flow;
}

/* one round, as the daemon has it: asks while it may */
static int ask(struct world *world, unsigned int looks)
{
	struct flow *flow;
	int r;

	while ((r = rejudge_next(&world->rejudge, world->table, FILTER, &looks, &flow)) == 0) {
		assert_true(flow->id < world->rejudge.end_id);
		world->asked[flow->id - FIRST_ID]++;
		rejudge_asked(&world->rejudge, flow, world->now_us);
	}
	return r;
}

static void answer_some(struct world *world)
{
	while (world->rejudge.n_asked > 0 && random() % 3) {
		uint64_t id = world->rejudge.asked[random() % world->rejudge.n_asked].id;

		assert_true(rejudge_answered(&world->rejudge, id));
		assert_false(rejudge_answered(&world->rejudge, id));
	}
}

static void disturb(struct world *world)
{
	struct flow *flow;

	for (long n = random() % 6; n > 0; n--) {
		flow = random() % 2 ? any_open(world) : NULL;
		if (flow)
			flow_table_close(world->table, flow);
		else if (world->last_key < IDS / 2 && flow_table_n_open(world->table) < N_MAX - 1)
			decided(world, random() % 4 ? SL_ALLOW : SL_REJECT);
	}
}

static void test_every_flow_of_before_is_asked_about_once(void **state)
{
	struct world *world = *state;
	static uint8_t is_old[IDS];

	for (int i = 0; i < 300; i++)
		decided(world, SL_ALLOW);
	for (struct flow *flow = flow_table_oldest_open(world->table); flow; flow = flow_next(flow))
		is_old[flow->id - FIRST_ID] = 1;
	rejudge_begin(&world->rejudge, world->table);
	for (int i = 0; i < ROUNDS && rejudge_is_busy(&world->rejudge); i++) {
		ask(world, (unsigned int)random() % 20);
		answer_some(world);
		disturb(world);
	}
	assert_false(rejudge_is_busy(&world->rejudge));
	for (unsigned int i = 0; i < IDS; i++)
		assert_true(world->asked[i] <= is_old[i]);
	for (struct flow *flow = flow_table_oldest_open(world->table); flow; flow = flow_next(flow))
		assert_int_equal(world->asked[flow->id - FIRST_ID], is_old[flow->id - FIRST_ID]);
}

static void test_a_round_is_bounded(void **state)
{
	struct world *world = *state;

	for (unsigned int i = 0; i < 3 * REJUDGE_WINDOW; i++)
		decided(world, SL_ALLOW);
	rejudge_begin(&world->rejudge, world->table);
	assert_int_equal(ask(world, 10), REJUDGE_E_WAIT);
	assert_int_equal(world->rejudge.n_asked, 10);
	assert_int_equal(ask(world, REJUDGE_LOOKS), REJUDGE_E_WAIT);
	assert_int_equal(world->rejudge.n_asked, REJUDGE_WINDOW);
	assert_int_equal(rejudge_expire(&world->rejudge, world->now_us + FLOW_DEADLINE_US - 1), 0);
	assert_int_equal(rejudge_expire(&world->rejudge, world->now_us + FLOW_DEADLINE_US),
			 REJUDGE_WINDOW);
	assert_int_equal(ask(world, REJUDGE_LOOKS), REJUDGE_E_WAIT);
	assert_true(rejudge_stop(&world->rejudge));
	assert_false(rejudge_stop(&world->rejudge));
	assert_int_equal(ask(world, REJUDGE_LOOKS), REJUDGE_E_DONE);
}

static void test_begun_anew_all_are_asked_about_again(void **state)
{
	struct world *world = *state;
	struct flow *first = decided(world, SL_ALLOW), *late;

	rejudge_begin(&world->rejudge, world->table);
	assert_int_equal(ask(world, REJUDGE_LOOKS), REJUDGE_E_DONE);
	late = decided(world, SL_ALLOW);
	assert_int_equal(world->asked[late->id - FIRST_ID], 0);
	rejudge_begin(&world->rejudge, world->table);
	assert_int_equal(ask(world, REJUDGE_LOOKS), REJUDGE_E_DONE);
	assert_int_equal(world->asked[first->id - FIRST_ID], 2);
	assert_int_equal(world->asked[late->id - FIRST_ID], 1);
}

static void test_who_is_not_asked(void **state)
{
	struct world *world = *state;
	struct flow *held = open_flow(world), *passed = open_flow(world);
	struct flow *others = decided(world, SL_REJECT), *own = decided(world, SL_REJECT);

	passed->asked = FILTER + 1;
	others->denied_by = 1U << (FILTER + 1);
	own->denied_by = 1U << FILTER;
	rejudge_begin(&world->rejudge, world->table);
	assert_int_equal(ask(world, REJUDGE_LOOKS), REJUDGE_E_DONE);
	assert_int_equal(world->asked[held->id - FIRST_ID], 0);	  /* it has not answered yet */
	assert_int_equal(world->asked[passed->id - FIRST_ID], 1); /* it allowed that one */
	assert_int_equal(world->asked[others->id - FIRST_ID], 0);
	assert_int_equal(world->asked[own->id - FIRST_ID], 1);
}

static void test_every_filter_must_allow(void **state)
{
	struct world *world = *state;
	struct flow *flow = decided(world, SL_ALLOW);

	assert_int_equal(flow_judge_again(flow, 0, SL_ALLOW), FLOW_KEEPS);
	assert_int_equal(flow_judge_again(flow, 0, SL_REJECT), FLOW_CUT);
	flow->verdict = SL_REJECT; /* the caller's part */
	assert_int_equal(flow_judge_again(flow, 0, SL_REJECT), FLOW_KEEPS);
	assert_int_equal(flow_judge_again(flow, 2, SL_SILENT), FLOW_KEEPS);
	assert_int_equal(flow_judge_again(flow, 1, SL_ALLOW), FLOW_KEEPS);
	assert_int_equal(flow_judge_again(flow, 0, SL_ALLOW), FLOW_KEEPS);
	assert_int_equal(flow_judge_again(flow, 2, SL_ALLOW), FLOW_RELEASED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_flow_of_before_is_asked_about_once,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_round_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_begun_anew_all_are_asked_about_again, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_who_is_not_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_every_filter_must_allow, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("rejudge", tests, NULL, NULL);
}
