/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Sides are shared, and their identities come back
 *
 * Each sides_get() brings a reference to an identity; each of them is put: at once, when
 * the side was there, or with its last user.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "flow/sides.h"

#define N_MAX 300U
#define N_KINDS 40U
#define STEPS 50000

struct identity {
	int n_refs;
};

struct world {
	struct sides *sides;
	struct identity identities[N_KINDS];
};

static void on_put(struct identity *identity, void *data)
{
	if (!identity)
		return;
	identity->n_refs--;
	assert_true(identity->n_refs >= 0);
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	*state = world;
	return world ? sides_new(N_MAX, 7, on_put, world, &world->sides) : -1;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	world->sides = sides_free(world->sides);
	assert_null(sides_free(NULL));
	free(world);
	return 0;
}

static const struct flow_side *get(struct world *world, unsigned int kind)
{
	const struct flow_side side = { .identity = &world->identities[kind],
					.laddr = { [15] = (uint8_t)(kind / 2) },
					.ifindex = kind % 2 };

	side.identity->n_refs++;
	return sides_get(world->sides, &side);
}

static void test_alike_is_the_same(void **state)
{
	struct world *world = *state;
	const struct flow_side *side = get(world, 1);

	assert_ptr_equal(get(world, 1), side);
	assert_ptr_not_equal(get(world, 2), side);
	assert_ptr_equal(side->identity, &world->identities[1]);
	assert_int_equal(world->identities[1].n_refs, 1); /* the second was put at once */
	sides_put(world->sides, side);
	assert_int_equal(world->identities[1].n_refs, 1);
	sides_put(world->sides, side);
	assert_int_equal(world->identities[1].n_refs, 0);
}

static void test_nobodys_is_nobodys(void **state)
{
	struct world *world = *state;

	assert_null(sides_none()->identity);
	sides_put(world->sides, sides_none());
	sides_put(world->sides, sides_none());
}

static void test_each_identity_is_kept_while_its_side_is(void **state)
{
	struct world *world = *state;
	const struct flow_side *held[N_MAX] = { 0 };
	unsigned int kinds[N_MAX], n[N_KINDS] = { 0 };

	srandom(1);
	for (int i = 0; i < STEPS; i++) {
		unsigned int at = (unsigned int)random() % N_MAX;

		if (held[at]) {
			sides_put(world->sides, held[at]);
			held[at] = NULL;
			n[kinds[at]]--;
		} else {
			kinds[at] = (unsigned int)random() % N_KINDS;
			held[at] = get(world, kinds[at]);
			n[kinds[at]]++;
			assert_ptr_equal(held[at]->identity, &world->identities[kinds[at]]);
		}
		for (unsigned int k = 0; k < N_KINDS; k++)
			assert_int_equal(world->identities[k].n_refs, n[k] > 0);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_alike_is_the_same),
		TEST(test_nobodys_is_nobodys),
		TEST(test_each_identity_is_kept_while_its_side_is),
	};

	return cmocka_run_group_tests_name("sides", tests, NULL, NULL);
}
