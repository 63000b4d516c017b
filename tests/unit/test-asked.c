/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets that filters are asked about: what becomes of each, and when */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "flow/asked.h"

#define HANDLES 200000U
#define NOW 5000000U

enum { KEPT, ALLOWED, DROPPED, AGAIN };

struct world {
	struct asked *asked;
	uint8_t fates[HANDLES];
};

static void on_settled(uint64_t handle, unsigned int crowd, enum asked_fate fate, void *data)
{
	static const uint8_t fates[] = {
		[ASKED_PASSES] = ALLOWED, [ASKED_IS_DROPPED] = DROPPED, [ASKED_AGAIN] = AGAIN
	};

	struct world *world = data;

	assert_int_equal(world->fates[handle], KEPT); /* once */
	world->fates[handle] = fates[fate];
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_int_equal(asked_new(on_settled, world, &world->asked), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	world->asked = asked_free(world->asked);
	free(world);
	return 0;
}

/* each of another user */
static uint64_t add(struct world *world, uint64_t handle, uint16_t filters, uint64_t now_us)
{
	return asked_add(world->asked, handle, handle % SL_CROWDS, filters, now_us);
}

static struct asked_outcome answer(struct world *world, unsigned int filter, uint64_t first,
				   uint32_t n, enum asked_verdict verdict)
{
	struct asked_outcome outcome;

	asked_answer(world->asked, filter, first, n, verdict, NOW, &outcome);
	return outcome;
}

static void tick(struct world *world, uint64_t after_us, uint64_t n_failed[ASKED_FILTERS_MAX])
{
	for (unsigned int i = 0; i < ASKED_FILTERS_MAX; i++)
		n_failed[i] = 0;
	asked_tick(world->asked, NOW + after_us, n_failed);
}

static void test_each_must_allow(void **state)
{
	struct world *world = *state;
	uint64_t a = add(world, 1, 3, NOW), b = add(world, 2, 3, NOW);

	assert_int_equal(answer(world, 0, a, 2, ASKED_ALLOW).n_taken, 2);
	assert_int_equal(world->fates[1], KEPT);
	assert_int_equal(answer(world, 1, a, 1, ASKED_ALLOW).n_taken, 1);
	assert_int_equal(answer(world, 1, b, 1, ASKED_DROP).n_dropped, 1);
	assert_int_equal(world->fates[1], ALLOWED);
	assert_int_equal(world->fates[2], DROPPED);
	assert_int_equal(asked_n(world->asked), 0);
}

static void test_one_that_drops_is_enough(void **state)
{
	struct world *world = *state;
	uint64_t id = add(world, 1, 3, NOW);

	answer(world, 1, id, 1, ASKED_DROP);
	assert_int_equal(world->fates[1], DROPPED);
	assert_int_equal(answer(world, 0, id, 1, ASKED_ALLOW).n_late, 1);
}

static void test_lies_are_counted_and_nothing_else(void **state)
{
	struct world *world = *state;
	uint64_t id = add(world, 1, 1, NOW);

	assert_int_equal(answer(world, 1, id, 1, ASKED_DROP).n_late, 1); /* was not asked */
	assert_int_equal(answer(world, 0, id + 1, 1000, ASKED_DROP).n_late, 1000);
	assert_int_equal(answer(world, 0, 0, UINT32_MAX, ASKED_DELAY).n_late, UINT32_MAX - 1);
	assert_int_equal(world->fates[1], KEPT);
	assert_int_equal(answer(world, 0, UINT64_MAX, UINT32_MAX, ASKED_DROP).n_late, UINT32_MAX);
	assert_int_equal(answer(world, 0, id, 1, ASKED_ALLOW).n_taken, 1); /* it was delayed */
	assert_int_equal(answer(world, 0, id, 1, ASKED_DROP).n_late, 1);   /* twice */
	assert_int_equal(world->fates[1], ALLOWED);
}

static void check_late(struct world *world, uint16_t closed, uint8_t fate)
{
	uint64_t n_failed[ASKED_FILTERS_MAX], id = 0;

	asked_set_closed(world->asked, closed);
	for (unsigned int i = 0; i < 10; i++)
		id = add(world, i, 1, NOW + i);
	asked_told(world->asked, 0, id);
	tick(world, ASKED_DEADLINE_US - 1, n_failed);
	assert_int_equal(n_failed[0], 0);
	tick(world, ASKED_DEADLINE_US,
	     n_failed); /* of the first: the others need not wait longer */
	assert_int_equal(n_failed[0], 10);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(world->fates[i], fate);
	assert_true(asked_is_late(world->asked, 0));
	assert_false(asked_is_late(world->asked, 1));
	answer(world, 0, id - 1, 1, ASKED_ALLOW);
	assert_true(asked_is_late(world->asked, 0));
	answer(world, 0, id, 1, ASKED_ALLOW); /* what it was told last */
	assert_false(asked_is_late(world->asked, 0));
}

static void test_late_open(void **state)
{
	check_late(*state, 0, ALLOWED);
}

static void test_late_closed(void **state)
{
	check_late(*state, 1, DROPPED);
}

static void test_who_passes_over_one_is_asked_on(void **state)
{
	struct world *world = *state;
	uint64_t n_failed[ASKED_FILTERS_MAX], first = add(world, 1, 1, NOW);
	uint64_t second = add(world, 2, 1, NOW);

	asked_told(world->asked, 0, second);
	answer(world, 0, second, 1, ASKED_ALLOW);
	assert_int_equal(asked_n(world->asked), 2); /* the first is still there */
	tick(world, ASKED_DEADLINE_US, n_failed);
	assert_int_equal(n_failed[0], 1);
	assert_false(asked_is_late(world->asked, 0));
	assert_int_equal(asked_n(world->asked), 0);
	assert_true(first < second);
}

/* what was told after it is answered, or is still on its way: it is no sign of anything */
static void test_what_is_outstanding_is_not_lost_with_one(void **state)
{
	struct world *world = *state;
	uint64_t n_failed[ASKED_FILTERS_MAX], second, last = 0;

	add(world, 1, 1, NOW);
	second = add(world, 2, 1, NOW);
	for (unsigned int i = 3; i < 10; i++)
		last = add(world, i, 1, NOW + ASKED_DEADLINE_US / 2);
	asked_told(world->asked, 0, last);
	answer(world, 0, second, 1, ASKED_ALLOW);
	tick(world, ASKED_DEADLINE_US, n_failed);
	assert_int_equal(n_failed[0], 1);
	assert_int_equal(world->fates[1], ALLOWED);
	assert_false(asked_is_late(world->asked, 0));
	for (unsigned int i = 3; i < 10; i++)
		assert_int_equal(world->fates[i], KEPT);
	tick(world, ASKED_DEADLINE_US * 3 / 2, n_failed); /* and now it has said nothing since */
	assert_int_equal(n_failed[0], 7);
	assert_true(asked_is_late(world->asked, 0));
}

/* tells filter 0 of one more packet, and lets its deadline pass. Return: its number */
static uint64_t pass_over(struct world *world, uint64_t handle, uint64_t now_us)
{
	uint64_t n_failed[ASKED_FILTERS_MAX], id = add(world, handle, 1, now_us);

	asked_told(world->asked, 0, id);
	tick(world, now_us + ASKED_DEADLINE_US - NOW, n_failed);
	assert_int_equal(n_failed[0], 1);
	assert_true(asked_is_late(world->asked, 0));
	return id;
}

/* it will never answer the last that it was told of, and reads on all the same */
static void test_who_passes_over_the_last_is_tried(void **state)
{
	struct world *world = *state;
	uint64_t id;

	pass_over(world, 1, NOW);
	asked_heard(world->asked, 1); /* another filter */
	assert_true(asked_is_late(world->asked, 0));
	asked_heard(world->asked, 0);
	assert_false(asked_is_late(world->asked, 0));
	id = add(world, 2, 1, NOW);
	assert_true(asked_is_late(world->asked, 0)); /* with one */
	asked_told(world->asked, 0, id);
	asked_heard(world->asked, 0);
	assert_true(asked_is_late(world->asked, 0)); /* at a time */
	answer(world, 0, id, 1, ASKED_ALLOW);
	assert_int_equal(world->fates[2], ALLOWED);
	assert_false(asked_is_late(world->asked, 0));
	add(world, 3, 1, NOW);
	assert_false(asked_is_late(world->asked, 0));
}

static void test_a_trial_may_fail(void **state)
{
	struct world *world = *state;
	uint64_t id;

	pass_over(world, 1, NOW);
	asked_heard(world->asked, 0);
	pass_over(world, 2, NOW); /* waits for its deadline, and nothing else does */
	asked_heard(world->asked, 0);
	assert_false(asked_is_late(world->asked, 0));
	id = add(world, 3, 1, NOW);
	asked_told(world->asked, 0, id);
	answer(world, 0, id, 1, ASKED_DELAY); /* an answer, too */
	assert_false(asked_is_late(world->asked, 0));
}

/* a trial that another filter's drop has ended says nothing of this one: the next one may */
static void test_a_trial_may_be_nobodys(void **state)
{
	struct world *world = *state;
	uint64_t id;

	pass_over(world, 1, NOW);
	asked_heard(world->asked, 0);
	id = add(world, 2, 3, NOW);
	answer(world, 1, id, 1, ASKED_DROP);
	assert_true(asked_is_late(world->asked, 0));
	asked_heard(world->asked, 0);
	assert_false(asked_is_late(world->asked, 0));
	asked_lose(world->asked, 0);
	id = pass_over(world, 3, NOW); /* of the next process: the trial was not its own */
	assert_true(asked_is_late(world->asked, 0));
	answer(world, 0, id, 1, ASKED_ALLOW);
	assert_false(asked_is_late(world->asked, 0));
}

static void test_one_of_two_is_late(void **state)
{
	struct world *world = *state;
	uint64_t n_failed[ASKED_FILTERS_MAX], id = add(world, 1, 3, NOW);

	asked_set_closed(world->asked, 1); /* the one that answers */
	asked_told(world->asked, 0, id);
	asked_told(world->asked, 1, id);
	answer(world, 0, id, 1, ASKED_ALLOW);
	tick(world, ASKED_DEADLINE_US, n_failed);
	assert_int_equal(n_failed[0], 0);
	assert_int_equal(n_failed[1], 1);
	assert_int_equal(world->fates[1], ALLOWED);
}

static void test_delayed(void **state)
{
	struct world *world = *state;
	uint64_t n_failed[ASKED_FILTERS_MAX], id = add(world, 1, 1, NOW);
	uint64_t other = add(world, 2, 1, NOW);

	assert_int_equal(answer(world, 0, id, 2, ASKED_DELAY).n_delayed, 2);
	assert_int_equal(asked_n(world->asked), 0); /* the ring goes on */
	assert_int_equal(asked_n_delayed(world->asked), 2);
	tick(world, ASKED_DELAY_US - 1, n_failed);
	assert_int_equal(world->fates[1], KEPT);
	assert_int_equal(answer(world, 0, id, 1, ASKED_ALLOW).n_taken, 1);
	assert_int_equal(answer(world, 0, other, 1, ASKED_DROP).n_dropped, 1);
	assert_int_equal(world->fates[1], ALLOWED);
	assert_int_equal(world->fates[2], DROPPED);
}

static void check_delay_ends(struct world *world, uint16_t closed, uint8_t fate)
{
	uint64_t n_failed[ASKED_FILTERS_MAX], first = 0;

	asked_set_closed(world->asked, closed);
	for (unsigned int i = 0; i <= ASKED_DELAYED_MAX; i++) {
		uint64_t id = add(world, i, 1, NOW);

		first = first ? first : id;
	}
	assert_int_equal(answer(world, 0, first, ASKED_DELAYED_MAX, ASKED_DELAY).n_delayed,
			 ASKED_DELAYED_MAX);
	assert_int_equal(answer(world, 0, first + ASKED_DELAYED_MAX, 1, ASKED_DELAY).n_failed, 1);
	assert_int_equal(world->fates[ASKED_DELAYED_MAX], fate); /* there was no place for it */
	assert_int_equal(world->fates[0], KEPT);
	tick(world, ASKED_DELAY_US, n_failed);
	assert_int_equal(n_failed[0], ASKED_DELAYED_MAX);
	for (unsigned int i = 0; i < ASKED_DELAYED_MAX; i++)
		assert_int_equal(world->fates[i], fate);
}

static void test_delay_ends_open(void **state)
{
	check_delay_ends(*state, 0, ALLOWED);
}

static void test_delay_ends_closed(void **state)
{
	check_delay_ends(*state, 1, DROPPED);
}

/* as many as are free: of two who flood, each has a third, and so has the next who comes */
static void test_users_leave_places(void **state)
{
	struct world *world = *state;
	unsigned int n[3] = { 0 }, handle = 0;
	uint64_t first = 0;

	for (unsigned int i = 0; i < 2; i++)
		for (; asked_has_place(world->asked, i); n[i]++)
			first = asked_add(world->asked, handle++, i, 1, NOW);
	assert_int_equal(n[0], ASKED_MAX / 2);
	assert_int_equal(n[1], ASKED_MAX / 4);
	assert_true(asked_has_place(world->asked, 2));
	assert_int_equal(asked_crowds(world->asked)[0], n[0]);
	answer(world, 0, 1, n[0], ASKED_ALLOW);
	assert_int_equal(asked_crowds(world->asked)[0], 0);
	assert_true(asked_has_place(world->asked, 0));
	answer(world, 0, 1, (uint32_t)first, ASKED_DROP);
	assert_int_equal(asked_crowds(world->asked)[1], 0);
}

static void test_users_leave_places_to_delay(void **state)
{
	struct world *world = *state;
	uint64_t first = asked_add(world->asked, 0, 0, 1, NOW), other;

	for (unsigned int i = 1; i < ASKED_DELAYED_MAX; i++)
		asked_add(world->asked, i, 0, 1, NOW);
	other = asked_add(world->asked, ASKED_DELAYED_MAX, 1, 1, NOW);
	assert_int_equal(answer(world, 0, first, ASKED_DELAYED_MAX, ASKED_DELAY).n_failed,
			 ASKED_DELAYED_MAX / 2);
	assert_int_equal(answer(world, 0, other, 1, ASKED_DELAY).n_delayed, 1);
	assert_int_equal(asked_fail(world->asked, 0), ASKED_DELAYED_MAX / 2 + 1);
	assert_int_equal(asked_crowds(world->asked)[0] + asked_crowds(world->asked)[1], 0);
}

static void lose(struct world *world)
{
	uint64_t id = add(world, 1, 1, NOW);

	asked_set_closed(world->asked, 1);
	add(world, 2, 3, NOW);
	add(world, 3, 2, NOW);
	answer(world, 0, id, 1, ASKED_DELAY);
	asked_told(world->asked, 0, id + 1);
	asked_lose(world->asked, 0);
	for (unsigned int i = 1; i < 4; i++)
		assert_int_equal(world->fates[i], KEPT);
}

static void test_lost_and_asked_again(void **state)
{
	struct world *world = *state;

	lose(world);
	asked_again(world->asked, 0);
	assert_int_equal(world->fates[1], AGAIN);
	assert_int_equal(world->fates[2], AGAIN);
	assert_int_equal(world->fates[3], KEPT); /* another filter's */
	assert_int_equal(asked_n_delayed(world->asked), 0);
	assert_int_equal(asked_fail(world->asked, 1), 1);
	assert_int_equal(asked_n(world->asked), 0);
}

static void test_lost_for_too_long(void **state)
{
	struct world *world = *state;
	uint64_t n_failed[ASKED_FILTERS_MAX];

	lose(world);
	tick(world, ASKED_DEADLINE_US, n_failed);
	assert_int_equal(n_failed[0], 1);
	assert_int_equal(world->fates[2], DROPPED);
	assert_int_equal(world->fates[1], KEPT);      /* it was delayed for longer */
	assert_false(asked_is_late(world->asked, 0)); /* the next one has done nothing yet */
	tick(world, ASKED_DELAY_US, n_failed);
	assert_int_equal(world->fates[1], DROPPED);
}

static void test_lost_for_ever(void **state)
{
	struct world *world = *state;

	lose(world);
	assert_int_equal(asked_fail(world->asked, 0), 2);
	assert_int_equal(world->fates[1], DROPPED);
	assert_int_equal(world->fates[2], DROPPED);
	assert_int_equal(world->fates[3], KEPT);
}

static void test_a_suspend_is_nobodys_fault(void **state)
{
	struct world *world = *state;
	uint64_t n_failed[ASKED_FILTERS_MAX];

	add(world, 1, 1, NOW);
	asked_postpone(world->asked, 3600000000U);
	tick(world, 3600000000U + ASKED_DEADLINE_US - 1, n_failed);
	assert_int_equal(world->fates[1], KEPT);
}

/* whatever filters say, each packet is decided once, and none is forgotten */
static void test_any_life_ends_well(void **state)
{
	struct world *world = *state;
	uint64_t n_failed[ASKED_FILTERS_MAX], last = 0, now = NOW;
	unsigned int n = 0, seed = 0x51011ce;

	while (n < HANDLES) {
		unsigned int filter = (unsigned int)rand_r(&seed) % 3;

		for (int i = rand_r(&seed) % 40; i > 0 && n < HANDLES && asked_room(world->asked);
		     i--)
			last = add(world, n++, (uint16_t)(1 + rand_r(&seed) % 7), now);
		asked_told(world->asked, filter, last);
		answer(world, filter, last - (uint64_t)rand_r(&seed) % 200,
		       (uint32_t)rand_r(&seed) % 100, (enum asked_verdict)(rand_r(&seed) % 3));
		if (rand_r(&seed) % 50 == 0)
			asked_lose(world->asked, filter);
		if (rand_r(&seed) % 10 == 0)
			asked_heard(world->asked, filter);
		if (rand_r(&seed) % 100 == 0)
			asked_again(world->asked, filter);
		if (rand_r(&seed) % 100 == 0)
			asked_fail(world->asked, filter);
		now += (uint64_t)rand_r(&seed) % 60000;
		tick(world, now - NOW, n_failed);
	}
	tick(world, now - NOW + ASKED_DELAY_US, n_failed);
	assert_int_equal(asked_n(world->asked) + asked_n_delayed(world->asked), 0);
	for (unsigned int i = 0; i < HANDLES; i++)
		assert_int_not_equal(world->fates[i], KEPT);
	for (unsigned int i = 0; i < SL_CROWDS; i++)
		assert_int_equal(asked_crowds(world->asked)[i], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_must_allow),
		TEST(test_one_that_drops_is_enough),
		TEST(test_lies_are_counted_and_nothing_else),
		TEST(test_late_open),
		TEST(test_late_closed),
		TEST(test_who_passes_over_one_is_asked_on),
		TEST(test_what_is_outstanding_is_not_lost_with_one),
		TEST(test_who_passes_over_the_last_is_tried),
		TEST(test_a_trial_may_fail),
		TEST(test_a_trial_may_be_nobodys),
		TEST(test_one_of_two_is_late),
		TEST(test_delayed),
		TEST(test_delay_ends_open),
		TEST(test_delay_ends_closed),
		TEST(test_users_leave_places),
		TEST(test_users_leave_places_to_delay),
		TEST(test_lost_and_asked_again),
		TEST(test_lost_for_too_long),
		TEST(test_lost_for_ever),
		TEST(test_a_suspend_is_nobodys_fault),
		TEST(test_any_life_ends_well),
	};

	return cmocka_run_group_tests_name("asked", tests, NULL, NULL);
}
