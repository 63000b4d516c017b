/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Places of one size, against an array of who is in them
 *
 * Random places are taken, written and given back, and now and then memory is given
 * back; each place keeps what was written into it for as long as it is in use.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "flow/slots.h"

#define N_MAX (3 * SLOTS_A_CHUNK + 7) /* the last chunk is not a whole one */
#define SIZE 160U		      /* a chunk is whole pages of 4 KB */
#define UNEVEN 552U		      /* chunks share pages */
#define STEPS 100000

struct world {
	struct slots *slots;
	size_t size;
	uint64_t *taken[N_MAX];
	size_t n_taken;
};

static int set_up_of(void **state, size_t size)
{
	struct world *world = calloc(1, sizeof(*world));

	*state = world;
	if (!world)
		return -1;
	world->size = size;
	return slots_new(N_MAX, size, &world->slots);
}

static int set_up(void **state)
{
	return set_up_of(state, SIZE);
}

static int set_up_uneven(void **state)
{
	return set_up_of(state, UNEVEN);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	world->slots = slots_free(world->slots);
	assert_null(slots_free(NULL));
	free(world);
	return 0;
}

static uint64_t *take(struct world *world)
{
	uint64_t *slot = slots_take(world->slots);

	if (!slot)
		return NULL;
	world->taken[world->n_taken++] = slot;
	for (size_t i = 0; i < world->size / sizeof(*slot); i++)
		slot[i] = slots_number(world->slots, slot);
	return slot;
}

static void give_back(struct world *world, size_t i)
{
	slots_give_back(world->slots, world->taken[i]);
	world->taken[i] = world->taken[--world->n_taken];
}

static void check(const struct world *world)
{
	for (size_t i = 0; i < world->n_taken; i++) {
		const uint64_t *slot = world->taken[i];
		uint32_t number = slots_number(world->slots, slot);

		assert_in_range(number, 1, slots_n_touched(world->slots));
		assert_ptr_equal(slots_at(world->slots, number), slot);
		for (size_t k = 0; k < world->size / sizeof(*slot); k++)
			assert_int_equal(slot[k], number);
	}
}

static void test_all_can_be_taken_and_no_more(void **state)
{
	struct world *world = *state;

	assert_int_equal(slots_n_touched(world->slots), 0);
	assert_null(slots_at(world->slots, 0));
	for (size_t i = 0; i < N_MAX; i++)
		assert_non_null(take(world));
	assert_null(slots_take(world->slots));
	check(world);
	give_back(world, 100);
	assert_non_null(take(world));
	assert_null(slots_take(world->slots));
	check(world);
}

static size_t resident_bytes(void *from, size_t n_bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;
	unsigned char pages[N_MAX * SIZE / 4096 + 2];

	assert_true(n_bytes / page < ARRAY_SIZE(pages));
	assert_int_equal(mincore(from, n_bytes, pages), 0);
	for (size_t i = 0; i < n_bytes / page; i++)
		n += (pages[i] & 1) * page;
	return n;
}

static void test_what_nobody_uses_costs_nothing(void **state)
{
	const size_t room = 3UL * SLOTS_A_CHUNK * SIZE;
	struct world *world = *state;
	void *first = NULL;

	for (size_t i = 0; i < N_MAX; i++)
		first = i ? (take(world), first) : take(world);
	assert_int_equal(slots_trim(world->slots), 0);
	assert_int_equal(resident_bytes(first, room), room);
	while (world->n_taken > 1)
		give_back(world, 1);
	assert_int_equal(slots_trim(world->slots), room); /* but the first chunk, in use */
	assert_int_equal(resident_bytes(first, room), SLOTS_A_CHUNK * SIZE);
	assert_int_equal(slots_n_touched(world->slots), SLOTS_A_CHUNK);
	check(world);
	assert_int_equal(slots_trim(world->slots), 0); /* once */
}

static void test_low_places_are_used_first(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < 2 * SLOTS_A_CHUNK; i++)
		take(world);
	give_back(world, SLOTS_A_CHUNK + 3);
	give_back(world, 5);
	assert_in_range(slots_number(world->slots, take(world)), 1, SLOTS_A_CHUNK);
	assert_in_range(slots_number(world->slots, take(world)), SLOTS_A_CHUNK + 1,
			2 * SLOTS_A_CHUNK);
}

/* what is next to places that went back is in use, some of it on the same page */
static void test_neighbours_of_what_goes_back_stay(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < 2 * SLOTS_A_CHUNK; i++)
		take(world);
	for (size_t i = SLOTS_A_CHUNK; i-- > 0;)
		give_back(world, i);
	assert_true(slots_trim(world->slots) > 0);
	check(world);
	while (take(world))
		;
	assert_int_equal(world->n_taken, N_MAX);
	check(world);
}

static void test_any_order(void **state)
{
	struct world *world = *state;
	size_t aim = 0;

	srandom(1);
	for (int i = 0; i < STEPS; i++) {
		if (random() % 500 == 0)
			aim = (size_t)random() % (N_MAX + 1);
		if (random() % 4 && world->n_taken < aim)
			take(world);
		else if (world->n_taken > 0 && world->n_taken >= aim)
			give_back(world, (size_t)random() % world->n_taken);
		if (random() % 200 == 0)
			(void)slots_trim(world->slots);
		if (i % 100 == 0)
			check(world);
	}
	check(world);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
#define UNEVEN_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up_uneven, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_can_be_taken_and_no_more),
		TEST(test_what_nobody_uses_costs_nothing),
		TEST(test_low_places_are_used_first),
		TEST(test_any_order),
		UNEVEN_TEST(test_neighbours_of_what_goes_back_stay),
		UNEVEN_TEST(test_any_order),
	};

	return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
