/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced, one user with very many flows, and another one
 *
 * Beside scenario 144, what a real one cannot show exactly. See daemon-lab.h.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon-lab.h"

#define CROWD 1001U
#define OTHER 1002U
#define N_CROWD 500U /* FLOW_USER_HELD(LAB_FLOWS_MAX) is 512 */

static const struct lab_packet of_other = {
	.proto = IPPROTO_TCP, .lport = 30000, .rport = 443, .last = 9, .uid = OTHER
};

static int set_up(void **state)
{
	struct lab_config config = { .n_filters = 2, .is_closed = { true, true } };
	struct lab *lab = lab_new(&config);

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	*state = lab;
	return 0;
}

static int tear_down(void **state)
{
	*state = lab_free(*state);
	return 0;
}

static void put_crowd(struct lab *lab)
{
	struct lab_packet packet = {
		.proto = IPPROTO_UDP, .lport = 40000, .last = 7, .uid = CROWD
	};

	for (packet.rport = 1000; packet.rport < 1000 + N_CROWD; packet.rport++)
		lab_put(lab, &packet);
}

static uint64_t id_of(struct lab *lab, const struct lab_packet *packet)
{
	struct sl_flow_key key = lab_key(packet);

	return flow_table_find(lab->daemon->flows, &key)->id;
}

/* Return: how many questions came before that of this flow */
static unsigned int n_before(struct lab *lab, unsigned int filter, uint64_t flow)
{
	unsigned int n = 0;
	uint64_t id;

	for (; (id = lab_take_flow(lab, filter)) != flow; n++) {
		assert_int_not_equal(id, 0);
		lab_judge(lab, filter, id, 0);
	}
	return n;
}

/* what is unread in the channel, and nothing else, is before it */
static void test_a_crowd_is_not_before_another_user(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id;

	put_crowd(lab);
	assert_true(lab->daemon->filters[0].wants_write);
	packet = lab_put(lab, &of_other);
	id = id_of(lab, &of_other);
	assert_true(n_before(lab, 0, id) < 80);
	lab_judge(lab, 0, id, 0);
	assert_true(n_before(lab, 1, id) < 80); /* which has read nothing until now */
	lab_judge(lab, 1, id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_a_filter_that_is_back_is_asked_fairly(void **state)
{
	struct lab *lab = *state;
	uint64_t oldest;

	put_crowd(lab);
	(void)lab_put(lab, &of_other);
	oldest = flow_table_oldest_held(lab->daemon->flows)->id;
	lab_end_filter(lab, 0);
	lab_pass(lab, 1000000); /* its back-off */
	lab_run_filter(lab, 0);
	assert_int_equal(lab_take_flow(lab, 0), id_of(lab, &of_other)); /* who had fewest asked */
	assert_int_equal(lab_take_flow(lab, 0), oldest);
	assert_int_equal(lab_take_flow(lab, 0), oldest + 1);
}

static void test_deadlines_come_in_the_order_of_age(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	put_crowd(lab);
	lab_pass(lab, FLOW_DEADLINE_US / 2);
	packet = lab_put(lab, &of_other);
	lab_pass(lab, FLOW_DEADLINE_US / 2);
	assert_int_equal(lab->daemon->n_deadlines, N_CROWD);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_equal(lab_fate(lab, 0), FATE_REJECTED);
	lab_pass(lab, FLOW_DEADLINE_US / 2);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

/* all that wait are answered in the end, and nobody is asked twice */
static void test_everybody_is_asked_once(void **state)
{
	struct lab *lab = *state;
	unsigned int n = 0;
	uint64_t id;

	put_crowd(lab);
	(void)lab_put(lab, &of_other);
	for (; (id = lab_take_flow(lab, 0)); n++)
		lab_judge(lab, 0, id, 1);
	assert_int_equal(n, N_CROWD + 1);
	assert_int_equal(flow_table_n_held(lab->daemon->flows), 0);
	assert_int_equal(lab->daemon->filters[0].n_late, 0);
}

/* a filter whose rules have changed is asked about open flows beside a flood */
static void test_judging_again_goes_on_beside_a_crowd(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	int i = 0;

	(void)lab_put(lab, &of_other);
	id = id_of(lab, &of_other);
	(void)n_before(lab, 0, id);
	lab_judge(lab, 0, id, 0);
	(void)n_before(lab, 1, id);
	lab_judge(lab, 1, id, 0);
	put_crowd(lab);
	assert_true(lab->daemon->filters[0].wants_write);
	lab_say(lab, 0, WIRE_FLOW_FORGET, &(struct wire_flow_forget){ .again = 1 });
	for (i = 0; i < 2; i++)
		lab_pass(lab, TICK_US);
	assert_true(n_before(lab, 0, id) < 160);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_crowd_is_not_before_another_user),
		TEST(test_a_filter_that_is_back_is_asked_fairly),
		TEST(test_deadlines_come_in_the_order_of_age),
		TEST(test_everybody_is_asked_once),
		TEST(test_judging_again_goes_on_beside_a_crowd),
	};

	return cmocka_run_group_tests_name("daemon-turns", tests, NULL, NULL);
}
