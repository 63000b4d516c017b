/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Flows that are over: found again, until their places are taken. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "flow/history.h"

#define PLACES 4U

struct world {
	struct history *history;
	uint64_t forgotten[64]; /* ids, in order */
	size_t n_forgotten;
};

static void on_forget(struct flow *flow, void *data)
{
	struct world *world = data;

	assert_true(world->n_forgotten < sizeof(world->forgotten) / sizeof(world->forgotten[0]));
	world->forgotten[world->n_forgotten++] = flow->id;
}

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){ 0 };
	*state = &world;
	return history_new(PLACES, on_forget, &world, &world.history);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	world->history = history_free(world->history);
	return 0;
}

static void add(struct world *world, uint64_t id, enum sl_verdict verdict, uint64_t decided_us)
{
	struct flow flow = { .id = id, .verdict = (uint8_t)verdict, .decided_us = decided_us };

	history_add(world->history, &flow);
}

static void test_empty(void **state)
{
	struct world *world = *state;

	assert_null(history_find(world->history, 0));
	assert_null(history_newest(world->history, false));
	assert_null(history_newest(world->history, true));
	assert_int_equal(history_count(world->history), 0);
	assert_null(history_free(NULL));
}

static void test_found_by_id(void **state)
{
	struct world *world = *state;

	add(world, 7, SL_ALLOW, 1);
	add(world, 9, SL_REJECT, 2);
	assert_int_equal(history_find(world->history, 7)->verdict, SL_ALLOW);
	assert_int_equal(history_find(world->history, 9)->verdict, SL_REJECT);
	assert_null(history_find(world->history, 8));
	assert_int_equal(history_count(world->history), 2);
}

static void test_found_by_key(void **state)
{
	struct world *world = *state;
	struct flow flow = { .key = { .cookie = 5, .rport = 7 }, .verdict = SL_ALLOW };
	struct sl_flow_key other = { .cookie = 5, .rport = 8 };

	for (flow.id = 1; flow.id <= 2; flow.id++)
		history_add(world->history, &flow);
	add(world, 3, SL_ALLOW, 1);
	assert_int_equal(history_find_key(world->history, &flow.key)->id, 2);
	assert_null(history_find_key(world->history, &other));
	flow.verdict = SL_REJECT; /* it was cut */
	flow.id = 4;
	history_add(world->history, &flow);
	assert_int_equal(history_find_key(world->history, &flow.key)->id, 4);
	flow.verdict = SL_ALLOW;
	flow.id = 5;
	history_add(world->history, &flow);
	assert_int_equal(history_find_key(world->history, &flow.key)->id, 5);
}

static void test_the_oldest_goes(void **state)
{
	struct world *world = *state;

	for (uint64_t id = 1; id <= 3 * PLACES; id++)
		add(world, id, SL_ALLOW, id);
	assert_int_equal(world->n_forgotten, 2 * PLACES);
	for (uint64_t id = 1; id <= 2 * PLACES; id++) {
		assert_int_equal(world->forgotten[id - 1], id);
		assert_null(history_find(world->history, id));
	}
	for (uint64_t id = 2 * PLACES + 1; id <= 3 * PLACES; id++)
		assert_non_null(history_find(world->history, id));
}

static void test_allowed_flows_do_not_push_out_a_denial(void **state)
{
	struct world *world = *state;

	add(world, 1, SL_SILENT, 1);
	for (uint64_t id = 2; id <= 40; id++)
		add(world, id, SL_ALLOW, id);
	assert_non_null(history_find(world->history, 1));
	assert_int_equal(history_newest(world->history, true)->id, 1);
	assert_int_equal(history_newest(world->history, false)->id, 40);
}

/* the one that ended last is not the one that was decided last */
static void test_newest_is_by_decision(void **state)
{
	struct world *world = *state;

	add(world, 3, SL_REJECT, 30);
	add(world, 2, SL_ALLOW, 20);
	add(world, 1, SL_REJECT, 10);
	assert_int_equal(history_newest(world->history, false)->id, 3);
	assert_int_equal(history_newest(world->history, true)->id, 3);
}

static void test_the_end_forgets_everything_once(void **state)
{
	struct world *world = *state;

	for (uint64_t id = 1; id <= PLACES + 1; id++) {
		add(world, id, SL_ALLOW, id);
		add(world, 100 + id, SL_REJECT, id);
	}
	world->history = history_free(world->history);
	assert_int_equal(world->n_forgotten, 2 * (PLACES + 1));
	for (size_t i = 0; i < world->n_forgotten; i++)
		for (size_t k = 0; k < i; k++)
			assert_true(world->forgotten[i] != world->forgotten[k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_found_by_id, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_found_by_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_oldest_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_allowed_flows_do_not_push_out_a_denial, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_newest_is_by_decision, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_end_forgets_everything_once, set_up,
						tear_down),
	};

	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
