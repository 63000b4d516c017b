/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Who wants reports of which flow, and when they are due */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "flow/watch.h"

#define N_FLOWS 20000U
#define TICK_US 20000U

struct world {
	struct watches watches;
	struct flow flows[3];
};

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct world));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(world->flows); i++)
		watch_end(&world->watches, &world->flows[i]);
	assert_int_equal(world->watches.n, 0);
	free(world);
	return 0;
}

static struct flow *due(struct world *world, unsigned int filter, uint64_t now_us)
{
	struct watch *watch = watch_due(&world->watches, filter, now_us);
	struct flow *flow = watch ? watch->flow : NULL;

	if (watch)
		watch_again(&world->watches, watch, now_us);
	return flow;
}

static void test_each_rate_has_its_interval(void **state)
{
	static const uint64_t intervals[] = { [WATCH_LOW] = WATCH_LOW_US,
					      [WATCH_MEDIUM] = WATCH_MEDIUM_US,
					      [WATCH_HIGH] = WATCH_HIGH_US };
	struct world *world = *state;
	struct flow *flow = &world->flows[0];

	for (enum watch_rate rate = WATCH_LOW; rate <= WATCH_HIGH; rate++) {
		uint64_t at = 7 + intervals[rate];

		assert_int_equal(watch_set(&world->watches, flow, 3, rate, 7), 0);
		assert_null(due(world, 3, at - 1));
		assert_ptr_equal(due(world, 3, at), flow);
		assert_null(due(world, 3, at + intervals[rate] - 1));
		assert_ptr_equal(due(world, 3, at + intervals[rate]), flow);
		assert_null(due(world, 2, UINT64_MAX)); /* another filter */
	}
}

/* what was said last of a flow is known to all who watch it, those who begin later too */
static void test_counts_only_grow(void **state)
{
	struct world *world = *state;
	struct flow *flow = &world->flows[0];

	watch_count(flow, (struct flow_bytes){ 5, 6 }); /* nobody watches */
	assert_int_equal(watch_bytes(flow).in, 0);
	watch_set(&world->watches, flow, 0, WATCH_HIGH, 0);
	assert_int_equal(watch_count(flow, (struct flow_bytes){ 7, 3 }).in, 7);
	watch_set(&world->watches, flow, 1, WATCH_LOW, 0);
	assert_int_equal(watch_count(flow, (struct flow_bytes){ 2, 9 }).in, 7);
	watch_lost(&world->watches, 0);
	assert_int_equal(watch_bytes(flow).in, 7);
	assert_int_equal(watch_bytes(flow).out, 9);
}

static void test_ends_only_are_never_due(void **state)
{
	struct world *world = *state;

	assert_int_equal(watch_set(&world->watches, &world->flows[0], 0, WATCH_EVENTS, 0), 0);
	assert_null(due(world, 0, UINT64_MAX));
	assert_int_equal(watch_filters(&world->flows[0]), 1);
}

static void test_who_asks_again_and_again_gets_them(void **state)
{
	struct world *world = *state;
	struct flow *flow = &world->flows[0];

	for (uint64_t now = 0; now < WATCH_HIGH_US; now += TICK_US)
		assert_int_equal(watch_set(&world->watches, flow, 0, WATCH_HIGH, now), 0);
	assert_ptr_equal(due(world, 0, WATCH_HIGH_US), flow);
	assert_int_equal(world->watches.n, 1);
}

static void test_a_change_of_rate_is_never_more_often(void **state)
{
	struct world *world = *state;
	struct flow *flow = &world->flows[0];

	assert_int_equal(watch_set(&world->watches, flow, 0, WATCH_HIGH, 0), 0);
	assert_int_equal(watch_set(&world->watches, flow, 0, WATCH_MEDIUM, 400000), 0);
	assert_null(due(world, 0, 400000 + WATCH_MEDIUM_US - 1));
	assert_ptr_equal(due(world, 0, 400000 + WATCH_MEDIUM_US), flow);
	assert_int_equal(watch_set(&world->watches, flow, 0, WATCH_NONE, 0), 0);
	assert_int_equal(world->watches.n, 0);
	assert_null(due(world, 0, UINT64_MAX));
}

static void test_filters_and_flows_are_apart(void **state)
{
	struct world *world = *state;
	struct flow *flows = world->flows;

	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int filter = 0; filter < 3; filter++)
			assert_int_equal(watch_set(&world->watches, &flows[i], filter,
						   filter == 1 ? WATCH_EVENTS : WATCH_LOW, i),
					 0);
	assert_int_equal(watch_filters(&flows[1]), 7);
	watch_lost(&world->watches, 0);
	watch_lost(&world->watches, 1);
	assert_int_equal(watch_filters(&flows[1]), 4);
	watch_end(&world->watches, &flows[1]);
	assert_int_equal(watch_filters(&flows[1]), 0);
	assert_ptr_equal(due(world, 2, WATCH_LOW_US + 9), &flows[0]);
	assert_ptr_equal(due(world, 2, WATCH_LOW_US + 9), &flows[2]);
	assert_null(due(world, 2, WATCH_LOW_US + 9));
}

static void test_what_nobody_takes_stays_due_and_is_counted(void **state)
{
	struct world *world = *state;
	struct watch *watch;

	assert_int_equal(watch_set(&world->watches, &world->flows[0], 0, WATCH_MEDIUM, 0), 0);
	watch = watch_due(&world->watches, 0, WATCH_MEDIUM_US);
	assert_non_null(watch);
	assert_int_equal(watch_missed(watch, WATCH_MEDIUM_US), 0);
	assert_int_equal(watch_missed(watch, 2 * WATCH_MEDIUM_US - 1), 0);
	assert_int_equal(watch_missed(watch, 4 * WATCH_MEDIUM_US), 3);
	assert_ptr_equal(watch_due(&world->watches, 0, 4 * WATCH_MEDIUM_US), watch);
	watch_postpone(&world->watches, 3 * WATCH_MEDIUM_US); /* nobody ran */
	assert_int_equal(watch_missed(watch, 4 * WATCH_MEDIUM_US), 0);
	assert_int_equal(watch_set(&world->watches, &world->flows[0], 0, WATCH_EVENTS, 0), 0);
	assert_int_equal(watch_missed(watch, UINT64_MAX), 0);
}

/* as many as there is time for in a tick: they draw apart, and each has its interval */
static void test_thousands_that_begin_at_once_are_spread(void **state)
{
	enum { A_TICK = N_FLOWS / (WATCH_HIGH_US / TICK_US) };
	struct flow *flows = calloc(N_FLOWS, sizeof(*flows));
	uint64_t *last = calloc(N_FLOWS, sizeof(*last));
	struct watches watches = { 0 };
	uint64_t now;

	assert_non_null(flows);
	assert_non_null(last);
	for (size_t i = 0; i < N_FLOWS; i++)
		assert_int_equal(watch_set(&watches, &flows[i], 0, WATCH_HIGH, 0), 0);
	for (now = 0; now < 10 * WATCH_HIGH_US; now += TICK_US) {
		struct watch *watch;

		for (int n = 0; n < A_TICK && (watch = watch_due(&watches, 0, now)); n++) {
			size_t i = (size_t)(watch->flow - flows);

			assert_true(now >= last[i] + WATCH_HIGH_US);
			last[i] = now;
			watch_again(&watches, watch, now);
		}
	}
	for (size_t i = 0; i < N_FLOWS; i++) { /* none was forgotten */
		assert_true(last[i] + 2 * WATCH_HIGH_US >= now);
		watch_end(&watches, &flows[i]);
	}
	assert_int_equal(watches.n, 0);
	free(flows);
	free(last);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_rate_has_its_interval, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_counts_only_grow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ends_only_are_never_due, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_asks_again_and_again_gets_them, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_change_of_rate_is_never_more_often, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_filters_and_flows_are_apart, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_what_nobody_takes_stays_due_and_is_counted,
						set_up, tear_down),
		cmocka_unit_test(test_thousands_that_begin_at_once_are_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
