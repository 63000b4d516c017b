/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Flows that are proxies', also against a plain list of them */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "flow/diverts.h"
#include "wire-random.h"

#define MANY 20000U /* several in each bucket */
#define STEPS 200000U
#define PLAIN_MAX 40U
#define PROXIES 3U

static int set_up(void **state)
{
	struct diverts *diverts;

	assert_int_equal(diverts_new(4711, &diverts), 0);
	*state = diverts;
	return 0;
}

static int tear_down(void **state)
{
	*state = diverts_free(*state);
	return 0;
}

static struct sl_tuple ends(uint16_t lport, uint16_t rport)
{
	return (struct sl_tuple){ .netns = 3,
				  .laddr = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
				  .raddr = { [10] = 0xff, 0xff, 198, 51, 100, 9 },
				  .lport = lport,
				  .rport = rport,
				  .proto = IPPROTO_TCP,
				  .lo = SL_LO_NOT };
}

/* flow @id of the socket 1000 + @id */
static struct divert *add(struct diverts *diverts, uint64_t id, struct sl_tuple tuple,
			  unsigned int proxy)
{
	struct divert *divert;

	assert_int_equal(diverts_add(diverts, id, 1000 + id, &tuple, proxy, &divert), 0);
	assert_int_equal(divert->fd, -1);
	assert_true(divert->is_client);
	return divert;
}

static struct divert *take(struct diverts *diverts, struct sl_tuple tuple)
{
	return diverts_take_client(diverts, &tuple);
}

/* ---- one, and a few ---- */

static void test_empty(void **state)
{
	struct diverts *diverts = *state;

	assert_null(diverts_find(diverts, 0));
	assert_null(diverts_find_flow(diverts, 0));
	assert_null(take(diverts, ends(1, 2)));
	assert_null(diverts_any(diverts, 0));
	assert_null(diverts_next_queued(diverts, 0, NULL));
	assert_int_equal(diverts_n(diverts), 0);
	diverts_remove(diverts, NULL);
	assert_null(diverts_free(NULL));
}

static void test_one_is_found_until_it_is_removed(void **state)
{
	struct diverts *diverts = *state;
	struct divert *divert = add(diverts, 7, ends(40000, 443), 2);

	assert_ptr_equal(diverts_find(diverts, 1007), divert);
	assert_ptr_equal(diverts_find_flow(diverts, 7), divert);
	assert_null(diverts_find(diverts, 7));
	assert_null(diverts_find_flow(diverts, 1007));
	assert_ptr_equal(diverts_any(diverts, 2), divert);
	assert_null(diverts_any(diverts, 1));
	assert_int_equal(diverts_n(diverts), 1);
	diverts_remove(diverts, divert);
	assert_null(diverts_find(diverts, 1007));
	assert_null(diverts_find_flow(diverts, 7));
	assert_null(take(diverts, ends(40000, 443)));
	assert_null(diverts_any(diverts, 2));
	assert_int_equal(diverts_n(diverts), 0);
}

/* ---- whose connection? ---- */

static void test_a_client_comes_once(void **state)
{
	struct diverts *diverts = *state;
	struct divert *divert = add(diverts, 1, ends(40000, 443), 0);

	assert_ptr_equal(take(diverts, ends(40000, 443)), divert);
	assert_false(divert->is_client);
	assert_null(take(diverts, ends(40000, 443)));
	assert_ptr_equal(diverts_find(diverts, 1001), divert);
}

static void test_another_end_is_a_stranger(void **state)
{
	struct diverts *diverts = *state;
	struct sl_tuple of[7];

	add(diverts, 1, ends(40000, 443), 0);
	for (unsigned int i = 0; i < 7; i++)
		of[i] = ends(40000, 443);
	of[0].rport = 444;
	of[1].raddr[15]++;
	of[2].laddr[15]++;
	of[3].netns++;
	of[4].lo = SL_LO_IS;
	of[5].proto = IPPROTO_UDP;
	for (unsigned int i = 0; i < 6; i++)
		assert_null(take(diverts, of[i]));
	assert_non_null(take(diverts, of[6]));
}

/* conntrack gives the second of two with the same local ends another port */
static void test_one_with_another_port_is_found_alone(void **state)
{
	struct diverts *diverts = *state;
	struct divert *divert = add(diverts, 1, ends(40000, 443), 0);

	assert_ptr_equal(take(diverts, ends(40001, 443)), divert);
}

static void test_one_of_two_with_another_port_is_nobodys(void **state)
{
	struct diverts *diverts = *state;
	struct divert *first = add(diverts, 1, ends(40000, 443), 0);
	struct divert *second = add(diverts, 2, ends(40001, 443), 0);

	assert_null(take(diverts, ends(40002, 443)));
	assert_true(first->is_client && second->is_client);
	assert_ptr_equal(take(diverts, ends(40000, 443)), first);
	assert_ptr_equal(take(diverts, ends(40002, 443)), second); /* now there is but one */
}

static void test_the_right_port_decides(void **state)
{
	struct diverts *diverts = *state;
	struct divert *of[5];

	for (unsigned int i = 0; i < 5; i++)
		of[i] = add(diverts, i + 1, ends((uint16_t)(40000 + i), 443), 0);
	for (unsigned int i = 0; i < 5; i++)
		assert_ptr_equal(take(diverts, ends((uint16_t)(40000 + i), 443)), of[i]);
}

/* ---- what waits ---- */

static void expect_queued(struct diverts *diverts, unsigned int proxy, const uint64_t *flows,
			  unsigned int n)
{
	struct divert *at = NULL;

	for (unsigned int i = 0; i < n; i++) {
		at = diverts_next_queued(diverts, proxy, at);
		assert_non_null(at);
		assert_int_equal(at->flow, flows[i]);
	}
	assert_null(diverts_next_queued(diverts, proxy, at));
}

static void test_what_waits_is_in_order_for_each_proxy(void **state)
{
	struct diverts *diverts = *state;
	struct divert *of[6];

	for (unsigned int i = 0; i < 6; i++)
		of[i] = add(diverts, i + 1, ends((uint16_t)i, 443), i % 2);
	for (unsigned int i = 6; i > 0; i--)
		diverts_queue(diverts, of[i - 1]);
	diverts_queue(diverts, of[5]); /* it keeps its place */
	expect_queued(diverts, 0, (uint64_t[]){ 5, 3, 1 }, 3);
	expect_queued(diverts, 1, (uint64_t[]){ 6, 4, 2 }, 3);
	diverts_unqueue(diverts, of[2]); /* in the middle, */
	diverts_unqueue(diverts, of[2]);
	diverts_unqueue(diverts, of[5]); /* the oldest, */
	diverts_remove(diverts, of[0]);	 /* and the newest */
	expect_queued(diverts, 0, (uint64_t[]){ 5 }, 1);
	expect_queued(diverts, 1, (uint64_t[]){ 4, 2 }, 2);
	diverts_queue(diverts, of[5]);
	expect_queued(diverts, 1, (uint64_t[]){ 4, 2, 6 }, 3);
}

/* ---- many ---- */

static void test_many(void **state)
{
	struct diverts *diverts = *state;
	struct divert *divert;

	for (unsigned int i = 0; i < MANY; i++)
		add(diverts, i, ends((uint16_t)i, (uint16_t)(i % 7)), i % PROXIES);
	assert_int_equal(diverts_n(diverts), MANY);
	for (unsigned int i = 0; i < MANY; i++) {
		assert_int_equal(diverts_find(diverts, 1000 + i)->flow, i);
		assert_int_equal(diverts_find_flow(diverts, i)->cookie, 1000 + i);
		divert = take(diverts, ends((uint16_t)i, (uint16_t)(i % 7)));
		assert_int_equal(divert->flow, i);
	}
	for (unsigned int proxy = 0; proxy < PROXIES; proxy++) {
		unsigned int n = 0;

		for (; (divert = diverts_any(diverts, proxy)); n++) {
			assert_int_equal(divert->proxy, proxy);
			diverts_remove(diverts, divert);
		}
		assert_int_equal(n, MANY / PROXIES + (proxy < MANY % PROXIES));
	}
	assert_int_equal(diverts_n(diverts), 0);
}

/* ---- against a plain list ---- */

struct plain {
	struct divert *of[PLAIN_MAX]; /* in the order in which they were added */
	struct divert *queued[PLAIN_MAX];
	unsigned int n, n_queued;
};

static void drop(struct divert **list, unsigned int *n, const struct divert *divert)
{
	for (unsigned int i = 0; i < *n; i++) {
		if (list[i] != divert)
			continue;
		memmove(&list[i], &list[i + 1], (--*n - i) * sizeof(list[0]));
		return;
	}
}

/* the newest with these very ends; else the one that has them but for the port */
static struct divert *find_client(const struct plain *plain, const struct sl_tuple *tuple)
{
	struct divert *found = NULL;
	unsigned int n = 0;

	for (unsigned int i = plain->n; i > 0; i--) {
		struct divert *divert = plain->of[i - 1];

		if (!divert->is_client || divert->tuple.rport != tuple->rport)
			continue;
		if (divert->tuple.lport == tuple->lport)
			return divert;
		found = divert;
		n++;
	}
	return n == 1 ? found : NULL;
}

static void check_queues(struct diverts *diverts, const struct plain *plain)
{
	struct divert *at[PROXIES] = { NULL };

	for (unsigned int i = 0; i < plain->n_queued; i++) {
		unsigned int proxy = plain->queued[i]->proxy;

		at[proxy] = diverts_next_queued(diverts, proxy, at[proxy]);
		assert_ptr_equal(at[proxy], plain->queued[i]);
	}
	for (unsigned int i = 0; i < PROXIES; i++)
		assert_null(diverts_next_queued(diverts, i, at[i]));
}

static void check_found(struct diverts *diverts, const struct plain *plain, uint64_t cookie)
{
	struct divert *wanted = NULL;

	for (unsigned int i = 0; i < plain->n; i++)
		if (plain->of[i]->cookie == cookie)
			wanted = plain->of[i];
	assert_ptr_equal(diverts_find(diverts, cookie), wanted);
	assert_int_equal(diverts_n(diverts), plain->n);
}

static void step(struct diverts *diverts, struct plain *plain, uint64_t *rng, uint64_t id)
{
	struct divert *any = plain->n ? plain->of[random_next(rng) % plain->n] : NULL;
	struct sl_tuple tuple =
		ends((uint16_t)(random_next(rng) % 8), (uint16_t)(random_next(rng) % 4));
	struct divert *wanted;

	switch (random_next(rng) % 5) {
	case 0:
		if (plain->n < PLAIN_MAX)
			plain->of[plain->n++] =
				add(diverts, id, tuple, (unsigned int)(id % PROXIES));
		break;
	case 1:
		wanted = find_client(plain, &tuple);
		assert_ptr_equal(diverts_take_client(diverts, &tuple), wanted);
		assert_true(!wanted || !wanted->is_client);
		break;
	case 2:
		if (any && !any->is_queued)
			plain->queued[plain->n_queued++] = any;
		if (any)
			diverts_queue(diverts, any);
		break;
	case 3:
		drop(plain->queued, &plain->n_queued, any);
		if (any)
			diverts_unqueue(diverts, any);
		break;
	case 4:
		drop(plain->queued, &plain->n_queued, any);
		drop(plain->of, &plain->n, any);
		diverts_remove(diverts, any);
		break;
	}
	check_found(diverts, plain, 1000 + id - random_next(rng) % 100);
}

static void test_as_a_plain_list(void **state)
{
	struct diverts *diverts = *state;
	struct plain plain = { .n = 0 };
	uint64_t rng = 88172645463325252U;

	for (uint64_t id = 1; id <= STEPS; id++) {
		step(diverts, &plain, &rng, id);
		check_queues(diverts, &plain);
	}
	assert_true(plain.n > 0); /* the tear-down frees what is left */
}

/* each is found in each round, however small the steps */
static void test_a_walk(void **state)
{
	struct diverts *diverts = *state;
	static unsigned char n_found[MANY];
	struct divert *found[32];
	bool is_round;

	for (unsigned int i = 0; i < MANY; i++)
		add(diverts, i, ends((uint16_t)i, 80), 0);
	for (unsigned int round = 1; round <= 3; round++) {
		do {
			unsigned int n = diverts_walk(diverts, found, 32, &is_round);

			assert_in_range(n, 0, 32);
			for (unsigned int i = 0; i < n; i++)
				n_found[found[i]->flow]++;
		} while (!is_round);
		for (unsigned int i = 0; i < MANY; i++)
			assert_int_equal(n_found[i], round);
	}
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_walk),
		TEST(test_empty),
		TEST(test_one_is_found_until_it_is_removed),
		TEST(test_a_client_comes_once),
		TEST(test_another_end_is_a_stranger),
		TEST(test_one_with_another_port_is_found_alone),
		TEST(test_one_of_two_with_another_port_is_nobodys),
		TEST(test_the_right_port_decides),
		TEST(test_what_waits_is_in_order_for_each_proxy),
		TEST(test_many),
		TEST(test_as_a_plain_list),
	};

	return cmocka_run_group_tests_name("diverts", tests, NULL, NULL);
}
